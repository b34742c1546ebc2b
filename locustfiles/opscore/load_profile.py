"""How many users run for how long: a scenario's full profile, or a quick one of 30 s.

`OPSCORE_PROFILE` chooses: `full` (the default) or `quick`. `OPSCORE_USERS` (users at the peak) and
`OPSCORE_DURATION` (seconds in all) override what the profile says; the ramp is scaled with the
duration.
"""

import logging
import os
import sys
from dataclasses import dataclass, replace

from locust import LoadTestShape


@dataclass(frozen=True)
class Profile:
    """Users rise from `start_users` to `peak_users` in `ramp` seconds and stay there.

    The test ends `duration` seconds after its start. `wait` is the shortest and the longest time
    between two tasks of a user, in seconds.
    """

    start_users: int
    peak_users: int
    ramp: float
    duration: float
    wait: tuple[float, float]


def choose(full: Profile, quick: Profile) -> Profile:
    """The profile that the environment asks for. A value that makes no sense ends the process."""
    name = os.environ.get("OPSCORE_PROFILE") or "full"
    profiles = {"full": full, "quick": quick}
    if name not in profiles:
        sys.exit(f"OPSCORE_PROFILE is {name!r}: use 'full' (the default) or 'quick'")
    profile = profiles[name]
    if users := _positive("OPSCORE_USERS"):
        profile = replace(profile, peak_users=users, start_users=min(profile.start_users, users))
    if duration := _positive("OPSCORE_DURATION"):
        profile = replace(
            profile, duration=duration, ramp=profile.ramp * duration / profile.duration
        )
    return profile


def _positive(variable: str) -> int | None:
    """The number in an environment variable, None if it is not set or empty."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        sys.exit(f"{variable} is {text!r}: use a whole number of 1 or more")
    return int(text)


class RampShape(LoadTestShape):
    """Drives the users along `profile`. A scenario subclasses it."""

    abstract = True
    profile: Profile

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate at this moment, None at the end."""
        profile = self.profile
        elapsed = self.get_run_time()
        if elapsed >= profile.duration:
            return None
        more_users = profile.peak_users - profile.start_users
        if more_users == 0 or elapsed < 0.5:
            return profile.start_users, profile.start_users
        return profile.peak_users, more_users / profile.ramp


class StressShape(RampShape):
    """Adds `step_users` at a time along `profile`, until the service is at its limit.

    That is where a step's mean response time is over `limit_ms`, or more of its requests than
    `limit_failures` failed; a step is judged from its 20th request on.
    """

    abstract = True
    step_users: int
    limit_ms = 2000.0
    limit_failures = 0.05
    _step = -1
    _before = (0, 0, 0.0)

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate at this moment, None at the end or at the limit."""
        profile = self.profile
        elapsed = self.get_run_time()
        more_users = profile.peak_users - profile.start_users
        step = int(elapsed / profile.ramp * more_users / self.step_users) if more_users else 0
        users = min(profile.start_users + step * self.step_users, profile.peak_users)
        counts = self._counts()
        if step != self._step or counts[0] < self._before[0]:
            self._step, self._before = step, counts
        requests, failures, total_ms = (
            now - before for now, before in zip(counts, self._before, strict=True)
        )
        if requests >= 20:
            mean_ms, failed = total_ms / requests, failures / requests
            if mean_ms > self.limit_ms or failed > self.limit_failures:
                logging.warning(
                    "Limit reached at %d users: %.0f ms on average, %.1f %% failed",
                    *(users, mean_ms, failed * 100),
                )
                return None
        if elapsed >= profile.duration:
            return None
        return users, self.step_users

    def _counts(self) -> tuple[int, int, float]:
        """Requests, failures and the sum of all response times in ms up to now."""
        if self.runner is None:
            return 0, 0, 0.0
        total = self.runner.stats.total
        return total.num_requests, total.num_failures, total.total_response_time
