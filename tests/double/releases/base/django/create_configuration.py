# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write settings.py and django.wsgi from their examples. Works in the folder of this file only."""

import datetime
import os
import random
import re
import string

import configuration as given

PLACES = {
    "CATMAIDPATH": given.abs_catmaid_path,
    "PYTHONLIBPATH": given.abs_virtualenv_python_library_path,
    "CATMAID_DATABASE_HOST": getattr(given, "catmaid_database_host", ""),
    "CATMAID_DATABASE_PORT": getattr(given, "catmaid_database_port", ""),
    "CATMAID_DATABASE_NAME": given.catmaid_database_name,
    "CATMAID_DATABASE_USERNAME": given.catmaid_database_username,
    "CATMAID_DATABASE_PASSWORD": given.catmaid_database_password,
    # Quirk P13: a new key each time, which ends every session.
    "CATMAID_SECRET_KEY": "".join(random.choice(string.ascii_letters + string.digits) for _ in range(50)),
    "CATMAID_TIMEZONE": given.catmaid_timezone,
    "CATMAID_WRITABLE_PATH": given.catmaid_writable_path,
    "CATMAID_SERVERNAME": given.catmaid_servername,
    "CATMAID_SUBDIR": given.catmaid_subdirectory,
}


def write(path: str) -> None:
    if os.path.exists(path):
        now = datetime.datetime.now()
        old = f"{path}.backup-{now.year}-{now.month}-{now.day}-{now.hour}-{now.minute}-{now.second}"
        os.rename(path, old)
        print(f"Kept the existing file as {old}")
    with open(f"{path}.example") as source:
        text = source.read()
    for place, value in PLACES.items():
        # Quirk P13: the value is a replacement pattern, so backslashes in it are eaten.
        text = re.sub(place, value, text)
    # Quirk P13: an empty sub-directory leaves double slashes; passwords lose theirs, too.
    text = re.sub(r"(?<!http:)(?<!https:)//", "/", text)
    if not given.catmaid_subdirectory:
        text = re.sub("(?m)^FORCE_SCRIPT_NAME", "# FORCE_SCRIPT_NAME", text)
    with open(path, "w") as target:
        target.write(text)


for name in ("django.wsgi", "settings.py"):
    write(f"projects/mysite/{name}")
print("The configuration is written. Now configure a web server.")
