"""What a locustfile sees with our FastHttpUser is what it sees with Locust's own."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote_plus

import pytest
from helpers import Users
from parity import FAST, Scenario, Scenarios, Subject, assert_same, each_of
from parity_scenarios import COMMON

SCENARIOS = scenario = Scenarios()


# Scenarios: what is sent


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
def data_beats_json(t: Subject) -> Any:
    return [
        t.client.post("/echo", data="data", json={"a": 1}),
        t.client.post("/echo", data="", json={"a": 1}),
    ]


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


# Scenarios: responses


@scenario()
def text_in_an_unknown_charset(t: Subject) -> Any:
    response = t.client.get("/answer?body=x&type=" + quote_plus("text/plain; charset=klingon"))
    with pytest.raises(LookupError):
        _ = response.text
    response.encoding = "utf-8"
    return response


# Scenarios: redirects


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
def cookies_cleared(t: Subject) -> Any:
    t.client.get("/answer?header=Set-Cookie:a=1")
    t.client.cookiejar.clear()
    return t.client.get("/echo")


# Scenarios: catch_response


@scenario()
def block_without_catch_response(t: Subject) -> Any:
    with t.client.get("/ok", catch_response=False):
        pass


# Scenarios: connections


@scenario()
def connections_closed_by_hand(t: Subject) -> Any:
    t.client.get("/ok")
    t.client.client.clientpool.close()
    return t.client.get("/ok")


@scenario(same_texts=False, sends=False)
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


@each_of(*COMMON, *SCENARIOS)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(FAST, scenario, subject, listened)


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
