"""Plans put together by hand, for what runs them."""

from __future__ import annotations

from typing import Any

from opscore_fast.recording.plan import (
    Extract,
    Instruction,
    Op,
    Pace,
    Plan,
    Program,
    Request,
    Take,
    TaskSet,
    Template,
    Wait,
)


def make_request(target: Template, **changes: Any) -> Request:
    """A GET of a target at the plan's first place; its name is the target."""
    request = Request(
        method="GET",
        place=0,
        target=target,
        params=(),
        url=(),
        name=(),
        headers=[],
        cookies=[],
        body=None,
        caught=False,
        redirects=True,
        has_cookie=False,
        has_host=False,
        connect_timeout=None,
        network_timeout=None,
        extracts=[],
        line=0,
    )
    for field, value in changes.items():
        assert hasattr(request, field)
        setattr(request, field, value)
    return request


def make_plan(
    url: str, code: list[Instruction], *requests: Request, wait: float = 0.01, **changes: Any
) -> Plan:
    """A plan of one task, which runs the instructions, at a server."""
    plan = Plan(
        user_class="Handmade",
        style="http",
        places=[url],
        requests=list(requests),
        programs=[Program("task", code)],
        sets=[TaskSet(False, [("program", 0)], Wait(Pace.CONSTANT, wait))],
        lines=["locustfile.py:1"],
    )
    for field, value in changes.items():
        assert hasattr(plan, field)
        setattr(plan, field, value)
    return plan


def request_and_end(*requests: Request) -> list[Instruction]:
    """Instructions that make these requests, which are the plan's, and end the task."""
    code = [Instruction(Op.REQUEST, what=index) for index in range(len(requests))]
    return [*code, Instruction(Op.END)]


def simple_plan(url: str, *requests: Request, **changes: Any) -> Plan:
    """A plan whose task makes these requests, one after the other."""
    return make_plan(url, request_and_end(*requests), *requests, **changes)


def status_into(register: int) -> Extract:
    """Takes the status of a response."""
    return Extract(Take.STATUS, register)
