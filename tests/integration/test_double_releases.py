# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double's history, and what happens when one release follows another."""

from __future__ import annotations

import http.cookiejar
import json
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.double_fixtures import DOUBLE, Release, fingerprint, parsed, psql, run

pytestmark = pytest.mark.once("trixie")

SOURCES = ("treenode", "connector", "treenode_connector", "review", "class_instance", "treenode__history")
REVIEWS = "SELECT count(*) FROM review"

Releases = Callable[..., Release]
Databases = Callable[..., str]


def git(repository: Path, *arguments: str) -> str:
    return run(["git", "-c", "safe.directory=*", "-C", str(repository), *arguments]).stdout.strip()


def applied(database: str) -> str:
    names = "string_agg(left(name, 4), ' ' ORDER BY name)"
    return psql(database, f"SELECT {names} FROM django_migrations WHERE app = 'catmaid' AND name >= '0006'")


def test_the_same_sources_give_the_same_commits(double_repo: Path, tmp_path: Path) -> None:
    run([sys.executable, str(DOUBLE / "build.py"), str(tmp_path / "again")])
    refs = ("for-each-ref", "--format=%(refname) %(objectname)")
    assert git(double_repo, *refs) == git(tmp_path / "again", *refs)
    assert git(tmp_path / "again", "status", "--short", "--branch") == "## main"


def test_tags_and_branches(double_repo: Path) -> None:
    assert git(double_repo, "tag").split() == ["2030.01.15", "2030.06.20", "2030.09.10", "2030.12.21", "stable"]
    described = {
        "main": r"2030\.12\.21-1-g\w+",
        "2030.12.21": r"2030\.12\.21",
        "dev": r"2030\.12\.21-2-g\w+",
        "maintenance/2030.01.15": r"2030\.01\.15-2-g\w+",
        "broken": r"2030\.09\.10",
        "broken-start": r"2030\.06\.20-1-g\w+",
    }
    for name, pattern in described.items():
        assert re.fullmatch(pattern, git(double_repo, "describe", name))
    code = ("diff", "--name-only", "2030.01.15", "maintenance/2030.01.15", "--", "*migrations*", "*requirements*")
    assert git(double_repo, *code) == ""


def test_update_notes_are_named_after_the_release(double_repo: Path) -> None:
    def headings(revision: str) -> list[str]:
        text = git(double_repo, "show", f"{revision}:UPDATE.md")
        return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]

    oldest = ["2030.01.15", "2029.05.01", "Notes"]
    assert headings("2030.01.15") == ["Under development", *oldest[1:]]
    assert headings("2030.06.20") == ["Under development", *oldest]
    assert headings("2030.12.21") == ["Under development", "2030.06.20", *oldest]
    assert headings("main") == ["2030.12.21", "2030.06.20", *oldest]
    assert headings("dev") == ["Under development", "Maintenance updates", *headings("main")]
    assert git(double_repo, "show", "2030.12.21:CHANGELOG.md").startswith("## 2030.12.21\n")


def test_upgrades_keep_the_data_and_can_be_reversed(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    psql("postgres", f"ALTER DATABASE \"{database}\" SET catmaid.slow_seconds = '0'")
    before = [fingerprint(database, table) for table in SOURCES]
    second, third = double_release("2030.06.20", database), double_release("2030.12.21", database)
    plan = second.manage("migrate", "--plan").stdout
    assert plan.startswith("Planned operations:\ncatmaid.0006_add_deep_link_model\n    Create model DeepLink\n")
    assert "Raw SQL operation" in plan and "sites.0001_initial" in plan
    second.manage("migrate")
    assert applied(database) == "0006 0007 0008"
    third.manage("migrate")
    assert applied(database) == "0006 0007 0008 0009 0010"
    assert "No migrations to apply." in third.manage("migrate").stdout
    assert third.manage("makemigrations", "--check", "--dry-run").returncode == 0
    assert [fingerprint(database, table) for table in SOURCES] == before

    refused = third.manage("migrate", "catmaid", "0008", check=False)
    assert refused.returncode == 1 and "IrreversibleError" in refused.stderr
    database = double_database("2030.06.20")
    second.configure(database)
    second.manage("migrate", "catmaid", "0005")
    assert applied(database) == ""


def test_older_code_serves_the_newer_schema(double_release: Releases, double_database: Databases) -> None:
    release = double_release(database=double_database("2030.06.20"))
    with release.serve() as get:
        skeletons = parsed(get("/1/skeletons/"))
        assert len(parsed(get(f"/1/skeletons/{skeletons[0]}/compact-detail"))[0]) == 500


def test_a_release_that_fails_leaves_half_of_its_changes(double_release: Releases, double_database: Databases) -> None:
    database = double_database("2030.06.20")
    before = int(psql(database, REVIEWS))
    failed = double_release("2030.09.10", database).manage("migrate", check=False)
    assert failed.returncode == 1 and "RuntimeError: This release is broken on purpose" in failed.stderr
    assert "Applying catmaid.0009_add_review_weight... OK" in failed.stdout
    assert applied(database) == "0006 0007 0008 0009"
    assert int(psql(database, REVIEWS)) < before
    assert int(psql(database, "SELECT count(*) FROM catmaid_review_weight")) > 0


def test_a_release_that_migrates_but_does_not_serve(double_release: Releases, double_database: Databases) -> None:
    release = double_release("broken-start", double_database())
    release.manage("migrate")
    release.manage("collectstatic", "--noinput")
    with release.serve() as get:
        assert get("/")[0] == 500
        assert parsed(get("/version"))["SERVER_VERSION"].startswith("2030.06.20-1-g")


def test_new_code_needs_its_own_virtualenv(double_release: Releases, double_database: Databases) -> None:
    old, new = double_release(), double_release("2030.06.20", double_database("2030.06.20"))
    assert old.env != new.env
    new.python = old.python
    failed = new.manage("check", check=False)
    assert failed.returncode == 1 and "No module named 'msgpack'" in failed.stderr


def test_later_releases_install_with_pip_alone(double_release: Releases, tmp_path: Path) -> None:
    release = double_release("2030.12.21")
    pip = [str(release.python), "-m", "pip", "install", "--target", str(tmp_path)]
    run([*pip, "--no-deps", "--quiet", str(release.source / "django")])
    metadata = next(tmp_path.glob("*.dist-info/METADATA")).read_text()
    assert "Requires-Dist: Django==5.2" in metadata and "Requires-Dist: msgpack==" in metadata


@pytest.mark.parametrize("version", ["2030.01.15", "2030.12.21"])
def test_pages(double_release: Releases, double_database: Databases, version: str) -> None:
    database = double_database(version)
    release = double_release(version, database)
    release.manage("collectstatic", "-l", "--noinput")
    with release.serve() as get:
        assert parsed(get("/version")) == {"SERVER_VERSION": version}
        status, page = get("/")
        assert status == 200 and re.search(r'href="/static/css/catmaid\.[0-9a-f]{12}\.css"', page)
        assert [project["id"] for project in parsed(get("/projects/"))] == [1, 2]
        skeletons = parsed(get("/1/skeletons/"))
        assert len(skeletons) == 18
        assert parsed(get(f"/1/skeletons/{skeletons[0]}/node-count")) == {"skeleton_id": skeletons[0], "count": 500}
        nodes, links, _ = parsed(get(f"/1/skeletons/{skeletons[0]}/compact-detail"))
        assert len(nodes) == 500 and len(links) == 75
        assert get("/version", Host="elsewhere.example.org")[0] in (200, 400)
        assert get("/", Host="elsewhere.example.org")[0] == 400
        assert get("/1/skeletons/1/compact-detail")[0] == 404


def test_people_log_in_and_write(double_release: Releases, double_database: Databases) -> None:
    database = double_database("2030.06.20")
    release = double_release("2030.06.20", database)
    password = release.environment(DJANGO_SUPERUSER_PASSWORD="secret")
    release.manage("createsuperuser", "--noinput", "--username=admin", "--email=admin@example.org", env=password)
    [root, skeleton] = psql(database, "SELECT id, skeleton_id FROM treenode ORDER BY id LIMIT 1").split("|")
    with release.serve() as get:
        credentials = {"name": "admin", "pwd": "secret"}
        assert get("/accounts/login", urllib.parse.urlencode(credentials).encode())[0] == 403
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        url = get.url

        def post(path: str, **data: object) -> dict[str, object]:
            token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
            body = urllib.parse.urlencode(data).encode()
            request = urllib.request.Request(url + path, body, {"X-CSRFToken": token or ""})
            with opener.open(request) as answer:
                return dict(json.load(answer))

        assert json.load(opener.open(url + "/accounts/login"))["userid"] is None
        assert post("/accounts/login", **credentials)["username"] == "admin"
        created = post("/1/treenode/create", x=1, y=2, z=3, parent_id=root)
    assert str(created["skeleton_id"]) == skeleton
    summary = f"FROM catmaid_skeleton_summary WHERE skeleton_id = {skeleton}"
    assert psql(database, f"SELECT num_nodes, last_editor_id = (SELECT max(id) FROM auth_user) {summary}") == "501|t"
    edge = f"SELECT ST_AsText(ST_StartPoint(edge)) FROM treenode_edge WHERE id = {created['treenode_id']}"
    assert psql(database, edge) == "POINT Z (1 2 3)"
