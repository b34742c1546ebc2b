"""An interpreter of plans, as plain as can be: what the native threads are to do."""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, quote_plus

from opscore_fast.recording.plan import (
    IS_ARRAY,
    IS_OBJECT,
    NOTHING,
    Encoding,
    Kind,
    Op,
    Plan,
    Source,
    Take,
    Test,
    Value,
)

UNSET = object()


@dataclass
class Answer:
    """A scripted response."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = "OK"


@dataclass
class Sent:
    """A request, and how it was counted (None: not at all, "" : as a success)."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    name: str
    counted: str | None = None


class Agent:
    """Runs programs of a plan against scripted responses."""

    def __init__(
        self, plan: Plan, slots: tuple[Any, ...], answer: Callable[[Sent], Answer]
    ) -> None:
        self.plan, self.answer = plan, answer
        self.slots = list(slots)
        self.sent: list[Sent] = []
        self.slept: list[float] = []
        self.raised: list[tuple[str, str]] = []
        self.stopped = False
        self._counts: dict[int, int] = {}

    def run(self, program: int) -> None:
        """Run one program to its end."""
        plan = self.plan
        self._registers = [*self.slots, *[UNSET] * (plan.n_registers - len(self.slots))]
        self._verdict: str | None = None
        at = 0
        code = plan.programs[program].code
        while True:
            step = code[at]
            at += 1
            match step.op:
                case Op.END:
                    break
                case Op.STOP:
                    self.stopped = True
                    break
                case Op.EXPECT if self._value(step.a) is not UNSET:
                    pass
                case Op.RAISE | Op.EXPECT:
                    kind, text = plan.raises[step.what]
                    self.raised.append((kind, self._text(text)))
                    break
                case Op.JUMP:
                    at = step.target
                case Op.BRANCH:
                    if not self._test(Test(step.what), step.a, step.b):
                        at = step.target
                case Op.NEED:
                    if self._value(step.a) is UNSET:
                        if self.sent[-1].counted is None or not self._request.caught:
                            self.sent[-1].counted = self._text(plan.templates[step.what])
                        if step.target == NOTHING:
                            break
                        at = step.target
                case Op.REQUEST:
                    self._send(step.what)
                case Op.SUCCESS:
                    self._verdict = ""
                case Op.FAILURE:
                    self._verdict = self._text(plan.templates[step.what])
                case Op.REPORT:
                    usual = self._usual(self._caught_answer, self._caught)
                    self._caught.counted = usual if self._verdict is None else self._verdict
                    self._verdict = None
                case Op.FORGET:
                    self._verdict = None
                case Op.SLEEP:
                    self.slept.append(self._value(step.a))
                case _:
                    self._registers[step.dst] = self._compute(step)
                    if step.dst < len(self.slots):
                        self.slots[step.dst] = self._registers[step.dst]

    def _value(self, operand: int) -> Any:
        return self._registers[operand] if operand >= 0 else self.plan.constants[~operand]

    def _text(self, template: Any) -> str:
        return "".join(
            self._written(piece) if isinstance(piece, Value) else piece.decode()
            for piece in template
        )

    def _written(self, piece: Value) -> str:
        value = self._value(piece.operand)
        assert value is not UNSET
        if piece.encoding is Encoding.JSON:
            return json.dumps(value)
        text = format(value, piece.format) if piece.format else str(value)
        if piece.encoding is Encoding.JSON_STRING:
            return json.dumps(text)[1:-1]
        return quote_plus(text) if piece.encoding is Encoding.QUERY else text

    def _send(self, number: int) -> None:
        request = self._request = self.plan.requests[number]
        given, params = self._text(request.target), self._text(request.params)
        given += ("&" if "?" in given else "?") + params if params else ""
        target = quote(given, safe="!#$%&'()*+,/:;=?@[]~")
        sent = Sent(
            request.method,
            self.plan.places[request.place] + target,
            {name: self._text(value) for name, value in request.headers},
            None if request.body is None else self._text(request.body),
            self._text(request.name) or target,
        )
        self.sent.append(sent)
        self._answer = self.answer(sent)
        for extract in request.extracts:
            self._registers[extract.dst] = self._taken(extract)
        if request.caught:
            self._caught, self._caught_answer = sent, self._answer
        else:
            sent.counted = self._usual(self._answer, sent)

    def _usual(self, answer: Answer, sent: Sent) -> str:
        if answer.status < 400:
            return ""
        who = "Client" if answer.status < 500 else "Server"
        return f"{answer.status} {who} Error: {answer.reason} for url: {sent.name}"

    def _taken(self, extract: Any) -> Any:
        answer = self._answer
        simple = {
            Take.STATUS: answer.status, Take.OK: answer.status < 400, Take.REASON: answer.reason,
            Take.TEXT: answer.body, Take.CONTENT: answer.body, Take.SIZE: len(answer.body.encode()),
            Take.ELAPSED: 0.25, Take.URL: self.sent[-1].url,
        }  # fmt: skip
        if extract.take in simple:
            return simple[extract.take]
        if extract.take is Take.HEADER:
            lower = {name.lower(): value for name, value in answer.headers.items()}
            return lower.get(extract.name, UNSET)
        if extract.take is Take.REGEX:
            pattern, flags = self.plan.regexes[extract.what]
            found = re.search(pattern, answer.body, flags)
            return found.group(extract.group) if found else UNSET
        try:
            value = json.loads(answer.body)
        except ValueError:
            return False if extract.take is Take.IS_JSON else UNSET
        if extract.take is Take.IS_JSON:
            return True
        if extract.take is Take.TYPE:
            return type(value).__name__
        assert extract.take is Take.JSON
        for key in self.plan.paths[extract.what]:
            try:
                value = value[key]
            except (LookupError, TypeError):
                return UNSET
        return value

    def _test(self, test: Test, left: int, right: int) -> bool:
        a = self._value(left)
        match test:
            case Test.SET:
                return a is not UNSET
            case Test.NONE:
                return a is None
            case Test.TRUE:
                return a is not UNSET and bool(a)
            case Test.KIND:
                json_kind = {dict: IS_OBJECT, list: IS_ARRAY}.get(type(a), 0)
                return bool(right & (1 << _kind(a) | json_kind))
        b = self._value(right)
        assert a is not UNSET
        assert b is not UNSET
        return {
            Test.EQ: lambda: a == b, Test.NE: lambda: a != b, Test.LT: lambda: a < b,
            Test.LE: lambda: a <= b, Test.GT: lambda: a > b, Test.GE: lambda: a >= b,
            Test.IN: lambda: a in b, Test.STARTS: lambda: a.startswith(b),
            Test.ENDS: lambda: a.endswith(b),
        }[test]()  # fmt: skip

    def _compute(self, step: Any) -> Any:
        plan, op = self.plan, step.op
        if op is Op.TEXT:
            return self._text(plan.templates[step.what])
        if op is Op.GEN:
            return self._generate(step)
        a = self._value(step.a)
        assert a is not UNSET or op is Op.MOVE
        if op is Op.TYPE:
            return type(a).__name__
        if op is Op.PICK:
            return self._value(plan.tables[step.what][a])
        if op is Op.STRIP:
            return {1: a.lstrip, 2: a.rstrip, 3: a.strip}[step.b]() if step.b else None
        if op is Op.SEARCH:
            pattern, flags = plan.regexes[step.what]
            found = re.search(pattern, a, flags)
            return found.group(step.b) if found else UNSET
        if op in (Op.DATE_ISO, Op.DATE_FORMAT):
            offset = self._value(step.b)
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=a)
            if offset is None:
                moment = moment.astimezone().replace(tzinfo=None)
            else:
                moment = moment.astimezone(timezone(timedelta(seconds=offset)))
            if op is Op.DATE_FORMAT:
                return moment.strftime(self._value(step.c))
            return moment.isoformat(timespec=("auto", "milliseconds", "seconds")[step.c])
        b, c = (self._value(x) if x < len(self._registers) else None for x in (step.b, step.c))
        return {
            Op.MOVE: lambda: a, Op.ADD: lambda: a + b, Op.SUB: lambda: a - b,
            Op.MUL: lambda: a * b, Op.TRUEDIV: lambda: a / b, Op.FLOORDIV: lambda: a // b,
            Op.MOD: lambda: a % b, Op.NEG: lambda: -a, Op.ABS: lambda: abs(a),
            Op.INT: lambda: int(a), Op.FLOAT: lambda: float(a), Op.ROUND: lambda: round(a, b),
            Op.MIN: lambda: min(a, b), Op.MAX: lambda: max(a, b), Op.LEN: lambda: len(a),
            Op.LOWER: lambda: a.lower(), Op.UPPER: lambda: a.upper(),
            Op.REPLACE: lambda: a.replace(b, c), Op.SLICE: lambda: a[b:c],
        }[op]()  # fmt: skip

    def _generate(self, step: Any) -> Any:
        source = Source(step.what)
        if source is Source.COUNTER:
            start, by = self.plan.counters[step.a]
            self._counts[step.a] = self._counts.get(step.a, start - by) + by
            return self._counts[step.a]
        a, b, c = (self._value(x) for x in (step.a, step.b, step.c))
        return {
            Source.TIME: time.time, Source.TIME_NS: time.time_ns,
            Source.MONOTONIC: time.monotonic, Source.NOW: lambda: time.time_ns() // 1000,
            Source.UUID4: lambda: str(uuid.uuid4()), Source.UUID1: lambda: str(uuid.uuid1()),
            Source.RANDOM: random.random, Source.UNIFORM: lambda: random.uniform(a, b),
            Source.RANDRANGE: lambda: random.randrange(a, b, c),
            Source.GAUSS: lambda: random.gauss(a, b),
            Source.EXPOVARIATE: lambda: random.expovariate(a),
            Source.BITS: lambda: random.getrandbits(a),
            Source.HEX: lambda: random.randbytes(a).hex(),
            Source.STRING: lambda: "".join(random.choices(b, k=a)),
        }[source]()  # fmt: skip


def _kind(value: Any) -> Kind:
    kinds = {
        type(None): Kind.NONE, bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT, str: Kind.TEXT,
    }  # fmt: skip
    return Kind.UNSET if value is UNSET else kinds.get(type(value), Kind.JSON)
