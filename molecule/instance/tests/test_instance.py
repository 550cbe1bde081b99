# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that had nothing serves the application."""

from __future__ import annotations

PATIENTLY = "-f --retry 20 --retry-all-errors --retry-delay 1"


def test_pages_are_served(instances):
    for instance in instances:
        assert instance.version() == "2030.01.15"
        status, page = instance.get("/")
        assert (status, "<title>CATMAID</title>" in page) == (200, True)
        assert instance.has_its_style()


def test_the_application_reaches_its_database(instances):
    for instance in instances:
        assert instance.get("/projects/") == (200, "[]")
        extensions = instance.sql("SELECT extname FROM pg_extension ORDER BY 1").splitlines()
        assert {"pg_trgm", "postgis"} <= set(extensions)
        assert instance.sql("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'treenode'") == "catmaid"


def test_people_log_in_by_tls(instances):
    """Cookies are for TLS and for the instance's folder only; and Django knows that it is TLS, or it would ask no
    Referer of us."""
    for instance in instances:
        ask = "curl -sSk -m 30 -D /tmp/headers --resolve catmaid.test:443:127.0.0.1"
        ask += f" https://catmaid.test{instance.folder}/accounts/login"
        post = (
            f"{ask} -b /tmp/cookies -H \"X-CSRFToken: $(awk '/csrftoken/ {{ print $7 }}' /tmp/cookies)\""
            " --data-urlencode name=admin --data-urlencode pwd@/opt/catmaid/secrets/superuser_password"
        )
        instance.run(f"{ask} -c /tmp/cookies")
        assert "Referer" in instance.run(post)
        assert '"username": "admin"' in instance.run(f"{post} -e https://catmaid.test/")
        cookie = instance.run("grep -i '^set-cookie: sessionid' /tmp/headers").lower()
        assert "; secure" in cookie and "; httponly" in cookie and f"; path={instance.folder}/" in cookie


def test_nothing_of_it_is_outside_of_its_folder(instances):
    instance = instances[-1]
    assert instance.follow(instance.folder)[0] == 301
    assert "admin/login/?next=/lab/fly/admin/" in instance.get("/admin/", "-D", "-")[1]
    for path in ("/", "/version", "/projects/", "/static/", "/channels/updates/", "/lab/", "/lab/flyer/version"):
        assert instance.follow(path)[0] == 404


def test_people_log_in_by_a_browser(instances, browser):
    password = instances[0].run("cat /opt/catmaid/secrets/superuser_password")
    with browser.new_page(ignore_https_errors=True) as page:
        page.goto("https://catmaid.test/")
        page.fill("[name=name]", "admin")
        page.fill("[name=pwd]", password)
        page.click("button")
        assert '"username": "admin"' in page.text_content("body")
        page.goto("https://catmaid.test/accounts/login")
        assert '"username": "admin"' in page.text_content("body")


def test_another_host_name_is_refused(instances):
    for instance in instances:
        socket = "--unix-socket /run/catmaid/wsgi.sock"
        assert instance.run(f"curl -s -o /dev/null -w '%{{http_code}}' {socket} -H 'Host: evil' http://x/") == "400"


def test_secrets_are_for_root_and_the_service_only(instances):
    for instance in instances:
        folder = "/opt/catmaid/secrets"
        password = instance.run(f"cat {folder}/database_password")
        assert len(password) == 40
        for user, may in (("catmaid", True), ("www-data", False), ("nobody", False)):
            assert (instance.host.run(f"runuser -u {user} -- cat {folder}/database_password").rc == 0) is may
        # nowhere else: not in the code, the settings, the units, the journal, a process' arguments
        places = "/opt/catmaid/current/source /etc/systemd /etc/nginx"
        assert instance.host.run(f"grep -rqF -e {password} {places}").rc == 1
        assert password not in instance.run("journalctl --boot --no-pager")
        assert password not in instance.run("ps axww")


def test_it_comes_back_after_a_restart_of_the_services(instances):
    for instance in instances:
        instance.run("systemctl restart postgresql catmaid nginx")
        assert instance.host.service("catmaid").is_enabled
    for instance in instances:
        assert instance.get("/version", PATIENTLY)[0] == 200


def test_another_version_does_not_slip_in(instances, play):
    """Only an upgrade, with its backup, takes an instance to another release."""
    result = play("provision", catmaid_version="2030.06.20", catmaid_https=True)
    assert result.rc == 0
    for instance in instances:
        assert result.changed(instance.name) == []
        assert instance.version() == "2030.01.15"


def test_bad_input_is_explained(instances, play):
    for variables, words in (
        ({"catmaid_repository": ""}, "Set catmaid_repository"),
        ({"catmaid_server_name": "http://catmaid.test/"}, "catmaid_server_name a host name"),
        *(({"catmaid_subdirectory": folder}, f'is "{folder}", and has to be') for folder in ("a/../b", "a b")),
        ({"catmaid_db_name": "postgres"}, "a database of its own"),
        ({"catmaid_python": "conda:3.9"}, "such as uv:3.9"),
    ):
        result = play("provision", **variables)
        assert result.rc != 0
        for instance in instances:
            assert words in result.messages(instance.name)
            assert result.changed(instance.name) == []


def test_a_second_instance_does_not_lock_the_first_one_out(instances, play):
    """With the first one's role, but a password of its own, as a new folder of secrets has it."""
    names = dict.fromkeys(("catmaid_user", "catmaid_service", "catmaid_db_name"), "other")
    folders = {"catmaid_root": "/opt/other", "catmaid_state_dir": "/var/lib/other"}
    result = play("provision", catmaid_server_name="other.test", **names, **folders)
    assert result.rc != 0
    for instance in instances:
        assert "Role catmaid is there, owns database catmaid" in result.messages(instance.name)
        assert instance.sql("SELECT count(*) FROM pg_database WHERE datname = 'other'") == "0"
        instance.run("systemctl restart postgresql catmaid && rm -r /opt/other /var/lib/other && userdel other")
    for instance in instances:
        assert instance.get("/projects/", PATIENTLY)[0] == 200


def test_an_interpreter_can_be_fetched(instances):
    """The environment works, or no page would be served; so it has to be made with the right one."""
    (here,) = (instance for instance in instances if instance.name == "catmaid-bookworm")
    prefix = here.run("/opt/catmaid/current/env/bin/python -c 'import sys; print(sys.base_prefix)'")
    assert prefix == "/opt/catmaid/python/3.11"
    assert here.run(f"find -L {prefix} -perm -o=w -not -type l") == ""


def test_an_interpreter_that_is_none_is_explained(instances, play):
    second = {"catmaid_root": "/opt/second", "catmaid_db_name": "second", "catmaid_https": True}
    result = play("provision", "--check", catmaid_python="/usr/bin/python3.5", **second)
    assert result.rc != 0
    for instance in instances:
        assert "catmaid_python is /usr/bin/python3.5, and that is no Python" in result.messages(instance.name)
    result = play("provision", "--check", catmaid_python="deadsnakes:3.9", **second)
    assert result.rc != 0
    for instance in instances:
        assert "packages for Ubuntu only" in result.messages(instance.name)
