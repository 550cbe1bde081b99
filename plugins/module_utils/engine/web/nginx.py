# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web server as a whole: a rehearsal of its configuration, and a reload that is known to have happened."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from .. import command
from ..errors import CatmaidError, of_system

SMALL = 1024 * 1024  # a larger file is no configuration
PAUSE = 0.05
# Until new processes serve. They come within a second, even on slow machines; when they do not, its log tells why.
RELOADED_WITHIN = 120.0
ERROR_LOG = re.compile(r"^\s*error_log\s+(/[^\s;]+)", re.MULTILINE)
DEFAULT_ERROR_LOG = "/var/log/nginx/error.log"
COMPLAINT = re.compile(r"\[(?:emerg|crit|alert|error)\]\s*(?:\d+#\d+:\s*)?(.*)")
CONFLICT = re.compile(r'conflicting server name "([^"]+)" on (\S+), ignored')
CONFLICT_REMEDY = "Remove the other one (nginx -T shows it), or give this instance another catmaid_server_name."


def rehearse(config_dir: str, wanted: Mapping[str, str | None], doing: str, server_name: str = "") -> None:
    """Let nginx read all of its configuration with some files as they are to be; nothing that is in use changes.

    It reads a copy whose own paths lead into the copy. Files are named by their paths below ``config_dir``; one without
    content is gone from it. Of two sites with the ``server_name`` nginx would serve one, and only warn of it.
    """
    # In memory, where there may be copies of keys for a moment; mkdtemp lets nobody else in.
    folder = tempfile.mkdtemp(prefix="catmaid-nginx-", dir="/run")
    try:
        copy = os.path.join(folder, "nginx")
        shutil.copytree(config_dir, copy, ignore_dangling_symlinks=True)
        for name, content in wanted.items():
            _put(os.path.join(copy, name), content)
        _lead_into(copy, config_dir)
        said = command.run(["nginx", "-t", "-q", "-c", os.path.join(copy, "nginx.conf")], doing=doing, ok=None)
        if said.rc != 0:
            words = COMPLAINT.findall(said.stderr) or [said.stderr]
            cause = "; ".join(words).replace(copy, config_dir)
            raise CatmaidError(doing, cause, "Nothing was changed.")
        for name, address in CONFLICT.findall(said.stderr):
            if name == server_name:
                cause = f"another site has the name {name} at {address}, and nginx would serve only one of them"
                raise CatmaidError(doing, cause, f"Nothing was changed. {CONFLICT_REMEDY}")
    except shutil.Error as error:
        raise CatmaidError(doing, f"cannot copy {config_dir}: {error}") from error
    except OSError as error:
        raise of_system(doing, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(path: str, content: str | None) -> None:
    if content is not None:
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(content)
    elif os.path.exists(path):
        os.unlink(path)


def _lead_into(copy: str, config_dir: str) -> None:
    """Let what names a file below ``config_dir`` name that of the copy."""
    for folder, _folders, names in os.walk(copy):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.getsize(path) > SMALL:
                continue
            with open(path, "rb") as file:
                before = file.read()
            after = before.replace(f"{config_dir}/".encode(), f"{copy}/".encode())
            if after != before:
                with open(path, "wb") as file:
                    file.write(after)


def change(
    config_dir: str, *, do: Callable[[], None], undo: Callable[[], None], prove: Callable[[], None], what: str
) -> None:
    """Change files and let nginx serve by them. What it does not take, or what is not proven, is taken back."""
    try:
        do()
        reload(config_dir)
        prove()
    except BaseException as error:
        undo()
        with suppress(CatmaidError):  # the first error is the one to tell
            reload(config_dir)
        if isinstance(error, CatmaidError):
            remedy = f"{error.remedy} {what} is as it was before.".lstrip()
            raise CatmaidError(error.doing, error.cause, remedy, **error.details) from error
        raise


def reload(config_dir: str) -> None:
    """Let nginx serve by its configuration, and return when it does; start it if it does not run.

    nginx itself only takes note of the wish: when it cannot do it, it says so in its log and goes on as before.
    """
    doing = "reloading nginx"
    master = _master()
    if not master:
        _start()
        return
    before, log = _children(master), _Log(config_dir)
    # systemd would not tell what nginx says.
    command.run(["nginx", "-s", "reload"], doing=doing)
    deadline = time.monotonic() + RELOADED_WITHIN
    while time.monotonic() < deadline:
        now = _children(master)
        if now - before and all(_takes_no_more(process) for process in now & before):
            return
        complaint = log.complaint()
        if complaint:
            raise CatmaidError(doing, complaint, _remedy(complaint))
        time.sleep(PAUSE)
    raise CatmaidError(doing, f"no new process serves after {RELOADED_WITHIN:.0f} s", f"{log.path} tells more.")


def _remedy(complaint: str) -> str:
    return "Another program has that port: stop it (ss -ltnp)." if "Address already in use" in complaint else ""


def _start() -> None:
    # After some failures, such as those of a port that was taken, systemd would not even try.
    command.run(["systemctl", "reset-failed", "nginx.service"], doing="starting nginx", ok=None)
    started = command.run(["systemctl", "start", "nginx.service"], doing="starting nginx", ok=None)
    if started.rc != 0:
        said = command.run(["journalctl", "-u", "nginx", "-n", "20", "-o", "cat"], doing="asking for nginx's journal")
        words = [word for word in COMPLAINT.findall(said.stdout) if not word.startswith("still could not")]
        cause = words[-1] if words else started.stderr
        raise CatmaidError("starting nginx", cause, _remedy(cause))


def _master() -> int:
    """Return the process that nginx's others come from, 0 when it does not run."""
    asked = ["systemctl", "show", "nginx.service", "--property=MainPID", "--value"]
    said = command.run(asked, doing="looking for nginx").stdout.strip()
    return int(said) if said.isdigit() else 0


def _children(parent: int) -> set[int]:
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _parent(entry) == parent}


def _takes_no_more(process: int) -> bool:
    """Tell whether one of nginx's processes has ended, or only ends what it has begun."""
    title = _title(process)
    return not title or "shutting down" in title


def _title(process: int) -> str:
    """Return what a process of nginx calls itself, nothing when it has ended."""
    try:
        with open(f"/proc/{process}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\0 ")
    except OSError:
        return ""


def _parent(process: str) -> int:
    """Return the parent of a process, 0 when it has ended meanwhile."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            # After the name, which may have blanks and brackets in it: state, parent, ...
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def least_open_files() -> int | None:
    """Return how many files each process that serves may have open; None when none does, or none is ready yet."""
    # One that is not called so yet has not told the kernel yet how many it wants.
    ready = [process for process in _children(_master() or -1) if _title(process) == "nginx: worker process"]
    return min(map(_open_files, ready), default=None)


def _open_files(process: int) -> int:
    with suppress(OSError), open(f"/proc/{process}/limits", encoding="ascii") as file:
        found = re.search(r"^Max open files\s+(\d+)", file.read(), re.MULTILINE)
        if found:
            return int(found.group(1))
    return sys.maxsize  # it has ended meanwhile, or has no limit


class _Log:
    """The log of the whole server, from now on."""

    def __init__(self, config_dir: str) -> None:
        self.path, self.start = DEFAULT_ERROR_LOG, 0
        with suppress(OSError):
            with open(os.path.join(config_dir, "nginx.conf"), encoding="utf-8", errors="replace") as file:
                found = ERROR_LOG.search(file.read())
            if found:
                self.path = found.group(1)
        with suppress(OSError):
            self.start = os.path.getsize(self.path)

    def complaint(self) -> str:
        """Return why nginx goes on as before, as far as it has said so."""
        with suppress(OSError), open(self.path, encoding="utf-8", errors="replace") as file:
            file.seek(self.start)
            for line in file.read().splitlines():
                found = COMPLAINT.search(line)
                if found and "[emerg]" in line:
                    return found.group(1)
        return ""


def served_certificate(server_name: str, address: str = "127.0.0.1", port: int = 443) -> bytes:
    """Return the certificate that a visitor of ``server_name`` gets, in DER; nothing when there is no TLS."""
    # Whose it is and whether it is trusted is not the question here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        plain = socket.create_connection((address, port), timeout=30)
        with plain, context.wrap_socket(plain, server_hostname=server_name) as connection:
            return connection.getpeercert(binary_form=True) or b""
    except OSError:  # ssl's own errors are OSErrors, too
        return b""
