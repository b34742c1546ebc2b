"""The binding where it can go wrong: who counts, what Python code does in between, how it ends."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any

import pytest
from conftest import Listen
from helpers import OURS, make_user
from locust.env import Environment
from opscore_fast.exceptions import RedirectError
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


# Python code that runs while a request is put together


class MeddlingJar(CookieJar):
    """A jar of cookies whose look-up does something else as well."""

    def __init__(self, meddle: Callable[[], Any]) -> None:
        super().__init__()
        self.meddle = meddle

    def add_cookie_header(self, request: Any) -> None:
        self.meddle()
        gc.collect()
        # what was freed is some other string's now
        self.filler = [f"filler-{i}-" * 60 for i in range(200)]


SECRET = "s" * 400


def test_what_a_request_is_made_of_may_change_meanwhile(
    app: Listener, environment: Environment
) -> None:
    """What it was when the request began is sent."""
    client = make_user(OURS, app.url, environment).client
    other = make_user(OURS, app.url, environment).client
    lines = ["one" * 200, "two" * 200]
    headers = {"X-" + "name" * 100: "value" * 100, "X-Lines": lines}
    want = {name: [value] for name, value in headers.items() if isinstance(value, str)}
    want["X-Lines"] = list(lines)

    def meddle() -> None:
        headers.clear()
        lines.clear()
        client.auth_header = None
        client.base_url = "http://127.0.0.1:1"
        other.post("/echo", json={"other": "x" * 2000})

    client.auth_header = "Basic " + "".join([SECRET])
    client.cookiejar = MeddlingJar(meddle)
    assert client.post("/echo", json={"mine": "y" * 1000}, headers=headers).status_code == 200
    sent = app.requests()[-1]
    assert json.loads(sent["body"]) == {"mine": "y" * 1000}
    got: dict[str, list[str]] = {}
    for name, value in sent["headers"]:
        got.setdefault(name, []).append(value)
    assert {name: got.get(name) for name in want} == want
    assert got["Authorization"] == ["Basic " + SECRET]


def test_scratch_memory_of_json_may_move_meanwhile(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    other = make_user(OURS, app.url, environment).client
    client.cookiejar = MeddlingJar(lambda: other.post("/echo", json=["x" * 100_000]))
    assert client.post("/echo", json={"mine": 1}).status_code == 200
    assert app.requests()[-1]["body"] == '{"mine": 1}'


def test_headers_changed_by_a_header(app: Listener, environment: Environment) -> None:
    class Number(int):
        def __str__(self) -> str:
            headers.clear()
            gc.collect()
            return "17"

    headers = {"X-" + "name" * 100: Number(), "X-Next": "n" * 500}
    client = make_user(OURS, app.url, environment).client
    assert client.get("/ok", headers=headers).status_code == 200
    sent = dict(app.requests()[-1]["headers"])
    assert sent["X-" + "name" * 100] == "17"
    assert sent["X-Next"] == "n" * 500


def test_method_that_is_no_str_in_upper_case(app: Listener, environment: Environment) -> None:
    class Method(str):
        def upper(self) -> Any:
            return 5

    client = make_user(OURS, app.url, environment).client
    with pytest.raises(ValueError, match="method is not a token"):
        client.request(Method("get"), "/ok")


# What a server sends is no error of the task's


@pytest.mark.parametrize(
    "location",
    ["http://a b/", "http://127.0.0.1:0/", "http://h\\x/", "http://\xfc\xfc..x/", "http://[::1"],
)
def test_redirect_to_what_is_no_url(
    hostile: Listen, environment: Environment, location: str
) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    server = hostile([["request"], ["send", head], ["again"]])
    client = make_user(OURS, server.url, environment).client
    for _ in range(2):
        response = client.get("/")
        assert type(response.error) is RedirectError
        assert str(response.error) == "redirect to a URL that can't be parsed"
        assert response.status_code == 302
    assert environment.stats.total.num_requests == environment.stats.total.num_failures == 2


def test_url_of_a_response_is_what_was_asked(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    response = client.get("/ok")
    client.base_url = "http://elsewhere.invalid"
    assert response.url == response.request.url == f"{app.url}/ok"
    client.base_url = None
    assert response.url == f"{app.url}/ok"
