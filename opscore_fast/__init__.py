"""Locust users on a C engine: the same locustfile, tables and reports, several times faster.

Change one import::

    from opscore_fast import HttpUser  # was: from locust import HttpUser
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opscore_fast._version import __version__

if TYPE_CHECKING:
    from opscore_fast.http_session import HttpSession
    from opscore_fast.native.agents import AgentUser
    from opscore_fast.sessions import FastHttpSession
    from opscore_fast.users import FastHttpUser, HttpUser

__all__ = ["AgentUser", "FastHttpSession", "FastHttpUser", "HttpSession", "HttpUser", "__version__"]

_PLACES = {
    "AgentUser": "opscore_fast.native.agents",
    "FastHttpSession": "opscore_fast.sessions",
    "FastHttpUser": "opscore_fast.users",
    "HttpSession": "opscore_fast.http_session",
    "HttpUser": "opscore_fast.users",
}


def __getattr__(name: str) -> Any:
    # Locust patches the standard library when it is imported: the stand-in server does without.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value
