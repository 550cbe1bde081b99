# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx_site_info, catmaid-admin check and the metrics: an administrator hears of a certificate before it expires."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.cli import Program, configure
from tests.integration.support import run_module
from tests.integration.tls import LONG_AGO, Authority, Made

pytestmark = pytest.mark.once("trixie")

SITE = "it"  # as the configuration of catmaid-admin calls the instance
NAME = "it-expiry.test"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Made | None], None]]:
    """Let nginx serve the site of the instance by a certificate, or without TLS."""
    subprocess.run(["systemctl", "reset-failed", "nginx"], check=False)

    def site(made: Made | None) -> None:
        tls = f"listen 443 ssl; ssl_certificate {made.path}; ssl_certificate_key {made.key_path};" if made else ""
        content = f"server {{ listen 80; {tls} server_name {NAME} other.test; }}"
        assert run_module("nginx_site", name=SITE, content=content).changed

    yield site
    subprocess.run(["systemctl", "start", "nginx"], check=True)
    run_module("nginx_site", name=SITE, state="absent")


def test_it_is_told_before_it_expires(
    serve: Callable[[Made | None], None], program: Program, database: str, dest: str, tmp_path: Path
) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    config = configure(tmp_path, databases=[database], dest=dest, metrics_dir=str(metrics))
    file = metrics / f"catmaid_certificate_{SITE}.prom"

    def asked(**args: object) -> dict:
        return run_module("nginx_site_info", name=SITE, **args).result

    def checked(*words: str) -> tuple[int, str]:
        done = program("check", *words, config=config)
        return done.rc, done.out

    def made_backup() -> None:
        assert program("backup", config=config).rc == 0

    made_backup()
    assert (asked()["exists"], asked()["complaint"], checked()[0], file.exists()) == (False, "", 0, False)
    serve(None)
    assert (asked()["exists"], asked()["server_name"], asked()["certificate"]) == (True, NAME, None)
    assert (asked()["complaint"], checked()[0]) == ("", 0)

    authority = Authority(tmp_path)
    serve(authority.site(NAME))  # for 60 days
    assert 59 < asked()["certificate"]["days_left"] <= 60
    assert asked()["certificate"]["names"] == [NAME]
    assert (asked()["complaint"], checked()[0]) == ("", 0)
    assert asked(config_dir="/none")["exists"] is False
    assert f"the certificate of {NAME} expires in 60 days" in asked(warn_days=61)["complaint"]
    code, line = checked("--certificate-days", "61")
    assert (code, f"the certificate of {NAME} expires in 60 days" in line) == (1, True)
    made_backup()
    metric = f'catmaid_certificate_expiry_timestamp_seconds{{site="{SITE}",name="{NAME}"}}'
    told = [line for line in file.read_text().splitlines() if line.startswith(metric)]
    assert len(told) == 1
    ends = int(told[0].split()[-1])

    serve(authority.site(NAME, "-days", "5"))
    assert "expires in 5 days" in asked()["complaint"]
    assert checked()[0] == 1
    made_backup()
    assert int(file.read_text().split()[-1]) < ends

    serve(authority.site(NAME, *LONG_AGO))
    assert "has expired" in asked()["complaint"]
    assert checked()[0] == 2
    subprocess.run(["systemctl", "stop", "nginx"], check=True)
    assert f"nobody shows a certificate for {NAME}" in asked()["complaint"]
    assert checked()[0] == 2
    subprocess.run(["systemctl", "start", "nginx"], check=True)
    serve(None)
    made_backup()
    assert not file.exists()
