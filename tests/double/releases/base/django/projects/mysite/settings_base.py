# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all instances have in common. An instance's settings.py imports every name of this file and adds its own."""

import os
import sys

from mysite.utils import get_version

PROJECT_ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
for folder in ("applications", "lib"):
    sys.path.insert(0, os.path.join(os.path.dirname(PROJECT_ROOT), folder))

VERSION = get_version()

# Names of applications that add to CATMAID. settings.py turns them into installed applications.
INSTALLED_EXTENSIONS = ()
INSTALLED_APPS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.admin",
    "catmaid.apps.CATMAIDConfig",
)
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "catmaid.storage.CompressedManifestStorage"},
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(asctime)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"catmaid": {"level": "INFO"}},
}
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
ASGI_APPLICATION = "mysite.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 80 * 1024 * 1024

# CATMAID's own settings
HISTORY_TRACKING = True
SPATIAL_UPDATE_NOTIFICATIONS = False
PREPARED_STATEMENTS = False
NODE_PROVIDERS = ["postgis3d"]
NODE_LIST_MAXIMUM_COUNT = 3500
ONTOLOGY_DUMMY_PROJECT_ID = -1
STATIC_EXTENSION_FILES = []
STATIC_EXTENSION_URL = "/staticext/"
STATIC_EXTENSION_ROOT = "/tmp"
MEDIA_SUBDIRECTORIES = ["hdf5", "cropping", "roi", "treenode_archives", "export", "cache"]
