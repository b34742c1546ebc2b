"""Runs of locust in processes of their own against the stand-in, and what they have counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import ENDING, finish, python
from helpers_standin import Counts, by_name, running_standin

REPORTED = """
import json
from locust import events
from locust.runners import WorkerRunner
from opscore_fast.native import agents

agents.STOP_GRACE_S = 60.0

@events.quit.add_listener
def tell(exit_code, **_):
    if environments and not isinstance(environments[0].runner, WorkerRunner):
        entries = environments[0].stats.entries.values()
        with open("reported.json", "w") as file:
            json.dump([[e.method, e.name, e.num_requests, e.num_failures] for e in entries], file)

environments = []

@events.init.add_listener
def keep(environment, **_):
    environments.append(environment)
"""
"""A second locustfile: at the end it writes what Locust has counted.

What is under way then is waited for however busy the machine is, so that it is counted.
"""


def counts_of(folder: Path) -> tuple[Counts, Counts]:
    """Requests and failures by method and name."""
    entries = json.loads((folder / "reported.json").read_text())
    return (
        {(method, name): requests for method, name, requests, _ in entries},
        {(method, name): failures for method, name, _, failures in entries},
    )


def run(
    folder: Path,
    locustfile: Path,
    *options: str,
    module: str = "opscore_fast",
    code: int = 0,
    until: str = "",
    **settings: str,
) -> tuple[str, Counts, Counts, Counts]:
    """Run a locustfile; returns output, Locust's requests and failures, the stand-in's counts.

    until: when the run ends, as `ENDING` has it; without, a load shape or an option says so.
    """
    files = f"{locustfile},reported.py"
    (folder / "reported.py").write_text(REPORTED)
    if until:
        (folder / "ending.py").write_text(ENDING)
        files += ",ending.py"
    environment = {
        "OPSCORE_API_KEY": "test-api-key",
        "OPSCORE_PROFILE": "quick",
        "OPSCORE_USERS": "8",
        "OPSCORE_DURATION": "6",
        "UNTIL": until,
    }
    with running_standin() as standin, pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, **settings}.items():
            patch.setenv(name, value)
        command = ("-m", module, "-f", files, "--headless")
        ended = finish(
            python(
                *(*command, "--host", standin.url, "--only-summary", *options),
                cwd=folder,
            )
        )
        answered = by_name(standin.counters())
    assert ended.code == code, ended.output
    return ended.output, *counts_of(folder), answered


def explained(locustfile: Path) -> tuple[int, str]:
    with running_standin() as standin:
        command = ("-m", "opscore_fast", "explain", "-f", str(locustfile), "--host", standin.url)
        ended = finish(python(*command, cwd=locustfile.parent))
    return ended.code, ended.output
