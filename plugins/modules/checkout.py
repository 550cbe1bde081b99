#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkout
short_description: Make the source tree of one release of CATMAID
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Keeps one bare clone in C(repository) below O(root), and a git worktree in C(releases/<describe>/source) for each
    release that was ever asked for. Releases live side by side, so that a new one is made while an old one serves.
  - A run that was killed is begun anew by the next one. A tag that was moved gets a new folder.
  - Files that git does not know, such as C(settings.py), are carried over from the release that serves.
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    support: full
options:
  repository:
    description: URL or path of a git repository of CATMAID. A path may belong to another user.
    type: str
    required: true
  version:
    description: Tag, branch or commit, or V(latest_release) for the newest tag that is named like C(2021.12.21).
    type: str
    required: true
  root:
    description: Folder of the instance. It must exist and be writable by O(user).
    type: path
    required: true
  user:
    description: OS user that runs git and owns the files. Only root can act as another user.
    type: str
  carry_from:
    description: Source tree to take O(carry) from. Left out or not there, nothing is carried over.
    type: path
  carry:
    description: Files that git does not track, as paths in the source tree. They keep their owner, group and mode.
    type: list
    elements: str
    default: [django/projects/mysite/settings.py]
  local_commits:
    description:
      - What becomes of commits that were made in the source tree of O(carry_from) and that O(version) lacks.
      - V(refuse) fails and names them. V(rebase) puts them on O(version) one by one, V(merge) joins both. Where they do
        not fit, it fails, names the files, and all is as before.
    type: str
    choices: [refuse, rebase, merge]
    default: refuse
requirements:
  - git
"""

EXAMPLES = r"""
- name: Make the source tree of a release beside the one that serves
  catmaid.admin.checkout:
    repository: https://github.com/catmaid/CATMAID.git
    version: 2021.12.21
    root: /opt/catmaid
    user: catmaid
    carry_from: /opt/catmaid/current/source
"""

RETURN = r"""
version:
  description: Name of the version; O(version=latest_release) is resolved.
  returned: success
  type: str
  sample: 2021.12.21
commit:
  description: Commit of the source tree.
  returned: success
  type: str
  sample: 7d9f836180d199d9d7321f3c57d1d1ed96dcfdd5
upstream:
  description: The commit that O(version) names. RV(commit) differs from it when local commits are on top.
  returned: success
  type: str
  sample: 7d9f836180d199d9d7321f3c57d1d1ed96dcfdd5
describe:
  description:
    - What C(git describe) calls it. In check mode the version or a short hash, when the commit is not fetched yet.
  returned: success
  type: str
  sample: 2021.12.21-305-g7d9f83618
path:
  description: Folder of the release.
  returned: success
  type: str
  sample: /opt/catmaid/releases/2021.12.21
source:
  description: Source tree of the release.
  returned: success
  type: str
  sample: /opt/catmaid/releases/2021.12.21/source
prepared:
  description: Whether the source tree is there now; false only in check mode.
  returned: success
  type: bool
carried:
  description: Files that were, or would be, carried over.
  returned: success
  type: list
  elements: str
  sample: [django/projects/mysite/settings.py]
"""

import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import run
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import local
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.checkout import Checkout
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def to_carry(source: str, carry_from: str | None, names: list[str]) -> list[str]:
    """Return the files that the old tree has and the new one lacks."""
    if not carry_from:
        return []
    return [
        name
        for name in names
        if os.path.isfile(os.path.join(carry_from, name)) and not os.path.exists(os.path.join(source, name))
    ]


def carry_over(source: str, carry_from: str, names: list[str]) -> None:
    """Copy files with owner, group and mode; the name appears when the file is whole."""
    for name in names:
        old, new = os.path.join(carry_from, name), os.path.join(source, name)
        status = os.stat(old)
        partial = f"{new}.partial"
        with (
            open(old, "rb") as reader,
            open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as writer,
        ):
            shutil.copyfileobj(reader, writer)
        os.chown(partial, status.st_uid, status.st_gid)
        os.chmod(partial, status.st_mode & 0o7777)
        os.replace(partial, new)


def work(module: AnsibleModule) -> dict[str, Any]:
    """Resolve, then make what is missing."""
    params = module.params
    checkout = Checkout(params["root"], params["repository"], params["user"])
    release = checkout.resolve(params["version"])
    own = checkout.local(params["carry_from"], params["local_commits"])
    if own and own.head not in (own.published, release.commit):
        release = checkout.with_local(release, own)
    prepared = checkout.is_prepared(release)
    edited = checkout.edited(release.source) if prepared else []
    if edited:
        raise CatmaidError(
            f"preparing {release.source}",
            f"tracked files were edited there: {', '.join(edited[:8])}",
            "Commit them on a branch of your own repository and name that as the version, or undo them.",
        )
    changed = not prepared
    if changed and not module.check_mode:
        release = checkout.prepare(release, own)
        prepared = True
    carried = to_carry(release.source, params["carry_from"], params["carry"])
    if carried and not module.check_mode:
        carry_over(release.source, params["carry_from"], carried)
    return {
        "changed": changed or bool(carried),
        "version": release.version,
        "commit": release.commit,
        "upstream": release.upstream,
        "describe": release.describe,
        "path": release.path,
        "source": release.source,
        "prepared": prepared,
        "carried": carried,
        "diff": {
            "before": "" if changed else f"{release.source}\n",
            "after": f"{release.source}\n" + "".join(f"{release.source}/{name}\n" for name in carried),
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "root": {"type": "path", "required": True},
            "user": {"type": "str"},
            "carry_from": {"type": "path"},
            "carry": {"type": "list", "elements": "str", "default": ["django/projects/mysite/settings.py"]},
            "local_commits": {"type": "str", "choices": list(local.CHOICES), "default": local.REFUSE},
        },
        supports_check_mode=True,
    )
    run(module, lambda: work(module))


if __name__ == "__main__":
    main()
