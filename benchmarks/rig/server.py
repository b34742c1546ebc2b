"""What the load generators send to."""

import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Protocol, Self

from rig import BenchError, process

SCHEMES = ("http", "https", "h2c", "h2")
"""HTTP/1.1 without and with TLS, HTTP/2 without and with TLS."""


class Server(Protocol):
    """A running server, pinned to `core`."""

    core: int

    worker_pid: int
    """The process that answers."""

    @property
    def certificate(self) -> Path | None:
        """The file of its certificate, if it has one."""

    def url(self, scheme: str) -> str:
        """Base URL for one of `SCHEMES`."""

    def served(self) -> int | None:
        """Requests that were answered since its start, this one included; None if it can't say."""


def base_url(scheme: str, port: int) -> str:
    """URL of `port` on 127.0.0.1, where one of `SCHEMES` is spoken."""
    return f"{'https' if scheme in ('https', 'h2') else 'http'}://127.0.0.1:{port}"


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nothing listens on; all held at once, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


class ServerProcess(ABC):
    """A process that serves, as a context manager: started on entry, stopped on exit.

    Its files are in the empty directory `prefix`; the process that answers is on `core`.
    """

    command: ClassVar[str]
    """Its name, as the shell knows it."""

    def __init__(self, prefix: Path, core: int) -> None:
        self.prefix = prefix
        self.core = core
        self.worker_pid = 0
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Write the files that the server needs; returns the arguments of its command."""

    @abstractmethod
    def _answering(self, pid: int) -> int | None:
        """The pid of the process that answers, of the server with `pid`; None if it isn't there."""

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> int:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if server.poll() is not None:
                line = process.last_line(self.prefix / "out.log")
                raise BenchError(f"{self.command} did not start: {line}")
            answering = self._answering(server.pid)
            if answering is not None:
                return answering
            time.sleep(0.02)
        raise BenchError(f"{self.command} was not ready within 10 s")

    def __enter__(self) -> Self:
        command = [self.command, *self._arguments()]
        with (self.prefix / "out.log").open("wb") as log:
            self._process = process.start(command, self.core, log)
        try:
            self.worker_pid = self._wait_until_ready(self._process)
        except BaseException:
            process.stop(self._process)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            process.stop(self._process)
