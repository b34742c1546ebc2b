"""The table that says which user classes native threads run, and of each other one why not.

Whether a class can be recorded is known when on_start of its first user has ended. The table is
told when that is known of every class of a run, or some seconds after the first; then of those
which are still missing a line each, as it becomes known. Of several worker processes the first one
tells it, the others on level DEBUG.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import logging
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from locust.env import Environment

from opscore_fast.recording.plan import NOTHING, Plan
from opscore_fast.users import FastHttpUser, HttpUser

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""Seconds that the table waits for classes whose on_start has not ended."""


class _Table:
    """What is known of an environment's classes."""

    def __init__(self, environment: Environment) -> None:
        self.classes: list[Any] = list(environment.user_classes)
        self.level = logging.DEBUG if _is_further_worker(environment) else logging.INFO
        self.known: dict[str, Plan | Exception] = {}
        self.told = False

    def add(self, name: str, known: Plan | Exception) -> None:
        self.known[name] = known
        if self.told:
            level = logging.WARNING if isinstance(known, Exception) else self.level
            logger.log(level, "%s", "\n".join(_row(name, len(name), known)))
        elif all(kind.__name__ in self.known for kind in self._native_classes()):
            self.tell()
        elif len(self.known) == 1:
            gevent.spawn_later(PATIENCE_S, self.tell)

    def _native_classes(self) -> Iterator[Any]:
        return (kind for kind in self.classes if hasattr(kind, "required"))

    def tell(self) -> None:
        """Tell the table, unless that was done."""
        if self.told:
            return
        self.told = True
        names = {kind.__name__: self.known.get(kind.__name__) for kind in self._native_classes()}
        width = max(map(len, [*names, *(kind.__name__ for kind in self.classes)]))
        rows = [row for name, known in names.items() for row in _row(name, width, known)]
        rows += [
            f"{kind.__name__:<{width}}  in Python{_of_others(kind)}"
            for kind in self.classes
            if kind.__name__ not in names
        ]
        logger.log(self.level, "user classes, and how their tasks run:\n%s", "\n".join(rows))


def _row(name: str, width: int, known: Plan | Exception | None) -> Iterator[str]:
    """Lines about a class. known: its plan or why there is none; None: not known yet."""
    if known is None:
        yield f"{name:<{width}}  not known before an on_start of it has ended"
    elif isinstance(known, Exception):
        yield f"{name:<{width}}  in Python: {known}"
    else:
        starts = known.start != NOTHING
        tasks = _counted("task", len(known.programs) - starts) + ", on_start" * starts
        yield f"{name:<{width}}  natively: {tasks}, {_counted('request', len(known.requests))}"
        for line, what in known.once:
            yield f"{'':<{width}}  {line}: {what} runs once, while the task is recorded"


def _of_others(kind: type) -> str:
    ours = issubclass(kind, HttpUser | FastHttpUser)
    return ", as a drop-in user" if ours else ": it is no HttpUser or FastHttpUser of ours"


def _counted(noun: str, number: int) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_further_worker(environment: Environment) -> bool:
    return int(getattr(environment.runner, "worker_index", 0)) > 0


_tables: WeakKeyDictionary[Environment, _Table] = WeakKeyDictionary()


def note(user: Any, known: Plan | Exception) -> None:
    """Take down how the class of a user runs: its plan, or why it has none."""
    table = _tables.get(user.environment)
    if table is None:
        table = _tables[user.environment] = _Table(user.environment)
    before = table.known.get(type(user).__name__)
    if before is None or (isinstance(known, Exception) and not isinstance(before, Exception)):
        table.add(type(user).__name__, known)
