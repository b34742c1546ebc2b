"""Fixtures of the whole suite. Locust is imported first, as it patches the standard library."""

from __future__ import annotations

# isort: off
import locust  # noqa: F401

# isort: on
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers import ALL_USERS, Connect, Users, client_of, kill_started, local_environment
from helpers_http2 import as_json
from helpers_twins import Twins, twins
from locust.env import Environment
from parity import Listen, Subject
from servers import Listener, Server

# What a shell starts in the background ignores SIGINT, and so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _server(module: str) -> Iterator[Server]:
    server = Server(module)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def app_server() -> Iterator[Server]:
    yield from _server("servers.app")


@pytest.fixture(scope="session")
def hostile_server() -> Iterator[Server]:
    yield from _server("servers.hostile")


@pytest.fixture(scope="session")
def http2_server() -> Iterator[Server]:
    yield from _server("servers.http2")


@pytest.fixture(autouse=True)
def _nothing_runs_on() -> Iterator[None]:
    yield
    kill_started()


@pytest.fixture
def listen(app_server: Server) -> Iterator[Listen]:
    """Opens ports of the ordinary server, closed after the test."""
    listeners = []

    def listen(**options: Any) -> Listener:
        listeners.append(app_server.listen(**options))
        return listeners[-1]

    yield listen
    for listener in listeners:
        listener.close()


@pytest.fixture
def app(listen: Listen) -> Listener:
    """A port of the ordinary server."""
    return listen()


@pytest.fixture
def hostile(hostile_server: Server) -> Iterator[Listen]:
    """Opens ports of the hostile server: a script for each connection, the last for all further."""
    listeners = []

    def by_script(*scripts: list[list[Any]], **options: Any) -> Listener:
        listeners.append(hostile_server.listen(scripts=scripts, **options))
        return listeners[-1]

    yield by_script
    for listener in listeners:
        listener.close()


@pytest.fixture
def http2_script(http2_server: Server) -> Iterator[Listen]:
    """Opens ports of the server that plays HTTP/2 frames, like `hostile`; bytes may be in scripts.

    At the end no client must have done anything against the protocol on any of them.
    """
    listeners = []

    def by_script(*scripts: list[list[Any]], **options: Any) -> Listener:
        listeners.append(http2_server.listen(scripts=as_json(scripts), **options))
        return listeners[-1]

    yield by_script
    violations = [listener.counts()["violations"] for listener in listeners]
    for listener in listeners:
        listener.close()
    assert not any(violations), violations


@pytest.fixture
def subject(listen: Listen, hostile: Listen, tmp_path: Path) -> Iterator[Subject]:
    """What a scenario of the parity tests works with."""
    with ExitStack() as opened:
        yield Subject(listen(), listen(), tmp_path, listen, hostile, opened)


@pytest.fixture(params=ALL_USERS, ids=str)
def users(request: pytest.FixtureRequest) -> Users:
    """Locust's classes and ours in turn."""
    users: Users = request.param
    return users


@pytest.fixture(params=["FastHttpUser", "HttpUser"])
def connect(request: pytest.FixtureRequest, environment: Environment) -> Connect:
    """Makes clients of our classes in turn (`helpers.client_of`)."""
    return partial(client_of, environment, request.param)


@pytest.fixture
def environment() -> Iterator[Environment]:
    """An environment with a local runner."""
    with local_environment() as environment:
        yield environment


@pytest.fixture(scope="module")
def pair() -> Iterator[Twins]:
    """The server and the fleet that all cases of a module of twins share."""
    with twins() as made:
        yield made
