# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Websockets, which need a channel layer that works: whoever comes is told what the others say."""

from asgiref.sync import async_to_sync
from channels.generic.websocket import WebsocketConsumer

EVERYBODY = "updates"


class Updates(WebsocketConsumer):
    def connect(self):
        async_to_sync(self.channel_layer.group_add)(EVERYBODY, self.channel_name)
        self.accept()

    def disconnect(self, code):
        async_to_sync(self.channel_layer.group_discard)(EVERYBODY, self.channel_name)

    def receive(self, text_data):
        async_to_sync(self.channel_layer.group_send)(EVERYBODY, {"type": "said", "text": text_data})

    def said(self, event):
        self.send(text_data=event["text"])
