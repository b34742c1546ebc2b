"""HTTP/2 against a server that plays frames: each of its scripts ends in a response or in a failure
with a text of its own, and nothing that we send breaks the protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from helpers import wait_until
from helpers_http2 import gone, sent
from helpers_http2_scripts import BODY, CASES, FLOODS, HEAD, Case
from locust.env import Environment
from parity import Listen
from servers import Listener
from servers.frames import Code

from opscore_fast.exceptions import ProtocolError

Connect = Callable[..., Any]


@pytest.fixture
def connect(environment: Environment) -> Connect:
    """Makes a client for a port, with attributes of the user class."""
    from opscore_fast import FastHttpUser

    def client(port: Listener, **attributes: Any) -> Any:
        given = {"host": port.url, "http2": "prior-knowledge", "network_timeout": 20, **attributes}
        return type("TestedUser", (FastHttpUser,), given)(environment).client

    return client


def codes(port: Listener) -> set[str]:
    """The error codes that we have told by RST_STREAM and GOAWAY."""
    told = {frame["code"] for frame in sent(port) if "code" in frame}
    return {Code(code).name for code in told - {Code.NO_ERROR}}


def close(client: Any) -> None:
    client.client.clientpool.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_script(http2_script: Listen, connect: Connect, case: Case) -> None:
    port = http2_script(case.script)
    client = connect(port)
    response = client.get("/")
    if case.outcome == "ok":
        assert response.error is None
        assert response.text == BODY
    else:
        error = str(response.error)
        assert f"127.0.0.1:{port.port}" in error
        assert "timed out" not in error
        assert "no data" not in error
    close(client)
    gone(port)
    if case.code is not None:
        assert case.code.name in codes(port)
    elif case.outcome == "ok":
        assert codes(port) == set()


@pytest.mark.parametrize("case", FLOODS, ids=str)
def test_floods_end(http2_script: Listen, connect: Connect, case: Case) -> None:
    port = http2_script(case.script)
    client = connect(port)
    response = client.get("/")
    assert response.error is not None
    close(client)
    gone(port)


def test_the_wait_for_a_stream_is_no_response_time(http2_script: Listen, connect: Connect) -> None:
    script = [["preface", {"MAX_CONCURRENT_STREAMS": 1}], ["request"], ["answer"]]
    port = http2_script([*script, *[["request"], ["pause", 0.05], ["answer"]] * 4, ["drain"]])
    client = connect(port)
    assert client.get("/").error is None
    jobs = [gevent.spawn(client.get, "/") for _ in range(4)]
    gevent.joinall(jobs)
    assert [job.value.error for job in jobs] == [None] * 4
    waits = [job.value.queue_time for job in jobs]
    assert waits[0] == 0 < waits[1] < waits[2] < waits[3]
    assert port.counts()["connections"] == 1


def test_large_bodies_keep_to_the_windows(http2_script: Listen, connect: Connect) -> None:
    """(The fixture sees to it that no window was overrun.)"""
    size = 3_000_000
    script = [["preface", {"INITIAL_WINDOW_SIZE": 1000}], ["request"], ["answer", 200, size]]
    port = http2_script([*script, ["drain"]])
    body = b"0123456789" * (size // 10)
    response = connect(port).post("/", data=body)
    assert response.error is None
    assert response.content == b"x" * size
    [request] = port.requests()
    assert (request["size"], request["sha1"]) == (size, hashlib.sha1(body).hexdigest())


def test_one_octet_over_the_window(http2_script: Listen, connect: Connect) -> None:
    port = http2_script(
        [["preface"], ["request"], ["send", HEAD], ["overrun", 1], ["drain"]],
    )
    client = connect(port)
    response = client.get("/", stream=True)
    wait_until(lambda: codes(port) == {"FLOW_CONTROL_ERROR"})  # while nobody reads it
    with pytest.raises(ProtocolError, match="more data than its window allows"):
        response.stream.read()
