"""What Locust has counted in a run of its own processes."""

from __future__ import annotations

import json
from pathlib import Path

from helpers_standin import Counts

REPORTED = """
import json
from locust import events
from locust.runners import WorkerRunner

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
"""A second locustfile: at the end it writes what Locust has counted."""


def counts_of(folder: Path) -> tuple[Counts, Counts]:
    """Requests and failures by method and name."""
    entries = json.loads((folder / "reported.json").read_text())
    return (
        {(method, name): requests for method, name, requests, _ in entries},
        {(method, name): failures for method, name, _, failures in entries},
    )
