"""HttpUser beside Locust's own: cookies, of the session, of a call and of a response."""

from __future__ import annotations

import copy
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import pytest
from parity import HTTP, Scenario, Scenarios, Subject, assert_same, describe_jar, each_of
from requests.cookies import (
    CookieConflictError,
    RequestsCookieJar,
    cookiejar_from_dict,
    create_cookie,
)
from requests.utils import add_dict_to_cookiejar, dict_from_cookiejar

SCENARIOS = scenario = Scenarios()


def setting(*cookies: str, **options: Any) -> str:
    """The path of an answer that sets these cookies."""
    headers = [f"header=Set-Cookie:{quote(cookie)}" for cookie in cookies]
    return "/answer?" + "&".join([*headers, *(f"{k}={v}" for k, v in options.items())])


def sent(t: Subject, path: str = "/echo", **arguments: Any) -> list[str]:
    """The cookies that a request to that path brings, as the server reads them."""
    t.client.get(path, name="/sent", **arguments)
    values = [v for k, v in t.app.requests()[-1]["headers"] if k.lower() == "cookie"]
    assert len(values) <= 1
    return values[0].split("; ") if values else []


@scenario()
def kept_and_sent_back(t: Subject) -> Any:
    response = t.client.get(setting("a=1", "b=2; Path=/; HttpOnly"))
    assert response.cookies.get_dict() == {"a": "1", "b": "2"}
    assert sorted(sent(t)) == ["a=1", "b=2"]
    assert t.client.cookies.get("a") == "1"
    return [response, t.client.get("/echo"), describe_jar(t.client.cookies)]


@scenario()
def replaced_and_deleted_by_the_server(t: Subject) -> Any:
    t.client.get(setting("a=1", "b=1", "c=1"))
    past = "Thu, 01 Jan 1970 00:00:00 GMT"
    response = t.client.get(setting("a=2", "b=; Max-Age=0", f"c=x; Expires={past}"))
    assert sent(t) == ["a=2"]
    return [response, describe_jar(t.client.cookies)]


@scenario()
def paths(t: Subject) -> Any:
    t.client.get(setting("root=1; Path=/", "echo=1; Path=/echo", "deep=1; Path=/echo/deep"))
    t.client.get("/below/here" + setting("default=1")[len("/answer") :])
    results = [
        sent(t, path)
        for path in ("/ok", "/echo", "/echo/", "/echo/deep/er", "/echoes", "/below/x", "/below")
    ]
    assert results[0] == ["root=1"]
    assert results[3] == ["deep=1", "echo=1", "root=1"]
    assert results[5] == ["default=1", "root=1"]
    return [results, describe_jar(t.client.cookies)]


@scenario()
def same_name_on_two_paths(t: Subject) -> Any:
    t.client.get(setting("a=root; Path=/", "a=echo; Path=/echo"))
    assert sent(t, "/echo") == ["a=echo", "a=root"]
    with pytest.raises(CookieConflictError):
        t.client.cookies.get("a")
    return [t.client.cookies.get("a", path="/echo"), t.client.cookies.multiple_domains()]


@scenario()
def domains(t: Subject) -> Any:
    t.client.get(setting("own=1; Domain=127.0.0.1", "other=1; Domain=example.org", "top=1"))
    results = [sent(t), describe_jar(t.client.cookies)]
    assert "other=1" not in results[0]
    assert "top=1" in results[0]
    return results


@scenario()
def hosts(t: Subject) -> Any:
    t.client.get(f"http://localhost:{t.app.port}" + setting("localhost=1"))
    t.client.get(setting("address=1"))
    assert sent(t) == ["address=1"]
    t.client.get(f"http://localhost:{t.app.port}/echo")
    t.client.get(f"{t.other.url}/echo")
    other = dict(t.other.requests()[-1]["headers"])
    assert other["Cookie"] == "address=1"
    return [sorted(t.client.cookies.list_domains()), describe_jar(t.client.cookies)]


@scenario()
def secure_ones(t: Subject) -> Any:
    t.client.verify = False
    secure = t.secure()
    t.client.get(secure.url + setting("a=1; Secure", "b=1"))
    assert sent(t) == ["b=1"]
    t.client.get(f"{secure.url}/echo")
    assert dict(secure.requests()[-1]["headers"])["Cookie"] == "a=1; b=1"
    t.client.get(setting("c=1; Secure"))
    return [sent(t), describe_jar(t.client.cookies)]


@scenario()
def lifetimes(t: Subject) -> Any:
    later = "Fri, 01 Jan 2123 00:00:00 GMT"
    t.client.get(setting("a=1; Max-Age=3600", f"b=1; Expires={later}", "c=1", "d=1; Max-Age=x"))
    results = [sent(t), describe_jar(t.client.cookies)]
    t.client.cookies.clear_session_cookies()
    assert sorted(sent(t)) == ["a=1", "b=1"]
    return results


@scenario()
def odd_values(t: Subject) -> Any:
    odd = ("a=x=y", 'b="quoted; no"', "c=", "d", "e= spaced", "f=é", "=g", "h=1, i=2", ";", "")
    results = []
    for cookie in odd:
        t.client.cookies.clear()
        response = t.client.get(setting(cookie))
        results.append([response.cookies.get_dict(), sent(t)])
    assert results[0] == [{"a": "x=y"}, ["a=x=y"]]
    return results


@scenario()
def jar_as_a_dict(t: Subject) -> Any:
    t.client.get(setting("a=1", "b=2"))
    jar = t.client.cookies
    assert isinstance(jar, RequestsCookieJar)
    results = [jar["a"], jar.get("b"), jar.get("c"), jar.get("c", "default"), "a" in jar, len(jar)]
    results += [sorted(jar.keys()), sorted(jar.values()), sorted(jar.items()), jar.get_dict()]
    assert results[:2] == ["1", "2"]
    with pytest.raises(KeyError):
        _ = jar["c"]
    jar["c"] = "3"
    del jar["a"]
    jar.update({"b": "4", "d": "5"})
    jar.set("e", None)
    assert sorted(sent(t)) == ["b=2", "b=4", "c=3", "d=5"]
    return [results, describe_jar(jar), dict_from_cookiejar(jar)]


@scenario()
def jar_set_with_domain_and_path(t: Subject) -> Any:
    jar = t.client.cookies
    jar.set("everywhere", "1")
    jar.set("here", "1", domain="127.0.0.1", path="/echo")
    jar.set("elsewhere", "1", domain="example.org")
    jar.set("secure", "1", secure=True)
    jar.set_cookie(create_cookie("made", "1", domain="127.0.0.1"))
    assert sorted(sent(t)) == ["everywhere=1", "here=1", "made=1"]
    assert sorted(sent(t, "/ok")) == ["everywhere=1", "made=1"]
    jar.set("here", None, domain="127.0.0.1", path="/echo")
    return [sent(t), jar.list_paths(), sorted(jar.list_domains()), describe_jar(jar)]


@scenario()
def jar_cleared(t: Subject) -> Any:
    t.client.get(setting("a=1", "b=2"))
    t.client.cookies.clear("127.0.0.1", "/", "a")
    assert sent(t) == ["b=2"]
    t.client.cookies.clear()
    assert sent(t) == []
    t.client.get(setting("c=3"))
    return sent(t)


@scenario()
def jar_assigned(t: Subject) -> Any:
    t.client.cookies = cookiejar_from_dict({"a": "1"})
    results = [sent(t)]
    t.client.get(setting("b=2"))
    results.append(sent(t))
    jar = CookieJar()
    t.client.cookies = jar
    t.client.get(setting("c=3"))
    results += [sent(t), describe_jar(jar)]
    assert results[:3] == [["a=1"], ["a=1", "b=2"], ["c=3"]]
    return results


@scenario()
def jar_from_a_dict(t: Subject) -> Any:
    add_dict_to_cookiejar(t.client.cookies, {"a": "1"})
    cookiejar_from_dict({"b": "2"}, cookiejar=t.client.cookies)
    assert sorted(sent(t)) == ["a=1", "b=2"]
    return describe_jar(t.client.cookies)


@scenario()
def jar_with_a_policy(t: Subject) -> Any:
    t.client.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    response = t.client.get(setting("a=1"))
    assert sent(t) == []
    return [response.cookies.get_dict(), len(t.client.cookies)]


@scenario()
def jar_copied(t: Subject) -> Any:
    t.client.get(setting("a=1"))
    copied = t.client.cookies.copy()
    t.client.cookies.clear()
    other = t.another_user().client
    other.cookies.update(copied)
    other.get("/echo")
    assert dict(t.app.requests()[-1]["headers"])["Cookie"] == "a=1"
    return [describe_jar(copied), describe_jar(copy.deepcopy(other.cookies))]


@scenario()
def jar_held_while_it_fills(t: Subject) -> Any:
    jar = t.client.cookies
    t.client.get(setting("a=1"))
    assert jar is t.client.cookies
    jar.set("b", "2")
    return [sent(t), jar.get_dict()]


@scenario()
def cookies_of_a_call(t: Subject) -> Any:
    results = [sent(t, cookies={"a": "1", "b": "x y"}), sent(t)]
    assert results == [["a=1", "b=x y"], []]
    t.client.get(setting("a=session", "c=session"))
    results += [sent(t, cookies={"a": "call"}), sent(t)]
    assert "c=session" in results[2]
    assert "a=call" in results[2]
    assert sorted(results[3]) == ["a=session", "c=session"]
    return [results, describe_jar(t.client.cookies)]


@scenario()
def cookies_of_a_call_in_a_jar(t: Subject) -> Any:
    jar = RequestsCookieJar()
    jar.set("here", "1", domain="127.0.0.1", path="/echo")
    jar.set("elsewhere", "1", domain="example.org")
    results = [sent(t, cookies=jar), sent(t, "/ok", cookies=jar), sent(t)]
    assert results == [["here=1"], [], []]
    t.client.get(setting("answered=1"), cookies=jar)
    return [results, describe_jar(jar), describe_jar(t.client.cookies)]


@scenario()
def cookies_of_a_call_in_a_plain_jar(t: Subject) -> Any:
    jar = CookieJar()
    jar.set_cookie(create_cookie("a", "1"))
    assert sent(t, cookies=jar) == ["a=1"]
    return sent(t)


@scenario()
def cookies_of_a_call_that_are_none(t: Subject) -> Any:
    t.client.get(setting("a=1"))
    return [sent(t, cookies=None), sent(t, cookies={}), sent(t, cookies=RequestsCookieJar())]


@scenario()
def cookies_of_a_call_and_a_header(t: Subject) -> Any:
    t.client.get(setting("a=1"))
    results = [sent(t, headers={"Cookie": "by=hand"}, cookies={"b": "2"})]
    results.append(sent(t, headers={"cookie": "by=hand"}))
    t.client.headers["Cookie"] = "of=session"
    results += [sent(t), sent(t, headers={"Cookie": None})]
    assert results == [["by=hand"], ["by=hand"], ["of=session"], ["a=1"]]
    return results


@scenario()
def cookies_of_a_response(t: Subject) -> Any:
    t.client.get(setting("a=1"))
    response = t.client.get(setting("b=2", "c=3; Path=/elsewhere"))
    assert response.cookies["b"] == "2"
    assert "a" not in response.cookies
    plain = t.client.get("/ok")
    assert not list(plain.cookies)
    jars = [response.cookies, plain.cookies]
    assert all(isinstance(jar, RequestsCookieJar) for jar in jars)
    return [describe_jar(jar) for jar in jars]


@scenario()
def cookies_of_a_response_changed(t: Subject) -> Any:
    response = t.client.get(setting("a=1"))
    response.cookies.clear()
    response.cookies.set("b", "2")
    assert sent(t) == ["a=1"]
    return describe_jar(response.cookies)


@scenario()
def cookies_within_a_block(t: Subject) -> Any:
    with t.client.get(setting("a=1"), catch_response=True) as response:
        if response.cookies.get("a") != "1":
            response.failure("no cookie")
        inside = sent(t)
    assert inside == ["a=1"]
    return response.cookies.get_dict()


@scenario()
def cookies_of_errors_and_heads(t: Subject) -> Any:
    t.client.get(setting("a=1", status=500))
    t.client.head(setting("b=2"))
    t.client.post(setting("c=3", status=204))
    assert t.client.get(setting("d=4"), stream=True).content == b"ok"
    assert sorted(sent(t)) == ["a=1", "b=2", "c=3", "d=4"]
    return describe_jar(t.client.cookies)


@scenario()
def cookies_along_a_redirect(t: Subject) -> Any:
    location = f"&status=302&header=Location:{quote(setting('b=2'))}"
    response = t.client.get(setting("a=1") + quote(location, safe="&=:%"))
    assert t.app.counts()["requests"] == 2
    assert dict(t.app.requests()[1]["headers"])["Cookie"] == "a=1"
    assert response.cookies.get_dict() == {"b": "2"}
    assert response.history[0].cookies.get_dict() == {"a": "1"}
    assert sorted(sent(t)) == ["a=1", "b=2"]
    return response


@scenario()
def cookies_of_a_call_along_a_redirect(t: Subject) -> Any:
    response = t.client.get("/redirect/2", cookies={"call": "1"})
    found = [dict(request["headers"]).get("Cookie") for request in t.app.requests()]
    assert found == ["call=1"] * 3
    assert sent(t) == []
    return response


@scenario()
def cookies_along_a_redirect_elsewhere(t: Subject) -> Any:
    t.client.get(setting("a=1"))
    to = quote(f"http://localhost:{t.other.port}/echo")
    response = t.client.get(f"/answer?status=302&header=Location:{to}", cookies={"b": "2"})
    headers = dict(t.other.requests()[0]["headers"])
    assert "a=1" not in headers.get("Cookie", "")
    return response


@scenario()
def cookies_and_a_header_along_a_redirect(t: Subject) -> Any:
    headers = {"Cookie": "by=hand"}
    response = t.client.get("/redirect/1", headers=headers)
    t.client.get(setting("a=1"))
    return [response, t.client.get("/redirect/1", headers=headers)]


@scenario()
def cookies_not_followed(t: Subject) -> Any:
    path = setting("a=1") + "&status=302&header=Location:/echo"
    response = t.client.get(path, allow_redirects=False)
    assert response.status_code == 302
    assert sent(t) == ["a=1"]
    return response


@scenario()
def cookies_by_a_host_of_ones_own(t: Subject) -> Any:
    headers = {"Host": "shop.example.org"}
    t.client.get(setting("a=1", "b=2; Domain=example.org"), headers=headers)
    results = [sent(t, headers=headers), sent(t)]
    return [results, describe_jar(t.client.cookies)]


@scenario()
def a_login(t: Subject) -> Any:
    t.client.post(setting("session=abc; Path=/; HttpOnly"), data={"user": "bob"}, name="login")
    for _ in range(3):
        with t.client.get("/echo", catch_response=True) as response:
            if ["cookie", "session=abc"] not in response.json()["headers"]:
                response.failure("not logged in")
    t.client.post(setting("session=; Path=/; Max-Age=0"), name="logout")
    return t.client.get("/echo")


@scenario()
def many_cookies(t: Subject) -> Any:
    t.client.get(setting(*(f"c{i}={i}" for i in range(40))))
    found = sent(t)
    assert len(found) == 40
    return found


@each_of(*SCENARIOS)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(HTTP, scenario, subject, listened)
