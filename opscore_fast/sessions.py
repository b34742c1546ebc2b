"""FastHttpSession: what a user's tasks make requests with."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import weakref
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Unpack
from urllib.parse import unquote, urlsplit, urlunsplit

from gevent.ssl import create_default_context
from locust.event import EventHook
from locust.user import User

from opscore_fast import engines, options
from opscore_fast._core import FastSession, Pool, SchemeAuth
from opscore_fast._version import __version__
from opscore_fast.auth import login
from opscore_fast.base_session import BaseSession, has_own_context
from opscore_fast.bodies import basic_auth
from opscore_fast.exceptions import unsupported
from opscore_fast.transport import TransportOptions, proxy_url


class _ClientPool:
    """``session.client.clientpool``: as much of geventhttpclient's as locustfiles use."""

    def __init__(self, session: FastHttpSession) -> None:
        self._session = session

    def close(self) -> None:
        """Close the kept connections; the next request makes a new one."""
        self._session.pool.close_idle_connections()


class _Client:
    """``session.client``: as much of Locust's LocustUserAgent as locustfiles use."""

    def __init__(self, session: FastHttpSession) -> None:
        self.clientpool = _ClientPool(session)


class FastHttpSession(TransportOptions, BaseSession, FastSession):
    """A drop-in for locust.contrib.fasthttp.FastHttpSession, on the C engine.

    It is used by greenlets of one gevent hub, as many at a time as there are connections
    (concurrency); more wait. Its connections are its own.

    base_url: str that paths are put behind, with user and password if Basic authentication is
    wanted. request_event: EventHook to report requests to. user: the User it belongs to, or None.
    insecure: accept any certificate. network_timeout, connection_timeout: seconds, see
    FastHttpUser. max_redirects: int. max_retries: times that a request lost without an answer is
    sent again, if its method is idempotent. concurrency: connections to one origin
    at most. headers: dict that goes with every request. ssl_context_factory: called once for an
    ssl.SSLContext to use, as Locust's class does. max_response_headers, max_response_body: bytes, 0
    for the engine's defaults (64 KiB, 1 GiB). proxy_host, proxy_port: an HTTP proxy; proxy: the URL
    of one of any kind; proxy_auth: how to authenticate to it, see FastHttpUser. transport:
    "libcurl" to have that do every request. Others: opscore_fast.options.Options.

    Raises ValueError for values that can't be used, LocustError for what is not supported yet.
    """

    def __init__(
        self,
        base_url: str | None,
        request_event: EventHook,
        user: User | None,
        insecure: bool = True,
        client_pool: Any = None,
        ssl_context_factory: Callable[..., Any] | None = None,
        *,
        network_timeout: float = 60.0,
        connection_timeout: float = 60.0,
        max_redirects: int = 30,
        max_retries: int = 0,
        concurrency: int = 10,
        headers: dict[str, Any] | None = None,
        proxy_host: str | None = None,
        proxy_port: int | None = None,
        proxy: str | None = None,
        proxy_auth: str = "basic",
        transport: str | None = None,
        max_response_headers: int = 0,
        max_response_body: int = 0,
        **connection_options: Unpack[options.Options],
    ) -> None:
        if int(concurrency) < 1:
            raise ValueError(f"concurrency is 1 or more, not {concurrency}")
        base_url, authorization = _split_credentials(base_url)
        if client_pool is not None:
            options.refuse(connection_options, "client_pool")
            pool = _shared(client_pool)
        else:
            make_pool = partial(
                Pool,
                engines.current,
                connection_timeout=float(connection_timeout or 0),
                network_timeout=float(network_timeout or 0),
                concurrency=int(concurrency),
                max_headers=int(max_response_headers),
                max_body=int(max_response_body),
                **options.pool_arguments(
                    connection_options,
                    verify=not insecure,
                    ssl_context_factory=ssl_context_factory,
                ),
            )
            pool = options.shared(connection_options, user, make_pool)
        super().__init__(
            base_url=base_url,
            request_event=request_event,
            user=user,
            pool=pool,
            default_headers=_default_headers(headers),
            max_redirects=max(0, int(max_redirects)),
            max_retries=max(0, int(max_retries)),
            own_context=has_own_context(user),
        )
        self._auth: Any = None
        self.auth_header = authorization
        self._names_protocol = options.names_http_version(connection_options)
        self._set_transport(proxy_url(proxy, proxy_host, proxy_port), proxy_auth, transport)

    @property
    def auth(self) -> Any:
        """Credentials of the requests that have none of their own: a pair for Basic, an object of
        opscore_fast.auth, or one of requests' for Basic or Digest; None for none at all."""
        return self._auth

    @auth.setter
    def auth(self, value: Any) -> None:
        given = login(value)
        by_libcurl = isinstance(given, SchemeAuth)
        self.auth_header = None if by_libcurl or given is None else basic_auth(given)
        self._scheme_auth = given if by_libcurl else None
        self._auth = value

    @property
    def client(self) -> _Client:
        """As much of Locust's user agent as locustfiles use: ``client.clientpool.close()``."""
        return _Client(self)

    def iter_lines(self, url: str, method: str = "GET", **kwargs: Any) -> Generator[str]:
        """Send a request and yield the lines of its response while it comes, without their ends.

        kwargs: as of request(). Raises the error of a failed request.
        """
        response = self.request(method, url, stream=True, **kwargs)
        response.raise_for_status()
        rest = ""
        for piece in response.iter_content(chunk_size=1024, decode_content=True):
            rest += piece.decode(errors="replace") if isinstance(piece, bytes) else piece
            *lines, rest = rest.split("\n")
            yield from lines
        if rest:
            yield rest


# For each HTTPClientPool the pool that stands for it.
_shares: weakref.WeakKeyDictionary[Any, Pool] = weakref.WeakKeyDictionary()

# What an HTTPClientPool may be made with that has an equal here.
_POOL_ARGUMENTS = {
    "concurrency",
    "connection_timeout",
    "network_timeout",
    "insecure",
    "disable_ipv6",
    "ssl_context_factory",
    "ssl_options",
}


def _shared(client_pool: Any) -> Pool:
    """Return the pool that stands for a geventhttpclient HTTPClientPool."""
    arguments = getattr(client_pool, "client_args", None)
    if not isinstance(arguments, dict):
        raise TypeError("client_pool is a geventhttpclient HTTPClientPool")
    for what in arguments.keys() - _POOL_ARGUMENTS:
        raise unsupported(f"client_pool = HTTPClientPool({what}=...)")
    share = _shares.get(client_pool)
    if share is None:
        share = _shares[client_pool] = Pool(
            engines.current,
            connection_timeout=float(arguments.get("connection_timeout", 5.0)),
            network_timeout=float(arguments.get("network_timeout", 5.0)),
            concurrency=int(arguments.get("concurrency", 1)),
            verify=not arguments.get("insecure", False),
            **_share_tls(arguments),
        )
    return share


def _share_tls(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what an HTTPClientPool's ssl_context_factory and ssl_options are for Pool."""
    factory, given = arguments.get("ssl_context_factory"), arguments.get("ssl_options")
    if factory is None and not given:
        return {}
    given = dict(given or {})
    name = given.get("server_hostname")
    make_context = partial(
        options.make_context,
        factory or create_default_context,
        not arguments.get("insecure", False),
        cafile=given.get("ca_certs"),
        ssl_options=given,
    )
    return {"make_ssl_context": make_context, "server_name": name.encode() if name else None}


def _split_credentials(base_url: str | None) -> tuple[str | None, str | None]:
    """Take user and password out of a base URL; returns it and their Authorization value."""
    if not base_url:
        return base_url, None
    try:
        parts = urlsplit(base_url)
    except ValueError as error:
        raise ValueError(f"host is not a URL ({error})") from None
    if not (parts.username and parts.password):
        return base_url, None
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare), basic_auth((unquote(parts.username), unquote(parts.password)))


def _default_headers(headers: dict[str, Any] | None) -> list[tuple[bytes, bytes]]:
    """Return the headers of every request, the user's in the place of ours of the same name."""
    merged = {"user-agent": ("User-Agent", f"opscore-fast/{__version__}")}
    try:
        given = dict(headers or {})
    except (TypeError, ValueError):
        raise TypeError(f"headers is a dict, not {type(headers).__name__}") from None
    for name, value in given.items():
        merged[str(name).lower()] = (str(name), value if isinstance(value, str) else str(value))
    try:
        return [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in merged.values()
        ]
    except UnicodeEncodeError:
        raise ValueError("default_headers have a character outside ISO-8859-1") from None
