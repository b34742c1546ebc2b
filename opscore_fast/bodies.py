"""Request bodies and arguments that the C side leaves to Python because they are rare."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

logger = logging.getLogger(__name__)

_warned: set[str] = set()


def encode(data: Any) -> tuple[bytes, str]:
    """Return the bytes and the Content-Type of a body that is neither str nor bytes.

    A dict becomes a form, as with Locust's FastHttpSession; a file is read to its end; an iterable
    of str or bytes is joined. Raises TypeError for anything else.
    """
    if isinstance(data, Mapping):
        return urlencode(data).encode(), "application/x-www-form-urlencoded; charset=utf-8"
    if isinstance(data, bytearray | memoryview):
        return bytes(data), "application/octet-stream"
    if hasattr(data, "read"):
        content = data.read()
        return _as_bytes(content), "application/octet-stream"
    if hasattr(data, "__iter__"):
        return b"".join(map(_as_bytes, data)), "application/octet-stream"
    raise TypeError(f"data is a str, bytes, dict or file, not {type(data).__name__}")


def _as_bytes(part: Any) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, bytes | bytearray | memoryview):
        return bytes(part)
    raise TypeError(f"data brings {type(part).__name__} where a str or bytes is needed")


def unknown_keywords(method: str, extra: dict[str, Any], data: Any, params: Any) -> tuple[Any, Any]:
    """Put keyword arguments that no session knows where FastHttpSession puts them.

    They become fields of a POST's form, else parameters of the query. Returns data and params.
    Warns once for each name, since it is hardly ever meant.
    """
    posts = method.upper() == "POST"
    for name in extra.keys() - _warned:
        _warned.add(name)
        where = "field of the form" if posts else "query parameter"
        logger.warning(
            "FastHttpSession has no argument %r: as with Locust's, it is sent as a %s", name, where
        )
    if posts:
        if data is None:
            data = extra
        elif isinstance(data, dict):
            data = {**data, **extra}
    elif params is None:
        params = extra
    elif isinstance(params, dict):
        params = {**params, **extra}
    return data, params


def basic_auth(auth: tuple[str | bytes, str | bytes]) -> str:
    """Return the Authorization value for a pair of user name and password (RFC 7617)."""
    try:
        user, password = auth
        parts = [p.encode("latin1") if isinstance(p, str) else p for p in (user, password)]
        return "Basic " + b64encode(b":".join(parts)).decode("ascii")
    except (TypeError, ValueError):
        raise ValueError("auth is a pair of user name and password, both str or bytes") from None
