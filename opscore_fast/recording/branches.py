"""Paths of a task: each run of it leaves a trace; traces are merged to a tree, lowered to code."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from opscore_fast.recording.plan import (
    NOTHING,
    Constant,
    Cookie,
    CookieScope,
    Encoding,
    Extract,
    Instruction,
    Kind,
    Op,
    Operand,
    Plan,
    Program,
    Request,
    Slot,
    Take,
    Template,
    Value,
)

MAX_PATHS = 64


@dataclass(frozen=True)
class Const:
    """An operand that is always the same. type tells True, 1 and 1.0 apart."""

    value: Constant
    type: str


@dataclass(frozen=True)
class Ref:
    """An operand that is known when the plan runs: what a step gave (step), what was taken from the
    response of a step (step, take), an agent's attribute (slot), or what is never set."""

    step: int = -1
    take: tuple[Hashable, ...] = ()
    slot: tuple[str | int, ...] = ()


NEVER = Ref()
"""A register that nothing is written to."""

Input = Const | Ref


def const(value: Constant) -> Const:
    """Return an operand for a constant."""
    return Const(value, type(value).__name__)


@dataclass(frozen=True)
class Part:
    """A value within a text."""

    operand: Input
    encoding: Encoding = Encoding.TEXT
    format: str = ""


Parts = tuple[str | Part, ...]


@dataclass(frozen=True)
class CookieSpec:
    """A cookie that a request brings along, as plan.Cookie."""

    name: str
    value: Parts | None
    scope: CookieScope


@dataclass(frozen=True)
class RequestSpec:
    """A request, as plan.Request."""

    method: str
    place: str
    target: Parts
    params: Parts
    url: Parts
    name: Parts
    headers: tuple[tuple[str, Parts], ...]
    cookies: tuple[CookieSpec, ...]
    body: Parts | None
    caught: bool
    redirects: bool
    has_cookie: bool
    has_host: bool
    connect_timeout: float | None
    network_timeout: float | None


@dataclass(frozen=True)
class Step:
    """An instruction of a trace; its result is Ref(its index). a, b, c: operands or numbers."""

    op: Op
    what: Any = None
    a: Input | int = 0
    b: Input | int = 0
    c: Input | int = 0
    slot: tuple[str | int, ...] = ()
    line: str = field(default="", compare=False)


@dataclass
class Trace:
    """One run of a task: its steps, how its branches went, what of responses it used."""

    steps: list[Step] = field(default_factory=list)
    decisions: list[bool] = field(default_factory=list)
    takes: list[tuple[int, tuple[Hashable, ...]]] = field(default_factory=list)


@dataclass
class Node:
    """A step in the tree; a branch has two that may follow, any other step one or none."""

    step: Step
    following: dict[bool, Node] = field(default_factory=dict)
    takes: dict[tuple[Hashable, ...], None] = field(default_factory=dict)


class Diverged(Exception):
    """Two runs that should have been the same up to a branch were not."""

    def __init__(self, step: Step) -> None:
        self.step = step
        super().__init__(step.line)


class Tree:
    """All traces of a task."""

    def __init__(self) -> None:
        self._roots: dict[bool, Node] = {}

    def add(self, trace: Trace) -> None:
        """Merge a trace. Raises Diverged where it differs from another before a branch did."""
        level, key = self._roots, True
        decisions = iter(trace.decisions)
        nodes = []
        for step in trace.steps:
            node = level.get(key)
            if node is None:
                node = level[key] = Node(step)
            elif node.step != step:
                raise Diverged(step)
            nodes.append(node)
            level = node.following
            key = next(decisions) if step.op is Op.BRANCH else True
        for index, take in trace.takes:
            nodes[index].takes[take] = None

    def lower(self, name: str, builder: Builder) -> Program:
        """Return the task's instructions."""
        code: list[Instruction] = []
        top = builder.lower(code, self._roots.get(True), {}, 0, 1)
        builder.used = max(builder.used, top)
        return Program(name, code)


_RESULTLESS = {
    Op.BRANCH, Op.JUMP, Op.REQUEST, Op.NEED, Op.SUCCESS, Op.FAILURE, Op.REPORT, Op.FORGET,
    Op.SLEEP, Op.RAISE, Op.EXPECT, Op.STOP, Op.END,
}  # fmt: skip


class Builder:
    """Fills in a plan. Registers are numbered from the slots on when all are known (finish).

    kinds: of the agents' attributes, by path; written: those that tasks set.
    """

    def __init__(
        self, plan: Plan, kinds: dict[tuple[str | int, ...], Kind], written: Set[Hashable]
    ) -> None:
        self.plan = plan
        self._kinds, self._written = kinds, written
        self.used = 1  # register 0 of a task is NEVER
        self.slots: dict[tuple[str | int, ...], Slot] = {}
        self._indices: dict[Any, int] = {}

    def _intern(self, table: list[Any], what: str, key: Any, value: Any) -> int:
        index = self._indices.get((what, key))
        if index is None:
            index = self._indices[what, key] = len(table)
            table.append(value)
        return index

    def _slot(self, path: tuple[str | int, ...]) -> int:
        if path not in self.slots:
            self.slots[path] = Slot(path, self._kinds[path], path in self._written)
        return _Late.slot(list(self.slots).index(path))

    def operand(self, given: Input | int, env: dict[Any, int]) -> Operand:
        """Return the plan's operand, with registers counted from the end of the slots."""
        if isinstance(given, int):
            return given
        if isinstance(given, Const):
            return ~self._intern(self.plan.constants, "constant", given, given.value)
        if given.slot:
            return self._slot(given.slot)
        if given == NEVER:
            return _Late.register(0)
        return _Late.register(env[given.step, given.take])

    def template(self, parts: Parts, env: dict[Any, int], encoding: str = "utf-8") -> Template:
        """Return a template of the plan. Bytes that are no text are surrogates in parts."""
        pieces: list[bytes | Value] = []
        for part in parts:
            if isinstance(part, Part):
                value = self.operand(part.operand, env)
                pieces.append(Value(value, part.encoding, part.format))
            elif pieces and isinstance(pieces[-1], bytes):
                pieces[-1] += part.encode(encoding, "surrogateescape")
            elif part:
                pieces.append(part.encode(encoding, "surrogateescape"))
        return tuple(pieces)

    def line(self, text: str) -> int:
        """Return the index of a line."""
        return self._intern(self.plan.lines, "line", text, text)

    def lower(
        self,
        code: list[Instruction],
        node: Node | None,
        env: dict[Any, int],
        index: int,
        top: int,
    ) -> int:
        """Append the code of a tree whose root is the step `index` of its traces.

        env: the registers of what came before; top: the first free one. Returns how many it takes.
        """
        highest = top
        while node is not None:
            step = node.step
            instruction = Instruction(step.op, line=self.line(step.line))
            for name in ("a", "b", "c"):
                setattr(instruction, name, self.operand(getattr(step, name), env))
            if step.slot:
                instruction.dst = self._slot(step.slot)
            elif step.op not in _RESULTLESS:
                env[index, ()] = top
                instruction.dst = _Late.register(top)
                top += 1
            code.append(instruction)
            if step.op is Op.REQUEST:
                extracts = []
                for take in node.takes:
                    env[index, take] = top
                    extracts.append(self._extract(take, _Late.register(top)))
                    top += 1
                instruction.what = len(self.plan.requests)
                self.plan.requests.append(self._request(step, extracts, env))
            elif step.what is not None:
                instruction.what = self._what(step, env)
            if step.op is Op.NEED:
                instruction.target = NOTHING
            highest = max(highest, top)
            index += 1
            if step.op is Op.BRANCH:
                yes = node.following.get(True)
                highest = max(highest, self.lower(code, yes, dict(env), index, top))
                instruction.target = len(code)
                node = node.following.get(False)
            else:
                node = node.following.get(True)
        return highest

    def _extract(self, take: tuple[Any, ...], dst: int) -> Extract:
        kind, *rest = take
        extract = Extract(kind, dst)
        if kind is Take.JSON:
            extract.what = self._intern(self.plan.paths, "path", _typed(rest[0]), rest[0])
        elif kind is Take.REGEX:
            extract.what = self._intern(self.plan.regexes, "regex", rest[0], rest[0])
            extract.group = rest[1]
        elif rest:
            extract.name = rest[0]
        return extract

    def _request(self, step: Step, extracts: list[Extract], env: dict[Any, int]) -> Request:
        spec: RequestSpec = step.what
        asks_url = any(extract.take is Take.URL for extract in extracts)
        return Request(
            method=spec.method,
            place=self._intern(self.plan.places, "place", spec.place, spec.place),
            target=self.template(spec.target, env),
            params=self.template(spec.params, env) or ((b"",) if spec.params else ()),
            url=self.template(spec.url, env) if asks_url else (),
            name=self.template(spec.name, env),
            headers=[(name, self.template(value, env, "latin-1")) for name, value in spec.headers],
            cookies=[self._cookie(cookie, env) for cookie in spec.cookies],
            body=None if spec.body is None else self.template(spec.body, env),
            caught=spec.caught,
            redirects=spec.redirects,
            has_cookie=spec.has_cookie,
            has_host=spec.has_host,
            connect_timeout=spec.connect_timeout,
            network_timeout=spec.network_timeout,
            extracts=extracts,
            line=self.line(step.line),
        )

    def _cookie(self, spec: CookieSpec, env: dict[Any, int]) -> Cookie:
        value = None if spec.value is None else self.template(spec.value, env, "latin-1")
        return Cookie(name=spec.name, value=value, **asdict(spec.scope))

    def _what(self, step: Step, env: dict[Any, int]) -> int:
        plan, what = self.plan, step.what
        if step.op in (Op.TEXT, Op.FAILURE, Op.NEED):
            template = self.template(what, env)
            return self._intern(plan.templates, "template", template, template)
        if step.op is Op.PICK:
            table = [self.operand(entry, env) for entry in what]
            return self._intern(plan.tables, "table", tuple(table), table)
        if step.op in (Op.RAISE, Op.EXPECT):
            entry = what[0], self.template(what[1], env)
            return self._intern(plan.raises, "raise", entry, entry)
        if step.op is Op.MEMBER:
            return self._intern(plan.paths, "path", _typed(what), what)
        if step.op is Op.SEARCH:
            return self._intern(plan.regexes, "regex", what, what)
        return int(what)  # a source, a test

    def finish(self) -> None:
        """Number the registers, now that all slots are known."""
        plan = self.plan
        plan.slots = list(self.slots.values())
        n_slots = len(plan.slots)
        plan.n_registers = n_slots + self.used
        for program in plan.programs:
            for step in program.code:
                step.dst = _Late.resolve(step.dst, n_slots)
                step.a, step.b, step.c = (
                    _Late.resolve(given, n_slots) for given in (step.a, step.b, step.c)
                )
        plan.tables = [[_Late.resolve(entry, n_slots) for entry in table] for table in plan.tables]
        plan.templates = [_resolved(template, n_slots) for template in plan.templates]
        plan.raises = [(name, _resolved(text, n_slots)) for name, text in plan.raises]
        for request in plan.requests:
            request.target = _resolved(request.target, n_slots)
            request.params = _resolved(request.params, n_slots)
            request.url = _resolved(request.url, n_slots)
            request.name = _resolved(request.name, n_slots)
            request.headers = [(name, _resolved(text, n_slots)) for name, text in request.headers]
            request.cookies = [
                replace(cookie, value=cookie.value and _resolved(cookie.value, n_slots))
                for cookie in request.cookies
            ]
            if request.body is not None:
                request.body = _resolved(request.body, n_slots)
            for extract in request.extracts:
                extract.dst = _Late.resolve(extract.dst, n_slots)


def _typed(path: Sequence[str | int]) -> tuple[tuple[str, str | int], ...]:
    return tuple((type(step).__name__, step) for step in path)


class _Late:
    """Registers before their numbers are known: large numbers."""

    _SLOT, _REGISTER, _END = 1 << 28, 1 << 29, 1 << 30

    @classmethod
    def slot(cls, index: int) -> int:
        return cls._SLOT + index

    @classmethod
    def register(cls, index: int) -> int:
        return cls._REGISTER + index

    @classmethod
    def resolve(cls, given: int, n_slots: int) -> int:
        if cls._REGISTER <= given < cls._END:
            return given - cls._REGISTER + n_slots
        if cls._SLOT <= given < cls._REGISTER:
            return given - cls._SLOT
        return given


def _resolved(template: Template, n_slots: int) -> Template:
    return tuple(
        Value(_Late.resolve(piece.operand, n_slots), piece.encoding, piece.format)
        if isinstance(piece, Value)
        else piece
        for piece in template
    )
