"""How runs end whose agents end them: Runner.quit() and stop() from on_start and on_stop.

As main() does, each test waits for the runner's greenlets, and looks at what is counted then.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from helpers import WAIT, local_environment, wait_until
from locust.env import Environment
from servers import Listener

from opscore_fast.native import agents

TEXT = """
import gevent, gevent.event, time
from locust import constant, events, task
from locust.exception import StopTest, StopUser
from opscore_fast import AgentUser

done, waits = [], gevent.event.Event()

class Agent(AgentUser):
    wait_time = constant(0.01)
    {attributes}

    def come(self, what, number, call):
        done.append(what)
        if done.count(what) == number:
            call(self)
            done.append("behind")

    def on_start(self):
        self.client.get("/ok", name="start")
        {on_start}

    @task
    def work(self):
        self.client.get("/ok", name="work")
        {task}

    def on_stop(self):
        self.client.get("/ok", name="stop")
        {on_stop}
        time.sleep(0.05)
        self.client.get("/ok", name="stopped")
"""
PYTHON = "agents_per_user = 4; native_on_start = False"
NATIVELY = "agents_per_user = 4"
ONE = "agents_per_user = 1"
QUIT, STOP = "self.environment.runner.quit()", "self.environment.runner.stop()"
SPAWN = "gevent.spawn(self.environment.runner.quit)"
JOIN = SPAWN + ".join()"
_numbers = itertools.count()


def module_of(folder: Path, attributes: str, **places: str) -> Any:
    """A module with the class Agent; places: what its methods do besides."""
    path = folder / f"agents_{next(_numbers)}.py"
    given = {name: places.get(name) or "pass" for name in ("on_start", "task", "on_stop")}
    path.write_text(TEXT.format(attributes=attributes, **given))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def once(what: str, call: str, number: int = 1) -> str:
    """What a method says that does something when it is called for the number-th time."""
    return f"self.come({what!r}, {number}, lambda self: {call})"


@contextmanager
def begun(app: Listener, module: Any, users: int, stop_timeout: float) -> Iterator[Environment]:
    """A run of the module's class."""
    options = {"host": app.url, "stop_timeout": stop_timeout}
    with local_environment(module.Agent, **options) as environment:
        assert environment.runner is not None
        environment.runner.start(users, spawn_rate=users)
        yield environment


def until_ended(environment: Environment) -> None:
    assert environment.runner is not None
    with gevent.Timeout(WAIT, AssertionError("the run did not end")):
        environment.runner.greenlet.join()


def counted(app: Listener, environment: Environment) -> Counter[str]:
    """The requests by name. The server has answered as many."""
    entries = environment.stats.entries.values()
    names = Counter({entry.name: entry.num_requests for entry in entries})
    assert app.counts()["requests"] == names.total()
    assert not environment.stats.errors
    return names


def same(names: Counter[str], *wanted: str) -> int:
    """How many requests there were of each of these names, which is the same."""
    (number,) = {names[name] for name in wanted}
    return number


def until_working(environment: Environment) -> None:
    wait_until(lambda: environment.stats.get("work", "GET").num_requests, "a task's request")


# In on_start


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("stop_timeout", [0, 60])
@pytest.mark.parametrize("call", [QUIT, SPAWN, JOIN])
def test_on_start_ends_the_run(
    app: Listener, tmp_path: Path, call: str, stop_timeout: float, number: int
) -> None:
    """Of the user's first agent or of another: no on_start is cut off, and each has its on_stop."""
    module = module_of(tmp_path, PYTHON, on_start=once("on_start", call, number))
    with begun(app, module, 2, stop_timeout) as environment:
        until_ended(environment)
        same(counted(app, environment), "start", "stop", "stopped")
    assert module.done.count("on_start") >= number
    assert ("behind" in module.done) is (call != QUIT)  # as Locust kills who calls it


def test_on_start_of_one_agent_ends_the_run(app: Listener, tmp_path: Path) -> None:
    module = module_of(tmp_path, ONE, on_start=once("on_start", QUIT, 2))
    with begun(app, module, 2, 60) as environment:
        until_ended(environment)
        assert same(counted(app, environment), "start", "stop", "stopped") == 2
    assert module.done == ["on_start"] * 2


def test_on_start_stops_the_users(app: Listener, tmp_path: Path) -> None:
    """The runner goes on without any."""
    module = module_of(tmp_path, PYTHON, on_start=once("on_start", STOP, 2))
    with begun(app, module, 2, 0) as environment:
        assert environment.runner is not None
        runner = environment.runner
        wait_until(lambda: runner.state == "stopped", "the users' end")
        same(counted(app, environment), "start", "stop", "stopped")
        assert not runner.user_count
        assert len(runner.greenlet) > 0


def test_quit_after_an_exception_of_on_start(app: Listener, tmp_path: Path) -> None:
    """By a listener, as those have it who end a run with its first error."""
    module = module_of(tmp_path, PYTHON, on_start="assert len(done) < 2; done.append(1)")
    with begun(app, module, 1, 0) as environment:
        runner = environment.runner
        environment.events.user_error.add_listener(lambda **_: runner.quit())
        until_ended(environment)
        assert same(counted(app, environment), "start", "stop", "stopped") == 4


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("number", [1, 3])
def test_an_agent_that_stops_itself_in_on_start(
    app: Listener, tmp_path: Path, number: int, force: bool
) -> None:
    """It ends alone, with its on_stop; the others go on."""
    on_start = once("on_start", f"self.stop(force={force})", number)
    module = module_of(tmp_path, PYTHON, on_start=on_start)
    with begun(app, module, 1, 0) as environment:
        until_working(environment)
        wait_until(lambda: environment.stats.get("stopped", "GET").num_requests)
        wait_until(lambda: environment.stats.get("start", "GET").num_requests == 4)
        assert environment.stats.get("stop", "GET").num_requests == 1
        assert environment.runner is not None
        environment.runner.quit()
        assert same(counted(app, environment), "start", "stop", "stopped") == 4
    assert ("behind" in module.done) is not force


@pytest.mark.parametrize("stop_timeout", [0, 60])
def test_stop_while_the_first_on_start_is_under_way(
    app: Listener, tmp_path: Path, stop_timeout: float
) -> None:
    """It comes to its end, and no other begins."""
    module = module_of(tmp_path, PYTHON, on_start="done.append(1); waits.wait()")
    with begun(app, module, 2, stop_timeout) as environment:
        assert environment.runner is not None
        wait_until(lambda: len(module.done) == 2)
        ending = gevent.spawn(environment.runner.quit)
        wait_until(lambda: environment.runner.state == "cleanup")
        gevent.sleep(0.05)
        module.waits.set()
        ending.join()
        assert same(counted(app, environment), "start", "stop", "stopped") == 2


def test_no_on_stop_of_who_has_not_begun(app: Listener, tmp_path: Path) -> None:
    module = module_of(tmp_path, NATIVELY)
    with agents._lock, begun(app, module, 2, 0) as environment:
        gevent.sleep(0.05)  # it waits for the lock, to record its on_start
        assert environment.runner is not None
        environment.runner.quit()
        assert not counted(app, environment)


def test_on_stop_of_who_is_stopped_in_a_native_on_start(app: Listener, tmp_path: Path) -> None:
    """It knows what on_start had set by then."""
    on_start = "self.state = 'waits'; time.sleep(60); self.state = 'ready'"
    attributes = f"{NATIVELY}; state = 'new'"
    module = module_of(tmp_path, attributes, on_start=on_start, on_stop="done.append(self.state)")
    with begun(app, module, 2, 0) as environment:
        wait_until(lambda: environment.stats.get("start", "GET").num_requests == 8)
        assert environment.runner is not None
        environment.runner.quit()
        assert same(counted(app, environment), "start", "stop", "stopped") == 8
    assert module.done == ["waits"] * 8


# In tasks


def test_quit_after_an_exception_of_a_task(app: Listener, tmp_path: Path) -> None:
    """A listener may wait, and end the run."""
    told: list[str] = []
    module = module_of(tmp_path, NATIVELY, task="raise ValueError('no')")
    with begun(app, module, 2, 0) as environment:
        runner = environment.runner

        def end(exception: Exception, **_: Any) -> None:
            gevent.sleep(0.001)
            told.append(str(exception))
            runner.quit()

        environment.events.user_error.add_listener(end)
        until_ended(environment)
        assert same(counted(app, environment), "start", "stop", "stopped") == 8
    assert set(told) == {"no"}


# In on_stop


@pytest.mark.parametrize("attributes", [PYTHON, NATIVELY, ONE])
@pytest.mark.parametrize("stop_timeout", [0, 60])
@pytest.mark.parametrize("call", [QUIT, JOIN, STOP])
@pytest.mark.parametrize("ends", [False, True])
def test_on_stops_end_the_run(
    app: Listener, tmp_path: Path, ends: bool, call: str, stop_timeout: float, attributes: str
) -> None:
    """All of them, when the run ends or when their agents end by themselves: none is cut off."""
    on_stop, task = f"{call}; done.append('behind')", "raise StopUser()" if ends else ""
    module = module_of(tmp_path, attributes, task=task, on_stop=on_stop)
    number = 2 if attributes == ONE else 8
    with begun(app, module, 2, stop_timeout) as environment:
        until_working(environment)
        if not ends or call == STOP:
            gevent.spawn(environment.runner.quit)
        until_ended(environment)
        names = counted(app, environment)
        stopped = same(names, "start", "stop", "stopped")  # of those that have begun
        assert 0 < stopped == module.done.count("behind") <= number


def test_an_on_stop_that_never_ends(app: Listener, tmp_path: Path) -> None:
    """It is given up when the run is asked to end a second time, as by SIGTERM."""
    module = module_of(tmp_path, NATIVELY, on_stop="done.append(1); waits.wait()")
    with begun(app, module, 1, 0) as environment:
        until_working(environment)
        assert environment.runner is not None
        first = gevent.spawn(environment.runner.quit)
        wait_until(lambda: len(module.done) == 4)
        assert not first.ready()
        with gevent.Timeout(WAIT, AssertionError("the run did not end")):
            environment.runner.quit()
        assert environment.runner.state == "stopped"
        module.waits.set()
        first.join()
