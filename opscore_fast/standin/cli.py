"""The command line of the stand-in: reads options, listens, serves until it is told to stop."""

import argparse
import logging
import os
import signal
import socket
import sys
from typing import NoReturn

PROG = "python -m opscore_fast standin"
DEFAULT_KEY = "test-api-key"
KEEP_ALIVE_S = 5
"""Seconds that an idle connection is kept, as the service's server does by default."""

_STOP_S = 5
"""Seconds that requests under way get to end when the server is told to stop."""
_BACKLOG = 2048


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
    return parser.parse_args(argv)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError, also for a host that cannot be resolved."""
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop(signum: int, frame: object) -> NoReturn:
    raise SystemExit(0)


def _serve(listener: socket.socket, key: str, state_delay: float) -> None:
    """Serves until SIGTERM or SIGINT, which end it with SystemExit(0)."""
    import uvicorn

    from opscore_fast.standin.app import App, OpsCore

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                print(f"Ops-Core stand-in on {_url(listener)}", flush=True)

    config = uvicorn.Config(
        App(OpsCore(key, state_delay)),
        interface="asgi3",
        lifespan="off",
        ws="none",
        access_log=False,
        log_level=logging.ERROR,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
    )
    # The server takes the signals over while it runs and gives them on when it has stopped.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _stop)
    Server(config).run(sockets=[listener])


def main(argv: list[str]) -> int:
    """Runs the stand-in with the arguments `argv` (without the program's name).

    Returns the exit code: 0 after SIGTERM or SIGINT, 1 if it cannot serve. Raises SystemExit for
    --help (0) and for arguments that are wrong (2). Sets signal handlers: call it in the main
    thread.
    """
    options = _parse(argv)
    try:
        import msgspec  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as exc:
        missing = f"needs {exc.name}, which is not installed"
        print(f"{PROG}: {missing}: pip install 'opscore-fast[standin]'", file=sys.stderr)
        return 1
    try:
        listener = _listen(options.host, options.port)
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a host name"
        place = f"{options.host} port {options.port}"
        hint = "another --port or --host may do"
        print(f"{PROG}: cannot listen on {place}: {reason}; {hint}", file=sys.stderr)
        return 1
    try:
        _serve(listener, os.environ.get("OPSCORE_API_KEY") or DEFAULT_KEY, options.state_delay)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    finally:
        listener.close()
    return 0
