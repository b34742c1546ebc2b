"""A recorded user class as data: what the native threads run, and what ``explain`` prints.

The recorder (opscore_fast.recording) makes it, opscore_fast._core.Plan takes it over; the meaning
of every field is that of csrc/agent/plan.h, whose enumerations are the enumerations here, by name
and number. An operand is an int: 0 and up are registers (those below the number of slots are the
agent's own), ~i is the plan's constant i. Tables are lists, and named by index.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opscore_fast.recording.set_up import SetUp

Operand = int
Constant = None | bool | int | float | str

NOTHING = 0xFFFFFFFF
"""No such entry (OPF_NOTHING)."""


class Encoding(IntEnum):
    """How a value stands in what is written (opf_encoding)."""

    TEXT = 0
    JSON = 1
    JSON_STRING = 2
    QUERY = 3
    HEADER = 4


@dataclass(frozen=True)
class Value:
    """A piece of a template that is a value; format: a format spec, see opf_format."""

    operand: Operand
    encoding: Encoding = Encoding.TEXT
    format: str = ""


Template = tuple[bytes | Value, ...]
"""Bytes (UTF-8) and values, one behind the other."""


class Source(IntEnum):
    """What OP GEN draws or reads (opf_source)."""

    TIME = 0
    TIME_NS = 1
    MONOTONIC = 2
    NOW = 3
    UUID4 = 4
    UUID1 = 5
    RANDOM = 6
    UNIFORM = 7
    RANDRANGE = 8
    GAUSS = 9
    EXPOVARIATE = 10
    BITS = 11
    HEX = 12
    STRING = 13
    COUNTER = 14
    ORDINAL = 15


class Op(IntEnum):
    """Instructions (opf_op)."""

    GEN = 0
    MOVE = 1
    TEXT = 2
    PICK = 3
    ADD = 4
    SUB = 5
    MUL = 6
    TRUEDIV = 7
    FLOORDIV = 8
    MOD = 9
    NEG = 10
    ABS = 11
    INT = 12
    FLOAT = 13
    ROUND = 14
    MIN = 15
    MAX = 16
    BOOL = 17
    LEN = 18
    LOWER = 19
    UPPER = 20
    STRIP = 21
    REPLACE = 22
    SLICE = 23
    MEMBER = 24
    SEARCH = 25
    TYPE = 26
    DATE_ISO = 27
    DATE_FORMAT = 28
    BRANCH = 29
    JUMP = 30
    REQUEST = 31
    NEED = 32
    SUCCESS = 33
    FAILURE = 34
    REPORT = 35
    FORGET = 36
    SLEEP = 37
    RAISE = 38
    EXPECT = 39
    STOP = 40
    END = 41


class Test(IntEnum):
    """Conditions of OP BRANCH (opf_condition)."""

    EQ = 0
    NE = 1
    LT = 2
    LE = 3
    GT = 4
    GE = 5
    TRUE = 6
    SET = 7
    NONE = 8
    IN = 9
    STARTS = 10
    ENDS = 11
    KIND = 12


class Kind(IntEnum):
    """Kinds of values (opf_kind)."""

    UNSET = 0
    NONE = 1
    BOOL = 2
    INT = 3
    FLOAT = 4
    TEXT = 5
    JSON = 6


IS_OBJECT, IS_ARRAY = 1 << 7, 1 << 8
"""Of which kind JSON is, in the mask of Test.KIND (OPF_KIND_OBJECT, OPF_KIND_ARRAY)."""


SCALARS = (str, int, float, bool, type(None))
"""The types of constants."""


def kind_of_constant(value: object) -> Kind:
    """Return the kind of a constant; NONE of whatever is none."""
    kinds: dict[type, Kind] = {
        bool: Kind.BOOL,
        int: Kind.INT,
        float: Kind.FLOAT,
        str: Kind.TEXT,
    }
    return kinds.get(type(value), Kind.NONE)


class Take(IntEnum):
    """What is taken from a response (opf_take)."""

    STATUS = 0
    OK = 1
    REASON = 2
    TEXT = 3
    CONTENT = 4
    SIZE = 5
    ELAPSED = 6
    HEADER = 7
    COOKIE = 8
    URL = 9
    IS_JSON = 10
    JSON = 11
    REGEX = 12
    TYPE = 13


class Pace(IntEnum):
    """Kinds of waits (opf_pace)."""

    CONSTANT = 0
    BETWEEN = 1
    PACING = 2
    POISSON = 3
    SAMPLES = 4


@dataclass
class Instruction:
    """One step of a program (opf_instruction); line is an index of Plan.lines."""

    op: Op
    dst: int = 0
    what: int = 0
    target: int = 0
    a: Operand = 0
    b: Operand = 0
    c: Operand = 0
    line: int = 0


@dataclass
class Extract:
    """What is taken from a response into the register dst (opf_extract)."""

    take: Take
    dst: int
    what: int = 0
    group: int = 0
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class CookieScope:
    """Which requests a cookie is for, as opf_agent_cookie has it."""

    domain: str = ""
    """Without a leading dot; empty: any."""
    path: str = "/"
    host_only: bool = True
    """Its domain has no leading dot."""
    secure: bool = False
    expires: int | None = None
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Cookie(CookieScope):
    """A cookie that a request brings along (opf_request_cookie). value None: its name alone."""

    name: str
    value: Template | None


@dataclass
class Request:
    """A request (opf_request_plan). Times in seconds; None: the plan's; 0: none."""

    method: str
    place: int
    target: Template
    params: Template
    url: Template
    name: Template
    headers: list[tuple[str, Template]]
    cookies: list[Cookie]
    body: Template | None
    caught: bool
    redirects: bool
    has_cookie: bool
    has_host: bool
    connect_timeout: float | None
    network_timeout: float | None
    extracts: list[Extract]
    line: int


@dataclass
class Program:
    """A task's instructions (opf_program)."""

    name: str
    code: list[Instruction]


@dataclass
class Wait:
    """A wait between tasks (opf_wait); function: what SAMPLES are drawn by, called with a user."""

    pace: Pace
    a: float = 0.0
    b: float = 0.0
    samples: int = 0
    function: Any = None


@dataclass
class TaskSet:
    """Tasks to choose from (opf_task_set); a choice is ("program" or "set", index)."""

    sequential: bool
    choices: list[tuple[str, int]]
    wait: Wait
    on_start: int = NOTHING
    name: str = ""


@dataclass
class Slot:
    """What is known of each agent by itself: where on the user it is found and put back.

    path: ("agent_id",) for the attribute; ("config", "key", 0) for a leaf of a container;
    ("client.headers", NAME) for a header of the session. kind: what it was when recorded. written:
    a task sets it, so that it is put back before on_stop.
    """

    path: tuple[str | int, ...]
    kind: Kind
    written: bool = False
    maybe: bool = False
    """Tasks alone set it: before, a user has no such attribute."""
    set_up: bool = False
    """The start program sets it: before, a user may have no such attribute."""
    types: tuple[type, ...] = ()
    """What its text may stand for in Python."""


@dataclass
class Plan:
    """All that the agents of one user class do (opf_plan)."""

    user_class: str
    style: str
    """"http" (as Locust's HttpUser) or "fast" (as FastHttpUser)."""
    slots: list[Slot] = field(default_factory=list)
    n_registers: int = 0
    max_redirects: int = 30
    http_version_in_name: bool = False
    constants: list[Constant] = field(default_factory=list)
    templates: list[Template] = field(default_factory=list)
    tables: list[list[Operand]] = field(default_factory=list)
    paths: list[tuple[str | int, ...]] = field(default_factory=list)
    regexes: list[tuple[str, int]] = field(default_factory=list)
    """Pattern and flags of Python's re."""
    raises: list[tuple[str, Template]] = field(default_factory=list)
    """Type's name and text."""
    places: list[str] = field(default_factory=list)
    """scheme://host[:port]"""
    requests: list[Request] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    sets: list[TaskSet] = field(default_factory=list)
    start: int = NOTHING
    set_up: SetUp | None = None
    """What the start program leaves on a user; None: on_start runs in Python."""
    counters: list[tuple[int, int]] = field(default_factory=list)
    """First value and step."""
    samples: list[Any] = field(default_factory=list)
    """Functions of a user that return seconds."""
    lines: list[str] = field(default_factory=list)
    """"locustfile.py:12" """
    once: list[tuple[str, str]] = field(default_factory=list)
    """What ran while recording and won't again: (line, what), such as a print."""
    shapes: list[tuple[tuple[str | int, ...], Any]] = field(default_factory=list)
    """Containers among the agents' attributes: path, and keys or length, the same for all."""
    base_url: str = ""
    """What relative URLs were put behind; the same for all agents."""
    names: dict[int, str] = field(default_factory=dict)
    """For explain: what a register holds, in words."""
