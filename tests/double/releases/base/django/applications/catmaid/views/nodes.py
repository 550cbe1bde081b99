# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a viewer shows: found by the geometry tables, so nothing that they lack."""

from django.conf import settings
from django.http import JsonResponse

from catmaid.views.tracing import rows

CORNERS = ("left", "top", "z1", "right", "bottom", "z2")
NODES = """
    SELECT t.id, t.parent_id, location_x, location_y, location_z, confidence, radius, skeleton_id,
           extract(epoch FROM edition_time)::float8, user_id
    FROM treenode_edge e JOIN treenode t ON t.id = e.id
    WHERE e.project_id = %s AND e.edge &&& ST_3DMakeBox(ST_MakePoint(%s, %s, %s), ST_MakePoint(%s, %s, %s))::geometry
    LIMIT %s"""


def node_list(request, project_id):
    """Nodes and connectors in a box, labels, and whether there are more than are told."""
    box = [float(request.GET.get(corner, 0)) for corner in CORNERS]
    limit = settings.NODE_LIST_MAXIMUM_COUNT
    nodes = rows(NODES, project_id, *box, limit)
    return JsonResponse([nodes, [], {}, len(nodes) == limit, {}], safe=False)
