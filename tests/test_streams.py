"""stream=True and iter_lines, for both classes where Locust has the same, and files to upload."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from hashlib import sha1
from pathlib import Path
from typing import Any

import gevent
import pytest
from conftest import Listen
from gevent import monkey
from gevent.pool import Pool
from helpers import (
    LOCUST,
    OURS,
    Users,
    make_user,
    open_files,
    record_events,
    wait_until,
)
from locust.env import Environment
from servers import Listener
from servers.hostile import random_bytes

block = monkey.get_original("time", "sleep")
"""Stops the whole thread, and so the engine too."""

BIG = 8 << 20

HELD_AT_MOST = 6 << 20
"""Bytes that the engine and the kernel's buffers on both sides can hold of a stream, and more."""


def head(length: int) -> str:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"


def answering(*actions: list[Any]) -> list[list[Any]]:
    """A script that reads a request, does that and stays as it is until the client closes."""
    return [["request"], *actions, ["hold"]]


CUT_SHORT = ["send", head(3000) + "x" * 1500]
"""The first half of a response."""


def stream_from(listener: Listener, environment: Environment, **attributes: Any) -> Any:
    """The response to a streamed request of ours."""
    return make_user(OURS, listener.url, environment, **attributes).client.get("/", stream=True)


def engine_totals() -> dict[str, int]:
    from opscore_fast import engines

    return engines.current().totals()


# What Locust's class does too


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("a%0Ab%0Ac", ["a", "b", "c"]),
        ("a%0A%0Ac%0A", ["a", "", "c"]),
        ("a%0D%0Ab", ["a\r", "b"]),
        ("a%E2%82%ACb%0A%C3%A4", ["a€b", "ä"]),
        ("", []),
    ],
)
def test_lines(
    users: Users, app: Listener, environment: Environment, body: str, lines: list[str]
) -> None:
    client = make_user(users, app.url, environment).client
    fired = record_events(environment)
    assert list(client.iter_lines(f"/ok?body={body}", name="lines")) == lines
    assert [(event["name"], event["exception"]) for event in fired] == [("lines", None)]


def test_lines_by_another_method(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    assert len(list(client.iter_lines("/echo", method="POST", data="x"))) == 1
    assert app.requests()[-1]["method"] == "POST"


def test_lines_of_a_failed_request(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    lines = client.iter_lines("/status/500")
    assert app.counts()["requests"] == 0
    with pytest.raises(Exception, match="500"):
        next(lines)


def test_pieces_are_text_where_they_can_be(
    users: Users, app: Listener, environment: Environment
) -> None:
    client = make_user(users, app.url, environment).client
    target = "/ok?hex=6162e282ac63ff64"  # a b € c \xff d

    def pieces(size: int, **options: Any) -> list[Any]:
        return list(client.get(target, stream=True).iter_content(size, **options))

    assert pieces(1024) == [bytes.fromhex("6162e282ac63ff64")]
    assert pieces(5) == ["ab€", b"c\xffd"]
    assert pieces(3) == [b"ab\xe2", b"\x82\xacc", b"\xffd"]
    assert pieces(5, decode_content=False) == ["ab€".encode(), b"c\xffd"]


@pytest.mark.parametrize("chunked", ["", "&chunked=7", "&chunked=5000"])
@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 300_000])
def test_pieces_are_of_the_size_asked_for(
    users: Users, app: Listener, environment: Environment, size: int, chunked: str
) -> None:
    client = make_user(users, app.url, environment).client
    response = client.get(f"/ok?size={size}{chunked}", stream=True)
    sizes = [len(piece) for piece in response.iter_content(1024)]
    assert sizes == [1024] * (size // 1024) + [size % 1024] * bool(size % 1024)


def test_reading_in_parts(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    response = client.get("/ok?size=26", stream=True)
    assert response.stream.read(3) == b"abc"
    assert response.stream.read(0) == b""
    assert response.read(3) == b"def"
    assert response.content == b"ghijklmnopqrstuvwxyz"
    assert response.stream.read() == b""
    assert response.read(5) == b""
    assert response.content == b"ghijklmnopqrstuvwxyz"
    assert response.text == "ghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "br"])
def test_content_of_a_stream_is_decoded(
    users: Users, app: Listener, environment: Environment, coding: str
) -> None:
    client = make_user(users, app.url, environment).client
    target = f"/ok?size=5000&coding={coding}"
    response = client.get(target, stream=True)
    assert response.content == client.get(target).content
    assert len(response.content) == 5000
    assert response.text == response.content.decode()
    raw = client.get(target, stream=True).stream.read()
    assert 0 < len(raw) < 1000


def test_event_does_not_wait_for_the_body(
    users: Users, hostile: Listen, environment: Environment
) -> None:
    server = hostile(
        answering(["send", head(6)], ["wait", "body"], ["mark", "body"], ["send", "abcdef"])
    )
    client = make_user(users, server.url, environment).client
    fired = record_events(environment)
    response = client.get("/", stream=True)
    assert server.counts()["marks"] == []
    assert [(e["exception"], e["response_length"]) for e in fired] == [(None, 6)]
    took = fired[0]["response_time"]
    assert took > 0
    server.open_gate("body")
    assert response.read() == b"abcdef"
    assert server.counts()["marks"] == ["body"]
    assert len(fired) == 1
    assert fired[0]["response_time"] == took


@pytest.mark.parametrize(
    ("target", "length"),
    [("/ok?size=500", 500), ("/ok?size=500&chunked=100", 0), ("/ok?size=0", 0)],
)
def test_length_is_the_announced_one(
    users: Users, app: Listener, environment: Environment, target: str, length: int
) -> None:
    client = make_user(users, app.url, environment).client
    fired = record_events(environment)
    client.get(target, stream=True).read()
    assert [event["response_length"] for event in fired] == [length]


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("status", [200, 204, 304])
def test_no_body(
    users: Users, app: Listener, environment: Environment, method: str, status: int
) -> None:
    client = make_user(users, app.url, environment).client
    size = 0 if method == "get" else 9
    response = getattr(client, method)(f"/ok?status={status}&size={size}", stream=True)
    assert response.status_code == status
    assert response.read() == b""
    assert response.content == b""
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 1


def test_verdict_after_reading(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    fired = record_events(environment)
    with client.get("/ok?body=wrong", stream=True, catch_response=True) as response:
        assert fired == []
        response.failure("".join(response.iter_content(2)))
    with client.get("/status/404?body=right", stream=True, catch_response=True) as response:
        assert response.content == b"right"
        response.success()
    seen = [(str(e["exception"]), e["response_length"]) for e in fired]
    assert seen == [("wrong", 5), ("None", 5)]


def test_redirects_are_followed(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    response = client.get("/redirect/3?size=200000", stream=True)
    while response.status_code == 302:
        response = client.get(response.headers["location"], stream=True)
    assert response.url == f"{app.url}/redirect/0"
    assert response.content == b"ok"


def test_body_that_a_close_ends(users: Users, hostile: Listen, environment: Environment) -> None:
    server = hostile([["request"], ["send", "HTTP/1.1 200 OK\r\n\r\n"], ["send", "x", 99_999]])
    client = make_user(users, server.url, environment).client
    assert client.get("/", stream=True).read() == b"x" * 99_999


# What ours does about a body that nobody takes


def test_what_is_not_taken_stays_with_the_server(hostile: Listen, environment: Environment) -> None:
    server = hostile(answering(["send", head(BIG)], ["random", BIG]))
    response = stream_from(server, environment)

    def stalls() -> bool:
        sent = server.counts()["sent"]
        gevent.sleep(0.3)
        return bool(sent and server.counts()["sent"] == sent)

    wait_until(stalls, "the server to get stuck")
    assert server.counts()["sent"] < HELD_AT_MOST
    got = sha1()
    while piece := response.read(100_001):
        got.update(piece)
    assert got.digest() == sha1(random_bytes(BIG)).digest()
    assert server.counts()["sent"] == BIG


@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_paused_again_and_again(hostile: Listen, environment: Environment, pause: float) -> None:
    server = hostile(answering(["send", head(BIG)], ["random", BIG]))
    response = stream_from(server, environment, network_timeout=10)
    pieces = []
    while piece := response.read(300_000):
        pieces.append(piece)
        gevent.sleep(pause)
    assert b"".join(pieces) == random_bytes(BIG)


def test_network_timeout_does_not_strike_while_paused(
    hostile: Listen, environment: Environment
) -> None:
    server = hostile(answering(["send", head(BIG)], ["random", BIG]))
    response = stream_from(server, environment, network_timeout=1)
    gevent.sleep(2)
    assert response.content == random_bytes(BIG)


def test_connection_is_kept_after_the_end(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    for _ in range(5):
        response = client.get("/ok?size=1000000", stream=True)
        assert len(response.read()) == 1_000_000
        assert response.read() == b""
    assert app.counts()["connections"] == 1


def test_connection_is_closed_with_the_response(hostile: Listen, environment: Environment) -> None:
    server = hostile(answering(["send", head(BIG)], ["random", BIG]))
    client = make_user(OURS, server.url, environment, concurrency=1).client
    for count in (1, 2, 3):
        response = client.get("/", stream=True)
        assert response.read(10) == random_bytes(BIG)[:10]
        del response
        wait_until(lambda: server.counts()["open"] == 0, "the connection to be closed")
        assert server.counts()["connections"] == count


def test_waiting_requests_get_the_connection_of_a_dropped_stream(
    app: Listener, environment: Environment
) -> None:
    client = make_user(OURS, app.url, environment, concurrency=1).client
    response = client.get(f"/ok?size={BIG}", stream=True)
    waiting = gevent.spawn(client.get, "/token/next")
    gevent.sleep(0.1)
    assert not waiting.ready()
    assert response.status_code == 200
    del response
    assert waiting.get(timeout=20).text == "next"


def test_dropped_streams_leave_nothing(hostile: Listen, environment: Environment) -> None:
    server = hostile(answering(["send", head(BIG)], ["random", BIG]))
    client = make_user(OURS, server.url, environment).client
    client.get("/", stream=True)
    gc.collect()
    files, before = open_files(), engine_totals()
    for count in range(100):
        response = client.get("/", stream=True)
        if count % 2:
            response.read(1000)
    del response
    gc.collect()
    after = engine_totals()
    same = ("connections", "exchanges", "waiting")
    assert [after[what] for what in same] == [before[what] for what in same]
    assert open_files() == files
    wait_until(lambda: server.counts()["open"] == 0, "the connections to be closed")


def test_session_that_goes_before_its_stream(app: Listener, environment: Environment) -> None:
    response = make_user(OURS, app.url, environment).client.get(f"/ok?size={BIG}", stream=True)
    gc.collect()
    assert len(response.read()) == BIG


# Greenlets


def test_killed_while_reading(hostile: Listen, environment: Environment) -> None:
    server = hostile(answering(CUT_SHORT))
    response = stream_from(server, environment)
    reader = gevent.spawn(response.read)
    gevent.sleep(0.05)
    assert not reader.ready()
    reader.kill(timeout=20)
    assert reader.ready()
    wait_until(lambda: server.counts()["open"] == 0, "the connection to be closed")
    assert engine_totals()["waiting"] == 0


def test_gevent_timeout_while_reading(hostile: Listen, environment: Environment) -> None:
    from opscore_fast.exceptions import RequestTimeout

    response = stream_from(hostile(answering(CUT_SHORT)), environment)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        response.read()
    with pytest.raises(RequestTimeout):
        response.read()


def test_two_readers(hostile: Listen, environment: Environment) -> None:
    server = hostile(answering(["send", head(6)], ["wait", "body"], ["send", "abcdef"]))
    response = stream_from(server, environment)
    reader = gevent.spawn(response.read)
    gevent.sleep(0.05)
    assert not reader.ready()
    with pytest.raises(RuntimeError, match="another greenlet"):
        response.read()
    server.open_gate("body")
    assert reader.get(timeout=20) == b"abcdef"


def test_reading_in_a_callback_of_the_loop(hostile: Listen, environment: Environment) -> None:
    server = hostile(answering(["send", head(6)], ["wait", "body"], ["send", "abcdef"]))
    response = stream_from(server, environment)
    reader = gevent.spawn(response.read)
    gevent.sleep(0.05)
    errors: list[Exception] = []

    def read() -> None:
        try:
            response.read()
        except Exception as error:
            errors.append(error)

    gevent.get_hub().loop.run_callback(read)
    wait_until(lambda: errors, "the callback")
    server.open_gate("body")
    assert reader.get(timeout=20) == b"abcdef"
    assert [type(error) for error in errors] == [RuntimeError]


@pytest.mark.parametrize("certificate", ["", "localhost.pem"])
def test_many_streams_at_once(listen: Listen, environment: Environment, certificate: str) -> None:
    app = listen(certificate=certificate)
    client = make_user(OURS, app.url, environment, concurrency=50).client

    def read(number: int) -> bool:
        target = f"/ok?body={number:05}&header=X-Number:{number}"
        size = 20_000 + number
        big = client.get(f"/ok?size={size}&chunked=999&header=X-Number:{number}", stream=True)
        small = client.get(target, stream=True)
        whole = b"".join(big.iter_content(777, decode_content=False))
        letters = (b"abcdefghijklmnopqrstuvwxyz" * 1000)[:size]
        numbers = {big.headers["x-number"], small.headers["x-number"]}
        return whole == letters and small.text == f"{number:05}" and numbers == {str(number)}

    pool = Pool(50)
    assert list(pool.imap_unordered(read, range(25))) == [True] * 25


def test_fifty_streams_side_by_side(listen: Listen, environment: Environment) -> None:
    app = listen()
    client = make_user(OURS, app.url, environment, concurrency=50).client
    streams = [client.get(f"/ok?size={400_000 + n}", stream=True) for n in range(50)]
    assert app.counts()["open"] == 50
    got = [0] * 50

    def read(number: int) -> None:
        while piece := streams[number].read(4096):
            got[number] += len(piece)
            gevent.sleep(0)

    Pool(50).map(read, range(50))
    assert got == [400_000 + n for n in range(50)]


def test_stream_over_tls(listen: Listen, environment: Environment) -> None:
    app = listen(certificate="localhost.pem")
    client = make_user(OURS, app.url, environment).client
    response = client.get(f"/ok?size={BIG}", stream=True)
    gevent.sleep(0.3)  # it is paused by now, and TLS holds bytes that the socket does not tell of
    letters = b"abcdefghijklmnopqrstuvwxyz"
    expected = sha1((letters * (BIG // 26 + 1))[:BIG]).digest()
    got = sha1()
    for piece in response.iter_content(70_000, decode_content=False):
        got.update(piece)
    assert got.digest() == expected
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 1


# Failures


@pytest.mark.parametrize(
    ("ending", "name"),
    [
        (["close"], "IncompleteBody"),
        (["reset"], "BodyReset"),
        (["hold"], "BodyTimeout"),
    ],
    ids=["close", "reset", "stall"],
)
def test_failure_within_the_body(
    hostile: Listen, environment: Environment, ending: list[Any], name: str
) -> None:
    from opscore_fast import exceptions

    server = hostile([["request"], CUT_SHORT, ["taken"], ending])
    client = make_user(OURS, server.url, environment, network_timeout=1).client
    fired = record_events(environment)
    response = client.get("/", stream=True)
    assert response.read(1000) == b"x" * 1000
    for attempt in (response.read, lambda: response.content, lambda: response.text):
        with pytest.raises(exceptions.RequestError) as caught:
            attempt()
        assert type(caught.value) is getattr(exceptions, name)
        assert caught.value.phase == "body"
    assert [(e["exception"], e["response_length"]) for e in fired] == [(None, 3000)]
    pieces = client.get("/", stream=True).iter_content(1000)
    assert len(next(pieces)) == 1000
    with pytest.raises(exceptions.RequestError):
        next(pieces)


def test_protocol_error_within_the_body(hostile: Listen, environment: Environment) -> None:
    from opscore_fast.exceptions import ProtocolError

    begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    server = hostile([["request"], ["send", begin], ["taken"], ["send", "zz\r\n"], ["hold"]])
    response = stream_from(server, environment)
    assert response.read(5) == b"hello"
    with pytest.raises(ProtocolError):
        response.read(1)


def test_failure_seen_together_with_the_headers(hostile: Listen, environment: Environment) -> None:
    """The request has succeeded with its headers, however late the client gets to see them."""
    from opscore_fast.exceptions import ConnectionClosed

    server = hostile(
        answering(["pause", 0.5], CUT_SHORT, ["farewell"]), certificate="localhost.pem"
    )
    client = make_user(OURS, server.url, environment).client
    fired = record_events(environment)
    request = gevent.spawn(client.get, "/", stream=True, catch_response=True)
    wait_until(lambda: server.counts()["requests"] == 1)
    block(1.0)  # by then all of it has come, and the close
    with request.get(timeout=20) as response:
        response.raise_for_status()
        assert response.read(1500) == b"x" * 1500
        with pytest.raises(ConnectionClosed):
            response.read(1)
    assert [(e["exception"], e["response_length"]) for e in fired] == [(None, 3000)]


def test_malformed_content(app: Listener, environment: Environment) -> None:
    import zlib

    client = make_user(OURS, app.url, environment).client
    response = client.get("/ok?header=Content-Encoding:gzip&body=no", stream=True)
    with pytest.raises(zlib.error):
        _ = response.content


# Files


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.txt"
    path.write_bytes(b"from the disk\r\n")
    return path


def parts(response: Any) -> list[dict[str, Any]]:
    """The parts of a form as the server of /echo got it."""
    echo = response.json()
    (content_type,) = [value for name, value in echo["headers"] if name == "content-type"]
    (length,) = [value for name, value in echo["headers"] if name == "content-length"]
    assert int(length) == len(echo["body"])
    message = f"Content-Type: {content_type}\r\n\r\n{echo['body']}".encode("latin-1")
    parsed = BytesParser(policy=HTTP).parsebytes(message)
    assert parsed.get_content_type() == "multipart/form-data"
    assert not parsed.defects
    return [
        {
            "headers": sorted((name.lower(), str(value)) for name, value in part.items()),
            "payload": part.get_payload(decode=True),
        }
        for part in parsed.iter_parts()
    ]


FORMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "bytes": lambda _: {"files": {"a": b"one"}},
    "bytearray": lambda _: {"files": {"a": bytearray(b"one")}},
    "str": lambda _: {"files": {"a": "ön€"}},
    "empty": lambda _: {"files": {"a": b""}},
    "binary": lambda _: {"files": {"a": bytes(range(256)) * 100}},
    "several": lambda _: {"files": {"a": b"one", "b": b"two"}},
    "pairs": lambda _: {"files": [("a", b"one"), ("a", b"two")]},
    "file": lambda path: {"files": {"a": path.open("rb")}},
    "memory": lambda _: {"files": {"a": io.BytesIO(b"one")}},
    "text": lambda _: {"files": {"a": io.StringIO("one")}},
    "named": lambda _: {"files": {"a": ("other.txt", b"one")}},
    "named file": lambda path: {"files": {"a": ("other.txt", path.open("rb"))}},
    "nameless": lambda _: {"files": {"a": (None, b"one")}},
    "typed": lambda _: {"files": {"a": ("x.png", b"one", "image/png")}},
    "with headers": lambda _: {"files": {"a": ("x", b"one", "image/png", {"Expires": "0"})}},
    "boundary": lambda _: {"files": {"a": ("x", b"one", "image/png", {}, "frontier")}},
    "list": lambda _: {"files": {"a": ["x", b"one", "image/png"]}},
    "none": lambda _: {"files": {"a": b"one", "b": None, "c": ("x", None)}},
    "bytes name": lambda _: {"files": [(b"a", ("x", b"one"))]},
    "quoted": lambda _: {"files": {'a"b': ('c"d.txt', b"one")}},
    "data": lambda _: {"files": {"a": b"one"}, "data": {"x": "1", "y": 2, "z": None}},
    "data pairs": lambda _: {"files": {"a": b"one"}, "data": [("x", "1"), ("x", b"\xff")]},
    "data lists": lambda _: {"files": {"a": b"one"}, "data": {"x": ["1", "2"]}},
    "no data": lambda _: {"files": {"a": b"one"}, "data": {}},
    "own type": lambda _: {"files": {"a": b"one"}, "headers": {"Content-Type": "text/x"}},
    "own type, lower": lambda _: {"files": {"a": b"one"}, "headers": {"content-type": "text/x"}},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_as_locust_sends_them(
    app: Listener, environment: Environment, report: Path, form: str
) -> None:
    sent = {}
    for users in (LOCUST, OURS):
        client = make_user(users, app.url, environment).client
        response = client.post("/echo", **FORMS[form](report))
        assert response.status_code == 200
        sent[users.name] = parts(response)
    assert sent["ours"]
    assert sent["ours"] == sent["locust"]


def test_default_content_type_gives_way_to_the_form(
    users: Users, app: Listener, environment: Environment
) -> None:
    headers = {"Content-Type": "text/x"}
    client = make_user(users, app.url, environment, default_headers=headers).client
    assert [part["payload"] for part in parts(client.put("/echo", files={"a": b"one"}))] == [b"one"]


def test_custom_boundary(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    client.post("/echo", files={"a": ("x", b"one", None, None, "frontier")})
    assert "\r\n--frontier--\r\n" in app.requests()[-1]["body"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"data": "text"},
        {"data": b"bytes"},
        {"json": {"a": 1}},
        {"files": {"a": ("alone",)}},
        {"files": {"a": ("x", b"", "t", {}, "b", "more")}},
    ],
    ids=str,
)
def test_forms_that_are_refused(
    users: Users, app: Listener, environment: Environment, arguments: dict[str, Any]
) -> None:
    client = make_user(users, app.url, environment).client
    with pytest.raises(ValueError, match=r"(?i)data|json|tuple|unpack"):
        client.post("/echo", **{"files": {"a": b"one"}, **arguments})
    assert app.counts()["requests"] == 0


def test_no_files(users: Users, app: Listener, environment: Environment) -> None:
    client = make_user(users, app.url, environment).client
    for files in (None, {}, []):
        assert client.post("/echo", data="text", files=files).json()["body"] == "text"


def test_form_is_sent_again_after_a_redirect(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    target = "/ok?status=307&header=Location:/echo"
    files = {"a": io.BytesIO(b"one" * 10_000)}
    assert [part["payload"] for part in parts(client.post(target, files=files))] == [
        b"one" * 10_000
    ]


def test_a_stream_is_one_response(app: Listener, environment: Environment) -> None:
    """Of those that the engine counts by the clock that timed them."""
    from opscore_fast import engines

    def timed() -> int:
        totals = engines.current().totals()
        return totals["stamped"] + totals["unstamped"]

    client = make_user(OURS, app.url, environment).client
    client.get("/ok")
    before = timed()
    for _ in range(3):
        assert client.get("/ok", stream=True).content == b"ok"
    assert timed() == before + 3
