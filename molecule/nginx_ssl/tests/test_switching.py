# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates from everywhere, without a moment in which the site does not serve; other sites; and what is refused."""

from __future__ import annotations

import subprocess
import time

import pytest

SITE = "https://catmaid.test"


def openssl(*argv: object) -> None:
    """Run openssl, which must succeed."""
    subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A lab's authority on the controller; its key has a passphrase."""
    folder = tmp_path_factory.mktemp("authority")
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=Lab", "-days", 90]
    openssl(*new, "-passout", "pass:a word", "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    for name in ("one", "other"):
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", folder / f"{name}.key")
        openssl(
            "req", "-x509", "-key", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-days", 30,
            "-subj", "/CN=one", "-addext", "subjectAltName=DNS:catmaid.test",
        )  # fmt: skip
    return folder


def put(instance, path, folder: str) -> None:
    """Copy a text file of the controller to a host."""
    instance.host.check_output("printf %%s %s > %s", path.read_text(encoding="ascii"), f"{folder}/{path.name}")


def shown(instance) -> str:
    """Return issuer, end and fingerprint of the certificate that visitors get."""
    return instance.run(
        "openssl s_client -connect 127.0.0.1:443 -servername catmaid.test </dev/null 2>/dev/null"
        " | openssl x509 -noout -issuer -enddate -fingerprint -sha256"
    )


def ask_all_the_time(instance) -> None:
    """Let somebody on the host ask for the page fifty times a second, with a new connection each time."""
    ask = "curl -sk -m 30 -o /dev/null -w '%{http_code}\\n' --resolve catmaid.test:443:127.0.0.1 https://catmaid.test/a"
    loop = f"while :; do {ask} >>/tmp/asked || echo failed >>/tmp/asked; sleep 0.01; done"
    instance.run(f'rm -f /tmp/asked; systemd-run --collect --unit=asking sh -c "{loop}"')


def test_an_authority_of_the_lab_signs_and_nobody_waits(instances, play, wanted, authority, visit):
    """A certificate comes in place of another, and other ciphers; a second run has nothing to do."""
    mine = {
        "catmaid_nginx_ssl_certificate": "own_ca",
        "catmaid_nginx_ssl_ca_file": str(authority / "ca.pem"),
        "catmaid_nginx_ssl_ca_key_file": str(authority / "ca.key"),
        "catmaid_nginx_ssl_ca_key_passphrase": "a word",
        "catmaid_nginx_ssl_days": 30,
        "catmaid_nginx_ssl_profile": "modern",
    }
    before = {instance.name: shown(instance) for instance in instances}
    for instance in instances:
        ask_all_the_time(instance)
    result = play("nginx_ssl", **wanted | mine)
    assert result.rc == 0, [result.messages(instance.name) for instance in instances]
    for instance in instances:
        instance.run("systemctl stop asking")
        assert set(instance.run("cat /tmp/asked").split()) == {"200"}
        assert shown(instance) != before[instance.name]
        ends = "openssl x509 -noout -in /etc/ssl/catmaid/catmaid/made/signed.pem -checkend"
        assert [instance.host.run(f"{ends} {days * 86400}").rc for days in (29, 31)] == [0, 1]
        put(instance, authority / "ca.pem", "/tmp")
        assert visit(instance, f"{SITE}/a", "--no-insecure --cacert /tmp/ca.pem").status == 200
        connect = "openssl s_client -connect 127.0.0.1:443 -servername catmaid.test"
        assert instance.host.run(f"{connect} -tls1_2 </dev/null").rc != 0
        assert instance.host.run(f"{connect} -tls1_3 </dev/null").rc == 0
        assert "a word" not in instance.run("journalctl --boot --no-pager | tail -n 2000")
    assert "a word" not in result.output
    # In one run: there is nothing to do, and it is as strict as it says.
    scan = {"catmaid_nginx_ssl_scan_grade": "modern"}
    again = play("nginx_ssl", "--tags", "all,scan", "--limit", "catmaid-trixie", **wanted | mine | scan)
    assert again.rc == 0, again.messages("catmaid-trixie")
    assert again.changed("catmaid-trixie") == []
    # What was there before stays, for a way back; whatever is older is gone.
    kept = instances[1].run("ls -d /etc/ssl/catmaid/catmaid/*/key.pem | grep -v made")
    assert len(kept.split()) == 2


def test_the_end_of_a_certificate_is_told_before_it_comes(instances, play):
    asked = ("verify", "--tags", "certificate")
    assert play(*asked, catmaid_nginx_ssl_expiry_days=29).rc == 0
    late = play(*asked, catmaid_nginx_ssl_expiry_days=31)
    for instance in instances:
        assert "the certificate of catmaid.test expires in 30 days" in late.messages(instance.name)


def test_given_files_are_checked_before_they_are_used(instances, play, wanted, authority, visit):
    """The wrong key changes nothing; the right one does, here from files on the host and for old clients."""
    given = {
        "catmaid_nginx_ssl_certificate": "files",
        "catmaid_nginx_ssl_certificate_file": str(authority / "one.pem"),
        "catmaid_nginx_ssl_key_file": str(authority / "other.key"),
        "catmaid_nginx_ssl_verify_chain": False,
    }
    before = {instance.name: shown(instance) for instance in instances}
    refused = play("nginx_ssl", **wanted | given)
    assert refused.rc != 0
    assert "PRIVATE KEY" not in refused.output
    for instance in instances:
        assert "the key is not the one of that of catmaid.test" in refused.messages(instance.name)
        assert refused.changed(instance.name) == []
        assert (shown(instance), visit(instance, f"{SITE}/a").status) == (before[instance.name], 200)
        instance.run("install -d -m 700 /root/given")
        put(instance, authority / "one.pem", "/root/given")
        put(instance, authority / "one.key", "/root/given")
        instance.run("chmod 600 /root/given/one.key")
    old = {
        "catmaid_nginx_ssl_certificate": "host_files",
        "catmaid_nginx_ssl_certificate_file": "/root/given/one.pem",
        "catmaid_nginx_ssl_key_file": "/root/given/one.key",
        "catmaid_nginx_ssl_ca_file": str(authority / "one.pem"),
        "catmaid_nginx_ssl_verify_chain": True,
        "catmaid_nginx_ssl_profile": "legacy",
        "catmaid_nginx_ssl_hsts": 0,
    }
    predicted = play("nginx_ssl", "--check", "--limit", "catmaid-trixie", **wanted | old)
    assert predicted.rc == 0, predicted.messages("catmaid-trixie")
    assert any("with another certificate" in task for task in predicted.changed("catmaid-trixie"))
    result = play("nginx_ssl", **wanted | old)
    assert result.rc == 0, [result.messages(instance.name) for instance in instances]
    for instance in instances:
        assert "CN = one" in shown(instance) or "CN=one" in shown(instance)
        page = visit(instance, f"{SITE}/a", "--tls-max 1.0 --ciphers DEFAULT@SECLEVEL=0")
        assert (page.status, page.header("strict-transport-security")) == (200, "")
    scan = {"catmaid_nginx_ssl_scan_address": instances[1].run("hostname -I").split()[0]}
    weak = play("nginx_ssl", "--tags", "scan", "--limit", "catmaid-trixie", **wanted | old | scan)
    assert weak.rc != 0
    said = weak.messages("catmaid-trixie")
    assert "catmaid.test is weak, not intermediate" in said
    assert "TLSv1.1" in said and "Strict-Transport-Security is missing" in said


def test_an_acme_authority_gives_one_at_the_first_run(instances, play, wanted):
    """The site has none before, so it begins with its own. Renewed ones are read by nginx."""
    instance = instances[0]
    instance.run("cp /opt/echo/pebble.pem /usr/local/share/ca-certificates/pebble.crt && update-ca-certificates")
    instance.run("echo 127.0.0.1 catmaid.test >> /etc/hosts")
    instance.run(
        "systemd-run --collect --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0"
        " pebble -config /opt/echo/pebble.json"
    )
    instance.run("curl -sf --retry 60 --retry-all-errors --retry-delay 1 -o /dev/null https://localhost:14000/dir")
    acme = {
        "catmaid_nginx_ssl_certificate": "acme",
        "catmaid_nginx_ssl_acme_server": "https://localhost:14000/dir",
        "catmaid_nginx_ssl_acme_email": "admin@catmaid.test",
        "catmaid_nginx_ssl_days": 3650,
    }
    result = play("nginx_ssl", "--limit", instance.name, **wanted | acme)
    assert result.rc == 0, [result.messages(instance.name) for instance in instances]
    # What was made for a year is in the last third of ten, so it was made anew to begin with.
    assert any("Sign it by its own key" in task for task in result.changed(instance.name))
    first = shown(instance)
    assert "Pebble Intermediate" in first
    known = instance.run("certbot show_account --server https://localhost:14000/dir 2>&1")
    assert "admin@catmaid.test" in known
    instance.run("certbot renew --force-renewal --no-random-sleep-on-renew -q")
    deadline = time.monotonic() + 120
    while shown(instance) == first and time.monotonic() < deadline:
        time.sleep(0.5)
    assert shown(instance) != first
    again = play("nginx_ssl", "--limit", instance.name, **wanted | acme)
    assert again.changed(instance.name) == []


def test_a_second_site_differs_in_everything(instances, play, visit):
    """By HTTP only, in a folder of the URL, with an application that speaks HTTP; the first site stays as it is."""
    second = {
        "catmaid_service": "second",
        "catmaid_server_name": "second.test",
        "catmaid_state_dir": "/var/lib/catmaid/second",
        "catmaid_nginx_ssl_wsgi": "127.0.0.1:9002",
        "catmaid_subdirectory": "/lab/",
        "catmaid_nginx_ssl_static": "/opt/catmaid/staticext",
        "catmaid_nginx_ssl_staticext": "/opt/catmaid/media",
        "catmaid_nginx_ssl_files": "/opt/catmaid/current/static",
        "catmaid_nginx_ssl_cors_origins": ["*"],
        "catmaid_nginx_ssl_headers": {"X-Robots-Tag": "noindex"},
        "catmaid_nginx_ssl_ipv6": False,
        "catmaid_nginx_ssl_access_log": "/var/log/nginx/second.access.log",
        "catmaid_nginx_ssl_error_level": "error",
        "catmaid_nginx_ssl_read_timeout": 7,
        "catmaid_nginx_ssl_body_mb": 1,
        "catmaid_nginx_ssl_body_buffer_kb": 8,
        "catmaid_nginx_ssl_buffers": 64,
        "catmaid_nginx_ssl_server": False,
        "catmaid_nginx_ssl_tiles": [{"path": "/own/", "root": "/srv/private"}],
    }
    numbers = "grep -c 'catmaid.admin instead of' /etc/nginx/nginx.conf || true"
    assert {instance.run(numbers) for instance in instances} == {"3"}
    result = play("nginx_ssl", **second)
    assert result.rc == 0, [result.messages(instance.name) for instance in instances]
    for instance in instances:
        page = visit(
            instance, "http://second.test/lab/a?b=c", "-H 'Origin: https://any.test'", "-H 'X-Forwarded-Proto: https'"
        )
        assert page.status == 200
        assert (page.told["PATH_INFO"], page.told["scheme"], page.told["HTTP_HOST"]) == ("/a", "http", "second.test")
        assert page.told["HTTP_X_FORWARDED_PROTO"] == "http"
        assert (page.header("x-robots-tag"), page.header("x-frame-options")) == ("noindex", "DENY")
        assert page.header("access-control-allow-origin") == "*"
        assert page.header("access-control-allow-credentials") == ""
        assert visit(instance, "http://second.test/lab").header("location").endswith("/lab/")
        assert visit(instance, "http://second.test/a").status == 404
        for path, content in (("static/a.js", "code"), ("staticext/a.csv", "export"), ("files/a.css", "style")):
            assert visit(instance, f"http://second.test/lab/{path}").body.strip() == content
        assert "GET /lab/a?b=c" in instance.run("cat /var/log/nginx/second.access.log")
        site = instance.run("cat /etc/nginx/sites-available/second")
        assert "[::]" not in site and "proxy_read_timeout 7s;" in site
        # What is every site's is as it was before, and so many files need not be open.
        assert instance.run(numbers) == "0"
        assert "open_file_cache" not in site
        assert "second.error.log error;" in site and "proxy_buffers 64 4k;" in site
        before = instance.run("find /var/lib/nginx/body -type d -printf '%p %T@\\n'")
        post = (
            "head -c {0} /dev/zero | curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: second.test' --data-binary @-"
        )
        assert instance.run(post.format(20_000) + " http://127.0.0.1/lab/") == "200"
        assert instance.run("find /var/lib/nginx/body -type d -printf '%p %T@\\n'") != before
        assert instance.run(post.format(2_000_000) + " http://127.0.0.1/lab/") == "413"
        assert visit(instance, f"{SITE}/a").status == 200


def test_a_host_of_image_data_leads_to_no_application(instances, play, visit):
    tiles = {
        "catmaid_service": "second",
        "catmaid_server_name": "second.test",
        "catmaid_processes": ["uwsgi", "websockets"],
        "catmaid_nginx_ssl_application": False,
        "catmaid_nginx_ssl_tiles": [{"path": "/own/", "root": "/srv/private"}],
    }
    result = play("nginx_ssl", "--limit", "catmaid-trixie", **tiles)
    assert result.rc == 0, result.messages("catmaid-trixie")
    answer = visit(instances[1], "http://second.test/own/1.jpg")
    assert (answer.status, answer.body.strip()) == (200, "mine")
    for path in ("", "a", "projects/", "static/a.js", "staticext/a.js", "files/a.css", "channels/", "own/2.jpg"):
        assert visit(instances[1], f"http://second.test/{path}").status == 404
    assert visit(instances[1], f"{SITE}/a").status == 200


def test_what_cannot_be_is_refused_and_the_site_serves(instances, play, wanted, visit):
    for variables, words in (
        ({"catmaid_nginx_ssl_clients": 5000, "catmaid_nginx_ssl_memory_mb": 4000}, "5000 visitors at once"),
        (
            {
                "catmaid_nginx_ssl_connections": 99,
                "catmaid_nginx_ssl_clients": 1000,
                "catmaid_nginx_ssl_memory_mb": 9000,
            },
            "need two connections each",
        ),
        ({"catmaid_nginx_ssl_headers": {"X-Broken": 'a" nonsense'}}, "invalid number of arguments"),
    ):
        result = play("nginx_ssl", "--limit", "catmaid-trixie", **wanted | variables)
        assert result.rc != 0
        assert words in result.messages("catmaid-trixie")
        assert not any("serve the site" in task for task in result.changed("catmaid-trixie"))
        assert visit(instances[1], f"{SITE}/a").status == 200
