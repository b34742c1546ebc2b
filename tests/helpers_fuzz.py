"""Calls of sessions and responses with arguments drawn at random, valid and odd.

What they raise doesn't matter: that they crash, hang or keep something does. All of it goes to one
server on loopback. Run as ``-m helpers_fuzz URL SEED RUNS``: prints what each run leaves behind.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import copy
import gc
import io
import pickle
import random
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from typing import Any

import gevent
import requests
from locust.event import EventHook

from opscore_fast import FastHttpSession, HttpSession, engines
from opscore_fast.cookies import RequestsCookieJar

PATIENCE = 5.0
"""Seconds that one call may take: longer than any answer here does."""


TEXTS = [
    "", "a", "X-Name", "content-type", "text/plain", "é", "日本", "\ud800", "a\r\nb", "a\0b", " a",
    "a ", "a:b", "Host", "Content-Length", "Transfer-Encoding", "chunked", "1", "utf-8",
    "no-such-codec", "%zz", "gzip", "Cookie",
]  # fmt: skip

ATTRIBUTES = [
    "headers", "auth", "params", "hooks", "proxies", "cookies", "verify", "cert", "stream",
    "trust_env", "base_url", "request_event", "user", "request_name", "max_retries",
    "max_redirects", "pools", "cookiejar", "auth_header", "adapter", "no_such",
]  # fmt: skip


class Meddler:
    """Has something done whenever Python code runs that belongs to an argument."""

    def __init__(self, fuzz: Fuzz) -> None:
        self._fuzz = fuzz

    def __bool__(self) -> bool:
        self._fuzz.meddle()
        return True

    def __str__(self) -> str:
        self._fuzz.meddle()
        return "odd"

    def __iter__(self) -> Iterator[Any]:
        self._fuzz.meddle()
        return iter([("a", "b")])

    def __hash__(self) -> int:
        self._fuzz.meddle()
        return 1

    def __eq__(self, other: object) -> bool:
        self._fuzz.meddle()
        return self is other

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        self._fuzz.meddle()
        return arguments[0] if arguments else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._fuzz.meddle()
        return self._fuzz.value()

    def __del__(self) -> None:
        self._fuzz.meddle()


class Str(str):
    """A str whose methods give something else."""

    def upper(self) -> Any:
        return Str("PUT")

    def encode(self, *_: Any) -> Any:
        return b"\xff"

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 7


class Dict(dict[Any, Any]):
    """A dict whose methods give something else."""

    def items(self) -> Any:
        return [(1, 2)]

    def __iter__(self) -> Any:
        raise ZeroDivisionError


class Mine(HttpSession):
    """A session with a method of its own, by which all requests go."""

    def request(self, *arguments: Any, **keywords: Any) -> Any:
        return super().request(*arguments, **keywords)


class MineToo(HttpSession):
    """One that is not plain: requests' code makes every request."""

    def prepare_request(self, request: Any) -> Any:
        return super().prepare_request(request)


class Fuzz:
    """One run, which a seed decides."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.random = random.Random(seed)
        self.sessions: list[Any] = []
        self.responses: list[Any] = []
        self.requests = 0
        self.depth = 0
        self.over = False

    # Values

    def choose(self, *choices: Callable[[], Any]) -> Any:
        return self.random.choice(choices)()

    def text(self) -> Any:
        return self.random.choice([*TEXTS, "x" * self.random.choice([300, 5000, 70_000])])

    def value(self, depth: int = 0) -> Any:
        r = self.random
        plain: tuple[Callable[[], Any], ...] = (
            lambda: None,
            lambda: r.choice([True, False]),
            lambda: r.choice([0, 1, -1, 2**31, 2**63, -(2**63), 10**30]),
            lambda: r.choice([0.0, 0.01, 1.5, -1.0, 1e300, float("inf"), float("nan")]),
            self.text,
            lambda: self.text().encode("utf-8", "surrogatepass"),
            lambda: bytearray(b"abc"),
            lambda: memoryview(b"abc"),
            lambda: Str(self.text()),
            lambda: Meddler(self),
            object,
            lambda: Meddler,
            lambda: io.BytesIO(b"content" * r.choice([1, 100_000])),
            lambda: iter([b"a", b"bc"]),
        )
        if depth > 2 or r.random() < 0.6:
            return self.choose(*plain)
        values = [self.value(depth + 1) for _ in range(r.choice([0, 1, 2, 2, 5]))]
        return self.choose(
            lambda: values,
            lambda: tuple(values),
            lambda: self.mapping(dict, depth),
            lambda: self.mapping(Dict, depth),
            lambda: self.mapping(OrderedDict, depth),
            lambda: self.mapping(requests.structures.CaseInsensitiveDict, depth),
            lambda: [(self.text(), self.value(depth + 1)) for _ in range(2)],
        )

    def mapping(self, kind: Any, depth: int = 0) -> Any:
        made = kind()
        for _ in range(self.random.choice([1, 2, 3, 10])):
            name = self.text() if self.random.random() < 0.9 else self.value(3)
            try:
                made[name] = self.value(depth + 1) if self.random.random() < 0.5 else self.text()
            except Exception:
                continue
        return made

    def headers(self) -> Any:
        kinds = [dict, Dict, requests.structures.CaseInsensitiveDict]
        return self.choose(
            lambda: self.mapping(self.random.choice(kinds)),
            lambda: {f"X-{i}": "v" * i for i in range(self.random.choice([3, 127, 200]))},
            lambda: {"X-One": "1", "X-Two": b"2"},
            self.value,
        )

    def path(self) -> Any:
        r = self.random
        usual = ["/ok", "/echo", "/status/404", "/status/204", "/redirect/3", "/token/a", "/ok?a=b"]
        usual += ["/ok?size=100000", "/ok?size=400000&chunked=999", "/ok?coding=gzip&size=1000"]
        usual += ["/ok?header=Set-Cookie:a%3Db", "/ok?delay=0.05", "/ok?close=1", "/redirect/40"]
        usual += ["/ok?status=302&header=Location:/echo", "/ok?status=307&header=Location:x"]
        odd = ["", "ok", "//", "http:", "ftp://127.0.0.1/", "/ok#a", "/ok?", "/a b", "/é", "/../x"]
        odd += [self.url + "/ok", f" {self.url}/ok", "http://127.0.0.1:1/", "https://127.0.0.1:1/"]
        odd += ["http://[::1]:1/", "http://u:p@127.0.0.1:1/", "http://127.0.0.1:99999/"]
        return self.choose(
            lambda: r.choice(usual),
            lambda: r.choice(usual),
            lambda: r.choice(odd),
            lambda: self.value(3) if r.random() < 0.2 else Str("/ok"),
        )

    def pieces(self) -> Iterator[Any]:
        for _ in range(self.random.choice([0, 1, 3])):
            yield self.random.choice([b"x" * 1000, "text", b"", 5, bytearray(3), b"y" * 300_000])
            self.meddle()

    def auth(self) -> Any:
        return self.choose(lambda: ("user", "pass"), lambda: Meddler(self), self.value)

    def keywords(self) -> dict[str, Any]:
        odd: dict[str, Callable[[], Any]] = {
            "name": self.value,
            "data": lambda: self.choose(self.value, self.pieces, lambda: self.mapping(dict)),
            "json": self.value,
            "params": lambda: self.choose(self.value, lambda: self.mapping(dict)),
            "headers": self.headers,
            "auth": self.auth,
            "catch_response": lambda: self.random.choice([True, False, None]),
            "context": lambda: self.choose(dict, self.value),
            "stream": lambda: self.random.choice([True, False, None]),
            "timeout": lambda: self.choose(lambda: 1, lambda: (1, 0.5), self.value),
            "files": lambda: self.choose(lambda: {"f": io.BytesIO(b"x")}, self.value),
            "cookies": lambda: self.choose(lambda: {"a": "b"}, RequestsCookieJar, self.value),
            "hooks": lambda: self.choose(lambda: {"response": Meddler(self)}, self.value),
            "proxies": lambda: self.choose(dict, self.value),
            "verify": self.value,
            "cert": self.value,
            "allow_redirects": lambda: self.random.choice([True, False, None]),
            "max_redirects": self.value,
            "max_retries": self.value,
            "no_such": self.value,
        }
        chosen = self.random.sample(sorted(odd), self.random.choice([0, 1, 1, 2, 3, 6]))
        return {name: odd[name]() for name in chosen}

    # What is done

    def session(self) -> Any:
        if not self.sessions or self.random.random() < 0.1:
            kind = self.random.choice([HttpSession, HttpSession, FastHttpSession, Mine, MineToo])
            event = EventHook()
            event.add_listener(lambda **_: None)
            made = kind(self.url, event, None)
            made.max_retries = self.random.choice([0, 0, 1])
            made._by_libcurl = self.random.random() < 0.15
            self.sessions.append(made)
            del self.sessions[:-4]
        return self.random.choice(self.sessions)

    def set_attribute(self) -> None:
        session = self.session()
        name = self.random.choice(ATTRIBUTES)
        usual: dict[str, Callable[[], Any]] = {
            "headers": self.headers,
            "auth": self.auth,
            "cookies": lambda: self.choose(RequestsCookieJar, CookieJar),
            "base_url": lambda: self.random.choice([self.url, self.url + "/", None, ""]),
            "request_event": EventHook,
            "trust_env": lambda: False,
        }
        if self.random.random() < 0.1:
            delattr(session, name)
        elif name in usual and self.random.random() < 0.8:
            setattr(session, name, usual[name]())
        else:
            setattr(session, name, self.value())

    def request(self) -> None:
        session, r = self.session(), self.random
        methods = ["get", "post", "put", "patch", "delete", "head", "options"]
        self.requests += 1
        if r.random() < 0.8:
            function = getattr(session, r.choice(methods))
            response = function(self.path(), **self.keywords())
        else:
            method = self.choose(lambda: r.choice(methods), lambda: "GET", self.value)
            response = session.request(method, self.path(), **self.keywords())
        self.responses.append(response)
        del self.responses[:-6]

    def look(self) -> None:
        """Do something with a response."""
        if not self.responses:
            return
        response, r = self.random.choice(self.responses), self.random
        names = [name for name in dir(response) if not name.startswith("__")]
        name = r.choice(names)
        what = r.random()
        if what < 0.5:
            value = getattr(response, name)
            if callable(value) and name != "_lose":
                value(*[self.value() for _ in range(r.choice([0, 0, 1]))])
        elif what < 0.7:
            setattr(response, name, self.value())
        elif what < 0.75:
            delattr(response, name)
        elif what < 0.8:
            copy.copy(response)
        elif what < 0.85:
            pickle.loads(pickle.dumps(response))
        elif what < 0.95:
            with response:
                self.choose(response.success, lambda: response.failure(self.value()))
        else:
            for _ in response.iter_content(r.choice([1000, None, -1])):
                pass

    def meddle(self) -> None:
        """Something small, in the middle of something else."""
        if self.depth > 2 or self.over:
            return
        self.depth += 1
        try:
            self.choose(
                lambda: None,
                lambda: None,
                self.set_attribute,
                lambda: self.responses.clear(),
                lambda: self.session().close(),
                self.request,
                self.look,
            )
        except Exception:
            pass
        finally:
            self.depth -= 1

    def work(self, steps: int) -> None:
        """Some steps one after another, each stopped if it takes too long."""
        for _ in range(steps):
            try:
                with gevent.Timeout(PATIENCE):
                    self.choose(self.request, self.request, self.look, self.set_attribute)
            except (Exception, gevent.Timeout):
                pass
            if self.random.random() < 0.02:
                self.sessions.clear()

    def run(self, rounds: int, steps: int = 8) -> None:
        """Rounds of greenlets side by side, some of which are killed."""
        for _ in range(rounds):
            greenlets = [gevent.spawn(self.work, steps) for _ in range(4)]
            gevent.sleep(self.random.choice([0, 0.01, 0.05]))
            if self.random.random() < 0.5:
                self.random.choice(greenlets).kill()
            gevent.joinall(greenlets)
            if self.random.random() < 0.3:
                gc.collect()
        self.over = True  # else finalizers would make more garbage
        self.sessions.clear()
        self.responses.clear()


def main(url: str, seed: int, runs: int) -> None:
    warnings.simplefilter("ignore")
    for number in range(runs):
        fuzz = Fuzz(url, seed + number)
        fuzz.run(rounds=6)
        made = fuzz.requests
        del fuzz
        for _ in range(20):  # finalizers make garbage of their own
            gc.collect()
            gevent.sleep(0)
            totals = engines.current().totals()
            if not totals["exchanges"]:
                break
        print(seed + number, made > 0, totals["exchanges"], totals["waiting"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
