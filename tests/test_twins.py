"""Tasks as native threads run them, against the same tasks as Locust runs them in Python.

Each of the tables' cases is run both ways against the same server; requests, statistics, exceptions
and the user's attributes must be the same afterwards. What can't be is refused.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

import copy
import re
from pathlib import Path

import pytest
from helpers_twins import (
    ANSWERS,
    ATTRIBUTES,
    STYLES,
    Answer,
    Twins,
    class_of,
    difference,
    module_of,
    refused,
    same,
    text_of,
)

from opscore_fast.recording.refusal import NotRecordable

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


# What texts, numbers and containers are computed to

EXPRESSIONS = [
    "self.token.upper()", "self.token.lower()", "self.token.strip()",
    "self.token.replace('o', '0')",
    "self.token.startswith('to')", "self.token.endswith(('en', 'x'))", "'e' in self.token",
    "self.token[0]", "self.token[-1]", "self.token[1:3]", "self.token[:-1]", "self.token[99]",
    "self.token[-99]", "len(self.token)", "len(self.uml)", "len(self.numbers)", "self.token + 'a'",
    "'-'.join([self.token, 'x'])", "'%s-%05d %.2f %x%%' % (self.token, self.n, self.f, self.n)",
    "'{0}{0} {a:.3f}'.format(self.n, a=self.f)", "f'{self.n:03d}{self.f:.1f}{self.n!r}{self.sp}'",
    "format(self.f, '.2f')", "str(self.none) + str(self.yes) + str(self.f)", "str(self.n / 3)",
    "str(1e22 + self.f)", "int(self.d)", "float(self.d)", "int(self.f)", "int(-self.f)",
    "round(self.f)", "round(self.f, 1)", "round(self.n, -1)", "abs(self.f - 9)", "-self.n // 2",
    "-self.n % 3", "self.f // 1", "self.n / self.w", "(self.n + 1) * 2 - self.w", "min(self.n, 3)",
    "max(self.numbers)", "sum(self.numbers)", "self.n / 0", "1 < self.n < 10", "self.n == 7.0",
    "self.n == '7'", "self.token > 'a'", "self.n in (7, 8)", "self.n not in [7]",
    "self.none is None",
    "self.yes is True", "self.yes and self.n", "self.none or 'x'", "self.n if self.yes else 0",
    "not self.none", "(y := self.n)", "self.data['a']", "self.data.get('zz', self.n)",
    "'a' in self.data", "self.numbers[-1]", "self.numbers[self.n % 3]", "['a'][self.n]",
    "getattr(self, 'n')", "getattr(self, 'zzz', 5)", "hasattr(self, 'zzz')",
    "isinstance(self.n, int)", "any(x > 2 for x in self.numbers)", "json.dumps(self.data)",
    "json.dumps({'b': self.token, 'a': [self.f, None]}, separators=(',', ':'))",
    "json.dumps({'b': 1, 'a': self.uml}, sort_keys=True)", "re.search('k-(.*)', self.token)[1]",
    "re.search('zz', self.token) is None", "str(uuid.uuid4())[14]",
    "random.choice(['a'])", "random.choices(['a', 'b'], weights=[1, 0])[0]",
    "random.randint(3, 3)", "random.uniform(2, 2)",
    "''.join(random.choices('a', k=5))", "random.choice([{'a': self.n}])['a']",
    "datetime.now(timezone.utc).isoformat()[-6:]", "datetime.now().strftime('%Y')[:2]",
    "time.time() > 1", "string.digits",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(pair: Twins, tmp_path: Path, style: str, expression: str) -> None:
    same(pair, tmp_path, style, f"x = {expression}\nself.client.post(f'/x/{{x}}', json=x)", [])


BAD_EXPRESSIONS = [
    ("self.token.title()", "title"), ("self.token.split('-')[0]", "split"),
    ("self.token.find('e')", "find"), ("self.token * 2", "times a number"),
    ("self.token[::2]", "slice"), ("self.token.encode().hex()", "hex"), ("repr(self.token)",
    "repr"),
    ("ord(self.token[0])", "ord"), ("hash(self.n)", "hash"), ("math.floor(self.f)", "floor"),
    ("'{:>10}'.format(self.token)", "format"), ("f'{self.n:,}'", "format"), ("'%r' % self.token",
    "%r"),
    ("self.n ** 2", "**"), ("self.n & 3", "&"), ("self.data['zz']", "zz"), ("self.zzz", "zzz"),
    ("vars(self)", "vars"), ("re.sub('o', '0', self.token)", "sub"), ("self.n is self.n", "is"),
    ("{'a': 1}[self.token]", "if/elif"), ("list(range(self.n))", "range"), ("sorted(self)", "loop"),
    ("random.Random(5).random()", "random"), ("random.SystemRandom().choice('a')", "SystemRandom"),
    ("self.wait_time()", "of Locust's own"), ("json.loads(self.d)", "json.loads"),
    ("uuid.UUID(int=5)", "uuid.UUID"), ("os.urandom(2)", "urandom"),
    ("uuid.uuid4() == uuid.uuid4()", "comparison"),
    ("random.sample(['a'], 1)", "sample"), ("f'{self.data}'", "format"),
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("expression", "why"), BAD_EXPRESSIONS)
def test_expressions_that_are_refused(
    pair: Twins, tmp_path: Path, style: str, expression: str, why: str
) -> None:
    body = f"x = {expression}\nself.client.get(f'/x/{{x}}')"
    assert why in refused(pair, tmp_path, style, body)


# Failures of what is computed: the type is Python's, the text need not be

RAISING = [
    ("int(self.token)", "ValueError"), ("float(self.token)", "ValueError"),
    ("self.n % 0", "ZeroDivisionError"), ("self.n // 0", "ZeroDivisionError"),
    ("self.none + 1", "TypeError"), ("len(self.n)", "TypeError"), ("self.n < 'a'", "TypeError"),
    ("'{:5}'.format(self.none)", "TypeError"), ("'/' + self.none", "TypeError"),
    ("self.client.get('/r').json()['none'].get('x')", "AttributeError"),
    ("self.client.get('/r').json()['status'].get('x')", "AttributeError"),
    ("self.client.get('/r').json()['list'].get('x')", "AttributeError"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "kind"), RAISING)
def test_types_of_exceptions(pair: Twins, tmp_path: Path, expression: str, kind: str) -> None:
    text = text_of("HttpUser", f"x = {expression}\nself.client.get(f'/x/{{x}}')")
    theirs = module_of(tmp_path, text, "locust", "HttpUser")
    ours = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    expected = pair.by_locust(theirs, copy.deepcopy(ATTRIBUTES), ANSWERS[:1], 1)
    got = pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), ANSWERS[:1], 1)
    assert [name for name, _ in expected.raised] == [name for name, _ in got.raised] == [kind]
    assert (got.received, got.requests) == (expected.received, expected.requests)


def test_infinity_as_json_is_not_sent_where_requests_refuses_it(
    pair: Twins, tmp_path: Path
) -> None:
    text = text_of("HttpUser", "self.client.post('/x', json={'a': self.f * 1e308})")
    ours = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    got = pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), [], 1)
    assert got.received == []
    assert got.raised == [("ValueError", "Out of range float values are not JSON compliant")]


# Responses

TAKEN = [
    "r.status_code", "r.ok", "r.text", "r.text[:3]", "len(r.text)", "len(r.content)", "r.url",
    "r.headers.get('X-Id')", "r.headers.get('X-Id', 'no')", "'X-Id' in r.headers",
    "r.headers['content-length']", "int(r.headers['content-length'])", "'ok' in r.text",
    "r.text.startswith('<')", "r.text.lower()", "r.text or 'none'", "r.status_code in (200, 204)",
    "200 <= r.status_code < 300", "r.status_code // 100", "bool(re.search('ok', r.text))",
    "re.search('OK', r.text, flags=re.IGNORECASE) is not None", "r is None", "r.text == ''",
    "'json' in r.headers.get('Content-Type', '')",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("expression", TAKEN)
def test_responses(pair: Twins, tmp_path: Path, style: str, expression: str) -> None:
    body = f"r = self.client.get('/r')\nx = {expression}\nself.client.post(f'/x/{{x}}', json=[x])"
    same(pair, tmp_path, style, body, ANSWERS, 6)


@pytest.mark.parametrize(
    "expression",
    ["bool(r)", "r.reason", "r.cookies.get('sid')", "r.elapsed.total_seconds() < 10"],
)
def test_responses_of_http_users(pair: Twins, tmp_path: Path, expression: str) -> None:
    body = f"r = self.client.get('/r')\nx = {expression}\nself.client.post(f'/x/{{x}}', json=[x])"
    same(pair, tmp_path, "HttpUser", body, ANSWERS, 6)


# What r.json() does not have fails the request natively, with what is missing, and ends the task

JSON_TAKEN = [
    "r.json()['status']", "r.json().get('zz', 'd')", "r.json()['list'][0]['id']",
    "r.json()['list'][-1]", "r.json()['list'][5]", "r.json()['none']", "r.json()['n'] + 1",
    "r.json()['f']", "r.json()['yes']", "r.json()['s']", "r.json()['empty']",
    "len(r.json()['list'])",
    "'status' in r.json()", "5 in r.json()['list']", "r.json()['status'] == 'ok'",
    "r.json()['none'] is None", "bool(r.json()['e'])", "r.json()['e'] or 'nix'",
    "json.loads(r.text)['status']", "json.loads(r.content)['n']", "r.json()['status'].upper()",
    "r.json().get('o', {}).get('x', 'd')", "r.json() is not None", "r.headers['X-Id']",
    "re.search('(o)k', r.text).group(1)", "re.search('\"(?P<a>n)\": ', r.text)['a']",
    "r.json()['list'][0].get('zz', 'q')", "r.json().get('none', 1)",
    "isinstance(r.json()['n'], int)",
]  # fmt: skip

JSON_BODIES = [
    "x = r.json()",
    "x = r.json()\nif r.ok: self.client.get('/ok')\nself.client.get(f'/{x[\"n\"]}')",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("taken", [*(f"x = {given}" for given in JSON_TAKEN), *JSON_BODIES])
def test_json(pair: Twins, tmp_path: Path, style: str, taken: str) -> None:
    body = f"r = self.client.get('/r')\n{taken}\nself.client.post('/x')"
    text = text_of(style, body)
    theirs = module_of(tmp_path, text, "locust", style)
    ours = module_of(tmp_path, text, "opscore_fast", style)
    expected = pair.by_locust(theirs, copy.deepcopy(ATTRIBUTES), ANSWERS, 6)
    got = pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), ANSWERS, 6)
    assert (got.received, got.requests) == (expected.received, expected.requests)
    failed = sum(times for *_, text, times in got.failures if "CatchResponseError" in text)
    known = sum(times for *_, times in expected.failures)
    assert sum(times for *_, times in got.failures) == known + failed
    assert len(expected.raised) - 2 <= failed <= len(expected.raised)  # two have failed already


# catch_response

BLOCKS = [
    "pass", "return", "raise ValueError('x')", "raise ValueError(f'x{self.n}')", "raise StopUser()",
    "raise RescheduleTask()", "raise KeyError('k')", "raise Exception",
    "raise CatchResponseError('c')",
    "r.success()", "r.failure('no')", "r.failure(f'no {r.status_code}')", "r.failure('')",
    "r.failure('no')\nr.success()", "r.success()\nr.failure('late')",
    "r.failure('a')\nr.failure('b')",
    "r.failure(CatchResponseError('c'))", "r.failure('no')\nreturn",
    "r.failure('no')\nraise ValueError('x')",
    "r.success()\nraise ValueError('x')", "assert r.status_code == 200, f'bad {r.status_code}'",
    "if r.status_code == 404:\n    r.success()", "if not r.ok:\n    r.failure('nok')",
    "if r.text:\n    r.failure(r.text)", "self.client.get('/inner')\nr.failure('x')",
    "for i in range(3):\n    if i == 1: break\n    r.failure(str(i))",
    "try:\n    x = r.json()['n']\n    self.client.get('/n')\n"
    "except Exception:\n    r.failure('bad')",
    "try:\n    x = r.json()\nexcept json.JSONDecodeError:\n    r.failure('bad json')",
    "try:\n    x = r.json()['n']\nexcept (KeyError, ValueError):\n    r.failure('kv')\n"
    "except TypeError:\n    r.failure('te')",
    "try:\n    assert r.json()['n'] == 3\nexcept KeyError:\n    r.failure('k')\nfinally:\n"
    "    self.client.get('/fin')",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("block", BLOCKS)
def test_blocks(pair: Twins, tmp_path: Path, style: str, block: str) -> None:
    lines = "".join(f"    {line}\n" for line in block.split("\n"))
    body = (
        "with self.client.get('/r', catch_response=True) as r:\n"
        f"{lines}self.client.get(f'/after/{{r.ok}}')"
    )
    if "self.client.get(f'/after/{r.ok}')" in body and "failure" in block:
        body = body.replace("/{r.ok}", "")  # which raises behind failure() with HttpUser
    same(pair, tmp_path, style, body, ANSWERS, 6)


BAD_BLOCKS = [
    ("r.failure(None)", "of a text only"), ("r.failure(5)", "of a text only"),
    ("r.failure(self.n)", "of a text only"), ("r.failure(ValueError('v'))", "of a text only"),
    ("raise ResponseError('x')", "call failure"), ("r.request_meta['name'] = 'x'", "request_meta"),
    ("with self.client.get('/q', catch_response=True) as q:\n    pass", "another such request"),
    ("self.environment.runner.quit()", "runner"), ("self.interrupt()", "interrupt"),
    ("raise RescheduleTaskImmediately()", "RescheduleTaskImmediately"),
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("block", "why"), BAD_BLOCKS)
def test_blocks_that_are_refused(
    pair: Twins, tmp_path: Path, style: str, block: str, why: str
) -> None:
    lines = "".join(f"    {line}\n" for line in block.split("\n"))
    body = "with self.client.get('/r', catch_response=True) as r:\n" + lines
    assert why in refused(pair, tmp_path, style, body)


# Statements

STATEMENTS = [
    "for i in range(3):\n    with self.client.get('/r', catch_response=True) as r:\n"
    "        if r.status_code == 404: continue\n        if r.status_code == 500: break\n"
    "        r.failure('x')\nself.client.get('/after')",
    "try:\n    self.client.get('/r').json()['n']\nfinally:\n    self.client.get('/fin')",
    "try:\n    n = self.client.get('/r').json()['n']\n    self.client.get(f'/{n}')\n"
    "except (KeyError, ValueError):\n    self.client.get('/exc')",
    "try:\n    x = self.client.get('/r').json()['none']['y']\nexcept KeyError:\n"
    "    self.client.get('/k')\nexcept TypeError:\n    self.client.get('/t')\n"
    "except ValueError as e:\n    self.client.get('/v')\nelse:\n    self.client.get('/e')",
    "try:\n    x = self.client.get('/r').json()['list']['y']\nexcept KeyError:\n"
    "    self.client.get('/k')\nexcept TypeError:\n    self.client.get('/t')\nexcept ValueError:\n"
    "    self.client.get('/v')",
    "try:\n    try:\n        self.client.get('/r').json()['n']\n    except ValueError:\n"
    "        self.client.get('/k')\nexcept KeyError:\n    self.client.get('/fin')",
    "try:\n    raise ValueError(self.n)\nexcept ValueError as e:\n    self.client.get(f'/{e}')",
    "try:\n    return\nfinally:\n    self.client.get('/b')",
    "assert self.n == 8, 'no'", "assert self.n == 8", "raise ValueError(self.n)",
    "raise ValueError('a', 'b')", "raise StopUser", "raise RescheduleTask",
    "if self.n > 5 and self.token == 'tok-en' or self.none:\n    self.client.get('/b')",
    "for k, v in self.data.items():\n    self.client.get(f'/{k}')",
    "rs = [self.client.get('/r') for i in range(3)]\n"
    "self.client.get(f'/{rs[0].status_code}{rs[2].status_code}')",
    "x = {k: self.token for k in 'ab'}\nself.client.post('/j', json=x)",
    "def h(p):\n    return self.client.get(p + self.token)\nh('/a')\nh('/b')",
    "f = lambda p: self.client.get(p)\nf('/a')", "getattr(self.client, 'get')('/a')",
    "for m in (self.client.get, self.client.post):\n    m('/a')",
    "self.new = 1\nself.client.get(f'/{self.new}')",
    "self.n -= self.w\nself.client.get(f'/{self.n}')",
    "self.none = 'x'\nself.client.get(f'/{self.none}')", "self.n = None",
    "self.yes = not self.yes\nself.client.post('/j', json=self.yes)",
    "self.n, self.w = self.w, self.n\nself.client.post('/j', json=[self.n, self.w])",
    "a, b, *c = self.numbers\nself.client.post('/j', json=[a, b, c])",
    "x = {**self.data, 'c': self.n}\nx.update(d=1)\nself.client.post('/j', json=x)",
    "x = self.numbers[:]\nx.append(1)\nself.client.post('/j', json=[x, self.numbers])",
    "with self.client.rename_request('rn'):\n    self.client.get('/x')\nself.client.get('/y')",
    "match self.client.get('/r').status_code:\n    case 200: self.client.get('/t')\n"
    "    case 404: pass\n    case x if x > 400: self.client.get(f'/{x}')",
    "i = random.choice([{'p': 'a', 'n': 'x'}])\nself.client.get('/' + i['p'], name=i['n'])",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("body", STATEMENTS)
def test_statements(pair: Twins, tmp_path: Path, style: str, body: str) -> None:
    same(pair, tmp_path, style, body, ANSWERS, 6)


BAD_STATEMENTS = [
    ("try:\n    n = int(self.d)\nexcept ValueError:\n    pass", "outside the try"),
    ("try:\n    n = self.n / 0\nexcept ZeroDivisionError:\n    pass", "outside the try"),
    ("try:\n    n = int(self.d)\nfinally:\n    self.client.get('/b')", "outside the try"),
    ("try:\n    x = self.token[9]\nexcept IndexError:\n    pass", "outside the try"),
    ("try:\n    x = self.data['zz']\nexcept KeyError:\n    pass", "KeyError"),
    ("for i in range(self.n):\n    pass", "range"), ("while self.n > 5:\n    self.n -= 1", "paths"),
    ("self.data['a'] = 5", "outlives the task"), ("self.numbers.append(4)", "outlives the task"),
    ("self.numbers = []", "only texts"), ("U.count = 1", "only attributes of the user"),
    ("self.client.cookies.clear()", "cookies"), ("self.client.auth = ('a', 'b')", "in on_start"),
    ("random.shuffle([self.n])", "shuffle"),
    ("global G\nG = 1", "global"), ("self.stop()", "of Locust's own"), ("self.wait()",
    "of Locust's own"),
    ("self.client.post('/x', data=[self.token])", "data=" ), ("self.client.get('/x', name=5)",
    "name="),
    ("self.client.post('/x', data=bytearray(b'x'))", "data="),
    ("self.client.post('/x', data={'a': self.data})", "as text"),
    ("self.client.get('/x', headers={'Content-Length': '0'})", "leave it out"),
    ("r = self.client.get('/r', catch_response=True)", "never counted"),
    ("self.client.get('/r').failure('x')", "no with-block"),
    ("for x in self.client.get('/r').json(): pass", "loop"),
    ("try:\n    raise KeyError(self.token)\nexcept KeyError as e:\n    self.client.get(f'/{e}')",
     "of a KeyError"),
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("body", "why"), BAD_STATEMENTS)
def test_statements_that_are_refused(
    pair: Twins, tmp_path: Path, style: str, body: str, why: str
) -> None:
    assert why in refused(pair, tmp_path, style, f"{body}\nself.client.get('/x')")


def test_the_truth_of_a_response_of_fast_users_is_refused(pair: Twins, tmp_path: Path) -> None:
    assert ".ok" in refused(pair, tmp_path, "FastHttpUser", "if self.client.get('/r'): pass")


# TaskSets: the user runs until StopUser

TASK_SETS = [
    """
@task
class T(SequentialTaskSet):
    wait_time = constant(0)
    def on_start(self):
        self.user.n = 0
    @task
    def a(self):
        self.client.get('/a')
    @task(2)
    def b(self):
        self.client.get('/b')
    @task
    def c(self):
        self.user.n += 1
        if self.user.n > 2: raise StopUser()
""",
    """
@task
class T(SequentialTaskSet):
    @task
    def a(self):
        self.client.get('/a')
        raise ValueError('x')
    @task
    def b(self):
        self.client.get('/b')
        raise StopUser()
""",
    """
# @task
def t1(self):
    self.client.get('/t1')
    self.n += 1
    if self.n > 10: raise StopUser()
tasks = [t1]
""",
    """
# @task
def t1(self):
    self.client.get('/t1')
    self.n += 1
    if self.n > 10: raise StopUser()
tasks = {t1: 3}
""",
    """
@tag('a')
@task
# @task
def t1(self):
    self.client.get('/t1')
    raise StopUser()
""",
    """
@task
class T(SequentialTaskSet):
    @task
    def a(self):
        self.helper('/h')
        self.static('/s')
        self.prop
        raise StopUser()
    def helper(self, p):
        self.client.get(p + str(self.user.n))
    @staticmethod
    def static(p): return p
    @property
    def prop(self):
        return self.client.get('/prop')
""",
    """
@task
class T(SequentialTaskSet):
    @task
    class N(SequentialTaskSet):
        def on_start(self):
            self.user.n += 1
            self.client.get('/start')
            if self.user.n < 10: raise ValueError('not yet')
        @task
        def x(self):
            self.client.get('/x')
            raise StopUser()
    @task
    def a(self):
        self.client.get('/a')
    @task
    class Between(SequentialTaskSet):
        @task
        class Fails(SequentialTaskSet):
            def on_start(self):
                assert False, 'never'
            @task
            def y(self):
                self.client.get('/y')
        @task
        def b(self):
            self.client.get('/b')
            if self.user.n > 8: raise StopUser()
            self.user.n += 1
""",
    """
@task
class N(SequentialTaskSet):
    def on_start(self):
        self.user.n += 1
        self.client.get('/start')
        if self.user.n < 10: raise ValueError('not yet')
    @task
    def x(self):
        self.client.get('/x')
        raise StopUser()
""",
    """
BASE = '/base'
PATHS = ['/p1', '/p2']
COUNTS = {'x': 1}
def _h(self, p, **kw):
    return self.client.get(self.BASE + p, **kw)
@property
def url(self): return f'/u{self.n}'
@classmethod
def cm(cls): return cls.BASE
@staticmethod
def sm(x): return x * 2
@task
def t(self):
    self._h('/q', name='n')
    self.client.get(self.url + self.cm() + self.sm('z'))
    for p in self.PATHS: self.client.get(p)
    self.client.get(f"/{self.COUNTS['x']}")
    raise StopUser()
""",
    """
K = 5
@task
def t(self):
    self.K += 1
    self.client.get(f"/{self.K}")
    if self.K > 8: raise StopUser()
""",
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("body", TASK_SETS)
def test_task_sets(pair: Twins, tmp_path: Path, style: str, body: str) -> None:
    same(pair, tmp_path, style, body, [], None)


BAD_TASK_SETS = [
    (
        """
@task
class T(SequentialTaskSet):
    def on_start(self):
        self.items = ['a', 'b']
    @task
    def x(self):
        for i in self.items: self.client.get('/' + i)
        raise StopUser()
""",
        "self.user.",
    ),
    (
        """
@task
class T(SequentialTaskSet):
    def on_start(self):
        self.tok = self.client.get('/r').json()['status']
    @task
    def x(self):
        self.client.get('/' + self.tok)
        raise StopUser()
""",
        "self.user.",
    ),
    (
        """
@task
class T(SequentialTaskSet):
    @task
    def a(self):
        self.client.get('/a')
        self.parent.n += 1
    @task
    class N(SequentialTaskSet):
        @task
        def x(self):
            self.client.get(f'/x/{self.user.n}')
        @task
        def y(self):
            self.interrupt(reschedule=False)
    @task
    def c(self):
        if self.user.n > 9: raise StopUser()
""",
        "parent",
    ),
    (
        """
@task
class T(SequentialTaskSet):
    @task
    def a(self):
        self.client.get('/a')
        raise RescheduleTask()
    @task
    def b(self):
        self.client.get('/b')
        raise RescheduleTaskImmediately()
    @task
    def c(self):
        self.client.get('/c')
        raise StopUser()
""",
        "RescheduleTaskImmediately",
    ),
    (
        """
@task
class T(SequentialTaskSet):
    @task
    def a(self):
        self.k = self.user.n
        self.client.get('/a')
    @task
    def b(self):
        self.client.get(f'/b/{self.k}')
        raise StopUser()
""",
        "self.user.k",
    ),
    (
        """
@task
class T(SequentialTaskSet):
    k = 3
    @task
    def a(self):
        self.client.get(f'/a/{self.k}')
        raise InterruptTaskSet()
@task
def z(self):
    raise StopUser()
""",
        "InterruptTaskSet",
    ),
    (
        """
@task
class T(TaskSet):
    @task
    def a(self):
        self.client.get('/a')
        raise ValueError('x')
    def on_start(self):
        self.user.n += 1
        if self.user.n == 9: raise StopUser()
        self.interrupt(reschedule=True)
""",
        "interrupt",
    ),
    (
        """
@task
class T(TaskSet):
    def on_start(self):
        self.client.get('/s')
        raise RescheduleTask()
    @task
    def a(self):
        raise StopUser()
""",
        ": RescheduleTask",
    ),
    (
        """
COUNTS = {'x': 1}
@task
def t(self):
    self.COUNTS['x'] += 1
    self.client.get(f"/{self.COUNTS['x']}")
    raise StopUser()
""",
        "outlives",
    ),
    (
        """
K = 0
@task
def t(self):
    U.K += 1
    self.client.get(f"/{self.K}")
    raise StopUser()
""",
        "only attributes",
    ),
    (
        """
@task
def t(self, x=[]):
    x.append(1)
    self.client.get(f"/{len(x)}")
    if len(x) > 3: raise StopUser()
""",
        "",
    ),
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("body", "why"), BAD_TASK_SETS)
def test_task_sets_that_are_refused(
    pair: Twins, tmp_path: Path, style: str, body: str, why: str
) -> None:
    assert why in refused(pair, tmp_path, style, body)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            "@task\nclass T(TaskSet):\n    @task\n    def a(self): pass\n    {}",
            "def on_stop(self): 0",
        ),
        ("@task\nclass T(TaskSet):\n    {}\n    tasks = [print]", "def wait(self): 0"),
        ("@task\n{}\n    x = 1\n    def helper(self): 0", "class T(TaskSet):"),
        ("@task\ndef t(self): pass\n{}", "def context(self): return {'a': 1}"),
    ],
)
def test_the_line_of_what_is_refused_as_a_whole(
    pair: Twins, tmp_path: Path, body: str, line: str
) -> None:
    """Of a module that is not known by its name, too."""
    ours = module_of(
        *(tmp_path, class_of("HttpUser", body.format(line)), "opscore_fast", "HttpUser")
    )
    with pytest.raises(NotRecordable) as caught:
        pair.by_agent(ours, {}, [], 2)
    assert caught.value.file == ours.__file__
    lines = Path(caught.value.file).read_text().split("\n")
    assert lines[caught.value.line - 1].strip() == line


# rest()

RESTS = [
    "assert r.js['k'] == 'v', 'bad k,'", "if r.js['k'] != 'v': raise ValueError(f'x{r.ok}')",
    "pass", "self.helper(r)", "if r.js is None: return\nassert r.js['k']", "assert 'k' in r.js",
    "x = r.js['k']['z']\nself.client.get('/z')", "assert r.js.get('k') == 'v'",
]  # fmt: skip

REST_BODIES = ['{"k": "v"}', "{}", "[]", "null", "", "no JSON", '{"k": 5}', "3"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("block", RESTS)
def test_rest(pair: Twins, tmp_path: Path, style: str, block: str) -> None:
    """The texts of failures are the same but for the locustfile's own name."""
    lines = "".join(f"        {line}\n" for line in block.split("\n"))
    body = (
        "@task\ndef t(self):\n    with self.rest('POST', '/r', json={'a': self.token}) as r:\n"
        f"{lines}def helper(self, r):\n    assert r.js['k'] == 'v'\n"
    )
    answers = [Answer(200, text, at="/r") for text in REST_BODIES]
    answers += [Answer(404, '{"k": 1}', at="/r"), Answer(500, "oops", at="/r")]
    theirs = module_of(tmp_path, text_of(style, body), "locust", style)
    ours = module_of(tmp_path, text_of(style, body), "opscore_fast", style)
    expected = pair.by_locust(theirs, copy.deepcopy(ATTRIBUTES), answers, len(answers))
    got = pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), answers, len(answers))
    for seen in (expected, got):
        seen.failures = sorted(
            (method, name, re.sub(r"twin_\d+", "twin", text), times)
            for method, name, text, times in seen.failures
        )
    assert got == expected, difference(expected, got)
