"""Recording: what a plan does is what the task does under Locust, and the rest is refused."""

from __future__ import annotations

import locust  # isort: skip

import importlib.util
import io
import itertools
import re
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import locust.clients
import pytest
import requests
from helpers_interpreter import Agent, Answer, Sent
from locust.env import Environment
from locust.exception import StopUser

import opscore_fast
from opscore_fast import _core, values
from opscore_fast.recording.plan import Encoding, Op, Pace, Plan, Value
from opscore_fast.recording.record import NotRecordable, record, slot_values

_names = itertools.count()

HEAD = """
import json, logging, os, random, re, time, uuid
from datetime import datetime, timedelta, timezone
from random import choice
from locust import SequentialTaskSet, TaskSet, between, constant, constant_pacing, tag, task
from locust.exception import CatchResponseError, StopUser
from opscore_fast import values
from {package} import {user}

class U({user}):
    host = "http://127.0.0.1:9"
    wait_time = constant(0)
"""
HEAD_LINES = HEAD.count("\n")


def module_of(tmp_path: Path, text: str, package: str, user: str, after: str = "") -> ModuleType:
    """Import a locustfile: HEAD, what stands in the class, what comes after it."""
    name = f"recorded_{next(_names)}"
    path = tmp_path / f"{name}.py"
    body = "".join(f"    {line}\n" for line in dedent(text).strip("\n").split("\n"))
    path.write_text(HEAD.format(package=package, user=user) + body + dedent(after))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def new_user(module: ModuleType, attributes: dict[str, Any]) -> Any:
    user = module.U(Environment(user_classes=[module.U]))
    for name, value in attributes.items():
        setattr(user, name, value)
    if hasattr(user, "prepare"):
        user.prepare()
    return user


class Adapter(requests.adapters.BaseAdapter):
    """Answers Locust's own requests by a script."""

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__()
        self.answers, self.requests = list(answers), []

    def send(self, request: Any, **kwargs: Any) -> requests.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else Answer()
        response = requests.Response()
        response.status_code, response.reason = answer.status, answer.reason
        response.headers.update(answer.headers)
        response.raw, response.url = io.BytesIO(answer.body.encode()), request.url
        response.request, response.encoding = request, "utf-8"
        return response

    def close(self) -> None:
        pass


def by_locust(module: ModuleType, attributes: Any, answers: list[Answer], task: int) -> Any:
    """Run a task under Locust; returns what was sent and counted, and what it raised."""
    user = new_user(module, attributes)
    adapter = Adapter(answers)
    user.client.mount("http://", adapter)
    counted: list[tuple[str, str]] = []

    def count(name: str, exception: Any, **_: Any) -> None:
        counted.append((name, "" if exception is None else str(exception)))

    user.environment.events.request.add_listener(count)
    raised = None
    try:
        module.U.tasks[task](user)
    except StopUser:
        raised = "StopUser", ""
    except Exception as error:
        raised = type(error).__name__, str(error)
    sent = [
        (r.method, r.url, r.body.decode() if isinstance(r.body, bytes) else r.body, dict(r.headers))
        for r in adapter.requests
    ]
    return sent, counted, raised, user


def by_plan(plan: Plan, slots: Any, answers: list[Answer], program: int) -> Any:
    left = list(answers)

    def answer(sent: Sent) -> Answer:
        return left.pop(0) if left else Answer()

    agent = Agent(plan, slots, answer)
    agent.run(program)
    sent = [(s.method, s.url, s.body, s.headers) for s in agent.sent]
    counted = [(s.name, s.counted) for s in agent.sent if s.counted is not None]
    raised = agent.raised[0] if agent.raised else ("StopUser", "") if agent.stopped else None
    return sent, counted, raised, agent


DEFAULT = {"agent_id": 'a"1', "token": "täx", "n": 7}


def same(
    tmp_path: Path,
    text: str,
    *scripts: list[Answer],
    attributes: dict[str, Any] = DEFAULT,
    failures_differ: bool = False,
) -> Plan:
    """Record a task, and compare what plan and Locust do for each script of responses."""
    theirs = module_of(tmp_path, text, "locust", "HttpUser")
    ours = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    first = new_user(ours, attributes)
    plan = record(first)
    _core.Plan(plan, {})  # which checks every index and operand
    slots = slot_values(first, plan)
    programs = [plan.sets[0].choices[n][1] for n in range(len(ours.U.tasks))]
    for number, program in enumerate(programs):
        for script in scripts or ([],):
            expected = by_locust(theirs, attributes, script, number)
            got = by_plan(plan, slots, script, program)
            assert _without_headers(got[0]) == _without_headers(expected[0])
            for (*_, given), (*_, wanted) in zip(got[0], expected[0], strict=True):
                for name, value in wanted.items():
                    if name.lower() not in ("user-agent", "accept-encoding", "content-length"):
                        assert given.get(name) == value
            if not failures_differ:
                assert got[1] == expected[1]
                assert got[2] == expected[2]
            for index, slot in enumerate(plan.slots):
                if slot.written and len(slot.path) == 1:
                    assert got[3].slots[index] == getattr(expected[3], str(slot.path[0]), None)
    return plan


def _without_headers(sent: list[Any]) -> list[Any]:
    return [request[:3] for request in sent]


J = '{"status": "ok", "n": 3, "list": [{"id": "x\\"y"}, 5], "none": null, "yes": true, "f": 1.5}'
GOOD, BAD, LOST = Answer(200, J), Answer(404, "no", reason="Not Found"), Answer(200, "<html>")
EMPTY, WRONG = Answer(200, "{}"), Answer(500, '{"status": "bad"}', reason="Broken")


TASKS = {
    "path, name, json": """
        @task
        def t(self):
            self.client.post(f"/a/{self.agent_id}/s?x={self.n}", name="/a/[id]",
                             json={"id": self.agent_id, "n": self.n, "text": f"<{self.token}>",
                                   "deep": [{"a": [self.n, None, True, "ü"]}]})
        """,
    "params, form, headers": """
        @task
        def t(self):
            self.client.get("/q", params={"a": self.agent_id, "n": self.n, "l": [1, self.token]})
            self.client.post("/f", data={"a": self.token, "b": "c d"})
            self.client.put("/h", data="raw " + self.token, headers={"X-A": self.agent_id,
                            "Content-Type": "text/plain; charset=utf-8"})
            self.client.delete("/d")
            self.client.request("PATCH", "/p", json=[self.n])
        """,
    "helpers, properties, closures": """
        prefix = "/p"
        @property
        def place(self):
            return f"{self.prefix}/{self.agent_id}"
        @staticmethod
        def double(text, times=2):
            return "-".join([text] * times)
        def send(self, *parts, **more):
            inner = lambda text: text + "!"
            self.client.post(self.place, json=dict(more, parts=[inner(p) for p in parts]))
        @task
        def t(self):
            self.send(self.token, "b", k=self.double(self.agent_id))
        """,
    "status": """
        @task
        def t(self):
            r = self.client.get("/a")
            if r.status_code == 200:
                self.client.get("/good")
            elif 400 <= r.status_code < 500 or r.status_code in (502, 503):
                self.client.get("/client")
            else:
                self.client.get(f"/other/{r.status_code}" if not r.ok else "/never")
        """,
    "with": """
        @task
        def t(self):
            with self.client.get("/a", catch_response=True) as r:
                if r.status_code == 404:
                    r.success()
                elif "html" in r.text:
                    r.failure(f"{self.agent_id}: {r.text} {r.status_code:05d}")
        """,
    "assert": """
        @task
        def t(self):
            r = self.client.get("/a")
            assert r.status_code == 200, f"status {r.status_code}"
            assert "html" not in r.text
            self.client.get("/b")
        """,
    "assert in with": """
        @task
        def t(self):
            with self.client.get("/a", catch_response=True) as r:
                assert r.ok, "bad"
            self.client.get("/b")
        """,
    "CatchResponseError in with": """
        @task
        def t(self):
            with self.client.get("/a", catch_response=True) as r:
                if not r.ok:
                    raise CatchResponseError("said " + r.reason)
            self.client.get("/b")
        """,
    "try json": """
        @task
        def t(self):
            with self.client.get("/a", catch_response=True) as r:
                try:
                    if r.json()["status"] != "ok":
                        r.failure("status " + r.json()["status"])
                except json.JSONDecodeError:
                    r.failure("no JSON")
                except KeyError as error:
                    r.failure(f"no key {error}")
        """,
    "failure twice, StopUser": """
        @task
        def t(self):
            with self.client.get("/a", catch_response=True) as r:
                r.failure("first")
                r.failure("second")
            if r.status_code != 200:
                raise StopUser()
        """,
    "raise_for_status": """
        @task
        def t(self):
            r = self.client.get("/a")
            try:
                r.raise_for_status()
            except Exception as error:
                self.client.get("/failed")
                raise ValueError("gone") from None
            self.client.get("/b")
        """,
    "regex": """
        @task
        def t(self):
            r = self.client.get("/a")
            m = re.search(r'"n": (?P<n>\\d+)', r.text)
            if m is not None:
                self.client.get(f"/n/{m.group(1)}/{m['n']}/{int(m.group('n')) + 1}")
        """,
    "kept": """
        @task
        def t(self):
            old = self.n
            self.n += 1
            self.token = f"{old}-{self.n}"
            self.client.get(f"/{self.token}/{old}")
        """,
    "texts": """
        @task
        def t(self):
            t = self.token
            self.client.get("/%s/%s/%d" % (t[1:], self.agent_id.replace('"', ""), self.n))
            self.client.get("/{}/{n:04d}".format(t[:-1], n=self.n))
            self.client.post("/j", data=json.dumps({"a": t, "n": [self.n]}))
            self.client.post("/k", data=(t + str(self.n)).encode())
            self.client.get("/" + (self.agent_id + "X").upper().lower().strip() + t[0])
            if t.startswith("t") and self.n % 2 == 1 and not t.endswith("q"):
                self.client.get(f"/{round(self.n / 3, 2)}/{max(3, self.n)}/{len(t)}/{-self.n}")
        """,
    "get, in": """
        @task
        def t(self):
            r = self.client.get("/a")
            try:
                data = r.json()
            except ValueError:
                return
            self.client.get(f"/{data.get('status', 'none')}/{data.get('status') is None}")
            if "none" in data and data["none"] is None:
                self.client.post("/b", json={"all": data["list"][0]["id"], "n": data["n"],
                                             "yes": data["yes"], "f": data["f"]})
        """,
    "headers": """
        @task
        def t(self):
            r = self.client.get("/a", allow_redirects=False)
            if "X-Id" in r.headers:
                self.client.get("/" + r.headers["x-id"])
            self.client.get("/", params={"e": r.headers.get("Etag", "none"), "no": None})
        """,
    "lists": """
        @task
        def t(self):
            for kind in ("a", "b"):
                self.client.get(f"/{kind}")
            found = {}
            found["x"] = self.n
            found.update(y=self.token)
            self.client.post("/c", json={key: value for key, value in found.items()})
            match self.n:
                case 7:
                    self.client.get("/seven")
                case _:
                    self.client.get("/other")
        """,
    "columns, decorators, private names": """
        users = [{"name": "n", "id": 1, "tags": ("a", "b")}] * 3
        __mark = "m"
        def twice(function):
            def wrapper(self, *args):
                function(self, *args)
                function(self, *args)
            return wrapper
        @task
        @twice
        def t(self):
            user = random.choice(self.users)
            logging.getLogger("x").info("sent")
            self.client.post(f"/{user['name']}/{self.__mark}", json=user, verify=False)
        """,
    "kept by decisions": """
        @task
        def t(self):
            self.n = self.n + 1 if self.n < 7 else 0
            r = self.client.get("/", name=self.agent_id + "!")
            if r.ok:
                self.token = r.text[:3]
            self.client.get(f"/{self.n}")
        """,
    "rest": """
        @task
        def t(self):
            with self.rest("POST", "/a", json={"n": self.n}) as r:
                assert r.status_code == 200, f"status {r.status_code}"
                assert r.js is None or "status" in r.js, "no status,"
                if r.js and r.js["status"] == "bad":
                    r.failure("bad")
        """,
    "a text of several lines": """
        @task
        def t(self):
            query = '''
                query {
              x }
            '''
            self.client.post("/q", data=query + self.agent_id)
            assert self.n == 8, "line"
        """,
    "get or": """
        @task
        def t(self):
            r = self.client.get("/")
            if r.ok and r.text[0] == "{":
                x = r.json().get("status") or "none"
                self.client.get("/" + x)
        """,
    "retries": """
        @task
        def t(self):
            for attempt in range(3):
                r = self.client.get(f"/try/{attempt}")
                if r.ok:
                    break
            else:
                self.client.get("/given-up")
            n = 0
            while n < 2:
                n += 1
                self.client.get(f"/{n}")
        """,
    "names": """
        @task
        def t(self):
            with self.client.rename_request("/renamed"):
                self.client.get("/a")
            self.client.request_name = "/set"
            self.client.get("/b")
            self.client.request_name = None
            self.client.get("/c", name=f"/c/{self.n}")
        """,
    "python": """
        def double(self, number, text):
            return f"{number}{text}{self.token}" * 1 if number > 9 else text + self.token
        PATTERN = re.compile(r'"n": (\\d+)')
        @task
        def t(self):
            r = self.client.get("/a")
            if (m := self.PATTERN.search(r.text)) and int(m.group(1)) > 2:
                self.client.get(f"/{m.group(1):>0{1}}" if False else f"/{m[1]}")
            joined = ",".join(str(x) for x in (self.n, self.token, 3))
            pairs = [f"{i}{name}" for i, name in enumerate(zip("ab", "cd"))]
            self.client.post("/x", data={"j": joined, "p": pairs[0], "h": os.path.join("a", "b")})
            try:
                self.client.get("/" + os.environ.get("NO_SUCH_NAME", "default"))
            finally:
                self.client.get("/finally")
            self.client.post("/m", json=list(map(self.double, range(3), map(str, [self.n] * 3))))
            first, *rest = [self.n, self.agent_id]
            self.client.get(f"/{first!r}/{rest[0]!s}", params=dict(x=f"{first / 7:.3f}"))
            total = sum([self.n, 1]) if self.n else 0
            self.client.get(f"/{total}/{min(self.n, 3)}/{float(self.n)}/{not self.n}")
        """,
    "text or nothing": """
        @task
        def t(self):
            with self.client.get("/a", catch_response=True) as r:
                text = (r.text or "").replace(self.agent_id, "[id]")
                if len(r.content) > 3 and r.text[0] == "{" and r.json().get("n") != 3:
                    r.failure(f"{text} {len(r.text)} {r.elapsed.total_seconds() < 100}")
                elif r.headers.get("X-Id") == "5" or not r:
                    r.failure(r.reason)
        """,
    "super": """
        def where(self):
            return "/above"
        class Helper:
            count = 0
            @property
            def next(self):
                return "/helped"
        helper = Helper()
        def where(self):
            return "/" + self.agent_id
        @task
        def t(self):
            self.client.get(self.helper.next)
            self.client.get(self.where(), timeout=(1, 2.5))
            if hasattr(self, "missing") or not isinstance(self.token, str):
                self.client.get("/never")
        """,
}


def test_methods_of_base_classes_are_found_by_super(tmp_path: Path) -> None:
    text = """
        def place(self, more):
            return f"/{self.agent_id}/{more}"
        @property
        def own(self):
            return 1
        @task
        def t(self):
            self.client.get(self.place("x"))
        """
    after = """
    class V(U):
        def place(self, more):
            return super().place(more) + "/v"
        @task
        def s(self):
            self.client.get(super().place("y"))
        """
    module = module_of(tmp_path, text, "opscore_fast", "HttpUser", after)
    module.U = module.V
    plan = record(new_user(module, DEFAULT))
    sent = [by_plan(plan, ("a",), [], number)[0][0][1] for number in range(2)]
    assert sent == ["http://127.0.0.1:9/a/x/v", "http://127.0.0.1:9/a/y"]


@pytest.mark.parametrize("name", TASKS)
def test_a_plan_does_what_the_task_does(tmp_path: Path, name: str) -> None:
    with_id = Answer(200, J, {"X-Id": "5", "ETag": "e"})
    broken = {"rest"}  # whose text for a body that is no JSON is another
    if name in broken:
        same(tmp_path, TASKS[name], [GOOD], [EMPTY], [WRONG])
        return
    same(tmp_path, TASKS[name], [GOOD], [BAD], [LOST], [EMPTY], [WRONG], [with_id])


def test_a_missing_value_fails_the_request_and_ends_the_task(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            r = self.client.get("/a")
            self.client.get("/" + r.json()["list"][0]["id"])
        """
    plan = same(tmp_path, text, [GOOD])
    for answer in (LOST, EMPTY):
        _, counted, _, _ = by_plan(plan, (), [answer], 0)
        assert counted == [("/a", 'no "list" in the response\'s JSON')]


def recorded(tmp_path: Path, text: str, user: str = "HttpUser", **attributes: Any) -> Plan:
    module = module_of(tmp_path, text, "opscore_fast", user)
    plan = record(new_user(module, attributes))
    _core.Plan(plan, {})
    return plan


def test_values_are_drawn_anew_each_time(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            self.client.post("/a", json={
                "now": datetime.now(timezone.utc).isoformat(),
                "z": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "later": (datetime.utcnow() + timedelta(hours=1)).isoformat() + "Z",
                "state": choice(["idle", "active"]), "int": random.randint(3, 5),
                "float": random.random(), "u": random.uniform(1, 2), "id": str(uuid.uuid4()),
                "hex": uuid.uuid4().hex, "t": int(time.time() * 1000),
                "s": "".join(random.choices("abc", k=5)),
                "w": random.choices(["x", "y"], weights=[3, 2])[0],
                "nested": random.choice([{"a": 1}, {"b": [2]}]),
            })
            time.sleep(0.1)
        """
    plan = recorded(tmp_path, text)
    seen = []
    for _ in range(50):
        agent = Agent(plan, (), lambda sent: Answer())
        agent.run(0)
        seen.append(requests.models.complexjson.loads(agent.sent[0].body or ""))
        assert agent.slept == [0.1]
    assert {body["state"] for body in seen} == {"idle", "active"}
    assert {body["int"] for body in seen} == {3, 4, 5}
    assert {str(body["nested"]) for body in seen} == {"{'a': 1}", "{'b': [2]}"}
    assert {body["w"] for body in seen} == {"x", "y"}
    assert len({body["id"] for body in seen}) == 50
    for body in seen:
        assert re.fullmatch(r"[0-9T:.-]+\+00:00", body["now"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["z"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["later"])
        assert re.fullmatch(r"[abc]{5}", body["s"])
        assert re.fullmatch(r"[0-9a-f]{32}", body["hex"])
        assert 0 <= body["float"] < 1 <= body["u"] <= 2
        assert isinstance(body["t"], int)


def test_how_a_value_is_written_is_by_where_it_stands(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            self.client.post(f"/{self.a}", json={"a": self.a, "n": self.n}, headers={"X": self.a},
                             params={"p": self.a})
        """
    plan = recorded(tmp_path, text, a="x", n=1)
    request = plan.requests[0]
    assert request.target == (b"/", Value(0, Encoding.TEXT))
    assert request.params == (b"p=", Value(0, Encoding.QUERY))
    assert request.body == (
        b'{"a": "', Value(0, Encoding.JSON_STRING), b'", "n": ', Value(1, Encoding.JSON), b"}",
    )  # fmt: skip
    assert dict(request.headers)["X"] == (Value(0, Encoding.HEADER),)
    assert dict(request.headers)["Host"] == (b"127.0.0.1:9",)


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
def test_both_styles_send_the_headers_of_their_sessions(tmp_path: Path, user: str) -> None:
    text = """
        default_headers = {"X-Own": "1"}
        @task
        def t(self):
            self.client.post(f"/{self.a}", json={"a": self.a}, params={"p": "q r"})
        """
    plan = recorded(tmp_path, text, user, a="x")
    headers = {name.lower(): value for name, value in plan.requests[0].headers}
    assert headers["content-type"] == (b"application/json",)
    assert headers["user-agent"] == (f"opscore-fast/{opscore_fast.__version__}".encode(),)
    assert headers["accept-encoding"] == (b"gzip, deflate, br",)
    assert plan.requests[0].target == (b"/", Value(0))
    assert plan.requests[0].params == (b"p=q+r",)
    if user == "FastHttpUser":
        assert plan.style == "fast"
        assert plan.slots[1].path == ("client.headers", "X-Own")


def test_headers_and_credentials_of_the_session_are_the_agents(tmp_path: Path) -> None:
    text = """
        def prepare(self):
            self.client.headers["X-Token"] = self.token
            self.client.auth = ("me", self.token)
        @task
        def t(self):
            self.client.get("/")
        """
    plan = recorded(tmp_path, text, token="one")
    module = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    other = new_user(module, {"token": "two"})
    assert dict(plan.requests[0].headers)["X-Token"] == (Value(0, Encoding.HEADER),)
    assert slot_values(other, plan) == ("two", "Basic bWU6dHdv")
    other.client.headers["More"] = "x"
    with pytest.raises(NotRecordable, match="other headers"):
        slot_values(other, plan)


def test_slots_are_checked(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            self.client.get(f"/{self.config['a'][1]}")
            self.client.get(f"/{random.choice(self.items)}")
        """
    module = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    plan = record(new_user(module, {"config": {"a": [1, "x"]}, "items": ["p", "q"]}))
    other = new_user(module, {"config": {"a": [2, "y"]}, "items": ["r", "s"]})
    assert "y" in slot_values(other, plan)
    assert [slot.path for slot in plan.slots] == [
        ("config", "a", 1), ("items", 0), ("items", 1),
    ]  # fmt: skip
    other.items = ["r"]
    with pytest.raises(NotRecordable, match="another length"):
        slot_values(other, plan)
    other.items = ["r", 5]
    with pytest.raises(NotRecordable, match="another type"):
        slot_values(other, plan)


def test_task_sets_weights_and_waits(tmp_path: Path) -> None:
    text = """
        wait_time = between(1, 2.5)
        @task(3)
        def a(self):
            self.client.get("/a")
        @task
        class Steps(SequentialTaskSet):
            wait_time = constant_pacing(4)
            def on_start(self):
                self.client.get("/start")
            @task
            def one(self):
                self.client.get("/1")
            @task
            def two(self):
                self.client.get(f"/2/{self.user.a}")
        """
    plan = recorded(tmp_path, text, a="x")
    own, steps = plan.sets
    assert [kind for kind, _ in own.choices] == ["program"] * 3 + ["set"]
    assert (own.wait.pace, own.wait.a, own.wait.b) == (Pace.BETWEEN, 1.0, 2.5)
    assert steps.sequential
    assert [plan.programs[n].name for _, n in steps.choices] == ["one", "two"]
    assert plan.programs[steps.on_start].name == "on_start"
    assert (steps.wait.pace, steps.wait.a) == (Pace.PACING, 4.0)


def test_other_waits_are_sampled(tmp_path: Path) -> None:
    text = """
        def wait_time(self):
            return 1.0
        @task
        def a(self):
            self.client.get("/a")
        """
    plan = recorded(tmp_path, text)
    assert plan.sets[0].wait.pace is Pace.SAMPLES
    assert plan.samples[0](None) == 1.0


def test_what_runs_once_is_noted(tmp_path: Path) -> None:
    text = """
        @task
        def a(self):
            r = self.client.get("/a")
            print("got", r.status_code)
            logging.info("%s", r.text)
        """
    plan = recorded(tmp_path, text)
    assert [what for _, what in plan.once] == ["print", "logging (info)"]


def test_what_rest_counts_as_a_failure(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            with self.rest("GET", "/a") as r:
                self.client.get("/" + r.js["id"])
            with self.rest_("GET", "/b?x=1") as r:
                pass
        """
    for user in ("HttpUser", "FastHttpUser"):
        plan = recorded(tmp_path, text, user)
        _, counted, raised, agent = by_plan(plan, (), [LOST], 0)
        assert raised is None
        assert counted[0][0] == "/a"
        assert counted[0][1].startswith("TypeError: 'NoneType' object is not subscriptable at ")
        assert counted[1] == ("/b?x=1&_=...", "")
        assert re.fullmatch(r".*/b\?x=1&_=\d{13}", agent.sent[1].url)
        _, counted, _, _ = by_plan(plan, (), [EMPTY], 0)
        assert re.fullmatch(
            r"KeyError: 'id' at .*/users\.py:\d+ in rest, .*/recorded_\d+\.py:\d+ in t\."
            r" Response was {}",
            counted[0][1],
        )
        _, counted, _, _ = by_plan(plan, (), [Answer(200, '{"id": "x"}')], 0)
        assert counted == [("/a", ""), ("/x", ""), ("/b?x=1&_=...", "")]


def test_values_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("name,age\nann,1\nbob,2\n")
    text = f"""
        ids = values.counter(10, 5)
        kinds = values.choice(["x", "y"], weights=[1, 3])
        rows = values.csv_rows({str(tmp_path / "users.csv")!r})
        once = values.csv_rows({str(tmp_path / "users.csv")!r}, order="unique")
        code = values.random_string(6, "ab")
        @task
        def t(self):
            row = self.rows()
            self.client.get(f"/{{self.ids()}}/{{self.kinds()}}/{{row['name']}}{{row['age']}}"
                            f"/{{self.once()['name']}}/{{self.code()}}/{{values.env('HOME', '')}}")
        """
    plan = recorded(tmp_path, text)
    agent = Agent(plan, (), lambda sent: Answer())
    agent.run(0)
    agent.run(0)
    with pytest.raises(IndexError):
        agent.run(0)
    paths = [sent.url.partition(":9/")[2] for sent in agent.sent]
    assert re.fullmatch("10/[xy]/ann1/ann/[ab]{6}/.*", paths[0])
    assert re.fullmatch("15/[xy]/bob2/bob/[ab]{6}/.*", paths[1])
    module = module_of(tmp_path, text, "locust", "HttpUser")
    user = new_user(module, {})
    adapter = Adapter([])
    user.client.mount("http://", adapter)
    module.U.tasks[0](user)
    module.U.tasks[0](user)
    with pytest.raises(IndexError, match="all 2 rows"):
        module.U.tasks[0](user)
    theirs = [request.url.partition(":9/")[2] for request in adapter.requests]
    assert re.fullmatch("15/[xy]/bob2/bob/[ab]{6}/.*", theirs[1])


def test_values_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="weights"):
        values.choice(["a"], [1, 2])
    with pytest.raises(ValueError, match="sequential, random, unique"):
        values.csv_rows("x.csv", order="other")
    with pytest.raises(ValueError, match="is not set"):
        values.env("OPSCORE_FAST_NO_SUCH")
    with pytest.raises(ValueError, match="ASCII"):
        values.random_string(3, "")


def test_a_task_of_the_fast_style(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            r = self.client.get(f"/{self.a}", headers={"X": "1"}, auth=("u", "p"))
            self.client.post("/", data={"t": r.text, "j": r.json()["k"]})
            self.client.head("/h", allow_redirects=False)
        """
    plan = recorded(tmp_path, text, "FastHttpUser", a="x y")
    sent, counted, _, _ = by_plan(plan, ("x",), [Answer(200, '{"k": 5}')], 0)
    assert [request[:3] for request in sent] == [
        ("GET", "http://127.0.0.1:9/x", None),
        ("POST", "http://127.0.0.1:9/", "t=%7B%22k%22%3A+5%7D&j=5"),
        ("HEAD", "http://127.0.0.1:9/h", None),
    ]
    assert sent[0][3]["Authorization"] == "Basic dTpw"
    assert [name for name, _ in counted] == ["/x", "/", "/h"]
    redirects = {request.method: request.redirects for request in plan.requests}
    assert redirects == {"GET": True, "POST": True, "HEAD": False}


def test_a_request_of_the_fast_style_is_named_as_its_url_was_given(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            self.client.get(f"/{self.a}", params={"p": 1})
        """
    assert recorded(tmp_path, text, "FastHttpUser", a="x").requests[0].name == (b"/", Value(0))
    assert recorded(tmp_path, text, "HttpUser", a="x").requests[0].name == ()


REFUSED = [
    ("for c in self.a: self.client.get(c)", "loop or unpacking"),
    ("self.client.get('/' + base64.b64encode(self.a.encode()).decode())", "b64encode"),
    ("self.client.get('/' + hashlib.md5(self.a.encode()).hexdigest())", "md5"),
    ("open('/dev/null')", "open"),
    ("requests.get('http://127.0.0.1:1/')", "requests"),
    ("{self.a: 1}", "key of a dict"),
    ("self.client.get('/', auth=(self.a, 'x'))", "computed from the letters"),
    ("self.client.get(f'http://{self.a}.invalid/')", "computed from the letters"),
    ("self.client.get('/', stream=True)", "stream="),
    ("self.client.get('/', catch_response=True)", "never counted"),
    ("SHARED.append(1)", "agents share"),
    ("SHARED[0] = 1", "agents share"),
    ("random.shuffle([1])", "shuffle"),
    ("random.Random(1).random()", "Random"),
    ("self.a.encode('utf-16')", "utf-16"),
    ("self.environment.runner", "environment"),
    ("self.b = [1]", "only texts"),
    ("self.missing", "on_start"),
    ("while random.random() < 0.9: self.client.get('/')", "64 paths"),
    ("self.client.get('/' + datetime.now().strftime(self.a))", "constant format"),
    ("self.client.headers['X'] = 'y'", "on_start"),
    ("int('x')", "ValueError"),
    ("self.client.post('/', json={'t': datetime.now()})", "isoformat"),
    ("self.client.post('/', json={'u': uuid.uuid4()})", "str()"),
    ("self.a.split(',')", "split"),
    ("[1, 2][self.n]; {'a': 1}[self.a]", "lists and tuples"),
    ("next(COUNTER)", "next"),
    ("self.client.get(f'/{NUMBERS()}')", "Numbers"),
    ("[x for x in COUNTER if x]", "agents share"),
    ("for x in COUNTER: break", "agents share"),
    ("NUMBERS.x = 1", "storing into"),
    ("global x; x = 1", "global"),
    ("self.wait()", "Locust's own"),
    ("raise KeyError(f'bad {self.n}', self.a)", "only one text"),
    ("self.client.get(self.client.get('/').headers['Location'])", "begin it with a constant"),
    ("self.client.get(f'/{self.n:.3}')", "the format"),
    ("[repr(self.a)]", "repr()"),
    (
        "with self.client.get('/', catch_response=True): self.client.get('/', catch_response=True)",
        "of another such request",
    ),
]


@pytest.mark.parametrize(("line", "why"), REFUSED)
def test_what_cannot_be_recorded_is_refused_with_its_line(
    tmp_path: Path, line: str, why: str
) -> None:
    text = f"""
        import base64, hashlib, requests, itertools
        @task
        def t(self):
            from test_recording_shared import COUNTER, NUMBERS, SHARED
            import base64, hashlib, requests
            {line}
        """
    shared = ModuleType("test_recording_shared")

    class Numbers:
        def __call__(self) -> int:
            return 1

    shared.__dict__.update(SHARED=[0], COUNTER=itertools.count(), NUMBERS=Numbers())
    sys.modules["test_recording_shared"] = shared
    with pytest.raises(NotRecordable) as caught:
        recorded(tmp_path, text, a="x", n=1)
    error = caught.value
    assert why in str(error)
    assert "recorded_" in error.file
    assert error.line == HEAD_LINES + 6
    assert shared.SHARED == [0]


def test_an_exception_of_the_recorder_is_not_swallowed(tmp_path: Path) -> None:
    text = """
        @task
        def t(self):
            try:
                open(self.a)
            except:
                self.client.get("/never")
        """
    with pytest.raises(NotRecordable, match="open"):
        recorded(tmp_path, text, a="x")


def test_the_modules_are_left_as_they_were(tmp_path: Path) -> None:
    module = module_of(tmp_path, "@task\ndef t(self):\n    pass", "opscore_fast", "HttpUser")
    before = dict(vars(module))
    plan = record(new_user(module, {}))
    assert vars(module) == before
    assert [step.op for step in plan.programs[0].code] == [Op.END]


@pytest.mark.parametrize("number", range(5))
def test_the_teams_scenarios_are_recorded(number: int) -> None:
    folder = Path(__file__).parent.parent / "locustfiles" / "team"
    sys.path.insert(0, str(folder))
    theirs = locust.HttpUser
    others = [f"scenario_{number}", "opscore_user", "load_profile"]  # of another folder, maybe
    imported = {name: sys.modules.pop(name) for name in others if name in sys.modules}
    before = set(sys.modules)
    try:
        locust.HttpUser = opscore_fast.HttpUser  # type: ignore[misc]
        module = importlib.import_module(f"scenario_{number}")
        cls = getattr(module, f"Scenario{number}User")
        user = cls(Environment(user_classes=[cls]))
        user.agent_id = "agent-1"
        user.client.headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
        plan = record(user)
        _core.Plan(plan, {})
    finally:
        locust.HttpUser = theirs  # type: ignore[misc]
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            del sys.modules[name]
        sys.modules.update(imported)
    assert len(plan.sets[0].choices) == len(cls.tasks)
    assert all(request.caught for request in plan.requests)
    by_name = {program.name: number for number, program in enumerate(plan.programs)}
    slots = slot_values(user, plan)
    if "ask_for_state" in by_name:
        for body, expected in (
            ('{"agentId": "agent-1"}', ""),
            ('{"agentId": "other"}', "State of another agent"),
            ("{}", "State of another agent"),
            ("<", "the response is no JSON"),
        ):
            _, counted, _, _ = by_plan(plan, slots, [Answer(200, body)], by_name["ask_for_state"])
            assert counted == [("/v1/opscore/agent/[id]/state", expected)]
        _, counted, _, _ = by_plan(
            plan, slots, [Answer(500, "agent-1 is gone ")], by_name["ask_for_state"]
        )
        assert counted[0][1] == "Failed to get state: 500 [id] is gone"
