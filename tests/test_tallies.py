"""What native threads hand over, in Locust's statistics as if it had been logged there."""

from __future__ import annotations

from typing import Any

import pytest
from locust.exception import CatchResponseError
from locust.stats import RequestStats

from opscore_fast.native import tallies
from opscore_fast.native.tallies import Tally

SECOND = 1_700_000_000
CELL = ("/a", "GET", 5, 50.0, 4.0, 20.0, SECOND + 0.5, 70, {4: 2, 10: 2, 20: 1})
FIELDS: dict[str, Any] = {
    "name": "/a",
    "method": "GET",
    "fault": tallies.USER,
    "failure": 0,
    "phase": 0,
    "errno": 0,
    "detail": None,
    "reused": False,
    "status": 0,
    "url": "http://h:81",
    "text": "no",
    "times": 3,
    "connect_timeout": 2.0,
    "network_timeout": 3.0,
    "limit": 0,
}


def merged(*failures: tuple[Any, ...]) -> RequestStats:
    stats = RequestStats()
    tallies.merge(Tally(None, SECOND, [CELL], list(failures), [], 0), stats, "http", 30)
    return stats


def failure(**changes: Any) -> tuple[Any, ...]:
    return tuple({**FIELDS, **changes}.values())


def test_failures_are_logged_as_locust_logs_them() -> None:
    theirs = RequestStats()
    for _ in range(3):
        theirs.log_error("GET", "/a", CatchResponseError("no"))
    stats = merged(failure())
    entry = stats.entries["/a", "GET"]
    assert (entry.num_requests, entry.num_failures) == (5, 3)
    assert (stats.total.num_requests, stats.total.num_failures) == (5, 3)
    assert dict(entry.num_fail_per_sec) == {SECOND: 3}
    [ours], [held] = stats.errors.values(), theirs.errors.values()
    assert list(stats.errors) == list(theirs.errors)
    for name, value in vars(held).items():
        assert (getattr(ours, name) is None) == (value is None), name
    assert ours.occurrences == 3


@pytest.mark.parametrize(
    ("style", "changes", "expected"),
    [
        ("http", {"fault": tallies.USER}, "CatchResponseError('no')"),
        ("http", {"fault": tallies.MISSING}, "CatchResponseError('no')"),
        ("http", {"fault": tallies.REFUSED}, "ValueError('no')"),
        (
            "http",
            {"fault": tallies.STATUS, "status": 404, "text": "Not Found"},
            "HTTPError('404 Client Error: Not Found for url: /a')",
        ),
        (
            "http",
            {"fault": tallies.STATUS, "status": 500, "text": None},
            "HTTPError('500 Server Error:  for url: /a')",
        ),
        ("fast", {"fault": tallies.STATUS, "status": 404}, "LocustBadStatusCode(code=404)"),
        (
            "http",
            {"fault": tallies.ENGINE, "failure": 3},
            "ConnectionRefused('connection refused by h:81')",
        ),
        (
            "http",
            {"fault": tallies.ENGINE, "failure": 14, "phase": 5},
            "ReadTimeout('no data from h:81 for 3 s while waiting for the response')",
        ),
        ("fast", {"fault": tallies.REDIRECTS}, "TooManyRedirects('more than 30 redirects')"),
        ("fast", {"fault": tallies.REDIRECT}, "RedirectError('no')"),
    ],
)
def test_texts(style: str, changes: dict[str, Any], expected: str) -> None:
    made = tallies.Failure(*failure(**changes))
    assert repr(tallies.exception_of(made, style, 30)) == expected
