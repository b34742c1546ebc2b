"""Measures opscore_fast beside Locust's own user classes and wrk: one command, one table.

python benchmarks/bench.py [--quick] [--only PATTERN] [--seconds S] [--rounds N]
"""

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import agents
import handshakes
import latency
import memory
import throughput
from peers import Peer, Run
from rig import BenchError, machine, report
from rig import options as command_line
from rig.nginx import Nginx
from rig.options import Options
from rig.targets import Target


class Section(Protocol):
    """A module that measures, and shows what it measured."""

    __name__: str

    def measure(self, options: Options, run: Run, absent: set[str]) -> list[Any]:
        """All measurements that are wanted, of peers not `absent`."""

    def as_table(self, results: list[Any]) -> str:
        """For people."""

    def as_json(self, results: list[Any]) -> list[dict[str, Any]]:
        """For programs."""

    def targets(self, results: list[Any]) -> list[Target]:
        """What had to be reached."""


_PEERS: list[Peer] = [
    throughput.HTTP_USER,
    throughput.FAST,
    throughput.OURS,
    throughput.WRK,
    throughput.OHA,
    throughput.GOOSE,
    throughput.HEY,
    throughput.K6,
]


def _absent(directory: Path) -> set[str]:
    """Labels of the peers that can't be measured here, each named in one line."""
    absent = set()
    for peer in _PEERS:
        reason = peer.missing(directory)
        if reason:
            print(f"{peer.label} is not measured: {reason}")
            absent.add(peer.label)
    if throughput.FAST.label in absent:
        raise BenchError("without Locust there is nothing to compare with: pip install locust")
    return absent


def _print_targets(targets: Sequence[Target]) -> None:
    rows = [[t.what, t.required, t.measured, "ok" if t.reached else "MISSED"] for t in targets]
    print("\n" + report.table(["target", "required", "measured", ""], rows))


def _measure(options: Options, sections: Sequence[Section], directory: Path) -> dict[str, Any]:
    """Run all sections against one nginx, printing as they finish; returns what goes to JSON."""
    client, server = machine.cores()
    document: dict[str, Any] = {
        "machine": machine.facts() | {"client_core": client, "server_core": server},
        "versions": machine.versions(),
        "options": {
            "quick": options.quick,
            "seconds": options.seconds,
            "rounds": options.rounds,
            "only": options.only.pattern if options.only else None,
        },
    }
    targets: list[Target] = []
    work = directory / "work"
    work.mkdir()
    with Nginx(directory / "nginx", server) as nginx:
        run = Run(nginx, client, work, options.seconds)
        absent = _absent(work)
        measured = False
        for section in sections:
            results = section.measure(options, run, absent)
            if not results:
                continue
            measured = True
            print("\n" + section.as_table(results) + "\n", flush=True)
            document[section.__name__] = section.as_json(results)
            targets += section.targets(results)
    if not measured and not run.problems:
        raise BenchError(f"no measurement matches --only {document['options']['only']}")
    if targets:
        _print_targets(targets)
    document["targets"] = [vars(target) for target in targets]
    document["problems"] = run.problems
    return document


def _stop(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def main(name: str, sections: Sequence[Any]) -> int:
    """Measure `sections` and write build/bench/`name`.json.

    Returns the exit code: 0, 1 if a measurement failed or had failed requests, 2 if there was
    nothing to measure with. A target that was missed changes nothing: machines differ.
    """
    options = command_line.parse((sys.modules["__main__"].__doc__ or "").splitlines()[0], name)
    signal.signal(signal.SIGTERM, _stop)
    for section in sections:
        if section.__name__ == "__main__":
            section.__name__ = name
    try:
        with tempfile.TemporaryDirectory(prefix="opf-bench-") as directory:
            document = _measure(options, sections, Path(directory))
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(document, indent=2) + "\n")
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"\nWritten to {options.output}")
    return 1 if document["problems"] else 0


if __name__ == "__main__":
    sys.exit(main("bench", [throughput, memory, agents, handshakes, latency]))
