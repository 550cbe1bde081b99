# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules share: argument pieces, and the one place that calls fail_json.

Note that this module util is **PRIVATE** to the collection: it can change with any release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .engine import locks
from .engine.backups import prune, store
from .engine.backups.retention import Policy
from .engine.django.project import Project
from .engine.errors import CatmaidError
from .engine.postgres import identity
from .engine.postgres.server import Server


def login_argument_spec() -> dict[str, Any]:
    """Return the options of the doc fragment catmaid.admin.login."""
    return {
        "login_db": {"type": "str", "required": True},
        "login_host": {"type": "str", "default": ""},
        "login_port": {"type": "int", "default": 5432},
        "login_user": {"type": "str", "default": "postgres"},
        "login_password": {"type": "str", "no_log": True},
        "login_pgpass": {"type": "path", "no_log": False},
        "login_unix_socket": {"type": "str", "default": ""},
        "ssl_mode": {
            "type": "str",
            "default": "prefer",
            "choices": ["allow", "disable", "prefer", "require", "verify-ca", "verify-full"],
        },
        "ca_cert": {"type": "path"},
    }


def project_argument_spec() -> dict[str, Any]:
    """Return the options of the doc fragment catmaid.admin.project."""
    return {
        "project_path": {"type": "path", "required": True},
        "virtualenv": {"type": "path", "required": True},
        "project_user": {"type": "str"},
        "settings": {"type": "str", "default": "mysite.settings"},
        "follow_login": {"type": "bool", "default": False},
    }


def site_argument_spec() -> dict[str, Any]:
    """Return the options of the doc fragment catmaid.admin.site."""
    return {
        "server_name": {"type": "str", "required": True},
        "https": {"type": "bool", "default": False},
        "port": {"type": "int", "default": 0},
        "url_prefix": {"type": "str", "default": ""},
    }


def lock_argument_spec() -> dict[str, Any]:
    """Return the options of the doc fragment catmaid.admin.lock."""
    # The token is no secret: it tells jobs of one play from others, and who may run a module needs none.
    return {"lock_wait": {"type": "float", "default": 0}, "lock_token": {"type": "str", "default": "", "no_log": False}}


def target_argument_spec() -> dict[str, Any]:
    """Return the suboptions that describe a place off the host."""
    return {
        "name": {"type": "str", "required": True},
        "type": {"type": "str", "default": "rclone", "choices": ["rclone", "rsync"]},
        "path": {"type": "str", "required": True},
        "backend": {"type": "str"},
        "options": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "remote": {"type": "str"},
        "config_file": {"type": "path"},
        "host": {"type": "str"},
        "port": {"type": "int", "default": 22},
        "user": {"type": "str"},
        "key_file": {"type": "path", "no_log": False},
        "known_hosts": {"type": "path"},
        "encrypt": {"type": "bool", "default": True},
        "check": {"type": "str", "default": "contents", "choices": ["contents", "size"]},
        "bandwidth": {"type": "int", "default": 0},
        **{f"keep_{name}": {"type": "int"} for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly")},
        "keep_within": {"type": "str"},
    }


def encryption_argument_spec() -> dict[str, Any]:
    """Return the suboptions that say to whom to encrypt."""
    return {
        "method": {"type": "str", "required": True, "choices": ["age", "gpg"]},
        "recipients": {"type": "list", "elements": "str", "default": []},
        "recipients_files": {"type": "list", "elements": "path", "default": []},
    }


def source_argument_spec() -> dict[str, Any]:
    """Return the suboptions that tell of source code which is not on the host."""
    return {
        "commit": {"type": "str", "required": True},
        "describe": {"type": "str", "required": True},
        "branch": {"type": "str", "default": ""},
        "dirty": {"type": "bool"},
    }


def retention_argument_spec(**defaults: int) -> dict[str, Any]:
    """Return the options that say which backups to keep; a rule without a default keeps none."""
    rules = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    return {
        **{f"keep_{rule}": {"type": "int", "default": defaults.get(rule, 0)} for rule in rules},
        "keep_within": {"type": "str", "default": ""},
        "max_bytes": {"type": "str", "default": "0"},
        "min_free": {"type": "str", "default": "0"},
    }


def retention(params: dict[str, Any]) -> dict[str, Any]:
    """Return what these options say, in the words of prune.Request."""
    rules = ("last", "hourly", "daily", "weekly", "monthly", "yearly", "within")
    return {
        "policy": Policy(**{rule: params[f"keep_{rule}"] for rule in rules}),
        "max_bytes": store.size(params["max_bytes"]),
        "min_free_bytes": store.size(params["min_free"]),
    }


def room(params: dict[str, Any]) -> prune.Request | None:
    """Return what the option of the doc fragment catmaid.admin.make_room lets go; nothing without it."""
    if not params["make_room"]:
        return None
    return prune.Request(params["dest"], params["login_db"], **retention(params["make_room"]))


def server(params: dict[str, Any]) -> Server:
    """Return the server that the login options describe."""
    return Server(
        host=params["login_host"],
        port=params["login_port"],
        user=params["login_user"],
        password=params["login_password"] or "",
        pgpass=params["login_pgpass"] or "",
        unix_socket=params["login_unix_socket"],
        ssl_mode=params["ssl_mode"],
        ca_cert=params["ca_cert"] or "",
    )


def site(params: dict[str, Any]) -> tuple[str, bool, str, int]:
    """Return what the engine's Site is made of by the site options.

    What is imported here goes along with every module to the host: the class is not.
    """
    return params["server_name"], params["https"], params["url_prefix"].rstrip("/"), params["port"]


def project(params: dict[str, Any]) -> Project:
    """Return the Django project that the project options describe."""
    return Project(
        path=params["project_path"],
        virtualenv=params["virtualenv"],
        user=params["project_user"],
        settings=params["settings"],
        follows_login=params["follow_login"],
    )


def run(
    module: AnsibleModule, work: Callable[[], dict[str, Any]], *, job: str = "", databases: Sequence[str] = ()
) -> None:  # fmt: skip
    """Exit with what ``work`` returns, or fail with the message of the engine's exception.

    ``job`` is a job that works on these ``databases``, and so holds their locks.
    """
    try:
        with _locked(module, job, databases):
            result = work()
    except CatmaidError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(**result)


@contextmanager
def _locked(module: AnsibleModule, job: str, databases: Sequence[str]) -> Iterator[None]:
    """Hold the job locks of these databases; in check mode nothing is held, because nothing is done."""
    with ExitStack() as stack:
        # In one order for everybody, so that two jobs never wait for each other.
        for name in [] if module.check_mode else sorted(set(databases)):
            key = identity.database_key(server(module.params), name)
            stack.enter_context(locks.hold(key, job, module.params["lock_wait"], module.params["lock_token"]))
        yield
