"""More and more users, until the service is at its limit.

`OPSCORE_LIMIT_MS` (mean response time) and `OPSCORE_LIMIT_FAILURES` (percent) say where that is.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from load_profile import RampShape, positive
from locust import events
from locust.stats import StatsEntry, calculate_response_time_percentile

FEW = 20
"""Requests up to which a step is not judged."""


@dataclass(frozen=True)
class Figures:
    """What requests came to: their number, failures, response times in ms (sum, and each's)."""

    requests: int = 0
    failures: int = 0
    total_ms: float = 0.0
    times: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, entry: StatsEntry) -> "Figures":
        """The figures of an entry of Locust's statistics."""
        times = Counter(entry.response_times)
        return cls(entry.num_requests, entry.num_failures, entry.total_response_time, times)

    def __sub__(self, before: "Figures") -> "Figures":
        return Figures(
            self.requests - before.requests,
            self.failures - before.failures,
            self.total_ms - before.total_ms,
            self.times - before.times,
        )


@dataclass
class Step:
    """A number of users, and what came of their requests."""

    users: int
    began: float
    """Seconds after the start of the test."""
    before: Figures
    seconds: float = 0.0
    figures: Figures = field(default_factory=Figures)

    @property
    def mean_ms(self) -> float:
        """The mean response time."""
        return self.figures.total_ms / max(self.figures.requests, 1)

    @property
    def failed(self) -> float:
        """The share of failed requests, from 0 to 1."""
        return self.figures.failures / max(self.figures.requests, 1)

    def __str__(self) -> str:
        times = self.figures.times
        p95_ms = calculate_response_time_percentile(times, times.total(), 0.95)
        return (
            f"{self.users} users, {self.figures.requests / max(self.seconds, 1):,.1f} requests/s,"
            f" {self.mean_ms:,.0f} ms on average, 95 % within {p95_ms:,.0f} ms,"
            f" {self.failed * 100:.1f} % failed"
        )


class StressShape(RampShape):
    """Adds `step_users` at a time along `profile`, until the service is at its limit.

    That is where a step's mean response time is over `limit_ms`, or more of its requests than
    `limit_failures` failed; a step is judged from its 20th request on. The process that runs the
    shape (with workers, the master) prints at its end where that was; its exit code is 1 then.
    """

    abstract = True
    step_users: int
    limit_ms = float(positive("OPSCORE_LIMIT_MS") or 2000)
    limit_failures = (positive("OPSCORE_LIMIT_FAILURES") or 5) / 100

    def __init__(self) -> None:
        super().__init__()
        self.reset_time()
        events.quit.add_listener(self.tell)

    def reset_time(self) -> None:
        """Begins a test."""
        super().reset_time()
        self._step: Step | None = None
        self._held: Step | None = None
        self._broken = ""

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate at this moment, None at the end or at the limit."""
        step = self._current()
        if step.figures.requests >= FEW:
            self._broken = self._limit_passed(step)
        if self._broken:
            logging.warning("Limit reached: %s: %s", self._broken, step)
            self.runner.environment.process_exit_code = 1
            return None
        if self.get_run_time() >= self.profile.duration:
            return None
        return step.users, self.step_users

    def _current(self) -> Step:
        """The step of this moment, with what came of it up to now."""
        profile, elapsed = self.profile, self.get_run_time()
        more_users = profile.peak_users - profile.start_users
        number = int(elapsed / profile.ramp * more_users / self.step_users) if more_users else 0
        users = min(profile.start_users + number * self.step_users, profile.peak_users)
        now = Figures.of(self.runner.stats.total)
        step = self._step
        if step is None or step.users != users:
            self._held, step = step, Step(users, elapsed, now)
        elif now.requests < step.before.requests + step.figures.requests:
            step = Step(users, elapsed, now)  # Locust has reset its statistics
        step.seconds, step.figures = elapsed - step.began, now - step.before
        self._step = step
        return step

    def _limit_passed(self, step: Step) -> str:
        """Which limit a step is over; empty if none."""
        if step.mean_ms > self.limit_ms:
            return f"a mean response time of more than {self.limit_ms:,.0f} ms"
        if step.failed > self.limit_failures:
            return f"more than {self.limit_failures * 100:.0f} % of the requests failed"
        return ""

    def tell(self, **_: Any) -> None:
        """Prints where the breaking point was, if a test has run here."""
        if self._broken:
            print(f"Breaking point: {self._broken}: {self._step}")
            print(f"The step before: {self._held or 'there is none'}")
        elif self._step is not None:
            print(f"No breaking point up to {self._step}")
