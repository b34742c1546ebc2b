"""What agents know, between a user in Python and its agents: slot values and cookies."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from http.cookiejar import Cookie
from typing import Any

from opscore_fast.native.fleet import End
from opscore_fast.recording.plan import Plan
from opscore_fast.recording.record import put_back
from opscore_fast.sessions import FastHttpSession


def _jar_of(user: Any) -> Any:
    client = user.client
    return client.cookiejar if isinstance(client, FastHttpSession) else client.cookies


def cookies_of(user: Any) -> list[tuple[Any, ...]]:
    """Return the cookies that a user's client has, for its agents."""
    return [
        (
            *(cookie.name, cookie.value, cookie.domain.removeprefix("."), cookie.path),
            *(not cookie.domain.startswith("."), bool(cookie.secure), cookie.expires),
        )
        for cookie in _jar_of(user)
    ]


def _cookie(
    name: str,
    value: str | None,
    domain: str,
    path: str,
    host_only: bool,
    secure: bool,
    expires: int | None,
) -> Cookie:
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain if host_only or not domain else f".{domain}",
        domain_specified=not host_only,
        domain_initial_dot=not host_only,
        path=path,
        path_specified=True,
        secure=secure,
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest={},
    )


def bring_back(user: Any, plan: Plan, end: End) -> None:
    """Give a user the attributes and cookies that its agent had at its end."""
    put_back(user, plan, end.slots)
    jar = _jar_of(user)
    jar.clear()
    for cookie in end.cookies:
        jar.set_cookie(_cookie(*cookie))
