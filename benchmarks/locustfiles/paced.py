"""Users with random waits against a server that takes a fixed time to answer.

Reports percentiles over the steady part, from Locust's own statistics and, with
BENCH_LISTENER=1, from the response times that `events.request` brings. The server is told by
signal when the steady part begins and ends, so that both sides count the same requests.
"""

import os
import resource
import signal
import time
from typing import Any

import gevent
from locust import between, events, task
from locust.env import Environment
from locust.stats import calculate_response_time_percentile, diff_response_time_dicts
from subject import BODY, HEADERS, Base, write_result

SERVER = int(os.environ["BENCH_SERVER_PID"])
PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

times: list[float] = []


class PacedUser(Base):  # type: ignore[misc]
    """Posts a state update, then waits for a random time."""

    wait_time = between(0, float(os.environ["BENCH_MAX_WAIT"]))

    @task
    def request(self) -> None:
        """The only task."""
        self.client.post("/", json=BODY, headers=HEADERS)


def exact(values: list[float]) -> dict[str, float]:
    """Percentiles of `values` by nearest rank, in milliseconds."""
    values = sorted(values)
    return {name: values[int(len(values) * share)] for name, share in PERCENTILES.items()}


def cpu() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(environment: Environment) -> None:
    """Wait for a steady state, measure over its length, write the figures and quit."""
    runner: Any = environment.runner
    total = environment.stats.total
    while runner.user_count < runner.environment.parsed_options.num_users:
        gevent.sleep(0.05)
    gevent.sleep(float(os.environ["BENCH_WARMUP"]))
    os.kill(SERVER, signal.SIGUSR1)
    started, used = time.perf_counter(), cpu()
    requests, failures = total.num_requests, total.num_failures
    response_times = dict(total.response_times)
    times.clear()
    gevent.sleep(float(os.environ["BENCH_SECONDS"]))
    os.kill(SERVER, signal.SIGUSR2)
    seconds, used = time.perf_counter() - started, cpu() - used
    requests, failures = total.num_requests - requests, total.num_failures - failures
    counted = diff_response_time_dicts(dict(total.response_times), response_times)
    figures = {
        "seconds": seconds,
        "client_cpu": used,
        "requests": requests,
        "failures": failures,
        "reported": {
            name: calculate_response_time_percentile(counted, requests, share)
            for name, share in PERCENTILES.items()
        },
        "exact": exact(times) if times else None,
    }
    write_result(figures)
    runner.quit()


if os.environ["BENCH_LISTENER"] == "1":

    @events.request.add_listener  # type: ignore[untyped-decorator]
    def collect(response_time: float, **_: Any) -> None:
        """Keep what Locust's statistics would round."""
        times.append(response_time)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    """Measure beside the users, in a greenlet of its own."""
    gevent.spawn(measure, environment)
