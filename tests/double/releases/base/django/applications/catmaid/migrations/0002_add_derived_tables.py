# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations

TABLES = """
CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);

CREATE TABLE treenode_edge (
    id bigint PRIMARY KEY,
    parent_id bigint,
    project_id integer,
    edge geometry(LineStringZ)
);
CREATE TABLE treenode_connector_edge (
    -- That this key refers to its own table is CATMAID's slip, kept on purpose.
    id bigint PRIMARY KEY REFERENCES treenode_connector_edge DEFERRABLE INITIALLY DEFERRED,
    project_id integer REFERENCES project DEFERRABLE INITIALLY DEFERRED,
    edge geometry(LineStringZ)
);
CREATE TABLE connector_geom (
    id bigint REFERENCES connector ON DELETE CASCADE,
    project_id integer REFERENCES project,
    geom geometry(PointZ)
);
DO $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY
            ARRAY[['treenode_edge', 'edge'], ['treenode_connector_edge', 'edge'], ['connector_geom', 'geom']] LOOP
        EXECUTE format('CREATE INDEX %1$s_2d_gist ON %1$s USING gist (%2$s)', pair[1], pair[2]);
        EXECUTE format('CREATE INDEX %1$s_gix ON %1$s USING gist (%2$s gist_geometry_ops_nd)', pair[1], pair[2]);
        EXECUTE format('CREATE INDEX %1$s_z_range_gist ON %1$s
            USING gist (floatrange(st_zmin(%2$s), st_zmax(%2$s), ''[]''))', pair[1], pair[2]);
        EXECUTE format('CREATE INDEX %1$s_project_id_idx ON %1$s (project_id)', pair[1]);
    END LOOP;
END $$;

CREATE TABLE catmaid_stats_summary (
    id serial PRIMARY KEY,
    date timestamptz NOT NULL,
    n_connector_links integer NOT NULL DEFAULT 0,
    n_reviewed_nodes integer NOT NULL DEFAULT 0,
    n_treenodes integer NOT NULL DEFAULT 0,
    n_edited_treenodes integer NOT NULL DEFAULT 0,
    n_edited_connectors integer NOT NULL DEFAULT 0,
    n_imported_treenodes integer NOT NULL DEFAULT 0,
    n_imported_connectors integer NOT NULL DEFAULT 0,
    cable_length float8 NOT NULL DEFAULT 0,
    import_cable_length float8 NOT NULL DEFAULT 0,
    project_id integer NOT NULL REFERENCES project DEFERRABLE INITIALLY DEFERRED,
    user_id integer NOT NULL REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED,
    UNIQUE (project_id, user_id, date)
);
CREATE INDEX ON catmaid_stats_summary (date);
CREATE INDEX ON catmaid_stats_summary (project_id);
CREATE INDEX ON catmaid_stats_summary (user_id);

CREATE TABLE node_query_cache (
    id serial PRIMARY KEY,
    project_id integer NOT NULL REFERENCES project,
    orientation integer NOT NULL DEFAULT 0,
    depth real NOT NULL,
    json_data jsonb,
    json_text_data text,
    msgpack_data bytea,
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, orientation, depth)
);
CREATE INDEX ON node_query_cache (project_id, orientation, depth);

CREATE TABLE catmaid_skeleton_summary (
    skeleton_id bigint NOT NULL REFERENCES class_instance ON DELETE CASCADE,
    project_id integer NOT NULL REFERENCES project DEFERRABLE INITIALLY DEFERRED,
    last_summary_update timestamptz NOT NULL DEFAULT now(),
    original_creation_time timestamptz NOT NULL,
    last_edition_time timestamptz NOT NULL,
    num_nodes bigint NOT NULL,
    cable_length float8 NOT NULL,
    last_editor_id integer NOT NULL REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED,
    num_imported_nodes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (skeleton_id) INCLUDE (num_nodes)
);
CREATE INDEX ON catmaid_skeleton_summary (project_id);
CREATE INDEX ON catmaid_skeleton_summary (original_creation_time);
CREATE INDEX ON catmaid_skeleton_summary (last_edition_time);
CREATE INDEX ON catmaid_skeleton_summary (num_nodes);
CREATE INDEX ON catmaid_skeleton_summary (cable_length);
CREATE INDEX ON catmaid_skeleton_summary (num_imported_nodes);

CREATE TABLE node_grid_cache (
    id serial PRIMARY KEY,
    project_id integer REFERENCES project ON DELETE CASCADE,
    orientation integer NOT NULL DEFAULT 0,
    cell_width bigint,
    cell_height bigint,
    cell_depth bigint
);
CREATE TABLE node_grid_cache_cell (
    id bigserial PRIMARY KEY,
    grid_id integer REFERENCES node_grid_cache ON DELETE CASCADE,
    x_index integer NOT NULL,
    y_index integer NOT NULL,
    z_index integer NOT NULL,
    update_time timestamptz NOT NULL DEFAULT now(),
    json_data jsonb[],
    UNIQUE (grid_id, x_index, y_index, z_index)
);
CREATE TABLE dirty_node_grid_cache_cell (
    id bigserial PRIMARY KEY,
    grid_id integer REFERENCES node_grid_cache ON DELETE CASCADE,
    x_index integer NOT NULL,
    y_index integer NOT NULL,
    z_index integer NOT NULL,
    invalidation_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (grid_id, x_index, y_index, z_index)
);
"""


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0001_initial")]
    operations = [migrations.RunSQL(TABLES)]
