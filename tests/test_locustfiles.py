"""The scenarios, run by real headless Locust processes against the stand-in."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import ENDING
from helpers_standin import (
    H2,
    H2C,
    HTTP1,
    NOTIFY,
    ROOT,
    STATE,
    Counts,
    Protocol,
    Standin,
    by_name,
    running_standin,
)
from locust.util.load_locustfile import load_locustfile

SCENARIOS = ROOT / "locustfiles" / "opscore"
LIMIT_S = 90
"""Seconds after which a run that does not end has failed."""


PROBE = """
import os, pathlib, gevent, locust

broken_off = 0

def probed(task):
    def update(user):
        global broken_off
        try:
            task(user)
        except gevent.GreenletExit:
            broken_off += 1
            raise
    return update

@locust.events.init.add_listener
def probe(environment, **_):
    for kind in environment.user_classes:
        kind.tasks = [probed(task) for task in kind.tasks]

@locust.events.quit.add_listener
def write(**_):
    pathlib.Path(os.environ["BROKEN_OFF"]).write_text(str(broken_off))
"""
"""A second locustfile, which counts the updates that Locust breaks off at the end: a user that
wakes from its wait in the moment in which Locust kills it for waiting has begun one."""


@dataclass
class Run:
    """A finished run: its exit code, what it wrote, Locust's statistics and its failures."""

    code: int
    output: str
    stats: list[dict[str, Any]]
    failures: list[dict[str, str]]
    broken_off: int

    def counts(self, figure: str = "num_requests") -> Counts:
        """Requests, or another figure of the statistics, by method and name."""
        return {(entry["method"], entry["name"]): entry[figure] for entry in self.stats}


@pytest.fixture
def standin() -> Iterator[Standin]:
    with running_standin() as standin:
        yield standin


def run(
    locustfile: Path | str,
    url: str,
    folder: Path,
    cwd: Path = ROOT,
    protocol: Protocol = HTTP1,
    until: str = f"count('{NOTIFY}') == 20 and count('{STATE}') > 60",
    **environment: str,
) -> Run:
    """Runs a scenario's quick profile headless, with all of its users, `until` it has come so far
    (see `ENDING`)."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    short = {"OPSCORE_PROFILE": "quick", "OPSCORE_USERS": "20", "OPSCORE_DURATION": "15"}
    probe, ending, broken_off = folder / "probe.py", folder / "ending.py", folder / "broken_off"
    probe.write_text(PROBE)
    ending.write_text(ENDING)
    short |= {"BROKEN_OFF": str(broken_off), "UNTIL": until}
    files, command = [locustfile, probe, ending], ["locust"]
    if protocol is not HTTP1:
        files.append(folder / protocol.write_locustfile(folder))
        command = ["opscore_fast", *protocol.users]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **short}
    result = subprocess.run(
        [
            *(sys.executable, "-m", *command, "--headless", "--only-summary"),
            *("-f", ",".join(map(str, files)), "--host", url),
            *("--csv", str(folder / "run"), "--json-file", str(folder / "run")),
            # Locust lets users end the request that they are in, so that both sides know of it.
            *("--stop-timeout", "20"),
        ],
        cwd=cwd,
        env={**variables, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    stats, failures = folder / "run.json", folder / "run_failures.csv"
    return Run(
        result.returncode,
        result.stdout,
        json.loads(stats.read_text()) if stats.exists() else [],
        list(csv.DictReader(failures.open(newline=""))) if failures.exists() else [],
        int(broken_off.read_text()) if broken_off.exists() else 0,
    )


def assert_accounted_for(run: Run, standin: Standin) -> None:
    """Both sides counted the same, but for updates that were sent and then broken off."""
    counts, seen = run.counts(), by_name(standin.counters())
    unseen = seen.get(("POST", STATE), 0) - counts.get(("POST", STATE), 0)
    assert 0 <= unseen <= run.broken_off, run.output
    for endpoint in (("POST", NOTIFY), ("GET", STATE)):
        assert counts[endpoint] == seen[endpoint], run.output
    assert counts.keys() == seen.keys()


def assert_all_went_well(run: Run, standin: Standin) -> None:
    assert run.code == 0, run.output
    assert run.failures == []
    assert run.counts("num_failures") == dict.fromkeys(run.counts(), 0)
    assert_accounted_for(run, standin)


# ---- whole runs


@pytest.mark.parametrize(
    ("scenario", "protocol"),
    [("scenario_0", HTTP1), ("scenario_1", HTTP1), ("scenario_0", H2), ("scenario_1", H2C)],
    ids=str,
)
def test_every_request_is_accounted_for(tmp_path: Path, scenario: str, protocol: Protocol) -> None:
    path = f"locustfiles/opscore/{scenario}.py"
    with running_standin(*protocol.standin) as standin:
        finished = run(path, standin.url, tmp_path, protocol=protocol)
        assert_all_went_well(finished, standin)
        counts = finished.counts()
        assert counts["POST", NOTIFY] == counts["GET", STATE] == 20
        assert counts["POST", STATE] > 20
        assert list(standin.counters()["POST /v1/opscore/agent/{agentId}/state"]) == ["202"]
        assert list(standin.protocols()) == [protocol.spoken]


def test_from_another_folder(standin: Standin, tmp_path: Path) -> None:
    (tmp_path / "opscore_agent.py").write_text("raise ImportError('the wrong one')\n")
    finished = run(SCENARIOS / "scenario_1.py", standin.url, tmp_path, cwd=tmp_path)
    assert_all_went_well(finished, standin)


def test_an_agent_waits_for_its_state(tmp_path: Path) -> None:
    with running_standin("--state-delay", "0.7") as standin:
        finished = run(SCENARIOS / "scenario_1.py", standin.url, tmp_path)
        assert_all_went_well(finished, standin)
        reads = standin.counters()["GET /v1/opscore/agent/{agentId}/state"]
        assert reads["200"] == 20
        assert reads["404"] >= 20


@pytest.mark.parametrize("scenario", ["scenario_0", "scenario_1"])
def test_a_wrong_key_fails(standin: Standin, tmp_path: Path, scenario: str) -> None:
    key = "a wrong secret"
    path = SCENARIOS / f"{scenario}.py"
    finished = run(path, standin.url, tmp_path, OPSCORE_API_KEY=key)
    assert finished.code == 1
    assert_accounted_for(finished, standin)
    counts = finished.counts()
    assert finished.counts("num_failures") == {**counts, ("POST", NOTIFY): 0}
    told = {(row["Method"], row["Name"], row["Error"]) for row in finished.failures}
    error = "CatchResponseError('401: Invalid authentication credentials')"
    assert told == {("GET", STATE, error), ("POST", STATE, error)}
    assert key not in finished.output


def test_the_key_is_read_from_the_environment(tmp_path: Path) -> None:
    with running_standin(OPSCORE_API_KEY="k2") as standin:
        path = SCENARIOS / "scenario_1.py"
        finished = run(path, standin.url, tmp_path, OPSCORE_API_KEY="k2")
        assert_all_went_well(finished, standin)


def test_nothing_listens(standin: Standin, tmp_path: Path) -> None:
    standin.stop()
    until = f"count('{NOTIFY}') >= 2"
    path = SCENARIOS / "scenario_0.py"
    finished = run(path, standin.url, tmp_path, until=until, OPSCORE_USERS="2")
    assert finished.code == 1
    assert list(finished.counts()) == [("POST", NOTIFY)]
    assert finished.counts() == finished.counts("num_failures")
    assert all("refused" in row["Error"] for row in finished.failures)


# ---- settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPSCORE_PROFILE", "fast"),
        ("OPSCORE_USERS", "0"),
        ("OPSCORE_USERS", "many"),
        ("OPSCORE_DURATION", "-1"),
        ("OPSCORE_DURATION", "1.5"),
        ("OPSCORE_WAIT", "soon"),
        ("OPSCORE_WAIT", "5-1"),
        ("OPSCORE_WAIT", "-1"),
    ],
)
def test_a_setting_that_makes_no_sense(tmp_path: Path, variable: str, value: str) -> None:
    path = SCENARIOS / "scenario_1.py"
    finished = run(path, "http://127.0.0.1:1", tmp_path, **{variable: value})
    assert finished.code == 1
    assert finished.stats == []
    lines = [line for line in finished.output.splitlines() if "INFO" not in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{variable} is '{value}': use ")


def shape_and_user(monkeypatch: pytest.MonkeyPatch, scenario: str, **settings: str) -> Any:
    """The load shape and the user class of a scenario with these settings."""
    for name in ("PROFILE", "USERS", "DURATION", "WAIT"):
        monkeypatch.delenv(f"OPSCORE_{name}", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "scenarios", raising=False)  # it has read the settings
    users, shapes = load_locustfile(str(SCENARIOS / f"{scenario}.py"))
    ((shape,), (user,)) = shapes, users.values()
    return shape, user


@pytest.mark.parametrize(
    ("scenario", "settings", "start", "peak", "end", "wait"),
    [
        ("scenario_0", {}, (1, 1), (5, 4 / 60), 300, (1, 2)),
        ("scenario_1", {}, (10, 10), (500, 490 / 300), 1200, (5, 10)),
        ("scenario_1", {"OPSCORE_PROFILE": "full"}, (10, 10), (500, 490 / 300), 1200, (5, 10)),
        ("scenario_0", {"OPSCORE_PROFILE": "quick"}, (1, 1), (5, 2), 30, (1, 2)),
        ("scenario_1", {"OPSCORE_PROFILE": "quick"}, (10, 10), (500, 98), 30, (0.5, 1)),
        ("scenario_1", {"OPSCORE_USERS": "70"}, (10, 10), (70, 60 / 300), 1200, (5, 10)),
        ("scenario_1", {"OPSCORE_USERS": "3"}, (3, 3), (3, 3), 1200, (5, 10)),
        ("scenario_1", {"OPSCORE_DURATION": "120"}, (10, 10), (500, 490 / 30), 120, (5, 10)),
        ("scenario_1", {"OPSCORE_WAIT": "0.5-2"}, (10, 10), (500, 490 / 300), 1200, (0.5, 2)),
        ("scenario_1", {"OPSCORE_WAIT": "3"}, (10, 10), (500, 490 / 300), 1200, (3, 3)),
        ("agents_0", {}, (1, 1), (5, 4 / 60), 300, (1, 2)),
        ("agents_1", {}, (10, 10), (500, 490 / 300), 1200, (5, 10)),
        ("agents_2", {}, (10, 10), (100, 90 / 180), 1080, (30, 60)),
        ("agents_3", {}, (20, 20), (300, 280 / 300), 2100, (1, 5)),
    ],
)
def test_profiles(
    monkeypatch: pytest.MonkeyPatch,
    scenario: str,
    settings: dict[str, str],
    start: tuple[int, float],
    peak: tuple[int, float],
    end: float,
    wait: tuple[float, float],
) -> None:
    shape, user = shape_and_user(monkeypatch, scenario, **settings)

    def tick(at: float) -> Any:
        monkeypatch.setattr(shape, "get_run_time", lambda: at)
        return shape.tick()

    assert tick(0) == start
    assert [tick(at) for at in (1, end / 2, end - 0.1)] == [pytest.approx(peak)] * 3
    assert tick(end) is None
    waits = [user.wait_time(None) for _ in range(200)]
    assert wait[0] <= min(waits) <= max(waits) <= wait[1]


def test_default_host(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shape_and_user(monkeypatch, "scenario_0")[1].host == "http://127.0.0.1:8000"
