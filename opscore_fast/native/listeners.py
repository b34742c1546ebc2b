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
