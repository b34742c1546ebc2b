"""What users of both kinds may say about their connections: HTTP/2, TLS and network.

`ConnectionOptions` is where the class attributes live, `Options` are the same as keyword arguments
of a session, and `pool_arguments` turns them into those of the C engine's Pool. A value that can't
be used is a ValueError (TypeError for one of the wrong type) that names the attribute.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypedDict, TypeVar, cast

from geventhttpclient.connectionpool import SSLConnectionPool, init_ssl_context
from locust.exception import LocustError

from opscore_fast import engines
from opscore_fast._core import Pool

StrPath = str | os.PathLike[str]
ClientCert = StrPath | tuple[StrPath, StrPath] | tuple[StrPath, StrPath, str]

CONNECTIONS_MAX = 65535

WINDOW_MAX = 2**31 - 1
"""Bytes: RFC 9113, 6.9.1."""

CONNECTION_WINDOW_MIN = 65535
"""Bytes: what a connection begins with (RFC 9113, 6.9.2)."""

KEEPALIVE_MAX = 32767
"""Seconds: what Linux takes."""


IDLE_MAX = 1_000_000
"""Seconds."""


class ConnectionOptions:
    """The class attributes of a user that say how its connections are made."""

    http2: bool | str | None = None
    """Speak HTTP/2. True or "auto": by https, with servers that choose it in the TLS handshake
    (ALPN), and HTTP/1.1 with others. "prior-knowledge": by https and http, with a server that is
    known to speak it. False: HTTP/1.1. None: what `python -m opscore_fast --http2` or the
    environment variable OPSCORE_FAST_HTTP2 says, or else HTTP/1.1. All that a user asks for at a
    time goes by one connection then. Requests that libcurl makes are HTTP/1.1 all the same."""

    http_version_in_name: bool | None = None
    """Have the statistics tell what was spoken: requests are counted by names such as
    "/v1/state [HTTP/2]" and "/v1/state [HTTP/1.1]". A request for which there was no connection, or
    none that speaks what was asked for, has its bare name. None: what `python -m opscore_fast
    --http-version-in-name` or the environment variable OPSCORE_FAST_HTTP_VERSION_IN_NAME (1 or 0)
    says, or else no."""

    connections: int | None = None
    """HTTP/2: all users of the class share so many connections, each of which carries as many
    requests at a time as the server allows; others wait, and the waiting is no part of their
    response time. If the server chooses HTTP/1.1 they are as many, and each carries one request.
    None: each user has a connection of its own."""

    http2_window: int | None = None
    """HTTP/2: bytes of one response that a server may send ahead of what has arrived, or of what a
    task has taken of a stream: SETTINGS_INITIAL_WINDOW_SIZE. None: 1 MiB."""

    http2_connection_window: int | None = None
    """HTTP/2: bytes of all responses on a connection that a server may send ahead, 65,535 or more.
    None: 16 MiB."""

    http2_streams: int | None = None
    """HTTP/2: requests that a connection carries at a time, if the server allows more; others wait.
    None: as many as the server allows."""

    idle_timeout: float | None = None
    """Seconds after which a connection that carries no request is closed; the next request makes a
    new one. None: it is kept until the server closes it."""

    ca_bundle: StrPath | None = None
    """PEM file, or directory of hashed certificates, to trust instead of the system's CAs when
    certificates are verified."""

    client_cert: ClientCert | None = None
    """Client certificate: a PEM file with the certificate, its chain and its private key; or
    (certificate, key); or (certificate, key, password of the key)."""

    tls_server_name: str | None = None
    """Name to tell the server (SNI) and to look for in its certificate, in the place of the URL's
    host."""

    tls_min_version: str | None = None
    """Lowest version of TLS to speak: "1.0", "1.1", "1.2" or "1.3". None: what the system's OpenSSL
    allows."""

    tls_max_version: str | None = None
    """Highest version of TLS to speak, likewise."""

    tls_ciphers: str | None = None
    """OpenSSL's cipher list, such as "ECDHE+AESGCM:!SHA1". Names that begin with TLS_ are of TLS
    1.3; without any, its ciphers are the default ones."""

    tls_session_resumption: bool = False
    """Resume TLS sessions: a user's next connection to a server takes up the session of one before,
    as browsers do, which saves the server most of a handshake. Each user has its own sessions."""

    source_addresses: Iterable[str] = ()
    """This machine's IPv4 and IPv6 addresses to connect from, in turn over all users. Each makes
    some 28,000 more connections to one server possible (net.ipv4.ip_local_port_range)."""

    unix_socket: StrPath | None = None
    """Unix socket to connect to, whatever the URL's host, which is only told to the server.
    "@name": an abstract one."""

    resolve: Mapping[str, str | Iterable[str]] | None = None
    """Addresses of hosts, as with curl's --resolve: {"host:port" or "host": address or addresses}.
    These hosts are never looked up."""

    tcp_keepalive: float | None = None
    """Seconds of silence after which TCP probes whether the server is still there (SO_KEEPALIVE).
    None: it doesn't."""

    tcp_nodelay: bool = True
    """Send everything at once (TCP_NODELAY). False lets the kernel hold small pieces back until
    what was sent before is acknowledged."""


class Options(TypedDict, total=False):
    """`ConnectionOptions` as keyword arguments."""

    http2: bool | str | None
    http_version_in_name: bool | None
    connections: int | None
    http2_window: int | None
    http2_connection_window: int | None
    http2_streams: int | None
    idle_timeout: float | None
    ca_bundle: StrPath | None
    client_cert: ClientCert | None
    tls_server_name: str | None
    tls_min_version: str | None
    tls_max_version: str | None
    tls_ciphers: str | None
    tls_session_resumption: bool
    source_addresses: Iterable[str]
    unix_socket: StrPath | None
    resolve: Mapping[str, str | Iterable[str]] | None
    tcp_keepalive: float | None
    tcp_nodelay: bool


_NAMES = tuple(Options.__annotations__)

_OF_SESSIONS = ("http_version_in_name",)
"""What is no matter of connections, which several may share."""

_IN_CONTEXT = ("client_cert", "tls_min_version", "tls_max_version", "tls_ciphers")
"""What an SSLContext says for itself."""

_HTTP2 = {"off": 0, "auto": 1, "prior-knowledge": 2}
"""By their names, opf_http2 of the engine."""

_VERSIONS = {"1.0": 1, "1.1": 2, "1.2": 3, "1.3": 4}
"""By their names, opf_tls_version of the engine."""


def of_user(user: ConnectionOptions) -> Options:
    """Return the options of a user's class attributes."""
    return cast(Options, {name: getattr(user, name) for name in _NAMES})


def refuse(options: Options, what: str) -> None:
    """Raise ValueError if any of the options is set, which has no effect with `what`."""
    for name, value in options.items():
        if name not in _OF_SESSIONS and value != getattr(ConnectionOptions, name):
            raise ValueError(f"{name} has no effect with {what}")


def pool_arguments(
    options: Options,
    *,
    verify: bool,
    ssl_context_factory: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments of Pool for a user's options.

    verify: check certificates. ssl_context_factory: as of Locust's FastHttpSession; it is called
    when the first request is made. Raises ValueError and TypeError.
    """
    for name in options.keys() - set(_NAMES):
        raise TypeError(f"no such option: {name}")
    http2 = _http2(options)
    arguments = {
        "http2": http2,
        "http2_connections": _http2_number(options, http2, "connections", 1, CONNECTIONS_MAX),
        "http2_window": _http2_number(options, http2, "http2_window", 1, WINDOW_MAX),
        "http2_connection_window": _http2_number(
            options, http2, "http2_connection_window", CONNECTION_WINDOW_MIN, WINDOW_MAX
        ),
        "http2_streams": _http2_number(options, http2, "http2_streams", 1, WINDOW_MAX),
        "idle_timeout": _seconds(options, "idle_timeout", 0.001, IDLE_MAX),
        "server_name": _text(options, "tls_server_name"),
        "tls_resume": bool(options.get("tls_session_resumption")),
        "sources": _source_addresses(options),
        "unix_path": _unix_socket(options),
        "resolve": _resolve(options),
        "keep_alive": round(_seconds(options, "tcp_keepalive", 1, KEEPALIVE_MAX)),
        "delay": not options.get("tcp_nodelay", True),
    }
    if ssl_context_factory is not None:
        return arguments | _context(options, verify, ssl_context_factory)
    tls: dict[str, Any] = {"verify": verify, **_trust(options), **_client_cert(options)}
    return arguments | tls | _spoken(options)


# HTTP/2


def _http2(options: Options) -> int:
    given = options.get("http2")
    name = "http2"
    if given is None:
        given = os.environ.get("OPSCORE_FAST_HTTP2") or False
        name = "OPSCORE_FAST_HTTP2"
    if isinstance(given, bool):
        given = "auto" if given else "off"
    if not isinstance(given, str) or given not in _HTTP2:
        raise ValueError(f"{name} is True, False, 'auto' or 'prior-knowledge', not {given!r}")
    return _HTTP2[given]


def _http2_number(options: Options, http2: int, name: str, least: int, most: int) -> int:
    """Return an option that only HTTP/2 has; 0 for None."""
    given = options.get(name)
    if given is None:
        return 0
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{name} is a number or None")
    if not least <= given <= most:
        raise ValueError(f"{name} is {least} to {most}, not {given}")
    if not http2:
        raise ValueError(f"{name} has no effect without http2")
    return given


def names_http_version(options: Options) -> bool:
    """Return whether requests are counted by name and by what was spoken.

    Raises ValueError and TypeError.
    """
    given = options.get("http_version_in_name")
    if given is None:
        text = os.environ.get("OPSCORE_FAST_HTTP_VERSION_IN_NAME") or "0"
        if text not in ("0", "1"):
            raise ValueError(f"OPSCORE_FAST_HTTP_VERSION_IN_NAME is 0 or 1, not {text!r}")
        return text == "1"
    if not isinstance(given, bool):
        raise TypeError(f"http_version_in_name is True, False or None, not {given!r}")
    return given


def describe_http2(options: Options, places: Iterable[str]) -> str:
    """Return in words which HTTP agents with these options speak to places (scheme://host)."""
    http2 = _http2(options)
    by_http = [place for place in places if place.startswith("http:")]
    if http2 == _HTTP2["prior-knowledge"]:
        spoken = "HTTP/2 with prior knowledge"
    elif http2 == _HTTP2["auto"]:
        spoken = "HTTP/2 by https, where the server chooses it"
        if by_http:
            spoken += f"; HTTP/1.1 to {', '.join(by_http)}"
    else:
        spoken = "HTTP/1.1"
    connections = options.get("connections")
    shared = f"{connections} connections for the agents of a thread"
    return f"{spoken}; {shared if connections else 'a connection for each agent'}"


_Shared = TypeVar("_Shared")
_shared: weakref.WeakKeyDictionary[type, tuple[int, Any]] = weakref.WeakKeyDictionary()


def shared(options: Options, user: Any, make: Callable[[], _Shared]) -> _Shared:
    """Return the connections that make() makes, or those which another user of the same class has
    made in this process, if the options say that they are shared."""
    if options.get("connections") is None or user is None:
        return make()
    process, found = _shared.get(type(user), (0, None))
    if process != os.getpid():
        found = make()
        _shared[type(user)] = (os.getpid(), found)
    return cast(_Shared, found)


# TLS


def _trust(options: Options) -> dict[str, bytes | None]:
    ca_bundle = options.get("ca_bundle")
    if ca_bundle is None:
        return {}
    path = _path("ca_bundle", ca_bundle)
    if os.path.isdir(path):  # noqa: PTH112, which raises for long ones
        return {"ca_dir": os.fsencode(path)}
    if os.path.isfile(path):  # noqa: PTH113
        return {"ca_file": os.fsencode(path)}
    raise ValueError(f"ca_bundle is neither a file nor a directory: {path}")


def _client_cert(options: Options) -> dict[str, bytes]:
    given = options.get("client_cert")
    if given is None:
        return {}
    if not isinstance(given, (tuple, list)):
        return {"cert_file": _file("client_cert", given)}
    if len(given) not in (2, 3):
        raise ValueError("client_cert is a path, (cert, key) or (cert, key, password)")
    arguments = {
        "cert_file": _file("client_cert", given[0]),
        "key_file": _file("client_cert", given[1]),
    }
    if len(given) == 3 and given[2] is not None:
        password = given[2]
        # Its text must not get into the exception's.
        if not isinstance(password, (str, bytes)) or not password:
            raise ValueError("client_cert: the password is a str that isn't empty")
        try:
            arguments["key_password"] = password.encode() if isinstance(password, str) else password
        except UnicodeEncodeError:
            raise ValueError("client_cert: the password can't be written in UTF-8") from None
        if b"\0" in arguments["key_password"]:
            raise ValueError("client_cert: the password has a NUL in it")
    return arguments


def _spoken(options: Options) -> dict[str, Any]:
    lowest, highest = _version(options, "tls_min_version"), _version(options, "tls_max_version")
    if highest and highest < lowest:
        raise ValueError("tls_max_version is below tls_min_version")
    names = [name for name in re.split("[:, ]", _str(options, "tls_ciphers") or "") if name]
    if options.get("tls_ciphers") is not None and not names:
        raise ValueError("tls_ciphers names no cipher")
    suites = [name for name in names if name.startswith("TLS_")]
    others = [name for name in names if not name.startswith("TLS_")]
    return {
        "min_version": lowest,
        "max_version": highest,
        "ciphers": ":".join(others).encode() or None,
        "ciphersuites": ":".join(suites).encode() or None,
    }


def _version(options: Options, name: str) -> int:
    version = options.get(name)
    if version is None:
        return 0
    if not isinstance(version, str) or version not in _VERSIONS:
        raise ValueError(f"{name} is one of {', '.join(_VERSIONS)}, not {version!r}")
    return _VERSIONS[version]


# An SSLContext of the user's


def _context(
    options: Options, verify: bool, factory: Callable[..., Any]
) -> dict[str, Callable[[], Any]]:
    for name in _IN_CONTEXT:
        if options.get(name) is not None:
            raise ValueError(f"{name} has no effect with ssl_context_factory: set the context up")
    trust = _trust(options)
    if "ca_dir" in trust:
        raise ValueError("ca_bundle is a file, not a directory, when there is ssl_context_factory")
    file = trust.get("ca_file")
    cafile = os.fsdecode(file) if file else None
    # At the first request, as with Locust's class: what the factory raises is the task's.
    return {"make_ssl_context": partial(make_context, factory, verify, cafile)}


def make_context(
    factory: Callable[..., Any],
    check_hostname: bool,
    cafile: str | None = None,
    ssl_options: dict[str, Any] | None = None,
) -> Any:
    """Make an SSLContext as geventhttpclient's pool does, and see whether it can be used.

    Raises LocustError if not, and what the factory raises.
    """
    context = init_ssl_context(
        _CheckedFactory(factory),
        cafile or SSLConnectionPool.default_options["ca_certs"],
        check_hostname=check_hostname,
        ssl_options=ssl_options,
    )
    for reason in _objections(context):
        raise _refused(reason)
    try:
        Pool(engines.current, ssl_context=context)
    except (TypeError, ValueError) as error:
        raise _refused(str(error)) from None
    return context


class _CheckedFactory:
    """A factory whose product is a context, before anything is set in it."""

    def __init__(self, factory: Callable[..., Any]) -> None:
        if not callable(factory):
            raise TypeError("ssl_context_factory is a function that returns an ssl.SSLContext")
        self._factory = factory

    def __call__(self, **arguments: Any) -> Any:
        context = self._factory(**arguments)
        if not isinstance(context, ssl.SSLContext):
            raise _refused(f"it returned a {type(context).__name__}, not an ssl.SSLContext")
        return context


def _objections(context: ssl.SSLContext) -> Iterable[str]:
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        yield "the context is for servers"
    # What is called back expects Python's own SSL objects.
    if context.keylog_filename is not None:
        yield "the context logs its keys (keylog_filename)"
    if context._msg_callback is not None:  # type: ignore[attr-defined]
        yield "the context has a message callback"
    if context.post_handshake_auth:
        yield "the context offers post-handshake authentication"


def _refused(reason: str) -> LocustError:
    return LocustError(
        f"ssl_context_factory can't be honoured by opscore_fast: {reason}."
        " Use ca_bundle, client_cert and the other TLS attributes, or locust.FastHttpUser"
    )


# Network


def _source_addresses(options: Options) -> list[bytes]:
    given = options.get("source_addresses")
    if isinstance(given, (str, bytes)):
        raise TypeError("source_addresses is a list of addresses")
    return [] if given is None else _addresses("source_addresses", given)


def _unix_socket(options: Options) -> bytes | None:
    given = options.get("unix_socket")
    if given is None:
        return None
    path = os.fsencode(_path("unix_socket", given))
    if path in (b"", b"@"):
        raise ValueError("unix_socket is empty")
    if len(path) > 107:
        raise ValueError(f"unix_socket is longer than 107 bytes: {os.fsdecode(path)}")
    return path


def _resolve(options: Options) -> list[tuple[bytes, int, bytes]]:
    given = options.get("resolve")
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise TypeError("resolve is a dict: {host:port or host: address}")
    entries = []
    for key, addresses in given.items():
        host, port = _host_and_port(key)
        if isinstance(addresses, (str, bytes)):
            addresses = [addresses]
        found = _addresses(f"resolve[{key!r}]", addresses)
        if not found:
            raise ValueError(f"resolve[{key!r}] has no address")
        entries += [(host, port, address) for address in found]
    return entries


def _host_and_port(key: Any) -> tuple[bytes, int]:
    match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]\s]+|[^\[\]\s]*::[^\[\]\s]*)(?::(\d+))?", str(key))
    if not match:
        raise ValueError(f"resolve: {key!r} is neither host nor host:port (IPv6 in brackets)")
    port = int(match[2]) if match[2] else 0
    if match[2] and not 0 < port < 65536:
        raise ValueError(f"resolve: {key!r} has no valid port")
    try:
        host = match[1].strip("[]").encode("ascii")
    except UnicodeEncodeError:
        try:
            host = match[1].encode("idna")
        except UnicodeError:
            raise ValueError(f"resolve: {key!r} is no name of a host") from None
    return host, port


def _seconds(options: Options, name: str, least: float, most: float) -> float:
    """Return an option that is a number of seconds; 0 for None."""
    seconds = options.get(name)
    if seconds is None:
        return 0
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} is a number of seconds or None")
    if not least <= seconds <= most:
        raise ValueError(f"{name} is {least:g} to {most} seconds, not {seconds:g}")
    return seconds


# Values


def _addresses(name: str, given: Any) -> list[bytes]:
    """Return the addresses of a list, and not of what can be gone through but once: the attribute
    is that of all users."""
    if not isinstance(given, Iterable) or isinstance(given, Iterator):
        raise TypeError(f"{name} is a list of addresses, not {type(given).__name__}")
    return [_address(name, address) for address in given]


def _address(name: str, given: Any) -> bytes:
    try:
        ipaddress.ip_address(str(given))
    except ValueError:
        raise ValueError(f"{name}: {given!r} is no IPv4 or IPv6 address") from None
    return str(given).encode()


def _path(name: str, given: Any) -> str:
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"{name} is a path, not {type(given).__name__}")
    path = os.fsdecode(given)
    if "\0" in path:
        raise ValueError(f"{name} has a NUL in it")
    if is_pem(path):
        raise ValueError(f"{name} is the path of a PEM file, not what is in the file")
    return path


def is_pem(given: Any) -> bool:
    """True for what was read from a PEM file and is given in the place of its path. It may be a
    private key, which must not get into a text."""
    return "-----BEGIN " in (given if isinstance(given, str) else repr(given))


def _file(name: str, given: Any) -> bytes:
    path = _path(name, given)
    if not os.path.isfile(path):  # noqa: PTH113, which raises for long ones
        raise ValueError(f"{name}: there is no file {path}")
    return os.fsencode(path)


def _str(options: Options, name: str) -> str | None:
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"{name} has a character that can't be in it")
    return value


def _text(options: Options, name: str) -> bytes | None:
    value = _str(options, name)
    if value is None:
        return None
    if not value or " " in value:
        raise ValueError(f"{name} is no name of a host: {value!r}")
    return value.encode()
