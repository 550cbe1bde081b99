# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.contrib.auth import authenticate, login
from django.http import JsonResponse
from django.views.decorators.csrf import ensure_csrf_cookie


@ensure_csrf_cookie
def login_user(request):
    """Say who is logged in; a POST of name and pwd logs in first."""
    if request.method == "POST":
        user = authenticate(request, username=request.POST.get("name"), password=request.POST.get("pwd"))
        if user is None:
            return JsonResponse({"error": "Sorry, your login or password is not correct."}, status=401)
        login(request, user)
    return JsonResponse({"userid": request.user.pk, "username": request.user.get_username()})
