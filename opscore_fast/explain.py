"""``python -m opscore_fast explain``: what native threads would do with a locustfile."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import argparse
import os
from typing import Any

import gevent
from locust.env import Environment
from locust.user.task import DefaultTaskSet
from locust.util.load_locustfile import load_locustfile

from opscore_fast.native.agents import Native, record_with_on_start, starts_natively
from opscore_fast.options import describe_http2, of_user
from opscore_fast.recording.explain import explain
from opscore_fast.recording.plan import Plan
from opscore_fast.recording.record import record
from opscore_fast.recording.refusal import NotRecordable
from opscore_fast.replace import replace_classes
from opscore_fast.users import FastHttpUser, HttpUser


def main(arguments: list[str]) -> int:
    """Print the plan of each user class; returns 1 if one can't be recorded."""
    parser = argparse.ArgumentParser(
        prog="python -m opscore_fast explain",
        description="Prints what native threads would do for each user class of a locustfile. One"
        " user of each runs its on_start for that, unless that is native too, so that the service"
        " must be there. --http2 is as with a run.",
    )
    parser.add_argument("-f", "--locustfile", default="locustfile.py")
    parser.add_argument("-H", "--host", default=os.environ.get("LOCUST_HOST"))
    parser.add_argument(
        "--timeout", type=float, default=30, help="seconds that an on_start may take (30)"
    )
    given = parser.parse_args(arguments)
    replace_classes()
    if not os.path.isfile(given.locustfile):  # noqa: PTH113
        parser.error(f"there is no file {given.locustfile}")
    classes = load_locustfile(given.locustfile)[0]
    ended = [_explain_class(one, given.host, given.timeout) for one in classes.values()]
    if not ended:
        print("no user classes")
    return 0 if ended and all(ended) else 1


def _explain_class(kind: Any, host: str | None, seconds: float) -> bool:
    name = kind.__name__
    if not issubclass(kind, HttpUser | FastHttpUser):
        print(f"{name}: no HttpUser or FastHttpUser\n")
        return False
    if host:
        kind.host = host
    try:
        user = kind(Environment(user_classes=[kind], host=host))
        plan = _with_on_start(user)
        if plan is None:
            user._taskset_instance = DefaultTaskSet(user)  # user.wait() asks it
            with gevent.Timeout(seconds):
                user.on_start()
            plan = record(user)
    except NotRecordable as refusal:
        print(f"{name} runs in Python: {refusal}\n")
        return False
    except gevent.Timeout:
        print(f"{name}: its on_start, which has to run once, did not end in {seconds:g} s\n")
        return False
    except Exception as error:
        print(f"{name}: its on_start failed, which has to run once: {error!r}\n")
        return False
    print(f"{explain(plan)}\n  {describe_http2(of_user(user), plan.places)}\n")
    return True


def _with_on_start(user: Any) -> Plan | None:
    """Return a plan with on_start in it, if that is to run natively and can."""
    if not isinstance(user, Native) or not starts_natively(user):
        return None
    found = record_with_on_start(user)
    if isinstance(found, Plan):
        return found
    print(f"{type(user).__name__}: on_start runs in Python for each agent: {found}")
    return None
