# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance whose database is on another host, which is made its server."""

from __future__ import annotations

import base64

import pytest

PASSWORD = "it's \"a: \\pass$word% { #1 }"
NAMES = dict.fromkeys(("catmaid_service", "catmaid_user", "catmaid_db_user", "catmaid_db_name"), "split")
CERTIFICATE = """cd /var/lib/postgresql && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
 -days 30 -subj /CN=split -addext subjectAltName=IP:{0} -keyout split.key -out split.crt 2> /dev/null
chown postgres: split.* && chmod 0600 split.key"""
CLEAN = (
    "systemctl disable --now split.target; userdel split",
    "rm -rf /opt/split /var/lib/split /etc/systemd/system/split*",
    "rm -rf /etc/nginx/sites-*/split /root/split.pgpass /etc/split-ca.crt /var/backups/split",
    "systemctl daemon-reload; systemctl reload nginx",
)
FORGET = (
    "DROP DATABASE IF EXISTS split WITH (FORCE)",
    "DROP ROLE IF EXISTS split",
    "DROP ROLE IF EXISTS keeper",
    *(f"ALTER SYSTEM RESET {name}" for name in ("listen_addresses", "ssl", "ssl_cert_file", "ssl_key_file")),
    "ALTER SYSTEM RESET password_encryption",
)


@pytest.fixture
def hosts(instances):
    """Return the host of the database and that of the application; both are afterwards as they were."""
    by_name = {instance.name: instance for instance in instances}
    database, application = by_name["catmaid-bookworm"], by_name["catmaid-trixie"]
    hba = database.sql("SHOW hba_file")
    database.run(f"cp -a {hba} /root/hba")
    yield database, application
    for command in CLEAN:
        application.host.run(command)
    for statement in FORGET:
        database.sql(statement, "postgres")
    database.run(f"mv /root/hba {hba} && systemctl restart postgresql catmaid")


def prepared(database, application):
    """Return the variables of both playbooks, once certificate and password file are there, which people bring."""
    here, there = (one.run("hostname -I").split()[0] for one in (database, application))
    database.run(CERTIFICATE.format(here))
    application.host.run("umask 022; echo %s | base64 -d > /etc/split-ca.crt", encoded(database))
    line = f"{here}:5432:*:keeper:" + PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    application.host.run("umask 077; printf '%%s\\n' %s > /root/split.pgpass", line)
    server = {
        "catmaid_hosts": database.name,
        "catmaid_db_name": "split",
        "catmaid_db_user": "split",
        "catmaid_db_admin": "keeper",
        "catmaid_db_admin_password": PASSWORD,
        "catmaid_database_server_clients": [there],
        "catmaid_database_server_certificate_file": "/var/lib/postgresql/split.crt",
        "catmaid_database_server_key_file": "/var/lib/postgresql/split.key",
    }
    client = {
        **NAMES,
        "catmaid_root": "/opt/split",
        "catmaid_state_dir": "/var/lib/split",
        "catmaid_backup_dir": "/var/backups/split",
        "catmaid_server_name": "split.test",
        "catmaid_subdirectory": "",
        "catmaid_processes": ["gunicorn"],
        "catmaid_instance_example_projects": True,
        "catmaid_db_host": here,
        "catmaid_db_admin": "keeper",
        "catmaid_db_admin_pgpass": "/root/split.pgpass",
        "catmaid_db_ssl_mode": "verify-full",
        "catmaid_db_ca_cert": "/etc/split-ca.crt",
    }
    return server, client


def encoded(database):
    """Return the certificate as one word."""
    return base64.b64encode(database.run("cat /var/lib/postgresql/split.crt").encode()).decode()


def test_the_database_is_on_another_host(hosts, play):
    database, application = hosts
    server, client = prepared(database, application)
    predicted = play("database", "--check", **server)
    assert predicted.rc == 0 and predicted.changed(database.name), predicted.output
    assert database.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'keeper'") == "0"
    for changes in (True, False):
        done = play("database", **server)
        assert (done.rc, bool(done.changed(database.name))) == (0, changes), done.output
        assert "pass$word" not in done.output
    rules = database.sql("SELECT count(*) FROM pg_hba_file_rules")
    wrong = play("database", **{**server, "catmaid_database_server_clients": ["a b"]})
    assert wrong.rc != 0 and "PostgreSQL cannot read" in wrong.messages(database.name)
    assert database.sql("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NULL") == rules

    limit = ("--limit", application.name)
    for changes in (True, False):
        done = play("provision", *limit, **client)
        assert (done.rc, bool(done.changed(application.name))) == (0, changes), done.output
    status, projects = application.follow("/projects/", "-H 'Host: split.test'")
    assert (status, "Default Project" in projects) == (200, True)
    # There is no way but by TLS, and to no other database.
    secret = "PGPASSWORD=$(cat /opt/split/secrets/database_password)"
    login = f"psql 'host={client['catmaid_db_host']} user=split dbname=%s sslmode=%s' -Atc 'SELECT 1'"
    assert application.run(f"{secret} {login % ('split', 'require')}") == "1"
    for elsewhere in (("split", "disable"), ("catmaid", "require")):
        refused = application.host.run(f"{secret} {login % elsewhere}")
        assert refused.rc != 0 and "no pg_hba.conf entry" in refused.stderr

    assert play("backup", *limit, **client).rc == 0
