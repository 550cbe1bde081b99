# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way to run a project's manage.py commands, and to ask it questions, on a database that is proved first.

A rebuild that fell back to the database of settings.py would empty the tables of the live instance. So the settings
are turned to the named database inside the child, and every connection that Django opens there is compared with what
our own login sees (name, oid, start of the server) before any code of the project can use it.
"""

from __future__ import annotations

import json
import pkgutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import command
from ..command import Result
from ..errors import CatmaidError
from ..postgres.server import Server
from . import candidate, child, code, footprints, imports, pages, quiet, running, trial
from .held import Held
from .project import Project

BOOTSTRAP = "import os; exec(compile(os.environ['CATMAID_ADMIN_CHILD'], 'catmaid.admin', 'exec'))"
MARK = "\x1e"
# Named by the modules, so that Ansible sends them along
CANDIDATE = candidate.__name__.rpartition(".")[2]
QUIET = quiet.__name__.rpartition(".")[2]

SETTINGS = (
    "ALLOWED_HOSTS",
    "CATMAID_URL",
    "DEBUG",
    "HISTORY_TRACKING",
    "MEDIA_ROOT",
    "NODE_PROVIDERS",
    "SPATIAL_UPDATE_NOTIFICATIONS",
    "STATIC_ROOT",
    "TIME_ZONE",
)

Events = list[dict[str, Any]]


@dataclass(frozen=True)
class Identity:
    """A database that our own login has seen."""

    name: str
    oid: str
    started: str
    owner: str
    server_version: int

    @property
    def proof(self) -> list[str]:
        """What the child has to find as well."""
        return [self.name, self.oid, self.started]


class ChildError(CatmaidError):
    """A failure inside the project's own Python: ``events`` tell how far it came, ``sqlstate`` what the server said."""

    def __init__(
        self, doing: str, cause: str, events: Events, remedy: str = "", sqlstate: str = "", **more: Any
    ) -> None:
        self.events = events
        self.sqlstate = sqlstate
        super().__init__(doing, cause, remedy, **more)


@dataclass
class Runner:
    """Runs what belongs to ``project`` on ``database`` of ``server``.

    manage.py logs in as the settings say: what it makes must belong to the role of the instance. Where those lead to
    another server than ours, their login is tried at ours, if the project is to follow it. Else the login of ``server``
    is used, if it has a password, and acts as the owner of the database.
    """

    project: Project
    server: Server
    database: str
    folder: str = ""  # where children keep what is temporary, instead of the usual place
    _identity: Identity | None = field(default=None, repr=False)
    _held: dict[str, Held] = field(default_factory=dict, repr=False)

    def identity(self) -> Identity:
        """Return what our own login sees of the database; asked once."""
        if self._identity is None:
            with self.server.connect(self.database) as connection, connection.cursor() as cursor:
                cursor.execute(child.IDENTITY)
                name, oid, started = cursor.fetchone()
                cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
                owner = cursor.fetchone()[0]
                self._identity = Identity(str(name), str(oid), str(started), str(owner), connection.server_version)
        return self._identity

    def settings(self, names: Sequence[str] = SETTINGS) -> dict[str, Any]:
        """Return what the settings module holds, the versions of Python and Django; needs no database."""
        return self._ask("reading the settings", "settings", names=list(names))

    def code(self) -> dict[str, Any]:
        """Return the migrations and apps that the code has, and where its settings lead; needs no database."""
        return self._ask("reading the migrations", "code", source=source(code.__name__.rpartition(".")[2]))

    def trial(self, text: str, path: str, names: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
        """Return what ``text`` would say as the settings file ``path``, if the application starts with it.

        Of ``names`` the "values", and of ``keys`` those of the default "database". Needs no database.
        """
        more = {"candidate": text, "path": path, "names": list(names), "keys": list(keys)}
        more["source"] = source(trial.__name__.rpartition(".")[2])
        return self._ask("starting with the new settings", "code", **more)

    def plan(self, app: str = "", migration: str = "", fake_first: tuple[str, str] | None = None) -> dict[str, Any]:
        """Return what migrate would do, in a session that cannot write."""
        return self._ask("planning migrations", "plan", app=app, migration=migration, fake_first=fake_first)

    def migrate(
        self,
        *args: str,
        fake_first: tuple[str, str] | None,
        application: str,
        lock_timeout: int,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        watch: bool = False,
        **options: Any,
    ) -> Events:
        """Run migrate and return its events; ``fake_first`` is recorded before, with all that it depends on.

        With ``watch`` the last of them tells what the migrations lock, and of which tables they change rows.
        """
        events, _output = self._run(
            "running migrate",
            "migrate",
            session=session(self.identity().server_version, lock_timeout),
            application=application,
            on_event=on_event,
            fake_first=fake_first,
            args=list(args),
            options=options,
            source=source(footprints.__name__.rpartition(".")[2]) if watch else "",
        )
        return events

    def command(
        self,
        names: Sequence[str],
        *args: str,
        stdin: str | None = None,
        lock_timeout: int = 0,
        atomic: bool = False,
        application: str = "",
        **options: Any,
    ) -> str:
        """Run a manage.py command, the first of ``names`` that the release has, and return what it printed.

        Without the system checks: CATMAID's write to the database. ``atomic`` puts all it does into one transaction.
        """
        _events, output = self._run(
            f"running {names[0]}",
            "command",
            session=session(self.identity().server_version, lock_timeout),
            application=application,
            stdin=stdin,
            source=source(running.__name__.rpartition(".")[2]),
            names=list(names),
            args=list(args),
            options=options,
            atomic=atomic,
        )
        return output

    def make_superuser(self, username: str, email: str, password: str) -> None:
        """Make a superuser that does not exist yet."""
        self._run(
            f"making the superuser {username}",
            "superuser",
            session=session(self.identity().server_version, 10),
            source=source(running.__name__.rpartition(".")[2]),
            username=username,
            email=email,
            password=password,
        )

    def pages(self, wanted: Sequence[str], *, read_only: bool) -> dict[str, Any]:
        """Return what the release's own WSGI application answers to these pages, logged in as a superuser.

        With ``read_only`` the session of the database cannot write.
        """
        session = {"default_transaction_read_only": "on" if read_only else "off", "lock_timeout": "10s"}
        events, _output = self._run(
            "asking for the pages",
            "pages",
            session=session,
            isolated=True,
            source=source(pages.__name__.rpartition(".")[2]),
            pages=list(wanted),
            make_user=not read_only,
        )
        return dict(events[-1]["value"])

    def hold(self, operation: str) -> None:
        """Start the child of "migrate" or "pages" now: it imports all it needs, and waits until that is asked for.

        Raises when it cannot. Only then is the database asked for its identity again, and connected to.
        """
        doing = f"importing {self.project.path}"
        session = {"default_transaction_read_only": "on", "lock_timeout": "10s"}
        config = self._config(operation, session, isolated=operation == "pages")
        importing = pages if operation == "pages" else imports
        config["held"] = source(importing.__name__.rpartition(".")[2])
        self._held[operation] = Held(lambda **more: self._start(doing, config, **more))
        result = self._held[operation].wait()
        if result:
            del self._held[operation]
            _outcome(doing, result, self)
        self._identity = None

    def let_go(self) -> None:
        """End the children that nobody has asked for anything."""
        while self._held:
            self._held.popitem()[1].end()

    def _ask(self, doing: str, operation: str, **values: Any) -> dict[str, Any]:
        session = {"default_transaction_read_only": "on", "lock_timeout": "10s"}
        events, _output = self._run(doing, operation, session=session, isolated=True, **values)
        return dict(events[-1]["value"])

    def _run(
        self,
        doing: str,
        operation: str,
        *,
        session: Mapping[str, str],
        isolated: bool = False,
        application: str = "",
        stdin: str | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        **values: Any,
    ) -> tuple[Events, str]:
        doing = f"{doing} of {self.project.path}"
        self.project.validate()
        config = {**self._config(operation, session, isolated, application), **values}
        if config["database"]:
            doing = f"{doing} on database {self.database}"
        seen = (lambda line: _progress(line, on_event)) if on_event else None
        held = self._held.pop(operation, None)
        if held:
            return _outcome(doing, held.go(json.dumps(config), seen), self)
        return _outcome(doing, self._start(doing, config, stdin=stdin, on_stderr=seen), self)

    def _config(
        self, operation: str, session: Mapping[str, str], isolated: bool, application: str = ""
    ) -> dict[str, Any]:  # fmt: skip
        """Return what the child is told, whatever it is to do."""
        config: dict[str, Any] = {
            "settings": self.project.settings,
            "operation": operation,
            "session": dict(session),
            "isolated": isolated,
            "database": "",
        }
        if operation == "code":
            config.update(expected=[], owner="", fallback=None, place=None, application="catmaid.admin")
        elif operation != "settings":
            identity = self.identity()
            config.update(
                database=self.database,
                expected=identity.proof,
                owner=identity.owner,
                fallback=_login(self.server),
                place=_place(self.server) if self.project.follows_login else None,
                application=application or f"catmaid.admin/{uuid.uuid4().hex[:8]}",
            )
        return config

    def _start(self, doing: str, config: Mapping[str, Any], **more: Any) -> Result:
        """Run a child to its end."""
        env = {
            **self.project.environment(),
            "CATMAID_ADMIN_CHILD": "".join(
                map(source, [*([CANDIDATE] if "candidate" in config else []), QUIET, "child"])
            ),
            "CATMAID_ADMIN_SHIM": json.dumps(config),
        }
        if self.folder:
            env["TMPDIR"] = self.folder
        if config["isolated"] and not config.get("held"):
            # A question leaves no files in the source code. A release that is about to serve is compiled, though.
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        return command.run(
            [self.project.python, "-c", BOOTSTRAP, "catmaid.admin", config["operation"]],
            doing=doing,
            user=self.project.os_user,
            env=env,
            cwd=self.project.folder,
            secrets=self.server.secrets,
            ok=None,
            **more,
        )


def _outcome(doing: str, result: command.Result, runner: Runner) -> tuple[Events, str]:
    """Return the events and the printed text of a child that succeeded, or raise what it died of."""
    events: Events = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    last = events[-1] if events else {"event": ""}
    if result.rc == 0 and last["event"] == "result":
        return events, str(last["output"])
    if last["event"] == "wrong":
        raise ChildError(
            doing,
            f"the settings of the project lead to {last['found']}, not to database {runner.database} "
            f"on {runner.server.address} port {runner.server.port}; nothing was run",
            events,
            "Let login_host and login_port name the server of the settings, or give login_user and login_password "
            "of the server that is meant.",
        )
    if last["event"] == "error":
        raise ChildError(
            doing,
            f"{last['type']}: {_first_line(last['message'])}",
            events,
            sqlstate=str(last["sqlstate"] or ""),
            where=last["where"],
            output=last["output"][-2000:],
        )
    stderr = [line for line in result.stderr.splitlines() if line and not line.startswith(MARK)]
    if result.rc < 0:
        cause = f"it was ended by signal {-result.rc}"
    else:
        cause = f"Python ended with code {result.rc}: " + " | ".join(stderr[-5:])
    raise ChildError(doing, cause, events, rc=result.rc, stderr="\n".join(stderr[-20:]))


def _login(server: Server) -> dict[str, Any] | None:
    """Return the login of ``server`` as Django's settings have it; none when it has no password to give away."""
    if not server.password:
        return None
    options = {"sslmode": server.ssl_mode}
    if server.ca_cert:
        options["sslrootcert"] = server.ca_cert
    return {
        "HOST": server.address,
        "PORT": str(server.port),
        "USER": server.user,
        "PASSWORD": server.password,
        "OPTIONS": options,
    }


def _place(server: Server) -> dict[str, str]:
    """Return where ``server`` is, as Django's settings have it: for their password, so by no socket."""
    return {"HOST": server.host or "127.0.0.1", "PORT": str(server.port)}


def source(name: str) -> str:
    """Return the text of one of the files beside this one."""
    # Read through the loader, because the engine can be inside the zip file of an Ansible module.
    text = pkgutil.get_data(__package__ or "", f"{name}.py")
    if text is None:  # pragma: no cover (every loader that Python has can read its own source)
        raise CatmaidError(
            "starting manage.py", f"the engine's file {name}.py cannot be read", "Reinstall the collection."
        )
    return text.decode()


def _progress(line: str, on_event: Callable[[dict[str, Any]], None]) -> None:
    if line.startswith(MARK):
        on_event(json.loads(line[len(MARK) :]))


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")


def session(server_version: int, lock_timeout: int) -> dict[str, str]:
    """Return the settings of a session that works for long: patient with itself, not with others."""
    settings = {"lock_timeout": f"{lock_timeout}s", "statement_timeout": "0"}
    if server_version >= 140000:
        # Without it the server would finish the statement of a killed client, and hold its locks until then.
        settings["client_connection_check_interval"] = "1s"
    return settings


def application(job: str) -> str:
    """Return a name under which the sessions of one job are found in pg_stat_activity."""
    return f"catmaid.admin/{job}/{uuid.uuid4().hex[:8]}"
