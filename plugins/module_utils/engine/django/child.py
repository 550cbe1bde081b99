# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far side of the shim: runs in the project's own Python, before and around its manage.py commands.

The text of this file is handed to that interpreter, which can be as old as Python 3.6 with Django 1.8: nothing newer
may be used here, and nothing of the engine can be imported. Its own standard output carries one JSON event a line;
whatever the project prints goes elsewhere, so it can never be mistaken for an event.
"""

# ruff: noqa: UP006, UP035
# mypy: disable-error-code="import-not-found, import-untyped"

import importlib
import io
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import traceback
from typing import Any, Dict, List, Optional, Tuple

WRONG_DATABASE = 75  # the exit code for "not the database that was meant": nothing of the project's has run on it
OUTPUT_KEPT = 20000

IDENTITY = """SELECT current_database(),
    (SELECT oid::text FROM pg_database WHERE datname = current_database()),
    extract(epoch FROM pg_postmaster_start_time())::text"""

Config = Dict[str, Any]


class Channel:
    """Where events go: the real standard output, which is taken away from everybody else."""

    def __init__(self) -> None:
        self.file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self.output = io.StringIO()
        sys.stdout = self.output

    def send(self, event: str, **values: Any) -> None:
        line = json.dumps(dict(values, event=event), default=str) + "\n"
        self.file.write(line)
        self.file.flush()
        if event in ("start", "done", "ready"):
            os.write(2, b"\x1e" + line.encode())  # also at once, for who shows progress


def main() -> None:
    config = json.loads(os.environ.pop("CATMAID_ADMIN_SHIM"))  # type: Config
    os.environ.pop("CATMAID_ADMIN_CHILD", None)
    channel = Channel()
    current = {"migration": None}  # type: Dict[str, Any]
    scratch = config["scratch"] = tempfile.mkdtemp(prefix="catmaid-admin-")
    if config.get("isolated"):
        # A question that is given up leaves no folder behind. A job that writes has to end at once instead.
        signal.signal(signal.SIGTERM, give_up)
    try:
        settings = importlib.import_module(config["settings"])
        if config["operation"] == "code":
            config["found"] = identify(settings.DATABASES["default"])
        if config["operation"] != "settings":
            prepare(config, settings, scratch, channel)
        value = OPERATIONS[config["operation"]](config, channel, current)
        channel.send("result", value=value, output=channel.output.getvalue()[-OUTPUT_KEPT:])
    except (Exception, SystemExit) as error:  # noqa: BLE001 (told to the other side, whatever it is)
        channel.send(
            "error",
            type=type(error).__name__,
            message=str(error).strip(),
            sqlstate=sqlstate(error),
            migration=current["migration"],
            where=frames(error),
            output=channel.output.getvalue()[-OUTPUT_KEPT:],
        )
        raise SystemExit(1) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def give_up(_number: int, _frame: Any) -> None:
    raise SystemExit("ended by SIGTERM")


def prepare(config: Config, settings: Any, scratch: str, channel: Channel) -> None:
    """Turn the settings to the database that is meant, before Django reads them, and watch every connection."""
    default = settings.DATABASES["default"]
    elsewhere = turn(config, default)
    own = dict(default.get("OPTIONS") or {})
    default["OPTIONS"] = options(config, own)

    if elsewhere or config["isolated"]:
        # What belongs to the running instance must not hear of work on another database, nor of a mere question.
        settings.MEDIA_ROOT = scratch
        settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

    from django.db.backends.signals import connection_created

    def prove(connection: Any, **_kwargs: Any) -> None:
        # Leaves at once and for good: an exception could be caught by the project's own code.
        if connection.alias != "default":
            if elsewhere or config["isolated"]:
                channel.send("wrong", found="the second connection of the settings, " + connection.alias)
                os._exit(WRONG_DATABASE)
            return
        with connection.cursor() as cursor:
            cursor.execute(IDENTITY)
            found = [str(value) for value in cursor.fetchone()]
            if found != config["expected"]:
                described = "{} on {} port {}".format(
                    found[0], default.get("HOST") or "the local socket", default.get("PORT") or 5432
                )
                channel.send("wrong", found=described)
                os._exit(WRONG_DATABASE)

    if config["operation"] != "code":
        connection_created.connect(prove, weak=False)

    import django

    django.setup()
    if config["operation"] == "code":
        return  # which is the same whatever the database
    from django.db import connection

    if config.get("held"):
        wait_for_turn(config, channel)
        connection.settings_dict["OPTIONS"] = options(config, own)
    connection.ensure_connection()
    channel.send("proved", database=config["expected"][0])


def options(config: Config, own: Dict[str, Any]) -> Dict[str, Any]:
    """Return the options of the connection: those of the settings, how patient it is, and the name of the job."""
    found = " ".join(filter(None, [own.get("options"), pgoptions(dict(config["session"], **config.get("more", {})))]))
    return dict(own, options=found, application_name=config["application"])


def wait_for_turn(config: Config, channel: Channel) -> None:
    """Import all that will be needed, say so, and wait for what to do."""
    ask(dict(config, source=config["held"]), channel, None)
    channel.send("ready")
    told = sys.stdin.readline()
    if not told:
        raise SystemExit("nobody wanted it")
    config.update(json.loads(told))


def turn(config: Config, default: Dict[str, Any]) -> bool:
    """Turn a database of the settings to the one that is meant; return whether that is another one."""
    own = default.get("NAME")
    if config["database"]:
        default["NAME"] = config["database"]
    elsewhere = bool(default.get("NAME") != own)
    if config["place"] and not leads_to(default, config["expected"]):
        elsewhere = True
        default.update(config["place"])
    if config["fallback"] and not leads_to(default, config["expected"]):
        elsewhere = True
        default.update(config["fallback"])
        config["more"] = {"role": config["owner"]}
    return elsewhere


def leads_to(database: Dict[str, Any], expected: List[str]) -> bool:
    """Tell whether the settings' own login reaches the database that is meant."""
    return identify(database) == expected


def identify(database: Dict[str, Any]) -> List[str]:
    """Return what the settings' own login sees of their database, nothing if it does not get there."""
    try:
        import psycopg2 as driver
    except ImportError:
        import psycopg as driver  # type: ignore  # (it has no types here: projects bring it, we do not)

    known = ("sslmode", "sslrootcert", "sslcert", "sslkey", "service", "passfile")
    arguments = {key: value for key, value in (database.get("OPTIONS") or {}).items() if key in known}
    for key, name in (("NAME", "dbname"), ("HOST", "host"), ("PORT", "port"), ("USER", "user")):
        if database.get(key):
            arguments[name] = database[key]
    if database.get("PASSWORD"):
        arguments["password"] = database["PASSWORD"]
    try:
        connection = driver.connect(connect_timeout=10, **arguments)
    except driver.Error:
        return []
    try:
        cursor = connection.cursor()
        cursor.execute(IDENTITY)
        return [str(value) for value in cursor.fetchone()]
    finally:
        connection.close()


def pgoptions(session: Dict[str, str]) -> str:
    parts = []
    for name, value in sorted(session.items()):
        parts.append("-c {}={}".format(name, str(value).replace("\\", "\\\\").replace(" ", "\\ ")))
    return " ".join(parts)


def frames(error: BaseException) -> List[str]:
    """Say where an exception came from, without the lines of source: those of a settings file hold passwords."""
    entries = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{entry[0]}:{entry[1]} in {entry[2]}" for entry in entries]


def sqlstate(error: BaseException) -> Optional[str]:
    seen = error  # type: Optional[BaseException]
    while seen is not None:
        code = getattr(seen, "pgcode", None) or getattr(seen, "sqlstate", None)
        if code:
            return str(code)
        seen = seen.__cause__ or seen.__context__
    return None


def read_settings(config: Config, _channel: Channel, _current: Any) -> Dict[str, Any]:
    """Say what the settings hold, without their secrets and without touching a database."""
    import django
    from django.conf import settings

    database = settings.DATABASES["default"]
    found = {name: getattr(settings, name, None) for name in config["names"]}
    found["database"] = {
        "name": str(database.get("NAME") or ""),
        "host": str(database.get("HOST") or ""),
        "port": int(database.get("PORT") or 5432),
        "user": str(database.get("USER") or ""),
        "conn_max_age": database.get("CONN_MAX_AGE", 0),
    }
    return {"settings": found, "python": platform.python_version(), "django": django.get_version()}


def read_plan(config: Config, _channel: Channel, _current: Any) -> Dict[str, Any]:
    """Say what a migrate command would do. Writes nothing, also with a Django that likes to make its table first."""
    import django
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.recorder import MigrationRecorder

    with connection.cursor() as cursor:
        exists = "django_migrations" in connection.introspection.table_names(cursor)
    recorder = MigrationRecorder  # type: Any
    recorder.ensure_schema = lambda self: None
    if not exists:
        recorder.applied_migrations = lambda self: {} if django.VERSION >= (3, 0) else set()

    executor = MigrationExecutor(connection)
    loader = executor.loader
    conflicts = loader.detect_conflicts()
    on_disk = set(loader.disk_migrations)
    replaced = {tuple(key) for migration in loader.disk_migrations.values() for key in migration.replaces}
    unapplied = []  # type: List[List[str]]
    plan = []  # type: List[Dict[str, Any]]
    if not conflicts:
        if hasattr(loader, "check_consistent_history"):
            loader.check_consistent_history(connection)
        unapplied = [
            [m.app_label, m.name] for m, back in executor.migration_plan(loader.graph.leaf_nodes()) if not back
        ]
        first = [tuple(config["fake_first"])] if config["fake_first"] else []
        faked = {(m.app_label, m.name) for m, _back in executor.migration_plan(first)}
        for migration, backwards in executor.migration_plan(targets(config, loader)):
            plan.append(
                {
                    "app": migration.app_label,
                    "name": migration.name,
                    "backwards": bool(backwards),
                    "fake": (migration.app_label, migration.name) in faked,
                    "reversible": all(operation.reversible for operation in migration.operations),
                    "atomic": bool(migration.atomic),
                    "operations": [str(operation.describe()) for operation in migration.operations],
                }
            )
    return {
        "plan": plan,
        "unapplied": unapplied,
        "known": sorted(on_disk | replaced),
        "apps": sorted(loader.migrated_apps | loader.unmigrated_apps),
        "unfinished": [] if unapplied or conflicts else unfinished(connection),
        "conflicts": {app: sorted(names) for app, names in conflicts.items()},
    }


def unfinished(connection: Any) -> List[str]:
    """Return the content types and permissions that a migrate command would still make after its last migration.

    It makes them by signals, when all is applied: one that was killed just then has left nothing to apply.
    """
    from django.apps import apps
    from django.contrib.auth.management import _get_all_permissions

    models = [model for app in apps.get_app_configs() if app.models_module for model in app.get_models()]
    permissions = _get_all_permissions  # type: Any
    types = {(model._meta.app_label, model._meta.model_name) for model in models}
    codenames = {codename for model in models for codename, _name in permissions(model._meta)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT app_label, model FROM django_content_type")
        types -= {tuple(row) for row in cursor.fetchall()}
        cursor.execute("SELECT codename FROM auth_permission")
        codenames -= {row[0] for row in cursor.fetchall()}
    return sorted(f"content type {app}.{model}" for app, model in types) + sorted(
        f"permission {codename}" for codename in codenames
    )


def targets(config: Config, loader: Any) -> List[Tuple[str, Optional[str]]]:
    app, name = config["app"], config["migration"]
    leaves = loader.graph.leaf_nodes()
    if not app:
        return list(leaves)
    if app not in loader.migrated_apps:
        raise LookupError(f"there is no app {app!r} with migrations in this code")
    if not name:
        return [key for key in leaves if key[0] == app]
    if name == "zero":
        return [(app, None)]
    try:
        migration = loader.get_migration_by_prefix(app, name)
    except KeyError:
        raise LookupError(f"the app {app} has no migration {name!r}") from None
    return [(app, str(migration.name))]


def run_migrate(config: Config, channel: Channel, current: Any) -> Dict[str, Any]:
    """Run the migrate command; its own progress hook, not its prose, says what happens and how long it takes."""
    from django.core.management import call_command, get_commands, load_command_class
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    found = get_commands()["migrate"]
    command = found if not isinstance(found, str) else load_command_class(found, "migrate")
    kind = type(command)  # type: Any
    original = kind.migration_progress_callback
    seen = load(config)["watch"](current) if config.get("source") else None

    def note(action: str, migration: Any = None, fake: bool = False) -> None:
        if migration is not None:
            key = [migration.app_label, migration.name]
            if action in ("apply_start", "unapply_start"):
                current.update(migration=key, began=time.time())
                channel.send("start", app=key[0], name=key[1], backwards=action == "unapply_start")
            elif action in ("apply_success", "unapply_success"):
                current["migration"] = None
                seconds, backwards = round(time.time() - current["began"], 3), action == "unapply_success"
                channel.send("done", app=key[0], name=key[1], seconds=seconds, fake=bool(fake), backwards=backwards)

    def watch(self: Any, action: str, migration: Any = None, fake: bool = False) -> None:
        note(action, migration, fake)
        original(self, action, migration, fake)

    kind.migration_progress_callback = watch
    if config["fake_first"]:
        # Not by the command: what its signals start may need columns that only the migrations after this one make.
        executor = MigrationExecutor(connection, note)
        executor.migrate([tuple(config["fake_first"])], fake=True)
    call_command("migrate", *config["args"], **config["options"])
    return {"seen": seen}


def ask(config: Config, _channel: Channel, _current: Any) -> Any:
    """Ask the release something; how, is told by the source that came along."""
    return load(config)["run"](config)


def load(config: Config) -> Dict[str, Any]:
    """Return what the source that came along defines."""
    scope = {"__name__": "catmaid_admin_ask"}  # type: Dict[str, Any]
    exec(compile(config["source"], "catmaid.admin/ask", "exec"), scope)  # noqa: S102 (the engine's own, like this file)
    return scope


OPERATIONS = {
    "settings": read_settings,
    "code": ask,
    "plan": read_plan,
    "migrate": run_migrate,
    "command": ask,
    "superuser": ask,
    "pages": ask,
}

if __name__ == "__main__":
    main()
