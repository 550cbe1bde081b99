# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations

HISTORY = """
CREATE TABLE catmaid_history_table (
    live_table regclass PRIMARY KEY,
    history_table regclass NOT NULL UNIQUE,
    triggers_installed boolean NOT NULL,
    creation_time timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION create_history_table(live text, time_column text) RETURNS void LANGUAGE plpgsql AS $create$
DECLARE
    history text := live || '__history';
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                     WHERE attrelid = live::regclass AND attnum > 0);
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I, sys_period tstzrange NOT NULL, exec_transaction_id bigint NOT NULL)',
        history, live);
    EXECUTE format('CREATE INDEX ON %I (id)', history);
    -- The columns are named, since their order changes when a dump is restored.
    EXECUTE format($f$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql AS $t$
        BEGIN
            INSERT INTO %2$I (%3$s, sys_period, exec_transaction_id)
            SELECT %3$s, tstzrange(%4$I, greatest(%4$I, now())), txid_current() FROM old_rows;
            RETURN NULL;
        END $t$ $f$, 'update_history_' || live || '_reg', history, columns, time_column);
    EXECUTE format($f$
        CREATE VIEW %1$I AS SELECT %2$s, tstzrange(%3$I, NULL) AS sys_period FROM %4$I
        UNION ALL SELECT %2$s, sys_period FROM %5$I $f$,
        live || '__with_history', columns, time_column, live, history);
    INSERT INTO catmaid_history_table VALUES (live::regclass, history::regclass, false);
END $create$;

CREATE FUNCTION handle_live_table_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('TRUNCATE %I', TG_TABLE_NAME || '__history');
    RETURN NULL;
END $$;

CREATE FUNCTION enable_history_tracking() RETURNS void LANGUAGE plpgsql AS $enable$
DECLARE
    live text;
BEGIN
    PERFORM pg_advisory_xact_lock(7201);
    FOR live IN SELECT relname FROM catmaid_history_table h JOIN pg_class c ON c.oid = h.live_table
                WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname LIKE 'on\\_%\\_history\\_reg')
                ORDER BY relname LOOP
        EXECUTE format($f$
            CREATE TRIGGER %2$I AFTER UPDATE ON %1$I REFERENCING OLD TABLE AS old_rows
                FOR EACH STATEMENT EXECUTE FUNCTION %5$I();
            CREATE TRIGGER %3$I AFTER DELETE ON %1$I REFERENCING OLD TABLE AS old_rows
                FOR EACH STATEMENT EXECUTE FUNCTION %5$I();
            CREATE TRIGGER %4$I AFTER TRUNCATE ON %1$I
                FOR EACH STATEMENT EXECUTE FUNCTION handle_live_table_truncate() $f$,
            live, 'on_change_' || live || '_update_history_reg', 'on_change_' || live || '_delete_history_reg',
            'on_truncate_' || live || '_history_reg', 'update_history_' || live || '_reg');
    END LOOP;
    UPDATE catmaid_history_table SET triggers_installed = true;
END $enable$;

CREATE FUNCTION disable_history_tracking() RETURNS void LANGUAGE plpgsql AS $disable$
DECLARE
    installed record;
BEGIN
    PERFORM pg_advisory_xact_lock(7201);
    FOR installed IN SELECT tgname, relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                     WHERE tgname LIKE 'on\\_%\\_history\\_reg' LOOP
        EXECUTE format('DROP TRIGGER %I ON %I', installed.tgname, installed.relname);
    END LOOP;
    UPDATE catmaid_history_table SET triggers_installed = false;
END $disable$;

SELECT create_history_table(name, 'edition_time')
FROM unnest(ARRAY['class', 'class_instance', 'relation', 'class_instance_class_instance', 'treenode', 'connector',
                  'treenode_class_instance', 'treenode_connector']) AS name;
SELECT create_history_table('review', 'review_time');
SELECT enable_history_tracking();
"""


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0004_add_triggers")]
    operations = [migrations.RunSQL(HISTORY)]
