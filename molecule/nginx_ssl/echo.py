# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application that tells what it was asked, for WSGI and for ASGI, and that answers with as much as is wanted."""

import json
import os
from urllib.parse import parse_qs

KINDS = {"json": "application/json", "octets": "application/octet-stream", "jpg": "image/jpeg"}


def application(environ, start_response):
    """Answer by WSGI: ``/size?kind=json&bytes=4000`` with so much, anything else with what the application was told."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    query = parse_qs(environ.get("QUERY_STRING", ""))
    if environ["PATH_INFO"].endswith("/size"):
        kind, answer = KINDS[query["kind"][0]], os.urandom(1000) * (int(query["bytes"][0]) // 1000)
    else:
        kind = KINDS["json"]
        told = {name: value for name, value in environ.items() if isinstance(value, str)}
        answer = json.dumps({**told, "scheme": environ["wsgi.url_scheme"], "bytes": len(body)}).encode()
    status = "404 Not Found" if environ["PATH_INFO"].endswith("/missing") else "200 OK"
    # Some headers that are the web server's business.
    headers = [("X-Frame-Options", "DENY"), ("Access-Control-Allow-Origin", "https://application.test")]
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(answer))), *headers])
    return [answer]


async def channels(scope, receive, send):
    """Answer by ASGI: accept a websocket and say what its path is."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    await send({"type": "websocket.send", "text": json.dumps({"path": scope["path"], "headers": headers})})
    await receive()
