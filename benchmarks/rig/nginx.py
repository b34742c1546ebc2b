"""An nginx of our own: one worker on one core, a prefix in a temporary directory, free ports."""

import os
import resource
import shutil
import string
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from rig import BenchError, process
from rig.server import SCHEMES, base_url, free_ports

_TEMPLATE = Path(__file__).parents[1] / "nginx.conf"

ANSWER = '{"status":"success","message":"State accepted"}'
"""Body of every answer to `POST /`."""

REGISTERED = '{"status":"success","message":"Agent ID registered successfully."}'
"""Body of the answer to a registration."""

ACCEPTED = '{"status":"success","message":"State update accepted"}'
"""Body of the answer to a state update."""

LARGE = 100_000
"""Bytes in the answer to `GET /100k`."""


def _make_certificate(prefix: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(prefix / "key.pem"), "-out", str(prefix / "cert.pem")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"openssl made no certificate: {done.stderr.strip()[-200:]}")


class Nginx:
    """A running nginx, as a context manager: started on entry, stopped on exit."""

    def __init__(self, prefix: Path, core: int) -> None:
        """Serve from the empty directory `prefix`, with the worker on `core`."""
        for command, package in (("nginx", "nginx"), ("openssl", "openssl")):
            if shutil.which(command) is None:
                raise BenchError(f"{command} is missing: install the Debian package {package}")
        self.prefix = prefix
        self.core = core
        self.worker_pid = 0
        self._master: subprocess.Popen[bytes] | None = None
        self._ports = dict(zip(SCHEMES, free_ports(len(SCHEMES)), strict=True))

    @property
    def certificate(self) -> Path:
        """The file of its certificate, which is its own CA."""
        return self.prefix / "cert.pem"

    def url(self, scheme: str) -> str:
        """Base URL for one of `SCHEMES`."""
        return base_url(scheme, self._ports[scheme])

    def served(self) -> int:
        """Requests that nginx has answered since its start, this one included."""
        with urllib.request.urlopen(f"{self.url('http')}/served", timeout=10) as answer:
            return int(answer.read().split(b"\n")[2].split()[2])

    def _write_files(self) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        connections = min(32768, files - 64)
        settings = string.Template(_TEMPLATE.read_text()).substitute(
            user="user root;" if os.geteuid() == 0 else "",
            affinity=format(1 << self.core, "b"),
            files=files,
            connections=connections,
            **{f"{scheme}_port": port for scheme, port in self._ports.items()},
            answer=ANSWER,
            registered=REGISTERED,
            accepted=ACCEPTED,
            prefix=self.prefix,
        )
        (self.prefix / "temp").mkdir(parents=True)
        (self.prefix / "nginx.conf").write_text(settings)
        (self.prefix / "100k").write_bytes(b"0123456789abcde\n" * (LARGE // 16))
        _make_certificate(self.prefix)

    def _wait_until_ready(self, master: subprocess.Popen[bytes]) -> None:
        children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if master.poll() is not None:
                line = process.last_line(self.prefix / "out.log")
                raise BenchError(f"nginx did not start: {line}")
            workers = children.read_text().split()
            if workers:
                self.worker_pid = int(workers[0])
                return
            time.sleep(0.02)
        raise BenchError("nginx started no worker within 10 s")

    def __enter__(self) -> Self:
        self._write_files()
        command = ["nginx", "-p", str(self.prefix), "-c", "nginx.conf", "-e", "error.log"]
        with (self.prefix / "out.log").open("wb") as log:
            self._master = process.start(command, self.core, log)
        try:
            self._wait_until_ready(self._master)
        except BaseException:
            process.stop(self._master)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._master is not None:
            process.stop(self._master)
