# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.base import ContentFile


class CompressorError(Exception):
    pass


class CompressedManifestStorage(ManifestStaticFilesStorage):
    """Quirk P12: the compressor is looked up on PATH, after all files have been collected.

    The compressed file replaces the collected link, so the next run collects, compresses and hashes it again.
    """

    def post_process(self, paths, dry_run=False, **options):
        if dry_run:
            return
        for name in [name for name in paths if name.startswith("css/")]:
            with self.open(name) as source:
                answer = subprocess.run(
                    ["/usr/bin/env", "cssmin"], check=False, input=source.read(), capture_output=True
                )
            if answer.returncode:
                raise CompressorError(answer.stderr)
            self.delete(name)
            self._save(name, ContentFile(answer.stdout))
            paths[name] = (self, name)
            yield name, name, True
        yield from super().post_process(paths, dry_run, **options)
