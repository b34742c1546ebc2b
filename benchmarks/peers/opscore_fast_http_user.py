"""opscore_fast's FastHttpUser, on the C engine."""

from rig.locust_run import OURS

from peers._locust_user import LocustUser

PEER = LocustUser(OURS)
