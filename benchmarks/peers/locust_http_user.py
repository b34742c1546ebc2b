"""Locust's HttpUser, on requests."""

from rig.locust_run import HTTP_USER

from peers._locust_user import LocustUser

PEER = LocustUser(HTTP_USER)
