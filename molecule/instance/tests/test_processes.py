# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of an instance runs as one: with uWSGI and everything beside it on one host, with gunicorn alone on the other."""

from __future__ import annotations

import json
import time

import pytest

PARTS = ["", "-asgi", "-cache-updates", "-celery", "-celery-beat", "-redis", "-spatial-updates"]
ALL = sorted(f"catmaid{part}.service" for part in PARTS)
STATS = (
    "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/catmaid/stats.sock'); print(s.makefile().read())"
)
UPGRADE = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: {}'"
WEBSOCKET = f"-N --http1.1 -i -m 2 {UPGRADE.format('dGhlIHNhbXBsZSBub25jZQ==')}"
CELERY = "cd /opt/{0}/current/source/django/projects && runuser -u {0} -- /opt/{0}/current/env/bin/celery -A mysite"
TASK = "catmaid.tasks.update_project_statistics_from_scratch"


@pytest.fixture
def instance(instances):
    """The host where everything runs."""
    return instances[-1]


def states(instance, units) -> set[str]:
    """Return in which states these units are."""
    return set(instance.host.run(f"systemctl is-active {' '.join(units)}").stdout.split())


def since(instance, units) -> list[str]:
    """Return when each of them was started."""
    return [instance.run(f"systemctl show --property=ActiveEnterTimestampMonotonic {unit}") for unit in units]


def wait(instance, command: str) -> str:
    """Return what a command prints as soon as it succeeds: processes take some seconds to import the code."""
    deadline = time.monotonic() + 60
    while (done := instance.host.run(command)).rc != 0:
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(1)
    return done.stdout


def are_up(instance, units) -> None:
    """See that they run, as soon as they do."""
    wait(instance, f"[ $(systemctl is-active {' '.join(units)} | grep -cx active) = {len(units)} ]")


def works(instance, name: str = "catmaid", log: str = "journalctl --no-pager --unit catmaid-celery") -> None:
    """See that websockets open, and that a task that a page would hand to Celery is done."""
    asked = f"{WEBSOCKET} -H 'Host: {name}.test' http://127.0.0.1{instance.folder}/channels/updates/"
    wait(instance, f"curl -s {asked} | grep -q '101 Switching'")
    celery = CELERY.format(name)
    wait(instance, f"{celery} inspect ping --timeout=5")
    task = instance.run(f"{celery} call {TASK}").strip()
    wait(instance, f"{log} | grep -qF '{task}] succeeded'")


def test_each_host_has_what_it_is_to_have(instances, instance):
    consists = "systemctl show --property=ConsistsOf --value catmaid.target"
    assert sorted(instance.run(consists).split()) == ALL
    assert instances[0].run(consists).split() == ["catmaid.service"]
    for one, server in zip(instances, ("gunicorn", "uwsgi")):
        assert f"/bin/{server} " in one.run("systemctl show --property=ExecStart catmaid")
    assert instance.host.run("systemctl is-enabled redis-server").stdout.strip() == "disabled"


def test_gunicorn_ends_no_request_that_takes_its_time(instances):
    """By itself it would after 30 seconds: the database lets this one wait for longer."""
    gunicorn = instances[0]
    hold = "BEGIN; LOCK TABLE project; SELECT pg_sleep(33)"
    gunicorn.run(f"cd / && systemd-run --quiet --uid=postgres psql -XAtqd catmaid -c '{hold}'")
    held = "SELECT 1 / count(*) FROM pg_locks WHERE relation = 'project'::regclass AND mode = 'AccessExclusiveLock'"
    wait(gunicorn, f'cd / && runuser -u postgres -- psql -XAtqd catmaid -c "{held}"')
    asked = time.monotonic()
    assert gunicorn.get("/projects/", "-m 60")[0] == 200
    assert time.monotonic() - asked > 30


def test_websockets_and_celery_work(instance):
    works(instance)


def test_uwsgi_tells_whom_it_serves(instance):
    told = json.loads(instance.run(f'python3 -c "{STATS}"'))
    assert [len(worker["cores"]) for worker in told["workers"]] == [1, 1]


def test_nobody_else_gets_at_their_sockets(instance):
    for path in (
        "/run/catmaid-redis/redis.sock",
        "/run/catmaid-asgi/asgi.sock",
        "/var/lib/catmaid-redis/appendonlydir",
    ):
        assert instance.host.run(f"runuser -u nobody -- test -e {path}").rc != 0
    assert instance.host.run("runuser -u www-data -- redis-cli -s /run/catmaid-redis/redis.sock ping").rc != 0
    assert "listening" not in instance.run("ss -ltnp | sed -n 's/.*redis.*/listening/p'")


def test_the_target_stops_and_starts_all(instance):
    before = since(instance, ALL)
    instance.run("systemctl restart catmaid.target")
    are_up(instance, ALL)
    assert all(one != other for one, other in zip(before, since(instance, ALL)))
    works(instance)
    instance.run("systemctl stop catmaid.target")
    assert states(instance, ALL) == {"inactive"}
    assert instance.get("/")[0] == 503
    instance.run("systemctl start catmaid.target")
    are_up(instance, ALL)


def test_what_is_not_wanted_any_more_goes(instance, play):
    limited = ("--limit", instance.name)
    fewer = ["uwsgi", "websockets", "celery"]
    done = play("provision", *limited, catmaid_https=True, catmaid_processes=fewer)
    assert done.rc == 0, done.output
    left = instance.run("systemctl show --property=ConsistsOf --value catmaid.target").split()
    assert sorted(left) == [unit for unit in ALL if "updates" not in unit]
    assert states(instance, ["catmaid-cache-updates", "catmaid-spatial-updates"]) == {"inactive"}
    assert play("provision", *limited, catmaid_https=True).rc == 0
    are_up(instance, ALL)


def test_all_is_back_after_a_loss_of_power(instance):
    instance.crash()
    are_up(instance, ALL)
    works(instance)
    assert instance.get("/version")[0] == 200


SECOND = {
    "catmaid_service": "second",
    "catmaid_user": "second",
    "catmaid_db_user": "second",
    "catmaid_root": "/opt/second",
    "catmaid_state_dir": "/var/lib/second",
    "catmaid_db_name": 'cat-maid "x"',
    "catmaid_server_name": "second.test",
    "catmaid_processes": ["gunicorn", "websockets", "celery"],
    "catmaid_broker": "rabbitmq",
    "catmaid_process_manager": "supervisor",
    "catmaid_instance_workers": 0,
    "catmaid_tuning_host": {"memory": "4GB", "cores": 8},
}
OTHERS = [f"second{part}" for part in ("", "-asgi", "-celery", "-celery-beat")]


def test_two_instances_leave_each_other_alone(instance, play):
    """The second one runs under supervisor, by RabbitMQ, and with as many workers as its memory is good for."""
    limited = ("--limit", instance.name)
    predicted = play("provision", "--check", *limited, **SECOND)
    assert predicted.rc == 0 and predicted.changed(instance.name), predicted.output
    done = play("provision", *limited, **SECOND)
    assert done.rc == 0, done.output
    log = "cat /var/log/second/second-celery.log"
    try:
        assert instance.get("/version", "-H 'Host: second.test'")[0] == 200
        works(instance, "second", log)
        # Half of what the system leaves of 4 GB, by 256 MB each, without daphne and the four processes of Celery
        (plan,) = (result["values"] for task, result in done.tasks(instance.name) if "how many workers" in task)
        assert [value["value"] for value in plan if value["name"] == "workers"] == [2]
        assert instance.run("pgrep -c -P $(supervisorctl pid second:second)") == "2"
        keeps_its_messages_to_itself(instance)
        for folder in ("/run/second", "/run/second-asgi"):
            assert instance.run(f"stat -c '%A %U %G' {folder}") == "drwxr-s--- second www-data"

        before = since(instance, ALL)
        instance.run("supervisorctl restart second:*")
        instance.run("supervisorctl stop second:*")
        assert (programs(instance), states(instance, ALL)) == ({"STOPPED"}, {"active"})
        assert since(instance, ALL) == before
        instance.run("supervisorctl start second:*")
        assert programs(instance) == {"RUNNING"}
        running = instance.run("supervisorctl pid all")
        instance.run("systemctl restart catmaid.target")
        assert instance.run("supervisorctl pid all") == running

        again = play("provision", *limited, **SECOND)
        assert (again.rc, again.changed(instance.name)) == (0, [])
        assert instance.run("supervisorctl pid all") == running
        assert play("backup", *limited, **SECOND).rc == 0
        checked = play("verify", *limited, **SECOND)
        assert checked.rc == 0, checked.output

        usual = {**SECOND, "catmaid_broker": "redis", "catmaid_process_manager": "systemd"}
        back = play("provision", *limited, **usual)
        assert back.rc == 0, back.output
        works(instance, "second", "journalctl --no-pager --unit second-celery")
        for left in (
            "/opt/second/secrets/broker_password",
            "/etc/supervisor/conf.d/second.conf",
            "/etc/tmpfiles.d/second.conf",
        ):
            assert instance.host.run(f"test -e {left}").rc == 1
        for unit in ("rabbitmq-server", "supervisor"):
            assert instance.run(f"systemctl show -P ActiveState -P UnitFileState {unit}").split() == [
                "inactive",
                "disabled",
            ]
        works(instance)
    finally:
        instance.host.run("supervisorctl stop second:*; systemctl disable --now second.target")


def programs(instance) -> set[str]:
    """Return in which states the programs of the second instance are."""
    told = [line.split() for line in instance.host.run("supervisorctl status second:*").stdout.splitlines()]
    assert sorted(words[0].removeprefix("second:") for words in told) == OTHERS
    return {words[1] for words in told}


def keeps_its_messages_to_itself(instance) -> None:
    """See that RabbitMQ is for this host alone, and each part of it for who has its password."""
    listens = instance.run("ss -Hltn | awk '$4 ~ /:(4369|5672|25672)$/ { print $4 }'").split()
    assert sorted(listens) == ["127.0.0.1:25672", "127.0.0.1:4369", "127.0.0.1:5672"]
    assert instance.host.run("rabbitmqctl -q authenticate_user guest guest").rc != 0
    assert json.loads(instance.run("rabbitmqctl -q --formatter json list_users")) == [{"user": "second", "tags": []}]
    secret = "/opt/second/secrets/broker_password"
    password = instance.run(f"cat {secret}")
    for user, may in (("second", True), ("catmaid", False), ("www-data", False), ("nobody", False)):
        assert (instance.host.run(f"runuser -u {user} -- cat {secret}").rc == 0) is may
    assert instance.host.run(f"grep -rqF -e {password} /opt/second/current/source /etc /var/log").rc == 1
    assert password not in instance.run("journalctl --boot --no-pager")
    assert password not in instance.run("ps axww")


def test_only_one_server_of_pages(instances, play):
    for wrong in ([], ["uwsgi", "gunicorn"], ["celery"]):
        refused = play("provision", catmaid_processes=wrong)
        assert refused.rc != 0
        for instance in instances:
            assert "one of catmaid_processes uwsgi or gunicorn" in refused.messages(instance.name)
