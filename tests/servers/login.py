"""A server that wants to know who asks: Digest, NTLM or Negotiate. Run as ``-m servers.login``.

The options of ``listen``: scheme (digest, ntlm, negotiate), user and password. Digest (RFC 7616,
MD5 with qop=auth) is checked; NTLM goes through its three messages, of which the last is believed;
Negotiate is asked for, and whatever comes is believed. Who is known gets JSON: the method, the
target and the body; others get 401. ``requests`` gives for each request its method, target, body
and Authorization, ``counts`` the connections.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from base64 import b64decode, b64encode

from servers import serve

CHALLENGE = (
    b"NTLMSSP\x00\x02\x00\x00\x00\x00\x00\x00\x00\x38\x00\x00\x00\x05\x82\x89\x02"
    b"\x01\x23\x45\x67\x89\xab\xcd\xef" + bytes(8) + b"\x04\x00\x04\x00\x38\x00\x00\x00"
    b"\x06\x01\xb1\x1d\x00\x00\x00\x0f" + bytes(4)
)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Port:
    """A listening port and what was asked of it."""

    def __init__(self, scheme: str, user: str, password: str) -> None:
        self.answer = {
            "digest": self.by_digest,
            "ntlm": self.by_ntlm,
            "negotiate": self.by_negotiate,
        }[scheme]
        self.user = user
        self.password = password
        self.connections = 0
        self.asked: list[dict[str, str]] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.number: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while first := stream.readline():
                headers = {}
                while (line := stream.readline().decode("latin-1").strip()) != "":
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                method, target, _ = first.decode("latin-1").split(" ")
                body = stream.read(int(headers.get("content-length", 0))).decode("latin-1")
                said = headers.get("authorization", "")
                self.asked.append(
                    {"method": method, "target": target, "body": body, "authorization": said}
                )
                ask = self.answer(method, target, said)
                data = json.dumps({"method": method, "target": target, "body": body}).encode()
                if ask:
                    data = b"who are you?"
                head = f"HTTP/1.1 {'401 Who' if ask else '200 OK'}\r\n"
                head += f"WWW-Authenticate: {ask}\r\n" if ask else ""
                stream.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
                stream.flush()

    def by_digest(self, method: str, target: str, said: str) -> str:
        """What is asked for, empty for who is known."""
        ask = 'Digest realm="here", nonce="n0nce", qop="auth", algorithm=MD5'
        part = dict(re.findall(r'(\w+)="?([^",]*)"?', said))
        if not said.startswith("Digest ") or part.get("uri") != target:
            return ask
        secret = md5(f"{self.user}:here:{self.password}")
        asked = md5(f"{method}:{target}")
        wanted = md5(f"{secret}:n0nce:{part['nc']}:{part['cnonce']}:auth:{asked}")
        return "" if part["username"] == self.user and part["response"] == wanted else ask

    def by_ntlm(self, method: str, target: str, said: str) -> str:
        if not said.startswith("NTLM "):
            return "NTLM"
        message = b64decode(said[5:])
        if message[8] == 1:
            return "NTLM " + b64encode(CHALLENGE).decode()
        user = self.user.encode("utf-16-le")
        return (
            "" if message[8] == 3 and (user in message or self.user.encode() in message) else "NTLM"
        )

    def by_negotiate(self, method: str, target: str, said: str) -> str:
        return "" if said.startswith("Negotiate ") else "Negotiate"


def main() -> None:
    ports: dict[int, Port] = {}

    def listen(scheme: str = "digest", user: str = "jane", password: str = "secret") -> int:
        port = Port(scheme, user, password)
        ports[port.number] = port
        return port.number

    def close(port: int) -> None:
        listener = ports.pop(port).listener
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    serve(
        {
            "listen": listen,
            "close": close,
            "counts": lambda port: {"connections": ports[port].connections},
            "requests": lambda port: ports[port].asked,
            "clear": lambda port: ports[port].asked.clear(),
        }
    )


if __name__ == "__main__":
    main()
