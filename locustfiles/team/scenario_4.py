"""Scenario 4: stress. Where is the breaking point?

Scenario 3's mix. Full: 300 users, then 50 more every 5 min, up to 3,000, until the mean response
time of a step is over 2 s or more than 5 % of its requests fail. OPSCORE_PROFILE=quick: 50 users,
then 10 more every 5 s, 30 s in all.
"""

from locust import between
from opscore_user import MixUser, Profile, StressShape, choose

PROFILE = choose(
    full=Profile(start_users=300, peak_users=3000, ramp=16200, duration=16500, wait=(1, 5)),
    quick=Profile(start_users=50, peak_users=100, ramp=25, duration=30, wait=(0.5, 1)),
)


class Scenario4User(MixUser):
    """Does what an agent does in a day's work."""

    wait_time = between(*PROFILE.wait)


class Scenario4(StressShape):
    """The users of scenario 4 over time."""

    profile = PROFILE
    step_users = 50 if PROFILE.peak_users > 100 else 10
