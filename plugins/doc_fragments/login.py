# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How to reach the database: the names are those of community.postgresql."""

    DOCUMENTATION = r"""
options:
  login_db:
    description: Name of the database to work on.
    type: str
    required: true
  login_host:
    description:
      - Host of the PostgreSQL server.
      - Empty means a local Unix socket. Without a password, a module that runs as root then logs in as the OS user
        named like O(login_user), as peer authentication wants it.
    type: str
    default: ""
  login_port:
    description: Port of the PostgreSQL server.
    type: int
    default: 5432
  login_user:
    description: PostgreSQL role to log in as.
    type: str
    default: postgres
  login_password:
    description: Password of O(login_user). It reaches child processes by their environment only.
    type: str
  login_pgpass:
    description:
      - A password file of PostgreSQL (C(.pgpass)) on the managed host to take the password from. Its mode must be 0600.
      - Without it and O(login_password), the file C(.pgpass) of the OS user who logs in is used, if there is one.
    type: path
  login_unix_socket:
    description: Folder of the Unix socket, if it is not the distribution's.
    type: str
    default: ""
  ssl_mode:
    description: How TLS is negotiated with a server that is reached by TCP.
    type: str
    default: prefer
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File with the certificate authorities that the server's certificate is verified against.
    type: path
"""
