"""The command line of the stand-in: reads options, listens, serves until it is told to stop."""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from opscore_fast.standin.servers import BACKLOG, Certificate, serve_http1, serve_http2

PROG = "python -m opscore_fast standin"
DEFAULT_KEY = "test-api-key"


class _Parser(argparse.ArgumentParser):
    """An argument parser that puts what is wrong into one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROG}: {message} (--help lists the options)\n")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535, 0 for any free one")
    return int(text)


def _workers(text: str) -> int:
    if text != "1":
        raise argparse.ArgumentTypeError(
            f"{text!r} is refused: the agents are kept in the memory of one process, "
            "more workers would each know only some of them; leave it at 1"
        )
    return 1


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: 0 to 3600 seconds")
    return seconds


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog=PROG,
        description="Serves the Ops-Core API from memory, to try out and test load tests.",
        epilog=f"Environment: OPSCORE_API_KEY, the key that requests must carry ({DEFAULT_KEY} if "
        "it is not set). GET /standin/counters tells the answered requests by endpoint and status.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="port, 0: a free one (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=_workers, default=1, help="only 1: the state is not shared"
    )
    parser.add_argument(
        "--state-delay",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="time from an agent's registration until its state can be read (%(default)s)",
    )
    parser.add_argument(
        "--http2",
        action="store_true",
        help="speak HTTP/2 too: to clients that begin with it, or choose it with TLS",
    )
    parser.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="serve https with the certificate, and its chain, in this PEM file",
    )
    parser.add_argument(
        "--tls-key",
        type=Path,
        metavar="FILE",
        help="PEM file with its private key (otherwise it is in the same one)",
    )
    options = parser.parse_args(argv)
    if options.tls_key and not options.tls_cert:
        parser.error("argument --tls-key: there is no --tls-cert that it belongs to")
    return options


def _certificate(options: argparse.Namespace) -> Certificate | None:
    """What https is served with, None for http. Raises OSError and ssl.SSLError."""
    if options.tls_cert is None:
        return None
    certificate = Certificate(options.tls_cert, options.tls_key or options.tls_cert)
    certificate.check()
    return certificate


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError, also for a host that cannot be resolved."""
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it. Answers on one connection would wait for one another's ACKs.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _url(scheme: str, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _serve(
    listener: socket.socket, certificate: Certificate | None, options: argparse.Namespace
) -> None:
    """Serves until SIGTERM or SIGINT, which end it with SystemExit(0)."""
    from opscore_fast.standin.app import App, OpsCore

    def ready() -> None:
        scheme = "https" if certificate else "http"
        print(f"Ops-Core stand-in on {_url(scheme, listener)}", flush=True)

    key = os.environ.get("OPSCORE_API_KEY") or DEFAULT_KEY
    serve = serve_http2 if options.http2 else serve_http1
    serve(App(OpsCore(key, options.state_delay)), listener, certificate, ready)


def main(argv: list[str]) -> int:
    """Runs the stand-in with the arguments `argv` (without the program's name).

    Returns the exit code: 0 after SIGTERM or SIGINT, 1 if it cannot serve. Raises SystemExit for
    --help (0) and for arguments that are wrong (2). Sets signal handlers: call it in the main
    thread.
    """
    options = _parse(argv)
    try:
        for package in ("msgspec", *(("granian", "uvloop") if options.http2 else ("uvicorn",))):
            import_module(package)
    except ModuleNotFoundError as exc:
        missing = f"needs {exc.name}, which is not installed"
        print(f"{PROG}: {missing}: pip install 'opscore-fast[standin]'", file=sys.stderr)
        return 1
    try:
        certificate = _certificate(options)
    except OSError as exc:
        files = " and ".join(str(path) for path in (options.tls_cert, options.tls_key) if path)
        reason = exc.strerror
        if isinstance(exc, ssl.SSLError):
            reason = "not a certificate and its private key, without a password, in PEM"
        print(f"{PROG}: cannot serve https with {files}: {reason}", file=sys.stderr)
        return 1
    try:
        listener = listen(options.host, options.port)
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a host name"
        place = f"{options.host} port {options.port}"
        hint = "another --port or --host may do"
        print(f"{PROG}: cannot listen on {place}: {reason}; {hint}", file=sys.stderr)
        return 1
    try:
        _serve(listener, certificate, options)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    finally:
        listener.close()
    return 0
