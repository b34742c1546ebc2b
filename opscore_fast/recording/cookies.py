"""cookies= of a request, as requests puts it into a jar of its own for that request."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import Cookie, CookieJar
from typing import Any

from opscore_fast.recording.plan import CookieScope, Kind, Op, Test
from opscore_fast.recording.runtime import Runtime
from opscore_fast.recording.symbols import Sym, Text, parts_of

_UNSENDABLE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
"""A character that no header can have."""

_LATE = 1 << 62  # seconds since 1970


@dataclass(frozen=True)
class Brought:
    """A cookie that a request brings along. value: a str, a symbol, or None for its name alone."""

    name: str
    value: Any
    scope: CookieScope


def brought(rt: Runtime, given: Any) -> list[Brought]:
    """Return the cookies of a request's cookies=. Raises what the task sees for a bad value."""
    if isinstance(given, CookieJar):
        return list(_of_jar(rt, given))
    if not isinstance(given, dict):
        raise rt.refusal(
            "cookies=",
            f"of a {type(given).__name__}",
            "write a dict of texts, or use a CookieJar that was made outside of the task",
        )
    scope = CookieScope()
    return [Brought(_name(rt, name), _value(rt, name, item), scope) for name, item in given.items()]


def _of_jar(rt: Runtime, jar: CookieJar) -> Iterator[Brought]:
    for cookie in jar:
        if cookie.version or cookie.port is not None:
            raise rt.refusal(
                f"cookie {cookie.name}", "of a version or for ports", "leave these out of it"
            )
        value = _value(rt, cookie.name, cookie.value)
        yield Brought(_name(rt, cookie.name), value, _scope_of(rt, cookie))


def _scope_of(rt: Runtime, cookie: Cookie) -> CookieScope:
    for text in (cookie.domain, cookie.path):
        if not isinstance(text, str) or _UNSENDABLE.search(text):
            raise rt.refusal(f"cookie {cookie.name}", f"its domain or path is {text!r}")
    return CookieScope(
        domain=cookie.domain.removeprefix("."),
        path=cookie.path,
        host_only=not cookie.domain.startswith("."),
        secure=bool(cookie.secure),
        expires=None if cookie.expires is None else max(-_LATE, min(cookie.expires, _LATE)),
    )


def _name(rt: Runtime, name: Any) -> str:
    if not isinstance(name, str):
        raise rt.refusal("cookies=", "their names must be texts")
    if _UNSENDABLE.search(name):
        raise rt.refusal(f"cookie {name!r}", "its name has a character that no header can have")
    return name


def _value(rt: Runtime, name: Any, value: Any) -> Any:
    if isinstance(value, str | Text | None):
        return value
    if not isinstance(value, Sym) or value.kind is not Kind.UNSET:
        what = "number" if isinstance(value, Sym | int | float) else type(value).__name__
        raise rt.refusal(f"cookie {name}", f"a {what} is no text", "use str()")
    if value.is_none():
        return None
    operand = value.operand()
    if not rt.fork(Test.KIND, operand, 1 << Kind.TEXT):
        kind = rt.compute(Op.TYPE, Kind.TEXT, a=operand)
        text = rt.fstring("'", (kind, -1, ""), "' object has no attribute 'startswith'")
        raise rt.raising(AttributeError(text))
    rt.texts.add(operand)
    return rt.text(parts_of(value))
