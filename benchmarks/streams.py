"""Many streams of HTTP/2 at a time in one process: is each request answered, and each counted?"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import Peer, Run, opscore_fast_agents
from rig import BenchError, c_server, locust_run, report
from rig.locust_run import AGENTS
from rig.options import Options
from rig.targets import Target, at_most
from sections import main_of

PEERS: list[Peer] = [opscore_fast_agents.PEER]

_AGENTS_PER_USER = 1000
_PATIENCE = 180.0
"""Seconds that the answers may take."""


@dataclass(frozen=True)
class Case:
    """Connections with so many streams on each, as many as the server allows."""

    connections: int
    streams: int

    @property
    def requests(self) -> int:
        """How many are under way at a time."""
        return self.connections * self.streams

    @property
    def name(self) -> str:
        """Name that --only matches."""
        return f"streams/{self.connections}x{self.streams}"


CASES = [Case(1000, 100)]


@dataclass(frozen=True)
class Result:
    """What the client and gathering_server.c have counted."""

    case: Case
    client: dict[str, Any]
    server: dict[str, Any]

    @property
    def lost(self) -> int:
        """Requests that are missing from one of the counts, or were not under way with the rest."""
        counts = [int(self.server[name]) for name in ("requests", "answered", "most")]
        counts.append(int(self.client["reported"]) - int(self.client["failures"]))
        return max(abs(count - self.case.requests) for count in counts)

    @property
    def kb_each(self) -> float:
        """KB that each stream took when memory was at its highest."""
        return float(self.client["rss_most"] - self.client["rss_before"]) / self.case.requests


def _run(case: Case, program: Path, run: Run) -> Result:
    arguments = [str(case.requests), str(case.streams)]
    with c_server.running(program, arguments, run.server.core) as server:
        users = case.requests // _AGENTS_PER_USER
        client = locust_run.run(
            "streams.py",
            AGENTS,
            users,
            server.url,
            run.core,
            run.directory,
            limit=_PATIENCE + 60,
            patience=_PATIENCE,
            of=users,
            each=_AGENTS_PER_USER,
            http2="prior-knowledge",
            connections=case.connections,
            trusted="",
        )
    return Result(case, client, server.report)


def _measure(case: Case, run: Run) -> Result | None:
    try:
        program = c_server.compiled("gathering_server", run.directory, "nghttp2")
        result = _run(case, program, run)
    except BenchError as error:
        run.problem(case.name, error)
        return None
    print(f"  {case.name}: {result.client['seconds']:.1f} s", flush=True)
    if result.lost:
        run.problem(case.name, f"counts are not {case.requests}: {result.server} {result.client}")
    return result


def measure(options: Options, run: Run, absent: set[str]) -> list[Result]:
    """Measure every case."""
    if AGENTS.label in absent:
        return []
    results = [_measure(case, run) for case in CASES if options.wants(case.name)]
    return [result for result in results if result]


def as_table(results: list[Result]) -> str:
    """The counts of both sides, the time until the last answer, and memory."""
    head = ["streams/connections x streams", "sent", "most at a time", "connections", "answered"]
    head += ["reported", "failed", "seconds", "KB/stream"]
    lines = [
        [
            result.case.name,
            *(
                report.number(result.server[name])
                for name in ("requests", "most", "connections", "answered")
            ),
            *(report.number(result.client[name]) for name in ("reported", "failures")),
            report.number(result.client["seconds"], 1),
            report.number(result.kb_each, 1),
        ]
        for result in results
    ]
    return report.table(head, lines)


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    """One object per case, with the counts of both sides (memory in KB)."""
    return [
        {
            "case": result.case.name,
            "lost": result.lost,
            "kb_per_stream": result.kb_each,
            "client": result.client,
            "server": result.server,
        }
        for result in results
    ]


def targets(results: list[Result]) -> list[Target]:
    """None may be lost."""
    found: list[Target] = []
    for result in results:
        what = f"{result.case.requests:,} streams on {result.case.connections:,} connections: lost"
        found += at_most(what, result.lost, 0, "requests")
    return found


if __name__ == "__main__":
    sys.exit(main_of(__name__))
