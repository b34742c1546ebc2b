"""Users that make one request and then do nothing, started and stopped again.

Snapshots of the process: before the first user, with all of them idle, after their stop. CPU is
taken from the start of the users until the last of them has its answer.
"""

import ctypes
import os
import resource
import time
from pathlib import Path
from typing import Any

import gevent
from locust import constant, task
from locust.env import Environment
from subject import BODY, HEADERS, Base, at_first_start, memory, write_result

METHOD = os.environ["BENCH_METHOD"]
PATH = os.environ["BENCH_PATH"]
CYCLES = int(os.environ["BENCH_CYCLES"])


class IdleUser(Base):  # type: ignore[misc]
    """Makes one request and then waits until it is stopped."""

    wait_time = constant(3600)

    @task
    def request(self) -> None:
        """The only request."""
        if METHOD == "POST":
            self.client.post(PATH, json=BODY, headers=HEADERS)
        else:
            self.client.get(PATH, headers=HEADERS)


def cpu() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def snapshot() -> dict[str, int]:
    """Memory in KB and open sockets, after a garbage collection."""
    figures = memory()
    sockets = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            sockets += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return figures | {"sockets": sockets}


def wait_for_answers(environment: Environment, users: int) -> None:
    """Until every user runs and has been answered."""
    runner: Any = environment.runner
    while runner.user_count < users or environment.stats.total.num_requests < users:
        gevent.sleep(0.02)


def cycle(environment: Environment, users: int, before_cpu: float) -> dict[str, Any]:
    """One start and stop of all users; the start itself has been asked for already."""
    runner: Any = environment.runner
    wait_for_answers(environment, users)
    used = cpu() - before_cpu
    failures = environment.stats.total.num_failures
    gevent.sleep(1.0)
    idle = snapshot()
    runner.stop()
    while runner.user_count:
        gevent.sleep(0.02)
    gevent.sleep(1.0)
    stopped = snapshot()
    ctypes.CDLL(None).malloc_trim(0)
    return {
        "cpu_seconds": used,
        "failures": failures,
        "idle": idle,
        "stopped": stopped,
        "trimmed": snapshot(),
    }


def measure(environment: Environment, before: dict[str, int], before_cpu: float) -> None:
    """Run the cycles, write what was seen, and quit."""
    runner: Any = environment.runner
    users = runner.environment.parsed_options.num_users
    started = time.perf_counter()
    cycles = [cycle(environment, users, before_cpu)]
    while len(cycles) < CYCLES:
        before_cpu = cpu()
        runner.start(users, spawn_rate=users)
        gevent.sleep(0.5)
        cycles.append(cycle(environment, users, before_cpu))
    figures = {"before": before, "cycles": cycles, "seconds": time.perf_counter() - started}
    write_result(figures)
    runner.quit()


@at_first_start
def begin(environment: Environment) -> None:
    """An idle Locust is what everything is compared with."""
    gevent.spawn(measure, environment, snapshot(), cpu())
