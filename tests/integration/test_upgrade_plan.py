# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module upgrade_plan, and local commits that go along to another release."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.double_fixtures import SERVICE_USER, Release, psql, run, virtualenv
from tests.integration.instances import Instance, finish, snapshot, start

pytestmark = pytest.mark.once("trixie")

OLD, NEXT, LATER = "2030.01.15", "2030.06.20", "2030.12.21"
ROOT = Path("/opt/upgrade plan")


@dataclass
class Site:
    """An instance in release folders, as the role instance makes it."""

    repository: Path
    here: Instance

    @property
    def source(self) -> Path:
        return self.here.release.source

    def checkout(self, version: str, **more: Any) -> dict[str, Any]:
        parameters = {"repository": str(self.repository), "root": str(ROOT), "user": SERVICE_USER, "version": version}
        return finish(start("checkout", **{**parameters, **more}))

    def plan(self, version: str, **more: Any) -> dict[str, Any]:
        """Make a plan, which must leave everything as it was."""
        before = snapshot(self.here.database).splitlines(), self.files()
        parameters = {"repository": str(self.repository), "root": str(ROOT), "version": version, **more}
        parameters = {"interpreter": sys.executable, **parameters}
        result = self.here.run("upgrade_plan", project_user=SERVICE_USER, **parameters)
        assert not result["changed"]
        after = snapshot(self.here.database).splitlines(), self.files()
        for known, found in zip(before, after):
            assert sorted({*known} ^ {*found}) == []
        return result

    def files(self) -> list[str]:
        """Return all files of the instance, those of git included, and what is in the temporary folder."""
        # The time of an object says only when somebody last would have made it.
        found = ["find", str(ROOT), "-path", "*/objects/*", "-printf", "%p\n", "-o", "-printf", "%p %T@\n"]
        return [*run(found).stdout.splitlines(), *os.listdir("/tmp")]

    def git(self, *arguments: str, where: Path | None = None) -> str:
        git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(where or self.source)]
        return run(["runuser", "-u", SERVICE_USER, "--", *git, *arguments]).stdout.strip()

    def commit(self, path: str, text: str, message: str) -> str:
        """Commit a change on the host, as a lab does."""
        file = self.source / path
        file.write_text(text, encoding="utf-8")
        shutil.chown(file, SERVICE_USER)
        self.git("add", path)
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def site(double_repo: Path, double_database: Callable[..., str]) -> Iterator[Callable[..., Site]]:
    """A function that installs a version of a repository in release folders, with the database of a version."""
    ROOT.mkdir()
    shutil.chown(ROOT, SERVICE_USER, SERVICE_USER)

    def make(version: str = OLD, repository: Path = double_repo, schema: str = OLD) -> Site:
        parameters = {"repository": str(repository), "root": str(ROOT), "user": SERVICE_USER, "version": version}
        said = finish(start("checkout", **parameters))
        source = Path(said["source"])
        release = Release(version, source, virtualenv(source / "django" / "requirements.txt"))
        here = Instance(release, double_database(schema, 0))
        release.configure(here.database)
        return Site(repository, here)

    yield make
    shutil.rmtree(ROOT)


@pytest.fixture
def renamed(double_repo: Path, double_folder: Path) -> Iterator[Path]:
    """The double with the names of CATMAID's own releases, of which something is known."""
    repository = double_folder / "renamed.git"
    run(["git", "clone", "-q", "--bare", str(double_repo), str(repository)])
    for old, new in ((OLD, "2019.06.20"), (NEXT, "2020.02.15")):
        run(["git", "-C", str(repository), "tag", "-a", "-m", new, new, f"{old}^{{commit}}"], env=ADMIN)
        run(["git", "-C", str(repository), "tag", "-d", old])
    yield repository
    shutil.rmtree(repository)


ADMIN = {f"GIT_{role}_{key}": "us@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
ADMIN["PATH"] = "/usr/bin:/bin"


def test_it_tells_what_an_upgrade_means_and_touches_nothing(site: Callable[..., Site]) -> None:
    plan = site().plan(LATER, title="the lab")
    assert plan["needed"] and plan["problems"] == []
    assert (plan["from"]["describe"], plan["to"]["describe"], plan["to"]["version"]) == (OLD, LATER, LATER)
    assert (plan["commits"]["coming"], plan["commits"]["going"]) == (4, 0)
    assert plan["commits"]["newest_coming"][0]["subject"] == f"Release {LATER}"

    told = [(note["file"], note["release"]) for note in plan["notes"]]
    assert told == [("UPDATE.md", NEXT), ("UPDATE.md", LATER), ("CHANGELOG.md", NEXT), ("CHANGELOG.md", LATER)]
    assert "a package was added" in plan["notes"][0]["text"]
    assert plan["notes"][3]["notes"] == "- The database update is slow."
    assert plan["acknowledge"] == LATER

    changes = {change["package"]: (change["before"], change["after"]) for change in plan["requirements"]}
    assert changes["msgpack"][0] == "" and changes["django"][0].startswith("==5.1")
    assert changes[""] == ("", "there")  # pyproject.toml
    steps = {step["name"]: step["operations"] for step in plan["migrations"]["steps"]}
    assert list(steps) == [
        "0006_add_deep_link_model",
        "0007_add_project_metadata",
        "0008_forbid_blank_user_names",
        "0009_add_samplers",
        "0010_tidy_names",
    ]
    assert steps["0007_add_project_metadata"] and plan["migrations"]["known_from"] == "files"
    assert plan["estimated_seconds"]["downtime"] > plan["estimated_seconds"]["migrate"] > 0
    assert plan["postgis"]["library"] == plan["postgis"]["extension"] and not plan["postgis"]["problem"]

    assert f"# CATMAID on the lab: {OLD} → {LATER}" in plan["markdown"]
    assert f"catmaid_upgrade_notes_acknowledged: {LATER}" in plan["summary"][-1]
    assert any("can not be reversed" in line for line in plan["summary"])


@pytest.mark.parametrize(
    ("version", "describe", "notes"),
    [
        ("latest_release", LATER, 4),
        ("dev", f"{LATER}-2-g", 7),
        ("maintenance/2030.01.15", f"{OLD}-2-g", 1),
    ],
)
def test_versions_have_many_names(site: Callable[..., Site], version: str, describe: str, notes: int) -> None:
    plan = site().plan(version)
    assert plan["to"]["describe"].startswith(describe) and plan["to"]["version"] in (version, LATER)
    assert len(plan["notes"]) == notes
    # A branch moves: what was read is acknowledged, not its name.
    assert plan["acknowledge"] == ("" if version.startswith("maintenance") else plan["to"]["describe"])


def test_at_the_target_there_is_nothing_to_do(site: Callable[..., Site]) -> None:
    here = site()
    plan = here.plan(OLD)
    assert not plan["needed"] and "nothing to do" in plan["summary"][0]
    assert (plan["notes"], plan["problems"], plan["acknowledge"]) == ([], [], "")
    # unless the release has not finished its own migrations
    psql(here.here.database, "DELETE FROM django_migrations WHERE app = 'catmaid' AND name LIKE '0005%'")
    assert here.plan(OLD)["needed"]


def test_django_knows_all_migrations_of_a_prepared_release(site: Callable[..., Site], tmp_path: Path) -> None:
    """And the history how long people waited for what does not depend on them."""
    here = site()
    prepared = here.checkout(NEXT, carry_from=str(here.source))
    env = Path(prepared["path"], "env")
    env.symlink_to(virtualenv(Path(prepared["source"], "django/requirements.txt")))
    mark = env / f"complete-{prepared['commit']}"
    mark.touch()
    last = {"result": "upgraded", "seconds": {"stop": 1, "start": 60, "verify": 1}}
    (tmp_path / "upgrade-history.jsonl").write_text(json.dumps(last) + "\n")
    plan = here.plan(NEXT, state_dir=str(tmp_path))
    mark.unlink()
    assert plan["migrations"]["known_from"] == "Django" and not plan["problems"]
    assert plan["estimated_seconds"]["restart"] == 62
    assert plan["estimated_from"]["restart"] == "as in the last upgrade here"
    assert any("(as in the last upgrade here)" in line for line in plan["summary"])
    assert "sites" in {step["app"] for step in plan["migrations"]["steps"]}


def test_an_older_release_is_refused(site: Callable[..., Site]) -> None:
    plan = site(NEXT, schema=NEXT).plan(OLD)
    assert plan["commits"]["going"] == 2
    assert any("lacks (catmaid.0006_add_deep_link_model" in problem for problem in plan["problems"])


def test_known_rules_are_compared_with_the_host(site: Callable[..., Site], renamed: Path) -> None:
    here = site("2019.06.20", renamed)
    here.here.release.configure(here.here.database, "CHANNELS_LAYERS = {}\nCHANNEL_LAYERS = {}\n")
    plan = here.plan("2020.02.15")
    levels = {rule["name"]: rule["level"] for rule in plan["rules"]}
    assert levels["channels-layers"] == "action" and levels["asgi-packages"] == "automatic"
    assert levels["rewritten-tables"] == levels["postgis-2.5"] == levels["postgresql"] == "fulfilled"
    # It was found to run on 3.6 and 3.7 only, and this is a newer one.
    assert levels["python"] == "error"
    assert any("runs on Python 3.6 to 3.7" in problem and sys.executable in problem for problem in plan["problems"])

    # One that is only fetched when the environment is made
    coming = {"interpreter": "/opt/none/bin/python3.7"}
    for version, level in (("", "error"), ("3.7", "fulfilled"), ("3.9", "error")):
        rules = here.plan("2020.02.15", **coming, interpreter_version=version)["rules"]
        assert [rule["level"] for rule in rules if rule["name"] == "python"] == [level]


def test_postgis_is_looked_at(site: Callable[..., Site]) -> None:
    here = site()
    psql(here.here.database, "UPDATE pg_extension SET extversion = '3.0.1' WHERE extname = 'postgis'")
    plan = here.plan(NEXT)
    (rule,) = [rule for rule in plan["rules"] if rule["name"] == "postgis-update"]
    assert rule["level"] == "action" and "3.0.1" in rule["found"] and plan["problems"] == []

    # as after an update of the operating system; then not even a backup could be made
    gone = "UPDATE pg_proc SET probin = '$libdir/postgis-2.5' WHERE proname = 'postgis_lib_version'"
    psql(here.here.database, gone)
    plan = here.plan(NEXT)
    assert any("could not access file" in problem for problem in plan["problems"])
    assert "postgis-2.5" in plan["postgis"]["problem"]


def test_edited_files_forbid_it(site: Callable[..., Site]) -> None:
    here = site()
    (here.source / "README.md").write_text("ours\n")
    plan = here.plan(NEXT)
    assert plan["edited"] == ["README.md"] and "README.md" in plan["problems"][0]


def test_local_commits_are_refused_or_go_along(site: Callable[..., Site]) -> None:
    here = site()
    ours = here.commit("lab.txt", "our lab\n", "Greet our lab")
    plan = here.plan(NEXT)
    assert [commit["commit"] for commit in plan["local_commits"]] == [ours]
    assert "Greet our lab" in plan["problems"][0] and "catmaid_upgrade_local_commits" in plan["problems"][0]
    assert "Greet our lab" in here.checkout(NEXT, carry_from=str(here.source))["msg"]

    for how, number in (("rebase", 1), ("merge", 2)):
        plan = here.plan(NEXT, local_commits=how)
        assert plan["problems"] == []
        options = {"carry_from": str(here.source), "local_commits": how}
        predicted = here.checkout(NEXT, _ansible_check_mode=True, **options)
        made = here.checkout(NEXT, **options)
        assert made["describe"].startswith(f"{NEXT}-{number}-g") and made["commit"] == plan["release"]["commit"]
        for key in ("commit", "upstream", "describe", "path", "source"):
            assert predicted[key] == made[key] == plan["release"][key]
        tree = Path(made["source"])
        assert (tree / "lab.txt").read_text() == "our lab\n" and "msgpack" in (
            tree / "django/requirements.txt"
        ).read_text()
        assert not here.checkout(NEXT, **options)["changed"]
    # Where they are on it already nothing is to be done with them. From there they go on to the next release.
    again = Site(here.repository, Instance(Release(NEXT, tree, here.here.release.env), here.here.database))
    assert again.plan(NEXT)["problems"] == []
    assert "Greet our lab" in again.plan(LATER)["problems"][0]


def test_local_commits_that_do_not_fit_leave_all_as_it_was(site: Callable[..., Site]) -> None:
    here = site()
    path = "django/applications/catmaid/static/js/catmaid.js"
    here.commit(path, "window.CATMAID = 'ours';\n", "Our own front end")
    for how in ("rebase", "merge"):
        assert f"conflicts in {path}" in here.plan(NEXT, local_commits=how)["problems"][0]
        before = here.files()
        failed = here.checkout(NEXT, carry_from=str(here.source), local_commits=how)
        assert failed["conflicts"] == [path] and "Our own front end" in failed["msg"]
        assert here.files() == before
    assert here.git("status", "--porcelain") == ""


def test_a_fork_is_just_another_repository(site: Callable[..., Site], double_folder: Path) -> None:
    """And a branch that was begun on the host outlives the fetch from there."""
    here = site()
    here.git("switch", "-q", "-c", "ours")
    ours = here.commit("lab.txt", "our lab\n", "Greet our lab")
    fork, work = double_folder / "fork.git", ROOT / "work"
    run(["git", "clone", "-q", "--bare", str(here.repository), str(fork)])
    run(["chown", "-R", SERVICE_USER, str(fork)])
    here.git("clone", "-q", "-b", "main", str(fork), str(work), where=ROOT)
    here.git("fetch", "-q", str(here.source), "ours:ours", where=work)
    here.git("merge", "-q", "--no-edit", "ours", where=work)
    here.git("push", "-q", "origin", "main", where=work)
    here.repository = fork
    plan = here.plan("main")
    assert (plan["local_commits"], plan["problems"]) == ([], [])
    assert here.checkout("main", carry_from=str(here.source))["prepared"]
    assert here.git("rev-parse", "ours") == ours
    shutil.rmtree(fork)
