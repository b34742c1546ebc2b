"""How many users run for how long: a scenario's full profile, or a quick one of 30 s.

`OPSCORE_PROFILE` chooses: `full` (the default) or `quick`. `OPSCORE_USERS` (users at the peak),
`OPSCORE_DURATION` (seconds in all) and `OPSCORE_WAIT` (seconds between two tasks of a user, such as
`2` or `1-5`) override what the profile says; the ramp is scaled with the duration.
"""

import os
import re
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
    if users := positive("OPSCORE_USERS"):
        profile = replace(profile, peak_users=users, start_users=min(profile.start_users, users))
    if duration := positive("OPSCORE_DURATION"):
        profile = replace(
            profile, duration=duration, ramp=profile.ramp * duration / profile.duration
        )
    if wait := _wait("OPSCORE_WAIT"):
        profile = replace(profile, wait=wait)
    return profile


def positive(variable: str) -> int | None:
    """The number in an environment variable, None if it is not set or empty."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        sys.exit(f"{variable} is {text!r}: use a whole number of 1 or more")
    return int(text)


def _wait(variable: str) -> tuple[float, float] | None:
    """The one or two numbers in an environment variable, None if it is not set or empty."""
    text = os.environ.get(variable)
    if not text:
        return None
    numbers = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    shortest, longest = map(float, (numbers[1], numbers[2] or numbers[1])) if numbers else (1, 0)
    if shortest > longest:
        sys.exit(f"{variable} is {text!r}: use seconds, such as '2' or '1-5'")
    return shortest, longest


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
