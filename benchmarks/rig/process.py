"""Child processes: pinned to one core, stopped by their pid, and gone when the benchmark is."""

import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from rig import BenchError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _prepare(core: int) -> Callable[[], None]:
    """What a child does before exec: pin itself, ask to die with its parent, allow many sockets."""

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


def start(
    command: Sequence[str],
    core: int,
    output: int | IO[bytes],
    errors: int | IO[bytes] = subprocess.STDOUT,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` on `core`. The caller owns the process and stops it with `stop`."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=env,
            cwd=cwd,
            preexec_fn=_prepare(core),
        )
    except FileNotFoundError:
        raise BenchError(f"no such command: {command[0]}") from None


def stop(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """End `process`: SIGTERM, and SIGKILL when it has not gone after `seconds`."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_with_usage(process: subprocess.Popen[bytes], seconds: float) -> resource.struct_rusage:
    """Wait until `process` ends and return what it used; BenchError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            raise BenchError(f"{process.args!r} did not end within {seconds:.0f} s")
        time.sleep(0.02)


def last_line(log: Path) -> str:
    """Last line that is not blank in `log`, for a message of one line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
