# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each release of CATMAID is known to want from those who come to it, oldest first.

What the wanted version itself needs (Python, PostgreSQL, room) is no rule of a release: see rules.of_target.
"""

from __future__ import annotations

from ..progress import size
from .host import CRON, STARTERS, WEB, Host, version
from .rules import ACTION, AUTOMATIC, ERROR, NOTE, Check, Rule

GROWTH = 4  # of a database's bytes, one part in so many is written anew by the migrations of 2020.02.15

DEVELOPMENT = "2021.12.21+"


def _always(text: str) -> Check:
    return lambda _host: text


def _imports(*names: str) -> Check:
    """Settings import one of these modules."""

    def check(host: Host) -> str:
        lines = [f"{name} in line {host.settings.imported[name]}" for name in names if name in host.settings.imported]
        return f"settings.py imports {' and '.join(lines)}" if lines else ""

    return check


def _sets(*names: str, part: bool | None = None) -> Check:
    """Settings set one of these names; with ``part`` only as a whole (false), or only a part of it (true)."""

    def check(host: Host) -> str:
        places = {} if part is True else dict(host.settings.assigned)
        if part is not False:
            places = {**host.settings.filled, **places}
        lines = [f"{name} in line {places[name]}" for name in names if name in places]
        return f"settings.py sets {' and '.join(lines)}" if lines else ""

    return check


def _layers(host: Host) -> str:
    """A part of CHANNEL_LAYERS is set, which is not there any more unless it is set as a whole before."""
    if "CHANNEL_LAYERS" in host.settings.assigned or "CHANNEL_LAYERS" not in host.settings.filled:
        return ""
    return f"settings.py changes CHANNEL_LAYERS in line {host.settings.filled['CHANNEL_LAYERS']} and never sets it"


def _readable(host: Host) -> str:
    return f"settings.py cannot be read: {host.settings.problem}" if host.settings.problem else ""


def _digest(host: Host) -> str:
    lines = [f"{name} in line {line}" for name, line in host.settings.digests.items()]
    return f"settings.py makes a hash of {lines[0]}, which is a text" if lines else ""


def _names(word: str, among: tuple[str, ...]) -> Check:
    """Configuration files of other programs name something."""

    def check(host: Host) -> str:
        paths = host.naming(word, among)
        return f"{word} is named in {', '.join(paths)}" if paths else ""

    return check


def _gzip(host: Host) -> str:
    paths = [path for path in host.naming("gzip_types", WEB) if "application/octet-stream" not in host.texts[path]]
    return f"gzip_types in {', '.join(paths)} lack application/octet-stream" if paths else ""


def _asgi(host: Host) -> str:
    said = host.settings.values.get("ASGI_APPLICATION")
    return f"settings.py sets {said}" if said == "mysite.routing.application" else ""


def _celery(host: Host) -> str:
    paths = [
        path
        for path in host.naming("celery", STARTERS)
        if path.startswith("/etc/supervisor") and "numprocs" not in host.texts[path]
    ]
    return f"there is none in {', '.join(paths)}" if paths else ""


def _trigrams(host: Host) -> str:
    return "" if "pg_trgm" in host.extensions else "the database has no extension pg_trgm"


def _gdal(host: Host) -> str:
    if not host.gdal:
        return "no libgdal was found"
    return "" if host.gdal >= 20 else "it is GDAL 1"


def _postgis(lowest: str) -> Check:
    def check(host: Host) -> str:
        here = host.postgis.extension
        return f"the database has {here}" if here and version(here) < version(lowest) else ""

    return check


def _growth(host: Host) -> str:
    needed = host.database_bytes + host.database_bytes // GROWTH
    if host.database_free is None or host.database_free >= needed:
        return ""
    return f"with the copy that leads back {size(needed)} are needed, {size(host.database_free)} are free"


RULES = (
    Rule(
        "2017.04.20",
        "settings-import",
        "The settings are a package: settings.py begins with everything from mysite.settings_base.",
        _imports("settings_base"),
        ERROR,
        "Write: from mysite.settings_base import *",
    ),
    Rule(
        "2017.07.28",
        "djcelery",
        "Django's database is no message broker any more.",
        _imports("djcelery"),
        ERROR,
        "Remove the lines with djcelery, kombu.transport.django and the BROKER_URL that belongs to them.",
    ),
    Rule(
        "2017.12.07",
        "rest-swagger",
        "The package django-rest-swagger has to go before it comes back in another version.",
        _always("a new virtual environment never had it"),
        AUTOMATIC,
    ),
    Rule(
        "2017.12.07",
        "project-configuration",
        "The configuration of projects has to be brought up to date once.",
        _always("nobody can tell from outside whether it was"),
        ACTION,
        "After the upgrade run: manage.py catmaid_update_project_configuration",
    ),
    Rule(
        "2017.12.07",
        "gzip",
        "Tracing data is sent as bytes, which the web server should compress as well.",
        _gzip,
        ACTION,
        "Add application/octet-stream to gzip_types.",
    ),
    Rule(
        "2018.02.16",
        "python-3-settings",
        "The settings are Python 3.",
        _readable,
        ERROR,
        "Correct that line.",
    ),
    Rule(
        "2018.02.16",
        "cookie-suffix",
        "A hash is made of bytes.",
        _digest,
        ERROR,
        "Add .encode('utf-8') to what the hash is made of, as in COOKIE_SUFFIX.",
    ),
    Rule(
        "2018.02.16",
        "node-providers",
        "Node providers are a list, NODE_PROVIDERS; the old setting is not looked at any more.",
        _sets("NODE_PROVIDER", part=False),
        ACTION,
        "Replace it by NODE_PROVIDERS with a list of that one name.",
    ),
    Rule(
        "2018.02.16",
        "extensions",
        "Extensions of CATMAID are found without being listed among the INSTALLED_APPS.",
        _sets("INSTALLED_APPS"),
        ACTION,
        "Remove extensions of CATMAID from it.",
    ),
    Rule(
        "2019.06.20",
        "compiled-migrations",
        "Compiled files of the migrations have to be deleted.",
        _always("a new source tree has none"),
        AUTOMATIC,
    ),
    Rule(
        "2019.06.20",
        "pg_trgm",
        "A migration needs the extension pg_trgm, which only a superuser may create.",
        _trigrams,
        ERROR,
        "As a superuser, in CATMAID's database: CREATE EXTENSION pg_trgm",
    ),
    Rule(
        "2019.06.20",
        "token-permission",
        "Who writes through the API with a token needs a permission of its own for that.",
        lambda host: "" if _sets("REQUIRE_EXTRA_TOKEN_PERMISSIONS")(host) else "settings.py does not say otherwise",
        ACTION,
        "Give it to the users of tokens, or set REQUIRE_EXTRA_TOKEN_PERMISSIONS = False.",
    ),
    Rule(
        "2020.02.15",
        "postgis-2.5",
        "PostGIS 2.5 or newer is needed.",
        _postgis("2.5"),
        ERROR,
        "Install a newer PostGIS and run ALTER EXTENSION postgis UPDATE.",
    ),
    Rule(
        "2020.02.15",
        "asgi-packages",
        "The packages asgi-ipc and asgi-rabbitmq have to go.",
        _always("a new virtual environment never had them"),
        AUTOMATIC,
    ),
    Rule(
        "2020.02.15",
        "channel-layers",
        "Websockets are configured by CHANNEL_LAYERS, which has no default any more.",
        _layers,
        ERROR,
        "Set CHANNEL_LAYERS as a whole, with channels_rabbitmq or channels_redis behind it.",
    ),
    Rule(
        "2020.02.15",
        "channels-layers",
        "The setting is called CHANNEL_LAYERS.",
        _sets("CHANNELS_LAYERS"),
        ACTION,
        "Rename it.",
    ),
    Rule(
        "2020.02.15",
        "daphne",
        "The server for websockets starts mysite.asgi:application, and has no workers any more.",
        _names("mysite.asgi:channel_layer", STARTERS),
        ACTION,
        "Change the command, and remove the service of daphne's workers.",
    ),
    Rule(
        "2020.02.15",
        "gdal",
        "GDAL 2 or newer is needed.",
        _gdal,
        ERROR,
        "Install gdal-bin of a newer distribution.",
    ),
    Rule(
        "2020.02.15",
        "statistics-command",
        "The command catmaid_populate_summary_tables is called catmaid_refresh_node_statistics.",
        _names("catmaid_populate_summary_tables", CRON),
        ACTION,
        "Rename it there.",
    ),
    Rule(
        "2020.02.15",
        "rewritten-tables",
        "Migrations write the biggest tables anew, for which a quarter of the database has to be free.",
        _growth,
        ERROR,
        "Make room on that disk.",
    ),
    Rule(
        "2020.02.15",
        "error-codes",
        "Errors of the API have HTTP codes of errors.",
        _always("programs of others may rely on 200"),
        NOTE,
    ),
    Rule(
        "2021.12.21",
        "pip",
        "Its requirements cannot be read by pip 24.1 and newer.",
        _always("the new virtual environment gets an older one"),
        AUTOMATIC,
    ),
    Rule(
        DEVELOPMENT,
        "postgis-3.1",
        "PostGIS 3.1 or newer is needed.",
        _postgis("3.1"),
        ERROR,
        "Install a newer PostGIS and run ALTER EXTENSION postgis UPDATE.",
    ),
    Rule(
        DEVELOPMENT,
        "asgi-application",
        "Websockets are served by mysite.asgi.application.",
        _asgi,
        ERROR,
        "Remove ASGI_APPLICATION from settings.py.",
    ),
    Rule(
        DEVELOPMENT,
        "celery-threads",
        "Celery below supervisor needs numprocs = 1.",
        _celery,
        ACTION,
        "Add it to the program.",
    ),
    Rule(
        DEVELOPMENT,
        "reindex",
        "From PostgreSQL 13 on indexes take less room once they are made anew.",
        _always("it can be done at any time afterwards"),
        NOTE,
        "As the owner: REINDEX DATABASE CONCURRENTLY",
    ),
)  # fmt: skip
