"""The stand-in as an ASGI application: the Ops-Core API with its state in memory.

Statuses, bodies and the order of checks are those of the service: the path, then the method, the
syntax of the body, the key, the schema of the body, and what the request asks for.
"""

import asyncio
import email.message
import json
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec

from opscore_fast.standin import schema

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
Payload = TypeVar("Payload", bound=msgspec.Struct)

COUNTERS_PATH = "/standin/counters"
PROTOCOLS_PATH = "/standin/protocols"
"""The stand-in's own, not the service's: answered requests by endpoint and status, and by version
of HTTP. Not counted."""

_NOTIFY = "/v1/opscore/internal/agent/notify"
_PATH = re.compile(rf"(/health|{_NOTIFY})$|/v1/opscore/agent/([^/]+)/(state|workflow)$")
_LABELS = {
    ("GET", "/health"): "GET /health",
    ("POST", _NOTIFY): f"POST {_NOTIFY}",
    ("POST", "state"): "POST /v1/opscore/agent/{agentId}/state",
    ("GET", "state"): "GET /v1/opscore/agent/{agentId}/state",
    ("POST", "workflow"): "POST /v1/opscore/agent/{agentId}/workflow",
}
_OTHER = "other"

_log = logging.getLogger(__name__)


class Reply(NamedTuple):
    """An answer, ready to be sent: what ASGI wants, and the status for the counters."""

    status: int
    start: Message
    body: Message


Handler = Callable[[str, Headers, bytes], Reply]
"""Answers a request: the agent in its path, its headers, its body. May raise Refusal."""


class Refusal(Exception):
    """Ends the handling of a request with an answer other than success."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def _reply(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
            *headers,
        ],
    }
    return Reply(status, start, {"type": "http.response.body", "body": body})


def _detail(status: int, detail: object, *headers: tuple[bytes, bytes]) -> Reply:
    """An answer `{"detail": ...}`, written as the service writes JSON."""
    text = json.dumps(
        {"detail": detail},
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
        default=bytes.decode,
    )
    return _reply(status, text.encode(), *headers)


def _success(message: str, status: int = 200) -> Reply:
    return _reply(status, msgspec.json.encode({"status": "success", "message": message}))


def _refuse(status: int, detail: object) -> NoReturn:
    raise Refusal(_detail(status, detail))


_HEALTHY = _reply(200, b'{"status":"ok"}')
_ACCEPTED = _success("State update accepted", 202)
_DEREGISTERED = _success("DEREGISTER notification received but not fully processed.")
_NO_KEY = _detail(401, "Authorization header missing")
_WRONG_KEY = _detail(401, "Invalid authentication credentials")
_NOT_FOUND = _detail(404, "Not Found")
_NOT_ALLOWED = {
    method: _detail(405, "Method Not Allowed", (b"allow", method.encode()))
    for method in ("GET", "POST")
}
_BROKEN = _detail(500, "Internal Server Error")
_NO_BODY = {"type": "http.response.body", "body": b""}


def _header(headers: Headers, name: bytes) -> bytes | None:
    """Value of the first header `name` (lower case), None if there is none."""
    for key, value in headers:
        if key == name:
            return value
    return None


def _is_json(content_type: bytes | None) -> bool:
    """Whether a body of this Content-Type is read as JSON; one without any is."""
    if not content_type or content_type == b"application/json":
        return True
    message = email.message.Message()
    message["content-type"] = content_type.decode("latin-1")
    subtype = message.get_content_subtype()
    is_json = subtype == "json" or subtype.endswith("+json")
    return is_json and message.get_content_maintype() == "application"


def _parse(body: bytes) -> object:
    """The JSON in `body`, as far as it is the service's to refuse it for its syntax."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as exc:
        loc = ("body", exc.pos)
        item = schema.error("json_invalid", loc, "JSON decode error", {}, error=exc.msg)
        _refuse(422, [item])
    except (ValueError, RecursionError):
        _refuse(400, "There was an error parsing the body")


async def _read(receive: Receive) -> bytes | None:
    """The whole body of a request, None if the client left before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _redirect(scope: Message, path: str) -> Reply:
    """The service's answer to a path with a slash too many: the same URL without it."""
    host = _header(scope["headers"], b"host")
    address = host.decode("latin-1") if host is not None else "{}:{}".format(*scope["server"])
    query = scope["query_string"].decode("latin-1")
    url = f"{scope['scheme']}://{address}{path}{'?' + query if query else ''}"
    location = quote(url, safe=":/%#?=@[]!$&'()*+,").encode()
    headers = [(b"content-length", b"0"), (b"location", location)]
    start = {"type": "http.response.start", "status": 307, "headers": headers}
    return Reply(307, start, {"type": "http.response.body", "body": b""})


def _iso(when: datetime) -> str:
    text = when.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def _moment(timestamp: str) -> str:
    """The moment that an agent gave, as the service gives it back; now, if it is not ISO 8601."""
    try:
        return _iso(datetime.fromisoformat(timestamp.replace("Z", "+00:00")))
    except ValueError:
        return _iso(datetime.now(UTC))


def _state_reply(agent_id: str, state: str, details: object, timestamp: str) -> Reply:
    answer = {"agentId": agent_id, "state": state, "details": details, "timestamp": timestamp}
    try:
        return _reply(200, msgspec.json.encode(answer))
    except UnicodeEncodeError:
        # JSON can escape half a surrogate pair. The service takes it, then fails to give it back.
        return _BROKEN


class OpsCore:
    """The agents, their states and workflows, and the answers to requests about them.

    `key` is the key that the service expects. A new agent's state, UNKNOWN, can be read
    `state_delay` seconds after its registration. One event loop, no other thread.
    """

    def __init__(self, key: str, state_delay: float = 0.0) -> None:
        self._key = key
        self._bearer = f"Bearer {key}".encode("utf-8", "surrogateescape")
        self._state_delay = state_delay
        self._agents: set[str] = set()
        self._states: dict[str, Reply] = {}
        self._definitions: dict[str, schema.WorkflowDefinition] = {}

    def check_key(self, headers: Headers) -> None:
        """Raises Refusal unless `headers` carry the key."""
        given = _header(headers, b"authorization")
        if given == self._bearer:
            return
        if given is None:
            raise Refusal(_NO_KEY)
        scheme, _, token = given.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or token != self._key:
            raise Refusal(_WRONG_KEY)

    def notify(self, payload: schema.Notification) -> Reply:
        """Registers an agent; the service does nothing yet when one deregisters."""
        agent_id = payload.agent_details.agent_id
        event = payload.event_type.upper()
        if event == "DEREGISTER":
            return _DEREGISTERED
        if event != "REGISTER":
            _refuse(400, f"Unknown event type: {payload.event_type}")
        if not agent_id:
            _refuse(400, "Missing agentId in agent_details for REGISTER event.")
        self._agents.add(agent_id)
        self._states.pop(agent_id, None)
        if self._state_delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._state_delay, self._first_state, agent_id)
        else:
            self._first_state(agent_id)
        return _success(f"Agent {agent_id} registered successfully.")

    def _first_state(self, agent_id: str) -> None:
        details = {"reason": "Initial registration"}
        unknown = _state_reply(agent_id, "UNKNOWN", details, _iso(datetime.now(UTC)))
        self._states.setdefault(agent_id, unknown)

    def set_state(self, agent_id: str, payload: schema.StateUpdate) -> Reply:
        """Takes a state update: the answer of the next read is made now."""
        if agent_id != payload.agent_id:
            _refuse(400, "Agent ID in path does not match agent ID in payload")
        self._check_agent(agent_id)
        self._states[agent_id] = _state_reply(
            agent_id, payload.state, payload.details, _moment(payload.timestamp)
        )
        return _ACCEPTED

    def get_state(self, agent_id: str) -> Reply:
        """The latest state of an agent."""
        state = self._states.get(agent_id)
        if state is None:
            self._check_agent(agent_id)
            _refuse(404, f"No state found for agent {agent_id}")
        return state

    def trigger(self, agent_id: str, payload: schema.WorkflowTrigger) -> Reply:
        """Starts a workflow: by the id of a known definition or by one brought along."""
        definition = self._resolve(payload)
        self._check_agent(agent_id)
        message = "Workflow triggered successfully"
        if not definition.tasks:
            message = "Workflow triggered but has no tasks."
        else:
            self._check_task(definition.tasks[0], payload.initial_payload)
        answer = {"sessionId": str(uuid4()), "workflowId": definition.id, "message": message}
        return _reply(202, msgspec.json.encode(answer))

    def _resolve(self, payload: schema.WorkflowTrigger) -> schema.WorkflowDefinition:
        if payload.workflow_definition_id:
            known = self._definitions.get(payload.workflow_definition_id)
            if known is None:
                _refuse(404, f"Workflow definition not found: {payload.workflow_definition_id}")
            return known
        if not payload.workflow_definition:
            _refuse(400, "Missing workflowDefinitionId or workflowDefinition")
        definition = payload.workflow_definition
        self._definitions.setdefault(definition.id, definition)
        if not definition.id:
            _refuse(500, "Internal error resolving workflow definition.")
        return definition

    def _check_task(self, task: dict[str, Any], payload: object) -> None:
        problems = []
        if not isinstance(task.get("taskId"), str):
            problems.append("taskDefinitionId: Input should be a valid string")
        if not isinstance(payload or task.get("parameters", {}), dict):
            problems.append("payload: Input should be a valid dictionary")
        if problems:
            _refuse(400, f"Invalid task data: {'; '.join(problems)}")

    def _check_agent(self, agent_id: str) -> None:
        if agent_id not in self._agents:
            _refuse(404, f"Agent not found: {agent_id}")


class App:
    """The ASGI application around an OpsCore: routing, bodies and counters."""

    def __init__(self, service: OpsCore) -> None:
        self._service = service
        self._counts: Counter[tuple[str, int]] = Counter()
        self._protocols: Counter[str] = Counter()
        self._own: dict[str, Callable[[], object]] = {
            COUNTERS_PATH: self.counters,
            PROTOCOLS_PATH: self.protocols,
        }
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self._health,
            ("POST", _NOTIFY): self._notify,
            ("POST", "state"): self._set_state,
            ("GET", "state"): self._get_state,
            ("POST", "workflow"): self._trigger,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        method: str = scope["method"]
        found = _PATH.match(scope["path"])
        target: str = found[1] or found[3] if found else ""
        handler = self._routes.get((method, target))
        if found is None or handler is None:
            label = _OTHER
            reply = self._stray(scope, target)
        else:
            body = await _read(receive) if method == "POST" else b""
            if body is None:
                return
            label = _LABELS[method, target]
            reply = self._answer(handler, found[2] or "", scope["headers"], body)
        if scope["path"] not in self._own:
            self._counts[label, reply.status] += 1
            self._protocols[scope["http_version"]] += 1
        await send(reply.start)
        await send(reply.body if method != "HEAD" else _NO_BODY)

    def counters(self) -> dict[str, dict[str, int]]:
        """Answered requests by endpoint ("METHOD path", else "other") and status."""
        result: dict[str, dict[str, int]] = {}
        for (label, status), count in sorted(self._counts.items()):
            result.setdefault(label, {})[str(status)] = count
        return result

    def protocols(self) -> dict[str, int]:
        """Answered requests by version of HTTP: "1.0", "1.1" and "2"."""
        return dict(sorted(self._protocols.items()))

    def _answer(self, handler: Handler, agent_id: str, headers: Headers, body: bytes) -> Reply:
        try:
            return handler(agent_id, headers, body)
        except Refusal as refusal:
            return refusal.reply
        except Exception as exc:
            # The service answers so as well, for example to text that is no Unicode.
            _log.error("%s in %s", type(exc).__name__, handler.__name__)
            return _BROKEN

    def _stray(self, scope: Message, target: str) -> Reply:
        """The answer to a path that does not exist or a method that it does not have."""
        path: str = scope["path"]
        if target:
            # The method named first for a path is the one that the service tells.
            return _NOT_ALLOWED[next(known for known, other in self._routes if other == target)]
        if path in self._own:
            if scope["method"] != "GET":
                return _NOT_ALLOWED["GET"]
            return _reply(200, json.dumps(self._own[path]()).encode())
        if path.endswith("/") and _PATH.match(path.rstrip("/")):
            return _redirect(scope, path.rstrip("/"))
        return _NOT_FOUND

    def _payload(self, kind: schema.Body[Payload], headers: Headers, body: bytes) -> Payload:
        """The payload of a request; bad JSON is refused before a bad key, a bad schema after."""
        value: object = None
        payload: Payload | None = None
        if body and _is_json(_header(headers, b"content-type")):
            payload = kind.decode(body)
            if payload is None:
                value = _parse(body)
        elif body:
            value = body
        if kind.needs_key:
            self._service.check_key(headers)
        if payload is None:
            payload, errors = kind.validate(value)
            if payload is None:
                _refuse(422, errors)
        return payload

    def _health(self, agent_id: str, headers: Headers, body: bytes) -> Reply:
        return _HEALTHY

    def _notify(self, agent_id: str, headers: Headers, body: bytes) -> Reply:
        return self._service.notify(self._payload(schema.NOTIFICATION, headers, body))

    def _set_state(self, agent_id: str, headers: Headers, body: bytes) -> Reply:
        payload = self._payload(schema.STATE_UPDATE, headers, body)
        return self._service.set_state(agent_id, payload)

    def _get_state(self, agent_id: str, headers: Headers, body: bytes) -> Reply:
        self._service.check_key(headers)
        return self._service.get_state(agent_id)

    def _trigger(self, agent_id: str, headers: Headers, body: bytes) -> Reply:
        payload = self._payload(schema.WORKFLOW_TRIGGER, headers, body)
        return self._service.trigger(agent_id, payload)
