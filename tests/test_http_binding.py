"""The binding of HttpUser where it can go wrong: Python code in between, and what is taken away."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from conftest import Listen
from helpers import OURS, make_user
from locust.env import Environment
from locust.event import EventHook
from servers import Listener

from opscore_fast import HttpSession


def make_client(url: str | None) -> tuple[Any, list[dict[str, Any]]]:
    """A session of its own, and the list of the events that it fires."""
    event, seen = EventHook(), list[dict[str, Any]]()
    event.add_listener(lambda **arguments: seen.append(arguments))
    return HttpSession(url, event, None), seen


def secret(what: str) -> str:
    """A string that nothing else holds."""
    return "".join([what, "-"] * 20)


def overwrite(length: int) -> list[str]:
    """Have what was freed be some other string's memory."""
    gc.collect()
    return [chr(65 + i % 26) * length for i in range(2000)]


# Python code that runs while a request is put together or under way


def test_name_that_ends_while_a_hook_runs(app: Listener) -> None:
    client, seen = make_client(app.url)
    client.request_name = secret("renamed")

    def hook(response: Any, **_: Any) -> None:
        client.request_name = None
        client.filler = overwrite(len(secret("renamed")))

    client.get("/ok", hooks={"response": hook})
    assert [event["name"] for event in seen] == [secret("renamed")]


def test_name_that_ends_while_a_file_is_read(app: Listener, environment: Environment) -> None:
    class File:
        def read(self, size: int = -1) -> bytes:
            client.request_name = None
            client.filler = overwrite(len(secret("renamed")))
            return b"content"

    client = make_user(OURS, app.url, environment).client
    client.request_name = secret("renamed")
    client.post("/ok", files={"file": File()})
    assert [name for name, _ in environment.stats.entries] == [secret("renamed")]
