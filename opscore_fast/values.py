"""Values that vary, for tasks: the same in ordinary Python and when they run natively.

Make them once, at the top of a locustfile, and call them in a task::

    orders = values.counter(1000)
    users = values.csv_rows("users.csv", order="random")

    @task
    def order(self):
        self.client.post("/orders", json={"id": orders(), "user": users()["name"]})

What they count is counted by process: each of several worker processes begins anew.
"""

from __future__ import annotations

import csv
import itertools
import os
import random
import string
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["choice", "counter", "csv_rows", "env", "random_string"]

ORDERS = ("sequential", "random", "unique")


class Counter:
    """A counter: each call returns the next int. See counter()."""

    def __init__(self, start: int, step: int) -> None:
        self.start, self.step = int(start), int(step)
        self._next = itertools.count(self.start, self.step)

    def __call__(self) -> int:
        return next(self._next)


class Choice:
    """A choice: each call returns one of the values. See choice()."""

    def __init__(self, values: Sequence[Any], weights: Sequence[int] | None) -> None:
        self.values = tuple(values)
        self.weights = None if weights is None else tuple(weights)
        if not self.values:
            raise ValueError("choice() is of one value at least")
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError(
                f"choice() has {len(self.values)} values, but {len(self.weights)} weights"
            )

    def __call__(self) -> Any:
        return random.choices(self.values, self.weights)[0]


class Rows:
    """Rows of a CSV file: each call returns one, as a dict. See csv_rows()."""

    def __init__(self, rows: list[dict[str, str]], order: str, path: str) -> None:
        self.rows, self.order, self.path = rows, order, path
        self._next = 0
        self._lock = threading.Lock()

    def __call__(self) -> dict[str, str]:
        if self.order == "random":
            return dict(random.choice(self.rows))
        with self._lock:
            number, self._next = self._next, self._next + 1
        if self.order == "unique" and number >= len(self.rows):
            raise IndexError(f"all {len(self.rows)} rows of {self.path} have been used")
        return dict(self.rows[number % len(self.rows)])


class RandomString:
    """Random texts: each call returns another. See random_string()."""

    def __init__(self, length: int, alphabet: str) -> None:
        if length < 0 or not alphabet or not alphabet.isascii():
            raise ValueError("random_string() has a length of 0 or more and an ASCII alphabet")
        self.length, self.alphabet = length, alphabet

    def __call__(self) -> str:
        return "".join(random.choices(self.alphabet, k=self.length))


def counter(start: int = 0, step: int = 1) -> Counter:
    """Return a counter that all users share: start, start + step, ..."""
    return Counter(start, step)


def choice(values: Sequence[Any], weights: Sequence[int] | None = None) -> Choice:
    """Return a choice among values; weights: how often each is drawn, as whole numbers.

    Raises ValueError for no values, and for another number of weights.
    """
    return Choice(values, weights)


def csv_rows(path: str | os.PathLike[str], order: str = "sequential") -> Rows:
    """Return the rows of a CSV file whose first line has the names of the columns.

    order: "sequential" (one after the other, and from the first again), "random", or "unique" (no
    row twice; IndexError when all have been used). Raises ValueError for another order, for a file
    without rows, and for rows that are longer or shorter than the first line.
    """
    if order not in ORDERS:
        raise ValueError(f"order is one of {', '.join(ORDERS)}, not {order!r}")
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} has no rows behind its first line")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"{path}: row {number} has not as many values as the first line")
    return Rows(rows, order, str(path))


def env(name: str, default: str | None = None) -> str:
    """Return a variable of the environment. Raises ValueError if there is neither it nor a default.

    It is read when it is called, in a recorded task once.
    """
    value = os.environ.get(name, default)
    if value is None:
        raise ValueError(f"the environment variable {name} is not set")
    return value


_ALPHABET = string.ascii_letters + string.digits


def random_string(length: int, alphabet: str = _ALPHABET) -> RandomString:
    """Return what makes random texts of length characters of an ASCII alphabet.

    Raises ValueError for a length below 0 and for another alphabet.
    """
    return RandomString(length, alphabet)
