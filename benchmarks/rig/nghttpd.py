"""nghttpd, nghttp2's own server, in cleartext: it costs less than nginx, and counts nothing."""

import shutil
import socket
from pathlib import Path

from rig import BenchError
from rig.nginx import ANSWER
from rig.server import ServerProcess, base_url, free_ports


class Nghttpd(ServerProcess):
    """A running nghttpd, which serves `ANSWER`."""

    command = "nghttpd"
    certificate = None

    def __init__(self, prefix: Path, core: int) -> None:
        super().__init__(prefix, core)
        [self._port] = free_ports(1)

    @classmethod
    def missing(cls) -> str | None:
        """Why it can't be started, in one line, or None."""
        found = shutil.which(cls.command)
        return None if found else f"no such command: {cls.command} (Debian package nghttp2-server)"

    def url(self, scheme: str) -> str:
        """Base URL for `scheme`, which is "h2c"."""
        if scheme != "h2c":
            raise BenchError(f"nghttpd serves h2c here, not {scheme}")
        return base_url(scheme, self._port)

    def served(self) -> None:
        """Return None, as it doesn't count."""

    def _arguments(self) -> list[str]:
        documents = self.prefix / "documents"
        documents.mkdir(parents=True)
        (documents / "index.html").write_text(ANSWER)
        arguments = ["--no-tls", "--address", "127.0.0.1", "--workers", "1"]
        arguments += ["--max-concurrent-streams", "128", "--htdocs", str(documents)]
        return [*arguments, str(self._port)]

    def _answering(self, pid: int) -> int | None:
        try:
            socket.create_connection(("127.0.0.1", self._port), 10).close()
        except ConnectionRefusedError:
            return None
        return pid
