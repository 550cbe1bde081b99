# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public image data come from memory, until they are purged; nothing that goes wrong with the cache keeps them away."""

from __future__ import annotations

import pytest

TILE = "https://catmaid.test/data/cached/1.jpg"
CACHED = {"catmaid_varnish_state": "present", "catmaid_varnish_memory_mb": 96}
# One host is enough: what differs between the two is nginx, which all other tests are about.
ONE = ("--limit", "catmaid-bookworm")


@pytest.fixture(scope="module")
def instance(instances, play, wanted):
    """A host whose public image data come through Varnish; in the end they do not any more."""
    instance = instances[0]
    instance.run("mkdir -p /srv/tiles/cached && echo one > /srv/tiles/cached/1.jpg")
    instance.run("systemctl stop varnish || true")  # so that it has nothing yet
    predicted = play("varnish", "--check", *ONE, **wanted | CACHED)
    assert predicted.rc == 0, predicted.messages(instance.name)
    result = play("varnish", *ONE, **wanted | CACHED)
    assert result.rc == 0, result.messages(instance.name)
    return instance


def test_the_second_visitor_is_answered_from_memory(instance, visit):
    first, second = visit(instance, TILE), visit(instance, TILE)
    assert [(tile.body.strip(), tile.header("x-cache")) for tile in (first, second)] == [
        ("one", "miss"),
        ("one", "hit"),
    ]
    for tile in (first, second):
        assert tile.header("cache-control") == "max-age=315360000, public, immutable"
        assert (tile.header("access-control-allow-origin"), tile.header("x-content-type-options")) == ("*", "nosniff")
        assert tile.header("strict-transport-security") == "max-age=63072000"
        assert (tile.header("via"), tile.header("x-catmaid-url"), tile.header("x-varnish")) == ("", "", "")
    instance.run("echo two > /srv/tiles/cached/1.jpg")
    assert visit(instance, TILE, "-H 'Cookie: a=b'", "-H 'Accept-Encoding: gzip'").body.strip() == "one"
    missing = "https://catmaid.test/data/9/9/9.jpg"
    assert (visit(instance, missing).body.strip(), visit(instance, missing).headers["cache-control"]) == (
        "black", ["max-age=3600"],
    )  # fmt: skip
    # What is not public does not go through it, and neither does what else there is.
    for path in ("data/own/1.jpg", "static/a.css", "a"):
        assert visit(instance, f"https://catmaid.test/{path}").header("x-cache") == ""
    assert visit(instance, TILE, "-X POST").status == 403
    assert visit(instance, "https://catmaid.test/data/.hidden").status == 404
    # Nobody outside reaches it, and it has the memory that it was given.
    listens = instance.run("ss -ltnH | awk '{print $4}'").split()
    assert sorted(at for at in listens if at.endswith((":6081", ":6083"))) == ["127.0.0.1:6081", "127.0.0.1:6083"]
    assert "malloc,96m" in instance.run("ps -C varnishd -o args=")


def test_a_purge_lets_them_be_read_anew(instance, play, visit, wanted):
    other = "https://catmaid.test/data/1/2/3.jpg"
    visit(instance, other)
    path = {"catmaid_varnish_purge": "/data/cached/"}
    purged = play("varnish", "--tags", "purge,report", *ONE, **wanted | CACHED | path)
    assert purged.rc == 0, purged.messages(instance.name)
    told = str(purged.tasks(instance.name))
    assert "image data came from memory" in told and "of 96 MB in use" in told
    fresh = visit(instance, TILE)
    assert (fresh.body.strip(), fresh.header("x-cache")) == ("two", "miss")
    assert visit(instance, other).header("x-cache") == "hit"


def test_what_cannot_be_compiled_leaves_the_old_one_serving(instance, play, visit, wanted, tmp_path):
    assert visit(instance, TILE).header("x-cache") == "hit"
    own = tmp_path / "own.vcl"
    own.write_text("vcl 4.1; backend default { .host = nonsense; }")
    refused = play("varnish", *ONE, **wanted | CACHED, catmaid_varnish_template=str(own))
    assert refused.rc != 0
    assert "nonsense" in refused.output
    assert visit(instance, TILE).header("x-cache") == "hit"
    # One that can comes without losing what is kept.
    own.write_text(
        'vcl 4.1; backend default { .host = "127.0.0.1"; .port = "6083"; }\n'
        "sub vcl_deliver { set resp.http.X-Own = obj.hits; }"
    )
    assert play("varnish", *ONE, **wanted | CACHED, catmaid_varnish_template=str(own)).rc == 0
    assert int(visit(instance, TILE).header("x-own")) > 0
    again = play("varnish", *ONE, **wanted | CACHED, catmaid_varnish_template=str(own))
    assert again.changed(instance.name) == []


def test_without_it_they_come_from_the_disk(instance, play, visit, wanted):
    instance.run("systemctl stop varnish")
    for _ in range(3):
        tile = visit(instance, TILE)
        assert (tile.status, tile.body.strip(), tile.header("x-cache")) == (200, "two", "")
    instance.run("systemctl start varnish")
    result = play("varnish", *ONE, **wanted)
    assert result.rc == 0, result.messages(instance.name)
    assert instance.host.run("systemctl is-active varnish").stdout.strip() == "inactive"
    assert instance.run("ls /etc/varnish /etc/systemd/system/varnish.service.d").count("catmaid") == 0
    site = instance.run("cat /etc/nginx/sites-available/catmaid")
    assert "6081" not in site and "6083" not in site
    assert (visit(instance, TILE).body.strip(), visit(instance, TILE).header("x-cache")) == ("two", "")
