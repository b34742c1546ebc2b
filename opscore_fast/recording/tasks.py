"""The tasks of a user class, and the waits between them."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import inspect
from functools import partial
from types import FunctionType
from typing import Any

from locust import wait_time as waits
from locust.exception import StopUser
from locust.user import User
from locust.user.sequential_taskset import SequentialTaskSet
from locust.user.task import TaskSet as LocustTaskSet

from opscore_fast.recording.agent import Agent, Slots, TaskSetSelf
from opscore_fast.recording.branches import Builder
from opscore_fast.recording.plan import NOTHING, Pace, Plan, TaskSet, Wait
from opscore_fast.recording.refusal import (
    NotRecordable,
    place_of_class,
    place_of_function,
    place_of_method,
)
from opscore_fast.recording.runtime import Runtime
from opscore_fast.recording.session import session_headers
from opscore_fast.recording.set_up import Differs, Merger, Path, SetUp
from opscore_fast.recording.start import Way, merged

_CODES = {
    waits.between(0, 1).__code__: Pace.BETWEEN,
    waits.constant(1).__code__: Pace.CONSTANT,
    waits.constant_pacing(1).__code__: Pace.PACING,
}
if hasattr(waits, "poisson"):  # not in older versions of Locust
    _CODES[waits.poisson(1).__code__] = Pace.POISSON


def wait_of(plan: Plan, function: Any) -> Wait:
    """Return the wait that a wait_time is."""
    function = getattr(function, "__func__", function)
    if isinstance(function, int | float):
        return Wait(Pace.CONSTANT, float(function))
    code: Any = getattr(function, "__code__", None)
    pace = _CODES.get(code)
    if pace is None:
        plan.samples.append(function)
        return Wait(Pace.SAMPLES, samples=len(plan.samples) - 1, function=function)
    values = inspect.getclosurevars(function).nonlocals
    if pace is Pace.BETWEEN:
        return Wait(pace, float(values["min_wait"]), float(values["max_wait"]))
    return Wait(pace, float(values["rate" if pace is Pace.POISSON else "wait_time"]))


class Recorder:
    """Records all tasks of a user into a plan, and its on_start if it has one and start says so.

    kept: what on_start sets that slots have to keep.
    """

    def __init__(
        self,
        rt: Runtime,
        user: Any,
        plan: Plan,
        *,
        start: bool = False,
        kept: frozenset[Path] = frozenset(),
    ) -> None:
        self.rt, self.user, self.plan = rt, user, plan
        self.start, self.merger = start, Merger(kept | rt.written)
        self.slots = Slots()
        self.trees: list[tuple[str, Any]] = []
        self._programs: dict[Any, int] = {}
        self._sets: dict[Any, int] = {}

    def run(self) -> None:
        """Record; the programs' trees are in trees then."""
        cls = type(self.user)
        own = TaskSet(False, [], wait_of(self.plan, cls.wait_time), NOTHING, cls.__name__)
        self.plan.sets.append(own)
        if self.start and cls.on_start is not User.on_start:
            self.slots.set_up = self.plan.set_up = self._record_start(cls)
        for task in cls.tasks:
            own.choices.append(self._choice(task, None))
        if not own.choices:
            raise NotRecordable(*place_of_class(cls), cls.__name__, "it has no tasks")

    def _record_start(self, cls: type[User]) -> SetUp:
        """Record on_start; returns what it leaves."""
        slots, rt = self.slots, self.rt
        own = tuple(session_headers(self.user))
        function: Any = cls.on_start
        ways: list[SetUp] = []
        so_far: list[SetUp] = []
        stops: Any = cls.on_stop

        def run() -> None:
            rt.starts = True
            way = Way(rt, slots.kinds, slots.types, self.merger.slots)
            agent = Agent(rt, self.user, slots, way)
            if stops is not User.on_stop:
                rt.before_wait = partial(way.note_so_far, so_far)
            try:
                rt.rewritten(function)(agent)
            except StopUser:
                if rt.before_wait is not None:
                    rt.before_wait()
                raise
            ways.append(way.left())
            if rt.before_wait is not None:
                way.note_end()

        if not isinstance(function, FunctionType):
            raise NotRecordable(*place_of_class(cls), "on_start", "only functions are recorded")
        self.plan.start = len(self.trees)
        self.trees.append((function.__name__, rt.record(run, function)))
        place = place_of_function(function)
        if not ways:
            raise NotRecordable(*place, "on_start", "it never comes to its end")
        try:
            made = merged(ways, self.merger, _defaults(self.user, ways))
        except Differs as differs:
            what = ".".join(map(str, differs.path))
            why = "it is a text or number one time, and something else another time"
            raise NotRecordable(*place, what, why) from None
        made.own_headers, made.so_far = own, so_far
        return made

    def _choice(self, task: Any, owner: type[LocustTaskSet] | None) -> tuple[str, int]:
        if isinstance(task, type) and issubclass(task, LocustTaskSet):
            return "set", self._set(task)
        return "program", self._program(task, owner)

    def _program(
        self, task: Any, owner: type[LocustTaskSet] | None, *, starts: bool = False
    ) -> int:
        key = task, owner, starts
        if key in self._programs:
            return self._programs[key]
        if not isinstance(task, FunctionType):
            raise NotRecordable(
                *place_of_class(type(self.user)), str(task), "only functions are recorded"
            )
        rt = self.rt

        def run() -> Any:
            rt.starts = starts
            agent = Agent(rt, self.user, self.slots)
            instance = agent if owner is None else TaskSetSelf(rt, owner, agent)
            return rt.rewritten(task)(instance)

        self._programs[key] = len(self.trees)
        self.trees.append((task.__name__, rt.record(run, task)))
        return self._programs[key]

    def _set(self, cls: type[LocustTaskSet]) -> int:
        if cls in self._sets:
            return self._sets[cls]
        index = self._sets[cls] = len(self.plan.sets)
        default = LocustTaskSet.__dict__.get("wait_time")
        own = getattr(cls, "wait_time", None)
        given = own if own is not None and own is not default else type(self.user).wait_time
        wait = wait_of(self.plan, given)
        made = TaskSet(issubclass(cls, SequentialTaskSet), [], wait, NOTHING, cls.__name__)
        self.plan.sets.append(made)
        for name in ("__init__", "wait", "get_next_task", "execute_task", "run", "on_stop"):
            base = SequentialTaskSet if made.sequential else LocustTaskSet
            if getattr(cls, name) is not getattr(base, name):
                raise NotRecordable(
                    *place_of_method(cls, name), f"{cls.__name__}.{name}", "it is not Locust's own"
                )
        if cls.on_start is not LocustTaskSet.on_start:
            made.on_start = self._program(cls.on_start, cls, starts=True)
        for task in cls.tasks:
            made.choices.append(self._choice(task, cls))
        if not made.choices:
            raise NotRecordable(*place_of_class(cls), cls.__name__, "it has no tasks")
        return index

    def lower(self, builder: Builder) -> None:
        """Put the programs into the plan."""
        for name, tree in self.trees:
            self.plan.programs.append(tree.lower(name, builder))


def _defaults(user: Any, ways: list[SetUp]) -> dict[str, Any]:
    """Return what a user has of the attributes that on_start sets, without it."""
    names = {name for way in ways for name in way.attributes}
    return {name: getattr(user, name) for name in names if hasattr(user, name)}
