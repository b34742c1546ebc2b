"""The command that measures some sections of the benchmark against one nginx, and what they are."""

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from peers import Peer, Run, locust_fast_http_user
from rig import BenchError, machine, report
from rig import options as command_line
from rig.nginx import Nginx
from rig.options import Options
from rig.targets import Target


class Section(Protocol):
    """A module that measures, and shows what it measured."""

    __name__: str

    PEERS: Sequence[Peer]
    """Whom it measures, if they are there."""

    def measure(self, options: Options, run: Run, absent: set[str]) -> list[Any]:
        """All measurements that are wanted, of peers not `absent`."""

    def as_table(self, results: list[Any]) -> str:
        """For people."""

    def as_json(self, results: list[Any]) -> list[dict[str, Any]]:
        """For programs."""

    def targets(self, results: list[Any]) -> list[Target]:
        """What had to be reached."""


def _absent(sections: Sequence[Section], directory: Path) -> set[str]:
    """Labels of the peers that can't be measured here, each named in one line."""
    if locust_fast_http_user.PEER.missing(directory):
        raise BenchError("without Locust there is nothing to measure with: pip install locust")
    absent = set()
    peers = {peer.label: peer for section in sections for peer in section.PEERS}
    for label, peer in peers.items():
        reason = peer.missing(directory)
        if reason:
            print(f"{label} is not measured: {reason}")
            absent.add(label)
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
        absent = _absent(sections, work)
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


def main_of(module: str) -> int:
    """Measure the section that is run as a program, the module `module` ("__main__"), alone."""
    section: Any = sys.modules[module]
    section.__name__ = Path(section.__file__).stem
    return main(section.__name__, [section])
