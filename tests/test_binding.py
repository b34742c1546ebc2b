"""The binding where it can go wrong: who counts, what Python code does in between, how it ends."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any

import gevent
import pytest
from conftest import Listen
from helpers import OURS, make_user, run_script
from locust.env import Environment
from locust.event import EventHook
from servers import Listener

from opscore_fast import engines
from opscore_fast._core import Collector, Engine, FastSession, Pool, SchemeAuth
from opscore_fast.bodies import basic_auth
from opscore_fast.exceptions import RedirectError


def ignore(**event: Any) -> None:
    """A listener of the request event."""


# Counting in C that another session begins and ends


@pytest.mark.parametrize("begun_again", [False, True])
def test_counting_ended_by_another_session(
    app: Listener, environment: Environment, begun_again: bool
) -> None:
    one, other = (make_user(OURS, app.url, environment).client for _ in range(2))
    events = environment.events.request
    one.get("/ok")
    other.get("/ok")
    events.add_listener(ignore)
    one.get("/ok")
    events.remove_listener(ignore)
    if begun_again:
        one.get("/ok")
    for _ in range(3):
        other.get("/ok")
    assert environment.stats.total.num_requests == 6 + begun_again
    assert environment.stats.get("/ok", "GET").num_requests == 6 + begun_again


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


def test_credentials_for_libcurl_may_change_meanwhile(
    app: Listener, environment: Environment
) -> None:
    def meddle() -> None:
        client._scheme_auth = None
        client.filler = [SchemeAuth(1, f"other-{i}", "x" * 40) for i in range(500)]

    user, password = "user" * 8, "password" * 4
    client = make_user(OURS, app.url, environment).client
    client._scheme_auth = SchemeAuth(1, user, password)
    client.cookiejar = MeddlingJar(meddle)
    assert client.get("/ok").status_code == 200
    sent = dict(app.requests()[-1]["headers"])
    assert sent["Authorization"] == basic_auth((user, password))


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


# Objects that were not set up, or taken apart


def test_session_without_its_event(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    del client.request_event
    with pytest.raises(AttributeError, match="fire"):
        client.get("/ok")


def test_session_whose_set_up_failed() -> None:
    pool = Pool.__new__(Pool)
    with pytest.raises(TypeError, match="ca_file is bytes"):
        pool.__init__(engines.current, ca_file="no bytes")  # type: ignore[misc]
    session = FastSession.__new__(FastSession)
    with pytest.raises(RuntimeError, match="session is not set up"):
        session.get("/ok")
    session.__init__(  # type: ignore[misc]
        "http://127.0.0.1:1", EventHook(), None, pool, [], 30, 0, False
    )
    with pytest.raises(RuntimeError, match="Pool is not set up"):
        session.get("/ok")


def test_engine_closed_while_a_request_is_made(app: Listener) -> None:
    engine = Engine(gevent.get_hub())
    session = FastSession(app.url, EventHook(), None, Pool(lambda: engine), [], 30, 0, False)
    session.cookiejar = MeddlingJar(engine.close)
    with pytest.raises(RuntimeError, match="is closed"):
        gevent.spawn(session.get, "/ok").get(timeout=20)


def test_engine_closed_while_it_dispatches(app: Listener) -> None:
    """Its greenlets go on as far as they can."""
    engine = Engine(gevent.get_hub())
    session = FastSession(app.url, EventHook(), None, Pool(lambda: engine), [], 30, 0, False)

    def fetch_and_close() -> int:
        status = session.get("/ok").status_code
        engine.close()
        return status

    assert gevent.spawn(fetch_and_close).get(timeout=20) == 200
    gevent.sleep(0)
    with pytest.raises(RuntimeError, match="is closed"):
        session.get("/ok")


def test_drained_while_finalizers_count() -> None:
    """Whatever they count, it is in this list or in the next."""

    class Late:
        def __init__(self, number: int) -> None:
            self.number, self.me = number, self

        def __del__(self) -> None:
            for i in range(50):
                collector.record("GET", f"late-{self.number}-{i}", 1.0, 1)

    threshold = gc.get_threshold()
    collector = Collector(lambda: None, lambda name, method: None)
    gc.disable()
    try:
        for i in range(20):
            Late(i)
            collector.record("GET", f"name-{i}", 1.0, 1)
        gc.set_threshold(1)
        gc.enable()
        first = collector.drain()
        gc.collect()
        second = collector.drain()
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    names = [drained[0] for drained in first + second]
    assert len(names) == len(set(names)) == 20 + 20 * 50


# How it ends


SESSION = """
import gevent.monkey
gevent.monkey.patch_all()
import os, sys, gevent
from locust.event import EventHook
from opscore_fast import FastHttpSession
session = FastHttpSession(sys.argv[1], EventHook(), None, network_timeout=0)
"""


def test_a_killed_greenlet_holds_no_loop(app: Listener) -> None:
    """A program ends when nobody waits for an answer any more, though no event would tell."""
    script = """
waiting = gevent.spawn(session.get, "/token/slow?delay=40")
gevent.sleep(0.2)
waiting.kill()
print(gevent.wait(timeout=20))
"""
    assert run_script(SESSION + script, app.url) == "True\n"


def test_a_forked_child_watches_no_more(hostile: Listen) -> None:
    """What is ready in the parent and stays so must not keep the child busy."""
    script = """
session.get("/ok")
child = os.fork()
if not child:
    gevent.sleep(1)
    before = gevent.get_hub().loop.iteration
    gevent.sleep(0.5)
    print(gevent.get_hub().loop.iteration - before < 1000, flush=True)
    os._exit(0)
# the parent's loop stands still, and so does what the server's end makes ready
from gevent.monkey import get_original
get_original("os", "waitpid")(child, 0)
"""
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    server = hostile([["request"], ["send", answer], ["pause", 0.4], ["close"]])
    assert run_script(SESSION + script, server.url) == "True\n"
