"""HTTP clients that differential tests compare: each makes requests and says what came of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import pycurl
from geventhttpclient.header import Headers
from locust.event import EventHook

from opscore_fast import FastHttpSession

PATIENCE = 5.0
"""Seconds of silence after which a client gives up: more than any server here takes."""


@dataclass(frozen=True)
class Answer:
    """A response that a client took. Headers of one name stand together, as Locust gives them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Refusal:
    """A request that failed. All are alike but those that a client had to be patient for."""

    timed_out: bool
    why: str = field(compare=False)


Outcome = Answer | Refusal


class Client(Protocol):
    """One user's client, with connections of its own."""

    def request(self, method: str, url: str) -> Outcome: ...

    def close(self) -> None: ...


def grouped(fields: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(Headers(fields).items())


class EngineClient:
    """opscore_fast's own engine, by its fast path."""

    transport = "opscore_fast"

    def __init__(self) -> None:
        self.session = FastHttpSession(
            None, EventHook(), None, network_timeout=PATIENCE, transport=self.transport
        )

    def request(self, method: str, url: str) -> Outcome:
        response = self.session.request(method, url, allow_redirects=False)
        error: Any = response.error
        if response.status_code and response.headers is not None and not hasattr(error, "phase"):
            headers = tuple(response.headers.items())
            return Answer(response.status_code, headers, response.content or b"")
        return Refusal(isinstance(error, TimeoutError), f"{type(error).__name__}: {error}")

    def close(self) -> None:
        self.session.client.clientpool.close()


class EngineByCurlClient(EngineClient):
    """The same engine by its libcurl path."""

    transport = "libcurl"


class CurlClient:
    """libcurl itself, with the settings that are nearest to Locust's."""

    def __init__(self) -> None:
        self.curl = pycurl.Curl()

    def request(self, method: str, url: str) -> Outcome:
        lines: list[bytes] = []
        body = bytearray()
        curl = self.curl
        curl.reset()  # the connections stay
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        curl.setopt(pycurl.NOBODY, method == "HEAD")
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.ACCEPT_ENCODING, "gzip, deflate, br")
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.NOSIGNAL, True)
        curl.setopt(pycurl.TIMEOUT_MS, int(PATIENCE * 1000))
        curl.setopt(pycurl.HEADERFUNCTION, lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, body.extend)
        try:
            curl.perform()
        except pycurl.error as error:
            code, text = error.args
            return Refusal(code == pycurl.E_OPERATION_TIMEDOUT, f"{code}: {text}")
        return Answer(curl.getinfo(pycurl.RESPONSE_CODE), fields_of(lines), bytes(body))

    def close(self) -> None:
        self.curl.close()


def fields_of(lines: list[bytes]) -> tuple[tuple[str, str], ...]:
    """The fields of the last head among the lines that libcurl gave, without its trailers."""
    fields: list[tuple[str, str]] = []
    over = True
    for line in lines:
        text = line.decode("latin-1")
        if text.startswith("HTTP/") and over:
            fields, over = [], False
        elif not text.strip("\r\n"):
            over = True
        elif not over:
            name, _, value = text.partition(":")
            fields.append((name, value.strip(" \t\r\n")))
    return grouped(fields)
