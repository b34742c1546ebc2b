"""Scenario 1: high state-update load.

Full: 10 to 500 users over 5 min, then 15 min at the peak, an update every 5 to 10 s.
OPSCORE_PROFILE=quick: 100 users within 6 s, 30 s in all, an update every 0.5 to 1 s.
"""

from locust import between, task
from opscore_user import OpsCoreUser, Profile, RampShape, choose

PROFILE = choose(
    full=Profile(start_users=10, peak_users=500, ramp=300, duration=1200, wait=(5, 10)),
    quick=Profile(start_users=10, peak_users=100, ramp=5, duration=30, wait=(0.5, 1)),
)


class Scenario1User(OpsCoreUser):
    """Updates its state again and again."""

    wait_time = between(*PROFILE.wait)

    @task
    def work(self) -> None:
        """One state update."""
        self.update_state()


class Scenario1(RampShape):
    """The users of scenario 1 over time."""

    profile = PROFILE
