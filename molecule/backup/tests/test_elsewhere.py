# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host than that of the instance makes its backups and keeps them."""

from __future__ import annotations

import contextlib
import json

FOLDER = "/var/backups/catmaid"


def ids(instance, folder: str) -> list[str]:
    return instance.run(f"find {FOLDER}/{folder} -maxdepth 1 -name '*_2*Z_*' -printf '%f\\n' | sort").splitlines()


@contextlib.contextmanager
def listening(instance, password: str):
    """Let the database server of a host be reached from others."""
    rules = instance.sql("SHOW hba_file", "postgres")
    literal = password.replace("'", "''")
    instance.sql(f"ALTER ROLE postgres PASSWORD '{literal}'", "postgres")
    instance.sql("ALTER SYSTEM SET listen_addresses = '*'", "postgres")
    instance.run(f"cp -a {rules} /root/rules && echo 'hostssl all all samenet scram-sha-256' >> {rules}")
    instance.run("systemctl restart postgresql")
    try:
        yield
    finally:
        instance.sql("ALTER SYSTEM RESET listen_addresses", "postgres")
        instance.run(f"cp -a /root/rules {rules} && systemctl restart postgresql")


def test_another_host_makes_and_keeps_the_backups(instances, play):
    bookworm, trixie = instances
    there = {"catmaid_backup_on": trixie.name}
    refused = play("backup", "--limit", bookworm.name, **there)
    assert refused.rc != 0
    assert "catmaid_backup_db_host how that host reaches it" in refused.messages(bookworm.name)
    before = ids(bookworm, "catmaid")
    login = {"catmaid_db_host": bookworm.name, "catmaid_db_admin_password": "of 'bookworm'", **there}
    with listening(bookworm, "of 'bookworm'"):
        result = play("backup", "--limit", bookworm.name, catmaid_db_ssl_mode="require", **login)
    assert result.rc == 0, result.output
    (made,) = ids(trixie, f"{bookworm.name}/catmaid")
    assert made.endswith("_2030.01.15")  # the release that serves on bookworm
    assert ids(bookworm, "catmaid") == before
    manifest = json.loads(trixie.run(f"cat {FOLDER}/{bookworm.name}/catmaid/{made}/manifest.json"))
    assert manifest["postgresql"]["server"].startswith("15.")
    assert manifest["source"]["commit"] == bookworm.run(
        "git -c safe.directory='*' -C /opt/catmaid/repository rev-parse 2030.01.15^{commit}"
    )
