"""Which tasks are run how often: tags, weights and TaskSets, by Locust and by native threads."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

from collections import Counter
from pathlib import Path

import pytest
from helpers_twins import STYLES, Seen, Twins, class_of, module_of
from locust.user.task import filter_tasks_by_tags

RUNS = 400
"""Tasks of a user, until it stops."""


def both(
    pair: Twins,
    folder: Path,
    style: str,
    body: str,
    tags: set[str] | None = None,
    exclude_tags: set[str] | None = None,
) -> tuple[Seen, Seen]:
    """Run a user class both ways until its user stops, with --tags and --exclude-tags."""
    made = []
    for package in ("locust", "opscore_fast"):
        module = module_of(folder, class_of(style, body), package, style)
        filter_tasks_by_tags(module.U, tags, exclude_tags)
        made.append(module)
    theirs, ours = made
    return pair.by_locust(theirs, {"n": 0}, [], None), pair.by_agent(ours, {"n": 0}, [], None)


def paths(seen: Seen) -> Counter[str]:
    """Return how often each path was asked for."""
    return Counter(request.target for request in seen.received)


TAGGED = f"""
def count(self, path):
    self.client.get(path)
    self.n += 1
    if self.n >= {RUNS}: raise StopUser()
@tag('x')
@task
def a(self): self.count('/a')
@tag('y', 'z')
@task
def b(self): self.count('/b')
@task
def c(self): self.count('/c')
@tag('x', 'y')
@task
def d(self): self.count('/d')
"""


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("tags", "exclude_tags", "left"),
    [
        (None, None, "abcd"),
        ({"x"}, None, "ad"),
        ({"x", "z"}, None, "abd"),
        (None, {"x"}, "bc"),
        ({"y"}, {"x"}, "b"),
        ({"x"}, {"z"}, "ad"),
    ],
)
def test_tags(
    pair: Twins,
    tmp_path: Path,
    style: str,
    tags: set[str] | None,
    exclude_tags: set[str] | None,
    left: str,
) -> None:
    expected, got = both(pair, tmp_path, style, TAGGED, tags, exclude_tags)
    assert paths(expected).keys() == paths(got).keys() == {f"/{name}" for name in left}
    assert paths(got).total() == RUNS


def test_tags_of_task_sets(pair: Twins, tmp_path: Path) -> None:
    body = """
@task
class T(SequentialTaskSet):
    @tag('x')
    @task
    def a(self): self.client.get('/a')
    @task
    def b(self): self.client.get('/b')
    @tag('x', 'y')
    @task
    def c(self):
        self.client.get('/c')
        self.user.n += 1
        if self.user.n == 3: raise StopUser()
"""
    expected, got = both(pair, tmp_path, "HttpUser", body, {"x"})
    assert got == expected
    assert [request.target for request in got.received] == ["/a", "/c"] * 3


def test_tags_that_leave_no_task(pair: Twins, tmp_path: Path) -> None:
    ours = module_of(tmp_path, class_of("HttpUser", TAGGED), "opscore_fast", "HttpUser")
    filter_tasks_by_tags(ours.U, {"none"}, None)
    with pytest.raises(Exception, match="it has no tasks"):
        pair.by_agent(ours, {"n": 0}, [], None)


WEIGHTS = [
    ("@task(3)\ndef a(self): self.count('/a')\n@task\ndef b(self): self.count('/b')", 0.75),
    ("def a(self): self.count('/a')\ndef b(self): self.count('/b')\ntasks = {a: 3, b: 1}", 0.75),
    ("def a(self): self.count('/a')\ndef b(self): self.count('/b')\ntasks = [b, a, a, a]", 0.75),
    ("@task(0)\ndef a(self): self.count('/a')\n@task(2)\ndef b(self): self.count('/b')", 0.0),
    (
        "@task\nclass T(TaskSet):\n    @task(4)\n    def a(self): self.user.count('/a')\n"
        "    @task(1)\n    def b(self): self.user.count('/b')",
        0.8,
    ),
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("tasks", "share"), WEIGHTS)
def test_weights(pair: Twins, tmp_path: Path, style: str, tasks: str, share: float) -> None:
    """Chosen at random, so that the bounds are 8 standard deviations wide."""
    count = TAGGED.partition("@tag")[0]
    for seen in both(pair, tmp_path, style, count + tasks):
        asked = paths(seen)
        assert asked.total() == RUNS
        deviation = (RUNS * share * (1 - share)) ** 0.5
        assert abs(asked["/a"] - RUNS * share) <= 8 * deviation


SEQUENCES = [
    "@task\ndef a(self): self.client.get('/a')\n@task(3)\ndef b(self): self.client.get('/b')",
    "def a(self): self.client.get('/a')\ndef b(self): self.client.get('/b')\ntasks = [b, a, b, b]",
    "@task\ndef a(self):\n    self.client.get('/a')\n    raise RescheduleTask()\n"
    "@task\ndef b(self): self.client.get('/b')",
    "@task\ndef a(self):\n    self.client.get('/a')\n    raise ValueError('x')\n"
    "@task\ndef b(self): self.client.get('/b')",
    "def on_start(self): self.client.get('/begin')\n@task\ndef a(self): self.client.get('/a')",
    "@task\ndef a(self): self.client.get('/a')\n@task\nclass N(SequentialTaskSet):\n"
    "    @task\n    def x(self): self.client.get('/x')\n    @task\n    def y(self):\n"
    "        self.client.get('/y')\n        self.user.n += 1\n"
    "        if self.user.n == 3: raise StopUser()",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("tasks", SEQUENCES)
def test_sequences(pair: Twins, tmp_path: Path, style: str, tasks: str) -> None:
    last = "@task\ndef z(self):\n    self.user.n += 1\n    if self.user.n == 3: raise StopUser()"
    if "tasks = [" in tasks:
        last = last.replace("@task\n", "")
        tasks, _, listed = tasks.rpartition("\n")
        last += f"\n{listed[:-1]}, z]"
    lines = "".join(f"    {line}\n" for line in f"{tasks}\n{last}".split("\n"))
    expected, got = both(pair, tmp_path, style, f"@task\nclass T(SequentialTaskSet):\n{lines}")
    assert got == expected
    assert got.received
