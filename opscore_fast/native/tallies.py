"""What native threads have counted, in Locust's own statistics.

Merging a tally does what locust.stats.StatsEntry.log and locust.stats.RequestStats.log_error would
have done for each of its requests; exceptions of tasks become events.user_error. The
exceptions of failed requests are made by opscore_fast.exceptions, as those of drop-in users are, so
that both have the same texts.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import ast
import builtins
import logging
import re
import traceback
from contextlib import suppress
from typing import Any, NamedTuple

import requests
from locust.exception import CatchResponseError
from locust.stats import RequestStats

from opscore_fast import exceptions, statistics

logger = logging.getLogger(__name__)

# opf_fault of csrc/agent/tally.h, in its order.
ENGINE, STATUS, USER, MISSING, REFUSED, REDIRECTS, REDIRECT = range(7)


class Failure(NamedTuple):
    """Failed requests of one name that have one text (opf_tally_failure of csrc/agent/tally.h)."""

    name: str
    method: str
    fault: int
    failure: int
    phase: int
    errno: int
    detail: str | None
    reused: bool
    status: int
    url: str
    text: str | None
    times: int
    connect_timeout: float
    network_timeout: float
    limit: int


class Raise(NamedTuple):
    """Exceptions that tasks ended with (opf_tally_raise)."""

    type: str
    text: str
    line: str
    task: str
    times: int


class Tally(NamedTuple):
    """What a thread has counted in one second (opf_tally); cells: as Collector.drain has them."""

    plan: Any
    second: int
    cells: list[Any]
    failures: list[Any]
    raises: list[Any]
    lost: int


def merge(
    tally: Tally,
    stats: RequestStats,
    style: str,
    max_redirects: int,
    *,
    names_version: bool = False,
) -> None:
    """Add a tally's requests and failures to the statistics, of a plan of that style.

    names_version: the HTTP version stands behind the names.
    """
    if isinstance(stats, statistics.CountedStats):
        stats.flush()
    statistics.merge_all(stats, tally.cells)
    for item in tally.failures:
        failure = Failure(*item)
        error = exception_of(
            failure._replace(name=_bare(failure.name)) if names_version else failure,
            style,
            max_redirects,
        )
        statistics.count_failures(
            stats, failure.method, failure.name, error, tally.second, failure.times
        )
    if tally.lost:
        logger.error("%d requests could not be counted: out of memory", tally.lost)


def _bare(name: str) -> str:
    """Return a name without the HTTP version behind it."""
    return re.sub(r" \[HTTP/[0-9.]+\]\Z", "", name)


def exception_of(failure: Failure, style: str, max_redirects: int) -> Exception:
    """Return the exception that a drop-in user would have reported for the failure."""
    if failure.fault == ENGINE:
        return exceptions.from_result(
            *(failure.failure, failure.phase, failure.errno, failure.detail, failure.url),
            *(failure.connect_timeout, failure.network_timeout, 0, failure.limit, 0.0),
            *(int(failure.reused), 0, None),
        )
    if failure.fault == STATUS:
        return _bad_status(failure, style)
    if failure.fault == REDIRECTS:
        return exceptions.too_many_redirects(failure.url, max_redirects)
    if failure.fault == REDIRECT:
        return exceptions.RedirectError(failure.text or "")
    if failure.fault == REFUSED:
        return ValueError(failure.text)
    return CatchResponseError(failure.text)


def _bad_status(failure: Failure, style: str) -> Exception:
    if style == "fast":
        return exceptions.bad_status(failure.name, failure.status)
    response = requests.Response()
    response.status_code, response.reason = failure.status, failure.text or ""
    response.url = failure.name  # as locust.clients has it
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        return error
    raise AssertionError(f"{failure.status} is no failure")


def tell_exceptions(tally: Tally, user: Any) -> None:
    """Tell of the exceptions that tasks ended with, as Locust does of a task's of a user."""
    for item in tally.raises:
        raised = Raise(*item)
        error = _made(raised)
        where = error.__traceback__.tb_next if error.__traceback__ else None
        text = "".join(traceback.format_exception(type(error), error, where)).rstrip()
        logger.error("%s\n%s", error, text)
        for _ in range(raised.times):
            user.environment.events.user_error.fire(user_instance=user, exception=error, tb=where)


def _of_text(kind: type[Exception], text: str) -> Exception:
    """Return an exception whose str() is a text."""
    if issubclass(kind, KeyError):  # which shows repr() of what it is of
        with suppress(ValueError, SyntaxError):
            return kind(ast.literal_eval(text))
    return kind(text)


def _made(raised: Raise) -> Exception:
    """Return the exception, raised in the locustfile's line."""
    kind = getattr(builtins, raised.type, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = type(raised.type, (Exception,), {})
    file, _, line = raised.line.rpartition(":")
    code = compile("\n" * (int(line or 1) - 1) + "raise error", file or "?", "exec")
    try:
        exec(code.replace(co_name=raised.task), {"error": _of_text(kind, raised.text)})
    except Exception as error:
        return error
    raise AssertionError("not reached")
