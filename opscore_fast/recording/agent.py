"""The user, as a task sees it while it is recorded."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import uuid
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from locust.env import Environment
from locust.user import User
from locust.user.task import TaskSet
from requests.structures import CaseInsensitiveDict

from opscore_fast.http_session import HttpSession
from opscore_fast.recording.branches import Part, Ref
from opscore_fast.recording.client import Client
from opscore_fast.recording.plan import SCALARS, Kind, Op, Test
from opscore_fast.recording.refusal import NotRecordable
from opscore_fast.recording.rest import rest, rest_
from opscore_fast.recording.runtime import Runtime
from opscore_fast.recording.session import AUTH, basic_header, session_auth, session_headers
from opscore_fast.recording.set_up import HEADERS, Kept, SetUp, Types
from opscore_fast.recording.start import Way
from opscore_fast.recording.symbols import (
    Cond,
    Json,
    Native,
    Shown,
    Sym,
    Text,
    Uuid,
    kind_of,
    operand_of,
    parts_of,
)
from opscore_fast.sessions import FastHttpSession

# What is Locust's own among a user's attributes.
LOCUSTS = {
    "client", "environment", "fixtures", "functions", "_state", "_greenlet", "_group",
    "_taskset_instance", "_cp_last_run", "_cp_last_wait_time", "_task_queue",
}  # fmt: skip

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
        set_up = self.slots.set_up
        if set_up is not None and name in set_up.attributes:
            return self._is_left(set_up.attributes[name])
        if not self._is_of_tasks(name):
            return False
        self.slots.kinds.setdefault((name,), Kind.NONE)
        return self.rt.fork(Test.SET, Ref(slot=(name,)), 0)

    def _is_of_tasks(self, name: str) -> bool:
        """Return whether it is an attribute that tasks alone set, so that there may be none yet."""
        return (name,) in self.rt.written and self.way is None and not hasattr(self.user, name)

    def _missing(self, name: str) -> BaseException:
        """Return what to raise for an attribute that is not there, unless a task sets it that is
        recorded later: then all is recorded again."""
        cls, rt = type(self.user).__name__, self.rt
        refusal = f".{name}", f"{cls} has no {name}", "set it in on_start"
        if self.way is not None or hasattr(self.user, name):
            return rt.refusal(*refusal)
        if not rt.is_caught(AttributeError):
            rt.missing.setdefault((name,), NotRecordable(*rt.where(), *refusal))
        error: Exception = rt.raising(AttributeError(f"{cls!r} object has no attribute {name!r}"))
        return error

    def _expect(self, path: tuple[str | int, ...]) -> None:
        what = f"{type(self.user).__name__!r} object has no attribute {path[0]!r}"
        self.rt.expect(Ref(slot=path), AttributeError(what))

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
        raise self._missing(name)

    def _attribute(self, name: str) -> Any:
        path = (name,)
        if path in self.rt.attributes:
            return self.rt.attributes[path]
        value = self.user.__dict__.get(name)
        if self._is_of_tasks(name):
            self.slots.kinds.setdefault(path, Kind.NONE)
            self._expect(path)
        read = self.rt.attributes[path] = self._symbols(path, value)
        if isinstance(read, list | dict):
            self.rt.note_shared(read)
        return read

    def _set_up_attribute(self, name: str, form: Any) -> Any:
        """Return what on_start has left as an attribute."""
        rt = self.rt
        if isinstance(form, Kept) and form.maybe:
            self._expect(form.path)
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
