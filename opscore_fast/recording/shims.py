"""What functions that are known do in a recording, by the identity of the function."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import datetime
import json
import math
import random
import re
import secrets
import string
import time
import uuid
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import gevent
from gevent.monkey import get_original

from opscore_fast import values
from opscore_fast.recording.branches import Input, Part, Parts, Ref, const
from opscore_fast.recording.markers import Changed, Markers
from opscore_fast.recording.plan import Encoding, Kind, Op, Source, Take, Test
from opscore_fast.recording.symbols import (
    Bytes,
    Cond,
    Json,
    Native,
    Sym,
    Text,
    Uuid,
    has_symbol,
    is_scalar,
    kind_of,
    operand_of,
    parts_of,
)

if TYPE_CHECKING:
    from opscore_fast.recording.runtime import Runtime

Shim = Callable[..., Any]
_MAX_TABLE = 10_000
_FORMAT = re.compile(r"0?\d{0,3}(\.\d{1,2}[feg]|[dfegxXs])?")
_RE_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.ASCII


def _number(rt: Runtime, value: Any, what: str) -> Input:
    if isinstance(value, Native) and not isinstance(value, Sym):
        value._no(what)
    if not isinstance(value, Sym) and (not isinstance(value, int | float) or value != value):
        raise rt.refusal(what, f"of a {type(value).__name__}")
    return operand_of(value)


def _generate(rt: Runtime, source: Source, kind: Kind, **operands: Input | int) -> Sym:
    return rt.compute(Op.GEN, kind, what=source, **operands)


# random, secrets


def _randrange(rt: Runtime, start: Any, stop: Any = None, step: Any = 1) -> Sym:
    if stop is None:
        start, stop = 0, start
    if not isinstance(step, int) or step <= 0:
        raise rt.refusal("random.randrange()", "with a step above 0 only")
    if isinstance(start, int) and isinstance(stop, int) and start >= stop:
        raise rt.refusal("random.randrange()", "an empty range")
    low, high = (_number(rt, value, "random.randrange()") for value in (start, stop))
    return _generate(rt, Source.RANDRANGE, Kind.INT, a=low, b=high, c=const(step))


def _randint(rt: Runtime, a: Any, b: Any) -> Sym:
    return _randrange(rt, a, b + 1)


def _randbelow(rt: Runtime, exclusive_upper_bound: Any) -> Sym:
    return _randrange(rt, exclusive_upper_bound)


def _choice(rt: Runtime, seq: Any) -> Any:
    if isinstance(seq, Native) or not isinstance(seq, list | tuple | str | range):
        raise rt.refusal("random.choice()", "of a list, tuple or str that is known only")
    entries = list(seq)
    if not 0 < len(entries) <= _MAX_TABLE:
        raise rt.refusal("random.choice()", f"of 1 to {_MAX_TABLE} entries only")
    return rt.pick(entries, _randrange(rt, len(entries)))


class _Letters(Native):
    """What random.choices() of a str gave, to be joined."""

    __slots__ = ("alphabet", "k")

    def __init__(self, rt: Runtime, alphabet: str, k: int) -> None:
        super().__init__(rt)
        self.alphabet, self.k = alphabet, k


def _choices(
    rt: Runtime, population: Any, weights: Any = None, *, cum_weights: Any = None, k: Any = 1
) -> Any:
    if has_symbol(weights) or has_symbol(cum_weights) or not isinstance(k, int):
        raise rt.refusal("random.choices()", "with constant weights and k only")
    plain = isinstance(population, str) and weights is None and cum_weights is None
    if plain and population.isascii() and population and k >= 0:
        return _Letters(rt, population, k)
    if cum_weights is not None:
        weights = [b - a for a, b in zip([0, *cum_weights], cum_weights, strict=False)]
    entries = list(population)
    if weights is not None:
        exact = [Fraction(weight).limit_denominator(_MAX_TABLE) for weight in weights]
        scale = math.lcm(*(weight.denominator for weight in exact))
        counts = [int(weight * scale) for weight in exact]
        shared = math.gcd(*counts) or 1
        counts = [count // shared for count in counts]
        if len(counts) != len(entries) or min(counts) < 0 or not 0 < sum(counts) <= _MAX_TABLE:
            raise rt.refusal("random.choices()", "with weights that are small whole numbers only")
        if not all(is_scalar(entry) for entry in entries):
            return [entries[rt.which(counts)] for _ in range(k)]
        entries = [
            entry for entry, count in zip(entries, counts, strict=True) for _ in range(count)
        ]
    return [_choice(rt, entries) for _ in range(k)]


def _uniform(rt: Runtime, a: Any, b: Any) -> Sym:
    low, high = (_number(rt, value, "random.uniform()") for value in (a, b))
    return _generate(rt, Source.UNIFORM, Kind.FLOAT, a=low, b=high)


def _gauss(rt: Runtime, mu: Any = 0.0, sigma: Any = 1.0) -> Sym:
    mean, deviation = (_number(rt, value, "random.gauss()") for value in (mu, sigma))
    return _generate(rt, Source.GAUSS, Kind.FLOAT, a=mean, b=deviation)


def _expovariate(rt: Runtime, lambd: Any = 1.0) -> Sym:
    rate = _number(rt, lambd, "random.expovariate()")
    return _generate(rt, Source.EXPOVARIATE, Kind.FLOAT, a=rate)


def _getrandbits(rt: Runtime, k: Any) -> Sym:
    if not isinstance(k, int) or not 0 <= k <= 63:
        raise rt.refusal("random.getrandbits()", "of 0 to 63 bits only")
    return _generate(rt, Source.BITS, Kind.INT, a=const(k))


def _token_hex(rt: Runtime, nbytes: int | None = None) -> Sym:
    n = secrets.DEFAULT_ENTROPY if nbytes is None else nbytes
    if isinstance(n, Native) or not 0 <= n <= 4096:
        raise rt.refusal("secrets.token_hex()", "of up to 4096 bytes only")
    return _generate(rt, Source.HEX, Kind.TEXT, a=const(n))


# uuid, time


def _uuid(source: Source) -> Shim:
    def shim(rt: Runtime, *args: Any, **kwargs: Any) -> Uuid:
        if args or kwargs:
            raise rt.refusal("uuid.uuid1()", "without arguments only")
        return Uuid(_generate(rt, source, Kind.TEXT))

    return shim


def _drawn(source: Source, kind: Kind) -> Shim:
    return lambda rt: _generate(rt, source, kind)


def _sleep(rt: Runtime, seconds: Any = 0, ref: bool = True) -> None:
    rt.emit(Op.SLEEP, a=_number(rt, seconds, "sleep()"))


# datetime


class Date(Native):
    """A datetime that is known when the plan runs: microseconds since 1970.

    offset: seconds from UTC; None: local and naive. naive: UTC, but naive.
    """

    __slots__ = ("naive", "offset", "us")

    shown = frozenset({"isoformat", "strftime", "timestamp", "astimezone"})
    stands_for = datetime.datetime

    def __init__(self, rt: Runtime, us: Any, offset: int | None, naive: bool = False) -> None:
        super().__init__(rt)
        self.us, self.offset, self.naive = us, offset, naive

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> Text:
        """As datetime.isoformat."""
        kinds = {"auto": 0, "milliseconds": 1, "seconds": 2}
        if timespec not in kinds or not isinstance(sep, str):
            self._no("isoformat()", "with timespec auto, seconds or milliseconds")
        text: Any = self.rt.compute(
            Op.DATE_ISO,
            Kind.TEXT,
            a=operand_of(self.us),
            b=const(self.offset),
            c=kinds[timespec],
        )
        if self.naive:
            text = text[:-6]
        return text if sep == "T" else text.replace("T", sep)  # type: ignore[no-any-return]

    def strftime(self, format: str) -> Sym:  # noqa: A002
        """As datetime.strftime."""
        if isinstance(format, Native):
            self._no("strftime()", "with a constant format")
        if self.naive and re.search("%[zZsc]", format):
            self._no("strftime()", "of a naive datetime without %z, %Z, %s and %c")
        return self.rt.compute(
            Op.DATE_FORMAT,
            Kind.TEXT,
            a=operand_of(self.us),
            b=const(self.offset),
            c=const(format),
        )

    def timestamp(self) -> Any:
        """As datetime.timestamp."""
        if self.naive:
            self._no("timestamp()", "of utcnow(), which it takes for local time; use now(UTC)")
        return self.us / 1_000_000

    def as_parts(self) -> Parts:
        """Return what str() is."""
        return self.isoformat(" ").parts()

    def __add__(self, other: Any) -> Date:
        if not isinstance(other, datetime.timedelta) or self.offset is None:
            self._no("+", "with a timedelta, of a datetime with a timezone: datetime.now(UTC)")
        us = other // datetime.timedelta(microseconds=1)
        return Date(self.rt, self.us + us, self.offset, self.naive)

    def __sub__(self, other: Any) -> Date:
        if not isinstance(other, datetime.timedelta):
            self._no("-", "with a timedelta")
        return self + -other

    def astimezone(self, tz: Any = None) -> Date:
        """As datetime.astimezone, to a fixed offset."""
        if self.naive:
            self._no("astimezone()", "of utcnow(); use now(UTC)")
        return Date(self.rt, self.us, _offset(self.rt, tz))


def _offset(rt: Runtime, tz: Any) -> int | None:
    if tz is None:
        return None
    if not isinstance(tz, datetime.timezone) or tz.utcoffset(None).microseconds:
        raise rt.refusal("a time zone", "only fixed ones are recorded", "use datetime.UTC")
    return int(tz.utcoffset(None).total_seconds())


def _now(rt: Runtime, tz: Any = None) -> Date:
    return Date(rt, _generate(rt, Source.NOW, Kind.INT), _offset(rt, tz))


def _utcnow(rt: Runtime) -> Date:
    return Date(rt, _generate(rt, Source.NOW, Kind.INT), 0, naive=True)


# Built-in functions


def _on_symbol(function: Any, shim: Shim) -> Shim:
    """Return a shim that leaves to the function what has no symbol."""

    def chosen(rt: Runtime, *args: Any, **kwargs: Any) -> Any:
        if has_symbol(args) or has_symbol(kwargs):
            return shim(rt, *args, **kwargs)
        return function(*args, **kwargs)

    return chosen


def _str(rt: Runtime, value: Any) -> Any:
    if isinstance(value, KeyError):  # whose text is a repr()
        raise rt.refusal("str()", "of a KeyError of what is known only when the plan runs")
    if isinstance(value, BaseException):
        return rt.text(parts_of(value.args[0])) if len(value.args) == 1 else _str(rt, value.args)
    if not isinstance(value, Native):
        raise rt.refusal("str()", "of a list or dict with what is known only when the plan runs")
    return rt.text(parts_of(value))


def _convert(op: Op, kind: Kind, error: type[Exception]) -> Shim:
    def shim(rt: Runtime, value: Any) -> Any:
        if isinstance(value, Cond):
            return int(bool(value))
        if not isinstance(value, Sym):
            value._no(f"{op.name.lower()}()")
        if value.kind in (Kind.TEXT, Kind.UNSET):
            rt.uncaught(f"{op.name.lower()}()", error, TypeError)
        return rt.compute(op, kind, a=value.operand())

    return shim


def _round(rt: Runtime, number: Any, ndigits: Any = None) -> Sym:
    kind = Kind.INT if ndigits is None else kind_of(number)
    return rt.compute(Op.ROUND, kind, a=_number(rt, number, "round()"), b=_digits(rt, ndigits))


def _digits(rt: Runtime, ndigits: Any) -> Input:
    return const(None) if ndigits is None else _number(rt, ndigits, "round()")


def _extreme(op: Op) -> Shim:
    def shim(rt: Runtime, *args: Any) -> Any:
        values = list(args[0]) if len(args) == 1 else list(args)
        result = values[0]
        for value in values[1:]:
            a, b = (_number(rt, given, op.name.lower() + "()") for given in (result, value))
            kinds = {kind_of(result), kind_of(value)}
            kind = kinds.pop() if len(kinds) == 1 else Kind.UNSET
            result = rt.compute(op, kind, a=a, b=b)
        return result

    return shim


def _len(rt: Runtime, value: Any) -> Any:
    if isinstance(value, Bytes):
        part = value.parts[0] if len(value.parts) == 1 else None
        content = isinstance(part, Part) and isinstance(part.operand, Ref) and part.operand.take
        if content != (Take.CONTENT,):
            value._no("len()")
        assert isinstance(part, Part)
        assert isinstance(part.operand, Ref)
        return Sym(rt, rt.take(part.operand.step, Take.SIZE), Kind.INT)
    if isinstance(value, Sym):
        if value.kind is not Kind.TEXT:
            rt.uncaught("len()", TypeError)
        return rt.compute(Op.LEN, Kind.INT, a=value.operand())
    return value._no("len()") if isinstance(value, Native) else len(value)


_KINDS: dict[Any, tuple[Kind, ...]] = {
    str: (Kind.TEXT,),
    bool: (Kind.BOOL,),
    int: (Kind.INT, Kind.BOOL),
    float: (Kind.FLOAT,),
    type(None): (Kind.NONE,),
}


def _isinstance(rt: Runtime, value: Any, types: Any) -> bool:
    actual = getattr(type(value), "actual", None)
    if actual is not None:
        return isinstance(actual(value), types)
    if isinstance(value, Cond):
        return isinstance(True, types)
    if not isinstance(value, Sym):
        return isinstance(value, types)
    given = types if isinstance(types, tuple) else (types,)
    if not all(kind in _KINDS for kind in given):
        raise rt.refusal("isinstance()", "of str, bool, int, float and None only")
    kinds = {kind for asked in given for kind in _KINDS[asked]}
    if value.kind is not Kind.UNSET:
        return value.kind in kinds
    return rt.fork(Test.KIND, value.operand(), sum(1 << kind for kind in kinds))


def _type(rt: Runtime, value: Any) -> Any:
    actual = getattr(type(value), "actual", None)
    return type(actual(value)) if actual is not None else value._no("type()")


def _getattr(rt: Runtime, value: Any, name: Any, *default: Any) -> Any:
    if isinstance(value, Native) and default and not _hasattr(rt, value, name):
        return default[0]
    return rt.getattr(value, name)


def _hasattr(rt: Runtime, value: Any, name: Any) -> bool:
    has = getattr(type(value), "has", None)
    return bool(has(value, name)) if has is not None else value._no("hasattr()")


def _setattr(rt: Runtime, value: Any, name: Any, item: Any) -> None:
    setattr(rt.store_into(value), name, item)


def _truth(rt: Runtime, value: Any) -> bool:
    return bool(value)


# json, re


def _dumps(rt: Runtime, value: Any, **options: Any) -> Any:
    try:
        made = []
        for length in (12, 17):
            markers = Markers(length)
            text = json.dumps(markers.plant(value, Encoding.JSON), **options)
            found: set[str] = set()
            made.append(markers.split(text, found))
            markers.check_all(found)
        if made[0] != made[1] or options.get("ensure_ascii") is False:
            raise Changed
    except Changed:
        raise rt.refusal("json.dumps()", "with these options it can't be recorded") from None
    return rt.text(made[0])


def _body_of(value: Any) -> Ref | None:
    """Return what was taken from a response, if a value is its whole text or content."""
    parts = value.parts if isinstance(value, Bytes) else value.parts() if is_sym(value) else ()
    part = parts[0] if len(parts) == 1 else None
    operand = part.operand if isinstance(part, Part) else None
    whole = isinstance(operand, Ref) and operand.take in ((Take.TEXT,), (Take.CONTENT,))
    return operand if whole and isinstance(operand, Ref) else None


def is_sym(value: Any) -> bool:
    """Return whether a value is a text, number, bool or None that is known later."""
    return isinstance(value, Sym)


def _loads(rt: Runtime, text: Any) -> Json:
    body = _body_of(text)
    if body is None:
        raise rt.refusal("json.loads()", "of a response's text only")
    rt.read_json(body.step, json.JSONDecodeError("Expecting value", "", 0))
    return Json(rt, body.step, ())


class Match(Native):
    """What re.search gave."""

    __slots__ = ("_body", "_regex", "_text")

    shown = frozenset({"group", "groups"})

    def __init__(self, rt: Runtime, regex: tuple[str, int], text: Sym) -> None:
        super().__init__(rt)
        self._regex, self._text, self._body = regex, text, _body_of(text)

    def _group(self, group: int) -> Ref:
        if self._body is not None:
            return self.rt.take(self._body.step, Take.REGEX, self._regex, group)
        return self.rt.search(self._regex, self._text.operand(), group)

    def __bool__(self) -> bool:
        return self.rt.fork(Test.SET, self._group(0), 0)

    def is_none(self) -> bool:
        """Decide whether there is no match."""
        return not self

    def group(self, *groups: Any) -> Any:
        """As Match.group; a group that took no part fails the request."""
        if len(groups) > 1:
            return tuple(self.group(group) for group in groups)
        group = groups[0] if groups else 0
        index = re.compile(*self._regex).groupindex.get(str(group), group)
        if not isinstance(index, int) or not 0 <= index <= re.compile(*self._regex).groups:
            self._no(f"group({group!r})")
        reference = self._group(index)
        self.rt.need(
            reference, (f"no match of {self._regex[0]!r} in the response",), AttributeError
        )
        if index:  # it may have taken no part in the match
            return Sym(self.rt, reference)
        self.rt.texts.add(reference)
        return Text(self.rt, (Part(reference),))

    def groups(self) -> Any:
        """As Match.groups."""
        return tuple(self.group(n + 1) for n in range(re.compile(*self._regex).groups))

    def __getitem__(self, group: Any) -> Any:
        return self.group(group)


def _search(rt: Runtime, pattern: Any, text: Any, flags: int = 0) -> Any:
    compiled = re.compile(pattern, flags)
    if not isinstance(compiled.pattern, str) or not isinstance(text, Sym):
        raise rt.refusal("re.search()", "of a text by a str only")
    known = compiled.flags & ~re.UNICODE
    if known & ~_RE_FLAGS:
        raise rt.refusal("re.search()", "with flags that are not recorded")
    return Match(rt, (compiled.pattern, int(known)), text)


# Texts


def method_of_str(rt: Runtime, text: str, name: str, args: Any, kwargs: Any) -> Any:
    """Return what a method of a constant str gives for symbols."""
    if name == "join" and len(args) == 1:
        if isinstance(args[0], _Letters) and not text:
            letters = args[0]
            alphabet = const(letters.alphabet)
            return _generate(rt, Source.STRING, Kind.TEXT, a=const(letters.k), b=alphabet)
        parts: list[str | Part] = []
        for number, item in enumerate(args[0]):
            if not isinstance(item, str) and kind_of(item) not in (Kind.TEXT, Kind.UNSET):
                raise rt.refusal("join()", "of texts only", "use str()")
            parts += [text] if number and text else []
            parts += rt.as_text(item)
        return rt.text(tuple(parts))
    if name == "format":
        return _format_method(rt, text, args, kwargs)
    if name in ("replace", "startswith", "endswith") and not kwargs and is_scalar(args[0]):
        return getattr(Sym(rt, const(text), Kind.TEXT), name)(*args)
    raise rt.refusal(f"str.{name}()", "with what is known only when the plan runs")


def _format_method(rt: Runtime, text: str, args: Any, kwargs: Any) -> Any:
    parts: list[str | Part] = []
    automatic = 0
    for literal, name, spec, conversion in string.Formatter().parse(text):
        parts.append(literal)
        if name is None:
            continue
        if not name:
            name, automatic = str(automatic), automatic + 1
        if not re.fullmatch(r"\w+", name) or "{" in (spec or ""):
            raise rt.refusal("format()", "with plain names and numbers only", "use an f-string")
        value = args[int(name)] if name.isdigit() else kwargs[name]
        parts += formatted(rt, value, ord(conversion) if conversion else -1, spec or "")
    return rt.text(tuple(parts))


def percent(rt: Runtime, text: str, values: Any) -> Any:
    """Return text % values."""
    given = values if isinstance(values, tuple | dict) else (values,)
    parts: list[str | Part] = []
    number = end = 0
    for match in re.finditer(r"%(?:\((\w+)\))?([-+# 0]*\d*(?:\.\d+)?)(.)", text, re.DOTALL):
        parts.append(text[end : match.start()])
        end = match.end()
        name, spec, kind = match.groups()
        if kind == "%":
            parts.append("%")
            continue
        if isinstance(given, dict):
            value = given[name]
        else:
            value, number = given[number], number + 1
        if not has_symbol(value):
            parts.append(f"%{spec}{kind}" % (value,))
        elif kind not in "sdifexXg" or (kind == "s" and spec):
            raise rt.refusal("%", f"%{spec}{kind} is not recorded", "use an f-string")
        elif kind == "s":
            parts += formatted(rt, value, ord("s"), "")
        else:
            parts += formatted(rt, value, -1, spec + kind.replace("i", "d"))
    parts.append(text[end:])
    if not isinstance(given, dict) and number != len(given):
        raise rt.refusal("%", "not all arguments are used")
    return rt.text(tuple(parts))


def formatted(rt: Runtime, value: Any, conversion: int, spec: Any) -> Parts:
    """Return format(value, spec) as parts, after a conversion (ord of a letter, or -1)."""
    if not has_symbol(value) and not isinstance(spec, Native):
        convert: Any = {115: str, 114: repr, 97: ascii}.get(conversion)
        return (format(convert(value) if convert else value, spec),)
    if isinstance(value, BaseException):
        value, conversion = _str(rt, value), -1
    if isinstance(spec, Native) or not isinstance(value, Native):
        raise rt.refusal("a format", "of a list or dict, or with a spec known only later")
    if conversion in (114, 97) and kind_of(value) not in (Kind.INT, Kind.FLOAT):
        raise rt.refusal("!r", "repr() of a text is not recorded", "put the quotes yourself")
    if isinstance(value, Date) and spec:
        return value.strftime(spec).parts()
    if not spec:
        return parts_of(value)
    if not isinstance(value, Sym) or not _FORMAT.fullmatch(spec):
        raise rt.refusal(f"the format {spec!r}", "only [0][width][.precision][d f e g x X s]")
    if spec[-1] == "d" and value.kind is Kind.FLOAT:
        raise rt.refusal(f"the format {spec!r}", "of a float")
    if conversion == 115 or value.kind is Kind.TEXT or spec.endswith("s"):
        raise rt.refusal(f"the format {spec!r}", "texts are not padded natively")
    return (Part(value.operand(), Encoding.TEXT, spec),)


_SHIMS: dict[Any, Shim] = {
    random.random: _drawn(Source.RANDOM, Kind.FLOAT),
    random.uniform: _uniform,
    random.randint: _randint,
    random.randrange: _randrange,
    random.choice: _choice,
    random.choices: _choices,
    random.gauss: _gauss,
    random.normalvariate: _gauss,
    random.expovariate: _expovariate,
    random.getrandbits: _getrandbits,
    secrets.choice: _choice,
    secrets.randbelow: _randbelow,
    secrets.token_hex: _token_hex,
    uuid.uuid4: _uuid(Source.UUID4),
    uuid.uuid1: _uuid(Source.UUID1),
    time.time: _drawn(Source.TIME, Kind.FLOAT),
    time.time_ns: _drawn(Source.TIME_NS, Kind.INT),
    time.monotonic: _drawn(Source.MONOTONIC, Kind.FLOAT),
    time.perf_counter: _drawn(Source.MONOTONIC, Kind.FLOAT),
    time.sleep: _sleep,
    get_original("time", "sleep"): _sleep,
    gevent.sleep: _sleep,
    datetime.datetime.now: _now,
    datetime.datetime.utcnow: _utcnow,
    str: _on_symbol(str, _str),
    int: _on_symbol(int, _convert(Op.INT, Kind.INT, ValueError)),
    float: _on_symbol(float, _convert(Op.FLOAT, Kind.FLOAT, ValueError)),
    bool: _on_symbol(bool, _truth),
    len: _on_symbol(len, _len),
    abs: _on_symbol(abs, lambda rt, value: abs(value)),
    round: _on_symbol(round, _round),
    min: _on_symbol(min, _extreme(Op.MIN)),
    max: _on_symbol(max, _extreme(Op.MAX)),
    format: _on_symbol(format, lambda rt, value, spec="": rt.text(formatted(rt, value, -1, spec))),
    isinstance: _on_symbol(isinstance, _isinstance),
    type: _on_symbol(type, _type),
    getattr: _on_symbol(getattr, _getattr),
    hasattr: _on_symbol(hasattr, _hasattr),
    setattr: _setattr,
    json.dumps: _on_symbol(json.dumps, _dumps),
    json.loads: _on_symbol(json.loads, _loads),
    re.search: _on_symbol(re.search, _search),
}


# opscore_fast.values


def _value(values_object: Any) -> Shim | None:
    """Return what stands for one of opscore_fast.values' objects; None for anything else."""
    match values_object:
        case values.Counter():
            return lambda rt: rt.count(values_object, values_object.start, values_object.step)
        case values.Choice(values=entries, weights=None):
            return lambda rt: _choice(rt, entries)
        case values.Choice(values=entries, weights=weights):
            return lambda rt: _choices(rt, entries, weights)[0]
        case values.RandomString():
            letters = values_object.alphabet, values_object.length
            return lambda rt: method_of_str(rt, "", "join", (_Letters(rt, *letters),), {})
        case values.Rows(rows=rows, order="random"):
            return lambda rt: _choice(rt, rows)
        case values.Rows(rows=rows, order=order):

            def row(rt: Runtime) -> Any:
                number = rt.count(values_object, 0, 1)
                return rt.pick(rows, number if order == "unique" else number % len(rows))

            return row
    return None


def find(function: Any) -> Shim | None:
    """Return what stands for a function; None if it is not known."""
    if function is values.env:
        return lambda rt, *args: values.env(*args)
    shim = _value(function)
    if shim is not None:
        return shim
    owner = getattr(function, "__self__", None)
    if isinstance(owner, re.Pattern) and function.__name__ == "search":
        return _on_symbol(function, lambda rt, text: _search(rt, owner, text))
    try:
        return _SHIMS.get(function)
    except TypeError:
        return None
