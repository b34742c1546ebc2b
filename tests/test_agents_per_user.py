"""Users that stand for several agents: real locust runs against the stand-in, exact counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import distributed, finish, python
from helpers_runs import explained, run
from helpers_standin import NOTIFY, STATE, running_standin

LOCUSTFILE = """
import os, random, time, uuid
import gevent
from datetime import UTC, datetime
from locust import constant, events, task
from locust.exception import StopUser
from opscore_fast import {user}

made = []

class Agent({user}):
    wait_time = constant({wait})
    {attributes}
    registered = ""

    def notify(self, event_type):
        details = {{"agentId": self.agent_id, "agentName": "a", "version": "1", "capabilities": [],
                    "contactEndpoint": "http://a.invalid/", "metadata": {{}}}}
        return self.client.post("/v1/opscore/internal/agent/notify", name=event_type,
                                json={{"event_type": event_type, "agent_details": details}})

    def on_start(self):
        self.agent_id = f"agent-{{uuid.uuid4()}}"
        {python}
        {headers}
        self.notify("REGISTER")
        {on_start}

    @task
    def update(self):
        self.client.post(f"/v1/opscore/agent/{{self.agent_id}}/state", name="state", {sent}
            json={{"agentId": self.agent_id, "timestamp": datetime.now(UTC).isoformat(),
                  "state": random.choice(["idle", "active"])}})
        {task}
    {on_stop}
"""
ON_STOP = """
    def on_stop(self):
        print(f"\\non_stop of {self.agent_id}", flush=True)
        self.notify("DEREGISTER")
"""
IN_PYTHON = "made.append(self.agent_id); self.number = len(made)"
"""What no on_start may have that is to run natively."""


def write(
    folder: Path,
    attributes: str = "agents_per_user = 50",
    *,
    user: str = "AgentUser",
    wait: float = 0.05,
    python: str = "",
    on_start: str = "",
    task: str = "",
    on_stop: str = "",
) -> Path:
    """A locustfile whose agents register, send their state, and may deregister."""
    fast = user == "AgentUser"
    locustfile = folder / "locustfile.py"
    locustfile.write_text(
        LOCUSTFILE.format(
            user=user,
            attributes=attributes,
            wait=wait,
            python=python,
            headers='self.client.headers["Authorization"] = "Bearer test-api-key"' if fast else "",
            sent="" if fast else 'headers={"Authorization": "Bearer test-api-key"},',
            on_start=on_start,
            task=task,
            on_stop=on_stop,
        )
    )
    return locustfile


def counted(
    folder: Path, locustfile: Path, *options: str, until: str = "count('REGISTER') == 200"
) -> tuple[str, dict[str, int], int]:
    """Run a locustfile with 4 users; returns its output and its requests by name.

    Checks that nothing has failed, and that the stand-in has answered as many as were counted.
    """
    given = options or ("-u", "4", "-r", "4")
    output, requests, failures, answered = run(
        folder, locustfile, *given, module="locust", until=until
    )
    assert not any(failures.values()), output
    names = {name: count for (_, name), count in requests.items()}
    notified = names.get("REGISTER", 0) + names.get("DEREGISTER", 0)
    assert answered.get(("POST", NOTIFY), 0) == notified, output
    assert answered.get(("POST", STATE), 0) == names.get("state", 0), output
    assert "Traceback" not in output, output
    return output, names, notified


def stopped_ids(output: str) -> list[str]:
    return re.findall(r"on_stop of (agent-[-0-9a-f]{36})", output)


def test_on_start_in_python(tmp_path: Path) -> None:
    """50 agents for each of 4 users; each registers once, and its id is what it uses."""
    until = "count('REGISTER') == 200 and count('state') > 1000"
    output, names, _ = counted(tmp_path, write(tmp_path, python=IN_PYTHON), until=until)
    assert "Agent: 50 agents for each user" in output
    assert names["REGISTER"] == 200
    assert names["state"] > 1000  # of agents that the stand-in does not know it would be 404


def test_on_stop_in_python(tmp_path: Path) -> None:
    """Each agent's on_stop knows what its on_start has set, and uses its client."""
    locustfile = write(
        tmp_path, python=IN_PYTHON, on_start='self.registered = "yes"', on_stop=ON_STOP
    )
    output, names, _ = counted(tmp_path, locustfile)
    ids = stopped_ids(output)
    assert names["REGISTER"] == names["DEREGISTER"] == len(ids) == len(set(ids)) == 200


def test_fast_http_user(tmp_path: Path) -> None:
    locustfile = write(tmp_path, user="NativeFastHttpUser", python=IN_PYTHON, on_stop=ON_STOP)
    text = locustfile.read_text().replace(
        "from opscore_fast import", "from opscore_fast.native.agents import"
    )
    locustfile.write_text(text)
    output, names, _ = counted(tmp_path, locustfile)
    assert names["REGISTER"] == names["DEREGISTER"] == len(set(stopped_ids(output))) == 200


def test_stop_user_in_on_start(tmp_path: Path) -> None:
    """It ends one agent, with its on_stop; another exception ends one without; the user goes on."""
    on_start = """
        if self.number % 10 == 3:
            raise StopUser()
        if self.number % 10 == 7:
            raise RuntimeError("not today")
"""
    locustfile = write(tmp_path, python=IN_PYTHON, on_start=on_start, on_stop=ON_STOP)
    text = (
        locustfile.read_text()
        + """
errors = []

@events.user_error.add_listener
def on_error(exception, **_):
    errors.append(exception)

@events.quitting.add_listener
def tell(environment, **_):
    environment.process_exit_code = 0
    print(f"errors: {len(errors)}", flush=True)
"""
    )
    locustfile.write_text(text)
    output, requests, failures, answered = run(
        *(tmp_path, locustfile, "-u", "4", "-r", "4"),
        module="locust",
        until="count('REGISTER') == 200",
    )
    assert not any(failures.values())
    assert requests["POST", "REGISTER"] == 200
    assert len(set(stopped_ids(output))) == requests["POST", "DEREGISTER"] == 180
    assert answered["POST", NOTIFY] == 380
    assert "errors: 20" in output
    assert output.count("Traceback") <= 8  # one of each kind for each user


def test_stop_user_in_a_task(tmp_path: Path) -> None:
    """It ends an agent; a user ends when all of its agents have."""
    quits = """        made.append(None)
        made.count(None) == 100 and gevent.spawn(self.environment.runner.quit)
"""
    on_stop = ON_STOP + quits
    locustfile = write(tmp_path, python=IN_PYTHON, task="raise StopUser()", on_stop=on_stop)
    _, names, _ = counted(tmp_path, locustfile, "-u", "2", "-r", "2", "-t", "100s", until="")
    assert names["REGISTER"] == names["state"] == names["DEREGISTER"] == 100


@pytest.mark.parametrize("options", [(), ("--stop-timeout", "10")])
def test_stop_while_on_starts_are_under_way(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Those under way come to their end; no other begins."""
    quits = "gevent.spawn(self.environment.runner.quit)"
    locustfile = write(
        *(tmp_path, "agents_per_user = 5000"),
        python=f"{IN_PYTHON}; self.number == 250 and {quits}",
        on_start="time.sleep(0.5)",
        on_stop=ON_STOP,
    )
    given = ("-u", "2", "-r", "2", "-t", "100s", *options)
    output, names, _ = counted(tmp_path, locustfile, *given, until="")
    assert 250 <= names["REGISTER"] < 10_000
    assert names["REGISTER"] == names["DEREGISTER"] == len(set(stopped_ids(output)))


SHAPE = """
from locust import LoadTestShape

class UpAndDown(LoadTestShape):
    def tick(self):
        made, ended = (
            sum(e.num_requests for e in self.runner.stats.entries.values() if e.name == name)
            for name in ("REGISTER", "DEREGISTER")
        )
        return (4, 4) if made < 200 else (1, 4) if ended < 150 else None
"""


@pytest.mark.parametrize("python", ["", IN_PYTHON])
def test_ramp_down(tmp_path: Path, python: str) -> None:
    """A user that is taken away takes its agents with it."""
    locustfile = write(tmp_path, python=python, on_stop=ON_STOP)
    locustfile.write_text(locustfile.read_text() + SHAPE)
    output, names, _ = counted(tmp_path, locustfile, "-t", "100s", until="")
    assert names["REGISTER"] == names["DEREGISTER"] == len(set(stopped_ids(output))) == 200


def test_processes(tmp_path: Path) -> None:
    options = ("-u", "4", "-r", "4", "--processes", "2", *distributed())
    _, names, _ = counted(tmp_path, write(tmp_path, on_stop=ON_STOP), *options)
    assert names["REGISTER"] == names["DEREGISTER"] == 200


def test_on_start_ends_a_worker(tmp_path: Path) -> None:
    """What it has counted reaches its master, which ends without it."""
    on_start = "if self.number == 2: self.environment.runner.quit()"
    locustfile = write(tmp_path, python=IN_PYTHON, on_start=on_start, on_stop=ON_STOP)
    options = ("-u", "2", "-r", "2", "-t", "100s", "--processes", "1", *distributed())
    output, names, _ = counted(tmp_path, locustfile, *options, until="")
    assert "The last worker quit" in output
    assert names["REGISTER"] == names["DEREGISTER"] == len(set(stopped_ids(output))) >= 2


# on_start natively


@pytest.mark.parametrize(
    ("attributes", "agents"),
    [("agents_per_user = 50", 200), ("native_on_start = True", 4)],
)
def test_on_start_natively(tmp_path: Path, attributes: str, agents: int) -> None:
    """Each agent registers once; on_stop in Python has the id that its agent has made."""
    locustfile = write(tmp_path, attributes, on_start='self.registered = "yes"', on_stop=ON_STOP)
    until = f"count('REGISTER') == {agents} and count('state') > {4 * agents}"
    output, names, _ = counted(tmp_path, locustfile, until=until)
    assert "Agent  natively: 1 task, on_start, 2 requests" in output
    ids = stopped_ids(output)
    assert names["REGISTER"] == names["DEREGISTER"] == len(ids) == len(set(ids)) == agents
    assert names["state"] > 4 * agents  # of agents that the stand-in does not know it would be 404


OWN_INIT = """agents_per_user = 50
    def __init__(self, environment):
        super().__init__(environment)
        self.own = uuid.uuid4().hex
"""


def test_what_init_sets_is_each_agents_own(tmp_path: Path) -> None:
    """Agents whose on_start runs natively begin with what an instance of their own has."""
    on_stop = ON_STOP + "        print(f'own of {self.own}', self.agent_id.endswith(self.own))"
    locustfile = write(tmp_path, OWN_INIT, on_start="self.registered = self.own", on_stop=on_stop)
    text = locustfile.read_text().replace("agent-{uuid.uuid4()}", "agent-{'x' * 4}{self.own}")
    locustfile.write_text(text)
    output, names, _ = counted(tmp_path, locustfile)
    assert "Agent  natively: 1 task, on_start, 2 requests" in output
    ids = set(re.findall(r"on_stop of agent-xxxx([0-9a-f]{32})", output))
    owns = re.findall(r"own of ([0-9a-f]{32}) True", output)
    assert len(ids) == len(owns) == names["REGISTER"] == names["DEREGISTER"] == 200
    assert ids == set(owns)


def test_on_start_in_python_is_told(tmp_path: Path) -> None:
    """Where it can't be recorded, with the line and the reason, once."""
    locustfile = write(tmp_path, python=IN_PYTHON)
    line = 1 + next(
        i for i, text in enumerate(locustfile.read_text().split("\n")) if IN_PYTHON in text
    )
    output, _, _ = counted(tmp_path, locustfile)
    said = rf"Agent: on_start runs in Python for each of 50 agents: .*locustfile\.py:{line}: "
    assert len(re.findall(said, output)) == 1, output
    assert "Agent  natively: 1 task, 1 request" in output


def test_on_start_that_has_to_be_native(tmp_path: Path) -> None:
    locustfile = write(tmp_path, "native_on_start = True", python=IN_PYTHON)
    output = refused(tmp_path, locustfile)
    assert re.search(r"Agent can't run natively: .*locustfile\.py:\d+: ", output), output


def test_tasks_in_python_behind_an_on_start_that_was_to_be_native(tmp_path: Path) -> None:
    """A class of --native whose tasks can't be recorded: each user's on_start runs all the same."""
    locustfile = write(tmp_path, "native_on_start = True", user="HttpUser", task="open(os.devnull)")
    text = locustfile.read_text().replace("opscore_fast import HttpUser", "locust import HttpUser")
    locustfile.write_text(text)
    until = "count('REGISTER') == 3 and count('state') >= 3"
    output, requests, _, answered = run(
        tmp_path, locustfile, "--native", "-u", "3", "-r", "1", until=until
    )
    assert "Agent  in Python: " in output
    assert requests["POST", "REGISTER"] == answered["POST", NOTIFY] == 3
    assert requests["POST", "state"] >= 3
    assert "Traceback" not in output


def test_stop_user_in_a_native_on_start(tmp_path: Path) -> None:
    """It ends one agent, with its on_stop; the user goes on as long as it has others."""
    on_start = "if random.random() < 0.5: raise StopUser()"
    locustfile = write(tmp_path, "agents_per_user = 100", on_start=on_start, on_stop=ON_STOP)
    _, names, _ = counted(tmp_path, locustfile, until="count('REGISTER') == 400")
    assert names["REGISTER"] == names["DEREGISTER"] == 400


def test_native_on_start_that_raises(tmp_path: Path) -> None:
    """It ends the agent, without its on_stop."""
    on_start = 'if random.random() < 0.5: raise RuntimeError("not today")'
    locustfile = write(tmp_path, "agents_per_user = 100", on_start=on_start, on_stop=ON_STOP)
    output, requests, failures, answered = run(
        *(tmp_path, locustfile, "-u", "4", "-r", "4"),
        module="locust",
        code=1,
        until="count('REGISTER') == 400",
    )
    assert not any(failures.values())
    assert requests["POST", "REGISTER"] == 400
    ids = stopped_ids(output)
    assert 0 < len(ids) == len(set(ids)) == requests["POST", "DEREGISTER"] < 400
    assert answered["POST", NOTIFY] == 400 + len(ids)
    assert "RuntimeError: not today" in output


def test_stop_while_native_on_starts_are_under_way(tmp_path: Path) -> None:
    locustfile = write(tmp_path, "agents_per_user = 3000", on_start="time.sleep(0.5)")
    _, names, _ = counted(
        tmp_path, locustfile, "-u", "2", "-r", "2", until="count('REGISTER') >= 200"
    )
    assert 200 <= names["REGISTER"] <= 6000


def test_explain_native_on_start(tmp_path: Path) -> None:
    code, output = explained(write(tmp_path, on_start="time.sleep(0.1)"))
    assert code == 0, output
    assert "  at first on_start\n" in output
    assert "POST /v1/opscore/internal/agent/notify as REGISTER with " in output


def test_explain_on_start_in_python(tmp_path: Path) -> None:
    code, output = explained(write(tmp_path, python=IN_PYTHON))
    assert code == 0, output
    assert "Agent: on_start runs in Python for each agent: " in output
    assert "at first" not in output


# Settings


@pytest.mark.parametrize("value", ["0", "'many'", "2.5", "True", "-1", "None"])
def test_bad_values(tmp_path: Path, value: str) -> None:
    """They end the run at its start, with one message."""
    output = refused(tmp_path, write(tmp_path, f"agents_per_user = {value}"))
    said = f"Agent can't run natively: agents_per_user is {eval(value)!r}: a whole number from 1"
    assert output.count(said) == 1, output


def test_bad_native_on_start(tmp_path: Path) -> None:
    output = refused(tmp_path, write(tmp_path, "native_on_start = 'yes'"))
    said = "Agent can't run natively: native_on_start is 'yes': True, False or None is wanted"
    assert output.count(said) == 1, output


def refused(tmp_path: Path, locustfile: Path) -> str:
    """Run a locustfile that ends before anything is sent; returns its output."""
    with running_standin() as standin:
        command = ("-m", "locust", "-f", str(locustfile), "--headless", "--only-summary")
        ended = finish(
            python(*command, "--host", standin.url, "-u", "4", "-r", "4", "-t", "60s", cwd=tmp_path)
        )
        assert "POST /v1/opscore/internal/agent/notify" not in standin.counters()
    assert ended.code == 1, ended.output
    assert "Traceback" not in ended.output
    return ended.output
