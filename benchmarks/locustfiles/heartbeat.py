"""Users that all start at once and make one request, watched by a greenlet that wants its turn.

The greenlet sleeps for a millisecond, over and over, from before the first user until the last has
its answer. What it is late by is time for which the hub served nobody; the CPU that the process
used meanwhile tells the hub's own work from what else the machine did.
"""

import os
import time
from typing import Any

import gevent
from locust import constant, events, task
from locust.env import Environment
from subject import BODY, HEADERS, Base, write_result

BEAT = 0.001


class OnceUser(Base):  # type: ignore[misc]
    """Makes one request and then waits until it is stopped."""

    wait_time = constant(3600)

    @task
    def request(self) -> None:
        """The only request."""
        self.client.post("/", json=BODY, headers=HEADERS, **OPTIONS)


OPTIONS: dict[str, Any] = {}
if os.environ["BENCH_CA"]:
    OnceUser.insecure = False
    OnceUser.ca_bundle = os.environ["BENCH_CA"]
elif hasattr(Base, "pool_manager"):
    OPTIONS["verify"] = False


def beat(late: list[tuple[float, float]], stop: list[bool]) -> None:
    """Note how late each beat is, and the CPU time since the one before, in seconds."""
    due, used = time.perf_counter() + BEAT, time.process_time()
    while not stop:
        gevent.sleep(BEAT)
        now, cpu = time.perf_counter(), time.process_time()
        late.append((now - due, cpu - used))
        due, used = time.perf_counter() + BEAT, cpu


def measure(environment: Environment) -> None:
    """Wait until every user has its answer, write the figures and quit."""
    runner: Any = environment.runner
    users = runner.environment.parsed_options.num_users
    total = environment.stats.total
    late: list[tuple[float, float]] = []
    stop: list[bool] = []
    started = time.perf_counter()
    heart = gevent.spawn(beat, late, stop)
    while runner.user_count < users or total.num_requests < users:
        gevent.sleep(0.02)
    seconds = time.perf_counter() - started
    stop.append(True)
    heart.join()
    figures = {
        "seconds": seconds,
        "beats": len(late),
        "late": sorted(wall for wall, _ in late),
        "cpu": sorted(cpu for _, cpu in late),
        "failures": total.num_failures,
    }
    write_result(figures)
    runner.quit()


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    """Measure beside the users, in a greenlet of its own."""
    gevent.spawn(measure, environment)
    gevent.sleep(0.1)  # the heart beats before the first user is made
