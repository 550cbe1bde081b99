# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
pages = get_asgi_application()

from catmaid.consumers import Updates  # noqa: E402 (not before Django is set up)

application = ProtocolTypeRouter(
    {"http": pages, "websocket": URLRouter([path("channels/updates/", Updates.as_asgi())])}
)
