"""An ordinary HTTP/1.1 server that answers as the request's URL says. Run as ``-m servers.app``.

Paths:
  /echo          JSON: the request as it was read, and which connection it came by; its headers
                 sorted, in lower case and without User-Agent
  /token/TEXT    the text
  /status/CODE   that status, and its number as the body
  /every/N       status 500 for each Nth request to such a path on this port, else 200
  /redirect/N    302 to /redirect/N-1, ..., /redirect/0, which is 200
  /digest        200 for bob with the password secret by Digest authentication, else 401
  /ok, /answer   200, "ok"
  anything else  404

Query options, for every path: status, reason (phrase), body (text), hex (the body's bytes), size (a
body of that many letters), type (Content-Type; empty for none), header (NAME:VALUE, repeatable),
coding (gzip, deflate, raw, br), chunked (bytes a chunk), trailer (NAME:VALUE, with chunked), delay
(s), gate (answer when the test opens the port's gate of that name), and close (end the connection
afterwards).
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import ssl
import threading
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from servers import CERTIFICATES, serve

TERMINATOR = b"\r\n\r\n"


@dataclass
class Request:
    """A request that was read in whole."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    number: int

    def header(self, name: str, as_sent: bool = False) -> str:
        """The header's value, in lower case if not as it was sent; empty without it."""
        found = (value for key, value in self.headers if key.lower() == name)
        value = next(found, "")
        return value if as_sent else value.lower()

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "body": self.body.decode("latin-1")}


@dataclass
class Answer:
    """A response, before it is put on the wire."""

    status: int = 200
    reason: str | None = None
    body: bytes = b"ok"
    headers: list[tuple[str, str]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    content_type: str = "text/plain"
    chunk: int = 0
    delay: float = 0.0
    gate: str = ""
    close: bool = False

    def head(self) -> bytes:
        phrases = {status.value: status.phrase for status in HTTPStatus}
        phrase = phrases.get(self.status, "Whatever") if self.reason is None else self.reason
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        if self.chunk:
            lines.append("Transfer-Encoding: chunked")
        elif self.status not in (204, 304):
            lines.append(f"Content-Length: {len(self.body)}")
        if self.close:
            lines.append("Connection: close")
        return "\r\n".join(lines).encode("latin-1") + TERMINATOR

    def payload(self) -> bytes:
        if not self.chunk:
            return self.body
        parts = []
        for at in range(0, len(self.body), self.chunk):
            piece = self.body[at : at + self.chunk]
            parts.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        trailers = "".join(f"{name}: {value}\r\n" for name, value in self.trailers)
        return b"".join(parts) + b"0\r\n" + trailers.encode("latin-1") + b"\r\n"


class Port:
    """What belongs to one listening port."""

    def __init__(self) -> None:
        self.server: asyncio.Server | None = None
        self.connections: set[Connection] = set()
        self.server_names: list[str | None] = []
        self.peers: list[dict[str, Any]] = []
        self.every = 0
        self.clear()

    def clear(self) -> None:
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.accepted = 0
        self.most_open = len(self.connections)
        self.requests: deque[Request] = deque(maxlen=5000)
        self.read = 0
        self.answered = 0
        self.dropped = 0
        self.targets: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    def counts(self) -> dict[str, Any]:
        return {
            "connections": self.accepted,
            "open": len(self.connections),
            "most_open": self.most_open,
            "requests": self.read,
            "answered": self.answered,
            "dropped": self.dropped,
            "targets": self.targets,
            "statuses": self.statuses,
            "server_names": self.server_names,
            "peers": self.peers,
        }


class Connection(asyncio.Protocol):
    """Reads requests one after another and answers each before it looks at the next."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.buffer = bytearray()
        self.timer: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.told_to_continue = False
        self.carried = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.port.connections.add(self)
        self.port.accepted += 1
        self.number = self.port.accepted
        self.port.most_open = max(self.port.most_open, len(self.port.connections))
        self.port.peers.append(describe(transport))

    def connection_lost(self, error: Exception | None) -> None:
        self.port.connections.discard(self)
        if self.timer is not None:
            self.timer.cancel()
            self.port.dropped += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.pump()

    def pump(self) -> None:
        while self.timer is None and not self.transport.is_closing():
            request = self.take()
            if request is None:
                return
            answer = answer_to(request, self.port)
            self.carried += 1
            self.port.read += 1
            self.port.targets[f"{request.method} {request.target.partition('?')[0]}"] += 1
            self.port.requests.append(request)
            if answer.gate:
                self.timer = asyncio.create_task(self.behind(request, answer))
            elif answer.delay:
                loop = asyncio.get_running_loop()
                self.timer = loop.call_later(answer.delay, self.late, request, answer)
            else:
                self.send(request, answer)

    async def behind(self, request: Request, answer: Answer) -> None:
        await self.port.gates[answer.gate].wait()
        self.late(request, answer)

    def late(self, request: Request, answer: Answer) -> None:
        self.timer = None
        self.send(request, answer)
        self.pump()

    def send(self, request: Request, answer: Answer) -> None:
        if request.version == "HTTP/1.0" or request.header("connection") == "close":
            answer.close = True
        data = answer.head()
        if request.method != "HEAD" and answer.status not in (204, 304):
            data += answer.payload()
        self.port.answered += 1
        self.port.statuses[answer.status] += 1
        self.transport.write(data)
        if answer.close:
            self.transport.close()

    def take(self) -> Request | None:
        """The next request, once all of it is in the buffer."""
        end = self.buffer.find(TERMINATOR)
        if end < 0:
            return None
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        headers = [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)]
        request = Request(method, target, version, headers, b"", self.number, self.carried + 1)
        if request.header("expect") == "100-continue" and not self.told_to_continue:
            self.told_to_continue = True
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body_at = end + len(TERMINATOR)
        if request.header("transfer-encoding") == "chunked":
            chunked = take_chunked(self.buffer, body_at)
            if chunked is None:
                return None
            request.body, end_of_request = chunked
        else:
            end_of_request = body_at + int(request.header("content-length") or 0)
            if len(self.buffer) < end_of_request:
                return None
            request.body = bytes(self.buffer[body_at:end_of_request])
        del self.buffer[:end_of_request]
        self.told_to_continue = False
        return request


def take_chunked(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    """A chunked body without trailers that begins at `at`, and where it ends; None: not yet."""
    body = b""
    while (line_end := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:line_end], 16)
        chunk_at = line_end + 2
        at = chunk_at + size + 2
        if len(buffer) < at:
            return None
        if size == 0:
            return body, at
        body += buffer[chunk_at : chunk_at + size]
    return None


def encode(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(body, mtime=0)
    if coding == "deflate":
        return zlib.compress(body)
    if coding == "raw":
        return zlib.compress(body, wbits=-zlib.MAX_WBITS)
    if coding == "br":
        import brotli

        compressed: bytes = brotli.compress(body)
        return compressed
    raise ValueError(f"no such coding: {coding}")


def answer_digest(request: Request) -> Answer:
    """What Digest authentication (RFC 7616) lets through, with MD5 and one nonce for all."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    given = dict(re.findall(r'(\w+)="?([^",]*)"?', request.header("authorization", as_sent=True)))
    secret = md5("bob:here:secret")
    signed = md5(f"{request.method}:{request.target}")
    rest = ":".join(given.get(name, "") for name in ("nonce", "nc", "cnonce", "qop"))
    if given.get("nonce") == "once" and given["response"] == md5(f"{secret}:{rest}:{signed}"):
        return Answer(body=b"welcome")
    challenge = 'Digest realm="here", nonce="once", qop="auth", algorithm=MD5'
    return Answer(401, body=b"who?", headers=[("WWW-Authenticate", challenge)])


def answer_by_path(request: Request, path: str, port: Port) -> Answer:
    _, kind, what, *_ = [*path.split("/"), "", ""]
    if kind == "echo":
        headers = sorted((name.lower(), value) for name, value in request.headers)
        echo = {**request.to_dict(), "headers": [h for h in headers if h[0] != "user-agent"]}
        return Answer(body=json.dumps(echo).encode(), content_type="application/json")
    if kind == "token":
        return Answer(body=what.encode())
    if kind == "status":
        return Answer(int(what), body=what.encode())
    if kind == "every":
        port.every += 1
        return Answer(200 if port.every % int(what) else 500)
    if kind == "redirect" and int(what) > 0:
        return Answer(302, body=b"moved", headers=[("Location", f"/redirect/{int(what) - 1}")])
    if kind == "digest":
        return answer_digest(request)
    if kind in ("", "ok", "answer", "redirect"):
        return Answer()
    return Answer(404, body=b"nothing at " + path.encode())


def answer_to(request: Request, port: Port) -> Answer:
    path, _, query = request.target.partition("?")
    answer = answer_by_path(request, path, port)
    if not query:
        return answer
    options = parse_qs(query, keep_blank_values=True)

    def option(name: str, default: str) -> str:
        return options.get(name, [default])[0]

    def pairs(name: str) -> list[tuple[str, str]]:
        split = (value.partition(":") for value in options.get(name, []))
        return [(key, value) for key, _, value in split]

    answer.status = int(option("status", str(answer.status)))
    if "reason" in options:
        answer.reason = option("reason", "")
    answer.content_type = option("type", answer.content_type)
    answer.headers += pairs("header")
    answer.trailers = pairs("trailer")
    answer.chunk = int(option("chunked", "0"))
    answer.delay = float(option("delay", "0"))
    answer.gate = option("gate", "")
    answer.close = "close" in options
    if "body" in options:
        answer.body = option("body", "").encode()
    if "hex" in options:
        answer.body = bytes.fromhex(option("hex", ""))
    if "size" in options:
        size = int(option("size", "0"))
        answer.body = (b"abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]
    if "coding" in options:
        coding = option("coding", "")
        answer.body = encode(answer.body, coding)
        name = "deflate" if coding == "raw" else coding
        answer.headers.append(("Content-Encoding", name))
    return answer


def describe(transport: asyncio.Transport) -> dict[str, Any]:
    """What a server sees of a client that has connected."""
    name = transport.get_extra_info("peername")
    address = name[0] if isinstance(name, tuple) else name
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return {"address": address}
    subject = (tls.getpeercert() or {}).get("subject", ())
    return {
        "address": address,
        "version": tls.version(),
        "cipher": tls.cipher()[0],
        "client": next((value for ((_, value),) in subject), None),
        "resumed": tls.session_reused,
    }


def tls_context(
    port: Port, certificate: str, client_authority: str, highest: str
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / certificate)
    if client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATES / client_authority)
    if highest:
        context.maximum_version = ssl.TLSVersion[highest]

    def note_name(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        port.server_names.append(name)

    context.sni_callback = note_name
    return context


class App:
    """The commands, run in the loop's thread."""

    def __init__(self) -> None:
        self.ports: dict[int, Port] = {}

    async def listen(
        self,
        certificate: str = "",
        host: str = "127.0.0.1",
        client_authority: str = "",
        highest: str = "",
        unix: str = "",
    ) -> int:
        """Listen and return the port; for a Unix socket ("@name": abstract) a negative number.

        client_authority: ask for certificates of it. highest: TLSv1_2 or another ssl.TLSVersion.
        """
        port = Port()
        tls = tls_context(port, certificate, client_authority, highest) if certificate else None
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"ssl": tls, "backlog": 1024}
        if unix:
            path = "\0" + unix[1:] if unix[0] == "@" else unix
            port.server = await loop.create_unix_server(lambda: Connection(port), path, **options)
            number = -1 - len(self.ports)
        else:
            port.server = await loop.create_server(lambda: Connection(port), host, 0, **options)
            number = port.server.sockets[0].getsockname()[1]
        self.ports[number] = port
        return number

    async def counts(self, port: int) -> dict[str, Any]:
        return self.ports[port].counts()

    async def requests(self, port: int) -> list[dict[str, Any]]:
        return [request.to_dict() for request in self.ports[port].requests]

    async def clear(self, port: int) -> None:
        self.ports[port].clear()

    async def open_gate(self, port: int, name: str) -> None:
        self.ports[port].gates[name].set()

    async def close(self, port: int) -> None:
        closed = self.ports.pop(port)
        assert closed.server is not None
        closed.server.close()
        for connection in list(closed.connections):
            connection.transport.abort()


def main() -> None:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    app = App()

    def in_loop(name: str) -> Callable[..., Any]:
        def run(**arguments: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(getattr(app, name)(**arguments), loop).result()

        return run

    names = ("listen", "counts", "requests", "clear", "open_gate", "close")
    serve({name: in_loop(name) for name in names})


if __name__ == "__main__":
    main()
