# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""instance_check: what is as it should be, and by its name what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.companions import beside
from tests.integration.double_fixtures import SERVICE_USER, psql, run
from tests.integration.support import run_module
from tests.integration.upgrading import DATABASE, PORT, SERVICE, Served

pytestmark = pytest.mark.once("bookworm")

PASSWORD = "the lab's own"
ALL = ["services", "version", "pages", "login", "websocket", "celery", "migrations", "database", "permissions"]
ALL += ["hardening", "logs"]


def project(served: Served) -> dict[str, Any]:
    current = served.root / "current"
    paths = {"project_path": str(current / "source"), "virtualenv": str(current / "env")}
    return {"login_db": DATABASE, "project_user": SERVICE_USER, **paths}


def check(served: Served, services: list[str], **more: Any) -> dict[str, tuple[str, str]]:
    """Return state and message of each check."""
    options = {
        "server_name": "localhost",
        "port": PORT,
        "instance": SERVICE,
        "superuser": "boss",
        "checks": ALL,
        **more,
    }
    found = run_module("instance_check", services=services, **project(served), **options)
    assert not found.changed, found.error
    told = {one["name"]: (one["state"], one["message"]) for one in found.result["checks"]}
    assert found.result["failed_checks"] == [name for name, (state, _message) in told.items() if state == "failed"]
    return told


def answer(served: Served, services: list[str]) -> bool:
    """Tell whether websockets and Celery are up: it takes them some time."""
    told = check(served, services, checks=["websocket", "celery"])
    return {state for state, _message in told.values()} == {"ok"}


def test_what_is_right_and_what_is_not(served: Served, tmp_path: Path) -> None:
    run_module("superuser", username="boss", email="boss@example.org", password=PASSWORD, **project(served))
    settings = (served.root / "current/source/django/projects/mysite/settings.py").resolve()
    run(["chgrp", SERVICE_USER, str(settings)])
    settings.chmod(0o640)
    with beside(served) as services:
        served.wait(lambda: answer(served, services))
        told = check(served, services, superuser_password=PASSWORD)
        run(["systemctl", "stop", services[-1]])
        without = check(served, services, superuser_password="wrong")
    # The web site of these tests lets each name through and tells browsers nothing; that of the role is better.
    assert {name for name, (state, _message) in told.items() if state != "ok"} == {"services", "pages", "hardening"}, (
        told
    )
    assert f": {SERVICE} is disabled, and does not start at boot" in told["services"][1]
    assert "browsers are not told that they may keep it" in told["pages"][1]
    assert "answers by the name" in told["hardening"][1]
    assert "usual passwords" not in told["hardening"][1]
    assert without["services"][1].startswith("looking at the services: ") and services[-1] in without["services"][1]
    assert [without[name][0] for name in ("login", "celery", "websocket")] == ["failed", "failed", "ok"]

    psql(DATABASE, "INSERT INTO django_migrations (app, name, applied) VALUES ('catmaid', '9999_of_the_future', now())")
    psql(DATABASE, "DROP EXTENSION pg_trgm CASCADE")
    settings.chmod(0o644)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "superuser_password").write_text(f"{PASSWORD}\n")
    usual = {"username": "easy", "email": "easy@example.org", "password": "admin"}
    run_module("superuser", **usual, **project(served))
    told = check(served, [SERVICE], secrets_dir=str(secrets))
    assert "the superuser easy has one of the usual passwords" in told["hardening"][1]
    assert told["login"][0] == "ok"  # by the password in the file
    assert (told["websocket"][0], told["celery"][0]) == ("nothing to look at", "nothing to look at")
    assert "9999_of_the_future" in told["migrations"][1]
    assert "pg_trgm is missing" in told["database"][1]
    assert str(settings) in told["permissions"][1] and "superuser_password" in told["permissions"][1]
    settings.chmod(0o640)
    run(["systemctl", "stop", SERVICE])
    told = check(served, [SERVICE], checks=["services", "version", "pages"])
    assert [state for state, _message in told.values()] == ["failed"] * 3
    run(["systemctl", "start", SERVICE])
