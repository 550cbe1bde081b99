# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.conf import settings
from django.http import JsonResponse
from django.shortcuts import render

from catmaid.models import Project

GREETING = "Welcome to CATMAID"


def index(request):
    context = {"greeting": GREETING, "version": settings.VERSION, "projects": Project.objects.count()}
    context["extensions"] = [settings.STATIC_EXTENSION_URL + name for name in settings.STATIC_EXTENSION_FILES]
    return render(request, "catmaid/index.html", context)


def version(request):
    return JsonResponse({"SERVER_VERSION": settings.VERSION})
