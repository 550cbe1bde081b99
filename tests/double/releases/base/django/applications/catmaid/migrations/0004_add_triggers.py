# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION location_line(a location, b location) RETURNS geometry LANGUAGE sql IMMUTABLE AS $$
    SELECT ST_MakeLine(ST_MakePoint(a.location_x, a.location_y, a.location_z),
                       ST_MakePoint(b.location_x, b.location_y, b.location_z))
$$;

CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.edition_time := now();
    NEW.txid := txid_current();
    RETURN NEW;
END $$;

-- Skeletons as they are now. num_imported_nodes can't be known from them and stays what it is.
CREATE FUNCTION update_skeleton_summaries(skeletons bigint[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM catmaid_skeleton_summary s
    WHERE skeleton_id = ANY (skeletons)
      AND NOT EXISTS (SELECT FROM treenode t WHERE t.skeleton_id = s.skeleton_id);

    INSERT INTO catmaid_skeleton_summary AS s (skeleton_id, project_id, original_creation_time, last_edition_time,
                                               num_nodes, cable_length, last_editor_id)
    SELECT t.skeleton_id, min(t.project_id), min(t.creation_time), max(t.edition_time), count(*),
           coalesce(sum(ST_3DLength(location_line(t, p))), 0),
           (array_agg(t.editor_id ORDER BY t.edition_time DESC, t.id DESC))[1]
    FROM treenode t LEFT JOIN treenode p ON p.id = t.parent_id
    WHERE t.skeleton_id = ANY (skeletons)
    GROUP BY t.skeleton_id
    ON CONFLICT (skeleton_id) DO UPDATE SET
        project_id = excluded.project_id, last_summary_update = now(),
        original_creation_time = excluded.original_creation_time, last_edition_time = excluded.last_edition_time,
        num_nodes = excluded.num_nodes, cable_length = excluded.cable_length, last_editor_id = excluded.last_editor_id;
$$;

-- Quirk P4: "refresh" forgets which nodes were imported, and who edited last in the eyes of the triggers.
CREATE FUNCTION refresh_skeleton_summary_table() RETURNS void LANGUAGE sql AS $$
    UPDATE catmaid_skeleton_summary SET num_imported_nodes = 0;
    SELECT update_skeleton_summaries(ARRAY(
        SELECT skeleton_id FROM treenode UNION SELECT skeleton_id FROM catmaid_skeleton_summary));
$$;

-- What triggers do beyond a refresh: the application knows better who is editing.
CREATE FUNCTION update_edited_skeleton_summaries(skeletons bigint[]) RETURNS void LANGUAGE sql AS $$
    SELECT update_skeleton_summaries(skeletons);
    UPDATE catmaid_skeleton_summary SET last_editor_id = current_setting('catmaid.user_id')::integer
    WHERE skeleton_id = ANY (skeletons) AND current_setting('catmaid.user_id', true) <> '';
$$;

CREATE FUNCTION on_insert_treenode_update_summary_and_edges() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO treenode_edge (id, parent_id, project_id, edge)
    SELECT t.id, t.parent_id, t.project_id, location_line(t, p)
    FROM new_rows n JOIN treenode t ON t.id = n.id JOIN treenode p ON p.id = coalesce(t.parent_id, t.id);

    PERFORM update_edited_skeleton_summaries(ARRAY(SELECT DISTINCT skeleton_id FROM new_rows));
    IF EXISTS (SELECT FROM catmaid_transaction_info
               WHERE transaction_id = txid_current() AND label = 'skeletons.import') THEN
        UPDATE catmaid_skeleton_summary s SET num_imported_nodes = num_imported_nodes + n.imported
        FROM (SELECT skeleton_id, count(*) AS imported FROM new_rows GROUP BY skeleton_id) AS n
        WHERE n.skeleton_id = s.skeleton_id;
    END IF;
    PERFORM notify_spatial_update(project_id, x, y, z) FROM (
        SELECT DISTINCT project_id, location_x::int / 1000 * 1000, location_y::int / 1000 * 1000,
               location_z::int / 1000 * 1000 FROM new_rows) AS cubes (project_id, x, y, z);
    RETURN NULL;
END $$;

CREATE FUNCTION on_edit_treenode_update_summary_and_edges() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed bigint[] := ARRAY(
        SELECT n.id FROM new_rows n JOIN old_rows o USING (id)
        WHERE (n.location_x, n.location_y, n.location_z, n.project_id) <>
              (o.location_x, o.location_y, o.location_z, o.project_id) OR n.parent_id IS DISTINCT FROM o.parent_id);
BEGIN
    UPDATE treenode_edge e
    SET parent_id = t.parent_id, project_id = t.project_id, edge = location_line(t, p)
    FROM treenode t JOIN treenode p ON p.id = coalesce(t.parent_id, t.id)
    WHERE e.id = t.id AND t.id IN (
        SELECT unnest(changed) UNION SELECT c.id FROM treenode c WHERE c.parent_id = ANY (changed));

    UPDATE treenode_connector_edge e SET edge = location_line(t, c)
    FROM treenode_connector tc JOIN treenode t ON t.id = tc.treenode_id JOIN connector c ON c.id = tc.connector_id
    WHERE e.id = tc.id AND tc.treenode_id = ANY (changed);

    PERFORM update_edited_skeleton_summaries(ARRAY(
        SELECT skeleton_id FROM new_rows UNION SELECT skeleton_id FROM old_rows));
    PERFORM notify_spatial_update(project_id, x, y, z) FROM (
        SELECT DISTINCT project_id, location_x::int / 1000 * 1000, location_y::int / 1000 * 1000,
               location_z::int / 1000 * 1000 FROM new_rows) AS cubes (project_id, x, y, z);
    RETURN NULL;
END $$;

CREATE FUNCTION on_delete_treenode_update_summary_and_edges() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM treenode_edge e USING old_rows o WHERE e.id = o.id;
    PERFORM update_edited_skeleton_summaries(ARRAY(SELECT DISTINCT skeleton_id FROM old_rows));
    RETURN NULL;
END $$;

CREATE FUNCTION on_insert_connector_update_connector_geom() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO connector_geom (id, project_id, geom)
    SELECT id, project_id, ST_MakePoint(location_x, location_y, location_z) FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION on_edit_connector_update_treenode_connector_edges() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE connector_geom g SET project_id = n.project_id, geom = ST_MakePoint(location_x, location_y, location_z)
    FROM new_rows n WHERE n.id = g.id;
    UPDATE treenode_connector_edge e SET edge = location_line(t, c)
    FROM new_rows n JOIN connector c ON c.id = n.id JOIN treenode_connector tc ON tc.connector_id = c.id
        JOIN treenode t ON t.id = tc.treenode_id
    WHERE e.id = tc.id;
    RETURN NULL;
END $$;

CREATE FUNCTION on_edit_treenode_connector_update_edges() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM treenode_connector_edge e USING old_rows o WHERE e.id = o.id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO treenode_connector_edge (id, project_id, edge)
        SELECT n.id, n.project_id, location_line(t, c)
        FROM new_rows n JOIN treenode t ON t.id = n.treenode_id JOIN connector c ON c.id = n.connector_id;
    END IF;
    RETURN NULL;
END $$;

-- Made again by each system check, see quirk P10.
CREATE FUNCTION enable_spatial_update_events() RETURNS void LANGUAGE plpgsql AS $enable$
BEGIN
    PERFORM pg_advisory_xact_lock(7202);
    CREATE OR REPLACE FUNCTION notify_spatial_update(project_id integer, x float8, y float8, z float8)
    RETURNS void LANGUAGE sql AS $$
        SELECT pg_notify('catmaid.spatial-update',
                         json_build_object('project_id', project_id, 'x', x, 'y', y, 'z', z)::text)
    $$;
END $enable$;
CREATE FUNCTION disable_spatial_update_events() RETURNS void LANGUAGE plpgsql AS $disable$
BEGIN
    PERFORM pg_advisory_xact_lock(7202);
    CREATE OR REPLACE FUNCTION notify_spatial_update(project_id integer, x float8, y float8, z float8)
    RETURNS void LANGUAGE sql AS '';
END $disable$;
SELECT disable_spatial_update_events();

CREATE FUNCTION on_update_dirty_node_grid_cache_cell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('catmaid.dirty-cache', json_build_object('grid_id', NEW.grid_id)::text);
    RETURN NULL;
END $$;
"""

TRIGGERS = """
DO $$
DECLARE
    edited text;
BEGIN
    FOREACH edited IN ARRAY ARRAY['class', 'class_instance', 'relation', 'class_instance_class_instance', 'treenode',
            'connector', 'treenode_class_instance', 'treenode_connector'] LOOP
        EXECUTE format('CREATE TRIGGER on_edit_%1$s BEFORE UPDATE ON %1$s FOR EACH ROW EXECUTE FUNCTION on_edit()',
            edited);
    END LOOP;
END $$;
CREATE TRIGGER on_insert_treenode_update_summary_and_edges AFTER INSERT ON treenode
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION on_insert_treenode_update_summary_and_edges();
CREATE TRIGGER on_edit_treenode_update_summary_and_edges AFTER UPDATE ON treenode
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION on_edit_treenode_update_summary_and_edges();
CREATE TRIGGER on_delete_treenode_update_summary_and_edges AFTER DELETE ON treenode
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION on_delete_treenode_update_summary_and_edges();
CREATE TRIGGER on_insert_connector_update_connector_geom AFTER INSERT ON connector
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION on_insert_connector_update_connector_geom();
CREATE TRIGGER on_edit_connector_update_treenode_connector_edges AFTER UPDATE ON connector
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION on_edit_connector_update_treenode_connector_edges();
CREATE TRIGGER on_insert_treenode_connector_update_edges AFTER INSERT ON treenode_connector
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION on_edit_treenode_connector_update_edges();
CREATE TRIGGER on_edit_treenode_connector_update_edges AFTER UPDATE ON treenode_connector
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION on_edit_treenode_connector_update_edges();
CREATE TRIGGER on_delete_treenode_connector_update_edges AFTER DELETE ON treenode_connector
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION on_edit_treenode_connector_update_edges();
CREATE TRIGGER on_update_dirty_node_grid_cache_cell_tgr AFTER INSERT OR UPDATE ON dirty_node_grid_cache_cell
    FOR EACH ROW EXECUTE FUNCTION on_update_dirty_node_grid_cache_cell();
"""


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0003_add_txid_columns")]
    operations = [migrations.RunSQL(FUNCTIONS), migrations.RunSQL(TRIGGERS)]
