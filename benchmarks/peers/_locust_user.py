"""A Locust user class as a peer: a real headless Locust process."""

from dataclasses import dataclass
from pathlib import Path

from rig import BenchError, locust_run

from peers import STATE, Run, Sample, Workload, check_count


@dataclass(frozen=True)
class LocustUser:
    """The peer for one user class; all of them run the same locustfiles."""

    user: locust_run.UserClass

    @property
    def label(self) -> str:
        """Name in the table."""
        return self.user.label

    def missing(self, directory: Path) -> str | None:
        """Why the class can't be measured, in one line, or None."""
        return self.user.missing(directory)

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """Requests and CPU over the steady part of one run."""
        served = run.nginx.served()
        got = locust_run.run(
            "state.py" if workload is STATE else "saturated.py",
            self.user,
            users,
            run.nginx.url(workload.scheme),
            run.core,
            run.directory,
            limit=run.seconds + run.warmup + 60,
            method=workload.method,
            path=workload.path,
            seconds=run.seconds,
            warmup=run.warmup,
            server_pid=run.nginx.worker_pid,
        )
        check_count(got["total"], run.nginx, served)
        if got["requests"] <= 0:
            raise BenchError("not one request was counted")
        content = got["bytes"] / got["requests"]
        if not got["failures"] and content != workload.content:
            raise BenchError(f"answers of {content:.1f} bytes counted, not {workload.content}")
        return Sample(
            int(got["requests"]),
            int(got["failures"]),
            got["seconds"],
            got["client_cpu"],
            got["server_cpu"],
        )
