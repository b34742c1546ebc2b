"""HttpUser beside Locust's own: failures, time-outs and TLS.

An exception's text is each implementation's own. What is compared is as what it can be caught: our
exceptions are of every class that Locust's is of, in the response as in the event.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
from typing import Any

import pytest
import urllib3
from helpers import OURS_HTTP, make_user, record_events, wait_until
from locust.env import Environment
from parity import HTTP, Scenario, Scenarios, Subject, assert_same, attempt, each_of
from requests import exceptions
from servers import CERTIFICATES, Listener

SCENARIOS = scenario = Scenarios()

AUTHORITY = CERTIFICATES / "authority.pem"
# The content of a stream that has broken off: Locust's is empty when it is asked for again.
READ_AGAIN = r"\.events\[\d+\]\.response\.(content|text)|caught as \S*ReadTimeout"
OK = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


def failure(t: Subject, url: str, *kinds: type[BaseException], **arguments: Any) -> Any:
    """What there is to see of a request that fails with an exception of all of these classes."""
    response = t.client.get(url, name="failed", **arguments)
    for kind in kinds:
        assert isinstance(response.error, kind), repr(response.error)
    raised = attempt(response.raise_for_status)
    assert raised is response.error
    return [response, response.status_code, raised, response.error.response]


def events_of(t: Subject, run: Any) -> list[Any]:
    """The exceptions of the events that fire meanwhile."""
    seen: list[Any] = []

    def listener(exception: Any = None, **_: Any) -> None:
        seen.append(exception)

    t.user.environment.events.request.add_listener(listener)
    run()
    t.user.environment.events.request.remove_listener(listener)
    return seen


# Scenarios: connections


@scenario(same_texts=False, sends=False)
def refused(t: Subject) -> Any:
    results = failure(t, t.refused, exceptions.ConnectionError)
    [event] = events_of(t, lambda: t.client.post(t.refused, data="x", name="post"))
    assert isinstance(event, ConnectionRefusedError)
    return [results, event]


@scenario(same_texts=False, sends=False)
def refused_by_default_name(t: Subject) -> Any:
    t.client.get(t.refused + "some/path?q=1", params={"a": 2})
    [(name, _)] = t.user.environment.stats.entries
    assert name == "/some/path?q=1&a=2"
    return name


@scenario(same_texts=False, sends=False)
def refused_within_a_block(t: Subject) -> Any:
    results = []
    with t.client.get(t.refused, catch_response=True, name="left alone") as response:
        results.append([response.status_code, response.content, response.text])
    with t.client.get(t.refused, catch_response=True, name="forgiven") as response:
        response.success()
    with t.client.get(t.refused, catch_response=True, name="own") as response:
        response.failure("said so")
    with t.client.get(t.refused, catch_response=True, name="error") as response:
        response.failure(response.error)
    with (
        pytest.raises(exceptions.ConnectionError),
        t.client.get(t.refused, catch_response=True, name="raised") as response,
    ):
        response.raise_for_status()
    with pytest.raises(KeyError), t.client.get(t.refused, catch_response=True, name="uncounted"):
        raise KeyError
    counted = {name: e.num_failures for (name, _), e in t.user.environment.stats.entries.items()}
    assert counted == {"left alone": 1, "forgiven": 0, "own": 1, "error": 1}
    return results


@scenario(same_texts=False, sends=False)
def attributes_of_a_failure(t: Subject) -> Any:
    response = t.client.get(t.refused, name="failed")
    assert response.status_code == 0
    assert response.content is None
    names = "text encoding reason headers history cookies links is_redirect raw next request"
    found = {name: attempt(getattr, response, name) for name in names.split()}
    found["request"] = found["request"].url
    found["headers"] = dict(found["headers"])
    found["cookies"] = list(found["cookies"])
    raised = [attempt(response.json), attempt(lambda: response.ok), attempt(bool, response)]
    assert isinstance(raised[0], exceptions.JSONDecodeError)
    return [found, raised, repr(response), type(response.elapsed), response.close()]


@scenario(same_texts=False, sends=False)
def success_and_failure_of_a_failure(t: Subject) -> Any:
    response = t.client.get(t.refused, name="failed")
    return [attempt(response.success), attempt(lambda: response.failure("why"))]


@scenario(same_texts=False, sends=False)
def refused_by_rest(t: Subject) -> Any:
    with t.user.rest("GET", t.refused, name="rest") as response:
        pass
    with t.user.rest("GET", t.refused, name="asserted") as response:
        assert response.js == {"a": 1}, "wrong"
    return [response.js, response.status_code]


@scenario(same_texts=False)
def closed_without_an_answer(t: Subject) -> Any:
    url = t.hostile([["request"], ["close"]]).url
    results = failure(t, url, exceptions.ConnectionError)
    [event] = events_of(t, lambda: t.client.get(url, name="again"))
    assert isinstance(event, http.client.RemoteDisconnected)
    assert isinstance(event, ConnectionResetError)
    return [results, event]


@scenario(same_texts=False)
def reset_without_an_answer(t: Subject) -> Any:
    url = t.hostile([["request"], ["reset"]]).url
    results = failure(t, url, exceptions.ConnectionError)
    [event] = events_of(t, lambda: t.client.get(url, name="again"))
    assert isinstance(event, ConnectionResetError)
    return results


@scenario(same_texts=False)
def closed_within_the_body(t: Subject) -> Any:
    url = t.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    results = failure(t, url, exceptions.ChunkedEncodingError)
    [event] = events_of(t, lambda: t.client.get(url, name="again"))
    assert isinstance(event, exceptions.ChunkedEncodingError)
    return [results, event]


@scenario(same_texts=False)
def closed_within_the_body_by_default_name(t: Subject) -> Any:
    port = t.hostile([["request"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"]])
    t.client.base_url = port.url
    t.client.get("/path?a=1")
    [(name, _)] = t.user.environment.stats.entries
    return name


@scenario(same_texts=False)
def closed_within_a_chunk(t: Subject) -> Any:
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    rests = ("", "5\r\nwhole\r\n", "5\r\npart", "5\r\nwhole", "5")
    return [failure(t, t.raw(head + rest), exceptions.ChunkedEncodingError) for rest in rests]


@scenario(same_texts=False)
def chunk_of_no_length(t: Subject) -> Any:
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return failure(t, t.raw(head + "xyz\r\nwhat\r\n0\r\n\r\n"), exceptions.ChunkedEncodingError)


@scenario(same_texts=False)
def reset_within_the_body(t: Subject) -> Any:
    head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    url = t.hostile([["request"], ["send", head], ["taken"], ["reset"]]).url + "/"
    return failure(t, url, exceptions.ChunkedEncodingError)


@scenario(same_texts=False)
def closed_within_the_status_line(t: Subject) -> Any:
    return failure(t, t.raw("HTT"), exceptions.ConnectionError)


@scenario(same_texts=False)
def not_http(t: Subject) -> Any:
    results = [
        failure(t, t.raw(f"{text}\r\n\r\n"), exceptions.ConnectionError)
        for text in ("SSH-2.0-OpenSSH", "HTTP/1.1 abc Fine", "+OK ready", "\x00\x01\x02")
    ]
    url = t.raw("+OK ready\r\n\r\n")
    [event] = events_of(t, lambda: t.client.get(url, name="again"))
    assert isinstance(event, http.client.BadStatusLine)
    return [results, event]


@scenario(same_texts=False)
def header_line_too_long(t: Subject) -> Any:
    url = t.raw("HTTP/1.1 200 OK\r\nX-Long: " + "x" * 70_000 + "\r\n\r\n")
    return failure(t, url, exceptions.ConnectionError)


@scenario(same_texts=False)
def lost_on_a_kept_connection(t: Subject) -> Any:
    port = t.hostile(
        [["request"], ["send", OK], ["request"], ["close"]], [["request"], ["send", OK]]
    )
    first = t.client.get(port.url, name="first")
    results = failure(t, port.url, exceptions.ConnectionError)
    third = t.client.get(port.url, name="third")
    assert (first.text, third.text) == ("fine", "fine")
    assert port.counts()["requests"] == 3
    return results


@scenario()
def closed_while_idle(t: Subject) -> Any:
    port = t.hostile([["request"], ["send", OK], ["close"]])
    found = []
    for _ in range(3):
        found.append(t.client.get(port.url).text)
        wait_until(lambda: port.counts()["open"] == 0, "the server to close")
    assert found == ["fine"] * 3
    return found


@scenario(same_texts=False, ignore=READ_AGAIN)
def stream_that_breaks_off(t: Subject) -> Any:
    url = t.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    results = []
    for read in (
        lambda r: r.content,
        lambda r: r.text,
        lambda r: list(r.iter_content(2)),
        lambda r: list(r.iter_lines()),
        lambda r: r.json(),
    ):
        response = t.client.get(url, stream=True, name="stream")
        assert response.status_code == 200
        error = attempt(read, response)
        assert isinstance(error, exceptions.ChunkedEncodingError)
        results.append(error)
    assert t.user.environment.stats.total.num_failures == 0
    return results


@scenario(same_texts=False, ignore=READ_AGAIN)
def stream_that_breaks_off_in_a_block(t: Subject) -> Any:
    url = t.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    with t.client.get(url, stream=True, catch_response=True, name="stream") as response:
        try:
            response.content  # noqa: B018
        except exceptions.RequestException as error:
            response.failure(error)
    assert t.user.environment.stats.total.num_failures == 1
    return None


@scenario(same_texts=False, sends=False)
def name_that_nobody_has(t: Subject) -> Any:
    url = "http://no-such-host.invalid/path"
    results = failure(t, url, exceptions.ConnectionError)
    [event] = events_of(t, lambda: t.client.get(url, name="again"))
    assert isinstance(event, socket.gaierror)
    return results


@scenario(same_texts=False, sends=False)
def international_name_that_nobody_has(t: Subject) -> Any:
    response = t.client.get("http://bücher.invalid/é", name="failed")
    assert response.request.url == "http://xn--bcher-kva.invalid/%C3%A9"
    return response.request.url


# Scenarios: counts


@scenario(same_texts=False)
def good_and_bad_are_counted(t: Subject) -> Any:
    bad = t.raw("nonsense\r\n\r\n")
    for i in range(10):
        t.client.get("/ok", name="good")
        t.client.get(bad, name="bad")
        with t.client.get(t.refused if i % 2 else "/ok", name="half", catch_response=True):
            pass
    entries = t.user.environment.stats.entries
    counted = {name: [e.num_requests, e.num_failures] for (name, _), e in entries.items()}
    assert counted == {"good": [10, 0], "bad": [10, 10], "half": [10, 5]}
    return counted


@scenario(same_texts=False, ignore=r"\.events\[\d+\]\.url")
def failures_of_a_redirect_are_counted_once(t: Subject) -> Any:
    t.client.get(f"/answer?status=302&header=Location:{t.refused}", name="redirected")
    total = t.user.environment.stats.total
    assert (total.num_requests, total.num_failures) == (1, 1)
    return None


@scenario(same_texts=False)
def errors_are_grouped(t: Subject) -> Any:
    for path in ("/status/404", "/status/404?x", "/status/500"):
        for _ in range(3):
            t.client.get(path, name="same")
            t.client.get(path)
    for _ in range(3):
        t.client.get(t.refused, name="same")
    occurrences = sorted(e.occurrences for e in t.user.environment.stats.errors.values())
    assert sum(occurrences) == 21
    return occurrences


@scenario()
def errors_by_status_have_the_same_texts(t: Subject) -> Any:
    for code in (400, 404, 500, 503):
        t.client.get(f"/status/{code}?id=7")
        t.client.get(f"/status/{code}?id=7", name="named")
    texts = {str(e.error) for e in t.user.environment.stats.errors.values()}
    assert "404 Client Error: Not Found for url: /status/404?id=7" in str(texts)
    return sorted(texts)


# Scenarios: time-outs


@scenario(same_texts=False)
def read_timeout(t: Subject) -> Any:
    results = [
        failure(t, "/ok?delay=30", exceptions.ReadTimeout, timeout=timeout)
        for timeout in (0.2, (5, 0.2), (None, 0.2), urllib3.Timeout(connect=5, read=0.2))
    ]
    [event] = events_of(t, lambda: t.client.get("/ok?delay=30", timeout=0.2, name="again"))
    assert isinstance(event, exceptions.ReadTimeout)
    assert t.client.get("/ok").status_code == 200
    return [results, event]


@scenario(same_texts=False)
def read_timeout_within_a_block(t: Subject) -> Any:
    with t.client.get("/ok?delay=30", timeout=0.1, catch_response=True, name="caught") as response:
        found = isinstance(response.error, exceptions.Timeout)
        response.failure("took too long")
    assert found
    return response.status_code


@scenario(same_texts=False, ignore="caught as requests.exceptions.ReadTimeout")
def read_timeout_within_the_body(t: Subject) -> Any:
    head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    url = t.hostile([["request"], ["send", head], ["hold"]]).url + "/"
    return failure(t, url, exceptions.ConnectionError, timeout=1)


@scenario(same_texts=False, ignore=READ_AGAIN)
def read_timeout_of_a_stream(t: Subject) -> Any:
    head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    url = t.hostile([["request"], ["send", head], ["hold"]]).url + "/"
    response = t.client.get(url, timeout=1, stream=True, name="stream")
    error = attempt(lambda: response.content)
    assert isinstance(error, exceptions.ConnectionError)
    return [response.status_code, error]


@scenario(same_texts=False, sends=False)
def connect_timeout(t: Subject) -> Any:
    results = []
    for timeout in (0.2, (0.2, 5), (0.2, None)):
        response = t.client.get(t.stalled, timeout=timeout, name="failed")
        assert isinstance(response.error, exceptions.ConnectTimeout)
        assert isinstance(response.error, exceptions.ConnectionError)
        results.append([response.status_code, response.error])
    return results


@scenario()
def timeouts_that_are_long_enough(t: Subject) -> Any:
    timeouts: list[Any] = [None, 30, 30.5, (30, 30), (None, None), (3.05, None)]
    return [t.client.get("/ok", timeout=timeout) for timeout in timeouts]


@scenario()
def timeout_is_between_bytes(t: Subject) -> Any:
    url = t.hostile([["request"], ["drip", OK, 0.03]]).url
    return t.client.get(url, timeout=1).text


@scenario()
def timeouts_that_make_no_sense(t: Subject) -> Any:
    kinds = []
    for timeout in (0, -1, "soon", (1, 2, 3), (1,), True, (5, 0), (-1, 5), [1, 2], {}):
        error = attempt(t.client.get, "/ok", timeout=timeout)
        assert isinstance(error, ValueError), timeout
        kinds.append(type(error).__name__)
    assert t.app.counts()["requests"] == 0
    return [kinds, t.client.get("/ok")]


# Scenarios: TLS


@scenario(same_texts=False, sends=False)
def certificates_that_are_not_accepted(t: Subject) -> Any:
    results = []
    for certificate in ("self-signed", "localhost", "elsewhere", "expired"):
        url = t.secure(f"{certificate}.pem").url
        results.append(failure(t, f"{url}/ok", exceptions.SSLError))
        results.append(failure(t, f"{url}/ok", exceptions.ConnectionError, verify=True))
    return [result[1:] for result in results]


@scenario(same_texts=False, sends=False)
def certificates_that_are_wrong_for_their_authority(t: Subject) -> Any:
    return [
        failure(t, t.secure(f"{name}.pem").url, exceptions.SSLError, verify=str(AUTHORITY))[1:]
        for name in ("self-signed", "elsewhere", "expired")
    ]


@scenario()
def verify_by_call(t: Subject) -> Any:
    url = t.secure().url
    results = [t.client.get(f"{url}/echo", verify=False)]
    results.append(t.client.get(f"{url}/echo", verify=str(AUTHORITY)))
    assert [r.status_code for r in results] == [200, 200]
    return results


@scenario(same_texts=False)
def verify_by_session(t: Subject) -> Any:
    url = t.secure().url
    t.client.verify = False
    results = [t.client.get(f"{url}/ok").text]
    t.client.verify = str(AUTHORITY)
    results.append(t.client.get(f"{url}/ok").text)
    t.client.verify = True
    results.append(t.client.get(f"{url}/ok", name="failed").status_code)
    assert results == ["ok", "ok", 0]
    return results


@scenario(same_texts=False)
def verify_is_each_calls_own(t: Subject) -> Any:
    """A connection that was made without verification serves no request that wants it."""
    url = t.secure().url
    found = [
        t.client.get(f"{url}/ok", verify=verify, name=str(verify == False)).status_code  # noqa: E712
        for verify in (False, True, str(AUTHORITY), True, False)
    ]
    assert found == [200, 0, 200, 0, 200]
    return found


@scenario()
def verify_by_a_directory(t: Subject) -> Any:
    shutil.copy(AUTHORITY, t.folder / "f20e0b1e.0")
    return t.client.get(f"{t.secure().url}/echo", verify=str(t.folder))


@scenario(sends=False, counts=False)
def verify_by_what_is_not_there(t: Subject) -> Any:
    url = t.secure().url
    error = attempt(t.client.get, f"{url}/ok", verify="/nowhere/ca.pem")
    assert isinstance(error, OSError)
    assert not isinstance(error, exceptions.RequestException)
    return "/nowhere/ca.pem" in str(error)


@scenario(ignore=r"\.connections|\.requests\[\d+\]\.came_by")
def verify_over_plain_http(t: Subject) -> Any:
    return [t.client.get("/ok", verify=verify) for verify in (True, False, "/nowhere/ca.pem")]


@scenario()
def https_with_a_name(t: Subject) -> Any:
    t.client.verify = str(AUTHORITY)
    port = t.secure().port
    results = [t.client.get(f"https://localhost:{port}/echo") for _ in range(3)]
    assert t.secure().counts()["connections"] == 1
    return results


@scenario()
def client_certificate(t: Subject) -> Any:
    secure = t.secure(client_authority="authority.pem")
    t.client.verify = str(AUTHORITY)
    pem = str(CERTIFICATES / "localhost.pem")
    results = [t.client.get(f"{secure.url}/echo", cert=cert) for cert in (pem, (pem, pem))]
    t.client.cert = pem
    results.append(t.client.get(f"{secure.url}/echo"))
    assert [r.status_code for r in results] == [200] * 3
    return results


@scenario(sends=False, counts=False)
def client_certificate_that_is_not_there(t: Subject) -> Any:
    url = t.secure().url
    pem = str(CERTIFICATES / "localhost.pem")
    errors = [
        attempt(t.client.get, url, cert=cert, verify=False)
        for cert in ("/nowhere/c.pem", ("/nowhere/c.pem", pem), (pem, "/nowhere/k.pem"))
    ]
    assert all(isinstance(error, OSError) for error in errors)
    return [isinstance(error, exceptions.RequestException) for error in errors]


@scenario(same_texts=False, sends=False)
def tls_to_a_plain_server(t: Subject) -> Any:
    port = t.hostile([["send", "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"], ["drain"]])
    url = port.url.replace("http:", "https:")
    return failure(t, url, exceptions.SSLError, verify=False)[1:]


@scenario(same_texts=False)
def https_that_is_cut_off(t: Subject) -> Any:
    head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    port = t.hostile([["request"], ["send", head]], certificate="localhost.pem")
    t.client.get("/ok")
    response = t.client.get(port.url + "/", verify=False, name="cut off")
    assert isinstance(response.error, exceptions.RequestException)
    return [response.status_code, isinstance(response.error, ssl.SSLError)]


@scenario(same_texts=False, sends=False)
def proxy_that_refuses(t: Subject) -> Any:
    t.client.proxies = {"http": t.refused}
    response = t.client.get("/ok", name="failed")
    assert isinstance(response.error, exceptions.ProxyError)
    return response.status_code


@scenario()
def proxies_that_are_none(t: Subject) -> Any:
    t.client.proxies = {}
    results = [t.client.get("/ok"), t.client.get("/ok", proxies={})]
    return [*results, t.client.get("/ok", proxies={"http": None, "https": ""})]


@each_of(*SCENARIOS)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(HTTP, scenario, subject, listened)


def test_request_that_is_never_sent_has_no_time_of_another(
    app: Listener, environment: Environment
) -> None:
    """Exchanges are used again; one that was not submitted showed what the last one had."""
    client = make_user(OURS_HTTP, app.url, environment).client
    fired = record_events(environment)
    client.get("/ok?delay=0.3", name="sent")
    fired[0]["response"] = None  # gives the exchange back
    client.get("/ok", headers={"X-Number": 5}, name="not sent")
    assert fired[1]["exception"] is not None
    assert 0 < fired[1]["response_time"] < fired[0]["response_time"] / 2
