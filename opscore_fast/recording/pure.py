"""What a task may call while it is recorded: functions that depend on their arguments alone."""

from __future__ import annotations

import logging
import os
import sysconfig
from collections import deque
from pathlib import Path
from types import MethodDescriptorType, ModuleType, WrapperDescriptorType
from typing import Any

_LIBRARIES = tuple(
    str(Path(path).resolve()) + os.sep
    for path in {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
)
_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep

_NOT_USERS = (*_LIBRARIES, _PACKAGE)

# Modules whose functions depend on nothing but their arguments.
_PURE = {
    "_bisect", "_collections", "_datetime", "_functools", "_hashlib", "_json", "_operator",
    "_struct", "base64", "binascii", "bisect", "builtins", "collections", "copy", "datetime",
    "decimal", "fractions", "functools", "hashlib", "hmac", "html", "itertools", "json",
    "json.decoder", "json.encoder", "math", "ntpath", "operator", "posixpath", "re", "statistics",
    "string", "struct", "textwrap", "unicodedata", "urllib.parse",
}  # fmt: skip
_IMPURE = {
    "open", "input", "exec", "eval", "compile", "__import__", "globals", "locals", "vars",
    "setattr", "delattr", "breakpoint", "id", "hash", "dir", "memoryview", "now", "today",
    "utcnow", "fromtimestamp",
}  # fmt: skip
_PURE_TYPES = (str, bytes, int, float, bool, tuple, list, dict, set, frozenset, type(None))
CONTAINERS = (list, dict, set, deque)

CHANGES = {
    "append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "setdefault",
    "sort", "reverse", "add", "discard", "__setitem__", "__delitem__", "appendleft", "popleft",
    "extendleft", "rotate",
}  # fmt: skip
"""Methods that change a container."""

WITH_SYMBOLS = {
    "append", "extend", "insert", "pop", "update", "setdefault", "get", "items", "values", "keys",
    "copy", "clear", "popitem", "reverse",
}  # fmt: skip
"""Methods of containers that may take symbols."""

BUILTINS_WITH_SYMBOLS = (list, tuple, dict, enumerate, zip, reversed, len, iter, next, map, filter)
"""Functions of Python itself that may take symbols."""


def is_users_file(file: str) -> bool:
    """Return whether code of a file is the locustfile's or what that imports."""
    return file[:1] != "<" and not str(Path(file).resolve()).startswith(_NOT_USERS)


def is_exception(value: Any) -> bool:
    """Return whether a value is a class of exceptions."""
    return isinstance(value, type) and issubclass(value, BaseException)


def is_pure(function: Any, name: str, bound: Any) -> bool:
    """Return whether a function, bound to an object or to None, depends on its arguments alone."""
    owner = bound if isinstance(bound, type) else type(bound)
    return name not in _IMPURE and (
        getattr(function, "__module__", None) in _PURE
        or (bound is not None and not isinstance(bound, ModuleType) and _is_pure_type(owner))
        or (isinstance(bound, ModuleType) and bound.__name__ in _PURE)
        or isinstance(function, MethodDescriptorType | WrapperDescriptorType)
        or function in (os.getenv, os.environ.get, logging.getLogger)
    )


def _is_pure_type(owner: type) -> bool:
    return (owner.__module__ in _PURE and owner.__module__ != "builtins") or owner in _PURE_TYPES
