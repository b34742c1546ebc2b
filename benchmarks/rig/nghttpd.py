"""nghttpd, nghttp2's own server, in cleartext: it costs less than nginx, and counts nothing."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rig import BenchError, process
from rig.nginx import ANSWER
from rig.server import base_url, free_ports

_COMMAND = "nghttpd"


def missing() -> str | None:
    """Why nghttpd can't be started, in one line, or None."""
    found = shutil.which(_COMMAND)
    return None if found else f"no such command: {_COMMAND} (Debian package nghttp2-server)"


class Nghttpd:
    """A running nghttpd, as a context manager: started on entry, stopped on exit."""

    certificate = None

    def __init__(self, prefix: Path, core: int) -> None:
        """Serve `ANSWER` from the empty directory `prefix`, on `core`."""
        self.prefix = prefix
        self.core = core
        self.worker_pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        [self._port] = free_ports(1)

    def url(self, scheme: str) -> str:
        """Base URL for `scheme`, which is "h2c"."""
        if scheme != "h2c":
            raise BenchError(f"nghttpd serves h2c here, not {scheme}")
        return base_url(scheme, self._port)

    def served(self) -> None:
        """Return None, as it doesn't count."""

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if server.poll() is not None:
                line = process.last_line(self.prefix / "out.log")
                raise BenchError(f"nghttpd did not start: {line}")
            try:
                socket.create_connection(("127.0.0.1", self._port), 10).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return
        raise BenchError("nghttpd did not listen within 10 s")

    def __enter__(self) -> Self:
        documents = self.prefix / "documents"
        documents.mkdir(parents=True)
        (documents / "index.html").write_text(ANSWER)
        command = [_COMMAND, "--no-tls", "--address", "127.0.0.1", "--workers", "1"]
        command += ["--max-concurrent-streams", "128", "--htdocs", str(documents)]
        with (self.prefix / "out.log").open("wb") as log:
            self._process = process.start([*command, str(self._port)], self.core, log)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            process.stop(self._process)
            raise
        self.worker_pid = self._process.pid
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            process.stop(self._process)
