# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What catmaid-admin says to --help: for each command a page with the sections of a manual page."""

from __future__ import annotations

ABOUT = "Back up the databases of CATMAID instances, and look after their backups."

EXIT_CODES = """\
EXIT STATUS
  0  it is done
  1  it failed; the message says what was being done, what went wrong and what to do
  2  the command line or the configuration is wrong; nothing was done
"""

FILES = """\
FILES
  /etc/catmaid-admin/<instance>.json
      The configuration, written by the role catmaid.admin.schedule. Keys: instance, databases (a list of names, or
      "all"), dest (the folder of the backups), login, project, dump, lock_wait, retention, targets, encryption,
      hooks, metrics_dir, state_dir. A key that is not known is an error that names the known ones.
  <dest>/<database>/<id>/
      A backup, with its manifest.json.
  <dest>/<database>/status.json
      How the last backup, copy, pruning, verification and restore drill ended, whoever started them.
  /var/lib/catmaid-admin/<instance>/job.json, drill.json, statistics.json, vacuum.json, caches.json
      How the last job, the last drill and the last upkeep of each kind ended, and what it told the hooks.
  <metrics_dir>/catmaid_backup_<database>_<mark>.prom
      The same as metrics, for the textfile collector of Prometheus' node_exporter.
"""

PROGRAM = f"""\
DESCRIPTION
  The same engine that the modules of the Ansible collection catmaid.admin run, as a program for the host: a backup
  made by its timer is no other than one made by a playbook. Every command has a page of its own: catmaid-admin
  <command> --help.

{EXIT_CODES}
{FILES}
EXAMPLES
  catmaid-admin backup
  catmaid-admin list
  catmaid-admin check --max-age 26h --critical 50h
"""

BACKUP = f"""\
DESCRIPTION
  For each database of the configuration: makes a backup, reads all of it back, copies it to the targets, prunes what
  is too old, and notes how that went. What fails for one database keeps no other from its turn, and nothing is pruned
  where something failed. At the end the commands of hooks.on_success or hooks.on_failure are run, each with the report
  as JSON on its standard input and with CATMAID_RESULT (ok, failed), CATMAID_WHAT (backup, drill), CATMAID_MESSAGE
  (2000 characters of it), CATMAID_INSTANCE, CATMAID_DATABASES (a JSON list of names), CATMAID_JOB and CATMAID_HOST in
  its environment. A hook that fails, or takes longer than hooks.timeout seconds, makes the job fail; the backups stay.

  It prints one line for each thing that happens, and now and then how far it is.

{EXIT_CODES}
{FILES}
EXAMPLES
  catmaid-admin backup
      Do what the timer does.
  catmaid-admin backup --job "before the move" --quiet
      Note in the manifest who asked for it, and print errors only.
"""

LIST = f"""\
DESCRIPTION
  Lists the backups of the configuration's folder, newest first, and whether each is whole by its manifest and the
  presence and size of its files. What is no backup is told apart. No database is asked.

{EXIT_CODES}
EXAMPLES
  catmaid-admin list
  catmaid-admin list --database catmaid --json | jq -r '.backups[0].path'
"""

INFO = f"""\
DESCRIPTION
  Shows what one backup holds: versions, migrations, rows, what was left out and how that comes back. --json shows the
  whole manifest, whether the backup is held, suspicious or accepted and why, and which tables have shrunk. Without an
  ID it is the newest sound backup.

{EXIT_CODES}
EXAMPLES
  catmaid-admin info
  catmaid-admin info catmaid_20261123T030000Z_2021.12.21 --json
"""

VERIFY = f"""\
DESCRIPTION
  Reads every file of backups again and compares its SHA-256 with the manifest. Without an ID it is the newest backup
  of each database. The result is noted in the status and shows up in check and in the metrics.

{EXIT_CODES}
EXAMPLES
  catmaid-admin verify
  catmaid-admin verify --all
"""

CHECK = """\
DESCRIPTION
  A plugin for Nagios, Icinga and the like: one line, with performance data after the bar. It looks at the age of the
  newest verified backup of each database, and at how the last backup, copy, verification, restore drill and pruning
  ended, the upkeep of the application as well. Where nginx serves the instance by TLS, it also looks which certificate
  visitors get. It asks no database and changes nothing.

EXIT STATUS
  0  OK
  1  WARNING: the newest verified backup is older than --max-age, one that is damaged or cannot be read lies there,
     pruning or upkeep failed, with --max-drill-age no restore drill went well for so long, or the certificate of the
     web site expires in less than --certificate-days
  2  CRITICAL: it is older than --critical or suspicious, there is none, or the last backup, copy, verification,
     drill or hook failed or was killed, or the web site's certificate has expired or is not shown
  3  UNKNOWN: the configuration, or the folder, cannot be read

EXAMPLES
  catmaid-admin check --max-age 26h --critical 50h --max-drill-age 9d
  sudo catmaid-admin check --instance lab --json
"""

PRUNE = f"""\
DESCRIPTION
  Removes the backups that no rule of retention keeps, and says of each backup why it stays or goes. The newest verified
  one stays in any case, and so do held ones. While the newest is suspicious, nothing goes.

{EXIT_CODES}
EXAMPLES
  catmaid-admin prune --dry-run
"""

COPY = f"""\
DESCRIPTION
  Brings every target of the configuration up to date: copies what is missing there, encrypted where the target says
  so, reads the copy again over there, and removes what the target's own rules let go. A target that fails keeps no
  other from its turn.

{EXIT_CODES}
EXAMPLES
  catmaid-admin copy --dry-run
"""

HOLD = f"""\
DESCRIPTION
  Notes that a backup has to stay until that is taken back. With --accept it notes that a suspicious backup is right:
  later ones are compared with it, and pruning goes on.

{EXIT_CODES}
EXAMPLES
  catmaid-admin hold catmaid_20261123T030000Z_2021.12.21 --reason "before the split of project 7"
  catmaid-admin hold catmaid_20261123T030000Z_2021.12.21 --release
"""

DIFF = f"""\
DESCRIPTION
  Compares the manifests of two backups of a database: rows of each table, what their fingerprints prove to be equal,
  migrations, sizes and versions. Without names, the newest sound backup with the one before.

{EXIT_CODES}
EXAMPLES
  catmaid-admin diff
  catmaid-admin diff catmaid_20261123T030000Z_2021.12.21 catmaid_20261124T030000Z_2021.12.21 --json
"""

CONFIG = f"""\
DESCRIPTION
  Reads the configuration and says what is wrong with it, by the name of the key. What is right is shown, completed by
  the defaults and without passwords.

{EXIT_CODES}
EXAMPLES
  catmaid-admin config --config ./new.json
"""

REPORT_FAILURE = f"""\
DESCRIPTION
  Runs hooks.on_failure for a job that could not do it itself: it was killed, or could not even begin. A job that has
  told its failure is not told twice. The timer's unit names it in OnFailure=. --of names another job than the backup.

{EXIT_CODES}
"""
