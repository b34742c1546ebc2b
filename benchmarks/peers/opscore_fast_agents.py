"""opscore_fast's AgentUser: the tasks of a locustfile, run by one native thread."""

from rig.locust_run import AGENTS

from peers._locust_user import LocustUser

PEER = LocustUser(AGENTS)
