"""What a locustfile sees with our user class is what it sees with Locust's own.

Each scenario is run with both classes against the same server. Compared are: what the scenario
returns or raises, the events with all of their arguments, the statistics, the requests as the
server read them (bodies, headers and connections included).
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import locust
import pytest
from conftest import Listen
from helpers import (
    ALL_USERS,
    Users,
    assert_times_add_up,
    local_environment,
    make_user,
    record_events,
    refusing_port,
    request_seen,
    statistics,
)
from locust.exception import InterruptTaskSet, ResponseError
from servers import Listener


@dataclass
class Subject:
    """What a scenario works with."""

    user: Any
    app: Listener
    other: Listener
    refused: str
    folder: Path

    @property
    def client(self) -> Any:
        return self.user.client


@dataclass(frozen=True)
class Scenario:
    """A piece of a locustfile, and the user class's attributes that it wants."""

    run: Callable[[Subject], Any]
    host: str = "http://{address}"
    raises: type[Exception] | None = None  # before anything is sent; the text may differ
    counts: bool = True  # whether a request is counted at all
    same_length: bool = True  # whether a body is announced in the same way
    same_texts: bool = True  # of errors
    same_urls: bool = True
    attributes: dict[str, Any] = field(default_factory=dict)


SCENARIOS: list[Scenario] = []


def scenario(**options: Any) -> Callable[[Callable[[Subject], Any]], Callable[[Subject], Any]]:
    """Add a function to the scenarios. Options are those of `Scenario`, or class attributes."""
    own = {name: options.pop(name) for name in set(options) & set(Scenario.__annotations__)}

    def add(run: Callable[[Subject], Any]) -> Callable[[Subject], Any]:
        SCENARIOS.append(Scenario(run, **own, attributes=options))
        return run

    return add


# Observing


def describe(value: Any) -> Any:
    """A value as comparable data: responses and exceptions are taken apart."""
    if isinstance(value, BaseException):
        mro = [base.__name__ for base in type(value).__mro__]
        return {"exception": mro, "str": str(value), "repr": repr(value)}
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if hasattr(value, "status_code"):
        return describe_response(value)
    return value


# Locust does not show these, as it adds them at the last moment, or shows them sometimes.
LATE_HEADERS = ("user-agent", "host", "content-length")


def describe_headers(headers: Any, without: tuple[str, ...] = ()) -> Any:
    if headers is None:
        return None
    pairs = [(name.lower(), str(value)) for name, value in headers.items()]
    return sorted(pair for pair in pairs if pair[0] not in without)


def describe_response(response: Any) -> dict[str, Any]:
    return {
        "status_code": response.status_code,
        "ok": response.ok,
        "content": response.content,
        "text": response.text,
        "encoding": response.encoding,
        "headers": describe_headers(response.headers),
        "url": response.url,
        "request": {
            "method": response.request.method,
            "url": response.request.url,
            "body": describe(response.request.body) or None,
            "headers": describe_headers(response.request.headers, LATE_HEADERS),
        },
        "error": describe(getattr(response, "error", None)),
    }


def describe_event(event: dict[str, Any], since: float) -> dict[str, Any]:
    """An event's arguments; the times are replaced by whether they can be right."""
    described: dict[str, Any] = {name: describe(value) for name, value in event.items()}
    # The time is filed with microseconds at best, so the comparison allows for one.
    described["start_time"] = since - 1e-6 <= event["start_time"] <= time.time() + 1e-6
    elapsed = (time.time() - since) * 1000 + 1
    described["response_time"] = type(event["response_time"]), 0 < event["response_time"] < elapsed
    return described


def observe(users: Users, scenario: Scenario, subject: Subject, listened: bool) -> Any:
    """Run a scenario; returns everything that is to be compared."""
    app, other = subject.app, subject.other
    app.clear()
    other.clear()
    since = time.time()
    seen: dict[str, Any] = {}
    with local_environment() as environment:
        events = record_events(environment) if listened else []
        host = scenario.host.format(address=f"127.0.0.1:{app.port}")
        subject.user = make_user(users, host, environment, **scenario.attributes)
        try:
            seen["returned"] = describe(scenario.run(subject))
        except Exception as error:
            as_wanted = scenario.raises is not None and isinstance(error, scenario.raises)
            seen["raised"] = scenario.raises if as_wanted else describe(error)
        seen["events"] = [describe_event(event, since) for event in events]
        seen["statistics"] = statistics(environment)
        for entry in (environment.stats.total, *environment.stats.entries.values()):
            assert_times_add_up(entry)
    ignore = () if scenario.same_length else ("transfer-encoding", "content-length")
    requests = [*app.requests(), *other.requests()]
    seen["requests"] = [request_seen(request, ignore) for request in requests]
    seen["connections"] = app.counts()["connections"], other.counts()["connections"]
    return seen


def check(seen: dict[str, Any], scenario: Scenario, listened: bool) -> None:
    """Fail if a scenario did not do what it is for, which no comparison would notice."""
    if scenario.raises is not None:
        assert seen.get("raised") is scenario.raises
        assert not seen["requests"]
        return
    assert seen["requests"] or not scenario.same_texts
    counted = seen["statistics"]["total"]["num_requests"]
    assert bool(counted) == scenario.counts
    if listened:
        assert len(seen["events"]) == counted


def comparable(seen: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
    """What is to be compared of an observation."""
    if scenario.same_texts and scenario.same_urls and scenario.same_length:
        return seen
    events = [(event["request_type"], event["name"]) for event in seen["events"]]
    seen = {**seen, "events": events}
    if not scenario.same_urls:
        seen["requests"] = len(seen["requests"])
    if scenario.same_texts:
        return seen
    errors = [(*error[:2], error[3]) for error in seen["statistics"]["errors"]]
    return {**seen, "statistics": {**seen["statistics"], "errors": sorted(errors)}}


def differences(theirs: Any, ours: Any, at: str = "") -> Iterator[str]:
    """What differs between two observations, and where."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in {**theirs, **ours}:
            yield from differences(theirs.get(key), ours.get(key), f"{at}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for i, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(*pair, f"{at}[{i}]")
    elif theirs != ours or type(theirs) is not type(ours):
        yield f"{at}: Locust {theirs!r}, ours {ours!r}"


# Scenarios: what is sent


@scenario()
def get(t: Subject) -> Any:
    return [t.client.get("/echo"), t.client.get("/echo")]


@scenario()
def every_method(t: Subject) -> Any:
    client = t.client
    calls = [client.get, client.options, client.delete, client.post, client.put, client.patch]
    return [*[call("/echo") for call in calls], client.head("/echo")]


@scenario()
def positional_arguments(t: Subject) -> Any:
    return [
        t.client.post("/echo", "data"),
        t.client.post("/echo", None, {"json": 1}),
        t.client.put("/echo", "data"),
        t.client.patch("/echo", "data"),
        t.client.request("GET", "/echo", "name", "data"),
    ]


@scenario()
def methods_by_name(t: Subject) -> Any:
    return [t.client.request(method, "/echo") for method in ("GET", "get", "PROPFIND", "head")]


@scenario()
def delete_and_options_with_a_body(t: Subject) -> Any:
    return [
        t.client.delete("/echo", json={"gone": True}),
        t.client.options("/echo", data="what"),
        t.client.get("/echo", data=b"why"),
    ]


@scenario()
def data_of_every_kind(t: Subject) -> Any:
    kinds = ["text", "é text", b"bytes \x00\xff", {"a": 1, "b": "x y&z", "c": "é"}, "", b"", {}]
    return [call("/echo", data=data) for data in kinds for call in (t.client.post, t.client.put)]


@scenario(same_length=False)
def data_from_files(t: Subject) -> Any:
    path = t.folder / "upload"
    path.write_bytes(b"0123456789" * 20_000)
    with path.open("rb") as file:
        response = t.client.post("/answer", data=file)
    return [response.status_code, t.client.put("/answer", data=io.BytesIO(b"in memory")).text]


@scenario(same_length=False)
def data_from_a_file_half_read(t: Subject) -> Any:
    data = io.BytesIO(b"skipped sent")
    data.seek(8)
    return t.client.post("/answer", data=data).text


@scenario()
def large_body(t: Subject) -> Any:
    return t.client.post("/answer", data=b"x" * 1_000_000).status_code


@scenario()
def json_of_every_kind(t: Subject) -> Any:
    values = [{"a": [1, 2.5, None, True]}, {"é": "ü\u2028"}, [], {}, 0, False, "", "text", None]
    return [t.client.post("/echo", json=value) for value in values]


@scenario()
def json_by_other_methods(t: Subject) -> Any:
    client = t.client
    return [call("/echo", json={"a": 1}) for call in (client.put, client.patch, client.get)]


@scenario()
def json_with_headers_of_ones_own(t: Subject) -> Any:
    headers = {"content-type": "application/merge-patch+json", "Accept": "text/plain"}
    given = dict(headers)
    response = t.client.post("/echo", json={"a": 1}, headers=headers)
    assert headers == given
    return response


@scenario()
def data_beats_json(t: Subject) -> Any:
    return [
        t.client.post("/echo", data="data", json={"a": 1}),
        t.client.post("/echo", data="", json={"a": 1}),
    ]


@scenario()
def json_that_json_refuses(t: Subject) -> Any:
    with pytest.raises(TypeError, match="not JSON serializable"):
        t.client.post("/echo", json={"a": object()})
    return t.client.get("/ok")


@scenario()
def content_type_of_ones_own(t: Subject) -> Any:
    headers = {"Content-Type": "application/x-thing"}
    kinds = ["text", "é", b"bytes", {"a": 1}]
    return [t.client.post("/echo", data=data, headers=headers) for data in kinds]


@scenario()
def params_of_every_kind(t: Subject) -> Any:
    kinds = [
        {"a": 1, "b": "x y&z/é"},
        {"a": [1, 2], "b": None, "c": ""},
        [("a", 1), ("a", 2)],
        {"a": True, "b": 1.5},
        "raw=1&x",
        {},
        None,
    ]
    results = [t.client.get("/echo", params=params) for params in kinds]
    return [*results, t.client.get("/echo?first=1", params={"then": 2})]


@scenario()
def params_with_a_body(t: Subject) -> Any:
    return t.client.post("/echo?a=1", params={"b": 2}, data={"c": 3})


@scenario()
def unknown_arguments(t: Subject) -> Any:
    return [
        t.client.get("/echo", page=3, q="x y"),
        t.client.get("/echo", params={"a": 1}, page=3),
        t.client.put("/echo", data="x", page=3),
        t.client.post("/echo", colour="blue"),
        t.client.post("/echo", data={"a": 1}, colour="blue"),
        t.client.post("/echo", data="text", colour="blue"),
    ]


@scenario()
def url_parts(t: Subject) -> Any:
    paths = [
        "",
        "/",
        "?only=query",
        "/ok?",
        "/ok#fragment",
        "/echo?a=b#fragment",
        "/echo;p=1?x=2",
        "/a/../echo",
        "/ok//twice",
    ]
    return [t.client.get(path) for path in paths]


@scenario()
def url_quoting(t: Subject) -> Any:
    paths = [
        "/echo?q=a b",
        "/é/ü?ö=ä",
        "/echo?q=%C3%A9%20%7e",
        "/%7Euser/%41",
        "/echo?q=%zz",
        "/echo?q=100%",
        '/echo?q=[1]{2}|\\^`"<>',
        "/echo?q='()*!$&+,;=:@~",
        "/echo?q=" + quote("/?#"),
    ]
    return [t.client.get(path) for path in paths]


@scenario()
def long_url_and_headers(t: Subject) -> Any:
    headers = {f"X-Long-{i}": "v" * 500 for i in range(40)}
    return t.client.get("/echo?q=" + "q" * 8000, headers=headers)


@scenario()
def absolute_urls(t: Subject) -> Any:
    return [
        t.client.get(f"{t.other.url}/echo?other=1"),
        t.client.get(f"HTTP://127.0.0.1:{t.app.port}/echo"),
        t.client.get(f"http://localhost:{t.app.port}/echo"),
        t.client.get("/echo"),
    ]


@scenario(host="http://{address}/base")
def base_url_with_a_path(t: Subject) -> Any:
    return [t.client.get("/under"), t.client.get("joined"), t.client.base_url]


@scenario(host="http://bob:p%40ss%3A@{address}")
def base_url_with_a_password(t: Subject) -> Any:
    return [
        t.client.get("/echo"),
        t.client.get("/echo", auth=("eve", "else")),
        t.client.get("/echo", headers={"Authorization": "Bearer x"}),
        t.client.base_url,
    ]


@scenario(host="http://bob@{address}")
def base_url_with_a_name_only(t: Subject) -> Any:
    return [t.client.get("/echo"), t.client.base_url]


@scenario()
def auth(t: Subject) -> Any:
    pairs = [("bob", "secret"), (b"b\xff", b"s"), ("é", "ü"), ("a:b", "")]
    return [t.client.get("/echo", auth=pair) for pair in pairs]


@scenario(default_headers={"X-Default": "one", "accept": "text/x", "Authorization": "Bearer k"})
def default_headers(t: Subject) -> Any:
    return [
        t.client.get("/echo"),
        t.client.get("/echo", headers={"x-default": "two", "X-More": "3"}),
        t.client.post("/echo", json={"a": 1}),
        t.client.get("/echo", auth=("a", "b")),
    ]


@scenario(default_headers={"Content-Type": "application/x-default"})
def default_content_type(t: Subject) -> Any:
    return [t.client.post("/echo", data="x"), t.client.post("/echo", json=[1])]


@scenario()
def headers_of_every_kind(t: Subject) -> Any:
    return [
        t.client.get("/echo", headers=headers)
        for headers in (
            {"X-Text": "value", "x-lower": "  padded  "},
            {"X-Number": 5, "X-Empty": ""},
            {"X-Latin": "é"},
            {"X-List": ["a", "b"]},
            [("X-Pair", "1"), ("X-Other", "2")],
            {"Accept-Encoding": "identity"},
            {"accept-encoding": "gzip"},
            {"Host": "elsewhere.example"},
            {"Cookie": "by=hand"},
            {"Connection": "close"},
            {},
            None,
        )
    ]


@scenario()
def user_agent_of_ones_own(t: Subject) -> Any:
    t.client.get("/ok", headers={"user-agent": "mine/1.0"})
    [request] = t.app.requests()
    return [value for name, value in request["headers"] if name.lower() == "user-agent"]


@scenario(raises=ValueError)
def control_character_in_a_header(t: Subject) -> Any:
    return t.client.get("/echo", headers={"X-Bad": "a\r\nX-Injected: 1"})


@scenario(raises=ValueError)
def control_character_in_a_header_name(t: Subject) -> Any:
    return t.client.get("/echo", headers={"X Bad": "a"})


@scenario(raises=ValueError)
def header_beyond_latin_1(t: Subject) -> Any:
    return t.client.get("/echo", headers={"X-Bad": "\u2028"})


@scenario(raises=ValueError)
def method_that_is_no_token(t: Subject) -> Any:
    return t.client.request("GE T", "/echo")


# Scenarios: names and context


@scenario()
def names(t: Subject) -> Any:
    client = t.client
    results = [client.get("/echo?id=7", name="/echo?id=[id]"), client.post("/ok", name="")]
    with client.rename_request("renamed"):
        results += [client.get("/ok"), client.get("/ok", name="named")]
        with client.rename_request("inner"):
            results.append(client.get("/ok"))
    results.append(client.get("/ok"))
    client.request_name = "set by hand"
    results.append(client.get("/ok"))
    return results


@scenario()
def name_survives_an_exception_in_rename_request(t: Subject) -> Any:
    with pytest.raises(KeyError), t.client.rename_request("renamed"):
        raise KeyError
    return t.client.get("/ok")


@scenario(context=lambda self: {"user": "bob", "kept": 1})
def context_of_user_and_request(t: Subject) -> Any:
    context = {"user": "eve", "more": [2]}
    results = [t.client.get("/ok"), t.client.get("/ok", context=context)]
    assert context == {"user": "eve", "more": [2]}
    return results


@scenario()
def context_of_request(t: Subject) -> Any:
    return t.client.get("/ok", context={"a": 1})


# Scenarios: responses


@scenario()
def statuses(t: Subject) -> Any:
    codes = (200, 201, 202, 204, 205, 206, 207, 226, 299, 300, 304, 305, 400, 401, 404, 418, 422)
    return [t.client.get(f"/status/{code}") for code in (*codes, 429, 500, 503, 599)]


@scenario()
def errors_are_counted_by_status_and_name(t: Subject) -> Any:
    for code in (500, 404, 500):
        t.client.get(f"/status/{code}", name="same")
        t.client.get(f"/status/{code}")
    return None


@scenario()
def raise_for_status(t: Subject) -> Any:
    raised = []
    for code in (200, 302, 404, 500):
        response = t.client.get(f"/status/{code}")
        try:
            raised.append(response.raise_for_status())
        except Exception as error:
            raised.append([error, error is response.error])
    return raised


@scenario()
def head_of_every_status(t: Subject) -> Any:
    return [t.client.head(f"/status/{code}") for code in (200, 204, 404)]


@scenario()
def bodies(t: Subject) -> Any:
    return [
        t.client.get(f"/answer?{query}")
        for query in (
            "size=0",
            "size=1",
            "size=100000",
            "size=100000&chunked=4096",
            "size=10&chunked=1",
            "size=0&chunked=9",
            "body=x&chunked=9&trailer=X-After:yes",
        )
    ]


@scenario()
def codings(t: Subject) -> Any:
    codes = ("gzip", "deflate", "raw", "br")
    queries = [f"coding={code}&size=20000{more}" for code in codes for more in ("", "&chunked=100")]
    return [t.client.get(f"/answer?{query}") for query in queries]


@scenario()
def coding_identity(t: Subject) -> Any:
    return t.client.get("/answer?header=Content-Encoding:identity&body=plain")


@scenario()
def coding_of_an_error(t: Subject) -> Any:
    return t.client.get("/answer?coding=gzip&status=500&body=compressed")


@scenario()
def texts(t: Subject) -> Any:
    utf8, latin = "é€".encode().hex(), "é".encode("latin-1").hex()
    return [
        t.client.get("/answer?" + urlencode({"type": content_type, "hex": body}))
        for content_type, body in (
            ("text/html; charset=utf-8", utf8),
            ("text/html; charset=latin-1", latin),
            ("text/html;charset=UTF-8;x=y", utf8),
            ('text/html; charset="utf-8"', utf8),
            ("text/plain", latin),
            ("application/json", utf8),
            ("application/octet-stream", latin),
            ("", utf8),
            ("", ""),
            ("nonsense", utf8),
            ("text/plain; charset=utf-8", "ff"),
        )
    ]


@scenario()
def text_by_an_encoding_set_by_hand(t: Subject) -> Any:
    response = t.client.get("/answer?hex=e282ac")
    response.encoding = "utf-8"
    return response.text


@scenario()
def text_in_an_unknown_charset(t: Subject) -> Any:
    response = t.client.get("/answer?body=x&type=" + quote_plus("text/plain; charset=klingon"))
    with pytest.raises(LookupError):
        _ = response.text
    response.encoding = "utf-8"
    return response


@scenario()
def response_json(t: Subject) -> Any:
    good = t.client.get("/answer?body=" + quote_plus('{"a": [1, "é"]}'))
    bad = t.client.get("/answer?body=nonsense&type=application/json")
    with pytest.raises(json.JSONDecodeError):
        bad.json()
    return [good.json(), good.json() is good.json(), t.client.post("/echo", json=[1]).json()]


@scenario()
def response_headers(t: Subject) -> Any:
    header = "header=X-One:1&header=X-Two:a&header=x-two:b&header=X-Empty:&header=X-Latin:%C3%A9"
    headers = t.client.get(f"/answer?{header}").headers
    return [
        headers["x-one"],
        headers.get("X-ONE"),
        headers.get("nothing"),
        headers.get("nothing", "default"),
        headers["X-Two"],
        headers["x-empty"],
        "X-one" in headers,
        "nothing" in headers,
        sorted(name.lower() for name in headers),
        len(headers),
        headers["Content-Type"],
    ]


@scenario()
def header_that_is_missing(t: Subject) -> Any:
    with pytest.raises(KeyError):
        _ = t.client.get("/ok").headers["nothing"]
    return None


@scenario()
def success_and_failure_without_catch_response(t: Subject) -> Any:
    response = t.client.get("/ok")
    raised = []
    for call in (response.success, lambda: response.failure("why")):
        try:
            call()
        except Exception as error:
            raised.append(error)
    return raised


# Scenarios: redirects


@scenario()
def redirects_by_status(t: Subject) -> Any:
    return [
        t.client.request(method, f"/answer?status={code}&header=Location:/echo", **body)
        for code in (301, 302, 303, 307, 308)
        for method, body in (("GET", {}), ("POST", {"data": {"a": 1}}), ("HEAD", {}))
    ]


@scenario()
def redirect_keeps_or_drops_headers(t: Subject) -> Any:
    headers = {"X-Kept": "yes", "Authorization": "Bearer x"}
    away = quote_plus(f"{t.other.url}/echo")
    return [
        t.client.post(f"/answer?status={code}&header=Location:{to}", json=[1], headers=headers)
        for code in (302, 307)
        for to in ("/echo", away)
    ]


@scenario()
def redirect_locations(t: Subject) -> Any:
    locations = [
        "echo",
        "../echo",
        "./echo",
        "?q=1",
        "/a/./b/../../echo",
        f"//127.0.0.1:{t.other.port}/echo",
        f"http://127.0.0.1:{t.other.port}",
        "/echo?q=a b",
        "/echo#fragment",
    ]
    return [
        t.client.get("/answer/x/y?status=302&header=Location:" + quote_plus(location))
        for location in locations
    ]


@scenario()
def redirect_chain(t: Subject) -> Any:
    return [t.client.get("/redirect/3"), t.client.get("/redirect/30"), t.client.get("/redirect/0")]


@scenario()
def redirect_to_an_error(t: Subject) -> Any:
    return t.client.get("/answer?status=302&header=Location:/status/404", name="named")


@scenario()
def redirect_without_a_location(t: Subject) -> Any:
    return [t.client.get("/status/302"), t.client.get("/answer?status=301&header=Location:")]


@scenario()
def redirects_not_allowed(t: Subject) -> Any:
    return [
        t.client.get("/redirect/2", allow_redirects=False),
        t.client.get("/redirect/2", allow_redirects=True),
        t.client.get("/status/404", allow_redirects=False),
        t.client.get("/redirect/1"),
    ]


@scenario(max_redirects=0)
def no_redirects_by_class(t: Subject) -> Any:
    return t.client.get("/redirect/1").status_code


# Scenarios: cookies


@scenario()
def cookies(t: Subject) -> Any:
    t.client.get("/answer?header=Set-Cookie:a=1&header=" + quote_plus("Set-Cookie:b=2; Path=/echo"))
    results = [t.client.get("/echo"), t.client.get("/ok")]
    t.client.get("/answer?header=" + quote_plus("Set-Cookie:a=; Max-Age=0"))
    results.append(t.client.get("/echo"))
    return [results, sorted((c.name, c.value, c.path) for c in t.client.cookiejar)]


@scenario()
def cookies_and_a_header_by_hand(t: Subject) -> Any:
    t.client.get("/answer?header=Set-Cookie:a=1")
    return t.client.get("/echo", headers={"Cookie": "by=hand"})


@scenario()
def cookies_along_redirects(t: Subject) -> Any:
    location = quote_plus("Location:/echo")
    return t.client.get(f"/answer?status=302&header=Set-Cookie:a=1&header={location}")


@scenario()
def cookies_of_other_hosts_stay_there(t: Subject) -> Any:
    t.client.get(f"http://localhost:{t.app.port}/answer?header=Set-Cookie:a=1")
    return t.client.get("/echo")


@scenario()
def cookies_cleared(t: Subject) -> Any:
    t.client.get("/answer?header=Set-Cookie:a=1")
    t.client.cookiejar.clear()
    return t.client.get("/echo")


@scenario()
def cookies_of_an_error(t: Subject) -> Any:
    t.client.get("/answer?status=404&header=Set-Cookie:a=1")
    return t.client.get("/echo")


# Scenarios: catch_response


@scenario()
def catch_response(t: Subject) -> Any:
    results = []
    for code in (200, 404):
        with t.client.get(f"/status/{code}", catch_response=True) as response:
            results.append(response)
        with t.client.get(f"/status/{code}", catch_response=True) as response:
            response.success()
        with t.client.get(f"/status/{code}", catch_response=True) as response:
            response.failure("said so")
        with t.client.get(f"/status/{code}", catch_response=True) as response:
            response.failure(KeyError("an exception"))
        with t.client.get(f"/status/{code}", catch_response=True) as response:
            response.failure({"not": "text"})
        with t.client.get(f"/status/{code}", catch_response=True) as response:
            response.success()
            response.failure("the last word counts")
        with t.client.get(f"/status/{code}", catch_response=True) as response:
            response.failure("changed my mind")
            response.success()
    return results


@scenario()
def catch_response_with_names_and_context(t: Subject) -> Any:
    arguments = {"name": "named", "context": {"a": 1}, "catch_response": True}
    with t.client.post("/echo", json=[1], **arguments) as response:
        return response


@scenario()
def block_raises_a_response_error(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True):
        raise ResponseError("not working")
    return None


@scenario(counts=False)
def block_raises_something_else(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True):
        raise KeyError("wrong")


@scenario()
def block_raises_behind_its_verdict(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True) as response:
        response.failure("verdict")
        raise KeyError("wrong")


@scenario(counts=False)
def block_interrupts_the_task_set(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True):
        raise InterruptTaskSet


@scenario()
def block_without_catch_response(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=False):
        pass


@scenario(counts=False)
def catch_response_without_a_block(t: Subject) -> Any:
    response = t.client.get("/ok", catch_response=True)
    raised = []
    for call in (response.success, lambda: response.failure("why")):
        try:
            call()
        except Exception as error:
            raised.append(error)
    return [response, raised]


@scenario()
def raise_for_status_within_a_block(t: Subject) -> Any:
    raised = []
    for code in (200, 404):
        for verdict in (lambda r: None, lambda r: r.success(), lambda r: r.failure("why")):
            with t.client.get(f"/status/{code}", catch_response=True) as response:
                verdict(response)
                try:
                    raised.append(response.raise_for_status())
                except Exception as error:
                    raised.append(error)
    return raised


@scenario()
def request_meta_changed_within_a_block(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True) as response:
        response.request_meta["name"] = "renamed late"
        response.request_meta["request_type"] = "FLOW"
        response.request_meta["response_length"] = 4711
        response.request_meta["context"]["added"] = True
        return sorted(response.request_meta)


@scenario()
def attributes_of_ones_own(t: Subject) -> Any:
    response = t.client.get("/ok")
    response.mine = 1
    with t.client.get("/ok", catch_response=True) as caught:
        caught.mine = 2
    return [response.mine, caught.mine]


# Scenarios: rest


@scenario()
def rest(t: Subject) -> Any:
    with t.user.rest("POST", "/echo", json={"a": 1}, headers={"X-More": "1"}) as response:
        results = [response, response.js]
    with t.user.rest("GET", "/answer?size=0") as response:
        results += [response, response.js]
    return results


@scenario()
def rest_failures(t: Subject) -> Any:
    results = []
    for path in ("/answer?body=nonsense", "/status/404", "/status/500"):
        with t.user.rest("GET", path) as response:
            results += [response, response.js]
    with t.user.rest("GET", "/echo") as response:
        assert response.js["method"] == "PUT", "wrong method"
    with t.user.rest("GET", "/answer?body=[1]") as response:
        assert response.js == [2], "wrong body,"
    with t.user.rest("GET", "/answer?body=[1]") as response:
        raise AssertionError
    with t.user.rest("GET", "/answer?body=[1]") as response:
        raise KeyError("wrong")
    with t.user.rest("GET", "/answer?body=[1]") as response:
        response.failure("said so")
    return results


@scenario(same_urls=False)
def rest_with_a_timestamp(t: Subject) -> Any:
    results = []
    for path, name in (("/echo", None), ("/echo?a=1", None), ("/echo", "named")):
        with t.user.rest_("GET", path, name=name) as response:
            timestamp = response.js["target"].rpartition("_=")[2]
            assert abs(int(timestamp) / 1000 - time.time()) < 60
            results.append(response.js["target"].replace(timestamp, "NOW"))
    return results


# Scenarios: connections


@scenario()
def connection_closed_by_the_server(t: Subject) -> Any:
    return [t.client.get(path) for path in ("/ok", "/ok?close", "/ok", "/ok")]


@scenario()
def connections_by_origin(t: Subject) -> Any:
    urls = [f"{t.other.url}/ok", "/ok", f"http://localhost:{t.app.port}/ok"] * 2
    return [t.client.get(url) for url in urls]


@scenario()
def connections_closed_by_hand(t: Subject) -> Any:
    t.client.get("/ok")
    t.client.client.clientpool.close()
    return t.client.get("/ok")


@scenario(same_texts=False)
def nothing_listens(t: Subject) -> Any:
    url = t.refused
    response = t.client.get(url, name="refused")
    assert isinstance(response.error, ConnectionRefusedError)
    with pytest.raises(ConnectionRefusedError):
        response.raise_for_status()
    with t.client.get(url, name="forgiven", catch_response=True) as caught:
        caught.success()
    with t.user.rest("GET", url, name="rest"):
        pass
    seen = [response.status_code, response.ok, response.content, response.text, response.headers]
    return [seen, response.url, response.request.url, response.request.method]


# The tests


def name_of(scenario: Scenario) -> str:
    return scenario.run.__name__


needs_todays_locust = pytest.mark.skipif(
    tuple(map(int, locust.__version__.split(".")[:2])) < (2, 47),
    reason="it is Locust 2.47 and its geventhttpclient that ours is compared with",
)


@needs_todays_locust
@pytest.mark.parametrize("listened", [True, False], ids=["listener", "counted"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_same_as_locust(scenario: Scenario, listened: bool, listen: Listen, tmp_path: Path) -> None:
    with refusing_port() as port:
        subject = Subject(None, listen(), listen(), f"http://127.0.0.1:{port}/", tmp_path)
        observations = []
        for users in ALL_USERS:
            seen = observe(users, scenario, subject, listened)
            check(seen, scenario, listened)
            observations.append(comparable(seen, scenario))
    found = list(differences(observations[0], observations[-1]))
    assert not found, "\n".join(found)


def test_attributes_of_the_user_class(users: Users) -> None:
    """A class attribute of Locust's has the same default in ours."""
    from locust import FastHttpUser

    public = {
        name: value
        for name, value in vars(FastHttpUser).items()
        if not name.startswith("_") and not callable(value)
    }
    assert {"network_timeout", "concurrency", "insecure", "abstract"} <= set(public)
    assert {name: getattr(users.user, name) for name in public} == public
