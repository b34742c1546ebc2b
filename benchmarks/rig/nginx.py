"""An nginx of our own: one worker on one core, a prefix in a temporary directory, free ports."""

import os
import resource
import shutil
import string
import subprocess
import urllib.request
from pathlib import Path

from rig import BenchError
from rig.server import SCHEMES, ServerProcess, base_url, free_ports

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


class Nginx(ServerProcess):
    """A running nginx, with its worker on `core`."""

    command = "nginx"

    def __init__(self, prefix: Path, core: int) -> None:
        for command, package in (("nginx", "nginx"), ("openssl", "openssl")):
            if shutil.which(command) is None:
                raise BenchError(f"{command} is missing: install the Debian package {package}")
        super().__init__(prefix, core)
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

    def _arguments(self) -> list[str]:
        self._write_files()
        return ["-p", str(self.prefix), "-c", "nginx.conf", "-e", "error.log"]

    def _answering(self, pid: int) -> int | None:
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(workers[0]) if workers else None
