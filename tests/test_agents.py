"""Tasks that are recorded and run by native threads: real locust runs against the stand-in.

Of each run three counts must be the same for every request name: what Locust reports, what the
stand-in has answered, and so what was sent.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ENDING, WAIT, distributed, finish, python, refusing_port
from helpers_runs import REPORTED, counts_of, explained, run
from helpers_standin import NOTIFY, ROOT, STATE, by_name, running_standin

SCENARIOS = ROOT / "locustfiles" / "team"


AGENTS = """
import random, uuid
from datetime import UTC, datetime
from locust import constant, task
from locust.exception import StopUser
from opscore_fast import AgentUser

class Agent(AgentUser):
    wait_time = {wait}

    def on_start(self):
        self.agent_id = f"agent-{{uuid.uuid4()}}"
        self.client.headers["Authorization"] = "Bearer test-api-key"
        details = {{"agentId": self.agent_id, "agentName": "a", "version": "1", "capabilities": [],
                    "contactEndpoint": "http://a.invalid/", "metadata": {{}}}}
        self.client.post("/v1/opscore/internal/agent/notify",
                         json={{"event_type": "REGISTER", "agent_details": details}})

    @task
    def update(self):
        {task}

    def on_stop(self):
        print(f"\\non_stop of {{self.agent_id[:6]}}", flush=True)
"""
UPDATE = """self.client.post(f"/v1/opscore/agent/{self.agent_id}/state",
            name="/v1/opscore/agent/[id]/state", json={"agentId": self.agent_id,
            "timestamp": datetime.now(UTC).isoformat(), "state": random.choice(["idle", "active"])})
"""


def write_agents(folder: Path, task: str, wait: str = "constant(0)") -> Path:
    locustfile = folder / "locustfile.py"
    locustfile.write_text(AGENTS.format(task=task, wait=wait))
    return locustfile


def test_full_speed(tmp_path: Path) -> None:
    """Many requests are under way at any moment, also when the run ends; each is counted."""
    locustfile = write_agents(tmp_path, UPDATE)
    output, requests, failures, answered = run(
        *(tmp_path, locustfile, "-u", "20", "-r", "20"),
        module="locust",
        until=f"count('{NOTIFY}') == 20 and count('{STATE}') > 1000",
    )
    assert requests == answered
    assert not any(failures.values())
    assert requests["POST", STATE] > 1000
    assert output.count("on_stop of agent-") == 20


def test_stop_timeout(tmp_path: Path) -> None:
    locustfile = write_agents(tmp_path, UPDATE)
    options = ("-u", "5", "-r", "5", "--stop-timeout", "5")
    output, requests, _, answered = run(
        tmp_path, locustfile, *options, module="locust", until=f"count('{NOTIFY}') == 5"
    )
    assert requests == answered
    assert output.count("on_stop of agent-") == 5


@pytest.mark.parametrize(("waits", "least", "most"), [([0.01, 0.02], 20, None), ([600, 900], 2, 2)])
def test_own_wait_time(tmp_path: Path, waits: list[float], least: int, most: int | None) -> None:
    locustfile = write_agents(tmp_path, UPDATE, f"lambda self: random.choice({waits})")
    until = f"count('{STATE}') >= {least}"
    _, requests, _, answered = run(
        tmp_path, locustfile, "-u", "2", "-r", "2", module="locust", until=until
    )
    assert requests == answered
    assert requests["POST", STATE] >= least
    assert most is None or requests["POST", STATE] <= most


@pytest.mark.parametrize(
    ("wait", "why"),
    [
        ('lambda self: "soon"', "it returned 'soon', which is no number of seconds"),
        ("lambda self: float('nan')", "it returned nan, which is no number of seconds"),
        ("lambda self: {}[0]", "it raised KeyError(0)"),
    ],
)
def test_own_wait_time_that_is_none(tmp_path: Path, wait: str, why: str) -> None:
    locustfile = write_agents(tmp_path, UPDATE, wait)
    line = 1 + next(i for i, text in enumerate(locustfile.read_text().split("\n")) if wait in text)
    with running_standin() as standin:
        command = ("-m", "locust", "-f", str(locustfile), "--headless", "--only-summary")
        ended = finish(
            python(*command, "--host", standin.url, "-u", "2", "-t", "20s", cwd=tmp_path)
        )
    assert ended.code == 1, ended.output
    assert f"Agent can't run natively: {locustfile}:{line}: wait_time: {why}; " in ended.output
    assert "Traceback" not in ended.output


LATER = """
import gevent
from locust import events

@events.test_start.add_listener
def listen_later(environment, **_):
    def listen(**_):
        pass
    gevent.spawn_later(1, environment.events.request.add_listener, listen)
"""


def test_what_goes_wrong_later(tmp_path: Path) -> None:
    """A wait_time that begins to fail, and a listener that comes late, are told of, once."""
    wait = "lambda self, left=iter(range(5000)): next(left) * 0 + 0.01"
    locustfile = write_agents(tmp_path, UPDATE, wait)
    (tmp_path / "later.py").write_text(LATER)
    output, requests, _, answered = run(
        *(tmp_path, Path(f"{locustfile},{tmp_path / 'later.py'}"), "-u", "2", "-r", "2"),
        module="locust",
        until="told('wait as they did before') and told('listens to events.request')",
    )
    assert requests == answered
    assert output.count("the agents of Agent wait as they did before: ") == 1, output
    assert "wait_time: it raised StopIteration()" in output
    assert output.count("later.py:7 listens to events.request; ") == 1, output


def test_a_listener_that_comes_before_the_next_user(tmp_path: Path) -> None:
    """That user can't be an agent: the run ends, and says why."""
    locustfile = write_agents(tmp_path, UPDATE, "constant(0.1)")
    (tmp_path / "later.py").write_text(LATER)
    files = f"{locustfile},{tmp_path / 'later.py'}"
    output, requests, _, answered = run(
        tmp_path, Path(files), "-u", "8", "-r", "1", "-t", "20s", module="locust", code=1
    )
    assert requests == answered
    assert requests["POST", NOTIFY] < 8
    assert "Agent can't run natively: " in output
    assert "later.py:7: a listener of events.request: " in output
    assert "Traceback" not in output


def test_stop_user(tmp_path: Path) -> None:
    """Each does one update; Locust puts another in its place."""
    locustfile = write_agents(tmp_path, UPDATE + "        raise StopUser()")
    options = ("-u", "3", "-r", "3")
    output, requests, _, answered = run(
        tmp_path, locustfile, *options, module="locust", until=f"count('{STATE}') >= 3"
    )
    assert requests == answered
    assert requests["POST", STATE] == requests["POST", NOTIFY] >= 3
    assert output.count("on_stop of agent-") == requests["POST", NOTIFY]


def test_failures_have_the_texts_of_drop_in_users(tmp_path: Path) -> None:
    task = 'self.client.get("/v1/opscore/agent/none/state", name="none")'
    locustfile = write_agents(tmp_path, task, "constant(0.05)")
    output, *_ = run(
        tmp_path, locustfile, "-u", "2", module="locust", code=1, until="count('none') > 0"
    )
    assert "HTTPError('404 Client Error: Not Found for url: none')" in output, output


def test_explain(tmp_path: Path) -> None:
    code, output = explained(write_agents(tmp_path, UPDATE, "constant(2)"))
    assert code == 0, output
    assert "Agent (as HttpUser)" in output
    assert "of each agent: self.agent_id" in output
    assert "update 100%; wait: 2 s" in output
    assert "POST /v1/opscore/agent/{self.agent_id}/state as /v1/opscore/agent/[id]/state" in output
    assert "one of 'idle', 'active'" in output


def test_explain_scenario() -> None:
    code, output = explained(SCENARIOS / "scenario_3.py")
    assert code == 0, output
    assert "ask_for_state 15%" in output
    assert "failure: {strip of Failed to get state: " in output


def test_explain_for_a_reader_that_has_enough(tmp_path: Path) -> None:
    locustfile = write_agents(tmp_path, UPDATE, "constant(2)")
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "opscore_fast",
            "explain",
            "-f",
            locustfile,
            "-H",
            "http://localhost",
        ],
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=WAIT,
        check=False,
    )
    os.close(write)
    assert ended.stderr == b""
    assert ended.returncode == 1


def test_explain_without_the_service(tmp_path: Path) -> None:
    """An on_start that tries again and again ends some time."""
    scenario = ROOT / "locustfiles" / "opscore" / "agents_0.py"
    with refusing_port() as port:
        host = f"http://127.0.0.1:{port}"
        command = ("-m", "opscore_fast", "explain", "-f", scenario, "-H", host, "--timeout", "3")
        ended = finish(python(*command, cwd=tmp_path))
    assert ended.code == 1
    said = "Scenario0Agent: its on_start, which has to run once, did not end in 3 s\n"
    assert said in ended.output, ended.output


def test_explain_what_cannot_be_recorded(tmp_path: Path) -> None:
    code, output = explained(write_agents(tmp_path, 'open("/dev/null").read()'))
    assert code == 1
    assert "Agent runs in Python: " in output
    assert "Traceback" not in output


def test_a_task_that_cannot_be_recorded(tmp_path: Path) -> None:
    """It ends the run, with its line and the reason."""
    locustfile = write_agents(tmp_path, 'open("/dev/null").read()')
    with running_standin() as standin:
        command = ("-m", "locust", "-f", str(locustfile), "--headless", "--only-summary")
        ended = finish(
            python(*command, "--host", standin.url, "-u", "2", "-t", "20s", cwd=tmp_path)
        )
    line = 1 + locustfile.read_text().split("\n").index('        open("/dev/null").read()')
    assert ended.code == 1, ended.output
    assert "Agent can't run natively: " in ended.output
    assert f"locustfile.py:{line}: " in ended.output
    assert "Traceback" not in ended.output


TABLE = """
from locust import HttpUser, User, constant, task
from opscore_fast import AgentUser

class Recorded(HttpUser):
    wait_time = constant(0.1)

    @task
    def ask(self):
        print("once")
        self.client.get("/health")

class Other(User):
    wait_time = constant(1)

    @task
    def nothing(self):
        pass

class Reading(HttpUser):
    wait_time = constant(0.1)

    @task
    def ask(self):
        open("/dev/null").close()
        self.client.get("/health")
"""


def test_the_table_of_classes(tmp_path: Path) -> None:
    """It says of each class how its tasks run, and of those in Python the line and the reason."""
    locustfile = tmp_path / "locustfile.py"
    locustfile.write_text(TABLE)
    output, _, _, _ = run(
        tmp_path, locustfile, "--native", "-u", "6", "-r", "6", until="told('how their tasks run')"
    )
    head, _, table = output.partition("user classes, and how their tasks run:\n")
    assert table, head
    rows = table.splitlines()
    once = 1 + TABLE.split("\n").index('        print("once")')
    refused = 1 + TABLE.split("\n").index('        open("/dev/null").close()')
    assert rows[0] == "Recorded  natively: 1 task, 1 request"
    assert rows[1].strip() == f"locustfile.py:{once}: print runs once, while the task is recorded"
    assert rows[2].startswith(f"Reading   in Python: {locustfile}:{refused}: "), output
    assert rows[3] == "Other     in Python: it is no HttpUser or FastHttpUser of ours"
    assert "Traceback" not in output


@pytest.mark.parametrize("module", ["locust", "opscore_fast"])
def test_a_number_of_threads_that_is_none(tmp_path: Path, module: str) -> None:
    locustfile = write_agents(tmp_path, UPDATE)
    with running_standin() as standin, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPSCORE_FAST_THREADS", "many")
        command = ("-m", module, "-f", str(locustfile), "--headless", "--only-summary")
        ended = finish(
            python(*command, "--host", standin.url, "-u", "3", "-r", "3", "-t", "20s", cwd=tmp_path)
        )
    assert ended.code == 1, ended.output
    text = "OPSCORE_FAST_THREADS wants a whole number from 1 to 256, not 'many'"
    assert ended.output.count(text) == 1, ended.output
    assert "Traceback" not in ended.output


def test_listeners(tmp_path: Path) -> None:
    """No request is an event: who listens is told so, and HttpUser classes run in Python."""
    listener = tmp_path / "listener.py"
    listener.write_text(
        "from locust import events\n@events.request.add_listener\ndef on_request(**_):\n    pass\n"
    )
    output, requests, _, answered = run(
        tmp_path, Path(f"{SCENARIOS / 'scenario_0.py'},{listener}"), "--native"
    )
    assert "Scenario0User  in Python: " in output
    assert "listener.py:2: a listener of events.request" in output
    # a user in Python that is killed as it sends has its request counted by the server alone
    assert sum(requests.values()) <= sum(answered.values()) <= sum(requests.values()) + 8


def test_master_and_workers(tmp_path: Path) -> None:
    bound = distributed()
    locustfile = write_agents(tmp_path, UPDATE, "constant(0.01)")
    (tmp_path / "reported.py").write_text(REPORTED)
    (tmp_path / "ending.py").write_text(ENDING)
    files = ("-f", f"{locustfile},reported.py,ending.py")
    with running_standin() as standin:
        host = ("--host", standin.url)
        master = python(
            *("-m", "locust", *files, "--headless", "--only-summary", "--master", *host),
            *("--expect-workers", "2", "-u", "6", "-r", "6", *bound[:4]),
            cwd=tmp_path,
            UNTIL=f"count('{STATE}') > 100",
        )
        workers = [
            python("-m", "locust", *files, "--worker", *bound[4:], cwd=tmp_path) for _ in range(2)
        ]
        ended = [finish(process) for process in (master, *workers)]
        answered = by_name(standin.counters())
    assert [run.code for run in ended] == [0, 0, 0], ended[0].output + ended[1].output
    requests, failures = counts_of(tmp_path)
    assert requests == answered
    assert not any(failures.values())
    told = [run.output.count("Agent  natively: 1 task, 1 request") for run in ended]
    assert sorted(told) == [0, 0, 1]  # by the worker that came first
