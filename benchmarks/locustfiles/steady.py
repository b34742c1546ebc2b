"""What the locustfiles without waits have in common: what is measured.

Requests and CPU count over the steady part of the run.

No listener on `events.request`: one would change the path that is measured. What has been counted
is read from `environment.stats` at both ends of the steady part.
"""

import os
import resource
import time
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from subject import write_result

METHOD = os.environ["BENCH_METHOD"]
PATH = os.environ["BENCH_PATH"]
TICKS = os.sysconf("SC_CLK_TCK")


def reading(environment: Environment) -> dict[str, float]:
    """Everything that is read at either end of the steady part, the clock first."""
    clock = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    total = environment.stats.total
    server = Path(f"/proc/{os.environ['BENCH_SERVER_PID']}/stat").read_text()
    fields = server.rpartition(")")[2].split()
    return {
        "seconds": clock,
        "client_cpu": usage.ru_utime + usage.ru_stime,
        "server_cpu": (int(fields[11]) + int(fields[12])) / TICKS,
        "requests": total.num_requests,
        "failures": total.num_failures,
        "bytes": total.total_content_length,
    }


def measure(environment: Environment) -> None:
    """Wait until every user has had an answer and the warm-up is over, then measure and quit."""
    runner: Any = environment.runner
    users = runner.environment.parsed_options.num_users
    while runner.user_count < users or environment.stats.total.num_requests < users:
        gevent.sleep(0.05)
    gevent.sleep(float(os.environ["BENCH_WARMUP"]))
    before = reading(environment)
    gevent.sleep(float(os.environ["BENCH_SECONDS"]))
    after = reading(environment)
    figures = {name: after[name] - before[name] for name in before}
    figures["total"] = after["requests"]
    write_result(figures)
    runner.quit()


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    """Measure beside the users, in a greenlet of its own."""
    gevent.spawn(measure, environment)
