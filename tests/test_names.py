"""Names: what a user's requests ask of the name servers, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from helpers import OURS, make_user, record_events, wait_until
from locust.env import Environment
from servers import Listener, Server

from opscore_fast import engines

LOOPBACK = {"A": ["127.0.0.1"]}
NEW_CONNECTION = {"Connection": "close"}


@pytest.fixture(scope="module")
def dns_server() -> Iterator[Server]:
    server = Server("servers.dns")
    yield server
    server.stop()


@pytest.fixture
def dns(dns_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A name server without names, which an engine of the test's own asks."""
    listener = dns_server.listen(zone={})
    monkeypatch.setattr(engines, "_thread", SimpleNamespace())
    monkeypatch.setenv("OPSCORE_FAST_NAMESERVERS", f"127.0.0.1:{listener.port}")
    # One short attempt at a server that doesn't answer, and no domain to search.
    monkeypatch.setenv("RES_OPTIONS", "timeout:1 attempts:1")
    monkeypatch.setenv("LOCALDOMAIN", "invalid")
    yield listener
    engines.current().close()
    listener.close()


def set_zone(dns: Listener, **zone: dict[str, Any]) -> None:
    """Names without their ``.test``."""
    names = {f"{name}.test": records for name, records in zone.items()}
    dns.server.call("set", port=dns.port, zone=names)


def questions(dns: Listener) -> list[list[str]]:
    asked: list[list[str]] = dns.counts()["questions"]
    return asked


def error_of(url: str, environment: Environment, **attributes: Any) -> str:
    """The text of the one failure that a request makes."""
    fired = record_events(environment)
    response = make_user(OURS, url, environment, **attributes).client.get("/")
    assert response.status_code == 0
    [event] = fired
    return str(event["exception"])


def test_all_users_share_one_answer(app: Listener, dns: Listener, environment: Environment) -> None:
    set_zone(dns, app=LOOPBACK)
    users = [make_user(OURS, f"http://App.test:{app.port}", environment) for _ in range(20)]

    def task(user: Any) -> list[int]:
        return [user.client.get("/", headers=NEW_CONNECTION).status_code for _ in range(3)]

    tasks = [gevent.spawn(task, user) for user in users]
    gevent.joinall(tasks, timeout=20, raise_error=True)

    assert [task.value for task in tasks] == [[200] * 3] * 20
    assert sorted(questions(dns)) == [["app.test", "A"], ["app.test", "AAAA"]]
    assert app.counts()["requests"] == 60


def test_an_answer_is_kept_for_its_time_to_live(
    app: Listener, dns: Listener, environment: Environment
) -> None:
    set_zone(dns, app={**LOOPBACK, "ttl": 1})
    client = make_user(OURS, f"http://app.test:{app.port}", environment).client
    assert client.get("/", headers=NEW_CONNECTION).status_code == 200
    set_zone(dns)

    wait_until(lambda: client.get("/", headers=NEW_CONNECTION).status_code == 0)

    set_zone(dns, app=LOOPBACK)
    assert client.get("/", headers=NEW_CONNECTION).status_code == 200, "failures are not kept"


def test_either_family_may_be_the_one_that_answers(
    app: Listener, dns: Listener, environment: Environment
) -> None:
    set_zone(dns, both={**LOOPBACK, "AAAA": ["::1"]}, alias={"CNAME": "both.test"})
    for host in ("both.test", "alias.test"):
        user = make_user(OURS, f"http://{host}:{app.port}", environment)
        assert user.client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("records", "detail"),
    [
        (None, "no such name"),
        ({}, "the name has no address"),
        ({"silent": True}, "the name servers did not answer in time"),
    ],
)
def test_a_name_without_an_address_is_a_failure(
    records: dict[str, Any] | None, detail: str, dns: Listener, environment: Environment
) -> None:
    if records is not None:
        set_zone(dns, app=records)
    error = error_of("http://app.test.", environment)
    assert error == f"cannot resolve host 'app.test.': {detail}"


def test_resolving_takes_no_longer_than_connecting_may(
    dns: Listener, environment: Environment
) -> None:
    set_zone(dns, app={"silent": True})
    error = error_of("http://app.test", environment, connection_timeout=0.1)
    assert error == "resolving host 'app.test' timed out after 0.1 s"


def test_other_greenlets_run_while_a_name_is_resolved(
    app: Listener, dns: Listener, environment: Environment
) -> None:
    set_zone(dns, slow={"silent": True})
    slow = make_user(OURS, "http://slow.test.", environment)
    other = make_user(OURS, app.url, environment)
    resolving = gevent.spawn(slow.client.get, "/")
    wait_until(lambda: questions(dns))
    assert [other.client.get("/").status_code for _ in range(5)] == [200] * 5
    assert not resolving.ready()
    resolving.kill()
