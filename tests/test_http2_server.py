"""The server that plays HTTP/2 frames, seen by clients that are not ours: nghttp and curl.

Whatever the scripts of `helpers_http2_scripts` are said to be, these must take them for the same.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers_http2 import gone, sent, tool
from helpers_http2_scripts import BODY, CASES, FLOODS, SHRINKING_WINDOW, Case
from parity import Listen
from servers import CERTIFICATES, Listener, frames
from servers.frames import Code, Setting

AUTHORITY = str(CERTIFICATES / "authority.pem")


def nghttp(*arguments: str) -> str:
    """What nghttp prints: bodies, if not told otherwise."""
    command = [tool("nghttp"), "--no-push", "--no-dep", "--timeout=20", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=30)
    return done.stdout.decode("latin-1")


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [tool("curl"), "-sS", "--http2-prior-knowledge", "-m", "20", *arguments]
    return subprocess.run(command, capture_output=True, timeout=30)


def codes(port: Listener) -> set[str]:
    """The error codes that clients have told by RST_STREAM and GOAWAY."""
    told = {frame["code"] for frame in sent(port) if "code" in frame}
    return {Code(code).name for code in told - {Code.NO_ERROR}}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scripts_are_what_they_are_said_to_be(http2_script: Listen, case: Case) -> None:
    port = http2_script(case.script)
    if case.code is not None:
        nghttp(port.url)
        gone(port)
        assert codes(port) == {case.code.name}
    else:
        answer = curl(port.url)
        gone(port)
        outcome = "ok" if (answer.returncode, answer.stdout) == (0, BODY.encode()) else "failed"
        assert outcome == case.outcome, answer.stderr
    if case.outcome == "ok":
        assert nghttp(port.url) == BODY
        gone(port)
        assert codes(port) == set()


@pytest.mark.parametrize("case", FLOODS, ids=str)
def test_floods_end(http2_script: Listen, case: Case) -> None:
    port = http2_script(case.script)
    assert curl(port.url).returncode != 0
    gone(port)


def test_what_a_client_sends_is_kept(http2_script: Listen) -> None:
    port = http2_script(
        [["preface"], ["request"], ["answer", 202, "", [["server", "x"]]], ["drain"]]
    )
    answer = curl("-i", "-d", "some=form", "-H", "X-One: 1", f"{port.url}/there?q", "-A", "me")
    assert answer.stdout == b"HTTP/2 202 \r\ncontent-length: 0\r\nserver: x\r\n\r\n"
    (request,) = port.requests()
    assert request["fields"][:4] == [
        [":method", "POST"],
        [":path", "/there?q"],
        [":scheme", "http"],
        [":authority", f"127.0.0.1:{port.port}"],
    ]
    assert ["x-one", "1"] in request["fields"]
    assert (request["stream"], request["body"], request["trailers"]) == (1, "some=form", [])
    assert sent(port, "SETTINGS")[0]["settings"][str(int(Setting.ENABLE_PUSH))] == 0
    assert [frame["length"] for frame in sent(port, "DATA")] == [9]
    assert port.counts()["connections"] == 1


def test_bodies_of_both_ways_keep_to_the_windows(http2_script: Listen, tmp_path: Path) -> None:
    size = 3_000_000
    body = bytes(range(250)) * (size // 250)
    (tmp_path / "body").write_bytes(body)
    port = http2_script([["preface"], ["request"], ["answer", 200, size], ["drain"]])
    answer = curl("--data-binary", f"@{tmp_path / 'body'}", port.url)
    assert answer.stdout == b"x" * size
    (request,) = port.requests()
    assert (request["size"], request["sha1"]) == (size, hashlib.sha1(body).hexdigest())
    gone(port)
    assert sum(frame["increment"] for frame in sent(port, "WINDOW_UPDATE")) > 0


def test_a_window_that_becomes_negative(http2_script: Listen, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"y" * 100_000)
    port = http2_script(SHRINKING_WINDOW)
    assert curl("--data-binary", f"@{tmp_path / 'body'}", port.url).stdout == b"ok"
    assert port.requests()[0]["size"] == 100_000
    assert port.counts()["marks"] == ["nothing yet"]


def test_streams_beside_one_another(http2_script: Listen) -> None:
    port = http2_script(
        [
            ["preface", {"MAX_CONCURRENT_STREAMS": 2, "HEADER_TABLE_SIZE": 0}],
            ["await", "SETTINGS_ACK"],
            *[["request"], ["answer"]] * 5,
            ["drain"],
        ]
    )
    assert nghttp("--multiply=5", "-H", "x-same: again", port.url) == "ok" * 5
    gone(port)
    assert [request["stream"] for request in port.requests()] == sorted(
        request["stream"] for request in port.requests()
    )
    assert port.counts()["violations"] == []


def test_going_away_amid_streams(http2_script: Listen) -> None:
    """What nghttp asked beyond the last stream is not answered; it may be sent again."""
    going = [["preface"], ["request", 3], ["send", frames.goaway(3)], ["answer"], ["answer"]]
    port = http2_script([*going, ["drain"]])
    streams = nghttp("--multiply=3", "--verbose", port.url)
    assert streams.count("recv GOAWAY") == 1
    gone(port)
    assert len(port.requests()) == 3


@pytest.mark.parametrize(
    ("protocols", "spoken"), [(["h2"], "2"), (["http/1.1"], "1.1"), ([], "1.1")]
)
def test_over_tls_alpn_tells(http2_script: Listen, protocols: list[str], spoken: str) -> None:
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
    script = [["preface"], ["request"], ["answer", 200, "fine"], ["drain"]]
    if spoken == "1.1":
        script = [["until", "\r\n\r\n"], ["send", answer], ["close"]]
    port = http2_script(script, certificate="localhost.pem", protocols=protocols)
    command = [tool("curl"), "-sS", "-m", "20", "--http2", "-w", " %{http_version}"]
    command += ["--cacert", AUTHORITY, f"https://localhost:{port.port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == f"fine {spoken}", done.stderr
    assert port.counts()["protocols"] == (["h2"] if spoken == "2" else [])


REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
POST = [(":method", "POST"), *REQUEST[1:]]
START = frames.PREFACE + frames.settings()


def blamed(http2_script: Listen, script: list[Any], data: bytes) -> list[str]:
    """What the server says of a client that sends this, and that is then forgotten."""
    port = http2_script(script)
    with socket.create_connection(("127.0.0.1", port.port), timeout=20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    gone(port)
    violations: list[str] = port.counts()["violations"]
    port.clear()
    return violations


TWO_AT_MOST = [["preface", {"MAX_CONCURRENT_STREAMS": 2}], ["drain"]]
NO_TABLE = [["preface", {"HEADER_TABLE_SIZE": 0}], ["drain"]]
NO_CREDIT = [["preface"], ["automatic"], ["drain"]]
ANY = [["preface"], ["drain"]]
FILLED = frames.data(1, bytes(frames.FRAME_SIZE)) * 4


@pytest.mark.parametrize(
    ("script", "data", "blame"),
    [
        (ANY, frames.headers(1, REQUEST, end=True), []),
        (ANY, frames.headers(2, REQUEST, end=True), ["stream 2 opened after 0"]),
        (
            ANY,
            frames.headers(3, REQUEST, end=True) + frames.headers(1, REQUEST, end=True),
            ["stream 1 opened after 3"],
        ),
        (
            TWO_AT_MOST,
            frames.SETTINGS_ACK + b"".join(frames.headers(n, REQUEST, end=True) for n in (1, 3, 5)),
            ["stream 5 opened beside 2, of which 2 may be"],
        ),
        (
            NO_TABLE,
            frames.SETTINGS_ACK + frames.headers(1, REQUEST, end=True),
            ["InvalidTableSizeError: Encoder did not shrink table size to within the max"],
        ),
        (NO_CREDIT, frames.headers(1, POST) + FILLED[:-1000] + b"", []),
        (
            NO_CREDIT,
            frames.headers(1, POST) + FILLED,
            ["DATA beyond the window of stream"],
        ),
        (ANY, frames.headers(1, POST) + FILLED * 3, []),
        (
            ANY,
            frames.headers(1, POST) + frames.data(1, bytes(frames.FRAME_SIZE + 1)),
            ["a frame of 16385 octets"],
        ),
        (ANY, frames.data(1, b"x"), ["DATA on stream 1, which is not open"]),
        (ANY, frames.headers(1, [*REQUEST, ("Host", "a")]), ["the header Host: a"]),
        (ANY, frames.headers(1, [*REQUEST, ("connection", "x")]), ["the header connection: x"]),
        (ANY, frames.headers(1, [*REQUEST, ("te", "gzip")]), ["the header te: gzip"]),
        (ANY, frames.headers(1, [*REQUEST, ("te", "trailers")]), []),
        (ANY, frames.headers(1, [*REQUEST, ("a", " b")]), ["the value ' b' of a"]),
        (ANY, frames.headers(1, REQUEST[:2]), ["the pseudo-headers :method :scheme"]),
        (ANY, frames.headers(1, [("a", "b"), *REQUEST]), ["a pseudo-header behind others"]),
        (ANY, frames.SETTINGS_ACK * 2, ["SETTINGS acknowledged that were not sent"]),
        (ANY, frames.window_update(0, 0), ["WINDOW_UPDATE by 0"]),
    ],
    ids=str,
)
def test_clients_are_judged(
    http2_script: Listen, script: list[Any], data: bytes, blame: list[str]
) -> None:
    assert blamed(http2_script, script, START + data)[:1] == blame


def test_another_preface_is_marked(http2_script: Listen) -> None:
    port = http2_script(ANY)
    with socket.create_connection(("127.0.0.1", port.port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: abc\r\n\r\n")
        assert client.recv(100) in (b"", frames.settings())
    gone(port)
    assert port.counts()["marks"] == ["no preface"]
