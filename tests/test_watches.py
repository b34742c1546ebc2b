"""What the Python side knows of its agents: which are whose, and how they end."""

from __future__ import annotations

from typing import Any, cast

from helpers import run_script

from opscore_fast.native.fleet import ASKED, ON_START_RAISED, End, Watch, _Numbers


def make_watch(*, remembers: bool = True) -> Watch:
    return Watch(cast(Any, None), remembers=remembers)


def end(agent: int, why: int = ASKED) -> End:
    return End(agent, why, False, (agent,), [])


def test_numbers_that_follow_each_other_are_one_range() -> None:
    watch = make_watch()
    watch.note_added(0, 1000)
    watch.note_added(1000, 2000)
    watch.note_added(2100, 2101)
    assert watch.ranges == [range(2000), range(2100, 2101)]
    assert watch.living == 2001


def test_a_watch_has_ended_when_no_agent_lives_and_none_will_come() -> None:
    watch = make_watch(remembers=False)
    watch.note_added(0, 2)
    watch.note_end(end(1))
    watch.note_end(end(0, ON_START_RAISED))
    assert not watch.ended.ready()
    watch.complete()
    assert watch.ended.ready()
    assert watch.failed == 1
    assert list(watch.ends()) == []


def test_a_watch_without_agents_ends_at_once() -> None:
    watch = make_watch()
    watch.complete()
    assert watch.ended.ready()
    assert list(watch.ends()) == []


def test_ends_are_yielded_once() -> None:
    watch = make_watch()
    watch.note_added(5, 8)
    watch.complete()
    watch.note_end(end(6))
    assert [one.slots for one in watch.ends_so_far()] == [(6,)]
    watch.note_end(end(7))
    watch.note_end(end(5))
    assert [one.slots for one in watch.ends()] == [(7,), (5,)]
    assert list(watch.ends()) == []
    assert list(watch.ends_so_far()) == []


def test_numbers_find_their_watch() -> None:
    numbers, watches = _Numbers(), [make_watch() for _ in range(3)]
    numbers.add(0, 10, watches[0])
    numbers.add(10, 11, watches[1])
    numbers.add(11, 20, watches[0])
    numbers.add(20, 30, watches[0])
    numbers.add(40, 50, watches[2])
    found = [watches.index(numbers.find(number)) for number in (0, 9, 10, 11, 19, 20, 29, 40, 49)]
    assert found == [0, 0, 1, 0, 0, 0, 0, 2, 2]


def test_numbers_let_go_of_those_that_have_ended() -> None:
    """There are no more entries than twice those of the living, or 64."""
    numbers, living = _Numbers(), make_watch()
    numbers.add(0, 1, living)
    for number in range(1, 10_000):
        watch = make_watch()
        watch.complete()
        numbers.add(number, number + 1, watch)
        assert len(numbers._watches) <= 64
    assert numbers.find(0) is living
    assert numbers.find(9999) is watch


ENDS = """
import locust, gevent
from types import SimpleNamespace
from opscore_fast.native import fleet
from opscore_fast._core import Plan
from opscore_fast.recording.plan import Instruction, Op, Pace, Plan as Recorded, Program, TaskSet
from opscore_fast.recording.plan import Wait

program = Program("task", [Instruction(Op.END)])
tasks = TaskSet(False, [("program", 0)], Wait(Pace.CONSTANT, 1000))
recorded = Recorded("U", "http", programs=[program], sets=[tasks], lines=["a.py:1"])
user = SimpleNamespace(environment=SimpleNamespace(runner=None))
watch = fleet.watch(user, Plan(recorded, {}), remembers=False)
fleet.add_alike(watch, 20_000, ())
assert watch.ranges == [range(20_000)]
fleet.stop(watch, fleet.NOW)
seen = set()
while not watch.ended.ready():
    gevent.sleep(0.0001)
    seen.add(watch.living)
assert fleet.running().living == 0
print(len(seen - {0, 20_000}) > 2)
"""


def test_many_ends_leave_others_their_turn() -> None:
    """Whoever waits for a time sees some of them told and others not."""
    assert run_script(ENDS).split() == ["True"]
