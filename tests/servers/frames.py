"""HTTP/2 frames (RFC 9113) as bytes: what servers' scripts are made of, and a reader of them.

Header blocks are written without any state (literals that are not indexed), so that a test can
put together what a server will send, and in any wrong order, without a connection. `huffman` and
the dynamic table are for those who read: `servers.http2` decodes clients' blocks by ``hpack``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum, IntFlag
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_SIZE = 9
WINDOW = 65535
"""Octets that a flow-control window has at first."""
FRAME_SIZE = 16384
"""Octets of the largest payload, as long as SETTINGS say nothing else."""
LARGEST_WINDOW = 2**31 - 1

Fields = Sequence[tuple[str, str]]


class Type(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntFlag):
    NONE = 0
    END_STREAM = 1
    ACK = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 32


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(IntEnum):
    """Error codes of RST_STREAM and GOAWAY."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None
) -> bytes:
    """Any frame; `length` is what its head shall say if not the truth."""
    size = len(payload) if length is None else length
    head = struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream)
    return head + payload


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """HPACK's integer, with a prefix of that many bits in a first octet with those bits set."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out = bytearray([first | most])
    value -= most
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def block(fields: Fields) -> bytes:
    """A header block of literals, by names, that touch nobody's dynamic table."""

    def text(value: str) -> bytes:
        raw = value.encode("latin-1")
        return integer(len(raw), 7) + raw

    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def response(status: int = 200, fields: Fields = ()) -> bytes:
    """The header block of a response."""
    return block([(":status", str(status)), *fields])


def headers(stream: int, of: bytes | Fields, *, end: bool = False, last: bool = True) -> bytes:
    """HEADERS with a block; end: END_STREAM. last: END_HEADERS."""
    flags = (Flag.END_STREAM if end else 0) | (Flag.END_HEADERS if last else 0)
    return frame(Type.HEADERS, flags, stream, of if isinstance(of, bytes) else block(of))


def continuation(stream: int, piece: bytes, *, last: bool = False) -> bytes:
    return frame(Type.CONTINUATION, Flag.END_HEADERS if last else 0, stream, piece)


def in_pieces(stream: int, of: bytes, sizes: Iterable[int], *, end: bool = False) -> bytes:
    """The block in HEADERS and CONTINUATIONs of those sizes, what is left over in a last one."""
    pieces = []
    for size in sizes:
        pieces.append(of[:size])
        of = of[size:]
    pieces.append(of)
    out = [headers(stream, pieces[0], end=end, last=len(pieces) == 1)]
    for piece in pieces[1:]:
        out.append(continuation(stream, piece))
    if len(pieces) > 1:
        out[-1] = continuation(stream, pieces[-1], last=True)
    return b"".join(out)


def data(stream: int, payload: bytes = b"", *, end: bool = False, padding: int = -1) -> bytes:
    """DATA; with `padding` (0 to 255) that many octets of it."""
    flags = Flag.END_STREAM if end else 0
    if padding >= 0:
        return frame(
            Type.DATA, flags | Flag.PADDED, stream, bytes([padding]) + payload + bytes(padding)
        )
    return frame(Type.DATA, flags, stream, payload)


def settings(values: Mapping[int, int] | None = None) -> bytes:
    pairs = (struct.pack(">HI", name, value) for name, value in (values or {}).items())
    return frame(Type.SETTINGS, payload=b"".join(pairs))


SETTINGS_ACK = frame(Type.SETTINGS, Flag.ACK)


def ping(payload: bytes = b"opscore!", *, ack: bool = False) -> bytes:
    return frame(Type.PING, Flag.ACK if ack else 0, 0, payload)


def goaway(last_stream: int, code: int = Code.NO_ERROR, debug: bytes = b"") -> bytes:
    return frame(Type.GOAWAY, payload=struct.pack(">II", last_stream, code) + debug)


def rst_stream(stream: int, code: int) -> bytes:
    return frame(Type.RST_STREAM, 0, stream, struct.pack(">I", code))


def window_update(stream: int, increment: int) -> bytes:
    return frame(Type.WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def push_promise(stream: int, promised: int, fields: Fields) -> bytes:
    payload = struct.pack(">I", promised) + block(fields)
    return frame(Type.PUSH_PROMISE, Flag.END_HEADERS, stream, payload)


class Frame(NamedTuple):
    """A frame as it was read."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def name(self) -> str:
        """The type's name, or its number."""
        return Type(self.kind).name if self.kind in Type._value2member_map_ else str(self.kind)

    def content(self) -> bytes:
        """The payload without padding and priority; ValueError for more padding than payload."""
        payload = self.payload
        if self.flags & Flag.PADDED and self.kind in (Type.DATA, Type.HEADERS):
            padding = payload[0]
            if padding >= len(payload):
                raise ValueError("more padding than payload")
            payload = payload[1 : len(payload) - padding]
        if self.flags & Flag.PRIORITY and self.kind == Type.HEADERS:
            payload = payload[5:]
        return payload

    def told(self) -> dict[str, object]:
        """What the frame says, for records: its head, and its payload by the type's meaning."""
        told: dict[str, object] = {
            "type": self.name,
            "flags": self.flags,
            "stream": self.stream,
            "length": len(self.payload),
        }
        if self.kind == Type.SETTINGS:
            pairs = struct.iter_unpack(">HI", self.payload)
            told["settings"] = {str(name): value for name, value in pairs}
        elif self.kind == Type.WINDOW_UPDATE:
            told["increment"] = struct.unpack(">I", self.payload)[0]
        elif self.kind == Type.RST_STREAM:
            told["code"] = struct.unpack(">I", self.payload)[0]
        elif self.kind == Type.GOAWAY:
            told["last_stream"], told["code"] = struct.unpack(">II", self.payload[:8])
            told["debug"] = self.payload[8:].decode("latin-1")
        elif self.kind in (Type.PING, Type.PRIORITY):
            told["payload"] = self.payload.decode("latin-1")
        return told


def parse_head(head: bytes) -> tuple[int, int, int, int]:
    """Length, type, flags and stream of a frame, from its first nine octets."""
    high, low, kind, flags, stream = struct.unpack(">BHBBI", head)
    return high << 16 | low, kind, flags, stream & LARGEST_WINDOW
