"""What came of a request: the response types, and what of them is made when it is first read."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import zlib
from collections.abc import Generator
from typing import Any, cast

import brotli
from charset_normalizer import detect
from geventhttpclient.header import Headers
from requests.utils import get_encoding_from_headers

from opscore_fast._core import FastResponse, ResponseContextManager

__all__ = ["FastRequest", "FastResponse", "ResponseContextManager", "RestResponseContextManager"]


class FastRequest:
    """What was sent.

    Attributes: method (str), url (str), headers (geventhttpclient.header.Headers), body (str for
    JSON and for text with a Content-Type of its own, bytes, or None), payload (the same).
    """

    def __init__(self, method: str, url: str, headers: Headers, body: str | bytes | None) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = self.payload = body

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.url}>"


class RestResponseContextManager(ResponseContextManager):
    """The response of ``user.rest()``: js is the value of its JSON body, None if it has none."""

    js: Any


def make_headers(fields: list[tuple[str, str]]) -> Headers:
    """Return the mapping that Locust's FastHttpSession has for headers."""
    return Headers(fields)


def iter_content(
    response: FastResponse, chunk_size: int = 1024, decode_content: bool = True
) -> Generator[str | bytes]:
    """Yield the body in pieces of chunk_size bytes, as Locust's FastResponse.iter_content does.

    With decode_content a piece that is UTF-8 is a str. Raises RequestError if the body breaks off.
    """
    while True:
        piece = response.read(chunk_size)
        if not piece:
            return
        if decode_content:
            try:
                yield piece.decode()
                continue
            except UnicodeDecodeError:
                pass
        yield piece


def decode_content(raw: bytes, coding: str) -> bytes:
    """Undo the Content-Encoding of a stream that was read to its end; one not known is left alone.

    Raises zlib.error or brotli.error for a body that is malformed.
    """
    if not raw:
        return raw
    match coding.strip().lower():
        case "gzip" | "x-gzip":
            return zlib.decompress(raw, 16 + zlib.MAX_WBITS)
        case "deflate":
            try:
                return zlib.decompress(raw)
            except zlib.error:
                return zlib.decompress(raw, -zlib.MAX_WBITS)
        case "br":
            return cast(bytes, brotli.decompress(raw))
    return raw


def make_request(url: str, head: bytes, body: str | bytes | None) -> FastRequest:
    """Read a request back from the head that was sent."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = [line.split(": ", 1) for line in lines]
    return FastRequest(
        first.split(" ", 1)[0], url, Headers([(name, value) for name, value in fields]), body
    )


def decode_text(response: FastResponse) -> str | None:
    """Return the body as text, as Locust's FastResponse.text does, and set the encoding found."""
    content = response.content
    if content is None:
        return None
    if response.encoding is None:
        response.encoding = get_encoding_from_headers(response.headers)  # type: ignore[arg-type]
        if not response.encoding:
            response.encoding = detect(content)["encoding"]
    if response.encoding is None:
        return None
    return str(content, str(response.encoding), errors="replace")
