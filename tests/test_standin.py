"""The stand-in as a real server process: each fact of the API, its start and its end."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers_http2 import tool
from helpers_standin import (
    AUTHORITY,
    KEY,
    NOTIFY,
    ROOT,
    TIMEOUT_S,
    TLS,
    Answer,
    Standin,
    registration,
    run_standin,
    running_standin,
)
from servers import CERTIFICATES, child_environment, frames

from opscore_fast.standin import cli

SURROGATE = b'"\\ud800"'
CLIENT = str(CERTIFICATES / "client.pem")
LOCKED = str(CERTIFICATES / "client-locked.pem")
DEFINITION = {"id": "workflow-1", "name": "A workflow", "tasks": [{"taskId": "step_1"}]}
NOT_AN_OBJECT = "Input should be a valid dictionary or object to extract fields from"


HTTP2 = ("--http2",)


@pytest.fixture(scope="module", params=[(), HTTP2], ids=["", "http2"])
def standin(request: pytest.FixtureRequest) -> Iterator[Standin]:
    """Each of the servers; what asks it speaks HTTP/1.1."""
    with running_standin(*request.param) as standin:
        yield standin


@pytest.fixture
def agent(standin: Standin) -> str:
    """The id of a registered agent."""
    agent_id = f"agent-{uuid.uuid4()}"
    assert standin.register(agent_id).status == 200
    return agent_id


def state_path(agent_id: str) -> str:
    return f"/v1/opscore/agent/{agent_id}/state"


def workflow_path(agent_id: str) -> str:
    return f"/v1/opscore/agent/{agent_id}/workflow"


def update(agent_id: str, **fields: object) -> dict[str, Any]:
    return {"agentId": agent_id, "timestamp": "2025-01-02T03:04:05Z", "state": "idle", **fields}


def told(answer: Answer) -> tuple[int, Any]:
    """Status and body of an answer, which must be JSON."""
    assert answer.headers["Content-Type"] == "application/json"
    return answer.status, answer.body


def refused(status: int, detail: object) -> tuple[int, Any]:
    return status, {"detail": detail}


# ---- the endpoints


def test_health(standin: Standin) -> None:
    assert told(standin.ask("GET", "/health", key=None)) == (200, {"status": "ok"})


@pytest.mark.parametrize("event", ["REGISTER", "register"])
def test_register(standin: Standin, event: str) -> None:
    answer = standin.ask("POST", NOTIFY, registration("a1", event), key=None)
    message = "Agent a1 registered successfully."
    assert told(answer) == (200, {"status": "success", "message": message})


def test_register_with_what_is_required_only(standin: Standin) -> None:
    body = registration("a1")
    del body["agent_details"]["capabilities"], body["agent_details"]["metadata"]
    assert standin.ask("POST", NOTIFY, body).status == 200


def test_deregister(standin: Standin, agent: str) -> None:
    status, body = told(standin.ask("POST", NOTIFY, registration(agent, "DEREGISTER")))
    assert (status, body["status"]) == (200, "success")


def test_a_new_agent_has_the_state_unknown(standin: Standin, agent: str) -> None:
    status, body = told(standin.ask("GET", state_path(agent)))
    assert (status, body["agentId"], body["state"]) == (200, agent, "UNKNOWN")
    assert list(body) == ["agentId", "state", "details", "timestamp"]


@pytest.mark.parametrize("details", [None, {}, {"a": [1, 2.5, None, True, 'é"\\\u0001']}])
def test_state_update(standin: Standin, agent: str, details: object) -> None:
    sent = update(agent, state="active", details=details)
    answer = standin.ask("POST", state_path(agent), sent)
    assert told(answer) == (202, {"status": "success", "message": "State update accepted"})
    assert told(standin.ask("GET", state_path(agent))) == (200, sent)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2025-01-02T03:04:05.120000+00:00", "2025-01-02T03:04:05.120000Z"),
        ("2025-01-02T03:04:05+02:00", "2025-01-02T03:04:05+02:00"),
        ("2025-01-02T03:04:05", "2025-01-02T03:04:05"),
        ("2025-01-02", "2025-01-02T00:00:00"),
        ("yesterday", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
        ("", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    ],
)
def test_timestamps(standin: Standin, agent: str, sent: str, read: str) -> None:
    assert standin.ask("POST", state_path(agent), update(agent, timestamp=sent)).status == 202
    timestamp = standin.ask("GET", state_path(agent)).body["timestamp"]
    assert timestamp == read or re.fullmatch(read, timestamp)


def test_registering_again_starts_from_unknown(standin: Standin, agent: str) -> None:
    standin.ask("POST", state_path(agent), update(agent))
    standin.register(agent)
    assert standin.ask("GET", state_path(agent)).body["state"] == "UNKNOWN"


def test_ids_are_text(standin: Standin) -> None:
    assert standin.register("é x").body["message"] == "Agent é x registered successfully."
    assert standin.ask("POST", state_path("%C3%A9%20x"), update("é x")).status == 202
    assert standin.ask("GET", state_path("%C3%A9%20x")).body["agentId"] == "é x"


@pytest.mark.parametrize("payload", [{}, {"initialPayload": {"a": 1}}, {"initialPayload": None}])
def test_workflow(standin: Standin, agent: str, payload: dict[str, Any]) -> None:
    inline = standin.ask(
        "POST", workflow_path(agent), {"workflowDefinition": DEFINITION, **payload}
    )
    by_id = standin.ask("POST", workflow_path(agent), {"workflowDefinitionId": "workflow-1"})
    sessions = set()
    for answer in (inline, by_id):
        status, body = told(answer)
        sessions.add(uuid.UUID(body.pop("sessionId")))
        message = "Workflow triggered successfully"
        assert (status, body) == (202, {"workflowId": "workflow-1", "message": message})
    assert len(sessions) == 2


def test_workflow_without_tasks(standin: Standin, agent: str) -> None:
    body = {"workflowDefinition": {**DEFINITION, "id": "empty", "tasks": []}}
    answer = standin.ask("POST", workflow_path(agent), body)
    assert (answer.status, answer.body["workflowId"]) == (202, "empty")


# ---- 401


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "Authorization header missing"),
        ({"Authorization": ""}, "Invalid authentication credentials"),
        ({"Authorization": "Bearer"}, "Invalid authentication credentials"),
        ({"Authorization": "Bearer wrong"}, "Invalid authentication credentials"),
        ({"Authorization": f"Basic {KEY}"}, "Invalid authentication credentials"),
        ({"Authorization": KEY}, "Invalid authentication credentials"),
        ({"Authorization": f"Bearer  {KEY}"}, "Invalid authentication credentials"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", state_path("x")), ("GET", state_path("x")), ("POST", workflow_path("x"))],
)
def test_refused_key(
    standin: Standin, method: str, path: str, headers: dict[str, str], detail: str
) -> None:
    body = {} if method == "POST" else None
    answer = standin.ask(method, path, body, key=None, headers=headers)
    assert told(answer) == refused(401, detail)


def test_the_scheme_of_the_key_may_be_in_any_case(standin: Standin, agent: str) -> None:
    headers = {"Authorization": f"bEARER {KEY}"}
    assert standin.ask("GET", state_path(agent), key=None, headers=headers).status == 200


def test_the_key_is_read_from_the_environment() -> None:
    with running_standin(OPSCORE_API_KEY="another secret") as standin:
        standin.register("a1")
        assert standin.ask("GET", state_path("a1"), key="another secret").status == 200
        assert standin.ask("GET", state_path("a1")).status == 401
        assert "secret" not in standin.stop()[1]


def test_an_empty_key_means_the_default_key() -> None:
    with running_standin(OPSCORE_API_KEY="") as standin:
        standin.register("a1")
        assert standin.ask("GET", state_path("a1")).status == 200


# ---- 404, 405


def test_unknown_agent(standin: Standin) -> None:
    expected = refused(404, "Agent not found: nobody")
    workflow = {"workflowDefinition": DEFINITION}
    assert told(standin.ask("POST", state_path("nobody"), update("nobody"))) == expected
    assert told(standin.ask("GET", state_path("nobody"))) == expected
    assert told(standin.ask("POST", workflow_path("nobody"), workflow)) == expected


def test_no_state_yet() -> None:
    with running_standin("--state-delay", "3600") as standin:
        standin.register("a1")
        expected = refused(404, "No state found for agent a1")
        assert told(standin.ask("GET", state_path("a1"))) == expected
        standin.ask("POST", state_path("a1"), update("a1"))
        assert standin.ask("GET", state_path("a1")).body["state"] == "idle"


def test_unknown_workflow(standin: Standin, agent: str) -> None:
    answer = standin.ask("POST", workflow_path(agent), {"workflowDefinitionId": "none"})
    assert told(answer) == refused(404, "Workflow definition not found: none")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nope",
        "/Health",
        "//health",
        "/v1/opscore/agent/a1",
        state_path(""),
        state_path("a%2Fb"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_path(standin: Standin, method: str, path: str) -> None:
    assert told(standin.ask(method, path)) == refused(404, "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/health", "GET"),
        ("GET", NOTIFY, "POST"),
        ("PUT", state_path("x"), "POST"),
        ("GET", workflow_path("x"), "POST"),
        ("OPTIONS", workflow_path("x"), "POST"),
    ],
)
def test_wrong_method(standin: Standin, method: str, path: str, allowed: str) -> None:
    answer = standin.ask(method, path)
    assert told(answer) == refused(405, "Method Not Allowed")
    assert answer.headers["Allow"] == allowed


def test_head_has_no_body(standin: Standin) -> None:
    answer = standin.ask("HEAD", "/health")
    assert (answer.status, answer.body) == (405, None)


def test_a_slash_too_many_is_redirected(standin: Standin) -> None:
    answer = standin.ask("GET", "/health/?a=1")
    location = f"{standin.url}/health?a=1"
    assert (answer.status, answer.headers["Location"], answer.body) == (307, location, None)


# ---- 400


def test_ids_that_differ(standin: Standin, agent: str) -> None:
    expected = refused(400, "Agent ID in path does not match agent ID in payload")
    assert told(standin.ask("POST", state_path(agent), update("other"))) == expected


def test_unknown_event(standin: Standin) -> None:
    answer = standin.ask("POST", NOTIFY, registration("a1", "RESTART"))
    assert told(answer) == refused(400, "Unknown event type: RESTART")


def test_register_without_an_id(standin: Standin) -> None:
    status, body = told(standin.ask("POST", NOTIFY, registration("")))
    assert (status, "Missing agentId" in body["detail"]) == (400, True)


@pytest.mark.parametrize("task", [{}, {"taskId": 5}, {"taskId": "t", "parameters": []}])
def test_invalid_inline_definition(standin: Standin, agent: str, task: dict[str, Any]) -> None:
    body = {"workflowDefinition": {**DEFINITION, "id": "invalid", "tasks": [task]}}
    status, told_body = told(standin.ask("POST", workflow_path(agent), body))
    assert (status, told_body["detail"].startswith("Invalid task data: ")) == (400, True)


@pytest.mark.parametrize("body", [{"workflowDefinitionId": None}, {"workflowDefinitionId": ""}])
def test_workflow_of_nothing(standin: Standin, agent: str, body: dict[str, Any]) -> None:
    expected = refused(400, "Missing workflowDefinitionId or workflowDefinition")
    assert told(standin.ask("POST", workflow_path(agent), body)) == expected


def test_a_body_that_is_no_text(standin: Standin, agent: str) -> None:
    expected = refused(400, "There was an error parsing the body")
    assert told(standin.ask("POST", state_path(agent), b'"\xff"')) == expected


# ---- 422


def missing(*loc: str, body: object) -> dict[str, Any]:
    return {"type": "missing", "loc": ["body", *loc], "msg": "Field required", "input": body}


def mistyped(kind: str, name: str, value: object, *loc: str | int) -> dict[str, Any]:
    message = f"Input should be a valid {name}"
    return {"type": kind, "loc": ["body", *loc], "msg": message, "input": value}


def no_model(value: object, *loc: str) -> dict[str, Any]:
    loc_list = ["body", *loc]
    return {
        "type": "model_attributes_type",
        "loc": loc_list,
        "msg": NOT_AN_OBJECT,
        "input": value,
    }


def misfit(message: str, body: object) -> dict[str, Any]:
    return {
        "type": "value_error",
        "loc": ["body"],
        "msg": f"Value error, {message}",
        "input": body,
        "ctx": {"error": {}},
    }


UNWRAPPED = misfit("Either workflowDefinitionId or workflowDefinition must be provided", DEFINITION)
BOTH = {"workflowDefinitionId": "workflow-1", "workflowDefinition": DEFINITION}


@pytest.mark.parametrize(
    ("path", "body", "errors"),
    [
        (
            state_path("x"),
            {},
            [missing(name, body={}) for name in ("agentId", "timestamp", "state")],
        ),
        (
            state_path("x"),
            {"agentId": "x", "timestamp": "t", "details": []},
            [
                missing("state", body={"agentId": "x", "timestamp": "t", "details": []}),
                mistyped("dict_type", "dictionary", [], "details"),
            ],
        ),
        (state_path("x"), update("x", state=5), [mistyped("string_type", "string", 5, "state")]),
        (state_path("x"), [], [no_model([])]),
        (state_path("x"), b"null", [missing(body=None)]),
        (state_path("x"), b"", [missing(body=None)]),
        (NOTIFY, {}, [missing(name, body={}) for name in ("event_type", "agent_details")]),
        (
            NOTIFY,
            {"event_type": None, "agent_details": "a"},
            [
                mistyped("string_type", "string", None, "event_type"),
                no_model("a", "agent_details"),
            ],
        ),
        (
            NOTIFY,
            {"event_type": "REGISTER", "agent_details": {"agentId": 1, "metadata": 2}},
            [
                mistyped("string_type", "string", 1, "agent_details", "agentId"),
                *(
                    missing("agent_details", name, body={"agentId": 1, "metadata": 2})
                    for name in ("agentName", "version", "contactEndpoint")
                ),
                mistyped("dict_type", "dictionary", 2, "agent_details", "metadata"),
            ],
        ),
        (
            NOTIFY,
            registration("a", capabilities={}),
            [
                mistyped("list_type", "list", {}, "agent_details", "capabilities"),
            ],
        ),
        (
            NOTIFY,
            registration("a", capabilities=["x", None]),
            [
                mistyped("string_type", "string", None, "agent_details", "capabilities", 1),
            ],
        ),
        (workflow_path("x"), DEFINITION, [UNWRAPPED]),
        (
            workflow_path("x"),
            BOTH,
            [
                misfit("Provide either workflowDefinitionId or workflowDefinition, not both", BOTH),
            ],
        ),
        (
            workflow_path("x"),
            {"workflowDefinition": {}},
            [missing("workflowDefinition", name, body={}) for name in ("id", "name", "tasks")],
        ),
        (
            workflow_path("x"),
            {"workflowDefinition": {**DEFINITION, "tasks": [1]}},
            [
                mistyped("dict_type", "dictionary", 1, "workflowDefinition", "tasks", 0),
            ],
        ),
        (
            workflow_path("x"),
            {"workflowDefinitionId": 1, "initialPayload": "p"},
            [
                mistyped("string_type", "string", 1, "workflowDefinitionId"),
                mistyped("dict_type", "dictionary", "p", "initialPayload"),
            ],
        ),
        (workflow_path("x"), {"workflowDefinition": "x"}, [no_model("x", "workflowDefinition")]),
    ],
)
def test_body_that_does_not_fit(
    standin: Standin, path: str, body: object, errors: list[dict[str, Any]]
) -> None:
    assert told(standin.ask("POST", path, body)) == refused(422, errors)


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        (None, "url_type", "URL input should be a string or URL"),
        ("", "url_parsing", "Input should be a valid URL, input is empty"),
        ("agent", "url_parsing", "Input should be a valid URL, relative URL without a base"),
        ("http://", "url_parsing", "Input should be a valid URL, empty host"),
        ("http://a:99999", "url_parsing", "Input should be a valid URL, invalid port number"),
        ("http://[::1", "url_parsing", "Input should be a valid URL, invalid IPv6 address"),
        ("http://1.2.3.256", "url_parsing", "Input should be a valid URL, invalid IPv4 address"),
        (
            "http://a b",
            "url_parsing",
            "Input should be a valid URL, invalid international domain name",
        ),
        ("ftp://agent", "url_scheme", "URL scheme should be 'http' or 'https'"),
        ("http://a/" + "b" * 2075, "url_too_long", "URL should have at most 2083 characters"),
    ],
)
def test_bad_contact_endpoint(standin: Standin, url: str | None, kind: str, message: str) -> None:
    status, body = told(standin.ask("POST", NOTIFY, registration("a1", contactEndpoint=url)))
    (item,) = body["detail"]
    assert (status, item["type"], item["msg"], item["input"]) == (422, kind, message, url)
    assert item["loc"] == ["body", "agent_details", "contactEndpoint"]


@pytest.mark.parametrize(
    "url",
    ["https://a", "HTTP://A:65535/x y?z#z", "http://[::1]:80", "http://1.2.3", "http://u:p@é.com"],
)
def test_good_contact_endpoint(standin: Standin, url: str) -> None:
    assert standin.ask("POST", NOTIFY, registration("a1", contactEndpoint=url)).status == 200


@pytest.mark.parametrize("path", [NOTIFY, state_path("x"), workflow_path("x")])
def test_bad_json(standin: Standin, path: str) -> None:
    error = {
        "type": "json_invalid",
        "loc": ["body", 1],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": "Expecting property name enclosed in double quotes"},
    }
    assert told(standin.ask("POST", path, b"{bad")) == refused(422, [error])


def test_syntax_goes_before_the_key_and_the_key_before_the_schema(standin: Standin) -> None:
    path = state_path("nobody")
    assert standin.ask("POST", path, b"{bad", key=None).status == 422
    assert standin.ask("POST", path, {}, key=None).status == 401
    assert standin.ask("POST", path, {}).status == 422
    assert standin.ask("POST", path, update("nobody")).status == 404


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 202),
        ("Application/vnd.agent+json", 202),
        ("", 202),
        ("text/plain", 422),
        ("text/json", 422),
    ],
)
def test_content_type(standin: Standin, agent: str, content_type: str, status: int) -> None:
    body = update(agent)
    headers = {"Content-Type": content_type}
    answer = standin.ask("POST", state_path(agent), body, headers=headers)
    assert answer.status == status
    if status == 422:
        assert answer.body == {"detail": [no_model(json.dumps(body))]}


# ---- what else goes wrong


def test_internal_error(standin: Standin, agent: str) -> None:
    body = json.dumps(update(agent, state="S")).encode().replace(b'"S"', SURROGATE)
    assert standin.ask("POST", state_path(agent), body).status == 202
    expected = refused(500, "Internal Server Error")
    assert told(standin.ask("GET", state_path(agent))) == expected


def test_nothing_listens_after_the_end() -> None:
    with running_standin() as standin:
        standin.stop()
        with pytest.raises(ConnectionRefusedError):
            standin.ask("GET", "/health")


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b'{"status":"ok"}'):
        part = connection.recv(4096)
        assert part, answer
        answer += part
    return answer


def test_an_idle_connection_is_kept_for_a_while_and_then_closed(standin: Standin) -> None:
    with socket.create_connection(("127.0.0.1", standin.port), timeout=TIMEOUT_S) as connection:
        for _ in range(2):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_answer(connection).startswith(b"HTTP/1.1 200 ")
        assert connection.recv(1) == b""


def test_a_client_that_leaves_in_the_middle_of_a_body(standin: Standin, agent: str) -> None:
    before = standin.counters()
    with socket.create_connection(("127.0.0.1", standin.port), timeout=TIMEOUT_S) as connection:
        head = f"POST {state_path(agent)} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{"
        connection.sendall(head.encode())
    assert standin.ask("GET", state_path(agent)).body["state"] == "UNKNOWN"
    path = "POST /v1/opscore/agent/{agentId}/state"
    assert standin.counters().get(path) == before.get(path)


# ---- HTTP/2 and TLS


def curl(standin: Standin, path: str, *options: str) -> tuple[str, list[str], str]:
    """Ask by curl; returns the version of HTTP, what the head says but for its server, the body."""
    command = [tool("curl"), "-sS", "-i", "-m", str(TIMEOUT_S), "--cacert", AUTHORITY]
    command += ["-H", f"Authorization: Bearer {KEY}", *options, standin.url + path]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * TIMEOUT_S, env=child_environment()
    )
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition("\n\n")
    first, *lines = head.splitlines()
    version, status = first.split()[:2]
    named = sorted(line for line in map(str.lower, lines) if line[:5] not in ("date:", "serve"))
    return version.removeprefix("HTTP/"), [status, *named], body


@pytest.mark.parametrize(
    ("options", "choice", "spoken"),
    [
        ((), "--http2", "1.1"),  # by the header Upgrade, which servers may leave aside
        (HTTP2, "--http1.1", "1.1"),
        (HTTP2, "--http2-prior-knowledge", "2"),
        (TLS, "--http2", "1.1"),
        ((*HTTP2, *TLS), "--http1.1", "1.1"),
        ((*HTTP2, *TLS), "--http2", "2"),
    ],
)
def test_protocols(options: tuple[str, ...], choice: str, spoken: str) -> None:
    with running_standin(*options) as standin:
        assert standin.url.startswith("https:" if TLS[0] in options else "http:")
        version, _, body = curl(standin, "/health", choice)
        assert (version, body) == (spoken, '{"status":"ok"}')
        assert standin.ask("POST", "/standin/protocols").status == 405
        assert standin.protocols() == {spoken: 1}
        assert standin.ask("GET", "/health").status == 200
        expected = {"1.1": 2} if spoken == "1.1" else {"1.1": 1, "2": 1}
        assert standin.protocols() == expected
        assert standin.counters() == {"GET /health": {"200": 2}}


@pytest.mark.parametrize("options", [HTTP2, (*HTTP2, *TLS)], ids=["http", "https"])
def test_the_same_answers_by_http2(options: tuple[str, ...]) -> None:
    posted = ("-H", "Content-Type: application/json", "-d")
    asked = [
        (NOTIFY, *posted, json.dumps(registration("a1"))),
        (state_path("a1"), *posted, json.dumps(update("a1"))),
        (state_path("a1"), *posted, "{bad"),
        (state_path("a1"),),
        (state_path("nobody"),),
        (workflow_path("a1"), *posted, json.dumps({"workflowDefinitionId": "none"})),
        ("/health", "-I"),
        ("/health/?a=1",),
        (state_path("a%2Fb"),),
        (workflow_path("a1"), *posted, json.dumps({"workflowDefinition": {"id": "x" * 100_000}})),
    ]
    with running_standin(*options) as standin:
        for path, *others in asked:
            one, *first = curl(standin, path, "--http1.1", *others)
            two, *second = curl(standin, path, "--http2-prior-knowledge", *others)
            assert (one, two) == ("1.1", "2")
            assert first == second
        assert standin.protocols() == dict.fromkeys(("1.1", "2"), len(asked))


def test_answers_do_not_wait_for_one_another() -> None:
    """Two on a connection would, as its server doesn't set this: the second one for 40 ms."""
    listener = cli.listen("127.0.0.1", 0)
    with listener, socket.create_connection(listener.getsockname(), timeout=TIMEOUT_S):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("options", [(), HTTP2], ids=["", "http2"])
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("--tls-cert", "nowhere.pem"), "nowhere.pem: No such file"),
        (("--tls-cert", AUTHORITY), "authority.pem: not a certificate and its private key"),
        (("--tls-cert", CLIENT, "--tls-key", LOCKED), "client-locked.pem: not a certificate"),
        (("--tls-cert", CLIENT, "--tls-key", TLS[1]), "localhost.pem: not a certificate"),
        (("--tls-cert", AUTHORITY, "--tls-key", "gone"), "authority.pem and gone: No such file"),
    ],
    ids=["no file", "no key", "locked key", "key of another", "no key's file"],
)
def test_certificates_that_will_not_do(
    options: tuple[str, ...], files: tuple[str, ...], reason: str
) -> None:
    result = run_standin("--port", "0", *options, *files)
    assert result.returncode == 1
    assert reason in one_line(result)


def test_a_key_without_a_certificate() -> None:
    result = run_standin("--tls-key", TLS[1])
    assert result.returncode == 2
    assert "--tls-key: there is no --tls-cert" in one_line(result)


# ---- counters


def test_counters() -> None:
    with running_standin() as standin:
        assert standin.counters() == {}
        standin.register("a1")
        standin.register("a2")
        standin.ask("POST", state_path("a1"), update("a1"))
        standin.ask("POST", state_path("a1"), {})
        standin.ask("GET", state_path("a2"))
        standin.ask("GET", state_path("a2"), key="wrong")
        standin.ask("POST", workflow_path("a1"), {"workflowDefinitionId": "none"})
        standin.ask("GET", "/health")
        standin.ask("DELETE", "/health")
        standin.ask("GET", "/nope")
        assert standin.ask("POST", "/standin/counters").status == 405
        expected = {
            "GET /health": {"200": 1},
            "GET /v1/opscore/agent/{agentId}/state": {"200": 1, "401": 1},
            "POST /v1/opscore/agent/{agentId}/state": {"202": 1, "422": 1},
            "POST /v1/opscore/agent/{agentId}/workflow": {"404": 1},
            f"POST {NOTIFY}": {"200": 2},
            "other": {"404": 1, "405": 1},
        }
        assert standin.counters() == expected
        assert standin.counters() == expected


# ---- starting and stopping


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", [(), HTTP2], ids=["", "http2"])
def test_clean_stop(signum: int, options: tuple[str, ...]) -> None:
    with running_standin(*options) as standin:
        address = ("127.0.0.1", standin.port)
        with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            read_answer(connection)
            standin.process.send_signal(signum)
            output, _ = standin.process.communicate(timeout=TIMEOUT_S)
        assert (standin.process.returncode, output) == (0, "")


def test_a_client_that_does_not_leave_is_left() -> None:
    """One that doesn't go when it is told to, by HTTP/2's GOAWAY."""
    with running_standin(*HTTP2) as standin:
        address = ("127.0.0.1", standin.port)
        with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
            connection.sendall(frames.PREFACE + frames.settings())
            assert connection.recv(4096)
            assert standin.stop() == (0, "")


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_ipv6() -> None:
    with running_standin("--host", "::1") as standin:
        connection = http.client.HTTPConnection("::1", standin.port, timeout=TIMEOUT_S)
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b'{"status":"ok"}'
        connection.close()


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """What a command wrote that failed: nothing to stdout and one line to stderr."""
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("options", [(), HTTP2], ids=["", "http2"])
def test_port_in_use(options: tuple[str, ...]) -> None:
    with running_standin(*options) as standin:
        result = run_standin("--port", str(standin.port), *options)
        assert result.returncode == 1
        line = one_line(result)
        assert f"port {standin.port}: Address already in use" in line
        assert standin.ask("GET", "/health").status == 200


@pytest.mark.parametrize("workers", ["2", "0", "-1", "many"])
def test_only_one_worker(workers: str) -> None:
    result = run_standin("--workers", workers)
    assert result.returncode == 2
    assert "--workers" in one_line(result)
    assert "memory" in one_line(result)


def test_one_worker_may_be_said() -> None:
    with running_standin("--workers", "1") as standin:
        assert standin.ask("GET", "/health").status == 200


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "65536"),
        ("--port", "http"),
        ("--state-delay", "-1"),
        ("--state-delay", "nan"),
        ("--bogus",),
        ("bogus",),
        ("--port",),
    ],
)
def test_wrong_options(options: tuple[str, ...]) -> None:
    result = run_standin(*options)
    assert result.returncode == 2
    assert options[0] in one_line(result)


def test_host_that_does_not_resolve() -> None:
    result = run_standin("--host", "nowhere.invalid")
    assert result.returncode == 1
    assert "nowhere.invalid" in one_line(result)


@pytest.mark.parametrize(
    ("package", "options"),
    [("msgspec", ()), ("uvicorn", ()), ("granian", HTTP2), ("uvloop", HTTP2)],
)
def test_missing_extra(tmp_path: Path, package: str, options: tuple[str, ...]) -> None:
    (tmp_path / f"{package}.py").write_text(
        f"raise ModuleNotFoundError('No module named {package}', name='{package}')\n"
    )
    result = run_standin(*options, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    line = one_line(result)
    assert package in line
    assert "pip install 'opscore-fast[standin]'" in line


def test_the_stand_in_runs_without_locust() -> None:
    """Locust patches the standard library, which would slow the server down."""
    script = "import sys, opscore_fast.standin.app; print('gevent' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert (result.stdout, result.stderr) == ("False\n", "")


def test_it_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "opscore_fast.standin", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert result.returncode == 0
    assert result.stdout.startswith("usage: python -m opscore_fast standin ")


def test_the_package_does_not_import_the_stand_in() -> None:
    script = (
        "import sys, opscore_fast; opscore_fast.FastHttpUser;"
        "print([name for name in sys.modules if 'standin' in name or 'uvicorn' in name])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert result.stdout == "[]\n", result.stderr
