# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All instances in one table: what is so, what is wrong, who is silent; and a page that people can read anywhere."""

from __future__ import annotations

import json

import pytest

GONE = "catmaid-gone"
HEADS = ["Host", "State", "Release", "Upstream", "Migrations", "Last backup", "Last drill", "Certificate", "PostGIS"]
HEADS += ["Disk free", "Stale tables", "Failed units"]
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 780}

# The least contrast of a text with what is behind it, as WCAG counts it, and where that is
CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let least = [21, ""];
  for (const element of document.body.querySelectorAll("*")) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, element.outerHTML.slice(0, 200)];
  }
  return least;
}"""
# What reaches beyond the screen; on a phone the heads of columns are there for screen readers only
BEYOND = """() => [...document.body.querySelectorAll("*")]
  .filter((element) => !element.closest("thead") && element.getBoundingClientRect().right > innerWidth + 0.5)
  .map((element) => element.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def fleet(instances, play, tmp_path_factory):
    """The report of three hosts: one whose derived tables differ, one whose application is down, one that is gone."""
    folder = tmp_path_factory.mktemp("fleet")
    inventory = folder / "more.yml"
    inventory.write_text(json.dumps({"catmaid": {"hosts": {GONE: {"ansible_host": "127.0.0.1", "ansible_port": 1}}}}))
    odd, down = instances
    assert play("rebuild").rc == 0
    for instance in instances:
        instance.run("rm -rf /var/backups/catmaid")
    for _backup in range(2):
        assert play("backup").rc == 0
    assert play("drill").rc == 0
    odd.sql("DELETE FROM treenode_edge WHERE id = (SELECT max(id) FROM treenode_edge)")
    down.run("systemctl stop catmaid")
    try:
        options = ("-i", str(inventory), "--limit", "catmaid", "-e", "ansible_ssh_retries=0")
        result = play("status", *options, catmaid_status_report=str(folder / "report"))
        allowed = play("status", *options, catmaid_status_report="", catmaid_status_fail_on=[])
    finally:
        down.run("systemctl start catmaid")
        assert play("rebuild").rc == 0
    return {"folder": folder / "report", "result": result, "allowed": allowed}


def test_hosts_are_told_as_they_are(instances, fleet):
    document = json.loads((fleet["folder"] / "status.json").read_text())
    odd, down = instances
    hosts = {host["name"]: host for host in document["hosts"]}
    assert [host["name"] for host in document["hosts"]] == [GONE, down.name, odd.name]
    assert document["counts"] == {"unreachable": 1, "failed": 1, "warning": 1, "ok": 0}
    assert [reason["text"] for reason in hosts[down.name]["reasons"]] == ["units of the instance do not run: catmaid"]
    (reason,) = hosts[odd.name]["reasons"]
    assert reason["part"] == "materializations" and "treenode_edge: 1 rows missing" in reason["text"]
    for instance in instances:
        status = hosts[instance.name]["status"]
        assert status["errors"] == {}
        assert status["code"]["commit"] == instance.run(
            "git -c safe.directory='*' -C /opt/catmaid/current/source rev-parse HEAD"
        )
        assert status["backups"]["number"] == len(status["backups"]["history"]) == 2
        newest = instance.run("ls /var/backups/catmaid/catmaid | grep ^catmaid_ | sort | tail -1")
        assert status["backups"]["newest"]["id"] == newest
        assert status["drill"]["age"] < 600


def test_only_who_is_silent_lets_the_job_fail(instances, fleet):
    result, allowed = fleet["result"], fleet["allowed"]
    assert result.rc != 0
    assert "is unreachable" in result.messages(GONE)
    for instance in instances:
        assert result.changed(instance.name) == []
        assert "is failed" not in result.messages(instance.name)
    assert allowed.rc == 0, allowed.output
    table = next(told["msg"] for task, told in result.tasks(instances[0].name) if task.endswith("Show it"))
    assert [line.split()[:2] for line in table[2:5]] == [
        [GONE, "unreachable"],
        [instances[1].name, "failed"],
        [instances[0].name, "warning"],
    ]
    left = next(told for task, told in result.tasks(instances[0].name) if "Leave it to" in task)
    stats = left["ansible_stats"]["data"]["catmaid_status"]
    assert stats["summary"] == "3 hosts: 1 unreachable, 1 failed, 1 warning"
    assert [host["state"] for host in stats["hosts"]] == ["unreachable", "failed", "warning"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_is_readable_in_a_browser(browser, fleet, instances, screen, scheme):
    asked = []
    page = browser.new_page(viewport=screen, color_scheme=scheme)
    page.on("request", lambda request: asked.append(request.url))
    path = fleet["folder"] / "status.html"
    page.goto(f"file://{path}")
    assert asked == [f"file://{path}"]
    table = page.get_by_role("table", name="All of them")
    assert [head.inner_text() for head in table.locator("thead th").all()] == HEADS
    names = [head.inner_text().split()[0] for head in table.get_by_role("rowheader").all()]
    assert names == [GONE, instances[1].name, instances[0].name]
    cells = table.get_by_role("row").filter(has_text=instances[0].name).get_by_role("cell")
    assert "edges" in cells.nth(HEADS.index("Stale tables") - 1).inner_text()
    for instance in instances:
        for what in ("Size", "Duration", "Rows"):
            chart = page.get_by_role("img", name=f"{what} of 2 backups of {instance.name}: first")
            assert chart.count() == 1 and chart.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == screen["width"]
    assert page.evaluate(BEYOND) == []
    ratio, where = page.evaluate(CONTRAST)
    assert ratio >= 4.5, where
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(244, 246, 248)", "dark": "rgb(13, 17, 23)"}[scheme]
    page.close()
