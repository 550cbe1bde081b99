# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody who came before the maintenance page is left at the door."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import verification
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.request import Release, Request


def asked(*direct: str) -> Request:
    old = Release("/old", "2030.01.15")
    return Request("x", "upgrade", "catmaid", "/", [], "/", old, old, "catmaid", {}, direct=list(direct))


def test_it_goes_on_when_all_are_in_who_came_before() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as before:
            waiting = verification.Asking(lambda: verification.let_in(asked(f"127.0.0.1:{port}")))
            first, _address = server.accept()
            before.sendall(b"me")
            assert first.recv(2) == b"me"
            second, _address = server.accept()
            assert b"GET /version" in second.recv(1000)
            second.sendall(b"HTTP/1.1 500 Whatever\r\nContent-Length: 0\r\n\r\n")
            waiting.answered()


def test_nobody_is_waited_for_where_nobody_listens() -> None:
    verification.let_in(asked("unix:/run/nowhere.sock"))


def test_it_is_said_which_page_is_not_answered() -> None:
    told = b'{"SERVER_VERSION": "2030.01.15"}'
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        request = asked(address)
        asking = verification.Asking(lambda: verification.served(request, request.new, address, static=False))
        first, _address = server.accept()
        with first:
            assert b"GET /version" in first.recv(1000)
            first.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))
        second, _address = server.accept()
        second.close()
        with pytest.raises(CatmaidError, match=f"asking {address} for .*: no answer to /: "):
            asking.answered()
