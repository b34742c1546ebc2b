"""What runs the stand-in's application: uvicorn, or granian where HTTP/2 is to be spoken as well.

Both serve one listening socket in one process with one event loop, as the application's state and
counters are in its memory, and end with SIGTERM and SIGINT. Call them in the main thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from opscore_fast.standin.app import App

BACKLOG = 2048
KEEP_ALIVE_S = 5
"""Seconds that an idle HTTP/1.1 connection is kept, as the service's server does by default."""

_STOP_S = 5
"""Seconds that requests under way get to end when the server is told to stop."""


class Certificate(NamedTuple):
    """PEM files: a certificate with its chain, and its private key, which may be in the same."""

    cert: Path
    key: Path

    def check(self) -> None:
        """Raise OSError or ssl.SSLError unless a server can use them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A key with a password isn't asked for it, at whatever terminal there is.
        context.load_cert_chain(self.cert, self.key, password="")


def _leave(signum: int, frame: object) -> NoReturn:
    raise SystemExit(0)


def serve_http1(
    app: App, listener: socket.socket, tls: Certificate | None, ready: Callable[[], None]
) -> None:
    """Serve HTTP/1.1 as the service itself is served. Calls ready() when it begins."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    config = uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",
        ws="none",
        access_log=False,
        log_level=logging.ERROR,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=tls.cert if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    # The server takes the signals over while it runs and gives them on when it has stopped.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _leave)
    Server(config).run(sockets=[listener])


def serve_http2(
    app: App, listener: socket.socket, tls: Certificate | None, ready: Callable[[], None]
) -> None:
    """Serve HTTP/2, and HTTP/1.1 to clients that begin with it (or choose it, with TLS).

    Calls ready() when it begins.
    """
    import uvloop
    from granian._granian import SocketHolder
    from granian.constants import Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    class OnListener(Server):
        # Its own would bind with SO_REUSEPORT, beside whoever has the port, and tells neither which
        # it has got nor when.
        def _init_shared_socket(self) -> None:
            listening = SocketHolder(os.dup(listener.fileno()), False, BACKLOG)  # type: ignore[call-arg]
            self._shd = listening  # type: ignore[assignment]

    async def serve() -> bool:
        """Serve until told to stop; returns whether all connections have ended in time then."""
        server = OnListener(
            app,
            interface=Interfaces.ASGINL,
            websockets=False,
            backlog=BACKLOG,
            http1_settings=HTTP1Settings(header_read_timeout=KEEP_ALIVE_S * 1000),
            log_level=LogLevels.error,
            ssl_cert=tls.cert if tls else None,
            ssl_key=tls.key if tls else None,
            ssl_protocol_min=SSLProtocols.tls12,
        )
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, told.set)
        serving = asyncio.ensure_future(server.serve())
        ready()
        stopping = asyncio.ensure_future(told.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait({serving}, timeout=_STOP_S)
        return serving.done()

    told = asyncio.Event()
    ended = uvloop.run(serve())
    code = 0 if told.is_set() else 1
    if not ended:
        # It waits for its clients to hang up, and its threads don't survive the end of Python.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
