"""Greenlets that wait for a response: many at once, killed, timed out, and at the end of a test."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import gevent
import pytest
from conftest import Listen
from gevent.event import Event
from gevent.pool import Group, Pool
from gevent.threadpool import ThreadPool
from helpers import (
    OURS,
    Users,
    finish,
    local_environment,
    make_user,
    open_files,
    python,
    record_events,
    running,
    stalled_port,
    user_class,
    wait_until,
)
from locust.env import Environment
from servers import Listener

SLOW = "/token/slow?delay=20"
"""A request that nobody waits for to the end."""


def in_flight(app: Listener, count: int) -> None:
    """Wait until the server has read that many requests."""
    wait_until(lambda: app.counts()["requests"] >= count, f"{count} requests")


def check_goes_on(client: Any, app: Listener) -> None:
    """Fail unless the session works, and no answer is taken for another's."""
    for i in range(3):
        assert client.get(f"/token/after-{i}").text == f"after-{i}"


# Many at once


@pytest.mark.parametrize("concurrency", [1, 10])
def test_many_greenlets_of_one_user(
    users: Users, app: Listener, environment: Environment, concurrency: int
) -> None:
    """Each gets its own answer, by no more connections than the user may have."""
    client = make_user(users, app.url, environment, concurrency=concurrency).client
    answers: dict[str, str] = {}

    def fetch(token: str) -> None:
        answers[token] = client.get(f"/token/{token}?delay=0.002", name="token").text

    pool = Pool()
    tokens = [f"token-{i}" for i in range(200)]
    for token in tokens:
        pool.spawn(fetch, token)
    pool.join(timeout=20, raise_error=True)
    assert answers == {token: token for token in tokens}
    counts = app.counts()
    assert counts["most_open"] == counts["connections"] == concurrency
    assert environment.stats.total.num_requests == 200
    assert environment.stats.total.num_failures == 0


def test_concurrency_is_ten_by_default(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    pool = Pool()
    for _ in range(40):
        pool.spawn(client.get, "/ok?delay=0.01")
    pool.join(timeout=20, raise_error=True)
    assert app.counts()["connections"] == 10


def test_concurrency_is_for_each_origin(
    users: Users, listen: Listen, environment: Environment
) -> None:
    apps = [listen(), listen()]
    client = make_user(users, apps[0].url, environment, concurrency=2).client
    pool = Pool()
    for i in range(20):
        pool.spawn(client.get, f"{apps[i % 2].url}/ok?delay=0.01")
    pool.join(timeout=20, raise_error=True)
    assert [app.counts()["connections"] for app in apps] == [2, 2]


def test_answers_in_another_order(users: Users, app: Listener, environment: Environment) -> None:
    """Those that were sent last come first."""
    client = make_user(users, app.url, environment).client
    finished: list[str] = []

    def fetch(i: int) -> None:
        finished.append(client.get(f"/token/{i}?gate={i}").text)

    pool = Pool()
    for i in range(10):
        pool.spawn(fetch, i)
    in_flight(app, 10)
    for i in reversed(range(10)):
        app.open_gate(str(i))
        wait_until(lambda i=i: len(finished) == 10 - i, f"the answer to {i}")
    pool.join(timeout=20, raise_error=True)
    assert finished == [str(i) for i in reversed(range(10))]


def test_many_users_with_many_greenlets(users: Users, app: Listener) -> None:
    def work(self: Any) -> None:
        group = Group()
        answers = group.map(lambda i: self.client.get(f"/token/{id(self)}-{i}").text, range(5))
        assert answers == [f"{id(self)}-{i}" for i in range(5)]

    made = user_class(users, app.url, tasks=[work], concurrency=3)
    with local_environment(made, stop_timeout=10) as environment:
        with running(environment, 10):
            wait_until(lambda: environment.stats.total.num_requests >= 1000)
        assert environment.runner is not None
        assert not environment.runner.exceptions
        assert app.counts()["connections"] <= 30
        assert environment.stats.total.num_requests == app.counts()["answered"]


def test_others_run_meanwhile(users: Users, app: Listener, environment: Environment) -> None:
    """A user that never waits leaves room for everybody else."""
    client = make_user(users, app.url, environment).client
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0.001)

    beside = gevent.spawn(other)
    for _ in range(500):
        client.get("/ok")
    beside.kill()
    assert turns > 10


# Killed and timed out


def test_killed_while_waiting(users: Users, app: Listener, environment: Environment) -> None:
    """It is as if the request had never been made: no event, no connection left."""
    events = record_events(environment)
    client = make_user(users, app.url, environment, concurrency=1).client
    waiting = gevent.spawn(client.get, SLOW)
    in_flight(app, 1)
    waiting.kill(timeout=10)
    assert waiting.dead
    assert isinstance(waiting.value, gevent.GreenletExit)
    wait_until(lambda: app.counts()["dropped"] == 1, "the connection to be closed")
    assert events == []
    check_goes_on(client, app)
    assert environment.stats.total.num_requests == 3


def test_killed_within_the_body(users: Users, hostile: Listen, environment: Environment) -> None:
    part = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
    port = hostile(
        [["request"], ["send", part], ["mark", "half"], ["hold"]],
        [["request"], ["send", good], ["again"]],
    )
    client = make_user(users, port.url, environment, concurrency=1).client
    waiting = gevent.spawn(client.get, "/")
    wait_until(lambda: port.counts()["marks"])
    gevent.sleep(0.02)
    waiting.kill(timeout=10)
    assert client.get("/").text == "fine"


def test_killed_while_uploading(hostile: Listen, environment: Environment) -> None:
    """Locust's class loses the connection's place for good."""
    good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
    port = hostile(
        [["head"], ["hold"]], [["request"], ["send", good], ["again"]], receive_buffer=65536
    )
    client = make_user(OURS, port.url, environment, concurrency=1).client
    body = b"x" * (32 << 20)
    waiting = gevent.spawn(client.post, "/", data=body)
    wait_until(lambda: port.counts()["requests"] == 1)
    waiting.kill(timeout=10)
    del body
    gc.collect()
    assert client.get("/").text == "fine"


def test_killed_while_queued(users: Users, app: Listener, environment: Environment) -> None:
    """One that has no connection yet gives up its place, and takes nobody else's."""
    client = make_user(users, app.url, environment, concurrency=1).client
    first = gevent.spawn(client.get, "/token/first?gate=first")
    in_flight(app, 1)
    queued = gevent.spawn(client.get, "/token/queued")
    last = gevent.spawn(client.get, "/token/last")
    gevent.sleep(0.02)
    queued.kill(timeout=10)
    app.open_gate("first")
    assert first.get(timeout=10).text == "first"
    assert last.get(timeout=10).text == "last"
    assert "GET /token/queued" not in app.counts()["targets"]
    assert app.counts()["connections"] == 1
    check_goes_on(client, app)


def test_killed_while_connecting(users: Users, app: Listener, environment: Environment) -> None:
    with stalled_port() as port:
        client = make_user(users, app.url, environment, concurrency=1).client
        files = open_files()
        waiting = [gevent.spawn(client.get, f"http://127.0.0.1:{port}/") for _ in range(3)]
        gevent.sleep(0.05)
        gevent.killall(waiting, timeout=10)
        assert open_files() <= files
    check_goes_on(client, app)


def test_all_killed_at_once(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    waiting = [gevent.spawn(client.get, SLOW) for _ in range(30)]
    in_flight(app, 10)
    gevent.killall(waiting, timeout=10)
    wait_until(lambda: app.counts()["open"] == 0, "the connections to be closed")
    assert environment.stats.total.num_requests == 0
    check_goes_on(client, app)


def test_killed_over_and_over(users: Users, app: Listener, environment: Environment) -> None:
    """At whatever moment a kill comes, nothing is left and nothing is mixed up."""
    client = make_user(users, app.url, environment, concurrency=2).client
    client.get("/ok")
    gc.collect()
    files = open_files()
    for i in range(300):
        waiting = gevent.spawn(client.get, f"/token/killed-{i}?delay=0.001")
        gevent.sleep(i % 5 / 2000)
        waiting.kill(timeout=10)
        if i % 10 == 0:
            assert client.get(f"/token/{i}").text == str(i)
    check_goes_on(client, app)
    gc.collect()
    assert open_files() <= files + 2


def test_killed_before_it_ran(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    gevent.spawn(client.get, "/ok").kill(timeout=10)
    assert app.counts()["requests"] == 0
    check_goes_on(client, app)


class TooSlowError(Exception):
    """What a locustfile may want raised."""


def test_timeout_with_an_exception_of_ones_own(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment, concurrency=1).client
    client.get("/ok")  # connected, it sends the next request at once
    with pytest.raises(TooSlowError), gevent.Timeout(0.05, TooSlowError):
        client.get(SLOW)
    wait_until(lambda: app.counts()["dropped"] == 1, "the connection to be closed")
    check_goes_on(client, app)


@pytest.mark.parametrize("silent", [False, True])
def test_timeout(users: Users, app: Listener, environment: Environment, silent: bool) -> None:
    """As with Locust's class, gevent's own exception becomes a failed request."""
    client = make_user(users, app.url, environment, concurrency=1).client
    client.get("/ok")
    with gevent.Timeout(0.05, False if silent else None):
        response = client.get(SLOW)
    assert response.status_code == 0
    assert response.error is not None
    wait_until(lambda: app.counts()["dropped"] == 1, "the connection to be closed")
    assert environment.stats.total.num_failures == 1
    check_goes_on(client, app)


def test_timeout_that_does_not_strike(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    with gevent.Timeout(10):
        assert client.get("/ok").text == "ok"
    with gevent.Timeout(10), client.get("/ok", catch_response=True) as response:
        response.success()
    assert app.counts()["connections"] == 1


def test_exception_thrown_in(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment, concurrency=1).client
    caught = []

    def fetch() -> None:
        try:
            client.get(SLOW)
        except TooSlowError as error:
            caught.append(error)
        caught.append(client.get("/token/then").text)

    waiting = gevent.spawn(fetch)
    in_flight(app, 1)
    waiting.kill(TooSlowError("now"), timeout=10)
    assert isinstance(caught[0], TooSlowError)
    assert caught[1] == "then"


def test_network_time_out_of_one_among_many(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment, network_timeout=2).client
    waiting = [gevent.spawn(client.get, SLOW, name="slow") for _ in range(3)]
    good = [gevent.spawn(client.get, f"/token/{i}?delay=0.01") for i in range(30)]
    assert [greenlet.get(timeout=10).text for greenlet in good] == [str(i) for i in range(30)]
    assert [greenlet.get(timeout=10).status_code for greenlet in waiting] == [0] * 3
    assert environment.stats.get("slow", "GET").num_failures == 3
    assert environment.stats.total.num_failures == 3


# The end of a test


def waiting_users(users: Users, app: Listener, **attributes: Any) -> Any:
    def work(self: Any) -> None:
        self.client.get("/token/slow?delay=" + str(attributes.get("delay", 20)), name="slow")

    return user_class(users, app.url, tasks=[work], **attributes)


def test_end_with_requests_in_flight(users: Users, app: Listener) -> None:
    with local_environment(waiting_users(users, app)) as environment:
        events = record_events(environment)
        with running(environment, 20):
            in_flight(app, 20)
        assert environment.runner is not None
        assert environment.runner.user_count == 0
        assert events == []
        assert environment.stats.total.num_requests == 0
        wait_until(lambda: app.counts()["open"] == 0, "the connections to be closed")
        assert app.counts()["dropped"] == 20


def test_end_that_lets_requests_finish(users: Users, app: Listener) -> None:
    made = waiting_users(users, app, delay=0.3)
    with local_environment(made, stop_timeout=10) as environment:
        with running(environment, 20):
            in_flight(app, 20)
        counts = app.counts()
        assert environment.stats.total.num_requests == counts["answered"] == counts["requests"]
        assert environment.stats.total.num_failures == counts["dropped"] == 0


@pytest.mark.parametrize("stop_timeout", [0, 0.2])
def test_requests_in_on_stop(users: Users, app: Listener, stop_timeout: float) -> None:
    """A user that is killed within a request can still say goodbye."""

    def on_stop(self: Any) -> None:
        assert self.client.post("/ok", name="goodbye").text == "ok"

    made = waiting_users(users, app, on_stop=on_stop)
    with local_environment(made, stop_timeout=stop_timeout) as environment:
        with running(environment, 10):
            in_flight(app, 10)
        assert app.counts()["targets"]["POST /ok"] == 10
        assert environment.stats.get("goodbye", "POST").num_requests == 10
        assert environment.stats.total.num_requests == 10


def test_quit_from_within_a_task(users: Users, app: Listener) -> None:
    ended = Event()

    def work(self: Any) -> None:
        self.client.get("/ok")
        self.environment.events.test_stop.add_listener(lambda **_event: ended.set())
        self.environment.runner.quit()

    with local_environment(user_class(users, app.url, tasks=[work])) as environment:
        assert environment.runner is not None
        environment.runner.start(1, spawn_rate=1)
        assert ended.wait(10)
        assert environment.stats.total.num_requests == 1


def test_started_again(users: Users, app: Listener) -> None:
    """A second test in the same process begins from nothing."""

    def work(self: Any) -> None:
        self.client.get("/ok?delay=0.001")

    with local_environment(user_class(users, app.url, tasks=[work])) as environment:
        for _ in range(3):
            app.clear()
            with running(environment, 5):
                wait_until(lambda: environment.stats.total.num_requests >= 50)
            gc.collect()
            wait_until(lambda: app.counts()["open"] == 0, "the connections to be closed")
            assert 0 <= app.counts()["requests"] - environment.stats.total.num_requests <= 5
            assert environment.stats.total.num_failures == 0


# Threads and processes


def test_users_in_another_thread(users: Users, app: Listener, environment: Environment) -> None:
    """Each thread has a hub of its own, and users of its own."""
    client = make_user(users, app.url, environment).client
    assert client.get("/token/here").text == "here"

    def there() -> str:
        text: str = make_user(users, app.url, environment).client.get("/token/there").text
        return text

    files = open_files()
    thread = ThreadPool(1)
    assert [thread.apply(there) for _ in range(3)] == ["there"] * 3
    thread.kill()
    check_goes_on(client, app)
    gc.collect()
    wait_until(lambda: open_files() <= files, "what the thread had open to be closed")


def test_session_of_another_thread(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    assert client.get("/ok").text == "ok"
    thread = ThreadPool(1)
    with pytest.raises(RuntimeError, match="another thread"):
        thread.apply(client.get, ("/ok",))
    thread.kill()
    check_goes_on(client, app)
    assert app.counts()["connections"] == 1


FORK = """
import locust, os, sys, gevent
from locust.env import Environment
from opscore_fast import FastHttpSession

def session():
    return FastHttpSession(sys.argv[1], Environment().events.request, None)

client = session()
assert client.get("/token/before").text == "before"
child = gevent.os.fork()
if child == 0:
    try:
        print("old:", client.get("/token/wrong"), flush=True)
    except RuntimeError as error:
        print("old:", error, flush=True)
    print("new:", session().get("/token/child").text, flush=True)
    os._exit(0)
gevent.os.waitpid(child, 0)
print("parent:", client.get("/token/parent").text)
"""


def test_fork(app: Listener, tmp_path: Path) -> None:
    """A session from before a fork stays its parent's; the child makes one of its own."""
    run = finish(python("-c", FORK, app.url, cwd=tmp_path))
    assert run.code == 0, run.output
    said = dict(line.split(": ", 1) for line in run.output.splitlines() if ": " in line)
    assert "fork" in said["old"]
    assert (said["new"], said["parent"]) == ("child", "parent")
    assert "GET /token/wrong" not in app.counts()["targets"]
    assert app.counts()["connections"] == 2


def test_stream_closed_under_its_reader(hostile: Listen, environment: Environment) -> None:
    """The greenlet that waits for more of it gets an error, and does not wait for ever."""
    from opscore_fast import HttpUser

    server = hostile(
        [["request"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"], ["hold"]]
    )
    user = type("Tested", (HttpUser,), {"host": server.url})(environment)
    response = user.client.get("/", stream=True)

    def read() -> Exception | None:
        try:
            response.content  # noqa: B018
        except Exception as error:
            return error
        return None

    reader = gevent.spawn(read)
    gevent.sleep(0.05)
    response.close()
    assert isinstance(reader.get(timeout=20), Exception)
