"""Rows of a table: what peers do under the same load, measured in turns, round after round."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from peers import Peer, Run, Sample, Workload
from rig import BenchError, report
from rig.options import Options


@dataclass
class Row:
    """All samples of one peer in a case; None where there is none.

    case: what the rows to compare with have in common.
    """

    case: str
    peer: Peer
    workload: Workload
    users: int
    absent: bool = False
    samples: list[Sample | None] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name that --only matches."""
        return f"{self.case}/{self.peer.label}"

    def median(self, value: str) -> float | None:
        """Median of an attribute of the samples."""
        values = [getattr(sample, value) for sample in self.samples if sample]
        return statistics.median(values) if values else None

    def share(self, cpu: str) -> float | None:
        """Median share of one core, in percent."""
        values = [getattr(s, cpu) / s.seconds * 100 for s in self.samples if s]
        return statistics.median(values) if values else None


def _sample(row: Row, run: Run, note: str) -> Sample | None:
    try:
        sample = row.peer.measure(row.workload, row.users, run)
    except BenchError as error:
        run.problem(f"{row.name} {note}", error)
        return None
    print(f"  {row.name} {note}: {sample.rate:,.0f} requests/s", flush=True)
    if sample.failures:
        run.problem(f"{row.name} {note}", f"{sample.failures} requests failed")
    return sample


def measure(rows: Iterable[Row], options: Options, run_of: Callable[[Row], Run]) -> list[Row]:
    """Measure the rows that are wanted in turn, round after round; returns them.

    run_of: what a row is measured with. Returns no row if all peers are absent.
    """
    wanted = [row for row in rows if options.wants(row.name)]
    for number in range(1, options.rounds + 1):
        for row in wanted:
            note = f"round {number}/{options.rounds}"
            row.samples.append(None if row.absent else _sample(row, run_of(row), note))
    return [] if all(row.absent for row in wanted) else wanted


def ratio(rows: Sequence[Row], row: Row, to: Peer, value: str = "rate") -> float | None:
    """Median over the rounds of `row`'s value divided by that of peer `to` in the same round."""
    other = next((r for r in rows if r.case == row.case and r.peer.label == to.label), None)
    if other is None:
        return None
    pairs = zip(row.samples, other.samples, strict=True)
    ratios = [getattr(a, value) / getattr(b, value) for a, b in pairs if a and b]
    return statistics.median(ratios) if ratios else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{report.number(share)} %"


def table(title: str, rows: Sequence[Row], ratios: dict[str, Callable[[Row], float | None]]) -> str:
    """Rate, CPU, `ratios` by their heads, shares of the cores and failures of each row."""
    head = [title, "requests/s", "CPU us/req", *ratios, "client core", "server core", "failed"]
    lines = [
        [
            row.name,
            "absent" if row.absent else report.number(row.median("rate")),
            report.number(row.median("cpu_per_request"), 1),
            *(report.number(value(row), 2) for value in ratios.values()),
            _percent(row.share("client_cpu")),
            _percent(row.share("server_cpu")),
            "-" if row.absent else report.number(sum(s.failures for s in row.samples if s)),
        ]
        for row in rows
    ]
    return report.table(head, lines)


def as_json(row: Row, ratios: dict[str, float | None]) -> dict[str, Any]:
    """One object: the medians, `ratios` among them, and every sample."""
    return {
        "workload": row.workload.name,
        "users": row.users,
        "peer": row.peer.label,
        "absent": row.absent,
        "requests_per_second": row.median("rate"),
        "cpu_us_per_request": row.median("cpu_per_request"),
        **ratios,
        "client_core_percent": row.share("client_cpu"),
        "server_core_percent": row.share("server_cpu"),
        "samples": [vars(sample) if sample else None for sample in row.samples],
    }
