"""Every request is counted once, and whoever reads the statistics sees all that have finished.

With no listener but Locust's own and with one, reading in the middle of a run and at its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
import locust.stats
import pytest
from conftest import Listen
from helpers import (
    Users,
    all_users_gone,
    assert_times_add_up,
    entry_figures,
    local_environment,
    make_user,
    record_events,
    running,
    statistics,
    token_task,
    user_class,
    wait_until,
)
from locust import constant
from locust.env import Environment
from locust.exception import StopUser
from locust.stats import RequestStats, StatsEntry, StatsError, get_stats_summary
from servers import Listener


def times(count: int, *, every: int = 7) -> dict[str, Any]:
    """Class attributes of a user that makes that many requests of several kinds, then stops."""

    def work(self: Any) -> None:
        self.made = getattr(self, "made", 0) + 1
        kind = self.made % 4
        if kind == 0:
            self.client.get(f"/every/{every}", name="every")
        elif kind == 1:
            self.client.post("/answer?size=100", json=[1], name="post")
        elif kind == 2:
            with self.client.get("/ok", name="caught", catch_response=True) as response:
                if self.made % 3 == 0:
                    response.failure("third")
        else:
            self.client.get("/answer?size=1000", name="large")
        if self.made == count:
            raise StopUser

    return {"tasks": [work]}


def check_against_server(environment: Environment, app: Listener, count: int) -> None:
    """The server's counts and those of the statistics are the same."""
    counts = app.counts()
    stats = environment.stats
    assert counts["answered"] == stats.total.num_requests == count
    entries = list(stats.entries.values())
    assert sum(entry.num_requests for entry in entries) == count
    assert stats.get("post", "POST").num_requests == counts["targets"].get("POST /answer", 0)
    assert stats.get("large", "GET").num_requests == counts["targets"].get("GET /answer", 0)
    assert stats.get("every", "GET").num_failures == counts["statuses"].get("500", 0)
    caught = sum(e.occurrences for e in stats.errors.values() if "third" in repr(e.error))
    failures = stats.get("every", "GET").num_failures + caught
    assert stats.total.num_failures == sum(entry.num_failures for entry in entries) == failures
    assert sum(error.occurrences for error in stats.errors.values()) == failures
    large = stats.get("large", "GET")
    assert large.total_content_length == 1000 * large.num_requests
    assert stats.total.total_content_length == sum(e.total_content_length for e in entries)
    for entry in (stats.total, *entries):
        assert_times_add_up(entry)
        assert sum(entry.num_reqs_per_sec.values()) == entry.num_requests
        assert sum(entry.num_fail_per_sec.values()) == entry.num_failures


@pytest.mark.parametrize("listened", [False, True], ids=["counted", "listener"])
@pytest.mark.parametrize("count", [1, 20])
def test_exact(users: Users, app: Listener, count: int, listened: bool) -> None:
    made = user_class(users, app.url, **times(50))
    with local_environment(made) as environment:
        events = record_events(environment) if listened else []
        with running(environment, count):
            wait_until(lambda: all_users_gone(environment))
        check_against_server(environment, app, 50 * count)
        assert len(events) == (50 * count if listened else 0)


def test_exact_with_500_users(users: Users, app: Listener) -> None:
    """All at once, each with its own token, which comes back to it."""

    with local_environment(user_class(users, app.url, tasks=[token_task(8)])) as environment:
        with running(environment, 500):
            wait_until(lambda: all_users_gone(environment))
        assert statistics(environment)["errors"] == []
        assert environment.stats.total.num_requests == app.counts()["answered"] == 4000
        assert app.counts()["connections"] == 500


def test_exact_when_read_all_the_time(users: Users, app: Listener) -> None:
    """Figures only grow, and total and entries agree at every moment."""
    made = user_class(users, app.url, **times(200))
    with local_environment(made) as environment:
        stats = environment.stats
        seen = [0]
        with running(environment, 10):
            held = stats.get("every", "GET")
            while not all_users_gone(environment):
                total = stats.total.num_requests
                assert total == sum(entry.num_requests for entry in stats.entries.values())
                assert total >= seen[-1]
                assert held.num_requests == stats.entries[("every", "GET")].num_requests
                seen.append(total)
                gevent.sleep(0.003)
        assert len(set(seen)) > 10
        check_against_server(environment, app, 2000)


# Reading right after a request

READERS: dict[str, Callable[[RequestStats], int]] = {
    "total": lambda stats: stats.total.num_requests,
    "num_requests": lambda stats: stats.num_requests,
    "get": lambda stats: stats.get("/ok", "GET").num_requests,
    "entries": lambda stats: sum(entry.num_requests for entry in stats.entries.values()),
    "item": lambda stats: stats.entries[("/ok", "GET")].num_requests,
    "entries.get": lambda stats: getattr(stats.entries.get(("/ok", "GET")), "num_requests", 0),
    "times": lambda stats: sum(stats.total.response_times.values()),
    "per second": lambda stats: sum(stats.total.num_reqs_per_sec.values()),
    "length": lambda stats: stats.total.total_content_length // 2,
    "serialize": lambda stats: stats.total.serialize()["num_requests"],
    "to_dict": lambda stats: int(stats.total.to_dict()["num_requests"]),
    "to_string": lambda stats: int(stats.total.to_string(current=False).split()[1]),
    "summary": lambda stats: int(get_stats_summary(stats, False)[-1].split()[1]),
    "vars": lambda stats: int(vars(stats.total)["num_requests"]),
    "extend": lambda stats: extended(stats.total).num_requests,
    "average": lambda stats: (
        round(stats.total.total_response_time / stats.total.avg_response_time)
        if stats.total.avg_response_time
        else 0
    ),
}


def extended(entry: StatsEntry) -> StatsEntry:
    """A copy, by the way in which Locust merges the entries of workers."""
    copy = StatsEntry(RequestStats(), entry.name, entry.method)
    copy.extend(entry)
    return copy


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_seen_right_after_the_request(
    users: Users, app: Listener, environment: Environment, read: Callable[[RequestStats], int]
) -> None:
    client = make_user(users, app.url, environment).client
    for count in range(1, 6):
        client.get("/ok")
        assert read(environment.stats) == count


def test_seen_by_a_held_entry(users: Users, app: Listener, environment: Environment) -> None:
    """An entry that was there before the first request of its name, and the same one later."""
    client = make_user(users, app.url, environment).client
    total, entry = environment.stats.total, environment.stats.get("/ok", "GET")
    for count in range(1, 6):
        client.get("/ok")
        assert (entry.num_requests, total.num_requests) == (count, count)
        client.get("/status/500")
        assert (entry.num_failures, total.num_failures) == (0, count)
        total.num_requests -= 1
    assert environment.stats.get("/ok", "GET") is entry
    assert environment.stats.total is total


@pytest.mark.parametrize(
    "field",
    [
        "num_failures",
        "min_response_time",
        "max_response_time",
        "last_request_timestamp",
        "fail_ratio",
        "median_response_time",
        "total_rps",
        "avg_content_length",
    ],
)
def test_figures_of_a_held_entry(
    users: Users, app: Listener, environment: Environment, field: str
) -> None:
    """Whichever attribute is the first to be read after a request."""
    client = make_user(users, app.url, environment).client
    entry = environment.stats.total
    assert not getattr(entry, field)
    client.get("/status/500?delay=0.002")
    assert getattr(entry, field)


def test_errors_seen_right_after(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    stats = environment.stats
    for count in range(1, 4):
        error = client.get("/status/500").error
        [held] = stats.errors.values()
        assert held.occurrences == count
        assert list(stats.errors) == [StatsError.create_key("GET", "/status/500", error)]
        [serialized] = stats.serialize_errors().values()
        assert serialized["occurrences"] == count
        assert environment.runner is not None
        assert environment.runner.errors == stats.errors
        if hasattr(held, "first_seen"):  # not in older versions of Locust
            assert held.first_seen <= held.last_seen <= time.time()


def test_seen_within_a_task(users: Users, app: Listener) -> None:
    seen = []

    def work(self: Any) -> None:
        before = self.environment.stats.total.num_requests
        self.client.get("/ok")
        seen.append(self.environment.stats.total.num_requests - before)

    with local_environment(user_class(users, app.url, tasks=[work])) as environment:
        with running(environment, 1):
            wait_until(lambda: len(seen) >= 100)
        assert set(seen) == {1}


def test_every_failure_text_is_its_own(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    for i in range(300):
        with client.get("/ok", catch_response=True) as response:
            response.failure(f"number {i % 150}")
    assert len(environment.stats.errors) == 150
    assert {error.occurrences for error in environment.stats.errors.values()} == {2}


def test_names_of_every_kind(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    names = ["a b", "é€😀", "x" * 5000, "%s %d", "\n", "{}", "a\0b", "/ok"]
    for name in names:
        for method in ("GET", "post"):
            client.request(method, "/ok", name=name)
    keys = {(name, method) for name in names for method in ("GET", "post")}
    assert set(environment.stats.entries) == keys


def test_thousands_of_names(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    for i in range(3000):
        client.get("/ok", name=f"number {i % 2000}")
    entries = environment.stats.entries
    assert len(entries) == 2000
    assert [entries[f"number {i}", "GET"].num_requests for i in (0, 999, 1000, 1999)] == [
        2,
        2,
        1,
        1,
    ]
    assert environment.stats.total.num_requests == 3000


# Reset, clear, serialize


def test_reset_all(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    stats = environment.stats
    total, entry = stats.total, stats.get("/ok", "GET")
    for _ in range(3):
        client.get("/ok")
    client.get("/status/500")
    stats.reset_all()
    assert (stats.total.num_requests, entry.num_requests, stats.errors) == (0, 0, {})
    assert_times_add_up(entry)
    client.get("/ok")
    assert stats.total is total
    assert stats.get("/ok", "GET") is entry
    assert (total.num_requests, entry.num_requests) == (1, 1)
    assert set(stats.entries) == {("/ok", "GET"), ("/status/500", "GET")}


def test_clear_all(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    stats = environment.stats
    client.get("/ok")
    old_total, old_entry = stats.total, stats.get("/ok", "GET")
    client.get("/ok")
    stats.clear_all()
    assert dict(stats.entries) == {}
    assert stats.total.num_requests == 0
    for _ in range(3):
        client.get("/ok")
    assert (stats.total.num_requests, stats.get("/ok", "GET").num_requests) == (3, 3)
    # What was taken out before is left alone.
    assert (old_total.num_requests, old_entry.num_requests) == (2, 2)


def test_entry_reset_by_itself(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    stats = environment.stats
    client.get("/ok")
    client.get("/ok", name="other")
    stats.get("/ok", "GET").reset()
    client.get("/ok")
    assert stats.get("/ok", "GET").num_requests == 1
    assert stats.total.num_requests == 3


def test_entries_removed_by_hand(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    stats = environment.stats
    client.get("/ok")
    removed = stats.entries.pop(("/ok", "GET"))
    client.get("/ok")
    assert removed.num_requests == 1
    assert stats.get("/ok", "GET").num_requests == 1
    stats.entries.clear()
    assert len(stats.entries) == 0
    client.get("/ok")
    assert stats.get("/ok", "GET").num_requests == 1


def test_serialized_again_and_again(users: Users, app: Listener) -> None:
    """As a worker reports: each time what came since the last, and nothing is lost."""
    made = user_class(users, app.url, **times(200))
    with local_environment(made) as environment:
        environment.stats = RequestStats(use_response_times_cache=False)
        stats, total = environment.stats, RequestStats()
        reported, errors = 0, 0

        def report() -> None:
            nonlocal reported, errors
            for data in stats.serialize_stats():
                entry = total.entries[(data["name"], data["method"])]
                came = StatsEntry(total, data["name"], data["method"])
                vars(came).update(data)
                entry.extend(came)
            reported += stats.total.get_stripped_report()["num_requests"]
            errors += sum(error["occurrences"] for error in stats.serialize_errors().values())
            stats.errors = {}

        with running(environment, 10):
            while not all_users_gone(environment):
                report()
                gevent.sleep(0.005)
        report()
        counts = app.counts()
        assert reported == counts["answered"] == 2000
        assert sum(entry.num_requests for entry in total.entries.values()) == 2000
        assert errors == sum(entry.num_failures for entry in total.entries.values()) > 0
        assert total.get("every", "GET").num_failures == counts["statuses"]["500"]
        for entry in total.entries.values():
            assert sum(entry.response_times.values()) == entry.num_requests
        assert stats.total.response_times_cache is None
        assert all(entry.response_times_cache is None for entry in stats.entries.values())
        report()
        assert reported == 2000


def test_reset_when_all_are_spawned(users: Users, app: Listener) -> None:
    made_users = 0

    def work(self: Any) -> None:
        self.client.get("/ok")
        gevent.sleep(0.005)

    def begin(self: Any, *args: Any) -> None:
        nonlocal made_users
        made_users += 1
        if made_users == 3:  # the others have asked so often by now
            wait_until(lambda: environment.stats.total.num_requests > 20)
        super(made, self).__init__(*args)

    made = user_class(users, app.url, tasks=[work], __init__=begin)
    with local_environment(made, reset_stats=True, stop_timeout=10) as environment:
        at_reset: list[tuple[int, int]] = []

        def note(user_count: int) -> None:
            at_reset.append((user_count, environment.stats.total.num_requests))

        environment.events.spawning_complete.add_listener(note)
        runner = environment.runner
        assert runner is not None
        runner.start(4, spawn_rate=2)  # half of them now, half a second later
        wait_until(lambda: at_reset and environment.stats.total.num_requests > 20)
        runner.stop()
        assert at_reset == [(4, 0)]
        assert environment.stats.total.num_requests < app.counts()["answered"] - 20
        assert_times_add_up(environment.stats.total)


def test_statistics_replaced(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    client.get("/ok")
    old = environment.stats
    environment.stats = RequestStats()
    client.get("/ok")
    client.get("/ok")
    assert (old.total.num_requests, environment.stats.total.num_requests) == (1, 2)


def test_two_environments(users: Users, app: Listener, environment: Environment) -> None:
    with local_environment() as other:
        clients = [make_user(users, app.url, env).client for env in (environment, other)]
        for _ in range(3):
            for i, client in enumerate(clients):
                for _ in range(i + 1):
                    client.get("/ok")
        assert environment.stats.total.num_requests == 3
        assert other.stats.total.num_requests == 6


def test_counted_beside_others(users: Users, app: Listener, environment: Environment) -> None:
    """Events that a locustfile fires itself, and what it logs, go to the same figures."""
    client = make_user(users, app.url, environment).client
    for _ in range(3):
        client.get("/ok")
        environment.events.request.fire(
            request_type="GET", name="/ok", response_time=5, response_length=10, exception=None
        )
        environment.stats.log_request("GET", "/ok", 7, 100)
        environment.stats.log_error("GET", "/ok", KeyError("x"))
        with environment.events.request.measure("FLOW", "both"):
            client.get("/ok")
    entry = environment.stats.get("/ok", "GET")
    assert (entry.num_requests, entry.num_failures) == (12, 3)
    assert entry.total_content_length == 6 * 2 + 3 * 110
    assert environment.stats.get("both", "FLOW").num_requests == 3


# Response times


def rounded(response_time: float) -> int:
    """A response time as Locust rounds it: two digits, or whole milliseconds below 100."""
    digits = 0 if response_time < 100 else 1 if response_time < 1000 else 2
    return round(round(response_time, -digits if response_time < 10_000 else -3))


replaceable_buckets = pytest.mark.skipif(
    not hasattr(locust.stats, "bucket_response_time"), reason="newer versions of Locust have it"
)


def test_times_are_in_locusts_buckets(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    for delay in (0, 0, 0.011, 0.05, 0.12, 0.21):
        client.get(f"/ok?delay={delay}", name="ok")
    entry = environment.stats.get("ok", "GET")
    buckets = dict(entry.response_times)
    assert sum(buckets.values()) == 6
    assert {rounded(bucket) for bucket in buckets} == set(buckets)
    assert sum(count for bucket, count in buckets.items() if bucket >= 120) >= 2
    assert max(buckets) == rounded(entry.max_response_time)
    assert min(buckets) == rounded(entry.min_response_time or 0)


def test_buckets_follow_the_event(users: Users, app: Listener, environment: Environment) -> None:
    """The statistics hold exactly what the events said."""
    events = record_events(environment)
    client = make_user(users, app.url, environment).client
    for _ in range(50):
        client.get("/ok")
    told = [event["response_time"] for event in events]
    entry = environment.stats.total
    assert entry.total_response_time == pytest.approx(sum(told))
    assert (entry.min_response_time, entry.max_response_time) == (min(told), max(told))
    counted: dict[int, int] = {}
    for response_time in told:
        bucket = rounded(response_time)
        counted[bucket] = counted.get(bucket, 0) + 1
    assert dict(entry.response_times) == counted


@replaceable_buckets
def test_buckets_of_ones_own(
    users: Users, app: Listener, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locust documents that its rounding may be replaced."""
    monkeypatch.setattr(locust.stats, "bucket_response_time", lambda _time: 4711)
    client = make_user(users, app.url, environment).client
    client.get("/ok")
    client.get("/ok")
    assert dict(environment.stats.get("/ok", "GET").response_times) == {4711: 2}


@replaceable_buckets
def test_buckets_of_ones_own_in_the_middle(
    users: Users, app: Listener, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_user(users, app.url, environment).client
    client.get("/ok?delay=0.002", name="ok")
    entry = environment.stats.get("ok", "GET")
    before = dict(entry.response_times)
    monkeypatch.setattr(locust.stats, "bucket_response_time", lambda _time: 4711)
    client.get("/ok", name="ok")
    client.get("/ok", name="ok")
    assert dict(entry.response_times) == {**before, 4711: 2}


def test_current_percentiles(users: Users, app: Listener) -> None:
    """The charts' figures come from copies of the response times, one a second."""

    def work(self: Any) -> None:
        self.client.get("/ok")
        gevent.sleep(0.005)

    made = user_class(users, app.url, tasks=[work], wait_time=constant(0))
    with local_environment(made) as environment:
        begin = int(time.time())
        with running(environment, 2):
            wait_until(lambda: len(environment.stats.total.num_reqs_per_sec) >= 4)
        total = environment.stats.total
        cache = total.response_times_cache
        assert cache is not None
        # copied with the first request of each second, as of the second before
        assert {second - 1 for second in sorted(total.num_reqs_per_sec)[1:]} == set(cache)
        assert list(cache) == sorted(cache)
        counts = [cached.num_requests for cached in cache.values()]
        assert counts == sorted(counts)
        assert counts[-1] <= total.num_requests
        for second, cached in cache.items():
            assert sum(cached.response_times.values()) == cached.num_requests
            by_then = [n for t, n in total.num_reqs_per_sec.items() if t <= second]
            assert cached.num_requests == sum(by_then)
        assert total.get_current_response_time_percentile(0.5) is not None
        assert set(total.num_reqs_per_sec) <= set(range(begin, int(time.time()) + 1))
        assert len(total.num_reqs_per_sec) >= 3


# Listeners that come and go


def numbered(count: int) -> dict[str, Any]:
    """Class attributes of a user whose requests tell its number and theirs."""

    def work(self: Any) -> None:
        self.made = getattr(self, "made", 0) + 1
        self.client.get("/every/5", name="every", context={"user": id(self), "made": self.made})
        if self.made == count:
            raise StopUser

    return {"tasks": [work]}


def test_listener_added_and_removed_in_the_middle(users: Users, app: Listener) -> None:
    """From one moment to another every event is fired, in order; the figures don't notice."""
    made = user_class(users, app.url, **numbered(300))
    with local_environment(made) as environment:
        events: list[dict[str, Any]] = []
        counted: list[tuple[int, int]] = []

        def listener(**event: Any) -> None:
            events.append(event)
            counted.append((len(events), environment.stats.total.num_requests))

        with running(environment, 5):
            total = environment.stats.total
            wait_until(lambda: total.num_requests > 200)
            before = total.num_requests
            environment.events.request.add_listener(listener)
            wait_until(lambda: total.num_requests > before + 200)
            environment.events.request.remove_listener(listener)
            after = total.num_requests
            heard = len(events)
            wait_until(lambda: all_users_gone(environment))
        assert heard == len(events) == after - before
        assert [total - told for told, total in counted] == [before] * heard
        by_user: dict[int, list[int]] = {}
        for event in events:
            by_user.setdefault(event["context"]["user"], []).append(event["context"]["made"])
        assert len(by_user) == 5
        for numbers in by_user.values():
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        counts = app.counts()
        assert environment.stats.total.num_requests == counts["answered"] == 1500
        assert environment.stats.total.num_failures == counts["statuses"]["500"] == 300


def test_listener_for_a_single_request(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    client.get("/ok")
    events = record_events(environment)
    client.get("/status/500")
    environment.events.request._handlers.pop()
    client.get("/ok")
    assert [event["name"] for event in events] == ["/status/500"]
    assert entry_figures(environment.stats.total)["num_requests"] == 3


def test_listener_added_within_a_block(
    users: Users, app: Listener, environment: Environment
) -> None:
    """The event is fired at the end of the block, for whoever listens by then."""
    client = make_user(users, app.url, environment).client
    with client.get("/ok", catch_response=True):
        events = record_events(environment)
    assert len(events) == environment.stats.total.num_requests == 1


def test_listener_before_the_runner(users: Users, app: Listener) -> None:
    environment = Environment()
    events = record_events(environment)
    runner = environment.create_local_runner()
    try:
        client = make_user(users, app.url, environment).client
        client.get("/ok")
        assert len(events) == environment.stats.total.num_requests == 1
    finally:
        runner.quit()


def test_listener_sees_itself_counted(
    users: Users, app: Listener, environment: Environment
) -> None:
    """Locust's own listener is the first."""
    seen = []
    environment.events.request.add_listener(
        lambda name, **_event: seen.append(environment.stats.get(name, "GET").num_requests)
    )
    client = make_user(users, app.url, environment).client
    for _ in range(3):
        client.get("/ok")
    assert seen == [1, 2, 3]


def test_without_a_runner_nothing_is_counted(users: Users, listen: Listen) -> None:
    environment = Environment()
    app = listen()
    client = make_user(users, app.url, environment).client
    client.get("/ok")
    assert environment.stats.total.num_requests == 0
    runner = environment.create_local_runner()
    try:
        client.get("/ok")
        assert environment.stats.total.num_requests == 1
    finally:
        runner.quit()
