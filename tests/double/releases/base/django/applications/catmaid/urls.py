# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.urls import path

from catmaid.views import accounts, home, nodes, tracing

urlpatterns = [
    path("", home.index),
    path("version", home.version),
    path("accounts/login", accounts.login_user, name="login"),
    path("projects/", tracing.projects),
    path("<int:project_id>/skeletons/", tracing.skeletons),
    path("<int:project_id>/skeletons/<int:skeleton_id>/node-count", tracing.node_count),
    path("<int:project_id>/skeletons/<int:skeleton_id>/compact-detail", tracing.compact_detail),
    path("<int:project_id>/node/list", nodes.node_list),
    path("<int:project_id>/treenode/create", tracing.create_treenode),
]
