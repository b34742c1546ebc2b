"""The load shape that looks for the breaking point, and what it says of it."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from helpers_standin import ROOT
from locust.stats import RequestStats


class Stress:
    """A stress shape from 10 to 30 users, 10 more every 100 s, whose requests a test makes up."""

    def __init__(self) -> None:
        profile, stress = map(importlib.import_module, ("load_profile", "stress"))
        users = profile.Profile(10, 30, ramp=200, duration=400, wait=(1, 1))
        self.shape = type("Shape", (stress.StressShape,), {"profile": users, "step_users": 10})()
        self.stats = RequestStats()
        self.environment = SimpleNamespace(process_exit_code=None)
        self.shape.runner = SimpleNamespace(stats=self.stats, environment=self.environment)
        self.shape.get_run_time = lambda: self.now
        self.now = 0.0

    def users(self, at: float, requests: int = 0, failures: int = 0, ms: float = 1) -> int | None:
        """Users at a moment, after so many more requests."""
        self.now = at
        for number in range(requests):
            self.stats.log_request("GET", "/", ms, 0)
            if number < failures:
                self.stats.log_error("GET", "/", "failed")
        tick = self.shape.tick()
        return None if tick is None else int(tick[0])


@pytest.fixture
def stress(monkeypatch: pytest.MonkeyPatch) -> Stress:
    monkeypatch.syspath_prepend(str(ROOT / "locustfiles" / "opscore"))
    return Stress()


def told(stress: Stress, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the shape prints at the end."""
    stress.shape.tell(exit_code=0)
    return capsys.readouterr().out.splitlines()


def test_it_goes_up_in_steps(stress: Stress, capsys: pytest.CaptureFixture[str]) -> None:
    found = [stress.users(at, requests=100) for at in (0, 99, 100, 199, 200, 300, 400)]
    assert found == [10, 10, 20, 20, 30, 30, None]
    assert stress.environment.process_exit_code is None
    assert told(stress, capsys) == [
        "No breaking point up to 30 users, 1.0 requests/s, 1 ms on average, 95 % within 1 ms,"
        " 0.0 % failed"
    ]


def test_it_ends_when_it_is_slow(stress: Stress, capsys: pytest.CaptureFixture[str]) -> None:
    assert stress.users(0) == 10
    assert stress.users(50, requests=1000, ms=10) == 10
    assert stress.users(100) == 20
    assert stress.users(101, requests=1, ms=1) == 20
    assert stress.users(102, requests=18, ms=3000) == 20  # too few to tell
    assert stress.users(110, requests=1, ms=4000) is None  # though the mean of all is 67 ms
    assert stress.environment.process_exit_code == 1
    assert told(stress, capsys) == [
        "Breaking point: a mean response time of more than 2,000 ms: 20 users, 2.0 requests/s,"
        " 2,900 ms on average, 95 % within 4,000 ms, 0.0 % failed",
        "The step before: 10 users, 20.0 requests/s, 10 ms on average, 95 % within 10 ms,"
        " 0.0 % failed",
    ]


def test_it_ends_when_requests_fail(stress: Stress, capsys: pytest.CaptureFixture[str]) -> None:
    assert stress.users(0) == 10
    assert stress.users(49, requests=100, failures=5) == 10
    assert stress.users(50, requests=1, failures=1) is None
    assert told(stress, capsys) == [
        "Breaking point: more than 5 % of the requests failed: 10 users, 2.0 requests/s,"
        " 1 ms on average, 95 % within 1 ms, 5.9 % failed",
        "The step before: there is none",
    ]


def test_a_step_begins_anew_with_the_statistics(stress: Stress) -> None:
    assert stress.users(0) == 10
    assert stress.users(50, requests=100, failures=4) == 10
    stress.stats.clear_all()
    assert stress.users(51) == 10
    assert stress.users(52, requests=100, failures=5) == 10
    assert stress.users(53, requests=1, failures=1) is None


def test_each_test_has_a_breaking_point_of_its_own(
    stress: Stress, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stress.users(0) == 10
    assert stress.users(1, requests=20, failures=20) is None
    stress.shape.reset_time()
    stress.stats.clear_all()
    assert stress.users(0) == 10
    assert stress.users(1, requests=20) == 10
    assert [line.partition(",")[0] for line in told(stress, capsys)] == [
        "No breaking point up to 10 users"
    ]


def test_it_says_nothing_where_no_test_has_run(
    stress: Stress, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(stress, capsys) == []
