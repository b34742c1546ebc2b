"""Statistics that tell what was spoken (http_version_in_name): of drop-in users and of agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from geventhttpclient.client import HTTPClientPool
from helpers import (
    ENDING,
    Connect,
    distributed,
    finish,
    python,
    read_csv,
    record_events,
    refusing_port,
)
from helpers_http2_servers import nghttpx
from locust.env import Environment
from parity import Listen
from servers import Listener
from urllib3 import PoolManager

HTTP2 = {"http2": "prior-knowledge"}
TAGGED = {"http_version_in_name": True}


@pytest.fixture
def url(tmp_path: Path, app: Listener) -> Iterator[str]:
    with nghttpx(tmp_path, app, False) as url:
        yield url


def counted(environment: Environment) -> dict[str, tuple[int, int]]:
    """Requests and failures by name."""
    entries = environment.stats.entries.items()
    return {name: (entry.num_requests, entry.num_failures) for (name, _), entry in entries}


def errors(environment: Environment) -> list[tuple[str, str]]:
    return sorted((error.name, str(error.error)) for error in environment.stats.errors.values())


@pytest.fixture(params=["counted in C", "as events"])
def listeners(request: pytest.FixtureRequest, environment: Environment) -> list[Any]:
    """Whether somebody else listens to the requests."""
    return [] if request.param == "counted in C" else [record_events(environment)]


def test_names(
    url: str, app: Listener, connect: Connect, environment: Environment, listeners: list[Any]
) -> None:
    two, one = connect(url, **HTTP2, **TAGGED), connect(app.url, **TAGGED)
    for client in (two, two, one):
        client.get("/ok")
        client.get("/status/500", name="named")
        with client.get("/ok", name="caught", catch_response=True) as response:
            response.failure("no")
    two.get("/redirect/2", name="followed")
    assert two.get("/ok?size=9", name="streamed", stream=True).status_code == 200
    assert counted(environment) == {
        "/ok [HTTP/2]": (2, 0),
        "/ok [HTTP/1.1]": (1, 0),
        "named [HTTP/2]": (2, 2),
        "named [HTTP/1.1]": (1, 1),
        "caught [HTTP/2]": (2, 2),
        "caught [HTTP/1.1]": (1, 1),
        "followed [HTTP/2]": (1, 0),
        "streamed [HTTP/2]": (1, 0),
    }
    texts = errors(environment)
    assert {name for name, _ in texts} == {
        f"{name} [HTTP/{version}]" for name in ("named", "caught") for version in ("1.1", "2")
    }
    assert not any("[" in text for _, text in texts)
    for fired in listeners:
        assert {event["name"] for event in fired} == counted(environment).keys()


def test_it_is_off(url: str, connect: Connect, environment: Environment) -> None:
    connect(url, **HTTP2).get("/ok")
    connect(url, **HTTP2, http_version_in_name=False).get("/ok")
    assert counted(environment) == {"/ok": (2, 0)}


def test_old_servers(hostile: Listen, connect: Connect, environment: Environment) -> None:
    answer = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
    port = hostile([["request"], ["send", answer], ["close"]])
    assert connect(port, **TAGGED).get("/").status_code == 200
    assert counted(environment) == {"/ [HTTP/1.0]": (1, 0)}


def test_requests_by_libcurl(app: Listener, connect: Connect, environment: Environment) -> None:
    client = connect(app.url, **TAGGED, transport="libcurl")
    assert client.get("/ok").transport == "libcurl"
    with refusing_port() as port:
        client.get(f"http://127.0.0.1:{port}/ok")
    assert list(counted(environment).values()) == [(1, 0), (1, 1)]
    assert "/ok [HTTP/1.1]" in counted(environment)
    assert not any(name.startswith("http:") and "[" in name for name in counted(environment))


def test_failures(
    app: Listener,
    http2_script: Listen,
    hostile: Listen,
    connect: Connect,
    environment: Environment,
    listeners: list[Any],
) -> None:
    """With the version once the server has been found to speak it, by the bare name before."""
    with refusing_port() as port:
        connect(f"http://127.0.0.1:{port}", **TAGGED).get("/a", name="refused")
        connect(f"http://127.0.0.1:{port}", **HTTP2, **TAGGED).get("/a", name="refused")
    connect(app, **HTTP2, **TAGGED).get("/ok", name="no HTTP/2")
    closed = http2_script([["preface"], ["request"], ["close"]])
    connect(closed, **HTTP2, **TAGGED).get("/a", name="closed")
    connect(hostile([["request"], ["close"]]), **TAGGED).get("/a", name="closed")
    assert counted(environment) == {
        "refused": (2, 2),
        "no HTTP/2": (1, 1),
        "closed [HTTP/2]": (1, 1),
        "closed [HTTP/1.1]": (1, 1),
    }
    assert {name for name, _ in errors(environment)} == counted(environment).keys()
    for fired in listeners:
        assert {event["name"] for event in fired} == counted(environment).keys()


def test_a_name_that_the_task_changes(
    url: str, connect: Connect, environment: Environment, listeners: list[Any]
) -> None:
    client = connect(url, **HTTP2, **TAGGED)
    with client.get("/ok", catch_response=True) as response:
        assert response.request_meta["name"] == "/ok"
        response.request_meta["name"] = "other"
    with client.get("/ok", catch_response=True) as response:
        del response.request_meta["name"]
        response.request_meta["name"] = 5
    assert counted(environment) == {"other [HTTP/2]": (1, 0), "5 [HTTP/2]": (1, 0)}


def test_shared_pools(app: Listener, environment: Environment) -> None:
    """It is no option of connections, which users of other classes may share."""
    from opscore_fast import FastHttpSession, HttpSession

    event = environment.events.request
    pool = HTTPClientPool()
    for given in TAGGED, {}:
        FastHttpSession(app.url, event, None, client_pool=pool, **given).get("/ok")
        HttpSession(app.url, event, None, pool_manager=PoolManager(), **given).get("/ok")
    assert counted(environment) == {"/ok [HTTP/1.1]": (2, 0), "/ok": (2, 0)}


@pytest.mark.parametrize("value", ["yes", 1])
def test_values_that_cannot_be(app: Listener, connect: Connect, value: Any) -> None:
    with pytest.raises(TypeError, match="http_version_in_name is True, False or None, not"):
        connect(app, http_version_in_name=value)


def test_the_environment_variable(
    app: Listener, connect: Connect, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSCORE_FAST_HTTP_VERSION_IN_NAME", "1")
    connect(app).get("/ok")
    connect(app, http_version_in_name=False).get("/ok")
    monkeypatch.setenv("OPSCORE_FAST_HTTP_VERSION_IN_NAME", "0")
    connect(app).get("/ok")
    assert counted(environment) == {"/ok [HTTP/1.1]": (1, 0), "/ok": (2, 0)}
    monkeypatch.setenv("OPSCORE_FAST_HTTP_VERSION_IN_NAME", "maybe")
    with pytest.raises(ValueError, match="VERSION_IN_NAME is 0 or 1, not 'maybe'"):
        connect(app)


# Runs

LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, constant, task
{imports}

class Fast({fast}):
    wait_time = constant(0.01)
    @task
    def work(self):
        self.client.get("/ok", name="fast")
        self.client.get("/status/404", name="fast bad")
        self.client.get("{nobody}/", name="fast nobody")

class Http({http}):
    wait_time = constant(0.01)
    @task
    def work(self):
        self.client.get("/ok", name="http")
        self.client.get("/status/404", name="http bad")
        self.client.get("{nobody}/", name="http nobody")
"""

ERRORS = {
    "fast [HTTP/2]": "",
    "fast bad [HTTP/2]": "LocustBadStatusCode(code=404)",
    "fast nobody": "ConnectionRefused('connection refused by {nobody}')",
    "http [HTTP/2]": "",
    "http bad [HTTP/2]": "HTTPError('404 Client Error:  for url: http bad')",
    "http nobody": "ConnectionRefused('connection refused by {nobody}')",
}


@pytest.mark.parametrize(
    "how", ["drop-in", "native", "agents", "processes", "workers", "class attribute"]
)
def test_runs(tmp_path: Path, url: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute = "    http_version_in_name = True\n" if how == "class attribute" else ""
    with refusing_port() as port:
        text = LOCUSTFILE.format(
            imports="from opscore_fast import AgentUser" if how == "agents" else "",
            fast="FastHttpUser",
            http="AgentUser" if how == "agents" else "HttpUser",
            nobody=f"http://127.0.0.1:{port}",
        ).replace("    wait_time", f"{attribute}    wait_time")
        (tmp_path / "locustfile.py").write_text(text)
        (tmp_path / "ending.py").write_text(ENDING)
        monkeypatch.setenv("UNTIL", f"min(map(count, {list(ERRORS)})) >= 3")
        options: list[str] = ["-m", "opscore_fast", "--http2=prior-knowledge"]
        options += ["--http-version-in-name"] if not attribute else []
        options += ["--native"] if how == "native" else []
        options += ["-f", "locustfile.py,ending.py", "-H", url]
        run = ["--headless", "--csv", "out", "-u", "4", "-r", "4"]
        workers = []
        if how == "processes":
            run += ["--processes", "2", *distributed()]
        if how == "workers":
            bound = distributed()
            run += ["--master", "--expect-workers", "1", *bound[:4]]
            workers = [python(*options, "--worker", *bound[4:], cwd=tmp_path)]
        ended = [finish(process) for process in (python(*options, *run, cwd=tmp_path), *workers)]
    assert ended[0].code == 1, ended[0].output  # since there were failures
    rows = read_csv(tmp_path / "out_stats.csv")
    names = {row["Name"]: row for row in rows if row["Name"] != "Aggregated"}
    assert names.keys() == ERRORS.keys(), ended[0].output
    for name, row in names.items():
        assert int(row["Request Count"]) >= 3
        assert row["Failure Count"] == (row["Request Count"] if ERRORS[name] else "0")
    found = {row["Name"]: row["Error"] for row in read_csv(tmp_path / "out_failures.csv")}
    assert found == {
        name: text.format(nobody=f"127.0.0.1:{port}") for name, text in ERRORS.items() if text
    }
