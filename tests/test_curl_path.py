"""What goes by libcurl: proxies and authentication schemes, for both kinds of users.

`response.transport` tells the way; statuses, failures, texts and statistics are those of the fast
path. No credential reaches a text or a log.
"""

from __future__ import annotations

import gc
import logging
import re
import ssl
import textwrap
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import Listen
from helpers import finish, open_files, python, record_events, refusing_port, wait_until
from locust.env import Environment
from requests.auth import HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth
from servers import CERTIFICATES, Listener, Server

import opscore_fast
from opscore_fast import engines, exceptions
from opscore_fast.auth import DigestAuth, NegotiateAuth, NtlmAuth

LOGIN = "jane:p w/s3cret@"
QUOTED = "jane:p%20w%2Fs3cret%40"
SECRET = "s3cret"

KINDS = ("FastHttpUser", "HttpUser")

MakeClient = Callable[..., Any]


@pytest.fixture(scope="module")
def proxy_server() -> Iterator[Server]:
    server = Server("servers.proxy")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def login_server() -> Iterator[Server]:
    server = Server("servers.login")
    yield server
    server.stop()


@pytest.fixture
def proxy(proxy_server: Server) -> Iterator[Listen]:
    """Opens ports of the proxies, closed after the test."""
    listeners = []

    def listen(**options: Any) -> Listener:
        listeners.append(proxy_server.listen(**options))
        return listeners[-1]

    yield listen
    for listener in listeners:
        listener.close()


@pytest.fixture
def login(login_server: Server) -> Iterator[Listen]:
    """Opens ports of the server that wants to know who asks."""
    listeners = []

    def listen(**options: Any) -> Listener:
        listeners.append(login_server.listen(**options))
        return listeners[-1]

    yield listen
    for listener in listeners:
        listener.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Both user classes in turn."""
    return str(request.param)


@pytest.fixture
def client(kind: str, environment: Environment) -> MakeClient:
    """Makes a user of the class with the attributes; returns its client."""

    def make(url: str, **attributes: Any) -> Any:
        base = getattr(opscore_fast, kind)
        return type("TestedUser", (base,), {"host": url, **attributes})(environment).client

    return make


@pytest.fixture(autouse=True)
def _no_secrets(
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Fails a test in which a credential was logged or printed."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.delenv("OPSCORE_FAST_TRANSPORT", raising=False)
    yield
    captured = capsys.readouterr()
    for text in (caplog.text, captured.out, captured.err):
        assert SECRET not in text


def error_of(response: Any) -> Any:
    """The exception of a failed request, in whose texts there is no secret."""
    error = response.error
    assert error is not None
    for text in (str(error), repr(error), repr(vars(error))):
        assert SECRET not in text
        assert "jane" not in text
    return error


# Proxies


def test_the_fast_path_is_the_usual_one(client: MakeClient, app: Listener) -> None:
    response = client(app.url).get("/ok")
    assert response.transport == "opscore_fast"
    assert "libcurl" not in repr(response)


def test_forward_proxy(client: MakeClient, kind: str, app: Listener, proxy: Listen) -> None:
    through = proxy(login=LOGIN)
    c = client(app.url, proxy=f"http://{QUOTED}@127.0.0.1:{through.port}")
    for _ in range(2):
        response = c.post("/echo?x=1", data="hello", headers={"X-Own": "1"})
        assert response.transport == "libcurl"
        assert response.status_code == 200
    echo = response.json()
    assert (echo["method"], echo["target"], echo["body"]) == ("POST", "/echo?x=1", "hello")
    headers = dict(echo["headers"])
    assert headers["via"] == "1.1 proxy"
    assert headers["x-own"] == "1"
    assert headers["host"] == f"127.0.0.1:{app.port}"
    assert "proxy-authorization" not in headers
    assert through.requests()[0]["first"] == f"POST {app.url}/echo?x=1 HTTP/1.1"
    assert through.counts()["connections"] == 1
    assert SECRET not in str(c.proxy)
    if kind == "FastHttpUser":
        assert repr(response) == "<FastResponse [200] by libcurl>"


def test_the_same_request_reaches_the_server(client: MakeClient, app: Listener) -> None:
    echoes = []
    for transport in ("opscore_fast", "libcurl"):
        c = client(app.url, transport=transport)
        for method, kwargs in (
            ("GET", {}),
            ("POST", {"json": {"a": 1}}),
            ("POST", {"data": {"a": "1"}}),
            ("DELETE", {}),
            ("PUT", {"data": b"\0" * 100_000}),
        ):
            response = c.request(method, "/echo", **kwargs)
            assert response.transport == transport
            echo = response.json()
            echoes.append([echo[x] for x in ("method", "target", "headers", "body")])
    assert echoes[:5] == echoes[5:]


def test_proxy_host_and_port(environment: Environment, app: Listener, proxy: Listen) -> None:
    through = proxy()
    attributes = {"proxy_host": "127.0.0.1", "proxy_port": through.port}
    made = type("U", (opscore_fast.FastHttpUser,), {"host": app.url, **attributes})
    response = made(environment).client.get("/ok")
    assert (response.status_code, response.transport) == (200, "libcurl")
    assert through.requests()[0]["first"] == f"GET {app.url}/ok HTTP/1.1"


def test_half_a_proxy_is_refused(environment: Environment) -> None:
    made = type("U", (opscore_fast.FastHttpUser,), {"host": "http://x", "proxy_host": "y"})
    with pytest.raises(ValueError, match=r"^proxy_host and proxy_port go together"):
        made(environment)


@pytest.mark.parametrize("lag", [0, 0.2])
@pytest.mark.parametrize("certificate", ["", "localhost.pem"])
def test_connect(
    client: MakeClient, kind: str, listen: Listen, proxy: Listen, certificate: str, lag: float
) -> None:
    """Also where the server's session tickets come along with its answer, in one piece."""
    secure = listen(certificate="localhost.pem")
    through = proxy(certificate=certificate, login=LOGIN, lag=lag)
    scheme = "https" if certificate else "http"
    authority = str(CERTIFICATES / "authority.pem")
    own = {"ca_bundle": authority, "insecure": False} if kind == "FastHttpUser" else {}
    c = client(secure.url, proxy=f"{scheme}://{QUOTED}@127.0.0.1:{through.port}", **own)
    if kind == "HttpUser":
        c.verify = authority
    for _ in range(2):
        response = c.get("/echo", headers={"Authorization": "Bearer s3cret"})
        assert (response.error, response.transport) == (None, "libcurl")
    assert "proxy-authorization" not in dict(response.json()["headers"])
    [asked] = through.requests()
    assert asked["first"] == f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"
    names = {name for name, _ in asked["headers"]}
    assert names == {"host", "proxy-authorization", "proxy-connection"}
    assert through.counts() == {"connections": 1, "tunnels": 1}


def test_a_certificate_behind_a_proxy(
    environment: Environment, listen: Listen, proxy: Listen
) -> None:
    through = proxy()
    for certificate, text in (
        ("self-signed.pem", "self-signed certificate"),
        ("elsewhere.pem", "hostname mismatch"),
        ("expired.pem", "certificate has expired"),
    ):
        secure = listen(certificate=certificate)
        attributes = {
            "proxy": f"http://127.0.0.1:{through.port}",
            "insecure": False,
            "ca_bundle": str(CERTIFICATES / "authority.pem"),
        }
        made = type("U", (opscore_fast.FastHttpUser,), {"host": secure.url, **attributes})
        response = made(environment).client.get("/ok")
        error = error_of(response)
        assert isinstance(error, exceptions.CertificateError)
        assert re.search(text.replace("hostname", "(hostname|IP address)"), str(error))
        assert f"127.0.0.1:{secure.port}" in str(error)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_tls_options_by_a_proxy(
    environment: Environment, listen: Listen, proxy: Listen, scheme: str
) -> None:
    secure = listen(certificate="elsewhere.pem", client_authority="authority.pem")
    through = proxy(kind="http" if scheme == "http" else "socks5")
    options: dict[str, Any] = {
        "proxy": f"{scheme}://127.0.0.1:{through.port}",
        "insecure": False,
        "ca_bundle": CERTIFICATES / "authority.pem",
        "client_cert": CERTIFICATES / "client.pem",
        "tls_server_name": "elsewhere.example",
        "tls_max_version": "1.2",
        "tls_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384",
        "tls_session_resumption": True,
    }
    c = make_fast(environment, secure.url, **options)
    resumed = engines.current().totals()["resumed"]
    for _ in range(3):
        response = c.get("/echo?close")
        assert (response.error, response.transport) == (None, "libcurl")
    assert dict(response.json()["headers"])["host"] == f"127.0.0.1:{secure.port}"
    assert engines.current().totals()["resumed"] == resumed + 2
    counts = secure.counts()
    assert counts["server_names"] == ["elsewhere.example"] * 3
    assert {(peer["client"], peer["version"]) for peer in counts["peers"]} == {
        ("client", "TLSv1.2")
    }
    asked = through.requests()[0]
    if scheme == "http":
        assert asked["first"] == f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"
    else:
        assert (asked["host"], asked["port"]) == ("127.0.0.1", secure.port)
    del options["client_cert"]
    error = error_of(make_fast(environment, secure.url, **options).get("/ok"))
    assert isinstance(error, exceptions.TlsError | exceptions.ConnectionReset)


def test_a_context_of_python_by_a_proxy(
    environment: Environment, listen: Listen, proxy: Listen
) -> None:
    secure, through = listen(certificate="localhost.pem"), proxy()
    url = secure.url.replace("127.0.0.1", "localhost")
    for trusted in (True, False):
        context = ssl.create_default_context()
        if trusted:
            context.load_verify_locations(CERTIFICATES / "authority.pem")
        options = {
            "proxy": f"http://127.0.0.1:{through.port}",
            "ssl_context_factory": staticmethod(lambda context=context, **_: context),
        }
        response = make_fast(environment, url, **options).get("/ok")
        if trusted:
            assert (response.text, response.transport) == ("ok", "libcurl")
        else:
            assert isinstance(error_of(response), exceptions.CertificateError)


def test_given_addresses_by_a_proxy(environment: Environment, app: Listener, proxy: Listen) -> None:
    through = proxy(kind="socks5")
    options = {
        "proxy": f"socks5://proxy.example:{through.port}",
        "resolve": {"proxy.example": "127.0.0.1", "server.example": "127.0.0.1"},
    }
    c = make_fast(environment, f"http://server.example:{app.port}", **options)
    assert c.get("/ok").text == "ok"
    assert through.requests() == [{"host": "127.0.0.1", "port": app.port}]


def test_a_unix_socket(environment: Environment, listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    app = listen(unix=str(path))
    options: dict[str, Any] = {"unix_socket": path, "transport": "libcurl"}
    c = make_fast(environment, "http://nowhere.example", **options)
    assert [c.get("/ok").text for _ in range(3)] == ["ok"] * 3
    assert app.counts()["connections"] == 1
    options["unix_socket"] = tmp_path / "other"
    error = error_of(make_fast(environment, "http://nowhere.example", **options).get("/ok"))
    assert str(error).startswith("cannot connect to nowhere.example:80: No such file")


def test_an_untrusted_proxy(environment: Environment, app: Listener, proxy: Listen) -> None:
    through = proxy(certificate="self-signed.pem")
    attributes = {"proxy": f"https://127.0.0.1:{through.port}", "insecure": False}
    made = type("U", (opscore_fast.FastHttpUser,), {"host": app.url, **attributes})
    error = error_of(made(environment).client.get("/ok"))
    assert isinstance(error, exceptions.ProxyError)
    assert str(error) == (
        f"no way to 127.0.0.1:{app.port} by proxy https://127.0.0.1:{through.port}:"
        " self-signed certificate"
    )


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("login", ["", LOGIN])
def test_socks5(client: MakeClient, app: Listener, proxy: Listen, scheme: str, login: str) -> None:
    through = proxy(kind="socks5", login=login)
    host = "localhost" if scheme == "socks5" else "somewhere.example"
    at = f"{QUOTED}@" if login else ""
    c = client(f"http://{host}:{app.port}", proxy=f"{scheme}://{at}127.0.0.1:{through.port}")
    for _ in range(2):
        response = c.get("/echo")
        assert (response.status_code, response.transport) == (200, "libcurl")
    assert dict(response.json()["headers"])["host"] == f"{host}:{app.port}"
    [asked] = through.requests()
    assert asked["host"] == ("127.0.0.1" if scheme == "socks5" else host)


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that refuses connections."""
    with refusing_port() as port:
        yield port


def test_no_way_by_the_proxy(
    client: MakeClient, listen: Listen, proxy: Listen, closed: int
) -> None:
    secure = listen(certificate="localhost.pem")
    refusing = proxy(refuse=503)
    asking = proxy(login="jane:other")
    socks = proxy(kind="socks5", login="jane:other")
    blocking = proxy(kind="socks5", refuse=2)
    for scheme, port, text, status in (
        ("http", closed, "Connection refused", None),
        ("socks5", closed, "Connection refused", None),
        ("http", refusing.port, "it refused the tunnel (503)", 503),
        ("http", asking.port, "it asks for authentication (407)", 407),
        ("socks5", socks.port, "it did not accept user and password", None),
        ("socks5h", blocking.port, "its rules don't allow the connection", None),
    ):
        c = client(secure.url, proxy=f"{scheme}://{QUOTED}@127.0.0.1:{port}")
        c.verify = False
        error = error_of(c.get("/ok"))
        assert isinstance(error, exceptions.ProxyError)
        assert isinstance(error, requests.exceptions.ProxyError)
        assert str(error) == (
            f"no way to 127.0.0.1:{secure.port} by proxy {scheme}://127.0.0.1:{port}: {text}"
        )
        assert error.proxy_status == status


def test_a_name_that_the_proxy_has_not(client: MakeClient, app: Listener) -> None:
    error = error_of(client(app.url, proxy="http://nobody.invalid:1").get("/ok"))
    assert isinstance(error, exceptions.ProxyError)
    assert error.phase == "resolve"


def test_407_of_a_forward_proxy_is_a_response(
    client: MakeClient, app: Listener, proxy: Listen
) -> None:
    through = proxy(login="jane:other")
    response = client(app.url, proxy=f"http://{QUOTED}@127.0.0.1:{through.port}").get("/ok")
    assert response.status_code == 407
    assert SECRET not in str(response.error)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"ftp://{QUOTED}@x:1", "proxy has a scheme that is none of"),
        ("http://jane:s3cret@:1", "proxy is not a URL"),
        ("http://jane:p/s3cret@x:1", "proxy is not a URL"),
        ("http://jane:1/s3cret@x:1", "proxy has a character in its user or password that must be"),
        ("http://jane:1#s3cret@x:1", "proxy has a character in its user or password that must be"),
    ],
)
def test_proxies_that_are_none(client: MakeClient, url: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as raised:
        client("http://127.0.0.1", proxy=url)
    assert SECRET not in str(raised.value)


def test_the_environment_names_no_proxy(
    client: MakeClient, app: Listener, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed}")
    assert client(app.url, transport="libcurl").get("/ok").status_code == 200


def test_proxies_of_requests(environment: Environment, app: Listener, proxy: Listen) -> None:
    through = proxy(login=LOGIN)
    made = type("U", (opscore_fast.HttpUser,), {"host": app.url})
    c = made(environment).client
    url = f"http://{QUOTED}@127.0.0.1:{through.port}"
    response = c.get("/ok", proxies={"http": url, "https": url})
    assert (response.status_code, response.transport) == (200, "libcurl")
    c.proxies = {"http": f"127.0.0.1:{through.port}"}  # no scheme, no login
    assert c.get("/ok").status_code == 407
    c.auth = HTTPProxyAuth("jane", "p w/s3cret@")
    assert c.get("/ok").status_code == 200
    c.auth = None
    c.proxies = {"all": url}
    response = c.get("/redirect/1")
    assert (response.status_code, len(response.history)) == (200, 1)
    assert len(through.requests()) == 5
    assert "proxy-authorization" not in dict(app.requests()[-1]["headers"])
    c.proxies = {"http": "ftp://x"}
    with pytest.raises(requests.exceptions.InvalidProxyURL, match="proxy has a scheme"):
        c.get("/ok")
    c.proxies = {}
    assert c.get("/ok").transport == "opscore_fast"


def test_a_stream_by_a_proxy(client: MakeClient, app: Listener, proxy: Listen) -> None:
    through = proxy(kind="socks5")
    c = client(app.url, proxy=f"socks5://127.0.0.1:{through.port}")
    response = c.get("/ok?size=3000000", stream=True)
    assert response.transport == "libcurl"
    assert sum(map(len, response.iter_content(100_000))) == 3_000_000
    assert c.get("/ok?size=300000&coding=gzip").content[:3] == b"abc"


def test_a_body_that_is_made_while_it_is_sent(environment: Environment, app: Listener) -> None:
    made = type("U", (opscore_fast.HttpUser,), {"host": app.url, "transport": "libcurl"})
    c = made(environment).client
    response = c.post("/echo", data=iter([b"one", b"t" * 200_000, b"three"]))
    assert response.transport == "libcurl"
    echo = response.json()
    assert echo["body"] == "one" + "t" * 200_000 + "three"
    assert dict(echo["headers"])["transfer-encoding"] == "chunked"
    assert "expect" not in dict(echo["headers"])


def test_retries_and_counts(environment: Environment, hostile: Listen) -> None:
    good = [["request"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]]
    server = hostile([*good, ["request"], ["close"]], good)
    fired = record_events(environment)
    made = type(
        "U",
        (opscore_fast.FastHttpUser,),
        {"host": server.url, "max_retries": 1, "transport": "libcurl"},
    )
    c = made(environment).client
    assert c.get("/").retries == 0
    assert c.get("/").retries == 1
    lost = c.post("/", data="x")
    assert [event["exception"] for event in fired[:2]] == [None, None]
    assert lost.transport == "libcurl"
    assert server.counts()["requests"] in (3, 4)


def test_transport_by_the_environment(
    client: MakeClient, app: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSCORE_FAST_TRANSPORT", "libcurl")
    assert client(app.url).get("/ok").transport == "libcurl"
    monkeypatch.setenv("OPSCORE_FAST_TRANSPORT", "pigeon")
    with pytest.raises(ValueError, match="transport is 'opscore_fast' or 'libcurl'"):
        client(app.url)


# Authentication


def challenges(port: Listener) -> int:
    """Requests so far that were answered with 401."""
    return sum(not request["authorization"] for request in port.requests())


def test_digest_by_request(client: MakeClient, login: Listen) -> None:
    port = login(password="s3cret")
    c = client(port.url)
    for _ in range(3):
        response = c.post("/a?b=c", data="hello", auth=DigestAuth("jane", "s3cret"))
        assert (response.status_code, response.transport) == (200, "libcurl")
        assert response.json() == {"method": "POST", "target": "/a?b=c", "body": "hello"}
    assert challenges(port) == 1
    assert client(port.url).get("/", auth=DigestAuth("jane", "other")).status_code == 401
    response = c.get("/")
    assert (response.status_code, response.transport) == (401, "opscore_fast")


def test_digest_for_all_requests(client: MakeClient, login: Listen, app: Listener) -> None:
    port = login(password="s3cret")
    c = client(port.url)
    c.auth = DigestAuth("jane", "s3cret")
    assert c.get("/x").json()["target"] == "/x"
    assert SECRET not in repr(c.auth)
    c.auth = ("jane", "s3cret")
    assert c.get("/x").status_code == 401
    assert port.requests()[-1]["authorization"].startswith("Basic ")
    c.auth = None
    assert c.get("/x").status_code == 401
    assert port.requests()[-1]["authorization"] == ""


def test_auth_of_requests(environment: Environment, login: Listen, app: Listener) -> None:
    port = login(password="s3cret")
    c = make_fast(environment, port.url)
    assert c.get("/", auth=HTTPDigestAuth("jane", "s3cret")).status_code == 200
    assert c.get("/", auth=HTTPBasicAuth("jane", "s3cret")).status_code == 401
    assert port.requests()[-1]["authorization"].startswith("Basic ")
    c.auth = HTTPDigestAuth("jane", "s3cret")
    assert c.get("/").status_code == 200


def test_proxy_auth_of_requests(environment: Environment, app: Listener, proxy: Listen) -> None:
    through = proxy(login=LOGIN)
    c = make_fast(environment, app.url, proxy=f"http://127.0.0.1:{through.port}")
    assert c.get("/ok").status_code == 407
    assert c.get("/ok", auth=HTTPProxyAuth("jane", "p w/s3cret@")).status_code == 200
    assert "proxy-authorization" not in dict(app.requests()[-1]["headers"])


def make_fast(environment: Environment, url: str, **attributes: Any) -> Any:
    made = type("U", (opscore_fast.FastHttpUser,), {"host": url, **attributes})
    return made(environment).client


def test_credentials_stay_with_their_origin(
    client: MakeClient, login: Listen, hostile: Listen
) -> None:
    port = login(password="s3cret")
    moved = f"HTTP/1.1 302 Found\r\nLocation: {port.url}/\r\nContent-Length: 0\r\n\r\n"
    redirecting = hostile([["request"], ["send", moved]])
    response = client(redirecting.url).get("/", auth=DigestAuth("jane", "s3cret"))
    assert response.status_code == 401
    assert not any(request["authorization"] for request in port.requests())


def test_ntlm(client: MakeClient, login: Listen) -> None:
    port = login(scheme="ntlm")
    response = client(port.url).post("/", data="hello", auth=NtlmAuth(r"WORK\jane", "s3cret"))
    said = [request["authorization"] for request in port.requests()]
    assert b64decode(said[0][5:])[:12] == b"NTLMSSP\0\1\0\0\0"
    assert b64decode(said[-1][5:])[8] == 3
    assert (response.status_code, response.json()["body"]) == (200, "hello")
    assert port.counts()["connections"] == 1


def test_negotiate_without_a_ticket(
    client: MakeClient, login: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", "FILE:/nowhere")
    port = login(scheme="negotiate")
    response = client(port.url).get("/", auth=NegotiateAuth())
    assert (response.status_code, response.transport) == (401, "libcurl")
    assert not any(request["authorization"] for request in port.requests())


def test_auth_takes_only_texts() -> None:
    with pytest.raises(TypeError, match="user and password are str"):
        DigestAuth("jane", None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="null character"):
        DigestAuth("jane", "a\0b")


# What is left behind


def test_nothing_is_left_behind(environment: Environment, app: Listener, proxy: Listen) -> None:
    through = proxy()
    made = make_fast(environment, app.url, proxy=f"http://127.0.0.1:{through.port}")
    made.get("/ok")
    before = open_files()
    for _ in range(3):
        c = make_fast(environment, app.url, proxy=f"http://127.0.0.1:{through.port}")
        assert c.get("/ok").status_code == 200
        del c
        gc.collect()
    wait_until(lambda: open_files() <= before, "descriptors to be closed")
    assert engines.current().totals()["exchanges"] <= 2


def test_a_forked_child_leaves_the_parent_alone(
    listen: Listen, proxy: Listen, tmp_path: Path
) -> None:
    secure, through = listen(certificate="localhost.pem"), proxy()
    code = f"""
        import locust, os, sys
        from locust.env import Environment
        from opscore_fast import FastHttpUser
        class U(FastHttpUser):
            host = {secure.url!r}
            proxy = "http://127.0.0.1:{through.port}"
        client = U(Environment()).client
        assert client.get("/ok").status_code == 200
        if not (child := os.fork()):
            import gc
            try:
                client.get("/ok")
            except RuntimeError:
                del client
                gc.collect()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert client.get("/ok").status_code == 200
        print("good")
    """
    run = finish(python("-c", textwrap.dedent(code), cwd=tmp_path))
    assert run.output.endswith("good\n"), run.output
    assert through.counts() == {"connections": 1, "tunnels": 1}
