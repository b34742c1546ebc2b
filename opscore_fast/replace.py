"""Puts our classes where locustfiles find Locust's."""

from __future__ import annotations

import locust
import locust.contrib.fasthttp

from opscore_fast.sessions import FastHttpSession
from opscore_fast.users import FastHttpUser


def replace_users() -> str:
    """Replace locust.FastHttpUser and its kin; returns a line that says so.

    To be called before a locustfile is imported.
    """
    locust.FastHttpUser = FastHttpUser  # type: ignore[misc]
    locust.contrib.fasthttp.FastHttpUser = FastHttpUser  # type: ignore[misc]
    locust.contrib.fasthttp.FastHttpSession = FastHttpSession  # type: ignore[assignment,misc]
    return (
        "locust.FastHttpUser, locust.contrib.fasthttp.FastHttpUser and .FastHttpSession"
        " are those of opscore_fast"
    )
