"""Locustfiles for Locust's HttpUser, unchanged: the same counts with its class and with ours."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from gevent.pool import Pool
from helpers import PATIENT, Run, distributed, finish, python, read_csv, refusing_port
from helpers_standin import (
    H2,
    H2C,
    HTTP1,
    NOTIFY,
    ROOT,
    STATE,
    WORKFLOW,
    Counts,
    Protocol,
    by_name,
    running_standin,
)
from locust.stats import RequestStats
from locust.util.load_locustfile import load_locustfile

SCENARIOS = ROOT / "locustfiles" / "team"
USERS = 5

FIXED = (
    PATIENT
    + """
import os
import locust
from locust.user.task import DefaultTaskSet, TaskSet

def get_next_task(tasks):
    user = tasks.user
    done = user.__dict__.setdefault("done", [])
    if len(done) == int(os.environ["EACH"]):
        gevent.sleep(3600)  # Locust would replace one that ends
    done.append(1)
    return user.tasks[len(done) % len(user.tasks)]

DefaultTaskSet.get_next_task = get_next_task
TaskSet.wait_time = lambda tasks: 0.01

@locust.events.init.add_listener
def begin(environment, runner, **_):
    if not isinstance(runner, locust.runners.WorkerRunner):
        gevent.spawn(quit_after_the_last, runner)

def quit_after_the_last(runner):
    while runner.stats.total.num_requests < int(os.environ["EXPECTED"]):
        gevent.sleep(0.1)
    gevent.sleep(1)  # for the CSV files, and for what should not come
    runner.quit()
"""
)
"""A second locustfile: every user does that many tasks, each in its turn, then the run ends."""


@dataclass(frozen=True)
class Finished(Run):
    """What a run left behind: Locust's counts from its CSV files, and the stand-in's own."""

    requests: Counts
    failures: Counts
    errors: dict[tuple[str, str, str], int]
    answered: dict[str, dict[str, int]]
    protocols: dict[str, int]


def run(
    module: str,
    scenario: int,
    folder: Path,
    each: int,
    *options: str,
    protocol: Protocol = HTTP1,
    standin_options: tuple[str, ...] = (),
    **settings: str,
) -> Finished:
    """Run a scenario's quick profile with five users under `module`, against a new stand-in."""
    folder.mkdir()
    (folder / "fixed.py").write_text(FIXED)
    locustfiles = f"{SCENARIOS / f'scenario_{scenario}.py'},fixed.py"
    if protocol is not HTTP1:
        locustfiles += f",{protocol.write_locustfile(folder)}"
        options += protocol.users
        standin_options += protocol.standin
    environment = {
        "OPSCORE_API_KEY": "test-api-key",
        "OPSCORE_PROFILE": "quick",
        "OPSCORE_USERS": str(USERS),
        "EACH": str(each),
        "EXPECTED": str(USERS * (2 + each)),
        **settings,
    }
    with running_standin(*standin_options) as standin:
        command = ("-m", module, "-f", locustfiles, "--headless", "--host", standin.url)
        command += ("--csv", "out", "--only-summary", *options)
        ended = finish(python(*command, cwd=folder, **environment))
        answered, protocols = standin.counters(), standin.protocols()
    rows = [row for row in read_csv(folder / "out_stats.csv") if row["Type"]]
    return Finished(
        ended.code,
        ended.output,
        {(row["Type"], row["Name"]): int(row["Request Count"]) for row in rows},
        {(row["Type"], row["Name"]): int(row["Failure Count"]) for row in rows},
        {
            (row["Method"], row["Name"], row["Error"]): int(row["Occurrences"])
            for row in read_csv(folder / "out_failures.csv")
        },
        answered,
        protocols,
    )


def owner(finished: Finished) -> str:
    """Whose classes the run had, as its first lines tell."""
    return "opscore_fast" if "HttpUser, " in finished.output.partition("\n")[0] else "locust"


def run_both(scenario: int, folder: Path, each: int, *options: str, **settings: str) -> Finished:
    """Run with Locust's class and with ours; what both came to is the same, and is returned."""
    theirs, ours = (
        run(module, scenario, folder / module, each, *options, **settings)
        for module in ("locust", "opscore_fast")
    )
    assert (owner(theirs), owner(ours)) == ("locust", "opscore_fast")
    for finished in (theirs, ours):
        assert finished.requests == by_name(finished.answered), finished.output
        assert finished.tracebacks == 0, finished.output
    assert ours.requests == theirs.requests
    assert ours.failures == theirs.failures
    assert ours.errors == theirs.errors
    assert ours.answered == theirs.answered
    assert ours.code == theirs.code
    return ours


TASKS = {
    0: ({("POST", STATE): 6}, 6),
    1: ({("POST", STATE): 6}, 6),
    2: ({("POST", WORKFLOW): 6}, 6),
    3: ({("POST", STATE): 16, ("GET", STATE): 3, ("POST", WORKFLOW): 1}, 20),
    4: ({("POST", STATE): 16, ("GET", STATE): 3, ("POST", WORKFLOW): 1}, 20),
}
"""By scenario: what a user's tasks ask for, and how many they are."""


def expected(scenario: int) -> Counts:
    """What five users ask for: their tasks, and before these a registration and the state."""
    counts = {("POST", NOTIFY): USERS, ("GET", STATE): USERS}
    for key, each in TASKS[scenario][0].items():
        counts[key] = counts.get(key, 0) + USERS * each
    return counts


@pytest.mark.parametrize("scenario", TASKS)
def test_same_counts(tmp_path: Path, scenario: int) -> None:
    finished = run_both(scenario, tmp_path, TASKS[scenario][1])
    assert finished.code == 0, finished.output
    assert finished.requests == expected(scenario)
    assert finished.errors == {}
    assert not any(finished.failures.values())
    statuses = {status for counts in finished.answered.values() for status in counts}
    assert statuses == {"200", "202"}


def test_same_counts_in_processes(tmp_path: Path) -> None:
    finished = run_both(3, tmp_path, 20, "--processes", "2", *distributed())
    assert finished.code == 0, finished.output
    assert finished.requests == expected(3)
    assert finished.errors == {}


def test_same_counts_by_http2(tmp_path: Path) -> None:
    """As by HTTP/1.1, where they are the same as Locust's: each scenario, and in processes."""
    in_processes = ("--processes", "2", *distributed())
    runs = [(0, H2), (1, H2C), (2, H2), (3, H2C), (4, H2), (3, H2, *in_processes)]

    def one(number: int) -> Finished:
        scenario, protocol, *options = runs[number]
        each = TASKS[scenario][1]
        folder = tmp_path / str(number)
        return run("opscore_fast", scenario, folder, each, *options, protocol=protocol)

    for (scenario, *_), finished in zip(runs, Pool(3).map(one, range(len(runs))), strict=True):
        assert finished.code == 0, finished.output
        assert finished.requests == expected(scenario), finished.output
        assert finished.requests == by_name(finished.answered)
        assert finished.protocols == {"2": sum(finished.requests.values())}
        assert finished.errors == {}
        assert not any(finished.failures.values())


def test_same_failures(tmp_path: Path) -> None:
    """With a key that is not the service's."""
    secret = "a-wrong-secret"
    finished = run_both(3, tmp_path, 20, OPSCORE_API_KEY=secret)
    assert finished.code == 1
    counts = expected(3)
    assert finished.requests == counts
    assert finished.failures == {**counts, ("POST", NOTIFY): 0}
    detail = '401 {"detail":"Invalid authentication credentials"}'
    assert finished.errors == {
        ("GET", STATE, f"CatchResponseError('Failed to get state: {detail}')"): USERS * 4,
        ("POST", STATE, f"CatchResponseError('Failed to update state: {detail}')"): USERS * 16,
        ("POST", WORKFLOW, f"CatchResponseError('Failed to start workflow: {detail}')"): USERS,
    }
    assert secret not in finished.output


def test_a_state_that_takes_its_time(tmp_path: Path) -> None:
    """Until it is there, 404 is no failure."""
    options = ("--state-delay", "0.7")
    finished = run("opscore_fast", 0, tmp_path / "run", 6, standin_options=options)
    assert finished.errors == {}
    reads = finished.answered["GET /v1/opscore/agent/{agentId}/state"]
    assert reads["200"] == USERS
    assert reads["404"] >= USERS


def test_nothing_listens(tmp_path: Path) -> None:
    """The failure that the team saw while its containers were down."""
    for module in ("locust", "opscore_fast"):
        with refusing_port() as port:
            url = f"http://127.0.0.1:{port}"
            finished = run(module, 2, tmp_path / module, 6, "--host", url, OPSCORE_DURATION="3")
        assert finished.code == 1
        assert finished.requests == finished.failures == {("POST", NOTIFY): USERS}
        error = "CatchResponseError('Failed to register agent: 0')"
        assert finished.errors == {("POST", NOTIFY, error): USERS}


def test_they_are_locusts_own() -> None:
    """Nothing in these files knows of opscore_fast, but to say so."""
    for path in SCENARIOS.glob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) (\S+)", path.read_text(), re.MULTILINE)
        assert "opscore_fast" not in imported
        assert set(imported) - set(sys.stdlib_module_names) <= {
            "locust",
            "load_profile",
            "opscore_user",
            "stress",
        }


# ---- load shapes


@pytest.mark.parametrize(
    ("scenario", "start", "later", "end", "wait"),
    [
        (0, (1, 1), (5, 4 / 60), 300, (1, 2)),
        (1, (10, 10), (500, 490 / 300), 1200, (5, 10)),
        (2, (10, 10), (100, 90 / 180), 1080, (30, 60)),
        (3, (20, 20), (300, 280 / 300), 2100, (1, 5)),
        (4, (300, 50), (350, 50), 16500, (1, 5)),
    ],
)
def test_full_profiles(
    monkeypatch: pytest.MonkeyPatch,
    scenario: int,
    start: tuple[int, float],
    later: tuple[int, float],
    end: float,
    wait: tuple[float, float],
) -> None:
    for name in ("PROFILE", "USERS", "DURATION"):
        monkeypatch.delenv(f"OPSCORE_{name}", raising=False)
    users, [shape] = load_locustfile(str(SCENARIOS / f"scenario_{scenario}.py"))
    [user] = users.values()
    shape.runner = SimpleNamespace(stats=RequestStats())
    found = []
    for at in (0, min(301, end / 2), end):
        monkeypatch.setattr(shape, "get_run_time", lambda at=at: at)
        found.append(shape.tick())
    assert found == [start, pytest.approx(later), None]
    waits = [user.wait_time(None) for _ in range(200)]
    assert wait[0] <= min(waits) <= max(waits) <= wait[1]
