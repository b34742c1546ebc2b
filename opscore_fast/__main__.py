"""``python -m opscore_fast``: Locust with its HTTP users replaced, or the stand-in server.

``python -m opscore_fast standin ...`` serves the Ops-Core API, ``explain ...`` prints what native
threads would do with a locustfile; anything else is a command line of
locust's, which runs with locustfiles that were not touched. ``--keep CLASS`` (HttpUser,
FastHttpUser, HttpSession or FastHttpSession; several with commas, or several times) leaves one of
Locust's classes in its place. ``--native`` has native threads run the tasks that can be recorded,
and ``--agent-threads N`` says how many of them. ``--http2`` has users speak HTTP/2,
and ``--http-version-in-name`` has the statistics tell what was spoken.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def _take_keep(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Take our own option out of a command line; returns the classes to keep, and the rest.

    Raises ValueError for an option without a value.
    """
    keep: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if name != "--keep":
            rest.append(argument)
            continue
        if not equals:
            value = next(waiting, "")
        names = [name for name in map(str.strip, value.split(",")) if name]
        if not names or value.startswith("-"):
            raise ValueError("--keep wants the name of a class, such as --keep HttpUser")
        keep += names
    return keep, rest


def _take_native(arguments: list[str]) -> tuple[bool, list[str]]:
    """Take --native and --agent-threads out of a command line; returns the former, and the rest.

    Raises ValueError for an option without a value.
    """
    from opscore_fast.native.fleet import read_threads

    rest: list[str] = []
    waiting = iter(arguments)
    native = False
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument == "--native":
            native = True
        elif name == "--agent-threads":
            threads = read_threads(name, value if equals else next(waiting, ""))
            # the processes that Locust forks have it too
            os.environ["OPSCORE_FAST_THREADS"] = str(threads)
        else:
            rest.append(argument)
    return native, rest


def _take_http(arguments: list[str]) -> list[str]:
    """Take --http2 and --http-version-in-name out of a command line, and have the user classes that
    say nothing of these do so; returns the rest.

    Raises ValueError for a value that they don't have.
    """
    rest: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument == "--http-version-in-name":
            os.environ["OPSCORE_FAST_HTTP_VERSION_IN_NAME"] = "1"
            continue
        if name != "--http2":
            rest.append(argument)
            continue
        if equals and value not in ("auto", "prior-knowledge"):
            raise ValueError("--http2 is --http2, --http2=auto or --http2=prior-knowledge")
        # the processes that Locust forks have it too
        os.environ["OPSCORE_FAST_HTTP2"] = value or "auto"
    return rest


def _add_to_help(parser: Any, **_: Any) -> None:
    """Tell of our own option in Locust's help."""
    parser.add_argument_group(
        "opscore_fast",
        "--keep CLASS   leave one of Locust's classes in its place: HttpUser, FastHttpUser,"
        " HttpSession or FastHttpSession; several with commas, or several times. --native   run the"
        " tasks of HttpUser and FastHttpUser classes by native threads, where they can be recorded."
        " --agent-threads N   so many of these; otherwise as many as there are cores, or 1 in a"
        " process of --processes. --http2   speak HTTP/2 by https, with servers that choose it;"
        " --http2=prior-knowledge by http too. --http-version-in-name   count requests by names"
        " such as '/ok [HTTP/2]'",
    )


def _to_a_reader(command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run a command that prints; whoever reads may have enough of it, as head does."""
    try:
        ended = command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # what is left is for nobody, and would be written at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return ended


def main() -> None:
    """Run the command line in sys.argv."""
    if sys.argv[1:2] == ["standin"]:
        from opscore_fast.standin.cli import main as standin

        sys.exit(standin(sys.argv[2:]))
    try:
        sys.argv[1:] = _take_http(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"opscore_fast: {error}")
    if sys.argv[1:2] == ["explain"]:
        from opscore_fast.explain import main as explain

        sys.exit(_to_a_reader(explain, sys.argv[2:]))
    from opscore_fast.replace import replace_classes

    try:
        keep, sys.argv[1:] = _take_keep(sys.argv[1:])
        native, sys.argv[1:] = _take_native(sys.argv[1:])
        said = replace_classes(keep, native=native)
    except ValueError as error:
        sys.exit(f"opscore_fast: {error}")
    print(f"opscore_fast: {said}", file=sys.stderr)
    import locust
    from locust.main import main as run

    listen = locust.events.init_command_line_parser.add_listener
    listen(_add_to_help)  # type: ignore[no-untyped-call]
    run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
