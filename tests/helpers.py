"""What the tests of the user class share: both implementations, runs in this process, observations.

Import ``locust`` (which conftest.py does) before this module.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from locust import constant
from locust.env import Environment
from locust.exception import StopUser
from locust.stats import StatsEntry, StatsError

WAIT = 60.0
"""Seconds that a test waits for what must happen before it fails."""

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
"""Whether the extension runs under the address sanitizer."""


@dataclass(frozen=True)
class Users:
    """One implementation of one of Locust's user classes."""

    name: str
    module: str
    kind: str = "FastHttp"

    @property
    def user(self) -> Any:
        return getattr(importlib.import_module(self.module), f"{self.kind}User")

    @property
    def session(self) -> Any:
        return getattr(importlib.import_module(self.module), f"{self.kind}Session")

    def __str__(self) -> str:
        return self.name


LOCUST = Users("locust", "locust.contrib.fasthttp")
OURS = Users("ours", "opscore_fast")
LOCUST_HTTP = Users("locust", "locust.user.users", "Http")
OURS_HTTP = Users("ours", "opscore_fast", "Http")


def _chosen(*implementations: Users) -> tuple[Users, ...]:
    names = os.environ.get("OPSCORE_FAST_TEST_USERS", "locust,ours").split(",")
    return tuple(users for users in implementations if users.name in names)


ALL_USERS = _chosen(LOCUST, OURS)
"""Whose classes the tests run. Both, unless the tests themselves are worked on."""

ALL_HTTP_USERS = _chosen(LOCUST_HTTP, OURS_HTTP)
"""The same of HttpUser."""


Connect = Callable[..., Any]
"""Makes a client of a user class for a port or a URL: see `client_of`."""


def client_of(
    environment: Environment, name: str, target: Any, *, verify: bool = False, **attributes: Any
) -> Any:
    """The client of a user of one of our classes, by its name, for a port or a URL.

    attributes: of the user class. verify: of an HttpUser's client.
    """
    url = target if isinstance(target, str) else target.url
    base = getattr(importlib.import_module("opscore_fast"), name)
    client = type("TestedUser", (base,), {"host": url, **attributes})(environment).client
    if name == "HttpUser":
        client.verify = verify
    return client


def wait_until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until the condition holds and return its value; fail after `WAIT` seconds."""
    with gevent.Timeout(WAIT, AssertionError(f"waited in vain for {what or condition}")):
        while not (value := condition()):
            gevent.sleep(0.01)
    return value


@contextmanager
def local_environment(*user_classes: Any, **options: Any) -> Iterator[Environment]:
    """An environment with a local runner, which is quit in the end."""
    environment = Environment(user_classes=list(user_classes), **options)
    runner = environment.create_local_runner()
    try:
        yield environment
    finally:
        runner.quit()


def make_user(users: Users, url: str | None, environment: Environment, **attributes: Any) -> Any:
    """A user for tests that call its client by themselves."""
    made = type("TestedUser", (users.user,), {"host": url, **attributes})
    return made(environment)


def user_class(users: Users, url: str, **attributes: Any) -> Any:
    """A user class for a runner. Functions among the attributes become methods."""
    return type("TestedUser", (users.user,), {"host": url, "wait_time": constant(0), **attributes})


def token_task(count: int) -> Callable[[Any], None]:
    """A task that asks for so many tokens of its user's own, one after the other, and then stops
    the user; a response with another token is a failure."""

    def work(self: Any) -> None:
        for i in range(count):
            token = f"{id(self)}-{i}"
            with self.client.get(f"/token/{token}", name="token", catch_response=True) as response:
                if response.text != token:
                    response.failure("somebody else's answer")
        raise StopUser

    return work


def all_users_gone(environment: Environment) -> bool:
    assert environment.runner is not None
    return environment.runner.user_count == 0


@contextmanager
def running(environment: Environment, count: int) -> Iterator[None]:
    """Spawn that many users for the time of the block, then stop them."""
    runner = environment.runner
    assert runner is not None
    runner.start(count, spawn_rate=count)
    try:
        if runner.spawning_greenlet is not None:
            runner.spawning_greenlet.join(WAIT)
        yield
    finally:
        runner.stop()


def record_events(environment: Environment) -> list[dict[str, Any]]:
    """Attach a listener to ``events.request``; returns the list of what it is called with."""
    fired: list[dict[str, Any]] = []

    def on_request(**event: Any) -> None:
        fired.append(event)

    environment.events.request.add_listener(on_request)
    return fired


def entry_figures(entry: StatsEntry) -> dict[str, Any]:
    """The figures of a statistics entry that don't depend on how fast the machine is."""
    return {
        "num_requests": entry.num_requests,
        "num_none_requests": entry.num_none_requests,
        "num_failures": entry.num_failures,
        "total_content_length": entry.total_content_length,
        "response_times": sum(entry.response_times.values()),
        "num_reqs_per_sec": sum(entry.num_reqs_per_sec.values()),
        "num_fail_per_sec": sum(entry.num_fail_per_sec.values()),
    }


def statistics(environment: Environment) -> dict[str, Any]:
    """Everything in ``environment.stats`` that doesn't depend on how fast the machine is."""
    stats = environment.stats
    entries = {f"{method} {name}": entry for (name, method), entry in stats.entries.items()}
    return {
        "total": entry_figures(stats.total),
        "entries": {key: entry_figures(entry) for key, entry in sorted(entries.items())},
        "errors": sorted(
            (error.method, error.name, StatsError.parse_error(error.error), error.occurrences)
            for error in stats.errors.values()
        ),
    }


def assert_times_add_up(entry: StatsEntry) -> None:
    """Fail if the response times of an entry contradict one another."""
    assert sum(entry.response_times.values()) == entry.num_requests - entry.num_none_requests
    if not entry.num_requests:
        assert entry.min_response_time is None
        return
    assert entry.min_response_time is not None
    assert 0 < entry.min_response_time <= entry.avg_response_time <= entry.max_response_time
    assert entry.last_request_timestamp is not None
    assert entry.stats.start_time <= entry.last_request_timestamp
    assert int(entry.last_request_timestamp) == max(entry.num_reqs_per_sec)


def request_seen(request: Mapping[str, Any], ignore: tuple[str, ...] = ()) -> dict[str, Any]:
    """A request as a server read it: headers by lower-case name, without User-Agent."""
    headers: dict[str, list[str]] = {}
    for name, value in request["headers"]:
        if name.lower() not in ("user-agent", *ignore):
            headers.setdefault(name.lower(), []).append(value)
    same = {key: request[key] for key in ("method", "target", "version", "body")}
    return {**same, "headers": headers, "came_by": (request["connection"], request["number"])}


_held: list[socket.socket] = []


def free_port() -> int:
    """A port on 127.0.0.1 for a server that is to be started, where connections are refused until
    then.

    It is held as long as this process lives, so that the system gives it to nobody else before the
    server has it. A server can take it all the same, as servers set SO_REUSEADDR.
    """
    held = socket.socket()
    _held.append(held)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    return port


def distributed() -> tuple[str, ...]:
    """Locust's options for a master on a port of its own, and for workers to find it there."""
    port = str(free_port())
    bound = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    return *bound, "--master-host", "127.0.0.1", "--master-port", port


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port on 127.0.0.1 that refuses connections, as it is taken but nobody listens on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def stalled_port() -> Iterator[int]:
    """A port on 127.0.0.1 that never answers a connection attempt, as its backlog is full."""
    with socket.socket() as listener, ExitStack() as held:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def open_files() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


# Python and Locust in processes of their own


def run_script(script: str, *arguments: str) -> str:
    """Run Python code in a process of its own; returns what it printed."""
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@dataclass(frozen=True)
class Run:
    """A process that has ended."""

    code: int
    output: str

    @property
    def tracebacks(self) -> int:
        """How many stand in its output, but for those of a known end of a run: Locust's CSV writer
        is not stopped, and may find its files closed when it writes once more."""
        known = self.output.count("ValueError: I/O operation on closed file.")
        return self.output.count("Traceback (most recent call last)") - known


_started: list[subprocess.Popen[str]] = []


def python(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start this Python with additions to the environment; its output and errors come together by
    stdout. It is killed with the end of the test, if it still runs then."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "160", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _started.append(process)
    return process


def kill_started() -> None:
    """Kill what `python` has started and still runs, as a failed test has not waited for it."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


PATIENT = """
from collections import Counter

import gevent
import locust.runners
import locust.stats

locust.runners.HEARTBEAT_LIVENESS = 60
locust.runners.WORKER_REPORT_INTERVAL = 0.5
locust.stats.CSV_STATS_INTERVAL_SEC = 0.1

def stop_workers(environment, runner):
    runner.stop()
    reports = Counter()
    count_report = lambda client_id, **_: reports.update([client_id])
    environment.events.worker_report.add_listener(count_report)
    while any(reports[client] < 2 for client in runner.clients):  # one may have been under way
        gevent.sleep(0.1)
"""
"""The beginning of a second locustfile: no worker is taken for missing on a machine that is busy,
and figures are reported and written often. `stop_workers` stops a master's workers and waits until
it has their last figures, for which `quit` leaves them half a second."""

ENDING = (
    PATIENT
    + """
import os
from locust import events
from locust.log import get_logs

@events.init.add_listener
def begin(environment, runner, **_):
    if not isinstance(runner, locust.runners.WorkerRunner):
        gevent.spawn(end, environment, runner)

def end(environment, runner):
    def count(name=None):
        entries = runner.stats.entries.values()
        return sum(entry.num_requests for entry in entries if name in (None, entry.name))

    def told(text):
        return any(text in line for line in get_logs())

    while not eval(os.environ["UNTIL"], {"count": count, "told": told}):
        gevent.sleep(0.1)
    gevent.sleep(0.5)  # for the CSV files, and for what should not come
    if isinstance(runner, locust.runners.MasterRunner):
        stop_workers(environment, runner)
    runner.quit()
"""
)
"""A second locustfile, which ends a run when it has come so far, and not after a time.

UNTIL says when, an expression with `count(NAME)`, the requests of that name, `count()`, all of
them, and `told(TEXT)`, whether that was logged. The CSV files have all that was counted by then.
"""


def finish(process: subprocess.Popen[str], seconds: float = 120.0) -> Run:
    """Wait for a process to end; it is killed, and the test fails, if that takes too long."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"still running after {seconds} s:\n{output}") from None
    return Run(process.returncode, output)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of one of Locust's CSV files."""
    import csv

    with path.open(newline="") as file:
        return list(csv.DictReader(file))
