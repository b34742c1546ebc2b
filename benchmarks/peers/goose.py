"""goose: Locust's idea in Rust. goose/ is the load test that it runs."""

import dataclasses
import json
from pathlib import Path

from rig import BenchError
from rig.locust_run import BODY

from peers import Run, Sample, Workload, _command

_COMMAND = "bench-goose"


class Goose:
    """A load test of goose with one transaction and no wait; a user is one of goose's."""

    label = "goose"

    def missing(self, directory: Path) -> str | None:
        """Why goose can't be measured, in one line, or None."""
        return _command.missing(_COMMAND)

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """One run of goose; its CPU is that from the first request to the end."""
        command = [_command.require(_COMMAND), "--host", run.server.url(workload.scheme)]
        command += ["--users", str(users), "--increase-rate", str(users * 10)]
        command += ["--run-time", f"{max(1, round(run.seconds))}s", "--no-reset-metrics"]
        command += ["--no-telnet", "--no-gzip", "--no-print-metrics", "--quiet", "--quiet"]
        if workload.scheme == "https":
            command += ["--accept-invalid-certs"]
        env = {
            "BENCH_METHOD": workload.method,
            "BENCH_PATH": workload.path,
            "BENCH_BODY": json.dumps(BODY),
            "BENCH_CONTENT": str(workload.content),
        }
        finished = _command.execute(command, run, env)
        line = finished.output.strip().splitlines()[-1:]
        if not line or not line[0].startswith("{"):
            raise BenchError(f"goose failed: {line[0] if line else 'no output'}")
        got = json.loads(line[0])
        counted = _command.Counted(got["requests"], got["failures"], got["seconds"])
        finished = dataclasses.replace(finished, client_cpu=got["cpu"])
        return _command.sample(counted, finished, workload, run)


PEER = Goose()
