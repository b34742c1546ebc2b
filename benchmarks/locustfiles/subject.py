"""What the locustfiles have in common: the class under test, what its users send, its memory.

The class comes from the environment, as do body and headers (rig/locust_run.py).
"""

import gc
import importlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from locust import events
from locust.env import Environment

BODY = json.loads(os.environ["BENCH_BODY"])
HEADERS = json.loads(os.environ["BENCH_HEADERS"])

_module, _, _name = os.environ["BENCH_CLASS"].partition(":")
Base: Any = getattr(importlib.import_module(_module), _name)
if "BENCH_HTTP2" in os.environ:
    Base.http2 = os.environ["BENCH_HTTP2"]
    Base.connections = int(os.environ["BENCH_CONNECTIONS"])
    Base.ca_bundle = os.environ["BENCH_TRUSTED"] or None


def memory() -> dict[str, int]:
    """KB of this process, after a garbage collection: rss, pss, pss_anon (not mapped of files)."""
    gc.collect()
    rollup = Path("/proc/self/smaps_rollup").read_text()
    found = re.findall(r"^(Rss|Pss|Pss_Anon):\s+(\d+)", rollup, re.M)
    return {key.lower(): int(value) for key, value in found}


def at_first_start(function: Callable[[Environment], object]) -> None:
    """Have a function called when users are started for the first time."""
    begun = False

    def begin(environment: Environment, **_: Any) -> None:
        nonlocal begun
        if not begun:
            begun = True
            function(environment)

    events.test_start.add_listener(begin)  # type: ignore[no-untyped-call]


def write_result(figures: object) -> None:
    """Hand over what was measured."""
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(figures))
