"""What goes wrong between us and a server is one failed request with a text of its own.

The task goes on, the next request works, and nothing is left behind. What can't be sent at all
raises ValueError before anything is sent. These are our own rules: Locust's class has others.
"""

from __future__ import annotations

import gc
import gzip
import re
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest
from conftest import Listen
from helpers import (
    OURS,
    finish,
    make_user,
    open_files,
    python,
    record_events,
    refusing_port,
    stalled_port,
    statistics,
    wait_until,
)
from helpers_failures import (
    CHUNKED,
    FAILURES,
    GOOD,
    OK,
    UPLOAD,
    Failure,
    Script,
    answers,
    coded,
    head,
    name_of,
)
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS
from locust.env import Environment
from servers import Listener

from opscore_fast import exceptions


def exception(name: str) -> type[Exception]:
    import opscore_fast.exceptions

    found: type[Exception] = getattr(opscore_fast.exceptions, name)
    return found


def check_error(error: Any, name: str, builtin: type[Exception], text: str, phase: str) -> None:
    """Fail unless an exception is of our form."""
    assert type(error) is exception(name), repr(error)
    assert isinstance(error, exception("RequestError"))
    assert isinstance(error, builtin)
    assert re.fullmatch(text, str(error)), str(error)
    assert repr(error) == f"{name}({str(error)!r})"
    assert error.phase == phase
    assert error.errno is None or error.errno > 0
    assert error.bytes_received >= 0
    assert error.requests_carried == 0
    assert error.idle_time == 0.0
    assert error.host == "127.0.0.1"
    if isinstance(error, TimeoutError):
        assert isinstance(error.original, socket.timeout)


@pytest.mark.parametrize("failure", FAILURES, ids=name_of)
def test_one_failed_request(failure: Failure, hostile: Listen, environment: Environment) -> None:
    port = hostile(failure.script, GOOD, receive_buffer=65536 if failure.data else 0)
    url = f"{failure.scheme}://127.0.0.1:{port.port}"
    user = make_user(OURS, url, environment, **failure.attributes)
    events = record_events(environment)

    response = user.client.request(failure.method, "/bad", data=failure.data)

    text = failure.text.format(at=re.escape(f"127.0.0.1:{port.port}"))
    check_error(response.error, failure.error, failure.builtin, text, failure.phase)
    assert response.error.port == port.port
    assert response.status_code == failure.status
    assert response.content is None
    with pytest.raises(exception(failure.error)):
        response.raise_for_status()

    # One that is expected is not a failure, and the session goes on.
    again = user.client.get(f"http://127.0.0.1:{port.port}/good")
    assert (again.status_code, again.text) == (200, "fine")
    assert again.error is None

    assert [event["exception"] for event in events] == [response.error, None]
    assert [event["response_length"] for event in events] == [0, 4]
    seen = statistics(environment)
    name = again.url
    assert seen["errors"] == [(failure.method, "/bad", repr(response.error), 1)]
    assert seen["total"]["num_requests"] == 2
    assert seen["entries"][f"{failure.method} /bad"]["num_failures"] == 1
    assert seen["entries"][f"GET {name}"]["num_failures"] == 0


@pytest.mark.parametrize("failure", FAILURES[:1] + FAILURES[-1:], ids=name_of)
def test_failures_are_counted_without_a_listener(
    failure: Failure, hostile: Listen, environment: Environment
) -> None:
    port = hostile(failure.script)
    user = make_user(OURS, f"{failure.scheme}://127.0.0.1:{port.port}", environment)
    errors = [user.client.get("/bad").error for _ in range(3)]
    assert statistics(environment)["errors"] == [("GET", "/bad", repr(errors[0]), 3)]
    with user.client.get("/bad", catch_response=True) as response:
        response.failure("said so")
    with user.client.get("/bad", catch_response=True) as response:
        response.success()
    with user.rest("GET", "/bad") as response:
        assert response.js is None
    total = environment.stats.total
    assert (total.num_requests, total.num_failures) == (6, 5)


def test_text_says_what_was_received(hostile: Listen, environment: Environment) -> None:
    part = head("Content-Length: 10") + "half"
    user = make_user(OURS, hostile(answers(part)).url, environment)
    error = user.client.get("/").error
    assert error.bytes_received == len(part)


def test_errors_of_one_kind_are_one_line(hostile: Listen, environment: Environment) -> None:
    """Texts come from a bounded set: nothing in them depends on one request alone."""
    port = hostile(answers(head("Content-Length: 9"), "x"), answers(head("Content-Length: 8")))
    user = make_user(OURS, port.url, environment)
    for _ in range(3):
        user.client.get("/")
    assert [error.occurrences for error in environment.stats.errors.values()] == [3]


# Before there is a connection


def test_refused(environment: Environment) -> None:
    with refusing_port() as port:
        user = make_user(OURS, f"http://127.0.0.1:{port}", environment)
        error = user.client.get("/").error
        text = f"connection refused by 127.0.0.1:{port}"
        check_error(error, "ConnectionRefused", ConnectionRefusedError, text, "connect")
        assert error.port == port


def test_unreachable(environment: Environment) -> None:
    user = make_user(OURS, "http://255.255.255.255:80", environment)
    error = user.client.get("/").error
    assert type(error) is exception("ConnectError")
    assert isinstance(error, OSError)
    assert str(error).startswith("cannot connect to 255.255.255.255:80: ")
    assert error.errno > 0
    assert error.phase == "connect"


def test_connect_time_out(environment: Environment) -> None:
    with stalled_port() as port:
        user = make_user(OURS, f"http://127.0.0.1:{port}", environment, connection_timeout=0.5)
        error = user.client.get("/").error
        text = f"connecting to 127.0.0.1:{port} timed out after 0.5 s"
        check_error(error, "ConnectTimeout", TimeoutError, re.escape(text), "connect")


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "two..dots.test"])
def test_name_that_can_not_be(environment: Environment, host: str) -> None:
    user = make_user(OURS, f"http://{host}", environment)
    response = user.client.get("/")
    error = response.error
    assert type(error) is exception("NameResolutionError")
    assert isinstance(error, socket.gaierror)
    assert str(error).startswith(f"cannot resolve host '{host}': ")
    assert (error.phase, error.host, error.port) == ("resolve", host, 80)
    assert response.status_code == 0


def test_name_that_nobody_has(environment: Environment) -> None:
    """Without a name server in reach it is a time-out, by another class."""
    host = "no-such-host.invalid"
    user = make_user(OURS, f"http://{host}", environment, connection_timeout=1.0)
    error = user.client.get("/").error
    assert type(error) in (exception("NameResolutionError"), exception("ResolveTimeout"))
    assert isinstance(error, socket.gaierror | TimeoutError)
    assert host in str(error)
    assert error.phase == "resolve"


# Connections that are kept


def test_closed_while_idle_is_noticed(hostile: Listen, environment: Environment) -> None:
    once: Script = [["request"], ["send", OK], ["close"]]
    port = hostile(once, GOOD)
    user = make_user(OURS, port.url, environment)
    assert user.client.get("/").text == "fine"
    wait_until(lambda: port.counts()["open"] == 0, "the server to close")
    gevent.sleep(0.005)  # what happened within the last millisecond may go unnoticed
    assert user.client.get("/").text == "fine"
    assert port.counts()["connections"] == 2
    assert environment.stats.total.num_failures == 0


def test_closed_by_keep_alive_time_out(hostile: Listen, environment: Environment) -> None:
    """A server that reads the request and closes without an answer: told from a fresh failure."""
    port = hostile([["request"], ["send", OK], ["request"], ["send", OK], ["request"]], GOOD)
    user = make_user(OURS, port.url, environment)
    for _ in range(2):
        assert user.client.get("/").text == "fine"
    wait_until(lambda: port.counts()["requests"] == 2)
    error = user.client.get("/").error
    assert type(error) is exception("ConnectionClosed")
    at = f"127.0.0.1:{port.port}"
    text = f"connection closed by {at} without a response on a reused connection"
    assert str(error) == text
    assert error.requests_carried == 2
    assert error.idle_time > 0
    assert error.bytes_received == 0
    # It is not sent again behind the user's back.
    assert (port.counts()["connections"], port.counts()["requests"]) == (1, 3)
    assert user.client.get("/").text == "fine"


def test_reset_while_idle_is_noticed(hostile: Listen, environment: Environment) -> None:
    port = hostile([["request"], ["send", OK], ["reset"]], GOOD)
    user = make_user(OURS, port.url, environment)
    assert user.client.get("/").text == "fine"
    wait_until(lambda: port.counts()["open"] == 0, "the server to reset")
    gevent.sleep(0.005)
    assert user.client.get("/").text == "fine"
    assert environment.stats.total.num_failures == 0


EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize("extra", [EVIL, "\r\n", "garbage", "\x00"])
def test_unsolicited_data_is_no_response(
    hostile: Listen, environment: Environment, extra: str
) -> None:
    port = hostile([["request"], ["send", OK + extra], ["mark", "sent"], ["drain"]], GOOD)
    user = make_user(OURS, port.url, environment)
    assert user.client.get("/").text == "fine"
    wait_until(lambda: port.counts()["marks"])
    gevent.sleep(0.005)
    assert [user.client.get("/").text for _ in range(3)] == ["fine"] * 3
    assert environment.stats.total.num_failures == 0


@pytest.mark.parametrize("extra", [EVIL, "garbage"])
def test_unsolicited_data_on_an_idle_connection(
    hostile: Listen, environment: Environment, extra: str
) -> None:
    late: Script = [
        ["request"],
        ["send", OK],
        ["pause", 0.05],
        ["send", extra],
        ["mark", "sent"],
        ["drain"],
    ]
    port = hostile(late, GOOD)
    user = make_user(OURS, port.url, environment)
    assert user.client.get("/").text == "fine"
    wait_until(lambda: port.counts()["marks"])
    gevent.sleep(0.005)
    assert [user.client.get("/").text for _ in range(3)] == ["fine"] * 3
    assert port.counts()["connections"] == 2
    assert environment.stats.total.num_failures == 0


# Odd, but HTTP


@dataclass(frozen=True)
class Odd:
    """A response that is to be understood, and the action behind it."""

    name: str
    response: str
    content: bytes = b"fine"
    status: int = 200
    method: str = "GET"
    then: str = "again"


CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"
HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nContent-Length: 7\r\n\r\n"

ODD = [
    Odd("interim responses", CONTINUE + HINTS + CONTINUE + OK),
    Odd("204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nbogus", b"", 204),
    Odd("304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nbogus", b"", 304),
    Odd("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", 304),
    Odd("HEAD with a length", head("Content-Length: 1000"), b"", method="HEAD"),
    Odd("HEAD with chunks", head("Transfer-Encoding: chunked"), b"", method="HEAD"),
    Odd("HEAD with a body", head("Content-Length: 5") + "bogus", b"", method="HEAD"),
    Odd("until close", head() + "fine", then="close"),
    Odd("until close, and empty", head(), b"", then="close"),
    Odd("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nfine", then="close"),
    Odd("HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine", then="close"),
    Odd(
        "HTTP/1.0 kept alive",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine",
    ),
    Odd("chunk extensions", CHUNKED + '2;a=b\r\nfi\r\n2;c="d;e"\r\nne\r\n0;f\r\n\r\n'),
    Odd("a long extension", CHUNKED + f"4;{'x' * 60000}\r\nfine\r\n0\r\n\r\n"),
    Odd(
        "extensions longer than their chunks",
        CHUNKED + f"1;{'x' * 250}\r\ny\r\n" * 2000 + "0\r\n\r\n",
        b"y" * 2000,
    ),
    Odd("chunk sizes with zeros", CHUNKED + "0004\r\nfine\r\n000\r\n\r\n"),
    Odd("trailers", CHUNKED + "4\r\nfine\r\n0\r\nX-After: 1\r\nContent-Length: 99\r\n\r\n"),
    Odd("no reason", "HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nfine"),
    Odd("empty headers", head("X-Empty:", "X-Spaces:    ", "Content-Length: 4") + "fine"),
    Odd("many headers", head(*[f"X-{i}: {i}" for i in range(800)], "Content-Length: 4") + "fine"),
    Odd("a keep-alive header", head("Keep-Alive: timeout=5", "Content-Length: 4") + "fine"),
    Odd("coding in capitals", head("TRANSFER-ENCODING: Chunked") + "4\r\nfine\r\n0\r\n\r\n"),
    Odd("gzip of nothing", coded("gzip", b""), b""),
    Odd("zlib's deflate", coded("deflate", zlib.compress(b"fine"))),
    Odd("bare deflate", coded("deflate", zlib.compress(b"fine", wbits=-15))),
    Odd("gzip in capitals", coded("GZIP", gzip.compress(b"fine"))),
]


def odd_name(odd: Odd) -> str:
    return odd.name


@pytest.mark.parametrize("odd", ODD, ids=odd_name)
def test_odd_responses(odd: Odd, hostile: Listen, environment: Environment) -> None:
    """The second request on the port shows that nothing of the first was left over."""
    first: Script = [["request"], ["send", odd.response], [odd.then]]
    if odd.then == "again":
        first = [["request"], ["send", odd.response], *GOOD[:2], ["again", 2]]
    port = hostile(first, GOOD)
    user = make_user(OURS, port.url, environment, network_timeout=2.0)
    response = user.client.request(odd.method, "/odd")
    assert response.error is None
    assert (response.status_code, response.content) == (odd.status, odd.content)
    assert [user.client.get("/plain").text for _ in range(2)] == ["fine", "fine"]
    assert environment.stats.total.num_failures == 0


def test_switching_protocols_is_refused(hostile: Listen, environment: Environment) -> None:
    switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"
    port = hostile(answers(switch, then="hold"), GOOD)
    user = make_user(OURS, port.url, environment, network_timeout=1.0)
    response = user.client.get("/")
    assert isinstance(response.error, Exception)
    assert user.client.get("/").text == "fine"


@pytest.mark.parametrize(
    "response",
    [
        CONTINUE + "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 4\r\n\r\nfine",
        CHUNKED + "1;x=y\r\nf\r\n3\r\nine\r\n0\r\nX-After: 1\r\n\r\n",
        coded("gzip", gzip.compress(b"fine", mtime=0)),
    ],
    ids=["length", "chunks", "gzip"],
)
def test_split_at_every_byte(hostile: Listen, environment: Environment, response: str) -> None:
    script: Script = []
    for at in range(1, len(response)):
        script += [["request"], ["send", response[:at]], ["pause", 0.002], ["send", response[at:]]]
    port = hostile([*script, ["drain"]])
    user = make_user(OURS, port.url, environment)
    texts = [user.client.get(f"/{at}", name="split").text for at in range(1, len(response))]
    assert texts == ["fine"] * (len(response) - 1)
    assert port.counts()["connections"] == 1
    assert environment.stats.total.num_failures == 0


def test_slow_but_steady(hostile: Listen, environment: Environment) -> None:
    """The time-out is for silence, not for the whole."""
    text = CHUNKED + "4\r\nfine\r\n0\r\n\r\n"
    user = make_user(
        OURS,
        hostile([["request"], ["drip", text, 0.02]]).url,
        environment,
        network_timeout=1,
    )
    assert user.client.get("/").text == "fine"


def test_large_responses(hostile: Listen, environment: Environment) -> None:
    size = 20 << 20
    script: Script = [
        ["request"],
        ["send", head(f"Content-Length: {size}")],
        ["send", "0123456789abcdef" * 4096, size >> 16],
        ["request"],
        ["send", CHUNKED],
        ["send", "10000\r\n" + "0123456789abcdef" * 4096 + "\r\n", size >> 16],
        ["send", "0\r\n\r\n"],
        ["drain"],
    ]
    user = make_user(OURS, hostile(script).url, environment)
    expected = b"0123456789abcdef" * (size // 16)
    assert user.client.get("/length").content == expected
    assert user.client.get("/chunks").content == expected
    assert environment.stats.total.total_content_length == 2 * size


@pytest.mark.parametrize("ending", [["half_close"], ["drain"]])
def test_answer_before_the_upload_is_read(
    hostile: Listen, environment: Environment, ending: list[Any]
) -> None:
    early = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
    port = hostile([["head"], ["send", early], ending, ["drain"]], GOOD, receive_buffer=65536)
    user = make_user(OURS, port.url, environment, network_timeout=5.0)
    response = user.client.post("/", data=UPLOAD)
    assert (response.status_code, response.content) == (413, b"big")
    assert user.client.get("/").text == "fine"
    assert port.counts()["connections"] == 2


def test_answer_and_reset_before_the_upload_is_read(
    hostile: Listen, environment: Environment
) -> None:
    """The reset may overtake the answer: then it is a reset, and never a wrong answer."""
    early = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
    port = hostile([["head"], ["send", early], ["reset"]], GOOD, receive_buffer=65536)
    user = make_user(OURS, port.url, environment, network_timeout=5.0)
    response = user.client.post("/", data=UPLOAD)
    if response.status_code:
        assert (response.status_code, response.content) == (413, b"big")
    else:
        assert type(response.error) is exception("ConnectionReset")
    assert user.client.get("/").text == "fine"


def test_unread_connection_closed_at_once(hostile: Listen, environment: Environment) -> None:
    """Closed before the request is there: what the client sees is a matter of the moment."""
    port = hostile([["close"]])
    user = make_user(OURS, port.url, environment)
    kinds = {type(user.client.get("/").error) for _ in range(20)}
    assert kinds <= {exception("ConnectionClosed"), exception("ConnectionReset")}
    assert environment.stats.total.num_failures == 20


# Redirects


@pytest.mark.parametrize(("limit", "hops"), [(30, 31), (2, 3)])
def test_too_many_redirects(app: Listener, environment: Environment, limit: int, hops: int) -> None:
    user = make_user(OURS, app.url, environment, max_redirects=limit)
    response = user.client.get(f"/redirect/{hops}")
    assert type(response.error) is exception("TooManyRedirects")
    assert str(response.error) == f"more than {limit} redirects"
    assert app.counts()["requests"] == limit + 1
    assert user.client.get(f"/redirect/{hops - 1}").text == "ok"
    assert environment.stats.total.num_requests == 2
    assert environment.stats.total.num_failures == 1


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "http://", "http://[::1", "mailto:x"])
def test_redirect_that_leads_nowhere(
    app: Listener, environment: Environment, location: str
) -> None:
    user = make_user(OURS, app.url, environment)
    response = user.client.get(f"/answer?status=302&header=Location:{location}")
    assert type(response.error) is exception("RedirectError")
    assert app.counts()["requests"] == 1
    assert user.client.get("/ok").text == "ok"


def test_redirect_to_a_failure(app: Listener, environment: Environment) -> None:
    with refusing_port() as port:
        user = make_user(OURS, app.url, environment)
        url = f"/answer?status=302&header=Location:http://127.0.0.1:{port}/"
        response = user.client.get(url, name="moved")
        assert type(response.error) is exception("ConnectionRefused")
        assert response.error.port == port
        assert response.status_code == 0
        assert environment.stats.get("moved", "GET").num_failures == 1


# What can't be sent


def refused_before_sending(
    call: Callable[[Any], Any], app: Listener, environment: Environment, host: str | None = None
) -> str:
    """Make the call, which is to raise ValueError, and return the text."""
    events = record_events(environment)

    def make_and_call() -> None:
        call(make_user(OURS, host or app.url, environment).client)

    with pytest.raises(ValueError, match=r".+") as caught:
        make_and_call()
    assert not events
    assert environment.stats.total.num_requests == 0
    assert app.counts()["connections"] == 0
    return str(caught.value)


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\0b", "\x7f", "a\rb"])
def test_control_characters_in_a_header(
    app: Listener, environment: Environment, value: str
) -> None:
    text = refused_before_sending(
        lambda client: client.get("/", headers={"X-Mine": value}), app, environment
    )
    assert "X-Mine" in text
    assert value not in text or value == "\x7f"


@pytest.mark.parametrize("name", ["X\n", "X Y", "", "X:", "é", "X\0"])
def test_header_names_that_are_no_tokens(
    app: Listener, environment: Environment, name: str
) -> None:
    refused_before_sending(lambda client: client.get("/", headers={name: "1"}), app, environment)


def test_secrets_are_not_shown(app: Listener, environment: Environment) -> None:
    text = refused_before_sending(
        lambda client: client.get("/", headers={"Authorization": "Bearer s3cret\n"}),
        app,
        environment,
    )
    assert "Authorization" in text
    assert "s3cret" not in text


@pytest.mark.parametrize("path", ["/a\nb", "/a\r\nX: y", "/\0", "/\x7f", "/a\tb"])
def test_control_characters_in_a_url(app: Listener, environment: Environment, path: str) -> None:
    text = refused_before_sending(lambda client: client.get(path), app, environment)
    assert re.search("URL|path", text)


@pytest.mark.parametrize(
    ("host", "word"),
    [
        ("ftp://127.0.0.1", "ftp"),
        ("ws://127.0.0.1", "ws"),
        ("127.0.0.1:80", "scheme"),
        ("127.0.0.1", "scheme"),
        ("http://", "host"),
        ("http:///path", "host"),
        ("http://:80", "host"),
        ("http://127.0.0.1:99999", "port"),
        ("http://127.0.0.1:abc", "port"),
        ("http://127.0.0.1:-1", "port"),
        ("http://[::1", "host"),
        ("http://a b", "host"),
        ("http://a\nb", "host|URL"),
    ],
)
def test_urls_that_are_none(app: Listener, environment: Environment, host: str, word: str) -> None:
    text = refused_before_sending(lambda client: client.get("/"), app, environment, host)
    assert re.search(word, text), text


def test_session_without_a_base_url(app: Listener, environment: Environment) -> None:
    client = OURS.session(None, environment.events.request, None)
    with pytest.raises(ValueError, match=r".+"):
        client.get("/relative")
    assert client.get(app.url + "/ok").text == "ok"


def test_next_request_works_after_a_refused_one(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    assert client.get("/ok").text == "ok"
    with pytest.raises(ValueError, match="X-Bad"):
        client.get("/ok", headers={"X-Bad": "\n"})
    assert client.get("/ok").text == "ok"
    assert app.counts()["connections"] == 1


def test_body_of_a_wrong_type(app: Listener, environment: Environment) -> None:
    client = make_user(OURS, app.url, environment).client
    with pytest.raises((TypeError, ValueError)):
        client.post("/ok", data=object())
    assert client.get("/ok").text == "ok"


UNFINISHED = """
import locust
from opscore_fast import FastHttpSession

class Unfinished(FastHttpSession):
    def __init__(self):
        pass

for name in ("get", "post", "request", "rename_request", "cookiejar", "client"):
    try:
        value = getattr(Unfinished(), name)
        value(*["/"] * (name != "client")) if callable(value) else None
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_session_that_was_not_initialized(tmp_path: Path) -> None:
    """A subclass that forgets super().__init__ gets an exception, and the process goes on."""
    run = finish(python("-c", UNFINISHED, cwd=tmp_path))
    assert run.code == 0, run.output
    assert "Error" in run.output


@pytest.mark.parametrize("headers", ["X: 1", 5, ["X: 1"], [("X", "1", "2")]])
def test_headers_of_a_wrong_type(app: Listener, environment: Environment, headers: Any) -> None:
    client = make_user(OURS, app.url, environment).client
    with pytest.raises((TypeError, ValueError)):
        client.get("/ok", headers=headers)
    assert app.counts()["requests"] == 0


KINDS = [getattr(exceptions, name) for name in exceptions.__all__ if name != "RequestError"]


@pytest.mark.parametrize("kind", KINDS)
def test_locustfiles_catch_what_they_caught(kind: type[exceptions.RequestError]) -> None:
    """By the exceptions that Locust's own class reports."""
    error = kind("what went wrong")
    assert isinstance(error, FAILURE_EXCEPTIONS)
    assert (str(error), error.text) == ("what went wrong", "what went wrong")
    assert repr(error) == f"{kind.__name__}('what went wrong')"


@pytest.mark.parametrize(
    "rest", ["h/\n", "h:99999/", "exa mple/", "\u00e9" + "x" * 70 + "/", "h@h:0/", ":80/"]
)
def test_no_password_in_a_text(app: Listener, environment: Environment, rest: str) -> None:
    client = make_user(OURS, app.url, environment).client
    with pytest.raises(ValueError, match="URL has") as raised:
        client.get(f"http://user:secret@{rest}")
    assert "secret" not in str(raised.value)
    assert rest.rpartition("@")[2][:1] in str(raised.value)


# Sent again

LOST = [["request"], ["close"]]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_lost_request_is_sent_again(hostile: Listen, environment: Environment, method: str) -> None:
    port = hostile(LOST, LOST, GOOD)
    client = make_user(OURS, port.url, environment, max_retries=2).client
    response = client.request(method, "/", name="lost")
    assert (response.status_code, response.retries) == (200, 2)
    assert client.retries == 2
    total = environment.stats.total
    assert (total.num_requests, total.num_failures) == (1, 0)


@pytest.mark.parametrize(
    ("method", "max_retries", "script"),
    [
        ("POST", 5, LOST),
        ("PATCH", 5, LOST),
        ("GET", 0, LOST),
        ("GET", 5, [["request"], ["send", "HTTP/1.1 200 OK\r\nContent-Le"], ["close"]]),
    ],
)
def test_request_that_is_not_sent_again(
    hostile: Listen, environment: Environment, method: str, max_retries: int, script: list[Any]
) -> None:
    port = hostile(script, GOOD)
    client = make_user(OURS, port.url, environment, max_retries=max_retries).client
    response = client.request(method, "/", name="lost")
    assert (response.status_code, response.retries) == (0, 0)
    assert environment.stats.total.num_failures == 1


def test_no_more_retries(hostile: Listen, environment: Environment) -> None:
    port = hostile(LOST, LOST, GOOD)
    client = make_user(OURS, port.url, environment).client
    response = client.get("/", max_retries=1)
    assert (response.status_code, response.retries) == (0, 1)
    assert type(response.error).__name__ == "ConnectionClosed"
    assert client.get("/").status_code == 200


# Nothing is left behind


def test_nothing_leaks(hostile: Listen, environment: Environment) -> None:
    """Failures of every kind, over and over: descriptors and memory stay as they are."""
    ports = [
        (
            failure.scheme,
            hostile([step for step in failure.script if step[0] not in ("pause", "taken")]),
        )
        for failure in FAILURES
        if not failure.data and not failure.attributes
        if "flood" not in {step[0] for step in failure.script}
    ]

    def every_failure(times: int) -> None:
        for scheme, port in ports:
            user = make_user(OURS, f"{scheme}://127.0.0.1:{port.port}", environment)
            for _ in range(times):
                user.client.get("/", name="bad")

    def all_closed() -> bool:
        return all(port.counts()["open"] == 0 for _, port in ports)

    every_failure(3)
    gc.collect()
    wait_until(all_closed, "the connections to be closed")
    files = open_files()
    grown = []
    tracemalloc.start()
    try:
        for _ in range(8):
            before, _ = tracemalloc.get_traced_memory()
            every_failure(10)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            grown.append(after - before)
    finally:
        tracemalloc.stop()
    # A request that leaves something behind does so in every round.
    assert min(grown) < 10 * len(ports) * 8, grown
    assert environment.stats.total.num_failures > 80 * len(ports) / 2
    wait_until(all_closed, "the connections to be closed")
    assert open_files() <= files
