"""URLs: what the C side leaves to Python because it is rare (RFC 3986)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit, urlunsplit

from opscore_fast.exceptions import RedirectError

_PORTS = {"http": 80, "https": 443}


def _pairs(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> list[tuple[Any, Any]]:
    items = params.items() if isinstance(params, Mapping) else params
    pairs = []
    for key, values in items:
        if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
            values = [values]
        pairs += [(key, value) for value in values if value is not None]
    return pairs


def with_params(url: str, params: Any) -> str:
    """Return url with params (mapping, pairs, str or bytes) in its query."""
    if isinstance(params, bytes):
        query = params.decode()
    elif isinstance(params, str):
        query = params
    else:
        query = urlencode(_pairs(params))
    head, hash_mark, fragment = url.partition("#")
    path, _, given = head.partition("?")
    query = "&".join(part for part in (given, query) if part)
    return path + ("?" + query if query else "") + hash_mark + fragment


def shown(url: str) -> str:
    """Return url as it may stand in a text: without the user and password that it may have."""
    return re.sub(r"//[^/?#]*@", "//", url)


def ascii_url(url: str) -> str:
    """Return url with a host name outside ASCII in its IDNA form, and anything else as it is.

    Raises ValueError for a host that has none.
    """
    parts = urlsplit(url)
    if parts.netloc.isascii():
        return url
    userinfo, at, host = parts.netloc.rpartition("@")
    name, colon, port = host.partition(":")
    try:
        host = name.encode("idna").decode("ascii") + colon + port
    except UnicodeError as error:
        raise ValueError(f"URL has a host that is no name ({error}): {shown(url)!r}") from None
    return urlunsplit(parts._replace(netloc=userinfo + at + host))


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def redirect(
    first_url: str, url: str, location: str, status: int, method: str
) -> tuple[str, str, bool, bool] | RedirectError:
    """Find the request that follows a redirect (RFC 9110, 15.4), as geventhttpclient does.

    Returns the URL, the method, whether the body is dropped, and whether the origin is another than
    that of first_url (whose credentials are not for it then); or why there is none.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        if urlsplit(location).scheme and not urlsplit(location).hostname:
            return RedirectError("redirect to a URL without a host")
        other = _origin(parts) != _origin(urlsplit(first_url))
    except ValueError:
        return RedirectError("redirect to a URL that can't be parsed")
    if parts.scheme not in _PORTS or not parts.hostname:
        return RedirectError("redirect to a URL that is neither http nor https")
    if status in (301, 302, 303):
        return target, method if method.upper() == "HEAD" else "GET", True, other
    return target, method, False, other
