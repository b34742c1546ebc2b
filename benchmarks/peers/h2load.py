"""h2load: what a load generator costs that is nghttp2 and little else."""

import json
import re
from pathlib import Path

from rig import BenchError
from rig.locust_run import BODY, HEADERS

from peers import Run, Sample, Workload, _command

_OF_LOCUST = {"accept": "*/*", "accept-encoding": "gzip, deflate, br, zstd"}
"""What Locust's users send besides: each field costs something over HTTP/2."""


def _found(pattern: str, output: str) -> tuple[float, ...]:
    found = re.search(pattern, output, re.M)
    if not found:
        raise BenchError(f"h2load printed no summary: {output[-100:]!r}")
    return tuple(map(float, found.groups()))


class H2load:
    """h2load with one thread; a user is a stream."""

    label = "h2load"

    def missing(self, directory: Path) -> str | None:
        """Why h2load can't be measured, in one line, or None."""
        found = _command.find("h2load")
        return None if found else "no such command (Debian package nghttp2-client)"

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """One run of h2load; its CPU is that of the whole process."""
        if workload.connections is None:
            raise BenchError("h2load is for HTTP/2")
        command = [_command.require("h2load"), "-t", "1", "-c", str(workload.connections)]
        command += ["-m", str(users // workload.connections), "-D", f"{run.seconds * 1000:.0f}ms"]
        for name, value in (HEADERS | _OF_LOCUST).items():
            command += ["-H", f"{name}: {value}"]
        if workload.method == "POST":
            body = run.directory / "h2load.body"
            body.write_text(json.dumps(BODY))
            command += ["-d", str(body)]
        command += [run.server.url(workload.scheme) + workload.path]
        finished = _command.execute(command, run)
        [seconds] = _found(r"^finished in ([\d.]+)s", finished.output)
        done, failed, errored = _found(
            r"^requests: .* (\d+) done, .* (\d+) failed, (\d+) errored", finished.output
        )
        bad = sum(_found(r"^status codes: .* (\d+) 4xx, (\d+) 5xx", finished.output))
        [content] = _found(r"^traffic: .* \((\d+)\) data", finished.output)
        requests = int(done)
        counted = _command.Counted(
            requests, int(max(failed + errored, bad)), seconds, content / max(requests, 1)
        )
        return _command.sample(counted, finished, workload, run)


PEER = H2load()
