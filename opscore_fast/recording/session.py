"""What a user's session sends by itself."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from typing import Any

import requests

from opscore_fast.http_session import HttpSession, default_headers
from opscore_fast.sessions import FastHttpSession

AUTH = "client.auth"
"""First step of a slot's path: the Authorization header of the session."""


def session_headers(user: Any) -> dict[str, str]:
    """Return the headers of a user's session which may be other ones for another user."""
    client = user.client
    if isinstance(client, HttpSession):
        usual = default_headers()
        return {name: value for name, value in client.headers.items() if usual.get(name) != value}
    return {name: str(value) for name, value in (user.default_headers or {}).items()}


def session_auth(user: Any) -> str | None:
    """Return the Authorization header that a user's session sends by itself.

    Raises ValueError for a kind that is not Basic.
    """
    client = user.client
    if isinstance(client, FastHttpSession):
        return client.auth_header
    return basic_header(client.auth)


def basic_header(auth: Any) -> str | None:
    """Return the Authorization header for a session's auth. Raises ValueError as session_auth."""
    if auth is None:
        return None
    if isinstance(auth, tuple):
        auth = requests.auth.HTTPBasicAuth(*auth)
    if type(auth) is not requests.auth.HTTPBasicAuth:
        raise ValueError("client.auth is of another kind than Basic")
    request = requests.Request("GET", "http://localhost/", auth=auth).prepare()
    return str(request.headers["Authorization"])
