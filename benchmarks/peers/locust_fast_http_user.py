"""Locust's FastHttpUser, on geventhttpclient."""

from rig.locust_run import FAST_HTTP_USER

from peers._locust_user import LocustUser

PEER = LocustUser(FAST_HTTP_USER)
