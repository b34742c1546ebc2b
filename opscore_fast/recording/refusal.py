"""Why a task can't be recorded."""

from __future__ import annotations

from typing import Any


class NotRecordable(Exception):
    """A task does what can't be recorded.

    file, line: where in the locustfile; construct: what stands there; why; instead: what to write.
    """

    def __init__(self, file: str, line: int, construct: str, why: str, instead: str = "") -> None:
        self.file, self.line = file, line
        self.construct, self.why, self.instead = construct, why, instead
        text = f"{file}:{line}: {construct}: {why}"
        super().__init__(f"{text}; {instead}" if instead else text)


class Refusal(BaseException):
    """Ends a task that can't be recorded: no `except Exception` of the locustfile's stops it."""

    def __init__(self, reason: NotRecordable) -> None:
        self.reason = reason
        super().__init__(str(reason))


def place_of_function(function: Any) -> tuple[str, int]:
    """Return the file and the line of a function; of another callable its module, and 0."""
    code = getattr(function, "__code__", None)
    if code is None:
        return str(getattr(function, "__module__", "?")), 0
    return code.co_filename, code.co_firstlineno
