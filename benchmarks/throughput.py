"""Requests per second and client CPU per request, for every peer."""

import statistics
from dataclasses import dataclass, field
from typing import Any

from peers import (
    HTTPS_POST,
    LARGE_GET,
    POST,
    STATE,
    Peer,
    Run,
    Sample,
    Workload,
    goose,
    hey,
    k6,
    locust_fast_http_user,
    locust_http_user,
    oha,
    opscore_fast_agents,
    opscore_fast_http_user,
    opscore_fast_requests_user,
    wrk,
)
from rig import BenchError, report
from rig.options import Options
from rig.targets import Target, at_least, at_most

HTTP_USER: Peer = locust_http_user.PEER
FAST: Peer = locust_fast_http_user.PEER
OURS: Peer = opscore_fast_http_user.PEER
OUR_HTTP_USER: Peer = opscore_fast_requests_user.PEER
AGENTS: Peer = opscore_fast_agents.PEER
WRK: Peer = wrk.PEER
OHA: Peer = oha.PEER
GOOSE: Peer = goose.PEER
HEY: Peer = hey.PEER
K6: Peer = k6.PEER

_PLAN: list[tuple[Workload, int, list[Peer]]] = [
    (POST, 50, [HTTP_USER, OUR_HTTP_USER, FAST, OURS, WRK]),
    (POST, 100, [FAST, OURS, AGENTS, WRK, OHA, GOOSE, HEY, K6]),
    (POST, 1, [FAST, OURS, WRK]),
    (POST, 500, [FAST, OURS, AGENTS, WRK, OHA, GOOSE, HEY]),
    (LARGE_GET, 50, [FAST, OURS, WRK]),
    (HTTPS_POST, 50, [FAST, OURS, WRK]),
    (STATE, 100, [FAST, OURS, AGENTS, WRK]),
]

_REQUIRED = {
    "post/50": 6.0,
    "post/500": 5.0,
    "post/1": 2.0,
    "get-100k/50": 3.0,
    "post-https/50": 5.0,
}


_REQUIRED_OF_HTTP_USER = 20.0
_REQUIRED_OF_AGENTS = 15.0  # times FastHttpUser's rate
_AGENTS_CASE = "post/100"
_TEMPLATED_CASE = "state/100"
_TEMPLATED_CPU = 1.25  # of wrk's constant request


@dataclass
class Row:
    """All samples of one peer under one workload; None where there is none."""

    workload: Workload
    users: int
    peer: Peer
    absent: bool = False
    samples: list[Sample | None] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name that --only matches."""
        return f"{self.case}/{self.peer.label}"

    @property
    def case(self) -> str:
        """What the rows to compare with have in common."""
        return f"{self.workload.name}/{self.users}"

    def median(self, value: str) -> float | None:
        """Median of an attribute of the samples."""
        values = [getattr(sample, value) for sample in self.samples if sample]
        return statistics.median(values) if values else None

    def share(self, cpu: str) -> float | None:
        """Median share of one core, in percent."""
        values = [getattr(s, cpu) / s.seconds * 100 for s in self.samples if s]
        return statistics.median(values) if values else None


def _plan(options: Options, absent: set[str]) -> list[Row]:
    rows = [
        Row(workload, users, peer, peer.label in absent)
        for workload, users, peers in _PLAN
        for peer in peers
    ]
    return [row for row in rows if options.wants(row.name)]


def _measure(row: Row, run: Run, note: str) -> Sample | None:
    try:
        sample = row.peer.measure(row.workload, row.users, run)
    except BenchError as error:
        run.problem(f"{row.name} {note}", error)
        return None
    print(f"  {row.name} {note}: {sample.rate:,.0f} requests/s", flush=True)
    if sample.failures:
        run.problem(f"{row.name} {note}", f"{sample.failures} requests failed")
    return sample


def measure(options: Options, run: Run, absent: set[str]) -> list[Row]:
    """Measure all peers in turn, round after round."""
    rows = _plan(options, absent)
    for number in range(1, options.rounds + 1):
        for row in rows:
            note = f"round {number}/{options.rounds}"
            row.samples.append(None if row.absent else _measure(row, run, note))
    return [] if all(row.absent for row in rows) else rows


def ratio(rows: list[Row], row: Row, to: Peer, value: str = "rate") -> float | None:
    """Median over the rounds of `row`'s value divided by that of peer `to` in the same round."""
    other = next((r for r in rows if r.case == row.case and r.peer.label == to.label), None)
    if other is None:
        return None
    pairs = zip(row.samples, other.samples, strict=True)
    ratios = [getattr(a, value) / getattr(b, value) for a, b in pairs if a and b]
    return statistics.median(ratios) if ratios else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{report.number(share)} %"


def as_table(rows: list[Row]) -> str:
    """The rows, with ratios to FastHttpUser and to wrk."""
    head = ["workload/users/peer", "requests/s", "CPU us/req", "x FastHttpUser", "x wrk"]
    head += ["x Fast (CPU)", "client core", "server core", "failed"]
    lines = [
        [
            row.name,
            "absent" if row.absent else report.number(row.median("rate")),
            report.number(row.median("cpu_per_request"), 1),
            report.number(ratio(rows, row, FAST), 2),
            report.number(ratio(rows, row, WRK), 2),
            report.number(ratio(rows, row, FAST, "requests_per_cpu_second"), 2),
            _percent(row.share("client_cpu")),
            _percent(row.share("server_cpu")),
            "-" if row.absent else report.number(sum(s.failures for s in row.samples if s)),
        ]
        for row in rows
    ]
    return report.table(head, lines)


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """One object per row, with every sample."""
    return [
        {
            "workload": row.workload.name,
            "users": row.users,
            "peer": row.peer.label,
            "absent": row.absent,
            "requests_per_second": row.median("rate"),
            "cpu_us_per_request": row.median("cpu_per_request"),
            "ratio_to_fasthttpuser": ratio(rows, row, FAST),
            "ratio_to_wrk": ratio(rows, row, WRK),
            "cpu_ratio_to_fasthttpuser": ratio(rows, row, FAST, "requests_per_cpu_second"),
            "cpu_ratio_to_wrk": ratio(rows, row, WRK, "requests_per_cpu_second"),
            "client_core_percent": row.share("client_cpu"),
            "server_core_percent": row.share("server_cpu"),
            "samples": [vars(sample) if sample else None for sample in row.samples],
        }
        for row in rows
    ]


def targets(rows: list[Row]) -> list[Target]:
    """The ratios that opscore_fast must reach."""
    found: list[Target] = []
    for row in rows:
        if row.peer is OURS and row.case in _REQUIRED:
            what = f"{row.case}: requests/s over FastHttpUser's"
            found += at_least(what, ratio(rows, row, FAST), _REQUIRED[row.case])
        if row.peer is OUR_HTTP_USER:
            what = f"{row.case}: requests per CPU second over Locust's HttpUser's"
            value = ratio(rows, row, HTTP_USER, "requests_per_cpu_second")
            found += at_least(what, value, _REQUIRED_OF_HTTP_USER)
        if row.peer is AGENTS and row.case == _AGENTS_CASE:
            found += _of_agents(rows, row)
        if row.peer is AGENTS and row.case == _TEMPLATED_CASE:
            found += _of_templated(rows, row)
    return found


def _of_agents(rows: list[Row], row: Row) -> list[Target]:
    """The constant request by native threads: at wrk's cost, at every other one's rate."""
    name = f"agents, {row.case}"
    found = at_most(f"{name}: CPU over wrk's", ratio(rows, row, WRK, "cpu_per_request"), 1.0, "x")
    found += at_least(f"{name}: requests/s over wrk's", ratio(rows, row, WRK), 0.95)
    value = ratio(rows, row, FAST)
    found += at_least(f"{name}: requests/s over FastHttpUser's", value, _REQUIRED_OF_AGENTS)
    for peer in (OHA, GOOSE):
        value = ratio(rows, row, peer)
        found += at_least(f"{name}: requests/s over {peer.label}'s", value, 1.0)
    return found


def _of_templated(rows: list[Row], row: Row) -> list[Target]:
    """The request that varies, against wrk's that does not."""
    plain = next((r for r in rows if r.case == _AGENTS_CASE and r.peer is WRK), None)
    ours, theirs = row.median("cpu_per_request"), plain and plain.median("cpu_per_request")
    value = ours / theirs if ours and theirs else None
    what = f"agents, {row.case}: CPU over that of wrk's {_AGENTS_CASE}"
    return at_most(what, value, _TEMPLATED_CPU, "x")
