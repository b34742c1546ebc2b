"""The differences from Locust's classes that docs/compatibility.md has: each is still there.

Both classes are asked; a difference that is gone belongs out of the list.
"""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gevent
import pytest
import requests
from gevent.monkey import get_original
from gevent.pool import Pool
from helpers import (
    ALL_HTTP_USERS,
    ALL_USERS,
    OURS_HTTP,
    Users,
    local_environment,
    make_user,
    record_events,
    wait_until,
)
from locust.env import Environment
from locust.exception import LocustError
from parity import Subject, attempt, needs_todays_locust
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from servers import Listener

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "compatibility.md"
README = ROOT / "README.md"


def side_by_side(test: Callable[..., None]) -> Callable[..., None]:
    """Skip a test where there is not one of each to compare."""
    both = pytest.mark.skipif(len(ALL_HTTP_USERS) < 2, reason="only one of the two is tested")
    return needs_todays_locust(both(test))


def with_each(
    subject: Subject,
    run: Callable[[Subject, list[dict[str, Any]]], Any],
    implementations: tuple[Users, ...] = ALL_HTTP_USERS,
) -> list[Any]:
    """What Locust's HttpUser and ours make of something; the events are recorded."""
    results = []
    for users in implementations:
        subject.clear()
        with local_environment() as environment:
            events = record_events(environment)
            subject.users = users
            subject.user = make_user(users, subject.app.url, environment)
            results.append(run(subject, events))
    return results


# What is sent


@side_by_side
def test_user_agent(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> str:
        t.client.get("/ok")
        return str(dict(t.app.requests()[0]["headers"])["User-Agent"])

    theirs, ours = with_each(subject, run)
    assert theirs.startswith("python-requests/")
    assert ours.startswith("opscore-fast/")


@side_by_side
def test_form_without_a_value(subject: Subject) -> None:
    """A body of no bytes, with a Content-Type: Locust announces chunks."""

    def run(t: Subject, _: Any) -> tuple[bool, bool, str]:
        t.client.post("/ok", data={"a": None})
        [request] = t.app.requests()
        names = {name.lower() for name, _ in request["headers"]}
        return "transfer-encoding" in names, "content-length" in names, request["body"]

    assert with_each(subject, run) == [(True, False, ""), (False, True, "")]


@side_by_side
def test_header_names_are_tokens(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> Any:
        response = attempt(t.client.get, "/ok", headers={"X Bad": "1"}, name="bad")
        return response, t.app.counts()["requests"]

    (theirs, sent), (ours, unsent) = with_each(subject, run)
    assert (theirs.status_code, sent, unsent) == (200, 1, 0)
    assert isinstance(ours, ValueError), repr(ours)


@side_by_side
def test_accept_encoding_is_shown(subject: Subject) -> None:
    """http.client adds it behind requests' back, ours is in the request as it was sent."""

    def run(t: Subject, _: Any) -> tuple[bool, str]:
        t.client.headers = {}
        shown = t.client.get("/ok").request.headers
        sent = dict(t.app.requests()[0]["headers"])["Accept-Encoding"]
        return "accept-encoding" in shown, sent

    assert with_each(subject, run) == [(False, "identity"), (True, "identity")]


@side_by_side
def test_headers_given_as_bytes_show_as_text(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> Any:
        return t.client.get("/ok", headers={"X-Bytes": b"1"}).request.headers["X-Bytes"]

    assert with_each(subject, run) == [b"1", "1"]


# Responses


@side_by_side
def test_spaces_behind_a_header_are_no_part_of_it(subject: Subject) -> None:
    url = subject.raw("HTTP/1.1 200 OK\r\nX-Pad: p  \r\nContent-Length: 0\r\n\r\n")
    found = with_each(subject, lambda t, _: t.client.get(url).headers["X-Pad"])
    assert found == ["p  ", "p"]


@side_by_side
def test_more_than_100_response_headers(subject: Subject) -> None:
    """Locust's HTTP library counts lines, ours bytes."""
    lines = "".join(f"X-{i}: {i}\r\n" for i in range(150))
    url = subject.raw(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n")
    found = with_each(subject, lambda t, _: t.client.get(url, name="many").status_code)
    assert found == [0, 200]


@side_by_side
def test_elapsed_behind_digest_authentication(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> bool:
        response = t.client.get("/digest", auth=HTTPDigestAuth("bob", "secret"))
        assert response.status_code == 200
        return bool(response.elapsed.total_seconds() > 0)

    assert with_each(subject, run) == [False, True]


@side_by_side
def test_elapsed_is_what_was_measured(subject: Subject) -> None:
    """It is of the connection, and can't be set."""

    def run(t: Subject, _: Any) -> bool:
        response = t.client.get("/ok")
        before = response.elapsed
        response.elapsed = before * 2
        return bool(response.elapsed == before)

    assert with_each(subject, run) == [False, True]


@side_by_side
def test_small_stream_gives_its_connection_back(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> int:
        stream = t.client.get("/answer?size=10", stream=True)
        time.sleep(0.05)
        t.client.get("/ok")
        assert stream.content == b"abcdefghij"
        return int(t.app.counts()["connections"])

    assert with_each(subject, run) == [2, 1]


@side_by_side
def test_connections_without_tls_don_t_depend_on_verify(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> int:
        for verify in (True, False):
            t.client.get("/ok", verify=verify)
        return int(t.app.counts()["connections"])

    assert with_each(subject, run) == [2, 1]


@side_by_side
def test_pickled_response_is_requests_own(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> Any:
        copied = pickle.loads(pickle.dumps(t.client.get("/ok")))
        assert copied.text == "ok"
        return type(copied) is requests.Response

    assert with_each(subject, run) == [False, True]


# Failures


@side_by_side
def test_failed_response_knows_what_was_asked(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> Any:
        response = t.client.get(t.refused, name="failed")
        return response.url, response.elapsed.total_seconds() > 0

    assert with_each(subject, run) == [(None, False), (subject.refused, True)]


@side_by_side
def test_request_of_a_body_that_broke_off(subject: Subject) -> None:
    url = subject.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")

    def run(t: Subject, _: Any) -> Any:
        response = t.client.get(url, params={"a": 1}, name="failed")
        return response.request and response.request.url

    assert with_each(subject, run) == [None, f"{url}?a=1"]


@side_by_side
def test_name_of_a_body_that_broke_off(subject: Subject) -> None:
    """Without a name, Locust takes the path as it was given, where it has no request."""
    script = [["request"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"]]
    port = subject.hostile(script)

    def run(t: Subject, events: list[Any]) -> Any:
        t.client.base_url = port.url
        t.client.get("/path", params={"a": 1})
        return events[0]["name"]

    assert with_each(subject, run) == ["/path", "/path?a=1"]


@side_by_side
def test_failure_behind_a_redirect_has_the_name_of_the_request(subject: Subject) -> None:
    def run(t: Subject, events: list[Any]) -> Any:
        t.client.max_redirects = 2
        t.client.get("/redirect/5")
        return events[0]["name"], events[0]["url"]

    url = subject.app.url
    theirs, ours = with_each(subject, run)
    assert theirs == ("/redirect/3", f"{url}/redirect/3")
    assert ours == ("/redirect/5", f"{url}/redirect/5")


@side_by_side
def test_event_and_response_have_the_same_exception(subject: Subject) -> None:
    def run(t: Subject, events: list[Any]) -> bool:
        return t.client.get(t.refused).error is events[0]["exception"]

    assert with_each(subject, run) == [False, True]


@side_by_side
def test_texts_group(subject: Subject) -> None:
    """Locust's hold the address of an object where a connection was never made."""

    def run(t: Subject, events: list[Any]) -> int:
        for _ in range(2):
            t.client.get(t.stalled, timeout=0.1, name="stalled")
        return len({repr(event["exception"]) for event in events})

    assert with_each(subject, run) == [2, 1]


@side_by_side
def test_timeout_within_the_body_is_one(subject: Subject) -> None:
    """With requests it is a ConnectionError alone; ours is a ReadTimeout as well."""
    head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"
    url = subject.hostile([["request"], ["send", head], ["hold"]]).url

    def run(t: Subject, _: Any) -> Any:
        error = t.client.get(url, timeout=1, name="stalled").error
        assert isinstance(error, exceptions.ConnectionError)
        return isinstance(error, exceptions.ReadTimeout)

    assert with_each(subject, run) == [False, True]


@side_by_side
def test_stream_that_broke_off_raises_again(subject: Subject) -> None:
    url = subject.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")

    def run(t: Subject, _: Any) -> Any:
        stream = t.client.get(url, stream=True)
        first = attempt(lambda: list(stream.iter_content(2)))
        assert isinstance(first, exceptions.ChunkedEncodingError)
        return type(attempt(lambda: stream.content))

    theirs, ours = with_each(subject, run)
    assert theirs is bytes
    assert issubclass(ours, exceptions.ChunkedEncodingError)


@side_by_side
def test_end_within_the_headers_is_a_failure(subject: Subject) -> None:
    """To Locust's HTTP library they end there."""
    url = subject.raw("HTTP/1.1 200 OK\r\nContent-Le")
    found = with_each(subject, lambda t, _: t.client.get(url, name="cut").status_code)
    assert found == [200, 0]


@side_by_side
def test_two_lengths_that_contradict(subject: Subject) -> None:
    """The server's mistake, no InvalidHeader of the request's."""
    lengths = "Content-Length: 2\r\nContent-Length: 3"
    url = subject.raw(f"HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nokk")

    def run(t: Subject, _: Any) -> Any:
        return t.client.get(url, name="lengths").error

    theirs, ours = with_each(subject, run)
    assert isinstance(theirs, exceptions.InvalidHeader)
    assert isinstance(ours, exceptions.ConnectionError)
    assert not isinstance(ours, exceptions.InvalidHeader)


# FastHttpUser


@side_by_side
def test_waiting_for_a_connection_is_no_response_time(subject: Subject) -> None:
    """With one connection the second request waits for the first one, for a second."""

    def run(t: Subject, events: list[dict[str, Any]]) -> bool:
        client = t.another_user(concurrency=1).client
        Pool().map(client.get, ["/ok?delay=1&first", "/ok?second"])
        first, second = events
        return bool(second["response_time"] > first["response_time"] / 2)

    assert with_each(subject, run, ALL_USERS) == [True, False]


@side_by_side
def test_lag_is_no_response_time(subject: Subject) -> None:
    """The response comes while another greenlet holds the loop, for a second."""

    def run(t: Subject, _: Any) -> tuple[float, float]:
        response = gevent.spawn(t.client.get, "/ok?delay=0.5")
        wait_until(lambda: t.app.counts()["requests"])
        get_original("time", "sleep")(1)
        response = response.get()
        return response.elapsed.total_seconds(), getattr(response, "lag", 0.0)

    (their_time, _), (our_time, lag) = with_each(subject, run, ALL_USERS)
    assert our_time < their_time
    assert their_time >= 1
    assert our_time + lag >= 1


@side_by_side
def test_unknown_coding_is_left_alone(subject: Subject) -> None:
    def run(t: Subject, _: Any) -> Any:
        return attempt(lambda: t.client.get("/ok?header=Content-Encoding:rot13").content)

    theirs, ours = with_each(subject, run, ALL_USERS)
    assert isinstance(theirs, Exception), theirs
    assert ours == b"ok"


# What requests has and ours refuses


def client_of(app: Listener, environment: Environment) -> Any:
    return make_user(OURS_HTTP, app.url, environment).client


def test_mount_is_refused(app: Listener, environment: Environment) -> None:
    client = client_of(app, environment)
    for prefix in ("http://", "https://", "http://127.0.0.1"):
        with pytest.raises(LocustError, match="mount"):
            client.mount(prefix, HTTPAdapter(max_retries=3))
    assert client.get("/ok").text == "ok"


def test_adapters_can_t_be_put_in_by_hand(app: Listener, environment: Environment) -> None:
    client = client_of(app, environment)
    with pytest.raises(AttributeError):
        client.adapters = {}
    with pytest.raises(AttributeError):
        _ = client.get_adapter(app.url).poolmanager


class Strange:
    """As much of a response as requests looks at."""

    history: ClassVar[list[Any]] = []
    raw = None
    is_redirect = False
    request = None
    content = b""
    headers: ClassVar[dict[str, str]] = {}
    status_code = 200


def test_hook_that_returns_another_response(app: Listener, environment: Environment) -> None:
    client = client_of(app, environment)
    with pytest.raises(TypeError, match="response hook"):
        client.get("/ok", hooks={"response": lambda response, **_: Strange()})


# The document itself


def named_tests(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(\w+\.py)::([\w.]+)`", text)


def defined_in(file: str) -> set[str]:
    return set(re.findall(r"^ *def (\w+)\(", (ROOT / "tests" / file).read_text(), re.MULTILINE))


def table(text: str, title: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its rule."""
    below = text[text.index(f"## {title}\n") :]
    lines = re.findall(r"^\|.*\|$", below.split("\n## ")[0], re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if set(row[0]) != {"-"}]


def test_every_test_named_exists() -> None:
    named = named_tests(DOCUMENT.read_text())
    assert len(named) > 40
    missing = [f"{file}::{name}" for file, name in named if name not in defined_in(file)]
    assert not missing


def test_every_row_names_a_test() -> None:
    text = DOCUMENT.read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert len(titles) >= 3
    for title in titles:
        header, *rows = table(text, title)
        assert header[-1] == "tests", title
        assert rows, title
        assert [row[0] for row in rows if not named_tests(row[-1])] == [], title


def test_every_difference_is_in_the_document() -> None:
    """The tests of this file, but for those of the document."""
    named = {
        name for file, name in named_tests(DOCUMENT.read_text()) if file == Path(__file__).name
    }
    tests = {name for name in defined_in(Path(__file__).name) if name.startswith("test_")}
    assert tests - named == {
        name for name in tests if name.startswith(("test_every", "test_readme"))
    }


def test_readme_agrees() -> None:
    """README has the same table, without the tests."""
    full = [row[:-1] for row in table(DOCUMENT.read_text(), "What works")]
    assert table(README.read_text(), "What works") == full
