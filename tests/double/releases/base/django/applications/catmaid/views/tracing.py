# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import connection
from django.http import Http404, JsonResponse
from django.views.decorators.http import require_POST

from catmaid.models import Project


def rows(query, *values):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return [list(row) for row in cursor.fetchall()]


def projects(request):
    return JsonResponse(list(Project.objects.order_by("id").values("id", "title", "comment")), safe=False)


def skeletons(request, project_id):
    found = rows("SELECT skeleton_id FROM catmaid_skeleton_summary WHERE project_id = %s ORDER BY 1", project_id)
    return JsonResponse([row[0] for row in found], safe=False)


def node_count(request, project_id, skeleton_id):
    [[count]] = rows(
        "SELECT count(*) FROM treenode WHERE project_id = %s AND skeleton_id = %s", project_id, skeleton_id
    )
    return JsonResponse({"skeleton_id": skeleton_id, "count": count})


def compact_detail(request, project_id, skeleton_id):
    """All nodes and links of a skeleton, nodes only with an edge: a broken materialization shows here."""
    nodes = rows(
        """SELECT t.id, t.parent_id, t.user_id, location_x, location_y, location_z, radius, confidence
           FROM treenode t JOIN treenode_edge e ON e.id = t.id
           WHERE t.project_id = %s AND skeleton_id = %s ORDER BY t.id""",
        project_id,
        skeleton_id,
    )
    if not nodes:
        raise Http404
    links = rows("SELECT treenode_id, connector_id FROM treenode_connector WHERE skeleton_id = %s", skeleton_id)
    return JsonResponse([nodes, links, {}], safe=False)


@require_POST
def create_treenode(request, project_id):
    """Add a node to an existing one: the way in which people write."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "Permission denied"}, status=403)
    user = request.user.pk
    rows("SELECT set_config('catmaid.user_id', %s, true)", str(user))
    rows(
        """INSERT INTO catmaid_transaction_info (user_id, project_id, change_type, label)
           VALUES (%s, %s, 'Backend', 'treenodes.create') RETURNING 1""",
        user,
        project_id,
    )
    created = rows(
        """INSERT INTO treenode (project_id, user_id, editor_id, parent_id, skeleton_id,
                                 location_x, location_y, location_z, radius)
           SELECT project_id, %s, %s, id, skeleton_id, %s, %s, %s, -1 FROM treenode
           WHERE id = %s AND project_id = %s RETURNING id, skeleton_id""",
        *[user, user],
        *[float(request.POST[axis]) for axis in "xyz"],
        *[request.POST["parent_id"], project_id],
    )
    if not created:
        raise Http404
    return JsonResponse({"treenode_id": created[0][0], "skeleton_id": created[0][1]})
