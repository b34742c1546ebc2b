"""What the load generators send to."""

import socket
from pathlib import Path
from typing import Protocol

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
