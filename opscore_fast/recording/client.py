"""The user's client, as a task sees it while it is recorded."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from opscore_fast.http_session import HttpSession
from opscore_fast.recording.arguments import Arguments
from opscore_fast.recording.branches import const
from opscore_fast.recording.markers import Changed, Markers
from opscore_fast.recording.plan import Op, Test
from opscore_fast.recording.request import Builder
from opscore_fast.recording.response import Response
from opscore_fast.recording.runtime import Runtime
from opscore_fast.recording.session import basic_header, session_headers
from opscore_fast.recording.set_up import HEADERS
from opscore_fast.recording.start import Way
from opscore_fast.recording.symbols import Native, Sym, has_symbol, operand_of, parts_of
from opscore_fast.sessions import FastHttpSession

if TYPE_CHECKING:
    from opscore_fast.recording.agent import Agent

_PROTOCOL_RELATIVE = "protocol-relative targets are not origin-form"
"""What geventhttpclient says of a path that begins with two slashes."""

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")

# Arguments that may be given by position, behind the URL: of a method, of request() of both styles.
_OF_METHOD = {"post": ("data", "json"), "put": ("data",), "patch": ("data",)}
_OF_REQUEST = {False: ("name", "catch_response"), True: ("name", "data", "catch_response")}

_SETTABLE = ("headers", "auth", "verify", "cert")


class _SessionHeaders(Native):
    """The headers of the session; those of the user's own are its agents'."""

    __slots__ = ("agent",)

    shown = frozenset({"get", "update"})

    def __init__(self, rt: Runtime, agent: Agent) -> None:
        super().__init__(rt)
        self.agent = agent

    def _name(self, name: Any) -> str | None:
        return next(
            (known for known in self.agent.headers() if known.lower() == str(name).lower()), None
        )

    def __getitem__(self, name: Any) -> Any:
        known = self._name(name)
        if known is None:
            self._no(f"[{name!r}]", "set it in on_start")
        return self.agent.headers()[known]

    def __setitem__(self, name: Any, value: Any) -> None:
        agent = self.agent
        if agent.way is not None:
            self._set_in_on_start(name, value)
            return
        known = self._name(name)
        if known is None or not self._can_vary(known):
            self._no(f"headers[{name!r}] =", "set it in on_start first, if only to a space")
        agent.store((HEADERS, known), value)
        agent.headers()[known] = value

    def _can_vary(self, known: str) -> bool:
        agent = self.agent
        if not isinstance(agent.user.client, HttpSession):
            return False
        return agent.slots.set_up is not None or known in session_headers(agent.user)

    def _set_in_on_start(self, name: Any, value: Any) -> None:
        if not isinstance(name, str) or not (isinstance(value, str | Sym)):
            self._no(f"headers[{name!r}] =", "with a text")
        headers = self.agent.headers()
        if isinstance(headers, dict):
            self.rt.store_into(headers)  # it may be one that agents share
        headers[name] = value

    def __contains__(self, name: Any) -> bool:
        return self._name(name) is not None

    def get(self, name: Any, default: Any = None) -> Any:
        """As dict.get."""
        known = self._name(name)
        return default if known is None else self.agent.headers()[known]

    def update(self, other: Mapping[str, Any]) -> None:
        """As dict.update."""
        for name, value in other.items():
            self[name] = value


class Client(Native):
    """The user's client."""

    __slots__ = ("agent",)

    shown = frozenset({"request", "rename_request"})

    def __init__(self, rt: Runtime, agent: Agent) -> None:
        object.__setattr__(self, "rt", rt)
        object.__setattr__(self, "agent", agent)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _METHODS:
            return _Method(self.rt, self, name)
        session = self.agent.user.client
        if name == "base_url":
            return session.base_url
        if name == "headers" and isinstance(session, HttpSession):
            return _SessionHeaders(self.rt, self.agent)
        if name == "request_name":
            return self.rt.request_name
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "request_name":
            self.rt.request_name = value
        elif self.agent.way is not None:
            self._set_in_on_start(self.agent.way, name, value)
        else:
            raise self.rt.refusal(f"client.{name} =", "it is for all requests", "do it in on_start")

    def _set_in_on_start(self, way: Way, name: str, value: Any) -> None:
        if not isinstance(self.agent.user.client, HttpSession) or name not in _SETTABLE:
            raise self.rt.refusal(f"client.{name} =", "it is not recorded")
        if name != "headers":
            self._set_constant(way, name, value)
            return
        if not isinstance(value, dict | CaseInsensitiveDict) or not all(
            isinstance(key, str) and isinstance(member, str | Sym) for key, member in value.items()
        ):
            raise self.rt.refusal("client.headers =", "only a dict of texts is recorded")
        way.headers = value if isinstance(value, dict) else value.copy()

    def _set_constant(self, way: Way, name: str, value: Any) -> None:
        try:
            good = not has_symbol(value) and (name != "auth" or basic_header(value) is not None)
        except ValueError:
            good = False
        if not good:
            raise self.rt.refusal(
                f"client.{name} =", "only what is the same for all agents is recorded, and Basic"
            )
        way.session[name] = value

    @contextmanager
    def _rename(self, name: Any) -> Generator[None]:
        self.rt.request_name = name
        try:
            yield
        finally:
            self.rt.request_name = None

    def rename_request(self, name: Any) -> Any:
        """As the session's."""
        return self._rename(name)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> Response:
        """As the session's."""
        fast = isinstance(self.agent.user.client, FastHttpSession)
        if not isinstance(method, str) or method != method.upper():
            raise self.rt.refusal("client.request()", "with a method in capitals only")
        return self.send(method, url, _named(self.rt, args, _OF_REQUEST[fast]) | kwargs)

    def send(self, method: str, url: Any, kwargs: dict[str, Any]) -> Response:
        """Record a request; returns its response."""
        rt, user = self.rt, self.agent.user
        fast = isinstance(user.client, FastHttpSession)
        if isinstance(url, Native) and not isinstance(parts_of(url)[0], str):
            raise rt.refusal(
                f"client.{method.lower()}()",
                "the URL begins with what is known only when the plan runs",
                'begin it with a constant: f"/{...}"',
            )
        if fast and isinstance(url, str) and (not url or url.startswith("//")):
            raise rt.refusal(
                f"client.{method.lower()}()", f"of the URL {url!r}", 'begin it with "/"'
            )
        if fast and isinstance(url, Native):
            self._check_start(url)
        arguments = Arguments(rt, user.client)
        arguments.check(method, kwargs)
        caught = bool(kwargs.get("catch_response", False))
        name = arguments.name(kwargs.get("name"))
        if name is None:
            name = arguments.name(rt.request_name)
        if name is None and fast:
            name = url
        kwargs = arguments.settled(kwargs)
        try:
            specs = [
                Builder(self.agent, fast, Markers(length)).spec(method, url, kwargs, caught, name)
                for length in (14, 19)
            ]
        except Changed:
            specs = []
        except (requests.RequestException, ValueError, TypeError) as error:
            raise rt.refusal(f"client.{method.lower()}()", f"{error}") from None
        if not specs or specs[0] != specs[1]:
            raise rt.refusal(
                f"client.{method.lower()}()",
                "something of the request is computed from the letters of what is known only when"
                " the plan runs (such as a host name, a file, credentials, a signature)",
                "compute it in on_start",
            )
        reference = rt.emit(Op.REQUEST, what=specs[0])
        response = Response(rt, reference.step, caught, fast)
        if caught:
            if rt.in_block:
                raise rt.refusal(
                    "catch_response=True",
                    "within the with-block of another such request it is not recorded",
                    "put it behind the block",
                )
            rt.in_block = True
            rt.open_requests.append(response)
        return response

    def _check_start(self, url: Native) -> None:
        """Raise what the task catches if a URL's path begins with two slashes, which can't be asked
        for; where nothing catches it, it is raised natively."""
        rt, base = self.rt, str(self.agent.user.client.base_url)
        first, *others = parts_of(url)
        first = str(first)
        path = urlsplit(first if "://" in first else f"{base}{first}").path
        if path != "/" or not rt.is_caught(ValueError):
            return
        if rt.fork(Test.STARTS, operand_of(url), const(f"{first}/")):
            text = ("invalid request URI '/", *others, "': ", _PROTOCOL_RELATIVE)
            raise rt.raising(ValueError(rt.text(text)))


class _Method(Native):
    """A method of the client, such as get."""

    __slots__ = ("client", "method")

    def __init__(self, rt: Runtime, client: Client, method: str) -> None:
        super().__init__(rt)
        self.client, self.method = client, method

    def __call__(self, url: Any, *args: Any, **kwargs: Any) -> Response:
        given = _named(self.rt, args, _OF_METHOD.get(self.method, ()))
        return self.client.send(self.method.upper(), url, given | kwargs)


def _named(rt: Runtime, args: tuple[Any, ...], names: tuple[str, ...]) -> dict[str, Any]:
    """Return arguments that were given by position, by their names."""
    if len(args) > len(names):
        raise rt.refusal("client.request()", "with more arguments by position", "name them")
    return dict(zip(names, args, strict=False))
