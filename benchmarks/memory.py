"""Memory and start-up CPU of many users, and what is given back when they stop."""

import sys
from dataclasses import dataclass
from typing import Any

from peers import (
    HTTPS_POST,
    LARGE_GET,
    POST,
    Peer,
    Run,
    Workload,
    locust_fast_http_user,
    opscore_fast_http_user,
)
from rig import BenchError, locust_run, report
from rig.locust_run import FAST_HTTP_USER, OURS, UserClass
from rig.options import Options
from rig.targets import Target, at_most
from sections import main_of

PEERS: list[Peer] = [locust_fast_http_user.PEER, opscore_fast_http_user.PEER]


@dataclass(frozen=True)
class Case:
    """Users of one kind, started and stopped `cycles` times."""

    name: str
    workload: Workload
    users: int
    quick_users: int
    cycles: int


CASES = [
    Case("idle", POST, 2000, 200, 2),
    Case("idle-after-100k", LARGE_GET, 500, 100, 1),
    Case("https", HTTPS_POST, 1000, 100, 1),
]


@dataclass(frozen=True)
class Result:
    """What one run of idle.py saw; memory is PSS in KB."""

    case: Case
    user: UserClass
    users: int
    raw: dict[str, Any]

    @property
    def name(self) -> str:
        """Name that --only matches."""
        return f"memory/{self.case.name}/{self.user.label}"

    def above_idle(self, when: str, cycle: int = 0) -> float:
        """KB above a Locust without users; `when` is "idle", "stopped" or "trimmed"."""
        return float(self.raw["cycles"][cycle][when]["pss"] - self.raw["before"]["pss"])

    def sockets(self, when: str) -> int:
        """Sockets more than a Locust without users has, after the last cycle."""
        return int(self.raw["cycles"][-1][when]["sockets"] - self.raw["before"]["sockets"])

    @property
    def failures(self) -> int:
        """Failed requests of all cycles."""
        return sum(int(cycle["failures"]) for cycle in self.raw["cycles"])

    @property
    def start_ms(self) -> float:
        """CPU milliseconds for one user to start and have its first answer."""
        return float(self.raw["cycles"][0]["cpu_seconds"]) / self.users * 1000

    @property
    def kept_mb(self) -> float:
        """MB above idle after the last stop, without what malloc keeps for later."""
        return self.above_idle("trimmed", -1) / 1024


def _measure(case: Case, user: UserClass, options: Options, run: Run) -> Result | None:
    users = case.quick_users if options.quick else case.users
    try:
        raw = locust_run.run(
            "idle.py",
            user,
            users,
            run.server.url(case.workload.scheme),
            run.core,
            run.directory,
            limit=300,
            method=case.workload.method,
            path=case.workload.path,
            cycles=case.cycles,
        )
    except BenchError as error:
        run.problem(f"memory/{case.name}/{user.label}", error)
        return None
    result = Result(case, user, users, raw)
    each = result.above_idle("idle") / users
    print(f"  {result.name}: {users} users, {each:.1f} KB each", flush=True)
    if result.failures:
        run.problem(result.name, f"{result.failures} requests failed")
    return result


def measure(options: Options, run: Run, absent: set[str]) -> list[Result]:
    """Measure every case for both classes."""
    wanted = [
        (case, user)
        for case in CASES
        for user in (FAST_HTTP_USER, OURS)
        if user.label not in absent and options.wants(f"memory/{case.name}/{user.label}")
    ]
    results = [_measure(case, user, options, run) for case, user in wanted]
    return [result for result in results if result]


def as_table(results: list[Result]) -> str:
    """Memory above an idle Locust while the users idle, after their stop, and sockets."""
    head = ["memory/case/peer", "users", "KB/user", "MB in all", "CPU ms/start", "sockets"]
    head += ["MB stopped", "MB trimmed", "sockets stopped", "failed"]
    lines = [
        [
            result.name,
            report.number(result.users),
            report.number(result.above_idle("idle") / result.users, 1),
            report.number(result.above_idle("idle") / 1024, 1),
            report.number(result.start_ms, 2),
            report.number(result.sockets("idle")),
            report.number(result.above_idle("stopped", -1) / 1024, 1),
            report.number(result.kept_mb, 1),
            report.number(result.sockets("stopped")),
            report.number(result.failures),
        ]
        for result in results
    ]
    return report.table(head, lines)


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    """One object per case and class, with every snapshot (PSS and RSS in KB)."""
    return [
        {
            "case": result.case.name,
            "peer": result.user.label,
            "users": result.users,
            "kb_per_user": result.above_idle("idle") / result.users,
            "mb_above_idle": result.above_idle("idle") / 1024,
            "cpu_ms_per_start": result.start_ms,
            "failures": result.failures,
            "snapshots": result.raw,
        }
        for result in results
    ]


def targets(results: list[Result]) -> list[Target]:
    """What opscore_fast must reach."""
    by_name = {result.name: result for result in results}
    found: list[Target] = []
    for result in results:
        if result.user is not OURS:
            continue
        case, users = result.case.name, result.users
        fast = by_name.get(f"memory/{case}/{FAST_HTTP_USER.label}")
        if case == "https":
            memory = result.above_idle("idle") / 1024
            found += at_most(f"{users} HTTPS users: memory", memory, 0.06 * users, "MB")
            found += at_most(f"{users} HTTPS users: CPU per start", result.start_ms, 2, "ms")
        elif case == "idle" and fast:
            what = f"{users} idle users: memory of each, with FastHttpUser's as the limit"
            limit = fast.above_idle("idle") / users
            found += at_most(what, result.above_idle("idle") / users, round(limit, 1), "KB")
        what = f"{case}: sockets left after the stop"
        found += at_most(what, result.sockets("stopped"), 0, "sockets")
    return found


if __name__ == "__main__":
    sys.exit(main_of(__name__))
