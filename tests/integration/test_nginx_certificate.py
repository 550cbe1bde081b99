# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx_certificate: only a pair that is good for the site gets to where the site could use it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import Run, run_module
from tests.integration.tls import LONG_AGO, Authority

pytestmark = pytest.mark.once("bookworm")

NAME = "catmaid.test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def install(authority: Authority, tmp_path: Path) -> Callable[..., Run]:
    """The module, with a folder for certificates, and with the authority as the one that is trusted."""

    def run(check: bool = False, **args: Any) -> Run:
        given = {"names": [NAME], "authorities": authority.root.text, "dest": str(tmp_path / "certificates")}
        return run_module("nginx_certificate", check=check, **given | args)

    return run


def test_a_good_one_is_installed_beside_others(
    authority: Authority, install: Callable[..., Run], tmp_path: Path
) -> None:
    first, second = authority.site(NAME), authority.site("*.test")
    args = {"certificate": authority.full(first), "key": first.key}
    predicted = install(check=True, **args)
    assert predicted.changed
    assert not (tmp_path / "certificates").exists()
    done = install(**args)
    assert done.changed
    assert done.result | predicted.result == done.result
    assert Path(done.result["certificate_path"]).read_text() == authority.full(first)
    key = Path(done.result["key_path"])
    assert (key.read_text(), key.stat().st_mode & 0o777) == (first.key, 0o600)
    assert first.key.splitlines()[1] not in done.output
    assert (done.result["names"], done.result["issuer"]) == ([NAME], "CN=Test intermediate")
    assert 59 < done.result["days_left"] <= 60
    assert not install(**args).changed
    os.chmod(key, 0o644)
    assert install(**args).changed
    assert key.stat().st_mode & 0o777 == 0o600

    other = install(certificate_file=str(second.path), key_file=str(second.key_path), verify_chain=False)
    assert other.changed
    assert key.exists()
    assert other.result["key_path"] != str(key)


def test_old_ones_go_but_for_the_last_and_what_nginx_uses(
    authority: Authority, install: Callable[..., Run], tmp_path: Path
) -> None:
    dest = tmp_path / "certificates"
    (dest / "made").mkdir(parents=True)
    folders, args = [], {}
    for number in range(4):
        made = authority.site(NAME)
        args = {"certificate": authority.full(made), "key": made.key}
        folders.append(Path(install(**args).result["certificate_path"]).parent)
        os.utime(folders[-1], (number, number))
    assert sorted(dest.iterdir()) == sorted([dest / "made", *folders])
    used = Path("/etc/nginx/conf.d/used.conf")
    used.write_text(f"# {folders[0]}/fullchain.pem\n")
    try:
        predicted = install(keep=1, check=True, **args)
        assert folders[1].exists()
        done = install(keep=1, **args)
        assert (done.changed, done.result["removed"]) == (True, [str(folders[1])])
        assert done.result == predicted.result
        assert not install(keep=1, **args).changed
    finally:
        used.unlink()
    assert set(install(keep=0, **args).result["removed"]) == {str(folders[0]), str(folders[2])}
    assert sorted(dest.iterdir()) == sorted([dest / "made", folders[3]])


def test_one_that_ends_soon_is_told(authority: Authority, install: Callable[..., Run]) -> None:
    soon = authority.site(NAME, "-days", "5")
    done = install(certificate=authority.full(soon), key=soon.key, dest=None)
    assert not done.changed
    assert "expires in 5.0 days" in str(done.result["warnings"])


def test_bad_ones_are_refused_and_nothing_is_written(
    authority: Authority, install: Callable[..., Run], tmp_path: Path
) -> None:
    good, other, old = authority.site(NAME), authority.site("elsewhere.test"), authority.site(NAME, *LONG_AGO)
    later = authority.site(NAME, "-startdate", "20990101000000Z", "-enddate", "20991231000000Z")
    full = authority.full(good)
    for args, words in (
        ({"certificate": full, "key": other.key}, "the key is not the one of that of catmaid.test"),
        ({"certificate": full, "key": "nonsense"}, "its key cannot be read"),
        ({"certificate": "nonsense", "key": good.key}, "there is no certificate in it"),
        ({"certificate": authority.full(other), "key": other.key}, "that of elsewhere.test is not for catmaid.test"),
        ({"certificate": authority.full(old), "key": old.key}, "has expired on 2021-01-01"),
        ({"certificate": authority.full(later), "key": later.key}, "is valid from 2099-01-01"),
        ({"certificate": good.text, "key": good.key}, "Append the intermediate certificates"),
        ({"certificate": full, "key": good.key, "authorities": ""}, "does not lead to an authority that is trusted"),
        ({"certificate_file": str(good.path), "key_file": str(tmp_path / "none")}, "No such file"),
    ):
        assert words in install(**args).error
    os.chmod(good.key_path, 0o640)
    assert install(certificate_file=str(good.path), key_file=str(good.key_path), verify_chain=False).changed
    os.chmod(good.key_path, 0o644)
    refused = install(certificate_file=str(good.path), key_file=str(good.key_path))
    assert f"chmod 600 {good.key_path}" in refused.error
    assert len(os.listdir(tmp_path / "certificates")) == 1
