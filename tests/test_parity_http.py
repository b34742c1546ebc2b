"""What a locustfile sees with our HttpUser is what it sees with Locust's own.

Here is what both user classes have in common, and what a session sends by way of URLs, parameters,
headers and authentication. The other themes are in files of their own, test_parity_http_*.py.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import gevent
import pytest
from helpers import wait_until
from parity import HTTP, Scenario, Scenarios, Subject, assert_same, attempt, each_of
from parity_scenarios import COMMON
from requests import exceptions
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth
from requests.structures import CaseInsensitiveDict
from urllib3 import PoolManager

SCENARIOS = scenario = Scenarios()


# Ours show the Accept-Encoding that is sent when there is none, which Locust's don't.
SHOWN_HEADERS = r"\S*\.request\.headers"


def seen(response: Any, name: str) -> Any:
    """The value of a header as the server read it, from /echo; None without it."""
    return dict(response.json()["headers"]).get(name)


# Scenarios: headers of the session


@scenario()
def headers_of_a_new_session(t: Subject) -> Any:
    headers = t.client.headers
    assert isinstance(headers, CaseInsensitiveDict)
    assert headers["user-agent"]
    t.client.get("/ok")
    return [sorted((name, value) for name, value in headers.items() if name != "User-Agent")]


@scenario(ignore=SHOWN_HEADERS)
def headers_assigned_as_a_dict(t: Subject) -> Any:
    t.client.headers = {"X-Session": "1", "accept": "text/x"}
    results = [t.client.get("/echo"), t.client.post("/echo", data={"a": 1})]
    assert [seen(r, "x-session") for r in results] == ["1", "1"]
    assert [seen(r, "accept") for r in results] == ["text/x"] * 2
    return results


@scenario(ignore=SHOWN_HEADERS)
def headers_assigned_as_an_empty_dict(t: Subject) -> Any:
    t.client.headers = {}
    return [t.client.get("/echo"), t.client.post("/echo", json={"a": 1}), t.client.head("/echo")]


@scenario(ignore=SHOWN_HEADERS)
def headers_assigned_as_none(t: Subject) -> Any:
    t.client.headers = None
    return [t.client.get("/echo"), t.client.get("/echo", headers={"X-Call": "1"})]


@scenario(ignore=SHOWN_HEADERS)
def headers_assigned_as_a_case_insensitive_dict(t: Subject) -> Any:
    t.client.headers = CaseInsensitiveDict({"X-Session": "1", "Authorization": "Bearer x"})
    t.client.headers["x-session"] = "2"
    results = [t.client.get("/echo"), t.client.headers["AUTHORIZATION"]]
    assert seen(results[0], "x-session") == "2"
    return results


@scenario(ignore=SHOWN_HEADERS)
def headers_of_an_assigned_dict_changed(t: Subject) -> Any:
    mine = {"X-Session": "1"}
    t.client.headers = mine
    first = t.client.get("/echo")
    mine["X-Session"] = "2"
    t.client.headers["X-More"] = "3"
    second = t.client.get("/echo")
    assert seen(second, "x-session") == "2"
    assert seen(second, "x-more") == "3"
    return [first, second, sorted(mine.items())]


@scenario(ignore=SHOWN_HEADERS)
def headers_changed_in_place(t: Subject) -> Any:
    headers = t.client.headers
    headers["Authorization"] = "Bearer 1"
    results = [t.client.get("/echo")]
    headers.update({"authorization": "Bearer 2", "X-One": "1"})
    results.append(t.client.get("/echo"))
    del headers["x-ONE"]
    headers.pop("Accept")
    results.append(t.client.get("/echo"))
    assert headers.get("accept") is None
    assert "AUTHORIZATION" in headers
    assert [seen(r, "authorization") for r in results] == ["Bearer 1", "Bearer 2", "Bearer 2"]
    assert [seen(r, "x-one") for r in results] == [None, "1", None]
    headers.clear()
    return [*results, t.client.get("/echo")]


@scenario()
def headers_changed_while_held(t: Subject) -> Any:
    held = t.client.headers
    t.client.get("/ok")
    held["X-Late"] = "yes"
    response = t.client.get("/echo")
    assert seen(response, "x-late") == "yes"
    assert t.client.headers is held
    return response


@scenario()
def headers_set_to_none_in_the_session(t: Subject) -> Any:
    t.client.headers.update({"Accept": None, "X-None": None, "X-Kept": "1"})
    response = t.client.get("/echo")
    assert seen(response, "x-kept") == "1"
    assert seen(response, "accept") is None
    return [response, t.client.get("/echo", headers={"Accept": "text/x"})]


@scenario()
def user_agent_set_by_hand(t: Subject) -> Any:
    t.client.headers["User-Agent"] = "mine/1.0"
    t.client.get("/ok")
    t.client.get("/ok", headers={"user-agent": "its/2.0"})
    agents = [dict(r["headers"]).get("User-Agent", "?") for r in t.app.requests()]
    assert agents[0] == "mine/1.0"
    return [sorted(v for k, v in r["headers"] if "agent" in k.lower()) for r in t.app.requests()]


@scenario(ignore=SHOWN_HEADERS)
def accept_encoding_set_by_hand(t: Subject) -> Any:
    t.client.headers["Accept-Encoding"] = "gzip"
    results = [t.client.get("/echo"), t.client.get("/echo", headers={"accept-encoding": "br"})]
    results.append(t.client.get("/echo", headers={"Accept-Encoding": None}))
    assert [seen(r, "accept-encoding") for r in results] == ["gzip", "br", "identity"]
    return results


# Scenarios: headers of a call


@scenario()
def headers_merged_without_regard_to_case(t: Subject) -> Any:
    t.client.headers.update({"X-Token": "session", "X-Kept": "session"})
    given = {"x-TOKEN": "call", "X-New": "call"}
    response = t.client.get("/echo", headers=given)
    again = t.client.get("/echo")
    assert seen(response, "x-token") == "call"
    assert seen(again, "x-token") == "session"
    assert given == {"x-TOKEN": "call", "X-New": "call"}
    return [response, again]


@scenario(ignore=SHOWN_HEADERS)
def headers_merged_with_an_assigned_dict(t: Subject) -> Any:
    t.client.headers = {"x-token": "session", "X-Kept": "session"}
    results = [t.client.get("/echo", headers={"X-Token": "call"})]
    results.append(t.client.get("/echo", headers={"X-KEPT": None}))
    assert seen(results[0], "x-token") == "call"
    assert seen(results[1], "x-kept") is None
    return results


@scenario()
def headers_removed_by_none(t: Subject) -> Any:
    t.client.headers["X-Session"] = "1"
    none = {"x-session": None, "Accept": None, "Connection": None, "X-Never": None}
    response = t.client.get("/echo", headers=none)
    assert seen(response, "x-session") is None
    assert seen(response, "accept") is None
    return [response, t.client.get("/echo")]


@scenario()
def headers_as_bytes(t: Subject) -> Any:
    headers = {"X-Value": b"bytes", b"X-Name": "text", b"X-Both": b"\xe9"}
    response = t.client.get("/echo", headers=headers)
    assert seen(response, "x-value") == "bytes"
    return response


@scenario()
def headers_as_a_case_insensitive_dict(t: Subject) -> Any:
    return t.client.get("/echo", headers=CaseInsensitiveDict({"X-One": "1", "accept": "text/x"}))


@scenario()
def headers_of_every_sort(t: Subject) -> Any:
    return [
        t.client.get("/echo", headers=headers)
        for headers in (
            {"X-Empty": "", "X-Trailing": "padded  ", "X-Inner": "a  b"},
            {"X-Latin": "é"},
            {"Host": "elsewhere.example"},
            {"Cookie": "by=hand"},
            {"Connection": "close"},
            {"connection": "keep-alive"},
            {"X_Under": "1", "x.dot": "2"},
            {},
            None,
        )
    ]


@scenario(same_texts=False, sends=False)
def headers_that_are_refused(t: Subject) -> Any:
    t.client.request_name = "refused"
    results = []
    for headers in (
        {"X-Number": 5},
        {"X-Float": 1.5},
        {"X-True": True},
        {"X-List": ["a"]},
        {"X-Injected": "a\r\nX-More: 1"},
        {"X-Injected": "a\nb"},
        {"X-Injected": b"a\r\nb"},
        {" X-Leading": "a"},
        {"X-Colon:": "a"},
        {"": "a"},
        {"X-Leading": " a"},
        {"X-Leading": "\va"},
        {"X-Leading": b"\fa"},
        {"X-Leading": "\x1ca"},
        {"X-Leading": "\xa0a"},
    ):
        response = t.client.get("/echo", headers=headers)
        assert isinstance(response.error, exceptions.InvalidHeader), headers
        with pytest.raises(exceptions.InvalidHeader):
            response.raise_for_status()
        results.append([response.status_code, response.error, response.text])
    return results


@scenario(same_texts=False, sends=False)
def headers_of_the_session_that_are_refused(t: Subject) -> Any:
    t.client.headers["X-Number"] = 5
    response = t.client.get("/echo")
    assert isinstance(response.error, exceptions.InvalidHeader)
    return [response.status_code, response.error]


@scenario(raises=ValueError)
def header_beyond_latin_1(t: Subject) -> Any:
    return t.client.get("/echo", headers={"X-Bad": "10 €"})


# Scenarios: authentication


@scenario()
def auth_of_every_sort(t: Subject) -> Any:
    kinds = [("bob", "secret"), HTTPBasicAuth("bob", "secret"), (b"bob", b"secret")]
    results = [t.client.get("/echo", auth=auth) for auth in kinds]
    assert [seen(r, "authorization") for r in results] == ["Basic Ym9iOnNlY3JldA=="] * 3
    kinds = [("", ""), ("é", "ü"), None, (), HTTPProxyAuth("bob", "secret")]
    return [*results, *[t.client.get("/echo", auth=auth) for auth in kinds]]


@scenario()
def auth_of_the_session(t: Subject) -> Any:
    t.client.auth = ("session", "1")
    results = [t.client.get("/echo"), t.client.get("/echo", auth=("call", "2"))]
    results.append(t.client.get("/echo", headers={"Authorization": "Bearer x"}))
    t.client.auth = HTTPBasicAuth("other", "3")
    results.append(t.client.post("/echo", data="x"))
    t.client.auth = None
    results.append(t.client.get("/echo"))
    given = [seen(r, "authorization") for r in results]
    assert given[0] == given[2] != given[1]
    assert given[4] is None
    return results


@scenario()
def auth_and_a_header(t: Subject) -> Any:
    t.client.headers["Authorization"] = "Bearer session"
    return [
        t.client.get("/echo"),
        t.client.get("/echo", auth=("bob", "secret")),
        t.client.get("/echo", headers={"authorization": "Bearer call"}, auth=("bob", "secret")),
        t.client.get("/echo", headers={"authorization": None}),
    ]


@scenario(host="http://bob:p%40ss@{address}")
def auth_of_the_host(t: Subject) -> Any:
    auth = t.client.auth
    assert (auth.username, auth.password) == ("bob", "p@ss")
    results = [t.client.get("/echo"), t.client.get(f"{t.other.url}/echo")]
    t.client.auth = None
    return [*results, t.client.get("/echo"), t.client.base_url]


@scenario()
def auth_of_an_absolute_url(t: Subject) -> Any:
    url = f"http://bob:p%40ss@127.0.0.1:{t.app.port}/echo"
    response = t.client.get(url)
    assert seen(response, "authorization") == "Basic Ym9iOnBAc3M="
    return [response, t.client.get(url, auth=("eve", "else")), t.client.get("/echo")]


@scenario()
def auth_by_a_function(t: Subject) -> Any:
    calls = []

    def sign(request: Any) -> Any:
        calls.append([request.method, request.url, request.path_url, request.body])
        calls.append(sorted((k, v) for k, v in request.headers.items() if k != "User-Agent"))
        request.headers["X-Signature"] = f"{request.method} {request.body!r}"
        return request

    results = [t.client.post("/echo?a=1", data={"b": 2}, auth=sign), calls]
    assert seen(results[0], "x-signature") == "POST 'b=2'"
    t.client.auth = sign
    return [*results, t.client.get("/echo", params={"c": 3}), t.client.post("/echo", json=[1])]


@scenario()
def auth_that_changes_the_request(t: Subject) -> Any:
    class Changes(AuthBase):
        def __call__(self, request: Any) -> Any:
            request.url += "?signed=1"
            request.body = b"replaced"
            request.method = "PUT"
            del request.headers["Accept"]
            return request

    response = t.client.post("/echo", data=b"original", auth=Changes())
    echo = response.json()
    assert (echo["method"], echo["target"], echo["body"]) == ("PUT", "/echo?signed=1", "replaced")
    return response


@scenario(ends=KeyError)
def auth_that_raises(t: Subject) -> Any:
    def refuse(request: Any) -> Any:
        raise KeyError("no token")

    t.client.get("/ok")
    t.client.get("/echo", auth=refuse)


SECRETS = '(cnonce|response)="[0-9a-f]+"'
ELAPSED = r"\S*\.elapsed"


@scenario(hide=SECRETS, ignore=ELAPSED)
def digest_auth(t: Subject) -> Any:
    response = t.client.get("/digest?a=1", auth=HTTPDigestAuth("bob", "secret"))
    assert (response.status_code, response.text) == (200, "welcome")
    assert [past.status_code for past in response.history] == [401]
    assert t.app.counts()["requests"] == 2
    return response


@scenario(hide=SECRETS, ignore=ELAPSED)
def digest_auth_of_the_session(t: Subject) -> Any:
    t.client.auth = HTTPDigestAuth("bob", "secret")
    results = [t.client.get("/digest"), t.client.post("/digest", data="body")]
    results.append(t.client.put("/digest", json={"a": 1}, name="put"))
    assert [r.text for r in results] == ["welcome"] * 3
    assert t.app.counts()["requests"] == 4
    return results


@scenario(hide=SECRETS, ignore=ELAPSED)
def digest_auth_that_is_refused(t: Subject) -> Any:
    response = t.client.get("/digest", auth=HTTPDigestAuth("bob", "wrong"))
    assert response.status_code == 401
    assert t.app.counts()["requests"] == 2
    return response


@scenario()
def digest_auth_that_is_not_asked_for(t: Subject) -> Any:
    return t.client.get("/echo", auth=HTTPDigestAuth("bob", "secret"))


# Scenarios: parameters


@scenario()
def params_of_the_session(t: Subject) -> Any:
    t.client.params = {"key": "k", "b": 1}
    results = [t.client.get("/echo"), t.client.get("/echo?a=1", params={"b": 2, "c": 3})]
    results.append(t.client.get("/echo", params={"key": None}))
    results.append(t.client.get("/echo", params="raw=1"))
    t.client.params["d"] = [4, 5]
    results.append(t.client.post("/echo", data="x"))
    targets = [r.json()["target"] for r in results]
    assert targets[:2] == ["/echo?key=k&b=1", "/echo?a=1&key=k&b=2&c=3"]
    assert targets[2] == "/echo?b=1"
    return results


@scenario()
def params_of_every_sort(t: Subject) -> Any:
    kinds = [
        {"a": ["x", "y"], "b": ("z",), "c": None, "d": [None, 1], "e": []},
        {b"bytes": b"v\xff", "number": 1.5, 7: True},
        [("a", "1"), ("a", "2"), ("b", ["3", "4"])],
        (("a", "1"),),
        b"raw=bytes",
        "raw text&é=ü",
        {"é": "ü", "q": "a b&c=d/e?f#g+h~"},
        {"nested": {"k": "v"}},
        {},
        "",
        [],
    ]
    return [t.client.get("/echo", params=params) for params in kinds]


@scenario()
def params_behind_a_query_and_a_fragment(t: Subject) -> Any:
    urls = ["/echo?a=1#top", "/echo?", "/echo#top", "/echo?a=1&", "/echo?a"]
    return [t.client.get(url, params={"b": 2}) for url in urls]


@scenario()
def params_with_every_method(t: Subject) -> Any:
    client = t.client
    calls = [client.post, client.put, client.patch, client.delete, client.options, client.head]
    return [call("/echo", params={"a": 1}) for call in calls]


# Scenarios: URLs and names


@scenario()
def names_by_default(t: Subject) -> Any:
    t.client.get("/ok?id=1", params={"b": "x y"})
    t.client.get(f"http://localhost:{t.app.port}/ok?absolute#top")
    t.client.get("")
    t.client.get("/a/../ok")
    t.client.get("/é")
    names = sorted(name for name, _ in t.user.environment.stats.entries)
    assert names == ["/", "/%C3%A9", "/ok", "/ok?absolute", "/ok?id=1&b=x+y"]
    return names


@scenario()
def names_of_absolute_urls(t: Subject) -> Any:
    return [
        t.client.get(f"{t.other.url}/ok", name="named"),
        t.client.get(f"{t.other.url}/ok?a=1"),
        t.client.get(f"{t.other.url}"),
        t.client.get(f"{t.other.url}?a=1"),
    ]


@scenario()
def request_name_set_and_unset(t: Subject) -> Any:
    t.client.request_name = "group"
    t.client.get("/ok?1")
    t.client.get("/ok?2", name="own")
    t.client.get("/ok?3", name="")
    t.client.request_name = None
    t.client.get("/ok?4")
    with t.client.rename_request("renamed"):
        assert t.client.request_name == "renamed"
        t.client.get("/ok?5")
    assert t.client.request_name is None
    return t.client.get("/ok?6")


@scenario()
def urls_with_dots_and_percents(t: Subject) -> Any:
    paths = [
        "/%2e%2e/echo",
        "/./echo",
        "/a/b/../../echo/.",
        "/a%2fb",
        "/%7euser",
        "/echo?q=../x/./y",
        "/echo?q=%e9%C3",
        "/..//echo",
        "/echo/%",
        "/echo/%2",
        "/a b/c",
        "/echo?a=b c+d%20e",
        "/echo?" + quote("é€"),
    ]
    return [t.client.get(path) for path in paths]


@scenario()
def urls_of_the_same_host_spelled_otherwise(t: Subject) -> Any:
    port = t.app.port
    return [
        t.client.get(url)
        for url in (
            f"HTTP://LOCALHOST:{port}/echo",
            f"http://LocalHost:{port}",
            f"http://localhost:{port}?q=1",
            f"http://localhost:{port}#top",
            f"http://127.0.0.1:{port}//echo",
            f"http://127.0.0.1:0{port}/echo",
        )
    ]


@scenario(host="http://{address}/")
def host_that_ends_in_a_slash(t: Subject) -> Any:
    return [t.client.get("/echo"), t.client.get("echo"), t.client.get(""), t.client.base_url]


@scenario(host="http://{address}/base/")
def host_with_a_path(t: Subject) -> Any:
    return [t.client.get("/echo"), t.client.get("echo?a=1"), t.client.get(t.other.url + "/ok")]


@scenario(host="http://{address}/base?key=1")
def host_with_a_query(t: Subject) -> Any:
    return [t.client.get("&a=1"), t.client.get("/echo", params={"b": 2})]


@scenario(host="  http://{address}")
def host_behind_spaces(t: Subject) -> Any:
    return t.client.get("/echo")


@scenario()
def base_url_changed(t: Subject) -> Any:
    t.client.get("/ok")
    t.client.base_url = t.other.url
    return t.client.get("/echo")


def refused_url(error: type[Exception], url: str, base: str | None = None) -> None:
    """Add a scenario of a URL that raises before anything is sent or counted."""

    def run(t: Subject) -> Any:
        client = t.client if base is None else t.session(base)
        return client.get(url)

    run.__name__ = f"{error.__name__} of {base or ''}{url}"
    scenario(raises=error)(run)


refused_url(exceptions.InvalidURL, "echo")
refused_url(exceptions.MissingSchema, "/path", base="")
refused_url(exceptions.MissingSchema, "/path", base="example.org")
refused_url(exceptions.InvalidSchema, "/path", base="ftp://127.0.0.1")
refused_url(exceptions.InvalidSchema, "/path", base="localhost:80")
refused_url(exceptions.InvalidURL, "http://")
refused_url(exceptions.InvalidURL, "http:///path")
refused_url(exceptions.InvalidURL, "http://127.0.0.1:99999/")
refused_url(exceptions.InvalidURL, "http://127.0.0.1:port/")
refused_url(exceptions.InvalidURL, "http://*.example.org/")
refused_url(exceptions.InvalidURL, "http://.example.org/")
refused_url(exceptions.InvalidURL, "http://[::1/")
refused_url(exceptions.InvalidURL, "http://" + "é" * 80 + ".example/")
refused_url(exceptions.InvalidURL, "http://ⓛocalhost/")


@scenario()
def refused_urls_leave_the_session_usable(t: Subject) -> Any:
    for url in ("echo", "http://", "http://127.0.0.1:99999/"):
        with pytest.raises(exceptions.InvalidURL):
            t.client.get(url)
        with pytest.raises(exceptions.InvalidURL):
            t.client.get(url, catch_response=True)
    return t.client.get("/ok")


# Scenarios: methods and arguments


@scenario()
def methods_of_every_case(t: Subject) -> Any:
    methods = ("get", "Post", "DELETE", "PROPFIND", "purge", "x-own")
    return [t.client.request(method, "/echo") for method in methods]


@scenario()
def arguments_by_position(t: Subject) -> Any:
    results = [
        t.client.post("/echo", "data"),
        t.client.post("/echo", None, {"json": 1}),
        t.client.put("/echo", "data"),
        t.client.patch("/echo", "data"),
        t.client.request("GET", "/echo", "a name"),
    ]
    with t.client.request("GET", "/echo", "caught", True, {"context": 1}) as response:
        response.failure("why")
    return [*results, response]


@scenario()
def arguments_that_are_none(t: Subject) -> Any:
    names = "name params data json headers cookies files auth timeout proxies hooks stream verify"
    none = dict.fromkeys([*names.split(), "cert"])
    return [t.client.get("/echo", **none), t.client.post("/echo", **none)]


@scenario(ends=TypeError, same_texts=False)
def argument_that_nobody_knows(t: Subject) -> Any:
    t.client.get("/ok")
    t.client.get("/ok", colour="blue")


@scenario(ends=TypeError, same_texts=False)
def data_of_a_get_by_position(t: Subject) -> Any:
    t.client.get("/ok")
    t.client.get("/ok", {"a": 1})


@scenario()
def head_does_not_follow_redirects(t: Subject) -> Any:
    results = [t.client.head("/redirect/1"), t.client.head("/redirect/1", allow_redirects=True)]
    assert [r.status_code for r in results] == [302, 200]
    return [*results, t.client.request("HEAD", "/redirect/1")]


# Scenarios: connections and greenlets


@scenario()
def connection_is_kept(t: Subject) -> Any:
    for i in range(20):
        t.client.get(f"/token/{i}", name="token")
    assert t.app.counts()["connections"] == 1
    return t.client.post("/echo", data="x" * 100)


@scenario()
def close_the_session(t: Subject) -> Any:
    results = [t.client.get("/ok"), t.client.close(), t.client.get("/ok"), t.client.get("/ok")]
    assert t.app.counts()["connections"] == 2
    return results


@scenario()
def session_as_a_block(t: Subject) -> Any:
    with t.session(t.app.url) as session:
        results = [session.get("/ok"), session.base_url]
    with t.client as client:
        assert client is t.client
        results.append(client.get("/ok"))
    results.append(t.client.get("/ok"))
    assert t.app.counts()["connections"] == 3
    return results


@scenario()
def sessions_are_separate(t: Subject) -> Any:
    one, two = t.session(t.app.url), t.another_user().client
    one.headers["X-One"] = "1"
    one.cookies.set("one", "1")
    one.auth = ("one", "1")
    one.params["one"] = 1
    results = [one.get("/echo"), two.get("/echo"), t.client.get("/echo")]
    assert [seen(r, "x-one") for r in results] == ["1", None, None]
    assert [seen(r, "cookie") for r in results] == ["one=1", None, None]
    assert t.app.counts()["connections"] == 3
    return results


@scenario()
def pool_manager_shared_by_users(t: Subject) -> Any:
    manager = PoolManager(num_pools=2, maxsize=4, block=True)
    users = [t.another_user(pool_manager=manager) for _ in range(3)]
    results = [user.client.get("/echo") for user in users]
    assert t.app.counts()["connections"] == 1
    return results


def tokens(t: Subject, count: int, gate: str) -> list[str]:
    """What that many greenlets of a user get at the same time."""

    def get(i: int) -> str:
        return str(t.client.get(f"/token/{i}?gate={gate}", name="token").text)

    before = t.app.counts()["requests"]
    jobs = [gevent.spawn(get, i) for i in range(count)]
    wait_until(lambda: t.app.counts()["requests"] == before + count, "all requests")
    t.app.open_gate(gate)
    return [job.get() for job in jobs]


@scenario(ordered=False)
def greenlets_of_a_user(t: Subject) -> Any:
    texts = tokens(t, 6, "first")
    assert texts == [str(i) for i in range(6)]
    assert t.app.counts()["connections"] == 6
    texts += tokens(t, 6, "second")
    assert t.app.counts()["connections"] == 6
    return None


@scenario(ordered=False)
def more_greenlets_than_connections_are_kept(t: Subject) -> Any:
    texts = tokens(t, 15, "all")
    assert texts == [str(i) for i in range(15)]
    assert t.app.counts()["connections"] == 15
    return None


@scenario()
def greenlet_killed_in_a_request(t: Subject) -> Any:
    killed = gevent.spawn(t.client.get, "/ok?delay=30")
    gevent.sleep(0.1)
    killed.kill()
    response = t.client.get("/ok")
    assert t.app.counts()["connections"] == 2
    return response


@scenario()
def gevent_timeout_in_a_request(t: Subject) -> Any:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
        t.client.get("/ok?delay=30")
    return t.client.get("/ok")


@scenario(context=lambda self: {"user": "bob", "kept": 1})
def context_of_user_and_call(t: Subject) -> Any:
    results = [t.client.get("/ok"), t.client.get("/ok", context={"user": "eve", "more": [2]})]
    with t.client.get("/ok", context={"x": 1}, catch_response=True) as response:
        response.request_meta["context"]["late"] = 1
        meta = dict(response.request_meta["context"])
    assert meta == {"user": "bob", "kept": 1, "x": 1, "late": 1}
    return results


@scenario()
def lengths(t: Subject) -> Any:
    paths = ("size=1000", "size=1000&chunked=10", "size=5000&coding=gzip", "size=0", "status=204")
    for path in paths:
        t.client.get(f"/answer?{path}")
        t.client.head(f"/answer?{path}")
    for path, name in (("size=1000", "stream"), ("size=1000&chunked=10", "chunked stream")):
        assert len(t.client.get(f"/answer?{path}", stream=True, name=name).content) == 1000
    entries = t.user.environment.stats.entries
    total = {name: entry.total_content_length for (name, method), entry in entries.items()}
    assert total["stream"] == 1000
    assert total["chunked stream"] == 0
    return None


# The tests


@each_of(*COMMON, *SCENARIOS)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(HTTP, scenario, subject, listened)


def test_attributes_of_the_session(subject: Subject) -> None:
    """What requests' session can be asked and told, ours has by the same names."""
    from helpers import ALL_HTTP_USERS, local_environment, make_user

    names = "headers auth cookies params verify cert proxies trust_env max_redirects hooks stream"
    found = []
    for users in ALL_HTTP_USERS:
        with local_environment() as environment:
            client = make_user(users, subject.app.url, environment).client
            values = {name: getattr(client, name) for name in names.split()}
            values["headers"] = sorted(set(values["headers"]) - {"User-Agent"})
            values["cookies"] = len(values["cookies"])
            found.append(values)
    assert found[0] == found[-1]
    assert found[0]["trust_env"] is False


def test_attempt_returns_the_exception() -> None:
    """On which the scenarios rely."""
    assert isinstance(attempt(int, "x"), ValueError)
    assert attempt(int, "1") == 1
