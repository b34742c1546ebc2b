"""Agents that wait, keep a connection or are busy, and what that takes of memory and CPU.

Memory is what all users but the first add to the process: that one has the tasks recorded and makes
what all share. CPU is that of the native threads, over some seconds in which all agents are there.
"""

import ctypes
import os
import random
import time
from typing import Any

import gevent
import native
from locust import between, constant, task
from locust.env import Environment
from subject import BODY, HEADERS, Base, at_first_start, memory, write_result

KIND = os.environ["BENCH_KIND"]
EACH = int(os.environ["BENCH_EACH"])
USERS = int(os.environ["BENCH_OF"])
CONNECTED = KIND != "waiting"
SECONDS = float(os.environ["BENCH_SECONDS"])


class BenchUser(Base):  # type: ignore[misc]
    """One agent, or a number of them; the id differs from one to the other."""

    agents_per_user = EACH
    wait_time = {"waiting": between(5, 15), "kept": constant(3600), "busy": constant(0)}[KIND]

    def on_start(self) -> None:
        """Make what the agent remembers."""
        self.agent_id = f"loadtest-agent-{random.getrandbits(128):032x}"

    @task
    def request(self) -> None:
        """Send the only request, which is never reached where agents only wait."""
        if KIND != "waiting" or random.random() < 0:
            self.client.post("/", json=BODY | {"agentId": self.agent_id}, headers=HEADERS)


def wait_for_agents(environment: Environment, agents: int) -> None:
    """Until all agents are there, and each has the connection that it is to have."""
    while (now := native.figures())["agents"] < agents or now["connections"] < agents * CONNECTED:
        gevent.sleep(0.1)
    while environment.stats.total.num_requests < agents * CONNECTED:
        gevent.sleep(0.1)
    gevent.sleep(1.0)


def measure(environment: Environment) -> None:
    """Have all users start behind the first, watch them, write what was seen, and quit."""
    runner: Any = environment.runner
    wait_for_agents(environment, EACH)
    ctypes.CDLL(None).malloc_trim(0)
    before = memory()
    runner.start(USERS, spawn_rate=USERS)
    wait_for_agents(environment, USERS * EACH)
    began, then = time.perf_counter(), native.figures()
    gevent.sleep(SECONDS)
    took, now = time.perf_counter() - began, native.figures()
    figures = {
        "agents": now["agents"],
        "connections": now["connections"],
        "before": before,
        "with_agents": memory(),
        "core": (now["cpu_ns"] - then["cpu_ns"]) / took / 1e9,
        "requests": environment.stats.total.num_requests,
        "failures": environment.stats.total.num_failures,
    }
    write_result(figures)
    runner.quit()


at_first_start(lambda environment: gevent.spawn(measure, environment))
