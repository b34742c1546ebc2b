"""A server that misbehaves by script. Run as ``-m servers.hostile``.

Each port has a list of scripts: the first for the first connection, and so on; further connections
get the last one. A script is a list of actions, [NAME, ARGUMENT...], and the connection is closed
behind the last of them:

  request          read a request with its body, and count it
  head             read a request's headers only, and count it
  until TEXT       read until the text has come
  digest N         read N bytes and add the SHA-1 of them, in hexadecimal, to the port's marks
  send TEXT        send the text; with a second argument, that many times
  drip TEXT S      send the text byte by byte, S seconds after each
  random N         send N random bytes, the same ones each time, and count what is taken
  flood TEXT [N]   send the text over and over until the peer closes (at most N MiB, by default 64)
  pause S          do nothing for S seconds
  taken            do nothing until the peer has taken from its socket all that was sent
  wait NAME        do nothing until the test opens the port's gate of that name
  mark NAME        add the name to the port's marks
  farewell         say over TLS that there is no more to come
  half_close       send no more
  close            close; sends a reset if something lies unread, as TCP wants it
  reset            close with a reset
  drain            read and throw away until the peer closes
  hold             do nothing until the peer closes (without reading) or the port is closed
  again N          go on with the script's action N, counted from 0; without N, with its first

A peer that closes while the server reads or writes ends the script.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from servers import CERTIFICATES, serve

PATIENCE = 30.0
"""Seconds after which a connection's thread gives up on its peer."""

Script = list[list[Any]]


def random_bytes(size: int) -> bytes:
    """That many random bytes: the same ones each time."""
    return random.Random(size).randbytes(size)


def on_the_way(sock: socket.socket) -> int:
    """Octets sent to a peer on this machine, by IPv4, that it has not taken from its socket yet."""

    def end(address: tuple[str, int]) -> str:
        host = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
        return f"{host:08X}:{address[1]:04X}"

    ours, theirs = end(sock.getsockname()), end(sock.getpeername())
    octets = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        sent, came = queues.split(":")
        if (local, remote) == (ours, theirs):
            octets += int(sent, 16)
        if (local, remote) == (theirs, ours):
            octets += int(came, 16)
    return octets


class PeerClosedError(Exception):
    """The peer has closed or reset the connection, or the script has."""


class Port:
    """A listening socket, its scripts and what happened on it."""

    def __init__(
        self,
        scripts: list[Script],
        receive_buffer: int = 0,
        certificate: str = "",
        protocols: Sequence[str] = (),
    ) -> None:
        """Listen; with a certificate over TLS, where ALPN offers the `protocols`, if any."""
        self.scripts = scripts
        self.tls: ssl.SSLContext | None = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(CERTIFICATES / certificate)
            if protocols:
                self.tls.set_alpn_protocols(list(protocols))
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self.gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self.connections = 0
        self.open = 0
        self.read: list[dict[str, str]] = []
        self.marks: list[str] = []
        self.sent = 0
        self.listener = socket.socket()
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(256)
        self.number: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                script = self.scripts[min(self.connections, len(self.scripts) - 1)]
                self.connections += 1
                self.open += 1
            run = self.connection(peer).run
            threading.Thread(target=run, args=(script,), daemon=True).start()

    def connection(self, peer: socket.socket) -> Connection:
        """What runs a script on that socket. Called with the lock not held."""
        return Connection(self, peer)

    def gate(self, name: str) -> threading.Event:
        with self.lock:
            return self.gates[name]

    def clear(self) -> None:
        with self.lock:
            self.connections = 0
            self.read, self.marks = [], []
            self.sent = 0
            self.gates.clear()

    def counts(self) -> dict[str, Any]:
        return {
            "connections": self.connections,
            "open": self.open,
            "requests": len(self.read),
            "marks": self.marks,
            "sent": self.sent,
        }

    def close(self) -> None:
        self.closed.set()
        for gate in list(self.gates.values()):
            gate.set()
        # Wakes the thread in accept, which close alone does not.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Connection:
    """Runs a script on one connection, in a thread of its own."""

    def __init__(self, port: Port, peer: socket.socket) -> None:
        self.port = port
        self.peer = peer
        self.buffer = b""
        peer.settimeout(PATIENCE)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self, script: Script) -> None:
        try:
            if self.port.tls is not None:
                self.peer = self.port.tls.wrap_socket(self.peer, server_side=True)
            at: int | None = 0
            while at is not None:
                at = self.play(script, at)
        except (PeerClosedError, OSError):
            pass
        finally:
            self.peer.close()
            with self.port.lock:
                self.port.open -= 1

    def play(self, script: Script, first: int) -> int | None:
        """Run the script from an action on; returns the one to go on with."""
        for name, *arguments in script[first:]:
            if self.port.closed.is_set():
                return None
            if name == "again":
                return arguments[0] if arguments else 0
            getattr(self, f"do_{name}")(*arguments)
        return None

    def receive(self) -> None:
        data = self.peer.recv(1 << 16)
        if not data:
            raise PeerClosedError
        self.buffer += data

    def take_until(self, end: bytes) -> bytes:
        while (at := self.buffer.find(end)) < 0:
            self.receive()
        taken, self.buffer = self.buffer[: at + len(end)], self.buffer[at + len(end) :]
        return taken

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.receive()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def count(self, head: str, body: bytes) -> None:
        with self.port.lock:
            self.port.read.append({"head": head, "body": body.decode("latin-1")})

    def do_head(self) -> None:
        self.count(self.take_until(b"\r\n\r\n").decode("latin-1"), b"")

    def do_request(self) -> None:
        head = self.take_until(b"\r\n\r\n").decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = b""
        if fields.get("transfer-encoding") == "chunked":
            while size := int(self.take_until(b"\r\n"), 16):
                body += self.take(size + 2)[:-2]
            self.take(2)
        else:
            body = self.take(int(fields.get("content-length", 0)))
        self.count(head, body)

    def do_until(self, text: str) -> None:
        self.take_until(text.encode("latin-1"))

    def do_digest(self, size: int) -> None:
        got = hashlib.sha1(self.buffer[:size], usedforsecurity=False)
        left = size - len(self.buffer[:size])
        self.buffer = self.buffer[size:]
        while left:
            data = self.peer.recv(min(left, 1 << 16))
            if not data:
                raise PeerClosedError
            got.update(data)
            left -= len(data)
        self.port.marks.append(got.hexdigest())

    def put(self, data: bytes) -> None:
        self.peer.sendall(data)

    def do_send(self, text: str, times: int = 1) -> None:
        self.put(text.encode("latin-1") * times)

    def do_drip(self, text: str, seconds: float) -> None:
        for byte in text.encode("latin-1"):
            self.put(bytes([byte]))
            time.sleep(seconds)

    def do_flood(self, text: str, mebibytes: int = 64) -> None:
        block = text.encode("latin-1") * max(1, 65536 // len(text))
        for _ in range((mebibytes << 20) // len(block)):
            self.peer.sendall(block)

    def do_random(self, size: int) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # taken is not kept here
        left = memoryview(random_bytes(size))
        while left:
            taken = self.peer.send(left[:65536])
            left = left[taken:]
            with self.port.lock:
                self.port.sent += taken

    def do_pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def do_taken(self) -> None:
        while on_the_way(self.peer) and not self.port.closed.is_set():
            time.sleep(0.002)

    def do_wait(self, gate: str) -> None:
        self.port.gate(gate).wait(PATIENCE)

    def do_mark(self, name: str) -> None:
        self.port.marks.append(name)

    def do_farewell(self) -> None:
        assert isinstance(self.peer, ssl.SSLSocket)
        self.peer.settimeout(0.05)  # the client's own is not waited for
        with contextlib.suppress(OSError):
            self.peer.unwrap()

    def do_half_close(self) -> None:
        self.peer.shutdown(socket.SHUT_WR)

    def do_close(self) -> None:
        raise PeerClosedError

    def do_reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise PeerClosedError

    def do_drain(self) -> None:
        while self.peer.recv(1 << 16):
            pass

    def do_hold(self) -> None:
        poller = select.poll()
        poller.register(self.peer, select.POLLRDHUP)
        for _ in range(int(PATIENCE / 0.05)):
            if poller.poll(50) or self.port.closed.is_set():
                return


class Hostile:
    """The commands."""

    def __init__(self) -> None:
        self.ports: dict[int, Port] = {}

    def open(self, **options: Any) -> Port:
        return Port(**options)

    def listen(self, **options: Any) -> int:
        """Open a port, with the options of `Port`."""
        port = self.open(**options)
        self.ports[port.number] = port
        return port.number

    def counts(self, port: int) -> dict[str, Any]:
        return self.ports[port].counts()

    def requests(self, port: int) -> list[dict[str, Any]]:
        seen = self.ports[port]
        with seen.lock:
            return list(seen.read)

    def clear(self, port: int) -> None:
        self.ports[port].clear()

    def open_gate(self, port: int, name: str) -> None:
        self.ports[port].gate(name).set()

    def close(self, port: int) -> None:
        self.ports.pop(port).close()


def main() -> None:
    hostile = Hostile()
    names = ("listen", "counts", "requests", "clear", "open_gate", "close")
    serve({name: getattr(hostile, name) for name in names})


if __name__ == "__main__":
    main()
