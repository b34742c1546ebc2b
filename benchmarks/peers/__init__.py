"""What is compared: one module per peer, each with a `PEER` of the shape below."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rig import BenchError
from rig.nginx import ACCEPTED, ANSWER, LARGE
from rig.server import Server


@dataclass(frozen=True)
class Workload:
    """One kind of request.

    scheme: one of `rig.server.SCHEMES`. content: length of the body of its answer, in bytes.
    connections: those of HTTP/2, which the users share; None: HTTP/1.1, each user has its own.
    """

    name: str
    scheme: str
    method: str
    path: str
    content: int
    connections: int | None = None


POST = Workload("post", "http", "POST", "/", len(ANSWER))
LARGE_GET = Workload("get-100k", "http", "GET", "/100k", LARGE)
HTTPS_POST = Workload("post-https", "https", "POST", "/", len(ANSWER))
HTTP2_POST = Workload("post-h2c", "h2c", "POST", "/", len(ANSWER), connections=1)
HTTP2_TLS_POST = Workload("post-h2", "h2", "POST", "/", len(ANSWER), connections=1)
STATE = Workload("state", "http", "POST", "/v1/opscore/agent/[id]/state", len(ACCEPTED))
"""Every user registers an agent of its own and then updates its state, over and over."""


@dataclass(frozen=True)
class Run:
    """What a measurement is given: server, client core, where to write, seconds to measure.

    What went wrong in any of them is collected in `problems`.
    """

    server: Server
    core: int
    directory: Path
    seconds: float
    warmup: float = 1.0
    problems: list[str] = field(default_factory=list)

    def problem(self, name: str, what: object) -> None:
        """Say that the measurement `name` failed or is not to be trusted; the run goes on."""
        self.problems.append(f"{name}: {what}")
        print(f"  {name}: {what}", flush=True)


@dataclass(frozen=True)
class Sample:
    """One measurement: counts over `seconds` of wall time, CPU in seconds."""

    requests: int
    failures: int
    seconds: float
    client_cpu: float
    server_cpu: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_per_request(self) -> float:
        """Microseconds of the client's CPU (user and system) per request."""
        return self.client_cpu / self.requests * 1e6

    @property
    def requests_per_cpu_second(self) -> float:
        """Requests per second of the client's CPU: the rate of a core it had for itself."""
        return self.requests / self.client_cpu


def check_count(counted: int, server: Server, served_before: int | None) -> None:
    """BenchError if a peer counted more requests than were answered since `served_before`."""
    served = server.served()
    if served is None or served_before is None:
        return
    answered = served - served_before - 1
    if counted > answered:
        raise BenchError(f"{counted} requests were counted, but the server answered {answered}")


class Peer(Protocol):
    """A load generator that can be measured."""

    @property
    def label(self) -> str:
        """Name in tables."""

    def missing(self, directory: Path) -> str | None:
        """Why it can't be measured here, in one line, or None."""

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """Measure `workload` with `users` users or connections; BenchError if it failed."""
