# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate the visitors of a site get, and for how long it is good: asked of nginx, not of a file."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

from .. import files
from ..errors import CatmaidError, of_system
from . import certificates, nginx, server

FOLDER = "/etc/nginx"
METRIC = "catmaid_certificate_expiry_timestamp_seconds"
WARN_DAYS = 21


@dataclass(frozen=True)
class Site:
    """A site that nginx has by name; ``shown`` is the certificate of one with TLS, nothing when nobody shows it."""

    server_name: str
    has_tls: bool
    shown: certificates.Facts | None

    def complaint(self, days: float) -> str:
        """Return what is wrong with the certificate, or will be within ``days``; an empty text when nothing is."""
        if not self.has_tls:
            return ""
        if not self.shown:
            return f"nobody shows a certificate for {self.server_name}"
        left = self.shown.days_left
        if left <= 0:
            return f"the certificate of {self.server_name} has expired {-left:.0f} days ago"
        return f"the certificate of {self.server_name} expires in {left:.0f} days" if left < days else ""


def look(name: str, config_dir: str = FOLDER) -> Site | None:
    """Return the site of an instance as visitors see it; None when there is no such site on this host."""
    path = os.path.join(config_dir, "sites-enabled", name)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError as error:
        raise of_system(f"reading the site {name}", error) from error
    values = {one.name: text[one.start : one.end].rstrip(";{").split()[1:] for one in server.statements(text)}
    server_name = (values.get("server_name") or [""])[0]
    if "ssl_certificate" not in values:
        return Site(server_name, has_tls=False, shown=None)
    shown = nginx.served_certificate(server_name)
    found = certificates.facts(ssl.DER_cert_to_PEM_cert(shown)) if shown else None
    return Site(server_name, has_tls=True, shown=found)


def publish(name: str, directory: str) -> None:
    """Write when the certificate of an instance's site expires, for the textfile collector of node_exporter."""
    site = look(name) if directory else None
    path = os.path.join(directory, f"catmaid_certificate_{name}.prom")
    try:
        if site and site.shown:
            lines = [f"# HELP {METRIC} When the certificate that visitors get expires.", f"# TYPE {METRIC} gauge"]
            lines.append(f'{METRIC}{{site="{name}",name="{site.server_name}"}} {site.shown.ends:.0f}\n')
            files.write_atomically(path, "\n".join(lines), mode=0o644)
        elif directory and os.path.exists(path):
            os.unlink(path)
    except OSError as error:
        raise CatmaidError(
            f"writing the metrics {path}", error.strerror or str(error), "Let this user write to that folder."
        ) from error
