"""hey: a load generator in Go, on net/http."""

import json
import re
from pathlib import Path

from rig import BenchError
from rig.locust_run import BODY, HEADERS

from peers import Run, Sample, Workload, _command

_KEPT = 1_000_000
"""Requests that hey keeps the outcome of; of those beyond it tells only the rate."""

_ROUNDING = 0.00005
"""What the seconds that hey prints may be too much."""


def _value(pattern: str, output: str) -> float | None:
    found = re.search(pattern, output, re.M)
    return float(found.group(1)) if found else None


class Hey:
    """hey on one core; a user is one of its workers."""

    label = "hey"

    def missing(self, directory: Path) -> str | None:
        """Why hey can't be measured, in one line, or None."""
        return _command.missing("hey")

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """One run of hey; its CPU is that of the whole process."""
        command = [_command.require("hey"), "-c", str(users), "-z", f"{run.seconds:g}s"]
        command += [
            "-cpus",
            "1",
            "-disable-compression",
            "-m",
            workload.method,
            "-T",
            HEADERS["Content-Type"],
        ]
        command += ["-H", f"Authorization: {HEADERS['Authorization']}"]
        if workload.method == "POST":
            command += ["-d", json.dumps(BODY)]
        command += [run.server.url(workload.scheme) + workload.path]
        finished = _command.execute(command, run)
        seconds = _value(r"^\s*Total:\s+([\d.]+) secs", finished.output)
        rate = _value(r"^\s*Requests/sec:\s+([\d.]+)", finished.output)
        if not seconds or not rate:
            raise BenchError(f"hey printed no summary: {finished.output[-100:]!r}")
        # "[200]  1234 responses" and "[3]  Post ...: EOF", each in a list of its own.
        answers, _, errors = finished.output.partition("Error distribution:")
        statuses = re.findall(r"^\s*\[(\d+)\]\s+(\d+) responses", answers, re.M)
        failures = sum(int(count) for status, count in statuses if int(status) >= 400)
        failed = sum(int(count) for count in re.findall(r"^\s*\[(\d+)\]", errors, re.M))
        requests = sum(int(count) for _, count in statuses) + failed
        if requests >= _KEPT:
            requests = int(rate * (seconds - _ROUNDING))
        size = _value(r"^\s*Size/request:\s+(\d+) bytes", finished.output)
        counted = _command.Counted(requests, failures + failed, seconds, size)
        return _command.sample(counted, finished, workload, run)


PEER = Hey()
