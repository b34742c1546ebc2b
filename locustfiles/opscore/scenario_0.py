"""Scenario 0: is everything wired up? A few agents update their state.

Full: 1 to 5 users over 1 min, 5 min in all. OPSCORE_PROFILE=quick: 5 users, 30 s.
"""

from load_profile import RampShape
from locust import between
from opscore_agent import UPDATES, OpsCoreAgent
from scenarios import SCENARIO_0

from opscore_fast import HttpUser


class Scenario0User(OpsCoreAgent, HttpUser):
    """Updates its state every 1 to 2 s."""

    wait_time = between(*SCENARIO_0.wait)
    tasks = UPDATES


class Scenario0(RampShape):
    """The users of scenario 0 over time."""

    profile = SCENARIO_0
