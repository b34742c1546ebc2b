"""What a recorded on_start leaves on its user: attributes, headers and settings of the session.

Where each agent may have another value, a slot keeps it (Kept); what is the same for all agents is
no slot, and tasks read it as they read an attribute of the class.
"""

from __future__ import annotations

import copy
import datetime
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from opscore_fast.recording.plan import SCALARS, Kind, kind_of_constant

Path = tuple[str | int, ...]

MISSING: Any = object()

HEADERS = "client.headers"
"""First step of the path of a header of the session."""

PROGRESS = ("on_start()",)
"""Path of the slot that tells how far an agent has come in its on_start: None is the end, a number
an index of what it has left where it waits; unset: it has not begun."""


@dataclass(frozen=True)
class Kept:
    """What stands for a value that a slot keeps. maybe: on_start does not always set it."""

    path: Path
    kind: Kind = field(default=Kind.UNSET, compare=False)
    maybe: bool = field(default=False, compare=False)


@dataclass
class SetUp:
    """What on_start leaves. Values are constants, Kept, and lists, tuples and dicts of these."""

    attributes: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    """All headers of an HttpSession, but not those of a FastHttpSession, which are the class's."""
    session: dict[str, Any] = field(default_factory=dict)
    """Constants among the session's attributes, by name: auth, verify, cert."""
    own_headers: tuple[str, ...] = ()
    """Headers that a user's session has before."""
    so_far: list[SetUp] = field(default_factory=list)
    """What is left where on_start waits, if an on_stop may want that."""


class Differs(Exception):
    """on_start leaves what has another shape from one time to the next: (path)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(path)


class Merger:
    """Brings together what the ways through an on_start leave.

    slots: the paths that slots keep so far; more: those that have to be, too.
    """

    def __init__(self, slots: frozenset[Path]) -> None:
        self.slots = slots
        self.more: set[Path] = set()

    def merge(self, path: Path, found: list[Any]) -> Any:
        """Return what stands for values of a path; MISSING: not set. Raises Differs."""
        first = found[0]
        if all(type(one) is dict and one.keys() == first.keys() for one in found):
            return {key: self.merge((*path, key), [one[key] for one in found]) for key in first}
        if type(first) in (list, tuple) and all(
            type(one) is type(first) and len(one) == len(first) for one in found
        ):
            members = zip(*found, strict=True)
            return type(first)(
                self.merge((*path, number), list(member)) for number, member in enumerate(members)
            )
        if path in self.slots:
            return self._kept(path, found)
        if all(_same(one, first) for one in found):
            return first
        self.more.add(path)
        return self._kept(path, found)

    def _kept(self, path: Path, found: list[Any]) -> Kept:
        kinds, maybe = set(), False
        for one in found:
            if isinstance(one, Kept):
                kinds.add(one.kind)
                maybe = maybe or one.maybe
            elif one is MISSING:
                maybe = True
            elif type(one) in SCALARS:
                kinds.add(kind_of_constant(one))
            else:
                raise Differs(path)
        if path[0] == "client" or (maybe and len(path) > 1 and path[0] != HEADERS):
            raise Differs(path)
        kind = kinds.pop() if len(kinds) == 1 else Kind.UNSET
        return Kept(path, kind, maybe)


class Types:
    """What texts that slots keep stand for in Python: types, and None for texts themselves."""

    def __init__(self) -> None:
        self._found: dict[Path, set[type | None]] = {}

    def note(self, path: Path, kind: type | None) -> None:
        """Take down that a slot keeps what stands for a type."""
        self._found.setdefault(path, set()).add(kind)

    def only(self, path: Path) -> type | None:
        """Return the type that a slot always keeps, if there is one."""
        found = self._found.get(path, {None})
        return next(iter(found)) if len(found) == 1 else None

    def of(self, path: Path) -> tuple[type, ...]:
        """Return all that a slot may keep, but for texts."""
        found = self._found.get(path, set())
        return tuple(kind for kind in (uuid.UUID, datetime.datetime) if kind in found)


def in_python(value: Any, types: tuple[type, ...]) -> Any:
    """Return what a value of a slot is in Python."""
    for kind in types if isinstance(value, str) else ():
        with suppress(ValueError):
            return datetime.datetime.fromisoformat(value) if kind is not uuid.UUID else kind(value)
    return value


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


def kept_in(value: Any) -> Iterator[Kept]:
    """Yield what of a value slots keep."""
    if isinstance(value, Kept):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from kept_in(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from kept_in(member)


def restored(value: Any, slots: dict[Path, Any]) -> Any:
    """Return a value with what slots keep put in, or MISSING if some of it is not set."""
    if isinstance(value, Kept):
        found = slots.get(value.path, ...)
        return MISSING if found is ... else found
    if type(value) is dict:
        members = {key: restored(member, slots) for key, member in value.items()}
        return MISSING if any(one is MISSING for one in members.values()) else members
    if type(value) in (list, tuple):
        listed = [restored(member, slots) for member in value]
        return MISSING if any(one is MISSING for one in listed) else type(value)(listed)
    return copy.copy(value)
