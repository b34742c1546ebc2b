"""Memory of agents, and the CPU that their timers take."""

import sys
from dataclasses import dataclass
from typing import Any

from peers import Peer, Run, opscore_fast_agents
from rig import BenchError, locust_run, report
from rig.locust_run import AGENTS
from rig.options import Options
from rig.targets import Target, at_most
from sections import main_of

PEERS: list[Peer] = [opscore_fast_agents.PEER]


@dataclass(frozen=True)
class Case:
    """Agents of one kind: so many users, of so many agents each. limit_kb: of memory, for each."""

    kind: str
    users: int
    each: int
    limit_kb: float | None = None

    @property
    def agents(self) -> int:
        """How many there are."""
        return self.users * self.each

    @property
    def name(self) -> str:
        """Name that --only matches."""
        return f"agents/{self.kind}/{self.users}x{self.each}"


CASES = [
    Case("waiting", 100, 1),
    Case("kept", 100, 1),
    Case("busy", 100, 1),
    Case("waiting", 10_000, 1),
    Case("kept", 10_000, 1),
    Case("busy", 10_000, 1),
    Case("kept", 10, 1000, 8.0),
    Case("busy", 10, 1000, 8.0),
    Case("waiting", 100, 1000, 1.5),
]

_TIMERS_LIMIT = 5.0  # percent of a core


@dataclass(frozen=True)
class Result:
    """What one run of locustfiles/agents.py saw."""

    case: Case
    raw: dict[str, Any]

    @property
    def kb_each(self) -> float:
        """KB for each agent, of those of all users but the first."""
        grown = self.raw["with_agents"]["pss_anon"] - self.raw["before"]["pss_anon"]
        return float(grown) / (self.case.agents - self.case.each)

    @property
    def core_percent(self) -> float:
        """Of a core, for the native threads."""
        return float(self.raw["core"]) * 100


def _measure(case: Case, options: Options, run: Run) -> Result | None:
    try:
        raw = locust_run.run(
            "agents.py",
            AGENTS,
            1,
            run.server.url("http"),
            run.core,
            run.directory,
            limit=300,
            kind=case.kind,
            of=case.users,
            each=case.each,
            seconds=options.seconds,
        )
    except BenchError as error:
        run.problem(case.name, error)
        return None
    result = Result(case, raw)
    print(f"  {case.name}: {result.kb_each:.1f} KB each", flush=True)
    if raw["failures"]:
        run.problem(case.name, f"{raw['failures']} requests failed")
    if raw["agents"] != case.agents:
        run.problem(case.name, f"{raw['agents']} agents instead of {case.agents}")
    return result


def measure(options: Options, run: Run, absent: set[str]) -> list[Result]:
    """Measure every case; a quick run leaves the large ones out."""
    if AGENTS.label in absent:
        return []
    wanted = [
        case
        for case in CASES
        if options.wants(case.name) and not (options.quick and case.users > 1000)
    ]
    results = [_measure(case, options, run) for case in wanted]
    return [result for result in results if result]


def as_table(results: list[Result]) -> str:
    """Memory that each adds, and the native threads' share of a core."""
    head = ["agents/kind/users x agents", "agents", "connected", "KB/agent", "core", "failed"]
    lines = [
        [
            result.case.name,
            report.number(result.case.agents),
            report.number(result.raw["connections"]),
            report.number(result.kb_each, 1),
            f"{report.number(result.core_percent, 1)} %",
            report.number(result.raw["failures"]),
        ]
        for result in results
    ]
    return report.table(head, lines)


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    """One object per case, with its snapshots (PSS and RSS in KB)."""
    return [
        {
            "case": result.case.name,
            "agents": result.case.agents,
            "kb_per_agent": result.kb_each,
            "core_percent": result.core_percent,
            "snapshots": result.raw,
        }
        for result in results
    ]


def targets(results: list[Result]) -> list[Target]:
    """What agents may take."""
    found: list[Target] = []
    for result in results:
        case = result.case
        if case.limit_kb is not None:
            what = f"{case.agents:,} agents, {case.kind}: memory of each"
            found += at_most(what, result.kb_each, case.limit_kb, "KB")
        if case.kind == "waiting" and case.agents >= 100_000:
            what = f"{case.agents:,} agents that wait 5 to 15 s: timers"
            found += at_most(what, result.core_percent, _TIMERS_LIMIT, "% of a core")
    return found


if __name__ == "__main__":
    sys.exit(main_of(__name__))
