"""Locust's CPU warning, for a process in which several threads work.

Locust warns when its process takes more than 90 % of a core, as more is not in a Python process.
With native threads the figure that matters is that of the busiest thread: when one of them, or the
one that runs Python, is saturated, response times and throughput are no longer the server's.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import logging
import time
from typing import Any

import gevent
import psutil
from locust.runners import CPU_MONITOR_INTERVAL, CPU_WARNING_THRESHOLD, Runner

from opscore_fast._core import Fleet

logger = logging.getLogger(__name__)


class _Usage:
    """CPU times of the threads, and what became of them since they were read last."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._process = psutil.Process()
        self._at, self._seconds = self._read()

    def _read(self) -> tuple[float, list[float]]:
        threads = [figures["cpu_ns"] / 1e9 for figures in self._fleet.figures()]
        times = self._process.cpu_times()
        return time.monotonic(), [times.user + times.system - sum(threads), *threads]

    def percent(self) -> tuple[float, str]:
        """Return the share of a core that the busiest thread took, and which that is."""
        before_at, before = self._at, self._seconds
        self._at, self._seconds = self._read()
        elapsed = max(self._at - before_at, 1e-9)
        shares = [
            max(0.0, (now - then) / elapsed * 100)
            for now, then in zip(self._seconds, before, strict=True)
        ]
        busiest = shares.index(max(shares))
        return shares[busiest], f"native thread {busiest}" if busiest else "the thread of Python"

    @property
    def memory(self) -> int:
        return int(self._process.memory_info().rss)


def watch(runner: Runner, fleet: Fleet) -> None:
    """Put this in the place of the greenlet with which the runner watches its CPU."""
    theirs: Any = Runner.monitor_cpu_and_memory
    for greenlet in list(runner.greenlet):
        if getattr(getattr(greenlet, "_run", None), "__func__", None) is theirs:
            runner.greenlet.killone(greenlet, block=False)
            runner.greenlet.spawn(_monitor, runner, _Usage(fleet))


def _monitor(runner: Runner, usage: _Usage) -> None:
    """Do as Runner.monitor_cpu_and_memory, with the figure of the busiest thread."""
    events = runner.environment.events
    while True:
        gevent.sleep(CPU_MONITOR_INTERVAL)
        runner.current_cpu_usage, whose = usage.percent()
        runner.current_memory_usage = usage.memory
        if runner.current_cpu_usage > CPU_WARNING_THRESHOLD:
            events.cpu_warning.fire(  # type: ignore[no-untyped-call]
                environment=runner.environment, cpu_usage=runner.current_cpu_usage
            )
            if not runner.cpu_warning_emitted:
                logger.warning(
                    "CPU usage of %s above %d%%! This may constrain your throughput and may even"
                    " give inconsistent response time measurements!",
                    *(whose, CPU_WARNING_THRESHOLD),
                )
                runner.cpu_warning_emitted = True
        events.usage_monitor.fire(  # type: ignore[no-untyped-call]
            environment=runner.environment,
            cpu_usage=runner.current_cpu_usage,
            memory_usage=runner.current_memory_usage,
        )
