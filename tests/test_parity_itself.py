"""The comparison of the parity tests, which finds what differs."""

from __future__ import annotations

from typing import Any

import pytest
from parity import Raised, Scenario, Scenarios, check, comparable, differences, spurious
from requests import exceptions

EVENTS: dict[str, Any] = {"events": [], "statistics": {"errors": []}, "requests": []}


def loose(*errors: BaseException) -> dict[str, Any]:
    seen = {**EVENTS, "returned": [Raised.of(error) for error in errors]}
    return comparable(seen, Scenario(print, same_texts=False))


class Ours(exceptions.ConnectionError, ConnectionRefusedError):
    """As ours are: of two of the classes that Locust's users catch."""


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {}),
        ({"a": [1, 2]}, {"a": [1]}),
        ({"a": b"x"}, {"a": "x"}),
        ({"a": [{"b": None}]}, {"a": [{"b": 0}]}),
        (Raised.of(KeyError("a")), Raised.of(KeyError("b"))),
        (Raised.of(KeyError("a")), Raised.of(ValueError("a"))),
        (loose(exceptions.ReadTimeout()), loose(exceptions.ConnectTimeout())),
        (loose(ConnectionRefusedError()), loose(exceptions.ConnectionError())),
    ],
)
def test_difference_is_found(theirs: Any, ours: Any) -> None:
    assert len(list(differences(theirs, ours))) == 1


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"a": [1, "x", None]}, {"a": [1, "x", None]}),
        (Raised.of(KeyError("a")), Raised.of(KeyError("a"))),
        (loose(exceptions.ConnectionError("one")), loose(exceptions.ConnectionError("other"))),
        (loose(exceptions.ConnectionError(), ConnectionRefusedError()), loose(Ours(), Ours())),
    ],
)
def test_sameness_is_found(theirs: Any, ours: Any) -> None:
    assert not [*differences(theirs, ours), *spurious(theirs, ours)]


def test_exception_that_is_too_much() -> None:
    """A failure that is a time-out too would be caught by the wrong handler."""
    theirs, ours = loose(exceptions.ConnectionError()), loose(exceptions.ConnectTimeout())
    assert not list(differences(theirs, ours))
    [found] = spurious(theirs, ours)
    assert "ConnectTimeout" in found


def test_hidden_is_what_is_new_each_time() -> None:
    seen = {**EVENTS, "returned": {"text": "x 0123abcd y", "bytes": b"0123abcd", "number": 5}}
    shown = comparable(seen, Scenario(print, hide="[0-9a-f]{8}"))["returned"]
    assert shown == {"text": "x HIDDEN y", "bytes": b"HIDDEN", "number": 5}


def test_scenario_that_did_nothing() -> None:
    seen = {**EVENTS, "statistics": {"errors": [], "total": {"num_requests": 0}}}
    with pytest.raises(AssertionError):
        check(seen, Scenario(print), listened=True)
    with pytest.raises(AssertionError):
        check(seen, Scenario(print, sends=False), listened=True)
    check(seen, Scenario(print, sends=False, counts=False), listened=True)


def test_scenario_that_ends_otherwise() -> None:
    seen = {**EVENTS, "statistics": {"errors": [], "total": {"num_requests": 0}}}
    with pytest.raises(AssertionError):
        check(seen, Scenario(print, ends=KeyError, sends=False, counts=False), listened=True)
    with pytest.raises(AssertionError):
        check({**seen, "raised": 1}, Scenario(print, sends=False, counts=False), listened=True)


def test_options_of_a_scenario() -> None:
    scenarios = Scenarios()
    scenarios(host="http://x", concurrency=5)(print)
    [scenario] = scenarios
    assert (scenario.name, scenario.host) == ("print", "http://x")
    assert scenario.attributes == {"concurrency": 5}
