"""The native threads of this process, and what they tell.

There is one fleet in a process. It is started with the first agent, so after Locust has forked its
processes, and ends with the process. While it has agents, a greenlet asks it a few times a second
for what it has counted and merges that into Locust's statistics; nothing here runs per request.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import itertools
import os
from collections.abc import Sequence
from typing import Any

import gevent
from gevent.event import Event

from opscore_fast import cpu
from opscore_fast._core import Fleet, Plan
from opscore_fast.tallies import Tally, merge, tell_exceptions

AFTER_TASK, AFTER_REQUEST, NOW = range(3)
"""How agents are made to end: opf_stop of csrc/agent/fleet.h."""

MOST_THREADS = 256
"""OPF_FLEET_THREADS of csrc/agent/fleet.h."""

SAMPLES = 4096
"""Waits that are drawn at a time for a wait_time that is the user's own: OPF_SAMPLES_N."""

DRAW_EVERY = 20
"""Askings between two times that waits are drawn."""

ASK_S = 0.25
"""Seconds between two times that the threads are asked for what they have counted."""


def read_threads(name: str, text: str) -> int:
    """Return the number of threads that a setting of that name asks for.

    Raises ValueError for what is no such number.
    """
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise ValueError(f"{name} wants a whole number from 1 to {MOST_THREADS}, not {text!r}")
    return int(text)


def thread_count() -> int:
    """Return how many native threads to start.

    OPSCORE_FAST_THREADS says so, which --agent-threads sets; otherwise the cores that this process
    may use, or 1 in a process of Locust's --processes. Raises ValueError for what is no number.
    """
    text = os.environ.get("OPSCORE_FAST_THREADS")
    if text:
        return read_threads("OPSCORE_FAST_THREADS", text)
    return 1 if os.getppid() == _parent else min(len(os.sched_getaffinity(0)), MOST_THREADS)


_parent = 0  # the process that has forked this one


class Watch:
    """The agents of one user, from the user's side."""

    def __init__(self, plan: Plan, first: int, count: int) -> None:
        self.plan = plan
        self.numbers = list(range(first, first + count))
        self.slots: list[tuple[Any, ...]] = []
        """What the agents that have ended remembered."""
        self.ended = Event()
        """Set when all have ended."""


def _draw_waits(plan: Plan, user: Any) -> None:
    """Have a user's own wait_time functions say how long the agents wait next."""
    for number, function in enumerate(plan.source.samples):
        plan.set_samples(number, [float(function(user)) for _ in range(SAMPLES)])


class _Running:
    """The fleet of this process, once there is one."""

    def __init__(self) -> None:
        self.fleet = Fleet(thread_count(), os.environ.get("OPSCORE_FAST_NAMESERVERS") or None)
        self.users: dict[Plan, Any] = {}  # of each plan the one that came last
        self.watches: dict[int, Watch] = {}
        hub: Any = gevent.get_hub()
        self.watcher = hub.loop.io(self.fleet.fileno(), 1)
        self.watcher.start(self.take)
        self.asking = gevent.spawn(self._ask)

    def _ask(self) -> None:
        for number in itertools.count(1):
            gevent.sleep(ASK_S)
            if self.watches:
                self.fleet.ask()
            if self.watches and not number % DRAW_EVERY:
                for plan, user in self.users.items():
                    _draw_waits(plan, user)

    def take(self) -> None:
        """Merge all that was handed over, then tell of ends."""
        tallies, ends = self.fleet.take()
        for item in tallies:
            tally = Tally(*item)
            user, source = self.users[tally.plan], tally.plan.source
            merge(tally, user.environment.stats, source.style, source.max_redirects)
            tell_exceptions(tally, user)
        for number, _, _, slots, _ in ends:
            watch = self.watches.pop(number)
            watch.slots.append(slots)
            if len(watch.slots) == len(watch.numbers):
                watch.ended.set()


_running: _Running | None = None


def running() -> _Running:
    """Return this process's fleet; it is started when it is first asked for."""
    global _running
    if _running is None:
        _running = _Running()
    return _running


def add(
    user: Any, plan: Plan, rows: Sequence[tuple[Any, ...]], cookies: Sequence[Any] = ()
) -> Watch:
    """Start an agent of the plan for each row of slot values."""
    here = running()
    if plan not in here.users:
        _draw_waits(plan, user)
    here.users[plan] = user
    if user.environment.runner is not None:
        cpu.watch(user.environment.runner, here.fleet)
    watch = Watch(plan, here.fleet.add(plan, rows, cookies), len(rows))
    for number in watch.numbers:
        here.watches[number] = watch
    return watch


def stop(watch: Watch, how: int) -> None:
    """Ask a user's agents to end: AFTER_TASK, AFTER_REQUEST or NOW."""
    running().fleet.stop(watch.numbers, how)


def _before_fork() -> None:
    global _parent
    _parent = os.getpid()


def _forget_in_child() -> None:
    """Leave the parent's threads alone after a fork: there are none of them here."""
    global _running
    if _running is not None:
        _running.fleet.mark_forked()
        _running = None


os.register_at_fork(before=_before_fork, after_in_child=_forget_in_child)
