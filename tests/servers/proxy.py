"""Proxies: HTTP (forwarding and CONNECT) and SOCKS 5. Run as ``-m servers.proxy``.

Every host name means 127.0.0.1, so that names can be used that only a proxy could resolve. What a
port does is said by the options of ``listen``:

  kind         http or socks5
  login        USER:PASSWORD that it wants, by Basic or by SOCKS's own way; empty: none
  refuse       status that it answers CONNECT with; 0: it opens the tunnel
  certificate  the HTTP proxy speaks TLS itself
  lag          seconds that a tunnel waits before it passes on what the server has said meanwhile

``counts`` gives the connections and the tunnels, ``requests`` what was asked: for each request the
first line and the headers, in lower case; of SOCKS, host and port.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import threading
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from servers import CERTIFICATES, serve

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Port:
    """A listening port, its options and what was asked of it."""

    def __init__(self, kind: str, login: str, refuse: int, lag: float) -> None:
        self.serve = {"http": self.serve_http, "socks5": self.serve_socks}[kind]
        self.login = login
        self.refuse = refuse
        self.lag = lag
        self.server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[Any]] = set()
        self.clear()

    def clear(self) -> None:
        self.connections = 0
        self.tunnels = 0
        self.asked: list[dict[str, Any]] = []

    async def on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        endings = (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError)
        with contextlib.suppress(*endings):
            await self.serve((reader, writer))
        writer.close()
        self.tasks.discard(task)

    # HTTP

    async def serve_http(self, client: Streams) -> None:
        reader, writer = client
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").rstrip().split("\r\n")
            headers = [(name.lower(), value.strip()) for name, _, value in map(_split, lines)]
            self.asked.append({"first": first, "headers": headers})
            method, target, _ = first.split(" ")
            wanted = "Basic " + b64encode(self.login.encode()).decode()
            if self.login and ("proxy-authorization", wanted) not in headers:
                writer.write(
                    b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=proxy\r\n"
                    b"Content-Length: 3\r\n\r\nwho"
                )
            elif method == "CONNECT":
                if self.refuse:
                    writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.refuse)
                    return
                await self.tunnel(client, int(target.rpartition(":")[2]))
                return
            else:
                await self.forward(client, first, lines, target)

    async def forward(self, client: Streams, first: str, lines: list[str], target: str) -> None:
        reader, writer = client
        url = urlsplit(target)
        method, _, version = first.split(" ")
        path = url._replace(scheme="", netloc="").geturl() or "/"
        kept = [line for line in lines if not line.lower().startswith("proxy-")]
        head = "\r\n".join([f"{method} {path} {version}", *kept, "Via: 1.1 proxy", "", ""])
        length = sum(int(v) for n, _, v in map(_split, lines) if n.lower() == "content-length")
        body = await reader.readexactly(length)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", url.port or 80)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        back.write(head.encode("latin-1") + body)
        answer = await there.readuntil(b"\r\n\r\n")
        size = 0
        for name, _, value in map(_split, answer.decode("latin-1").split("\r\n")):
            if name.lower() == "content-length" and method != "HEAD":
                size = int(value)
        writer.write(answer + await there.readexactly(size))
        back.close()

    # SOCKS 5 (RFC 1928, RFC 1929)

    async def serve_socks(self, client: Streams) -> None:
        reader, writer = client
        _, n = await reader.readexactly(2)
        methods = await reader.readexactly(n)
        method = 2 if self.login else 0
        if method not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, method]))
        if self.login and not await self.check_login(reader, writer):
            return
        _, _, _, kind = await reader.readexactly(4)
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        host = await reader.readexactly(size)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        name = host.decode() if kind == 3 else ".".join(map(str, host))
        self.asked.append({"host": name, "port": port})
        if self.refuse:
            writer.write(bytes([5, self.refuse, 0, 1]) + bytes(6))
            return
        await self.tunnel(client, port, bytes([5, 0, 0, 1]) + bytes(6), b"\x05\x05\0\1" + bytes(6))

    async def check_login(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, n = await reader.readexactly(2)
        user = await reader.readexactly(n)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        good = f"{user.decode()}:{password.decode()}" == self.login
        writer.write(b"\x01\x00" if good else b"\x01\x01")
        return good

    # Both

    async def tunnel(
        self,
        client: Streams,
        port: int,
        good: bytes = b"HTTP/1.1 200 Connected\r\n\r\n",
        bad: bytes = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    ) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            client[1].write(bad)
            return
        self.tunnels += 1
        client[1].write(good)
        await asyncio.gather(_pipe(client[0], server[1]), _pipe(server[0], client[1], self.lag))


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lag: float = 0) -> None:
    with contextlib.suppress(OSError):
        await asyncio.sleep(lag)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(lag)
    writer.close()


class Proxies:
    """The commands, run in the loop's thread."""

    def __init__(self) -> None:
        self.ports: dict[int, Port] = {}

    async def listen(
        self,
        kind: str = "http",
        login: str = "",
        refuse: int = 0,
        certificate: str = "",
        lag: float = 0,
    ) -> int:
        port = Port(kind, login, refuse, lag)
        tls = None
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(CERTIFICATES / certificate)
        port.server = await asyncio.start_server(port.on_connection, "127.0.0.1", 0, ssl=tls)
        number: int = port.server.sockets[0].getsockname()[1]
        self.ports[number] = port
        return number

    async def counts(self, port: int) -> dict[str, Any]:
        known = self.ports[port]
        return {"connections": known.connections, "tunnels": known.tunnels}

    async def requests(self, port: int) -> list[dict[str, Any]]:
        return self.ports[port].asked

    async def clear(self, port: int) -> None:
        self.ports[port].clear()

    async def close(self, port: int) -> None:
        closed = self.ports.pop(port)
        assert closed.server is not None
        closed.server.close()
        for task in list(closed.tasks):
            task.cancel()


def main() -> None:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    proxies = Proxies()

    def in_loop(name: str) -> Callable[..., Any]:
        def run(**arguments: Any) -> Any:
            function = getattr(proxies, name)
            return asyncio.run_coroutine_threadsafe(function(**arguments), loop).result()

        return run

    serve({name: in_loop(name) for name in ("listen", "counts", "requests", "clear", "close")})


if __name__ == "__main__":
    main()
