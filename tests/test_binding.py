"""The binding where it can go wrong: who counts, what Python code does in between, how it ends."""

from __future__ import annotations

from typing import Any

from helpers import OURS, make_user
from locust.env import Environment
from servers import Listener


def ignore(**event: Any) -> None:
    """A listener of the request event."""


# Counting in C that another session begins and ends


def test_counting_ended_and_begun_by_another_session(
    app: Listener, environment: Environment
) -> None:
    one, other = (make_user(OURS, app.url, environment).client for _ in range(2))
    events = environment.events.request
    one.get("/ok")
    other.get("/ok")
    events.add_listener(ignore)
    one.get("/ok")
    events.remove_listener(ignore)
    one.get("/ok")
    for _ in range(3):
        other.get("/ok")
    assert environment.stats.total.num_requests == 7
    assert environment.stats.get("/ok", "GET").num_requests == 7


def test_counting_ended_by_another_session(app: Listener, environment: Environment) -> None:
    one, other = (make_user(OURS, app.url, environment).client for _ in range(2))
    events = environment.events.request
    one.get("/ok")
    other.get("/ok")
    events.add_listener(ignore)
    one.get("/ok")
    events.remove_listener(ignore)
    for _ in range(3):
        other.get("/ok")
    assert environment.stats.total.num_requests == 6


def test_context_that_adds_a_listener(app: Listener, environment: Environment) -> None:
    seen: list[dict[str, Any]] = []

    def context(self: Any) -> dict[str, Any]:
        if not seen:
            environment.events.request.add_listener(lambda **event: seen.append(event))
        return {"who": "me"}

    client = make_user(OURS, app.url, environment, context=context).client
    client.get("/ok")
    client.get("/ok")
    assert environment.stats.total.num_requests == 2
    assert [event["context"] for event in seen[-1:]] == [{"who": "me"}]
