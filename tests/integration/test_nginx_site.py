# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx_site: a site is served as it is wanted, or as it was before, and never not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import Run, run_module
from tests.integration.tls import Authority, Made

SITE = "it-site"
NAME = "it-site.test"
OTHER = Path("/etc/nginx/conf.d/other.conf")
AVAILABLE = Path(f"/etc/nginx/sites-available/{SITE}")
ENABLED = Path(f"/etc/nginx/sites-enabled/{SITE}")


def get(name: str) -> tuple[int, str]:
    """Return what nginx says to a visitor of a site."""
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=30)
    connection.request("GET", "/", headers={"Host": name})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def says(word: str, more: str = "") -> str:
    """Return a site that says a word."""
    return f'server {{ listen 80; server_name {NAME}; {more} location / {{ return 200 "{word}"; }} }}\n'


def with_tls(made: Made) -> str:
    """Return a site that shows a certificate."""
    more = f"listen 443 ssl; ssl_certificate {made.path}; ssl_certificate_key {made.key_path};"
    return says("safe", more)


def fingerprint(made: Made) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(made.text)).hexdigest()


def served() -> str:
    """Return the fingerprint of the certificate that visitors get."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", 443)) as plain, context.wrap_socket(plain, server_hostname=NAME) as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()


def site(content: str = "", check: bool = False, **args: Any) -> Run:
    return run_module("nginx_site", check=check, diff=True, name=SITE, content=content, **args)


def restart() -> None:
    # Or systemd would find that this is too often.
    subprocess.run(["systemctl", "reset-failed", "nginx"], check=False)
    subprocess.run(["systemctl", "restart", "nginx"], check=True)


@pytest.fixture
def _nginx() -> Iterator[None]:
    """A web server with the site of somebody else."""
    OTHER.write_text('server { listen 80; server_name other.test; location / { return 200 "other"; } }\n')
    restart()
    yield
    for path in (OTHER, AVAILABLE, ENABLED):
        path.unlink(missing_ok=True)
    restart()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.usefixtures("_nginx")
def test_a_site_comes_and_changes_and_goes() -> None:
    predicted = site(says("one"), check=True)
    assert predicted.changed
    assert not AVAILABLE.exists()
    done = site(says("one"))
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    assert done.result["path"] == str(AVAILABLE)
    assert get(NAME) == (200, "one")
    assert not site(says("one")).changed
    assert site(says("two")).changed
    assert get(NAME) == (200, "two")
    assert get("other.test") == (200, "other")
    ENABLED.unlink()
    assert site(says("two")).changed  # somebody has switched it off
    assert run_module("nginx_site", name=SITE, state="absent", check=True).changed
    assert run_module("nginx_site", name=SITE, state="absent").changed
    assert not AVAILABLE.exists() and not ENABLED.is_symlink()
    assert get(NAME)[1] != "two"
    assert not run_module("nginx_site", name=SITE, state="absent").changed


@pytest.mark.usefixtures("_nginx")
def test_what_nginx_does_not_take_changes_nothing() -> None:
    site(says("good"))
    before = os.stat(AVAILABLE).st_mtime_ns
    for check in (True, False):
        broken = site(says("bad", "nonsense on;"), check=check).error
        assert 'unknown directive "nonsense" in /etc/nginx/sites-enabled/it-site:1' in broken
    assert (
        "cannot load certificate"
        in site(says("bad", "listen 443 ssl; ssl_certificate /none; ssl_certificate_key /none;")).error
    )
    assert os.stat(AVAILABLE).st_mtime_ns == before
    assert get(NAME) == (200, "good")
    # Not even a restart would find anything wrong.
    subprocess.run(["nginx", "-t", "-q"], check=True)
    OTHER.write_text("nonsense;")
    assert "/etc/nginx/conf.d/other.conf:1" in site(says("new")).error  # the file to mend is somebody else's
    assert get(NAME) == (200, "good")


@pytest.mark.usefixtures("_nginx")
def test_a_port_of_another_program_is_told_and_the_old_site_serves() -> None:
    """nginx's own test does not see it, and its reload does not tell."""
    site(says("good"))
    with socket.create_server(("0.0.0.0", 8443)):
        refused = site(says("new", "listen 8443;")).error
        assert "bind() to 0.0.0.0:8443 failed" in refused
        assert "The site is as it was before." in refused
        assert AVAILABLE.read_text() == says("good")
        assert get(NAME) == (200, "good")
        # The same when nginx has to be started.
        subprocess.run(["systemctl", "stop", "nginx"], check=True)
        assert "Another program has that port" in site(says("new", "listen 8443;")).error
    assert get(NAME) == (200, "good")
    assert site(says("new", "listen 8443;")).changed
    assert get(NAME) == (200, "new")


@pytest.mark.usefixtures("_nginx")
def test_the_certificate_changes_without_a_failed_request(
    authority: Authority, repeatedly: Callable[[Callable[[], Any]], list[Any]]
) -> None:
    first, second = authority.site(NAME), authority.site(NAME)
    assert site(with_tls(first), server_name=NAME, fingerprint=fingerprint(first)).changed
    assert served() == fingerprint(first)
    seen = repeatedly(served)
    assert site(with_tls(second), server_name=NAME, fingerprint=fingerprint(second)).changed
    assert served() == fingerprint(second)
    assert set(seen) <= {fingerprint(first), fingerprint(second)}
    # A file that was replaced in place, as certbot does: the configuration is right, and yet something is to be done.
    second.path.write_text(first.text)
    second.key_path.write_text(first.key)
    again = {"server_name": NAME, "fingerprint": fingerprint(first)}
    assert site(with_tls(second), check=True, **again).changed
    assert site(with_tls(second), **again).changed
    assert served() == fingerprint(first)
    assert not site(with_tls(second), **again).changed


@pytest.fixture
def repeatedly() -> Iterator[Callable[[Callable[[], Any]], list[Any]]]:
    """A function that lets another be called all the time, fifty times a second, and gives the list of its results."""
    over, threads = threading.Event(), []

    def start(function: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []

        def go() -> None:
            while not over.wait(0.02):
                try:
                    found.append(function())
                except OSError as error:
                    found.append(error)

        threads.append(threading.Thread(target=go))
        threads[-1].start()
        return found

    yield start
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("_nginx")
def test_another_site_of_the_same_name_is_noticed(authority: Authority) -> None:
    mine, theirs = authority.site(NAME), authority.site(NAME)
    wanted = {"server_name": NAME, "fingerprint": fingerprint(mine)}
    OTHER.write_text(says("other"))
    for check in (True, False):
        refused = site(with_tls(mine), check=check, **wanted)
        assert f"another site has the name {NAME} at 0.0.0.0:80" in refused.error
        assert not AVAILABLE.exists()
    # nginx does not call this a conflict: an address of one's own is closer.
    OTHER.write_text(with_tls(theirs).replace("listen ", "listen 127.0.0.1:"))
    refused = site(with_tls(mine), **wanted)
    assert "another certificate than the site's is shown" in refused.error
    assert not AVAILABLE.exists()
    ENABLED.write_text("")
    assert "is a file of its own" in site(says("one")).error


@pytest.mark.usefixtures("_nginx")
def test_a_folder_of_its_own(tmp_path: Path) -> None:
    """The configuration is where it is; what stands below the usual folder has no part in the test of it."""
    folder = tmp_path / "nginx"
    for name in ("sites-available", "sites-enabled"):
        (folder / name).mkdir(parents=True)
    (folder / "nginx.conf").write_text(f"events {{}} http {{ include {folder}/sites-enabled/*; }}")
    assert "in " + str(folder) in site("nonsense;", config_dir=str(folder)).error
    assert site(says("one"), check=True, config_dir=str(folder)).changed
