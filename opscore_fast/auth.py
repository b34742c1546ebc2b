"""Authentication schemes beyond Basic and Bearer: libcurl speaks them.

An object of this module is given as ``auth=`` to a request, or to ``client.auth`` for all of a
user's requests, of a FastHttpUser as well as of an HttpUser. The requests that have one go by
libcurl (``response.transport`` tells).
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from typing import Any, ClassVar

from requests.auth import HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth

from opscore_fast._core import SchemeAuth

__all__ = ["DigestAuth", "NegotiateAuth", "NtlmAuth"]

# By opf_auth of the engine.
SCHEMES = {"basic": 1, "digest": 2, "ntlm": 3, "negotiate": 4}


class _Auth(SchemeAuth):
    """User and password, of which no text says anything."""

    _scheme: ClassVar[str]

    def __new__(cls, user: str = "", password: str = "") -> _Auth:
        """user, password: str without null characters; else TypeError or ValueError."""
        if not (isinstance(user, str) and isinstance(password, str)):
            raise TypeError(f"{cls.__name__}: user and password are str")
        return super().__new__(cls, SCHEMES[cls._scheme], user, password)

    def __call__(self, request: Any) -> Any:
        """Note the credentials in a requests.PreparedRequest, as requests asks of its auth=."""
        request._opscore_fast_auth = self
        return request


class DigestAuth(_Auth):
    """Digest (RFC 7616). The first request to a server is made twice, for the server's nonce."""

    _scheme = "digest"


class NtlmAuth(_Auth):
    """NTLM, which belongs to a connection. user may be r"DOMAIN\\user"."""

    _scheme = "ntlm"


class NegotiateAuth(_Auth):
    """Negotiate (SPNEGO, Kerberos), without user and password: with the tickets of the process.

    Getting a ticket from the key distribution centre may block.
    """

    _scheme = "negotiate"


def login(auth: Any) -> Any:
    """Return what an ``auth=`` stands for: a SchemeAuth, or the pair for Basic.

    Takes the classes of this module and requests' HTTPBasicAuth, HTTPDigestAuth and HTTPProxyAuth;
    anything else is returned as it is.
    """
    if isinstance(auth, HTTPProxyAuth):
        return SchemeAuth(SCHEMES["basic"], _text(auth.username), _text(auth.password), True)
    if isinstance(auth, HTTPDigestAuth):
        return DigestAuth(_text(auth.username), _text(auth.password))
    if isinstance(auth, HTTPBasicAuth):
        return auth.username, auth.password
    return auth


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
