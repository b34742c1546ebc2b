"""One C engine for each gevent hub, that is for each thread that makes requests."""

from __future__ import annotations

import os
import weakref
from typing import Any

import gevent

from opscore_fast._core import Engine

_engines: weakref.WeakKeyDictionary[Any, Engine] = weakref.WeakKeyDictionary()


def current() -> Engine:
    """Return the engine of the calling thread's hub; it is made when it is first asked for.

    ``OPSCORE_FAST_NAMESERVERS`` ("ip[:port],...") names the DNS servers to ask instead of the
    system's.
    """
    hub = gevent.get_hub()
    engine = _engines.get(hub)
    if engine is None:
        engine = Engine(hub, os.environ.get("OPSCORE_FAST_NAMESERVERS") or None)
        _engines[hub] = engine
    return engine


def _forget_in_child() -> None:
    """Leave the parent's connections alone after a fork, and begin with new engines."""
    for engine in _engines.values():
        engine.mark_forked()
    _engines.clear()


os.register_at_fork(after_in_child=_forget_in_child)
