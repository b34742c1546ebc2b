"""Recording on_start: what it and the tasks behind it do is what they do under Locust."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

import json
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from helpers_interpreter import UNSET, Agent, Answer, Sent
from locust.exception import StopUser
from test_recording import Adapter, module_of, new_user

from opscore_fast import _core
from opscore_fast.recording.plan import NOTHING, Plan
from opscore_fast.recording.record import NotRecordable, has_begun, put_back, record, slot_values
from opscore_fast.recording.set_up import Differs, Kept, Merger

GOOD = Answer(200, '{"token": "t\\"1", "n": 3, "list": [1], "none": null}')
BAD, LOST = Answer(404, "no", reason="Not Found"), Answer(200, "<html>")


def by_locust(module: Any, answers: list[Answer]) -> tuple[Any, list[Any], list[Any], str]:
    """Run on_start and all tasks under Locust: the user, what was sent and counted, its end."""
    user = new_user(module, {})
    adapter = Adapter(answers)
    user.client.mount("http://", adapter)
    counted: list[Any] = []
    user.environment.events.request.add_listener(
        lambda name, exception, **_: counted.append((name, str(exception or "")))
    )
    ended = ""
    try:
        user.on_start()
    except Exception as error:
        ended = type(error).__name__
    for task in [] if ended else module.U.tasks:
        try:
            task(user)
        except StopUser:
            break
        except Exception:
            continue
    sent = [
        (r.method, r.url, r.body.decode() if isinstance(r.body, bytes) else r.body, dict(r.headers))
        for r in adapter.requests
    ]
    return user, sent, counted, ended


def by_plan(plan: Plan, row: Any, answers: list[Answer]) -> tuple[Agent, list[Any], str]:
    left = list(answers)

    def answer(sent: Sent) -> Answer:
        return left.pop(0) if left else Answer()

    agent = Agent(plan, tuple(UNSET if value is ... else value for value in row), answer)
    ended = ""
    if plan.start != NOTHING:
        agent.run(plan.start)
        ended = agent.raised[0][0] if agent.raised else "StopUser" if agent.stopped else ""
    for _, program in [] if ended else plan.sets[0].choices:
        agent.run(program)
    return agent, [(s.method, s.url, s.body, s.headers) for s in agent.sent], ended


def same(tmp_path: Path, text: str, *scripts: list[Answer], left: bool = True) -> Plan:
    """Compare what Locust and the plan do, and what both leave for on_stop."""
    theirs = module_of(tmp_path, text, "locust", "HttpUser")
    ours = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    fresh = new_user(ours, {})
    plan = record(fresh, start=True)
    _core.Plan(plan, {})  # which checks every index and operand
    for script in scripts or ([],):
        user, sent, counted, ended = by_locust(theirs, script)
        agent, got, came = by_plan(plan, slot_values(fresh, plan), script)
        assert [one[:3] for one in got] == [one[:3] for one in sent]
        for (*_, given), (*_, wanted) in zip(got, sent, strict=True):
            usual = ("user-agent", "accept-encoding", "content-length", "accept", "connection")
            for name, value in wanted.items():
                if name.lower() not in usual:
                    assert given.get(name) == value
            extra = given.keys() - wanted.keys()
            assert not {name.lower() for name in extra} - {*usual, "host"}
        assert [(s.name, s.counted) for s in agent.sent if s.counted is not None] == counted
        assert came == ended
        if left and not ended:
            other = new_user(ours, {})
            put_back(other, plan, tuple(... if v is UNSET else v for v in agent.slots))
            for name, value in vars(user).items():
                if not name.startswith("_") and name not in ("environment", "client", "fixtures"):
                    assert getattr(other, name) == value, name
            for name, value in user.client.headers.items():
                if name.lower() not in ("user-agent", "accept-encoding"):
                    assert other.client.headers[name] == value
    return plan


TASK = """
    @task
    def t(self):
        self.client.post("/t", json={%s})
"""

ON_STARTS = {
    "nothing": """
        def on_start(self):
            pass
        @task
        def t(self):
            self.client.get("/t")
        """,
    "constants": """
        kind = "class"
        def on_start(self):
            self.kind = "bot"
            self.sizes, self.deep = [1, 2], {"a": {"b": (1.5, None)}}
        @task
        def t(self):
            self.client.post("/t", json={"kind": self.kind, "s": self.sizes[1], "d": self.deep})
        """,
    "from a response": """
        def on_start(self):
            r = self.client.post("/login", json={"user": "u"})
            self.n = r.json()["n"] + 1
            self.token = f"Bearer {r.json()['token']}"
            self.plain = r.json()["token"]
            self.client.get("/me", headers={"Authorization": self.token})
        @task
        def t(self):
            self.client.post("/t", json={"n": self.n, "plain": self.plain},
                             headers={"Authorization": self.token})
        """,
    "containers": """
        def on_start(self):
            r = self.client.post("/login")
            self.auth = {"Authorization": f"Bearer {r.text}", "X-Const": "1"}
            self.items = []
            self.items.append(r.status_code)
            self.items.append({"n": 1, "text": r.text})
        @task
        def t(self):
            self.client.post("/t", json=self.items, headers=self.auth)
        """,
    "headers": """
        def on_start(self):
            self.client.headers["X-Const"] = "1"
            r = self.client.post("/login")
            self.client.headers["Authorization"] = f"Bearer {r.text}"
            self.client.headers.update({"x-const": "2"})
            self.client.get("/me")
        @task
        def t(self):
            self.client.get("/t")
        """,
    "headers replaced": """
        def on_start(self):
            self.client.headers = {"Content-Type": "application/json"}
            self.client.post("/register", json={"a": 1})
            self.client.headers["Authorization"] = "Bearer KEY"
        @task
        def t(self):
            self.client.post("/t", json={"a": 1})
            self.client.headers["Authorization"] = "Bearer " + self.client.headers["Authorization"]
        """,
    "one way or another": """
        state = "new"
        def on_start(self):
            r = self.client.post("/login")
            if r.status_code == 200:
                self.token = r.text
                self.state = "in"
                self.client.headers["Authorization"] = f"Bearer {r.text}"
            else:
                self.reason = r.text
        @task
        def t(self):
            self.client.post("/t", json={"state": self.state, "has": hasattr(self, "token")})
        @task
        def u(self):
            self.client.post("/u", json={"token": self.token})
            self.client.post("/more")
        """,
    "set by tasks": """
        count = 0
        def on_start(self):
            self.done, self.last = 0, None
        @task
        def t(self):
            self.done += 1
            self.client.post("/t", json={"done": self.done, "last": self.last})
            self.last = f"n{self.done}"
            self.count += 1
        @task
        def u(self):
            self.client.post("/u", json={"done": self.done, "last": self.last, "count": self.count})
        """,
    "ends": """
        def on_start(self):
            with self.client.post("/login", catch_response=True) as r:
                if r.status_code != 200:
                    r.failure("no login")
                    raise StopUser()
                r.success()
            assert "t" in r.text, "no token"
            self.ok = True
        @task
        def t(self):
            self.client.post("/t", json={"ok": self.ok})
        """,
    "attempts": """
        def on_start(self):
            for attempt in range(4):
                with self.client.get("/state", name="state", catch_response=True) as r:
                    if r.status_code == 200:
                        self.attempts = attempt
                        r.success()
                        break
                    r.success()
                time.sleep(0.01)
            else:
                self.attempts = -1
        @task
        def t(self):
            self.client.post("/t", json={"attempts": self.attempts})
        """,
    "helpers and base classes": """
        def greet(self, name, *more):
            self.name = name
            return self.client.post("/greet", json={"name": name, "more": list(more)})
        def on_start(self):
            super().on_start()
            self.token = self.greet("x", 1, 2).text
        @task
        def t(self):
            self.greet(f"{self.name}-{self.token}")
        """,
    "settings of the session": """
        def on_start(self):
            self.client.verify = False
            self.client.get("/before")
            self.client.auth = ("user", "pass")
            self.client.get("/behind")
        @task
        def t(self):
            self.client.get("/t")
        """,
}


@pytest.mark.parametrize("name", ON_STARTS)
def test_a_plan_does_what_on_start_and_tasks_do(tmp_path: Path, name: str) -> None:
    scripts = [GOOD], [BAD], [BAD, BAD, GOOD]
    same(tmp_path, ON_STARTS[name], *scripts[: 1 if name == "from a response" else 3])


def test_what_is_the_same_for_all_agents_takes_no_slot(tmp_path: Path) -> None:
    plan = same(tmp_path, ON_STARTS["constants"])
    assert plan.slots == []
    plan = same(tmp_path, ON_STARTS["headers replaced"])
    assert [slot.path for slot in plan.slots] == [("client.headers", "Authorization")]


def test_what_an_attribute_is_known_to_be_is_not_asked_for_each_time(tmp_path: Path) -> None:
    """A text that on_start always sets is written as it is: the task has no branch."""
    text = """
    def on_start(self):
        self.agent_id = f"agent-{uuid.uuid4()}"
    @task
    def t(self):
        self.client.post(f"/a/{self.agent_id}", json={"id": self.agent_id})
    """
    ours = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    plan = record(new_user(ours, {}), start=True)
    [(_, program)] = plan.sets[0].choices
    assert [step.op.name for step in plan.programs[program].code] == ["REQUEST", "END"]


def test_a_missing_value_ends_on_start(tmp_path: Path) -> None:
    """As the exception would: no task follows. (The request has failed, natively.)"""
    ours = module_of(tmp_path, ON_STARTS["from a response"], "opscore_fast", "HttpUser")
    fresh = new_user(ours, {})
    plan = record(fresh, start=True)
    left = [LOST]
    row = tuple(UNSET if value is ... else value for value in slot_values(fresh, plan))
    agent = Agent(plan, row, lambda sent: left.pop() if left else Answer())
    agent.run(plan.start)
    assert [(one.name, one.counted) for one in agent.sent] == [
        ("/login", 'no "n" in the response\'s JSON')
    ]


def test_on_start_of_the_fast_style(tmp_path: Path) -> None:
    text = """
    default_headers = {"X-Default": "1"}
    def on_start(self):
        r = self.client.post("/login", json={"user": "u"})
        self.auth = {"Authorization": f"Bearer {r.json()['token']}"}
    @task
    def t(self):
        self.client.get("/t", headers=self.auth)
    """
    ours = module_of(tmp_path, text, "opscore_fast", "FastHttpUser")
    fresh = new_user(ours, {})
    plan = record(fresh, start=True)
    _core.Plan(plan, {})
    agent, sent, _ = by_plan(plan, slot_values(fresh, plan), [GOOD])
    assert [one[1].rpartition("/")[2] for one in sent] == ["login", "t"]
    assert [one[3]["X-Default"] for one in sent] == ["1", "1"]
    assert sent[1][3]["Authorization"] == 'Bearer t"1'
    other = new_user(ours, {})
    put_back(other, plan, tuple(agent.slots))
    assert other.auth == {"Authorization": 'Bearer t"1'}


KEPT = """
    made, seen, last = "", None, "never"
    def on_start(self):
        self.key, self.hex = uuid.uuid4(), uuid.uuid4().hex
        self.at, self.naive = datetime.now(timezone.utc), datetime.now()
        self.deep = {"keys": [uuid.uuid1(), "x"]}
        if self.client.get("/r").ok:
            self.made = uuid.uuid4()
    @task
    def t(self):
        self.client.post(f"/{self.key}/{self.key.hex}", json={"at": str(self.at)})
        self.last = self.seen = datetime.now(timezone.utc)
    """


@pytest.mark.parametrize("answer", [GOOD, BAD])
def test_what_on_stop_gets_is_of_the_type_that_was_kept(tmp_path: Path, answer: Answer) -> None:
    """A slot keeps the text of a UUID or datetime."""
    ours = module_of(tmp_path, KEPT, "opscore_fast", "HttpUser")
    fresh = new_user(ours, {})
    plan = record(fresh, start=True)
    _core.Plan(plan, {})
    agent, sent, _ = by_plan(plan, slot_values(fresh, plan), [answer])
    user = new_user(ours, {})
    put_back(user, plan, tuple(... if value is UNSET else value for value in agent.slots))
    assert isinstance(user.key, UUID)
    assert sent[1][1].endswith(f"/{user.key}/{user.key.hex}")
    assert json.loads(sent[1][2]) == {"at": str(user.at)}
    assert isinstance(user.hex, str)
    assert isinstance(user.deep["keys"][0], UUID)
    assert user.deep["keys"][1] == "x"
    assert user.at.utcoffset() == timedelta()
    assert isinstance(user.naive, datetime)
    assert user.naive.tzinfo is None
    assert type(user.made) is (UUID if answer is GOOD else str)
    assert type(user.seen) is type(user.last) is datetime


def test_a_kept_datetime_is_known_as_a_text_alone(tmp_path: Path) -> None:
    """Python can't send it as JSON either."""
    ours = module_of(tmp_path, KEPT.replace("str(self.at)", "self.at"), "opscore_fast", "HttpUser")
    with pytest.raises(NotRecordable, match="a value that is sent"):
        record(new_user(ours, {}), start=True)


def test_the_user_itself_is_left_alone(tmp_path: Path) -> None:
    ours = module_of(tmp_path, ON_STARTS["settings of the session"], "opscore_fast", "HttpUser")
    user = new_user(ours, {})
    before = dict(user.client.headers)
    record(user, start=True)
    assert (user.client.headers, user.client.auth, user.client.verify) == (before, None, True)


def test_what_users_have_before_on_start_is_their_own(tmp_path: Path) -> None:
    text = """
    def __init__(self, environment):
        super().__init__(environment)
        self.number = 1
        self.client.headers["X-Own"] = "a"
    def on_start(self):
        self.client.post("/register", json={"n": self.number})
        self.twice = self.number * 2
    @task
    def t(self):
        self.client.post("/t", json={"n": self.number, "twice": self.twice})
    """
    plan = same(tmp_path, text)
    ours = module_of(tmp_path, text, "opscore_fast", "HttpUser")
    other = new_user(ours, {"number": 7})
    other.client.headers["X-Own"] = "b"
    _, sent, _ = by_plan(plan, slot_values(other, plan), [])
    assert [(one[2], one[3]["X-Own"]) for one in sent] == [
        ('{"n": 7}', "b"),
        ('{"n": 7, "twice": 14}', "b"),
    ]
    other.client.headers["X-More"] = "c"
    with pytest.raises(NotRecordable, match="other headers"):
        slot_values(other, plan)


STOPPED = """
    state, tries = "new", 0
    def on_start(self):
        self.items, self.deep = [], {"a": 1}
        r = self.client.post("/1")
        self.state, self.deep["b"] = "known", r.text
        self.items.append(r.text)
        self.client.headers["Authorization"] = f"Bearer {r.text}"
        self.client.post("/2")
        self.items.append(f"{r.text}-2")
        self.ok = r.status_code == 200
        self.client.verify = False
        time.sleep(0.01)
        self.state = "ready"
        if not r.ok:
            raise StopUser()
        self.items = [r.text]
        self.client.get("/4")
        self.token = r.text
    @task
    def t(self):
        self.client.get("/t", headers={"X": self.token})
    def on_stop(self):
        pass
    """


class Stopped(BaseException):
    """What ends an on_start where it waits."""


class _Cut(Adapter):
    """Ends it with the request of that number."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        if len(self.requests) == self.number:
            raise Stopped
        return super().send(*args, **kwargs)


@pytest.mark.parametrize("answer", [GOOD, BAD])
@pytest.mark.parametrize("number", [None, 0, 1, 2, 3])
def test_on_stop_of_who_is_stopped_in_on_start(
    tmp_path: Path, number: int | None, answer: Answer
) -> None:
    """It sees what on_start had set when it was to wait. number: of requests before that."""
    theirs = new_user(module_of(tmp_path, STOPPED, "locust", "HttpUser"), {})
    adapter = _Cut([answer] * 9)
    adapter.number = number
    theirs.client.mount("http://", adapter)
    with suppress(Stopped, StopUser):
        theirs.on_start()
    ours = module_of(tmp_path, STOPPED, "opscore_fast", "HttpUser")
    plan = record(new_user(ours, {}), start=True)
    _core.Plan(plan, {})

    def answered(_: Sent) -> Answer:
        if len(agent.sent) - 1 == number:
            raise Stopped
        return answer

    user = new_user(ours, {})
    row = tuple(UNSET if value is ... else value for value in slot_values(user, plan))
    agent = Agent(plan, row, answered)
    assert not has_begun(plan, tuple(... if v is UNSET else v for v in agent.slots))
    with suppress(Stopped):
        agent.run(plan.start)
    slots = tuple(... if value is UNSET else value for value in agent.slots)
    assert has_begun(plan, slots)
    put_back(user, plan, slots)
    assert kept_of(user) == kept_of(theirs)


def kept_of(user: Any) -> dict[str, Any]:
    """What an on_stop may want of a user."""
    others = ("environment", "client", "fixtures")
    own = {
        name: value
        for name, value in vars(user).items()
        if not name.startswith("_") and name not in others
    }
    client = user.client
    return {**own, "header": client.headers.get("Authorization"), "verify": client.verify}


CHANGED = {
    "an attribute": """
        def __init__(self, environment):
            super().__init__(environment)
            self.number = 1
        def on_start(self):
            before = self.number
            self.number = before + 1
            self.client.post("/register", json={"before": before, "n": self.number})
            self.before = before
        @task
        def t(self):
            self.client.post("/t", json={"n": self.number, "before": self.before})
        """,
    "a header": """
        def __init__(self, environment):
            super().__init__(environment)
            self.client.headers["X-Own"] = "a"
        def on_start(self):
            headers = self.client.headers
            headers["X-First"] = headers["X-Own"]
            headers["X-Own"] = headers["X-First"] + "b"
            headers["X-Own"] += self.client.get("/r").text
            headers["X-Last"] = headers["X-First"]
        @task
        def t(self):
            self.client.get("/t")
        """,
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_on_start_changes_stays_what_it_was_where_it_was_read(
    tmp_path: Path, name: str
) -> None:
    same(tmp_path, CHANGED[name], [Answer(200, "one"), Answer(200, "two")])


REFUSED = {
    "a loop without an end": ("while not self.client.get('/').ok: time.sleep(1)", "64 paths"),
    "what agents share": ("SHARED.append(1)", "share"),
    "cookies": ("self.client.cookies.set('a', 'b')", "cookies"),
    "the connection": ("self.client.mount('http://', None)", "mount"),
    "credentials that vary": ("self.client.auth = (self.client.get('/').text, 'b')", "client.auth"),
    "another shape": (
        "self.x = {'a': 1} if self.client.get('/').ok else [1]",
        "a text or number one time",
    ),
    "a set": ("self.x = {self.client.get('/').text}", ""),
    "shared headers": (
        "self.client.headers = SHARED_HEADERS; self.client.headers['a'] = 'b'",
        "share",
    ),
    "a whole JSON": ("self.x = self.client.get('/').json()", "whole JSON"),
    "what never ends well": ("raise StopUser()", "never comes to its end"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_recorded_is_refused(tmp_path: Path, name: str) -> None:
    line, why = REFUSED[name]
    text = f"""
    def on_start(self):
        {line}
    @task
    def t(self):
        self.client.get("/t")
    """
    ours = module_of(
        *(tmp_path, text, "opscore_fast", "HttpUser"),
        after="\nSHARED = []\nSHARED_HEADERS = {}\n",
    )
    with pytest.raises(NotRecordable) as refused:
        record(new_user(ours, {}), start=True)
    assert why in str(refused.value)
    assert refused.value.line > 0


def test_merging() -> None:
    merger = Merger(frozenset({("b",)}))
    assert merger.merge(("a",), [1, 1]) == 1
    assert merger.merge(("b",), [1, 1]) == Kept(("b",))
    assert not merger.more
    merger.merge(("a",), [{"x": 1, "y": [2, 3]}, {"x": 1, "y": [2, 4]}])
    merger.merge(("c",), [1, True])
    assert merger.more == {("a", "y", 1), ("c",)}
    with pytest.raises(Differs):
        merger.merge(("d",), [[1], [1, 2]])
