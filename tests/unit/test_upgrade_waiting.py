# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody who came before the maintenance page is left at the door."""

from __future__ import annotations

import socket

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
