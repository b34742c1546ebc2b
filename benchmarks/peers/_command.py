"""Load generators that are commands: run one, pinned, and make a `Sample` of what it printed."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rig import BenchError, machine, process

from peers import Run, Sample, Workload, check_count


@dataclass(frozen=True)
class Counted:
    """What a command says it did; `content` is the mean length of a body, None if it can't say."""

    requests: int
    failures: int
    seconds: float
    content: float | None = None


@dataclass(frozen=True)
class Finished:
    """A command that ended well: its output, its CPU (all of the process), wall and server CPU."""

    output: str
    client_cpu: float
    server_cpu: float
    seconds: float
    served_before: int | None


def find(name: str) -> str | None:
    """Path of the command: the one that install_peers.sh made, else one in PATH, else None."""
    return shutil.which(name, path=str(machine.PEERS / "bin")) or shutil.which(name)


def require(name: str) -> str:
    """Path of the command; BenchError without one."""
    path = find(name)
    if path is None:
        raise BenchError(f"no such command: {name}")
    return path


def missing(name: str) -> str | None:
    """Why `name` can't be measured, in one line, or None."""
    if find(name):
        return None
    reason = machine.PEERS / f"{name}.absent"
    if reason.is_file():
        return reason.read_text().strip()
    return "not installed: benchmarks/install_peers.sh does it"


def execute(command: Sequence[str], run: Run, env: Mapping[str, str] | None = None) -> Finished:
    """Run `command` on the client's core, with `env` besides ours; BenchError if it failed."""
    name = Path(command[0]).name
    output = run.directory / f"{name}.out"
    served = run.server.served()
    started = time.perf_counter()
    server_before = machine.process_cpu(run.server.worker_pid)
    with output.open("wb") as log:
        child = process.start(
            command, run.core, log, env=os.environ | (env or {}), errors=subprocess.STDOUT
        )
    try:
        usage = process.wait_with_usage(child, run.seconds + 30)
    finally:
        process.stop(child)
    wall = time.perf_counter() - started
    server = machine.process_cpu(run.server.worker_pid) - server_before
    if child.returncode:
        raise BenchError(f"{name} failed: {process.last_line(output)}")
    cpu = usage.ru_utime + usage.ru_stime
    return Finished(output.read_text(errors="replace"), cpu, server, wall, served)


def sample(counted: Counted, finished: Finished, workload: Workload, run: Run) -> Sample:
    """The measurement, if what was counted can be true; else BenchError."""
    check_count(counted.requests, run.server, finished.served_before)
    if counted.requests <= 0 or counted.seconds <= 0:
        raise BenchError("not one request was counted")
    if counted.content is not None and counted.content < workload.content and not counted.failures:
        raise BenchError(f"answers of {counted.content:.1f} bytes, not {workload.content}")
    # The share of the server's core is that of the run, start and end included.
    server = finished.server_cpu * counted.seconds / finished.seconds
    return Sample(counted.requests, counted.failures, counted.seconds, finished.client_cpu, server)
