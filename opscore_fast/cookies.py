"""A session's cookies, in Python's own jars: http.cookiejar's and requests'."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import math
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from typing import Any
from urllib.request import Request

import requests.cookies


class _Answer:
    """As much of a response as a CookieJar looks at."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._message = Message()
        for name, value in fields:
            if name.lower() in ("set-cookie", "set-cookie2"):
                self._message[name] = value

    def info(self) -> Message:
        return self._message


class VersionedJar(CookieJar):
    """A jar that tells whether it has changed: version is another object then."""

    version: object = None

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        super().set_cookie(cookie, *args, **kwargs)
        self.version = object()

    def clear(self, *args: Any, **kwargs: Any) -> None:
        super().clear(*args, **kwargs)
        self.version = object()


class RequestsCookieJar(VersionedJar, requests.cookies.RequestsCookieJar):
    """A requests.cookies.RequestsCookieJar that tells whether it has changed."""


def new_jar() -> VersionedJar:
    """Return an empty jar."""
    return VersionedJar()


def _validity(jar: CookieJar) -> tuple[object, float]:
    """Return the jar's version and how long (seconds since 1970) one header serves a whole host.

    The version is None if it doesn't: some cookies are for some paths only, or for paths and ports
    that are told in other ways.
    """
    version = getattr(jar, "version", None)
    until = math.inf
    for cookie in jar:
        if cookie.path != "/" or cookie.port is not None:
            return None, 0.0
        if cookie.expires is not None:
            until = min(until, cookie.expires)
    return version, until


def header(jar: CookieJar, url: str) -> tuple[str | None, object, float]:
    """Return the Cookie header that the jar has for a request of url; None: none.

    With it come the version of the jar for which it is the same for every path of the host (None:
    it may not be), and until when (seconds since 1970).
    """
    request = Request(url)
    jar.add_cookie_header(request)
    return request.unredirected_hdrs.get("Cookie"), *_validity(jar)


def requests_header(jar: CookieJar, url: str) -> tuple[str | None, object, float]:
    """Return the same, as requests finds it."""
    request = requests.PreparedRequest()
    request.url = url
    request.headers = requests.structures.CaseInsensitiveDict()
    found = requests.cookies.get_cookie_header(jar, request)
    return found, *_validity(jar)


def extract(jar: CookieJar, url: str, fields: list[tuple[str, str]]) -> None:
    """Put the cookies of a response to url, given by its header fields, into the jar."""
    jar.extract_cookies(_Answer(fields), Request(url))  # type: ignore[arg-type]
