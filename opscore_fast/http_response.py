"""What came of an HttpUser's request: a requests.Response whose data is in C.

The C side has what is usual; what it lacks is requests' own code, which finds here what it needs.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from collections.abc import Generator, Iterator
from http.client import HTTPMessage
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, merge_cookies
from requests.exceptions import HTTPError
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from urllib3.response import HTTPResponse

from opscore_fast._core import HttpResponse

__all__ = ["ResponseContextManager", "RestResponseContextManager"]


class RawResponse:
    """``response.raw``: as much of urllib3's HTTPResponse as is used through requests.

    Of a response that is not streamed, nothing is left to be read. Attributes: headers, status,
    reason, version (10 or 11), closed.
    """

    def __init__(self, response: ResponseContextManager) -> None:
        self._response = response
        self._decoder: HTTPResponse | None = None
        self.headers = response.headers
        self.status = response.status_code
        self.reason = response.reason
        self.version = 11
        self.closed = False

    @property
    def _original_response(self) -> Any:
        """What cookies are taken from: see requests.cookies.extract_cookies_to_jar."""
        original = type("OriginalResponse", (), {})()
        original.msg = HTTPMessage()
        for name, value in self._response._fields():
            original.msg[name] = value
        return original

    def _urllib3(self) -> HTTPResponse:
        """Return a urllib3 response that reads the stream and decodes it."""
        if self._decoder is None:
            self._decoder = HTTPResponse(
                body=_Reader(self._response),  # type: ignore[arg-type]
                headers=dict(self.headers),
                status=self.status,
                preload_content=False,
                decode_content=False,
            )
        return self._decoder

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Return up to amt bytes, all that is left without it; decoded if that is asked for."""
        if self.closed:
            return b""
        return self._urllib3().read(amt, decode_content=bool(decode_content))

    def stream(
        self, amt: int | None = 2**16, decode_content: bool | None = None
    ) -> Generator[bytes]:
        """Yield the body in pieces of amt bytes."""
        if not self.closed:
            yield from self._urllib3().stream(amt or 2**16, decode_content=decode_content)

    def close(self) -> None:
        """Read nothing more; the connection is closed unless the body has been read."""
        self.closed = True
        self._response._cancel()

    def release_conn(self) -> None:
        """Do nothing: a connection goes back by itself when a body is at its end."""


class _Reader:
    """A stream as a file, which is what urllib3 decodes."""

    closed = False

    def __init__(self, response: ResponseContextManager) -> None:
        self._response = response

    def read(self, amt: int | None = None) -> bytes:
        return self._response._read(amt)

    def close(self) -> None:
        self.closed = True

    def flush(self) -> None:
        pass


class ResponseContextManager(HttpResponse, requests.Response):
    """A drop-in for locust.clients.ResponseContextManager, on the C engine.

    It is a requests.Response, with these additions: error (the exception of a request that brought
    no whole response, or None), retries (times that it was sent again), lag (seconds that the load
    generator itself took to get to it, which are no part of the response time).
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> ResponseContextManager:
        raise TypeError("responses are made by a session only")

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.__getstate__(),)

    @property
    def raw(self) -> RawResponse | None:
        if self.status_code == 0:
            return None
        raw: RawResponse | None = self.__dict__.get("raw")
        if raw is None:
            raw = self.__dict__["raw"] = RawResponse(self)
        return raw

    @raw.setter
    def raw(self, value: Any) -> None:
        self.__dict__["raw"] = value

    @property
    def cookies(self) -> RequestsCookieJar:
        jar: RequestsCookieJar | None = self.__dict__.get("cookies")
        if jar is None:
            jar = self.__dict__["cookies"] = RequestsCookieJar()
            if self.raw is not None:
                extract_cookies_to_jar(jar, self.request, self.raw)
        return jar

    @cookies.setter
    def cookies(self, value: RequestsCookieJar) -> None:
        self.__dict__["cookies"] = value

    @property
    def connection(self) -> Any:  # type: ignore[override]
        return self._session.get_adapter(self.url)

    @property
    def next(self) -> requests.PreparedRequest | None:
        """The request that would follow a redirect, with allow_redirects=False."""
        if "_next" not in self.__dict__:
            following: Iterator[Any] = iter(())
            if self._unfollowed:
                following = self._session.resolve_redirects(
                    self, with_cookies(self.request, self._session), yield_requests=True
                )
            self._next = next(following, None)
        return self._next

    def close(self) -> None:
        """Close the connection, unless the body has been read to its end."""
        if not self._content_consumed and self.raw is not None:
            self.raw.close()


class RestResponseContextManager(ResponseContextManager):
    """The response of ``user.rest()``: js is the value of its JSON body, None if it has none."""

    js: Any


def _unpickled(state: dict[str, Any]) -> requests.Response:
    response = requests.Response()
    response.__setstate__(state)
    return response


# What the C side calls for what is rare.


def prepared_request(url: str, head: bytes, body: str | bytes | None) -> requests.PreparedRequest:
    """Read a request back from the head that was sent, as requests would have prepared it."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    request = requests.PreparedRequest()
    request.method = first.split(" ", 1)[0]
    request.url = url
    fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    # A Host that is not the URL's is the user's, and it is kept along redirects.
    host = urlsplit(url).netloc.rpartition("@")[2]
    request.headers = CaseInsensitiveDict(
        {name: value for name, value in fields if name.lower() != "host" or value != host}
    )
    request.body = body
    request.hooks = default_hooks()
    return request


def with_cookies(request: requests.PreparedRequest, session: Any) -> requests.PreparedRequest:
    """Give a request that was read back the jar that requests keeps with it."""
    if request._cookies is None:
        request._cookies = merge_cookies(RequestsCookieJar(), session.cookies)
    return request


def response_headers(fields: list[tuple[str, str]]) -> CaseInsensitiveDict[str]:
    """Return the mapping of headers that requests makes: lines of one name joined by commas.

    The name is spelled as in its first line.
    """
    joined: dict[str, tuple[str, str]] = {}
    for name, value in fields:
        first, before = joined.get(name.lower(), (name, None))
        joined[name.lower()] = first, value if before is None else f"{before}, {value}"
    return CaseInsensitiveDict(joined.values())


def content(response: ResponseContextManager) -> bytes | None:
    """Return the body of a stream, read to its end."""
    return requests.Response.content.fget(response)  # type: ignore[attr-defined,no-any-return]


def text(response: ResponseContextManager) -> str:
    """Return the body as requests decodes it."""
    return requests.Response.text.fget(response)  # type: ignore[attr-defined,no-any-return]


def json(response: ResponseContextManager, **kwargs: Any) -> Any:
    """Return the value of the JSON body, or raise requests' JSONDecodeError."""
    return requests.Response.json(response, **kwargs)


def ok(response: ResponseContextManager) -> bool:
    """Return whether raise_for_status raises no HTTPError."""
    return requests.Response.ok.fget(response)  # type: ignore[attr-defined,no-any-return]


def raise_for_status(response: ResponseContextManager) -> None:
    """Raise requests' HTTPError for a status of 400 to 599."""
    requests.Response.raise_for_status(response)


def http_error(response: ResponseContextManager, name: str) -> HTTPError | None:
    """Return the HTTPError of a bad status, with the request's name in the place of its URL."""
    url, response.url = response.url, name
    try:
        requests.Response.raise_for_status(response)
    except HTTPError as error:
        return error.with_traceback(None)
    finally:
        response.url = url
    return None
