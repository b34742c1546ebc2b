"""Requests per second and client CPU per request, for every peer."""

from typing import Any

import rounds
from peers import HTTPS_POST, LARGE_GET, POST, STATE, Peer, Run, Workload
from peers.named import (
    AGENTS,
    FAST,
    GOOSE,
    HEY,
    HTTP_USER,
    K6,
    OHA,
    OUR_HTTP_USER,
    OURS,
    WRK,
)
from rig.options import Options
from rig.targets import Target, at_least, at_most
from rounds import Row, ratio

PEERS: list[Peer] = [HTTP_USER, FAST, OURS, OUR_HTTP_USER, AGENTS, WRK, OHA, GOOSE, HEY, K6]

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


def measure(options: Options, run: Run, absent: set[str]) -> list[Row]:
    """Measure all peers in turn, round after round."""
    rows = [
        Row(f"{workload.name}/{users}", peer, workload, users, peer.label in absent)
        for workload, users, peers in _PLAN
        for peer in peers
    ]
    return rounds.measure(rows, options, lambda row: run)


def as_table(rows: list[Row]) -> str:
    """The rows, with ratios to FastHttpUser and to wrk."""
    ratios = {
        "x FastHttpUser": lambda row: ratio(rows, row, FAST),
        "x wrk": lambda row: ratio(rows, row, WRK),
        "x Fast (CPU)": lambda row: ratio(rows, row, FAST, "requests_per_cpu_second"),
    }
    return rounds.table("workload/users/peer", rows, ratios)


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """One object per row, with every sample."""
    per_cpu = "requests_per_cpu_second"
    return [
        rounds.as_json(
            row,
            {
                "ratio_to_fasthttpuser": ratio(rows, row, FAST),
                "ratio_to_wrk": ratio(rows, row, WRK),
                "cpu_ratio_to_fasthttpuser": ratio(rows, row, FAST, per_cpu),
                "cpu_ratio_to_wrk": ratio(rows, row, WRK, per_cpu),
            },
        )
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
