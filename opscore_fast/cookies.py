"""A session's cookies, in Python's own jar as with Locust's FastHttpSession."""

from __future__ import annotations

from email.message import Message
from http.cookiejar import CookieJar
from urllib.request import Request


class _Answer:
    """As much of a response as a CookieJar looks at."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._message = Message()
        for name, value in fields:
            if name.lower() in ("set-cookie", "set-cookie2"):
                self._message[name] = value

    def info(self) -> Message:
        return self._message


def new_jar() -> CookieJar:
    """Return an empty jar."""
    return CookieJar()


def header(jar: CookieJar, url: str) -> str | None:
    """Return the Cookie header that the jar has for a request of url; None: none."""
    request = Request(url)
    jar.add_cookie_header(request)
    return request.unredirected_hdrs.get("Cookie")


def extract(jar: CookieJar, url: str, fields: list[tuple[str, str]]) -> None:
    """Put the cookies of a response to url, given by its header fields, into the jar."""
    jar.extract_cookies(_Answer(fields), Request(url))  # type: ignore[arg-type]
