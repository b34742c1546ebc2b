"""The truth of response times: what is reported against the clock of the server itself."""

import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import Peer, Run, locust_fast_http_user, opscore_fast_http_user
from rig import BenchError, c_server, locust_run, report
from rig.locust_run import FAST_HTTP_USER, OURS, UserClass
from rig.options import Options
from rig.targets import Target, at_most
from sections import main_of

PEERS: list[Peer] = [locust_fast_http_user.PEER, opscore_fast_http_user.PEER]

USERS = 200
DELAY_MS = 20
MAX_WAIT = 0.059
"""Seconds; with the delay, 200 users make about 4,000 requests per second."""

_PERCENTILES = ("p50", "p95", "p99")


def _median(values: list[float]) -> float:
    return statistics.median(values)


@dataclass
class Result:
    """Rounds of one class; each has "client" (locust) and "server" figures."""

    user: UserClass
    listener: bool
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name that --only matches."""
        return f"latency/{'listener' if self.listener else 'statistics'}/{self.user.label}"

    @property
    def kind(self) -> str:
        """Where the client's percentiles come from."""
        return "exact" if self.listener else "reported"

    def client(self, percentile: str) -> float:
        """Median over the rounds of what the client reports, in milliseconds."""
        return _median([r["client"][self.kind][percentile] for r in self.rounds])

    def server(self, percentile: str) -> float:
        """Median over the rounds of what the server measured, in milliseconds."""
        return _median([r["server"][percentile] for r in self.rounds])

    def difference(self, percentile: str) -> float:
        """Median over the rounds of client minus server, in milliseconds."""
        return _median(
            [r["client"][self.kind][percentile] - r["server"][percentile] for r in self.rounds]
        )

    def client_figure(self, name: str) -> float:
        """Median over the rounds of a figure of the client, per second."""
        return _median([r["client"][name] / r["client"]["seconds"] for r in self.rounds])


def _round(result: Result, program: Path, options: Options, run: Run) -> dict[str, Any]:
    delay = str(DELAY_MS * 1000)
    with c_server.running(program, [delay], run.server.core) as server:
        client = locust_run.run(
            "paced.py",
            result.user,
            USERS,
            server.url,
            run.core,
            run.directory,
            limit=options.seconds + 90,
            max_wait=MAX_WAIT,
            warmup=2.0,
            seconds=options.seconds,
            server_pid=server.pid,
            listener=int(result.listener),
        )
    return {"client": client, "server": server.report}


def measure(options: Options, run: Run, absent: set[str]) -> list[Result]:
    """Measure both classes in turn, first as Locust reports, then with a listener."""
    results = [
        Result(user, listener)
        for listener in (False, True)
        for user in (FAST_HTTP_USER, OURS)
        if user.label not in absent
    ]
    results = [result for result in results if options.wants(result.name)]
    if not results:
        return []
    try:
        program = c_server.compiled("fixed_delay_server", run.directory)
    except BenchError as error:
        run.problem("latency", error)
        return []
    for number in range(1, options.rounds + 1):
        for result in results:
            note = f"{result.name} round {number}/{options.rounds}"
            try:
                measured = _round(result, program, options, run)
            except BenchError as error:
                run.problem(note, error)
                continue
            result.rounds.append(measured)
            got = ", ".join(f"{measured['client'][result.kind][p]:.2f}" for p in _PERCENTILES)
            print(f"  {note}: {got} ms", flush=True)
            if measured["client"]["failures"]:
                run.problem(note, f"{measured['client']['failures']} requests failed")
    return [result for result in results if result.rounds]


def as_table(results: list[Result]) -> str:
    """Percentiles in milliseconds, as client/server."""
    head = ["latency/source/peer", "requests/s", "client core"]
    head += [f"{p} {side}" for p in _PERCENTILES for side in ("client", "server")] + ["failed"]
    lines = [
        [
            result.name,
            report.number(result.client_figure("requests")),
            report.number(result.client_figure("client_cpu") * 100) + " %",
            *(
                report.number(value, 2)
                for p in _PERCENTILES
                for value in (result.client(p), result.server(p))
            ),
            report.number(sum(r["client"]["failures"] for r in result.rounds)),
        ]
        for result in results
    ]
    return report.table(head, lines)


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    """One object per class and source, with every round; times in milliseconds."""
    return [
        {
            "source": "listener" if result.listener else "statistics",
            "peer": result.user.label,
            "client": {p: result.client(p) for p in _PERCENTILES},
            "server": {p: result.server(p) for p in _PERCENTILES},
            "rounds": result.rounds,
        }
        for result in results
    ]


def targets(results: list[Result]) -> list[Target]:
    """Each percentile of opscore_fast is within 1 ms of the server's."""
    found: list[Target] = []
    for result in results:
        if result.user is OURS:
            for p in _PERCENTILES:
                what = f"{result.name.rpartition('/')[0]}: {p} off the server's clock by"
                found += at_most(what, abs(result.difference(p)), 1.0, "ms")
    return found


if __name__ == "__main__":
    sys.exit(main_of(__name__))
