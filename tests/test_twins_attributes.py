"""Attributes of the user that are not there before a task sets them, in Python and natively."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

from pathlib import Path

import pytest
from helpers_twins import (
    ANSWERS,
    ATTRIBUTES,
    STYLES,
    Twins,
    module_of,
    new_user,
    refused,
    same,
    text_of,
)

from opscore_fast.recording.explain import explain
from opscore_fast.recording.record import NotRecordable, record, slot_values

BODIES = [
    # set on some paths only
    "if self.client.get('/r').ok: self.made = 'x'",
    "if self.n > 7: self.made = self.n\nself.n += 1\nself.client.get(f'/{self.made}')",
    "if self.n == 8: self.made = None\nself.n += 1\nself.client.post('/j', json=[self.made])",
    "self.n += 1\nif self.n > 9: self.client.get(f'/{self.made}{self.made}')\n"
    "if self.n > 10: self.made = 'x'",
    "if self.client.get('/r').status_code == 404: self.made = 1\nself.made += 1",
    # asked for
    "if not hasattr(self, 'made'): self.made = 0\nself.made += 1",
    "self.made = getattr(self, 'made', 0) + 1",
    "self.client.get(f'/{hasattr(self, \"made\")}')\nself.made = self.n\n"
    "self.client.get(f'/{hasattr(self, \"made\")}{self.made}')",
    "if hasattr(self, 'made') and self.made > 1: self.client.get('/yes')\nelse:\n"
    "    self.client.get('/no')\n    self.made = getattr(self, 'made', 0) + 1",
    # caught
    "try:\n    self.made += 1\nexcept AttributeError:\n    self.made = 0",
    "try:\n    self.client.get(f'/{self.made}')\nexcept Exception as e:\n"
    "    self.client.post('/e', data=f'{e}')\n    self.made = self.token",
    "try:\n    self.client.get(f'/{self.never}')\nexcept AttributeError as e:\n"
    "    self.client.post('/e', data=f'{e}')",
    "try:\n    self.client.get(f'/{self.made}')\nexcept KeyError:\n    pass\nfinally:\n"
    "    self.made = 1",
    "x = self.client.get('/x', headers={'X-A': getattr(self, 'made', 'none')})\n"
    "if not x.ok: return\nself.made = 'some'\nself.client.get(f'/{self.made}')",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("body", BODIES)
def test_attributes_that_may_not_be_there(
    pair: Twins, tmp_path: Path, style: str, body: str
) -> None:
    same(pair, tmp_path, style, body, ANSWERS, 6)


CLASSES = [
    # read in a task that stands before the one that sets it
    """
@task
class T(SequentialTaskSet):
    @task
    def a(self):
        self.user.n += 1
        self.client.get(f'/a/{self.user.made}')
    @task
    def b(self):
        self.user.made = self.user.n
    @task
    def c(self):
        self.client.get(f'/c/{self.user.made}')
        if self.user.n > 8: raise StopUser()
""",
    # the class has one
    """
made = 5
@task
class T(SequentialTaskSet):
    @task
    def a(self):
        self.user.n += 1
        self.client.get(f'/a/{self.user.made}')
        if self.user.n > 8: self.user.made = self.user.n
        if self.user.n > 9: raise StopUser()
""",
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("body", CLASSES)
def test_attributes_that_other_tasks_set(
    pair: Twins, tmp_path: Path, style: str, body: str
) -> None:
    same(pair, tmp_path, style, body, [], None)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "body", ["self.client.get(f'/{self.made}')", "self.n = 1\nself.made += 1\nself.other = 2"]
)
def test_what_no_task_sets_without_having_it_is_refused(
    pair: Twins, tmp_path: Path, style: str, body: str
) -> None:
    assert "U has no made; set it in on_start" in refused(pair, tmp_path, style, body)


def test_users_have_the_same_attributes_or_none(pair: Twins, tmp_path: Path) -> None:
    """Of those that tasks set: which a user has when it begins is that of the first."""
    body = "if self.n > 7: self.n = self.kept = 0\nself.client.get(f'/{self.kept}')"
    ours = module_of(tmp_path, text_of("HttpUser", body), "opscore_fast", "HttpUser")
    first = new_user(ours, pair.server, {**ATTRIBUTES, "kept": 1})
    with pytest.raises(NotRecordable, match="kept"):
        slot_values(new_user(ours, pair.server, ATTRIBUTES), record(first))
    bare = record(new_user(ours, pair.server, ATTRIBUTES))
    assert slot_values(first, bare) == (7, 1)
    assert slot_values(new_user(ours, pair.server, ATTRIBUTES), bare) == (7, ...)
    assert "unless self.kept is set, raises AttributeError: 'U' object has no" in explain(bare)
