# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab wants in its settings is what the application does; what it does not start with is never written."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once("bookworm")

SETTINGS = "/opt/catmaid/current/source/django/projects/mysite/settings.py"
SCRIPT = "document.title = 'of the lab';\n"


def scripts(instance) -> list[str]:
    page = instance.get("/")[1]
    return [part.split('"')[0] for part in page.split('src="')[1:] if part.startswith(f"{instance.folder}/staticext/")]


def test_settings_and_custom_code_come_and_go(instances, play, browser, tmp_path):
    before = [instance.run(f"sha256sum < {SETTINGS}") for instance in instances]
    (tmp_path / "lab.js").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "other.js").touch()
    wanted = {
        "catmaid_app_settings_values": {"NODE_LIST_MAXIMUM_COUNT": 20000, "NODE_PROVIDER": "postgis2d"},
        "catmaid_app_settings_secrets": {"EMAIL_HOST_PASSWORD": "h'u\"s\\h"},
        "catmaid_app_settings_database": {"CONN_MAX_AGE": 60},
        "catmaid_app_settings_custom_code": str(tmp_path),
        "catmaid_app_settings_strict": True,
    }
    predicted = play("app_settings", "--check", "--diff", **wanted)
    assert predicted.rc == 0, predicted.output
    assert [instance.run(f"sha256sum < {SETTINGS}") for instance in instances] == before

    done = play("app_settings", "--diff", **wanted)
    assert done.rc == 0, done.output
    assert "NODE_PROVIDERS = ['postgis2d']" in done.output
    assert "h'u" not in done.output.replace("\\", "")
    for instance in instances:
        assert "Try the settings, and write them" in str(predicted.changed(instance.name))
        assert [path.partition("?v=")[0] for path in scripts(instance)] == [
            "/staticext/custom/lab.js",
            "/staticext/custom/other.js",
        ]
        assert instance.follow(scripts(instance)[0]) == (200, SCRIPT)
    with browser.new_page(ignore_https_errors=True) as page:
        page.goto("https://catmaid.test/")
        assert page.title() == "of the lab"
    # Neither a second run nor the role that writes the rest of the file changes anything.
    for playbook in ("app_settings", "provision"):
        again = play(playbook, catmaid_https=True, **wanted)
        assert again.rc == 0, again.output
        assert [again.changed(instance.name) for instance in instances] == [[]] * len(instances)

    old = scripts(instances[0])
    (tmp_path / "lab.js").write_text(SCRIPT * 2, encoding="utf-8")
    (tmp_path / "other.js").unlink()
    assert play("app_settings", **wanted).rc == 0
    for instance in instances:
        (address,) = scripts(instance)
        assert address not in old
        assert instance.follow(address) == (200, SCRIPT * 2)
        assert instance.follow(old[1])[0] == 404

    gone = play("app_settings", catmaid_app_settings_state="absent", **wanted)
    assert gone.rc == 0, gone.output
    assert [instance.run(f"sha256sum < {SETTINGS}") for instance in instances] == before
    for instance in instances:
        assert (scripts(instance), instance.follow(address)[0]) == ([], 404)


def test_what_the_application_refuses_is_not_written(instances, play):
    before = [instance.run(f"sha256sum < {SETTINGS}") for instance in instances]
    for values, strict, words in (
        ({"NODE_LIST_MAXIMUM_COUNT": "many"}, False, "NODE_LIST_MAXIMUM_COUNT must be of type"),
        ({"STATIC_EXTENSION_ROOT": "/tmp"}, True, "everybody's temporary files would be served"),
    ):
        refused = play("app_settings", catmaid_app_settings_values=values, catmaid_app_settings_strict=strict)
        assert refused.rc != 0
        for instance in instances:
            assert words in refused.messages(instance.name)
    assert [instance.run(f"sha256sum < {SETTINGS}") for instance in instances] == before
    assert [instance.get("/")[0] for instance in instances] == [200] * len(instances)


def test_settings_with_which_it_does_not_serve_are_taken_back(instances, play):
    before = [instance.run(f"sha256sum < {SETTINGS}") for instance in instances]
    failed = play("app_settings", catmaid_app_settings_values={"ALLOWED_HOSTS": ["elsewhere.example.org"]})
    assert failed.rc != 0
    for instance in instances:
        assert "The settings are those of before." in failed.messages(instance.name)
        assert instance.get("/")[0] == 200
    assert [instance.run(f"sha256sum < {SETTINGS}") for instance in instances] == before
