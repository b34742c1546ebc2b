"""What C encodes of an HttpUser's requests is what requests encodes: URLs, forms, cookies."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from helpers import local_environment
from locust import HttpUser as LocustHttpUser
from servers import Listener

PATHS = [
    "/ok", "/ok?a=b", "/ok?", "/ok?a=&", "/ok#frag", "/ok?a#b", "/ok/%41%2f%2F", "/ok/%7e",
    "/a/../ok",
    "/./ok", "/ok/.", "/ok?x=[1]", "/[x]", "/ok?x=%zz", "/ok%", "/ok%2", "/ok;p=1?q", "/ä", "//x",
    "/ok?a b", "/ok?a=/../b", "/ok?'\"<>\\^`{|}", "/ok?@:$!*(),~", "",
]  # fmt: skip

VALUES: list[Any] = [
    "a", "ä b", "x&y=z~", "", 1, 2.5, True, None, [1, "b", None], ("q",), [], "\x00\x7f+%", "日本",
    1e100, -3, 10**30, float("inf"), b"by", {"n": 1}, "\ud800", "-._~!*'()", [[1, 2], 3], {1},
]  # fmt: skip


def client_of(environment: Any, url: str) -> Any:
    from opscore_fast import HttpUser

    return type("Tested", (HttpUser,), {"host": url})(environment).client


def prepared(*arguments: Any, **keywords: Any) -> Any:
    """What requests makes of it, or the exception that it raises."""
    try:
        return requests.Request(*arguments, **keywords).prepare()
    except Exception as error:
        return error


def asked(function: Any, *arguments: Any, **keywords: Any) -> Any:
    try:
        return function(*arguments, **keywords)
    except Exception as error:
        return error


@pytest.mark.parametrize("path", PATHS)
def test_urls(path: str, app: Listener) -> None:
    with local_environment() as environment:
        client = client_of(environment, app.url)
        for params in [None, {}, *({"k": value} for value in VALUES), {"k y": "v", "b": [1, "ü"]}]:
            want = prepared("GET", app.url + path, params=params)
            got = asked(client.get, path, params=params)
            if isinstance(want, Exception):
                assert type(got) is type(want), params
                continue
            assert got.request_meta["url"] == got.url == want.url, params
            assert got.request_meta["name"] == want.path_url, params
            target = app.requests()[-1]["target"]
            assert target == want.path_url.encode().decode("latin-1"), params


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_forms(value: Any, app: Listener) -> None:
    with local_environment() as environment:
        client = client_of(environment, app.url)
        forms = {"k": value}, {"k y": value, "b": "c"}, {"": value}, {1: value}, [("k", value)]
        for data in forms:
            want = prepared("POST", app.url, data=data)
            got = asked(client.post, "/ok", data=data)
            if isinstance(want, Exception):
                assert type(got) is type(want), data
                continue
            body = want.body if isinstance(want.body, str) else (want.body or b"").decode()
            assert app.requests()[-1]["body"] == body, data
            assert (got.request.body or "") == body, data
            types = want.headers["Content-Type"], got.request.headers["Content-Type"]
            assert types[0] == types[1], data


class Jars:
    """Locust's client and ours, in step; what each sends is compared."""

    def __init__(self, app: Listener, environment: Any) -> None:
        theirs = type("Theirs", (LocustHttpUser,), {"host": app.url})
        self.app = app
        self.clients = theirs(environment).client, client_of(environment, app.url)

    def sent(self, path: str = "/ok", **keywords: Any) -> str | None:
        """The Cookie header that both send."""
        seen = []
        for client in self.clients:
            client.get(path, **keywords)
            headers = {n.lower(): v for n, v in self.app.requests()[-1]["headers"]}
            seen.append(headers.get("cookie"))
        assert seen[0] == seen[1]
        return seen[0]


def test_cookies_are_sent_as_they_are_now(app: Listener) -> None:
    """Whatever changes a jar is noticed, though headers are remembered."""
    with local_environment() as environment:
        jars = Jars(app, environment)
        theirs, ours = (client.cookies for client in jars.clients)
        assert jars.sent() is None
        for jar in theirs, ours:
            jar.set("a", "1")
        assert jars.sent() == jars.sent("/ok?x") == "a=1"
        for jar in theirs, ours:
            jar["b"] = "2"
        assert jars.sent() == "a=1; b=2"
        for jar in theirs, ours:
            jar.set("a", "3")
        assert jars.sent() == "a=3; b=2"
        for jar in theirs, ours:
            del jar["b"]
        assert jars.sent() == "a=3"
        for jar in theirs, ours:
            jar.update({"c": "4"})
        assert jars.sent() == "a=3; c=4"
        for jar in theirs, ours:
            jar.clear(domain="", path="/", name="a")
        assert jars.sent() == "c=4"
        assert jars.sent(headers={"Cookie": "own=1"}) == "own=1"
        assert jars.sent(cookies={"once": "5"}) in ("c=4; once=5", "once=5; c=4")
        assert jars.sent() == "c=4"
        for client in jars.clients:
            client.cookies.clear()
        assert jars.sent() is None
        for client in jars.clients:
            client.cookies = requests.cookies.cookiejar_from_dict({"new": "jar"})
        assert jars.sent() == jars.sent() == "new=jar"


def test_cookies_of_some_paths_and_for_some_time(app: Listener) -> None:
    with local_environment() as environment:
        jars = Jars(app, environment)
        soon = time.time() + 3
        for client in jars.clients:
            client.cookies.set("all", "1", path="/")
            client.cookies.set("some", "2", path="/token")
            client.cookies.set("other", "3", domain="other.invalid")
        assert jars.sent() == "all=1"
        assert jars.sent("/token/x") == "some=2; all=1"
        assert jars.sent() == "all=1"
        for client in jars.clients:
            client.cookies.clear()
            client.cookies.set("kept", "1")
            client.cookies.set("late", "2", expires=int(soon))
        assert jars.sent() == "kept=1; late=2"
        while time.time() < soon + 0.1:
            time.sleep(0.05)
        assert jars.sent() == "kept=1"


def test_cookies_of_another_host(app: Listener, listen: Any) -> None:
    other = listen()
    with local_environment() as environment:
        jars = Jars(app, environment)
        for client in jars.clients:
            client.cookies.set("a", "1", domain="127.0.0.1")
        assert jars.sent() == "a=1"
        assert jars.sent(headers={"Host": "elsewhere.invalid"}) is None
        for client in jars.clients:
            client.base_url = f"http://localhost:{other.port}"
            client.get("/ok")
        assert [n for r in other.requests() for n, _ in r["headers"] if n.lower() == "cookie"] == []
        for client in jars.clients:
            client.base_url = app.url
        assert jars.sent() == "a=1"
