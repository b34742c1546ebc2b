"""Why a request failed: one exception for each way, with a text from a bounded set.

The text is what Locust groups failures by, so that nothing in it changes from request to request;
what does is an attribute. Each is also an exception that Locust's own class would have reported
(locust.contrib.fasthttp.FAILURE_EXCEPTIONS), so that locustfiles go on catching it. The text names
the server by host and port alone: a URL may hold secrets.
"""

from __future__ import annotations

import os
import socket
import ssl
import zlib
from urllib.parse import urlsplit

from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from geventhttpclient.useragent import RetriesExceeded
from locust.contrib.fasthttp import LocustBadStatusCode
from locust.exception import LocustError

__all__ = [
    "BodyTooLarge",
    "CertificateError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionRefused",
    "ConnectionReset",
    "DecodeError",
    "HeadersTooLarge",
    "NameResolutionError",
    "OutOfMemory",
    "ProtocolError",
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


class RequestError(Exception):
    """A request that brought no whole response.

    Attributes: host (str) and port (int) of the server, phase (one of PHASES), errno (int or None),
    bytes_received of the response, idle_time (seconds that the connection had been idle before),
    requests_carried (by that connection before), original (the exception itself).
    """

    host: str | None = None
    port: int | None = None
    phase: str = "queue"
    errno: int | None = None
    bytes_received: int = 0
    idle_time: float = 0.0
    requests_carried: int = 0

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def original(self) -> RequestError:
        """The exception itself, where geventhttpclient's RetriesExceeded has the one it wraps."""
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class RequestTimeout(RequestError, TimeoutError):
    """A phase of the request took too long (TimeoutError is socket.timeout)."""


class NameResolutionError(RequestError, socket.gaierror):
    """The host's name has no address."""


class ResolveTimeout(RequestTimeout):
    """The name servers gave no answer in time."""


class ConnectionRefused(RequestError, ConnectionRefusedError):
    """Nothing listens there."""


class ConnectError(RequestError, OSError):
    """No connection for another reason: unreachable, no free port, too many open files."""


class ConnectTimeout(RequestTimeout):
    """No connection in time."""


class TlsError(RequestError, ssl.SSLError):
    """The TLS handshake failed, or TLS later on."""


class CertificateError(RequestError, ssl.SSLCertVerificationError):
    """The server's certificate was not accepted."""


class TlsTimeout(RequestTimeout):
    """The TLS handshake took too long."""


class ConnectionReset(RequestError, ConnectionResetError):
    """The connection broke."""


class ConnectionClosed(RequestError, HTTPConnectionClosed, ConnectionError):
    """The server closed the connection before the response was whole."""


class WriteTimeout(RequestTimeout):
    """The server took no more of the request in time."""


class ReadTimeout(RequestTimeout):
    """Nothing came from the server in time."""


class ProtocolError(RequestError, HTTPParseError):
    """What came is not HTTP."""


class HeadersTooLarge(RequestError, HTTPParseError):
    """The response's headers are over the limit."""


class BodyTooLarge(RequestError, HTTPParseError):
    """The response's body is over the limit, as sent or decoded."""


class DecodeError(RequestError, zlib.error):
    """The response's body does not decode by its Content-Encoding."""


class OutOfMemory(RequestError, MemoryError, HTTPParseError):
    """There was no memory for the request on this side."""


class RedirectError(RequestError, RetriesExceeded):
    """A redirect that can't be followed."""


class TooManyRedirects(RequestError, RetriesExceeded):
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
# port), host, connect and network (time-outs in seconds), doing (of the phase), detail, error (of
# the errno), limit (in bytes).
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
    (ConnectionClosed, "connection closed by {server} within the body"),
    (WriteTimeout, "{server} took no data for {network:g} s while sending the request"),
    (ReadTimeout, "no data from {server} for {network:g} s while {doing}"),
    (ProtocolError, "response from {server} is not valid HTTP: {detail}"),
    (HeadersTooLarge, "response headers from {server} exceed {limit} bytes"),
    (BodyTooLarge, "response body from {server} exceeds {limit} bytes"),
    (DecodeError, "response body from {server} is not valid {detail}"),
    (OutOfMemory, "out of memory for a request to {server}"),
    (RequestTimeout, "gevent.Timeout on a request to {server} while {doing}"),
)


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
) -> RequestError:
    """Return the exception for an engine's result; failure, phase: opf_failure, opf_phase."""
    kind, text = _FAILURES[failure]
    host, port = _server(url)
    error = kind(
        text.format(
            server=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            host=host,
            connect=connect_timeout,
            network=network_timeout,
            doing=_DOING.get(PHASES[phase], "done"),
            detail=detail or "unknown reason",
            error=os.strerror(errno),
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
    return error


def bad_status(url: str, status: int) -> LocustBadStatusCode:
    """Return what Locust's FastHttpSession makes of a status that is no success."""
    return LocustBadStatusCode(url, code=status)


def too_many_redirects(url: str, limit: int) -> TooManyRedirects:
    """Return the exception for a request that was redirected more than limit times."""
    error = TooManyRedirects(f"more than {limit} redirects")
    error.host, error.port = _server(url)
    return error


def unsupported(what: str) -> LocustError:
    """Return the exception for something that Locust's class has and ours does not have yet."""
    return LocustError(
        f"{what} is not supported by opscore_fast.FastHttpUser yet:"
        " use locust.FastHttpUser for the users that need it"
    )
