"""Recorded plans on their way into the engine: all of them is taken over, and nothing bad is."""

from __future__ import annotations

import gc
import ssl
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from helpers_plans import make_plan, make_request, simple_plan

from opscore_fast import _core
from opscore_fast.recording import plan as recorded
from opscore_fast.recording.plan import (
    Cookie,
    Encoding,
    Extract,
    Instruction,
    Kind,
    Op,
    Pace,
    Plan,
    Program,
    Slot,
    Take,
    TaskSet,
    Value,
    Wait,
)

URL = "http://127.0.0.1:1"
WAITS = [0.25] * 4096


def full_plan() -> Plan:
    """A plan with something in every table."""
    request = make_request(
        (b"/x?", Value(0, Encoding.QUERY)),
        method="POST",
        name=(b"name",),
        headers=[("X-One", (b"a", Value(~3, Encoding.HEADER)))],
        cookies=[
            Cookie(name="ä", value=(b"a", Value(1, Encoding.HEADER)), expires=5),
            Cookie(name="b", value=None, domain="c", path="/d", host_only=False, secure=True),
        ],
        body=(b'{"a": ', Value(1, Encoding.JSON), Value(~2, format="08.3f"), b"}"),
        caught=True,
        connect_timeout=0.0,
        network_timeout=2.5,
        extracts=[
            Extract(Take.HEADER, 2, name="x-two"),
            Extract(Take.JSON, 2, what=0),
            Extract(Take.REGEX, 2, what=0, group=1),
        ],
    )
    code = [
        Instruction(Op.GEN, dst=2, what=recorded.Source.COUNTER, a=0),
        Instruction(Op.PICK, dst=2, what=0, a=~1),
        Instruction(Op.BRANCH, what=recorded.Test.TRUE, a=~0, target=3),
        Instruction(Op.REQUEST, what=0),
        Instruction(Op.NEED, a=2, what=0, target=recorded.NOTHING),
        Instruction(Op.REPORT),
        Instruction(Op.RAISE, what=0),
    ]
    return Plan(
        user_class="Full",
        style="fast",
        slots=[Slot(("a",), Kind.INT), Slot(("b",), Kind.TEXT)],
        n_registers=3,
        constants=[True, 2**63 - 1, 1.5, "tëxt", None, ""],
        templates=[(b"no ", Value(~3)), ()],
        tables=[[0, ~1, 2]],
        paths=[(), ("key", 0, "ö", -1)],
        regexes=[("(a+)b", 32 | 2)],
        raises=[("ValueError", (b"text",))],
        places=[URL, "https://[::1]:8443"],
        requests=[request],
        programs=[Program("task", code), Program("on_start", [Instruction(Op.END)])],
        sets=[
            TaskSet(True, [("program", 0), ("set", 1)], Wait(Pace.SAMPLES), on_start=1),
            TaskSet(False, [("program", 0)], Wait(Pace.BETWEEN, 1.0, 2.0)),
        ],
        start=1,
        counters=[(-(2**63), 2**63 - 1)],
        samples=[lambda user: 1.0],
        lines=["locustfile.py:1"],
    )


def test_a_plan_with_everything_is_taken_over() -> None:
    plan = full_plan()
    made = _core.Plan(plan, {"concurrency": 1})
    assert made.source is plan
    made.set_samples(0, WAITS)
    made.set_samples(0, tuple(WAITS))


def test_the_plan_is_a_copy() -> None:
    plan = full_plan()
    made = _core.Plan(plan, {})
    for table in vars(plan).values():
        if isinstance(table, list):
            table.clear()
    gc.collect()
    made.set_samples(0, WAITS)  # there still are samples


def test_plans_go_with_what_they_hold() -> None:
    plan = full_plan()
    plan.samples = [made := _core.Plan(plan, {})]  # a cycle
    gone = weakref.ref(plan)
    del made, plan
    gc.collect()
    assert gone() is None


def test_a_plan_is_asked_for_its_source_while_it_is_collected() -> None:
    seen: list[Any] = []
    others = [item for item in gc.get_objects() if type(item) is _core.Plan]

    def look(_gone: Any) -> None:
        plans = (item for item in gc.get_objects() if type(item) is _core.Plan)
        seen.extend(item.source for item in plans if item not in others)

    def make() -> weakref.ref[Any]:
        made = _core.Plan(full_plan(), {})
        last: list[Any] = []  # is cleared behind what was made before
        code = compile("", "", "exec")  # the collector sees none of these
        last += [made, code, last]
        return weakref.ref(code, look)

    gc.collect()
    kept = make()
    gc.collect()
    assert kept() is None
    assert seen == [None]


def edit(path: str, value: Any) -> Callable[[Plan], None]:
    """Sets what a path of attributes and indexes leads to."""

    def change(plan: Plan) -> None:
        *steps, last = path.split(".")
        target: Any = plan
        for step in steps:
            target = target[int(step)] if step.isdigit() else getattr(target, step)
        if last.isdigit():
            target[int(last)] = value
        else:
            assert hasattr(target, last)
            setattr(target, last, value)

    return change


BAD = [
    ("style", "other", ValueError, "style"),
    ("style", None, TypeError, None),
    ("slots", None, TypeError, None),
    ("n_registers", 1, ValueError, "can't be run"),
    ("n_registers", -1, ValueError, "out of its range"),
    ("n_registers", 2**64, ValueError, "out of its range"),
    ("n_registers", "3", TypeError, None),
    ("max_redirects", None, TypeError, None),
    ("start", 2, ValueError, "can't be run"),
    ("constants.0", 2**63, ValueError, "64 bits"),
    ("constants.0", b"", TypeError, "not bytes"),
    ("constants.0", ..., TypeError, "not set"),
    ("constants.0", "\ud800", ValueError, "surrogates"),
    ("constants", [], ValueError, "can't be run"),
    ("templates", 3, TypeError, None),
    ("templates.0", ("text",), AttributeError, None),
    ("templates.0", (Value(3),), ValueError, "can't be run"),
    ("templates.0", (Value(0, 5),), ValueError, "out of its range"),  # type: ignore[arg-type]
    ("tables.0", [], ValueError, "can't be run"),
    ("tables.0", [2**31], ValueError, "out of its range"),
    ("paths.0", (1.5,), TypeError, None),
    ("paths.0", (2**31,), ValueError, "out of its range"),
    ("regexes.0", ("(", 0), ValueError, "regular expression"),
    ("regexes.0", ("a",), TypeError, None),
    ("raises.0", ("ValueError",), TypeError, None),
    ("raises.0", ("Value\0Error", ()), ValueError, "NUL"),
    ("places.0", "ftp://host", ValueError, "unsupported URL scheme"),
    ("places.0", "http://host/path", ValueError, "can't be run"),
    ("places", [], ValueError, "can't be run"),
    ("requests.0.method", "", ValueError, "can't be run"),
    ("requests.0.method", b"GET", TypeError, None),
    ("requests.0.line", 1, ValueError, "can't be run"),
    ("requests.0.body", 3, TypeError, None),
    ("requests.0.headers", [("name",)], TypeError, None),
    ("requests.0.cookies", ["a=b"], AttributeError, "name"),
    ("requests.0.cookies.0", Cookie(name="€", value=None), ValueError, "ordinal"),
    ("requests.0.cookies.0", Cookie(name="a\0", value=None), ValueError, "null"),
    ("requests.0.cookies.0", Cookie(name=5, value=None), TypeError, None),  # type: ignore[arg-type]
    ("requests.0.cookies.0", Cookie(name="a", value=5), TypeError, None),  # type: ignore[arg-type]
    ("requests.0.cookies.0", Cookie(name="a", value=(Value(3),)), ValueError, "can't be run"),
    ("requests.0.cookies.0", Cookie(name="a", value=(), expires=2**63), ValueError, "its range"),
    ("requests.0.network_timeout", "1", TypeError, None),
    ("requests.0.extracts.0", Extract(Take.STATUS, 3), ValueError, "can't be run"),
    ("requests.0.extracts.0", Extract(Take.JSON, 0, 2), ValueError, "can't be run"),
    ("programs.0.name", None, TypeError, None),
    ("programs.0.code", [], ValueError, "can't be run"),
    ("programs.0.code.0", None, AttributeError, "op"),
    ("programs.0.code.0", Instruction(Op.JUMP, target=99), ValueError, "can't be run"),
    ("programs.0.code.0", Instruction(max(Op) + 1), ValueError, "can't be run"),  # type: ignore[arg-type]
    ("sets", [], ValueError, "can't be run"),
    ("sets.0.choices.0", ("task", 0), ValueError, 'not of a "task"'),
    ("sets.0.choices.0", ("program", 2), ValueError, "can't be run"),
    ("sets.0.choices.1", ("set", 0), ValueError, "can't be run"),
    ("sets.0.wait.a", float("inf"), ValueError, "can't be run"),
    ("sets.0.wait", None, AttributeError, None),
    ("counters.0", (1,), TypeError, None),
    ("counters.0", (2**63, 1), OverflowError, None),
    ("samples", [], ValueError, "can't be run"),
    ("lines.0", None, TypeError, None),
]


@pytest.mark.parametrize(("path", "value", "error", "text"), BAD)
def test_bad_plans_are_refused(
    path: str, value: Any, error: type[Exception], text: str | None
) -> None:
    plan = full_plan()
    edit(path, value)(plan)
    with pytest.raises(error, match=text):
        _core.Plan(plan, {})


@pytest.mark.parametrize("text", ["d", "05d", "8.2f", ".3e", "x", "08X", "3", "s", "g"])
def test_formats_that_agents_write(text: str) -> None:
    request = make_request((b"/", Value(~0, format=text)))
    _core.Plan(simple_plan(URL, request, constants=[5]), {})


@pytest.mark.parametrize(
    "text", [",", "<5", "+d", ".f", "99999d", ".99999f", "b", "5 d", "%", ".2", "0"]
)
def test_formats_that_agents_do_not_write(text: str) -> None:
    request = make_request((b"/", Value(~0, format=text)))
    with pytest.raises(ValueError, match="can't be written"):
        _core.Plan(simple_plan(URL, request, constants=[5]), {})


def test_samples_are_numbers_and_as_many_as_agents_take() -> None:
    made = _core.Plan(full_plan(), {})
    with pytest.raises(IndexError):
        made.set_samples(1, WAITS)
    for bad in (WAITS[1:], [], [*WAITS, 1.0]):
        with pytest.raises(ValueError, match="4096"):
            made.set_samples(0, bad)
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            made.set_samples(0, [*WAITS[1:], number])
    with pytest.raises(TypeError):
        made.set_samples(0, ["1"] * 4096)  # type: ignore[list-item]


@pytest.mark.parametrize("number", [1.0, "none"])
def test_samples_that_change_while_they_are_read(number: Any) -> None:
    made = _core.Plan(full_plan(), {})
    kept = []

    class Number:
        def __float__(self) -> Any:
            values.clear()  # whoever has borrowed this object from the list has lost it
            kept.append(bytearray(64))
            return number

    values: list[Any] = [Number() for _ in range(4096)]
    if number == 1.0:
        made.set_samples(0, values)
    else:
        with pytest.raises(TypeError, match="non-float"):
            made.set_samples(0, values)


def test_options_are_those_of_a_pool() -> None:
    plan = make_plan(URL, [Instruction(Op.END)])
    options: dict[str, Any] = {
        "concurrency": 3,
        "connection_timeout": 1.0,
        "verify": True,
        "ca_file": b"/ca",
        "cert_file": b"/cert",
        "key_file": b"/key",
        "key_password": b"secret",
        "ciphers": b"ALL",
        "ciphersuites": b"TLS_AES_128_GCM_SHA256",
        "server_name": b"name",
        "sources": [b"127.0.0.1", b"127.0.0.2"],
        "resolve": [(b"host", 80, b"127.0.0.1"), (b"host", 0, b"::1")],
        "unix_path": b"@socket",
        "keep_alive": 5,
        "delay": True,
    }
    _core.Plan(plan, options)
    with pytest.raises(TypeError):
        _core.Plan(plan, {"unknown": 1})
    with pytest.raises(TypeError):
        _core.Plan(plan, {"ca_file": "str"})
    with pytest.raises(ValueError, match="TLS"):
        _core.Plan(plan, {"min_version": 9})


def test_an_ssl_context_lives_as_long_as_its_plan() -> None:
    plan = make_plan(URL, [Instruction(Op.END)])
    context = ssl.create_default_context()
    gone = weakref.ref(context)
    made = _core.Plan(plan, {"make_ssl_context": [context].pop})
    del context
    gc.collect()
    assert gone() is not None
    del made
    gc.collect()
    assert gone() is None


def test_a_context_that_can_not_be_made() -> None:
    def fail() -> Any:
        raise OSError("no file")

    with pytest.raises(OSError, match="no file"):
        _core.Plan(make_plan(URL, [Instruction(Op.END)]), {"make_ssl_context": fail})
