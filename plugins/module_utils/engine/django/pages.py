# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a release for its pages, on the far side of the shim: the same rules hold as for child.py.

The release's own WSGI application is served on a socket in a folder that nobody else can enter, and asked over HTTP:
middleware, login, views and templates are all those that people meet. It is one process with one thread for the
server, and no gunicorn or uWSGI: those start processes of their own, which a kill would leave behind, and they read
configurations of their own. Pages want a login. The session for it is a signed cookie, so that no table is written
to, whatever the settings say of sessions; it is a right one, made with the release's own key.
"""

# ruff: noqa: UP006, UP035
# mypy: disable-error-code="import-not-found, import-untyped"

import importlib
import os
import socket
import sys
import threading
from http.client import HTTPConnection
from socketserver import TCPServer
from typing import Any, Dict, List, Optional, Tuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

TIMEOUT = 300
LOCAL_CACHE = "django.core.cache.backends.locmem.LocMemCache"
SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"


class Server(WSGIServer):
    """A server on a Unix socket."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 80
        self.setup_environ()

    def get_request(self) -> Tuple[Any, Any]:
        connection, _address = self.socket.accept()
        return connection, ("127.0.0.1", 0)  # a Unix socket has no address, and Django wants one


class Handler(WSGIRequestHandler):
    """Serves without a log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name in the base class)
        pass


class Connection(HTTPConnection):
    """A client's connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        HTTPConnection.__init__(self, "localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


def run(config: Dict[str, Any]) -> Dict[str, Any]:
    """Return what the pages of ``config`` answer, and as whom they were asked; without pages, be ready to be asked."""
    from django.conf import settings
    from django.core.signals import got_request_exception

    # Before anything is imported: middleware looks at them once, when CATMAID's WSGI module makes the application.
    settings.SESSION_ENGINE = SIGNED_COOKIES
    settings.CACHES = {name: {"BACKEND": LOCAL_CACHE, "LOCATION": name} for name in settings.CACHES}
    if "pages" not in config:
        return get_ready(settings)
    errors = []  # type: List[str]

    def note(**_about: Any) -> None:
        error = sys.exc_info()[1]
        errors.append(f"{type(error).__name__}: {error}")

    got_request_exception.connect(note, weak=False)
    user = somebody(config["make_user"])
    headers = {"Host": host(settings), "X-Requested-With": "XMLHttpRequest"}
    if user is not None:
        headers["Cookie"] = f"{settings.SESSION_COOKIE_NAME}={session(user)}"
    path = os.path.join(config["scratch"], "wsgi.sock")
    address = path  # type: Any
    server = Server(address, Handler)
    server.set_app(application(settings))
    # As behind a web server that speaks TLS: else settings that want it would send us elsewhere.
    server.base_environ["HTTPS"] = "on"
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        name, value = settings.SECURE_PROXY_SSL_HEADER[:2]
        server.base_environ[name] = value
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.daemon = True
    thread.start()
    try:
        answers = [ask(path, page, headers, errors) for page in config["pages"]]
    finally:
        server.shutdown()
        server.server_close()
    return {"user": user.get_username() if user is not None else "", "answers": answers}


def get_ready(settings: Any) -> Dict[str, Any]:
    """Import what pages need, and leave no connection that could have been opened by that."""
    from django.db import connections

    application(settings)
    importlib.import_module(settings.ROOT_URLCONF)
    for name in connections:
        connections[name].close()
    return {}


def ask(path: str, page: str, headers: Dict[str, str], errors: List[str]) -> Dict[str, Any]:
    """Return what a page answers, and the exception of the application where there was one."""
    del errors[:]
    connection = Connection(path)
    try:
        connection.request("GET", page, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        return {"page": page, "status": answer.status, "body": body, "error": "; ".join(errors)}
    finally:
        connection.close()


def application(settings: Any) -> Any:
    """Return the release's WSGI application, as its servers load it."""
    module, name = (settings.WSGI_APPLICATION or "mysite.wsgi.application").rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def host(settings: Any) -> str:
    """Return a name that the release listens to."""
    names = [name for name in settings.ALLOWED_HOSTS if name != "*"]
    return str(names[0]).lstrip(".") if names else "localhost"


def somebody(make: bool) -> Optional[Any]:
    """Return a user who may see everything; where there is none, make one if that is allowed."""
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    found = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if found is None and make:
        found = users.create_superuser("catmaid_drill", "drill@example.org", None)
    return found


def session(user: Any) -> str:
    """Return the cookie of a session in which ``user`` is logged in."""
    from django.conf import settings
    from django.contrib import auth

    store = importlib.import_module(SIGNED_COOKIES).SessionStore()
    store[auth.SESSION_KEY] = user._meta.pk.value_to_string(user)
    store[auth.BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return str(store.session_key)
