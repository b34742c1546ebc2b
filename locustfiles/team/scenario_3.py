"""Scenario 3: realistic mix: 80 % state updates, 15 % state reads, 5 % workflows.

Full: 20 to 300 users over 5 min, then 30 min at the peak, a request every 1 to 5 s.
OPSCORE_PROFILE=quick: 50 users within 6 s, 30 s in all, a request every 0.5 to 1 s.
"""

from locust import between
from opscore_user import MixUser, Profile, RampShape, choose

PROFILE = choose(
    full=Profile(start_users=20, peak_users=300, ramp=300, duration=2100, wait=(1, 5)),
    quick=Profile(start_users=10, peak_users=50, ramp=5, duration=30, wait=(0.5, 1)),
)


class Scenario3User(MixUser):
    """Does what an agent does in a day's work."""

    wait_time = between(*PROFILE.wait)


class Scenario3(RampShape):
    """The users of scenario 3 over time."""

    profile = PROFILE
