"""HttpUser beside Locust's own: redirects, and what they leave in a response."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote

import pytest
from parity import HTTP, Scenario, Scenarios, Subject, assert_same, each_of
from requests import exceptions
from requests.auth import HTTPBasicAuth

SCENARIOS = scenario = Scenarios()


# A request that fails behind a redirect is reported with its own URL, not with the one of the step.
REPORTED = r"\.events\[\d+\]\.url"


def to(location: str, status: int = 302, **options: Any) -> str:
    """The path of an answer that redirects to that location."""
    more = "".join(f"&{name}={quote(str(value))}" for name, value in options.items())
    return f"/answer?status={status}&header=Location:{quote(location)}{more}"


def steps(t: Subject) -> list[tuple[str, str, str]]:
    """Method, path and body of the requests so far."""
    requests = [request for listener in t.servers() for request in listener.requests()]
    return [(r["method"], r["target"].partition("?")[0], r["body"]) for r in requests]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@scenario()
def methods_by_status(t: Subject) -> Any:
    results = [
        t.client.request(method, to("/echo", status), name=f"{method} {status}")
        for status in (301, 302, 303, 307, 308)
        for method in METHODS
    ]
    followed = [method for method, path, _ in steps(t) if path == "/echo"]
    kept = list(METHODS)
    assert followed[:7] == ["GET", "HEAD", "GET", "PUT", "PATCH", "DELETE", "OPTIONS"]
    assert followed[7:14] == ["GET", "HEAD", *["GET"] * 5]
    assert followed[21:28] == kept
    return results


@scenario()
def bodies_by_status(t: Subject) -> Any:
    bodies: list[dict[str, Any]] = [{"data": {"a": 1}}, {"json": [1]}, {"data": b"raw"}]
    results = [
        t.client.request(method, to("/echo", status), **body)
        for status in (301, 302, 303, 307, 308)
        for method in ("POST", "PUT")
        for body in bodies
    ]
    assert ("POST", "/echo", "raw") in steps(t)
    assert ("GET", "/echo", "") in steps(t)
    return results


@scenario()
def other_statuses_are_not_followed(t: Subject) -> Any:
    results = [t.client.get(to("/echo", status)) for status in (300, 304, 305, 306, 200, 201, 404)]
    assert all(path == "/answer" for _, path, _ in steps(t))
    return results


@scenario()
def history(t: Subject) -> Any:
    response = t.client.get("/redirect/3", params={"a": 1})
    assert [past.status_code for past in response.history] == [302, 302, 302]
    paths = [past.request.path_url for past in response.history]
    assert paths == ["/redirect/3?a=1", "/redirect/2", "/redirect/1"]
    assert response.request.path_url == "/redirect/0"
    assert response.history[0].content == b"moved"
    nested = [[earlier.url for earlier in past.history] for past in response.history]
    return [response, nested, t.client.get("/ok").history]


@scenario()
def history_with_names(t: Subject) -> Any:
    t.client.get("/redirect/2")
    t.client.get("/redirect/1", name="named")
    t.client.get(to(f"{t.other.url}/echo"), params={"x": 1})
    with t.client.get("/redirect/1", catch_response=True) as response:
        response.failure(f"came by {len(response.history)}")
    names = sorted(name for name, _ in t.user.environment.stats.entries)
    assert "/redirect/2" in names
    assert "/redirect/0" not in names
    return names


@scenario()
def history_is_of_responses(t: Subject) -> Any:
    past = t.client.get("/redirect/1").history[0]
    assert past.headers["location"] == "/redirect/0"
    assert past.is_redirect
    assert past.ok
    assert past.elapsed.total_seconds() > 0
    return [past.text, past.reason, past.encoding, past.raise_for_status(), repr(past)]


@scenario()
def not_followed(t: Subject) -> Any:
    response = t.client.get("/redirect/1", allow_redirects=False)
    assert response.is_redirect
    assert not response.is_permanent_redirect
    assert response.next.url == f"{t.app.url}/redirect/0"
    permanent = t.client.post(to("/echo?a=1", 308), data="x", allow_redirects=False)
    assert permanent.is_permanent_redirect
    following = [permanent.next.method, permanent.next.url, permanent.next.body]
    assert following == ["POST", f"{t.app.url}/echo?a=1", "x"]
    plain = [t.client.get("/ok"), t.client.get("/ok", allow_redirects=False)]
    assert [r.next for r in plain] == [None, None]
    return [response, permanent, plain, response.next.path_url, sorted(response.next.headers)]


@scenario()
def next_of_each_status(t: Subject) -> Any:
    found = []
    for status in (301, 302, 303, 307, 308, 304):
        response = t.client.post(to("/echo", status), data={"a": 1}, allow_redirects=False)
        following = response.next
        found.append(following and [following.method, following.url, following.body])
    assert found[0][0] == "GET"
    assert found[3] == ["POST", f"{t.app.url}/echo", "a=1"]
    assert found[5] is None
    return found


@scenario()
def locations(t: Subject) -> Any:
    places = [
        "echo",
        "./echo",
        "../../echo",
        "/echo?q=a b",
        "?q=1",
        "/echo#top",
        "/echo?%41=%7e%2f%zz",
        "//127.0.0.1:{port}/echo",
        "http://127.0.0.1:{port}",
        "HTTP://LOCALHOST:{port}/echo",
        "http://user:pw@127.0.0.1:{port}/echo",
        "/a/./b/../../echo",
        "/echo?x=[1]|{2}",
    ]
    return [
        t.client.get(f"/answer/x/y?status=302&header=Location:{quote(place)}", name=place)
        for place in (
            place.format(port=t.other.port) if "{port}" in place else place for place in places
        )
    ]


@scenario()
def location_in_utf_8(t: Subject) -> Any:
    place = "/€".encode().decode("latin-1")
    answer = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
    end = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    port = t.hostile([["request"], ["send", answer], ["request"], ["send", end]])
    response = t.client.get(port.url)
    assert response.url == f"{port.url}/%E2%82%AC"
    return response


@scenario(ends=UnicodeDecodeError, counts=False)
def location_in_latin_1(t: Subject) -> Any:
    answer = "HTTP/1.1 302 Found\r\nLocation: /\xe9\r\nContent-Length: 0\r\n\r\n"
    return t.client.get(t.raw(answer))


@scenario()
def fragments_are_handed_on(t: Subject) -> Any:
    results = [
        t.client.get(to("/echo") + "#top"),
        t.client.get(to("/echo#other") + "#top"),
        t.client.get("/redirect/2#top"),
    ]
    assert results[0].url.endswith("/echo#top")
    return results


@scenario()
def without_a_location(t: Subject) -> Any:
    results = [t.client.get("/status/302"), t.client.post("/status/307", data="x")]
    results.append(t.client.get(to("", 301)))
    assert not results[0].is_redirect
    return results


@scenario()
def to_an_error(t: Subject) -> Any:
    return [t.client.get(to("/status/404")), t.client.get(to("/status/500"), name="named")]


@scenario()
def headers_kept_and_dropped(t: Subject) -> Any:
    headers = {
        "X-Kept": "yes",
        "Content-Type": "text/x",
        "Content-Language": "de",
        "Transfer-Encoding": None,
    }
    results = [
        t.client.post(to("/echo", status), data="body", headers=headers)
        for status in (301, 302, 303, 307)
    ]
    echoed = [dict(r.json()["headers"]) for r in results]
    assert [e.get("content-type") for e in echoed] == [None, None, None, "text/x"]
    assert all(e["x-kept"] == "yes" for e in echoed)
    return results


@scenario()
def host_header_along_a_redirect(t: Subject) -> Any:
    headers = {"Host": "elsewhere.example"}
    return [
        t.client.get("/redirect/1", headers=headers),
        t.client.get(to("/echo"), headers=headers),
    ]


@scenario()
def auth_along_redirects(t: Subject) -> Any:
    targets = [
        "/echo",
        f"http://127.0.0.1:{t.app.port}/echo",
        f"{t.other.url}/echo",
        f"http://localhost:{t.app.port}/echo",
    ]
    results = [t.client.get(to(target), auth=("bob", "secret")) for target in targets]
    results += [t.client.get(to(target), headers={"Authorization": "x"}) for target in targets]
    t.client.auth = HTTPBasicAuth("session", "1")
    results += [t.client.get(to(target)) for target in targets]
    t.client.auth = None
    t.client.headers["Authorization"] = "Bearer session"
    results += [t.client.get(to(target)) for target in targets]
    brought = ["authorization" in dict(r.json()["headers"]) for r in results]
    assert brought == [True, True, False, False] * 4
    return results


@scenario()
def auth_is_not_back_after_a_detour(t: Subject) -> Any:
    back = f"{t.app.url}/echo"
    away = t.other.url + to(back)
    response = t.client.get(to(away), auth=("bob", "secret"))
    assert "authorization" not in dict(response.json()["headers"])
    return response


@scenario()
def to_another_server_and_back(t: Subject) -> Any:
    response = t.client.get(to(t.other.url + to(f"{t.app.url}/echo")))
    assert len(response.history) == 2
    assert t.app.counts()["connections"] == t.other.counts()["connections"] == 1
    return response


@scenario()
def from_http_to_https(t: Subject) -> Any:
    t.client.verify = False
    response = t.client.get(to(f"{t.secure().url}/echo"), headers={"Authorization": "x"})
    assert response.url.startswith("https:")
    assert "authorization" not in dict(response.json()["headers"])
    return response


@scenario(hide="[0-9a-f]{32}")
def files_are_sent_again(t: Subject) -> Any:
    data = io.BytesIO(b"skipped sent")
    data.seek(8)
    response = t.client.post(to("/answer", 307), data=data)
    assert [body for *_, body in steps(t)] == ["sent", "sent"]
    t.client.put(to("/answer", 308), files={"f": ("f.txt", b"content")}, name="files")
    assert all("content" in body for *_, body in steps(t)[2:])
    return response.text


@scenario(same_texts=False)
def generators_are_not_sent_again(t: Subject) -> Any:
    response = t.client.post(to("/answer", 307), data=iter([b"once"]), name="generator")
    return [response.status_code, response.error, steps(t)[0]]


@scenario()
def generators_become_a_get(t: Subject) -> Any:
    response = t.client.post(to("/echo", 303), data=iter([b"once"]))
    assert steps(t) == [("POST", "/answer", "once"), ("GET", "/echo", "")]
    return response.text


@scenario()
def bodies_are_read_before_the_next(t: Subject) -> Any:
    response = t.client.get(to("/echo", size=300_000))
    assert len(response.history[0].content) == 300_000
    response = t.client.get(to("/echo", size=5000, chunked=100))
    assert len(response.history[0].content) == 5000
    assert t.app.counts()["connections"] == 1
    return response


@scenario()
def closed_at_each_step(t: Subject) -> Any:
    response = t.client.get(to(to("/echo", close="") + "&close", close=""))
    assert t.app.counts()["connections"] == 3
    return response


@scenario(same_texts=False, ignore=REPORTED)
def too_many(t: Subject) -> Any:
    response = t.client.get("/redirect/31", name="31")
    assert isinstance(response.error, exceptions.TooManyRedirects)
    with pytest.raises(exceptions.TooManyRedirects):
        response.raise_for_status()
    with t.client.get("/redirect/40", name="40", catch_response=True) as caught:
        status = caught.status_code
    assert t.client.get("/redirect/30").status_code == 200
    t.client.max_redirects = 1
    assert isinstance(t.client.get("/redirect/2", name="2").error, exceptions.TooManyRedirects)
    assert t.client.get("/redirect/1").status_code == 200
    return [response.status_code, status, response.error, t.app.counts()["requests"]]


@scenario(same_texts=False)
def none_allowed(t: Subject) -> Any:
    t.client.max_redirects = 0
    response = t.client.get("/redirect/1", name="1")
    assert isinstance(response.error, exceptions.TooManyRedirects)
    return [t.client.get("/ok").status_code, response.status_code, t.app.counts()["requests"]]


@scenario(same_texts=False, ignore=REPORTED)
def request_of_too_many(t: Subject) -> Any:
    t.client.max_redirects = 2
    response = t.client.get("/redirect/5", name="loop")
    error = response.error
    return [error, error.response.status_code, error.response.url, error.request.url]


@scenario(ends=exceptions.InvalidSchema)
def to_another_scheme(t: Subject) -> Any:
    t.client.get("/ok")
    t.client.get(to("ftp://127.0.0.1/file"))


@scenario(same_texts=False, ignore=REPORTED)
def to_nobody(t: Subject) -> Any:
    response = t.client.get(to(t.refused), name="to nobody")
    assert isinstance(response.error, exceptions.ConnectionError)
    return [response.status_code, response.error, response.request.url]


@scenario()
def stream_along_a_redirect(t: Subject) -> Any:
    location = "/answer?size=5000"
    with t.client.get(to(location), stream=True, catch_response=True) as response:
        data = b"".join(response.iter_content(1000))
    assert len(data) == 5000
    assert t.app.counts()["connections"] == 1
    return response.history[0].content


@each_of(*SCENARIOS)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(HTTP, scenario, subject, listened)
