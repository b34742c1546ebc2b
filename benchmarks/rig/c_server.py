"""Servers of our own, in C: each prints the port it listens on, and at its end a line of JSON."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rig import BenchError, process

_SOURCES = Path(__file__).parents[1]


def compiled(name: str, directory: Path, *libraries: str) -> Path:
    """Compile benchmarks/`name`.c into `directory`; BenchError if that can't be done."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("not measured, no C compiler cc (Debian package gcc)")
    program = directory / name
    command = [compiler, "-std=c11", "-O2", "-o", str(program), str(_SOURCES / f"{name}.c")]
    command += [f"-l{library}" for library in libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        line = (done.stderr.strip().splitlines() or ["no output"])[0]
        raise BenchError(f"not measured, cc failed: {line}")
    return program


@dataclass
class CServer:
    """A running server; `report` is filled in at its end."""

    pid: int
    port: int
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(program: Path, arguments: list[str], core: int) -> Iterator[CServer]:
    """Run a server on `core`; BenchError if it doesn't start or reports nothing at its end."""
    output = program.with_suffix(".out")
    with output.open("wb") as log:
        child = process.start([str(program), *arguments], core, subprocess.PIPE, log)
        assert child.stdout is not None
        try:
            port = child.stdout.readline()
            if not port:
                raise BenchError(f"{program.name}: {process.last_line(output)}")
            server = CServer(child.pid, int(port))
            yield server
        finally:
            process.stop(child)
            log.write(child.stdout.read())
            child.stdout.close()
    line = process.last_line(output)
    if not line.startswith("{"):
        raise BenchError(f"{program.name}: {line}")
    server.report.update(json.loads(line))
