"""Who listens to requests: Locust itself, or somebody whom native agents would leave unheard."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from typing import Any

from locust.env import Environment

from opscore_fast.statistics import runner_behind


def foreign(environment: Environment) -> Any:
    """Return a listener of events.request that is not Locust's own, or None."""
    for handler in environment.events.request._handlers:
        if runner_behind(handler) is None:
            return handler
    return None


def place_of(listener: Any) -> tuple[str, int]:
    """Return the file and the line where a listener is defined."""
    code = getattr(listener, "__code__", None)
    return (
        getattr(code, "co_filename", getattr(listener, "__module__", "?")),
        getattr(code, "co_firstlineno", 0),
    )
