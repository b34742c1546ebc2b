"""Runner.quit() and Runner.stop(), where an on_start or on_stop of agents calls them.

Both wait until all users have ended. Locust knows a user that calls them by its greenlet, and kills
that in the middle of the call, so that the rest of it is never done. Agents have other greenlets,
which their user waits for: each would wait for the other. So a greenlet of its own makes the call.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import gevent
from gevent import GreenletExit
from gevent.pool import Pool
from locust.exception import RPCError
from locust.runners import STATE_CLEANUP, Runner, WorkerRunner

ON_START, ON_STOP = "on_start", "on_stop"

_LOOK_S = 0.05
"""Seconds between two times that is asked whether a stop under way has come to its end."""

_within: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""Greenlets that run an on_start or on_stop of agents."""

_apart: WeakSet[Any] = WeakSet()
"""Greenlets that make a call for one of them."""


@contextmanager
def within(what: str) -> Generator[None]:
    """Say for the time of the block that this greenlet runs an ON_START or ON_STOP."""
    here = gevent.getcurrent()
    _within[here] = what
    try:
        yield
    finally:
        del _within[here]


def kill_but_on_stops(pool: Pool) -> None:
    """Kill the greenlets of a pool but those that run an ON_STOP; wait for all of them."""
    for greenlet in list(pool):
        if _within.get(greenlet) != ON_STOP:
            pool.killone(greenlet, block=False)
    pool.join()


def _is_within() -> bool:
    """Return whether this greenlet, or one that it comes from, runs an on_start or on_stop."""
    here: Any = gevent.getcurrent()
    while here is not None and here not in _apart:
        if here in _within:
            return True
        parent = getattr(here, "spawning_greenlet", None)
        here = parent() if parent is not None else None
    return False


class _Call:
    """Takes the place of a runner's quit or stop.

    Called by an on_start, it does not return: that is killed, as by Locust. It returns at once when
    an on_stop calls it, or a greenlet that one of both has started, as they may wait for it.
    """

    def __init__(self, runner: Runner, call: Callable[[], None]) -> None:
        self._runner, self._call = runner, call
        self._made: Any = None

    def __call__(self) -> None:
        if not _is_within():
            self._call()
            return
        if self._made is None or self._made.ready():
            self._made = gevent.spawn(self._make)
            _apart.add(self._made)
        if _within.get(gevent.getcurrent()) == ON_START:
            raise GreenletExit

    def _make(self) -> None:
        runner = self._runner
        while runner.state == STATE_CLEANUP and runner.user_count:
            gevent.sleep(_LOOK_S)  # another is under way, and may be for on_stops to end
        if isinstance(runner, WorkerRunner):
            _tell_master(runner)
        self._call()


def _tell_master(runner: WorkerRunner) -> None:
    """Stop a worker's users, and send what is counted, as when its master has it quit."""
    runner.stop()
    with suppress(RPCError):
        runner._send_stats()


def watch(runner: Runner) -> None:
    """See to it that the agents of a runner may call its quit and stop."""
    for name in ("stop", "quit"):
        if name not in vars(runner):
            setattr(runner, name, _Call(runner, getattr(runner, name)))
