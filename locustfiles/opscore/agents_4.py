"""Scenario 4 by native agents: stress. Where is the breaking point?

Scenario 3's mix. Full: 300 users, then 50 more every 5 min, up to 3,000, until the mean response
time of a step is over 2 s or more than 5 % of its requests fail; what broke, and with how many
users, is printed at the end. OPSCORE_PROFILE=quick: 50 users, then 10 more every 5 s, 30 s in all.
"""

from locust import between
from opscore_agent import MIX, OpsCoreAgent
from scenarios import SCENARIO_4
from stress import StressShape

from opscore_fast import AgentUser


class Scenario4Agent(OpsCoreAgent, AgentUser):
    """Does what an agent does in a day's work."""

    wait_time = between(*SCENARIO_4.wait)
    tasks = MIX


class Scenario4(StressShape):
    """The users of scenario 4 over time."""

    profile = SCENARIO_4
    step_users = 50 if SCENARIO_4.peak_users > 100 else 10
