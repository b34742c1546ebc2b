"""The network options of both user classes: source addresses, Unix sockets, resolve, TCP."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from conftest import Listen
from helpers import Connect, wait_until
from helpers_http2 import sent
from locust.env import Environment
from servers import CERTIFICATES, Listener, ServerError

from opscore_fast.auth import DigestAuth

IP_BIND_ADDRESS_NO_PORT = 24
AUTHORITY = CERTIFICATES / "authority.pem"


def lookups() -> int:
    from opscore_fast import engines

    return engines.current().totals()["lookups"]


def connections_to(port: int) -> Iterator[socket.socket]:
    """This process's connections to a port, as sockets of their own."""
    for path in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            fd = os.dup(int(path.name))
            try:
                found = socket.socket(fileno=fd)
            except OSError:
                os.close(fd)
                continue
            with found:
                if found.family != socket.AF_UNIX and found.getpeername()[1] == port:
                    yield found


# Source addresses


def test_sources_take_turns_over_all_users(app: Listener, connect: Connect) -> None:
    sources = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    for _ in range(6):
        assert connect(app.url, source_addresses=sources).get("/ok").text == "ok"
    assert Counter(peer["address"] for peer in app.counts()["peers"]) == dict.fromkeys(sources, 2)


def test_sources_of_one_user(app: Listener, connect: Connect) -> None:
    client = connect(app.url, source_addresses=("127.0.0.5", "127.0.0.6"))
    for _ in range(4):
        assert client.get("/ok?close").text == "ok"
    addresses = [peer["address"] for peer in app.counts()["peers"]]
    assert addresses in (["127.0.0.5", "127.0.0.6"] * 2, ["127.0.0.6", "127.0.0.5"] * 2)


def test_sources_choose_no_port(app: Listener, connect: Connect) -> None:
    """The kernel chooses one per server, so that each source has all of them for each server."""
    client = connect(app.url, source_addresses=["127.0.0.2"])
    assert client.get("/ok").text == "ok"
    [option] = [
        connection.getsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT)
        for connection in connections_to(app.port)
    ]
    assert option == 1


def test_a_thousand_connections_from_few_sources(app: Listener, environment: Environment) -> None:
    from opscore_fast import FastHttpSession

    sources = [f"127.0.1.{i}" for i in range(1, 5)]
    client = FastHttpSession(
        app.url, environment.events.request, None, concurrency=1000, source_addresses=sources
    )
    requests = [gevent.spawn(client.get, "/ok?gate=all") for _ in range(1000)]
    wait_until(lambda: app.counts()["requests"] == 1000, "all requests")
    app.open_gate("all")
    gevent.joinall(requests, timeout=60)
    assert [request.value.text for request in requests] == ["ok"] * 1000
    counts = app.counts()
    assert counts["most_open"] == 1000
    assert set(Counter(peer["address"] for peer in counts["peers"])) == set(sources)


def test_no_source_of_the_servers_family(app: Listener, connect: Connect) -> None:
    response = connect(app.url, source_addresses=["::1"]).get("/ok")
    assert response.status_code == 0
    assert str(response.error) == (
        f"cannot connect to 127.0.0.1:{app.port}:"
        " no source address is of the server's address family"
    )
    assert app.counts()["connections"] == 0


def test_source_that_is_not_ours(app: Listener, connect: Connect) -> None:
    text = r"source address 192\.0\.2\.1 can't be used: it is not an address of this machine"
    with pytest.raises(ValueError, match=text):
        connect(app.url, source_addresses=["127.0.0.1", "192.0.2.1"]).get("/ok")


# Unix sockets


@pytest.mark.parametrize("certificate", ["", "localhost.pem"])
@pytest.mark.parametrize("abstract", [False, True])
def test_unix_socket(
    listen: Listen, connect: Connect, tmp_path: Path, abstract: bool, certificate: str
) -> None:
    path = f"@{tmp_path}/socket" if abstract else tmp_path / "socket"
    app = listen(unix=str(path), certificate=certificate)
    before = lookups()
    client = connect(
        f"{'https' if certificate else 'http'}://nowhere.example",
        unix_socket=path,
        tls_server_name="any.example",
    )
    assert [client.get("/ok").text for _ in range(3)] == ["ok"] * 3
    assert client.get("/token/far").text == "far"
    assert lookups() == before
    assert app.counts()["connections"] == 1
    [host] = {request["headers"]["host"] for request in lower(app.requests())}
    assert host == "nowhere.example"


def lower(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests with their headers as a dict of lower-case names."""
    return [
        {**request, "headers": {name.lower(): value for name, value in request["headers"]}}
        for request in requests
    ]


def test_unix_socket_that_is_not_there(connect: Connect, tmp_path: Path) -> None:
    response = connect("http://some.example", unix_socket=tmp_path / "none").get("/ok")
    assert response.status_code == 0
    assert "some.example" in str(response.error)
    assert "No such file or directory" in str(response.error)


def test_unix_socket_nobody_listens_on(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    response = connect("http://some.example", unix_socket=path).get("/ok")
    assert "refused" in str(response.error)


def test_times_without_stamps(listen: Listen, environment: Environment, tmp_path: Path) -> None:
    """A Unix socket has no time stamps of the kernel's: the clock's are taken."""
    from opscore_fast import FastHttpUser, engines

    listen(unix=str(tmp_path / "socket"))
    made = type(
        "TestedUser",
        (FastHttpUser,),
        {"host": "http://any.example", "unix_socket": tmp_path / "socket"},
    )
    before = engines.current().totals()
    response = made(environment).client.get("/ok?delay=0.05")
    after = engines.current().totals()
    assert (after["stamped"], after["unstamped"]) == (before["stamped"], before["unstamped"] + 1)
    assert response.elapsed.total_seconds() >= 0.05


# Given addresses


@pytest.mark.parametrize("addresses", ["127.0.0.1", ["127.0.0.1"], ("127.0.0.9", "127.0.0.1")])
@pytest.mark.parametrize("with_port", [False, True])
def test_resolve(app: Listener, connect: Connect, addresses: Any, with_port: bool) -> None:
    before = lookups()
    host = "Service.Example"
    key = f"{host.lower()}:{app.port}" if with_port else host
    client = connect(f"http://{host}:{app.port}", resolve={key: addresses})
    assert client.get("/ok").text == "ok"
    assert lookups() == before
    [request] = lower(app.requests())
    assert request["headers"]["host"].lower() == f"service.example:{app.port}"


def test_resolve_another_port(app: Listener, connect: Connect) -> None:
    """The entry with the port goes before the one without; for other ports there is none."""
    resolve = {f"a.example:{app.port}": "127.0.0.1", "a.example": "127.0.0.9"}
    client = connect(f"http://a.example:{app.port}", resolve=resolve)
    assert client.get("/ok").text == "ok"
    response = client.get(f"http://a.example:{app.port + 1}/ok")
    assert "refused" in str(response.error)


def test_resolve_an_address(app: Listener, connect: Connect) -> None:
    client = connect(f"http://[::9]:{app.port}", resolve={f"[::9]:{app.port}": "127.0.0.1"})
    assert client.get("/ok").text == "ok"


# IPv6


@pytest.mark.parametrize("host", ["[::1]", "[::1%25lo]", "[::1%lo]"])
@pytest.mark.parametrize("certificate", ["", "localhost.pem"])
def test_ipv6_literal(listen: Listen, connect: Connect, host: str, certificate: str) -> None:
    """With a scope too, which is this machine's own: the server hears nothing of it."""
    try:
        app = listen(host="::1", certificate=certificate)
    except ServerError:
        pytest.skip("no IPv6 here")
    scheme = "https" if certificate else "http"
    client = connect(
        f"{scheme}://{host}:{app.port}", insecure=False, verify=True, ca_bundle=AUTHORITY
    )
    assert client.get("/ok").text == "ok"
    [request] = lower(app.requests())
    assert request["headers"]["host"] == f"[::1]:{app.port}"
    assert set(app.counts()["server_names"]) <= {None}


# TCP


def tcp_options(port: int) -> dict[str, int]:
    [options] = [
        {
            "nodelay": connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            "keepalive": connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            "idle": connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        }
        for connection in connections_to(port)
    ]
    return options


def test_tcp_options(listen: Listen, connect: Connect) -> None:
    for attributes, nodelay, keepalive in (
        ({}, 1, 0),
        ({"tcp_nodelay": False}, 0, 0),
        ({"tcp_keepalive": 30}, 1, 30),
        ({"tcp_keepalive": 1.4}, 1, 1),
    ):
        app = listen()
        client = connect(app.url, **attributes)
        assert client.get("/ok").text == "ok"
        options = tcp_options(app.port)
        assert bool(options["nodelay"]) == bool(nodelay)
        assert bool(options["keepalive"]) == bool(keepalive)
        if keepalive:
            assert options["idle"] == keepalive


# Idle connections


@pytest.mark.parametrize("kind", ["HTTP/1.1", "TLS", "HTTP/2"])
def test_idle_connections_are_closed_if_wanted(
    listen: Listen, http2_script: Listen, connect: Connect, kind: str
) -> None:
    attributes: dict[str, Any] = {"idle_timeout": 0.5}
    if kind == "HTTP/2":
        answers: list[list[Any]] = [["request"], ["pause", 0.7], ["answer"]]
        port = http2_script([["preface"], *answers * 3, ["drain"]])
        attributes["http2"] = "prior-knowledge"
    else:
        port = listen(certificate="localhost.pem" if kind == "TLS" else "")
    client = connect(port, **attributes)
    for number in range(1, 3):
        for _ in range(2):  # it is not idle while a response is waited for
            assert client.get("/ok?delay=0.7").text == "ok"
        assert port.counts()["connections"] == number
        wait_until(lambda: not port.counts()["open"], "the connection is closed")
    if kind == "HTTP/2":
        assert [frame["code"] for frame in sent(port, "GOAWAY")] == [0, 0]


def test_idle_connections_of_libcurl_are_closed_if_wanted(listen: Listen, connect: Connect) -> None:
    port = listen()
    client = connect(port, idle_timeout=0.2)
    for number in range(1, 3):
        for _ in range(2):
            response = client.get("/ok?delay=0.5", auth=DigestAuth("a", "b"))
            assert (response.status_code, response.text) == (200, "ok")
        assert port.counts()["connections"] == number
        wait_until(lambda: not port.counts()["open"], "the connection is closed")


# Values that can't be


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"source_addresses": "127.0.0.1"}, "source_addresses is a list"),
        ({"source_addresses": ["localhost"]}, "source_addresses: 'localhost' is no IPv4 or IPv6"),
        ({"source_addresses": ["127.0.0.1/8"]}, "source_addresses: '127.0.0.1/8' is no IPv4"),
        ({"source_addresses": [5]}, "source_addresses: 5 is no IPv4"),
        ({"source_addresses": ["fe80::1%none"]}, "source address fe80::1%none can't be used"),
        ({"source_addresses": 5}, "source_addresses is a list of addresses, not int"),
        ({"source_addresses": iter(["127.0.0.1"])}, "source_addresses is a list of addresses, not"),
        ({"unix_socket": ""}, "unix_socket is empty"),
        ({"unix_socket": "@"}, "unix_socket is empty"),
        ({"unix_socket": 5}, "unix_socket is a path, not int"),
        ({"unix_socket": "a\0b"}, "unix_socket has a NUL"),
        ({"unix_socket": "/" + 107 * "x"}, "unix_socket is longer than 107 bytes"),
        ({"resolve": ["a:127.0.0.1"]}, "resolve is a dict"),
        ({"resolve": {"a": "b.example"}}, r"resolve\['a'\]: 'b.example' is no IPv4"),
        ({"resolve": {"a": []}}, r"resolve\['a'\] has no address"),
        ({"resolve": {"a": None}}, r"resolve\['a'\] is a list of addresses, not NoneType"),
        ({"resolve": {"a": iter(["127.0.0.1"])}}, r"resolve\['a'\] is a list of addresses, not"),
        ({"resolve": {"ü" * 99: "127.0.0.1"}}, "resolve: 'ü*' is no name of a host"),
        ({"resolve": {"a:0": "127.0.0.1"}}, "resolve: 'a:0' has no valid port"),
        ({"resolve": {"a:65536": "127.0.0.1"}}, "resolve: 'a:65536' has no valid port"),
        ({"resolve": {"a:http": "127.0.0.1"}}, "resolve: 'a:http' is neither host nor host:port"),
        ({"resolve": {"": "127.0.0.1"}}, "resolve: '' is neither host nor host:port"),
        ({"idle_timeout": 0}, "idle_timeout is 0.001 to 1000000 seconds, not 0"),
        ({"idle_timeout": "1"}, "idle_timeout is a number of seconds or None"),
        ({"tcp_keepalive": 0}, "tcp_keepalive is 1 to 32767 seconds, not 0"),
        ({"tcp_keepalive": 40000}, "tcp_keepalive is 1 to 32767 seconds, not 40000"),
        ({"tcp_keepalive": float("nan")}, "tcp_keepalive is 1 to 32767 seconds"),
        ({"tcp_keepalive": "60"}, "tcp_keepalive is a number of seconds"),
        ({"tcp_keepalive": True}, "tcp_keepalive is a number of seconds"),
    ],
)
def test_values_that_cannot_be(
    app: Listener, connect: Connect, attributes: dict[str, Any], text: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=text):
        connect(app.url, **attributes).get("/ok")
    assert app.counts()["connections"] == 0


def test_options_of_a_session(app: Listener, environment: Environment) -> None:
    from opscore_fast import FastHttpSession, HttpSession

    for session in (FastHttpSession, HttpSession):
        make: Any = session
        client = make(
            f"http://a.example:{app.port}",
            environment.events.request,
            None,
            resolve={"a.example": "127.0.0.1"},
        )
        assert client.get("/ok").text == "ok"
        with pytest.raises(TypeError, match="no_such_thing"):
            make(app.url, environment.events.request, None, no_such_thing=1)
