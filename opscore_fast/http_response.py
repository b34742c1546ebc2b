"""What came of an HttpUser's request: a requests.Response whose data is in C.

The C side has what is usual; what it lacks is requests' own code, which finds here what it needs.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import weakref
from collections.abc import Generator, Iterator
from http.client import HTTPMessage
from types import MethodType
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, merge_cookies
from requests.exceptions import HTTPError, RequestException
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict
from urllib3.response import HTTPResponse

from opscore_fast._core import HttpResponse

__all__ = ["ResponseContextManager", "RestResponseContextManager"]


class RawResponse:
    """``response.raw``: urllib3's HTTPResponse of the body, with all of its attributes.

    It keeps the response, which does not keep it: a stream that is dropped is closed at once. Of a
    response that is not streamed, nothing is left to be read.
    """

    __slots__ = ("__weakref__", "_response")
    _response: ResponseContextManager

    def __init__(self, response: ResponseContextManager) -> None:
        object.__setattr__(self, "_response", response)

    @property
    def _original_response(self) -> Any:
        """What cookies are taken from: see requests.cookies.extract_cookies_to_jar."""
        original = type("OriginalResponse", (), {})()
        original.msg = HTTPMessage()
        for name, value in self._response._fields():
            original.msg[name] = value
        return original

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._response._stream(), name)
        if not isinstance(value, MethodType):
            return value

        def method(*args: Any, **kwargs: Any) -> Any:
            _ = self  # the response must stay until the call is over
            return value(*args, **kwargs)

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._response._stream(), name, value)

    def stream(self, *args: Any, **kwargs: Any) -> Generator[bytes]:
        """Yield the body in pieces, as urllib3 does."""
        yield from self._response._stream().stream(*args, **kwargs)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body line by line."""
        yield from self._response._stream()

    def __enter__(self) -> RawResponse:
        return self

    def __exit__(self, *error: object) -> None:
        self._response._stream().close()


class _Stream(HTTPResponse):
    """What a RawResponse reads by."""

    def __init__(self, response: ResponseContextManager) -> None:
        super().__init__(
            body=_Reader(response),  # type: ignore[arg-type]
            headers=HTTPHeaderDict(response._fields()),
            status=response.status_code,
            version=20 if response.http_version == "2" else 11,
            reason=response.reason,
            preload_content=False,
            decode_content=False,
            request_method=response.request.method,
            request_url=response.url,
        )

    def stream(
        self, amt: int | None = 2**16, decode_content: bool | None = None
    ) -> Generator[bytes]:
        """Yield the body in pieces of up to amt bytes: of one in chunks as they come."""
        if self.chunked:
            while data := self.read1(amt, decode_content):
                yield data
        else:
            yield from super().stream(amt, decode_content)


class _Reader:
    """A stream as a file, which is what urllib3 decodes."""

    def __init__(self, response: ResponseContextManager) -> None:
        self._response = weakref.ref(response)
        self.closed = response._content_consumed

    def read(self, amt: int | None = None) -> bytes:
        """Return amt bytes, fewer only at the end, or before an exception of the next call."""
        response = self._response()
        if response is None or self.closed:
            return b""
        if amt is None:
            data = response._read()
            self.closed = True
            return data
        pieces = [response._read1(amt)]
        left = amt - len(pieces[0])
        while left and pieces[-1]:
            try:
                pieces.append(response._read1(left))
            except RequestException:
                return b"".join(pieces)
            left -= len(pieces[-1])
        self.closed = left > 0
        return b"".join(pieces)

    def read1(self, amt: int | None = None) -> bytes:
        """Return up to amt bytes that are there, none only at the end."""
        response = self._response()
        if response is None or self.closed:
            return b""
        data = response._read1(amt)
        self.closed = not data
        return data

    def close(self) -> None:
        """Read nothing more; the connection is closed unless the body has been read."""
        self.closed = True
        response = self._response()
        if response is not None:
            response._cancel()

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
        given: RawResponse | None = self.__dict__.get("raw")
        if given is not None:
            return given
        kept = self.__dict__.get("_raw")
        raw: RawResponse | None = kept() if kept is not None else None
        if raw is None:
            raw = RawResponse(self)
            self.__dict__["_raw"] = weakref.ref(raw)
        return raw

    @raw.setter
    def raw(self, value: Any) -> None:
        self.__dict__["raw"] = value

    def _stream(self) -> _Stream:
        """Return what raw reads by."""
        stream: _Stream | None = self.__dict__.get("_urllib3")
        if stream is None:
            stream = self.__dict__["_urllib3"] = _Stream(self)
        return stream

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
