"""The user, its client and its responses, as a task sees them while it is recorded."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import json
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType
from typing import Any
from urllib.parse import urlsplit

import requests
from locust.env import Environment
from locust.event import EventHook
from locust.exception import CatchResponseError, ResponseError
from locust.user import User
from locust.user.task import TaskSet
from requests.structures import CaseInsensitiveDict

from opscore_fast.exceptions import ConnectError
from opscore_fast.http_session import HttpSession, _timeouts, default_headers
from opscore_fast.recording.branches import Part, Parts, Ref, RequestSpec, const
from opscore_fast.recording.markers import Changed, Markers
from opscore_fast.recording.plan import SCALARS, Encoding, Kind, Op, Take, Test
from opscore_fast.recording.refusal import Refusal
from opscore_fast.recording.rest import rest, rest_
from opscore_fast.recording.runtime import EndOfPath, Runtime, error_of
from opscore_fast.recording.set_up import HEADERS, Kept, SetUp, Types
from opscore_fast.recording.start import Way
from opscore_fast.recording.symbols import (
    Bytes,
    Cond,
    Json,
    Native,
    Shown,
    Sym,
    Text,
    Uuid,
    has_symbol,
    kind_of,
    may_be_empty,
    operand_of,
    parts_of,
)
from opscore_fast.sessions import FastHttpSession
from opscore_fast.urls import with_params

AUTH = "client.auth"
"""First step of a slot's path: the Authorization header of the session."""

_PROTOCOL_RELATIVE = "protocol-relative targets are not origin-form"
"""What geventhttpclient says of a path that begins with two slashes."""

_NOWHERE = "/nonexistent/opscore-fast"  # a socket that no connection is made to

# What is Locust's own among a user's attributes.
LOCUSTS = {
    "client", "environment", "fixtures", "functions", "_state", "_greenlet", "_group",
    "_taskset_instance", "_cp_last_run", "_cp_last_wait_time", "_task_queue",
}  # fmt: skip


def session_headers(user: Any) -> dict[str, str]:
    """Return the headers of a user's session which may be other ones for another user."""
    client = user.client
    if isinstance(client, HttpSession):
        usual = default_headers()
        return {name: value for name, value in client.headers.items() if usual.get(name) != value}
    return {name: str(value) for name, value in (user.default_headers or {}).items()}


def session_auth(user: Any) -> str | None:
    """Return the Authorization header that a user's session sends by itself.

    Raises ValueError for a kind that is not Basic.
    """
    client = user.client
    if isinstance(client, FastHttpSession):
        return client.auth_header
    return basic_header(client.auth)


def basic_header(auth: Any) -> str | None:
    """Return the Authorization header for a session's auth. Raises ValueError as session_auth."""
    if auth is None:
        return None
    if isinstance(auth, tuple):
        auth = requests.auth.HTTPBasicAuth(*auth)
    if type(auth) is not requests.auth.HTTPBasicAuth:
        raise ValueError("client.auth is of another kind than Basic")
    request = requests.Request("GET", "http://localhost/", auth=auth).prepare()
    return str(request.headers["Authorization"])


_RESTS = {"rest": rest, "rest_": rest_}


class Slots:
    """What is known of each agent by itself: paths, with what they had when recorded."""

    def __init__(self) -> None:
        self.kinds: dict[tuple[str | int, ...], Kind] = {}
        self.types = Types()
        self.shapes: dict[tuple[str | int, ...], Any] = {}
        self.set_up: SetUp | None = None
        """What a recorded on_start leaves; None: on_start has run on the user."""


class Agent(Native):
    """The user, as a task sees it. way: what on_start has set, while that is recorded."""

    __slots__ = ("_headers", "client", "slots", "user", "way")

    shown = frozenset({"client"})

    def __init__(self, rt: Runtime, user: Any, slots: Slots, way: Way | None = None) -> None:
        for name, value in {"rt": rt, "user": user, "slots": slots, "way": way}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "client", Client(rt, self))
        object.__setattr__(self, "_headers", None)
        if way is not None and isinstance(user.client, HttpSession):
            way.headers = self._first_headers()

    def _first_headers(self) -> Any:
        """Return the headers of the session before on_start, those of the user's own as symbols."""
        headers, own = self.user.client.headers, session_headers(self.user)
        return type(headers)(
            {
                name: self._kept_header(name) if name in own else value
                for name, value in headers.items()
            }
        )

    def _kept_header(self, name: str) -> Any:
        path = (HEADERS, name)
        if path not in self.rt.attributes:
            self.rt.attributes[path] = self.slot(path, Kind.TEXT)
        return self.rt.attributes[path]

    def headers(self) -> Any:
        """Return the headers of the session, a mapping of texts and symbols."""
        if self.way is not None and self.way.headers is not None:
            return self.way.headers
        if self._headers is None:
            object.__setattr__(self, "_headers", self._made_headers())
        return self._headers

    def _made_headers(self) -> Any:
        if isinstance(self.user.client, FastHttpSession):
            return {name: self._kept_header(name) for name in session_headers(self.user)}
        if self.slots.set_up is None:
            return self._first_headers()
        made = CaseInsensitiveDict[Any]()
        for name, form in self.slots.set_up.headers.items():
            if not isinstance(form, Kept):
                made[name] = form
            elif self._is_left(form):
                made[name] = self._kept_header(name)
        return made

    def authorization(self) -> Any:
        """Return the session's Authorization header: None, a text or a symbol."""
        made = self.way.session if self.way is not None else None
        if made is None and self.slots.set_up is not None:
            made = self.slots.set_up.session
        if made is not None and "auth" in made:
            return basic_header(made["auth"])
        if session_auth(self.user) is None:
            return None
        return self.slot((AUTH,), Kind.TEXT)

    def actual(self) -> Any:
        """Return what it stands for."""
        return self.user

    def super_of(self, cls: type) -> Any:
        """Return super() within a method of cls."""
        return _Super(self.rt, self, cls)

    def has(self, name: str) -> bool:
        """Return whether there is an attribute; hasattr()."""
        if (name,) in self.rt.attributes or hasattr(self.user, name):
            return True
        if (name,) in self.rt.written and self.way is None:
            raise self.rt.refusal(
                f"hasattr() or getattr() of .{name}",
                "whether a task has set it is not known",
                "set it in on_start",
            )
        set_up = self.slots.set_up
        if set_up is None or name not in set_up.attributes:
            return False
        return self._is_left(set_up.attributes[name])

    def _is_left(self, form: Any) -> bool:
        """Return whether on_start has set what a form stands for, which may be a fork."""
        if isinstance(form, Kept) and form.maybe:
            return self.rt.fork(Test.SET, Ref(slot=form.path), 0)
        return True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        rt, set_up = self.rt, self.slots.set_up
        if set_up is not None and name in set_up.attributes and (name,) not in rt.attributes:
            return self._set_up_attribute(name, set_up.attributes[name])
        own = name in self.user.__dict__ and name not in LOCUSTS
        changes = (name,) in rt.written and self.way is None  # if the class has it, too
        if own or changes or (name,) in rt.attributes:
            return self._attribute(name)
        if name == "environment":
            return _Environment(rt, self.user.environment)
        for cls in type(self.user).__mro__:
            if name in _RESTS and cls.__module__.partition(".")[0] in ("locust", "opscore_fast"):
                return partial(_RESTS[name], self)
            if name in cls.__dict__:
                return _class_attribute(rt, self, type(self.user), cls.__dict__[name])
        raise rt.refusal(
            f".{name}",
            f"{type(self.user).__name__} has no {name}",
            "set it in on_start",
        )

    def _attribute(self, name: str) -> Any:
        path = (name,)
        if path in self.rt.attributes:
            return self.rt.attributes[path]
        value = self.user.__dict__.get(name)
        if name not in self.user.__dict__:
            value = None
        read = self.rt.attributes[path] = self._symbols(path, value)
        if isinstance(read, list | dict):
            self.rt.note_shared(read)
        return read

    def _set_up_attribute(self, name: str, form: Any) -> Any:
        """Return what on_start has left as an attribute."""
        rt = self.rt
        if not self._is_left(form):
            what = f"{type(self.user).__name__!r} object has no attribute {name!r}"
            raise rt.raising(AttributeError(what))
        read = rt.attributes[name,] = self._symbols_of(form)
        rt.note_shared(read)
        return read

    def _symbols_of(self, form: Any) -> Any:
        if isinstance(form, Kept):
            return self._symbol_of(form)
        if type(form) is dict:
            return {key: self._symbols_of(member) for key, member in form.items()}
        if type(form) in (list, tuple):
            return type(form)(self._symbols_of(member) for member in form)
        return form

    def _symbol_of(self, kept: Kept) -> Native:
        symbol, kind = self.slot(kept.path, kept.kind), self.slots.types.only(kept.path)
        if kind is None or kept.path in self.rt.written:
            return symbol
        return Uuid(symbol) if kind is uuid.UUID else Shown(symbol)

    def _symbols(self, path: tuple[str | int, ...], value: Any) -> Any:
        """Return a value of the user with symbols in the place of texts and numbers."""
        if type(value) in SCALARS:
            return self.slot(path, kind_of(value))
        if isinstance(value, dict) and all(isinstance(key, str | int) for key in value):
            self.slots.shapes[path] = shape(value)
            return {key: self._symbols((*path, key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            self.slots.shapes[path] = shape(value)
            return type(value)(
                self._symbols((*path, number), item) for number, item in enumerate(value)
            )
        raise self.rt.refusal(
            f".{path[0]}",
            f"a {type(value).__name__} of the user can't be kept natively",
            "keep texts, numbers, bools, or lists and dicts of these",
        )

    def slot(self, path: tuple[str | int, ...], kind: Kind) -> Sym:
        """Return the symbol for an agent's value, as it is now."""
        self.slots.kinds.setdefault(path, kind)
        reference = Ref(slot=path)
        if path in self.rt.written or kind is Kind.NONE:
            kind = Kind.UNSET
        if path in self.rt.written or self.way is not None:  # it may be set, and this read again
            return self.rt.compute(Op.MOVE, kind, a=reference)
        if kind is Kind.TEXT:
            self.rt.texts.add(reference)
            return Text(self.rt, (Part(reference),))
        return Sym(self.rt, reference, kind)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in LOCUSTS or (hasattr(type(self.user), name) and not _is_plain(self.user, name)):
            raise self.rt.refusal(f"self.{name} =", "an attribute of Locust's own, or a property")
        if self.way is not None:
            self.way.store(name, value)
        else:
            self.store((name,), value)

    def store(self, path: tuple[str | int, ...], value: Any) -> None:
        """Keep a text or number as an attribute of the agent."""
        rt = self.rt
        self.slots.types.note(path, value.stands_for if isinstance(value, Native) else None)
        if isinstance(value, Native) and not isinstance(value, Sym):
            value = bool(value) if isinstance(value, Cond) else rt.text(parts_of(value))
        if not isinstance(value, Sym | str | int | float | bool | None):
            raise rt.refusal(
                f"self.{path[0]} =", "only texts, numbers, bools and None are kept natively"
            )
        if isinstance(value, Json) and value.kind is Kind.UNSET and not value.path:
            raise rt.refusal(f"self.{path[0]} =", "a whole JSON is not kept", "keep its members")
        self.slots.kinds.setdefault(path, kind_of(self.user.__dict__.get(str(path[0]))))
        rt.stored.add(path)
        rt.emit(Op.MOVE, a=operand_of(value), slot=path)
        rt.attributes[path] = value


def _is_plain(user: Any, name: str) -> bool:
    return type(getattr(type(user), name)) in (*SCALARS, list, dict, tuple)


def shape(value: Any) -> Any:
    """Return what must be the same in a container of every agent."""
    if isinstance(value, dict):
        return "dict", tuple(value)
    return type(value).__name__, len(value)


class _Nothing(Native):
    """A method that does nothing."""

    __slots__ = ()

    def __call__(self) -> None:
        pass


def _class_attribute(rt: Runtime, instance: Any, cls: type, found: Any) -> Any:
    if found is User.on_start:
        return _Nothing(rt)
    if isinstance(found, FunctionType):
        if not rt.is_users(found):
            raise rt.refusal(f".{found.__name__}()", "a method of Locust's own is not recorded")
        return MethodType(found, instance)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(found, classmethod):
        return MethodType(found.__func__, cls)
    if isinstance(found, property):
        if found.fget is None:
            raise rt.refusal("a property", "can't be read")
        return rt.call(found.fget, instance)
    if hasattr(type(found), "__get__"):
        raise rt.refusal("a descriptor", "only methods and properties are recorded")
    rt.note_shared(found)
    return found


class _Super(Native):
    __slots__ = ("cls", "instance")

    def __init__(self, rt: Runtime, instance: Any, cls: type) -> None:
        super().__init__(rt)
        self.instance, self.cls = instance, cls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        actual = type(self.instance.actual())
        order = actual.__mro__
        for cls in order[order.index(self.cls) + 1 :]:
            if name in cls.__dict__:
                return _class_attribute(self.rt, self.instance, actual, cls.__dict__[name])
        return super().__getattr__(name)


class TaskSetSelf(Native):
    """A nested TaskSet, as its tasks see it."""

    __slots__ = ("cls", "user")

    shown = frozenset({"user"})

    def __init__(self, rt: Runtime, cls: type[TaskSet], user: Agent) -> None:
        object.__setattr__(self, "rt", rt)
        object.__setattr__(self, "cls", cls)
        object.__setattr__(self, "user", user)

    def actual(self) -> Any:
        """Return an object of its class, without what __init__ does."""
        return self.cls.__new__(self.cls)

    def super_of(self, cls: type) -> Any:
        """Return super() within a method of cls."""
        return _Super(self.rt, self, cls)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "client":
            return self.user.client
        if name in ("parent", "interrupt", "schedule_task", "wait", "_sleep"):
            raise self.rt.refusal(f".{name}", "of a nested TaskSet it is not recorded")
        for cls in self.cls.__mro__:
            if name in cls.__dict__:
                return _class_attribute(self.rt, self, self.cls, cls.__dict__[name])
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise self.rt.refusal(
            f"self.{name} =", "attributes of a TaskSet are not kept", f"write self.user.{name} ="
        )


class _Environment(Native):
    __slots__ = ("environment",)

    def __init__(self, rt: Runtime, environment: Environment) -> None:
        super().__init__(rt)
        self.environment = environment

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("host", "parsed_options", "tags", "exclude_tags"):
            return getattr(self.environment, name)
        raise self.rt.refusal(
            f".environment.{name}", "what changes during the run can't be recorded"
        )


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


_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")

# Arguments that may be given by position, behind the URL: of a method, of request() of both styles.
_OF_METHOD = {"post": ("data", "json"), "put": ("data",), "patch": ("data",)}
_OF_REQUEST = {False: ("name", "catch_response"), True: ("name", "data", "catch_response")}

_TEXTS = (Kind.TEXT, Kind.UNSET)
_SCALAR_KINDS = 1 << Kind.BOOL | 1 << Kind.INT | 1 << Kind.FLOAT | 1 << Kind.TEXT
_IGNORED = ("verify", "cert")
_SETTABLE = ("headers", "auth", "verify", "cert")
_KNOWN = {
    "name", "catch_response", "data", "json", "params", "headers", "auth", "allow_redirects",
}  # fmt: skip


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
        self._check(kwargs, fast)
        caught = bool(kwargs.get("catch_response", False))
        name = self._given(kwargs.get("name"))
        if name is None:
            name = self._given(rt.request_name)
        if name is None and fast:
            name = url
        kwargs = self._settled(kwargs, fast)
        try:
            specs = [
                _Build(self.agent, fast, Markers(length)).spec(method, url, kwargs, caught, name)
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
        response = Response(rt, reference.step, self.agent, caught, fast)
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

    def _check(self, kwargs: dict[str, Any], fast: bool) -> None:
        rt, session = self.rt, self.agent.user.client
        for name, value in kwargs.items():
            if name in _KNOWN or (name == "timeout" and not fast and not has_symbol(value)):
                continue
            default = {"stream": False, "context": None, "files": None, "cookies": None}
            if name in default and not value:
                continue
            plain = str(session.base_url).startswith("http:")
            if name in _IGNORED and not fast and (plain or value == getattr(session, name)):
                continue
            raise rt.refusal(
                f"{name}=", "of a request it is not recorded", "set it for the session in on_start"
            )

    def _settled(self, kwargs: dict[str, Any], fast: bool) -> dict[str, Any]:
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
                key: self._header(key, value, fast) for key, value in settled["headers"].items()
            }
        settled["json"] = self._not_none(settled.get("json"))
        settled["data"] = data = self._body(settled.get("data"))
        if isinstance(data, Native) or data:
            settled["json"] = None
        return settled

    def _not_none(self, value: Any) -> Any:
        """Return None for a symbol that is None."""
        unsure = isinstance(value, Sym) and not isinstance(value, Text)
        return None if unsure and value.is_none() else value

    def _given(self, name: Any) -> Any:
        """Return a name for the statistics; None if there is none, or an empty one."""
        if isinstance(name, Text):
            return None if may_be_empty(name.parts()) and not bool(name) else name
        name = self._not_none(name)
        if name is not None and not isinstance(name, str | Sym):
            raise self.rt.refusal("name=", f"a {type(name).__name__} is no text", "use str()")
        if isinstance(name, Sym) and name.kind not in _TEXTS:
            raise self.rt.refusal("name=", "a number is no text", "use str()")
        return name if isinstance(name, Native) else name or None

    def _body(self, data: Any) -> Any:
        """Return the data of a request; None if it is empty."""
        data = self._not_none(data)
        if isinstance(data, bool | int | float) or (
            isinstance(data, Sym) and data.kind not in (Kind.TEXT, Kind.UNSET)
        ):
            raise self.rt.refusal("data=", "of a number", "make a text of it: str()")
        if isinstance(data, Bytes | Sym):
            parts = data.parts if isinstance(data, Bytes) else self.rt.as_text(data)
            text = self.rt.text(parts)
            if may_be_empty(parts) and not bool(text):
                return None
            return data if isinstance(data, Bytes) else text
        pairs = isinstance(data, list | tuple) and all(_is_pair(item) for item in data)
        if data is not None and not pairs and not isinstance(data, str | bytes | dict):
            raise self.rt.refusal("data=", f"of a {type(data).__name__}", "use a text or a dict")
        return data

    def _header(self, name: Any, value: Any, fast: bool) -> Any:
        """Return a header's value, settled."""
        if not isinstance(name, str):
            raise self.rt.refusal("headers=", "their names must be texts")
        if name.lower() == "content-length":
            raise self.rt.refusal(f"header {name}", "it is that of the body", "leave it out")
        if isinstance(value, str | Text | None) or (fast and is_number(value)):
            return value
        if not isinstance(value, Sym):
            what = type(value).__name__
            raise self.rt.refusal(f"header {name}", f"a {what} is no text", "use str()")
        if fast:
            scalars = _SCALAR_KINDS | 1 << Kind.NONE
            if value.kind is Kind.UNSET and not self.rt.fork(Test.KIND, value.operand(), scalars):
                raise self.rt.raising(TypeError(f"the header {name} is no text"))
            return value
        if value.is_none():
            return None
        if value.kind is not Kind.UNSET:
            raise self.rt.refusal(f"header {name}", "a number is no text", "use str()")
        return self.rt.text(self.rt.as_text(value))

    def _scalar(self, value: Any, within: bool = False) -> Any:
        if isinstance(value, list | tuple) and not within:
            return [self._scalar(item, True) for item in value]
        if has_symbol(value) and not isinstance(value, Native):
            raise self.rt.refusal(
                "params= or data=",
                f"a {type(value).__name__} with what is known only when the plan runs, as text",
                "use json.dumps()",
            )
        if isinstance(value, Sym) and not isinstance(value, Text) and value.is_none():
            return None
        unsure = isinstance(value, Sym) and value.kind is Kind.UNSET
        if unsure and not self.rt.fork(Test.KIND, value.operand(), _SCALAR_KINDS):
            raise self.rt.raising(TypeError("a list or object of JSON where a text is needed"))
        return value


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


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2


def is_number(value: Any) -> bool:
    """Return whether it is an int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Build:
    """Makes a request of the session's with markers for symbols, and reads it back."""

    def __init__(self, agent: Agent, fast: bool, markers: Markers) -> None:
        self._agent, self._fast, self._markers = agent, fast, markers
        self._found: set[str] = set()

    def spec(
        self, method: str, url: Any, kwargs: dict[str, Any], caught: bool, name: Any
    ) -> RequestSpec:
        """Return the request. Raises Changed, and what the session raises."""
        plant = self._markers.plant
        planted: dict[str, Any] = {}
        for key, encoding in (
            ("params", Encoding.QUERY), ("headers", Encoding.HEADER), ("json", Encoding.JSON),
        ):  # fmt: skip
            if kwargs.get(key) is not None:
                raw = key == "params" and isinstance(kwargs[key], Native | str)
                planted[key] = plant(kwargs[key], Encoding.TEXT if raw else encoding)
        if kwargs.get("data") is not None:
            raw = isinstance(kwargs["data"], Native | str | bytes)
            planted["data"] = plant(kwargs["data"], Encoding.TEXT if raw else Encoding.QUERY)
        if isinstance(planted.get("params"), bytes):
            raise TypeError("params is a bytes; use a str")
        for key in ("auth", "timeout", "allow_redirects"):
            if kwargs.get(key) is not None:
                planted[key] = plant(kwargs[key], Encoding.TEXT)
        session, authorization = self._session("auth" in planted)
        params = self._params_apart(url, planted)
        sent = getattr(session, method.lower(), None)
        full = plant(url, Encoding.TEXT)
        if not isinstance(full, str):
            raise TypeError("the URL is no str")
        made = sent(full, **planted) if sent else session.request(method, full, **planted)
        if not isinstance(made.error, ConnectError):  # which no connection to nowhere has made
            raise ValueError(str(made.error))
        request = made.request
        target = str(request.url)
        if self._fast and planted.get("params") is not None:
            target = _as_geventhttpclient(target, planted["params"])
        if not self._fast and isinstance(url, Native):
            target = self._raw(full, target)
        given = self._split(self._absolute(full)) if self._fast else ()
        return self._read(request, target, params, given, kwargs, caught, name, authorization)

    def _params_apart(self, url: Any, planted: dict[str, Any]) -> str | None:
        """Take params out of a request if how they stand in its URL is known only when the plan
        runs; returns what they add to the query then."""
        params = planted.get("params")
        varies = isinstance(params, str) and self._split(params) != (params,)
        if params is None or not (isinstance(url, Native) or varies):
            return None
        del planted["params"]
        return with_params("", params).removeprefix("?")

    def _absolute(self, url: str) -> str:
        if url.startswith(("http://", "https://")):
            return url
        return f"{self._agent.user.client.base_url}{url}"

    def _raw(self, url: str, sent: str) -> str:
        """Return a URL as it is given: how requests quotes one depends on all of it."""
        raw = urlsplit(self._absolute(url))
        return urlsplit(sent)._replace(path=raw.path, query=raw.query).geturl()

    def _session(self, own_auth: bool) -> tuple[Any, Any]:
        """Return a session like the user's whose agents' values are markers, and what its
        Authorization header is to be, if it is the session's."""
        agent, session = self._agent, self._agent.user.client
        unheard: Any = EventHook  # untyped in Locust
        sent = agent.headers()
        headers = {
            name: self._markers.plant(value, Encoding.HEADER)
            if isinstance(value, Native)
            else value
            for name, value in sent.items()
        }
        authorization = None if own_auth else agent.authorization()
        if authorization is not None:
            authorization = self._markers.plant(authorization, Encoding.HEADER)
        if self._fast:
            probe: Any = FastHttpSession(
                session.base_url, unheard(), None, headers=headers, unix_socket=_NOWHERE
            )
            probe.auth_header = authorization
            return probe, None
        probe = HttpSession(session.base_url, unheard(), None, unix_socket=_NOWHERE)
        probe.headers = type(sent)(headers)
        return probe, authorization

    def _split(self, text: str) -> Parts:
        return self._markers.split(text, self._found)

    def _read(
        self,
        request: Any,
        url: str,
        params: str | None,
        given: Parts,
        kwargs: dict[str, Any],
        caught: bool,
        name: Any,
        auth: Any,
    ) -> RequestSpec:
        parts = urlsplit(url)
        if parts.username is not None:
            raise ValueError("credentials in the URL are not recorded: use auth= or client.auth")
        self._markers.check_none(parts.netloc + parts.scheme)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [
            (field, value.decode("latin-1") if isinstance(value, bytes) else str(value))
            for field, value in request.headers.items()
            if field.lower() not in ("content-length", "transfer-encoding")
        ]
        names = {field.lower() for field, _ in headers}
        if "host" not in names:
            headers.insert(0, ("Host", parts.netloc))
        if auth is not None:
            headers = [item for item in headers if item[0].lower() != "authorization"]
            headers.append(("Authorization", auth))
        if "accept-encoding" not in names and not self._fast:
            headers.append(("Accept-Encoding", "identity"))
        body = request.body
        if isinstance(body, bytes):
            body = body.decode("utf-8", "surrogateescape")
        connect, network = _timeouts(kwargs["timeout"]) if kwargs.get("timeout") else (None, None)
        split = tuple((field, self._split(value)) for field, value in headers)
        spec = RequestSpec(
            method=str(request.method),
            place=f"{parts.scheme}://{parts.netloc}",
            target=self._split(target),
            params=() if params is None else self._split(params) or ("",),
            url=given,
            name=() if name is None else parts_of(name),
            headers=split,
            body=None if body is None else self._split(body),
            caught=caught,
            redirects=self._redirects(str(request.method), kwargs),
            has_cookie="cookie" in names,
            connect_timeout=connect,
            network_timeout=network,
        )
        self._markers.check_all(self._found)
        return spec

    def _redirects(self, method: str, kwargs: dict[str, Any]) -> bool:
        default = self._fast or method != "HEAD"
        return bool(kwargs.get("allow_redirects", default))


def _as_geventhttpclient(url: str, params: Any) -> str:
    """Return a URL with params that may be empty, which leave a trace behind a query."""
    made = with_params(url, params)
    return f"{made}&" if made == url and urlsplit(url).query else made


class _Elapsed(Native):
    __slots__ = ("response",)

    shown = frozenset({"total_seconds"})

    def __init__(self, response: Response) -> None:
        super().__init__(response.rt)
        self.response = response

    def total_seconds(self) -> Sym:
        """As timedelta.total_seconds."""
        return self.response.value(Take.ELAPSED, Kind.FLOAT)


class _Fields(Native):
    """The headers or cookies of a response."""

    __slots__ = ("response", "take")

    shown = frozenset({"get"})

    def __init__(self, response: Response, take: Take) -> None:
        super().__init__(response.rt)
        self.response, self.take = response, take

    def _field(self, name: Any) -> Text:
        if not isinstance(name, str):
            self._no("[...]", "with a constant name")
        known = name.lower() if self.take is Take.HEADER else name
        return self.response.text_of(self.take, known)

    def __getitem__(self, name: Any) -> Any:
        text = self._field(name)
        what = "header" if self.take is Take.HEADER else "cookie"
        reference = text.operand()
        assert isinstance(reference, Ref)
        self.rt.need(reference, (f"no {what} {name} in the response",), KeyError)
        return text

    def __contains__(self, name: Any) -> bool:
        return self.rt.fork(Test.SET, self._field(name).operand(), 0)

    def get(self, name: Any, default: Any = None) -> Any:
        """As dict.get."""
        return self._field(name) if name in self else default


class Response(Native):
    """A response, and the with-block for it."""

    __slots__ = (
        *("agent", "caught", "entered", "error", "fast", "js", "judged", "over", "place", "step"),
    )

    shown = frozenset(
        {
            *("status_code", "ok", "text", "content", "headers", "url", "json", "js"),
            *("raise_for_status", "success", "failure"),
        }
    )
    shown_of_http = shown | {"reason", "cookies", "elapsed"}  # FastHttpUser's have none

    def __init__(self, rt: Runtime, step: int, agent: Agent, caught: bool, fast: bool) -> None:
        super().__init__(rt)
        self.step, self.agent, self.caught, self.fast = step, agent, caught, fast
        self.entered = self.over = False
        self.judged: bool | None = None
        self.error: Any = None  # by which the task has judged it a failure
        self.place = rt.where()

    def attribute(self, name: str) -> Any:
        """As Native.attribute."""
        if name in self.shown_of_http and not self.fast:
            return getattr(self, name)
        return super().attribute(name)

    def value(self, take: Take, kind: Kind) -> Sym:
        """Return what is taken from the response."""
        return Sym(self.rt, self.rt.take(self.step, take), kind)

    def text_of(self, take: Take, *name: Any) -> Text:
        """Return a text that is taken from the response."""
        reference = self.rt.take(self.step, take, *name)
        self.rt.texts.add(reference)
        return Text(self.rt, (Part(reference),))

    @property
    def status_code(self) -> Sym:
        """As the response's."""
        return self.value(Take.STATUS, Kind.INT)

    @property
    def ok(self) -> Any:
        """As the response's: of the http style it is what raise_for_status() says."""
        if self.judged is not None and not self.fast:
            self.raise_for_status()
            return True
        return self.value(Take.OK, Kind.BOOL)

    @property
    def text(self) -> Sym:
        """As the response's; of the fast style None where no response came."""
        return self.value(Take.TEXT, Kind.UNSET) if self.fast else self.text_of(Take.TEXT)

    @property
    def reason(self) -> Text:
        """As the response's."""
        return self.text_of(Take.REASON)

    @property
    def url(self) -> Text:
        """As the response's."""
        return self.text_of(Take.URL)

    @property
    def content(self) -> Bytes:
        """As the response's."""
        return Bytes(self.rt, self.text_of(Take.CONTENT).parts())

    @property
    def headers(self) -> _Fields:
        """As the response's."""
        return _Fields(self, Take.HEADER)

    @property
    def cookies(self) -> _Fields:
        """As the response's."""
        return _Fields(self, Take.COOKIE)

    @property
    def elapsed(self) -> _Elapsed:
        """As the response's."""
        return _Elapsed(self)

    def json(self) -> Json:
        """As the response's."""
        error: ValueError = requests.JSONDecodeError("Expecting value", "", 0)
        if self.fast:
            error = json.JSONDecodeError("Expecting value", "", 0)
            self._check_text()
        self.rt.read_json(self.step, error)
        return Json(self.rt, self.step, ())

    def _check_text(self) -> None:
        """Raise what json() does of None, the text of a response that has not come, where the task
        does something else than for what is no JSON."""
        rt, errors = self.rt, (json.JSONDecodeError, TypeError)
        if rt.tells_apart(errors) and self.status_code == 0:
            raise rt.raising(error_of(lambda: json.loads(None)))  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        if self.fast:
            self._no("the truth of a response", "ask for .ok or .status_code")
        return bool(self.ok)

    def raise_for_status(self) -> None:
        """As the response's."""
        if self.judged is True:
            if self.fast:
                self._no("raise_for_status()", "behind success(): leave it out")
            return
        if self.judged is False:
            raise self.rt.raising(self.error)
        if bool(self.value(Take.OK, Kind.BOOL)):
            return
        if self.fast:
            self._no("raise_for_status()", "ask for .status_code, and call failure() or raise")
        status = self.status_code
        if status == 0:
            error: Exception = requests.ConnectionError("the request failed")
        else:
            who = "Client" if status < 500 else "Server"
            text = self.rt.fstring(
                (status, -1, ""), f" {who} Error: ", (self.reason, -1, ""), " for url: ",
                (self.url, -1, ""),
            )  # fmt: skip
            error = requests.HTTPError(text)
        raise self.rt.raising(error)

    def __enter__(self) -> Response:
        if not self.caught:
            raise self.rt.refusal(
                "with", "of a request without catch_response=True", "add catch_response=True"
            )
        self.entered = True
        self.rt.open_requests.remove(self)
        return self

    def success(self) -> None:
        """As the response's."""
        if self._judge(True, "success()"):
            self.rt.emit(Op.SUCCESS)

    def failure(self, exc: Any) -> None:
        """As the response's; of a text or Locust's CatchResponseError."""
        self.error = exc if isinstance(exc, Exception) else CatchResponseError(exc)
        if isinstance(exc, CatchResponseError) and len(exc.args) == 1:
            exc = exc.args[0]
        known = isinstance(exc, str) or (isinstance(exc, Sym) and exc.kind in _TEXTS)
        if not known:
            raise self.rt.refusal("failure()", "of a text only", "write failure(str(...))")
        if self._judge(False, "failure()"):
            self.rt.emit(Op.FAILURE, what=parts_of(exc))

    def _judge(self, judged: bool, what: str) -> bool:
        if not self.entered:
            raise self.rt.refusal(what, "of a request that is in no with-block")
        self.judged = judged
        return not self.over  # afterwards it has no effect, as with Locust

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if isinstance(error, Refusal | EndOfPath):
            return False
        self.over, self.rt.in_block = True, False
        if self.judged is None and error is not None:
            if isinstance(error, ResponseError):  # the failure would have another type
                raise self.rt.refusal(
                    f"raise {type(error).__name__}", "in a with-block", "call failure(...)"
                )
            self.rt.emit(Op.FORGET)
            return False
        self.rt.emit(Op.REPORT)
        return error is None
