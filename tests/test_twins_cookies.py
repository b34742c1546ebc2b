"""Cookies that a request brings along, and which of them go where a redirect leads, both ways."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

from pathlib import Path

import pytest
from helpers_twins import STYLES, Answer, Twins, same

SETS = Answer(200, "", (("Set-Cookie", "s=1; Path=/"), ("Set-Cookie", "a=jar; Path=/")), at="/set")
LOGIN = "self.client.get('/set')\n"


def moved(status: int, to: str, *cookies: str) -> Answer:
    """A redirect from /r that sets cookies."""
    fields = (("Location", to), *(("Set-Cookie", cookie) for cookie in cookies))
    return Answer(status, "", fields, at="/r")


# A Cookie header by hand goes to the first server alone; what follows a redirect has the jar's

BY_HAND = [
    "get('/r', headers={'Cookie': 'a=' + self.token})", "get('/r', headers={'cookie': 'a=1'})",
    "post('/r', data='x', headers={'COOKIE': 'a=1'})",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("call", BY_HAND)
@pytest.mark.parametrize("login", ["", LOGIN])
def test_cookies_by_hand_and_a_redirect(
    pair: Twins, tmp_path: Path, style: str, status: int, call: str, login: str
) -> None:
    answers = [SETS, moved(status, "/to?x", "b=2; Path=/", "a=3; Path=/to")]
    same(pair, tmp_path, style, f"{login}self.client.{call}", answers)
