# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import connection, transaction

from catmaid.models import Project

# One row for each thing a user did in a full hour. A node made by an import counts twice: as a node and as imported.
POPULATE = """
    INSERT INTO catmaid_stats_summary (project_id, user_id, date, n_treenodes, n_imported_treenodes,
        n_connector_links, n_reviewed_nodes, n_edited_treenodes, n_edited_connectors, cable_length, import_cable_length)
    SELECT %(project)s, user_id, date_trunc('hour', done),
        count(*) FILTER (WHERE kind IN ('node', 'import')), count(*) FILTER (WHERE kind = 'import'),
        count(*) FILTER (WHERE kind = 'link'), count(*) FILTER (WHERE kind = 'review'),
        count(*) FILTER (WHERE kind = 'node edit'), count(*) FILTER (WHERE kind = 'connector edit'),
        coalesce(sum(length) FILTER (WHERE kind IN ('node', 'import')), 0),
        coalesce(sum(length) FILTER (WHERE kind = 'import'), 0)
    FROM (
        SELECT CASE WHEN t.txid IN (SELECT transaction_id FROM catmaid_transaction_info
                                    WHERE label = 'skeletons.import') THEN 'import' ELSE 'node' END AS kind,
               t.user_id, t.creation_time AS done, ST_3DLength(location_line(t, p)) AS length
        FROM treenode t LEFT JOIN treenode p ON p.id = t.parent_id WHERE t.project_id = %(project)s
        UNION ALL SELECT 'link', user_id, creation_time, 0 FROM treenode_connector WHERE project_id = %(project)s
        UNION ALL SELECT 'review', reviewer_id, review_time, 0 FROM review WHERE project_id = %(project)s
        UNION ALL SELECT 'node edit', editor_id, edition_time, 0 FROM treenode
            WHERE project_id = %(project)s AND edition_time > creation_time
        UNION ALL SELECT 'connector edit', editor_id, edition_time, 0 FROM connector
            WHERE project_id = %(project)s AND edition_time > creation_time
    ) AS done
    WHERE done < date_trunc('hour', now()) AND done >= %(since)s
    GROUP BY user_id, date_trunc('hour', done)
"""


def populate_stats_summary(project_id, incremental):
    """Add the statistics of a project, from the hour after the last known one when incremental."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(date) + interval '1 hour' FROM catmaid_stats_summary WHERE project_id = %s", [project_id]
        )
        [since] = cursor.fetchone()
        cursor.execute(POPULATE, {"project": project_id, "since": (incremental and since) or "-infinity"})


def refresh(project_ids, clean, log=lambda line: None):
    projects = [int(project_id) for project_id in project_ids or Project.objects.values_list("id", flat=True)]
    if clean:
        with connection.cursor() as cursor:
            # Quirk: committed at once, so whoever dies before the end leaves an empty table behind.
            if project_ids:
                cursor.execute("DELETE FROM catmaid_stats_summary WHERE project_id = ANY(%s)", [projects])
            else:
                cursor.execute("TRUNCATE catmaid_stats_summary")
    for project_id in projects:
        populate_stats_summary(project_id, not clean)
        log(f"Computed statistics for project {project_id}")
