"""One C engine for each gevent hub, that is for each thread that makes requests."""

from __future__ import annotations

import os
import weakref
from typing import Any

import gevent
from gevent import monkey

from opscore_fast._core import Engine


class _Holder:
    """Keeps a thread's engine, and closes it when the thread ends: its hub has no word for that."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.engine = Engine(hub, os.environ.get("OPSCORE_FAST_NAMESERVERS") or None)

    def __del__(self) -> None:
        engine: Engine | None = getattr(self, "engine", None)
        if engine is not None:
            engine.close()


# Of the native thread, where gevent's patched kind would be of the greenlet.
_thread: Any = monkey.get_original("threading", "local")()
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def current() -> Engine:
    """Return the engine of the calling thread's hub; it is made when it is first asked for.

    ``OPSCORE_FAST_NAMESERVERS`` ("ip[:port],...") names the DNS servers to ask instead of the
    system's.
    """
    hub = gevent.get_hub()
    holder: _Holder | None = getattr(_thread, "holder", None)
    if holder is None or holder.hub is not hub:
        made = _Holder(hub)
        holder = getattr(_thread, "holder", None)  # a finalizer may have needed one meanwhile
        if holder is None or holder.hub is not hub:
            holder = _thread.holder = made
            _engines.add(made.engine)
    return holder.engine


def _forget_in_child() -> None:
    """Leave the parent's connections alone after a fork, and begin with a new engine."""
    for engine in list(_engines):
        engine.mark_forked()
    _engines.clear()
    _thread.__dict__.clear()


os.register_at_fork(after_in_child=_forget_in_child)
