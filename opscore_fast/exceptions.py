"""Why a request failed: one exception for each way, with a text from a bounded set.

The text is what Locust groups failures by, so that nothing in it changes from request to request;
what does is an attribute. Each is also an exception that Locust's own classes would have reported,
so that locustfiles go on catching it: one of locust.contrib.fasthttp.FAILURE_EXCEPTIONS, one of
requests.exceptions, and what Locust's HttpUser finds below that and reports in its place. The text
names the server by host and port alone: a URL may hold secrets.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import os
import socket
import ssl
import weakref
import zlib
from errno import ECONNREFUSED
from http.client import BadStatusLine, LineTooLong, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

import requests.exceptions
import urllib3.exceptions
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from geventhttpclient.useragent import RetriesExceeded
from locust.contrib.fasthttp import LocustBadStatusCode
from locust.exception import LocustError

from opscore_fast._core import Proxy

__all__ = [
    "BodyProtocolError",
    "BodyReset",
    "BodyTimeout",
    "BodyTooLarge",
    "CertificateError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionRefused",
    "ConnectionReset",
    "DecodeError",
    "HeadersTooLarge",
    "IncompleteBody",
    "NameResolutionError",
    "OutOfMemory",
    "ProtocolError",
    "ProxyError",
    "ProxyRefused",
    "ReadTimeout",
    "RedirectError",
    "RequestError",
    "RequestTimeout",
    "ResolveTimeout",
    "TlsError",
    "TlsTimeout",
    "TooManyRedirects",
    "WriteTimeout",
]

PHASES = ("queue", "resolve", "connect", "tls", "send", "wait", "body", "done")
"""How far a request can have come: opf_phase of the engine, in its order."""


class RequestError(requests.exceptions.RequestException):
    """A request that brought no whole response.

    Attributes: host (str) and port (int) of the server, phase (one of PHASES), errno (int or None),
    bytes_received of the response, idle_time (seconds that the connection had been idle before),
    requests_carried (by that connection before), original (the exception itself), request (of an
    HttpUser: the requests.PreparedRequest, as long as its response is there), response (None).
    """

    host: str | None = None
    port: int | None = None
    phase: str = "queue"
    errno: int | None = None
    bytes_received: int = 0
    idle_time: float = 0.0
    requests_carried: int = 0
    _request: Any = None
    _response: weakref.ref[Any] | None = None

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def request(self) -> Any:
        if self._request is None and self._response is not None:
            response = self._response()
            self._request = None if response is None else response.request
        return self._request

    @request.setter
    def request(self, value: Any) -> None:
        self._request = value

    @property
    def original(self) -> RequestError:
        """The exception itself, where geventhttpclient's RetriesExceeded has the one it wraps."""
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class RequestTimeout(RequestError, requests.exceptions.Timeout, TimeoutError):
    """A phase of the request took too long (TimeoutError is socket.timeout)."""


class NameResolutionError(RequestError, requests.exceptions.ConnectionError, socket.gaierror):
    """The host's name has no address."""


class ResolveTimeout(RequestTimeout, requests.exceptions.ConnectionError):
    """The name servers gave no answer in time."""


class ConnectionRefused(RequestError, requests.exceptions.ConnectionError, ConnectionRefusedError):
    """Nothing listens there."""


class ConnectError(RequestError, requests.exceptions.ConnectionError):
    """No connection for another reason: unreachable, no free port, too many open files."""


class ConnectTimeout(RequestTimeout, requests.exceptions.ConnectTimeout):
    """No connection in time."""


class TlsError(
    RequestError, requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError
):
    """The TLS handshake failed, or TLS later on."""


class CertificateError(TlsError, ssl.SSLCertVerificationError):
    """The server's certificate was not accepted."""


class TlsTimeout(RequestTimeout, requests.exceptions.ConnectTimeout):
    """The TLS handshake took too long."""


class ConnectionReset(RequestError, requests.exceptions.ConnectionError, ConnectionResetError):
    """The connection broke."""


class ConnectionClosed(
    RequestError,
    requests.exceptions.ConnectionError,
    HTTPConnectionClosed,
    RemoteDisconnected,
):
    """The server closed the connection before the response was whole."""


class IncompleteBody(ConnectionClosed, requests.exceptions.ChunkedEncodingError):
    """The server closed the connection within the body."""


class WriteTimeout(RequestTimeout, requests.exceptions.ConnectionError):
    """The server took no more of the request in time."""


class ReadTimeout(RequestTimeout, requests.exceptions.ReadTimeout):
    """Nothing came from the server in time."""


class BodyTimeout(ReadTimeout, requests.exceptions.ConnectionError):
    """Nothing more of the body came in time: requests says ConnectionError there."""


class BodyReset(ConnectionReset, requests.exceptions.ChunkedEncodingError):
    """The connection broke within the body."""


class ProtocolError(
    RequestError, requests.exceptions.ConnectionError, HTTPParseError, BadStatusLine
):
    """What came is not HTTP."""


class BodyProtocolError(ProtocolError, requests.exceptions.ChunkedEncodingError):
    """What came within the body is not HTTP, such as a chunk without a length."""


class HeadersTooLarge(
    RequestError, requests.exceptions.ConnectionError, HTTPParseError, LineTooLong
):
    """The response's headers are over the limit."""


class BodyTooLarge(RequestError, HTTPParseError):
    """The response's body is over the limit, as sent or decoded."""


class DecodeError(RequestError, requests.exceptions.ContentDecodingError, zlib.error):
    """The response's body does not decode by its Content-Encoding."""


class ProxyError(RequestError, requests.exceptions.ProxyError, ConnectionError):
    """The proxy was not reached, or refused or failed to pass the request on.

    Attributes: proxy (str, its URL without user and password), proxy_status (int, of its answer to
    CONNECT, or None).
    """

    proxy: str = ""
    proxy_status: int | None = None


class ProxyRefused(ProxyError, ConnectionRefusedError):
    """Nothing listens where the proxy should be."""


class StreamReset(RequestError, requests.exceptions.ConnectionError, ConnectionResetError):
    """The server ended the request's HTTP/2 stream (RST_STREAM)."""


class BodyStreamReset(StreamReset, requests.exceptions.ChunkedEncodingError):
    """The server ended the HTTP/2 stream within the body."""


class GoingAway(
    RequestError,
    requests.exceptions.ConnectionError,
    HTTPConnectionClosed,
    RemoteDisconnected,
):
    """The server said that it goes away (GOAWAY) and did not answer the request."""


class NoHttp2(ProtocolError):
    """HTTP/2 was asked for without asking the server first, which doesn't speak it."""


class OutOfMemory(RequestError, MemoryError, HTTPParseError):
    """There was no memory for the request on this side."""


class RedirectError(RequestError, RetriesExceeded):
    """A redirect that can't be followed."""


class TooManyRedirects(RequestError, requests.exceptions.TooManyRedirects, RetriesExceeded):
    """More redirects than allowed."""


_DOING = {
    "queue": "waiting for a connection",
    "resolve": "resolving the host",
    "connect": "connecting",
    "tls": "in the TLS handshake",
    "send": "sending the request",
    "wait": "waiting for the response",
    "body": "receiving the body",
}

# By opf_failure of the engine, in its order; 0 is no failure. The texts' fields: server (host and
# port), host, connect and network (time-outs in seconds), doing (of the phase), detail, error (the
# detail, or what the errno means), limit (in bytes).
_FAILURES: tuple[tuple[type[RequestError], str], ...] = (
    (RequestError, "{server}: no failure"),
    (NameResolutionError, "cannot resolve host {host!r}: {detail}"),
    (ResolveTimeout, "resolving host {host!r} timed out after {connect:g} s"),
    (ConnectionRefused, "connection refused by {server}"),
    (ConnectError, "cannot connect to {server}: {error}"),
    (ConnectTimeout, "connecting to {server} timed out after {connect:g} s"),
    (TlsError, "TLS with {server} failed: {detail}"),
    (CertificateError, "certificate of {server} not accepted: {detail}"),
    (TlsTimeout, "TLS handshake with {server} timed out after {connect:g} s"),
    (ConnectionReset, "connection reset by {server} while {doing}"),
    (ConnectionClosed, "connection closed by {server} without a response{reused}"),
    (ConnectionClosed, "connection closed by {server} within the headers"),
    (IncompleteBody, "connection closed by {server} within the body"),
    (WriteTimeout, "{server} took no data for {network:g} s while sending the request"),
    (ReadTimeout, "no data from {server} for {network:g} s while {doing}"),
    (ProtocolError, "response from {server} is not valid HTTP: {detail}"),
    (HeadersTooLarge, "response headers from {server} exceed {limit} bytes"),
    (BodyTooLarge, "response body from {server} exceeds {limit} bytes"),
    (DecodeError, "response body from {server} is not valid {detail}"),
    (ProxyError, "no way to {server} by proxy {proxy}: {detail}"),
    (StreamReset, "{server} ended the request's HTTP/2 stream while {doing}: {detail}"),
    (GoingAway, "{server} went away (HTTP/2 GOAWAY) without an answer: {detail}"),
    (NoHttp2, "{server} does not speak HTTP/2: {detail}"),
    (OutOfMemory, "out of memory for a request to {server}"),
    (RequestTimeout, "gevent.Timeout on a request to {server} while {doing}"),
)


# What these are within the body, by requests' exceptions.
_IN_BODY: dict[type[RequestError], type[RequestError]] = {
    ReadTimeout: BodyTimeout,
    ConnectionReset: BodyReset,
    ProtocolError: BodyProtocolError,
    StreamReset: BodyStreamReset,
}


def _server(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def from_result(
    failure: int,
    phase: int,
    errno: int,
    detail: str | None,
    url: str,
    connect_timeout: float,
    network_timeout: float,
    bytes_received: int,
    limit: int,
    idle_time: float,
    requests_carried: int,
    proxy_status: int,
    proxy: Proxy | None,
) -> RequestError:
    """Return the exception for an engine's result; failure, phase: opf_failure, opf_phase."""
    kind, text = _FAILURES[failure]
    if PHASES[phase] == "body":
        kind = _IN_BODY.get(kind, kind)
    if kind is ProxyError and errno == ECONNREFUSED:
        kind = ProxyRefused
    host, port = _server(url)
    reason = detail or os.strerror(errno)
    detail = detail or (reason if errno else "unknown reason")
    error = kind(
        text.format(
            server=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            host=host,
            connect=connect_timeout,
            network=network_timeout,
            doing=_DOING.get(PHASES[phase], "done"),
            detail=f"{detail} ({proxy_status})" if proxy_status else detail,
            proxy=proxy.shown if proxy else "",
            error=reason,
            limit=limit,
            reused=" on a reused connection" if requests_carried else "",
        )
    )
    error.host = host
    error.port = port
    error.phase = PHASES[phase]
    error.errno = errno or None
    error.bytes_received = bytes_received
    error.idle_time = idle_time
    error.requests_carried = requests_carried
    if isinstance(error, ProxyError):
        error.proxy = proxy.shown if proxy else ""
        error.proxy_status = proxy_status or None
    return error


def bad_status(url: str, status: int) -> LocustBadStatusCode:
    """Return what Locust's FastHttpSession makes of a status that is no success."""
    return LocustBadStatusCode(url, code=status)


def too_many_redirects(url: str, limit: int) -> TooManyRedirects:
    """Return the exception for a request that was redirected more than limit times."""
    error = TooManyRedirects(f"more than {limit} redirects")
    error.host, error.port = _server(url)
    return error


def note_response(error: RequestError, response: Any) -> None:
    """Have the exception find the request of an HttpUser when somebody asks for it."""
    error._response = weakref.ref(response)


def unsupported(
    what: str, instead: str = "use Locust's own class for the users that need it"
) -> LocustError:
    """Return the exception for something that Locust's classes have and ours don't."""
    return LocustError(f"{what} is not supported by opscore_fast: {instead}")
