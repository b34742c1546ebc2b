"""What a rewritten task calls for each operation: it records one path of a task."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import json
import logging
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import zip_longest
from operator import getitem
from pathlib import Path
from types import (
    CodeType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any, NoReturn

from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)

from opscore_fast.recording import rewrite, shims
from opscore_fast.recording.branches import (
    MAX_PATHS,
    NEVER,
    Diverged,
    Input,
    Part,
    Parts,
    Ref,
    Step,
    Trace,
    Tree,
    const,
)
from opscore_fast.recording.plan import IS_ARRAY, IS_OBJECT, Kind, Op, Source, Take, Test
from opscore_fast.recording.pure import (
    BUILTINS_WITH_SYMBOLS,
    CHANGES,
    CONTAINERS,
    WITH_SYMBOLS,
    is_exception,
    is_pure,
    is_users_file,
)
from opscore_fast.recording.refusal import NotRecordable, Refusal
from opscore_fast.recording.symbols import (
    Cond,
    Native,
    Sym,
    Text,
    has_symbol,
    is_scalar,
    kind_of,
    operand_of,
    parts_of,
)

_MAX_STEPS = 4096
_TOO_MANY = f"the task has more than {MAX_PATHS} paths"
_FEWER = "make fewer decisions on responses and random values, or split the task"

# Exceptions by which a task tells Locust what to do next.
_LOCUSTS_WAYS = (InterruptTaskSet, RescheduleTaskImmediately, StopTest)


class Runtime:
    """Records the paths of tasks. One at a time is current (trace)."""

    def __init__(self) -> None:
        self.codes: set[CodeType] = set()
        self._made: dict[Any, FunctionType] = {}
        self._injected: list[dict[str, Any]] = []
        self.written: frozenset[tuple[str | int, ...]] = frozenset()
        self.stored: set[tuple[str | int, ...]] = set()
        self.missing: dict[tuple[str | int, ...], NotRecordable] = {}
        """Attributes that were not there for a task: refused unless another sets them."""
        self.once: dict[tuple[str, str], None] = {}
        self.outer: dict[int, Any] = {}
        self.counters: list[tuple[int, int]] = []
        self._counted: dict[int, int] = {}
        self._prepare(Trace())

    def _prepare(self, replayed: Trace) -> None:
        self.trace = Trace(decisions=list(replayed.decisions))
        self._next_decision = 0
        self.texts: set[Input] = set()
        self._known: dict[Any, bool] = {}
        self._needed: set[Ref] = set()
        self._read: int | None = None  # the step whose JSON was read, and nothing taken from it
        self._handlers: list[list[tuple[type[BaseException], object]]] = []  # of each try
        self._raised: list[BaseException] = []
        self._searches: dict[Any, Ref] = {}
        self._written_out: dict[Parts, Ref] = {}
        self.refused: NotRecordable | None = None
        self.attributes: dict[tuple[str | int, ...], Any] = {}
        self.request_name: Any = None
        self.open_requests: list[Any] = []
        self.in_block = False  # of a caught request
        self.before_wait: Callable[[], None] | None = None
        self.starts = False  # an on_start is recorded

    # Where we are

    def where(self) -> tuple[str, int]:
        """Return the place in the locustfile that is executed."""
        frame = sys._getframe(1)
        while frame.f_back is not None:
            if frame.f_code in self.codes:
                return frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back
        return self._entry.co_filename, self._entry.co_firstlineno

    def line(self) -> str:
        """Return that place as a text."""
        file, number = self.where()
        return f"{Path(file).name}:{number}"

    def refusal(self, construct: str, why: str, instead: str = "") -> Refusal:
        """Return what to raise for what can't be recorded; the task counts as refused by it."""
        return self._refusal(NotRecordable(*self.where(), construct, why, instead))

    def _refusal(self, reason: NotRecordable) -> Refusal:
        if self.refused is None:
            self.refused = reason
        return Refusal(self.refused)

    # Recording

    def emit(
        self,
        op: Op,
        what: Any = None,
        a: Input | int = 0,
        b: Input | int = 0,
        c: Input | int = 0,
        slot: tuple[str | int, ...] = (),
        line: str = "",
    ) -> Ref:
        """Append a step; returns its result. line: of the locustfile, if it is not that which
        is executed."""
        if op in (Op.REQUEST, Op.SLEEP) and self.before_wait is not None:
            self.before_wait()
        if self._read is not None:  # the whole is checked where no member is asked for at once
            step, self._read = self._read, None
            self.need(self.take(step, Take.JSON, ()), ("the response is no JSON",), ValueError)
        steps = self.trace.steps
        if len(steps) >= _MAX_STEPS:
            raise self.refusal("a loop", f"a task of more than {_MAX_STEPS} steps")
        steps.append(Step(op, what, a, b, c, slot, line or self.line()))
        return Ref(len(steps) - 1)

    def compute(self, op: Op, kind: Kind = Kind.UNSET, **operands: Any) -> Sym:
        """Append a step that gives a value."""
        reference = self.emit(op, **operands)
        if kind is Kind.TEXT:
            self.texts.add(reference)
            return Text(self, (Part(reference),))
        return Sym(self, reference, kind)

    def take(self, step: int, *take: Any) -> Ref:
        """Have something taken from the response of a step."""
        self.trace.takes.append((step, take))
        return Ref(step, take)

    def fork(self, test: Test, a: Input, b: Input | int) -> bool:
        """Decide a test: one way now, the other in another run."""
        key = test, a, b
        if key in self._known:
            return self._known[key]
        self.emit(Op.BRANCH, what=test, a=a, b=b)
        decisions = self.trace.decisions
        if self._next_decision >= MAX_PATHS:
            raise self.refusal("a decision", _TOO_MANY, _FEWER)
        if self._next_decision == len(decisions):
            decisions.append(True)
        outcome = self._known[key] = decisions[self._next_decision]
        self._next_decision += 1
        return outcome

    def need(self, reference: Ref, why: Parts, error: type[Exception], *arguments: Any) -> None:
        """Go on only if a value of a response is there.

        Where the task would catch the error, this is a fork; else the request fails.
        """
        if reference in self._needed:
            return
        if self._read == reference.step and reference.take[:1] == (Take.JSON,):
            self._read = None
        if self.is_caught(error):
            if not self.fork(Test.SET, reference, 0):
                raise self.raising(error(*(arguments or why)))
        else:
            self.emit(Op.NEED, what=why, a=reference)
        self._needed.add(reference)

    def expect(self, reference: Ref, error: Exception) -> None:
        """Go on only if a value is set; else raise the error.

        Where the task would catch it, this is a fork; else the task ends by it.
        """
        if (Test.SET, reference, 0) in self._known or self.is_caught(type(error)):
            if not self.fork(Test.SET, reference, 0):
                raise self.raising(error)
        else:
            self.emit(Op.EXPECT, what=(type(error).__name__, (str(error),)), a=reference)

    def need_member(
        self, step: int, path: tuple[str | int, ...], why: str, error: KeyError | IndexError
    ) -> None:
        """Go on only if the JSON of a response has something there.

        Where the task would catch the error, this is a fork, and what else there can be instead of
        a member is told apart: no JSON, and no object or array.
        """
        reference = self.take(step, Take.JSON, path)
        others = (json.JSONDecodeError, TypeError, KeyError, IndexError)
        if reference in self._needed:
            return
        if not any(self.is_caught(other) for other in others):
            self.need(reference, (why,), type(error))
            return
        self._needed.add(reference)
        if self.fork(Test.SET, reference, 0):
            return
        if self.tells_apart(others):
            self.need_json(step)
            self._fail_to_subscript(self.take(step, Take.JSON, path[:-1]), path[-1], why)
        self._fail(error, why)

    def _fail_to_subscript(self, value: Ref, key: str | int, why: str) -> NoReturn:
        """Raise what Python does for value[key] where nothing is there."""
        cases = [
            (mask, error_of(partial(getitem, empty, key)))
            for mask, empty in ((IS_OBJECT, {}), (IS_ARRAY, []), (1 << Kind.TEXT, ""))
        ]
        errors = [*(type(error) for _, error in cases), TypeError]
        for number, (mask, error) in enumerate(cases):
            if not self.tells_apart(errors[number:]) or self.fork(Test.KIND, value, mask):
                self._fail(error, why)
        kind = self.compute(Op.TYPE, Kind.TEXT, a=value)
        text = self.fstring("'", (kind, -1, ""), "' object is not subscriptable")
        self._fail(TypeError(text), why)

    def need_object(self, step: int, path: tuple[str | int, ...], key: str) -> None:
        """Go on only if there is an object in the JSON of a response, which has no such key."""
        if not path:
            kind = Text(self, (Part(self.take(step, Take.TYPE)),))
            self.texts.add(kind.parts()[0].operand)  # type: ignore[union-attr]
            if not self.fork(Test.EQ, kind.operand(), const("dict")):
                raise self._no_get(kind)
            return
        value = self.take(step, Take.JSON, path)
        if not self.is_caught(AttributeError):
            self.emit(Op.MEMBER, what=(key,), a=value)
        elif not self.fork(Test.KIND, value, IS_OBJECT):
            raise self._no_get(self.compute(Op.TYPE, Kind.TEXT, a=value))

    def _no_get(self, kind: Sym) -> Exception:
        text = self.fstring("'", (kind, -1, ""), "' object has no attribute 'get'")
        error: Exception = self.raising(AttributeError(text))
        return error

    def _fail(self, error: Exception, why: str) -> NoReturn:
        """Raise what the task catches; else the request fails, and the task ends."""
        if self.is_caught(type(error)):
            raise self.raising(error)
        self.emit(Op.NEED, what=(why,), a=NEVER)
        self.emit(Op.END)
        raise EndOfPath

    def uncaught(self, what: str, *errors: type[Exception]) -> None:
        """Refuse what may raise one of these errors natively where the task would catch it."""
        if any(self.is_caught(error) for error in errors):
            raise self.refusal(
                what, "its failure can't be caught by an except natively", "do it outside the try"
            )

    def read_json(self, step: int, error: ValueError) -> None:
        """Have a response's JSON read. error: what the task would see if it is none."""
        if self.is_caught(type(error)):
            self.need_json(step, error)
        elif self.take(step, Take.JSON, ()) not in self._needed:
            self._read = step

    def need_json(self, step: int, error: ValueError | None = None) -> None:
        """Go on only if a response is JSON. error: what the task would see if it is not."""
        error = error or json.JSONDecodeError("Expecting value", "", 0)
        self._read = None
        if self.fork(Test.TRUE, self.take(step, Take.IS_JSON), 0):
            return
        self._fail(error, "the response is no JSON")

    def is_caught(self, error: type[BaseException]) -> bool:
        """Return whether the task has an except for an error, here."""
        return self._handler(error) is not None

    def _handler(self, error: type[BaseException]) -> object:
        """Return what stands for the except that catches an error; None if there is none."""
        for handlers in reversed(self._handlers):
            for kind, handler in handlers:
                if issubclass(error, kind):
                    return handler
        return None

    def tells_apart(self, errors: Iterable[type[BaseException]]) -> bool:
        """Return whether the task does something else for each of some errors."""
        handlers = {self._handler(error) for error in errors}
        return len(handlers) > 1 or any(isinstance(handler, str) for handler in handlers)

    # What rewritten code calls

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function as the task does."""
        bound = getattr(function, "__self__", None)
        if isinstance(function, Native) or isinstance(bound, Native):
            inner: Any = getattr(function, "__func__", None)
            if isinstance(function, MethodType) and self.is_users(inner):
                return self.rewritten(inner)(bound, *args, **kwargs)
            return function(*args, **kwargs)
        if function is next and args:
            self._check_own_iterator(args[0], "next()")
        if isinstance(function, partial) and isinstance(function.args[0], Native):
            return function(*args, **kwargs)  # rest() of an agent
        shim = shims.find(function)
        if shim is not None:
            return shim(self, *args, **kwargs)
        if isinstance(function, MethodType) and isinstance(function.__func__, FunctionType):
            if self.is_users(function.__func__):
                return self.rewritten(function.__func__)(bound, *args, **kwargs)
        elif isinstance(function, FunctionType) and self.is_users(function):
            return self.rewritten(function)(*args, **kwargs)
        if self._is_log(function):
            return None
        if is_exception(function):
            return function(*args, **kwargs)
        if function is not isinstance and function is not issubclass:
            args = tuple(self._as_called(item) for item in args)
            kwargs = {name: self._as_called(item) for name, item in kwargs.items()}
        if isinstance(bound, str) and function.__name__ == "join":
            args = tuple(item if isinstance(item, Native) else list(item) for item in args)
        symbols = has_symbol(args) or has_symbol(kwargs)
        if symbols or isinstance(bound, GeneratorType):
            return self._call_with_symbols(function, bound, args, kwargs)
        return self._call_plain(function, bound, args, kwargs)

    def _as_called(self, item: Any) -> Any:
        """Return what calls a function through the recorder, if it is one."""
        known = callable(item) and not isinstance(item, Native) and not is_exception(item)
        if not known or getattr(item, "__code__", None) in self.codes:
            return item
        inner: Any = getattr(item, "__func__", item)
        own = isinstance(inner, FunctionType) and self.is_users(inner)
        if not own and shims.find(item) is None:
            return item
        return partial(self.call, item)

    def _is_log(self, function: Any) -> bool:
        owner = getattr(function, "__self__", None)
        module = getattr(function, "__module__", None)
        if function is logging.getLogger:
            return False
        if function is print or isinstance(owner, logging.Logger) or module == "logging":
            name = getattr(function, "__name__", "logging")
            self.once[self.line(), "print" if function is print else f"logging ({name})"] = None
            return True
        return False

    def is_users(self, function: FunctionType) -> bool:
        """Return whether a function is the locustfile's or what that imports."""
        if function.__code__ in self.codes:
            return True
        return is_users_file(function.__code__.co_filename)

    def rewritten(self, function: FunctionType) -> FunctionType:
        """Return a function of the locustfile as it is recorded."""
        if function.__code__ in self.codes:
            return function
        cells = tuple(id(cell) for cell in function.__closure__ or ())
        key = function.__code__, cells, id(function.__globals__)
        made = self._made.get(key)
        if made is None or made.__defaults__ is not function.__defaults__:
            try:
                made = rewrite.rewrite(function, self)
            except rewrite.CannotRewrite as error:
                file = function.__code__.co_filename
                reason = NotRecordable(file, error.line, error.construct, error.why)
                raise self._refusal(reason) from None
            self._injected.append(function.__globals__)
            self._made[key] = made
            self.codes.update(rewrite.codes_of(made))
            self._note_outer(function)
        return made

    def _note_outer(self, function: FunctionType) -> None:
        names = {name for code in rewrite.codes_of(function) for name in code.co_names}
        values = [function.__globals__[name] for name in names if name in function.__globals__]
        for cell in function.__closure__ or ():
            try:
                values.append(cell.cell_contents)
            except ValueError:
                continue
        values += function.__defaults__ or ()
        self.note_shared(*values)

    def note_shared(self, *values: Any) -> None:
        """Note containers that were there before the task: it must not change them."""
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if isinstance(value, CONTAINERS) and id(value) not in self.outer:
                self.outer[id(value)] = value
                waiting += value.values() if isinstance(value, dict) else value
            elif isinstance(value, tuple):
                waiting += value
            elif hasattr(type(value), "__next__"):
                self.outer[id(value)] = value

    def _call_plain(self, function: Any, bound: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(function, "__name__", type(function).__name__)
        if isinstance(bound, CONTAINERS) and name in CHANGES:
            self._check_own(bound, f".{name}()")
        if not is_pure(function, name, bound):
            module = getattr(function, "__module__", None)
            where = f"{module}." if module and module != "builtins" else ""
            raise self.refusal(
                f"{where}{getattr(function, '__qualname__', name)}()",
                "the recorder does not know it, so it can't run natively",
                "do it in on_start, and keep what it gives as an attribute of the user",
            )
        return function(*args, **kwargs)

    def _call_with_symbols(self, function: Any, bound: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(function, "__name__", type(function).__name__)
        if isinstance(bound, str):
            return shims.method_of_str(self, bound, name, args, kwargs)
        if isinstance(bound, CONTAINERS) and name in WITH_SYMBOLS:
            if name in CHANGES:
                self._check_own(bound, f".{name}()")
            return function(*args, **kwargs)
        if function in BUILTINS_WITH_SYMBOLS or function in (sum, any, all, sorted, isinstance):
            return function(*args, **kwargs)
        raise self.refusal(
            f"{getattr(function, '__qualname__', name)}()",
            "it can't be done with what is known only when the plan runs",
            "do it in on_start, or leave it to values that are recorded",
        )

    def _check_own(self, container: Any, construct: str) -> None:
        if id(container) in self.outer:
            raise self.refusal(
                construct,
                "it changes what agents share, or what outlives the task",
                "keep it as a text or number in an attribute of the user",
            )

    def store_into(self, target: Any) -> Any:
        """Check what an attribute or item is about to be stored in."""
        if isinstance(target, CONTAINERS):
            self._check_own(target, "[...] =")
        elif not isinstance(target, Native):
            raise self.refusal(
                f"storing into a {type(target).__name__}",
                "only attributes of the user are kept natively",
            )
        return target

    def loop(self, iterable: Any) -> Any:
        """Check what a loop is over."""
        self._check_own_iterator(iterable, "a loop")
        return iterable

    def _check_own_iterator(self, iterable: Any, construct: str) -> None:
        if hasattr(type(iterable), "__next__"):
            self._check_own(iterable, construct)

    def getattr(self, value: Any, name: str) -> Any:
        """Read an attribute."""
        if isinstance(value, Native):
            actual = getattr(type(value), "actual", None)
            if name == "__class__" and actual is not None:
                return type(actual(value))
            return value.attribute(name)
        computed = getattr(type(value), name, None)
        getter = computed.fget if isinstance(computed, property) else None
        if isinstance(getter, FunctionType) and self.is_users(getter):
            return self.call(getter, value)
        found = getattr(value, name)
        self.note_shared(found)
        return found

    def getitem(self, value: Any, key: Any) -> Any:
        """Read value[key]."""
        if not isinstance(key, Native) or isinstance(value, Native):
            return value[key]
        if isinstance(value, list | tuple) and isinstance(key, Sym):
            self.uncaught("[...]", IndexError, TypeError)
            return self.pick(value, key)
        raise self.refusal(
            "[...] with what is known only when the plan runs",
            "it picks from lists and tuples only",
            "write the cases as if/elif",
        )

    def pick(self, entries: Any, index: Sym) -> Any:
        """Return entries[index]."""
        entries = list(entries)
        if not entries:
            raise self.refusal("[...]", "of an empty list")
        if all(is_scalar(entry) for entry in entries):
            kinds = {kind_of(entry) for entry in entries}
            kind = kinds.pop() if len(kinds) == 1 else Kind.UNSET
            if kind is Kind.NONE:
                return None
            table = tuple(operand_of(entry) for entry in entries)
            return self.compute(Op.PICK, what=table, a=index.operand(), kind=kind)
        first = entries[0]
        if all(type(entry) is dict and entry.keys() == first.keys() for entry in entries):
            return {key: self.pick([entry[key] for entry in entries], index) for key in first}
        if all(type(entry) is tuple and len(entry) == len(first) for entry in entries):
            return tuple(self.pick(column, index) for column in zip(*entries, strict=True))
        for number, entry in enumerate(entries[:-1]):
            if self.fork(Test.EQ, index.operand(), const(number)):
                return entry
        return entries[-1]

    def which(self, counts: list[int]) -> int:
        """Draw an index, each as often as its count says."""
        drawn = self.compute(
            Op.GEN, Kind.INT, what=Source.RANDRANGE, a=const(0), b=const(sum(counts)), c=const(1)
        )
        end = 0
        for index, count in enumerate(counts[:-1]):
            end += count
            if count and self.fork(Test.LT, drawn.operand(), const(end)):
                return index
        return len(counts) - 1

    def count(self, counted: Any, start: int, step: int) -> Sym:
        """Return the next of a counter that all agents share."""
        if id(counted) not in self._counted:
            self._counted[id(counted)] = len(self.counters)
            self.counters.append((start, step))
        number = self._counted[id(counted)]
        return self.compute(Op.GEN, Kind.INT, what=Source.COUNTER, a=number)

    def search(self, regex: tuple[str, int], text: Input, group: int) -> Ref:
        """Return a group of a regular expression's match in a text."""
        key = regex, text, group
        if key not in self._searches:
            self._searches[key] = self.emit(Op.SEARCH, what=regex, a=text, b=group)
        return self._searches[key]

    def fstring(self, *parts: Any) -> Any:
        """Return what an f-string is."""
        done: list[str | Part] = []
        for part in parts:
            if isinstance(part, str):
                done.append(part)
            else:
                done += shims.formatted(self, *part)
        return self.text(tuple(done))

    def written_out(self, parts: Parts) -> Ref:
        """Return the text of parts as a value."""
        if parts not in self._written_out:
            self._written_out[parts] = self.emit(Op.TEXT, what=parts)
        return self._written_out[parts]

    def as_text(self, value: Any) -> Parts:
        """Return a text's parts; what turns out to be none ends the task as a TypeError."""
        if isinstance(value, Sym) and value.kind is Kind.UNSET:
            operand = value.operand()
            if not self.fork(Test.KIND, operand, 1 << Kind.TEXT):
                raise self.raising(TypeError("a text is needed, not a number, None or JSON"))
            self.texts.add(operand)
        return parts_of(value)

    def text(self, parts: Parts) -> Any:
        """Return a text of parts: a str if there is no symbol in it."""
        if all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
        return Text(self, parts)

    def mod(self, left: Any, right: Any) -> Any:
        """Return left % right."""
        if isinstance(left, str) and has_symbol(right):
            return shims.percent(self, left, right)
        return left % right

    def is_in(self, item: Any, container: Any) -> bool:
        """Decide `item in container`."""
        if isinstance(container, Native):
            return container.__contains__(item)
        if not isinstance(item, Sym):
            return item in container
        if isinstance(container, str):
            return self.fork(Test.IN, item.operand(), const(container))
        if isinstance(container, list | tuple | set | frozenset | dict | range):
            ordered = sorted(container, key=repr) if isinstance(container, set) else container
            return any(bool(item == entry) for entry in ordered)
        raise self.refusal("in", f"of a {type(container).__name__}")

    def not_in(self, item: Any, container: Any) -> bool:
        """Decide `item not in container`."""
        return not self.is_in(item, container)

    def is_same(self, left: Any, right: Any) -> bool:
        """Decide `left is right`."""
        for value, other in ((left, right), (right, left)):
            if isinstance(value, Sym):
                if other is None:
                    return value.is_none()
                if isinstance(other, bool):
                    if value.kind is Kind.UNSET:
                        mask = 1 << Kind.BOOL
                        return self.fork(Test.KIND, value.operand(), mask) and bool(value == other)
                    return value.kind is Kind.BOOL and bool(value == other)
                raise self.refusal("is", "only with None, True and False", "use ==")
            if isinstance(value, Cond):
                return bool(value) is other
            if isinstance(value, Native) and other is None and hasattr(type(value), "is_none"):
                return bool(value.is_none())
        return left is right

    def not_same(self, left: Any, right: Any) -> bool:
        """Decide `left is not right`."""
        return not self.is_same(left, right)

    def super_of(self, cls: type, instance: Any) -> Any:
        """Return what super() is in a method of cls."""
        if not isinstance(instance, Native):
            return super(cls, instance)
        return instance.super_of(cls)

    def assertion(self, *message: Any) -> AssertionError:
        """Return what a failed assert raises."""
        error: AssertionError = self.raising(AssertionError(*message))
        return error

    def raising(self, error: Any) -> Any:
        """Note an exception that the task raises by itself."""
        if isinstance(error, type) and issubclass(error, BaseException):
            error = error()
        self._raised.append(error)
        return error

    @contextmanager
    def trying(self, *types: Any, names: Sequence[str | None] = ()) -> Generator[None]:
        """Hold what a try catches, while its body runs.

        names: under which each except has its exception, None where the task can't look at it.
        """
        handlers: list[tuple[type[BaseException], object]] = []
        for given, name in zip_longest(types, names):
            handler = name or object()
            kinds = given if isinstance(given, tuple) else (given,)
            handlers += [(kind, handler) for kind in kinds]
        before = self._handlers
        self._handlers = [*before, handlers]
        try:
            yield
        finally:
            self._handlers = before

    def finishing(self) -> AbstractContextManager[None]:
        """Hold that a finally does something after any exception, while its try runs."""
        return self.trying(BaseException, names=["finally"])

    def is_own(self, error: BaseException | None) -> bool:
        """Return whether the task raised an exception, or what of it is recorded did."""
        return any(error is own for own in self._raised)

    def handling(self) -> None:
        """Check that what an except has caught is the task's own."""
        error = sys.exc_info()[1]
        if isinstance(error, Refusal | EndOfPath):
            raise error
        if not self.is_own(error):
            raise self.refusal(
                "except", f"the recorder can't tell when {type(error).__name__} is raised: {error}"
            )

    # Running

    def record(self, task: Callable[[], Any], entry: FunctionType) -> Tree:
        """Run a task until every outcome of every branch is known. Raises NotRecordable."""
        tree = Tree()
        self._entry = entry.__code__
        replayed = Trace()
        for _ in range(MAX_PATHS):
            self._prepare(replayed)
            self._run(task)
            try:
                tree.add(self.trace)
            except Diverged as error:
                file, _, line = error.step.line.rpartition(":")
                raise NotRecordable(
                    file, int(line or 0), entry.__name__, "it does something else each time it runs"
                ) from None
            decisions = self.trace.decisions
            while decisions and not decisions[-1]:
                decisions.pop()
            if not decisions:
                return tree
            replayed = Trace(decisions=[*decisions[:-1], False])
        raise NotRecordable(
            self._entry.co_filename,
            self._entry.co_firstlineno,
            entry.__name__,
            _TOO_MANY,
            _FEWER,
        )

    def _run(self, task: Callable[[], Any]) -> None:
        try:
            task()
        except Refusal as error:
            raise error.reason from None
        except EndOfPath:
            self._check()
        except StopUser:
            self._check()
            self.emit(Op.STOP)
        except Exception as error:
            self._check()
            self._end_by(error)
        else:
            self._check()
            self.emit(Op.END)

    def _check(self) -> None:
        if self.refused is not None:
            raise self.refused
        for response in self.open_requests:
            raise NotRecordable(
                response.place[0],
                response.place[1],
                "catch_response=True",
                "without a with-block the request is never counted",
                "write `with self.client...(..., catch_response=True) as response:`",
            )

    def frames_of(self, error: Exception) -> list[tuple[str, int, str]]:
        """Return where in the locustfile an exception was raised, the innermost last: file, line
        and function."""
        frames = error.__traceback__
        found = []
        while frames is not None:
            code = frames.tb_frame.f_code
            if code in self.codes:
                found.append((code.co_filename, frames.tb_lineno, code.co_name))
            frames = frames.tb_next
        return found

    def _place_of(self, error: Exception) -> tuple[str, int]:
        found = self.frames_of(error)
        if not found:
            return self._entry.co_filename, self._entry.co_firstlineno
        return found[-1][:2]

    def _end_by(self, error: Exception) -> None:
        if (
            isinstance(error, RescheduleTask) and not self.starts
        ):  # the task is over, and the user waits
            self.emit(Op.END)
            return
        if not self.is_own(error) or isinstance(error, (*_LOCUSTS_WAYS, RescheduleTask)):
            raise NotRecordable(*self._place_of(error), type(error).__name__, f"{error}") from error
        parts: Parts = ()
        if len(error.args) == 1:
            value = error.args[0]
            quoted = isinstance(error, KeyError)
            parts = (repr(value),) if quoted and isinstance(value, str) else parts_of(value)
        elif has_symbol(error.args):
            what = type(error).__name__
            why = "only one text of an exception is recorded"
            raise NotRecordable(*self._place_of(error), what, why)
        elif error.args:
            parts = (str(error),)
        file, number = self._place_of(error)
        line = f"{Path(file).name}:{number}"
        self.emit(Op.RAISE, what=(type(error).__name__, parts), line=line)

    def clear(self) -> None:
        """Leave the locustfile's modules as they were."""
        for names in self._injected:
            names.pop(rewrite.RUNTIME, None)


class EndOfPath(BaseException):
    """The path of a task is over."""


def error_of(function: Callable[[], Any]) -> Exception:
    """Return the exception that a function raises."""
    try:
        function()
    except Exception as error:
        return type(error)(*error.args)
    raise AssertionError("no exception")
