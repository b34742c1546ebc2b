"""oha: a load generator in Rust, on hyper."""

import json
from pathlib import Path

from rig import BenchError
from rig.locust_run import BODY, HEADERS

from peers import Run, Sample, Workload, _command


class Oha:
    """oha; a user is a connection, or a stream of HTTP/2."""

    label = "oha"

    def missing(self, directory: Path) -> str | None:
        """Why oha can't be measured, in one line, or None."""
        return _command.missing("oha")

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """One run of oha; its CPU is that of the whole process."""
        connections = workload.connections or users
        command = [_command.require("oha"), "-c", str(connections), "-z", f"{run.seconds:g}s"]
        if workload.connections:
            command += ["--http2", "-p", str(users // connections)]
        # The requests under way at the end are waited for: they would count as failed.
        command += ["-w", "--no-tui", "--output-format", "json", "-m", workload.method]
        for name, value in HEADERS.items():
            command += ["-H", f"{name}: {value}"]
        if workload.method == "POST":
            command += ["-d", json.dumps(BODY)]
        if workload.scheme in ("https", "h2"):
            command += ["--insecure"]
        command += [run.server.url(workload.scheme) + workload.path]
        finished = _command.execute(command, run)
        try:
            got = json.loads(finished.output)
        except ValueError:
            raise BenchError(f"oha printed no JSON: {finished.output[-100:]!r}") from None
        statuses: dict[str, int] = got["statusCodeDistribution"]
        answered = sum(statuses.values())
        good = sum(n for status, n in statuses.items() if int(status) < 400)
        errors = sum(got["errorDistribution"].values())
        counted = _command.Counted(
            answered + errors,
            answered - good + errors,
            got["summary"]["total"],
            got["summary"]["totalData"] / answered if answered else None,
        )
        return _command.sample(counted, finished, workload, run)


PEER = Oha()
