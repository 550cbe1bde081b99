# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a test host with an instance, as root: tiles and answers a second by three sites of it, in turns.

All have TLS by the same certificate, HTTP/2, the same tiles and the same application. Whoever asks is on the same host,
so its CPU is a part of what is measured.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.web import server

NAME = "catmaid.example.org"
CONFIG = Path("/etc/nginx")
SITE = CONFIG / "sites-available/catmaid"
LIST, SCRIPT = Path("/srv/urls"), Path("/srv/tiles.lua")
MANY, BYTES = 2000, 15000  # so many tiles, as large as CATMAID's usually are
CONNECTIONS, SECONDS, STREAMS = 50, 8, 10
API = "/version"
# What Debian's own site says, and what CATMAID's manual says to add; the rest is what a site for CATMAID has to have.
COMMON = """server {{
    listen 443 ssl http2;
    server_name {name};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
{more}
    location /static/ {{ alias /opt/catmaid/current/static/; }}
    location /data/ {{ root /srv/tiles; rewrite ^/data/(.*)$ /$1 break; {tiles} }}
    location / {{
        proxy_pass http://unix:/run/catmaid/wsgi.sock;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-Proto $scheme;
{proxy}
    }}
}}
"""
SEED = """    access_log off;
    error_log /var/log/nginx/seed.log crit;
    gzip on;
    gzip_types application/json application/octet-stream;
    client_body_buffer_size 512k;
    ssl_prefer_server_ciphers on;
    ssl_protocols TLSv1.2 TLSv1.3;"""
SEED_PROXY = "        proxy_buffer_size 64k;\n        proxy_buffers 512 4k;"
DEBIAN, MANUAL, OURS = "debian", "seed", "ours"


def main() -> int:
    """Print a line of JSON for each site and round."""
    repetitions = int(sys.argv[2])
    sites = _prepare()
    for _round in range(repetitions):
        for variant, (numbers, site) in sites.items():
            _serve(numbers, site)
            print(json.dumps({"variant": variant, "load": os.getloadavg()[0], **_measure()}), flush=True)
    return 0


def _prepare() -> dict[str, tuple[str, str]]:
    """Make tiles, install what asks for them, and return nginx.conf and the site of each variant."""
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
    _call([*apt, "update", "-qq"])
    _call([*apt, "install", "-y", "-qq", "--no-install-recommends", "wrk", "nghttp2-client"])
    _call(["systemctl", "start", "catmaid"])
    chance = random.Random(1)  # noqa: S311 (nobody is to be kept from guessing)
    paths = [f"/{number % 40}/{number}.jpg" for number in range(MANY)]
    for path in paths:
        file = Path(f"/srv/tiles{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(chance.randbytes(BYTES))
    chance.shuffle(paths)
    LIST.write_text("".join(f"https://{NAME}/data{path}\n" for path in paths), encoding="ascii")
    with open("/etc/hosts", "a", encoding="utf-8") as file:
        file.write(f"127.0.0.1 {NAME}\n")
    asked = ",".join(f'"/data{path}"' for path in paths)
    SCRIPT.write_text(
        f"local paths = {{{asked}}}\nlocal at = 0\n"
        "function setup(thread) thread:set('offset', math.random(#paths)) end\n"
        "function request() at = at + 1; return wrk.format('GET', paths[(at + (offset or 0)) % #paths + 1]) end\n",
        encoding="ascii",
    )
    ours = SITE.read_text(encoding="utf-8")
    numbers = (CONFIG / "nginx.conf").read_text(encoding="utf-8")
    found = {name: str(_one(rf"{name} (\S+);", ours)) for name in ("ssl_certificate", "ssl_certificate_key")}
    given = {"name": NAME, "certificate": found["ssl_certificate"], "key": found["ssl_certificate_key"]}
    debian = COMMON.format(**given, more="", tiles="", proxy="")
    manual = COMMON.format(**given, more=SEED, tiles="expires max; add_header Cache-Control public;", proxy=SEED_PROXY)
    usual = server.without_numbers(numbers)
    return {DEBIAN: (usual, debian), MANUAL: (usual, manual), OURS: (numbers, ours)}


def _serve(numbers: str, site: str) -> None:
    (CONFIG / "nginx.conf").write_text(numbers, encoding="utf-8")
    SITE.write_text(site, encoding="utf-8")
    _call(["systemctl", "reset-failed", "nginx"])
    _call(["systemctl", "restart", "nginx"])
    # With what has just been started there may be no worker yet.
    wait = ["--retry", "60", "--retry-delay", "1", "--retry-all-errors", "--retry-connrefused"]
    for _time in range(20):
        _call(["curl", "-sfk", "-o", "/dev/null", *wait, f"https://{NAME}{API}"])


def _measure() -> dict[str, Any]:
    """Return requests a second: tiles and answers of the application, by HTTP/1.1 and by HTTP/2."""
    return {
        "tiles_1": _wrk("/", "-s", str(SCRIPT)),
        "api_1": _wrk(API),
        "tiles_2": _h2load(45000, "-i", str(LIST)),
        "api_2": _h2load(1000, f"https://{NAME}{API}"),
    }


def _wrk(path: str, *options: str) -> float:
    said = _call(
        ["wrk", "-t1", "--timeout", "30s", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *options, f"https://{NAME}{path}"]
    )  # fmt: skip
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(said)
    return float(_one(r"Requests/sec:\s+([0-9.]+)", said))


def _h2load(requests: int, *what: str) -> float:
    # By number and not by time: it does not connect again when nginx has answered 1000 on a connection, as browsers do.
    said = _call(["h2load", f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-n{requests}", *what])
    counted = _one(r"status codes: (.*)", said)
    if "Application protocol: h2" not in said or not re.search(r" 0 3xx, 0 4xx, 0 5xx", counted):
        raise SystemExit(said)
    return float(_one(r"finished in .*?, ([0-9.]+) req/s", said))


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise SystemExit(f"no {pattern} in\n{text[-2000:]}")
    return found.group(1)


def _call(argv: list[str]) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
