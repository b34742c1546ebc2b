"""Scenario 2: workflow initiation.

Full: 10 to 100 users over 3 min, then 15 min at the peak, a workflow every 30 to 60 s.
OPSCORE_PROFILE=quick: 20 users within 6 s, 30 s in all, a workflow every 3 to 6 s.
"""

from locust import between, task
from opscore_user import OpsCoreUser, Profile, RampShape, choose

PROFILE = choose(
    full=Profile(start_users=10, peak_users=100, ramp=180, duration=1080, wait=(30, 60)),
    quick=Profile(start_users=5, peak_users=20, ramp=5, duration=30, wait=(3, 6)),
)


class Scenario2User(OpsCoreUser):
    """Starts a workflow now and then."""

    wait_time = between(*PROFILE.wait)

    @task
    def work(self) -> None:
        """One workflow."""
        self.start_workflow()


class Scenario2(RampShape):
    """The users of scenario 2 over time."""

    profile = PROFILE
