"""on_start and on_stop in Python, of users that stand for several agents each.

They run on instances of the user class that are made for it and dropped afterwards: each has its
own client, and none is among the runner's users.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import logging
import traceback
from collections.abc import Callable
from typing import Any

import gevent
from gevent import GreenletExit
from gevent.pool import Pool
from locust.exception import StopTest, StopUser
from locust.user import User
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, DefaultTaskSet

from opscore_fast._core import Plan
from opscore_fast.http_session import HttpSession
from opscore_fast.native import fleet, quits
from opscore_fast.native.remembered import bring_back, cookies_of
from opscore_fast.recording.agent import LOCUSTS
from opscore_fast.recording.record import has_begun
from opscore_fast.recording.refusal import NotRecordable

logger = logging.getLogger(__name__)

AT_A_TIME = 100
"""Instances of one user whose on_start or on_stop is under way."""

_SESSION = ("headers", "auth", "verify", "cert", "auth_header")

_OTHERS = ("builtins", "typing", "locust", "opscore_fast")

Left = tuple[dict[str, Any], dict[str, Any]]


def has_on_stop(kind: type) -> bool:
    """Return whether a user class has an on_stop of its own."""
    return getattr(kind, "on_stop", None) is not User.on_stop


def _has_init(kind: type) -> bool:
    """Return whether a user class has an __init__ of its own, so that its users may differ."""
    return any(
        "__init__" in vars(one) and one.__module__.partition(".")[0] not in _OTHERS
        for one in kind.__mro__
    )


class Several:
    """The agents of one user, as far as Python has to do with them.

    plan_of: returns plan and slot values of a user whose on_start has run, or raises NotRecordable
    or ValueError.
    """

    def __init__(self, user: Any, plan_of: Callable[[Any], tuple[Plan, tuple[Any, ...]]]) -> None:
        self._user = user
        self._plan_of = plan_of
        self._stops = has_on_stop(type(user))
        self._left: dict[int, Left] = {}  # by agent: what its on_start left for its on_stop
        self._told: set[str] = set()
        self._pool = Pool(AT_A_TIME)  # of on_starts
        self._first: Any = None  # the greenlet of the user's own on_start
        self._first_ends = False
        self.watch: fleet.Watch | None = None
        self.user_has_started = False
        """The on_start of the user itself, which is the first, has come to its end."""

    # on_start

    def start(self, count: int) -> fleet.Watch | None:
        """Run on_start for each of count agents, and start each agent when its own has ended.

        Returns their watch, or None if no agent has begun. Raises what plan_of does, for the first
        one.
        """
        pool = self._pool
        try:
            for _ in range(self._start_first(count)):
                pool.wait_available()
                if self._stopping():
                    break
                pool.spawn(self._start_one)
            pool.join()
        finally:
            quits.kill_but_on_stops(pool)
            if self.watch is not None:
                self.watch.complete()
        return self.watch

    def _start_first(self, count: int) -> int:
        """Run one on_start after the other until an agent has begun, by which the others' plan is
        made; returns how many on_starts are left.
        """
        instance = self._user
        for left in reversed(range(count)):
            started = self._pool.spawn(self._start_one, instance)
            self._first = self._first or started
            came = started.get()
            if isinstance(came, Exception):
                raise came
            if came is True:  # not if it was killed
                return left
            if self._stopping():
                break
            instance = self._another()
        return 0

    def ends_first(self, force: bool) -> bool:
        """Return whether it is the user's own on_start that asks the user to stop: as each agent's,
        it ends that agent alone. force: raise GreenletExit there.
        """
        if gevent.getcurrent() is not self._first:
            return False
        self._first_ends = True
        if force:
            raise GreenletExit
        return True

    def _stopping(self) -> bool:
        """Return whether the user was asked to stop."""
        if self.watch is not None:
            return self.watch.stopping
        return _is_stopping(self._user)

    def start_natively(self, plan: Plan, row: tuple[Any, ...], count: int) -> fleet.Watch:
        """Start count agents whose on_start is part of the plan; returns their watch.

        row: the slot values of the user. If instances may have others, one is made for each agent.
        """
        self.watch = watch = fleet.watch(self._user, plan, remembers=self._stops)
        if not _has_init(type(self._user)):
            fleet.add_alike(watch, count, row, cookies_of(self._user))
            return watch
        try:
            self._add(self._user, row)
            for number in range(1, count):
                if number % AT_A_TIME == 0:
                    gevent.sleep(0)
                if watch.stopping:
                    break
                instance = self._another()
                self._add(instance, self._plan_of(instance)[1])
        finally:
            watch.complete()
        return watch

    def _another(self) -> Any:
        instance = type(self._user)(self._user.environment)
        instance._state = LOCUST_STATE_RUNNING
        instance._taskset_instance = DefaultTaskSet(instance)
        return instance

    def _start_one(self, instance: Any = None) -> bool | Exception:
        """Run an on_start, and start its agent; return whether it has begun, or why there is no
        plan for it. If it has not begun, its on_stop has run, unless it goes on in Python.
        """
        if instance is None:
            instance = self._another()
        if not self._has_started(instance):
            return False
        self.user_has_started |= instance is self._user
        try:
            plan, row = self._plan_of(instance)
        except BaseException as error:
            in_python = isinstance(error, NotRecordable) and not self._user.required
            if not (in_python and instance is self._user):
                self._run_on_stop(instance)
            if isinstance(error, Exception):
                return error  # told by plan_of
            raise
        if self._stopping():  # meanwhile
            self._run_on_stop(instance)
            return False
        if self.watch is None:
            self.watch = fleet.watch(self._user, plan, remembers=self._stops)
        self._add(instance, row)
        if instance is not self._user:
            _close(instance)
        return True

    def _has_started(self, instance: Any) -> bool:
        """Run an on_start; return whether its agent is to begin. If not, its on_stop has run."""
        try:
            with quits.within(quits.ON_START):
                goes_on = self._run_on_start(instance)
        except GreenletExit:
            self._run_on_stop(instance)
            raise
        if goes_on is False:
            self._run_on_stop(instance)
        return bool(goes_on)

    def _run_on_start(self, instance: Any) -> bool | None:
        """Return whether the agent goes on; None: its on_start has raised an exception."""
        if instance is not self._user:
            instance._greenlet, instance._group = gevent.getcurrent(), self._pool
        try:
            instance.on_start()
        except (StopUser, StopTest) as error:
            self._tell(error, logging.ERROR)
            return False
        except Exception as error:
            self._tell(error, logging.ERROR)
            self._fire(error)
            return None
        own = self._first_ends if instance is self._user else _is_stopping(instance)
        return not own and not self._stopping()

    def _add(self, instance: Any, row: tuple[Any, ...]) -> None:
        assert self.watch is not None
        (number,) = fleet.add(self.watch, [row], cookies_of(instance))
        if self._stops:
            self._left[number] = _left_by(instance)

    # on_stop

    def live(self, watch: fleet.Watch) -> None:
        """Wait until all agents have ended, and run the on_stop of each that does."""
        self._run_on_stops(watch.ends)

    def end(self, watch: fleet.Watch) -> None:
        """Run the on_stop of those that have ended."""
        self._run_on_stops(watch.ends_so_far)

    def _run_on_stops(self, ends: Callable[[], Any]) -> None:
        pool = Pool(AT_A_TIME)
        try:
            for end in ends():
                left = self._left.pop(end.agent, None)
                if end.why != fleet.ON_START_RAISED and self._has_begun(end):
                    pool.spawn(self._stop_one, end, left)
                    pool.wait_available()  # before the next is taken, which would be lost
            pool.join()
        finally:
            pool.kill()

    def _has_begun(self, end: fleet.End) -> bool:
        assert self.watch is not None
        return has_begun(self.watch.plan.source, end.slots)

    def _stop_one(self, end: fleet.End, left: Left | None) -> None:
        assert self.watch is not None
        instance = self._another()
        for target, values in zip((instance, instance.client), left or ({}, {}), strict=True):
            for name, value in values.items():
                setattr(target, name, value)
        bring_back(instance, self.watch.plan.source, end)
        self._run_on_stop(instance)
        _close(instance)

    def _run_on_stop(self, instance: Any) -> None:
        if not self._stops:
            return
        instance._leaves = instance is not self._user
        with quits.within(quits.ON_STOP):
            try:
                instance.on_stop()
            except (StopUser, StopTest):
                pass
            except Exception as error:
                self._tell(error, logging.ERROR)
                self._fire(error)

    # Exceptions

    def _tell(self, error: Exception, level: int) -> None:
        """Log an exception as Locust does, the first time that there is one like it."""
        text = f"{type(error).__name__}: {error}"
        if text not in self._told:
            self._told.add(text)
            logger.log(level, "%s\n%s", error, traceback.format_exc())

    def _fire(self, error: Exception) -> None:
        self._user.environment.events.user_error.fire(
            user_instance=self._user, exception=error, tb=error.__traceback__
        )


def _is_stopping(instance: Any) -> bool:
    return bool(instance._state == LOCUST_STATE_STOPPING)


def _left_by(instance: Any) -> Left:
    """Return the attributes of an instance and of its client that its on_stop may want."""
    own = {name: value for name, value in vars(instance).items() if name not in LOCUSTS}
    client = instance.client
    names = _SESSION[:-1] if isinstance(client, HttpSession) else _SESSION[-1:]
    return own, {name: getattr(client, name) for name in names}


def _close(instance: Any) -> None:
    """Close the connections of an instance that is dropped, unless others have them too."""
    kind = type(instance)
    if getattr(kind, "client_pool", None) or getattr(kind, "pool_manager", None):
        return
    client = instance.client
    if isinstance(client, HttpSession):
        client.close()
    else:
        client.client.clientpool.close()
