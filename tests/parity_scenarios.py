"""Scenarios that FastHttpUser and HttpUser have in common."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from locust.exception import InterruptTaskSet, ResponseError
from parity import Scenarios, Subject

COMMON = scenario = Scenarios()


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


@scenario()
def user_agent_of_ones_own(t: Subject) -> Any:
    t.client.get("/ok", headers={"user-agent": "mine/1.0"})
    [request] = t.app.requests()
    return [value for name, value in request["headers"] if name.lower() == "user-agent"]


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


# Scenarios: cookies


@scenario()
def cookies_and_a_header_by_hand(t: Subject) -> Any:
    t.client.get("/answer?header=Set-Cookie:a=1")
    return t.client.get("/echo", headers={"Cookie": "by=hand"})


@scenario()
def cookies_by_hand_along_redirects(t: Subject) -> Any:
    t.client.get("/answer?header=Set-Cookie:a=1")
    return [t.client.get("/redirect/2", headers={name: "by=hand"}) for name in ("Cookie", "cookie")]


@scenario()
def cookies_along_redirects(t: Subject) -> Any:
    location = quote_plus("Location:/echo")
    return t.client.get(f"/answer?status=302&header=Set-Cookie:a=1&header={location}")


@scenario()
def cookies_of_other_hosts_stay_there(t: Subject) -> Any:
    t.client.get(f"http://localhost:{t.app.port}/answer?header=Set-Cookie:a=1")
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


@scenario(counts=False, ends=KeyError)
def block_raises_something_else(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True):
        raise KeyError("wrong")


@scenario(ends=KeyError)
def block_raises_behind_its_verdict(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True) as response:
        response.failure("verdict")
        raise KeyError("wrong")


@scenario(counts=False, ends=InterruptTaskSet)
def block_interrupts_the_task_set(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=True):
        raise InterruptTaskSet


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
