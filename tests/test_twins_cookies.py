"""Cookies that a request brings along, and which of them go where a redirect leads, both ways."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

from pathlib import Path

import helpers_twins
import pytest
from helpers_twins import (
    STYLES,
    Answer,
    Twins,
    module_of,
    new_user,
    refused,
    same,
    text_of,
)
from parity import describe_jar
from requests.cookies import create_cookie

from opscore_fast.native.fleet import End
from opscore_fast.native.remembered import bring_back, cookies_of
from opscore_fast.recording.explain import explain
from opscore_fast.recording.record import record, slot_values

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


# A Host header by hand stays behind a redirect; cookies of an HttpUser are by it


@pytest.mark.parametrize(
    "host", ["'shop.test'", "'Shop.Test:81'", "self.token + '.test'", "'[::1]:5'", "'local'", "''"]
)
@pytest.mark.parametrize(
    ("style", "arguments"),
    [("HttpUser", ""), ("HttpUser", ", cookies={'c': self.token}"), ("FastHttpUser", "")],
)
def test_a_host_by_hand(
    pair: Twins,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    style: str,
    host: str,
    arguments: str,
) -> None:
    monkeypatch.setattr(helpers_twins, "_OWN", helpers_twins._OWN - {"host"})
    body = (
        f"r = self.client.get('/r', headers={{'Host': {host}}}{arguments})\n"
        "self.client.get('/x')\nself.client.get('/y', headers={'Host': 'shop.test'})\n"
        f"self.client.get('/z', headers={{'host': {host}}})"
    )
    if style == "HttpUser":
        body += "\nself.client.get(f\"/{r.cookies.get('d', 'none')}\")"
    set_twice = ("a=1; Path=/", "b=2; Domain=shop.test; Path=/")
    to = Answer(200, "", (("Set-Cookie", "d=3; Domain=.shop.test"),), at="/to")
    same(pair, tmp_path, style, body, [moved(302, "/to", *set_twice), to])


# cookies= of a request: beside those of the jar, and not kept in it

CALLS = [
    "get('/r', cookies={'a': self.token})",
    "get('/r', cookies={'a': 'x', 'b': f'{self.n}/{self.f}'})",
    "post('/r', data={'d': self.token}, cookies={'s': self.token, 'a': self.d + self.d})",
    "put('/r', json=[self.n], cookies={'a': str(self.n)}, headers={'X-A': self.token})",
    "request('PATCH', '/r', cookies={'z': self.sp})", "get('/r', cookies=self.hdrs)",
    "get('/r', cookies={'a': self.none, 'b': None, 'c': self.token[9:], 'd': ''})",
    "get('/r', cookies={})", "get('/r', cookies=None)",
    "get('/r', cookies={**self.hdrs, 'a': self.uml, 'ü': 'ü'})",
    "get('/r', cookies={'a': ' ' + self.sp + ' ', '': self.token, ' b ': '; x=y,\\t='})",
    "get('/r', cookies={'a': '\"' + self.token + '\"', 'b': self.quoted, 'c': self.twice})",
    "get('/r', cookies={'a': self.agent_id, 'b': '\\\\\"' + self.token, 'c': '\"'})",
    "get('/r', cookies={'a': random.choice(['x']), 'b': str(uuid.uuid4())[14]})",
    "get('/r', cookies={'a': self.token}, headers={'Cookie': 'b=' + self.token})",
    "get('/r', cookies={'a': self.token}, allow_redirects=False)",
    "get('/r', cookies={'a': 'constant', 's': 'constant'})",
    "get(f'/r?x={self.n}', cookies={'a': self.token}, name='/named')",
]  # fmt: skip

QUOTED = {"quoted": '"x\\"y"', "twice": '"x\\\\""'}


def set_up(*lines: str) -> str:
    """A class body with what on_start does of the session's cookies, before a task."""
    made = "".join(f"    self.client.cookies.{line}\n" for line in lines)
    quoted = "".join(f"    self.{name} = {value!r}\n" for name, value in QUOTED.items())
    needs = "    from requests.cookies import create_cookie\n"
    return f"def on_start(self):\n{needs}{quoted}{made}@task\ndef t(self):\n"


JARS = {
    "empty": set_up(),
    "of any host": set_up("set('b', 'any')", "set('a', 'any')", "set('p', '1', path='/r')"),
    "of this host": set_up(
        "set('a', 'here', domain='127.0.0.1')", "set('s', 'there', domain='x.test')",
        "set_cookie(create_cookie('n', None, domain='127.0.0.1'))",
    ),
}  # fmt: skip


@pytest.mark.parametrize("jar", JARS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("login", ["", LOGIN])
def test_cookies_of_a_request(pair: Twins, tmp_path: Path, jar: str, call: str, login: str) -> None:
    lines = f"{login}self.client.{call}\nself.client.get('/after')"
    body = JARS[jar] + "".join(f"    {line}\n" for line in lines.split("\n"))
    same(pair, tmp_path, "HttpUser", body, [SETS])


# Where a redirect leads go those of the request, too, those that the answer has set, and before all
# of them those of the jar

MOVES = {
    "there": moved(302, "/to?x", "b=2; Path=/", "a=3; Path=/to", "s=4; Path=/"),
    "with the method": moved(307, "/to", "b=2", "a=3; Path=/"),
    "elsewhere": moved(301, "http://localhost:{port}/to", "b=2; Path=/"),
    "gone": moved(303, "/to", "s=; Max-Age=0; Path=/", "s=7; Path=/to", 'q="\\"1\\""'),
}  # fmt: skip


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("jar", JARS)
@pytest.mark.parametrize(
    "arguments",
    [
        "cookies={'a': self.token, 'b': 'c', 's': 'x' + self.d}",
        "cookies={'e': self.quoted, 'f': self.twice}, data='x'",
        "cookies={'a': self.token}, headers={'Cookie': 'b=' + self.token}",
    ],
)
@pytest.mark.parametrize("login", ["", LOGIN])
def test_cookies_of_a_request_and_a_redirect(
    pair: Twins, tmp_path: Path, move: str, jar: str, arguments: str, login: str
) -> None:
    port = pair.server.url.rpartition(":")[2]
    to = MOVES[move]
    headers = tuple((name, value.replace("{port}", port)) for name, value in to.headers)
    answers = [
        SETS,
        Answer(to.status, "", headers, at="/r"),
        Answer(302, "", (("Location", "/end"),), at="/to"),
    ]
    lines = f"{login}self.client.post('/r', {arguments})\nself.client.get('/after')"
    body = JARS[jar] + "".join(f"    {line}\n" for line in lines.split("\n"))
    same(pair, tmp_path, "HttpUser", body, answers, 1)


MADE = """
from requests.cookies import RequestsCookieJar, create_cookie
from http.cookiejar import CookieJar
jar = {kind}()
for cookie in (
    create_cookie("a", "1"), create_cookie("b", "2", domain="127.0.0.1", path="/r"),
    create_cookie("c", "3", domain="127.0.0.1", secure=True), create_cookie("d", None),
    create_cookie("e", "5", domain=".0.0.1"), create_cookie("f", "6", domain="x.test"),
    create_cookie("g", "7", expires=1e30), create_cookie("h", "8", expires=1000000000),
    create_cookie("i", "9", domain="127.0.0.1", path="/r/"), create_cookie("s", '"\\"10"'),
    create_cookie("a", "11", domain="127.0.0.1"),
    create_cookie("j", "12", domain="localhost.local"),
):
    jar.set_cookie(cookie)
del cookie
@task
def t(self):
    {login}
    self.client.get('/r', cookies=self.jar)
    self.client.post('/r/s', cookies=self.jar)
    self.client.get('/after')
"""


@pytest.mark.parametrize("kind", ["RequestsCookieJar", "CookieJar"])
@pytest.mark.parametrize("login", ["pass", LOGIN.strip()])
@pytest.mark.parametrize("to", ["/to", "/r/to", "http://localhost:{port}/r/"])
def test_cookies_of_a_request_in_a_jar(
    pair: Twins, tmp_path: Path, kind: str, login: str, to: str
) -> None:
    port = pair.server.url.rpartition(":")[2]
    answers = [SETS, moved(302, to.replace("{port}", port), "a=4; Path=/", "b=5; Path=/r")]
    same(pair, tmp_path, "HttpUser", MADE.format(kind=kind, login=login), answers)


# Those of a response are what it sets, and may set

OF_RESPONSES = [
    ('sid="x\\"y"; Path=/',), ("sid=; Max-Age=0; Path=/",), ("sid=1; Domain=other.test",),
    ("sid=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",), ("sid",), ("sid=",), ("sid=1; Path=/x",),
    ("b=1; sid=2",), ("sid=1; Version=3",), ("sid=1", "sid=2"), ("sid", "sid=1; Path=/r"),
    ("sid=ä; Secure", "b=1"),
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 302])
def test_cookies_of_a_response(pair: Twins, tmp_path: Path, status: int) -> None:
    body = (
        "r = self.client.get('/r')\nx = r.cookies.get('sid', 'no')\n"
        "self.client.post('/x', json=[x, 'sid' in r.cookies])"
    )
    answers = []
    for cookies in OF_RESPONSES:
        fields = tuple(("Set-Cookie", cookie) for cookie in cookies)
        answers.append(Answer(status, "", (*fields, ("Location", "/to")), at="/r"))
    same(pair, tmp_path, "HttpUser", body, answers, len(answers))


def test_several_cookies_of_a_name_end_the_task(pair: Twins, tmp_path: Path) -> None:
    body = "x = self.client.get('/r').cookies.get('sid')\nself.client.get(f'/{x}')"
    answer = Answer(200, "", (("Set-Cookie", "sid=1; Path=/"), ("Set-Cookie", "sid=2")), at="/r/s")
    body = body.replace("/r", "/r/s")
    text = text_of("HttpUser", body)
    theirs = module_of(tmp_path, text, "locust", "HttpUser")
    ours = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    expected = pair.by_locust(theirs, {}, [answer], 1)
    got = pair.by_agent(ours, {}, [answer], 1)
    assert [kind for kind, _ in got.raised] == [kind for kind, _ in expected.raised]
    assert [kind for kind, _ in got.raised] == ["CookieConflictError"]
    assert (got.received, got.requests) == (expected.received, expected.requests)


# What is no text raises as in Python; a value that no header can have fails its request


@pytest.mark.parametrize(
    "handler", ["", "except AttributeError as e:\n    self.client.post('/e', data=f'{e}')"]
)
def test_a_value_of_a_response_as_a_cookie(pair: Twins, tmp_path: Path, handler: str) -> None:
    call = "self.client.get('/x', cookies={'a': self.client.get('/r').json()['v']})"
    if handler:
        call = (
            "v = self.client.get('/r').json()['v']\n"
            f"try:\n    self.client.get('/x', cookies={{'a': v}})\n{handler}"
        )
    members = ['"text"', '""', "null", '"\\"q\\\\\\"\\""', "5", "1.5", "true", "[]", "{}"]
    answers = [Answer(200, f'{{"v": {member}}}', at="/r") for member in members]
    same(pair, tmp_path, "HttpUser", call, answers, len(answers))


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\n", "a\x00", "\x7f", "€", "ok"])
def test_a_cookie_that_no_header_can_have_fails_its_request(
    pair: Twins, tmp_path: Path, value: str
) -> None:
    body = (
        "r = self.client.get('/x', cookies={'a': 'b', 'c': self.v})\n"
        "self.client.get(f'/{r.status_code}')"
    )
    ours = module_of(tmp_path, text_of("HttpUser", body), "opscore_fast", "HttpUser")
    got = pair.by_agent(ours, {"v": value}, [], 1)
    good = value == "ok"
    assert [request.target for request in got.received] == (["/x", "/200"] if good else ["/0"])
    assert got.requests["GET", "/x"] == (1, 0)
    assert [times for *_, times in got.failures] == [1] * (not good)
    assert got.raised == []


@pytest.mark.parametrize("value", ["a\nb", "€"])
def test_a_header_of_fast_users_that_no_header_can_have_fails_its_request(
    pair: Twins, tmp_path: Path, value: str
) -> None:
    text = text_of("FastHttpUser", "self.client.get('/x', headers={'X-A': self.v})")
    ours = module_of(tmp_path, text, "opscore_fast", "FastHttpUser")
    got = pair.by_agent(ours, {"v": value}, [], 1)
    assert (got.received, got.raised) == ([], [])
    assert got.requests["GET", "/x"] == (1, 0)
    assert [times for *_, times in got.failures] == [1]


def test_a_constant_cookie_with_a_line_break_fails_each_request(
    pair: Twins, tmp_path: Path
) -> None:
    body = "self.client.get('/x', cookies={'a': 'b\\nc'})"
    ours = module_of(tmp_path, text_of("HttpUser", body), "opscore_fast", "HttpUser")
    got = pair.by_agent(ours, {}, [], 3)
    assert got.received == []
    assert got.requests["GET", "/x"] == (3, 0)
    assert [times for *_, times in got.failures] == [3]


BAD_CALLS = [
    ("cookies={'a': 5}", "a number is no text"), ("cookies={'a': self.n}", "a number is no text"),
    ("cookies={'a': self.n > 5}", "is no text"), ("cookies={'a': True}", "a number is no text"),
    ("cookies={'a': b'x'}", "a bytes is no text"),
    ("cookies={'a': self.token.encode()}", "no text"),
    ("cookies={'a': {'b': 'c'}}", "a dict is no text"), ("cookies={1: 'a'}", "must be texts"),
    ("cookies={self.token: 'a'}", "key of a dict"), ("cookies={'a\\n': 'b'}", "its name"),
    ("cookies={'€': 'b'}", "its name"), ("cookies={'a': f'€{self.token}'}", "latin-1"),
    ("cookies=[('a', 'b')]", "a dict of texts"), ("cookies=self.token", "a dict of texts"),
    ("cookies=self.client.get('/r').cookies", "a dict of texts"),
    ("cookies=self.client.cookies", "cookies"),
    ("cookies=self.client.get('/r').json()", "a dict of"),
    ("cookies=self.made", "made"), ("cookies=U.of_ports", "for ports"),
    ("cookies=U.Jar()", "does not know it"), ("cookies=U.odd", "a number is no text"),
]  # fmt: skip

BAD_JARS = """
from requests.cookies import RequestsCookieJar as Jar, create_cookie
of_ports, odd = Jar(), Jar()
of_ports.set("a", "b", port="80")
odd.set_cookie(create_cookie("a", ""))
for cookie in odd:
    cookie.value = 5
del cookie
def on_start(self):
    self.made = self.Jar()
@task
def t(self):
"""


@pytest.mark.parametrize(("arguments", "why"), BAD_CALLS)
def test_cookies_of_a_request_that_are_refused(
    pair: Twins, tmp_path: Path, arguments: str, why: str
) -> None:
    body = f"{BAD_JARS}    self.client.get('/x', {arguments})"
    assert why in refused(pair, tmp_path, "HttpUser", body)


@pytest.mark.parametrize(
    "call",
    ["get('/x', cookies={'a': 'b'})", "post('/x', cookies=None)", "get('/x', cookies=self.none)"],
)
def test_fast_users_have_no_cookies_of_a_request(pair: Twins, tmp_path: Path, call: str) -> None:
    why = refused(pair, tmp_path, "FastHttpUser", f"self.client.{call}")
    assert 'headers={"Cookie":' in why
    same(pair, tmp_path, "FastHttpUser", "self.client.get('/x', cookies=None)", [])


def test_explain_shows_cookies_of_a_request(pair: Twins, tmp_path: Path) -> None:
    body = (
        "self.client.get('/x', cookies={'a': 'v' + self.token, 'b': None})\n"
        "self.client.get('/y', cookies={'c': 'd'})"
    )
    ours = module_of(tmp_path, text_of("HttpUser", body), "opscore_fast", "HttpUser")
    text = explain(record(new_user(ours, pair.server, {"token": "t"})))
    assert "GET /x with cookies a=v{self.token}; b   (" in text
    assert "GET /y with cookies c=d, always the same bytes   (" in text


def test_cookies_of_a_user_go_to_its_agent_and_come_back_as_they_were(
    pair: Twins, tmp_path: Path
) -> None:
    ours = module_of(tmp_path, text_of("HttpUser", "pass"), "opscore_fast", "HttpUser")
    user = new_user(ours, pair.server, {})
    jar = user.client.cookies
    for domain in ("", "127.0.0.1", ".x.test"):
        jar.set_cookie(create_cookie("a", None, domain=domain))
        jar.set_cookie(create_cookie("b", "", domain=domain, path="/b", secure=True))
        jar.set_cookie(create_cookie("c", "d", domain=domain, expires=2**40, discard=False))
    before, plan = describe_jar(jar), record(user)
    assert len(before) == 9
    bring_back(user, plan, End(0, 1, False, slot_values(user, plan), cookies_of(user)))
    assert describe_jar(jar) == before
