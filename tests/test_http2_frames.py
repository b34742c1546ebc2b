"""HTTP/2 against a server that plays frames: each of its scripts ends in a response or in a failure
with a text of its own, and nothing that we send breaks the protocol."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import gevent
import pytest
from helpers import Connect, client_of, record_events, wait_until
from helpers_http2 import gone, sent
from helpers_http2_scripts import (
    BODY,
    CASES,
    ENDLESS_MIB,
    FINE,
    FLOODS,
    HEAD,
    LATE_FLOODS,
    SHRINKING_WINDOW,
    Case,
)
from locust.env import Environment
from parity import Listen
from servers import Listener
from servers.frames import (
    LARGEST_WINDOW,
    WINDOW,
    Code,
    Setting,
    data,
    goaway,
    headers,
    ping,
    response,
    rst_stream,
    settings,
    window_update,
)

from opscore_fast.exceptions import ProtocolError


@pytest.fixture
def connect(environment: Environment) -> Connect:
    """Makes a client for a port, with attributes of the user class."""
    return partial(
        client_of, environment, "FastHttpUser", http2="prior-knowledge", network_timeout=20
    )


OBJECTIONS = {
    Code.FRAME_SIZE_ERROR: ["HTTP/2: a frame of a wrong size"],
    Code.COMPRESSION_ERROR: ["HTTP/2: headers that can't be decompressed"],
    Code.FLOW_CONTROL_ERROR: ["HTTP/2: more data than its window allows"],
    Code.PROTOCOL_ERROR: [
        "HTTP/2: a frame that breaks the protocol",
        "HTTP/2: a push that was refused",
        "HTTP/2: an invalid header field",
        "HTTP/2: a malformed response",
        "HTTP/2: a body of another length than it said",
        " does not speak HTTP/2: it did not begin with SETTINGS",
    ],
}
"""What failures say, by what the server is told."""


def check_text(case: Case, error: str) -> None:
    """That the failure says what it should, as far as the script has a part of its own in it."""
    kind, _, rest = case.name.partition(" ")
    code = rest.partition(" ")[0]
    if case.code is not None:
        assert any(error.endswith(text) for text in OBJECTIONS[case.code]), error
    elif kind == "RST_STREAM" and code in Code.__members__:
        assert " ended the request's HTTP/2 stream while " in error
        assert error.endswith(f": {code}")
    elif kind == "GOAWAY" and code in Code.__members__ and code != "NO_ERROR":
        assert error.endswith(f" went away (HTTP/2 GOAWAY) without an answer: {code}")


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
        check_text(case, error)
    close(client)
    gone(port)
    if case.code is not None:
        assert case.code.name in codes(port)
    elif case.outcome == "ok":
        assert codes(port) == set()


FLOOD_TEXTS = {
    "empty DATA": "HTTP/2: a flood of DATA frames",
    "padding alone": "HTTP/2: a flood of DATA frames",
    "empty CONTINUATION": "HTTP/2: a flood of CONTINUATION frames",
    "PUSH_PROMISE": "HTTP/2: a push that was refused",
    "PING ACK": "HTTP/2: a flood of PING frames",
    "unknown frames": "HTTP/2: a flood of frames of an unknown type",
    "ALTSVC": "HTTP/2: a flood of frames of an unknown type",
    "WINDOW_UPDATE of the stream": "HTTP/2: a flood of WINDOW_UPDATE frames",
    "SETTINGS ACK": "HTTP/2: a frame that breaks the protocol",
    "RST_STREAM": "ended the request's HTTP/2 stream while receiving the body: CANCEL",
    "RST_STREAM of a stream that never was": "HTTP/2: a frame that breaks the protocol",
    "interim responses": "exceed 65536 bytes",
    "headers of 1 MiB": "exceed 65536 bytes",
    "headers unpacked to 8 MiB": "exceed 65536 bytes",
}
"""What becomes of floods, if not that they are called one of such frames."""


@pytest.mark.parametrize("case", FLOODS, ids=str)
def test_floods_end(http2_script: Listen, connect: Connect, case: Case) -> None:
    port = http2_script(case.script)
    client = connect(port)
    error = str(client.get("/").error)
    named = f"HTTP/2: a flood of {case.name} frames"
    # of this one nghttp2's limit comes first or ours, which depends on its version
    also = "exceed 65536 bytes" if case.name == "CONTINUATION" else named
    assert error.endswith((FLOOD_TEXTS.get(case.name, named), also)), error
    close(client)
    gone(port)


@pytest.mark.parametrize("name", LATE_FLOODS)
def test_floods_behind_a_response_end(
    http2_script: Listen, connect: Connect, environment: Environment, name: str
) -> None:
    """Nobody waits on the connection: it is closed, and the next request has another."""
    flood = ["flood", LATE_FLOODS[name], ENDLESS_MIB]
    again = [["preface"], ["request"], ["answer"], ["drain"]]
    port = http2_script([["preface"], ["request"], ["send", FINE], flood], again)
    client = connect(port)
    assert client.get("/").text == BODY
    wait_until(lambda: not port.counts()["open"])
    assert client.get("/").text == "ok"
    assert port.counts()["connections"] == 2


def give_up(client: Any) -> None:
    """Ask for a response that is streamed, and let go of it when its headers are there."""
    assert client.get("/", stream=True).status_code == 200


@pytest.mark.parametrize("name", LATE_FLOODS)
def test_floods_behind_a_request_that_was_given_up_end(
    http2_script: Listen, connect: Connect, name: str
) -> None:
    flood = ["flood", LATE_FLOODS[name], ENDLESS_MIB]
    port = http2_script(
        [["preface"], ["request"], ["send", HEAD], ["await", "RST_STREAM"], ["mark", "up"], flood]
    )
    client = connect(port)
    give_up(client)
    wait_until(lambda: port.counts()["marks"] == ["up"])
    wait_until(lambda: not port.counts()["open"])


def test_what_is_on_its_way_to_a_request_that_was_given_up_is_no_flood(
    http2_script: Listen, connect: Connect
) -> None:
    """All of a window in the smallest pieces."""
    rest = data(1, b"x" * SMALLEST) * ((1 << 20) // SMALLEST)
    answer = headers(3, response()) + data(3, b"ok", end=True)
    script = [["preface"], ["request"], ["send", HEAD], ["await", "RST_STREAM"], ["send", rest]]
    port = http2_script([*script, ["request"], ["send", answer], ["drain"]])
    client = connect(port)
    give_up(client)
    assert client.get("/").text == "ok"
    assert port.counts()["connections"] == 1


def test_credit_for_small_pieces_is_no_flood(http2_script: Listen, connect: Connect) -> None:
    """A server may give it for each piece of a body that it reads, and answer at its end."""
    size = 1 << 20
    credit = (window_update(1, 64) + window_update(0, 64)) * (size // 64)
    port = http2_script([["preface"], ["request"], ["send", credit], ["answer"], ["drain"]])
    assert connect(port).post("/", data=b"x" * size).text == "ok"


def test_the_wait_for_a_stream_is_no_response_time(
    http2_script: Listen, connect: Connect, environment: Environment
) -> None:
    script = [["preface", {"MAX_CONCURRENT_STREAMS": 1}], ["request"], ["answer"]]
    port = http2_script([*script, *[["request"], ["pause", 0.2], ["answer"]] * 4, ["drain"]])
    client = connect(port)
    fired = record_events(environment)
    assert client.get("/").error is None
    jobs = [gevent.spawn(client.get, "/") for _ in range(4)]
    gevent.joinall(jobs)
    assert [job.value.error for job in jobs] == [None] * 4
    waits = [job.value.queue_time for job in jobs]
    assert waits[0] == 0 < waits[1] < waits[2] < waits[3]
    assert port.counts()["connections"] == 1
    # each takes the server as long, of which the last one has waited for three
    times = {event["response"]: event["response_time"] / 1000 for event in fired}
    assert times[jobs[3].value] < waits[3]
    assert jobs[3].value.elapsed.total_seconds() < waits[3]


# Requests that are sent again


def paths(client: Any, port: Listener, count: int) -> list[str]:
    """Ask for /0, /1, ... at a time; returns the paths of the requests that the server has read."""
    jobs = [gevent.spawn(client.get, f"/{number}") for number in range(count)]
    gevent.joinall(jobs)
    assert [job.value.error for job in jobs] == [None] * count
    assert [job.value.retries for job in jobs] == [1] * count
    return [dict(request["fields"])[":path"] for request in port.requests()]


@pytest.mark.parametrize("step", [1, -1])
def test_refused_requests_keep_their_order(
    http2_script: Listen, connect: Connect, step: int
) -> None:
    """Whatever the order in which the server refuses them."""
    count = 8
    refused = b"".join(
        rst_stream(stream, Code.REFUSED_STREAM) for stream in range(1, 2 * count, 2)[::step]
    )
    script = [["preface"], ["request", count], ["send", refused], ["request", count]]
    port = http2_script([*script, *[["pass_over"]] * count, *[["answer"]] * count, ["drain"]])
    order = [f"/{number}" for number in range(count)]
    assert paths(connect(port), port, count) == order + order


def test_requests_of_a_connection_that_goes_away_keep_their_order(
    http2_script: Listen, connect: Connect
) -> None:
    count = 8
    port = http2_script(
        [["preface"], ["request", count], ["send", goaway(0)], ["drain"]],
        [["preface"], ["request", count], *[["answer"]] * count, ["drain"]],
    )
    order = [f"/{number}" for number in range(count)]
    assert paths(connect(port), port, count) == order + order


# Settings that change


def test_a_window_that_becomes_negative(http2_script: Listen, connect: Connect) -> None:
    port = http2_script(SHRINKING_WINDOW)
    assert connect(port).post("/", data=b"y" * 100_000).text == "ok"
    assert port.requests()[0]["size"] == 100_000
    assert port.counts()["marks"] == ["nothing yet"]


def test_a_window_that_opens_late(http2_script: Listen, connect: Connect) -> None:
    """By SETTINGS, and not by WINDOW_UPDATE; larger frames are allowed too."""
    late = {Setting.INITIAL_WINDOW_SIZE: 1 << 20, Setting.MAX_FRAME_SIZE: 1 << 20}
    port = http2_script(
        [
            ["preface", {"INITIAL_WINDOW_SIZE": 0}],
            ["automatic", "settings"],
            ["head"],
            ["send", ping()],
            ["await", "PING_ACK"],
            ["mark", "not yet"],
            ["send", settings(late) + window_update(0, 1 << 20)],
            ["request"],
            ["answer"],
            ["drain"],
        ]
    )
    assert connect(port).post("/", data=b"y" * 500_000).text == "ok"
    assert port.requests()[0]["size"] == 500_000
    assert port.counts()["marks"] == ["not yet"]


def test_fewer_and_more_streams(http2_script: Listen, connect: Connect) -> None:
    """(The fixture sees to it that there were never more than allowed.)"""
    one_by_one = [["request"], ["pause", 0.02], ["answer"]] * 3
    port = http2_script(
        [
            *[["preface", {"MAX_CONCURRENT_STREAMS": 100}], ["request"], ["answer"]],
            ["request", 4],
            ["send", settings({Setting.MAX_CONCURRENT_STREAMS: 1})],
            ["await", "SETTINGS_ACK", 2],
            *[["answer"]] * 4,
            *one_by_one,
            ["send", settings({Setting.MAX_CONCURRENT_STREAMS: 3})],
            ["await", "SETTINGS_ACK"],
            ["mark", "three"],
            *[["request", 3], *[["answer"]] * 3],
            ["drain"],
        ]
    )
    client = connect(port)
    assert client.get("/").error is None
    waits = []
    for count in (4, 3, 3):
        if count == 3 and len(waits) == 7:
            wait_until(lambda: port.counts()["marks"] == ["three"])
        jobs = [gevent.spawn(client.get, "/") for _ in range(count)]
        gevent.joinall(jobs)
        assert [job.value.error for job in jobs] == [None] * count
        waits += [job.value.queue_time > 0 for job in jobs]
    assert waits == [False] * 4 + [False, True, True] + [False] * 3
    assert port.counts()["connections"] == 1


@pytest.mark.parametrize("sizes", [(0, 4096, 0), (100, 1 << 20, 64), (1 << 20, 0, 1 << 20)])
def test_header_tables_of_other_sizes(
    http2_script: Listen, connect: Connect, sizes: tuple[int, ...]
) -> None:
    script: list[list[Any]] = [["preface"], ["request", 2], ["answer"], ["answer"]]
    for number, size in enumerate(sizes):
        script += [["send", settings({Setting.HEADER_TABLE_SIZE: size})]]
        script += [["await", "SETTINGS_ACK", 2 if number == 0 else 1], ["mark", str(number)]]
        script += [["request"], ["answer"]] * 3
    port = http2_script([*script, ["drain"]])
    client = connect(port)
    headers = {f"X-{number}": f"{number}" * 30 for number in range(100)}
    jobs = [gevent.spawn(client.get, "/", headers=headers) for _ in range(2)]
    gevent.joinall(jobs)
    for number in range(len(sizes)):
        wait_until(lambda number=number: str(number) in port.counts()["marks"])
        for _ in range(3):
            assert client.get("/", headers=headers).error is None
    for request in port.requests():
        seen = dict(request["fields"])
        assert {name: seen[name.lower()] for name in headers} == headers
    assert len(port.requests()) == 2 + 3 * len(sizes)


def test_settings_of_ours(http2_script: Listen, connect: Connect) -> None:
    port = http2_script([["preface"], ["request"], ["answer"], ["drain"]])
    assert connect(port).get("/").error is None
    told = sent(port, "SETTINGS")[0]
    assert told["settings"] == {
        str(int(Setting.ENABLE_PUSH)): 0,
        str(int(Setting.INITIAL_WINDOW_SIZE)): 1 << 20,
    }


# Limits

SMALLEST = 16
"""Octets in each of the smallest pieces of a body that nobody takes for a flood."""


LARGE = [("a", "x" * 1000)] * 4


PLACES = {
    "headers": headers(1, response(200, LARGE), end=True),
    "interim response": headers(1, response(103, LARGE)) + FINE,
    "trailers": HEAD + data(1, b"fine") + headers(1, LARGE, end=True),
}
"""Responses with 4,000 octets of headers in one place or another."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("limit", "fails"), [(4100, False), (3900, True)])
def test_limits_of_headers(
    http2_script: Listen, connect: Connect, place: str, limit: int, fails: bool
) -> None:
    """The connection goes on."""
    again = [["request"], ["send", headers(3, response(), end=True)]]
    port = http2_script([["preface"], ["request"], ["send", PLACES[place]], *again, ["drain"]])
    client = connect(port, max_response_headers=limit)
    error = client.get("/").error
    if fails:
        text = f"response headers from 127.0.0.1:{port.port} exceed {limit} bytes"
        assert str(error) == text
    else:
        assert error is None
    assert client.get("/").error is None
    assert [frame["stream"] for frame in sent(port, "RST_STREAM")] == [1] * fails
    assert port.counts()["connections"] == 1


def test_a_request_above_the_size_that_a_server_would_like_is_sent(
    http2_script: Listen, connect: Connect
) -> None:
    """What the server makes of it is what a test is to show; the setting is advice."""
    script = [["preface", {"MAX_HEADER_LIST_SIZE": 100}], ["request"], ["answer"]]
    port = http2_script([*script, ["request"], ["answer", 431], ["drain"]])
    client = connect(port)
    assert client.get("/").status_code == 200  # now the settings have come
    assert client.get("/", headers={"X-Long": "x" * 1000}).status_code == 431
    assert dict(port.requests()[1]["fields"])["x-long"] == "x" * 1000
    assert port.counts()["connections"] == 1


def test_pings_are_answered(http2_script: Listen, connect: Connect) -> None:
    pings = [["send", ping(b"12345678")], ["send", ping(b"abcdefgh")], ["await", "PING_ACK", 2]]
    port = http2_script([["preface"], *pings, ["request"], *pings, ["answer"], *pings, ["drain"]])
    client = connect(port)
    assert client.get("/").error is None
    wait_until(lambda: len(sent(port, "PING")) == 6)
    answers = [(frame["flags"], frame["payload"]) for frame in sent(port, "PING")]
    assert answers == [(1, "12345678"), (1, "abcdefgh")] * 3


# Streams and windows


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


@pytest.mark.parametrize("window", [1000, 65535, LARGEST_WINDOW])
def test_large_bodies_keep_to_the_windows(
    http2_script: Listen, connect: Connect, window: int
) -> None:
    """(The fixture sees to it that no window was overrun.)"""
    size = 3_000_000
    script = [["preface", {"INITIAL_WINDOW_SIZE": window}], ["request"], ["answer", 200, size]]
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
