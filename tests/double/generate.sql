-- Tracing data for the double, always the same: psql -v treenodes=100000 [-v project=1] -f generate.sql DATABASE
--
-- Skeletons of 500 branched nodes for four users, one in ten of them in a second project (its id is the next one).
-- They come in twelve transactions, every third an import, with all triggers on; a later transaction edits some.
-- Coordinates are whole numbers and edges follow an axis, so cable lengths are exact in whatever order they are added.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?project} \else \set project 1 \endif
\if :{?treenodes} \else \set treenodes 100000 \endif
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;

BEGIN;
INSERT INTO auth_user
    (username, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined)
SELECT 'tracer' || n, '!', 'Tracer', n::text, '', false, false, true, '2020-01-01 00:00Z' FROM generate_series(1, 4) n
ON CONFLICT (username) DO NOTHING;

INSERT INTO project (id, title, comment)
VALUES (:project, 'Generated', 'Made by generate.sql'), (:project + 1, 'Generated, small', 'Made by generate.sql')
ON CONFLICT (id) DO NOTHING;
SELECT setval(pg_get_serial_sequence('project', 'id'), max(id)) FROM project \g /dev/null

CREATE TEMP TABLE tracer AS
SELECT id, row_number() OVER (ORDER BY username) - 1 AS n FROM auth_user WHERE username ~ '^tracer[1-4]$';

INSERT INTO class (user_id, project_id, class_name, creation_time, edition_time)
SELECT t.id, p.id, name, '2020-01-01 00:00Z', '2020-01-01 00:00Z'
FROM tracer t, project p, unnest(ARRAY['neuron', 'skeleton', 'label']) AS name
WHERE t.n = 0 AND p.id IN (:project, :project + 1)
  AND NOT EXISTS (SELECT FROM class c WHERE c.project_id = p.id AND c.class_name = name)
ORDER BY p.id, name;
INSERT INTO relation (user_id, project_id, relation_name, creation_time, edition_time)
SELECT t.id, p.id, name, '2020-01-01 00:00Z', '2020-01-01 00:00Z'
FROM tracer t, project p, unnest(ARRAY['model_of', 'labeled_as', 'presynaptic_to', 'postsynaptic_to']) AS name
WHERE t.n = 0 AND p.id IN (:project, :project + 1)
  AND NOT EXISTS (SELECT FROM relation r WHERE r.project_id = p.id AND r.relation_name = name)
ORDER BY p.id, name;

INSERT INTO class_instance (user_id, project_id, class_id, name, creation_time, edition_time)
SELECT user_id, project_id, id, 'soma', creation_time, edition_time FROM class c
WHERE class_name = 'label' AND project_id IN (:project, :project + 1)
  AND NOT EXISTS (SELECT FROM class_instance i WHERE i.class_id = c.id AND i.name = 'soma')
ORDER BY project_id;

CREATE FUNCTION pg_temp.class_of(project integer, name text) RETURNS bigint LANGUAGE sql AS
    'SELECT id FROM class WHERE project_id = $1 AND class_name = $2';
CREATE FUNCTION pg_temp.relation_of(project integer, name text) RETURNS bigint LANGUAGE sql AS
    'SELECT id FROM relation WHERE project_id = $1 AND relation_name = $2';

-- The plan: one row per skeleton, with the ids that it, its 500 nodes and its 25 connectors will have.
CREATE TEMP TABLE plan AS
WITH ids AS (
    SELECT nextval('concept_id_seq') AS concept, nextval('location_id_seq') AS location
), skeleton AS (
    SELECT i, i % 12 AS batch, :project + (i % 10 = 9)::int AS project_id, t.id AS user_id,
           least(500, :treenodes - i * 500)::int AS nodes,
           ids.concept + 2 * i AS neuron_id, ids.concept + 2 * i + 1 AS skeleton_id, ids.location + i * 525 AS first,
           8 + i % 5 AS step, ARRAY[i % 100 * 2000, i / 100 % 100 * 2000, i / 10000 * 2000 + i % 7 * 40] AS origin,
           '2020-01-01 00:00Z'::timestamptz + i * interval '37 minutes' AS done
    FROM ids, generate_series(0, (:treenodes + 499) / 500 - 1) AS i JOIN tracer t ON t.n = i % 4
)
SELECT *, row_number() OVER family - 1 AS place, count(*) OVER (PARTITION BY batch, project_id) AS members
FROM skeleton WINDOW family AS (PARTITION BY batch, project_id ORDER BY i);
CREATE INDEX ON plan (batch);
SELECT setval('concept_id_seq', max(skeleton_id)), setval('location_id_seq', max(first) + 525) FROM plan \g /dev/null
ANALYZE plan;
COMMIT;

-- Where node k of a skeleton is: branches of 50 nodes, each starts in the middle of the one before and turns.
CREATE FUNCTION pg_temp.coordinate(k integer, axis integer, step integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
    'SELECT step * (26 * ((k / 50 + 2 - axis) / 3) + CASE k / 50 % 3 WHEN axis THEN k % 50 + 1 ELSE 0 END)';
CREATE FUNCTION pg_temp.parent(k integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN k = 0 THEN NULL WHEN k % 50 > 0 THEN k - 1 ELSE k - 25 END';

CREATE FUNCTION pg_temp.trace(this_batch integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO catmaid_transaction_info (user_id, project_id, change_type, label)
    SELECT user_id, project_id, 'Backend',
           CASE this_batch % 3 WHEN 0 THEN 'skeletons.import' ELSE 'treenodes.create' END
    FROM plan WHERE batch = this_batch ORDER BY i LIMIT 1;

    INSERT INTO class_instance (id, user_id, project_id, class_id, name, creation_time, edition_time)
    SELECT neuron_id, user_id, project_id, pg_temp.class_of(project_id, 'neuron'), 'neuron ' || i, done, done
    FROM plan WHERE batch = this_batch
    UNION ALL
    SELECT skeleton_id, user_id, project_id, pg_temp.class_of(project_id, 'skeleton'), 'skeleton ' || i, done, done
    FROM plan WHERE batch = this_batch ORDER BY 1;

    INSERT INTO class_instance_class_instance
        (user_id, project_id, relation_id, class_instance_a, class_instance_b, creation_time, edition_time)
    SELECT user_id, project_id, pg_temp.relation_of(project_id, 'model_of'), skeleton_id, neuron_id, done, done
    FROM plan WHERE batch = this_batch ORDER BY i;

    INSERT INTO treenode (id, user_id, editor_id, project_id, skeleton_id, parent_id, radius,
                          location_x, location_y, location_z, creation_time, edition_time)
    SELECT first + k, user_id, user_id, project_id, skeleton_id, first + pg_temp.parent(k), k % 10,
           origin[1] + pg_temp.coordinate(k, 0, step), origin[2] + pg_temp.coordinate(k, 1, step),
           origin[3] + pg_temp.coordinate(k, 2, step), done + k * interval '1 second', done + k * interval '1 second'
    FROM plan, generate_series(0, nodes - 1) AS k WHERE batch = this_batch ORDER BY i, k;

    INSERT INTO treenode_class_instance
        (user_id, project_id, relation_id, treenode_id, class_instance_id, creation_time, edition_time)
    SELECT p.user_id, p.project_id, pg_temp.relation_of(p.project_id, 'labeled_as'), first, c.id, done, done
    FROM plan p JOIN class_instance c ON c.name = 'soma' AND c.class_id = pg_temp.class_of(p.project_id, 'label')
    WHERE batch = this_batch ORDER BY i;

    -- A connector beside every twentieth node: from there to the next two skeletons of the batch.
    -- They may be the same one, if there are fewer, but never the same node.
    CREATE TEMP TABLE link ON COMMIT DROP AS
    SELECT p.first + 500 + k / 20 AS connector_id, p.project_id, p.user_id, p.done + k * interval '1 second' AS done,
           other.skeleton_id, other.first + (k + other.n) % other.nodes AS treenode_id, other.n = 0 AS pre, other.n
    FROM plan p, generate_series(10, nodes - 1, 20) AS k, LATERAL (
        SELECT n, o.* FROM generate_series(0, 2) AS n
        JOIN plan o ON o.batch = p.batch AND o.project_id = p.project_id AND o.place = (p.place + n) % p.members
    ) AS other
    WHERE p.batch = this_batch;

    INSERT INTO connector (id, user_id, editor_id, project_id, location_x, location_y, location_z,
                           creation_time, edition_time)
    SELECT connector_id, l.user_id, l.user_id, l.project_id, location_x + 5, location_y + 5, location_z + 5, done, done
    FROM link l JOIN treenode t ON t.id = l.treenode_id WHERE pre ORDER BY connector_id;

    INSERT INTO treenode_connector (user_id, project_id, relation_id, treenode_id, connector_id, skeleton_id,
                                    creation_time, edition_time)
    SELECT user_id, project_id,
           pg_temp.relation_of(project_id, CASE WHEN pre THEN 'presynaptic_to' ELSE 'postsynaptic_to' END),
           treenode_id, connector_id, skeleton_id, done, done
    FROM link ORDER BY connector_id, n;

    INSERT INTO review (project_id, reviewer_id, review_time, skeleton_id, treenode_id)
    SELECT p.project_id, t.id, done + interval '1 day' + k * interval '1 second', skeleton_id, first + k
    FROM plan p JOIN tracer t ON t.n = (p.i + 1) % 4, generate_series(0, nodes - 1, 5) AS k
    WHERE batch = this_batch ORDER BY i, k;
    DROP TABLE link;
END $$;

-- One transaction each
SELECT format('SELECT pg_temp.trace(%s) WHERE EXISTS (SELECT FROM plan WHERE batch = %1$s)', batch)
FROM generate_series(0, 11) AS batch
\o /dev/null
\gexec
\o

-- Later, another user edits every tenth skeleton. The nodes are moved together, so cable lengths stay.
BEGIN;
INSERT INTO catmaid_transaction_info (user_id, project_id, change_type, label)
SELECT id, :project, 'Backend', 'treenodes.update' FROM tracer WHERE n = 1;
SELECT set_config('catmaid.user_id', id::text, true) FROM tracer WHERE n = 1 \g /dev/null
UPDATE treenode t SET location_z = location_z + 3, radius = 20, editor_id = e.id
FROM plan p, tracer e WHERE p.skeleton_id = t.skeleton_id AND p.i % 10 = 3 AND e.n = 2;
UPDATE connector c SET confidence = 4, location_x = location_x + 1 FROM treenode_connector l, plan p
WHERE l.connector_id = c.id AND p.skeleton_id = l.skeleton_id AND p.i % 20 = 3;
UPDATE class_instance c SET name = 'neuron of interest ' || p.i FROM plan p WHERE c.id = p.neuron_id AND p.i % 5 = 0;
DELETE FROM review r USING plan p WHERE p.skeleton_id = r.skeleton_id AND p.i % 50 = 7;
COMMIT;

-- A superuser's own tables are skipped with a warning each.
SET client_min_messages = error;
ANALYZE;
SELECT format('%s treenodes, %s connectors and %s skeletons in project %s, %s treenodes in all',
    (SELECT count(*) FROM treenode WHERE project_id = :project),
    (SELECT count(*) FROM connector WHERE project_id = :project),
    (SELECT count(*) FROM catmaid_skeleton_summary WHERE project_id = :project), :project,
    (SELECT count(*) FROM treenode));
