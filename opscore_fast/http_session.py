"""HttpSession: what an HttpUser's tasks make requests with."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import os
import weakref
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Unpack
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
from locust.event import EventHook
from locust.user import User
from requests.adapters import BaseAdapter
from requests.auth import HTTPBasicAuth
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import (
    InvalidProxyURL,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    RequestException,
)
from requests.hooks import default_hooks
from requests.sessions import merge_setting
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, extract_zipped_paths, select_proxy
from urllib3 import PoolManager
from urllib3.util import Timeout, parse_url

from opscore_fast import _core, engines, options
from opscore_fast._core import Pool, Proxy
from opscore_fast._version import __version__
from opscore_fast.base_session import BaseSession, has_own_context
from opscore_fast.cookies import RequestsCookieJar
from opscore_fast.exceptions import unsupported
from opscore_fast.http_response import ResponseContextManager, with_cookies
from opscore_fast.multipart import stream_files
from opscore_fast.transport import TransportOptions, proxy_of

# Bytes of a file that are read at a time.
_READ_SIZE = 64 << 10

# Connections to one origin at a time: as many as are asked for, as with requests.
_UNLIMITED = 2**31


class _Pools:
    """A user's connections, or those of all users that share a PoolManager.

    One pool for each set of TLS options, since these belong to a connection.
    """

    def __init__(self, limits: Mapping[str, int], connection_options: options.Options) -> None:
        self._limits: dict[str, Any] = {"connection_timeout": 0.0, "network_timeout": 0.0, **limits}
        self._options = connection_options
        self.plain = self._new(connection_options, False)
        self._by_tls: dict[Any, Pool] = {}

    def _new(self, connection_options: options.Options, verify: bool) -> Pool:
        arguments = options.pool_arguments(connection_options, verify=verify)
        return Pool(engines.current, **self._limits, **arguments)

    def under_tls(self, verify: Any, cert: Any) -> Pool:
        """Return the pool for requests' verify (bool or path) and cert (path, pair or None)."""
        key = verify, tuple(cert) if isinstance(cert, list) else cert
        pool = self._by_tls.get(key)
        if pool is None:
            given = with_tls(self._options, verify, cert)
            pool = self._by_tls[key] = self._new(given, bool(verify))
        return pool

    def close_idle_connections(self) -> None:
        for pool in (self.plain, *self._by_tls.values()):
            pool.close_idle_connections()


def with_tls(given: options.Options, verify: Any, cert: Any) -> options.Options:
    """Return the options with requests' verify and cert in them.

    Raises OSError for files that are not there, as requests does.
    """
    changed = given.copy()
    if not verify:
        changed["ca_bundle"] = None
    elif verify is not True or given.get("ca_bundle") is None:
        trusted = extract_zipped_paths(DEFAULT_CA_BUNDLE_PATH) if verify is True else verify
        if not os.path.exists(trusted):  # noqa: PTH110, which raises for long ones
            raise OSError(
                "Could not find a suitable TLS CA certificate bundle,"
                f" invalid path: {_shown_path(trusted)}"
            )
        changed["ca_bundle"] = trusted
    if cert:
        pair: Any = (cert, None) if isinstance(cert, str | os.PathLike) else cert
        for what, path in zip(("certificate", "key"), pair, strict=False):
            if path and not os.path.exists(path):  # noqa: PTH110
                raise OSError(
                    f"Could not find the TLS {what} file, invalid path: {_shown_path(path)}"
                )
        changed["client_cert"] = pair if pair[1] else pair[0]
    return changed


def _shown_path(path: Any) -> Any:
    return "(what is in a PEM file)" if options.is_pem(path) else path


# For each PoolManager the pools that stand for it.
_shares: weakref.WeakKeyDictionary[PoolManager, _Pools] = weakref.WeakKeyDictionary()


def _shared(manager: PoolManager, limits: Mapping[str, int]) -> _Pools:
    """Return the pools that stand for a urllib3 PoolManager, which several users may have."""
    pools = _shares.get(manager)
    if pools is None:
        given = manager.connection_pool_kw
        limit = int(given.get("maxsize", 10)) if given.get("block") else _UNLIMITED
        pools = _shares[manager] = _Pools({**limits, "concurrency": limit}, {})
    return pools


class EngineAdapter(BaseAdapter):
    """What requests' own code sends by: the engine."""

    def __init__(self, session: HttpSession) -> None:
        super().__init__()
        self._session = weakref.ref(session)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> ResponseContextManager:
        """Send a request; raises RequestException if it brings no whole response."""
        session = self._session()
        if session is None:
            raise RuntimeError("the session of this adapter is gone")
        url = request.url or ""
        proxy, headers = _proxy_for(request, proxies)
        tls = url.lower().startswith("https:")
        sent = parse_url(url).url
        response = session._send(
            request.method or "",
            sent,
            headers,
            _wire_body(request),
            bool(stream),
            *_timeouts(timeout),
            session.pools.under_tls(verify, cert) if tls else session.pools.plain,
            proxy,
            getattr(request, "_opscore_fast_auth", None),
        )
        response.request = request
        if sent != url:
            response.url = url
        if response.error is not None:
            response.error.request = request
            raise response.error
        return response  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the session's idle connections."""
        session = self._session()
        if session is not None:
            session.pools.close_idle_connections()


def _wire_headers(request: requests.PreparedRequest) -> list[tuple[bytes, bytes]]:
    def encoded(text: str | bytes) -> bytes:
        return text.encode("latin-1") if isinstance(text, str) else text

    headers = [
        (encoded(name), encoded(value))
        for name, value in request.headers.items()
        if name.lower() != "transfer-encoding"  # the engine's own business
    ]
    if "Accept-Encoding" not in request.headers:
        # As http.client does: without the header, a server may use any coding.
        headers.append((b"Accept-Encoding", b"identity"))
    return headers


def _proxy_for(
    request: requests.PreparedRequest, proxies: Mapping[str, str] | None
) -> tuple[Proxy | None, list[tuple[bytes, bytes]]]:
    """Return the proxy for a request, and the headers for its server.

    Credentials for the proxy, which requests has among the headers (HTTPProxyAuth), go to the proxy
    alone. Raises InvalidProxyURL.
    """
    headers = _wire_headers(request)
    url = select_proxy(request.url or "", dict(proxies or {}))
    if not url:
        return None, headers
    given = [value for name, value in headers if name.lower() == b"proxy-authorization"]
    scheme, mark, rest = url.rpartition("://")
    if given and "@" not in rest and given[-1].lower().startswith(b"basic "):
        try:
            user, _, password = b64decode(given[-1][6:]).decode("latin-1").partition(":")
            rest = f"{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
        except ValueError:
            raise InvalidProxyURL("Proxy-Authorization is not that of the scheme Basic") from None
    try:
        proxy = proxy_of(scheme + mark + rest)
    except ValueError as error:
        raise InvalidProxyURL(str(error)) from None
    return proxy, [item for item in headers if item[0].lower() != b"proxy-authorization"]


def _wire_body(request: requests.PreparedRequest) -> bytes | Iterator[bytes] | None:
    """Return the body, or what makes it while it is sent.

    Raises TypeError for what is no body, ValueError for one of another length than was announced.
    """
    body: Any = request.body
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    length = _announced(request)
    if hasattr(body, "read"):
        return _measured(_file_pieces(body), length)
    try:
        data = memoryview(body).tobytes()
    except TypeError:
        return _measured(iter(body), length)
    if length not in (None, len(data)):
        raise ValueError(f"the body is {len(data)} bytes, its Content-Length says {length}")
    return data


def _announced(request: requests.PreparedRequest) -> int | None:
    """Return the number in a request's Content-Length; None without one."""
    given = request.headers.get("Content-Length")
    if given is None:
        return None
    text = given.decode("latin-1") if isinstance(given, bytes) else given
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"Content-Length is a number of bytes, not {text!r}")
    return int(text)


def _file_pieces(file: Any) -> Iterator[Any]:
    while piece := file.read(_READ_SIZE):
        yield piece


def _as_bytes(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode()
    try:
        return memoryview(piece).tobytes()
    except TypeError:
        raise TypeError(f"a body is made of bytes or str, not of {type(piece).__name__}") from None


def _measured(pieces: Iterator[Any], length: int | None) -> Iterator[bytes]:
    """Yield the pieces of a body as bytes.

    Raises ValueError if they come to another length than was announced. That there are no more is
    found out before the last one is sent, so that the body's end is known before its answer comes.
    """
    left = length
    for piece in pieces:
        sent = _as_bytes(piece)
        if left is not None:
            left -= len(sent)
            if left < 0 or (left == 0 and any(map(_as_bytes, pieces))):
                raise ValueError(f"the body is longer than its Content-Length of {length}")
        if sent:
            yield sent
    if left:
        raise ValueError(f"the body is {left} bytes shorter than its Content-Length of {length}")


def _timeouts(timeout: Any) -> tuple[float | None, float | None]:
    """Return the connect and the read time-out in seconds, None for none.

    Raises ValueError for what requests and urllib3 don't take.
    """
    if isinstance(timeout, tuple):
        try:
            connect, read = timeout
        except ValueError:
            raise ValueError(
                f"Invalid timeout {timeout}. Pass a (connect, read) timeout tuple, or a single"
                " float to set both timeouts to the same value."
            ) from None
        timeout = Timeout(connect=connect, read=read)
    elif not isinstance(timeout, Timeout):
        timeout = Timeout(connect=timeout, read=timeout)
    return timeout.connect_timeout, timeout.read_timeout


class HttpSession(  # type: ignore[misc]
    TransportOptions, BaseSession, _core.HttpSession, requests.Session
):
    """A drop-in for locust.clients.HttpSession, on the C engine.

    It is a requests.Session: what is usual in load tests is done in C, anything else by requests'
    own code over the engine. trust_env is off (a load generator sends what its locustfile says).
    Adapters can't be mounted. It is used by greenlets of one gevent hub.

    base_url: str that paths are put behind, with user and password if Basic authentication is
    wanted. request_event: EventHook to report requests to. user: the User it belongs to, or None.
    pool_manager: urllib3 PoolManager whose users share connections, or None. max_retries: times
    that a request lost without an answer is sent again, if its method is idempotent. proxy,
    proxy_auth, transport: see HttpUser. Others: opscore_fast.options.Options.

    Raises ValueError for values that can't be used, LocustError for what is not supported.
    """

    def __init__(
        self,
        base_url: str | None,
        request_event: EventHook,
        user: User | None,
        *,
        pool_manager: PoolManager | None = None,
        max_retries: int = 0,
        max_response_headers: int = 0,
        max_response_body: int = 0,
        proxy: str | None = None,
        proxy_auth: str = "basic",
        transport: str | None = None,
        **connection_options: Unpack[options.Options],
    ) -> None:
        self.headers = default_headers()
        self.auth = None
        self.proxies = {}
        self.hooks = default_hooks()
        self.params = {}
        self.stream = False
        self.verify = True
        self.cert = None
        self.trust_env = False
        self.cookies = RequestsCookieJar()
        self.max_redirects = requests.models.DEFAULT_REDIRECT_LIMIT
        limits = {
            "concurrency": _UNLIMITED,
            "max_headers": int(max_response_headers),
            "max_body": int(max_response_body),
        }
        if pool_manager is None:
            make_pools = partial(_Pools, limits, connection_options)
            self.pools = options.shared(connection_options, user, make_pools)
        else:
            options.refuse(connection_options, "pool_manager")
            self.pools = _shared(pool_manager, limits)
        super().__init__(
            base_url=self._take_credentials(base_url),
            request_event=request_event,
            user=user,
            pool=self.pools.plain,
            response_type=ResponseContextManager,
            max_retries=max(0, int(max_retries)),
            own_context=has_own_context(user),
            is_plain=all(
                getattr(type(self), name) is getattr(HttpSession, name) for name in _OVERRIDABLE
            ),
        )
        self._names_protocol = options.names_http_version(connection_options)
        self._set_transport(proxy, proxy_auth, transport)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take the credentials along to where a redirect leads, unless that is another host."""
        super().rebuild_auth(prepared_request, response)
        before = response.request
        auth = getattr(before, "_opscore_fast_auth", None)
        if auth and not self.should_strip_auth(before.url or "", prepared_request.url or ""):
            auth(prepared_request)

    def _take_credentials(self, base_url: str | None) -> str | None:
        """Take user and password out of the base URL and into auth."""
        if not base_url:
            return base_url
        parts = urlsplit(base_url)
        if not (parts.username and parts.password):
            return base_url
        self.auth = HTTPBasicAuth(unquote(parts.username), unquote(parts.password))
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def adapters(self) -> OrderedDict[str, BaseAdapter]:  # type: ignore[override]
        """The adapter of both schemes, which is the engine's."""
        adapter = self.__dict__.get("adapter")
        if adapter is None:
            adapter = self.__dict__["adapter"] = EngineAdapter(self)
        return OrderedDict([("https://", adapter), ("http://", adapter)])

    def mount(self, prefix: str | bytes, adapter: BaseAdapter) -> None:
        """Raise LocustError: requests go through the engine, and through no adapter."""
        raise unsupported(
            f"client.mount({prefix!r}, {type(adapter).__name__}(...))",
            "requests go through the C engine, not through adapters; max_retries, time-outs and"
            " TLS options are attributes of the user class",
        )

    def close(self) -> None:
        """Close the kept connections; the next request makes a new one."""
        self.pools.close_idle_connections()


# Functions of requests.Session that a subclass may change: then every request goes through them.
_OVERRIDABLE = (
    "send",
    "prepare_request",
    "get_adapter",
    "merge_environment_settings",
    "resolve_redirects",
    "rebuild_auth",
    "rebuild_method",
    "rebuild_proxies",
    "should_strip_auth",
    "get_redirect_target",
)


def default_headers() -> CaseInsensitiveDict[str]:
    """Return the headers that a session begins with: those of requests, our name, our codings."""
    return CaseInsensitiveDict(
        {
            "User-Agent": f"opscore-fast/{__version__}",
            "Accept-Encoding": "gzip, deflate, br",
            "Accept": "*/*",
            "Connection": "keep-alive",
        }
    )


# What the C side calls for what is rare.


def pool_for(session: HttpSession, verify: Any, cert: Any) -> Pool:
    """Return the session's pool for connections under TLS with these options."""
    return session.pools.under_tls(True if verify is None else verify, cert)


def prepare_url(url: str, params: Any, session_params: Any) -> tuple[str, str] | None:
    """Return the URL as requests prepares it, and its path and query; None if it is unusual.

    Raises MissingSchema and InvalidURL, as requests.
    """
    request = requests.PreparedRequest()
    request.prepare_url(url, merge_setting(params, session_params))
    prepared = request.url or ""
    if not prepared.lower().startswith(("http://", "https://")) or "@" in prepared:
        return None
    return prepared, request.path_url


def take_cookies(session: HttpSession, response: ResponseContextManager) -> None:
    """Put the cookies of a response into the session's jar."""
    if session.cookies is None:
        session.cookies = RequestsCookieJar()
    extract_cookies_to_jar(session.cookies, response.request, response.raw)


def follow(
    session: HttpSession,
    response: ResponseContextManager,
    stream: bool,
    timeout: Any,
    verify: Any,
    cert: Any,
) -> Any:
    """Follow a redirect by requests' code; returns the last response, with its history."""
    request = with_cookies(response.request, session)
    settings = session.merge_environment_settings(request.url or "", {}, stream, verify, cert)
    last: Any = response
    try:
        history = list(session.resolve_redirects(response, request, timeout=timeout, **settings))
        if history:
            history.insert(0, response)
            last = history.pop()
            last.history = history
        if not stream:
            last.content  # noqa: B018
    except (MissingSchema, InvalidSchema, InvalidURL):
        raise
    except RequestException as error:
        return _lost(session, error, response.url)
    return last


def request_slowly(
    session: HttpSession, method: str | bytes, url: str, kwargs: dict[str, Any]
) -> tuple[Any, str, str]:
    """Have requests make a request over the engine.

    Returns the response, the URL of the first request, and its path with the query. A request that
    fails is a response with an error. Raises what Locust's HttpSession raises before anything is
    sent: MissingSchema, InvalidSchema, InvalidURL.
    """
    kwargs.setdefault("stream", False)  # what the session says does not count
    kwargs = stream_files(kwargs, session.headers) or kwargs
    try:
        response: Any = requests.Session.request(session, method, url, **kwargs)  # type: ignore[arg-type]
    except (MissingSchema, InvalidSchema, InvalidURL):
        raise
    except RequestException as error:
        response = _lost(session, error)
    if type(response) is requests.Response:
        response = _adopted(session, response)
    first = response.history[0] if response.history else response
    request = first.request
    if request is None or not request.url:
        return response, url, ""
    return response, str(request.url), request.path_url


def _adopted(session: HttpSession, given: requests.Response) -> Any:
    """Return a response of ours with what a hook has put into one of its own making."""
    response = session._lose(None)
    for name in ("status_code", "headers", "url", "history", "encoding", "reason", "request"):
        value = getattr(given, name)
        if value is not None:
            setattr(response, name, value)
    response._content = given.content
    response.cookies, response.raw = given.cookies, given.raw
    return response


def _lost(session: HttpSession, error: RequestException, url: str | None = None) -> Any:
    """Return a response for what brought none. url: what was asked for, if the error has none."""
    response = session._lose(error)
    if error.request is not None and error.request.url:
        url = str(error.request.url)
    if url:
        response.url = url
    response.request = error.request
    return response
