"""wrk: what a load generator in C costs that does nothing but send and count."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from rig import BenchError, machine, process
from rig.locust_run import BODY

from peers import Run, Sample, Workload, check_count

_SCRIPT = Path(__file__).parents[1] / "request.lua"


class Wrk:
    """wrk with one thread; a user is a connection."""

    label = "wrk"

    def missing(self, directory: Path) -> str | None:
        """Why wrk can't be measured, in one line, or None."""
        return None if shutil.which("wrk") else "no such command (Debian package wrk)"

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """One run of wrk; its CPU is that of the whole process."""
        command = ["wrk", "-t", "1", "-c", str(users), "-d", f"{max(1, round(run.seconds))}s"]
        command += ["-s", str(_SCRIPT), run.nginx.url(workload.scheme) + workload.path]
        env = os.environ | {"BENCH_METHOD": workload.method, "BENCH_BODY": json.dumps(BODY)}
        output = run.directory / "wrk.out"
        served = run.nginx.served()
        started = time.perf_counter()
        server_before = machine.process_cpu(run.nginx.worker_pid)
        with output.open("wb") as log:
            wrk = process.start(command, run.core, log, env=env, errors=subprocess.STDOUT)
        try:
            usage = process.wait_with_usage(wrk, run.seconds + 30)
        finally:
            process.stop(wrk)
        wall = time.perf_counter() - started
        server = machine.process_cpu(run.nginx.worker_pid) - server_before
        line = process.last_line(output)
        if wrk.returncode or not line.startswith("{"):
            raise BenchError(f"wrk failed: {line}")
        got = json.loads(line)
        check_count(got["requests"], run.nginx, served)
        if got["requests"] <= 0 or got["bytes"] / got["requests"] < workload.content:
            raise BenchError(f"wrk got no whole answers: {line}")
        # The share of the server's core is that of the run, start and end included.
        server *= got["seconds"] / wall
        cpu = usage.ru_utime + usage.ru_stime
        return Sample(got["requests"], got["failures"], got["seconds"], cpu, server)


PEER = Wrk()
