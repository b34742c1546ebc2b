"""Why a task can't be recorded."""

from __future__ import annotations

import inspect
import linecache
import re
from types import FunctionType
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


def place_of_method(cls: type, name: str) -> tuple[str, int]:
    """Return the file and the line of a method, wherever a class has it from; as well as can be."""
    found = getattr(cls, name)
    return place_of_function(found) if hasattr(found, "__code__") else place_of_class(cls)


def place_of_class(cls: type) -> tuple[str, int]:
    """Return the file and the line of a class.

    The code of its methods knows it, also where two locustfiles are modules of one name.
    """
    own = [one for one in vars(cls).values() if isinstance(one, FunctionType)]
    first = min(
        (one.__code__ for one in own if one.__qualname__.startswith(f"{cls.__qualname__}.")),
        key=lambda code: code.co_firstlineno,
        default=None,
    )
    if first is not None:
        lines = linecache.getlines(first.co_filename)[: first.co_firstlineno]
        begins = re.compile(rf"\s*class\s+{cls.__name__}\b")
        found = [number for number, line in enumerate(lines, 1) if begins.match(line)]
        return first.co_filename, found[-1] if found else first.co_firstlineno
    try:
        return inspect.getsourcefile(cls) or "", inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return cls.__module__, 0
