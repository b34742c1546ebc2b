"""The user class in real test runs, and what its responses are once the session has moved on."""

from __future__ import annotations

import gc
import json
import socket
import weakref
from typing import Any

import gevent
import pytest
from conftest import Listen
from geventhttpclient.client import HTTPClientPool
from helpers import (
    OURS,
    Users,
    local_environment,
    make_user,
    record_events,
    running,
    user_class,
    wait_until,
)
from locust import SequentialTaskSet, TaskSet, constant, tag, task
from locust.env import Environment
from locust.event import EventHook
from locust.exception import LocustError, StopUser
from locust.user.users import User
from locust.util.load_locustfile import is_user_class
from servers import Listener, ServerError


def test_is_a_user_class_to_subclass(users: Users) -> None:
    assert issubclass(users.user, User)
    assert users.user.abstract
    assert not is_user_class(users.user)
    made = type("Made", (users.user,), {})
    assert not made.abstract
    assert is_user_class(made)


def test_no_host(users: Users, environment: Environment) -> None:
    # StopTest, in older versions of Locust LocustError
    with pytest.raises(Exception, match="must specify the base host") as raised:
        make_user(users, None, environment)
    assert type(raised.value).__module__ == "locust.exception"


def test_host_of_the_environment(users: Users, app: Listener) -> None:
    """A host given on the command line reaches the class by Locust's own way."""
    made = user_class(users, app.url)
    with local_environment(made, host="http://127.0.0.1:1") as environment:
        assert made(environment).client.get("/ok").status_code == 200


def test_tasks_run(users: Users, app: Listener) -> None:
    """on_start, tasks, on_stop: every user registers, works, and says goodbye."""

    def on_start(self: Any) -> None:
        self.number = self.client.post("/ok", json={"event": "REGISTER"}, name="register").text

    def work(self: Any) -> None:
        with self.client.get(f"/token/{id(self)}", name="work", catch_response=True) as response:
            if response.text != str(id(self)):
                response.failure("somebody else's answer")

    def on_stop(self: Any) -> None:
        self.client.delete("/ok", name="goodbye")

    made = user_class(users, app.url, on_start=on_start, on_stop=on_stop, tasks=[work])
    with local_environment(made) as environment:
        stats = environment.stats
        with running(environment, 5):
            wait_until(lambda: stats.get("work", "GET").num_requests >= 200)
        counts = app.counts()
        assert counts["targets"]["POST /ok"] == stats.get("register", "POST").num_requests == 5
        assert counts["targets"]["DELETE /ok"] == stats.get("goodbye", "DELETE").num_requests == 5
        assert environment.stats.total.num_failures == 0
        # A kill within a request costs the user its connection.
        assert 5 <= counts["connections"] <= 10


def test_task_sets(users: Users, app: Listener) -> None:
    class Nested(SequentialTaskSet):
        @task
        def first(self) -> None:
            self.client.get("/ok", name="first")

        @task
        def second(self) -> None:
            self.user.client.get("/ok", name="second")
            self.interrupt()

    class Outer(TaskSet):
        tasks = [Nested]  # noqa: RUF012

        @tag("never")
        @task
        def own(self) -> None:
            self.client.get("/ok", name="own")

    with local_environment(user_class(users, app.url, tasks=[Outer])) as environment:
        stats = environment.stats
        with running(environment, 2):
            wait_until(lambda: stats.get("second", "GET").num_requests > 20)
        first, second = (stats.get(name, "GET").num_requests for name in ("first", "second"))
        assert abs(first - second) <= 2
        assert stats.get("own", "GET").num_requests > 0


def test_user_stops_itself(users: Users, app: Listener) -> None:
    def once(self: Any) -> None:
        self.client.get("/ok")
        raise StopUser

    with local_environment(user_class(users, app.url, tasks=[once])) as environment:
        with running(environment, 10):
            wait_until(lambda: environment.runner and environment.runner.user_count == 0)
        assert environment.stats.total.num_requests == app.counts()["requests"] == 10


def test_exception_in_a_task(users: Users, app: Listener) -> None:
    """A task that raises is over; the user and its connection go on."""

    def work(self: Any) -> None:
        self.client.get("/ok")
        raise KeyError("wrong")

    with local_environment(user_class(users, app.url, tasks=[work])) as environment:
        with running(environment, 1):
            wait_until(lambda: environment.stats.total.num_requests >= 20)
        assert environment.stats.total.num_failures == 0
        assert app.counts()["connections"] == 1


def test_own_connection_for_each_user(users: Users, app: Listener) -> None:
    def work(self: Any) -> None:
        self.client.get("/ok?delay=0.005")

    made = user_class(users, app.url, tasks=[work])
    with local_environment(made, stop_timeout=10) as environment:
        with running(environment, 20):
            wait_until(lambda: environment.stats.total.num_requests >= 400)
        assert app.counts()["connections"] == 20
        assert environment.stats.total.num_requests == app.counts()["answered"]
    # Connections are given back with the users, which nobody holds any longer.
    gc.collect()
    wait_until(lambda: app.counts()["open"] == 0, "the connections to be closed")


def test_session_by_itself(users: Users, app: Listener) -> None:
    """Any object with Locust's `fire` serves as the event."""
    fired: list[dict[str, Any]] = []

    class Event:
        def fire(self, **event: Any) -> None:
            fired.append(event)

    client = users.session(app.url, Event(), None)
    assert client.get("/ok", name="mine").text == "ok"
    assert [(event["name"], event["response_length"]) for event in fired] == [("mine", 2)]

    hook = EventHook()
    hook.add_listener(lambda **event: fired.append(event))
    client = users.session(base_url=app.url, request_event=hook, user=None, insecure=False)
    assert client.get("/status/404").status_code == 404
    assert repr(fired[1]["exception"]).startswith("LocustBadStatusCode(")


def test_session_options(users: Users, app: Listener, environment: Environment) -> None:
    client = users.session(
        app.url,
        environment.events.request,
        None,
        network_timeout=5.0,
        connection_timeout=5.0,
        max_redirects=1,
        max_retries=0,
        concurrency=1,
        headers={"X-Default": "1"},
    )
    assert dict(client.get("/echo").json()["headers"])["x-default"] == "1"
    assert client.get("/redirect/1").text == "ok"
    assert client.get("/redirect/2").error is not None


def test_session_subclassed(users: Users, app: Listener, environment: Environment) -> None:
    """All methods go by `request`, which a locustfile may override."""
    asked = []

    class OwnSession(users.session):  # type: ignore[misc, name-defined]
        def request(self, method: str, url: str, **arguments: Any) -> Any:
            asked.append((method, url, sorted(arguments)))
            headers = {**(arguments.pop("headers", None) or {}), "X-Own": "1"}
            return super().request(method, url, headers=headers, **arguments)

    client = OwnSession(app.url, environment.events.request, None)
    assert dict(client.get("/echo").json()["headers"])["x-own"] == "1"
    client.post("/ok", "data", name="posted")
    client.put("/ok", json=[1])
    with client.patch("/ok", catch_response=True) as response:
        response.failure("no")
    assert [call[:2] for call in asked] == [
        ("GET", "/echo"),
        ("POST", "/ok"),
        ("PUT", "/ok"),
        ("PATCH", "/ok"),
    ]
    assert "name" in asked[1][2]
    assert [dict(seen["headers"]).get("X-Own") for seen in app.requests()] == ["1"] * 4
    assert environment.stats.get("posted", "POST").num_requests == 1
    assert environment.stats.total.num_failures == 1


def test_ipv6(users: Users, listen: Listen, environment: Environment) -> None:
    try:
        port = listen(host="::1").port
    except ServerError:
        pytest.skip("no IPv6 loopback on this machine")
    user = make_user(users, f"http://[::1]:{port}", environment)
    echo = user.client.get("/echo").json()
    assert dict(echo["headers"])["host"] == f"[::1]:{port}"


def test_localhost_by_either_family(users: Users, listen: Listen, environment: Environment) -> None:
    """Whichever family the server has, its name finds it."""
    user = make_user(users, f"http://localhost:{listen().port}", environment)
    assert user.client.get("/ok").text == "ok"
    try:
        port = listen(host="::1").port
        socket.getaddrinfo("localhost", port, socket.AF_INET6)
    except (ServerError, socket.gaierror):
        return  # without IPv6, or a name for it
    user = make_user(users, f"http://localhost:{port}", environment)
    assert user.client.get("/ok").text == "ok"


def test_response_time_covers_the_whole(
    users: Users, app: Listener, environment: Environment
) -> None:
    """Redirects and a slow body belong to it, and it is in milliseconds."""
    events = record_events(environment)
    user = make_user(users, app.url, environment)
    user.client.get("/answer?delay=0.05&status=302&header=Location:/ok?delay=0.05", name="slow")
    assert 95 < events[0]["response_time"] < 10_000
    assert environment.stats.get("slow", "GET").min_response_time == events[0]["response_time"]


def test_listener_that_fails(users: Users, app: Listener, environment: Environment) -> None:
    def broken(**_event: Any) -> None:
        raise KeyError("a listener's own fault")

    environment.events.request.add_listener(broken)
    events = record_events(environment)
    user = make_user(users, app.url, environment)
    assert user.client.get("/ok").text == "ok"
    assert len(events) == environment.stats.total.num_requests == 1


@pytest.mark.parametrize("caught", [False, True])
def test_listener_that_stops_the_user(
    users: Users, app: Listener, environment: Environment, caught: bool
) -> None:
    def stop(**_event: Any) -> None:
        raise StopUser

    environment.events.request.add_listener(stop)
    user = make_user(users, app.url, environment)
    if caught:
        with pytest.raises(StopUser), user.client.get("/ok", catch_response=True):
            pass
    else:
        with pytest.raises(StopUser):
            user.client.get("/ok")
    assert environment.stats.total.num_requests == 1
    environment.events.request.remove_listener(stop)
    assert user.client.get("/ok").text == "ok"


def test_request_within_a_listener(users: Users, app: Listener, environment: Environment) -> None:
    """Every failure is reported to the server, by the user that has it."""
    user = make_user(users, app.url, environment)
    reports = []

    def report(name: str, exception: Exception | None, **_event: Any) -> None:
        if exception:
            reports.append(user.client.post("/ok", json={"failed": name}, name="report").text)

    environment.events.request.add_listener(report)
    assert user.client.get("/status/500").status_code == 500
    with user.client.get("/ok", catch_response=True) as response:
        response.failure("no")
    assert reports == ["ok", "ok"]
    assert environment.stats.get("report", "POST").num_requests == 2


def test_requests_within_a_block(users: Users, app: Listener, environment: Environment) -> None:
    """A caught response stays what it was while others come, and events come in their order."""
    events = record_events(environment)
    client = make_user(users, app.url, environment).client
    with client.get("/token/outer", catch_response=True) as outer:
        with client.get("/token/inner", catch_response=True) as inner:
            client.get("/token/plain")
            assert (outer.text, inner.text) == ("outer", "inner")
        outer.failure("after all")
    assert [event["name"] for event in events] == ["/token/plain", "/token/inner", "/token/outer"]
    assert app.counts()["connections"] == 1


def test_responses_outlive_their_session(
    users: Users, app: Listener, environment: Environment
) -> None:
    """What is made late is made of the response's own bytes."""
    user = make_user(users, app.url, environment)
    client = user.client
    responses = [client.get(f"/token/{i}?header=X-Number:{i}") for i in range(50)]
    responses.append(client.get("/status/404"))
    echo = client.post("/echo", json={"a": "b" * 10_000})
    del user, client
    gc.collect()
    for i, response in enumerate(responses[:-1]):
        assert response.headers["X-Number"] == response.text == str(i)
        assert response.content == str(i).encode()
        assert response.url == f"{app.url}/token/{i}?header=X-Number:{i}"
        assert response.request.method == "GET"
    assert responses[-1].error is not None
    assert json.loads(echo.json()["body"]) == {"a": "b" * 10_000}


def test_responses_are_freed(users: Users, app: Listener, environment: Environment) -> None:
    """Without the help of the garbage collector, which is slow with many users."""
    client = make_user(users, app.url, environment).client
    gc.collect()
    gc.disable()
    try:
        for query in ("", "?size=100000", "?size=100000&coding=gzip", "?chunked=7"):
            response = client.get("/answer" + query)
            assert response.text
            assert response.headers["content-type"]
            freed = weakref.ref(response)
            del response
            assert freed() is None, query
    finally:
        gc.enable()


def test_session_is_freed(users: Users, app: Listener, environment: Environment) -> None:
    user = make_user(users, app.url, environment)
    for path in ("/ok", "/redirect/1", "/ok?header=Set-Cookie:a=1"):
        user.client.get(path)
    wait_until(lambda: app.counts()["open"] == 1)
    freed = weakref.ref(user)
    del user
    gc.collect()
    assert freed() is None
    wait_until(lambda: app.counts()["open"] == 0, "the connection to be closed")


def test_task_that_sleeps_between_requests(users: Users, app: Listener) -> None:
    """Waiting leaves the connection open."""

    def work(self: Any) -> None:
        self.client.get("/ok")
        gevent.sleep(0.01)

    made = user_class(users, app.url, tasks=[work], wait_time=constant(0.01))
    with local_environment(made) as environment:
        with running(environment, 3):
            wait_until(lambda: environment.stats.total.num_requests >= 30)
        assert app.counts()["connections"] == 3


def test_ramp_up_and_down(users: Users, app: Listener) -> None:
    """Users that leave take their connections with them; those that come bring their own."""

    def work(self: Any) -> None:
        self.client.get("/ok")
        gevent.sleep(0.002)

    with local_environment(user_class(users, app.url, tasks=[work])) as environment:
        runner = environment.runner
        assert runner is not None

        def change_to(count: int) -> None:
            runner.start(count, spawn_rate=100)
            wait_until(lambda: runner.user_count == count)
            before = environment.stats.total.num_requests
            wait_until(lambda: environment.stats.total.num_requests > before + 20)
            gc.collect()
            wait_until(lambda: app.counts()["open"] == count, f"{count} connections")

        for count in (10, 2, 6, 1):
            change_to(count)
        runner.stop()
        assert environment.stats.total.num_failures == 0


@pytest.mark.parametrize("headers", [["X"], 5, "X: 1"])
def test_default_headers_of_a_wrong_type(
    app: Listener, environment: Environment, headers: Any
) -> None:
    with pytest.raises(TypeError, match="headers is a dict"):
        make_user(OURS, app.url, environment, default_headers=headers)


def test_shared_client_pool(users: Users, app: Listener, environment: Environment) -> None:
    pool = HTTPClientPool(concurrency=1)
    clients = [make_user(users, app.url, environment, client_pool=pool).client for _ in range(3)]
    for client in clients * 2:
        assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 1
    waiting = [gevent.spawn(client.get, f"/token/{i}") for i, client in enumerate(clients)]
    gevent.joinall(waiting, raise_error=True)
    assert [green.value.text for green in waiting] == ["0", "1", "2"]
    assert app.counts()["connections"] == 1


def test_client_pool_of_another_kind(app: Listener, environment: Environment) -> None:
    with pytest.raises(TypeError, match="HTTPClientPool"):
        make_user(OURS, app.url, environment, client_pool=5)
    with pytest.raises(LocustError, match="proxy_host"):
        make_user(OURS, app.url, environment, client_pool=HTTPClientPool(proxy_host="127.0.0.1"))


def test_history(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    assert client.get("/ok").history == []
    response = client.get("/redirect/3")
    assert [answer.status_code for answer in response.history] == [302] * 3
    assert environment.stats.get("/redirect/3", "GET").num_requests == 1
