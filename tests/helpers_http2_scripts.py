"""What servers may do wrong in HTTP/2, and what is odd but right, as scripts of `servers.http2`.

Each of `CASES` is one connection on which one request, a GET without a body, comes as stream 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from servers.frames import (
    FRAME_SIZE,
    LARGEST_WINDOW,
    PREFACE,
    SETTINGS_ACK,
    Code,
    Setting,
    block,
    continuation,
    data,
    frame,
    goaway,
    headers,
    in_pieces,
    integer,
    ping,
    push_promise,
    response,
    rst_stream,
    settings,
    window_update,
)

Script = list[list[Any]]

BODY = "fine"
"""Body of every response that arrives."""

FLOOD_MIB = 16
ENDLESS_MIB = 4096
"""More than anybody takes in while a test waits."""

SHRINKING_WINDOW: Script = [
    ["preface"],
    ["automatic", "settings"],
    ["await", "DATA", 4],
    ["send", settings({Setting.INITIAL_WINDOW_SIZE: 1000})],
    ["await", "SETTINGS_ACK", 2],
    ["send", window_update(0, 100_000)],
    ["send", window_update(1, 64_535 - 1)],
    ["send", ping()],
    ["await", "PING_ACK"],
    ["mark", "nothing yet"],
    ["send", window_update(1, 100_000)],
    ["request"],
    ["answer"],
    ["drain"],
]
"""While a body of 100,000 octets comes, its stream's window becomes negative, and then just 0."""


@dataclass(frozen=True)
class Case:
    """A script and what becomes of the request."""

    name: str
    script: Script
    outcome: str
    """"ok": a response of 200 with `BODY`. "failed": no response."""
    code: Code | None = None
    """What the client tells the server by RST_STREAM or GOAWAY; None: nothing, or anything."""

    def __str__(self) -> str:
        return self.name


HEAD = headers(1, response())
REST = data(1, BODY.encode(), end=True)
FINE = HEAD + REST
REQUEST = [("method", "GET"), ("scheme", "http"), ("path", "/pushed"), ("authority", "a")]
PUSHED = [(f":{name}", value) for name, value in REQUEST]


def _sent(payload: bytes, values: dict[str, int] | None = None, *end: list[Any]) -> Script:
    """Frames as the answer to the request; then, if not said otherwise, reading until the end."""
    return [["preface", values or {}], ["request"], ["send", payload], *(end or [["drain"]])]


def _ok(name: str, payload: bytes, values: dict[str, int] | None = None) -> Case:
    return Case(name, _sent(payload, values), "ok")


def _bad(name: str, payload: bytes, code: Code | None) -> Case:
    return Case(name, _sent(payload), "failed", code)


def _closed(name: str, payload: bytes, *end: list[Any]) -> Case:
    return Case(name, _sent(payload, None, *(end or [["close"]])), "failed")


LONG = block([("a", "x" * 100)])


def _flood(name: str, before: bytes, piece: bytes) -> Case:
    return Case(name, _sent(before, None, ["flood", piece, FLOOD_MIB]), "failed")


_LAWFUL = [
    _ok("plain", FINE),
    _ok("bodiless pieces", HEAD + data(1) + data(1, b"fi") + data(1) + data(1, b"ne", end=True)),
    _ok("end in an empty DATA", HEAD + data(1, b"fine") + data(1, end=True)),
    _ok("padding", HEAD + data(1, b"fine", padding=255) + data(1, b"", padding=0, end=True)),
    _ok("interim responses", headers(1, response(103)) * 3 + headers(1, response(100)) + FINE),
    _ok(
        "trailers", HEAD + data(1, b"fine") + headers(1, [("checksum", "1"), ("b", "2")], end=True)
    ),
    _ok("HEADERS with priority", frame(1, 0x24, 1, b"\0\0\0\0\x0f" + response()) + REST),
    _ok("PRIORITY", frame(2, 0, 1, b"\0\0\0\0\x10") + frame(2, 0, 99, b"\0\0\0\1\x10") + FINE),
    _ok(
        "CONTINUATION octet by octet",
        in_pieces(1, b"\x88\0\1a\1b", [1] * 5) + REST,
    ),
    _ok("empty CONTINUATION", in_pieces(1, response(), [5, 0, 0]) + REST),
    _ok("unknown frame types", frame(0xFA, 0xFF, 0, b"x") + frame(0xFB, 0xFF, 1, b"y") * 3 + FINE),
    _ok("unknown settings", settings({0xF000: 7, 0: 1}) + FINE),
    _ok("unknown flags", frame(1, 0xD6, 1, response()) + REST),
    _ok("reserved bit of a stream id", frame(1, 4, 1 | 1 << 31, response()) + REST),
    _ok("PING", ping(b"12345678") + HEAD + ping(b"abcdefgh") + REST),
    _ok("PING with ACK out of nowhere", ping(ack=True) + FINE),
    _ok("GOAWAY before the response", goaway(1) + FINE),
    _ok("GOAWAY twice", goaway(LARGEST_WINDOW) + HEAD + goaway(1) + REST),
    _ok("GOAWAY behind the response", FINE + goaway(1, Code.NO_ERROR, b"good night")),
    _ok("RST_STREAM behind the response", FINE + rst_stream(1, Code.NO_ERROR)),
    _ok("settings in the middle", HEAD + settings({1: 0, 3: 1, 4: 0, 5: 1 << 20}) + REST),
    _ok("largest settings", settings({1: 0xFFFFFFFF, 3: 0xFFFFFFFF, 4: LARGEST_WINDOW}) + FINE),
    _ok("dynamic table", headers(1, b"\x88\x40\1a\1b\xbe\xbe") + REST),
    _ok("empty header value", headers(1, response(200, [("a", "")])) + REST),
    _ok("content-length", headers(1, response(200, [("content-length", "4")])) + REST),
    _ok("WINDOW_UPDATE of a stream that is over", FINE + window_update(1, 1)),
    Case(
        "preface in two",
        [
            ["send", frame(4)[:5]],
            ["pause", 0.05],
            ["send", frame(4)[5:]],
            ["automatic", "settings"],
            ["preface"],
            ["request"],
            ["send", FINE],
            ["drain"],
        ],
        "ok",
    ),
]

_WRONG_PLACE = [
    _bad("DATA on stream 0", data(0, b"x"), Code.PROTOCOL_ERROR),
    _bad("HEADERS on stream 0", headers(0, response()), Code.PROTOCOL_ERROR),
    _bad("PRIORITY on stream 0", frame(2, 0, 0, b"\0\0\0\1\x10"), Code.PROTOCOL_ERROR),
    _bad("RST_STREAM on stream 0", rst_stream(0, 8), Code.PROTOCOL_ERROR),
    _bad("CONTINUATION on stream 0", continuation(0, b"", last=True), Code.PROTOCOL_ERROR),
    _bad("PUSH_PROMISE on stream 0", push_promise(0, 2, PUSHED), Code.PROTOCOL_ERROR),
    _bad("SETTINGS on a stream", frame(4, 0, 1), Code.PROTOCOL_ERROR),
    _bad("PING on a stream", frame(6, 0, 1, b"12345678"), Code.PROTOCOL_ERROR),
    _bad("GOAWAY on a stream", frame(7, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
    _bad("DATA on an idle stream", data(99, b"x"), Code.PROTOCOL_ERROR),
    _bad("HEADERS on an idle stream", headers(99, response()), Code.PROTOCOL_ERROR),
    _bad("HEADERS on a stream of its own", headers(2, response()), Code.PROTOCOL_ERROR),
    _bad("RST_STREAM on an idle stream", rst_stream(99, 8), Code.PROTOCOL_ERROR),
    _bad("WINDOW_UPDATE on an idle stream", window_update(99, 8), Code.PROTOCOL_ERROR),
    _bad("PUSH_PROMISE though refused", push_promise(1, 2, PUSHED), Code.PROTOCOL_ERROR),
    _bad(
        "CONTINUATION without HEADERS", HEAD + continuation(1, b"", last=True), Code.PROTOCOL_ERROR
    ),
    _bad("DATA amid headers", headers(1, b"\x88", last=False) + data(1), Code.PROTOCOL_ERROR),
    _bad("PING amid headers", headers(1, b"\x88", last=False) + ping(), Code.PROTOCOL_ERROR),
    _bad(
        "CONTINUATION of another stream",
        headers(1, b"\x88", last=False) + continuation(3, b"", last=True),
        Code.PROTOCOL_ERROR,
    ),
    _bad(
        "unknown frame amid headers",
        headers(1, b"\x88", last=False) + frame(0xFA, 0, 1),
        Code.PROTOCOL_ERROR,
    ),
]

_WRONG_SIZE = [
    _bad("SETTINGS of 5 octets", frame(4, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
    _bad("SETTINGS ACK with a payload", frame(4, 1, 0, bytes(6)), Code.FRAME_SIZE_ERROR),
    _bad("PING of 7 octets", ping(b"1234567"), Code.FRAME_SIZE_ERROR),
    _bad("PING of 9 octets", ping(b"123456789"), Code.FRAME_SIZE_ERROR),
    _bad("RST_STREAM of 3 octets", frame(3, 0, 1, bytes(3)), Code.FRAME_SIZE_ERROR),
    _bad("WINDOW_UPDATE of 3 octets", frame(8, 0, 0, bytes(3)), Code.FRAME_SIZE_ERROR),
    _bad("GOAWAY of 7 octets", frame(7, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
    _bad("a frame too large", frame(0, 0, 1, bytes(FRAME_SIZE + 1)), Code.FRAME_SIZE_ERROR),
    _bad("a frame of 16 MiB announced", frame(0, 0, 1, b"", 0xFFFFFF), Code.FRAME_SIZE_ERROR),
    _bad("headers too large", frame(1, 4, 1, bytes(FRAME_SIZE + 1)), Code.FRAME_SIZE_ERROR),
    _bad("more padding than DATA", HEAD + frame(0, 8, 1, b"\5abcd"), Code.PROTOCOL_ERROR),
    _bad("more padding than HEADERS", frame(1, 0xC, 1, b"\5\x88"), Code.PROTOCOL_ERROR),
    _bad("DATA without its padding's length", HEAD + frame(0, 8, 1, b""), Code.PROTOCOL_ERROR),
]

_WRONG_VALUE = [
    _bad("ENABLE_PUSH from a server", settings({2: 1}), Code.PROTOCOL_ERROR),
    _bad("ENABLE_PUSH of 2", settings({2: 2}), Code.PROTOCOL_ERROR),
    _bad("INITIAL_WINDOW_SIZE of 2^31", settings({4: 1 << 31}), Code.FLOW_CONTROL_ERROR),
    _bad("MAX_FRAME_SIZE of 16383", settings({5: FRAME_SIZE - 1}), Code.PROTOCOL_ERROR),
    _bad("MAX_FRAME_SIZE of 2^24", settings({5: 1 << 24}), Code.PROTOCOL_ERROR),
    _bad("WINDOW_UPDATE by 0", window_update(0, 0), Code.PROTOCOL_ERROR),
    _bad("WINDOW_UPDATE by 0 on the stream", window_update(1, 0), Code.PROTOCOL_ERROR),
    _bad("window beyond 2^31", window_update(0, LARGEST_WINDOW), Code.FLOW_CONTROL_ERROR),
    _bad("stream's window beyond 2^31", window_update(1, LARGEST_WINDOW), Code.FLOW_CONTROL_ERROR),
    _bad("GOAWAY that takes back its word", goaway(0) + goaway(1), None),
]

_HPACK = [
    _bad("index 0", headers(1, b"\x80"), Code.COMPRESSION_ERROR),
    _bad("index out of the table", headers(1, b"\x88\xfe"), Code.COMPRESSION_ERROR),
    _bad("string longer than the block", headers(1, b"\x88\0\x7fab"), Code.COMPRESSION_ERROR),
    _bad("integer without end", headers(1, b"\x88\xff" + b"\x80" * 30), Code.COMPRESSION_ERROR),
    _bad(
        "integer too large", headers(1, b"\x88\xff" + b"\xff" * 9 + b"\1"), Code.COMPRESSION_ERROR
    ),
    _bad("Huffman's EOS", headers(1, b"\x88\0\x84\xff\xff\xff\xff\0"), Code.COMPRESSION_ERROR),
    _bad(
        "table larger than allowed",
        headers(1, integer(1 << 30, 5, 0x20) + b"\x88"),
        Code.COMPRESSION_ERROR,
    ),
    _bad("table's size amid headers", headers(1, b"\x88\x20"), Code.COMPRESSION_ERROR),
    _bad("nothing but noise", headers(1, bytes(range(255, 100, -1))), Code.COMPRESSION_ERROR),
]


def _head(name: str, fields: Sequence[tuple[str, str]]) -> Case:
    """A response with such headers, of which a client must not make anything."""
    return _bad(name, headers(1, fields) + data(1, b"fine", end=True), Code.PROTOCOL_ERROR)


_STATUS = (":status", "200")
_MALFORMED = [
    _head("no status", [("a", "b")]),
    _head("two statuses", [_STATUS, _STATUS]),
    _head("status of two digits", [(":status", "20")]),
    _head("status of letters", [(":status", "abc")]),
    _head("status behind a header", [("a", "b"), _STATUS]),
    _head("status 101", [(":status", "101")]),
    _head("unknown pseudo-header", [_STATUS, (":path", "/")]),
    _head("header in capitals", [_STATUS, ("Server", "x")]),
    _head("header with a space", [_STATUS, ("a b", "x")]),
    _head("header without a name", [_STATUS, ("", "x")]),
    _head("Connection", [_STATUS, ("connection", "close")]),
    _head("Transfer-Encoding", [_STATUS, ("transfer-encoding", "chunked")]),
    _head("value with a line break", [_STATUS, ("a", "b\r\nc: d")]),
    _head("value with a NUL", [_STATUS, ("a", "b\0c")]),
    _head("Content-Length twice", [_STATUS, ("content-length", "4"), ("content-length", "5")]),
    _head("Content-Length of letters", [_STATUS, ("content-length", "four")]),
    _head("Content-Length too short", [_STATUS, ("content-length", "3")]),
    _head("Content-Length too long", [_STATUS, ("content-length", "5")]),
    _bad("DATA before HEADERS", data(1, b"fine", end=True), Code.PROTOCOL_ERROR),
    _bad(
        "DATA behind an interim response",
        headers(1, response(103)) + data(1, b"fine", end=True),
        Code.PROTOCOL_ERROR,
    ),
    _bad("interim response at the end", headers(1, response(103), end=True), Code.PROTOCOL_ERROR),
    _bad(
        "trailers with a status",
        HEAD + data(1, b"fine") + headers(1, response(), end=True),
        Code.PROTOCOL_ERROR,
    ),
    _bad(
        "trailers without an end",
        HEAD + data(1, b"fine") + headers(1, [("a", "b")]),
        Code.PROTOCOL_ERROR,
    ),
]

_PLACES = {"at once": b"", "behind the headers": HEAD, "in the body": HEAD + data(1, b"fi")}

_ENDED = [
    *(
        _bad(f"RST_STREAM {code.name} {place}", before + rst_stream(1, code), None)
        for code in Code
        for place, before in _PLACES.items()
        # A request that was refused may be sent again, and would wait here.
        if code != Code.REFUSED_STREAM
    ),
    _bad("RST_STREAM with an unknown code", rst_stream(1, 0xDEADBEEF), None),
    *(
        _closed(f"GOAWAY {code.name} {place}", before + goaway(1, code, b"why"))
        for code in Code
        for place, before in _PLACES.items()
    ),
    *(_closed(f"closed {place}", before) for place, before in _PLACES.items()),
    *(_closed(f"reset {place}", before, ["reset"]) for place, before in _PLACES.items()),
    _closed("closed in a frame's head", FINE[:5]),
    _closed("closed in a frame", FINE[:12]),
    _closed("closed in CONTINUATION", headers(1, response(), last=False)),
    _closed("closed in the padding", HEAD + data(1, b"fine", end=True, padding=9)[:-5]),
    _closed("closed without an end", HEAD + data(1, b"fine")),
]

_NO_HTTP2 = [
    Case(
        "HTTP/1.1 answers the preface",
        [
            ["until", PREFACE],
            ["send", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"],
            ["close"],
        ],
        "failed",
    ),
    Case(
        "HTTP/1.1 answers at once",
        [
            ["send", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"],
            ["until", PREFACE],
            ["drain"],
        ],
        "failed",
    ),
    Case(
        "no SETTINGS first",
        [["until", PREFACE], ["send", ping() + settings()], ["drain"]],
        "failed",
        Code.PROTOCOL_ERROR,
    ),
    Case(
        "SETTINGS ACK first",
        [["until", PREFACE], ["send", SETTINGS_ACK], ["drain"]],
        "failed",
        Code.PROTOCOL_ERROR,
    ),
    Case("closed at once", [["close"]], "failed"),
    Case("closed behind the preface", [["until", PREFACE], ["close"]], "failed"),
    Case("closed behind SETTINGS", [["preface"], ["close"]], "failed"),
    Case("noise", [["until", PREFACE], ["random", 4096], ["drain"]], "failed"),
]


def _bomb() -> bytes:
    """Headers that 4 KiB of HPACK make some 8 MiB: one long entry, named over and over."""
    entry = b"\x40\1a" + integer(4000, 7) + b"x" * 4000
    return in_pieces(1, b"\x88" + entry + b"\xbe" * 2000, [])


_MANY = [(f"h{number}", "x" * 50) for number in range(20_000)]
_MEBIBYTE = in_pieces(1, response(200, _MANY), [FRAME_SIZE] * 80)

FLOODS = [
    _flood("SETTINGS", b"", settings({3: 100})),
    _flood("PING", b"", ping()),
    _flood("empty DATA", HEAD, data(1)),
    _flood("padding alone", HEAD, data(1, padding=0)),
    _flood("empty CONTINUATION", headers(1, b"\x88", last=False), continuation(1, b"")),
    _flood("CONTINUATION", headers(1, b"\x88", last=False), continuation(1, LONG)),
    _flood("interim responses", b"", headers(1, response(103, [("link", "x" * 100)]))),
    _flood("RST_STREAM", HEAD, rst_stream(1, Code.CANCEL)),
    _flood("PRIORITY", b"", frame(2, 0, 1, b"\0\0\0\0\x10")),
    _flood("unknown frames", b"", frame(0xFA, 0, 0, b"x" * 100)),
    _flood("WINDOW_UPDATE", b"", window_update(0, 1)),
    _flood("WINDOW_UPDATE of the stream", b"", window_update(1, 1)),
    _flood("SETTINGS ACK", b"", SETTINGS_ACK),
    _flood("PING ACK", b"", ping(ack=True)),
    _flood("GOAWAY", b"", goaway(1)),
    _flood("ALTSVC", b"", frame(0xA, 0, 0, b'\0\1ah2=":443"')),
    _flood("RST_STREAM of a stream that never was", b"", rst_stream(2, Code.CANCEL)),
    _flood("PUSH_PROMISE", b"", push_promise(1, 2, PUSHED)),
    Case("headers of 1 MiB", _sent(_MEBIBYTE), "failed"),
    Case("headers unpacked to 8 MiB", _sent(_bomb()), "failed"),
]

LATE_FLOODS = {
    "HEADERS": headers(1, [("a", "b")], end=True),
    "interim responses": headers(1, response(103)),
    "DATA": data(1, b"x"),
    "RST_STREAM": rst_stream(1, Code.CANCEL),
    "WINDOW_UPDATE": window_update(1, 1),
    "PRIORITY": frame(2, 0, 99, b"\0\0\0\1\x10"),
    "large frames": frame(0xFA, 0, 0, bytes(FRAME_SIZE)),
}
"""What a server may go on sending when its response, to the request 1, is over."""

CASES = [
    *_LAWFUL,
    *_WRONG_PLACE,
    *_WRONG_SIZE,
    *_WRONG_VALUE,
    *_HPACK,
    *_MALFORMED,
    *_ENDED,
    *_NO_HTTP2,
]
