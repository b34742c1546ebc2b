"""Runs the stand-in as a user would, in a process of its own, and asks it things."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import CERTIFICATES

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "opscore_fast", "standin")
KEY = "test-api-key"
AUTHORITY = str(CERTIFICATES / "authority.pem")
TLS = ("--tls-cert", str(CERTIFICATES / "localhost.pem"))
"""Options for a stand-in with TLS, whose certificate is AUTHORITY's."""
TIMEOUT_S = 60
"""Seconds after which a test gives up waiting."""


@dataclass
class Answer:
    """One HTTP answer: its status, its headers and its body, parsed if it is JSON."""

    status: int
    headers: http.client.HTTPMessage
    body: Any


@dataclass
class Standin:
    """A running stand-in."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def _connection(self) -> http.client.HTTPConnection:
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=AUTHORITY)
            return http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=TIMEOUT_S, context=context
            )
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        key: str | None = KEY,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Sends one HTTP/1.1 request on a connection of its own; `body` is bytes, else sent as
        JSON."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self._connection()
        try:
            connection.request(method, path, payload, {**sent, **(headers or {})})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return Answer(response.status, response.headers, json.loads(content) if content else None)

    def register(self, agent_id: str) -> Answer:
        """Registers an agent."""
        return self.ask("POST", NOTIFY, registration(agent_id), key=None)

    def counters(self) -> dict[str, dict[str, int]]:
        """Requests answered so far, by endpoint and status."""
        counters: dict[str, dict[str, int]] = self.ask("GET", "/standin/counters").body
        return counters

    def protocols(self) -> dict[str, int]:
        """Requests answered so far, by version of HTTP."""
        protocols: dict[str, int] = self.ask("GET", "/standin/protocols").body
        return protocols

    def stop(self) -> tuple[int, str]:
        """Stops it; gives its exit code and what it wrote after its first line."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, output


NOTIFY = "/v1/opscore/internal/agent/notify"
STATE = "/v1/opscore/agent/[id]/state"
WORKFLOW = "/v1/opscore/agent/[id]/workflow"

Counts = dict[tuple[str, str], int]
"""Requests by method and the name that Locust's statistics give them."""


def by_name(answered: dict[str, dict[str, int]]) -> Counts:
    """The stand-in's counters in that form."""
    counts = {}
    for endpoint, statuses in answered.items():
        method, _, path = endpoint.partition(" ")
        counts[method, path.replace("{agentId}", "[id]")] = sum(statuses.values())
    return counts


@dataclass(frozen=True)
class Protocol:
    """What users and a stand-in speak with each other."""

    name: str
    spoken: str
    """The version of HTTP that the stand-in has to see."""
    standin: tuple[str, ...] = ()
    """Options of the stand-in."""
    users: tuple[str, ...] = ()
    """Options of `python -m opscore_fast`."""
    connections: int | None = None
    """How many all users of a process share."""

    def __str__(self) -> str:
        return self.name

    def write_locustfile(self, folder: Path) -> str:
        """Write a second locustfile for its users to a folder; returns its name."""
        (folder / "connected.py").write_text(
            CONNECTED.format(ca_bundle=AUTHORITY, connections=self.connections)
        )
        return "connected.py"


CONNECTED = """
from locust import events

@events.init.add_listener
def connect(environment, **_):
    for kind in environment.user_classes:
        kind.ca_bundle = {ca_bundle!r}
        kind.connections = {connections}
"""

HTTP1 = Protocol("HTTP/1.1", "1.1")
H2C = Protocol("h2c", "2", ("--http2",), ("--http2=prior-knowledge",))
H2 = Protocol("h2", "2", ("--http2", *TLS), ("--http2",), connections=2)
"""By TLS, all users of a process with two connections; with h2c each has its own."""


def registration(agent_id: str, event: str = "REGISTER", **details: object) -> dict[str, Any]:
    """The body that registers an agent; `details` replace or add to its details."""
    return {
        "event_type": event,
        "agent_details": {
            "agentId": agent_id,
            "agentName": "An agent",
            "version": "1.0",
            "capabilities": ["simulation"],
            "contactEndpoint": "http://agent.local/run",
            "metadata": {"team": 1},
            **details,
        },
    }


@contextmanager
def running_standin(*options: str, **environment: str) -> Iterator[Standin]:
    """A stand-in on a free port, with these options and additions to the environment."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        cwd=ROOT,
        env={**os.environ, "OPSCORE_API_KEY": KEY, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert "://" in ready, ready + process.stdout.read()
        yield Standin(process, ready.split()[-1])
    finally:
        process.kill()
        process.communicate()


def run_standin(*options: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A stand-in that is expected to end by itself."""
    return subprocess.run(
        [*COMMAND, *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
