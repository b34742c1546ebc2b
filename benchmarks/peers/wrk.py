"""wrk: what a load generator in C costs that does nothing but send and count."""

import json
from pathlib import Path

from rig import BenchError
from rig.locust_run import BODY

from peers import STATE, Run, Sample, Workload, _command

_BENCHMARKS = Path(__file__).parents[1]
_CONSTANT = _BENCHMARKS / "request.lua"
_SCENARIO = _BENCHMARKS / "scenario.lua"
_REPORT = _BENCHMARKS / "report.lua"


class Wrk:
    """wrk with one thread; a user is a connection."""

    label = "wrk"

    def missing(self, directory: Path) -> str | None:
        """Why wrk can't be measured, in one line, or None."""
        return None if _command.find("wrk") else "no such command (Debian package wrk)"

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """One run of wrk; its CPU is that of the whole process."""
        script, path = _CONSTANT, workload.path
        if workload is STATE:
            script, path = _SCENARIO, ""
        command = [_command.require("wrk"), "-t", "1", "-c", str(users)]
        command += ["-d", f"{max(1, round(run.seconds))}s", "-s", str(script)]
        command += [run.server.url(workload.scheme) + path]
        env = {
            "BENCH_METHOD": workload.method,
            "BENCH_BODY": json.dumps(BODY),
            "BENCH_USERS": str(users),
            "BENCH_REPORT": str(_REPORT),
        }
        finished = _command.execute(command, run, env)
        line = finished.output.strip().splitlines()[-1:]
        if not line or not line[0].startswith("{"):
            raise BenchError(f"wrk failed: {line[0] if line else 'no output'}")
        got = json.loads(line[0])
        content = got["bytes"] / got["requests"] if got["requests"] else 0.0
        counted = _command.Counted(got["requests"], got["failures"], got["seconds"], content)
        return _command.sample(counted, finished, workload, run)


PEER = Wrk()
