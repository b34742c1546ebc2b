"""Scenario 0 by native agents: is everything wired up? Users and waits: see scenario_0.py."""

from load_profile import RampShape
from locust import between
from opscore_agent import UPDATES, OpsCoreAgent
from scenarios import SCENARIO_0

from opscore_fast import AgentUser


class Scenario0Agent(OpsCoreAgent, AgentUser):
    """Updates its state every 1 to 2 s."""

    wait_time = between(*SCENARIO_0.wait)
    tasks = UPDATES


class Scenario0(RampShape):
    """The users of scenario 0 over time."""

    profile = SCENARIO_0
