"""Headless Locust processes whose locustfile writes the figures to a file."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import BenchError, process

LOCUSTFILES = Path(__file__).parents[1] / "locustfiles"

BODY = {"agentId": "agent-00042", "timestamp": "2025-06-01T12:00:00.000Z", "state": "active"}
"""What is posted: 86 bytes once it is JSON."""

HEADERS = {"Authorization": "Bearer test-api-key", "Content-Type": "application/json"}


@dataclass(frozen=True)
class UserClass:
    """A Locust user class under test: `module:name`, and the name it has in tables."""

    path: str
    label: str

    def missing(self, directory: Path) -> str | None:
        """Why the class can't be measured, in one line, or None; `directory` as cwd for Python."""
        module, _, name = self.path.partition(":")
        code = f"from {module} import {name}"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=directory, check=False
        )
        if done.returncode == 0:
            return None
        return (done.stderr.strip().splitlines() or ["the import failed"])[-1]


HTTP_USER = UserClass("locust:HttpUser", "HttpUser")
FAST_HTTP_USER = UserClass("locust:FastHttpUser", "FastHttpUser")
OURS = UserClass("opscore_fast:FastHttpUser", "opscore_fast")
AGENTS = UserClass("opscore_fast:AgentUser", "opscore_fast-agents")
OUR_HTTP_USER = UserClass("opscore_fast:HttpUser", "opscore_fast-HttpUser")


def _environment(user: UserClass, settings: Mapping[str, Any], result: Path) -> dict[str, str]:
    """Environment of the run: nothing of the caller's own Locust settings, all of ours."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    env["BENCH_CLASS"] = user.path
    env["BENCH_BODY"] = json.dumps(BODY)
    env["BENCH_HEADERS"] = json.dumps(HEADERS)
    env["BENCH_RESULT"] = str(result)
    env.update({f"BENCH_{name.upper()}": str(value) for name, value in settings.items()})
    return env


def run(
    locustfile: str,
    user: UserClass,
    users: int,
    host: str,
    core: int,
    directory: Path,
    limit: float,
    **settings: Any,
) -> dict[str, Any]:
    """Run `locustfile` with `users` users of class `user` against `host`, pinned to `core`.

    `settings` reach the locustfile as BENCH_NAME in its environment. Returns what the locustfile
    wrote to BENCH_RESULT; BenchError if it wrote nothing within `limit` seconds.
    """
    result, log = directory / "result.json", directory / "locust.log"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILES / locustfile), "--headless"]
    command += ["-u", str(users), "-r", str(users), "-t", f"{int(limit)}s", "--host", host]
    command += ["--only-summary", "--loglevel", "WARNING"]
    env = _environment(user, settings, result)
    with log.open("wb") as output:
        locust = process.start(command, core, output, env=env, cwd=directory)
    try:
        process.wait_with_usage(locust, limit + 30)
    finally:
        process.stop(locust)
    if not result.exists():
        raise BenchError(f"locust measured nothing: {process.last_line(log)}")
    measured: dict[str, Any] = json.loads(result.read_text())
    return measured
