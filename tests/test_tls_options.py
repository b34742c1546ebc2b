"""The TLS options of both user classes, and Python's SSLContext in their place."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Any

import gevent.ssl
import pytest
from conftest import Listen
from geventhttpclient.client import HTTPClientPool
from helpers import LOCUST, OURS, Connect, Users, make_user
from locust.env import Environment
from locust.exception import LocustError
from servers import CERTIFICATES, Listener

AUTHORITY = CERTIFICATES / "authority.pem"
CLIENT = CERTIFICATES / "client.pem"
LOCKED = CERTIFICATES / "client-locked.pem"
PASSWORD = "correct horse"


def error_of(response: Any) -> Any:
    """What came in the place of a response: ours, or what requests has for it."""
    assert response.error is not None
    return response.error


def totals() -> dict[str, int]:
    from opscore_fast import engines

    return engines.current().totals()


# Client certificates


@pytest.mark.parametrize(
    "given",
    [
        str(CLIENT),
        CLIENT,
        (CLIENT, CLIENT),
        (str(LOCKED), str(LOCKED), PASSWORD),
        (CLIENT, LOCKED, PASSWORD),
    ],
)
@pytest.mark.parametrize("highest", ["TLSv1_2", "TLSv1_3"])
def test_client_certificate(listen: Listen, connect: Connect, given: Any, highest: str) -> None:
    app = listen(certificate="localhost.pem", client_authority="authority.pem", highest=highest)
    client = connect(app, client_cert=given)
    assert [client.get("/ok").text for _ in range(2)] == ["ok"] * 2
    [peer] = app.counts()["peers"]
    assert (peer["client"], peer["version"]) == ("client", highest.replace("_", "."))


@pytest.mark.parametrize("given", [None, CERTIFICATES / "self-signed.pem"])
@pytest.mark.parametrize("highest", ["TLSv1_2", "TLSv1_3"])
def test_client_certificate_refused(
    listen: Listen, connect: Connect, given: Any, highest: str
) -> None:
    app = listen(certificate="localhost.pem", client_authority="authority.pem", highest=highest)
    response = connect(app, client_cert=given).get("/ok")
    assert response.status_code == 0
    # By TLS 1.3 the server says so behind the handshake, and a reset may overtake its words.
    text = str(error_of(response))
    assert "TLS with" in text or "connection" in text.lower()
    assert app.counts()["requests"] == 0


def test_client_certificate_of_a_request(listen: Listen, environment: Environment) -> None:
    """requests' cert= goes before the user's client_cert."""
    from opscore_fast import HttpUser

    app = listen(certificate="localhost.pem", client_authority="authority.pem")
    url = app.url
    made = type("TestedUser", (HttpUser,), {"host": url})(environment)
    client = made.client
    assert client.get("/ok", verify=False, cert=str(CLIENT)).text == "ok"
    assert client.get("/ok", verify=False, cert=(str(CLIENT), str(CLIENT))).text == "ok"
    assert client.get("/ok", verify=False).status_code == 0
    client.cert = str(CLIENT)
    assert client.get("/ok", verify=str(AUTHORITY)).text == "ok"
    with pytest.raises(OSError, match="TLS key file, invalid path: /nowhere"):
        client.get("/ok", verify=False, cert=(str(CLIENT), "/nowhere"))


BAD_CERTIFICATES = [
    ("/nowhere.pem", r"client_cert: there is no file /nowhere\.pem"),
    ((CLIENT, "/nowhere.key"), r"client_cert: there is no file /nowhere\.key"),
    ((CLIENT,), "client_cert is a path"),
    (5, "client_cert is a path, not int"),
    ((LOCKED, LOCKED, 5), "client_cert: the password"),
    ((LOCKED, LOCKED, "secret\0"), "client_cert: the password"),
    ((LOCKED, LOCKED, "secret\udcff"), "client_cert: the password can't be written in UTF-8"),
    ("-----BEGIN PRIVATE KEY-----\nsecret\n", "client_cert is the path of a PEM file, not what"),
    ("-----BEGIN PRIVATE KEY-----\nsecret\n" * 99, "client_cert is the path of a PEM file, not"),
    ("/" + "x" * 300, "client_cert: there is no file /xxx"),
    ((CLIENT, AUTHORITY), r"client key .*authority\.pem can't be loaded: no private key in it"),
    (CERTIFICATES / "client-rsa.key", r"client certificate .*client-rsa\.key can't be loaded"),
    ((CLIENT, CERTIFICATES / "localhost.pem"), r"client key .*localhost\.pem does not belong to"),
    ((CLIENT, CERTIFICATES / "client-rsa.key"), r"client-rsa\.key does not belong to"),
    (LOCKED, r"client key .*client-locked\.pem can't be decrypted: it needs a password"),
    ((LOCKED, LOCKED, "secret"), r"client-locked\.pem can't be decrypted: the password is wrong"),
]


@pytest.mark.parametrize(("given", "text"), BAD_CERTIFICATES)
def test_client_certificate_that_is_none(
    listen: Listen, connect: Connect, given: Any, text: str
) -> None:
    """Before anything is sent, in words that name the file and no password."""
    app = listen(certificate="localhost.pem")
    with pytest.raises((ValueError, TypeError), match=text) as raised:
        connect(app, client_cert=given).get("/ok")
    assert "secret" not in str(raised.value)
    assert app.counts()["connections"] == 0


@pytest.mark.parametrize("length", [1, 99])
def test_a_key_in_the_place_of_its_path(
    listen: Listen, environment: Environment, length: int
) -> None:
    """Of requests' cert and verify: in no text."""
    from opscore_fast import HttpUser

    app = listen(certificate="localhost.pem")
    client = type("TestedUser", (HttpUser,), {"host": app.url})(environment).client
    key = "-----BEGIN PRIVATE KEY-----\nsecret\n" * length
    settings: list[dict[str, Any]] = [
        {"verify": False, "cert": key},
        {"verify": False, "cert": (str(CLIENT), key)},
        {"verify": key},
        {"verify": key.encode()},
    ]
    for given in settings:
        with pytest.raises(OSError, match=r"invalid path: \(what is in a PEM file\)") as raised:
            client.get("/ok", **given)
        assert "secret" not in str(raised.value)


def test_a_path_that_is_no_utf8(connect: Connect, listen: Listen, tmp_path: Path) -> None:
    app = listen(certificate="localhost.pem")
    path = tmp_path / os.fsdecode(b"\xff.pem")
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"client certificate .*\.pem can't be loaded"):
        connect(app, client_cert=path).get("/ok")


def test_nobody_is_asked_for_a_password(listen: Listen, connect: Connect) -> None:
    """OpenSSL's own way with a locked key is to ask at the terminal."""
    app = listen(certificate="localhost.pem")
    for _ in range(2):
        with pytest.raises(ValueError, match="it needs a password"):
            connect(app, client_cert=LOCKED).get("/ok")


# What is spoken


def test_server_name(listen: Listen, connect: Connect) -> None:
    app = listen(certificate="localhost.pem")
    assert connect(app, tls_server_name="any.example").get("/ok").text == "ok"
    assert app.counts()["server_names"] == ["any.example"]


def test_server_name_is_what_is_checked(listen: Listen, environment: Environment) -> None:
    app = listen(certificate="elsewhere.pem")
    options = {"insecure": False, "ca_bundle": AUTHORITY}
    for name, accepted in (("elsewhere.example", True), ("localhost", False), (None, False)):
        user = make_user(OURS, app.url, environment, tls_server_name=name, **options)
        assert (user.client.get("/ok").text == "ok") is accepted, name


def test_ca_bundle_of_the_user(listen: Listen, connect: Connect) -> None:
    app = listen(certificate="localhost.pem")
    options: dict[str, Any] = {"insecure": False, "verify": True, "ca_bundle": AUTHORITY}
    assert connect(app, **options).get("/ok").text == "ok"
    options["ca_bundle"] = None
    assert connect(app, **options).get("/ok").status_code == 0


def test_versions(listen: Listen, connect: Connect) -> None:
    old, new = (
        listen(certificate="localhost.pem", highest=highest) for highest in ("TLSv1_2", "TLSv1_3")
    )
    assert connect(old, tls_min_version="1.2").get("/ok").text == "ok"
    assert connect(new, tls_min_version="1.3").get("/ok").text == "ok"
    assert connect(new, tls_max_version="1.2").get("/ok").text == "ok"
    response = connect(old, tls_min_version="1.3").get("/ok")
    assert "TLS with" in str(error_of(response))
    versions = [peer["version"] for app in (old, new) for peer in app.counts()["peers"]]
    assert versions == ["TLSv1.2", "TLSv1.3", "TLSv1.2"]


@pytest.mark.parametrize(
    ("ciphers", "highest", "cipher"),
    [
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("ECDHE+AESGCM:!AES256", "TLSv1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("TLS_AES_128_GCM_SHA256", "TLSv1_3", "TLS_AES_128_GCM_SHA256"),
        (
            "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_CHACHA20_POLY1305_SHA256",
            "TLSv1_3",
            "TLS_CHACHA20_POLY1305_SHA256",
        ),
    ],
)
def test_ciphers(listen: Listen, connect: Connect, ciphers: str, highest: str, cipher: str) -> None:
    app = listen(certificate="localhost.pem", highest=highest)
    assert connect(app, tls_ciphers=ciphers).get("/ok").text == "ok"
    assert [peer["cipher"] for peer in app.counts()["peers"]] == [cipher]


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"tls_min_version": "1.4"}, "tls_min_version is one of 1.0, 1.1, 1.2, 1.3, not '1.4'"),
        ({"tls_max_version": 1.2}, "tls_max_version is one of"),
        ({"tls_max_version": ["1.2"]}, "tls_max_version is one of"),
        ({"tls_min_version": "1.3", "tls_max_version": "1.2"}, "tls_max_version is below"),
        ({"tls_ciphers": ""}, "tls_ciphers names no cipher"),
        ({"tls_ciphers": "NONSENSE"}, "TLS cipher list NONSENSE can't be used: no cipher match"),
        ({"tls_ciphers": "TLS_NONSENSE"}, "TLS 1.3 cipher suites TLS_NONSENSE can't be used"),
        ({"tls_ciphers": ["A"]}, "tls_ciphers is a str, not list"),
        ({"tls_server_name": ""}, "tls_server_name is no name"),
        ({"tls_server_name": "a b"}, "tls_server_name is no name"),
        ({"tls_server_name": "a\0b"}, "tls_server_name has a character"),
        ({"ca_bundle": "/nowhere"}, "ca_bundle is neither a file nor a directory: /nowhere"),
        ({"ca_bundle": "x" * 300}, "ca_bundle is neither a file nor a directory: xxx"),
    ],
)
def test_values_that_cannot_be(
    listen: Listen, connect: Connect, attributes: dict[str, Any], text: str
) -> None:
    app = listen(certificate="localhost.pem")
    with pytest.raises((ValueError, TypeError), match=text):
        connect(app, **attributes).get("/ok")
    assert app.counts()["connections"] == 0


# Sessions


@pytest.mark.parametrize("highest", ["TLSv1_2", "TLSv1_3"])
def test_sessions_are_resumed(listen: Listen, connect: Connect, highest: str) -> None:
    app = listen(certificate="localhost.pem", highest=highest)
    for wanted in (False, True):
        before = totals()
        client = connect(app, tls_session_resumption=wanted)
        assert [client.get("/ok?close").text for _ in range(4)] == ["ok"] * 4
        after = totals()
        assert after["handshakes"] - before["handshakes"] == 4
        assert after["resumed"] - before["resumed"] == (3 if wanted else 0)
    resumed = [peer["resumed"] for peer in app.counts()["peers"]]
    assert resumed == [False] * 5 + [True] * 3


def test_sessions_are_each_users_own(listen: Listen, connect: Connect) -> None:
    app = listen(certificate="localhost.pem")
    clients = [connect(app, tls_session_resumption=True) for _ in range(2)]
    for _ in range(2):
        for client in clients:
            assert client.get("/ok?close").text == "ok"
    assert [peer["resumed"] for peer in app.counts()["peers"]] == [False, False, True, True]


# An SSLContext of the user's


def with_certificate(**_: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.load_cert_chain(CLIENT)
    return context


@pytest.mark.parametrize("insecure", [True, False])
def test_context(users: Users, listen: Listen, environment: Environment, insecure: bool) -> None:
    """Its trust, its client certificate, its versions: with both classes alike."""

    def factory(**_: Any) -> ssl.SSLContext:
        context = with_certificate()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        return context

    app = listen(certificate="localhost.pem", client_authority="authority.pem")
    user = make_user(
        users,
        f"https://localhost:{app.port}",
        environment,
        ssl_context_factory=staticmethod(factory),
        insecure=insecure,
    )
    assert [user.client.get("/ok").text for _ in range(3)] == ["ok"] * 3
    [peer] = app.counts()["peers"]
    assert (peer["client"], peer["version"]) == ("client", "TLSv1.2")
    assert app.counts()["server_names"] == ["localhost"]


@pytest.mark.parametrize("create", [gevent.ssl.create_default_context, ssl.create_default_context])
def test_default_context(
    users: Users, listen: Listen, environment: Environment, create: Any
) -> None:
    """The chain is checked, which insecure alone doesn't change, and the name unless insecure."""
    calls: list[dict[str, Any]] = []

    def factory(**arguments: Any) -> Any:
        calls.append(arguments)
        return create(cafile=str(AUTHORITY))

    for certificate, insecure, accepted in (
        ("localhost", False, True),
        ("localhost", True, True),
        ("elsewhere", False, False),
        ("elsewhere", True, True),
        ("self-signed", True, False),
    ):
        app = listen(certificate=f"{certificate}.pem")
        options = {"ssl_context_factory": staticmethod(factory), "insecure": insecure}
        client = make_user(users, app.url, environment, **options).client
        response = client.get("/ok")
        assert (response.text == "ok") is accepted, (certificate, insecure, response.error)
        if not accepted:
            assert isinstance(response.error, ssl.SSLCertVerificationError)
    assert len(calls) == 5
    assert all(arguments.keys() == {"cafile"} for arguments in calls)


def test_factory_without_parameters(users: Users, listen: Listen, environment: Environment) -> None:
    app = listen(certificate="self-signed.pem")
    options = {"ssl_context_factory": staticmethod(lambda: gevent.ssl._create_unverified_context())}
    assert make_user(users, app.url, environment, **options).client.get("/ok").text == "ok"


def test_factory_as_a_method(users: Users, listen: Listen, environment: Environment) -> None:
    app = listen(certificate="localhost.pem", client_authority="authority.pem")

    def ssl_context_factory(self: Any, **_: Any) -> ssl.SSLContext:
        assert self.host == app.url
        return with_certificate()

    user = make_user(users, app.url, environment, ssl_context_factory=ssl_context_factory)
    assert user.client.get("/ok").text == "ok"


def test_context_with_other_options(listen: Listen, environment: Environment) -> None:
    app = listen(certificate="localhost.pem", client_authority="authority.pem")
    user = make_user(
        OURS,
        app.url,
        environment,
        ssl_context_factory=staticmethod(with_certificate),
        insecure=False,
        tls_session_resumption=True,
        tls_server_name="localhost",
    )
    for _ in range(3):
        assert user.client.get("/ok?close").text == "ok"
    assert app.counts()["server_names"] == ["localhost"] * 3
    assert [peer["resumed"] for peer in app.counts()["peers"]] == [False, True, True]


def test_context_of_many_users(listen: Listen, environment: Environment) -> None:
    """One context for all, which goes away while they use it; none of them changes it."""
    app = listen(certificate="localhost.pem", client_authority="authority.pem")
    context: ssl.SSLContext | None = with_certificate()
    options = {"ssl_context_factory": staticmethod(lambda **_: context)}
    clients = [make_user(OURS, app.url, environment, **options).client for _ in range(5)]
    assert [client.get("/ok?close").text for client in clients] == ["ok"] * 5
    assert context is not None
    assert context.session_stats()["number"] == 0
    context = None
    for _ in range(2):
        assert [client.get("/ok").text for client in clients] == ["ok"] * 5
    assert app.counts()["connections"] == 10


class NotAContext:
    check_hostname = False
    verify_mode = ssl.CERT_NONE

    def load_verify_locations(self, **_: Any) -> None:
        """As of a context."""


def logging(context: ssl.SSLContext, path: Path) -> ssl.SSLContext:
    context.keylog_filename = str(path)
    return context


def listening(context: ssl.SSLContext) -> ssl.SSLContext:
    context._msg_callback = lambda *_: None  # type: ignore[attr-defined]
    return context


def authenticating(context: ssl.SSLContext) -> ssl.SSLContext:
    context.post_handshake_auth = True
    return context


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda _: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "the context is for servers"),
        (lambda path: logging(ssl.create_default_context(), path), "logs its keys"),
        (lambda _: listening(ssl.create_default_context()), "has a message callback"),
        (lambda _: authenticating(ssl.create_default_context()), "post-handshake authentication"),
        (lambda _: NotAContext(), "returned a NotAContext, not an ssl.SSLContext"),
        (lambda _: None, "returned a NoneType, not an ssl.SSLContext"),
    ],
)
def test_contexts_that_cannot_be(
    app: Listener, environment: Environment, tmp_path: Path, made: Any, reason: str
) -> None:
    options = {"ssl_context_factory": staticmethod(lambda **_: made(tmp_path / "keys"))}
    with pytest.raises(LocustError, match=f"ssl_context_factory can't be honoured.*{reason}"):
        make_user(OURS, app.url, environment, **options).client.get("/ok")


def test_key_log_from_later_on(listen: Listen, environment: Environment, tmp_path: Path) -> None:
    """Its callback would take our connections for Python's own: none is made any more."""
    app = listen(certificate="localhost.pem")
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    options = {"ssl_context_factory": staticmethod(lambda **_: context)}
    client = make_user(OURS, app.url, environment, **options).client
    assert client.get("/ok?close").text == "ok"
    logging(context, tmp_path / "keys")
    assert "logs its keys" in str(error_of(client.get("/ok")))
    context.keylog_filename = None  # type: ignore[assignment]
    assert client.get("/ok").status_code in (0, 200)


def test_message_callback_from_later_on(listen: Listen, environment: Environment) -> None:
    app = listen(certificate="localhost.pem")
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    options = {"ssl_context_factory": staticmethod(lambda **_: context)}
    client = make_user(OURS, app.url, environment, **options).client
    assert client.get("/ok?close").text == "ok"
    listening(context)
    assert client.get("/ok").text == "ok"


def test_another_openssl(
    app: Listener, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if Python's module were a file that is linked with another one, or with none."""
    import _ssl

    import opscore_fast

    def refused() -> None:
        with pytest.raises(LocustError, match="Python's ssl module uses another OpenSSL library"):
            make_user(
                OURS, app.url, environment, ssl_context_factory=ssl.create_default_context
            ).client.get("/ok")

    options = {"ssl_context_factory": staticmethod(ssl.create_default_context)}
    make_user(OURS, app.url, environment, **options).client.get("/ok")
    for file in ("/nowhere.so", opscore_fast.engines.__file__, sys.modules["zlib"].__file__):
        monkeypatch.setattr(_ssl, "__file__", file, raising=False)
        with pytest.raises(LocustError, match="Python's ssl module uses another OpenSSL library"):
            make_user(OURS, app.url, environment, **options).client.get("/ok")
    monkeypatch.delattr(_ssl, "__file__", raising=False)
    monkeypatch.setattr(_ssl, "OPENSSL_VERSION", "OpenSSL 0.9.8")
    with pytest.raises(LocustError, match="Python's ssl module uses another OpenSSL library"):
        make_user(OURS, app.url, environment, **options).client.get("/ok")


def test_object_that_disagrees_with_its_context(app: Listener, environment: Environment) -> None:
    class Liar(ssl.SSLContext):
        options = property(lambda _: 1, lambda *_: None)  # type: ignore[assignment]

    options = {"ssl_context_factory": staticmethod(lambda **_: Liar(ssl.PROTOCOL_TLS_CLIENT))}
    with pytest.raises(LocustError, match="says something else than its OpenSSL context"):
        make_user(OURS, app.url, environment, **options).client.get("/ok")


@pytest.mark.parametrize(
    "attributes",
    [
        {"client_cert": CLIENT},
        {"tls_min_version": "1.2"},
        {"tls_max_version": "1.3"},
        {"tls_ciphers": "DEFAULT"},
    ],
)
def test_what_is_the_contexts_own(
    app: Listener, environment: Environment, attributes: dict[str, Any]
) -> None:
    options = {"ssl_context_factory": staticmethod(with_certificate), **attributes}
    with pytest.raises(ValueError, match=f"{next(iter(attributes))} has no effect with ssl_con"):
        make_user(OURS, app.url, environment, **options)


def test_errors_of_the_factory_are_its_own(
    users: Users, listen: Listen, environment: Environment
) -> None:
    app = listen(certificate="localhost.pem")

    def factory(**_: Any) -> Any:
        raise RuntimeError("no certificate today")

    with pytest.raises(RuntimeError, match="no certificate today"):
        make_user(
            users, app.url, environment, ssl_context_factory=staticmethod(factory)
        ).client.get("/ok")


# Client pools


def test_client_pool_with_a_context(users: Users, listen: Listen, environment: Environment) -> None:
    app = listen(certificate="localhost.pem", client_authority="authority.pem")
    pool = HTTPClientPool(ssl_context_factory=with_certificate, insecure=True, concurrency=2)
    clients = [make_user(users, app.url, environment, client_pool=pool).client for _ in range(3)]
    assert [client.get("/ok").text for client in clients] == ["ok"] * 3
    assert app.counts()["connections"] == 1
    assert app.counts()["peers"][0]["client"] == "client"


def test_client_pool_with_ssl_options(
    users: Users, listen: Listen, environment: Environment
) -> None:
    app = listen(certificate="elsewhere.pem", client_authority="authority.pem")
    ssl_options = {
        "ca_certs": str(AUTHORITY),
        "certfile": str(CLIENT),
        "keyfile": str(CLIENT),
        "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "server_hostname": "elsewhere.example",
    }
    pool = HTTPClientPool(
        ssl_options=ssl_options, ssl_context_factory=gevent.ssl.create_default_context
    )
    assert make_user(users, app.url, environment, client_pool=pool).client.get("/ok").text == "ok"
    assert app.counts()["server_names"] == ["elsewhere.example"]
    assert app.counts()["peers"][0]["client"] == "client"


def test_options_beside_a_client_pool(app: Listener, environment: Environment) -> None:
    with pytest.raises(ValueError, match="client_cert has no effect with client_pool"):
        make_user(OURS, app.url, environment, client_pool=HTTPClientPool(), client_cert=CLIENT)


def test_locust_knows_none_of_this() -> None:
    """A locustfile that goes back to Locust's class says nothing wrong by these attributes."""
    from opscore_fast.options import ConnectionOptions

    names = {name for name in vars(ConnectionOptions) if not name.startswith("_")}
    assert not names & set(dir(LOCUST.user))
