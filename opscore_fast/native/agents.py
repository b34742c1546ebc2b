"""AgentUser: a user whose tasks are recorded once and then run by native threads."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import logging
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import GreenletExit
from gevent.lock import BoundedSemaphore
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.runners import STATE_CLEANUP
from locust.user import User
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    DefaultTaskSet,
)

from opscore_fast import options
from opscore_fast._core import Plan
from opscore_fast.http_session import with_tls
from opscore_fast.native import fleet, listeners, quits, table, waits
from opscore_fast.native.remembered import bring_back, cookies_of
from opscore_fast.native.several import Several
from opscore_fast.recording import plan as recording
from opscore_fast.recording.record import apply_session, has_begun, record, slot_values
from opscore_fast.recording.refusal import NotRecordable, place_of_function
from opscore_fast.users import FastHttpUser, HttpUser

logger = logging.getLogger(__name__)

STOP_GRACE_S = 2.0
"""Seconds that a request under way is given to finish when a test stops without a stop timeout."""

MOST_AGENTS = 1_000_000
"""Agents that one user may stand for."""

_plans: dict[type, Plan] = {}
_refused: dict[type, NotRecordable | ValueError] = {}
_in_python: dict[type, NotRecordable] = {}
"""Classes whose on_start was to be recorded and can't be."""
_several_told: set[type] = set()
_lock = BoundedSemaphore(1)

Row = tuple[Any, ...]
"""An agent's slot values."""


class Native(User):
    """What makes a user class of ours run natively: goes before it in the list of bases."""

    abstract = True

    required = False
    """A task that can't be recorded ends the test, instead of running in Python."""

    agents_per_user: int = 1
    """Agents that one Locust user stands for. Locust's numbers of users stay what they are."""

    native_on_start: bool | None = None
    """Whether on_start is recorded too, and run by native threads. None: if agents_per_user is more
    than 1 and it can be recorded. True: in any case; an AgentUser's that can't ends the test."""

    _watch: fleet.Watch | None = None
    _several: Several | None = None
    _on_start_begun = False
    _leaves = False
    """on_stop is under way, or about to be."""
    _ends_run = False
    """It was stopped because the run ends."""

    def run(self) -> None:  # type: ignore[misc]
        """Run on_start in Python, then the tasks natively until the user is stopped."""
        self._state = LOCUST_STATE_RUNNING
        self._taskset_instance = tasks = DefaultTaskSet(self)
        if self.environment.runner is not None:
            quits.watch(self.environment.runner)
        try:
            self._run(tasks)
        except (GreenletExit, StopUser, StopTest):
            self._leaves = True
            self._end()

    def _run(self, tasks: DefaultTaskSet) -> None:
        try:
            count = _checked_settings(self)
            found = _plan_with_on_start(self) if starts_natively(self) else None
            if self._state == LOCUST_STATE_STOPPING:  # meanwhile
                raise StopUser
            self._on_start_begun = True
            if count > 1:
                self._run_several(count, found)
            else:
                self._run_one(found)
        except NotRecordable:
            if self.required or (self._several and not self._several.user_has_started):
                raise StopUser from None
            self._several = None
            tasks.run()  # type: ignore[no-untyped-call]
        except ValueError as error:
            if error is not _refused.get(type(self)):
                raise
            raise StopUser from None

    def _run_one(self, found: tuple[Plan, Row] | None) -> None:
        plan, row = found or self._started_in_python()
        if self._state == LOCUST_STATE_STOPPING:  # meanwhile
            raise StopUser
        self._watch = fleet.watch(self, plan)
        fleet.add_alike(self._watch, 1, row, cookies_of(self))
        self._watch.ended.wait()
        if not self._watch.failed:
            raise StopUser

    def _started_in_python(self) -> tuple[Plan, Row]:
        with quits.within(quits.ON_START):
            try:
                self.on_start()
            except Exception as error:
                logger.error("%s\n%s", error, traceback.format_exc())
                if not isinstance(error, (StopUser, StopTest)):
                    self.environment.events.user_error.fire(
                        user_instance=self, exception=error, tb=error.__traceback__
                    )
                raise
        return _plan_of(self)

    def _run_several(self, count: int, found: tuple[Plan, Row] | None) -> None:
        _tell_several(type(self), count)
        self._several = Several(self, _plan_of)
        watch = self._several.start_natively(*found, count) if found else self._several.start(count)
        if watch is not None:
            self._several.live(watch)
        raise StopUser

    def _end(self) -> None:
        """End the agents, if they have not ended, and run on_stop with what they have learnt."""
        watch = self._several.watch if self._several else self._watch
        if watch is not None and not watch.ended.ready():
            fleet.stop(watch, fleet.NOW)
            watch.ended.wait(STOP_GRACE_S)
        if self._several is not None:
            if watch is not None:
                self._several.end(watch)
            return
        if watch is not None:
            begun = not watch.failed
            for end in watch.ends_so_far():
                bring_back(self, watch.plan.source, end)
                begun = begun and has_begun(watch.plan.source, end.slots)
            if not begun:
                return
        if self._on_start_begun:
            with quits.within(quits.ON_STOP):
                self.on_stop()  # type: ignore[no-untyped-call]

    def stop(self, force: bool = False) -> bool:
        """Stop the user as Locust's User.stop does; a request under way is finished and counted."""
        if self._several is not None and self._several.ends_first(force):
            return False
        watch = self._several.watch if self._several else self._watch
        if watch is None and self._several is None and not self._leaves:
            if not force and self._state == LOCUST_STATE_STOPPING:
                return False
            return bool(super().stop(force))
        if watch is None or not force:
            self._state = LOCUST_STATE_STOPPING  # for on_starts under way
        if watch is not None and not watch.ended.ready():
            fleet.stop(watch, fleet.AFTER_REQUEST if force else fleet.AFTER_TASK)
        if force:
            self._await_end(watch)
        return force

    def _await_end(self, watch: fleet.Watch | None) -> None:
        """Wait for what is under way, then for on_stop."""
        greenlet: Any = self._greenlet
        if greenlet in (None, gevent.getcurrent()):
            return
        if not self._leaves:
            ended = watch.ended if watch is not None else greenlet
            gevent.wait([ended], STOP_GRACE_S)
            if not ended.ready() and not self._leaves:
                self._group.killone(greenlet, block=False)
        self._await_on_stop(greenlet)

    def _await_on_stop(self, greenlet: Any) -> None:
        """Wait until the user has ended, as Locust does, but not for good if the run is to end and
        somebody asks for that again.
        """
        runner = self.environment.runner
        ends = runner is not None and runner.state == STATE_CLEANUP
        again, self._ends_run = self._ends_run and ends, ends
        greenlet.join(STOP_GRACE_S if again else None)
        if not greenlet.ready():
            name = type(self).__name__
            logger.warning("%s: its on_stop has not come to its end, and is given up", name)


def _checked_settings(user: Any) -> int:
    """Return how many agents the user stands for. Raises ValueError, which is told once."""
    count, native, kind = user.agents_per_user, user.native_on_start, type(user)
    wrong = ""
    if type(count) is not int or not 1 <= count <= MOST_AGENTS:
        wrong = f"agents_per_user is {count!r}: a whole number from 1 to {MOST_AGENTS} is wanted"
    elif native not in (None, True, False):
        wrong = f"native_on_start is {native!r}: True, False or None is wanted"
    if not wrong:
        return int(count)
    if kind not in _refused:
        _refused[kind] = ValueError(wrong)
        _tell_refusal(user, _refused[kind])
    raise _refused[kind]


def _tell_several(kind: type, count: int) -> None:
    """Say once what a user of a class stands for."""
    if kind in _several_told:
        return
    _several_told.add(kind)
    logger.info("%s: %d agents for each user", kind.__name__, count)
    if kind in _in_python:
        text = "%s: on_start runs in Python for each of %d agents: %s"
        logger.warning(text, kind.__name__, count, _in_python[kind])


def starts_natively(user: Any) -> bool:
    """Return whether on_start of a user, or of a class, is to be recorded."""
    if user.native_on_start is None:
        return bool(user.agents_per_user > 1)
    return bool(user.native_on_start)


@contextmanager
def _recording(user: Any) -> Generator[None]:
    """Record a user's class, or read from what is recorded, one at a time.

    What refuses that, NotRecordable or ValueError for a setting that can't be, is told once, and
    raised then and ever after.
    """
    kind = type(user)
    with _lock:  # what is called for it may switch to another user
        try:
            if kind in _refused:
                raise _refused[kind]
            _refuse_listeners(user.environment)
            yield
        except (NotRecordable, ValueError) as refusal:
            if kind not in _refused:
                _refused[kind] = refusal
                _tell_refusal(user, refusal)
            if isinstance(refusal, NotRecordable) and not user.required:
                table.note(user, refusal)
            raise
        if kind in _plans:
            table.note(user, _plans[kind].source)


def _plan_of(user: Any) -> tuple[Plan, Row]:
    """Return the plan for a user whose on_start has run or is in the plan, and its slot values.

    The first user of a class is recorded for all. Raises what _recording does.
    """
    kind = type(user)
    with _recording(user):
        if kind not in _plans:
            _plans[kind] = _made(user, record(user))
        return _plans[kind], slot_values(user, _plans[kind].source)


def record_with_on_start(user: Any) -> recording.Plan | NotRecordable:
    """Return a plan with on_start in it, or why a user's on_start runs in Python instead.

    The user's on_start has not run. Raises NotRecordable if it has to be native.
    """
    try:
        return record(user, start=True)
    except NotRecordable as refusal:
        if user.required and user.native_on_start:
            raise
        return refusal


def _plan_with_on_start(user: Any) -> tuple[Plan, Row] | None:
    """Return a plan with on_start in it and a user's slot values; None: it runs in Python.

    The user's on_start has not run. Raises what _recording does, but of a class whose tasks may run
    in Python NotRecordable comes when they are to begin, behind on_start.
    """
    kind = type(user)
    try:
        with _recording(user):
            if kind not in _plans and kind not in _in_python:
                found = record_with_on_start(user)
                if isinstance(found, NotRecordable):
                    _in_python[kind] = found
                else:
                    _plans[kind] = _made(user, found)
            if kind in _in_python:
                return None
            return _plans[kind], slot_values(user, _plans[kind].source)
    except NotRecordable:
        if user.required:
            raise
        return None


def _made(user: Any, recorded: recording.Plan) -> Plan:
    fleet.running()
    if recorded.set_up is not None:
        apply_session(user, recorded.set_up)
    recorded.http_version_in_name = options.names_http_version(options.of_user(user))
    plan = Plan(recorded, _pool_arguments(user))
    waits.draw(plan, user)
    return plan


def _pool_arguments(user: Any) -> dict[str, Any]:
    """Return the options of the agents' connections, as those of the user's own client."""
    given = options.of_user(user)
    limits = {
        "concurrency": 1,
        "max_headers": user.max_response_headers,
        "max_body": user.max_response_body,
    }
    if isinstance(user, FastHttpUser):
        return {
            **options.pool_arguments(
                given, verify=not user.insecure, ssl_context_factory=user.ssl_context_factory
            ),
            **limits,
            "connection_timeout": float(user.connection_timeout or 0),
            "network_timeout": float(user.network_timeout or 0),
        }
    client = user.client
    given = with_tls(given, client.verify, client.cert)
    return {
        **options.pool_arguments(given, verify=bool(client.verify)),
        **limits,
        "connection_timeout": 0.0,
        "network_timeout": 0.0,
    }


def _refuse_listeners(environment: Environment) -> None:
    """Raise NotRecordable if anybody but Locust listens to requests, which are no events here."""
    listener = listeners.foreign(environment)
    if listener is not None:
        raise NotRecordable(
            *place_of_function(listener),
            "a listener of events.request",
            "native agents count their requests, and fire no event for each",
            "take the listener away, or run this class as HttpUser",
        )


def _tell_refusal(user: Any, refusal: NotRecordable | ValueError) -> None:
    """End the test if the class has to run natively, or with other settings; say why."""
    if not user.required and isinstance(refusal, NotRecordable):
        return
    logger.error("%s can't run natively: %s", type(user).__name__, refusal)
    user.environment.process_exit_code = 1
    if user.environment.runner is not None:
        gevent.spawn(user.environment.runner.quit)


class AgentUser(Native, HttpUser):
    """An HttpUser whose tasks are recorded once, and run for each request by native threads.

    One user is one agent, or agents_per_user of them, which begin with it: 1,000 at a time, evenly
    over a second. on_start and on_stop run for each agent: in Python, through the client of
    HttpUser, or on_start natively too (native_on_start). The attributes that it sets are what tasks
    may use. A user goes on as long as one of its agents does. A task that can't be recorded ends
    the test with its line, the reason and what to write instead.
    """

    abstract = True
    required = True


class NativeHttpUser(Native, HttpUser):
    """What --native makes of HttpUser: native where its tasks can be recorded."""

    abstract = True


class NativeFastHttpUser(Native, FastHttpUser):
    """What --native makes of FastHttpUser."""

    abstract = True
