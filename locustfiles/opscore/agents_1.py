"""Scenario 1 by native agents: high state-update load. Users and waits: see scenario_1.py."""

from load_profile import RampShape
from locust import between
from opscore_agent import UPDATES, OpsCoreAgent
from scenarios import SCENARIO_1

from opscore_fast import AgentUser


class Scenario1Agent(OpsCoreAgent, AgentUser):
    """Updates its state again and again."""

    wait_time = between(*SCENARIO_1.wait)
    tasks = UPDATES


class Scenario1(RampShape):
    """The users of scenario 1 over time."""

    profile = SCENARIO_1
