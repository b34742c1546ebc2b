"""Bodies that the service takes: their types, and what a body that does not fit is told.

A good body is decoded straight into one of the types below. Any other goes through the checks,
which give the error list of the service's 422 answers, item by item as Pydantic writes them.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from opscore_fast.standin import urls

Payload = TypeVar("Payload", bound=msgspec.Struct)
Loc = tuple[str | int, ...]
Error = dict[str, Any]
Check = Callable[[Any, Loc, list[Error]], None]
"""Appends what is wrong with a value at a place of the body to a list of errors."""


class AgentDetails(msgspec.Struct, rename="camel"):
    """An agent, as it registers."""

    agent_id: str
    agent_name: str
    version: str
    contact_endpoint: str
    capabilities: list[str] = []
    metadata: dict[str, Any] = {}


class Notification(msgspec.Struct):
    """Body of POST /v1/opscore/internal/agent/notify."""

    event_type: str
    agent_details: AgentDetails


class StateUpdate(msgspec.Struct, rename="camel"):
    """Body of POST /v1/opscore/agent/{agentId}/state."""

    agent_id: str
    timestamp: str
    state: str
    details: dict[str, Any] | None = None


class WorkflowDefinition(msgspec.Struct):
    """A workflow, as a trigger brings it along."""

    id: str
    name: str
    tasks: list[dict[str, Any]]
    description: str | None = None
    version: str = "1.0"


class WorkflowTrigger(msgspec.Struct, rename="camel"):
    """Body of POST /v1/opscore/agent/{agentId}/workflow."""

    workflow_definition_id: str | UnsetType | None = UNSET
    workflow_definition: WorkflowDefinition | UnsetType | None = UNSET
    initial_payload: dict[str, Any] | None = None


def error(kind: str, loc: Loc, message: str, value: object, **context: object) -> Error:
    """One item of a 422 answer's list."""
    item: Error = {"type": kind, "loc": loc, "msg": message, "input": value}
    if context:
        item["ctx"] = context
    return item


def _string(value: Any, loc: Loc, errors: list[Error]) -> None:
    if not isinstance(value, str):
        errors.append(error("string_type", loc, "Input should be a valid string", value))


def _object(value: Any, loc: Loc, errors: list[Error]) -> None:
    if not isinstance(value, dict):
        errors.append(error("dict_type", loc, "Input should be a valid dictionary", value))


def _list_of(check: Check) -> Check:
    def check_list(value: Any, loc: Loc, errors: list[Error]) -> None:
        if not isinstance(value, list):
            errors.append(error("list_type", loc, "Input should be a valid list", value))
            return
        for index, item in enumerate(value):
            check(item, (*loc, index), errors)

    return check_list


def _optional(check: Check) -> Check:
    def check_optional(value: Any, loc: Loc, errors: list[Error]) -> None:
        if value is not None:
            check(value, loc, errors)

    return check_optional


def _http_url(value: Any, loc: Loc, errors: list[Error]) -> None:
    if not isinstance(value, str):
        errors.append(error("url_type", loc, "URL input should be a string or URL", value))
        return
    if len(value) > urls.MAX_LENGTH:
        message = f"URL should have at most {urls.MAX_LENGTH} characters"
        errors.append(error("url_too_long", loc, message, value, max_length=urls.MAX_LENGTH))
        return
    url = urls.clean(value)
    problem = urls.problem(url) if value else "input is empty"
    if problem:
        message = f"Input should be a valid URL, {problem}"
        errors.append(error("url_parsing", loc, message, value, error=problem))
    elif urls.scheme_of(url) not in ("http", "https"):
        schemes = "'http' or 'https'"
        message = f"URL scheme should be {schemes}"
        errors.append(error("url_scheme", loc, message, value, expected_schemes=schemes))


def _model(required: dict[str, Check], order: str = "", **optional: Check) -> Check:
    """Check of an object: its fields in the order of their definition, others ignored."""
    fields = {**required, **optional}

    def check_model(value: Any, loc: Loc, errors: list[Error]) -> None:
        if not isinstance(value, dict):
            message = "Input should be a valid dictionary or object to extract fields from"
            errors.append(error("model_attributes_type", loc, message, value))
            return
        for name in order.split() or fields:
            if name in value:
                fields[name](value[name], (*loc, name), errors)
            elif name in required:
                errors.append(error("missing", (*loc, name), "Field required", value))

    return check_model


_check_details = _model(
    {"agentId": _string, "agentName": _string, "version": _string, "contactEndpoint": _http_url},
    order="agentId agentName version capabilities contactEndpoint metadata",
    capabilities=_list_of(_string),
    metadata=_object,
)
_check_notification = _model({"event_type": _string, "agent_details": _check_details})
_check_state_update = _model(
    {"agentId": _string, "timestamp": _string, "state": _string}, details=_optional(_object)
)
_check_definition = _model(
    {"id": _string, "name": _string, "tasks": _list_of(_object)},
    order="id name description version tasks",
    description=_optional(_string),
    version=_string,
)
_check_trigger_fields = _model(
    {},
    workflowDefinitionId=_optional(_string),
    workflowDefinition=_optional(_check_definition),
    initialPayload=_optional(_object),
)


def _check_trigger(value: Any, loc: Loc, errors: list[Error]) -> None:
    if isinstance(value, dict):
        message = ""
        if "workflowDefinitionId" not in value and "workflowDefinition" not in value:
            message = "Either workflowDefinitionId or workflowDefinition must be provided"
        elif value.get("workflowDefinitionId") and value.get("workflowDefinition"):
            message = "Provide either workflowDefinitionId or workflowDefinition, not both"
        if message:
            errors.append(error("value_error", loc, f"Value error, {message}", value, error={}))
            return
    _check_trigger_fields(value, loc, errors)


def _good_notification(payload: Notification) -> bool:
    url = payload.agent_details.contact_endpoint
    return (
        len(url) <= urls.MAX_LENGTH
        and url.startswith(("http://", "https://"))
        and urls.problem(url) is None
    )


def _good_trigger(payload: WorkflowTrigger) -> bool:
    given = payload.workflow_definition_id, payload.workflow_definition
    return any(one is not UNSET for one in given) and not all(given)


class Body(Generic[Payload]):
    """Reads one kind of body.

    `good` looks at what the type alone does not say; False only means that the checks decide.
    `needs_key` tells whether a request with such a body must carry the key.
    """

    def __init__(
        self,
        payload_type: type[Payload],
        check: Check,
        good: Callable[[Payload], bool] | None = None,
        *,
        needs_key: bool = True,
    ) -> None:
        self.needs_key = needs_key
        self._type = payload_type
        self._decode = msgspec.json.Decoder(payload_type).decode
        self._check = check
        self._good = good

    def decode(self, body: bytes) -> Payload | None:
        """The payload if `body` is certainly good, else None: `json.loads` and `validate()`."""
        try:
            payload = self._decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return payload if self._good is None or self._good(payload) else None

    def validate(self, value: object) -> tuple[Payload | None, list[Error]]:
        """The payload in `value`, parsed JSON, or the list of errors of the 422 answer."""
        errors: list[Error] = []
        if value is None:
            errors.append(error("missing", ("body",), "Field required", None))
        else:
            self._check(value, ("body",), errors)
        return (None, errors) if errors else (msgspec.convert(value, self._type), errors)


NOTIFICATION = Body(Notification, _check_notification, _good_notification, needs_key=False)
STATE_UPDATE = Body(StateUpdate, _check_state_update)
WORKFLOW_TRIGGER = Body(WorkflowTrigger, _check_trigger, _good_trigger)
