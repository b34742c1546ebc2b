"""Agents that send without a pause until enough was counted; memory is looked at on the way."""

import os
import time
from typing import Any

import gevent
from locust import constant, events, task
from locust.env import Environment
from subject import BODY, HEADERS, Base, memory, write_result

REQUESTS = int(os.environ["BENCH_REQUESTS"])


class BenchUser(Base):  # type: ignore[misc]
    """Posts the same body again and again."""

    wait_time = constant(0)

    @task
    def post(self) -> None:
        """One request."""
        self.client.post("/", json=BODY, headers=HEADERS)


seen: dict[str, float] = {}


def watch(environment: Environment) -> None:
    """Look at memory after a tenth of the requests and after all, then quit."""
    total = environment.stats.total
    began = time.perf_counter()
    while total.num_requests < REQUESTS / 10:
        gevent.sleep(0.2)
    seen["at_a_tenth"] = memory()["pss"]
    while environment.stats.total.num_requests < REQUESTS:
        gevent.sleep(0.2)
    seen["at_the_end"] = memory()["pss"]
    seen["seconds"] = time.perf_counter() - began
    runner: Any = environment.runner
    runner.quit()


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    """Watch beside the users."""
    gevent.spawn(watch, environment)


@events.quit.add_listener  # type: ignore[untyped-decorator]
def write(**_: Any) -> None:
    """Write what was seen, with the counts of when all had stopped."""
    if "at_the_end" in seen:
        write_result(seen)


@events.init.add_listener  # type: ignore[untyped-decorator]
def keep(environment: Environment, **_: Any) -> None:
    """Have the last counts among what is written."""

    def count(**_: Any) -> None:
        seen["counted"] = environment.stats.total.num_requests
        seen["failures"] = environment.stats.total.num_failures

    environment.events.quitting.add_listener(count)
