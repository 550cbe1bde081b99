# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.http import JsonResponse


class PrivateProjects:
    """Show skeletons to those alone who have logged in, as CATMAID does unless a project is public."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if "/skeletons/" in request.path and not request.user.is_authenticated:
            return JsonResponse({"error": "Permission denied"}, status=403)
        return self.get_response(request)
