"""What tests of HTTP/2 have in common."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from servers import Listener


def as_json(value: Any) -> Any:
    """A script for `servers.http2` with the bytes in it as strings of the same code points."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value


def sent(listener: Listener, kind: str = "") -> list[dict[str, Any]]:
    """The frames that the server has read on this port, oldest first; of one type, or all."""
    frames: list[dict[str, Any]] = listener.server.call("frames", port=listener.port)
    return [frame for frame in frames if not kind or frame["type"] == kind]


def gone(listener: Listener) -> None:
    """Wait until the server has seen the end of all connections of the port, for 60 s at most."""
    for _ in range(6000):
        if not listener.counts()["open"]:
            return
        time.sleep(0.01)
    raise AssertionError("connections are open yet")


def tool(name: str) -> str:
    """Path of a program that tests take from the system."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert path is not None, f"{name} is missing: make deps-test installs it"
    return path
