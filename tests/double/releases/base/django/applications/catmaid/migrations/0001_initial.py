# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.conf import settings
from django.db import migrations, models

TABLES = """
CREATE TYPE history_change_type AS ENUM ('Backend', 'Migration', 'External');

CREATE TABLE catmaid_transaction_info (
    transaction_id bigint DEFAULT txid_current(),
    execution_time timestamptz NOT NULL DEFAULT now(),
    user_id integer,
    project_id integer,
    change_type history_change_type NOT NULL,
    label text NOT NULL,
    PRIMARY KEY (transaction_id, execution_time)
);

-- Everything that has a name descends from concept, everything that has a place from location.
CREATE TABLE concept (
    id bigserial PRIMARY KEY,
    user_id integer NOT NULL,
    project_id integer NOT NULL,
    creation_time timestamptz NOT NULL DEFAULT now(),
    edition_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE class (class_name varchar(255) NOT NULL, description text) INHERITS (concept);
CREATE TABLE class_instance (class_id bigint NOT NULL, name varchar(255) NOT NULL) INHERITS (concept);
CREATE TABLE relation (relation_name varchar(255) NOT NULL, isreciprocal boolean NOT NULL DEFAULT false)
    INHERITS (concept);
CREATE TABLE relation_instance (relation_id bigint NOT NULL) INHERITS (concept);
CREATE TABLE class_instance_class_instance (class_instance_a bigint NOT NULL, class_instance_b bigint NOT NULL)
    INHERITS (relation_instance);
CREATE TABLE treenode_class_instance (treenode_id bigint NOT NULL, class_instance_id bigint NOT NULL)
    INHERITS (relation_instance);
CREATE TABLE treenode_connector (
    treenode_id bigint NOT NULL, connector_id bigint NOT NULL, skeleton_id bigint NOT NULL,
    confidence smallint NOT NULL DEFAULT 5 CHECK (confidence BETWEEN 1 AND 5)
) INHERITS (relation_instance);

CREATE TABLE location (
    id bigserial PRIMARY KEY,
    user_id integer NOT NULL,
    project_id integer NOT NULL,
    creation_time timestamptz NOT NULL DEFAULT now(),
    edition_time timestamptz NOT NULL DEFAULT now(),
    editor_id integer NOT NULL,
    location_x real NOT NULL,
    location_y real NOT NULL,
    location_z real NOT NULL
);
CREATE TABLE treenode (
    parent_id bigint, radius real NOT NULL DEFAULT 0, confidence smallint NOT NULL DEFAULT 5,
    skeleton_id bigint NOT NULL
) INHERITS (location);
CREATE TABLE connector (confidence integer NOT NULL DEFAULT 5) INHERITS (location);

CREATE TABLE review (
    id bigserial PRIMARY KEY,
    project_id integer NOT NULL,
    reviewer_id integer NOT NULL,
    review_time timestamptz NOT NULL DEFAULT now(),
    skeleton_id bigint NOT NULL,
    treenode_id bigint NOT NULL
);

-- Children inherit no keys from their parents.
DO $$
DECLARE
    foreign_keys text[] := ARRAY[
        'class user_id auth_user', 'class project_id project',
        'class_instance user_id auth_user', 'class_instance project_id project', 'class_instance class_id class',
        'relation user_id auth_user', 'relation project_id project',
        'class_instance_class_instance project_id project', 'class_instance_class_instance relation_id relation',
        'class_instance_class_instance class_instance_a class_instance',
        'class_instance_class_instance class_instance_b class_instance',
        'treenode user_id auth_user', 'treenode project_id project', 'treenode editor_id auth_user',
        'treenode parent_id treenode', 'treenode skeleton_id class_instance',
        'connector user_id auth_user', 'connector project_id project',
        'treenode_class_instance relation_id relation', 'treenode_class_instance treenode_id treenode',
        'treenode_class_instance class_instance_id class_instance',
        'treenode_connector user_id auth_user', 'treenode_connector project_id project',
        'treenode_connector relation_id relation', 'treenode_connector treenode_id treenode',
        'treenode_connector connector_id connector', 'treenode_connector skeleton_id class_instance',
        'review project_id project', 'review reviewer_id auth_user', 'review skeleton_id class_instance',
        'review treenode_id treenode'];
    child text;
    foreign_key text[];
BEGIN
    FOREACH child IN ARRAY ARRAY['class', 'class_instance', 'relation', 'relation_instance', 'treenode', 'connector',
            'class_instance_class_instance', 'treenode_class_instance', 'treenode_connector'] LOOP
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (id)', child);
    END LOOP;
    FOREACH child IN ARRAY foreign_keys LOOP
        foreign_key := string_to_array(child, ' ');
        EXECUTE format('ALTER TABLE %I ADD FOREIGN KEY (%I) REFERENCES %I (id) DEFERRABLE INITIALLY DEFERRED',
            foreign_key[1], foreign_key[2], foreign_key[3]);
        EXECUTE format('CREATE INDEX ON %I (%I)', foreign_key[1], foreign_key[2]);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            "Project",
            [
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.TextField()),
                ("comment", models.TextField(null=True, blank=True)),
            ],
            options={"db_table": "project"},
        ),
        migrations.RunSQL(TABLES),
    ]
