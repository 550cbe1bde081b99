# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import select

from django.db import connection


def listen(channel, handle):
    """Hand each message of a channel to a function, for ever."""
    with connection.cursor() as cursor:
        cursor.execute(f'LISTEN "{channel}"')
    server = connection.connection
    while True:
        select.select([server], [], [])
        server.poll()
        while server.notifies:
            handle(json.loads(server.notifies.pop(0).payload))
