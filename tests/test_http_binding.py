"""The binding of HttpUser where it can go wrong: Python code in between, and what is taken away."""

from __future__ import annotations

import gc
import json
import sys
import weakref
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs

import gevent
import pytest
from conftest import Listen
from helpers import OURS, WAIT, make_user, refusing_port, run_script, wait_until
from locust.env import Environment
from locust.event import EventHook
from requests.exceptions import InvalidHeader
from servers import CERTIFICATES, Listener

from opscore_fast import HttpSession, _core, engines
from opscore_fast._core import Pool
from opscore_fast.cookies import RequestsCookieJar
from opscore_fast.exceptions import CertificateError

HTTP_SESSION = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, gevent
from locust.event import EventHook
from opscore_fast import HttpSession, _core, engines
from opscore_fast._core import Pool
session = HttpSession(sys.argv[1], EventHook(), None)
"""


def make_client(url: str | None) -> tuple[Any, list[dict[str, Any]]]:
    """A session of its own, and the list of the events that it fires."""
    event, seen = EventHook(), list[dict[str, Any]]()
    event.add_listener(lambda **arguments: seen.append(arguments))
    return HttpSession(url, event, None), seen


def secret(what: str) -> str:
    """A string that nothing else holds."""
    return "".join([what, "-"] * 20)


def overwrite(length: int) -> list[str]:
    """Have what was freed be some other string's memory."""
    gc.collect()
    return [chr(65 + i % 26) * length for i in range(2000)]


# Python code that runs while a request is put together or under way


def test_name_that_ends_while_a_hook_runs(app: Listener) -> None:
    client, seen = make_client(app.url)
    client.request_name = secret("renamed")

    def hook(response: Any, **_: Any) -> None:
        client.request_name = None
        client.filler = overwrite(len(secret("renamed")))

    client.get("/ok", hooks={"response": hook})
    assert [event["name"] for event in seen] == [secret("renamed")]


def test_name_that_ends_while_a_file_is_read(app: Listener, environment: Environment) -> None:
    class File:
        def read(self, size: int = -1) -> bytes:
            client.request_name = None
            client.filler = overwrite(len(secret("renamed")))
            return b"content"

    client = make_user(OURS, app.url, environment).client
    client.request_name = secret("renamed")
    client.post("/ok", files={"file": File()})
    assert [name for name, _ in environment.stats.entries] == [secret("renamed")]


def sent_header(server: Listener, name: str) -> str | None:
    found = [value for key, value in server.requests()[-1]["headers"] if key == name]
    return found[0] if found else None


@pytest.mark.parametrize("how", ["set", "deleted"])
def test_cookies_replaced_while_they_are_looked_for(how: str, app: Listener) -> None:
    class Jar(RequestsCookieJar):
        meddle = False

        def __getattribute__(self, name: str) -> Any:
            if name in ("_cookies", "version") and type(self).meddle:
                type(self).meddle = False
                if how == "set":
                    client.cookies = None
                else:
                    del client.cookies
                client.filler = overwrite(sys.getsizeof(self))
            return super().__getattribute__(name)

    client, _ = make_client(app.url)
    for _ in range(2):  # looked up, and remembered
        client.cookies = Jar()
        client.cookies.set("name", "value")
        Jar.meddle = True
        assert client.get("/ok").status_code == 200
        assert sent_header(app, "Cookie") == "name=value"
        assert client.get("/ok").status_code == 200
        assert sent_header(app, "Cookie") is None


def test_cookies_replaced_where_they_are_kept(app: Listener) -> None:
    """The jar's last reference goes while it is asked, in the function that http.cookiejar has."""

    class Jar(RequestsCookieJar):
        def add_cookie_header(self, request: Any) -> None:
            client.cookies = None
            super().add_cookie_header(request)

    client, _ = make_client(app.url)
    client.cookies = Jar()
    client.cookies.set("name", "value")
    assert client.get("/ok").status_code == 200
    client.filler = overwrite(64)
    client.cookies = RequestsCookieJar()
    client.cookies.set("other", "value")
    assert client.get("/ok").status_code == 200
    assert sent_header(app, "Cookie") == "other=value"


def test_version_of_cookies_that_is_lost(app: Listener) -> None:
    """What was remembered is forgotten by a request within the look for it."""

    class Jar(RequestsCookieJar):
        lost = False

        @property
        def version(self) -> object:
            if self.lost:
                self.lost = False
                client.cookies = RequestsCookieJar()
                client.cookies.set("other", "value")
                client.cookies.version = None
                client.get("/ok")
                raise AttributeError("version")
            return Jar

        @version.setter
        def version(self, value: object) -> None:
            pass

    client, _ = make_client(app.url)
    jar = client.cookies = Jar()
    jar.set("name", "value")
    client.get("/ok")
    jar.lost = True
    assert client.get("/ok").status_code == 200
    assert sent_header(app, "Cookie") == "name=value"


def test_credentials_replaced_while_their_encoder_is_loaded(app: Listener) -> None:
    """A module that is imported for the first time may do anything."""
    script = """
import builtins
real = builtins.__import__
def load(name, *arguments, **keywords):
    if name == "opscore_fast.bodies":
        session.auth = None
        session.filler = [(str(i) * 300, i) for i in range(2000)]
    return real(name, *arguments, **keywords)
session.auth = tuple("".join([letter * 300]) for letter in "up")
builtins.__import__ = load
print(session.get("/ok").status_code)
"""
    assert run_script(HTTP_SESSION + script, app.url) == "200\n"
    want = "Basic " + b64encode(b"u" * 300 + b":" + b"p" * 300).decode()
    assert sent_header(app, "Authorization") == want


def test_credentials_replaced_between_two_tries(hostile: Listen) -> None:
    def sign(request: Any) -> Any:
        request.headers["X-Signed"] = "yes"
        return request

    answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    server = hostile([["request"], ["wait", "go"], ["close"]], [["request"], ["send", answer]])
    client, seen = make_client(server.url)
    client.max_retries = 1
    client.auth = ("user", "password")
    waiting = gevent.spawn(client.get, "/ok")
    wait_until(lambda: server.counts()["requests"] == 1, "the first try")
    client.auth = sign
    server.open_gate("go")
    assert waiting.get(timeout=WAIT).request.headers["X-Signed"] == "yes"
    assert len(seen) == 1


def test_tls_options_replaced_while_they_are_looked_at(listen: Listen) -> None:
    class Pools:
        def under_tls(self, verify: Any, cert: Any) -> Any:
            pool = pools.under_tls(str(verify), cert)
            del verify
            client.verify = True
            client.filler = [object() for _ in range(2000)]
            return pool

    class Trusted:
        def __str__(self) -> str:
            return str(CERTIFICATES / "authority.pem")

    server = listen(certificate="localhost.pem")
    client, _ = make_client(server.url)
    pools, client.pools = client.pools, Pools()
    client.verify = Trusted()
    assert client.get("/ok").status_code == 200
    client.pools = pools
    assert isinstance(client.get("/ok").error, CertificateError)


@pytest.mark.parametrize("how", ["base", "path"])
def test_blanks_before_a_url_turn_no_verification_off(how: str, listen: Listen) -> None:
    """Requests strips them; connections for http know nothing of the authorities to trust."""
    server = listen(certificate="localhost.pem")
    base, path = (f" \t{server.url}", "/ok") if how == "base" else (None, f" \t{server.url}/ok")
    client, _ = make_client(base)
    assert isinstance(client.get(path).error, CertificateError)
    response = client.get(path, verify=str(CERTIFICATES / "authority.pem"))
    assert (response.status_code, response.error) == (200, None)


def test_base_url_changed_between_two_tries(hostile: Listen, listen: Listen) -> None:
    secure = listen(certificate="localhost.pem")
    server = hostile([["request"], ["wait", "go"], ["close"]])
    client, _ = make_client(server.url)
    client.max_retries = 1
    waiting = gevent.spawn(client.get, "/ok")
    wait_until(lambda: server.counts()["requests"] == 1, "the first try")
    client.base_url = secure.url
    server.open_gate("go")
    assert isinstance(waiting.get(timeout=WAIT).error, CertificateError)


def test_headers_replaced_while_their_type_is_loaded(app: Listener) -> None:
    script = """
import builtins
from requests.structures import CaseInsensitiveDict
real = builtins.__import__
def load(name, *arguments, **keywords):
    if name == "requests.structures":
        session.headers = None
        session.filler = [chr(65 + i % 26) * 300 for i in range(2000)]
    return real(name, *arguments, **keywords)
session.headers = {"X-One": str(1) * 300}
builtins.__import__ = load
print(session.get("/ok", headers=CaseInsensitiveDict({"X-Two": "2"})).status_code)
"""
    assert run_script(HTTP_SESSION + script, app.url) == "200\n"
    assert sent_header(app, "X-One") in ("1" * 300, None)  # as it was, or as it is
    assert sent_header(app, "X-Two") == "2"


def test_body_that_is_no_iterator_any_more(app: Listener) -> None:
    class Body:
        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            raise StopIteration

    def engine() -> Any:
        del Body.__next__
        return engines.current()

    client, _ = make_client(app.url)
    with pytest.raises(TypeError):
        client._send(
            "POST", f"{app.url}/echo", [], Body(), False, None, None, Pool(engine), None, None
        )


def test_event_replaced_by_itself(app: Listener) -> None:
    class Event:
        def __getattribute__(self, name: str) -> Any:
            client.request_event = None
            client.filler = [{"key": i} for i in range(2000)]
            raise AttributeError(name)

        def __getattr__(self, name: str) -> Any:
            return self.__class__  # of whatever is in its memory now

    client, _ = make_client(app.url)
    client.request_event = Event()
    with pytest.raises(AttributeError, match="fire"):
        client.get("/ok")


@pytest.mark.parametrize("what", ["data", "json", "params"])
def test_values_changed_while_a_long_number_is_written(what: str, app: Listener) -> None:
    """Which takes Python code since 3.12, and with it come finalizers."""

    class Late:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            if sys._getframe(1).f_code.co_filename.endswith("_pylong.py"):
                values.clear()
                client.filler = [[str(i) * 300] * 50 for i in range(100)]
            elif len(values) > 1 and gc.get_threshold()[0] == 1:
                Late()  # another time

    client, _ = make_client(app.url)
    longest, threshold = sys.get_int_max_str_digits(), gc.get_threshold()
    values: list[Any] = [10**30_000] + [f"value-{i}" * 30 for i in range(50)]
    want = list(values)
    sys.set_int_max_str_digits(0)
    gc.collect()
    try:
        Late()
        gc.set_threshold(1)
        client.post("/echo", **{what: {"values": values}})
    finally:
        gc.set_threshold(*threshold)
        try:
            sent = app.requests()[-1]
            if what == "json":
                got = json.loads(sent["body"])["values"]
            else:
                form = sent["body"] if what == "data" else sent["target"].partition("?")[2]
                got = parse_qs(form).get("values", [])
            assert [str(value) for value in got] == [str(value) for value in want[: len(got)]]
        finally:
            sys.set_int_max_str_digits(longest)


# What comes of a request


def test_kept_content_can_not_be_deleted(app: Listener) -> None:
    client, _ = make_client(app.url)
    response = client.get("/ok?size=100000")
    assert len(response.content) == 100_000
    with pytest.raises(AttributeError, match="can't be deleted"):
        del response._content
    response._content = b"other"
    assert (response.content, response.text) == (b"other", "other")
    response._content = None
    assert response.content is None


@pytest.mark.parametrize("how", ["refused", "broken"])
def test_url_of_what_failed_behind_a_redirect(how: str, hostile: Listen) -> None:
    broken = hostile([["request"], ["send", "HTTP/1.1 302 Found\r\nLocation: /\r\n"], ["close"]])
    with refusing_port() as port:
        target = f"http://127.0.0.1:{port}/a" if how == "refused" else f"{broken.url}/a"
        head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
        client, seen = make_client(hostile([["request"], ["send", head]]).url)
        response = client.get("/begin")
    assert (response.status_code, response.url) == (0, target)
    assert seen[0]["url"] == f"{client.base_url}/begin"


@pytest.mark.parametrize("size", [100, 50_000])
def test_request_that_was_never_made_shows_no_other(size: int, app: Listener) -> None:
    """Neither its head, with what is secret there, nor a body that is not there any more."""
    client, seen = make_client(app.url)
    client.post("/ok", data="b" * size, headers={"X-Key": secret("key")})
    seen.clear()
    client.filler = overwrite(size)
    lost = client.get("/ok", headers={"X": 5})
    assert isinstance(lost.error, InvalidHeader)
    del lost.request
    assert dict(lost.request.headers) == {}
    assert lost.request.body is None


def test_verdict_that_does_not_say_what_it_is(app: Listener) -> None:
    class Odd:
        @property
        def __class__(self) -> Any:
            raise ZeroDivisionError

        def __str__(self) -> str:
            return "odd"

    client, seen = make_client(app.url)
    with client.get("/ok", catch_response=True) as response, pytest.raises(ZeroDivisionError):
        response.failure(Odd())
    assert [event["exception"] for event in seen] == [None]


# Sessions that are half set up


def test_session_whose_set_up_failed_unnoticed(app: Listener) -> None:
    class Careless(HttpSession):
        def __init__(self, *arguments: Any) -> None:
            with pytest.raises(UnicodeEncodeError):
                super().__init__(*arguments)

    client = Careless("http://\ud800", EventHook(), None)
    assert client.get(f"{app.url}/ok").status_code == 200


def test_session_without_its_type_of_responses() -> None:
    session = _core.HttpSession.__new__(_core.HttpSession)
    pool = Pool(engines.current)
    with pytest.raises(TypeError, match="response_type is derived"):
        session.__init__(None, EventHook(), None, pool, int, 0, False, True)  # type: ignore[misc]
    with pytest.raises(RuntimeError, match="session is not set up"):
        session.get("http://127.0.0.1:1/")


# What is kept


@pytest.mark.parametrize(
    "name", ["_content", "encoding", "error", "headers", "history", "reason", "request", "url"]
)
def test_response_that_holds_itself(name: str, app: Listener) -> None:
    client, seen = make_client(app.url)
    response = client.get("/ok")
    seen.clear()
    setattr(response, name, [response])
    gone = weakref.ref(response)
    del response
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["auth", "base_url", "cert", "request_event", "request_name"])
def test_session_that_holds_itself(name: str, app: Listener) -> None:
    client, _ = make_client(app.url)
    setattr(client, name, [client])
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_version_of_cookies_that_holds_the_session(app: Listener) -> None:
    client, seen = make_client(app.url)
    client.cookies.set("name", "value")
    client.cookies.version = [client]
    client.get("/ok")
    seen.clear()
    client.cookies = None
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_engine_made_while_one_is_made(app: Listener) -> None:
    """As when a finalizer makes a request, the first of all but for the one that it comes upon."""
    script = """
from opscore_fast import engines
real = engines.Engine
def make(*arguments):
    engines.Engine = real
    print(session.get("/ok").status_code)
    return real(*arguments)
engines.Engine = make
print(HttpSession(sys.argv[1], EventHook(), None).get("/ok").status_code)
print(session.get("/ok").status_code)
"""
    assert run_script(HTTP_SESSION + script, app.url) == "200\n200\n200\n"
