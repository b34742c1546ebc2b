"""HTTP/2 of both user classes: against servers of others, and against some that send the frames
they are told."""

from __future__ import annotations

import itertools
import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import gevent.server
import pytest
from conftest import Listen
from helpers import Connect, Run, finish, free_port, python, read_csv, refusing_port
from helpers_http2 import sent
from helpers_http2_servers import (
    CERTIFICATE,
    Proxy,
    caddy,
    granian,
    h2o,
    hypercorn,
    nghttpd,
    nghttpx,
    nginx,
    running,
)
from locust.env import Environment
from servers import Listener
from servers.frames import WINDOW, Setting


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """The same, with prior knowledge of HTTP/2 where nothing else is said."""
    return partial(connect, http2="prior-knowledge")


LOCUSTFILES = Path(__file__).parent.parent / "locustfiles"


def connections() -> int:
    from opscore_fast import engines

    return engines.current().totals()["connects"]


# Independent servers


@pytest.fixture(params=[nginx, nghttpx, h2o, caddy])
def serve(request: pytest.FixtureRequest) -> Proxy:
    """A server that speaks HTTP/2 and has the ordinary one behind it."""
    serve: Proxy = request.param
    return serve


@pytest.fixture(params=["cleartext", "TLS"])
def url(
    request: pytest.FixtureRequest, tmp_path: Path, app: Listener, serve: Proxy
) -> Iterator[str]:
    with serve(tmp_path, app, request.param == "TLS") as url:
        yield url


def test_requests(url: str, connect: Connect, app: Listener) -> None:
    before = connections()
    client = connect(url, http2="auto" if url.startswith("https") else "prior-knowledge")
    for _ in range(3):
        response = client.get("/ok")
        assert (response.status_code, response.text, response.http_version) == (200, "ok", "2")
        response = client.post("/echo", data=b"body")
        assert (response.json()["body"], response.http_version) == ("body", "2")
        assert client.head("/ok").status_code == 200
    assert connections() - before == 1
    assert len(app.requests()) == 9


def test_headers_reach_the_server(url: str, connect: Connect, app: Listener) -> None:
    client = connect(url)
    client.get("/ok", headers={"X-Mixed": "Case, kept ", "Connection": "keep-alive", "TE": "gzip"})
    headers = {name.lower(): value for name, value in app.requests()[0]["headers"]}
    assert headers["x-mixed"] == "Case, kept"
    assert headers["host"] == url.partition("//")[2]
    assert "te" not in headers


@pytest.mark.parametrize("size", [0, 1, 16384, 100_000, 3_000_000])
def test_bodies(url: str, connect: Connect, size: int) -> None:
    text = ("abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]
    client = connect(url)
    assert client.post("/echo", data=text.encode()).json()["body"] == text
    assert client.get(f"/ok?size={size}").text == text


@pytest.mark.parametrize(("window", "connection_window"), [(1000, 65535), (8 << 20, 64 << 20)])
def test_windows(url: str, connect: Connect, window: int, connection_window: int) -> None:
    """Large bodies both ways, beside one another."""
    client = connect(url, http2_window=window, http2_connection_window=connection_window)
    text = "abcdefghijklmnopqrstuvwxyz" * 40_000
    jobs = [gevent.spawn(client.get, f"/ok?size={len(text)}") for _ in range(3)]
    jobs += [gevent.spawn(client.post, "/echo", data=text.encode()) for _ in range(3)]
    gevent.joinall(jobs)
    assert [job.value.text for job in jobs[:3]] == [text] * 3
    assert [job.value.json()["body"] for job in jobs[3:]] == [text] * 3


def test_redirects_and_cookies(url: str, connect: Connect, app: Listener) -> None:
    response = connect(url).get("/redirect/2?header=Set-Cookie:a=b")
    assert (response.status_code, response.text, len(response.history)) == (200, "ok", 2)
    seen = {name.lower(): value for name, value in app.requests()[-1]["headers"]}
    assert seen["cookie"] == "a=b"


def test_a_stream(url: str, connect: Connect) -> None:
    client = connect(url)
    response = client.get("/ok?size=2600000", stream=True)
    pieces = [
        piece.encode() if isinstance(piece, str) else piece
        for piece in response.iter_content(50_000)
    ]
    assert b"".join(pieces) == b"abcdefghijklmnopqrstuvwxyz" * 100_000
    assert client.get("/ok").text == "ok"


def test_greenlets_share_a_connection(url: str, connect: Connect) -> None:
    before = connections()
    client = connect(url)
    assert client.get("/ok").text == "ok"
    jobs = [gevent.spawn(client.get, "/ok") for _ in range(50)]
    gevent.joinall(jobs)
    assert [job.value.text for job in jobs] == ["ok"] * 50
    assert connections() - before == 1


def test_greenlets_of_a_user_ask_at_a_time(http2_script: Listen, connect: Connect) -> None:
    """The server answers none before all are there."""
    port = http2_script([["preface"], ["request", 10], *[["answer"]] * 10, ["drain"]])
    client = connect(port)
    jobs = [gevent.spawn(client.get, "/") for _ in range(10)]
    gevent.joinall(jobs)
    assert [job.value.text for job in jobs] == ["ok"] * 10
    assert port.counts()["connections"] == 1


@pytest.mark.parametrize("serve", [hypercorn, granian])
@pytest.mark.parametrize("tls", [False, True])
def test_asgi(tmp_path: Path, connect: Connect, serve: Any, tls: bool) -> None:
    with serve(tmp_path, tls) as url:
        client = connect(url, http2="auto" if tls else "prior-knowledge")
        for size in (0, 1, 1_000_000):
            body = b"0123456789" * (size // 10) or b"x" * size
            response = client.post("/", data=body)
            assert response.error is None
            assert (response.content, response.headers["x-version"]) == (body, "2")
        jobs = [gevent.spawn(client.post, "/", data=b"%d" % number) for number in range(20)]
        gevent.joinall(jobs)
        assert [job.value.content for job in jobs] == [b"%d" % number for number in range(20)]


@pytest.mark.parametrize("tls", [False, True])
def test_nghttpd(tmp_path: Path, connect: Connect, tls: bool) -> None:
    body = bytes(range(250)) * 10_000
    (tmp_path / "file").write_bytes(body)
    with nghttpd(tmp_path, tls, "--trailer=checksum: 1") as url:
        client = connect(url, http2="auto" if tls else "prior-knowledge")
        response = client.get("/file", headers={"TE": "trailers"})
        assert (response.content, response.trailers) == (body, [("checksum", "1")])
        assert client.post("/", data=body).content == body
        assert client.get("/nothing").status_code == 404
        jobs = [gevent.spawn(client.get, "/file") for _ in range(20)]
        gevent.joinall(jobs)
        assert {job.value.content for job in jobs} == {body}


# What is spoken


def test_a_server_may_choose_http1(tmp_path: Path, app: Listener, connect: Connect) -> None:
    with nginx(tmp_path, app, tls=True, http2=False) as url:
        client = connect(url, http2=True)
        jobs = [gevent.spawn(client.get, "/ok") for _ in range(5)]
        gevent.joinall(jobs)
        assert {job.value.http_version for job in jobs} == {"1.1"}
        assert [job.value.text for job in jobs] == ["ok"] * 5


ANSWER_HTTP1 = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def mixed(*protocols: str) -> Iterator[str]:
    """A server each of whose connections speaks one of the protocols, in their order, and the last
    one from then on. One that speaks HTTP/2 ends with its first answer, but for the last."""
    contexts = []
    for protocol in protocols:
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(CERTIFICATE)
        contexts[-1].set_alpn_protocols([protocol])
    numbers = itertools.count()

    def serve(plain: socket.socket, address: Any) -> None:
        number = min(next(numbers), len(protocols) - 1)
        with contexts[number].wrap_socket(plain, server_side=True) as sock:
            if protocols[number] != "h2":
                while sock.recv(65536):
                    gevent.sleep(0.05)
                    sock.sendall(ANSWER_HTTP1)
                return
            file = sock.makefile("rb")
            file.read(24)
            sock.sendall(frame(4, 0, 0))
            while head := file.read(9):
                stream = int.from_bytes(head[5:], "big")
                file.read(int.from_bytes(head[:3], "big"))
                if head[3] == 1:
                    sock.sendall(frame(1, 4, stream, b"\x88") + frame(0, 1, stream, b"ok"))
                    if number < len(protocols) - 1:
                        return

    server = gevent.server.StreamServer(("127.0.0.1", 0), serve)
    server.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.stop()


@pytest.mark.parametrize(
    ("protocols", "at_once", "later"),
    [
        (["http/1.1", "h2", "h2"], {"1.1", "2"}, "2"),
        (["h2", "http/1.1"], {"2", "1.1"}, "1.1"),
    ],
)
def test_servers_behind_a_name_may_speak_otherwise(
    connect: Connect, protocols: list[str], at_once: set[str], later: str
) -> None:
    with mixed(*protocols) as url, gevent.Timeout(10):
        client = connect(url, http2=True, connections=2 if protocols[0] == "h2" else None)
        jobs = [gevent.spawn(client.get, "/ok") for _ in range(2)]
        gevent.joinall(jobs)
        assert {job.value.http_version for job in jobs} == at_once
        for _ in range(3):
            response = client.get("/ok")
            assert (response.text, response.http_version) == ("ok", later)


def test_auto_speaks_http1_without_tls(app: Listener, connect: Connect) -> None:
    assert connect(app.url, http2="auto").get("/ok").http_version == "1.1"


@pytest.mark.parametrize("given", [False, None])
def test_http2_is_off(listen: Listen, connect: Connect, given: bool | None) -> None:
    response = connect(listen(certificate="localhost.pem").url, http2=given).get("/ok")
    assert (response.text, response.http_version) == ("ok", "1.1")


def test_a_server_without_http2(app: Listener, connect: Connect) -> None:
    error = connect(app.url).get("/ok").error
    assert str(error) == f"127.0.0.1:{app.port} does not speak HTTP/2: it answered in HTTP/1"


def test_a_server_without_http2_by_tls(listen: Listen, connect: Connect) -> None:
    port = listen(certificate="localhost.pem")
    error = connect(port.url).get("/ok").error
    assert str(error).startswith(f"127.0.0.1:{port.port} does not speak HTTP/2: ")


def test_nobody_listens(connect: Connect) -> None:
    with refusing_port() as port:
        client = connect(f"http://127.0.0.1:{port}")
        jobs = [gevent.spawn(client.get, "/ok") for _ in range(3)]
        gevent.joinall(jobs)
        assert {str(job.value.error) for job in jobs} == {f"connection refused by 127.0.0.1:{port}"}


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        (
            {"http2": "h2"},
            "http2 is True, False, 'auto' or 'prior-knowledge', not 'h2'",
        ),
        ({"connections": 0}, "connections is 1 to 65535, not 0"),
        ({"http2": False, "connections": 2}, "connections has no effect without http2"),
        ({"http2_window": 0}, "http2_window is 1 to 2147483647, not 0"),
        ({"http2_window": 2**31}, "http2_window is 1 to 2147483647, not 2147483648"),
        ({"http2_window": 1e6}, "http2_window is a number or None"),
        ({"http2_window": True}, "http2_window is a number or None"),
        ({"http2": None, "http2_window": 1}, "http2_window has no effect without http2"),
        (
            {"http2_connection_window": 65534},
            "http2_connection_window is 65535 to 2147483647, not 65534",
        ),
        ({"http2_streams": 0}, "http2_streams is 1 to 2147483647, not 0"),
        ({"http2": False, "http2_streams": 2}, "http2_streams has no effect without http2"),
    ],
)
def test_bad_options(connect: Connect, attributes: dict[str, Any], text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{text}$"):
        connect("http://127.0.0.1:1", **attributes)


def test_users_of_a_class_share_connections(
    tmp_path: Path, app: Listener, environment: Environment
) -> None:
    from opscore_fast import FastHttpUser, HttpUser

    for base in (FastHttpUser, HttpUser):
        with nginx(tmp_path, app, tls=False) as url:
            made = {"host": url, "http2": "prior-knowledge", "connections": 2}
            kind = type("Sharing", (base,), made)
            before = connections()
            users = [kind(environment) for _ in range(20)]
            for _ in range(3):
                jobs = [gevent.spawn(user.client.get, "/ok") for user in users]
                gevent.joinall(jobs)
                assert [job.value.text for job in jobs] == ["ok"] * 20
            assert connections() - before == 2


# node


NODE = """
const http2 = require("http2")
let sessions = 0
const server = http2.createServer({settings: {maxConcurrentStreams: 5}})
server.on("session", () => sessions++)
server.on("stream", (stream, headers) => {
    stream.on("error", () => {})
    const path = headers[":path"]
    if (path.startsWith("/reset/")) {
        stream.close(Number(path.slice(7)))
    } else if (path === "/trailers") {
        stream.respond({":status": 200}, {waitForTrailers: true})
        stream.on("wantTrailers", () => stream.sendTrailers({"grpc-status": "0", "x-a": "b"}))
        stream.end("body")
    } else if (path === "/interim") {
        stream.additionalHeaders({":status": 103, link: "</a>"})
        stream.respond({":status": 200})
        stream.end("ok")
    } else if (path === "/grpc.health.v1.Health/Check") {
        const type = {":status": 200, "content-type": "application/grpc"}
        let body = Buffer.alloc(0)
        stream.on("data", (piece) => { body = Buffer.concat([body, piece]) })
        stream.on("end", () => {
            const service = body.subarray(7).toString()
            if (service === "unknown") {
                stream.respond(
                    {...type, "grpc-status": "5", "grpc-message": "unknown service"},
                    {endStream: true})
                return
            }
            stream.respond(type, {waitForTrailers: true})
            stream.on("wantTrailers", () => stream.sendTrailers({"grpc-status": "0"}))
            stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === "ill" ? 2 : 1]))
        })
    } else if (path === "/sessions") {
        stream.respond({":status": 200})
        stream.end(String(sessions))
    } else if (path === "/slow") {
        setTimeout(() => { stream.respond({":status": 200}); stream.end("ok") }, 50)
    } else {
        stream.respond({":status": 200})
        stream.end(JSON.stringify(headers))
    }
})
server.listen(Number(process.argv[2]), "127.0.0.1")
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    (tmp_path / "server.js").write_text(NODE)
    with running("node", tmp_path / "server.js", str(port), port=port):
        yield f"http://127.0.0.1:{port}"


def test_trailers(node: str, connect: Connect) -> None:
    response = connect(node).get("/trailers", headers={"TE": "trailers"})
    assert response.content == b"body"
    assert response.trailers == [("grpc-status", "0"), ("x-a", "b")]


def test_pseudo_headers(node: str, connect: Connect) -> None:
    response = connect(node).get("/a?b=c", headers={"te": "trailers", "Host": "elsewhere"})
    seen = json.loads(response.content)
    assert seen[":method"] == "GET"
    assert seen[":path"] == "/a?b=c"
    assert seen[":scheme"] == "http"
    assert seen[":authority"] == "elsewhere"
    assert seen["te"] == "trailers"
    assert not {"host", "connection"} & seen.keys()


def test_each_request_has_its_own_headers(node: str, connect: Connect) -> None:
    """Lines that are as those of the request before are not looked at again."""
    client = connect(node)

    def seen(path: str, **headers: str) -> dict[str, str]:
        found = json.loads(client.get(path, headers=headers).content)
        return {
            name: found[name] for name in (":path", ":authority", "x-a", "x-b") if name in found
        }

    here = node.partition("//")[2]
    assert seen("/1", **{"X-A": "1"}) == {":path": "/1", ":authority": here, "x-a": "1"}
    assert seen("/2", **{"X-A": "1"}) == {":path": "/2", ":authority": here, "x-a": "1"}
    assert seen("/3", **{"X-A": "2"}) == {":path": "/3", ":authority": here, "x-a": "2"}
    assert seen("/4", Host="there") == {":path": "/4", ":authority": "there"}
    assert seen("/5", Host="there") == {":path": "/5", ":authority": "there"}
    assert seen("/6", **{"X-B": "1"}) == {":path": "/6", ":authority": here, "x-b": "1"}


def test_interim_responses(node: str, connect: Connect) -> None:
    response = connect(node).get("/interim")
    assert (response.status_code, response.text) == (200, "ok")
    assert "link" not in response.headers


def test_more_requests_than_streams(node: str, connect: Connect) -> None:
    before = connections()
    client = connect(node)
    client.get("/")
    jobs = [gevent.spawn(client.get, "/slow") for _ in range(20)]
    gevent.joinall(jobs)
    assert [job.value.text for job in jobs] == ["ok"] * 20
    assert sum(job.value.queue_time > 0 for job in jobs) == 15
    assert connections() - before == 1


@pytest.mark.parametrize(
    ("code", "name"), [(2, "INTERNAL_ERROR"), (8, "CANCEL"), (11, "ENHANCE_YOUR_CALM")]
)
def test_a_reset_stream(node: str, connect: Connect, code: int, name: str) -> None:
    client = connect(node)
    error = client.get(f"/reset/{code}").error
    assert str(error).endswith(
        f" ended the request's HTTP/2 stream while waiting for the response: {name}"
    )
    assert client.get("/").status_code == 200


# Frames


def frame(kind: int, flags: int, stream: int, data: bytes = b"") -> bytes:
    return len(data).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + data


@contextmanager
def scripted(*pieces: bytes) -> Iterator[str]:
    """A server that sends SETTINGS, and then the pieces to the first bytes that come."""

    def serve(sock: socket.socket, address: Any) -> None:
        sock.recv(65536)
        sock.sendall(frame(4, 0, 0) + b"".join(pieces))
        while sock.recv(65536):
            pass

    server = gevent.server.StreamServer(("127.0.0.1", 0), serve)
    server.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (
            frame(0, 1, 1, b"data"),
            "response from {} is not valid HTTP: HTTP/2: a frame that breaks the protocol",
        ),
        (
            frame(1, 4, 1, b"\xff\xff\xff\xff"),
            "response from {} is not valid HTTP: HTTP/2: headers that can't be decompressed",
        ),
        (
            frame(1, 4, 1, b"\x88\x00\x01A\x01b"),
            "response from {} is not valid HTTP: HTTP/2: an invalid header field",
        ),
        (
            frame(8, 0, 0, b"\x7f\xff\xff\xff"),
            "response from {} is not valid HTTP: HTTP/2: more data than its window allows",
        ),
        (
            frame(1, 4, 1, b"\x88") + frame(3, 0, 1, b"\0\0\0\2"),
            "{} ended the request's HTTP/2 stream while receiving the body: INTERNAL_ERROR",
        ),
    ],
)
def test_bad_frames_are_failures_of_their_own(connect: Connect, pieces: bytes, text: str) -> None:
    with scripted(pieces) as url:
        error = connect(url).get("/").error
        assert str(error) == text.format(url.partition("//")[2])


def test_going_away_is_retried_once_and_counted(connect: Connect) -> None:
    with scripted(frame(7, 0, 0, bytes(8))) as url:
        response = connect(url).get("/")
    text = " went away (HTTP/2 GOAWAY) without an answer: NO_ERROR"
    assert str(response.error) == url.partition("//")[2] + text
    assert response.retries == 1


# Runs

UNTIL = """
from locust import LoadTestShape

class Until(LoadTestShape):
    def tick(self):
        return (10, 10) if self.runner.stats.total.num_requests < 20 else None
"""
"""A second locustfile, which ends a run when it has made some requests."""


def run(folder: Path, locustfile: Path, url: str, *options: str) -> tuple[Run, dict[str, str]]:
    """Runs a locustfile until there were 20 requests; returns what it said and what it counted."""
    (folder / "until.py").write_text(UNTIL)
    command = ("-m", "opscore_fast", *options, "-f", f"{locustfile},until.py", "--headless")
    ended = finish(python(*command, "-H", url, "--csv", "out", cwd=folder))
    [total] = [row for row in read_csv(folder / "out_stats.csv") if row["Name"] == "Aggregated"]
    assert int(total["Request Count"]) >= 20, ended.output
    return ended, total


LOCUSTFILE = """
from locust import FastHttpUser, constant, task

class Visitor(FastHttpUser):
    wait_time = constant(0)
    @task
    def visit(self):
        with self.client.get("/ok", catch_response=True) as response:
            if response.http_version != "2":
                response.failure("HTTP/" + response.http_version)
"""


@pytest.mark.parametrize("tls", [False, True])
def test_the_command_line(tmp_path: Path, app: Listener, tls: bool) -> None:
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    with nginx(tmp_path, app, tls=tls) as url:
        option = "--http2" if tls else "--http2=prior-knowledge"
        ended, total = run(tmp_path, tmp_path / "locustfile.py", url, option)
    assert (ended.code, total["Failure Count"]) == (0, "0"), ended.output


@pytest.mark.parametrize(
    ("service", "failure"),
    [
        ("", ""),
        ("well", ""),
        ("ill", "not serving"),
        ("unknown", "gRPC status 5: unknown service"),
    ],
)
def test_the_grpc_locustfile(
    node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str, failure: str
) -> None:
    monkeypatch.setenv("GRPC_SERVICE", service)
    ended, _ = run(tmp_path, LOCUSTFILES / "grpc" / "locustfile.py", node)
    assert ended.code == (1 if failure else 0), ended.output
    assert failure in ended.output  # the table of failures at the end


AGENTS = """
from locust import constant, task
from opscore_fast import AgentUser

class Agent(AgentUser):
    wait_time = constant(0)
    {attributes}
    @task
    def visit(self):
        self.client.get("/trailers")
"""


def write_agents(folder: Path, attributes: dict[str, Any]) -> Path:
    given = "; ".join(f"{name} = {value!r}" for name, value in attributes.items()) or "pass"
    (folder / "locustfile.py").write_text(AGENTS.format(attributes=given))
    return folder / "locustfile.py"


def run_agents(folder: Path, url: str, **attributes: Any) -> tuple[str, dict[str, str]]:
    """Has agents of a class with the attributes make requests, all of which succeed; returns what
    was said and counted."""
    locustfile = write_agents(folder, attributes)
    ended, total = run(folder, locustfile, url, "--agent-threads", "1")
    assert (ended.code, total["Failure Count"]) == (0, "0"), ended.output
    return ended.output, total


@pytest.mark.parametrize(("connections", "expected"), [(None, 10), (2, 2)])
def test_agents(
    node: str, connect: Connect, tmp_path: Path, connections: int | None, expected: int
) -> None:
    client = connect(node)
    before = int(client.get("/sessions").text)
    run_agents(tmp_path, node, http2="prior-knowledge", connections=connections)
    assert int(client.get("/sessions").text) - before == expected


def test_the_wait_for_a_stream_is_no_response_time_of_agents(
    http2_script: Listen, tmp_path: Path
) -> None:
    rounds = [["request"], ["pause", 0.02], ["answer"]]
    port = http2_script([["preface"], *rounds * 500, ["drain"]])
    said, total = run_agents(
        tmp_path, port.url, http2="prior-knowledge", connections=1, http2_streams=1
    )
    told = re.search(
        r"(\d+) times an agent's request waited for a connection or a stream, for ([\d.]+) ms on"
        " average: no part of the response times",
        said,
    )
    assert told, said
    assert int(told[1]) >= 10
    assert float(total["Average Response Time"]) < float(told[2])  # of ten agents, one is served


def test_windows_of_agents(http2_script: Listen, tmp_path: Path) -> None:
    rounds = [["request", 2], ["pause", 0.05], ["mark", "two"], ["answer"], ["answer"]]
    port = http2_script([["preface"], ["await", "SETTINGS_ACK"], *rounds * 100, ["drain"]])
    windows = {"http2_window": 1234, "http2_connection_window": 100_000, "http2_streams": 2}
    run_agents(tmp_path, port.url, http2="prior-knowledge", connections=1, **windows)
    [settings] = sent(port, "SETTINGS")[:1]
    assert settings["settings"][str(int(Setting.INITIAL_WINDOW_SIZE))] == 1234
    assert sent(port, "WINDOW_UPDATE")[0]["increment"] == 100_000 - WINDOW
    assert port.counts()["connections"] == 1
    assert len(port.counts()["marks"]) >= 10


@pytest.mark.parametrize(
    ("attributes", "options", "said"),
    [
        ({}, (), "HTTP/1.1; a connection for each agent"),
        ({"http2": False}, ("--http2",), "HTTP/1.1; a connection for each agent"),
        (
            {"http2": True},
            (),
            "HTTP/2 by https, where the server chooses it; HTTP/1.1 to {url}; a connection for"
            " each agent",
        ),
        (
            {"connections": 2},
            ("--http2=prior-knowledge",),
            "HTTP/2 with prior knowledge; 2 connections for the agents of a thread",
        ),
    ],
)
def test_explain(
    tmp_path: Path, app: Listener, attributes: dict[str, Any], options: tuple[str, ...], said: str
) -> None:
    write_agents(tmp_path, attributes)
    command = ("-m", "opscore_fast", "explain", *options, "-f", "locustfile.py", "-H", app.url)
    explained = finish(python(*command, cwd=tmp_path))
    assert f"\n  {said.format(url=app.url)}\n" in explained.output
