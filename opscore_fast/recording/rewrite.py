"""Functions of the locustfile, compiled anew so that what they do goes through the recorder."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

RUNTIME = "__opscore_recorder__"
"""Name of the recorder among the globals of a rewritten function."""


class CannotRewrite(Exception):
    """A construct that is not recorded: (line within the file, construct, why)."""

    def __init__(self, line: int, construct: str, why: str) -> None:
        self.line, self.construct, self.why = line, construct, why
        super().__init__(why)


def rewrite(function: FunctionType, runtime: Any) -> FunctionType:
    """Return the function compiled so that calls, texts and tests go through the runtime.

    Raises CannotRewrite, also when there is no source.
    """
    code = function.__code__
    try:
        lines, first = inspect.getsourcelines(code)  # not of what it wraps
        source = "".join(lines)
        if source[:1].isspace():  # dedented, its texts of several lines would be other ones
            source, first = "if True:\n" + source, first - 1
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        raise CannotRewrite(code.co_firstlineno, function.__qualname__, "has no source") from None
    ast.increment_lineno(tree, first - 1)
    definition = _find(tree, function)
    if isinstance(definition, ast.FunctionDef):
        body = definition
        body.decorator_list = []
    else:
        body = ast.FunctionDef(
            name="_", args=definition.args, decorator_list=[], body=[ast.Return(definition.body)]
        )  # fmt: skip
        ast.copy_location(body, definition)
    arguments = body.args
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [default and ast.Constant(None) for default in arguments.kw_defaults]
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    body.returns = None
    first_argument = next((a.arg for a in [*arguments.posonlyargs, *arguments.args]), None)
    class_name = function.__qualname__.rpartition(".")[0].rpartition(".")[2]
    body.body = _Rewriter(first_argument, class_name, code.co_freevars).block(body.body)
    outer = ast.parse(f"def outer({', '.join(code.co_freevars)}): pass")
    maker = outer.body[0]
    assert isinstance(maker, ast.FunctionDef)
    maker.body = [body]
    ast.fix_missing_locations(outer)
    compiled = compile(outer, code.co_filename, "exec", dont_inherit=True)
    inner = next(
        nested
        for made in compiled.co_consts
        if isinstance(made, CodeType)
        for nested in made.co_consts
        if isinstance(nested, CodeType)
    )
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    names = function.__globals__
    names[RUNTIME] = runtime
    made_function = FunctionType(
        inner,
        names,
        function.__name__,
        function.__defaults__,
        tuple(cells[name] for name in inner.co_freevars),
    )
    made_function.__kwdefaults__ = function.__kwdefaults__
    made_function.__qualname__ = function.__qualname__
    return made_function


def codes_of(function: FunctionType) -> Iterator[CodeType]:
    """Yield the code of a function and of all that is defined in it."""
    waiting = [function.__code__]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [nested for nested in code.co_consts if isinstance(nested, CodeType)]


def _find(tree: ast.Module, function: FunctionType) -> ast.FunctionDef | ast.Lambda:
    name = function.__code__.co_name
    wanted: type[ast.AST] = ast.Lambda if name == "<lambda>" else ast.FunctionDef
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, wanted) and getattr(node, "name", "<lambda>") == name
    ]
    line = function.__code__.co_firstlineno
    if not found or (wanted is ast.Lambda and len(found) > 1):
        raise CannotRewrite(line, name, "its source can't be told from others on its line")
    node = found[0]
    assert isinstance(node, ast.FunctionDef | ast.Lambda)
    if any(isinstance(inner, ast.Await | ast.AsyncFor | ast.AsyncWith) for inner in ast.walk(node)):
        raise CannotRewrite(line, name, "async functions are not recorded")
    return node


def _without_finally(node: ast.Try) -> ast.stmt:
    """Return a try without its finally, as a statement."""
    if node.handlers:
        return ast.Try(node.body, node.handlers, node.orelse, [])
    return ast.If(ast.Constant(True), node.body, [])


def _seen_as(handler: ast.ExceptHandler) -> str | None:
    """Return a name for the exception that an except looks at; None if it does not."""
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise) and node.exc is None:
            return handler.name or "raise"
        if handler.name and isinstance(node, ast.Name) and node.id == handler.name:
            return handler.name
    return None


def _runtime(name: str, *arguments: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Name(RUNTIME, ast.Load()), name, ast.Load())
    return ast.Call(function, list(arguments), [])


class _Rewriter(ast.NodeTransformer):
    """Puts the runtime where an operation of Python would take a symbol for a str or a bool."""

    def __init__(self, first_argument: str | None, class_name: str, outer: tuple[str, ...]) -> None:
        self._outer = frozenset(outer)
        self._first = first_argument
        self._class = class_name.lstrip("_")

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        return [self._at(statement, self.visit(statement)) for statement in statements]

    @staticmethod
    def _at(old: ast.AST, new: Any) -> Any:
        ast.copy_location(new, old)
        for node in ast.walk(new):
            if "lineno" in node._attributes and not hasattr(node, "lineno"):
                ast.copy_location(node, old)
        return new

    def visit(self, node: ast.AST) -> Any:
        return self._at(node, super().visit(node))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        plain_super = isinstance(node.func, ast.Name) and node.func.id == "super"
        if plain_super and not node.args and self._first:
            here = ast.Name("__class__", ast.Load()), ast.Name(self._first, ast.Load())
            return _runtime("super_of", *here)
        self.generic_visit(node)
        call = _runtime("call", node.func, *node.args)
        call.keywords = node.keywords
        return call

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                value = self.visit(part.value)
                given = part.format_spec
                spec: ast.expr = self.visit(given) if given else ast.Constant("")
                entry = [value, ast.Constant(part.conversion), spec]
                parts.append(ast.Tuple(entry, ast.Load()))
            else:
                parts.append(part)
        return _runtime("fstring", *parts)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mod):
            return _runtime("mod", node.left, node.right)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        names = {ast.In: "is_in", ast.NotIn: "not_in", ast.Is: "is_same", ast.IsNot: "not_same"}
        name = names.get(type(node.ops[0]))
        if name is None and len(node.ops) > 1 and any(type(op) in names for op in node.ops):
            raise CannotRewrite(node.lineno, "a chain of comparisons", "write them with `and`")
        if name is None:
            return node
        if len(node.ops) > 1:
            raise CannotRewrite(node.lineno, "a chain of comparisons", "write them with `and`")
        return _runtime(name, node.left, node.comparators[0])

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            if isinstance(node.slice, ast.Slice):
                return node
            return _runtime("getitem", node.value, node.slice)
        node.value = _runtime("store_into", node.value)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr.startswith("__") and not node.attr.endswith("__") and self._class:
            node.attr = f"_{self._class}{node.attr}"  # as the compiler does within a class
        if isinstance(node.ctx, ast.Load):
            return _runtime("getattr", node.value, ast.Constant(node.attr))
        node.value = _runtime("store_into", node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if isinstance(node.op, ast.Mod):
            raise CannotRewrite(node.lineno, "%=", "write it as x = x % y")
        self.generic_visit(node)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        arguments = [node.msg] if node.msg else []
        error = _runtime("assertion", *(self.visit(argument) for argument in arguments))
        test = ast.UnaryOp(ast.Not(), self.visit(node.test))
        return ast.If(test, [ast.Raise(error, None)], [])

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        if node.exc is not None:
            node.exc = _runtime("raising", node.exc)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = _runtime("loop", node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.iter = _runtime("loop", node.iter)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        if self._outer.intersection(node.names):
            raise CannotRewrite(node.lineno, "nonlocal", "what agents share can't change in a task")
        return node

    def visit_TryStar(self, node: ast.AST) -> ast.AST:
        raise CannotRewrite(getattr(node, "lineno", 0), "except*", "write except")

    def visit_Try(self, node: ast.Try) -> ast.AST:
        self.generic_visit(node)
        caught: list[ast.expr] = []
        for handler in node.handlers:
            caught.append(handler.type or ast.Name("BaseException", ast.Load()))
            handler.body.insert(0, ast.Expr(_runtime("handling")))
        if node.handlers:
            trying = _runtime("trying", *caught)
            names = [ast.Constant(_seen_as(handler)) for handler in node.handlers]
            trying.keywords.append(ast.keyword("names", ast.List([*names], ast.Load())))
            node.body = [ast.With([ast.withitem(trying)], node.body)]
        if node.finalbody:
            node.body = [ast.With([ast.withitem(_runtime("finishing"))], [_without_finally(node)])]
            node.handlers, node.orelse = [], []
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        names = [alias.asname or alias.name for alias in node.names]
        noted = [_runtime("note_shared", *(ast.Name(name, ast.Load()) for name in names))]
        body: list[ast.stmt] = [node, *(ast.Expr(call) for call in noted)]
        return ast.If(ast.Constant(True), body, [])

    def visit_Global(self, node: ast.Global) -> ast.AST:
        raise CannotRewrite(node.lineno, "global", "what agents share can't change in a task")

    def visit_Match(self, node: ast.Match) -> ast.AST:
        for case in node.cases:
            for pattern in ast.walk(case.pattern):
                if isinstance(pattern, ast.MatchMapping | ast.MatchSequence | ast.MatchClass):
                    raise CannotRewrite(node.lineno, "match", "only values are recorded")
        for case in node.cases:
            case.guard = self.visit(case.guard) if case.guard else None
            case.body = self.block(case.body)
        node.subject = self.visit(node.subject)
        return node
