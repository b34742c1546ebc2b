"""The arguments of a recorded request: which there may be, and what is None or empty."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from typing import Any

from opscore_fast.http_session import HttpSession
from opscore_fast.recording.cookies import brought
from opscore_fast.recording.plan import Kind, Test
from opscore_fast.recording.runtime import Runtime
from opscore_fast.recording.symbols import TEXTS, Bytes, Native, Sym, Text, has_symbol, may_be_empty
from opscore_fast.sessions import FastHttpSession

_SCALAR_KINDS = 1 << Kind.BOOL | 1 << Kind.INT | 1 << Kind.FLOAT | 1 << Kind.TEXT
_IGNORED = ("verify", "cert")
_KNOWN = {
    "name", "catch_response", "data", "json", "params", "headers", "auth", "allow_redirects",
}  # fmt: skip


class Arguments:
    """Checks and settles the arguments of a request that is recorded."""

    def __init__(self, rt: Runtime, session: HttpSession | FastHttpSession) -> None:
        self._rt, self._session = rt, session
        self._fast = isinstance(session, FastHttpSession)

    def check(self, method: str, kwargs: dict[str, Any]) -> None:
        """Refuse what is not recorded of a request."""
        session, fast = self._session, self._fast
        for name, value in kwargs.items():
            if name in _KNOWN or (name == "timeout" and not fast and not has_symbol(value)):
                continue
            if name == "cookies":
                self._check_cookies(method, value)
                continue
            default = {"stream": False, "context": None, "files": None}
            if name in default and not value:
                continue
            plain = str(session.base_url).startswith("http:")
            if name in _IGNORED and not fast and (plain or value == getattr(session, name)):
                continue
            raise self._rt.refusal(
                f"{name}=", "of a request it is not recorded", "set it for the session in on_start"
            )

    def _check_cookies(self, method: str, given: Any) -> None:
        if self._fast and (isinstance(given, Native) or given or method == "POST"):
            raise self._rt.refusal(
                "cookies=",
                "FastHttpUser has no such argument: it goes into the query or the form",
                'write headers={"Cookie": f"name={...}"}',
            )

    def settled(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Decide what of the arguments is None or empty: sessions leave that out."""
        settled = dict(kwargs)
        for name in ("params", "data"):
            given = settled.get(name)
            if isinstance(given, dict):
                settled[name] = {key: self._scalar(value) for key, value in given.items()}
            elif isinstance(given, list | tuple) and all(_is_pair(item) for item in given):
                settled[name] = [(key, self._scalar(value)) for key, value in given]
        if isinstance(settled.get("headers"), dict):
            settled["headers"] = {
                key: self._header(key, value) for key, value in settled["headers"].items()
            }
        cookies = settled.get("cookies")
        if isinstance(cookies, Native) or cookies:
            settled["cookies"] = brought(self._rt, cookies)
        settled["json"] = self._not_none(settled.get("json"))
        settled["data"] = data = self._body(settled.get("data"))
        if isinstance(data, Native) or data:
            settled["json"] = None
        return settled

    def _not_none(self, value: Any) -> Any:
        """Return None for a symbol that is None."""
        unsure = isinstance(value, Sym) and not isinstance(value, Text)
        return None if unsure and value.is_none() else value

    def name(self, name: Any) -> Any:
        """Return a name for the statistics; None if there is none, or an empty one."""
        if isinstance(name, Text):
            return None if may_be_empty(name.parts()) and not bool(name) else name
        name = self._not_none(name)
        if name is not None and not isinstance(name, str | Sym):
            raise self._rt.refusal("name=", f"a {type(name).__name__} is no text", "use str()")
        if isinstance(name, Sym) and name.kind not in TEXTS:
            raise self._rt.refusal("name=", "a number is no text", "use str()")
        return name if isinstance(name, Native) else name or None

    def _body(self, data: Any) -> Any:
        """Return the data of a request; None if it is empty."""
        data = self._not_none(data)
        if isinstance(data, bool | int | float) or (
            isinstance(data, Sym) and data.kind not in TEXTS
        ):
            raise self._rt.refusal("data=", "of a number", "make a text of it: str()")
        if isinstance(data, Bytes | Sym):
            parts = data.parts if isinstance(data, Bytes) else self._rt.as_text(data)
            text = self._rt.text(parts)
            if may_be_empty(parts) and not bool(text):
                return None
            return data if isinstance(data, Bytes) else text
        pairs = isinstance(data, list | tuple) and all(_is_pair(item) for item in data)
        if data is not None and not pairs and not isinstance(data, str | bytes | dict):
            raise self._rt.refusal("data=", f"of a {type(data).__name__}", "use a text or a dict")
        return data

    def _header(self, name: Any, value: Any) -> Any:
        """Return a header's value, settled."""
        if not isinstance(name, str):
            raise self._rt.refusal("headers=", "their names must be texts")
        if name.lower() == "content-length":
            raise self._rt.refusal(f"header {name}", "it is that of the body", "leave it out")
        if isinstance(value, str | Text | None) or (self._fast and _is_number(value)):
            return value
        if not isinstance(value, Sym):
            what = type(value).__name__
            raise self._rt.refusal(f"header {name}", f"a {what} is no text", "use str()")
        if self._fast:
            scalars = _SCALAR_KINDS | 1 << Kind.NONE
            if value.kind is Kind.UNSET and not self._rt.fork(Test.KIND, value.operand(), scalars):
                raise self._rt.raising(TypeError(f"the header {name} is no text"))
            return value
        if value.is_none():
            return None
        if value.kind is not Kind.UNSET:
            raise self._rt.refusal(f"header {name}", "a number is no text", "use str()")
        return self._rt.text(self._rt.as_text(value))

    def _scalar(self, value: Any, within: bool = False) -> Any:
        if isinstance(value, list | tuple) and not within:
            return [self._scalar(item, True) for item in value]
        if has_symbol(value) and not isinstance(value, Native):
            raise self._rt.refusal(
                "params= or data=",
                f"a {type(value).__name__} with what is known only when the plan runs, as text",
                "use json.dumps()",
            )
        if isinstance(value, Sym) and not isinstance(value, Text) and value.is_none():
            return None
        unsure = isinstance(value, Sym) and value.kind is Kind.UNSET
        if unsure and not self._rt.fork(Test.KIND, value.operand(), _SCALAR_KINDS):
            raise self._rt.raising(TypeError("a list or object of JSON where a text is needed"))
        return value


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2


def _is_number(value: Any) -> bool:
    """Return whether it is an int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)
