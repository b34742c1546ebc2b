"""Symbols: what stands for values that are known only when the plan runs.

A symbol is no str and no number: what the recorder doesn't know fails on it, and never goes on with
a text that is wrong.
"""

from __future__ import annotations

import uuid
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from opscore_fast.recording.branches import NEVER, Input, Part, Parts, Ref, const
from opscore_fast.recording.plan import SCALARS, Encoding, Kind, Op, Take, Test, kind_of_constant

if TYPE_CHECKING:
    from opscore_fast.recording.runtime import Runtime

TEXTS = frozenset({Kind.TEXT, Kind.UNSET})
"""Kinds of what may be a text."""


class Native:
    """What the recorder itself has: its methods may be called from a task."""

    __slots__ = ("rt",)

    shown: ClassVar[frozenset[str]] = frozenset()
    """Attributes that a task may read; whatever else the recorder has is not there for it."""

    stands_for: ClassVar[type | None] = None
    """What it is in Python, where a slot keeps its text."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt

    def attribute(self, name: str) -> Any:
        """Return an attribute, as the task reads it."""
        if name in self.shown:
            return getattr(self, name)
        if name.startswith("__") and name.endswith("__"):
            raise self.rt.refusal(f".{name}", "what Python itself has is not recorded")
        return type(self).__getattr__(self, name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself asks for
            raise AttributeError(name)
        raise self.rt.refusal(f".{name}", f"{self._what()} has no {name} that can be recorded")

    def _what(self) -> str:
        return "what is known only when the plan runs"

    def _no(self, construct: str, instead: str = "") -> NoReturn:
        raise self.rt.refusal(construct, f"it can't be done with {self._what()}", instead)

    def __iter__(self) -> Any:
        self._no("a loop or unpacking", "use random.choice, an index, or a fixed number of steps")

    def __eq__(self, other: object) -> Any:
        if self is not other and other is not None:
            self._no("a comparison")
        return self is other

    def __hash__(self) -> int:
        self._no("a key of a dict or set")

    def __str__(self) -> str:
        self._no("str() by what is not recorded")

    def __repr__(self) -> str:
        self._no("repr()")

    def __format__(self, spec: str) -> str:
        self._no("format() by what is not recorded")

    def __bytes__(self) -> bytes:
        self._no("bytes()")

    def __int__(self) -> int:
        self._no("int() by what is not recorded")

    def __float__(self) -> float:
        self._no("float() by what is not recorded")

    def __index__(self) -> int:
        self._no("an index or range()")

    def __len__(self) -> int:
        self._no("len() by what is not recorded")

    def __contains__(self, item: Any) -> bool:
        self._no("in")

    def __getitem__(self, key: Any) -> Any:
        self._no("[...]")

    def __setitem__(self, key: Any, value: Any) -> None:
        self._no("[...] =")

    def __delitem__(self, key: Any) -> None:
        self._no("del")

    def __bool__(self) -> bool:
        self._no("a test of truth")


class Cond(Native):
    """A comparison: decided when it is asked for."""

    __slots__ = ("a", "b", "negated", "test")

    def __init__(
        self, rt: Runtime, test: Test, a: Input, b: Input | int, negated: bool = False
    ) -> None:
        super().__init__(rt)
        self.test, self.a, self.b, self.negated = test, a, b, negated

    def __bool__(self) -> bool:
        return self.rt.fork(self.test, self.a, self.b) is not self.negated

    def __eq__(self, other: object) -> Any:
        return bool(self) == other

    __hash__ = Native.__hash__


_DIVISIONS = (Op.TRUEDIV, Op.FLOORDIV, Op.MOD)


def _is_divisor(value: Any) -> bool:
    """Return whether it is known not to be 0."""
    return isinstance(value, int | float) and value != 0


class Sym(Native):
    """A text, a number, a bool or None. kind: UNSET where it is not known before."""

    __slots__ = ("_operand", "kind")

    shown = frozenset(
        {
            *("replace", "lower", "upper", "strip", "lstrip", "rstrip", "startswith", "endswith"),
            *("encode",),
        }
    )

    def __init__(self, rt: Runtime, operand: Input, kind: Kind = Kind.UNSET) -> None:
        super().__init__(rt)
        self._operand = operand
        self.kind = kind

    def operand(self) -> Input:
        """Return what it is for an instruction."""
        return self._operand

    def parts(self) -> Parts:
        """Return what str() of it is."""
        return (Part(self.operand()),)

    # Arithmetic

    def _binary(self, op: Op, other: Any, swapped: bool = False) -> Any:
        if not is_scalar(other):
            self._no("arithmetic", "with numbers or texts only")
        if op is Op.ADD and Kind.TEXT in (self.kind, kind_of(other)):
            if not {self.kind, kind_of(other)} <= TEXTS:
                self._no("+ of a text and something else", "use an f-string or str()")
            first, second = (other, self) if swapped else (self, other)
            return Text(self.rt, self.rt.as_text(first) + self.rt.as_text(second))
        a, b = self.operand(), operand_of(other)
        if swapped:
            a, b = b, a
        if Kind.UNSET in (self.kind, kind_of(other)):
            self.rt.uncaught("arithmetic", TypeError)
        if op in _DIVISIONS and not _is_divisor(self if swapped else other):
            self.rt.uncaught("a division", ZeroDivisionError)
        return self.rt.compute(op, a=a, b=b, kind=_result(op, self.kind, kind_of(other)))

    def __add__(self, other: Any) -> Any:
        return self._binary(Op.ADD, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(Op.ADD, other, True)

    def __sub__(self, other: Any) -> Any:
        return self._binary(Op.SUB, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(Op.SUB, other, True)

    def __mul__(self, other: Any) -> Any:
        if Kind.TEXT in (self.kind, kind_of(other)):
            self._no("a text times a number")
        return self._binary(Op.MUL, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._binary(Op.TRUEDIV, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(Op.TRUEDIV, other, True)

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(Op.FLOORDIV, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(Op.FLOORDIV, other, True)

    def __mod__(self, other: Any) -> Any:
        if self.kind not in (Kind.INT, Kind.FLOAT):
            self._no("%", "use an f-string; for a number, int() of it first")
        return self._binary(Op.MOD, other)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(Op.MOD, other, True)

    def __neg__(self) -> Any:
        return self.rt.compute(Op.NEG, a=self.operand(), kind=self.kind)

    def __abs__(self) -> Any:
        return self.rt.compute(Op.ABS, a=self.operand(), kind=self.kind)

    # Comparisons

    def _compare(self, test: Test, other: Any, negated: bool = False) -> Any:
        if isinstance(other, Native) and not isinstance(other, Sym):
            other = bool(other) if isinstance(other, Cond) else self._no("a comparison with that")
        if not is_scalar(other):
            if test is Test.EQ and self.kind not in (Kind.UNSET, Kind.JSON):
                return negated  # a scalar is no container
            self._no("a comparison with a list or dict", "compare its members")
        cond = Cond(self.rt, test, self.operand(), operand_of(other), negated)
        if test is not Test.EQ and Kind.UNSET in (self.kind, kind_of(other)):
            self.rt.uncaught("a comparison", TypeError)
            return bool(cond)  # now, where it may fail
        return cond

    def __eq__(self, other: object) -> Any:
        return self._compare(Test.EQ, other)

    def __ne__(self, other: object) -> Any:
        return self._compare(Test.EQ, other, True)

    def __lt__(self, other: Any) -> Any:
        return self._compare(Test.LT, other)

    def __le__(self, other: Any) -> Any:
        return self._compare(Test.LE, other)

    def __gt__(self, other: Any) -> Any:
        return self._compare(Test.GT, other)

    def __ge__(self, other: Any) -> Any:
        return self._compare(Test.GE, other)

    __hash__ = Native.__hash__

    def __bool__(self) -> bool:
        return self.rt.fork(Test.TRUE, self.operand(), 0)

    def __contains__(self, item: Any) -> bool:
        if not is_scalar(item):
            self._no("in")
        if self.kind is not Kind.TEXT and self.rt.is_caught(TypeError):
            self._can_contain(item)
        return self.rt.fork(Test.IN, operand_of(item), self.operand())

    def _can_contain(self, item: Any) -> None:
        """Raise a TypeError as Python does, where there can be nothing in it."""
        rt, texts = self.rt, 1 << Kind.TEXT
        if not rt.fork(Test.KIND, self.operand(), texts | 1 << Kind.JSON):
            kind = rt.compute(Op.TYPE, Kind.TEXT, a=self.operand())
            text = rt.fstring("argument of type '", (kind, -1, ""), "' is not iterable")
            raise rt.raising(TypeError(text))
        if kind_of(item) is not Kind.TEXT and rt.fork(Test.KIND, self.operand(), texts):
            self._no("in", "with a text only, where it may be in a text")

    def is_none(self) -> bool:
        """Decide whether it is None."""
        if self.kind is not Kind.UNSET:
            return False
        return self.rt.fork(Test.NONE, self.operand(), 0)

    # Methods of str

    def _text(self) -> None:
        if self.kind not in TEXTS:
            self._no("a method of str")
        if self.kind is Kind.UNSET:
            self.rt.uncaught("a method of str", AttributeError, TypeError)

    def _of_text(self, op: Op, b: Any = 0, c: Any = 0, what: Any = None) -> Text:
        self._text()
        result = self.rt.compute(op, a=self.operand(), b=b, c=c, what=what, kind=Kind.TEXT)
        assert isinstance(result, Text)
        return result

    def __getitem__(self, key: Any) -> Any:
        self._text()
        if isinstance(key, slice):
            if key.step not in (None, 1) or not all(
                isinstance(end, int | None) for end in (key.start, key.stop)
            ):
                self._no("a slice", "with constant ends and without a step")
            return self._of_text(Op.SLICE, const(key.start), const(key.stop))
        if not isinstance(key, int):
            self._no(f"[{key!r}]")
        self.rt.uncaught(f"[{key}] of a text", IndexError)
        return self._of_text(Op.SLICE, const(key), const(key + 1 or None), what=1)

    def replace(self, old: Any, new: Any) -> Text:
        """As str.replace."""
        return self._of_text(Op.REPLACE, operand_of(old), operand_of(new))

    def lower(self) -> Text:
        """As str.lower; of ASCII only, else an error when the plan runs."""
        return self._of_text(Op.LOWER)

    def upper(self) -> Text:
        """As str.upper; of ASCII only, else an error when the plan runs."""
        return self._of_text(Op.UPPER)

    def strip(self) -> Text:
        """As str.strip, of white space."""
        return self._of_text(Op.STRIP, 3)

    def lstrip(self) -> Text:
        """As str.lstrip, of white space."""
        return self._of_text(Op.STRIP, 1)

    def rstrip(self) -> Text:
        """As str.rstrip, of white space."""
        return self._of_text(Op.STRIP, 2)

    def startswith(self, prefix: Any) -> Any:
        """As str.startswith, without a range."""
        return self._at_end(Test.STARTS, prefix)

    def endswith(self, suffix: Any) -> Any:
        """As str.endswith, without a range."""
        return self._at_end(Test.ENDS, suffix)

    def _at_end(self, test: Test, text: Any) -> Any:
        self._text()
        if isinstance(text, tuple):
            return any(bool(self._at_end(test, one)) for one in text)
        if kind_of(text) is not Kind.TEXT:
            self._no("startswith() or endswith()", "of texts only")
        cond = Cond(self.rt, test, self.operand(), operand_of(text))
        return bool(cond) if self.kind is Kind.UNSET else cond  # now, where it may fail

    def encode(self, encoding: str = "utf-8") -> Any:
        """As str.encode to UTF-8."""
        self._text()
        if encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
            self._no(f"encode({encoding!r})", "to UTF-8 only")
        return Bytes(self.rt, self.parts())


class Text(Sym):
    """A text of several parts; it gets a register only where one is needed."""

    __slots__ = ("_parts",)

    def __init__(self, rt: Runtime, parts: Parts) -> None:
        super().__init__(rt, NEVER, Kind.TEXT)
        self._parts = parts

    def parts(self) -> Parts:
        return self._parts

    def operand(self) -> Input:
        if self._operand == NEVER:
            if all(isinstance(part, str) for part in self._parts):
                self._operand = const("".join(str(part) for part in self._parts))
            elif len(self._parts) == 1 and _is_text(self.rt, self._parts[0]):
                part = self._parts[0]
                assert isinstance(part, Part)
                self._operand = part.operand
            else:
                self._operand = self.rt.written_out(self._parts)
        return self._operand


def _is_text(rt: Runtime, part: str | Part) -> bool:
    plain = isinstance(part, Part) and part.encoding is Encoding.TEXT and not part.format
    return plain and isinstance(part, Part) and part.operand in rt.texts


class Bytes(Native):
    """What encode() of a text gave: the body of a request."""

    __slots__ = ("parts",)

    def __init__(self, rt: Runtime, parts: Parts) -> None:
        super().__init__(rt)
        self.parts = parts


class Json(Sym):
    """A part of a response's JSON: path from its root."""

    __slots__ = ("path", "step")

    shown = Sym.shown | {"get"}

    def __init__(self, rt: Runtime, step: int, path: tuple[str | int, ...]) -> None:
        super().__init__(rt, NEVER)
        self.step, self.path = step, path

    def _take(self, path: tuple[str | int, ...]) -> Ref:
        return self.rt.take(self.step, Take.JSON, path)

    def operand(self) -> Input:
        reference = self._take(self.path)
        if not self.path:
            self.rt.need(reference, ("the response is no JSON",), ValueError)
        return reference

    def _path(self, key: Any) -> tuple[str | int, ...]:
        if isinstance(key, Native) or not isinstance(key, str | int) or isinstance(key, bool):
            self._no("[...] of JSON", "with a constant key or index")
        return (*self.path, key)

    def __getitem__(self, key: Any) -> Any:
        path = self._path(key)
        text = f"no {shown_path(path)} in the response's JSON"
        error = KeyError(key) if isinstance(key, str) else IndexError("list index out of range")
        self.rt.need_member(self.step, path, text, error)
        return Json(self.rt, self.step, path)

    def get(self, key: Any, default: Any = None) -> Any:
        """As dict.get."""
        if not isinstance(key, str):
            self._no("get() of JSON", "with a constant key")
        if not self.path:
            self.rt.need_json(self.step)
        path = self._path(key)
        if self.rt.fork(Test.SET, self._take(path), 0):
            return Json(self.rt, self.step, path)
        self.rt.need_object(self.step, self.path, key)
        return default


class Uuid(Native):
    """What uuid.uuid4() gave."""

    __slots__ = ("text",)

    shown = frozenset({"hex"})
    stands_for = uuid.UUID

    def __init__(self, text: Sym) -> None:
        super().__init__(text.rt)
        self.text = text

    @property
    def hex(self) -> Text:
        """As UUID.hex."""
        return self.text.replace("-", "")


class Shown(Native):
    """What a slot keeps the text of: nothing else is known of it."""

    __slots__ = ("text",)

    def __init__(self, text: Sym) -> None:
        super().__init__(text.rt)
        self.text = text

    def as_parts(self) -> Parts:
        """Return what str() is."""
        return self.text.parts()


def shown_path(path: Sequence[Hashable]) -> str:
    """Return a path as it stands in a failure: "a"[0]["b"]."""

    def quoted(step: Hashable) -> str:
        return '"' + step + '"' if isinstance(step, str) else str(step)

    if not path:
        return "value"
    first, *rest = path
    text = quoted(first) if isinstance(first, str) else f"[{first}]"
    return text + "".join(f"[{quoted(step)}]" for step in rest)


def is_scalar(value: Any) -> bool:
    """Return whether it can be an operand."""
    return isinstance(value, Sym) or type(value) in SCALARS


def operand_of(value: Any) -> Input:
    """Return the operand for a symbol or a constant."""
    if isinstance(value, Sym):
        return value.operand()
    if isinstance(value, Native):
        value._no("a value")
    if type(value) not in SCALARS:
        raise TypeError(f"a {type(value).__name__} where a text or number is needed")
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise OverflowError("an int beyond 64 bits")
    return const(value)


def kind_of(value: Any) -> Kind:
    """Return the kind of a symbol or a constant."""
    if isinstance(value, Sym):
        return value.kind
    return kind_of_constant(value)


def parts_of(value: Any) -> Parts:
    """Return what str() of a symbol or of anything else is."""
    if isinstance(value, Sym):
        return value.parts()
    if isinstance(value, Cond):
        return (str(bool(value)),)
    if isinstance(value, Uuid):
        return value.text.parts()
    if hasattr(type(value), "as_parts"):
        return value.as_parts()  # type: ignore[no-any-return]
    if isinstance(value, Native):
        value._no("a text")
    return (str(value),)


def may_be_empty(parts: Parts) -> bool:
    """Return whether a text of these parts may have no letter."""
    return not any(isinstance(part, str) or part.format for part in parts)


def has_symbol(value: Any, depth: int = 0) -> bool:
    """Return whether there is a symbol in a value or in the containers it is made of."""
    if isinstance(value, Native):
        return True
    if depth > 32:
        return False
    if isinstance(value, dict):
        return any(has_symbol(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(has_symbol(item, depth + 1) for item in value)
    if isinstance(value, BaseException):
        return has_symbol(value.args, depth + 1)
    if isinstance(value, slice):
        return has_symbol((value.start, value.stop), depth + 1)
    return False


def _result(op: Op, first: Kind, second: Kind) -> Kind:
    if op is Op.TRUEDIV:
        return Kind.FLOAT
    if Kind.UNSET in (first, second):
        return Kind.UNSET
    return Kind.FLOAT if Kind.FLOAT in (first, second) else Kind.INT
