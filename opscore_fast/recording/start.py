"""One way through an on_start, while it is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from opscore_fast.recording.branches import Input, Ref, const
from opscore_fast.recording.plan import SCALARS, Kind, Op
from opscore_fast.recording.runtime import Runtime
from opscore_fast.recording.set_up import (
    HEADERS,
    MISSING,
    PROGRESS,
    Kept,
    Merger,
    Path,
    SetUp,
    Types,
)
from opscore_fast.recording.symbols import (
    Cond,
    Json,
    Native,
    Sym,
    has_symbol,
    kind_of,
    operand_of,
    parts_of,
)


class Way:
    """What on_start has set so far.

    kinds, types: of all that slots keep, which are added to; slots: the paths that slots keep
    already.
    """

    def __init__(
        self, rt: Runtime, kinds: dict[Path, Kind], types: Types, slots: frozenset[Path]
    ) -> None:
        self._rt, self._kinds, self._types, self._slots = rt, kinds, types, slots
        self._kept: dict[Path, Any] = {}  # as it was moved to its slot
        self.attributes: dict[str, Any] = {}
        self.headers: MutableMapping[str, Any] | None = None
        self.session: dict[str, Any] = {}

    def store(self, name: str, value: Any) -> None:
        """Take down that an attribute was set; texts and numbers are kept at once."""
        self.attributes[name] = self._rt.attributes[name,] = value
        if not isinstance(value, dict | list | tuple):
            self._left((name,), value)

    def left(self) -> SetUp:
        """Have slots keep all that varies; returns what is there at the end."""
        attributes = {name: self._left((name,), value) for name, value in self.attributes.items()}
        headers = {
            name: self._left((HEADERS, name), value) for name, value in (self.headers or {}).items()
        }
        return SetUp(attributes, headers, dict(self.session))

    def note_end(self) -> None:
        """Have the agent remember that it has come to the end."""
        self._note(const(None))

    def note_so_far(self, places: list[SetUp]) -> None:
        """Have slots keep what is there as the agent waits, where it may be stopped.

        places: what is there at each such place, which is added to.
        """
        here = SetUp(
            self._members((), self.attributes),
            self._members((HEADERS,), self.headers or {}),
            dict(self.session),
        )
        if here not in places:
            places.append(here)
        self._note(const(places.index(here)))

    def _note(self, operand: Input) -> None:
        self._kinds.setdefault(PROGRESS, Kind.UNSET)
        self._rt.emit(Op.MOVE, a=operand, slot=PROGRESS)

    def _members(self, path: Path, members: Mapping[Any, Any]) -> dict[Any, Any]:
        found = {key: self._so_far((*path, key), value) for key, value in members.items()}
        return {key: value for key, value in found.items() if value is not MISSING}

    def _so_far(self, path: Path, value: Any) -> Any:
        """Return what stands for a value as it is now; MISSING of what is not kept."""
        if type(value) is dict and all(isinstance(key, str | int) for key in value):
            return self._members(path, value)
        if type(value) in (list, tuple):
            return type(value)(self._members(path, dict(enumerate(value))).values())
        known = self._kept.get(path)
        whole = isinstance(value, Json) and value.kind is Kind.UNSET and not value.path
        keeps = isinstance(value, Sym) or (isinstance(value, Native) and value.stands_for)
        if (known is not None and known[0] is value) or (keeps and not whole):
            return self._keep(path, value)
        return self._left(path, value) if type(value) in SCALARS else MISSING

    def _left(self, path: Path, value: Any) -> Any:
        if isinstance(value, Native):
            return self._keep(path, value)
        if type(value) is dict and all(isinstance(key, str | int) for key in value):
            return {key: self._left((*path, key), member) for key, member in value.items()}
        if type(value) in (list, tuple):
            return type(value)(
                self._left((*path, number), member) for number, member in enumerate(value)
            )
        if has_symbol(value):
            raise self._rt.refusal(
                f"self.{path[0]} =", f"a {type(value).__name__} can't be kept natively"
            )
        if path in self._slots and type(value) in SCALARS:
            return self._keep(path, value)
        return value

    def _keep(self, path: Path, value: Any) -> Kept:
        rt = self._rt
        known = self._kept.get(path)
        if known is not None and known[0] is value:
            return Kept(path, kind_of(known[1]))
        kept = value
        if isinstance(value, Cond):
            kept = bool(value)
        elif isinstance(value, Native) and not isinstance(value, Sym):
            kept = rt.text(parts_of(value))
        if isinstance(kept, Json) and kept.kind is Kind.UNSET and not kept.path:
            raise rt.refusal(f"self.{path[0]} =", "a whole JSON is not kept", "keep its members")
        kind = kind_of(kept)
        self._kinds.setdefault(path, kind)
        self._types.note(path, value.stands_for if isinstance(value, Native) else None)
        operand = operand_of(kept)
        if operand != Ref(slot=path):
            rt.emit(Op.MOVE, a=operand, slot=path)
        self._kept[path] = value, kept
        return Kept(path, kind)


def merged(ways: list[SetUp], merger: Merger, defaults: dict[str, Any]) -> SetUp:
    """Return what on_start leaves whichever way it goes.

    defaults: attributes that the user has without on_start. Raises Differs.
    """
    made = SetUp()
    for name in _names(way.attributes for way in ways):
        default = defaults.get(name, MISSING)
        found = [way.attributes.get(name, default) for way in ways]
        made.attributes[name] = merger.merge((name,), found)
    for name in _names(way.headers for way in ways):
        found = [way.headers.get(name, MISSING) for way in ways]
        made.headers[name] = merger.merge((HEADERS, name), found)
    for name in _names(way.session for way in ways):
        merger.merge(("client", name), [way.session.get(name, MISSING) for way in ways])
        made.session[name] = ways[0].session[name]
    return made


def _names(found: Iterable[dict[str, Any]]) -> list[str]:
    return list({name: None for one in found for name in one})
