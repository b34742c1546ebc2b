"""Scenario 3 by native agents: realistic mix: 80 % state updates, 15 % state reads, 5 % workflows.

Full: 20 to 300 users over 5 min, then 30 min at the peak, a request every 1 to 5 s.
OPSCORE_PROFILE=quick: 50 users within 6 s, 30 s in all, a request every 0.5 to 1 s.
"""

from load_profile import RampShape
from locust import between
from opscore_agent import MIX, OpsCoreAgent
from scenarios import SCENARIO_3

from opscore_fast import AgentUser


class Scenario3Agent(OpsCoreAgent, AgentUser):
    """Does what an agent does in a day's work."""

    wait_time = between(*SCENARIO_3.wait)
    tasks = MIX


class Scenario3(RampShape):
    """The users of scenario 3 over time."""

    profile = SCENARIO_3
