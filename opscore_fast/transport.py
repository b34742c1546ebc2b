"""How requests go: by the engine's own fast path, or by libcurl with what that leaves out.

libcurl takes a request that goes by a proxy or has credentials of `opscore_fast.auth`, and every
request when transport is "libcurl" (or the environment variable OPSCORE_FAST_TRANSPORT is).
``response.transport`` tells which it was.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opscore_fast._core import Proxy
from opscore_fast.auth import SCHEMES

PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")

if TYPE_CHECKING:
    from opscore_fast._core import Session as _Base
else:
    _Base = object


def _shown(url: str) -> str:
    """Return url without user and password, whatever characters stand in them."""
    return re.sub(r"//.*@", "//", url, flags=re.DOTALL)


@lru_cache(maxsize=256)
def proxy_of(url: str, auth: str = "basic") -> Proxy:
    """Return the proxy of a URL: of the scheme http (or none), https, socks4, socks4a (the proxy
    resolves names), socks5 or socks5h (likewise), with user and password if it wants them.

    auth: how to authenticate to it: basic, digest, ntlm or negotiate. Raises ValueError.
    """
    if auth not in SCHEMES:
        raise ValueError(f"proxy_auth is one of {', '.join(SCHEMES)}, not {auth!r}")
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ValueError(f"proxy is not a URL: {_shown(whole)!r}")
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(
            "proxy has a character in its user or password that must be percent-encoded:"
            f" {_shown(whole)!r}"
        )
    if parts.scheme not in PROXY_SCHEMES:
        raise ValueError(
            f"proxy has a scheme that is none of {', '.join(PROXY_SCHEMES)}: {_shown(whole)!r}"
        )
    bare = parts._replace(path="", query="", fragment="")
    return Proxy(bare.geturl(), _shown(bare.geturl()), 0 if auth == "basic" else SCHEMES[auth])


def proxy_url(proxy: str | None, host: str | None, port: int | None) -> str | None:
    """Return the URL of a user's proxy: proxy, or an HTTP proxy's host and port.

    Raises ValueError for half of the latter.
    """
    if proxy or not (host or port):
        return proxy
    if not (host and port):
        raise ValueError("proxy_host and proxy_port go together: one of them is missing")
    return f"http://[{host}]:{int(port)}" if ":" in host else f"http://{host}:{int(port)}"


class TransportOptions(_Base):
    """What a session of either kind has of this."""

    @property
    def proxy(self) -> str | None:
        """URL of the proxy of all requests, without user and password when it is read."""
        return None if self._proxy is None else self._proxy.shown

    @proxy.setter
    def proxy(self, url: str | None) -> None:
        self._proxy = proxy_of(url) if url else None

    def _set_transport(self, proxy: str | None, proxy_auth: str, transport: str | None) -> None:
        self._proxy = proxy_of(proxy, proxy_auth) if proxy else None
        wanted = transport or os.environ.get("OPSCORE_FAST_TRANSPORT") or "opscore_fast"
        if wanted not in ("opscore_fast", "libcurl"):
            raise ValueError(f"transport is 'opscore_fast' or 'libcurl', not {wanted!r}")
        self._by_libcurl = wanted == "libcurl"
