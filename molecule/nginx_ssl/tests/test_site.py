# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site with everything on it is what visitors, pages of other sites and the application need."""

from __future__ import annotations

import json
import time

SITE = "https://catmaid.test"
LAB = "-H 'Origin: https://lab.test'"
BODIES, ANSWERS = "/var/lib/nginx/body", "/var/lib/nginx/uwsgi"


def traces(instance, folder: str) -> str:
    """Return what changes when a file has been made below a folder, even if it is gone again."""
    return instance.run(f"find {folder} -type d -printf '%p %T@\\n' | sort")


def test_visitors_are_led_to_tls(instances, visit):
    for instance in instances:
        led = visit(instance, "http://catmaid.test/a?b=c")
        assert (led.status, led.header("location")) == (301, f"{SITE}/a?b=c")
        assert led.header("strict-transport-security") == ""
        page = visit(instance, f"{SITE}/a")
        assert (page.status, page.told["scheme"]) == (200, "https")
        assert page.header("strict-transport-security") == "max-age=63072000"
        # The jobs of the host itself ask by HTTP.
        assert instance.get("/version")[0] == 200


def test_tls_is_what_mozilla_recommends(instances, visit):
    for instance in instances:
        connect = "openssl s_client -connect 127.0.0.1:443 -servername catmaid.test"
        shown = instance.run(f"{connect} -alpn h2,http/1.1 </dev/null 2>/dev/null | grep -a -e ALPN -e New,")
        assert "ALPN protocol: h2" in shown and "TLSv1.3" in shown
        # Without tickets of 1.2; a session is known by its number instead.
        older = f"{connect} -tls1_2 -sess_out /tmp/session </dev/null 2>/dev/null"
        assert instance.run(f"{older} | grep -a -c 'TLS session ticket:' || true") == "0"
        again = f"{connect} -tls1_2 -sess_in /tmp/session </dev/null 2>/dev/null"
        assert instance.run(f"{again} | grep -a -e New, -e Reused,").startswith("Reused")
        for refused in (
            "-tls1_1 -cipher DEFAULT@SECLEVEL=0",
            "-tls1_2 -cipher AES128-SHA",
            "-tls1_2 -cipher ECDHE+AES+SHA1",
        ):
            assert instance.host.run(f"{connect} {refused} </dev/null").rc != 0
        tested = instance.host.run("nginx -t")
        assert tested.rc == 0 and "warn" not in tested.stderr
        assert visit(instance, f"{SITE}/a", "-6 --resolve catmaid.test:443:[::1]").status == 200
        assert instance.run("stat -c %a /etc/ssl/catmaid/catmaid/*/key.pem").split() == ["600", "600"]


def test_a_scan_says_so(play, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scanned = play("nginx_ssl", "--tags", "scan", **wanted, catmaid_nginx_ssl_scan_report="reports")
    for name in ("catmaid-bookworm", "catmaid-trixie"):
        assert scanned.rc == 0, scanned.messages(name)
        report = json.loads((tmp_path / f"reports/{name}.json").read_text())
        assert (report["grade"], report["tls"]["intermediate"], report["headers"]) == ("intermediate", {}, [])
        assert (tmp_path / f"reports/{name}.txt").read_text().startswith("catmaid.test: intermediate")
        assert "catmaid.test: intermediate</title>" in (tmp_path / f"reports/{name}.html").read_text()


def test_a_visitor_cannot_pretend(instances, visit):
    lies = {
        "X-Forwarded-Proto": "ftp",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-For": "10.1.1.1",
        "X-Forwarded-Port": "99",
        "X-Real-IP": "10.1.1.1",
        "Forwarded": "for=10.1.1.1;proto=ftp",
        "Proxy": "evil.test",
        "X-Forwarded-Ssl": "on",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Server": "evil.test",
    }
    options = [f"-H '{name}: {value}'" for name, value in lies.items()]
    for instance in instances:
        told = visit(instance, f"{SITE}/", *options).told
        assert "evil" not in str(told) and "10.1.1.1" not in str(told) and "ftp" not in str(told)
        assert (told["HTTP_X_FORWARDED_PROTO"], told["HTTP_X_FORWARDED_PORT"]) == ("https", "443")
        assert (told["HTTP_X_FORWARDED_HOST"], told["HTTP_HOST"]) == ("catmaid.test", "catmaid.test")
        assert told["HTTP_X_FORWARDED_FOR"] == told["HTTP_X_REAL_IP"] == told["REMOTE_ADDR"]
        assert not told.get("HTTP_FORWARDED") and not told.get("HTTP_X_FORWARDED_SSL")
        # By plain HTTP the application is never told that it is TLS.
        plain = json.loads(instance.get("/", "-H 'X-Forwarded-Proto: https'")[1])
        assert (plain["HTTP_X_FORWARDED_PROTO"], plain["scheme"]) == ("http", "http")


def test_headers_are_the_sites_and_not_the_applications(instances, visit):
    for instance in instances:
        page = visit(instance, f"{SITE}/a")
        assert page.header("x-frame-options") == "SAMEORIGIN"
        assert page.header("x-content-type-options") == "nosniff"
        assert page.header("referrer-policy") == "same-origin"
        assert page.header("server") == "nginx"


def test_pages_of_the_lab_may_use_the_api_and_no_others(instances, visit):
    asking = "-X OPTIONS -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: X-Authorization'"
    for instance in instances:
        preflight = visit(instance, f"{SITE}/1/treenode/create", LAB, asking)
        assert preflight.status == 204
        assert preflight.header("access-control-allow-origin") == "https://lab.test"
        assert preflight.header("access-control-allow-credentials") == "true"
        assert "X-Authorization" in preflight.header("access-control-allow-headers")
        assert "POST" in preflight.header("access-control-allow-methods")
        for path in ("/projects", "/missing", "/files/none"):
            answer = visit(instance, f"{SITE}{path}", LAB)
            assert answer.header("access-control-allow-origin") == "https://lab.test"
            assert answer.header("access-control-allow-methods") == ""
            assert "Origin" in answer.headers["vary"]
        for other in ("-H 'Origin: https://evil.test'", ""):
            answer = visit(instance, f"{SITE}/projects", other)
            assert answer.header("access-control-allow-origin") == ""
            assert answer.header("access-control-allow-credentials") == ""
        assert (
            visit(instance, f"{SITE}/a", "-H 'Origin: https://evil.test'", asking).told["REQUEST_METHOD"] == "OPTIONS"
        )


def test_text_and_numbers_are_packed_and_images_are_not(instances, visit):
    for instance in instances:
        for kind, packed in (("json", "gzip"), ("octets", "gzip"), ("jpg", "")):
            url = f"{SITE}/size?kind={kind}&bytes=50000"
            answer = visit(instance, url, "-H 'Accept-Encoding: gzip'", text=False)
            assert (answer.status, answer.header("content-encoding")) == (200, packed)
        assert visit(instance, f"{SITE}/size?kind=json&bytes=50000", text=False).header("content-encoding") == ""


def test_usual_requests_and_answers_stay_in_memory(instances, visit):
    for instance in instances:
        send = "head -c {0} /dev/zero | curl -sk --resolve catmaid.test:443:127.0.0.1 --data-binary @- " + f"{SITE}/"
        before = traces(instance, BODIES)
        assert json.loads(instance.run(send.format(400_000)))["bytes"] == 400_000
        assert traces(instance, BODIES) == before
        assert json.loads(instance.run(send.format(15_000_000)))["bytes"] == 15_000_000
        assert traces(instance, BODIES) != before  # so a file would be seen
        before = traces(instance, ANSWERS)
        slowly = "--limit-rate 1M"
        visit(instance, f"{SITE}/size?kind=jpg&bytes=1500000", slowly, text=False)
        assert traces(instance, ANSWERS) == before
        # So would one of an answer, when the visitor is slower than the application.
        slow = f"curl -sk --limit-rate 1M --resolve catmaid.test:443:127.0.0.1 '{SITE}/size?kind=jpg&bytes=60000000'"
        instance.run(f"systemd-run --quiet --collect --unit=slow -p StandardOutput=null {slow}")
        deadline = time.monotonic() + 90
        while traces(instance, ANSWERS) == before and time.monotonic() < deadline:
            time.sleep(0.3)
        assert traces(instance, ANSWERS) != before
        instance.run("systemctl stop slow || true")


def test_too_large_a_request_is_refused(instances):
    for instance in instances:
        said = instance.run(
            "head -c 84000000 /dev/zero | curl -sk -o /dev/null -w '%{http_code}' --data-binary @-"
            f" --resolve catmaid.test:443:127.0.0.1 {SITE}/"
        )
        assert said == "413"


def test_websockets_are_led_to_their_server(instances):
    script = (
        "import asyncio, ssl, websockets\n"
        "async def main():\n"
        "    context = ssl._create_unverified_context()\n"
        "    at = dict(host='127.0.0.1', port=443, ssl=context, server_hostname='catmaid.test')\n"
        "    async with websockets.connect('wss://catmaid.test/channels/updates/', **at) as it:\n"
        "        print(await it.recv())\n"
        "asyncio.run(main())\n"
    )
    for instance in instances:
        told = json.loads(instance.host.check_output("/opt/echo/env/bin/python -c %s", script))
        assert told["path"] == "/channels/updates/"
        assert (told["headers"]["x-forwarded-proto"], told["headers"]["host"]) == ("https", "catmaid.test")


def test_image_data_is_kept_for_ever(instances, visit):
    for instance in instances:
        tile = visit(instance, f"{SITE}/data/1/2/3.jpg")
        assert (tile.status, tile.body.strip()) == (200, "tile")
        assert tile.headers["cache-control"] == ["max-age=315360000", "public, immutable"]
        assert tile.header("access-control-allow-origin") == "*"
        assert tile.header("content-type") == "image/jpeg"
        missing = visit(instance, f"{SITE}/data/9/9/9.jpg")
        assert (missing.status, missing.body.strip()) == (200, "black")
        assert missing.headers["cache-control"] == ["max-age=3600"]
        assert missing.header("access-control-allow-origin") == "*"
        own = visit(instance, f"{SITE}/data/own/1.jpg", LAB)
        assert (own.status, own.body.strip()) == (200, "mine")
        assert own.headers["cache-control"] == ["max-age=315360000", "private, immutable"]
        assert own.header("access-control-allow-origin") == "https://lab.test"
        assert visit(instance, f"{SITE}/data/own/2.jpg").status == 404


def test_more_tiles_are_open_than_systemd_lets_a_process_have(instances):
    """nginx keeps them open for a minute, and would refuse visitors when it may open no more."""
    for instance in instances:
        instance.run("cd /srv/tiles && mkdir -p many && for i in $(seq 2500); do echo $i > many/$i.jpg; done")
        asked = "https://catmaid.test/data/many/[1-2500].jpg -o /dev/null -w '%{http_code}\\n'"
        codes = instance.run(f"curl -sk --resolve catmaid.test:443:127.0.0.1 {asked} | sort | uniq -c").split()
        assert codes == ["2500", "200"]
        opened = "for p in $(pgrep -f 'nginx: worker process$'); do ls /proc/$p/fd | wc -l; done"
        assert max(map(int, instance.run(opened).split())) > 1024
        shown = instance.run("nginx -T 2>/dev/null")
        for number in ("worker_processes auto", "worker_connections 2048", "multi_accept on"):
            assert f"{number};" in shown


def test_nothing_else_of_the_disk_is_served(instances, visit):
    for instance in instances:
        for path in (
            "/data/../secret", "/data/%2e%2e/secret", "/data/own/../../secret", "/data/..%2fsecret", "/static../secret",
            "/files../secret", "/data/own/.hidden", "/data/.hidden", "/files/.hidden", "/.hidden",
        ):  # fmt: skip
            answer = visit(instance, f"{SITE}{path}", "--path-as-is")
            assert "nobody's business" not in answer.body
            assert answer.status == 404 or ".hidden" not in path
        assert visit(instance, f"{SITE}/catmaid-unavailable").status == 404


def test_folders_are_served(instances, visit):
    for instance in instances:
        for path, content in (("/static/a.css", "style"), ("/staticext/a.js", "code"), ("/files/a.csv", "export")):
            assert visit(instance, f"{SITE}{path}").body.strip() == content


def test_a_page_says_that_the_application_is_away(instances, visit):
    """The jobs put their page there, and what nobody has announced is told, too."""
    for instance in instances:
        instance.run("echo '<p>being upgraded' > /var/lib/catmaid/maintenance.html")
        for options in ("", "-X POST -d x=1", "-H 'Upgrade: websocket'"):
            path = "/channels/" if "Upgrade" in options else "/1/node/list"
            away = visit(instance, f"{SITE}{path}", LAB, options)
            assert (away.status, away.body.strip()) == (503, "<p>being upgraded")
            assert (away.header("retry-after"), away.header("content-type")) == ("60", "text/html")
            assert away.header("access-control-allow-origin") == "https://lab.test"
            assert "no-store" in away.header("cache-control")
        assert visit(instance, f"{SITE}/static/a.css").status == 200
        assert visit(instance, f"{SITE}/data/1/2/3.jpg").status == 200
        instance.run("touch /var/lib/catmaid/retry-after-300")
        assert visit(instance, f"{SITE}/a").header("retry-after") == "300"
        instance.run("rm /var/lib/catmaid/retry-after-300 /var/lib/catmaid/maintenance.html; systemctl stop echo-asgi")
        down = visit(instance, f"{SITE}/channels/", LAB)
        assert (down.status, "CATMAID does not answer" in down.body) == (503, True)
        assert (down.header("retry-after"), down.header("access-control-allow-origin")) == ("60", "https://lab.test")
        assert visit(instance, f"{SITE}/a").status == 200


def test_requests_leave_no_lines(instances, visit):
    for instance in instances:
        size = "stat -c %s /var/log/nginx/access.log"
        before = instance.run(size)
        for _ in range(5):
            visit(instance, f"{SITE}/a")
        assert instance.run(size) == before
        assert instance.run("stat -c %s /var/log/nginx/catmaid.error.log") == "0"
