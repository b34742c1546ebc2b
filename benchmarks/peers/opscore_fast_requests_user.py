"""opscore_fast's HttpUser, on the C engine."""

from rig.locust_run import OUR_HTTP_USER

from peers._locust_user import LocustUser

PEER = LocustUser(OUR_HTTP_USER)
