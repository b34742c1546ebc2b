"""A scripted name server on UDP. Run as ``-m servers.dns``.

Each port has a zone, {NAME: RECORDS}, where RECORDS may have

  A, AAAA   lists of addresses
  CNAME     the name that this one stands for
  ttl       of all of them, in seconds (60)
  rcode     the answer's code, such as 2 for a server that failed
  silent    true: never answer

A name without records does not exist. ``set`` puts another zone in a port's place.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Any

from servers import serve

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}
NO_SUCH_NAME = 3

Zone = dict[str, dict[str, Any]]


def encode_name(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def decode_name(message: bytes, at: int) -> tuple[str, int]:
    """The name at that place, in lower case, and the place behind it."""
    labels = []
    while size := message[at]:
        labels.append(message[at + 1 : at + 1 + size].decode("latin-1").lower())
        at += 1 + size
    return ".".join(labels), at + 1


def encode_record(name: str, kind: str, ttl: int, value: str) -> bytes:
    if kind == "CNAME":
        data = encode_name(value)
    else:
        data = socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
    return encode_name(name) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data


class Port:
    """A socket, its zone and what it was asked."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.questions: list[tuple[str, str]] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.number: int = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                message, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not message:
                return
            if (answer := self.answer(message)) is not None:
                self.socket.sendto(answer, peer)

    def answer(self, message: bytes) -> bytes | None:
        name, end = decode_name(message, 12)
        (number,) = struct.unpack_from("!H", message, end)
        kind = next((kind for kind, value in TYPES.items() if value == number), str(number))
        self.questions.append((name, kind))
        records: list[bytes] = []
        code = 0
        while name:
            entry = self.zone.get(name)
            if entry is None:
                code = NO_SUCH_NAME
                break
            if entry.get("silent"):
                return None
            code = entry.get("rcode", 0)
            ttl = entry.get("ttl", 60)
            records += [encode_record(name, kind, ttl, value) for value in entry.get(kind, [])]
            alias = entry.get("CNAME", "")
            if alias:
                records.append(encode_record(name, "CNAME", ttl, alias))
            name = alias
        head = struct.pack("!HHHHHH", 0, 0x8180 | code, 1, len(records), 0, 0)
        return message[:2] + head[2:] + message[12 : end + 4] + b"".join(records)

    def close(self) -> None:
        # Wakes the thread in recvfrom, which close alone does not; an unconnected socket objects.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Dns:
    """The commands."""

    def __init__(self) -> None:
        self.ports: dict[int, Port] = {}

    def listen(self, zone: Zone) -> int:
        port = Port(zone)
        self.ports[port.number] = port
        return port.number

    def set(self, port: int, zone: Zone) -> None:
        self.ports[port].zone = zone

    def counts(self, port: int) -> dict[str, Any]:
        """The questions, [NAME, TYPE] each, oldest first."""
        return {"questions": list(self.ports[port].questions)}

    def clear(self, port: int) -> None:
        self.ports[port].questions = []

    def close(self, port: int) -> None:
        self.ports.pop(port).close()


def main() -> None:
    dns = Dns()
    serve({name: getattr(dns, name) for name in ("listen", "set", "counts", "clear", "close")})


if __name__ == "__main__":
    main()
