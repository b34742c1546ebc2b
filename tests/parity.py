"""What the parity tests share: scenarios, run with Locust's class and with ours, and compared.

Each scenario is run with both classes against the same servers. Compared are: what the scenario
returns or raises, the events with all of their arguments, the statistics, the requests as the
servers read them (bodies, headers and connections included).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import locust
import pytest
import requests
from helpers import (
    ALL_HTTP_USERS,
    ALL_USERS,
    Users,
    assert_times_add_up,
    local_environment,
    make_user,
    record_events,
    refusing_port,
    request_seen,
    stalled_port,
    statistics,
)
from servers import Listener

Listen = Callable[..., Listener]


@dataclass
class Subject:
    """What a scenario works with. It stays the same for each class, and so do the ports."""

    app: Listener
    other: Listener
    folder: Path
    listen: Listen
    listen_hostile: Listen
    opened: ExitStack
    users: Users = ALL_USERS[0]
    user: Any = None
    more: dict[str, Listener] = field(default_factory=dict)
    hostiles: dict[str, Listener] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        return self.user.client

    def secure(self, certificate: str = "localhost.pem", **options: Any) -> Listener:
        """A port of the ordinary server that speaks TLS."""
        key = f"{certificate} {options}"
        if key not in self.more:
            self.more[key] = self.listen(certificate=certificate, **options)
        return self.more[key]

    def hostile(self, *scripts: list[list[Any]], **options: Any) -> Listener:
        """A port of the hostile server with these scripts."""
        key = f"{scripts} {options}"
        if key not in self.hostiles:
            self.hostiles[key] = self.listen_hostile(*scripts, **options)
        return self.hostiles[key]

    @cached_property
    def stalled(self) -> str:
        """The URL of a server that never answers an attempt to connect."""
        return f"http://127.0.0.1:{self.opened.enter_context(stalled_port())}/"

    @cached_property
    def refused(self) -> str:
        """The URL of a server that refuses connections."""
        return f"http://127.0.0.1:{self.opened.enter_context(refusing_port())}/"

    def raw(self, response: str) -> str:
        """The URL of a server that answers each request with that text, then closes."""
        return self.hostile([["request"], ["send", response]]).url + "/"

    def another_user(self, **attributes: Any) -> Any:
        """One more user of the class that is tested, in the same environment."""
        return make_user(self.users, self.user.host, self.user.environment, **attributes)

    def session(self, base_url: str, **options: Any) -> Any:
        """A session that belongs to no user."""
        return self.users.session(base_url, self.user.environment.events.request, None, **options)

    def servers(self) -> list[Listener]:
        return [self.app, self.other, *self.more.values()]

    def clear(self) -> None:
        for listener in [*self.servers(), *self.hostiles.values()]:
            listener.clear()


@dataclass(frozen=True)
class Scenario:
    """A piece of a locustfile, and the user class's attributes that it wants."""

    run: Callable[[Subject], Any]
    host: str = "http://{address}"
    raises: type[Exception] | None = None  # before anything is sent; the text may differ
    ends: type[Exception] | None = None  # the exception that the scenario ends with
    counts: bool = True  # whether a request is counted at all
    sends: bool = True  # whether a request reaches a server
    same_length: bool = True  # whether a body is announced in the same way
    same_texts: bool = True  # of errors
    same_urls: bool = True
    ordered: bool = True  # whether requests follow one another
    hide: str = ""  # expression for what is new in each run, such as a multipart boundary
    ignore: str = ""  # expression for what differs for a reason that docs/compatibility.md has
    pending: str = ""  # what ours lacks for it, yet
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.run.__name__


class Scenarios(list[Scenario]):
    """The scenarios of a module, to which calling it adds one more."""

    def __call__(
        self, **options: Any
    ) -> Callable[[Callable[[Subject], Any]], Callable[[Subject], Any]]:
        """Add a function. Options are those of `Scenario`, or attributes of the user class."""
        own = {name: options.pop(name) for name in set(options) & set(Scenario.__annotations__)}

        def add(run: Callable[[Subject], Any]) -> Callable[[Subject], Any]:
            self.append(Scenario(run, **own, attributes=options))
            return run

        return add


def attempt(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What a call returns, or the exception that it raises."""
    try:
        return call(*arguments, **keywords)
    except Exception as error:
        return error


# Observing


@dataclass(frozen=True)
class Raised:
    """An exception as comparable data."""

    classes: tuple[str, ...]
    text: str
    shown: str

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        return cls(tuple(map(class_name, type(error).__mro__)), str(error), repr(error))


@dataclass(frozen=True)
class Caught:
    """An exception by the classes that it can be caught as; its text may differ."""

    classes: frozenset[str]


def class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


# Where the classes are from that locustfiles catch. Those of urllib3 are its own affair, and where
# Locust's event has one, ours has requests' of the same meaning.
CATCHABLE = re.compile(r"(builtins|socket|ssl|zlib|json|http|requests|locust|geventhttpclient)\b")


class Face:
    """A kind of user class: its implementations, and how what they show is taken apart."""

    users = ALL_USERS

    def describe(self, value: Any) -> Any:
        """A value as comparable data: responses and exceptions are taken apart."""
        if isinstance(value, BaseException):
            return Raised.of(value)
        if isinstance(value, dict):
            return {key: self.describe(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.describe(item) for item in value]
        if hasattr(value, "status_code"):
            return self.describe_response(value)
        return value

    def describe_response(self, response: Any) -> dict[str, Any]:
        raise NotImplementedError

    def describe_event(self, event: dict[str, Any], since: float) -> dict[str, Any]:
        """An event's arguments; the times are replaced by whether they can be right."""
        described: dict[str, Any] = {name: self.describe(value) for name, value in event.items()}
        # The time is filed with microseconds at best, so the comparison allows for one.
        described["start_time"] = since - 1e-6 <= event["start_time"] <= time.time() + 1e-6
        taken = event["response_time"]
        described["response_time"] = type(taken), 0 < taken < (time.time() - since) * 1000 + 1
        return described


# Locust's fast class does not show these, as it adds them at the last moment, or only sometimes.
LATE_HEADERS = ("user-agent", "host", "content-length")


def describe_headers(headers: Any, without: tuple[str, ...] = ()) -> Any:
    if headers is None:
        return None
    # Given as bytes they may show as text.
    pairs = [(as_text(name).lower(), as_text(value)) for name, value in headers.items()]
    return sorted(pair for pair in pairs if pair[0] not in without)


def as_text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class FastFace(Face):
    """FastHttpUser."""

    def describe_response(self, response: Any) -> dict[str, Any]:
        return {
            "status_code": response.status_code,
            "ok": response.ok,
            "content": response.content,
            "text": response.text,
            "encoding": response.encoding,
            "headers": describe_headers(response.headers),
            "url": response.url,
            "request": {
                "method": response.request.method,
                "url": response.request.url,
                "body": self.describe(response.request.body) or None,
                "headers": describe_headers(response.request.headers, LATE_HEADERS),
            },
            "error": self.describe(getattr(response, "error", None)),
        }


class HttpFace(Face):
    """HttpUser."""

    users = ALL_HTTP_USERS

    SHOWN = (
        "status_code",
        "ok",
        "reason",
        "content",
        "text",
        "encoding",
        "url",
        "is_redirect",
        "is_permanent_redirect",
        "links",
    )

    def describe_response(self, response: Any) -> dict[str, Any]:
        history = attempt(getattr, response, "history")
        return {**self.describe_single(response), "history": list(map(self.describe_past, history))}

    def describe_past(self, response: Any) -> dict[str, Any]:
        """A response that was redirected, which has a history too."""
        return {**self.describe_single(response), "history": len(response.history)}

    def describe_single(self, response: Any) -> dict[str, Any]:
        shown = {name: self.describe(attempt(getattr, response, name)) for name in self.SHOWN}
        described = {
            **shown,
            "error": self.describe(getattr(response, "error", None)),
            "truth": self.describe(attempt(bool, response)),
            "headers": sorted(response.headers.items()),
            "cookies": describe_jar(response.cookies),
        }
        if response.status_code == 0:
            # Ours say here what was asked, of which Locust's know nothing.
            del described["url"]
            return described
        elapsed = response.elapsed
        return {
            **described,
            "elapsed": (type(elapsed), elapsed > timedelta(0)),
            "request": self.describe_request(response.request),
        }

    def describe_request(self, request: Any) -> Any:
        if request is None:
            return None
        return {
            "method": request.method,
            "url": request.url,
            "path_url": request.path_url,
            "body": request.body if isinstance(request.body, str | bytes | None) else "streamed",
            "headers": describe_headers(request.headers, ("user-agent",)),
            "shown": repr(request),
        }


FAST = FastFace()
HTTP = HttpFace()


def describe_jar(jar: Any) -> list[tuple[Any, ...]]:
    """A jar's cookies with what servers say of them."""
    names = ("domain", "path", "name", "value", "secure", "discard", "port", "rfc2109")
    cookies = [
        (*(getattr(cookie, name) for name in names), cookie.expires is None) for cookie in jar
    ]
    return sorted(cookies, key=lambda cookie: cookie[:3])


def hostile_request_seen(request: dict[str, str]) -> dict[str, Any]:
    """A request as the hostile server read it."""
    first, *lines = request["head"].rstrip("\r\n").split("\r\n")
    return {
        "first": first,
        "lines": sorted(x for x in lines if not x.lower().startswith("user-agent:")),
        "body": request["body"],
    }


def observe(face: Face, users: Users, scenario: Scenario, subject: Subject, listened: bool) -> Any:
    """Run a scenario; returns everything that is to be compared."""
    subject.clear()
    since = time.time()
    seen: dict[str, Any] = {}
    with local_environment() as environment:
        events = record_events(environment) if listened else []
        host = scenario.host.format(address=f"127.0.0.1:{subject.app.port}")
        subject.users = users
        subject.user = make_user(users, host, environment, **scenario.attributes)
        try:
            seen["returned"] = face.describe(scenario.run(subject))
        except AssertionError:
            raise
        except Exception as error:
            expected = scenario.raises or scenario.ends
            if expected is None or not isinstance(error, expected):
                raise
            seen["raised"] = scenario.raises or Raised.of(error)
        seen["events"] = [face.describe_event(event, since) for event in events]
        seen["statistics"] = statistics(environment)
        for entry in (environment.stats.total, *environment.stats.entries.values()):
            assert_times_add_up(entry)
    ignore = () if scenario.same_length else ("transfer-encoding", "content-length")
    seen["requests"] = [
        *(request_seen(request, ignore) for at in subject.servers() for request in at.requests()),
        *(hostile_request_seen(x) for at in subject.hostiles.values() for x in at.requests()),
    ]
    every = [*subject.servers(), *subject.hostiles.values()]
    seen["connections"] = [listener.counts()["connections"] for listener in every]
    return seen


def check(seen: dict[str, Any], scenario: Scenario, listened: bool) -> None:
    """Fail if a scenario did not do what it is for, which no comparison would notice."""
    assert ("raised" in seen) == bool(scenario.raises or scenario.ends)
    if scenario.raises is not None:
        assert not seen["requests"]
        return
    assert bool(seen["requests"]) == scenario.sends
    counted = seen["statistics"]["total"]["num_requests"]
    assert bool(counted) == scenario.counts
    if listened:
        assert len(seen["events"]) == counted


# Comparing


def comparable(seen: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
    """What is to be compared of an observation."""
    if scenario.hide:
        seen = replaced(seen, lambda value: hidden(value, scenario.hide))
    if not scenario.ordered:
        seen = {**seen, "requests": sorted(request["target"] for request in seen["requests"])}
    if not (scenario.same_urls and scenario.same_length and scenario.ordered):
        events = [(event["request_type"], event["name"]) for event in seen["events"]]
        seen = {**seen, "events": events}
    if not scenario.same_urls:
        seen = {**seen, "requests": len(seen["requests"])}
    if not scenario.same_texts:
        errors: Counter[str] = Counter()
        for method, name, _, occurrences in seen["statistics"]["errors"]:
            errors[f"{method} {name}"] += occurrences
        seen = {**seen, "statistics": {**seen["statistics"], "errors": dict(errors)}}
        seen = replaced(seen, caught)
    return seen


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of nested data with its leaves changed."""
    if isinstance(value, dict):
        return {key: replaced(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(item, change) for item in value]
    return change(value)


def hidden(value: Any, expression: str) -> Any:
    if isinstance(value, bytes):
        return re.sub(expression.encode(), b"HIDDEN", value)
    return re.sub(expression, "HIDDEN", value) if isinstance(value, str) else value


def caught(value: Any) -> Any:
    if not isinstance(value, Raised):
        return value
    return Caught(frozenset(name for name in value.classes if CATCHABLE.match(name)))


def differences(theirs: Any, ours: Any, at: str = "") -> Iterator[str]:
    """What differs between two observations, and where."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in {**theirs, **ours}:
            yield from differences(theirs.get(key), ours.get(key), f"{at}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for i, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(*pair, f"{at}[{i}]")
    elif isinstance(theirs, Caught) and isinstance(ours, Caught):
        if missed := theirs.classes - ours.classes:
            yield f"{at}: caught as {sorted(missed)} with Locust, but not with ours"
    elif theirs != ours or type(theirs) is not type(ours):
        yield f"{at}: Locust {theirs!r}, ours {ours!r}"


# What an exception of ours may be in addition: these say less than its other classes.
BASES = {
    f"requests.exceptions.{name}" for name in ("RequestException", "ConnectionError", "Timeout")
}


def spurious(theirs: Any, ours: Any) -> Iterator[str]:
    """Exceptions of requests as which ours are caught where nothing of Locust's is."""
    found: tuple[set[str], set[str]] = set(), set()
    for seen, names in zip((theirs, ours), found, strict=True):
        replaced(seen, lambda x, names=names: isinstance(x, Caught) and names.update(x.classes))
    for name in sorted(found[1] - found[0]):
        if name.startswith("requests.") and name not in BASES:
            yield f"caught as {name} with ours, but nothing with Locust is"


# The tests


needs_todays_locust = pytest.mark.skipif(
    tuple(map(int, locust.__version__.split(".")[:2])) < (2, 47)
    or tuple(map(int, requests.__version__.split(".")[:2])) < (2, 34),
    reason="it is Locust 2.47, its geventhttpclient and its requests that ours is compared with",
)


def each_of(*scenarios: Scenario) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each scenario, with somebody listening to the events and without."""

    def parametrized(test: Callable[..., None]) -> Callable[..., None]:
        names = [scenario.name for scenario in scenarios]
        assert len(set(names)) == len(names), "two scenarios have the same name"
        parameters = [
            pytest.param(
                scenario,
                id=scenario.name,
                marks=pytest.mark.xfail(reason=scenario.pending, strict=len(ALL_USERS) > 1)
                if scenario.pending
                else (),
            )
            for scenario in scenarios
        ]
        test = pytest.mark.parametrize("listened", [True, False], ids=["listener", "counted"])(test)
        test = pytest.mark.parametrize("scenario", parameters)(test)
        unverified = "ignore::urllib3.exceptions.InsecureRequestWarning"
        test = pytest.mark.filterwarnings(unverified)(test)
        return needs_todays_locust(test)

    return parametrized


def assert_same(face: Face, scenario: Scenario, subject: Subject, listened: bool) -> None:
    """Run a scenario with each implementation; fail if it did not work or something differs."""
    observations = []
    for users in face.users:
        seen = observe(face, users, scenario, subject, listened)
        check(seen, scenario, listened)
        observations.append(comparable(seen, scenario))
    theirs, ours = observations[0], observations[-1]
    found = [*differences(theirs, ours), *spurious(theirs, ours)]
    if scenario.ignore:
        found = [difference for difference in found if not re.match(scenario.ignore, difference)]
    assert not found, "\n".join(found)
