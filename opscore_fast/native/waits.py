"""Waits that native threads take from a user's own wait_time: drawn in Python, many at a time."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import logging
import math
from typing import Any

from opscore_fast._core import Plan
from opscore_fast.recording.refusal import NotRecordable, place_of_function

logger = logging.getLogger(__name__)

SAMPLES = 4096
"""Waits that are drawn at a time: OPF_SAMPLES_N of csrc/agent/plan.h."""


def draw(plan: Plan, user: Any) -> None:
    """Have a user's own wait_time functions say how long the plan's agents wait next.

    Raises NotRecordable if one raises an exception or returns what is no number of seconds.
    """
    for number, function in enumerate(plan.source.samples):
        plan.set_samples(number, [_one(function, user) for _ in range(SAMPLES)])


def _one(function: Any, user: Any) -> float:
    try:
        value = function(user)
    except Exception as error:
        raise _refusal(function, f"it raised {error!r}") from None
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise _refusal(function, f"it returned {value!r}, which is no number of seconds")


def _refusal(function: Any, why: str) -> NotRecordable:
    return NotRecordable(
        *place_of_function(function),
        "wait_time",
        why,
        "have it return seconds as an int or a float",
    )


class Renewal:
    """The waits of the plans that have agents, drawn anew now and then."""

    def __init__(self) -> None:
        self._failed: set[Plan] = set()

    def run(self, users: dict[Plan, Any]) -> None:
        """Draw for each plan by its user. Where that fails, the waits of before serve for good."""
        for plan, user in users.items():
            if plan in self._failed:
                continue
            try:
                draw(plan, user)
            except NotRecordable as refusal:
                self._failed.add(plan)
                name = type(user).__name__
                logger.error("the agents of %s wait as they did before: %s", name, refusal)
