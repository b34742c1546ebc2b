"""Modules that are named as Locust names them."""
