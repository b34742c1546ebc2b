"""An HTTP/2 server that does what a script says, frame by frame. Run as ``-m servers.http2``.

Scripts are those of `servers.hostile` (one for each connection, and all of its actions that write,
wait and close), over TLS with ALPN or in cleartext with prior knowledge, with these actions besides
or instead (a client that begins otherwise leaves the mark "no preface"):

  preface [SETTINGS]    read the client's preface and SETTINGS, send ours ({name: value}, by default
                        none) and acknowledge the client's
  head [N]              read until the headers of N (1) more requests have come
  request [N]           read until N (1) more requests have come whole
  await NAME [N]        read until N (1) more frames of that type have come, SETTINGS and PING with
                        ACK by the names "SETTINGS_ACK" and "PING_ACK"; what came while something
                        else was done counts, for the three of them
  answer [STATUS [BODY [FIELDS]]]
                        answer the oldest request that has no answer yet, within the client's
                        windows; a number as the body is its size in octets
  pass_over             answer the oldest request that has no answer yet never
  data STREAM SIZE [END]
                        send that much DATA within the client's windows
  overrun STREAM        send one octet of DATA more than the client's windows allow by now
  automatic NAME...     from now on only these are done whenever they are due: "settings" (ACK),
                        "ping" (ACK), "window" (credit for DATA). At first all of them are
  drain                 read frames until the peer closes

Frames to send are bytes from `servers.frames`, with ``send``. Every frame that is read is kept, and
so is what the client does against the protocol (`violations`): headers that HPACK can't decode or
HTTP/2 forbids, too large frames, DATA beyond a window, too many streams, stream ids out of order.
"""

from __future__ import annotations

import hashlib
import socket
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import hpack

from servers import frames, hostile, serve
from servers.frames import Flag, Frame, Setting, Type

BODY = 1 << 20
"""Octets of a request's body that are kept."""

_FORBIDDEN = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")


class Violation(Exception):
    """The client has broken the protocol in a way that leaves nothing to read."""


@dataclass
class Stream:
    """A request on its way in and its answer on its way out."""

    number: int
    window: int
    """Octets of DATA that may be sent yet."""
    room: int
    """Octets of DATA that may come yet."""
    fields: list[tuple[str, str]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    size: int = 0
    digest: Any = field(default_factory=lambda: hashlib.sha1(usedforsecurity=False))
    ended: bool = False

    def take(self, content: bytes) -> None:
        self.size += len(content)
        self.digest.update(content)
        self.body += content[: max(0, BODY - len(self.body))]

    def to_dict(self) -> dict[str, Any]:
        return {
            "stream": self.number,
            "fields": self.fields,
            "trailers": self.trailers,
            "body": self.body.decode("latin-1"),
            "size": self.size,
            "sha1": self.digest.hexdigest(),
        }


class Port(hostile.Port):
    """A port whose connections speak HTTP/2."""

    def __init__(self, **options: Any) -> None:
        self.frames: deque[dict[str, Any]] = deque(maxlen=20_000)
        self.whole: deque[dict[str, Any]] = deque(maxlen=5_000)
        self.violations: list[str] = []
        self.protocols: list[str | None] = []
        super().__init__(**{"protocols": ["h2"], **options})

    def connection(self, peer: socket.socket) -> Connection:
        return Connection(self, peer, self.connections)

    def clear(self) -> None:
        super().clear()
        for kept in (self.frames, self.whole, self.violations, self.protocols):
            kept.clear()

    def counts(self) -> dict[str, Any]:
        return {
            **super().counts(),
            "requests": len(self.whole),
            "violations": list(self.violations),
            "protocols": list(self.protocols),
        }


class Connection(hostile.Connection):
    """One connection: what `hostile.Connection` does, and the state of HTTP/2."""

    port: Port

    def __init__(self, port: Port, peer: socket.socket, number: int) -> None:
        super().__init__(port, peer)
        self.number = number
        self.streams: dict[int, Stream] = {}
        self.newest = 0
        self.decoder = hpack.Decoder()
        self.automatic = {"settings", "ping", "window"}
        self.window = self.room = frames.WINDOW
        # What the client has told, and what it has acknowledged of what it was told.
        self.theirs = {Setting.INITIAL_WINDOW_SIZE: frames.WINDOW}
        self.ours: dict[int, int] = {
            Setting.INITIAL_WINDOW_SIZE: frames.WINDOW,
            Setting.MAX_FRAME_SIZE: frames.FRAME_SIZE,
        }
        self.told: deque[dict[int, int]] = deque()
        self.open: set[int] = set()
        self.going = bytearray()
        self.unanswered: deque[Stream] = deque()
        self.came: Counter[str] = Counter()
        self.awaited: Counter[str] = Counter()

    def run(self, script: hostile.Script) -> None:
        try:
            super().run(script)
        except Violation as violation:
            self.blame(str(violation))
        except (hpack.HPACKError, ValueError) as error:
            self.blame(f"{type(error).__name__}: {error}")

    def blame(self, text: str) -> None:
        with self.port.lock:
            self.port.violations.append(text)

    # ---- what goes out

    def put(self, data: bytes) -> None:
        """Send, and take note of what changes by it, as far as it is well-formed."""
        self.going += data
        at = 0
        while len(self.going) - at >= frames.HEAD_SIZE:
            length, kind, flags, stream = frames.parse_head(self.going[at : at + frames.HEAD_SIZE])
            end = at + frames.HEAD_SIZE + length
            if end > len(self.going):
                break
            payload = bytes(self.going[at + frames.HEAD_SIZE : end])
            self.note_sent(Frame(kind, flags, stream, payload))
            at = end
        del self.going[:at]
        super().put(data)

    def note_sent(self, sent: Frame) -> None:
        if sent.kind == Type.SETTINGS and not sent.flags & Flag.ACK and len(sent.payload) % 6 == 0:
            told = sent.told()["settings"]
            assert isinstance(told, dict)
            self.told.append({int(name): value for name, value in told.items()})
        elif sent.kind == Type.WINDOW_UPDATE and len(sent.payload) == 4:
            increment = int.from_bytes(sent.payload)
            if sent.stream in self.streams:
                self.streams[sent.stream].room += increment
            elif not sent.stream:
                self.room += increment
        elif sent.kind == Type.RST_STREAM or (
            sent.kind in (Type.DATA, Type.HEADERS) and sent.flags & Flag.END_STREAM
        ):
            self.open.discard(sent.stream)

    def do_data(self, number: int, size: int, end: bool = False) -> None:
        self.put_body(self.streams[number], b"x" * size, end)

    def put_body(self, stream: Stream, body: bytes, end: bool) -> None:
        """DATA as the windows let it through, while what comes is read."""
        at = 0
        while at < len(body):
            room = min(self.window, stream.window, frames.FRAME_SIZE, len(body) - at)
            if room <= 0:
                self.read_frame()
                continue
            last = end and at + room == len(body)
            self.put(frames.data(stream.number, body[at : at + room], end=last))
            at += room
            self.window -= room
            stream.window -= room
        if end and not body:
            self.put(frames.data(stream.number, end=True))

    def do_overrun(self, number: int) -> None:
        left = min(self.window, self.streams[number].window) + 1
        while left > 0:
            size = min(left, frames.FRAME_SIZE)
            self.put(frames.data(number, b"x" * size))
            left -= size

    def do_answer(
        self, status: int = 200, body: str | int = "ok", fields: frames.Fields = ()
    ) -> None:
        stream = self.unanswered.popleft()
        content = b"x" * body if isinstance(body, int) else body.encode("latin-1")
        head = frames.response(status, [("content-length", str(len(content))), *fields])
        method = next((value for name, value in stream.fields if name == ":method"), "")
        bare = not content or method == "HEAD"
        self.put(frames.headers(stream.number, head, end=bare))
        if not bare:
            self.put_body(stream, content, True)

    def do_pass_over(self) -> None:
        self.unanswered.popleft()

    # ---- what comes in

    def read_frame(self) -> Frame:
        """The next frame, noted and dealt with."""
        length, kind, flags, stream = frames.parse_head(self.take(frames.HEAD_SIZE))
        if length > self.ours[Setting.MAX_FRAME_SIZE]:
            raise Violation(f"a frame of {length} octets")
        got = Frame(kind, flags, stream, self.take(length))
        told = {**got.told(), "connection": self.number}
        if kind in (Type.HEADERS, Type.CONTINUATION):
            self.take_headers(got, told)
        elif kind == Type.DATA:
            self.take_data(got)
        elif kind == Type.SETTINGS:
            self.take_settings(got)
        elif kind == Type.WINDOW_UPDATE:
            self.take_credit(stream, int.from_bytes(got.payload))
        elif kind == Type.PING and not flags & Flag.ACK and "ping" in self.automatic:
            self.put(frames.ping(got.payload, ack=True))
        elif kind == Type.RST_STREAM:
            self.open.discard(stream)
        has_ack = kind in (Type.SETTINGS, Type.PING) and flags & Flag.ACK
        self.came[f"{got.name}_ACK" if has_ack else got.name] += 1
        with self.port.lock:
            self.port.frames.append(told)
        return got

    def take_headers(self, got: Frame, told: dict[str, object]) -> None:
        whole = got.content()
        while not got.flags & Flag.END_HEADERS:
            length, kind, flags, stream = frames.parse_head(self.take(frames.HEAD_SIZE))
            if (kind, stream) != (Type.CONTINUATION, got.stream):
                raise Violation("a header block with another frame in it")
            got = got._replace(flags=got.flags | flags)
            whole += self.take(length)
        decoded = self.decoder.decode(whole, raw=True)
        fields = [(bytes(k).decode("latin-1"), bytes(v).decode("latin-1")) for k, v in decoded]
        told["fields"] = fields
        stream = self.streams.get(got.stream)
        if stream is None:
            stream = self.begin(got.stream)
            stream.fields = fields
            self.judge(fields)
        else:
            stream.trailers = fields
        if got.flags & Flag.END_STREAM:
            self.end(stream)

    def begin(self, number: int) -> Stream:
        if number % 2 == 0 or number <= self.newest:
            self.blame(f"stream {number} opened after {self.newest}")
        self.newest = number
        limit = self.ours.get(Setting.MAX_CONCURRENT_STREAMS)
        if limit is not None and len(self.open) >= limit:
            self.blame(f"stream {number} opened beside {len(self.open)}, of which {limit} may be")
        self.open.add(number)
        window, room = (of[Setting.INITIAL_WINDOW_SIZE] for of in (self.theirs, self.ours))
        self.streams[number] = Stream(number, window, room)
        self.unanswered.append(self.streams[number])
        self.came["head"] += 1
        return self.streams[number]

    def judge(self, fields: list[tuple[str, str]]) -> None:
        """What RFC 9113, 8.2 and 8.3 want of a request's headers."""
        names = [name for name, _ in fields]
        pseudo = [name for name in names if name.startswith(":")]
        if names[: len(pseudo)] != pseudo:
            self.blame("a pseudo-header behind others")
        if sorted(pseudo) not in (
            [":authority", ":method", ":path", ":scheme"],
            [":method", ":path", ":scheme"],
        ):
            self.blame(f"the pseudo-headers {' '.join(pseudo)}")
        for name, value in fields:
            if name != name.lower() or name in _FORBIDDEN or (name == "te" and value != "trailers"):
                self.blame(f"the header {name}: {value}")
            if value != value.strip(" \t") or any(c in value for c in "\r\n\0"):
                self.blame(f"the value {value!r} of {name}")

    def take_data(self, got: Frame) -> None:
        size = len(got.payload)
        stream = self.streams.get(got.stream)
        if stream is None or stream.ended:
            raise Violation(f"DATA on stream {got.stream}, which is not open")
        self.room -= size
        stream.room -= size
        if self.room < 0 or stream.room < 0:
            self.blame(f"DATA beyond the window of {'stream' if stream.room < 0 else 'connection'}")
        stream.take(got.content())
        ended = bool(got.flags & Flag.END_STREAM)
        if size and "window" in self.automatic:
            self.put(frames.window_update(0, size))
            if not ended:
                self.put(frames.window_update(got.stream, size))
        if ended:
            self.end(stream)

    def end(self, stream: Stream) -> None:
        stream.ended = True
        self.came["request"] += 1
        with self.port.lock:
            self.port.whole.append({**stream.to_dict(), "connection": self.number})

    def take_settings(self, got: Frame) -> None:
        if got.flags & Flag.ACK:
            if not self.told:
                raise Violation("SETTINGS acknowledged that were not sent")
            told = self.told.popleft()
            grown = told.get(Setting.INITIAL_WINDOW_SIZE, self.ours[Setting.INITIAL_WINDOW_SIZE])
            for stream in self.streams.values():
                stream.room += grown - self.ours[Setting.INITIAL_WINDOW_SIZE]
            self.ours.update(told)
            if Setting.HEADER_TABLE_SIZE in told:
                self.decoder.max_allowed_table_size = told[Setting.HEADER_TABLE_SIZE]
            return
        told = {int(k): v for k, v in got.told()["settings"].items()}  # type: ignore[attr-defined]
        window = told.get(Setting.INITIAL_WINDOW_SIZE)
        if window is not None:
            for stream in self.streams.values():
                stream.window += window - self.theirs[Setting.INITIAL_WINDOW_SIZE]
            self.theirs[Setting.INITIAL_WINDOW_SIZE] = window
        if "settings" in self.automatic:
            self.put(frames.SETTINGS_ACK)

    def take_credit(self, number: int, increment: int) -> None:
        if not 0 < increment <= frames.LARGEST_WINDOW:
            self.blame(f"WINDOW_UPDATE by {increment}")
        if number in self.streams:
            self.streams[number].window += increment
        elif number == 0:
            self.window += increment

    # ---- actions that read

    def do_preface(self, values: dict[str, int] | None = None) -> None:
        if self.port.tls is not None:
            with self.port.lock:
                self.port.protocols.append(self.peer.selected_alpn_protocol())  # type: ignore[attr-defined]
        if self.take(len(frames.PREFACE)) != frames.PREFACE:
            self.do_mark("no preface")
            raise hostile.PeerClosedError
        if values is not None or "settings" in self.automatic:
            self.put(frames.settings({Setting[k]: v for k, v in (values or {}).items()}))
        if self.read_frame().kind != Type.SETTINGS:
            raise Violation("no SETTINGS behind the preface")

    def do_head(self, count: int = 1) -> None:
        self.do_await("head", count)

    def do_request(self, count: int = 1) -> None:
        self.do_await("request", count)

    def do_await(self, name: str, count: int = 1) -> None:
        self.awaited[name] += count
        while self.came[name] < self.awaited[name]:
            self.read_frame()

    def do_automatic(self, *names: str) -> None:
        self.automatic = set(names)

    def do_drain(self) -> None:
        while True:
            self.read_frame()


class Frames(hostile.Hostile):
    """The commands."""

    ports: dict[int, Port]  # type: ignore[assignment]

    def open(self, **options: Any) -> Port:
        return Port(**options)

    def requests(self, port: int) -> list[dict[str, Any]]:
        return list(self.ports[port].whole)

    def frames(self, port: int) -> list[dict[str, Any]]:
        """The frames that were read, oldest first (the last 20,000)."""
        seen = self.ports[port]
        with seen.lock:
            return list(seen.frames)


def main() -> None:
    server = Frames()
    names = ("listen", "counts", "requests", "frames", "clear", "open_gate", "close")
    serve({name: getattr(server, name) for name in names})


if __name__ == "__main__":
    main()
