"""Tasks as native threads run them, against the same tasks as Locust runs them in Python.

Each of the tables' cases is run both ways against the same server; requests, statistics, exceptions
and the user's attributes must be the same afterwards. What can't be is refused.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers_twins import Answer, Twins, class_of, module_of, twins

from opscore_fast.recording.refusal import NotRecordable

STYLES = ("HttpUser", "FastHttpUser")

ATTRIBUTES: dict[str, Any] = {
    "n": 7, "f": 2.75, "w": 5, "big": 2**62, "yes": True, "none": None, "token": "tok-en",
    "d": "41",
    "agent_id": 'a"1', "data": {"a": 1, "b": ["x", "y"]}, "numbers": [1, 2, 3], "sp": "a b",
    "uml": "ü%", "q": "a?b&c=d#e", "dots": "..", "brackets": "[x]%41", "store": "berlin",
    "user_": "bob", "slots": "s", "rt": "r", "hdrs": {"X-H": "1"},
}  # fmt: skip

JSON = (
    '{"status": "ok", "n": 3, "list": [{"id": "x\\"y"}, 5], "none": null, "yes": true, "f": 1.5,'
    ' "s": "<x>", "empty": "", "e": [], "o": {}}'
)
ANSWERS = [
    Answer(200, JSON, at="/r"),
    Answer(404, "no", reason="Not Found", at="/r"),
    Answer(200, "<html>", at="/r"),
    Answer(500, '{"status": "bad"}', reason="Broken", at="/r"),
    Answer(204, "", at="/r"),
    Answer(200, JSON, (("X-Id", "5"), ("Set-Cookie", "sid=abc; Path=/")), at="/r"),
]


@pytest.fixture(scope="module")
def pair() -> Iterator[Twins]:
    """The server and the fleet that all cases share."""
    with twins() as made:
        yield made


def text_of(style: str, body: str) -> str:
    """Return a locustfile for the body of a task or of a user class."""
    if "@task" not in body:
        body = "@task\ndef t(self):\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    return class_of(style, body)


def same(pair: Twins, folder: Path, style: str, body: str, answers: list[Answer]) -> None:
    """Run a case both ways, two tasks each, and compare."""
    text = text_of(style, body)
    theirs = module_of(folder, text, "locust", style)
    ours = module_of(folder, text, "opscore_fast", style)
    expected = pair.by_locust(theirs, copy.deepcopy(ATTRIBUTES), answers, 2)
    assert pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), answers, 2) == expected


def refused(pair: Twins, folder: Path, style: str, body: str) -> str:
    """Return why a case is refused."""
    ours = module_of(folder, text_of(style, body), "opscore_fast", style)
    with pytest.raises(NotRecordable) as caught:
        pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), [], 2)
    assert caught.value.line > 0
    return str(caught.value)


# Arguments of requests

CALLS = [
    "post('/j', json=None)", "post('/j', json=self.none)", "post('/j', json={})",
    "post('/j', json=self.token)", "post('/j', json={1: self.n, None: 2, True: 3, 1.5: 4})",
    "post('/j', json={'ü': 'ü' + self.agent_id, 'd': self.data, 't': (1, self.f / 3)})",
    "post('/d', data={'a': [1, self.token], 'b': None, 'c': self.none, 'd': self.yes})",
    "post('/d', data='', json={'a': self.n})", "post('/d', data=self.none, json=[self.n])",
    "post('/d', data=b'raw\\x00\\xff')", "post('/d', data='raw ' + self.token + 'ü')",
    "post('/d', data=self.token.encode())", "post('/d', data=self.token[9:])",
    "get('/d', data=self.token[9:])", "post('/d', {'a': self.token})",
    "put('/d', 'x' + self.token)",
    "patch('/d', 'x')", "request('POST', '/d', 'name')", "request('PURGE', url='/d', data='x')",
    "get('/p', params={'a': self.token, 'n': self.n, 'l': [1, self.sp], 'no': self.none})",
    "get('/p?x=1#frag', params={'a': self.uml})", "get('/p', params='a=b&c=d e')",
    "get('/p', params='a=' + self.token)", "get('/p', params=[('a', self.token), ('a', '2')])",
    "get('/h', headers={'X-A': self.token + 'ü', 'x-b': 'c'})",
    "get('/h', headers={'Cookie': 'a=' + self.token})", "get('/h', headers=dict(self.hdrs, X='1'))",
    "post('/h', data='x', headers={'content-type': 'text/csv', 'Accept': 'x/y'})",
    "get('/a', auth=('u', 'p'))", "get('/n', name='/named')", "get('/n', name=f'/n/{self.token}')",
    "get('/n', name=self.none)", "get('/n', name='')", "get('/n', name=self.token[9:])",
    "get(self.host + '/abs?x=1')", "get(f'{self.host}/abs/{self.n}')", "get('/')",
    "get('/ü b?ü=b')", "get('/a%2fb%zz')", "get('/a/../b/./c;d=e')",
    "get(f'/{self.token}/{self.sp}?x={self.sp}')", "get(f'/{self.uml}?x={self.uml}')",
    "get(f'/{self.q}')", "get(f'/x/{self.dots}/{self.brackets}?y={self.brackets}')",
    "get('/r', allow_redirects=False)", "head('/r')", "options('/r')", "delete('/r', json=[1])",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("call", CALLS)
def test_requests(pair: Twins, tmp_path: Path, style: str, call: str) -> None:
    same(pair, tmp_path, style, f"self.client.{call}", [])


BAD_CALLS = [
    ("post('/j', json={self.token: 1})", "key of a dict"),
    ("post('/j', json={'d': datetime.now()})", "isoformat"),
    ("post('/j', json={'s': {1}})", "not JSON serializable"),
    ("post('/d', data=self.n)", "of a number"),
    ("request('get', '/d')", "in capitals"),
    ("request('POST', '/d', None, True)", "never counted|of a number"),
    ("get('/h', headers={'X': b'bytes'})", "a bytes is no text"),
    ("get('/p', params=b'a=b')", "bytes"),
    ("get('rel')", "port"),
    ("get(None)", "no str"),
    ("get('/x', unknown=1)", "unknown="),
    ("nosuch('/x')", "nosuch"),
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("call", "why"), BAD_CALLS)
def test_requests_that_are_refused(
    pair: Twins, tmp_path: Path, style: str, call: str, why: str
) -> None:
    assert any(
        part in refused(pair, tmp_path, style, f"self.client.{call}") for part in why.split("|")
    )


# Attributes

ATTRIBUTE_CASES = [
    "self.client.get(f'/{self.store}/{self.slots}/{self.rt}')",  # the recorder's names, too
    "self.client.get('/' + self.__class__.__name__ + type(self).__name__)",
    "self.n += 1\nself.token += 'x'\nself.f *= 2\n"
    "self.client.get(f'/{self.n}{self.token}{self.f}')",
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("body", ATTRIBUTE_CASES)
def test_attributes(pair: Twins, tmp_path: Path, style: str, body: str) -> None:
    same(pair, tmp_path, style, body, [])
