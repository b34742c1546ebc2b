"""The native threads of this process, and what they tell.

There is one fleet in a process. It is started with the first agent, so after Locust has forked its
processes, and ends with the process. While it has agents, a greenlet asks it a few times a second
for what it has counted and merges that into Locust's statistics; nothing here runs per request.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import itertools
import logging
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gevent
from gevent.event import Event
from gevent.queue import SimpleQueue

from opscore_fast._core import Fleet, Plan
from opscore_fast.native import cpu, listeners, waits
from opscore_fast.native.tallies import Tally, merge, tell_exceptions
from opscore_fast.recording.refusal import place_of_function

logger = logging.getLogger(__name__)

AFTER_TASK, AFTER_REQUEST, NOW = range(3)
"""How agents are made to end: opf_stop of csrc/agent/fleet.h."""

ASKED, STOP_USER, FAILED, ON_START_RAISED = range(4)
"""Why agents have ended: opf_end of csrc/agent/fleet.h."""

MOST_THREADS = 256
"""OPF_FLEET_THREADS of csrc/agent/fleet.h."""

DRAW_EVERY = 20
"""Askings between two times that waits are drawn."""

MOST_ENDS = 1000
"""Ends of agents that are told before others have their turn."""

CHUNK = 1000
"""Agents that are added before others have their turn."""

SPREAD_S = 1.0
"""Seconds over which a user's agents begin if they are more than CHUNK."""

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


class End(NamedTuple):
    """How an agent has ended (opf_agent_end), and what it remembered."""

    agent: int
    why: int
    cut: bool
    slots: tuple[Any, ...]
    cookies: list[tuple[Any, ...]]


class Watch:
    """The agents of one user, from the user's side.

    remembers: what its agents remember at their ends is kept, for ends().
    """

    def __init__(self, plan: Plan, *, remembers: bool = True) -> None:
        self.plan = plan
        self.ranges: list[range] = []
        """The agents' numbers."""
        self.living = 0
        """Agents that have not ended."""
        self.stopping = False
        """They were asked to end: no other is to be added."""
        self.failed = 0
        """Agents whose on_start, which they ran natively, raised an exception."""
        self.ended = Event()
        """Set when all have ended, and no other will be added."""
        self._complete = False
        self._ends: SimpleQueue[End | None] | None = SimpleQueue() if remembers else None

    def note_added(self, first: int, stop: int) -> None:
        """Take down the numbers of agents that were added."""
        self.living += stop - first
        if self.ranges and self.ranges[-1].stop == first:
            first = self.ranges.pop().start
        self.ranges.append(range(first, stop))

    def note_end(self, end: End) -> None:
        """Take down the end of one."""
        self.living -= 1
        self.failed += end.why == ON_START_RAISED
        if self._ends is not None:
            self._ends.put_nowait(end)
        self._look()

    def complete(self) -> None:
        """Say that no other will be added."""
        self._complete = True
        self._look()

    def _look(self) -> None:
        if self._complete and not self.living and not self.ended.ready():
            self.ended.set()
            if self._ends is not None:
                self._ends.put_nowait(None)

    def ends(self) -> Iterator[End]:
        """Yield the ends that were not yielded before, as they come, until all have ended.

        If what was remembered is not kept, this only waits.
        """
        if self._ends is None:
            self.ended.wait()
            return
        while (end := self._ends.get()) is not None:
            yield end
        self._ends.put_nowait(None)  # for whoever asks again

    def ends_so_far(self) -> Iterator[End]:
        """Yield those that have come, without waiting."""
        while self._ends is not None and not self._ends.empty():
            end = self._ends.get_nowait()
            if end is None:
                break
            yield end


class _Numbers:
    """Whose agent a number is. They only grow, so that what is added comes last."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._stops: list[int] = []
        self._watches: list[Watch] = []
        self._room = 64  # entries before those that have ended are taken out

    def add(self, first: int, stop: int, watch: Watch) -> None:
        if self._stops and self._stops[-1] == first and self._watches[-1] is watch:
            self._stops[-1] = stop
            return
        if len(self._firsts) >= self._room:
            self._forget_ended()
        self._firsts.append(first)
        self._stops.append(stop)
        self._watches.append(watch)

    def find(self, number: int) -> Watch:
        return self._watches[bisect_right(self._firsts, number) - 1]

    def _forget_ended(self) -> None:
        entries = zip(self._firsts, self._stops, self._watches, strict=True)
        kept = [entry for entry in entries if not entry[2].ended.ready()]
        self._firsts = [first for first, _, _ in kept]
        self._stops = [stop for _, stop, _ in kept]
        self._watches = [watch for _, _, watch in kept]
        self._room = max(64, 2 * len(kept))


class _Running:
    """The fleet of this process, once there is one."""

    def __init__(self) -> None:
        self.fleet = Fleet(thread_count(), os.environ.get("OPSCORE_FAST_NAMESERVERS") or None)
        self.users: dict[Plan, Any] = {}  # of each plan the one that came last
        self.numbers = _Numbers()
        self.living = 0  # agents
        self.queued = 0, 0  # times and ns that were told of
        self.listeners: list[Any] = []  # that were told of
        hub: Any = gevent.get_hub()
        self.watcher = hub.loop.io(self.fleet.fileno(), 1)
        self.watcher.start(self.take)
        self.again = hub.loop.timer(0.0)  # a callback would come before whoever waits
        self.asking = gevent.spawn(self._ask)

    def _ask(self) -> None:
        renewal = waits.Renewal()
        for number in itertools.count(1):
            gevent.sleep(ASK_S)
            if self.living:
                self.fleet.ask()
            if self.living and not number % DRAW_EVERY:
                renewal.run(dict(self.users))
                self._look_for_listeners()

    def _look_for_listeners(self) -> None:
        """Say once of a listener to requests that came after the agents had begun."""
        for user in list(self.users.values()):
            listener = listeners.foreign(user.environment)
            if listener is not None and listener not in self.listeners:
                self.listeners.append(listener)
                logger.error(
                    "%s listens to events.request; native agents count their requests, and fire no"
                    " event for each: what is under way goes on without it",
                    ":".join(map(str, place_of_function(listener))),
                )

    def take(self) -> None:
        """Merge all that was handed over, then tell of ends: of so many at most at a time."""
        tallies, ends = self.fleet.take(MOST_ENDS)
        for item in tallies:
            tally = Tally(*item)
            user, source = self.users[tally.plan], tally.plan.source
            merge(
                tally,
                user.environment.stats,
                source.style,
                source.max_redirects,
                names_version=source.http_version_in_name,
            )
            if tally.raises:  # listeners may wait, as nobody may here
                gevent.spawn(tell_exceptions, tally, user)
        for ended in ends:
            end = End(*ended)
            self.numbers.find(end.agent).note_end(end)
        self.living -= len(ends)
        if ends and not self.living:
            self._tell_queue()
        if len(ends) == MOST_ENDS:  # there may be more, of which nobody tells
            self.again.start(self.take)

    def _tell_queue(self) -> None:
        """Say how long requests have waited since this was said last."""
        figures = self.fleet.figures()
        queued, ns = (sum(one[name] for one in figures) for name in ("queued", "queue_ns"))
        times, waited = queued - self.queued[0], ns - self.queued[1]
        self.queued = queued, ns
        if times:
            logger.info(
                "%d times an agent's request waited for a connection or a stream, for %.1f ms on"
                " average: no part of the response times",
                times,
                waited / times / 1e6,
            )


_running: _Running | None = None


def running() -> _Running:
    """Return this process's fleet; it is started when it is first asked for."""
    global _running
    if _running is None:
        _running = _Running()
    return _running


def watch(user: Any, plan: Plan, *, remembers: bool = True) -> Watch:
    """Return a Watch for agents of the plan, to which add() adds some."""
    here = running()
    here.users[plan] = user
    if user.environment.runner is not None:
        cpu.watch(user.environment.runner, here.fleet)
    return Watch(plan, remembers=remembers)


def add(watch: Watch, rows: Sequence[tuple[Any, ...]], cookies: Sequence[Any] = ()) -> range:
    """Start an agent for each row of slot values; return their numbers. cookies: of each."""
    here = running()
    first = here.fleet.add(watch.plan, rows, cookies)
    stop = first + len(rows)
    watch.note_added(first, stop)
    here.numbers.add(first, stop, watch)
    here.living += len(rows)
    return range(first, stop)


def add_alike(watch: Watch, count: int, row: tuple[Any, ...], cookies: Sequence[Any] = ()) -> None:
    """Start agents that all begin with the same slot values, and no other after these.

    More than CHUNK of them begin one chunk after the other, evenly over SPREAD_S. None is added
    when the watch is asked to stop meanwhile.
    """
    chunks = -(-count // CHUNK)
    try:
        for number in range(chunks):
            if number:
                gevent.sleep(SPREAD_S / chunks)
            if watch.stopping:
                break
            add(watch, [row] * min(CHUNK, count - number * CHUNK), cookies)
    finally:
        watch.complete()


def stop(watch: Watch, how: int) -> None:
    """Ask a user's agents to end: AFTER_TASK, AFTER_REQUEST or NOW."""
    watch.stopping = True
    for numbers in watch.ranges:
        running().fleet.stop(numbers, how)


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
