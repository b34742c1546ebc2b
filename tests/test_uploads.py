"""Bodies that HttpUser sends while they are made, for Locust's class and ours where both can."""

from __future__ import annotations

import gc
import io
import itertools
import os
import textwrap
import weakref
from array import array
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import gevent
import pytest
import requests
from conftest import Listen
from gevent.pool import Pool
from helpers import (
    ALL_HTTP_USERS,
    LOCUST_HTTP,
    OURS_HTTP,
    SANITIZED,
    Users,
    finish,
    make_user,
    open_files,
    python,
    record_events,
    statistics,
    wait_until,
)
from locust.env import Environment
from servers import Listener
from servers.hostile import random_bytes

ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

TOO_LARGE = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"

FOLDER = Path(__file__).resolve().parent

pytestmark = [
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
    pytest.mark.filterwarnings("ignore::requests.exceptions.FileModeWarning"),
]


@pytest.fixture(params=ALL_HTTP_USERS, ids=str)
def users(request: pytest.FixtureRequest) -> Users:
    """HttpUser: Locust's and ours in turn."""
    users: Users = request.param
    return users


def ours(url: str, environment: Environment, **attributes: Any) -> Any:
    """The session of a user of ours."""
    return make_user(OURS_HTTP, url, environment, **attributes).client


def totals() -> list[int]:
    """What must not grow: the engine's connections, exchanges and greenlets that wait."""
    from opscore_fast import engines

    found = engines.current().totals()
    return [found[name] for name in ("connections", "exchanges", "waiting")]


def grown(before: list[int]) -> bool:
    """Whether any of them has; what earlier tests have left may go meanwhile."""
    return any(now > then for now, then in zip(totals(), before, strict=True))


def framing(listener: Listener) -> list[tuple[str | None, str | None, str]]:
    """Content-Length, Transfer-Encoding and body of the requests as they were read."""
    found = []
    for request in listener.requests():
        headers = {name.lower(): value for name, value in request["headers"]}
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        found.append((length, coding, request["body"]))
    return found


def latin(text: str) -> str:
    """Text as the servers tell of its UTF-8."""
    return text.encode().decode("latin-1")


# What is sent


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([], ""),
        ([b"one"], "one"),
        ([b"one", b"two", b"three"], "onetwothree"),
        ([b"", b"one", b"", b"two", b""], "onetwo"),
        (["é", "x"], latin("éx")),
        ([bytearray(b"one"), memoryview(b"two"), "three", b"four"], "onetwothreefour"),
        ([b"x"] * 2000, "x" * 2000),
        ([b"0\r\n\r\n", b"\r\n"], "0\r\n\r\n\r\n"),
    ],
)
def test_pieces(
    users: Users, app: Listener, environment: Environment, pieces: list[Any], body: str
) -> None:
    client = make_user(users, app.url, environment).client
    for method in (client.post, client.put, client.patch, client.delete):
        assert method("/ok", data=(piece for piece in pieces)).text == "ok"
    assert framing(app) == [(None, "chunked", body)] * 4
    assert app.counts()["connections"] == 1


@pytest.mark.parametrize("certificate", ["", "self-signed.pem"])
def test_first_piece_is_there_before_the_second_is_made(
    users: Users, hostile: Listen, environment: Environment, certificate: str
) -> None:
    server = hostile(
        [
            ["head"],
            ["until", "3\r\none\r\n"],
            ["mark", "one"],
            ["until", "3\r\ntwo\r\n"],
            ["mark", "two"],
            ["until", "0\r\n\r\n"],
            ["send", ANSWER],
            ["hold"],
        ],
        certificate=certificate,
    )
    client = make_user(users, server.url, environment).client
    client.verify = False

    def seen(*marks: str) -> None:
        wait_until(lambda: server.counts()["marks"] == list(marks), f"the server to see {marks}")

    def pieces() -> Iterator[bytes]:
        yield b"one"
        seen("one")
        gevent.sleep(0.01)
        yield b"two"
        seen("one", "two")

    assert client.post("/", data=pieces()).text == "ok"


class Sized:
    """What tells its length, and can be gone through."""

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"abc", b"def"])


class Reader:
    """What can be read, a few bytes at a time."""

    def __init__(self, data: bytes, **attributes: Any) -> None:
        self.source = io.BytesIO(data)
        vars(self).update(attributes)

    def read(self, size: int = -1) -> bytes:
        return self.source.read(min(size, 7) if size > 0 else size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(7), b"")


class OnlyReads:
    """What can be read and nothing else."""

    def read(self, size: int = -1, *, left: list[bytes] = [b"only ", b"reads"]) -> bytes:  # noqa: B006
        return left.pop(0) if left else b""


def at(position: int, file: Any) -> Any:
    file.seek(position)
    return file


def piped(data: bytes) -> Any:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return os.fdopen(reading, "rb")


FILES: dict[str, tuple[Callable[[Path], Any], str | None, str]] = {
    "BytesIO": (lambda _: io.BytesIO(b"whole"), "5", "whole"),
    "BytesIO in the middle": (lambda _: at(2, io.BytesIO(b"whole")), "3", "ole"),
    "BytesIO at its end": (lambda _: at(5, io.BytesIO(b"whole")), None, ""),
    "StringIO": (lambda _: io.StringIO("text"), "4", "text"),
    "file": (lambda path: path.open("rb"), "12", latin("zwölf bytes")),
    "file in the middle": (lambda path: at(5, path.open("rb")), "7", "f bytes"),
    "unbuffered file": (lambda path: path.open("rb", buffering=0), "12", latin("zwölf bytes")),
    "text file": (lambda path: path.open(encoding="utf-8"), "12", latin("zwölf bytes")),
    "pipe": (lambda _: piped(b"through a pipe"), None, "through a pipe"),
    "short pieces": (lambda _: Reader(b"0123456789" * 3), None, "0123456789" * 3),
    "short pieces of a length": (lambda _: Reader(b"x" * 30, len=30), "30", "x" * 30),
    "no iteration": (lambda _: OnlyReads(), None, "only reads"),
    "sized": (lambda _: Sized(), "6", "abcdef"),
    "bytearray": (lambda _: bytearray(b"array"), "5", "array"),
    "array": (lambda _: array("B", b"array"), "5", "array"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files(
    users: Users, app: Listener, environment: Environment, tmp_path: Path, kind: str
) -> None:
    make, length, body = FILES[kind]
    path = tmp_path / "twelve"
    path.write_text("zwölf bytes", encoding="utf-8")
    client = make_user(users, app.url, environment).client
    data = make(path)
    if kind == "no iteration":
        OnlyReads.read.__kwdefaults__["left"] = [b"only ", b"reads"]
    assert client.put("/ok", data=data).text == "ok"
    if kind == "no iteration":  # requests announces nothing, as it finds no length of 0
        [(announced, coding, sent)] = framing(app)
        assert sent in ("only reads", "")
        assert (announced, coding) in ((None, "chunked"), ("0", None), (None, None))
        return
    assert framing(app) == [(length, None if length else "chunked", body)]
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 1


def test_connection_is_kept_behind_files(app: Listener, environment: Environment) -> None:
    """However many pieces they are, and however fast they are answered."""
    client = ours(app.url, environment)
    for pieces in range(1, 40):
        size = (pieces << 16) - 1
        assert client.post("/ok", data=io.BytesIO(bytes(size))).text == "ok"
        assert len(app.requests()[-1]["body"]) == size
        app.clear()
    assert client.get("/ok").text == "ok"
    assert app.requests()[-1]["connection"] == 1


def test_generator_with_a_length_that_goes_on_behind_its_last_piece(
    app: Listener, environment: Environment
) -> None:
    client = ours(app.url, environment)

    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        gevent.sleep(0.2)

    for _ in range(2):
        assert client.post("/ok", data=pieces(), headers={"Content-Length": "6"}).text == "ok"
    assert framing(app) == [("6", None, "onetwo")] * 2
    assert app.counts()["connections"] == 1


@pytest.mark.parametrize("certificate", ["", "self-signed.pem"])
@pytest.mark.parametrize("size", [1, 65_537, 5 << 20])
def test_large_pieces(
    users: Users, hostile: Listen, environment: Environment, size: int, certificate: str
) -> None:
    block = bytes(i * 7 % 251 for i in range(4099)) * (size // 4099 + 1)
    block = block[:size]
    wire = b"%x\r\n%s\r\n" % (size, block) * 3 + b"0\r\n\r\n"
    server = hostile(
        [["head"], ["digest", len(wire)], ["send", ANSWER], ["again"]],
        certificate=certificate,
        receive_buffer=1 << 16,
    )
    client = make_user(users, server.url, environment).client
    client.verify = False
    for _ in range(2):
        assert client.post("/", data=iter([block] * 3)).text == "ok"
    assert server.counts()["marks"] == [sha1(wire).hexdigest()] * 2
    assert server.counts()["connections"] == 1


def test_multipart_of_files(
    users: Users, app: Listener, environment: Environment, tmp_path: Path
) -> None:
    client = make_user(users, app.url, environment).client
    path = tmp_path / "file.txt"
    path.write_bytes(b"content of the file")
    with path.open("rb") as file:
        files = [
            ("a", file),
            ("b", ("named", at(3, io.BytesIO(b"012345")), "text/x", {"X-More": "yes"})),
            ("b", ("again", "text")),
            ("c", b"bare"),
        ]
        assert client.post("/ok", files=files, data={"field": "value"}).text == "ok"
    [(length, coding, body)] = framing(app)
    assert coding is None
    assert length == str(len(body))
    boundary = body.partition("\r\n")[0]
    parts = body.split(boundary)
    assert [part.rpartition("\r\n\r\n")[2] for part in parts] == [
        "",
        "value\r\n",
        "content of the file\r\n",
        "345\r\n",
        "text\r\n",
        "bare\r\n",
        "--\r\n",
    ]
    assert 'name="b"; filename="named"\r\nContent-Type: text/x\r\nX-More: yes' in parts[3]


# What can't be sent


@pytest.mark.parametrize("data", [range(1, 5), iter([b"x", 10**9]), iter([b"x", None])])
def test_numbers_are_no_body(app: Listener, environment: Environment, data: Any) -> None:
    client = ours(app.url, environment)
    with pytest.raises(TypeError, match=r"a body is made of bytes or str, not of (int|NoneType)"):
        client.post("/ok", data=data)
    assert client.get("/ok").text == "ok"
    assert app.counts()["requests"] == 1


class Failure(Exception):
    """What a locustfile raises."""


@pytest.mark.parametrize("before", [0, 1, 50])
@pytest.mark.parametrize("kind", [Failure, KeyError, StopAsyncIteration, RuntimeError])
def test_generator_that_raises(
    users: Users, app: Listener, environment: Environment, before: int, kind: type[Exception]
) -> None:
    client = make_user(users, app.url, environment).client
    client.get("/ok", name="before")

    def pieces() -> Iterator[bytes]:
        for _ in range(before):
            yield b"piece"
        raise kind("mine")

    fired = record_events(environment)
    with pytest.raises(kind, match="mine"):
        client.post("/ok", data=pieces())
    assert fired == []
    wait_until(lambda: app.counts()["open"] == 0, "the connection to be closed")
    assert client.post("/ok", data=iter([b"whole"])).text == "ok"
    assert app.counts()["requests"] == 2
    assert [event["exception"] for event in fired] == [None]


def test_generator_that_raises_is_not_counted(app: Listener, environment: Environment) -> None:
    """Where nobody listens and C counts."""
    client = ours(app.url, environment)

    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise Failure

    gc.collect()
    before = totals()
    for _ in range(10):
        with pytest.raises(Failure):
            client.post("/ok", data=pieces())
    assert not grown(before)
    assert statistics(environment)["total"]["num_requests"] == 0
    client.post("/ok", data=iter([b"one"]))
    assert statistics(environment)["total"]["num_requests"] == 1


@pytest.mark.parametrize("kind", [OSError, TimeoutError, ConnectionResetError])
def test_system_error_of_a_generator_is_no_failure_of_the_request(
    app: Listener, environment: Environment, kind: type[Exception]
) -> None:
    """Where requests takes it for one of the connection's."""
    client = ours(app.url, environment)

    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise kind("disk")

    fired = record_events(environment)
    with pytest.raises(kind, match="disk"):
        client.post("/ok", data=pieces())
    assert fired == []


def test_failed_request_in_a_generator(
    users: Users, app: Listener, environment: Environment
) -> None:
    """The exceptions of requests are failures of the request, wherever they come from."""
    client = make_user(users, app.url, environment).client

    def pieces() -> Iterator[bytes]:
        client.get("/status/404").raise_for_status()
        yield b"never"

    fired = record_events(environment)
    response = client.post("/ok", data=pieces())
    assert response.status_code == 0
    assert isinstance(response.error, requests.exceptions.RequestException)
    assert "404 Client Error" in str(response.error)
    assert [(e["request_type"], bool(e["exception"])) for e in fired] == [
        ("GET", True),
        ("POST", True),
    ]


@pytest.mark.parametrize(
    ("pieces", "length", "text"),
    [
        ([b"12345"], "6", "the body is 1 bytes shorter than its Content-Length of 6"),
        ([], "1", "the body is 1 bytes shorter than its Content-Length of 1"),
        ([b"123", b"4567"], "6", "the body is longer than its Content-Length of 6"),
        ([b"123", b"456", b"7"], "6", "the body is longer than its Content-Length of 6"),
        ([b"123", b"456", b"", b"7"], "6", "the body is longer than its Content-Length of 6"),
        ([b"1"], "0", "the body is longer than its Content-Length of 0"),
        ([b"1"], "many", "Content-Length is a number of bytes, not 'many'"),
        ([b"1"], "-1", "Content-Length is a number of bytes, not '-1'"),
        ([b"1"], "1_0", "Content-Length is a number of bytes, not '1_0'"),
    ],
)
def test_body_of_another_length(
    app: Listener, environment: Environment, pieces: list[bytes], length: str, text: str
) -> None:
    client = ours(app.url, environment)
    fired = record_events(environment)
    with pytest.raises(ValueError, match=text):
        client.post("/ok", data=iter(pieces), headers={"Content-Length": length})
    assert fired == []
    wait_until(lambda: app.counts()["open"] == 0, "the connection to be closed")
    assert client.get("/ok").text == "ok"
    whole = [request["method"] for request in app.requests()]
    assert whole == (["POST", "GET"] if length == "0" else ["GET"])  # that one has no body at all


def test_buffer_of_another_length(app: Listener, environment: Environment) -> None:
    client = ours(app.url, environment)
    with pytest.raises(ValueError, match="the body is 8 bytes, its Content-Length says 2"):
        client.post("/ok", data=array("i", [1, 2]))
    assert app.counts()["requests"] == 0


def test_file_that_changes_its_length(
    app: Listener, environment: Environment, tmp_path: Path
) -> None:
    client = ours(app.url, environment)
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)

    class Growing(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            with path.open("ab") as more:
                more.write(b"y")
            return super().read(size) or b""

    with Growing(path) as file, pytest.raises(ValueError, match="longer"):
        client.post("/ok", data=file)
    with path.open("rb") as file:
        length = str(path.stat().st_size + 10)
        with pytest.raises(ValueError, match="10 bytes shorter"):
            client.post("/ok", data=iter([file.read()]), headers={"Content-Length": length})
    assert app.counts()["requests"] == 0


# Servers that do not listen to the end


@pytest.mark.parametrize("end", [["hold"], ["drain"], ["close"]])
@pytest.mark.parametrize("made", [0, 1, 3])
def test_answered_early(
    users: Users, hostile: Listen, environment: Environment, made: int, end: list[Any]
) -> None:
    server = hostile(
        [["head"], ["send", TOO_LARGE], ["mark", "answered"], end],
        [["request"], ["send", ANSWER], ["hold"]],
    )
    client = make_user(users, server.url, environment).client
    fired = record_events(environment)

    def pieces() -> Iterator[bytes]:
        for number in range(4):
            if number == made:
                wait_until(lambda: server.counts()["marks"], "the answer")
                gevent.sleep(0.05)
            yield b"piece"

    response = client.post("/", data=pieces())
    # Locust's may be told of a connection that is closed before it looks for an answer
    if users is OURS_HTTP or end != ["close"]:
        assert (response.status_code, response.text) == (413, "no")
        assert [str(event["exception"])[:3] for event in fired] == ["413"]
    if users is OURS_HTTP:
        assert client.post("/", data=iter([b"more"])).text == "ok"
        assert [request["body"] for request in server.requests()] == ["", "more"]
        assert server.counts()["connections"] == 2


@pytest.mark.parametrize("end", [["hold"], ["drain"]])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_endless_generator_is_ended_by_an_answer(
    hostile: Listen, environment: Environment, size: int, end: list[Any]
) -> None:
    server = hostile([["head"], ["send", ANSWER], end])
    client = ours(server.url, environment)
    finalized = []

    def pieces() -> Iterator[bytes]:
        try:
            yield from itertools.repeat(bytes(size))
        finally:
            finalized.append(True)

    gc.collect()
    before = totals()
    for _ in range(3):
        assert client.post("/", data=pieces()).text == "ok"
    assert finalized == [True] * 3
    assert not grown(before)
    if end == ["drain"]:  # otherwise the kernel keeps what nobody reads
        wait_until(lambda: server.counts()["open"] == 0, "the connections to be closed")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([["head"], ["until", "one"], ["close"]], "ConnectionClosed ConnectionReset"),
        ([["head"], ["until", "one"], ["reset"]], "ConnectionReset"),
        ([["head"], ["until", "one"], ["send", "HTTP/1.1 2"], ["close"]], "ConnectionClosed"),
        ([["head"], ["send", "nonsense\r\n\r\n"], ["mark", "sent"], ["hold"]], "ProtocolError"),
    ],
)
def test_lost_within_the_body(
    hostile: Listen, environment: Environment, script: list[list[Any]], error: str
) -> None:
    server = hostile(script, [["request"], ["send", ANSWER], ["hold"]])
    client = ours(server.url, environment)
    fired = record_events(environment)

    def over() -> bool:
        counts = server.counts()
        return bool(counts["marks"]) or not counts["open"]

    def pieces() -> Iterator[bytes]:
        yield b"one"
        wait_until(over, "the server to be done")
        yield b"two"
        gevent.sleep(0.1)
        yield b"three"

    response = client.post("/", data=pieces())
    assert response.status_code == 0
    assert type(response.error).__name__ in error
    assert isinstance(response.error, requests.exceptions.ConnectionError)
    assert [event["exception"] for event in fired] == [response.error]
    assert client.post("/", data=iter([b"more"])).text == "ok"


def test_time_outs(hostile: Listen, environment: Environment) -> None:
    """None while it is the generator that lets the server wait."""
    server = hostile(
        [["request"], ["send", ANSWER], ["request"], ["hold"]],
        [["head"], ["hold"]],
        receive_buffer=1 << 16,
    )
    client = ours(server.url, environment)
    gc.collect()
    before = totals()[0]

    def slow() -> Iterator[bytes]:
        gevent.sleep(1.5)
        yield b"piece"
        gevent.sleep(1.5)

    assert client.post("/", data=slow(), timeout=1).text == "ok"
    response = client.post("/", data=iter([b"piece"]), timeout=0.2)
    assert type(response.error).__name__ == "ReadTimeout"
    response = client.post("/", data=iter([bytes(32 << 20)]), timeout=0.2)
    assert type(response.error).__name__ == "WriteTimeout"
    assert totals()[0] <= before


def test_not_sent_again(hostile: Listen, environment: Environment) -> None:
    server = hostile([["request"], ["close"]])
    client = ours(server.url, environment, max_retries=2)
    response = client.put("/", data=iter([b"once"]))
    assert type(response.error).__name__ == "ConnectionClosed"
    assert response.retries == 0
    assert [request["body"] for request in server.requests()] == ["once"]
    assert client.put("/", data=b"thrice").retries == 2
    assert [request["body"] for request in server.requests()] == ["once"] + ["thrice"] * 3


# Redirects


@pytest.mark.parametrize("status", [307, 308])
def test_files_are_sent_again_along_a_redirect(
    users: Users, app: Listener, environment: Environment, status: int
) -> None:
    client = make_user(users, app.url, environment).client
    file = at(2, io.BytesIO(b"--whole" * 20_000))
    response = client.post(f"/ok?status={status}&header=Location:/echo", data=file)
    assert [past.status_code for past in response.history] == [status]
    body = ("--whole" * 20_000)[2:]
    assert framing(app) == [(str(len(body)), None, body)] * 2


def test_generators_are_used_up_along_a_redirect(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    for status, method, coding in ((307, "POST", "chunked"), (303, "GET", None)):
        app.clear()
        response = client.post(f"/ok?status={status}&header=Location:/echo", data=iter([b"once"]))
        assert (response.json()["method"], response.json()["body"]) == (method, "")
        assert framing(app) == [(None, "chunked", "once"), (None, coding, "")]


# Greenlets


def test_requests_within_a_generator(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    fired = record_events(environment)

    def pieces() -> Iterator[bytes]:
        for number in range(5):
            yield client.get(f"/token/{number}", json={"number": number}).content
        yield client.post("/ok", data=iter([b"inner"])).content

    response = client.post("/echo", data=pieces(), name="outer")
    assert response.json()["body"] == "01234ok"
    assert [event["name"] for event in fired] == [
        *(f"/token/{i}" for i in range(5)),
        "/ok",
        "outer",
    ]
    assert app.counts()["connections"] == 2


def sleeping(closed: list[str]) -> Iterator[bytes]:
    try:
        yield b"one"
        gevent.sleep(60)
    finally:
        closed.append("closed")


def blocked(closed: list[str]) -> Iterator[bytes]:
    try:
        yield bytes(32 << 20)
    finally:
        closed.append("closed")


def waiting(closed: list[str]) -> Iterator[bytes]:
    yield b"one"
    closed.append("closed")


@pytest.mark.parametrize("make", [sleeping, blocked, waiting])
@pytest.mark.parametrize("by", ["kill", "timeout"])
def test_killed(
    hostile: Listen, environment: Environment, make: Callable[[list[str]], Any], by: str
) -> None:
    server = hostile([["head"], ["mark", "head"], ["hold"]], receive_buffer=1 << 16)
    client = ours(server.url, environment)
    fired = record_events(environment)
    closed: list[str] = []
    gc.collect()
    before = totals()

    def upload() -> None:
        struck = gevent.GreenletExit if by == "kill" else gevent.Timeout
        with gevent.Timeout(0.3 if by == "timeout" else None), pytest.raises(struck):
            client.post("/", data=make(closed))

    task = gevent.spawn(upload)
    wait_until(lambda: server.counts()["marks"], "the server to be asked")
    gevent.sleep(0.1)
    if by == "kill":
        task.kill()
    task.join(20)
    assert task.successful()
    assert closed == ["closed"]
    assert fired == []
    assert not grown(before)
    if make is not blocked:  # the kernel keeps what nobody reads
        wait_until(lambda: server.counts()["open"] == 0, "the connection to be closed")


def test_the_hub_has_its_turn(hostile: Listen, environment: Environment) -> None:
    """While pieces are made that the socket takes at once."""
    server = hostile([["head"], ["until", "0\r\n\r\n"], ["send", ANSWER], ["hold"]])
    client = ours(server.url, environment)
    turns: list[int] = []

    def others() -> None:
        while True:
            turns.append(len(turns))
            gevent.sleep(0)

    seen = []

    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            seen.append(len(turns))
            yield b"x"

    other = gevent.spawn(others)
    assert client.post("/", data=pieces()).text == "ok"
    other.kill()
    assert len(set(seen)) >= 1000 // 16


def test_many_at_once(app: Listener, environment: Environment) -> None:
    client = ours(app.url, environment)
    client.get("/ok")
    gc.collect()
    files, before = open_files(), totals()

    def upload(number: int) -> bool:
        def pieces() -> Iterator[bytes]:
            for i in range(20):
                yield f"{number}:{i} ".encode() * 100
                gevent.sleep(0.001 * (number % 3))

        body = "".join(f"{number}:{i} " * 100 for i in range(20))
        return bool(client.post("/echo", data=pieces()).json()["body"] == body)

    done = Pool(200).map(upload, range(400))
    assert done == [True] * 400
    assert app.counts()["requests"] == 401
    assert 2 <= app.counts()["most_open"] <= 200
    client.get("/ok")
    before[0] = totals()[0]  # connections are kept
    assert not grown(before)
    client.close()
    assert open_files() <= files


def test_generator_is_let_go_of(app: Listener, environment: Environment) -> None:
    client = ours(app.url, environment)

    def pieces() -> Iterator[bytes]:
        yield b"one"

    data = pieces()
    gone = weakref.ref(data)
    response = client.post("/ok", data=data)
    assert response.request.body is data
    del data, response
    gc.collect()
    assert gone() is None


# Streams


def test_upload_goes_on_behind_early_headers(hostile: Listen, environment: Environment) -> None:
    """A server may begin to answer before it has all of the request."""
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
    server = hostile(
        [
            ["head"],
            ["send", answer + "fir"],
            ["mark", "begun"],
            ["until", "3\r\ntwo\r\n0\r\n\r\n"],
            ["send", "st."],
            ["again"],
        ]
    )
    client = ours(server.url, environment)

    def pieces() -> Iterator[bytes]:
        yield b"one"
        wait_until(lambda: server.counts()["marks"], "the answer")
        gevent.sleep(0.05)
        yield bytes(8 << 20)
        gevent.sleep(0.05)
        yield b"two"

    for stream in (True, False):
        response = client.post("/", data=pieces(), stream=stream, timeout=10)
        assert response.content == b"first."
        server.clear()
    assert client.post("/", data=pieces(), stream=True).raw.read(1) == b"f"


def test_early_headers_and_nothing_more(hostile: Listen, environment: Environment) -> None:
    """A stream's response is there with its headers, and the end of the request."""
    server = hostile(
        [
            ["head"],
            ["send", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"],
            ["mark", "begun"],
            ["until", "0\r\n\r\n"],
            ["mark", "read"],
            ["until", "never"],
        ]
    )
    client = ours(server.url, environment)

    def pieces() -> Iterator[bytes]:
        wait_until(lambda: "begun" in server.counts()["marks"], "the answer")
        gevent.sleep(0.05)
        yield b"one"

    with gevent.Timeout(10):
        response = client.post("/", data=pieces(), stream=True)
    assert response.status_code == 200
    wait_until(lambda: "read" in server.counts()["marks"], "the rest of the request")
    response.close()


# Memory

BIG = 50 << 20

UPLOAD = """
    import locust
    import sys
    from locust.env import Environment
    from opscore_fast import HttpSession

    def peak():
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    url, path, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    environment = Environment()
    client = HttpSession(url, environment.events.request, None)
    with open(path, "rb") as file:
        file.seek(size - 1000)
        assert client.post("/small", data=file).text == "ok"
        before = peak()
        file.seek(0)
        assert client.post("/file", data=file).text == "ok"
    assert client.post("/pieces", data=(bytes(1 << 16) for _ in range(size >> 16))).text == "ok"
    print((peak() - before) << 10)
"""


@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps freed memory")
def test_memory_of_big_uploads(hostile: Listen, tmp_path: Path) -> None:
    wire = (b"10000\r\n" + bytes(1 << 16) + b"\r\n") * (BIG >> 16) + b"0\r\n\r\n"
    reads = [[["head"], ["digest", n], ["send", ANSWER]] for n in (1000, BIG, len(wire))]
    server = hostile([action for read in reads for action in read])
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(BIG)
    script = tmp_path / "upload.py"
    script.write_text(textwrap.dedent(UPLOAD))
    process = python(script, server.url, path, str(BIG), cwd=FOLDER.parent)
    run = finish(process)
    assert run.code == 0, run.output
    assert int(run.output.split()[-1]) < 20 << 20
    digests = [sha1(bytes(1000)), sha1(bytes(BIG)), sha1(wire)]
    assert server.counts()["marks"] == [digest.hexdigest() for digest in digests]


# Large files in forms


def boundary_of(request: dict[str, Any]) -> str:
    headers = {name.lower(): value for name, value in request["headers"]}
    return str(headers["content-type"]).partition("boundary=")[2]


@pytest.mark.parametrize("listed", [False, True])
def test_large_files_are_read_while_they_are_sent(
    app: Listener, environment: Environment, tmp_path: Path, listed: bool
) -> None:
    """The same bytes as requests sends, but for the boundary."""
    from opscore_fast.multipart import LARGE

    path = tmp_path / "large.bin"
    path.write_bytes(random_bytes(LARGE + 4321))
    reads: list[int] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            piece = super().read(size)
            reads.append(len(piece))
            return piece

    bodies = []
    for users in (LOCUST_HTTP, OURS_HTTP):
        reads.clear()
        client = make_user(users, app.url, environment).client
        watched = Watched(random_bytes(LARGE + 200))
        watched.seek(100)
        with path.open("rb") as file:
            files: Any = {
                "small": ("s.txt", io.BytesIO(b"small"), "text/plain"),
                "one": file,
                "two": ("t.bin", watched, "application/x-two", {"X-Part": "2"}),
                "text": "just text",
            }
            files = list(files.items()) if listed else files
            assert client.post("/ok", files=files, data={"a": ["1", 2], "b": "ü"}).text == "ok"
        request = app.requests()[-1]
        bodies.append(request["body"].replace(boundary_of(request), "BOUNDARY"))
    assert bodies[0] == bodies[1]
    assert max(reads) <= 64 << 10


def test_large_files_follow_a_redirect(app: Listener, environment: Environment) -> None:
    from opscore_fast.multipart import LARGE

    client = make_user(OURS_HTTP, app.url, environment).client
    file = io.BytesIO(random_bytes(LARGE))
    url = "/ok?status=307&header=Location:/echo"
    assert client.post(url, files={"f": file}).status_code == 200
    first, second = (request["body"] for request in app.requests())
    assert len(first) > LARGE
    assert first == second


def test_large_file_with_a_content_type_of_the_users(
    app: Listener, environment: Environment
) -> None:
    from opscore_fast.multipart import LARGE

    client = make_user(OURS_HTTP, app.url, environment).client
    client.headers["Content-Type"] = "multipart/mixed; boundary=mine"
    client.post("/ok", files={"f": io.BytesIO(random_bytes(LARGE))})
    assert boundary_of(app.requests()[-1]) == "mine"


def test_large_file_that_shrinks(app: Listener, environment: Environment, tmp_path: Path) -> None:
    from opscore_fast.multipart import LARGE, Multipart

    file = io.BytesIO(random_bytes(LARGE))
    body = Multipart([b"--x", file, b"--"])
    assert len(body) == LARGE + 5
    file.truncate(10)
    client = make_user(OURS_HTTP, app.url, environment).client
    with pytest.raises(ValueError, match="shorter than its Content-Length"):
        client.post("/ok", data=body)
    with pytest.raises(io.UnsupportedOperation):
        body.seek(1)
