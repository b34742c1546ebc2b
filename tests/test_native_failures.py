"""A request of a native thread that fails has the exception and the text of a drop-in user's."""

from __future__ import annotations

import re
import select
import time
from typing import Any

import pytest
from conftest import Listen
from helpers import WAIT
from helpers_failures import FAILURES, GOOD, Failure, name_of
from helpers_plans import make_plan, make_request, request_and_end

from opscore_fast import exceptions
from opscore_fast._core import Fleet, Plan
from opscore_fast.native import tallies
from opscore_fast.recording.plan import Instruction, Op

OPTION_OF = {"max_response_headers": "max_headers", "max_response_body": "max_body"}
"""What the pools of agents call the attributes of a user class."""


def run(plan: Plan) -> tuple[dict[str, int], list[tallies.Failure]]:
    """Have one agent run until it ends; return its requests by name, and its failures."""
    requests: dict[str, int] = {}
    failures = []
    fleet = Fleet(1)
    fleet.add(plan, [()])
    limit = time.monotonic() + WAIT
    while True:
        assert time.monotonic() < limit
        select.select([fleet], [], [], 0.1)
        taken, ends = fleet.take()
        for tally in taken:
            for name, _, count, *_ in tally[2]:
                requests[name] = requests.get(name, 0) + count
            failures += [tallies.Failure(*failure) for failure in tally[3]]
        if ends:
            fleet.close()
            return requests, failures


@pytest.mark.parametrize("failure", FAILURES, ids=name_of)
def test_one_failed_request(failure: Failure, hostile: Listen) -> None:
    port = hostile(failure.script, GOOD, receive_buffer=65536 if failure.data else 0)
    asked = [
        make_request(
            (b"/bad",), method=failure.method, body=(failure.data,) if failure.data else None
        ),
        make_request((b"/good",), place=1),
    ]
    code = [*request_and_end(*asked)[:-1], Instruction(Op.STOP)]
    address = f"127.0.0.1:{port.port}"
    places = [f"{failure.scheme}://{address}", f"http://{address}"]
    source = make_plan(places[0], code, *asked, style="fast", places=places)
    options: dict[str, Any] = {
        OPTION_OF.get(name, name): value for name, value in failure.attributes.items()
    }

    requests, failures = run(Plan(source, options))

    assert requests == {"/bad": 1, "/good": 1}  # the agent goes on
    [told] = failures
    assert (told.name, told.method, told.times) == ("/bad", failure.method, 1)
    error = tallies.exception_of(told, "fast", 30)
    assert type(error) is getattr(exceptions, failure.error), repr(error)
    assert re.fullmatch(failure.text.format(at=re.escape(address)), str(error)), str(error)
