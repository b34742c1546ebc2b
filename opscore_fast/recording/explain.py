"""What a recorded plan does, in words."""

from __future__ import annotations

from collections.abc import Iterator

from opscore_fast.recording.plan import (
    NOTHING,
    Extract,
    Instruction,
    Op,
    Operand,
    Pace,
    Plan,
    Program,
    Request,
    Source,
    Take,
    TaskSet,
    Template,
    Test,
    Value,
    Wait,
)
from opscore_fast.recording.set_up import PROGRESS

_SIGNS = {
    Test.EQ: "==", Test.NE: "!=", Test.LT: "<", Test.LE: "<=", Test.GT: ">", Test.GE: ">=",
    Test.IN: "in", Test.STARTS: "starts with", Test.ENDS: "ends with",
}  # fmt: skip


class _Words:
    """Names for the values of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.begin()

    def begin(self) -> None:
        """Forget what is of one task alone."""
        self.names = {
            i: f"self.{'.'.join(map(str, slot.path))}" for i, slot in enumerate(self.plan.slots)
        }

    def take(self, request: Request) -> None:
        """Give what is taken from a response its names."""
        for extract in request.extracts:
            self.names[extract.dst] = f"response's {self._taken(extract)}"

    def _taken(self, extract: Extract) -> str:
        if extract.take is Take.JSON:
            return "JSON" + "".join(f"[{step!r}]" for step in self.plan.paths[extract.what])
        if extract.take is Take.REGEX:
            return f"text by {self.plan.regexes[extract.what][0]!r}"
        name = f" {extract.name}" if extract.name else ""
        return extract.take.name.lower().replace("_", " ") + name

    def operand(self, operand: Operand) -> str:
        if operand < 0:
            return repr(self.plan.constants[~operand])
        return self.names.get(operand, f"r{operand}")

    def template(self, template: Template) -> str:
        return "".join(
            piece.decode("utf-8", "replace")
            if isinstance(piece, bytes)
            else "{" + self.operand(piece.operand) + "}"
            for piece in template
        )

    def define(self, step: Instruction) -> None:
        """Give what an instruction makes a name."""
        a, b, c = (self.operand(operand) for operand in (step.a, step.b, step.c))
        if step.op is Op.GEN:
            source = Source(step.what)
            used = {
                Source.UNIFORM: f"({a}, {b})", Source.RANDRANGE: f"({a}, {b}, {c})",
                Source.STRING: f"({a})", Source.GAUSS: f"({a}, {b})",
            }.get(source, "")  # fmt: skip
            self.names[step.dst] = f"{source.name.lower()}{used}"
        elif step.op is Op.TEXT:
            self.names[step.dst] = self.template(self.plan.templates[step.what])
        elif step.op is Op.MOVE and step.dst >= len(self.plan.slots):
            self.names[step.dst] = a
        elif step.op is Op.PICK:
            entries = ", ".join(map(self.operand, self.plan.tables[step.what]))
            self.names[step.dst] = f"one of {entries}"
        elif step.dst >= len(self.plan.slots):
            self.names[step.dst] = f"{step.op.name.lower()} of {a}"


def explain(plan: Plan) -> str:
    """Return a text of several lines: tasks, steps, what varies in each and from where, waits."""
    words = _Words(plan)
    lines = [f"{plan.user_class} (as {'HttpUser' if plan.style == 'http' else 'FastHttpUser'})"]
    for slot in (one for one in plan.slots if one.path != PROGRESS):
        lines.append(f"  of each agent: self.{'.'.join(map(str, slot.path))}")
    for task_set in plan.sets:
        lines += _of_set(plan, task_set)
    for number, program in enumerate(plan.programs):
        kind = "at first" if number == plan.start else "task"
        lines.append(f"  {kind} {program.name}")
        lines += (f"    {line}" for line in _of_program(words, program))
    lines += (f"  runs once, while recording: {what} ({line})" for line, what in plan.once)
    return "\n".join(lines)


def _of_set(plan: Plan, task_set: TaskSet) -> Iterator[str]:
    shares: dict[str, int] = {}
    for kind, index in task_set.choices:
        name = plan.programs[index].name if kind == "program" else plan.sets[index].name
        shares[name] = shares.get(name, 0) + 1
    total = len(task_set.choices)
    how = "in turn" if task_set.sequential else "chosen at random"
    chosen = ", ".join(f"{name} {count / total:.0%}" for name, count in shares.items())
    yield f"  {task_set.name or 'tasks'}, {how}: {chosen}; wait: {_of_wait(task_set.wait)}"
    if task_set.on_start != NOTHING:
        yield f"    begins with {plan.programs[task_set.on_start].name}"


def _of_wait(wait: Wait) -> str:
    return {
        Pace.CONSTANT: f"{wait.a:g} s",
        Pace.BETWEEN: f"{wait.a:g} to {wait.b:g} s",
        Pace.PACING: f"a task each {wait.a:g} s",
        Pace.POISSON: f"{wait.a:g} tasks per s on the average, at random",
        Pace.SAMPLES: "by its own function, in Python now and then",
    }[wait.pace]


def _of_program(words: _Words, program: Program) -> Iterator[str]:
    targets = {step.target for step in program.code if step.op in (Op.BRANCH, Op.JUMP, Op.NEED)} - {
        NOTHING
    }
    words.begin()
    for number, step in enumerate(program.code):
        if number in targets:
            yield f"#{number}:"
        line = words.plan.lines[step.line] if words.plan.lines else ""
        text = _of_step(words, step)
        if text:
            yield f"  {text}   ({line})"


def _of_step(words: _Words, step: Instruction) -> str:
    plan, a = words.plan, words.operand(step.a)
    if step.op is Op.REQUEST:
        return _of_request(words, plan.requests[step.what])
    if step.op is Op.BRANCH:
        test = Test(step.what)
        condition = f"{a} is {test.name.lower()}"
        if test in _SIGNS:
            condition = f"{a} {_SIGNS[test]} {words.operand(step.b)}"
        return f"unless {condition}: #{step.target}"
    if step.op is Op.JUMP:
        return f"go on at #{step.target}"
    if step.op is Op.NEED:
        return f"needs {a}"
    if step.op is Op.FAILURE:
        return f"failure: {words.template(plan.templates[step.what])}"
    if step.op in (Op.RAISE, Op.EXPECT):
        kind, text = plan.raises[step.what]
        unless = f"unless {a} is set, " if step.op is Op.EXPECT else ""
        return f"{unless}raises {kind}: {words.template(text)}"
    if step.op is Op.SLEEP:
        return f"sleeps {a} s"
    if step.op is Op.MOVE and step.dst < len(plan.slots):
        if plan.slots[step.dst].path == PROGRESS:
            return ""
        return f"{words.operand(step.dst)} = {a}"
    if step.op in (Op.SUCCESS, Op.STOP, Op.END):
        return {Op.SUCCESS: "success", Op.STOP: "the user stops", Op.END: "end"}[step.op]
    if step.op in (Op.REPORT, Op.FORGET):
        return ""
    words.define(step)
    return ""


def _of_request(words: _Words, request: Request) -> str:
    pieces = [*request.target, *request.params, *(request.body or ())]
    pieces += [piece for _, value in request.headers for piece in value]
    pieces += [piece for cookie in request.cookies for piece in cookie.value or ()]
    varies = any(isinstance(piece, Value) for piece in pieces)
    text = f"{request.method} {words.template(request.target)}"
    if request.params:
        text += f" and {words.template(request.params)} in the query"
    if request.name:
        text += f" as {words.template(request.name)}"
    if request.body:
        text += f" with {words.template(request.body)}"
    if request.cookies:
        cookies = "; ".join(
            cookie.name if cookie.value is None else f"{cookie.name}={words.template(cookie.value)}"
            for cookie in request.cookies
        )
        text += f" with cookies {cookies}"
    words.take(request)
    return text if varies else f"{text}, always the same bytes"
