"""Agents that make one request each, all under way at a time, over HTTP/2 connections they share.

What was counted is written when each agent has its answer, or when BENCH_PATIENCE seconds are over.
"""

import os
import resource
import time
from typing import Any

import gevent
import native
from locust import constant, task
from locust.env import Environment
from subject import BODY, HEADERS, Base, at_first_start, memory, write_result

USERS = int(os.environ["BENCH_OF"])
EACH = int(os.environ["BENCH_EACH"])


class BenchUser(Base):  # type: ignore[misc]
    """A number of agents that make one request and wait until they are stopped."""

    agents_per_user = EACH
    wait_time = constant(3600)

    @task
    def request(self) -> None:
        """The only request."""
        self.client.post("/", json=BODY, headers=HEADERS)


def measure(environment: Environment) -> None:
    """Wait for the answers, write what was seen, and quit."""
    runner: Any = environment.runner
    before, began = memory(), time.perf_counter()
    deadline = began + float(os.environ["BENCH_PATIENCE"])
    while environment.stats.total.num_requests < USERS * EACH and time.perf_counter() < deadline:
        gevent.sleep(0.05)
    seconds, now = time.perf_counter() - began, native.figures()
    figures = {
        "agents": now["agents"],
        "connections": now["connections"],
        "reported": environment.stats.total.num_requests,
        "failures": environment.stats.total.num_failures,
        "seconds": seconds,
        "rss_before": before["rss"],
        "rss_most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    write_result(figures)
    runner.quit()


at_first_start(lambda environment: gevent.spawn(measure, environment))
