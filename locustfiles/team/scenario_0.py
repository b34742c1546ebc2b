"""Scenario 0: is everything wired up? A few agents update their state.

Full: 1 to 5 users over 1 min, 5 min in all. OPSCORE_PROFILE=quick: 5 users, 30 s.
"""

from locust import between, task
from opscore_user import OpsCoreUser, Profile, RampShape, choose

PROFILE = choose(
    full=Profile(start_users=1, peak_users=5, ramp=60, duration=300, wait=(1, 2)),
    quick=Profile(start_users=1, peak_users=5, ramp=2, duration=30, wait=(1, 2)),
)


class Scenario0User(OpsCoreUser):
    """Updates its state every 1 to 2 s."""

    wait_time = between(*PROFILE.wait)

    @task
    def work(self) -> None:
        """One state update."""
        self.update_state()


class Scenario0(RampShape):
    """The users of scenario 0 over time."""

    profile = PROFILE
