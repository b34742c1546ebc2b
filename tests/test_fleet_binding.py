"""Fleets of native threads as Python sees them, against a real server."""

from __future__ import annotations

import gc
import select
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers import SANITIZED, WAIT, run_script
from helpers_plans import make_plan, make_request, request_and_end, simple_plan, status_into
from locust.contrib.fasthttp import LocustUserAgent
from servers import CERTIFICATES, Listener

from opscore_fast._core import Fleet, Plan
from opscore_fast.native.tallies import Failure, exception_of
from opscore_fast.recording.plan import (
    NOTHING,
    Encoding,
    Extract,
    Instruction,
    Kind,
    Op,
    Program,
    Slot,
    Source,
    Take,
    Value,
)

AFTER_TASK, AFTER_REQUEST, NOW = range(3)
ASKED, STOP_USER, _, ON_START_RAISED = range(4)
ENGINE, STATUS, USER, MISSING, REFUSED = range(5)
OK = make_request((b"/ok",))


class Seen:
    """What a fleet has handed over so far."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.requests: Counter[tuple[str, str]] = Counter()
        self.cells: list[Any] = []
        self.failures: list[Any] = []
        self.raises: list[Any] = []
        self.ends: dict[int, Any] = {}
        self.plans: set[Plan] = set()

    def take(self) -> None:
        tallies, ends = self.fleet.take()
        for plan, second, cells, failures, raises, lost in tallies:
            assert isinstance(plan, Plan)
            assert abs(second - time.time()) < WAIT
            assert lost == 0
            self.plans.add(plan)
            self.cells += cells
            self.failures += failures
            self.raises += raises
            for name, method, count, *_ in cells:
                self.requests[method, name] += count
        for agent, *end in ends:
            assert agent not in self.ends
            self.ends[agent] = end

    def until(self, condition: Any) -> None:
        """Asks and takes until a condition holds."""
        limit = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < limit
            self.fleet.ask()
            select.select([self.fleet], [], [], 0.1)
            self.take()

    def until_ended(self, *agents: int) -> None:
        self.until(lambda: self.ends.keys() >= set(agents))


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """A fleet of two threads."""
    made = Fleet(2)
    yield made
    made.close()


def run(fleet: Fleet, plan: Plan, rows: list[Any], count: int, **options: Any) -> Seen:
    """Runs agents until they have made so many requests, and stops them."""
    seen = Seen(fleet)
    first = fleet.add(plan, rows, **options)
    agents = range(first, first + len(rows))
    seen.until(lambda: seen.requests.total() >= count)
    fleet.stop(agents, AFTER_REQUEST)
    seen.until_ended(*agents)
    return seen


def run_out(fleet: Fleet, plan: Plan, *rows: Any, **options: Any) -> Seen:
    """Runs agents that end by themselves."""
    seen = Seen(fleet)
    first = fleet.add(plan, list(rows) or [()], **options)
    seen.until_ended(*range(first, first + (len(rows) or 1)))
    return seen


def once(url: str, *requests: Any, **changes: Any) -> Plan:
    """A plan whose agents make these requests and end."""
    code = [*request_and_end(*requests)[:-1], Instruction(Op.STOP)]
    return Plan(make_plan(url, code, *requests, **changes), {})


# Counting


@pytest.mark.parametrize("by", ["exception", "want of a value"])
def test_agents_whose_start_fails_end(app: Listener, fleet: Fleet, by: str) -> None:
    """As users do whose on_start raises an exception; what they did up to there is counted."""
    failing = Instruction(Op.RAISE, what=0)
    if by == "want of a value":
        failing = Instruction(Op.NEED, a=0, target=NOTHING)
    start = Program("on_start", [Instruction(Op.REQUEST), failing, Instruction(Op.END)])
    plan = make_plan(app.url, [Instruction(Op.REQUEST), Instruction(Op.END)], OK)
    plan.programs.append(start)
    plan.start, plan.n_registers = 1, 1
    plan.raises, plan.templates = [("RuntimeError", (b"not today",))], [(b"none",)]
    seen = run_out(fleet, Plan(plan, {}), (), ())
    assert [why for why, *_ in seen.ends.values()] == [ON_START_RAISED] * 2
    assert seen.requests.total() == app.counts()["requests"] == 2
    told = seen.raises if by == "exception" else seen.failures
    assert sum(entry[-1] if by == "exception" else entry[11] for entry in told) == 2


def test_tasks_follow_a_start_that_comes_to_its_end(app: Listener, fleet: Fleet) -> None:
    plan = make_plan(app.url, [Instruction(Op.RAISE), Instruction(Op.END)], OK)
    plan.programs.append(Program("on_start", request_and_end(OK)))
    plan.start, plan.raises = 1, [("RuntimeError", (b"not today",))]
    seen = Seen(fleet)
    first = fleet.add(Plan(plan, {}), [()])
    seen.until(lambda: len(seen.raises) > 1)
    assert seen.requests.total() == app.counts()["requests"] == 1
    fleet.stop([first], NOW)
    seen.until_ended(first)
    assert seen.ends[first][0] == ASKED


def test_no_more_ends_than_asked_for(app: Listener, fleet: Fleet) -> None:
    """The others are there the next time."""
    first = fleet.add(once(app.url, OK), [()] * 10)
    select.select([fleet], [], [], WAIT)
    ended: list[int] = []
    limit = time.monotonic() + WAIT
    while len(ended) < 10:
        assert time.monotonic() < limit
        _, ends = fleet.take(3)
        assert len(ends) <= 3
        ended += [end[0] for end in ends]
    assert sorted(ended) == list(range(first, first + 10))
    with pytest.raises((TypeError, OverflowError)):
        fleet.take("3")  # type: ignore[arg-type]


def test_what_is_counted_was_sent(app: Listener, fleet: Fleet) -> None:
    plan = Plan(simple_plan(app.url, OK, make_request((b"/status/201",), name=(b"other",))), {})
    seen = run(fleet, plan, [()] * 10, 100)
    assert set(seen.requests) == {("GET", "/ok"), ("GET", "other")}
    assert seen.requests.total() == app.counts()["requests"]
    assert seen.plans == {plan}
    assert not seen.failures
    assert not seen.raises
    assert [end[:2] for end in seen.ends.values()] == [[ASKED, False]] * 10
    for name, _, count, total, low, high, last, size, buckets in seen.cells:
        assert sum(buckets.values()) == count
        assert 0 < low <= high <= total
        assert abs(last - time.time()) < WAIT
        assert size == count * (2 if name == "/ok" else 3)


def test_agents_of_two_plans_are_told_apart(app: Listener, fleet: Fleet) -> None:
    plans = [once(app.url, OK), once(app.url, OK)]
    seen = Seen(fleet)
    agents = [fleet.add(plan, [()]) for plan in plans]
    assert agents[1] == agents[0] + 1
    seen.until_ended(*agents)
    assert seen.plans == set(plans)


def test_bad_statuses_are_failures(app: Listener, fleet: Fleet) -> None:
    seen = run_out(fleet, once(app.url, make_request((b"/status/503",))), (), ())
    assert seen.requests == {("GET", "/status/503"): 2}
    assert sum(failure[11] for failure in seen.failures) == 2
    name, method, fault, failure, _, _, detail, _, status, url, text, *_ = seen.failures[0]
    assert (name, method, fault, failure, detail) == ("/status/503", "GET", STATUS, 0, None)
    assert (status, url, text) == (503, app.url, "Service Unavailable")


STATUSES = [
    200,
    208,
    209,
    226,
    299,
    300,
    301,
    304,
    306,
    308,
    399,
    400,
    451,
    499,
    500,
    599,
    600,
    999,
]


def fails_for_requests(status: int) -> bool:
    response = requests.Response()
    response.status_code = status
    try:
        response.raise_for_status()
    except requests.HTTPError:
        return True
    return False


@pytest.mark.parametrize(
    ("style", "fails"),
    [
        ("http", fails_for_requests),
        ("fast", lambda status: status not in LocustUserAgent.valid_response_codes),
    ],
)
def test_statuses_are_judged_as_by_the_user_class(
    app: Listener, fleet: Fleet, style: str, fails: Callable[[int], bool]
) -> None:
    asked = [make_request((b"/status/%d" % status,)) for status in STATUSES]
    seen = run_out(fleet, once(app.url, *asked, style=style))
    assert seen.requests.total() == len(STATUSES)
    assert sorted(failure[8] for failure in seen.failures) == [*filter(fails, STATUSES)]
    for failure in seen.failures:
        assert str(exception_of(Failure(*failure), style, 30))


def test_failures_of_the_engine_have_all_that_their_text_needs(fleet: Fleet) -> None:
    with_timeouts = make_request((b"/",), connect_timeout=1.5, network_timeout=2.5)
    seen = run_out(fleet, once("http://127.0.0.1:1", with_timeouts))
    [failure] = seen.failures
    assert failure[:6] == ("/", "GET", ENGINE, 3, 2, 111)
    assert failure[9] == "http://127.0.0.1:1"
    assert failure[11:] == (1, 1.5, 2.5, 0)
    assert seen.requests == {("GET", "/"): 1}


def test_what_can_not_be_sent_is_a_failure(app: Listener, fleet: Fleet) -> None:
    header = ("X-Value", (Value(0, Encoding.HEADER),))
    request = make_request((b"/ok",), headers=[header])
    plan = once(app.url, request, slots=[Slot(("a",), Kind.TEXT)], n_registers=1)
    seen = run_out(fleet, plan, ("good",), ("two\r\nlines",))
    [failure] = seen.failures
    assert failure[2] == REFUSED
    assert failure[10]
    assert seen.requests == {("GET", "/ok"): 2}
    assert [dict(one["headers"])["X-Value"] for one in app.requests()] == ["good"]


def test_headers_stand_in_their_order(app: Listener, fleet: Fleet) -> None:
    slot = Value(0, Encoding.HEADER)
    headers = [
        ("Host", (app.url.removeprefix("http://").encode(),)),
        ("A", (b"1",)),
        ("X", (slot,)),
        ("B", (b"2", b"3")),
        ("C", ()),
        ("Y", (b"y", slot)),
        ("D", (b"4",)),
    ]
    request = make_request((b"/ok",), headers=headers)
    plan = once(app.url, request, request, slots=[Slot(("a",), Kind.TEXT)], n_registers=1)
    seen = run_out(fleet, plan, ("v",))
    assert seen.requests == {("GET", "/ok"): 2}
    sent = [[pair for pair in one["headers"] if len(pair[0]) == 1] for one in app.requests()]
    fields = [("A", "1"), ("X", "v"), ("B", "23"), ("C", ""), ("Y", "yv"), ("D", "4")]
    assert [[tuple(pair) for pair in one] for one in sent] == [fields, fields]


def test_a_constant_header_that_can_not_be_sent(app: Listener, fleet: Fleet) -> None:
    bad = make_request((b"/ok",), headers=[("A", (b"1",)), ("B", (b"two\nlines",))])
    seen = run_out(fleet, once(app.url, bad))
    [failure] = seen.failures
    assert failure[2] == REFUSED
    assert "control character" in failure[10]
    assert not app.requests()


def test_a_constant_header_may_close_the_connection(app: Listener, fleet: Fleet) -> None:
    headers = [("Host", (b"h",)), ("connection", (b"Close",)), ("A", (b"1",))]
    closing = make_request((b"/ok",), headers=headers)
    run_out(fleet, once(app.url, closing, closing, closing))
    assert sum(thread["connects"] for thread in fleet.figures()) == 3


def test_exceptions_of_tasks_are_told(app: Listener, fleet: Fleet) -> None:
    code = [Instruction(Op.REQUEST, what=0), Instruction(Op.RAISE, what=0)]
    raises = [("ValueError", (b"value ", Value(0)))]
    recorded = make_plan(
        app.url, code, OK, raises=raises, slots=[Slot(("a",), Kind.INT)], n_registers=1
    )
    seen = run(fleet, Plan(recorded, {}), [(7,)], 3)
    assert {one[:4] for one in seen.raises} == {
        ("ValueError", "value 7", "locustfile.py:1", "task")
    }
    assert sum(one[4] for one in seen.raises) in (
        seen.requests.total(),
        seen.requests.total() - 1,  # stopped behind its request
    )


@pytest.mark.parametrize("caught", [False, True])
def test_a_response_of_which_too_much_is_kept_is_counted(
    app: Listener, fleet: Fleet, caught: bool
) -> None:
    request = make_request((b"/ok?size=5000000",), name=(b"long",), caught=caught)
    request.extracts = [Extract(Take.TEXT, 0)]
    code = [Instruction(Op.REQUEST, what=0), Instruction(Op.REPORT), Instruction(Op.END)]
    recorded = make_plan(app.url, code, request, n_registers=1, wait=1000)
    seen = Seen(fleet)
    agent = fleet.add(Plan(recorded, {}), [()])
    seen.until(lambda: seen.raises)
    fleet.stop([agent], AFTER_TASK)
    seen.until_ended(agent)
    [raised] = seen.raises
    assert raised[0] == "MemoryError"
    assert "4 MiB" in raised[1]
    assert seen.requests == {("GET", "long"): 1}
    assert app.counts()["requests"] == 1


def test_options_that_can_not_be_used_any_more(app: Listener, fleet: Fleet, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes((CERTIFICATES / "authority.pem").read_bytes())
    options = {"ca_file": str(authority).encode(), "verify": True}
    plan = Plan(simple_plan(app.url, OK, wait=1000), options)
    agent = fleet.add(plan, [()], delay=0.5)
    authority.unlink()
    seen = Seen(fleet)
    seen.until(lambda: seen.raises)
    fleet.stop([agent], AFTER_TASK)
    seen.until_ended(agent)
    [raised] = seen.raises
    assert raised[0] == "ValueError"
    assert str(authority) in raised[1]
    assert not seen.requests


def test_what_can_not_be_sent_has_not_gone_well(app: Listener, fleet: Fleet) -> None:
    request = make_request((b"/ok",), headers=[("X-Value", (Value(0, Encoding.HEADER),))])
    request.extracts = [Extract(Take.OK, 0), status_into(1)]
    slots = [Slot(("a",), Kind.TEXT), Slot(("b",), Kind.INT)]
    seen = run_out(fleet, once(app.url, request, slots=slots, n_registers=2), ("two\nlines", None))
    assert [end[2] for end in seen.ends.values()] == [(False, 0)]


# Agents


def test_slots_go_in_and_come_back(app: Listener, fleet: Fleet) -> None:
    values = ("tëxt", -(2**63), 1.5, True, None, ...)
    slots = [Slot((str(index),), Kind.TEXT) for index in range(len(values))]
    seen = run_out(fleet, once(app.url, OK, slots=slots, n_registers=6), values, values[::-1])
    assert [end[0] for end in seen.ends.values()] == [STOP_USER] * 2
    came = sorted((end[2] for end in seen.ends.values()), key=repr)
    assert came == sorted([values, values[::-1]], key=repr)
    assert [type(value) for value in came[0]] in (
        [type(value) for value in values],
        [type(value) for value in values[::-1]],
    )


def test_slots_that_a_task_sets(app: Listener, fleet: Fleet) -> None:
    body = b'{"a": [1, {"b": "x"}], "c": "text"}'
    target = b"/answer?type=application/json&hex=" + body.hex().encode()
    request = make_request(
        (target,), extracts=[Extract(Take.JSON, 2, 0), Extract(Take.JSON, 3, 1), status_into(4)]
    )
    code = [
        Instruction(Op.REQUEST, what=0),
        Instruction(Op.MOVE, dst=0, a=2),
        Instruction(Op.MOVE, dst=1, a=3),
        Instruction(Op.STOP),
    ]
    recorded = make_plan(
        app.url,
        code,
        request,
        slots=[Slot(("a",), Kind.NONE), Slot(("b",), Kind.NONE)],
        n_registers=5,
        paths=[("a",), ("c",)],
    )
    seen = run_out(fleet, Plan(recorded, {}), (None, None))
    [end] = seen.ends.values()
    assert end[2] == ([1, {"b": "x"}], "text")


def test_each_agent_has_its_own_row(app: Listener, fleet: Fleet) -> None:
    request = make_request((b"/ok?", Value(0, Encoding.QUERY)), name=(b"ok",))
    plan = once(app.url, request, slots=[Slot(("a",), Kind.TEXT)], n_registers=1)
    run_out(fleet, plan, *[(f"a {index}&",) for index in range(20)])
    assert {one["target"] for one in app.requests()} == {f"/ok?a+{i}%26" for i in range(20)}


def test_agents_have_numbers_that_plans_can_use(app: Listener, fleet: Fleet) -> None:
    code = [
        Instruction(Op.GEN, dst=0, what=Source.ORDINAL),
        Instruction(Op.STOP),
    ]
    recorded = make_plan(app.url, code, slots=[Slot(("a",), Kind.INT)], n_registers=1)
    seen = run_out(fleet, Plan(recorded, {}), *[(0,)] * 5)
    assert len({end[2] for end in seen.ends.values()}) == 5


def test_cookies_go_in_and_come_back(app: Listener, fleet: Fleet) -> None:
    setting = make_request((b"/ok?header=Set-Cookie:new=1;%20Max-Age=999;%20Path=/ok",))
    cookies: list[Any] = [
        ("any", "\xe4", "", "/", True, False, None),
        ("here", None, "127.0.0.1", "/ok", True, False, 2**40),
        ("there", "1", "host.test", "/", True, False, None),
        ("safe", "1", "", "/", True, True, None),
        ("gone", "1", "", "/", True, False, 1.5),
        ("below", "1", "127.0.0.1", "/x", False, False, None),
    ]
    seen = run_out(fleet, once(app.url, setting, OK), (), cookies=cookies)
    sent = [dict(one["headers"]).get("Cookie") for one in app.requests()]
    assert sent == ["here; any=\xe4", "here; new=1; any=\xe4"]
    [end] = seen.ends.values()
    came = {cookie[0]: cookie for cookie in end[3]}
    assert came.pop("new")[:6] == ("new", "1", "127.0.0.1", "/ok", True, False)
    assert came == {cookie[0]: cookie for cookie in cookies if cookie[0] != "gone"}


def test_agents_begin_when_they_are_to(app: Listener, fleet: Fleet) -> None:
    later = fleet.add(once(app.url, make_request((b"/ok?later",))), [()], delay=0.5)
    seen = Seen(fleet)
    seen.until_ended(fleet.add(once(app.url, OK), [()]))
    assert later not in seen.ends
    seen.until_ended(later)
    assert [one["target"] for one in app.requests()] == ["/ok", "/ok?later"]


def test_a_request_under_way_is_waited_for_or_given_up(app: Listener, fleet: Fleet) -> None:
    plan = Plan(simple_plan(app.url, make_request((b"/ok?delay=0.5",), name=(b"slow",))), {})
    seen = Seen(fleet)
    patient, cut = fleet.add(plan, [()]), fleet.add(plan, [()])
    seen.until(lambda: app.counts()["requests"] == 2)
    fleet.stop([patient, 10**9], AFTER_REQUEST)
    fleet.stop([cut], NOW)
    seen.until_ended(patient, cut)
    assert seen.ends[cut][:2] == [ASKED, True]
    assert seen.ends[patient][:2] == [ASKED, False]
    assert seen.requests == {("GET", "slow"): 1}


def test_waits_that_python_has_drawn(app: Listener, fleet: Fleet) -> None:
    recorded = simple_plan(app.url, OK, samples=[None])
    recorded.sets[0].wait.pace = 4
    recorded.sets[0].wait.samples = 0
    plan = Plan(recorded, {})
    plan.set_samples(0, [3600.0] * 4096)
    seen = Seen(fleet)
    agent = fleet.add(plan, [()])
    seen.until(lambda: seen.requests.total() == 1)
    fleet.stop([agent], AFTER_TASK)
    seen.until_ended(agent)
    assert app.counts()["requests"] == 1


# The fleet


def test_wait_is_without_the_gil(app: Listener, fleet: Fleet) -> None:
    seen = Seen(fleet)
    agent = fleet.add(once(app.url, OK), [()])
    seen.until_ended(agent)
    fleet.ask()
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    thread.start()
    assert fleet.wait(WAIT)
    assert ran.wait(WAIT)
    thread.join()


def test_figures(app: Listener, fleet: Fleet) -> None:
    plan = Plan(simple_plan(app.url, OK), {})
    seen = Seen(fleet)
    agents = range(4)
    assert fleet.add(plan, [()] * 4) == 0
    seen.until(lambda: seen.requests.total() >= 20)
    figures = fleet.figures()
    assert [one["agents"] for one in figures] == [2, 2]
    assert sum(one["connects"] for one in figures) == 4
    assert all(one["cpu_ns"] > 0 and one["late_ns"] >= 0 for one in figures)
    fleet.stop(agents, NOW)
    seen.until_ended(*agents)
    seen.until(lambda: sum(one["agents"] for one in fleet.figures()) == 0)


def test_options_that_can_not_be_used(app: Listener, fleet: Fleet) -> None:
    plan = Plan(simple_plan(app.url, OK), {"ca_file": b"/nowhere", "verify": True})
    with pytest.raises(ValueError, match="/nowhere"):
        fleet.add(plan, [()])


def test_bad_arguments(app: Listener, fleet: Fleet) -> None:
    plan = once(app.url, OK, slots=[Slot(("a",), Kind.TEXT)], n_registers=1)
    bad: list[tuple[Any, ...]] = [
        (TypeError, "", (None, [("a",)])),
        (ValueError, "at least one", (plan, [])),
        (ValueError, "tuple of 1", (plan, [()])),
        (ValueError, "tuple of 1", (plan, [["a"]])),
        (ValueError, "64 bits", (plan, [(2**63,)])),
        (TypeError, "not list", (plan, [([],)])),
        (TypeError, "is a tuple", (plan, [("a",)], ["cookie"])),
        (TypeError, "are str", (plan, [("a",)], [(b"a", "b", "", "/", True, False, None)])),
        (ValueError, "no header", (plan, [("a",)], [("a", "\u20ac", "", "/", True, False, None)])),
        (ValueError, "control", (plan, [("a",)], [("a", "b\r\nc", "", "/", True, False, None)])),
        (ValueError, "null", (plan, [("a",)], [("a", "b\0c", "", "/", True, False, None)])),
        (ValueError, "delay", (plan, [("a",)], (), -1.0)),
        (ValueError, "delay", (plan, [("a",)], (), float("nan"))),
    ]
    for error, text, arguments in bad:
        with pytest.raises(error, match=text or None):
            fleet.add(*arguments)
    for agents, how in (([1], 3), ([1], -1)):
        with pytest.raises(ValueError, match="that way"):
            fleet.stop(agents, how)
    with pytest.raises(OverflowError):
        fleet.stop([-1], NOW)
    for threads in (0, 257):
        with pytest.raises(ValueError, match="threads"):
            Fleet(threads)
    with pytest.raises(ValueError, match="name servers"):
        Fleet(1, "nonsense")
    assert app.counts()["requests"] == 0


def test_a_closed_fleet(app: Listener) -> None:
    fleet = Fleet(2)
    plan = Plan(simple_plan(app.url, make_request((b"/ok?delay=5",))), {})
    fleet.add(plan, [()] * 4)
    fleet.close()
    fleet.close()
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("add", (plan, [()])),
        ("stop", ([0], NOW)),
        ("fileno", ()),
        ("ask", ()),
        ("wait", (0.0,)),
        ("take", ()),
        ("figures", ()),
    ]
    for name, arguments in calls:
        with pytest.raises(RuntimeError, match="closed"):
            getattr(fleet, name)(*arguments)
    gone = weakref.ref(fleet)
    del fleet
    gc.collect()
    assert gone() is None


CLOSING = """
import gc
from opscore_fast._core import Fleet

class Closing:
    def __init__(self, fleet):
        self.fleet, self.itself = fleet, self

    def __del__(self):
        self.fleet.close()

ended = 0
for threshold in range(1, 30):
    fleet = Fleet(20)
    gc.disable()
    gc.collect()
    Closing(fleet)
    gc.set_threshold(threshold, 1, 1)
    gc.enable()
    try:
        fleet.figures()
    except RuntimeError:
        ended += 1
    gc.set_threshold(700, 10, 10)
    gc.collect()
print("closed", ended)
"""


def test_a_fleet_that_is_closed_while_its_figures_are_read() -> None:
    """By a finalizer: until Python 3.11 it may run whenever an object is made."""
    assert run_script(CLOSING).startswith("closed ")


HANDING = """
import json, os, select, sys, threading
sys.path.insert(0, sys.argv[2])
from helpers_plans import make_plan, make_request, simple_plan
from opscore_fast._core import Fleet, Plan
from opscore_fast.recording.plan import Extract, Instruction, Kind, Op, Slot, Take

target = b"/answer?type=application/json&hex=5b315d"
request = make_request((target,), extracts=[Extract(Take.JSON, 0)])
code = [Instruction(Op.REQUEST, what=0), Instruction(Op.STOP)]
slots = [Slot(("a",), Kind.NONE)]
ending = Plan(make_plan(sys.argv[1], code, request, slots=slots, n_registers=1, paths=[()]), {})
waiting = Plan(make_plan(sys.argv[1], [Instruction(Op.END)], wait=1000), {})
fleet = Fleet(2)
loads = json.loads

def readable():
    return bool(select.select([fleet], [], [], 20)[0])
"""

ENDING = """
def load(text):
    fleet.stop([other], 0)
    assert readable()
    return loads(text)

json.loads = load
other = fleet.add(waiting, [()])
first = fleet.add(ending, [(None,)])
ends = []
while len(ends) < 2:
    assert readable()
    ends += fleet.take()[1]
print(ends == [(first, 1, False, ([1],), []), (other, 0, False, (), [])])
"""

CLOSED_BY_ANOTHER = """
def load(text):
    closing = threading.Thread(target=fleet.close)
    closing.start()
    closing.join()
    return loads(text)

json.loads = load
fleet.add(ending, [(None,), (None,)])
ends = []
while not ends:
    assert readable()
    ends = fleet.take()[1]
print([end[3] for end in ends] == [([1],)])
"""

NO_DESCRIPTORS = """
import resource
fleet.add(waiting, [()])
used = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
try:
    fleet.add(ending, [(None,)])
except OSError as error:
    print(error.errno == 24)
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(ENDING, id="an_end_comes_meanwhile"),
        pytest.param(CLOSED_BY_ANOTHER, id="closed_meanwhile"),
        pytest.param(NO_DESCRIPTORS, id="no_descriptors"),
    ],
)
def test_what_may_come_in_between(app: Listener, script: str) -> None:
    """Python runs while a fleet hands over, and so may other threads."""
    printed = run_script(HANDING + script, app.url, str(Path(__file__).parent))
    assert printed.strip() == "True"


def test_json_that_python_does_not_load_is_not_set(app: Listener, fleet: Fleet) -> None:
    body = b"[" + b"1" * 700 + b"]"
    request = make_request(
        (b"/answer?type=application/json&hex=" + body.hex().encode(),),
        name=(b"digits",),
        extracts=[Extract(Take.JSON, 0)],
    )
    slots = [Slot(("a",), Kind.NONE)]
    plan = once(app.url, request, slots=slots, n_registers=1, paths=[()])
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        seen = run_out(fleet, plan, (None,))
    finally:
        sys.set_int_max_str_digits(digits)
    [end] = seen.ends.values()
    assert end[2] == (...,)
    assert seen.requests == {("GET", "digits"): 1}


def count_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_fleet_that_is_dropped_ends(app: Listener) -> None:
    before = count_threads()
    fleet = Fleet(3)
    fleet.add(Plan(simple_plan(app.url, OK), {}), [()] * 4)
    assert count_threads() == before + 3
    del fleet
    gc.collect()
    assert count_threads() == before


FORKING = """
import os, sys
sys.path.insert(0, sys.argv[2])
from helpers_plans import make_request, simple_plan
from opscore_fast._core import Fleet, Plan
fleet = Fleet(2)
plan = Plan(simple_plan(sys.argv[1], make_request((b"/ok",)), wait=float(sys.argv[3])), {})
fleet.add(plan, [()] * 4)

def requests():
    fleet.ask()
    assert fleet.wait(20)
    return sum(cell[2] for tally in fleet.take()[0] for cell in tally[2])

count = 0
while count < 4:  # and then they wait
    count += requests()
pid = os.fork()
if pid == 0:
    fleet.mark_forked()
    for call in (fleet.ask, fleet.take, lambda: fleet.add(plan, [()])):
        try:
            call()
        except RuntimeError as error:
            assert "forked" in str(error)
        else:
            os._exit(1)
    fleet.close()
    del fleet
    fresh = Fleet(1)
    fresh.add(plan, [()])
    fresh.ask()
    assert fresh.wait(20)
    fresh.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
fleet.add(plan, [()] * 4)
count = 0
while count < 4:
    count += requests()
print("served")
fleet.close()
"""


@pytest.mark.parametrize(
    "wait",
    [
        pytest.param(
            0,
            id="busy",
            marks=pytest.mark.skipif(SANITIZED, reason="a fork may find its heap locked"),
        ),
        pytest.param(1000, id="waiting"),
    ],
)
def test_a_forked_child_leaves_the_fleet_alone(app: Listener, wait: float) -> None:
    printed = run_script(FORKING, app.url, str(Path(__file__).parent), str(wait))
    assert printed.strip() == "served"
