"""A request as the session would send it, with marks where agents' values go."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from locust.event import EventHook

from opscore_fast.exceptions import ConnectError
from opscore_fast.http_session import HttpSession, _timeouts
from opscore_fast.recording.branches import CookieSpec, Parts, RequestSpec
from opscore_fast.recording.cookies import Brought
from opscore_fast.recording.markers import Markers
from opscore_fast.recording.plan import Encoding
from opscore_fast.recording.symbols import Native, parts_of
from opscore_fast.sessions import FastHttpSession
from opscore_fast.urls import with_params

if TYPE_CHECKING:
    from opscore_fast.recording.agent import Agent

_NOWHERE = "/nonexistent/opscore-fast"  # a socket that no connection is made to


class Builder:
    """Makes a request of the session's with markers for symbols, and reads it back."""

    def __init__(self, agent: Agent, fast: bool, markers: Markers) -> None:
        self._agent, self._fast, self._markers = agent, fast, markers
        self._found: set[str] = set()

    def spec(
        self, method: str, url: Any, kwargs: dict[str, Any], caught: bool, name: Any
    ) -> RequestSpec:
        """Return the request. Raises Changed, and what the session raises."""
        plant = self._markers.plant
        planted: dict[str, Any] = {}
        for key, encoding in (
            ("params", Encoding.QUERY), ("headers", Encoding.HEADER), ("json", Encoding.JSON),
        ):  # fmt: skip
            if kwargs.get(key) is not None:
                raw = key == "params" and isinstance(kwargs[key], Native | str)
                planted[key] = plant(kwargs[key], Encoding.TEXT if raw else encoding)
        if kwargs.get("data") is not None:
            raw = isinstance(kwargs["data"], Native | str | bytes)
            planted["data"] = plant(kwargs["data"], Encoding.TEXT if raw else Encoding.QUERY)
        if isinstance(planted.get("params"), bytes):
            raise TypeError("params is a bytes; use a str")
        for key in ("auth", "timeout", "allow_redirects"):
            if kwargs.get(key) is not None:
                planted[key] = plant(kwargs[key], Encoding.TEXT)
        session, authorization = self._session("auth" in planted)
        params = self._params_apart(url, planted)
        sent = getattr(session, method.lower(), None)
        full = plant(url, Encoding.TEXT)
        if not isinstance(full, str):
            raise TypeError("the URL is no str")
        made = sent(full, **planted) if sent else session.request(method, full, **planted)
        if not isinstance(made.error, ConnectError):  # which no connection to nowhere has made
            raise ValueError(str(made.error))
        request = made.request
        target = str(request.url)
        if self._fast and planted.get("params") is not None:
            target = _as_geventhttpclient(target, planted["params"])
        if not self._fast and isinstance(url, Native):
            target = self._raw(full, target)
        given = self._split(self._absolute(full)) if self._fast else ()
        return self._read(request, target, params, given, kwargs, caught, name, authorization)

    def _params_apart(self, url: Any, planted: dict[str, Any]) -> str | None:
        """Take params out of a request if how they stand in its URL is known only when the plan
        runs; returns what they add to the query then."""
        params = planted.get("params")
        varies = isinstance(params, str) and self._split(params) != (params,)
        if params is None or not (isinstance(url, Native) or varies):
            return None
        del planted["params"]
        return with_params("", params).removeprefix("?")

    def _absolute(self, url: str) -> str:
        if url.startswith(("http://", "https://")):
            return url
        return f"{self._agent.user.client.base_url}{url}"

    def _raw(self, url: str, sent: str) -> str:
        """Return a URL as it is given: how requests quotes one depends on all of it."""
        raw = urlsplit(self._absolute(url))
        return urlsplit(sent)._replace(path=raw.path, query=raw.query).geturl()

    def _session(self, own_auth: bool) -> tuple[Any, Any]:
        """Return a session like the user's whose agents' values are markers, and what its
        Authorization header is to be, if it is the session's."""
        agent, session = self._agent, self._agent.user.client
        unheard: Any = EventHook  # untyped in Locust
        sent = agent.headers()
        headers = {
            name: self._markers.plant(value, Encoding.HEADER)
            if isinstance(value, Native)
            else value
            for name, value in sent.items()
        }
        authorization = None if own_auth else agent.authorization()
        if authorization is not None:
            authorization = self._markers.plant(authorization, Encoding.HEADER)
        if self._fast:
            probe: Any = FastHttpSession(
                session.base_url, unheard(), None, headers=headers, unix_socket=_NOWHERE
            )
            probe.auth_header = authorization
            return probe, None
        probe = HttpSession(session.base_url, unheard(), None, unix_socket=_NOWHERE)
        probe.headers = type(sent)(headers)
        return probe, authorization

    def _split(self, text: str) -> Parts:
        return self._markers.split(text, self._found)

    def _read(
        self,
        request: Any,
        url: str,
        params: str | None,
        given: Parts,
        kwargs: dict[str, Any],
        caught: bool,
        name: Any,
        auth: Any,
    ) -> RequestSpec:
        parts = urlsplit(url)
        if parts.username is not None:
            raise ValueError("credentials in the URL are not recorded: use auth= or client.auth")
        self._markers.check_none(parts.netloc + parts.scheme)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [
            (field, value.decode("latin-1") if isinstance(value, bytes) else str(value))
            for field, value in request.headers.items()
            if field.lower() not in ("content-length", "transfer-encoding")
        ]
        names = {field.lower() for field, _ in headers}
        if "host" not in names:
            headers.insert(0, ("Host", parts.netloc))
        if auth is not None:
            headers = [item for item in headers if item[0].lower() != "authorization"]
            headers.append(("Authorization", auth))
        if "accept-encoding" not in names and not self._fast:
            headers.append(("Accept-Encoding", "identity"))
        body = request.body
        if isinstance(body, bytes):
            body = body.decode("utf-8", "surrogateescape")
        connect, network = _timeouts(kwargs["timeout"]) if kwargs.get("timeout") else (None, None)
        split = tuple((field, self._split(value)) for field, value in headers)
        cookies = tuple(self._cookie(cookie) for cookie in kwargs.get("cookies") or ())
        spec = RequestSpec(
            method=str(request.method),
            place=f"{parts.scheme}://{parts.netloc}",
            target=self._split(target),
            params=() if params is None else self._split(params) or ("",),
            url=given,
            name=() if name is None else parts_of(name),
            headers=split,
            cookies=cookies,
            body=None if body is None else self._split(body),
            caught=caught,
            redirects=self._redirects(str(request.method), kwargs),
            has_cookie="cookie" in names,
            has_host="host" in names,
            connect_timeout=connect,
            network_timeout=network,
        )
        self._markers.check_all(self._found)
        return spec

    def _cookie(self, cookie: Brought) -> CookieSpec:
        """Return a cookie of cookies=, which never goes by the session: requests merges it with
        what an agent's own jar has when it is sent."""
        if cookie.value is None:
            return CookieSpec(cookie.name, None, cookie.scope)
        planted = self._markers.plant(cookie.value, Encoding.HEADER)
        planted.encode("latin-1")  # or else it is no header
        return CookieSpec(cookie.name, self._split(planted), cookie.scope)

    def _redirects(self, method: str, kwargs: dict[str, Any]) -> bool:
        default = self._fast or method != "HEAD"
        return bool(kwargs.get("allow_redirects", default))


def _as_geventhttpclient(url: str, params: Any) -> str:
    """Return a URL with params that may be empty, which leave a trace behind a query."""
    made = with_params(url, params)
    return f"{made}&" if made == url and urlsplit(url).query else made
