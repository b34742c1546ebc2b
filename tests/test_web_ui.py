"""The web UI, used as a browser would: started, read, changed, stopped, reset and started again."""

from __future__ import annotations

import csv
import io
import json
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import WAIT, finish, free_port, python
from helpers_standin import Counts, Standin, by_name, running_standin

LOCUSTFILE = """
from locust import constant, task
import opscore_fast

class Asking(opscore_fast.{kind}):
    wait_time = constant(0.01)

    def on_start(self):
        self.client.get("/health", name="at first")

    @task
    def ask(self):
        self.client.get("/health")
"""


class Ui:
    """Locust's web server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, form: dict[str, object] | None = None) -> str:
        """Gets a page, or posts a form to it."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(self.url + path, data, timeout=WAIT) as response:
            body: bytes = response.read()
        return body.decode()

    def is_up(self) -> bool:
        try:
            self.ask("/stats/requests")
        except OSError:
            return False
        return True

    def swarm(self, users: int, host: str) -> None:
        self.ask("/swarm", {"user_count": users, "spawn_rate": users, "host": host})

    def stop(self) -> None:
        self.ask("/stop", {})
        until(lambda: self.state()["state"] == "stopped")

    def state(self) -> dict[str, Any]:
        """What the page shows, some seconds old."""
        found: dict[str, Any] = json.loads(self.ask("/stats/requests"))
        return found

    def counts(self) -> Counts:
        """Requests by method and name, as of now."""
        rows = csv.DictReader(io.StringIO(self.ask("/stats/requests/csv")))
        counts = {(row["Type"], row["Name"]): int(row["Request Count"]) for row in rows}
        return {key: count for key, count in counts.items() if count and key[1] != "Aggregated"}

    def has_asked(self, times: int) -> bool:
        return self.counts().get(("GET", "/health"), 0) > times


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def answered(standin: Standin) -> int:
    return sum(by_name(standin.counters()).values())


def check(kind: str, users: int, counted: int, answers: int) -> None:
    """Fail unless what was counted is what was answered.

    A user in Python that Locust kills as it sends has its request counted by the server alone, of
    Locust's classes, too.
    """
    assert counted <= answers <= counted + (0 if kind == "AgentUser" else users)


@pytest.mark.parametrize("kind", ["AgentUser", "HttpUser", "FastHttpUser"])
def test_start_stop_reset_start(tmp_path: Path, kind: str) -> None:
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE.format(kind=kind))
    port = free_port()
    ui = Ui(port)
    options = ("--web-host", "127.0.0.1", "--web-port", str(port), "--stop-timeout", "5")
    with running_standin() as standin:
        locust = python("-m", "locust", "-H", standin.url, *options, cwd=tmp_path)
        try:
            until(ui.is_up)

            ui.swarm(4, standin.url)
            until(lambda: ui.has_asked(50))
            assert ui.counts()["GET", "at first"] == 4
            ui.stop()
            first = ui.counts()
            check(kind, 4, sum(first.values()), answered(standin))

            ui.ask("/stats/reset", {})
            assert ui.counts() == {}
            ui.swarm(6, standin.url)
            until(lambda: ui.has_asked(50))
            ui.swarm(2, standin.url)
            until(lambda: ui.state()["user_count"] == 2)
            before = ui.counts()["GET", "/health"]
            until(lambda: ui.has_asked(before + 50))
            ui.stop()
            second = ui.counts()
            assert second["GET", "at first"] == 6
            check(kind, 4 + 6, sum(second.values()) + sum(first.values()), answered(standin))
            until(lambda: ui.state()["fail_ratio"] == 0)
        finally:
            locust.send_signal(signal.SIGTERM)
            ended = finish(locust)
    assert ended.code == 0, ended.output
    assert "Traceback" not in ended.output
