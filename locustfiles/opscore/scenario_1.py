"""Scenario 1: high state-update load.

Full: 10 to 500 users over 5 min, then 15 min at the peak, an update every 5 to 10 s.
OPSCORE_PROFILE=quick: 500 users within 6 s, 30 s in all, an update every 0.5 to 1 s.
"""

from load_profile import RampShape
from locust import between
from opscore_agent import UPDATES, OpsCoreAgent
from scenarios import SCENARIO_1

from opscore_fast import HttpUser


class Scenario1User(OpsCoreAgent, HttpUser):
    """Updates its state again and again."""

    wait_time = between(*SCENARIO_1.wait)
    tasks = UPDATES


class Scenario1(RampShape):
    """The users of scenario 1 over time."""

    profile = SCENARIO_1
