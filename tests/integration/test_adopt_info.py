# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module adopt_info on what somebody has set up by hand; nothing of it is run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.double_fixtures import OLDEST, PASSWORD, ROLE, SERVICE_USER
from tests.integration.handmade import Handmade, make
from tests.integration.support import run_module

pytestmark = pytest.mark.once("bookworm")

WHERE = Path("/srv/lab")


@pytest.fixture
def handmade(double_repo: Path, double_accounts: None, double_database: Callable[..., str]) -> Iterator[Handmade]:
    yield from make(double_repo, OLDEST, WHERE, double_database(OLDEST, 0))


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return all that could tell of a change: what there is, how long, and when it was written."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def look(**options: Any) -> dict[str, Any]:
    """Run the module, which changes nothing and tells no password."""
    done = run_module("adopt_info", **options)
    assert not done.failed, done.error
    assert not done.changed
    assert PASSWORD not in done.output
    return done.result


def test_it_is_found_and_nothing_of_it_is_run(handmade: Handmade) -> None:
    handmade.trap.unlink(missing_ok=True)
    whole, broken = handmade.dump("202601"), handmade.dump("202602")
    broken.write_text(whole.read_text()[:2000])
    before = files(WHERE)

    found = look()

    assert files(WHERE) == before
    assert not handmade.trap.exists()
    assert found["source"] == str(handmade.source)
    assert found["code"]["commit"] == handmade.git("rev-parse", "HEAD")
    assert found["code"]["upstream_describe"] == OLDEST
    assert [line.partition(" ")[2] for line in found["code"]["local"]] == ["Say whose it is"]
    assert (found["code"]["branch"], found["code"]["edited"]) == ("lab", [])
    assert (found["virtualenv"], found["python"]) == (str(handmade.env), "/usr/bin/python3.11")
    assert found["user"] == SERVICE_USER
    assert found["database"] == {
        "name": handmade.database, "user": ROLE, "host": "localhost", "port": 5432, "password": "written",
    }  # fmt: skip
    assert (found["db_host"], found["server_name"], found["https"]) == ("", "fly.example.org", True)
    assert (found["subdirectory"], found["direct"]) == ("", [])
    services = {one["name"]: one for one in found["services"]}
    assert list(services) == ["supervisor:lab:catmaid-uwsgi", "supervisor:lab:catmaid-celery"]
    uwsgi = services["supervisor:lab:catmaid-uwsgi"]
    assert (uwsgi["kind"], uwsgi["stats"], uwsgi["address"]) == ("wsgi", "127.0.0.1:9191", "")
    assert found["image_data"] == {"^/tiles/": "/srv/images"}
    assert found["media"] == str(WHERE / "media")
    assert found["keep"] == ["django/projects/mysite/settings.py", "django/projects/our uwsgi.ini"]
    assert found["static"] == str(handmade.source / "django" / "static")
    (old,) = found["dumps"]
    assert (old["file"], old["count"], old["looked_at"]) == ("/etc/cron.d/our-dumps", 2, 2)
    assert [line.partition(":")[0] for line in old["broken"]] == [broken.name]
    told = "\n".join(found["unusual"])
    for words in (
        "1 commits were made here",
        "SIGTERM",
        "no maintenance page",
        "can be read by everybody",
        broken.name,
    ):
        assert words in told


def test_edits_and_what_is_not_known_are_told(handmade: Handmade) -> None:
    (handmade.source / "UPDATE.md").write_text("edited\n")
    settings = handmade.source / "django" / "projects" / "mysite" / "settings.py"
    settings.write_text(settings.read_text().replace(repr(PASSWORD), "os.environ['PW']").replace('"5432"', "port()"))
    found = look(path=str(handmade.source), virtualenv="/usr/local/elsewhere")
    assert found["code"]["edited"] == ["UPDATE.md"]
    assert found["database"]["password"] == "computed"
    assert found["virtualenv"] == "/usr/local/elsewhere"
    told = "\n".join(found["unusual"])
    assert "1 files of CATMAID were edited" in told
    assert "DATABASES" in told
    settings.write_text("this is no Python\n")
    assert "could not be read (line 1 is no Python 3)" in "\n".join(look()["unusual"])


def test_how_far_it_was_taken_over(handmade: Handmade) -> None:
    root = WHERE / "root"
    adopted, current = root / "releases" / "adopted", root / "current"
    assert look(root=str(root))["state"] == ""
    adopted.mkdir(parents=True)
    (adopted / "source").symlink_to(handmade.source)
    (adopted / "release.json").write_text('{"adopted": true}')
    current.symlink_to(adopted)
    found = look(root=str(root))
    assert (found["state"], found["root"]) == ("linked", str(root))
    (adopted / "release.json").write_text('{"adopted": false}')
    assert look(root=str(root))["state"] == "led"
    current.unlink()
    current.symlink_to(WHERE)
    assert look(root=str(root))["state"] == "upgraded"


def test_of_several_it_wants_to_know_which(handmade: Handmade) -> None:
    second = WHERE / "another"
    shutil.copytree(handmade.source, second, symlinks=True)
    done = run_module("adopt_info", check=True)
    assert done.result["checkouts"] == [str(second), str(handmade.source)]
    assert str(second) in done.error
    assert look(path=str(second), check=True)["source"] == str(second)
    assert "is none" in run_module("adopt_info", path="/srv").error
