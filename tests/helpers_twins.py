"""One task run twice: by Locust in Python, and recorded and run by a native thread.

Both runs send to the same server, which answers by a script; what it received, what Locust's
statistics have, what was raised and what the user's attributes are afterwards can be compared.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

import copy
import importlib.util
import itertools
import select
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import gevent
import pytest
from gevent.server import StreamServer
from helpers import WAIT
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser
from locust.stats import RequestStats, StatsError

from opscore_fast._core import Fleet
from opscore_fast._core import Plan as Sealed
from opscore_fast.native import agents, tallies
from opscore_fast.native.remembered import cookies_of
from opscore_fast.recording.plan import NOTHING, Instruction, Op, Pace, Plan, Program, TaskSet, Wait
from opscore_fast.recording.record import put_back, record, slot_values
from opscore_fast.recording.refusal import NotRecordable

HEAD = """
import json, logging, math, os, random, re, string, time, uuid
import datetime as dt
from datetime import date, datetime, timedelta, timezone
from random import choice, randint
from locust import SequentialTaskSet, TaskSet, between, constant, constant_pacing, tag, task
from locust.exception import (
    CatchResponseError, InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately,
    ResponseError, StopUser,
)
from {package} import {user}

"""

_names = itertools.count()

STYLES = ("HttpUser", "FastHttpUser")

ATTRIBUTES: dict[str, Any] = {
    "n": 7, "f": 2.75, "w": 5, "big": 2**62, "yes": True, "none": None, "token": "tok-en",
    "d": "41",
    "agent_id": 'a"1', "data": {"a": 1, "b": ["x", "y"]}, "numbers": [1, 2, 3], "sp": "a b",
    "uml": "ü%", "q": "a?b&c=d#e", "dots": "..", "brackets": "[x]%41", "store": "berlin",
    "user_": "bob", "slots": "s", "rt": "r", "hdrs": {"X-H": "1"},
}  # fmt: skip

# Headers that are each client's own.
_OWN = {"user-agent", "host", "connection", "accept-encoding"}


@dataclass
class Answer:
    """A response of the server's script."""

    status: int = 200
    body: str | bytes = ""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = "OK"
    at: str = ""
    """The only path that gets it; "": any."""

    def raw(self, method: str) -> bytes:
        body = self.body.encode() if isinstance(self.body, str) else self.body
        lines = [f"HTTP/1.1 {self.status} {self.reason}", f"Content-Length: {len(body)}"]
        names = {name.lower() for name, _ in self.headers}
        if "content-type" not in names:
            lines.append("Content-Type: application/json; charset=utf-8")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else body)


JSON = (
    '{"status": "ok", "n": 3, "list": [{"id": "x\\"y"}, 5], "none": null, "yes": true, "f": 1.5,'
    ' "s": "<x>", "empty": "", "e": [], "o": {}}'
)
ANSWERS = [
    Answer(200, JSON, at="/r"),
    Answer(404, "no", reason="Not Found", at="/r"),
    Answer(200, "<html>", at="/r"),
    Answer(500, '{"status": "bad"}', reason="Broken", at="/r"),
    Answer(204, "", at="/r"),
    Answer(200, JSON, (("X-Id", "5"), ("Set-Cookie", "sid=abc; Path=/")), at="/r"),
]


@dataclass(frozen=True)
class Received:
    """A request as the server has got it; headers of the client's own are left out."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Server:
    """Answers by a script, and what is not in it with 200; keeps what it gets."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.script: list[Answer] = []
        self._run = 0
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def begin(self, script: list[Answer]) -> None:
        """Forget what was received; what connections of before still bring is not kept."""
        self.script, self.received = list(script), []
        self._run += 1

    def close(self) -> None:
        self._server.stop()

    def _serve(self, sock: Any, _: Any) -> None:
        run = self._run
        with suppress(ConnectionError), sock, sock.makefile("rb") as file:
            while line := file.readline():
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers = []
                while (line := file.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode("latin-1").partition(":")
                    headers.append((name.lower(), value.strip()))
                known = dict(headers)
                body = file.read(int(known.get("content-length", 0)))
                if run != self._run:
                    break
                kept = tuple(sorted(item for item in headers if item[0] not in _OWN))
                self.received.append(Received(method, target, kept, body))
                sock.sendall(self._answer(target).raw(method))

    def _answer(self, target: str) -> Answer:
        path = target.partition("?")[0]
        for answer in self.script:
            if answer.at in ("", path):
                self.script.remove(answer)
                return answer
        return Answer()


@dataclass
class Seen:
    """What a run came to."""

    received: list[Received] = field(default_factory=list)
    requests: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """By method and name: count and bytes."""
    failures: list[tuple[str, str, str, int]] = field(default_factory=list)
    raised: list[tuple[str, str]] = field(default_factory=list)
    """Type and text."""
    lines: list[int] = field(default_factory=list)
    """Where in the locustfile, of each of raised."""
    attributes: dict[str, Any] = field(default_factory=dict)

    def take(self, stats: RequestStats) -> None:
        self.raised.sort()  # threads count the same ones together
        self.lines.sort()
        self.requests = {
            (entry.method, entry.name): (entry.num_requests, entry.total_content_length)
            for entry in stats.entries.values()
        }
        self.failures = sorted(
            (error.method, error.name, StatsError.parse_error(error.error), error.occurrences)
            for error in stats.errors.values()
        )


def module_of(folder: Path, text: str, package: str, user: str) -> ModuleType:
    """Import a locustfile: HEAD and the text."""
    name = f"twin_{next(_names)}"
    path = folder / f"{name}.py"
    path.write_text(HEAD.format(package=package, user=user) + dedent(text))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def class_of(base: str, body: str) -> str:
    """Return the text of a user class U."""
    lines = dedent(body).strip("\n").split("\n")
    return f"class U({base}):\n    wait_time = constant(0)\n" + "".join(
        f"    {line}\n" for line in lines
    )


def new_user(module: ModuleType, server: Server, attributes: dict[str, Any]) -> Any:
    """Return a user of the module's class U, whose on_start has run."""
    module.U.host = server.url
    user = module.U(Environment(user_classes=[module.U], stop_timeout=None))
    for name, value in attributes.items():
        setattr(user, name, value)
    user.on_start()
    return user


def _attributes(user: Any, server: Server) -> dict[str, Any]:
    return {
        name: value
        for name, value in user.__dict__.items()
        if name not in ("client", "environment", "on_start") and not name.startswith("_")
    }


def _line(module: ModuleType, tb: Any) -> int:
    return [
        entry.lineno or 0 for entry in traceback.extract_tb(tb) if entry.filename == module.__file__
    ][-1]


def _by_locust(
    server: Server,
    module: ModuleType,
    attributes: dict[str, Any],
    script: list[Answer],
    times: int | None,
) -> Seen:
    user = new_user(module, server, attributes)
    server.begin(script)
    seen, stats = Seen(), RequestStats()

    def count(
        request_type: str, name: str, response_time: float, response_length: int, **more: Any
    ) -> None:
        stats.log_request(request_type, name, int(response_time), response_length)
        if more.get("exception"):
            stats.log_error(request_type, name, more["exception"])

    def error_of(exception: Exception, tb: Any) -> None:
        seen.raised.append((type(exception).__name__, str(exception)))
        seen.lines.append(_line(module, tb))

    user.environment.events.request.add_listener(count)
    user.environment.events.user_error.add_listener(
        lambda exception, tb, **_: error_of(exception, tb)
    )
    if times is None:
        user.on_start = lambda: None  # has run
        with gevent.Timeout(WAIT):
            user.run()
    for _ in range(times or 0):
        try:
            module.U.tasks[0](user)
        except StopUser:
            break
        except (RescheduleTask, RescheduleTaskImmediately):
            pass
        except InterruptTaskSet:
            raise
        except Exception as error:
            error_of(error, error.__traceback__)
    seen.received, seen.attributes = server.received, _attributes(user, server)
    seen.take(stats)
    return seen


def _repeated(plan: Plan, times: int) -> None:
    """Have an agent run the first task so many times and end."""
    [first, *_] = plan.sets[0].choices
    line = len(plan.lines)
    plan.lines.append("end:1")
    plan.programs.append(Program("end", [Instruction(Op.STOP, line=line)]))
    plan.sets[0] = TaskSet(
        True,
        [first] * times + [("program", len(plan.programs) - 1)],
        Wait(Pace.CONSTANT, 0.0),
        NOTHING,
        "U",
    )


def _by_agent(
    server: Server,
    fleet: Fleet,
    module: ModuleType,
    attributes: dict[str, Any],
    script: list[Answer],
    times: int | None,
) -> Seen:
    user = new_user(module, server, attributes)
    plan = record(user)
    row = slot_values(user, plan)
    programs = len(plan.programs)
    if times is not None:
        _repeated(plan, times)
    sealed = Sealed(plan, agents._pool_arguments(user))
    server.begin(script)
    seen, stats = Seen(), RequestStats()
    raised: list[tuple[Any, Any]] = []

    def told(exception: Exception, tb: Any, **_: Any) -> None:
        raised.append((exception, tb))

    user.environment.events.user_error.add_listener(told)
    number = fleet.add(sealed, [row], cookies_of(user))
    limit = time.monotonic() + WAIT
    ended: list[Any] = []
    while not ended:
        assert time.monotonic() < limit, "the agent does not end"
        gevent.sleep(0.001)
        fleet.ask()
        select.select([fleet], [], [], 0)
        handed, ended = fleet.take()
        for item in handed:
            tally = tallies.Tally(*item)
            tallies.merge(tally, stats, plan.style, plan.max_redirects)
            tallies.tell_exceptions(tally, user)
    [(agent, why, _, slots, _)] = ended
    assert agent == number
    assert why == 1, why
    assert len(plan.programs) in (programs, programs + 1)
    put_back(user, plan, slots)
    seen.raised = [(type(error).__name__, str(error)) for error, _ in raised]
    seen.lines = [traceback.extract_tb(tb)[-1].lineno or 0 for _, tb in raised]
    seen.received, seen.attributes = server.received, _attributes(user, server)
    seen.take(stats)
    return seen


class Twins:
    """A server, and a fleet of one thread."""

    def __init__(self) -> None:
        self.server, self.fleet = Server(), Fleet(1)

    def close(self) -> None:
        self.fleet.close()
        self.server.close()

    def by_locust(
        self,
        module: ModuleType,
        attributes: dict[str, Any],
        script: list[Answer],
        times: int | None,
    ) -> Seen:
        """Run the user's first task in Python so many times; None: the user, until it stops."""
        return _by_locust(self.server, module, attributes, script, times)

    def by_agent(
        self,
        module: ModuleType,
        attributes: dict[str, Any],
        script: list[Answer],
        times: int | None,
    ) -> Seen:
        """Record the user's tasks and run them as by_locust does, natively.

        Raises NotRecordable.
        """
        return _by_agent(self.server, self.fleet, module, attributes, script, times)


@contextmanager
def twins() -> Iterator[Twins]:
    """A server and a fleet that are closed at the end."""
    made = Twins()
    try:
        yield made
    finally:
        made.close()


def text_of(style: str, body: str) -> str:
    """Return a locustfile for the body of a task or of a user class."""
    if "@task" not in body:
        body = "@task\ndef t(self):\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    return class_of(style, body)


def difference(expected: Seen, got: Seen) -> str:
    """Return what of two runs is not the same."""
    both = {name: (value, getattr(got, name)) for name, value in vars(expected).items()}
    return "\n".join(
        f"{name}: in Python {theirs}, natively {ours}"
        for name, (theirs, ours) in both.items()
        if theirs != ours
    )


def same(
    pair: Twins,
    folder: Path,
    style: str,
    body: str,
    answers: list[Answer],
    times: int | None = 2,
) -> None:
    """Run a case both ways, two tasks each unless times says another number, and compare."""
    text = text_of(style, body)
    theirs = module_of(folder, text, "locust", style)
    ours = module_of(folder, text, "opscore_fast", style)
    expected = pair.by_locust(theirs, copy.deepcopy(ATTRIBUTES), answers, times)
    got = pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), answers, times)
    assert got == expected, difference(expected, got)


def refused(pair: Twins, folder: Path, style: str, body: str) -> str:
    """Return why a case is refused."""
    ours = module_of(folder, text_of(style, body), "opscore_fast", style)
    with pytest.raises(NotRecordable) as caught:
        pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), [], 2)
    assert caught.value.line > 0
    return str(caught.value)
