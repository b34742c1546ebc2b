"""How long the hub serves nobody else while many HTTPS users start at once."""

import statistics
import sys
from dataclasses import dataclass, field
from typing import Any

from peers import (
    Peer,
    Run,
    locust_fast_http_user,
    opscore_fast_http_user,
    opscore_fast_requests_user,
)
from rig import BenchError, locust_run, report
from rig.locust_run import FAST_HTTP_USER, OUR_HTTP_USER, OURS, UserClass
from rig.options import Options
from rig.targets import Target, at_most
from sections import main_of

PEERS: list[Peer] = [
    locust_fast_http_user.PEER,
    opscore_fast_http_user.PEER,
    opscore_fast_requests_user.PEER,
]

USERS = 500
QUICK_USERS = 100
LONGEST_MS = 50


@dataclass
class Result:
    """Rounds of one class, with certificates that are verified or not."""

    user: UserClass
    verified: bool
    users: int
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name that --only matches."""
        return f"handshakes/{'verified' if self.verified else 'insecure'}/{self.user.label}"

    def waits(self, kind: str, share: float) -> float:
        """Median over the rounds of a percentile of the waits, in ms; kind: "late" or "cpu"."""
        return 1000 * statistics.median(
            float(r[kind][min(int(len(r[kind]) * share), len(r[kind]) - 1)]) for r in self.rounds
        )

    @property
    def seconds(self) -> float:
        """Median over the rounds of the time until the last answer."""
        return statistics.median(float(r["seconds"]) for r in self.rounds)


def _round(result: Result, run: Run) -> dict[str, Any]:
    return locust_run.run(
        "heartbeat.py",
        result.user,
        result.users,
        run.server.url("https"),
        run.core,
        run.directory,
        limit=120,
        ca=run.server.certificate if result.verified else "",
    )


def measure(options: Options, run: Run, absent: set[str]) -> list[Result]:
    """Measure every class in turn."""
    users = QUICK_USERS if options.quick else USERS
    results = [
        Result(user, verified, users)
        for user, verified in (
            (FAST_HTTP_USER, False),
            (OURS, False),
            (OURS, True),
            (OUR_HTTP_USER, False),
            (OUR_HTTP_USER, True),
        )
        if user.label not in absent
    ]
    results = [result for result in results if options.wants(result.name)]
    for number in range(1, options.rounds + 1):
        for result in results:
            note = f"{result.name} round {number}/{options.rounds}"
            try:
                measured = _round(result, run)
            except BenchError as error:
                run.problem(note, error)
                continue
            result.rounds.append(measured)
            print(f"  {note}: longest wait {measured['late'][-1] * 1000:.1f} ms", flush=True)
            if measured["failures"]:
                run.problem(note, f"{measured['failures']} requests failed")
    return [result for result in results if result.rounds]


def as_table(results: list[Result]) -> str:
    """The waits of the heartbeat in milliseconds, and the hub's CPU between two beats."""
    head = ["handshakes/trust/peer", "users", "all answered", "late p99", "late longest"]
    head += ["CPU p99", "CPU longest", "failed"]
    lines = [
        [
            result.name,
            report.number(result.users),
            report.number(result.seconds, 2) + " s",
            *(
                report.number(result.waits(kind, share), 1) + " ms"
                for kind in ("late", "cpu")
                for share in (0.99, 1.0)
            ),
            report.number(sum(r["failures"] for r in result.rounds)),
        ]
        for result in results
    ]
    return report.table(head, lines)


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    """One object per class and trust; times in milliseconds, the rounds' in seconds."""
    return [
        {
            "peer": result.user.label,
            "verified": result.verified,
            "users": result.users,
            "seconds": result.seconds,
            "late_longest": result.waits("late", 1.0),
            "cpu_longest": result.waits("cpu", 1.0),
            "rounds": result.rounds,
        }
        for result in results
    ]


def targets(results: list[Result]) -> list[Target]:
    """The heart never waits for long."""
    found: list[Target] = []
    for result in results:
        if result.user is not FAST_HTTP_USER:
            what = f"{result.name}, {result.users} users at once: the hub is busy for"
            found += at_most(what, result.waits("late", 1.0), LONGEST_MS, "ms")
    return found


if __name__ == "__main__":
    sys.exit(main_of(__name__))
