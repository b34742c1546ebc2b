"""A Locust user class as a peer: a real headless Locust process."""

from dataclasses import dataclass
from pathlib import Path

from rig import BenchError, locust_run
from rig.server import Server

from peers import STATE, Run, Sample, Workload, check_count


def _http2(workload: Workload, server: Server) -> dict[str, object]:
    """What locustfiles/subject.py makes of HTTP/2; nothing for HTTP/1.1."""
    if workload.connections is None:
        return {}
    return {
        "http2": "prior-knowledge" if workload.scheme == "h2c" else "auto",
        "connections": workload.connections,
        "trusted": server.certificate or "",
    }


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
        served = run.server.served()
        got = locust_run.run(
            "state.py" if workload is STATE else "saturated.py",
            self.user,
            users,
            run.server.url(workload.scheme),
            run.core,
            run.directory,
            limit=run.seconds + run.warmup + 60,
            method=workload.method,
            path=workload.path,
            seconds=run.seconds,
            warmup=run.warmup,
            server_pid=run.server.worker_pid,
            **_http2(workload, run.server),
        )
        check_count(got["total"], run.server, served)
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
