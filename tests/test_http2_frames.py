"""HTTP/2 against a server that plays frames: each of its scripts ends in a response or in a failure
with a text of its own, and nothing that we send breaks the protocol."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import gevent
import pytest
from helpers import Connect, client_of, wait_until
from helpers_http2 import gone, sent
from helpers_http2_scripts import BODY, CASES, FLOODS, HEAD, Case
from locust.env import Environment
from parity import Listen
from servers import Listener
from servers.frames import WINDOW, Code, Setting

from opscore_fast.exceptions import ProtocolError


@pytest.fixture
def connect(environment: Environment) -> Connect:
    """Makes a client for a port, with attributes of the user class."""
    return partial(
        client_of, environment, "FastHttpUser", http2="prior-knowledge", network_timeout=20
    )


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


def test_no_more_streams_than_the_user_class_says(http2_script: Listen, connect: Connect) -> None:
    script = [["preface", {"MAX_CONCURRENT_STREAMS": 100}], ["request"], ["answer"]]
    rounds = [["request", 2], ["pause", 0.05], ["mark", "two"], ["answer"], ["answer"]]
    port = http2_script([*script, *rounds * 3, ["drain"]])
    client = connect(port, http2_streams=2)
    assert client.get("/").error is None
    jobs = [gevent.spawn(client.get, "/") for _ in range(6)]
    gevent.joinall(jobs)
    assert [job.value.error for job in jobs] == [None] * 6
    assert sorted(job.value.queue_time > 0 for job in jobs) == [False] * 2 + [True] * 4
    assert port.counts()["connections"] == 1
    assert port.counts()["marks"] == ["two"] * 3


WINDOWS = [
    (1, 65535),
    (1000, 65535),
    (65535, 65535),
    (100_000, 2**31 - 1),
    (2**31 - 1, 70_000),
    (8 << 20, 32 << 20),
]


@pytest.mark.parametrize(("window", "connection_window"), WINDOWS)
@pytest.mark.parametrize("streamed", [False, True])
def test_windows_of_ours(
    http2_script: Listen, connect: Connect, window: int, connection_window: int, streamed: bool
) -> None:
    size = min(3_000_000, window * 1000)
    port = http2_script([["preface"], ["request"], ["answer", 200, size], ["drain"]])
    client = connect(port, http2_window=window, http2_connection_window=connection_window)
    response = client.get("/", stream=streamed)
    assert (response.stream.read() if streamed else response.content) == b"x" * size
    told = sent(port, "SETTINGS")[0]["settings"][str(int(Setting.INITIAL_WINDOW_SIZE))]
    assert told == window
    updates = [(frame["stream"], frame["increment"]) for frame in sent(port, "WINDOW_UPDATE")]
    if connection_window > WINDOW:
        assert updates.pop(0) == (0, connection_window - WINDOW)
    # credit is given in large pieces
    for stream, increment in updates:
        assert increment >= (window if stream else connection_window) // 2
    assert (len(updates) > 0) == (size > min(window, connection_window) // 2)


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


@pytest.mark.parametrize("windows", [(None, None), (1000, None), (1, 65535)])
def test_one_octet_over_the_window(
    http2_script: Listen, connect: Connect, windows: tuple[int | None, int | None]
) -> None:
    port = http2_script(
        [["preface"], ["request"], ["send", HEAD], ["overrun", 1], ["drain"]],
    )
    client = connect(port, http2_window=windows[0], http2_connection_window=windows[1])
    response = client.get("/", stream=True)
    wait_until(lambda: codes(port) == {"FLOW_CONTROL_ERROR"})  # while nobody reads it
    with pytest.raises(ProtocolError, match="more data than its window allows"):
        response.stream.read()
