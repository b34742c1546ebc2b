"""HttpUser beside Locust's own: responses, streams, hooks, and requests prepared by hand."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from parity import (
    HTTP,
    Scenario,
    Scenarios,
    Subject,
    assert_same,
    attempt,
    describe_jar,
    each_of,
)
from requests import exceptions
from requests.structures import CaseInsensitiveDict

SCENARIOS = scenario = Scenarios()


def answer(**options: Any) -> str:
    return "/answer?" + urlencode(options)


# Scenarios: attributes


@scenario()
def attributes(t: Subject) -> Any:
    response = t.client.get("/ok")
    assert (response.status_code, response.reason, response.ok) == (200, "OK", True)
    assert isinstance(response.elapsed, timedelta)
    assert 0 < response.elapsed.total_seconds() < 60
    assert isinstance(response.headers, CaseInsensitiveDict)
    assert response.url == f"{t.app.url}/ok"
    assert response.history == []
    assert response.next is None
    return [repr(response), str(response), type(response).__name__, response]


@scenario()
def is_a_response_of_requests(t: Subject) -> Any:
    response = t.client.get("/ok")
    with t.client.get("/ok", catch_response=True) as caught:
        pass
    return [isinstance(r, requests.Response) for r in (response, caught)]


@scenario()
def truth_and_ok(t: Subject) -> Any:
    responses = [t.client.get(f"/status/{code}") for code in (200, 302, 399, 400, 404, 500, 600)]
    truths = [(bool(r), r.ok) for r in responses]
    assert truths == [(True, True)] * 3 + [(False, False)] * 3 + [(True, True)]
    return [*truths, *responses]


@scenario()
def ok_by_verdict(t: Subject) -> Any:
    found = []
    for code in (200, 404):
        for verdict in ("success", "failure", None):
            with t.client.get(f"/status/{code}", catch_response=True) as response:
                if verdict:
                    getattr(response, verdict)(*(["why"] if verdict == "failure" else []))
                found.append([attempt(getattr, response, "ok"), attempt(bool, response)])
    return found


@scenario()
def reasons(t: Subject) -> Any:
    results = [
        t.client.get(answer(reason=reason, status=404))
        for reason in ("Not Here", "", "Ça va", "two  spaces", "x" * 200)
    ]
    assert results[0].reason == "Not Here"
    errors = [attempt(r.raise_for_status) for r in results]
    assert str(errors[0]).startswith("404 Client Error: Not Here for url: ")
    return [*results, *errors]


@scenario()
def reason_that_is_missing(t: Subject) -> Any:
    return t.client.get(t.raw("HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno"))


@scenario()
def old_versions(t: Subject) -> Any:
    return t.client.get(t.raw("HTTP/1.0 200 Fine\r\nX-Old: yes\r\n\r\nuntil the end"))


@scenario()
def raise_for_status(t: Subject) -> Any:
    raised = []
    for code in (200, 302, 400, 404, 499, 500, 503, 599, 600):
        response = t.client.get(f"/status/{code}?x=y")
        error = attempt(response.raise_for_status)
        if 400 <= code < 600:
            assert isinstance(error, exceptions.HTTPError)
            assert error.response is response
            assert error.request is response.request
        raised.append(error)
    return raised


@scenario()
def raise_for_status_with_a_name(t: Subject) -> Any:
    response = t.client.get("/status/404?id=1", name="/status/404?id=[id]")
    with t.client.get("/status/500?id=1", name="named", catch_response=True) as caught:
        inside = attempt(caught.raise_for_status)
    errors = [attempt(response.raise_for_status), inside, attempt(caught.raise_for_status)]
    failed = sorted(str(e.error) for e in t.user.environment.stats.errors.values())
    assert "404 Client Error: Not Found for url: /status/404?id=[id]" in failed[0]
    return [errors, failed]


@scenario()
def headers(t: Subject) -> Any:
    lines = ["X-One: 1", "X-Two: a", "x-two: b", "X-Empty:", "X-Latin: \xe9", "X-Pad:  p"]
    head = "\r\n".join(["HTTP/1.1 200 OK", *lines, "Content-Length: 2"])
    found = t.client.get(t.raw(f"{head}\r\n\r\nok")).headers
    assert found["x-TWO"] == "a, b"
    with pytest.raises(KeyError):
        _ = found["nothing"]
    return [
        list(found.items()),
        found.get("X-ONE"),
        found.get("nothing", "default"),
        "x-one" in found,
        len(found),
        list(found),
        dict(found.lower_items()),
        found == {"x-one": "1"},
    ]


@scenario()
def headers_changed(t: Subject) -> Any:
    response = t.client.get("/ok")
    response.headers["X-Mine"] = "1"
    del response.headers["content-TYPE"]
    return [sorted(response.headers.items()), copy.copy(response.headers)["x-mine"]]


@scenario()
def links(t: Subject) -> Any:
    header = '</2>; rel="next"; title=two, <http://x/9>; rel=last, </3>'
    response = t.client.get(answer(header=f"Link:{header}"))
    assert response.links["next"]["url"] == "/2"
    return [response.links, t.client.get("/ok").links]


@scenario()
def request_of_a_response(t: Subject) -> Any:
    responses = [
        t.client.get("/ok?a=1#top", params={"b": "é"}),
        t.client.post("/echo", json={"a": 1}, headers={"X-Mine": "1"}, cookies={"c": "1"}),
        t.client.put("/echo", data={"a": 1}, auth=("bob", "secret")),
    ]
    request = responses[1].request
    assert isinstance(request, requests.PreparedRequest)
    assert isinstance(request.headers, CaseInsensitiveDict)
    assert (request.method, request.path_url, request.body) == ("POST", "/echo", b'{"a": 1}')
    assert request.headers["x-mine"] == "1"
    assert request.headers["COOKIE"] == "c=1"
    shown = [[r.request.url, r.request.path_url, repr(r.request)] for r in responses]
    assert shown[0][1] == "/ok?a=1&b=%C3%A9"
    return [shown, [sorted(r.request.hooks) for r in responses], responses]


@scenario()
def request_copied_and_sent(t: Subject) -> Any:
    request = t.client.post("/echo", data="x", headers={"X-Mine": "1"}).request.copy()
    request.headers["X-More"] = "2"
    response = t.client.send(request)
    echoed = dict(response.json()["headers"])
    assert (echoed["x-mine"], echoed["x-more"]) == ("1", "2")
    return [response.status_code, sorted(echoed.items()), response.json()["body"]]


@scenario()
def attributes_of_ones_own(t: Subject) -> Any:
    response = t.client.get("/ok")
    response.mine = 1
    response.url = "changed"
    response.status_code = 418
    response.reason = "Teapot"
    return [response.mine, response.url, response.ok, attempt(response.raise_for_status)]


@scenario()
def content_set_by_hand(t: Subject) -> Any:
    response = t.client.get("/ok")
    response._content = b'{"set": 1}'
    return [response.content, response.text, response.json()]


@scenario()
def pickled(t: Subject) -> Any:
    response = t.client.get(answer(body="{}", header="Set-Cookie:a=1"))
    copied = pickle.loads(pickle.dumps(response))
    assert copied.content == b"{}"
    shown = [copied.status_code, copied.url, copied.reason, copied.json(), copied.encoding]
    return [shown, sorted(copied.headers.items()), describe_jar(copied.cookies), repr(copied)]


# Scenarios: text and JSON


@scenario()
def texts_by_charset(t: Subject) -> Any:
    utf8, latin = "é€".encode().hex(), "é".encode("latin-1").hex()
    return [
        t.client.get(answer(type=content_type, hex=body))
        for content_type, body in (
            ("text/html; charset=utf-8", utf8),
            ("text/html; charset=UTF8", utf8),
            ("text/html; charset=latin-1", latin),
            ('text/html; charset="utf-8"', utf8),
            ("text/html; charset='utf-8'", utf8),
            ("text/html; x=y; charset=utf-16", "é".encode("utf-16").hex()),
            ("text/html", latin),
            ("text/plain", utf8),
            ("application/json", utf8),
            ("application/json; charset=latin-1", latin),
            ("application/octet-stream", latin),
            ("image/png", "89504e47"),
            ("", utf8),
            ("", ""),
            ("nonsense", utf8),
            ("text/plain; charset=utf-8", "ff41"),
            ("text/plain; charset=klingon", utf8),
            ("text/plain; charset=", utf8),
            ("TEXT/PLAIN; CHARSET=UTF-8", utf8),
            ("text/plain; charset=utf-8-sig", "efbbbf41"),
        )
    ]


@scenario()
def apparent_encoding(t: Subject) -> Any:
    bodies = ["ascii", "é€ä" * 20, "Привет, мир! " * 20]
    codes = ["utf-8", "utf-16", "cp1251"]
    found = [
        t.client.get(answer(type="x/y", hex=body.encode(code, "ignore").hex())).apparent_encoding
        for body, code in zip(bodies, codes, strict=True)
    ]
    assert found[0] == "ascii"
    return [*found, t.client.get(answer(size=0)).apparent_encoding]


@scenario()
def encoding_set_by_hand(t: Subject) -> Any:
    response = t.client.get(answer(hex="e282ac", type="text/plain"))
    first = response.text
    response.encoding = "utf-8"
    assert response.text == "€"
    response.encoding = "klingon"
    odd = response.text
    response.encoding = None
    return [first, odd, response.text, response.encoding]


@scenario()
def json_of_a_response(t: Subject) -> Any:
    response = t.client.get(answer(body='{"a": [1, "é"], "n": 1.5}', type="application/json"))
    assert response.json() == {"a": [1, "é"], "n": 1.5}
    assert response.json() is not response.json()
    return [
        response.json(),
        response.json(parse_float=str),
        t.client.post("/echo", json=[1]).json(),
    ]


@scenario()
def json_in_every_encoding(t: Subject) -> Any:
    codes = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be")
    found = []
    for code in codes:
        body = '["é€"]'.encode(code).hex()
        response = t.client.get(answer(hex=body, type="application/json"))
        found.append(attempt(response.json))
    latin = answer(hex='["é"]'.encode("latin-1").hex(), type="application/json; charset=latin-1")
    found.append(t.client.get(latin).json())
    assert found[0] == ["é€"]
    assert found[-1] == ["é"]
    return found


@scenario()
def json_that_is_none(t: Subject) -> Any:
    raised = []
    for body in ("nonsense", "", "{", '{"a": }', "[1] 2", "\ufeff"):
        for content_type in ("application/json", "text/plain; charset=utf-8"):
            response = t.client.get(answer(body=body, type=content_type))
            error = attempt(response.json)
            assert isinstance(error, exceptions.JSONDecodeError)
            assert isinstance(error, json.JSONDecodeError)
            assert isinstance(error, ValueError)
            raised.append([error, error.msg, error.doc, error.pos])
    return raised


# Scenarios: content


@scenario()
def codings_and_their_failures(t: Subject) -> Any:
    found = []
    for coding in ("gzip", "deflate", "raw", "br"):
        response = t.client.get(answer(coding=coding, size=50_000))
        assert len(response.content) == 50_000
        found.append(response.headers["content-encoding"])
    return found


@scenario()
def codings_in_a_row(t: Subject) -> Any:
    return t.client.get(answer(coding="gzip", size=1000, chunked=7))


@scenario(same_texts=False)
def content_that_does_not_decode(t: Subject) -> Any:
    results = []
    for coding in ("gzip", "deflate", "br"):
        response = t.client.get(answer(body="nonsense", header=f"Content-Encoding:{coding}"))
        assert isinstance(response.error, exceptions.ContentDecodingError)
        with pytest.raises(exceptions.ContentDecodingError):
            response.raise_for_status()
        results.append([response.status_code, response.error])
    return [*results, t.client.get("/ok").text]


@scenario()
def content_of_unknown_coding(t: Subject) -> Any:
    return t.client.get(answer(body="as it came", header="Content-Encoding:rot13"))


@scenario()
def no_content(t: Subject) -> Any:
    responses = [t.client.get(f"/status/{code}") for code in (204, 304)]
    responses += [t.client.head("/ok"), t.client.get(answer(size=0)), t.client.head("/status/404")]
    assert [r.content for r in responses] == [b""] * 5
    return [*responses, *[attempt(r.json) for r in responses]]


@scenario()
def iterated(t: Subject) -> Any:
    response = t.client.get(answer(size=300))
    pieces = list(response)
    assert [len(piece) for piece in pieces] == [128, 128, 44]
    assert b"".join(pieces) == response.content
    again = list(response.iter_content(200))
    whole = [list(response.iter_content(None)), list(response.iter_content())[:3]]
    return [again, whole, attempt(response.iter_content, "many"), response.close()]


@scenario()
def lines(t: Subject) -> Any:
    response = t.client.get(answer(body="one\ntwo\r\n\nlast", type="text/plain; charset=utf-8"))
    return [
        list(response.iter_lines()),
        list(response.iter_lines(decode_unicode=True)),
        list(response.iter_lines(chunk_size=2)),
        list(response.iter_lines(delimiter=b"o")),
        list(response.iter_content(4, decode_unicode=True)),
    ]


# Scenarios: streams


@scenario()
def stream_read_by_content(t: Subject) -> Any:
    response = t.client.get(answer(size=100_000), stream=True)
    assert len(response.content) == 100_000
    assert response.content is response.content
    t.client.get("/ok")
    assert t.app.counts()["connections"] == 1
    return response


@scenario()
def stream_in_pieces(t: Subject) -> Any:
    found = []
    for query in ({"size": 10_000}, {"size": 10_000, "chunked": 300}, {"size": 0}):
        for chunk_size in (1000, 4096, 100_000):
            response = t.client.get(answer(**query), stream=True, name="stream")
            pieces = list(response.iter_content(chunk_size))
            found.append([len(b"".join(pieces)), query.get("chunked") or list(map(len, pieces))])
    assert t.app.counts()["connections"] == 1
    return found


@scenario()
def stream_in_lines(t: Subject) -> Any:
    body = "\n".join(f"line {i} é" for i in range(500))
    found = []
    for more in ({}, {"chunked": 7}, {"coding": "gzip"}):
        path = answer(body=body, type="text/plain; charset=utf-8", **more)
        response = t.client.get(path, stream=True, name="lines")
        found.append(list(response.iter_lines(decode_unicode=True)))
    assert found[0] == body.split("\n")
    return found


@scenario()
def stream_decoded(t: Subject) -> Any:
    found = []
    for coding in ("gzip", "deflate", "br"):
        response = t.client.get(answer(size=50_000, coding=coding), stream=True, name="stream")
        found.append(len(b"".join(response.iter_content(1024))))
    assert found == [50_000] * 3
    return found


@scenario()
def stream_raw(t: Subject) -> Any:
    response = t.client.get(answer(size=1000), stream=True)
    found = [response.raw.read(10), response.raw.read(10), len(response.raw.read())]
    assert found == [b"abcdefghij", b"klmnopqrst", 980]
    found += [response.raw.read(), response.raw.status, response.raw.reason]
    found.append(response.raw.headers["Content-Length"])
    gzipped = t.client.get(answer(body="plain", coding="gzip"), stream=True)
    assert gzipped.raw.read(2) == b"\x1f\x8b"
    gzipped.raw.read()
    gzipped = t.client.get(answer(body="plain", coding="gzip"), stream=True)
    assert gzipped.raw.read(decode_content=True) == b"plain"
    return found


@scenario()
def stream_read_twice(t: Subject) -> Any:
    response = t.client.get(answer(size=100), stream=True)
    first = b"".join(response.iter_content(30))
    raised = [attempt(lambda: list(response.iter_content(30)))]
    raised += [attempt(lambda: response.content), attempt(lambda: response.text)]
    assert len(first) == 100
    assert isinstance(raised[0], exceptions.StreamConsumedError)
    assert isinstance(raised[1], RuntimeError)
    return raised


@scenario()
def stream_closed(t: Subject) -> Any:
    response = t.client.get(answer(size=3_000_000), stream=True)
    first = next(response.iter_content(1000))
    response.close()
    assert len(first) == 1000
    t.client.get("/ok")
    assert t.app.counts()["connections"] == 2
    return None


@scenario()
def stream_as_a_block(t: Subject) -> Any:
    with t.client.get(answer(size=100), stream=True, catch_response=True) as response:
        if len(response.content) != 100:
            response.failure("too short")
        length = response.request_meta["response_length"]
    assert length == 100
    with t.client.get(answer(size=100, chunked=10), stream=True, catch_response=True) as response:
        response.request_meta["response_length"] = len(response.content)
    return response


@scenario()
def stream_of_the_session(t: Subject) -> Any:
    t.client.stream = True
    response = t.client.get(answer(size=1000))
    content = response.content
    t.client.stream = False
    return [content, t.client.get("/ok")]


@scenario()
def stream_of_an_error(t: Subject) -> Any:
    response = t.client.get("/status/404?size=10", stream=True)
    assert not response.ok
    return response


@scenario()
def streams_side_by_side(t: Subject) -> Any:
    size = 4_000_000
    streams = [t.client.get(answer(size=size), stream=True, name="stream") for _ in range(3)]
    found = [r.raw.read(5) for r in streams] + [len(r.raw.read()) for r in streams]
    assert found[3:] == [size - 5] * 3
    assert t.app.counts()["connections"] == 3
    t.client.get("/ok")
    assert t.app.counts()["connections"] == 3
    return found


# Scenarios: hooks


@scenario()
def hook_of_a_call(t: Subject) -> Any:
    seen: list[Any] = []

    def hook(response: Any, **keywords: Any) -> None:
        seen.append([response.status_code, response.url, response.text, sorted(keywords)])

    t.client.get("/ok", hooks={"response": hook})
    t.client.get("/ok", hooks={"response": [hook, hook]})
    t.client.get("/ok")
    assert len(seen) == 3
    assert "timeout" in seen[0][3]
    return seen


@scenario()
def hook_of_the_session(t: Subject) -> Any:
    seen: list[Any] = []

    def hook(response: Any, *_: Any, **__: Any) -> None:
        seen.append(response.status_code)

    t.client.hooks["response"].append(hook)
    t.client.get("/ok")
    t.client.get("/status/404")
    t.client.get("/ok", hooks={"response": lambda r, *a, **k: seen.append("call")})
    t.client.hooks = {"response": [hook]}
    t.client.get("/ok")
    assert seen == [200, 404, "call", 200]
    return seen


@scenario()
def hook_that_replaces_the_response(t: Subject) -> Any:
    def hook(response: Any, **_: Any) -> Any:
        replaced = requests.Response()
        replaced.status_code = 503
        replaced.reason = "Replaced"
        replaced.url = response.url
        replaced.request = response.request
        replaced._content = b"replaced"
        replaced.raw = response.raw
        return replaced

    response = t.client.get("/ok", hooks={"response": hook}, name="replaced")
    assert (response.status_code, response.text) == (503, "replaced")
    return [response.status_code, response.text, response.reason]


@scenario()
def hook_that_changes_the_response(t: Subject) -> Any:
    def hook(response: Any, **_: Any) -> None:
        response.encoding = "utf-8"
        response.mine = response.text

    response = t.client.get(answer(hex="e282ac"), hooks={"response": hook})
    assert response.mine == "€"
    with t.client.get("/ok", hooks={"response": hook}, catch_response=True) as caught:
        if caught.mine != "ok":
            caught.failure("not hooked")
    return [response.text, caught.mine]


@scenario()
def hook_along_a_redirect(t: Subject) -> Any:
    seen: list[Any] = []
    hooks = {"response": lambda r, **_: seen.append([r.status_code, r.request.path_url])}
    response = t.client.get("/redirect/2", hooks=hooks)
    assert [status for status, _ in seen] == [302, 302, 200]
    return [seen, response]


@scenario(ends=KeyError)
def hook_that_raises(t: Subject) -> Any:
    def hook(response: Any, **_: Any) -> None:
        raise KeyError("in a hook")

    t.client.get("/ok")
    t.client.get("/ok", hooks={"response": hook})


@scenario(same_texts=False)
def hook_that_raises_for_status(t: Subject) -> Any:
    def hook(response: Any, **_: Any) -> None:
        response.raise_for_status()

    t.client.hooks["response"].append(hook)
    good, bad = t.client.get("/ok"), t.client.get("/status/500", name="bad")
    assert isinstance(bad.error, exceptions.HTTPError)
    return [good.status_code, bad.status_code, bad.error]


@scenario(raises=ValueError)
def hook_of_an_unknown_event(t: Subject) -> Any:
    return t.client.get("/ok", hooks={"request": print})


# Scenarios: prepared requests


def prepared(t: Subject, **changes: Any) -> Callable[[], Any]:
    def send() -> Any:
        request = requests.Request("POST", f"{t.app.url}/echo", **changes)
        t.client.explicit_name = None
        return t.client.send(t.client.prepare_request(request))

    return send


@scenario(counts=False)
def prepared_and_sent(t: Subject) -> Any:
    t.client.headers["X-Session"] = "1"
    t.client.cookies.set("a", "1")
    responses = [
        prepared(t, json={"a": 1})(),
        prepared(t, data={"a": 1}, params={"b": 2}, headers={"X-Call": "1"})(),
        prepared(t, auth=("bob", "secret"))(),
    ]
    assert [r.status_code for r in responses] == [200] * 3
    assert dict(responses[0].json()["headers"])["x-session"] == "1"
    assert responses[1].json()["target"] == "/echo?b=2"
    return [[r.json(), r.reason, r.url, r.text] for r in responses]


@scenario(counts=False)
def prepared_by_itself(t: Subject) -> Any:
    t.client.headers["X-Session"] = "1"
    request = requests.Request("PUT", f"{t.app.url}/echo", data="x", headers={"X-Own": "1"})
    response = t.client.send(request.prepare())
    headers = dict(response.json()["headers"])
    assert "x-session" not in headers
    assert headers["x-own"] == "1"
    return [response.status_code, response.json()]


@scenario(counts=False)
def prepared_and_changed(t: Subject) -> Any:
    t.client.explicit_name = None
    request = t.client.prepare_request(requests.Request("GET", f"{t.app.url}/echo"))
    request.headers["X-Late"] = "1"
    request.method = "DELETE"
    request.url += "?late=1"
    request.body = b"late"
    request.headers["Content-Length"] = "4"
    response = t.client.send(request, timeout=5, allow_redirects=False)
    echo = response.json()
    assert (echo["method"], echo["target"], echo["body"]) == ("DELETE", "/echo?late=1", "late")
    return echo


@scenario(counts=False)
def prepared_and_redirected(t: Subject) -> Any:
    t.client.explicit_name = None
    request = t.client.prepare_request(requests.Request("GET", f"{t.app.url}/redirect/2"))
    response = t.client.send(request)
    assert [past.status_code for past in response.history] == [302, 302]
    response = t.client.send(request, allow_redirects=False)
    return [response.status_code, response.next.url]


@scenario(raises=ValueError, counts=False)
def unprepared_and_sent(t: Subject) -> Any:
    return t.client.send(requests.Request("GET", f"{t.app.url}/ok"))


# Scenarios: blocks and verdicts


@scenario(ends=requests.exceptions.HTTPError)
def block_that_raises_for_status(t: Subject) -> Any:
    t.client.get("/ok")
    with t.client.get("/status/404", catch_response=True) as response:
        response.raise_for_status()


@scenario()
def block_that_asserts(t: Subject) -> Any:
    with pytest.raises(AssertionError), t.client.get("/ok", catch_response=True):
        raise AssertionError("wrong")
    return t.client.get("/ok", name="after")


@scenario()
def block_without_catch_response(t: Subject) -> Any:
    raised = []
    for arguments in ({}, {"catch_response": False}):
        try:
            with t.client.get("/ok", **arguments):
                raised.append("entered")
        except Exception as error:
            raised.append(error)
    return raised


@scenario()
def verdict_behind_the_block(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True) as response:
        pass
    response.failure("too late")
    return attempt(response.raise_for_status)


@scenario()
def verdict_with_an_exception_of_requests(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True) as response:
        response.failure(exceptions.ReadTimeout("by hand"))
        raised = attempt(response.raise_for_status)
    assert isinstance(raised, exceptions.ReadTimeout)
    return raised


@scenario()
def block_entered_twice(t: Subject) -> Any:
    response = t.client.get("/ok", catch_response=True)
    for _ in range(2):
        with response:
            response.success()
    return response.request_meta["name"]


@scenario()
def request_meta(t: Subject) -> Any:
    with t.client.post("/echo?a=1", data="x", name="n", catch_response=True) as response:
        meta = dict(response.request_meta)
        assert meta.pop("response") is response
        assert 0 < meta.pop("response_time") < 60_000
        assert meta.pop("start_time") > 1e9
    return meta


@scenario()
def request_meta_without_a_block(t: Subject) -> Any:
    response = t.client.get("/ok")
    return sorted(response.request_meta)


@scenario()
def rest_of_every_method(t: Subject) -> Any:
    found = []
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        body = {"json": {"a": 1}} if method != "GET" else {}
        with t.user.rest(method, "/echo", **body) as response:
            assert response.js["method"] == method
            found.append(response.js)
    return found


@scenario()
def rest_with_headers(t: Subject) -> Any:
    found = []
    t.client.headers["Authorization"] = "Bearer x"
    for headers in (None, {"accept": "text/x"}, {"content-type": "a/b"}, {"X-Mine": "1"}):
        with t.user.rest("POST", "/echo", headers=headers, json=[1]) as response:
            found.append(response.js["headers"])
    return found


@scenario()
def rest_type(t: Subject) -> Any:
    with t.user.rest("GET", "/echo") as response:
        pass
    return [type(response).__name__, response.js["target"]]


@scenario()
def rest_with_name_and_context(t: Subject) -> Any:
    with t.user.rest("GET", "/echo", name="named", context={"a": 1}, params={"b": 2}) as response:
        return response.js["target"]


@each_of(*SCENARIOS)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(HTTP, scenario, subject, listened)
