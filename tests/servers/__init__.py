"""Servers to test against, each in a process of its own and only on loopback.

`Server` starts one and speaks to it over its stdin and stdout, one JSON object a line; `serve` is
the other end of that, inside the server. A server's process ends with its stdin, so that it can't
outlive the tests. Every port that a server listens on has counts and records of its own: `Listener`
is the test's handle of one. Bytes travel as strings of the same code points (latin-1).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
CERTIFICATES = Path(__file__).resolve().parent / "certificates"


class ServerError(Exception):
    """A command to a server failed; the text says how."""


def child_environment(**changes: str) -> dict[str, str]:
    """The environment of a process that must not run under this one's sanitizer."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    return {**environment, **changes}


class Server:
    """A server process. `module` is one of this package, such as ``servers.app``."""

    def __init__(self, module: str) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=child_environment(PYTHONPATH=str(TESTS)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid

    def call(self, command: str, **arguments: Any) -> Any:
        """Have the server run a command; returns its answer or raises `ServerError`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"command": command, "arguments": arguments}).encode()
        with self._lock:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise ServerError(f"the server has ended, {command} can't be run")
        result = json.loads(answer)
        if "error" in result:
            raise ServerError(f"{command}: {result['error']}")
        return result["result"]

    def listen(self, **options: Any) -> Listener:
        """Listen on a new port; the options are those of the server's ``listen``."""
        return Listener(self, self.call("listen", **options), tls=bool(options.get("certificate")))

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Listener:
    """One port of a server."""

    def __init__(self, server: Server, port: int, tls: bool) -> None:
        self.server = server
        self.port = port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    def counts(self) -> dict[str, Any]:
        """What the port has seen since it was opened or cleared."""
        counts: dict[str, Any] = self.server.call("counts", port=self.port)
        return counts

    def requests(self) -> list[dict[str, Any]]:
        """The requests read in whole, oldest first (the last 5,000)."""
        requests: list[dict[str, Any]] = self.server.call("requests", port=self.port)
        return requests

    def clear(self) -> None:
        """Forget counts, requests and open gates, but for the connections that are open."""
        self.server.call("clear", port=self.port)

    def open_gate(self, name: str) -> None:
        """Let whatever waits for the gate of that name go on, now and from now on."""
        self.server.call("open_gate", port=self.port, name=name)

    def close(self) -> None:
        """Close the port and all of its connections."""
        self.server.call("close", port=self.port)


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Run commands from stdin until it ends, then end the process."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": commands[request["command"]](**request["arguments"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    os._exit(0)
