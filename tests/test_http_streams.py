"""HttpUser's stream=True, for Locust's class and ours."""

from __future__ import annotations

import gc
import gzip
import io
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gevent
import pytest
import requests
import urllib3
from conftest import Listen
from helpers import (
    ALL_HTTP_USERS,
    OURS_HTTP,
    WAIT,
    Users,
    make_user,
    open_files,
    record_events,
    wait_until,
)
from locust.env import Environment
from servers import Listener
from servers.hostile import random_bytes

BIG = 8 << 20


@pytest.fixture(params=ALL_HTTP_USERS, ids=str)
def users(request: pytest.FixtureRequest) -> Users:
    """HttpUser: Locust's and ours in turn."""
    users: Users = request.param
    return users


def totals() -> list[int]:
    """What must not grow: the engine's connections, exchanges and greenlets that wait."""
    from opscore_fast import engines

    found = engines.current().totals()
    return [found[name] for name in ("connections", "exchanges", "waiting")]


def grown(before: list[int]) -> bool:
    """Whether any of them has; what earlier tests have left may go meanwhile."""
    return any(now > then for now, then in zip(totals(), before, strict=True))


def letters(size: int) -> bytes:
    """The body of /ok?size=..."""
    return b"abcdefghijklmnopqrstuvwxyz" * (size // 26) + b"abcdefghijklmnopqrstuvwxyz"[: size % 26]


def chunks(*pieces: bytes) -> str:
    return "".join(f"{len(piece):x}\r\n{piece.decode('latin-1')}\r\n" for piece in pieces)


def head(*lines: str) -> str:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""])


CHUNKED = head("Transfer-Encoding: chunked", "Content-Type: text/plain; charset=utf-8")


def collect(pieces: Iterator[bytes]) -> tuple[bytes, type | None]:
    """What an iterator gives, and the exception that ends it."""
    got = []
    try:
        for piece in pieces:
            got.append(piece)
    except Exception as error:
        return b"".join(got), type(error)
    return b"".join(got), None


def caught(call: Callable[[], Any]) -> Any:
    """The exception that a call raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


# Pieces


@pytest.mark.parametrize("more", ["", "&chunked=7", "&chunked=70000", "&close="])
@pytest.mark.parametrize("size", [0, 1, 10, 100_003])
@pytest.mark.parametrize("piece", [None, 1, 10, 4096, 1 << 20])
def test_iter_content(
    users: Users, app: Listener, environment: Environment, more: str, size: int, piece: int | None
) -> None:
    if piece == 1 and size > 1000:
        size = 1000
    client = make_user(users, app.url, environment).client
    response = client.get(f"/ok?size={size}{more}", stream=True)
    pieces = list(response.iter_content(piece))
    assert b"".join(pieces) == letters(size)
    assert all(pieces)
    if "chunked" not in more:  # otherwise they are no larger than what came
        whole, rest = divmod(size, piece or size or 1)
        assert list(map(len, pieces)) == [piece or size] * whole + [rest] * bool(rest)
    elif piece:
        assert max(map(len, pieces), default=0) <= piece
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == (2 if "close" in more else 1)


def test_iter_lines(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    body = "one%0Atwo%0Athr%E2%82%ACe%0A%0Afive"
    for more in ("", "&chunked=1", "&chunked=5", "&coding=gzip", "&coding=br&chunked=3"):
        target = f"/ok?body={body}{more}&type=text/plain;charset=utf-8"
        lines = list(client.get(target, stream=True).iter_lines(decode_unicode=True))
        assert lines == ["one", "two", "thr€e", "", "five"]
        if "chunked" in more:
            continue  # chunks that end with it give lines of their own
        lines = list(client.get(target, stream=True).iter_lines(delimiter=b"\n"))
        assert lines == [b"one", b"two", "thr€e".encode(), b"", b"five"]


def gzipped(data: bytes) -> bytes:
    """The first part of more, compressed so that it can be read when it is there."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


READERS: dict[str, Callable[[Any], Iterator[bytes]]] = {
    "iter_lines": lambda r: r.iter_lines(),
    "iter_content": lambda r: r.iter_content(512),
    "iter_content whole": lambda r: r.iter_content(None),
    "raw.stream": lambda r: r.raw.stream(512, decode_content=True),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_chunks_are_given_as_they_come(
    users: Users, hostile: Listen, environment: Environment, reader: str, coding: str
) -> None:
    """As servers want it that send events, one line now and another when there is one."""
    encoding = [f"Content-Encoding: {coding}"] if coding else []
    first = gzipped(b"first\n") if coding else b"first\n"
    text = head("Transfer-Encoding: chunked", *encoding) + chunks(first)
    server = hostile([["request"], ["send", text], ["hold"]])
    client = make_user(users, server.url, environment).client
    response = client.get("/", stream=True)
    with gevent.Timeout(WAIT, AssertionError("the line is held back")):
        assert next(READERS[reader](response)).strip() == b"first"
    response.close()


# raw


def test_raw_read(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    for more in ("", "&chunked=7"):
        raw = client.get(f"/ok?size=1000{more}", stream=True).raw
        assert raw.read(0) == b""
        assert raw.read(3) == b"abc"
        assert raw.read(4) == b"defg"
        assert raw.tell() == 7
        assert raw.read() == letters(1000)[7:]
        assert raw.read() == b""
        assert raw.read(5) == b""
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 1


def test_raw_shows_what_urllib3_shows(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    response = client.get("/ok?size=10&header=X-A:1&header=X-A:2&status=201", stream=True)
    raw = response.raw
    assert raw is response.raw
    assert (raw.status, raw.reason, raw.version) == (201, "Created", 11)
    assert raw.headers["x-a"] == "1, 2"
    assert raw.headers.getlist("X-A") == ["1", "2"]
    assert raw.getheader("content-length") == "10"
    assert (raw.readable(), raw.closed, raw.decode_content) == (True, False, False)
    assert raw.data == letters(10)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "br"])
def test_raw_is_decoded_when_it_is_told_to(
    users: Users, app: Listener, environment: Environment, coding: str
) -> None:
    client = make_user(users, app.url, environment).client
    target = f"/ok?size=50000&coding={coding}"
    raw = client.get(target, stream=True).raw
    packed = raw.read()
    assert 0 < len(packed) < 5000
    assert int(raw.headers["Content-Length"]) == len(packed)
    assert client.get(target, stream=True).raw.read(decode_content=True) == letters(50_000)
    assert client.get(target, stream=True).raw.read(100, decode_content=True) == letters(100)

    response = client.get(target, stream=True)
    response.raw.decode_content = True
    file = io.BytesIO()
    shutil.copyfileobj(response.raw, file)
    assert file.getvalue() == letters(50_000)


def test_raw_keeps_the_stream(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    file = io.BytesIO()
    shutil.copyfileobj(client.get("/ok?size=300000", stream=True).raw, file)
    assert file.getvalue() == letters(300_000)
    pieces = client.get("/ok?size=300000", stream=True).raw.stream(1000)
    assert b"".join(pieces) == letters(300_000)
    read = client.get("/ok?size=300000", stream=True).raw.read
    gc.collect()
    assert read(300_000) == letters(300_000)
    pieces = client.get("/ok?size=300000", stream=True).iter_content(1000)
    assert b"".join(pieces) == letters(300_000)


def test_raw_as_a_file(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    target = "/ok?body=one%0Atw%C3%B6%0Athree"
    assert list(client.get(target, stream=True).raw) == [b"one\n", "twö\n".encode(), b"three"]
    raw = client.get(target, stream=True).raw
    assert [raw.readline(), raw.readline()] == [b"one\n", "twö\n".encode()]
    raw = client.get(target, stream=True).raw
    raw.auto_close = False
    assert list(io.TextIOWrapper(raw, encoding="utf-8")) == ["one\n", "twö\n", "three"]
    room = bytearray(5)
    raw = client.get(target, stream=True).raw
    assert (raw.readinto(room), room) == (5, b"one\ntw"[:5])
    with gzip.open(client.get(f"{target}&coding=gzip", stream=True).raw, "rb") as unpacked:
        assert unpacked.read() == "one\ntwö\nthree".encode()


def test_raw_of_a_response_that_is_read(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    response = client.get("/ok?size=10")
    assert response.raw.read() == b""
    assert response.raw.closed
    assert (response.raw.status, response.content) == (200, letters(10))


# Content


def test_the_rest_is_content(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    response = client.get("/ok?size=100", stream=True)
    assert response.raw.read(40) == letters(40)
    assert response.content == letters(100)[40:]
    assert response.content == letters(100)[40:]
    response = client.get("/ok?size=100", stream=True)
    assert next(response.iter_content(7)) == letters(7)
    assert response.content == letters(100)[7:]
    assert list(response.iter_content(50)) == [letters(57)[7:], letters(100)[57:]]
    for more in ("", "&chunked=7"):
        response = client.get(f"/ok?size=100{more}", stream=True)
        assert b"".join(response.iter_content(7)) == letters(100)
        with pytest.raises(requests.exceptions.StreamConsumedError):
            response.iter_content(7)
        with pytest.raises(RuntimeError, match="already consumed"):
            response.content  # noqa: B018
    assert app.counts()["connections"] == 1


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("status", [200, 204, 304])
def test_no_body(
    users: Users, app: Listener, environment: Environment, method: str, status: int
) -> None:
    client = make_user(users, app.url, environment).client
    for read in (
        lambda r: r.content,
        lambda r: r.raw.read(),
        lambda r: r.raw.read(10),
        lambda r: b"".join(r.iter_content(10)),
        lambda r: b"".join(r.iter_lines()),
    ):
        size = 0 if method == "get" else 9
        response = getattr(client, method)(f"/ok?status={status}&size={size}", stream=True)
        assert response.status_code == status
        assert read(response) == b""
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "br"])
@pytest.mark.parametrize("more", ["", "&chunked=11"])
def test_decoded(
    users: Users, app: Listener, environment: Environment, coding: str, more: str
) -> None:
    client = make_user(users, app.url, environment).client
    target = f"/ok?size=5000&coding={coding}{more}"
    for piece in (None, 1, 100, 5000, 1 << 20):
        pieces = list(client.get(target, stream=True).iter_content(piece))
        assert b"".join(pieces) == letters(5000)
        assert piece is None or max(map(len, pieces)) <= max(piece, 5000 if more else 0)
    assert client.get(target, stream=True).text == letters(5000).decode()
    assert client.get(f"/echo?coding={coding}{more}", stream=True).json()["method"] == "GET"
    assert app.counts()["connections"] == 1


def test_stream_of_the_session(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    """Locust reads a body for its length, unless the call itself asks for a stream."""
    client.stream = True
    fired = record_events(environment)
    for data in (None, {"a": "b"}, iter([b"slowly"])):
        response = client.post("/ok?size=1000&chunked=10", data=data)
        assert response.raw.read(10) == b""
        assert response.content == letters(1000)
        assert b"".join(response.iter_content(300)) == letters(1000)
    assert client.get("/redirect/1?size=1000").history[0].content == letters(1000)
    assert [event["response_length"] for event in fired] == [1000, 1000, 1000, 2]
    assert app.counts()["connections"] == 1
    assert client.get("/ok?size=1000", stream=True).raw.read(10) == letters(10)
    client.close()


def test_redirects(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    response = client.get("/redirect/3?size=200000", stream=True)
    assert [past.status_code for past in response.history] == [302] * 3
    assert len(response.history[0].content) == 200_000
    assert response.raw.read(10) == b"ok"
    target = f"/ok?status=302&header=Location:/ok%3Fsize%3D{BIG}"
    response = client.get(target, stream=True)
    assert response.raw.read(26) == letters(26)
    assert sum(map(len, response.iter_content(100_000))) == BIG - 26
    assert app.counts()["connections"] == 1
    response = client.get(
        f"/ok?status=302&header=Location:/next&size={BIG}", stream=True, allow_redirects=False
    )
    assert len(response.content) == BIG


# Streams that end before their end


def test_closed(users: Users, hostile: Listen, environment: Environment) -> None:
    server = hostile([["request"], ["send", head(f"Content-Length: {BIG}")], ["random", BIG]])
    client = make_user(users, server.url, environment).client
    for number, read in enumerate(
        (
            lambda r: b"",
            lambda r: r.raw.read(10),
            lambda r: next(r.iter_content(10)),
            lambda r: r.raw.read(1 << 20)[:10],
        )
    ):
        response = client.get("/", stream=True)
        assert read(response) in (b"", random_bytes(BIG)[:10])
        response.close()
        wait_until(lambda: server.counts()["open"] == 0, "the connection to be closed")
        assert server.counts()["connections"] == number + 1
        error = caught(lambda r=response: r.raw.read(10))
        assert isinstance(error, urllib3.exceptions.ProtocolError)
        assert response.raw.closed
        assert response.content == b""
        response.close()


def test_closing(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    for _ in range(2):
        with closing(client.get("/ok?size=1000", stream=True)) as response:
            assert response.content == letters(1000)
        with closing(client.get("/ok?size=1000")) as response:
            assert response.content == letters(1000)
    assert app.counts()["connections"] == 1
    with closing(client.get(f"/ok?size={BIG}", stream=True)) as response:
        assert response.raw.read(26) == letters(26)
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 2


def test_dropped_streams_leave_nothing(hostile: Listen, environment: Environment) -> None:
    """At once: the garbage collector has no part in it."""
    server = hostile([["request"], ["send", head(f"Content-Length: {BIG}")], ["random", BIG]])
    client = make_user(OURS_HTTP, server.url, environment).client
    client.get("/", stream=True)
    gc.collect()
    files, before = open_files(), totals()
    gc.disable()
    try:
        for count in range(100):
            response = client.get("/", stream=True)
            if count % 4 == 1:
                response.raw.read(1000)
            elif count % 4 == 2:
                next(response.iter_content(10))
            elif count % 4 == 3:
                response.raw.decode_content = True
                assert not response.cookies
            del response
            assert not grown(before)
        assert open_files() == files
    finally:
        gc.enable()
    wait_until(lambda: server.counts()["open"] == 0, "the connections to be closed")


def test_session_that_goes_before_its_stream(app: Listener, environment: Environment) -> None:
    response = make_user(OURS_HTTP, app.url, environment).client.get(f"/ok?size={BIG}", stream=True)
    gc.collect()
    assert len(response.content) == BIG


# Streams that break


CUT: dict[str, tuple[str, bytes]] = {
    "length": (head("Content-Length: 3000") + "x" * 1500, b"x" * 1500),
    "chunk": (CHUNKED + chunks(b"x" * 1000) + "7d0\r\n" + "x" * 500, b"x" * 1000),
    "between chunks": (CHUNKED + chunks(b"x" * 1000), b"x" * 1000),
}


@pytest.mark.parametrize("end", [["close"], ["reset"]])
@pytest.mark.parametrize("cut", CUT)
def test_cut_short(
    users: Users, hostile: Listen, environment: Environment, cut: str, end: list[Any]
) -> None:
    text, sure = CUT[cut]
    server = hostile([["request"], ["send", text], ["taken"], end])
    client = make_user(users, server.url, environment).client
    fired = record_events(environment)
    got, error = collect(client.get("/", stream=True).iter_content(100))
    assert got.startswith(sure)
    assert error is not None
    assert issubclass(
        error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ConnectionError
    )
    error = caught(lambda: client.get("/", stream=True).content)
    assert isinstance(error, requests.exceptions.ChunkedEncodingError)
    error = caught(lambda: client.get("/", stream=True).raw.read())
    assert isinstance(error, urllib3.exceptions.ProtocolError)
    error = caught(lambda: list(client.get("/", stream=True).iter_lines()))
    assert isinstance(error, requests.exceptions.ChunkedEncodingError)
    raw = client.get("/", stream=True).raw
    assert raw.read(1000) == b"x" * 1000
    error = caught(lambda: [raw.read(1000) for _ in range(3)])
    assert isinstance(error, urllib3.exceptions.ProtocolError)
    assert [event["exception"] for event in fired] == [None] * 5
    wait_until(lambda: server.counts()["open"] == 0, "the connections to be closed")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_malformed_coding(
    users: Users, hostile: Listen, environment: Environment, coding: str
) -> None:
    nonsense = head("Content-Length: 20", f"Content-Encoding: {coding}") + "\xff\x00nonsense" * 2
    server = hostile([["request"], ["send", nonsense], ["again"]])
    client = make_user(users, server.url, environment).client
    for read in (
        lambda r: r.content,
        lambda r: r.text,
        lambda r: list(r.iter_content(5)),
        lambda r: list(r.iter_lines()),
    ):
        response = client.get("/", stream=True)
        assert isinstance(
            caught(lambda read=read, r=response: read(r)), requests.exceptions.ContentDecodingError
        )
    raw = client.get("/", stream=True).raw
    error = caught(lambda: raw.read(decode_content=True))
    assert isinstance(error, urllib3.exceptions.DecodeError)
    assert client.get("/", stream=True).raw.read() == b"\xff\x00nonsense\xff\x00nonsense"


def test_coding_that_is_cut_short(users: Users, hostile: Listen, environment: Environment) -> None:
    packed = gzip.compress(letters(5000), mtime=0)[:-20].decode("latin-1")
    answer = head(f"Content-Length: {len(packed)}", "Content-Encoding: gzip") + packed
    server = hostile([["request"], ["send", answer], ["again"]])
    client = make_user(users, server.url, environment).client
    got, error = collect(client.get("/", stream=True).iter_content(100))
    assert (letters(5000).startswith(got), error) == (True, None)  # urllib3 does not mind


def test_malformed_chunks(users: Users, hostile: Listen, environment: Environment) -> None:
    for together in (True, False):  # all at once, and one after the other
        server = hostile(
            [
                ["request"],
                ["send", CHUNKED + chunks(b"part")],
                *([] if together else [["taken"]]),
                ["send", "nonsense\r\n"],
                ["hold"],
            ],
            [["request"], ["send", CHUNKED + chunks(b"part") + "nonsense\r\n"], ["hold"]],
        )
        client = make_user(users, server.url, environment).client
        for _ in range(2):
            got, error = collect(client.get("/", stream=True).iter_content(100))
            assert (got, error) == (b"part", requests.exceptions.ChunkedEncodingError)


def test_time_outs(users: Users, hostile: Listen, environment: Environment) -> None:
    server = hostile([["request"], ["send", head("Content-Length: 3000") + "x" * 1500], ["hold"]])
    client = make_user(users, server.url, environment).client

    def stream() -> Any:
        return client.get("/", stream=True, timeout=1)

    got, error = collect(stream().iter_content(100))
    assert (got, error) == (b"x" * 1500, requests.exceptions.ConnectionError)
    error = caught(lambda: stream().content)
    assert type(error) is requests.exceptions.ConnectionError
    assert isinstance(caught(lambda: stream().raw.read()), urllib3.exceptions.ReadTimeoutError)
    wait_until(lambda: server.counts()["open"] == 0, "the connections to be closed")


# Greenlets


@pytest.mark.parametrize("by", ["kill", "timeout"])
@pytest.mark.parametrize(
    "read",
    [
        lambda r: r.content,
        lambda r: r.raw.read(),
        lambda r: list(r.iter_content(1000)),
        lambda r: list(r.iter_lines()),
    ],
)
def test_killed_while_reading(
    hostile: Listen, environment: Environment, read: Callable[[Any], Any], by: str
) -> None:
    server = hostile([["request"], ["send", head("Content-Length: 3000") + "x" * 1500], ["hold"]])
    client = make_user(OURS_HTTP, server.url, environment).client
    gc.collect()
    before = totals()
    response = client.get("/", stream=True)

    def task() -> None:
        struck = gevent.GreenletExit if by == "kill" else gevent.Timeout
        with gevent.Timeout(0.2 if by == "timeout" else None), pytest.raises(struck):
            read(response)

    greenlet = gevent.spawn(task)
    gevent.sleep(0.1)
    if by == "kill":
        greenlet.kill()
    greenlet.join(20)
    assert greenlet.successful()
    wait_until(lambda: server.counts()["open"] == 0, "the connection to be closed")
    assert totals()[0] <= before[0]
    assert isinstance(caught(lambda: response.raw.read()), urllib3.exceptions.HTTPError)


def test_two_greenlets_and_one_stream(hostile: Listen, environment: Environment) -> None:
    server = hostile(
        [["request"], ["send", head("Content-Length: 4") + "ab"], ["wait", "go"], ["send", "cd"]]
    )
    response = make_user(OURS_HTTP, server.url, environment).client.get("/", stream=True)
    reader = gevent.spawn(response.raw.read, 4)
    gevent.sleep(0.1)
    with pytest.raises(RuntimeError, match="another greenlet is reading this response"):
        response.raw.read(1)
    server.open_gate("go")
    assert reader.get(timeout=20) == b"abcd"


def test_streams_side_by_side(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    streams = [client.get(f"/ok?size={BIG}&chunked=100000", stream=True) for _ in range(5)]
    readers = [gevent.spawn(lambda r=r: sum(map(len, r.iter_content(10_000)))) for r in streams]
    assert [reader.get(timeout=20) for reader in readers] == [BIG] * 5
    assert app.counts()["connections"] == 5
