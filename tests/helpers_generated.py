"""Bodies of tasks that are composed at random from a grammar, and responses for them.

What a body does is the same each time it runs: random values have one outcome, of times and uuids
only what does not change is used.
"""

from __future__ import annotations

import json
import random
from typing import Any

from helpers_twins import Answer, Seen

TEXTS = ["", "a", "x y", "ü", "a/b", "%41", "&=?", "{}", '"', "\\", "it's", "€uro", "+", "0"]
SAFE_TEXTS = [
    "a",
    "b-c",
    "Zz9",
    "0",
]  # where others may differ from Python, which has tests of its own
NUMBERS = ["0", "1", "-3", "2.5", "7", "1e3", "10**6"]
TEXT_ATTRIBUTES = ["token", "sp", "uml", "d", "agent_id", "dots"]
NUMBER_ATTRIBUTES = ["n", "f", "w"]
GENERATED_TEXTS = [
    "random.choice(['one'])", "str(uuid.uuid4())[14]", "str(uuid.uuid4())[8]",
    "datetime.now(timezone.utc).isoformat()[-6:]", "datetime.now().strftime('%Y')[:2]",
    "''.join(random.choices('q', k=3))", "uuid.uuid4().hex[12]",
    "datetime.now(timezone.utc).strftime('%z')", "random.choices(['c'], k=1)[0]",
]  # fmt: skip
GENERATED_NUMBERS = [
    "random.randint(4, 4)", "random.uniform(2, 2)", "int(time.time()) // 10**9",
    "random.choice([8])", "random.randrange(3, 4)", "round(random.uniform(1.5, 1.5), 1)",
    "len(str(uuid.uuid4()))",
]  # fmt: skip
PATHS = [
    "['status']", "['n']", "['o']['a']", "['o']['b']['c']", "['l'][0]", "['l'][-1]['id']",
    "['l'][0]['id']", "['zz']", "['o']['zz']", "['l'][7]", "['s'][0]", "['none']", "['s']['x']",
    "['o'][0]", "['f']", "['yes']", "[0]", "[0]['id']",
]  # fmt: skip
GETS = [
    ".get('status')", ".get('n', 0)", ".get('zz', 'd')", ".get('o', {}).get('a')", ".get('none')",
    ".get('none', 5)", "['o'].get('zz', 1.5)", "['s'].get('x')", "['l'][0].get('id', 'no')",
]  # fmt: skip
ERRORS = [
    "Exception", "ValueError", "KeyError", "(KeyError, IndexError)", "TypeError", "LookupError",
    "(KeyError, TypeError, ValueError)", "AttributeError", "json.JSONDecodeError", "IndexError",
    "AssertionError",
]  # fmt: skip


def answers(seed: int, count: int) -> list[Answer]:
    """Return responses, most of them JSON with the members that bodies ask for."""
    rng = random.Random(f"answers {seed}")
    return [_answer(rng) for _ in range(count)]


def _answer(rng: random.Random) -> Answer:
    status = rng.choice([200, 200, 200, 201, 204, 404, 500])
    body = rng.choice(["", "<html>", "[]", "null", '"text"', "{", "3"])
    if rng.random() < 0.75:
        body = json.dumps(_object(rng))
    elif rng.random() < 0.3:
        body = json.dumps([_object(rng), "x"])
    headers: tuple[tuple[str, str], ...] = ()
    if rng.random() < 0.5:
        headers += (("X-Id", rng.choice(["5", "a b", ""])),)
    if rng.random() < 0.3:
        headers += (("Set-Cookie", f"sid={rng.choice('xyz')}; Path=/"),)
    return Answer(status, "" if status == 204 else body, headers, rng.choice(["OK", "Other"]))


def _scalar(rng: random.Random) -> Any:
    return rng.choice(["ok", "", "x/y", "ü\n", 0, 3, -1.5, True, False, None, "12", 1e20])


def _object(rng: random.Random) -> Any:
    made: dict[str, Any] = {
        "status": "ok", "n": 3, "f": 1.5, "s": "text", "yes": True, "none": None,
        "o": {"a": "A", "b": {"c": 1}}, "l": [{"id": "i1"}, {"id": 2}],
    }  # fmt: skip
    for key in list(made):
        drawn = rng.random()
        if drawn < 0.1:
            del made[key]
        elif drawn < 0.3:
            made[key] = rng.choice([_scalar(rng), [], {}, [_scalar(rng)], {"a": _scalar(rng)}])
    items = list(made.items())
    rng.shuffle(items)
    return dict(items)


class Body:
    """Makes one body. texts and numbers: names that are known at this place; responses too."""

    def __init__(self, seed: int, fast: bool) -> None:
        self._rng = random.Random(f"body {seed}")
        self._fast = fast
        self._names = 0
        self._in_block = False

    def make(self) -> str:
        """Return the lines of a task."""
        scope: dict[str, list[str]] = {"text": [], "number": [], "any": [], "response": []}
        lines = self._block(scope, 0, self._rng.randint(2, 5))
        return "\n".join(lines)

    def _new(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def _pick(self, *choices: Any) -> Any:
        return self._rng.choice(choices)

    # Expressions

    def _text(self, scope: dict[str, list[str]], depth: int = 0, texts: list[str] = TEXTS) -> str:
        made = [
            lambda: repr(self._rng.choice(texts)),
            lambda: f"self.{self._rng.choice(TEXT_ATTRIBUTES)}",
            lambda: self._rng.choice(scope["text"] or ["self.token"]),
            lambda: self._rng.choice(GENERATED_TEXTS),
        ]
        if depth < 3:
            made += [
                lambda: self._fstring(scope, depth),
                lambda: f"({self._text(scope, depth + 1)} + {self._text(scope, depth + 1)})",
                lambda: f"str({self._number(scope, depth + 1)})",
                lambda: f"'-'.join([{self._text(scope, depth + 1)}, self.token])",
                lambda: f"('%s:%d' % ({self._text(scope, depth + 1)}, self.n))",
                lambda: f"'{{}}/{{:.2f}}'.format({self._text(scope, depth + 1)}, self.f)",
                lambda: f"{self._text(scope, depth + 1)}[{self._pick(':3', '-2:', '1:', ':-1')}]",
                lambda: f"{self._text(scope, depth + 1)}.replace('a', {self._text(scope, 3)})",
                lambda: f"self.token.{self._pick('upper', 'lower', 'strip')}()",
                lambda: f"({self._text(scope, 3)} if {self._condition(scope, 3)} else 'no')",
            ]
        if scope["response"]:
            r = self._rng.choice(scope["response"])
            made += [
                lambda: f"{r}.headers.get('X-Id', 'none')",
                lambda: f"str({r}.status_code)",
                lambda: f"{r}.url[-4:]",
            ]
        return str(self._rng.choice(made)())

    def _fstring(self, scope: dict[str, list[str]], depth: int) -> str:
        parts = []
        for _ in range(self._rng.randint(1, 3)):
            part = self._pick(self._text, self._number, self._any)(scope, depth + 1)
            if "'" in part or '"' in part or "\\" in part or "{" in part:
                part = self._pick("self.token", "self.n", "self.f")
            spec = ":05.1f" if part == "self.f" and self._rng.random() < 0.5 else ""
            parts.append(self._pick("", "/", "-", "ü") + "{" + part + spec + "}")
        return 'f"' + "".join(parts) + '"'

    def _number(self, scope: dict[str, list[str]], depth: int = 0) -> str:
        made = [
            lambda: self._rng.choice(NUMBERS),
            lambda: f"self.{self._rng.choice(NUMBER_ATTRIBUTES)}",
            lambda: self._rng.choice(scope["number"] or ["self.n"]),
            lambda: self._rng.choice(GENERATED_NUMBERS),
        ]
        if depth < 3:
            made += [
                lambda: (
                    f"({self._number(scope, depth + 1)} {self._pick('+', '-', '*')}"
                    f" {self._number(scope, 3)})"
                ),
                lambda: f"({self._number(scope, depth + 1)} {self._pick('//', '/', '%')} 7)",
                lambda: f"len({self._text(scope, depth + 1)})",
                lambda: f"round({self._number(scope, depth + 1)}, 1)",
                lambda: f"int({self._number(scope, depth + 1)})",
                lambda: f"max({self._number(scope, depth + 1)}, self.n)",
            ]
        if scope["response"]:
            made.append(lambda: f"{self._rng.choice(scope['response'])}.status_code")
        return str(self._rng.choice(made)())

    def _json(self, scope: dict[str, list[str]]) -> str:
        r = self._rng.choice(scope["response"])
        loaded = self._pick(f"{r}.json()", f"{r}.json()", f"json.loads({r}.text)")
        return loaded + self._rng.choice(PATHS if self._rng.random() < 0.6 else GETS)

    def _any(self, scope: dict[str, list[str]], depth: int = 0) -> str:
        made = [self._text, self._number]
        if scope["any"]:
            return str(self._rng.choice(scope["any"]))
        if scope["response"] and self._rng.random() < 0.3:
            return self._json(scope)
        return str(self._rng.choice(made)(scope, depth + 1))

    def _condition(self, scope: dict[str, list[str]], depth: int = 0) -> str:
        made = [
            lambda: (
                f"{self._number(scope, 2)} {self._pick('<', '>=', '==', '!=')}"
                f" {self._number(scope, 3)}"
            ),
            lambda: f"{self._text(scope, 2)} == {self._text(scope, 3)}",
            lambda: f"{self._text(scope, 3)} in {self._text(scope, 2)}",
            lambda: f"{self._text(scope, 3)}.startswith({self._text(scope, 3)})",
            lambda: f"{self._text(scope, 3)}",
            lambda: "self.none is None",
            lambda: "self.yes",
        ]
        if depth < 2:
            made += [
                lambda: (
                    f"({self._condition(scope, depth + 1)} {self._pick('and', 'or')}"
                    f" {self._condition(scope, 2)})"
                ),
                lambda: f"not ({self._condition(scope, depth + 1)})",
            ]
        if scope["any"]:
            name = self._rng.choice(scope["any"])
            made += [
                lambda: f"{name} is None",
                lambda: f"{name} == {self._pick(3, repr('ok'), True, None, 1.5, repr(''))}",
                lambda: name,
                lambda: f"isinstance({name}, {self._pick('str', 'int', 'float', 'bool')})",
                lambda: f"{name} in ({self._pick(3, 0)}, 'ok', None)",
            ]
        if scope["response"]:
            r = self._rng.choice(scope["response"])
            made += [
                lambda: (
                    f"{r}.status_code {self._pick('==', '<', '>=')} {self._pick(200, 300, 404)}"
                ),
                lambda: f"{r}.ok",
                lambda: f"'ok' in ({r}.text or '')",
                lambda: f"'X-Id' in {r}.headers",
                lambda: f"{self._pick(repr('n'), repr('status'), repr('zz'))} in {r}.json()",
                lambda: f"re.search('o(k)', {r}.text or '')",
            ]
        return str(self._rng.choice(made)())

    # Requests

    def _call(self, scope: dict[str, list[str]], caught: bool) -> str:
        method = self._pick("get", "post", "put", "delete", "get", "post")
        arguments = [self._url(scope)]
        if self._rng.random() < 0.3:
            arguments.append(f"params={self._mapping(scope, SAFE_TEXTS)}")
        if self._rng.random() < 0.3:
            arguments.append(f"headers={self._headers(scope)}")
        if not self._fast and self._rng.random() < 0.25:
            arguments.append(f"cookies={self._cookies(scope)}")
        if method in ("post", "put") and self._rng.random() < 0.8:
            kind = self._pick("json", "json", "data", "raw")
            if kind == "json":
                arguments.append(f"json={self._structure(scope, 0)}")
            elif kind == "data":
                form = self._mapping(scope, TEXTS)  # without a value it is framed in another way
                arguments.append(f"data={form.replace('{', '{0: self.d, ', 1)}")
            else:
                arguments.append(f"data={self._text(scope)}")
        if self._rng.random() < 0.3:
            arguments.append(
                f"name={self._pick(repr('/named'), 'self.token', repr('n') + ' + self.d')}"
            )
        if caught:
            arguments.append("catch_response=True")
        if self._rng.random() < 0.1:
            arguments.append("allow_redirects=False")
        return f"self.client.{method}({', '.join(arguments)})"

    def _url(self, scope: dict[str, list[str]]) -> str:
        parts = []
        for _ in range(self._rng.randint(0, 2)):
            name = self._rng.choice(
                [
                    "self.token",
                    "self.n",
                    "self.f",
                    "self.uml",
                    "self.sp",
                    *scope["text"],
                    *scope["number"],
                ]
            )
            parts.append(self._pick("/", "?q=", "-", "&") + "{" + name + "}")
        return 'f"/p' + "".join(parts) + '"'

    def _mapping(self, scope: dict[str, list[str]], texts: list[str]) -> str:
        items = [
            f"{self._pick('a', 'b', 'ü', 'x y')!r}:"
            f" {self._pick(self._text, self._number)(scope, 2)}"
            for _ in range(self._rng.randint(0, 3))
        ]
        if self._rng.random() < 0.2:
            items.append("'no': self.none")
        return "{" + ", ".join(items) + "}"

    def _cookies(self, scope: dict[str, list[str]]) -> str:
        values = [
            *("self.token", "self.uml", "self.agent_id", "self.sp", "'c'", "str(self.n)"),
            *("'\"' + self.token + '\\\\\"\"'", "None", 'f"{self.n}/{self.d}"'),
            *(scope["any"] or ["self.none"]),
        ]
        items = [
            f"{self._pick('a', 'b', 'sid', 'ü', 'x y')!r}: {self._rng.choice(values)}"
            for _ in range(self._rng.randint(0, 3))
        ]
        return "{" + ", ".join(items) + "}"

    def _headers(self, scope: dict[str, list[str]]) -> str:
        values = ["self.token", "self.uml", "'c'", "str(self.n)", 'f"{self.n}/{self.token}"']
        if self._fast:
            values.append("self.n")
        items = [
            f"{self._pick('X-A', 'x-b', 'Accept', 'Cookie', 'Content-Type')!r}:"
            f" {self._rng.choice(values)}"
            for _ in range(self._rng.randint(1, 2))
        ]
        return "{" + ", ".join(items) + "}"

    def _structure(self, scope: dict[str, list[str]], depth: int) -> str:
        drawn = self._rng.random()
        if depth < 3 and drawn < 0.45:
            items = [
                f"{self._pick('a', 'b', 'ü', 'k')!r}: {self._structure(scope, depth + 1)}"
                for _ in range(self._rng.randint(0, 3))
            ]
            return "{" + ", ".join(items) + "}"
        if depth < 3 and drawn < 0.6:
            items = [self._structure(scope, depth + 1) for _ in range(self._rng.randint(0, 2))]
            return "[" + ", ".join(items) + "]"
        other = self._pick("None", "True", "self.none", "self.yes", "self.data", "self.numbers")
        choice = self._pick(self._text, self._number, self._any, lambda *_: other)
        return str(choice(scope, 2))

    # Statements

    def _block(self, scope: dict[str, list[str]], depth: int, count: int) -> list[str]:
        known = {kind: list(names) for kind, names in scope.items()}
        lines: list[str] = []
        for _ in range(count):
            lines += self._statement(known, depth)
        return lines

    def _inner(self, scope: dict[str, list[str]], depth: int) -> list[str]:
        lines = self._block(scope, depth + 1, self._rng.randint(1, 2))
        return [f"    {line}" for line in lines]

    def _statement(self, scope: dict[str, list[str]], depth: int) -> list[str]:
        simple = [self._request, self._request, self._assign, self._assign, self._attribute]
        if scope["response"]:
            simple += [self._extract, self._extract]
        if depth >= 2:
            return list(self._rng.choice(simple)(scope))
        made = [
            *simple,
            lambda s: self._if(s, depth),
            lambda s: self._try(s, depth),
            lambda s: self._try(s, depth),
            lambda s: self._for(s, depth),
        ]
        if not self._in_block:
            made += [lambda s: self._with(s, depth)] * 2
        if self._rng.random() < 0.15:
            made = [lambda s: self._leave(s)]
        return list(self._rng.choice(made)(scope))

    def _request(self, scope: dict[str, list[str]]) -> list[str]:
        name = self._new()
        line = f"{name} = {self._call(scope, False)}"
        scope["response"].append(name)
        return [line]

    def _assign(self, scope: dict[str, list[str]]) -> list[str]:
        name, kind = self._new(), self._pick("text", "number")
        line = f"{name} = {self._text(scope) if kind == 'text' else self._number(scope)}"
        scope[kind].append(name)
        return [line]

    def _extract(self, scope: dict[str, list[str]]) -> list[str]:
        name = self._new()
        line = f"{name} = {self._json(scope)}"
        scope["any"].append(name)
        return [line]

    def _attribute(self, scope: dict[str, list[str]]) -> list[str]:
        made = [
            f"self.n {self._pick('=', '+=', '-=')} {self._number(scope, 2)}",
            f"self.token {self._pick('=', '+=')} {self._text(scope, 2)}",
        ]
        if scope["any"]:
            made.append(f"self.kept = {self._rng.choice(scope['any'])}")
            made.append("self.kept = str(getattr(self, 'kept', 'none'))")
        return [self._rng.choice(made)]

    def _if(self, scope: dict[str, list[str]], depth: int) -> list[str]:
        lines = [f"if {self._condition(scope)}:", *self._inner(scope, depth)]
        if self._rng.random() < 0.5:
            lines += ["else:", *self._inner(scope, depth)]
        return lines

    def _try(self, scope: dict[str, list[str]], depth: int) -> list[str]:
        lines = ["try:", *self._inner(scope, depth)]
        for error in self._rng.sample(ERRORS, self._rng.randint(1, 2)):
            if self._rng.random() < 0.4:
                lines += [f"except {error} as e:", '    self.client.post("/e", data=f"{e}")']
            else:
                lines += [f"except {error}:", *self._inner(scope, depth)]
        if self._rng.random() < 0.2:
            lines += ["else:", *self._inner(scope, depth)]
        if self._rng.random() < 0.15:
            lines += ["finally:", "    self.client.get('/f')"]
        return lines

    def _for(self, scope: dict[str, list[str]], depth: int) -> list[str]:
        name = self._new()
        known = {**scope, "text": [*scope["text"], name]}
        return [f"for {name} in ('u', self.token):", *self._inner(known, depth)]

    def _with(self, scope: dict[str, list[str]], depth: int) -> list[str]:
        name = self._new()
        lines = [f"with {self._call(scope, True)} as {name}:"]
        known = {**scope, "response": [*scope["response"], name]}
        self._in_block = True
        lines += self._inner(known, depth)
        self._in_block = False
        verdict = [f"{name}.success()", f"{name}.failure({self._text(known)})"]
        lines += [f"    if {self._condition(known)}:", f"        {self._rng.choice(verdict)}"]
        if self._rng.random() < 0.4:
            lines += ["    else:", f"        {self._rng.choice(verdict)}"]
        return lines

    def _leave(self, scope: dict[str, list[str]]) -> list[str]:
        return [
            self._rng.choice(
                [
                    f"raise ValueError({self._text(scope, 2)})",
                    f"assert {self._condition(scope)}, {self._text(scope, 2)}",
                    f"assert {self._condition(scope)}",
                    "return",
                    f"raise KeyError({self._text(scope, 3)})",
                ]
            )
        ]


def verdict(expected: Seen, got: Seen) -> str:
    """Return how one task natively is as it is in Python, where it may differ; "": it is not.

    What is missing in a response fails the request and ends the task, which in Python ends by an
    exception; texts of what can't be computed may differ.
    """
    if got == expected:
        return "same"
    kinds = [kind for kind, _ in expected.raised], [kind for kind, _ in got.raised]
    if got.received != expected.received or got.attributes != expected.attributes:
        return ""
    if kinds[0] == kinds[1] and (got.requests, got.lines) == (expected.requests, expected.lines):
        return "text" if got.failures == expected.failures else ""
    missing = [
        text for *_, text, _ in got.failures if "in the response" in text or "no JSON" in text
    ]
    ended = len(expected.raised) == 1 and not got.raised
    return "missing" if ended and (missing or got.failures) else ""
