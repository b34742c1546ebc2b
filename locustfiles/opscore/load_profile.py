"""How many users run for how long: a scenario's full profile, or a quick one of 30 s.

`OPSCORE_PROFILE` chooses: `full` (the default) or `quick`. `OPSCORE_USERS` (users at the peak) and
`OPSCORE_DURATION` (seconds in all) override what the profile says; the ramp is scaled with the
duration.
"""

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
