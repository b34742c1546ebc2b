"""Records a user class into a plan."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from typing import Any

from requests.structures import CaseInsensitiveDict

from opscore_fast.http_session import HttpSession
from opscore_fast.recording.agent import shape
from opscore_fast.recording.branches import Builder
from opscore_fast.recording.plan import SCALARS, Kind, Plan, kind_of_constant
from opscore_fast.recording.refusal import NotRecordable, place_of_class, place_of_method
from opscore_fast.recording.runtime import Runtime
from opscore_fast.recording.session import AUTH, session_auth, session_headers
from opscore_fast.recording.set_up import (
    HEADERS,
    MISSING,
    PROGRESS,
    Path,
    SetUp,
    in_python,
    kept_in,
    restored,
)
from opscore_fast.recording.tasks import Recorder
from opscore_fast.sessions import FastHttpSession

__all__ = ["NotRecordable", "record", "slot_values"]


def record(user: Any, *, start: bool = False) -> Plan:
    """Return the plan of a user's tasks. user: an instance whose on_start has run.

    start: record on_start too, which has not run then. Each is recorded twice, with other markers;
    what differs is refused. Raises NotRecordable.
    """
    _check_session(user)
    written: frozenset[Path] = frozenset()
    kept: frozenset[Path] = frozenset()
    while True:
        plan, stored, more = _record_once(user, written, start, kept)
        if stored <= written and more <= kept:
            break
        written |= stored  # what tasks set has to be read in another way
        kept |= more  # what on_start does not always leave the same has to have a slot
    again, _, _ = _record_once(user, written, start, kept)
    if again != plan:
        where, what = _difference(plan, again)
        file, _, line = where.rpartition(":")
        raise NotRecordable(
            file, int(line or 0), what, "it is not the same each time it is recorded",
            "use values of random, time, datetime, uuid in the task itself",
        )  # fmt: skip
    return plan


def _record_once(
    user: Any, written: frozenset[Path], start: bool, kept: frozenset[Path]
) -> tuple[Plan, set[Path], set[Path]]:
    rt = Runtime()
    rt.written = written
    rt.note_shared(*user.__dict__.values())
    style = "fast" if isinstance(user.client, FastHttpSession) else "http"
    plan = Plan(type(user).__name__, style)
    plan.max_redirects = int(user.client.max_redirects)
    recorder = Recorder(rt, user, plan, start=start, kept=kept)
    try:
        recorder.run()
    finally:
        rt.clear()
    for path, reason in rt.missing.items():
        if path not in rt.stored:
            raise reason
    builder = Builder(plan, recorder.slots.kinds, rt.written)
    recorder.lower(builder)
    builder.finish()
    plan.once = list(rt.once)
    plan.counters = list(rt.counters)
    plan.shapes = list(recorder.slots.shapes.items())
    plan.base_url = str(user.client.base_url)
    left = _left(plan.set_up)
    for index, slot in enumerate(plan.slots):
        plan.names[index] = ".".join(str(step) for step in slot.path)
        slot.set_up = slot.path in left
        slot.maybe = slot.written and _value(user, slot.path) is MISSING
        slot.types = recorder.slots.types.of(slot.path)
    return plan, rt.stored, recorder.merger.more


def _left(set_up: SetUp | None) -> set[Path]:
    """Return the paths of what a recorded on_start leaves and slots keep."""
    if set_up is None:
        return set()
    made = [part for one in (set_up, *set_up.so_far) for part in (one.attributes, one.headers)]
    paths = {kept.path for part in made for kept in kept_in(part)}
    return paths | {PROGRESS}


def _difference(first: Plan, second: Plan) -> tuple[str, str]:
    for one, other in zip(first.requests, second.requests, strict=False):
        if one != other:
            return first.lines[one.line], "a request"
    for program, same in zip(first.programs, second.programs, strict=False):
        for step, twin in zip(program.code, same.code, strict=False):
            if step != twin:
                return first.lines[step.line], program.name
    return (first.lines or [":0"])[0], first.user_class


def _check_session(user: Any) -> None:
    session, cls = user.client, type(user)

    def refuse(construct: str, why: str, instead: str = "") -> NotRecordable:
        return NotRecordable(*place_of_class(cls), construct, why, instead)

    for name in ("wait", "run", "start", "stop", "context"):
        module = getattr(cls, name).__module__
        if module.partition(".")[0] not in ("locust", "opscore_fast"):
            place = place_of_method(cls, name)
            raise NotRecordable(*place, f"{cls.__name__}.{name}", "it is not Locust's own")
    if type(session) not in (HttpSession, FastHttpSession):
        raise refuse("client", f"a {type(session).__name__} is not recorded")
    if session._proxy is not None or session._by_libcurl or session._scheme_auth is not None:
        raise refuse("client", "requests by a proxy or libcurl are not native")
    if session.max_retries:
        raise refuse("max_retries", "requests are not sent again natively", "leave it at 0")
    if isinstance(session, HttpSession):
        if session.params or any(session.hooks.values()) or session.proxies:
            raise refuse("client", "params, hooks and proxies of a session are not recorded")
        for header, value in session.headers.items():
            if not isinstance(value, str):
                raise refuse(f"client.headers[{header!r}]", "it is no str")
    try:
        session_auth(user)
    except ValueError as error:
        raise refuse("client.auth", str(error)) from None
    if not str(session.base_url).startswith(("http://", "https://")):
        raise refuse("host", "it is no URL of http or https")


def slot_values(user: Any, plan: Plan) -> tuple[Any, ...]:
    """Return the values of a user for the plan's slots. user: its on_start has run, or is part of
    the plan; what it will set is Ellipsis then.

    Raises NotRecordable where it has other attributes than the user that was recorded.
    """

    def refuse(path: tuple[str | int, ...], why: str) -> NotRecordable:
        shown = ".".join(str(step) for step in path)
        return NotRecordable(
            *place_of_class(type(user)),
            *(shown, why, "have on_start set the same attributes for every user"),
        )

    if str(user.client.base_url) != plan.base_url:
        raise refuse(("host",), "it is not the same for all users")
    names = {slot.path[1] for slot in plan.slots if slot.path[0] == HEADERS}
    if plan.set_up is not None:
        names = set(plan.set_up.own_headers)
    if (names or plan.set_up) and names != session_headers(user).keys():
        raise refuse((HEADERS,), "the session has other headers than the first user's")
    for path, expected in plan.shapes:
        value = _value(user, path)
        if not isinstance(value, dict | list | tuple) or shape(value) != expected:
            raise refuse(path, "it has other keys or another length than the first user's")
    values: list[Any] = []
    for slot in plan.slots:
        value = _value(user, slot.path)
        if slot.set_up:
            values.append(value if type(value) in SCALARS else ...)
            continue
        if value is MISSING and slot.maybe:
            values.append(...)
            continue
        if type(value) not in SCALARS:
            raise refuse(slot.path, "not set, or no text, number, bool or None")
        fixed = not slot.written and slot.kind is not Kind.NONE
        if fixed and kind_of_constant(value) is not slot.kind:
            raise refuse(slot.path, "it is of another type than the first user's")
        values.append(value)
    return tuple(values)


def _value(user: Any, path: tuple[str | int, ...]) -> Any:
    if path[0] == HEADERS:
        return session_headers(user).get(str(path[1]), MISSING)
    if path[0] == AUTH:
        return session_auth(user)
    value: Any = getattr(user, str(path[0]), MISSING)
    for step in path[1:]:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return MISSING
    return value


def has_begun(plan: Plan, values: tuple[Any, ...]) -> bool:
    """Return whether an agent, from what it remembers, has begun with its on_start. It is told of
    classes with an on_stop.
    """
    return _progress(plan, values) is not ...


def _progress(plan: Plan, values: tuple[Any, ...]) -> Any:
    for slot, value in zip(plan.slots, values, strict=True):
        if slot.path == PROGRESS:
            return value
    return None


def put_back(user: Any, plan: Plan, values: tuple[Any, ...]) -> None:
    """Set the attributes of a user that tasks have set, from what its agent remembers.

    If on_start is part of the plan, set what that has left, too: so far, if the agent has not come
    to its end.
    """
    values = tuple(
        in_python(value, slot.types) for slot, value in zip(plan.slots, values, strict=True)
    )
    if plan.set_up is not None:
        _set_up(user, plan, values)
    for slot, value in zip(plan.slots, values, strict=True):
        if slot.written and len(slot.path) == 1 and value is not ...:
            setattr(user, str(slot.path[0]), value)


def _set_up(user: Any, plan: Plan, values: tuple[Any, ...]) -> None:
    made, progress = plan.set_up, _progress(plan, values)
    assert made is not None
    if isinstance(progress, int):
        made = made.so_far[progress]
    slots = {slot.path: value for slot, value in zip(plan.slots, values, strict=True)}
    for name, form in made.attributes.items():
        value = restored(form, slots)
        if value is not MISSING:
            setattr(user, name, value)
    if isinstance(user.client, HttpSession):
        headers = {name: restored(form, slots) for name, form in made.headers.items()}
        user.client.headers = CaseInsensitiveDict(
            {name: value for name, value in headers.items() if value is not MISSING}
        )
        apply_session(user, made)


def apply_session(user: Any, made: SetUp) -> None:
    """Set what a recorded on_start sets of the session for all agents."""
    for name, value in made.session.items():
        setattr(user.client, name, value)
