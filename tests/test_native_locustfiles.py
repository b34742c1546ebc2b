"""The five scenarios by native threads: as AgentUser, and the team's untouched files by --native.

Each runs in one process, by --processes 2, and with a master and two workers; by HTTP/1.1 and 2. A
run ends when enough was counted; then what Locust reports for every name is what the stand-in has
answered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from gevent.pool import Pool
from gevent.queue import Queue
from helpers import PATIENT, SANITIZED, Run, distributed, finish, python
from helpers_runs import REPORTED, counts_of
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
    Standin,
    by_name,
    running_standin,
)

FOLDER = ROOT / "locustfiles"
USERS = 6
ENOUGH = 400
"""Requests after which a run ends: too many for a task of 5 % never to have come."""

MODES = ("local", "processes", "master and workers")

AT_ONCE = 2 if SANITIZED else 5
"""Runs at a time: most of what a run does is to wait for the next second. Sanitized workers whose
heartbeat comes late are missing for their master."""

END = (
    PATIENT
    + """
import os
from locust import events

@events.init.add_listener
def end_when_enough_was_counted(environment, runner, **_):
    shape = environment.shape_class
    ordinary_tick = shape.tick

    def tick():
        users = ordinary_tick()
        stats = runner.stats
        if users is not None and stats.total.num_requests < int(os.environ["ENOUGH"]):
            return users
        if isinstance(runner, locust.runners.MasterRunner):
            stop_workers(environment, runner)
        return None

    shape.tick = tick
"""
)
"""A second locustfile: the shape ends when enough was counted, however long that takes."""


@dataclass(frozen=True)
class Finished:
    """What a run left behind."""

    ended: list[Run]
    """Its processes: the first one is the one that reports."""
    requests: Counts
    failures: Counts
    answered: Counts
    protocols: Counter[str]
    """What was answered by version of HTTP."""

    @property
    def output(self) -> str:
        return "\n".join(run.output for run in self.ended)


@pytest.fixture(scope="module", params=[HTTP1], ids=str)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    """What is spoken: HTTP/1.1, unless a test says otherwise."""
    spoken: Protocol = request.param
    return spoken


@pytest.fixture(scope="module")
def standins(protocol: Protocol) -> Iterator[Queue[Standin]]:
    """Stand-ins, each for one run at a time."""
    with ExitStack() as stack:
        started = [running_standin(*protocol.standin) for _ in range(AT_ONCE)]
        yield Queue(items=[stack.enter_context(standin) for standin in started])


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few users, who hardly wait."""
    for name, value in {
        "OPSCORE_API_KEY": "test-api-key",
        "OPSCORE_PROFILE": "quick",
        "OPSCORE_USERS": str(USERS),
        "OPSCORE_WAIT": "0.02",
        "ENOUGH": str(ENOUGH),
    }.items():
        monkeypatch.setenv(name, value)


@contextmanager
def taken(standins: Queue[Standin]) -> Iterator[Standin]:
    standin = standins.get()
    try:
        yield standin
    finally:
        standins.put(standin)


def start(mode: str, command: list[str], folder: Path) -> list[Run]:
    """Run a command line of locust's in one of the three ways, to its end."""
    if mode == "local":
        return [finish(python(*command, cwd=folder))]
    bound = distributed()
    if mode == "processes":
        return [finish(python(*command, "--processes", "2", *bound, cwd=folder))]
    master = python(*command, "--master", "--expect-workers", "2", *bound[:4], cwd=folder)
    workers = [python(*command, "--worker", *bound[4:], cwd=folder) for _ in range(2)]
    return [finish(process) for process in (master, *workers)]


def run(
    standins: Queue[Standin],
    mode: str,
    locustfile: str,
    folder: Path,
    protocol: Protocol = HTTP1,
) -> Finished:
    """Run a locustfile; its path is relative to locustfiles/."""
    folder.mkdir()
    (folder / "reported.py").write_text(REPORTED)
    (folder / "end.py").write_text(END)
    files = [str(FOLDER / locustfile), "reported.py", "end.py"]
    native = ["--native"] if locustfile.startswith("team/") else []
    command = ["-m", "opscore_fast" if native or protocol is not HTTP1 else "locust", *native]
    if protocol is not HTTP1:
        files.append(protocol.write_locustfile(folder))
        command += protocol.users
    with taken(standins) as standin:
        before, spoken = by_name(standin.counters()), Counter(standin.protocols())
        command += ["-f", ",".join(files), "--host", standin.url]
        ended = start(mode, [*command, "--headless", "--only-summary"], folder)
        after, protocols = by_name(standin.counters()), Counter(standin.protocols())
    answered = {name: number - before.get(name, 0) for name, number in after.items()}
    answered = {name: number for name, number in answered.items() if number}
    assert (folder / "reported.json").exists(), ended[0].output
    return Finished(ended, *counts_of(folder), answered, protocols - spoken)


def assert_all_went_well(finished: Finished) -> None:
    """Every process ended well, and each request is accounted for."""
    assert {run.code for run in finished.ended} == {0}, finished.output
    assert finished.requests == finished.answered, finished.output
    assert set(finished.failures.values()) == {0}, finished.output
    assert finished.requests["POST", NOTIFY] == USERS
    assert "Traceback" not in finished.output, finished.output


def assert_does(scenario: int, requests: Counts) -> None:
    """The requests of the tasks are those of a scenario, in the shares that it has."""
    tasks = {
        ("POST", STATE): requests.get(("POST", STATE), 0),
        ("GET", STATE): requests["GET", STATE] - USERS,  # each begins with one
        ("POST", WORKFLOW): requests.get(("POST", WORKFLOW), 0),
    }
    total = sum(tasks.values())
    shares = [round(number / total, 2) for number in tasks.values()]
    if scenario < 3:
        assert shares == ([1, 0, 0] if scenario < 2 else [0, 0, 1])
    else:  # 80, 15 and 5 %, within five standard deviations of 400 draws
        assert all(
            abs(share - mean) < 5 * (mean * (1 - mean) / ENOUGH) ** 0.5
            for share, mean in zip(shares, (0.8, 0.15, 0.05), strict=True)
        ), shares


def assert_is(scenario: int, protocol: Protocol, finished: Finished) -> None:
    """A run was that scenario, and all of it went well and by that protocol."""
    assert_all_went_well(finished)
    assert finished.protocols == {protocol.spoken: sum(finished.requests.values())}
    assert_does(scenario, finished.requests)
    tasks = {0: "1 task, 1 request", 3: "3 tasks, 3 requests"}[scenario // 3 * 3]
    told = re.findall(rf"Scenario{scenario}\w+  natively: {tasks}", finished.output)
    assert len(told) == 1, finished.output  # by one process


@pytest.mark.parametrize(
    ("protocol", "mode", "files"),
    [
        *product([HTTP1], MODES, ["opscore/agents", "team/scenario"]),
        (H2C, "local", "team/scenario"),
        (H2, "local", "opscore/agents"),
    ],
    indirect=["protocol"],
    ids=str,
)
def test_scenarios(
    standins: Queue[Standin], tmp_path: Path, protocol: Protocol, mode: str, files: str
) -> None:
    def one(scenario: int) -> Finished:
        name = f"{files}_{scenario}.py"
        return run(standins, mode, name, tmp_path / str(scenario), protocol)

    for scenario, finished in enumerate(Pool(AT_ONCE).map(one, range(5))):
        assert_is(scenario, protocol, finished)


@pytest.mark.parametrize(
    ("protocol", "mode", "locustfile"),
    [(H2, "master and workers", "team/scenario_4.py"), (H2C, "processes", "opscore/agents_3.py")],
    indirect=["protocol"],
    ids=str,
)
def test_distributed_by_http2(
    standins: Queue[Standin], tmp_path: Path, protocol: Protocol, mode: str, locustfile: str
) -> None:
    finished = run(standins, mode, locustfile, tmp_path / "run", protocol)
    assert_is(int(locustfile[-4]), protocol, finished)


def test_side_by_side(standins: Queue[Standin], tmp_path: Path) -> None:
    """Each of the two kinds of users has names of its own."""
    finished = run(standins, "local", "opscore/side_by_side.py", tmp_path / "run")
    assert "LoadAgent  natively: 3 tasks, 3 requests" in finished.output
    assert "Watcher    in Python, as a drop-in user" in finished.output
    assert {run.code for run in finished.ended} == {0}, finished.output
    assert set(finished.failures.values()) == {0}, finished.output
    requests = finished.requests
    written = requests.pop(("POST", "watcher: write state"))
    read = requests.pop(("GET", "watcher: read state"))
    assert requests.pop(("POST", "watcher: register")) == 2
    assert 2 + written - 2 <= read <= 2 + written  # at the end one may not have come to it
    assert requests["POST", NOTIFY] == USERS - 2
    # a user in Python that is killed as it sends has its request counted by the server alone
    for name, more in (("POST", STATE), written), (("GET", STATE), read):
        assert 0 <= finished.answered.pop(name) - requests.pop(name) - more <= 2
    assert finished.answered.pop(("POST", NOTIFY)) == requests.pop(("POST", NOTIFY)) + 2
    assert requests == finished.answered
    assert requests["POST", WORKFLOW] > 0


@pytest.mark.parametrize("mode", ["local", "master and workers"])
def test_the_breaking_point(
    standins: Queue[Standin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """With a key that is not the service's, nothing but the registrations succeeds."""
    monkeypatch.setenv("OPSCORE_API_KEY", "a-wrong-secret")
    finished = run(standins, mode, "opscore/agents_4.py", tmp_path / "run")
    first, *others = finished.ended
    assert first.code == 1
    assert finished.requests == finished.answered, finished.output
    assert finished.failures == {**finished.requests, ("POST", NOTIFY): 0}
    rule = "more than 5 % of the requests failed"
    told = rf"^Breaking point: {rule}: {USERS} users, [\d.,]+ requests/s, [\d.,]+ ms on average, "
    told += r"95 % within \d+ ms, \d+\.\d % failed\nThe step before: there is none$"
    assert re.search(told, first.output, re.MULTILINE), first.output
    assert not any("Breaking point" in run.output for run in others)
    detail = "401: Invalid authentication credentials"
    for name in ("POST", STATE), ("GET", STATE):
        shown = rf"{re.escape(' '.join(name))}: '?{detail}"  # a master shows it in quotes
        assert re.search(shown, first.output), first.output
    assert "a-wrong-secret" not in finished.output


# ---- explain

UPDATE = (
    "POST /v1/opscore/agent/{self.agent_id}/state as /v1/opscore/agent/[id]/state",
    '"timestamp": "{date_iso of now}"',
    "one of 'idle', 'active', 'finished', 'error'",
)
READ = ("GET /v1/opscore/agent/{self.agent_id}/state as /v1/opscore/agent/[id]/state",)
START = (
    "POST /v1/opscore/agent/{self.agent_id}/workflow as /v1/opscore/agent/[id]/workflow",
    '"id": "workflow-{uuid4}"',
)
MIXED = (*UPDATE, *READ, *START)
AGENT = {
    "update": ("unless response's status == 202", "unless response's JSON['status'] == 'success'"),
    "read": ("unless response's status == 200", "response's JSON['agentId'] == self.agent_id"),
    "start": ("unless response's status == 202", "response's JSON['workflowId'] == workflow-"),
}
SHARES = "post_state 80%, read_state 15%, start_workflow 5%"
TEAM_SHARES = "send_update 80%, ask_for_state 15%, trigger 5%"


@pytest.mark.parametrize(
    ("locustfile", "tasks", "wait", "facts"),
    [
        ("opscore/agents_0", "post_state 100%", "1 to 2 s", (*UPDATE, *AGENT["update"])),
        ("opscore/agents_1", "post_state 100%", "5 to 10 s", (*UPDATE, *AGENT["update"])),
        ("opscore/agents_2", "start_workflow 100%", "30 to 60 s", (*START, *AGENT["start"])),
        ("opscore/agents_3", SHARES, "1 to 5 s", (*MIXED, *sum(AGENT.values(), ()))),
        ("opscore/agents_4", SHARES, "1 to 5 s", (*MIXED, *sum(AGENT.values(), ()))),
        ("team/scenario_0", "work 100%", "1 to 2 s", UPDATE),
        ("team/scenario_1", "work 100%", "5 to 10 s", UPDATE),
        ("team/scenario_2", "work 100%", "30 to 60 s", (*START, "'sessionId' in response's JSON")),
        ("team/scenario_3", TEAM_SHARES, "1 to 5 s", (*MIXED, "failure: State of another agent")),
        ("team/scenario_4", TEAM_SHARES, "1 to 5 s", (*MIXED, "failure: State of another agent")),
    ],
)
def test_explain(
    standins: Queue[Standin],
    monkeypatch: pytest.MonkeyPatch,
    locustfile: str,
    tasks: str,
    wait: str,
    facts: tuple[str, ...],
) -> None:
    for name in ("PROFILE", "USERS", "WAIT"):
        monkeypatch.delenv(f"OPSCORE_{name}")
    ended = explain(standins, locustfile)
    assert ended.code == 0, ended.output
    assert ended.output.count("(as HttpUser)") == 1
    assert f", chosen at random: {tasks}; wait: {wait}\n" in ended.output
    for fact in ("of each agent: self.agent_id", "  success ", "failure: ", *facts):
        assert fact in ended.output, (fact, ended.output)
    assert "in Python" not in ended.output


def explain(standins: Queue[Standin], locustfile: str) -> Run:
    with taken(standins) as standin:
        command = ("-m", "opscore_fast", "explain", "-f", FOLDER / f"{locustfile}.py")
        return finish(python(*command, "--host", standin.url, cwd=ROOT))


def test_explain_side_by_side(standins: Queue[Standin]) -> None:
    """What has to be a drop-in user is told with the line that says so."""
    ended = explain(standins, "opscore/side_by_side")
    assert ended.code == 1
    assert f"LoadAgent, chosen at random: {SHARES}; " in ended.output
    assert re.search(r"^Watcher runs in Python: .*side_by_side\.py:\d+: ", ended.output, re.M)
