"""``rest`` and ``rest_`` of Locust's users, as they are recorded."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import inspect
import json
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opscore_fast.recording.branches import Ref
from opscore_fast.recording.plan import Take, Test

_LENGTH = 200  # characters of a response in a failure's text


@contextmanager
def rest(
    agent: Any, method: str, url: Any, headers: dict[str, Any] | None = None, **kwargs: Any
) -> Generator[Any]:
    """As locust.user.users.RestMixin.rest.

    But the failure for a body that is no JSON tells its beginning, wherever it ceases to be.
    """
    rt = agent.rt
    headers = dict(headers or {})
    for name in ("Content-Type", "Accept"):
        if name not in headers and name.lower() not in headers:
            headers[name] = "application/json"
    with agent.client.request(
        method, url, catch_response=True, headers=headers, **kwargs
    ) as response:
        response.js = _json(rt, response)
        try:
            with rt.trying(AssertionError, Exception, names=["error", "error"]):
                yield response
        except AssertionError as error:
            _check(rt, error)
            text = error.args[0] if error.args else "Assertion failed"
            if text.endswith(","):
                text = rt.fstring(
                    (text[:-1], -1, ""), ", response was ", (response.text[:_LENGTH], -1, "")
                )
            response.failure(text)
        except Exception as error:
            _check(rt, error)
            places = ", ".join(_places(rt, agent, error))
            where = f" at {places}. Response was "
            said = rt.call(str, error)
            response.failure(
                rt.fstring(
                    f"{type(error).__name__}: ",
                    (said, -1, ""),
                    where,
                    (response.text[:_LENGTH], -1, ""),
                )
            )


def _places(rt: Any, agent: Any, error: Exception) -> list[str]:
    """Return what Locust finds in a traceback: its own line that yields, and those of the task."""
    found = next(
        cls.__dict__["rest"] for cls in type(agent.actual()).__mro__ if "rest" in vars(cls)
    )
    code = inspect.unwrap(found).__code__
    lines, first = inspect.getsourcelines(code)
    yields = [first + number for number, line in enumerate(lines) if "yield resp" in line]
    frames = [(code.co_filename, *yields[:1], code.co_name), *rt.frames_of(error)]
    return [
        f"{re.sub('/(home|Users)/[A-Za-z0-9_]*/', '~/', file)}:{line} in {name}"
        for file, line, name in frames
        if file.startswith("/")
    ]


def _json(rt: Any, response: Any) -> Any:
    """Return what js is: the JSON, or None with the response a failure unless it has no body."""
    if not response.text:
        return None
    is_json: Ref = rt.take(response.step, Take.IS_JSON)
    if rt.fork(Test.TRUE, is_json, 0):
        return response.json()
    response.failure(
        rt.fstring(
            "Could not parse response as JSON. ",
            (response.text[:250], -1, ""),
            ", response code ",
            (response.status_code, -1, ""),
            f", error {json.JSONDecodeError('Expecting value', '', 0)}",
        )
    )
    return None


def _check(rt: Any, error: Exception) -> None:
    """Refuse what the recorder itself, not the task, may have raised."""
    if rt.is_own(error):
        return
    if not (isinstance(error, TypeError | AttributeError) and "'NoneType'" in str(error)):
        raise rt.refusal("rest()", f"the recorder can't tell when {type(error).__name__} is raised")


@contextmanager
def rest_(agent: Any, method: str, url: Any, name: Any = None, **kwargs: Any) -> Generator[Any]:
    """As locust.user.users.RestMixin.rest_."""
    rt = agent.rt
    separator = "&" if rt.is_in("?", url) else "?"
    if name is None:
        name = url + separator + "_=..."
    now = rt.call(int, rt.call(time.time) * 1000)
    full = rt.fstring((url, -1, ""), f"{separator}_=", (now, -1, ""))
    with agent.rest(method, full, name=name, **kwargs) as response:
        yield response
