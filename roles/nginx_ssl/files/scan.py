# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a web site from outside, as Qualys' SSL Labs would, without asking anybody: by sslyze, and at its headers.

Prints a report as JSON, and writes it as JSON, text and HTML below the path that ``--report`` gives. The grade is the
strictest of Mozilla's profiles that the site complies with.
"""

from __future__ import annotations

import argparse
import html
import http.client
import json
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

from sslyze import Scanner, ServerNetworkLocation, ServerScanRequest
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)

GRADES = ("modern", "intermediate", "old")
WEAK = "weak"
HALF_A_YEAR = 15768000
TRUST = "certificate_path_validation"


def main() -> int:
    """Scan, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--ca-file", default="")
    parser.add_argument(
        "--untrusted", action="store_true", help="nobody vouches for the certificate, and that is known"
    )
    parser.add_argument("--report", default="")
    wanted = parser.parse_args()
    problems = tls_problems(wanted)
    found = {
        "site": wanted.name,
        "grade": next((grade for grade in GRADES if not problems[grade]), WEAK),
        "tls": problems,
        "headers": header_problems(wanted),
    }
    if wanted.report:
        write(found, wanted.report)
    print(json.dumps(found))
    return 0


def tls_problems(wanted: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Return what keeps the site from complying with each of Mozilla's profiles."""
    where = ServerNetworkLocation(hostname=wanted.name, port=443, ip_address=wanted.address)
    scanner = Scanner()
    scanner.queue_scans([ServerScanRequest(server_location=where)])
    result = next(scanner.get_results())
    if result.scan_result is None:
        raise SystemExit(
            f"{wanted.name} at {wanted.address} cannot be reached by TLS: {result.connectivity_error_trace}"
        )
    problems = {}
    trust = trust_problems(wanted)
    for grade in GRADES:
        try:
            check_server_against_tls_configuration(result, MozillaTlsConfiguration.get(TlsConfigurationEnum(grade)))
            issues: dict[str, str] = {}
        except ServerNotCompliantWithTlsConfiguration as error:
            issues = error.issues
        problems[grade] = {name: text for name, text in issues.items() if name != TRUST} | trust
    return problems


def trust_problems(wanted: argparse.Namespace) -> dict[str, str]:
    """Return why a visitor does not trust the certificate; sslyze itself refuses authorities that were made by hand."""
    if wanted.untrusted:
        return {}
    context = ssl.create_default_context(cafile=wanted.ca_file or None)
    try:
        plain = socket.create_connection((wanted.address, 443), timeout=30)
        with plain, context.wrap_socket(plain, server_hostname=wanted.name):
            return {}
    except ssl.SSLError as error:
        return {TRUST: f"The certificate is not trusted: {error.args[-1]}."}


def header_problems(wanted: argparse.Namespace) -> list[str]:
    """Return what is missing in the headers, and whether visitors by HTTP are led to TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    plain = socket.create_connection((wanted.address, 443), timeout=30)
    with plain, context.wrap_socket(plain, server_hostname=wanted.name) as connection:
        problems = [] if connection.selected_alpn_protocol() == "h2" else ["There is no HTTP/2."]
    context.set_alpn_protocols(["http/1.1"])
    answer = ask(_Named(wanted.address, wanted.name, context), wanted.name)
    age = answer.getheader("Strict-Transport-Security", "").partition("max-age=")[2].partition(";")[0]
    if not age.isdigit() or int(age) < HALF_A_YEAR:
        problems.append("Strict-Transport-Security is missing, or for less than half a year.")
    if answer.getheader("X-Content-Type-Options") != "nosniff":
        problems.append("X-Content-Type-Options is not nosniff.")
    if not answer.getheader("X-Frame-Options") and "frame-ancestors" not in answer.getheader(
        "Content-Security-Policy", ""
    ):
        problems.append("Any page may put the site into a frame.")
    if not answer.getheader("Referrer-Policy"):
        problems.append("Referrer-Policy is missing.")
    if any(letter.isdigit() for letter in answer.getheader("Server", "")):
        problems.append("The server tells its version.")
    plain_answer = ask(http.client.HTTPConnection(wanted.address, 80, timeout=30), wanted.name)
    if not plain_answer.getheader("Location", "").startswith("https://"):
        problems.append("Visitors by HTTP are not led to TLS.")
    return problems


class _Named(http.client.HTTPSConnection):
    """A connection to an address, for a site by its name."""

    def __init__(self, address: str, name: str, context: ssl.SSLContext) -> None:
        super().__init__(address, 443, timeout=30, context=context)
        self.name, self.tls = name, context

    def connect(self) -> None:
        """Connect."""
        plain = socket.create_connection((self.host, self.port), timeout=self.timeout)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.name)


def ask(connection: http.client.HTTPConnection, name: str) -> http.client.HTTPResponse:
    """Return the answer for the start page."""
    connection.request("GET", "/", headers={"Host": name})
    return connection.getresponse()


def write(found: dict[str, Any], path: str) -> None:
    """Write the report in three forms."""
    lines = [f"{found['site']}: {found['grade']}"]
    for grade, problems in found["tls"].items():
        lines += [f"  {grade}: " + ("complies" if not problems else f"{len(problems)} problems")]
        lines += [f"    {name}: {text}" for name, text in problems.items()]
    lines += ["  headers: " + ("all there" if not found["headers"] else f"{len(found['headers'])} problems")]
    lines += [f"    {text}" for text in found["headers"]]
    text = "\n".join(lines) + "\n"
    page = f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(lines[0])}</title>\n'
    for ending, content in (
        ("json", json.dumps(found, indent=2) + "\n"),
        ("txt", text),
        ("html", f"{page}<pre>{html.escape(text)}</pre></html>\n"),
    ):
        Path(f"{path}.{ending}").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
