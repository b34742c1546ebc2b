"""Requests over HTTP/2: agents and drop-in users beside load generators that speak it."""

import dataclasses
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import rounds
from peers import HTTP2_POST, HTTP2_TLS_POST, POST, Peer, Run, Workload
from peers.named import AGENTS, FAST, H2LOAD, K6, OHA, OUR_HTTP_USER, OURS
from rig.nghttpd import Nghttpd
from rig.options import Options
from rig.targets import Target, at_least, at_most
from rounds import Row, ratio
from sections import main_of

PEERS: list[Peer] = [AGENTS, OURS, OUR_HTTP_USER, FAST, H2LOAD, OHA, K6]

_PAIR = [AGENTS, H2LOAD]


@dataclass(frozen=True)
class Case:
    """Users that share connections, `streams` of them on each, and who sends so."""

    server: str
    workload: Workload
    connections: int
    streams: int
    peers: list[Peer]

    @property
    def name(self) -> str:
        """What rows have in common, such as nginx-h2c/10x100."""
        return f"{self.server}-{self.workload.scheme}/{self.connections}x{self.streams}"

    def rows(self, absent: set[str]) -> list[Row]:
        """A row for each peer."""
        shared = dataclasses.replace(self.workload, connections=self.connections)
        return [
            Row(
                self.name,
                peer,
                POST if peer is FAST else shared,
                self.connections * self.streams,
                peer.label in absent,
            )
            for peer in self.peers
        ]


CASES = [
    Case("nginx", HTTP2_POST, 1, 1, [*_PAIR, OHA]),
    Case("nginx", HTTP2_POST, 10, 1, _PAIR),
    Case("nginx", HTTP2_POST, 10, 10, [*_PAIR, OHA]),
    Case("nginx", HTTP2_POST, 1, 100, _PAIR),
    Case("nginx", HTTP2_POST, 100, 1, _PAIR),
    Case("nginx", HTTP2_POST, 100, 10, [*_PAIR, OHA, K6]),
    Case("nginx", HTTP2_POST, 10, 100, [*_PAIR, OHA]),
    Case("nginx", HTTP2_TLS_POST, 100, 10, _PAIR),
    Case("nginx", HTTP2_TLS_POST, 10, 100, _PAIR),
    Case("nghttpd", HTTP2_POST, 10, 10, _PAIR),
    Case("nghttpd", HTTP2_POST, 100, 10, _PAIR),
    Case("nghttpd", HTTP2_POST, 10, 100, _PAIR),
    Case("nginx", HTTP2_POST, 5, 10, [FAST, OURS, OUR_HTTP_USER, H2LOAD]),
]

_AT_THE_RATE_OF_H2LOAD = ("/100x10", "/10x100")
"""Connections and streams."""

_REQUIRED_OF_DROP_IN = 5.0  # times FastHttpUser's rate over HTTP/1.1


def measure(options: Options, run: Run, absent: set[str]) -> list[Row]:
    """Measure all peers in turn, round after round, against nginx and nghttpd."""
    rows = [row for case in CASES for row in case.rows(absent)]
    with ExitStack() as stack:
        runs = {"nginx": run}
        reason = Nghttpd.missing()
        if reason:
            print(f"nothing is measured against nghttpd: {reason}")
        else:
            server = Nghttpd(run.directory / "nghttpd", run.server.core)
            runs["nghttpd"] = dataclasses.replace(run, server=stack.enter_context(server))
        for row in rows:
            row.absent |= _server(row) not in runs
        return rounds.measure(rows, options, lambda row: runs[_server(row)])


def _server(row: Row) -> str:
    return row.case.partition("-")[0]


def as_table(rows: list[Row]) -> str:
    """The rows, with ratios to h2load and to FastHttpUser over HTTP/1.1."""
    ratios = {
        "x h2load": lambda row: ratio(rows, row, H2LOAD),
        "CPU / h2load's": lambda row: ratio(rows, row, H2LOAD, "cpu_per_request"),
        "x Fast (1.1)": lambda row: ratio(rows, row, FAST),
    }
    return rounds.table("server/connections x streams/peer", rows, ratios)


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """One object per row, with every sample."""
    return [
        {
            "case": row.case,
            "connections": row.workload.connections,
            **rounds.as_json(
                row,
                {
                    "ratio_to_h2load": ratio(rows, row, H2LOAD),
                    "cpu_over_h2load": ratio(rows, row, H2LOAD, "cpu_per_request"),
                    "ratio_to_fasthttpuser": ratio(rows, row, FAST),
                },
            ),
        }
        for row in rows
    ]


def targets(rows: list[Row]) -> list[Target]:
    """The ratios that agents and drop-in users must reach."""
    found: list[Target] = []
    for row in rows:
        if row.peer is AGENTS:
            what = f"agents, {row.case}: CPU over h2load's"
            found += at_most(what, ratio(rows, row, H2LOAD, "cpu_per_request"), 1.0, "x")
            if row.case.endswith(_AT_THE_RATE_OF_H2LOAD):
                what = f"agents, {row.case}: requests/s over h2load's"
                found += at_least(what, ratio(rows, row, H2LOAD), 1.0)
        if row.peer in (OURS, OUR_HTTP_USER):
            what = f"{row.peer.label}, {row.case}: requests/s over FastHttpUser's by HTTP/1.1"
            found += at_least(what, ratio(rows, row, FAST), _REQUIRED_OF_DROP_IN)
    return found


if __name__ == "__main__":
    sys.exit(main_of(__name__))
