"""Scenario 2 by native agents: workflow initiation.

Full: 10 to 100 users over 3 min, then 15 min at the peak, a workflow every 30 to 60 s.
OPSCORE_PROFILE=quick: 20 users within 6 s, 30 s in all, a workflow every 3 to 6 s.
"""

from load_profile import RampShape
from locust import between
from opscore_agent import WORKFLOWS, OpsCoreAgent
from scenarios import SCENARIO_2

from opscore_fast import AgentUser


class Scenario2Agent(OpsCoreAgent, AgentUser):
    """Starts a workflow now and then."""

    wait_time = between(*SCENARIO_2.wait)
    tasks = WORKFLOWS


class Scenario2(RampShape):
    """The users of scenario 2 over time."""

    profile = SCENARIO_2
