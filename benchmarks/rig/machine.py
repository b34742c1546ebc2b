"""The machine under the benchmark: which cores are used, and the facts that figures depend on."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from rig import BenchError

PEERS = Path(__file__).parents[2] / "build" / "bench" / "peers"
"""Where install_peers.sh puts load generators, each with a NAME.version."""

_TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """The cores of the load generator and of the server: the first two this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise BenchError("two cores are needed, one for the client and one for the server")
    return allowed[0], allowed[1]


def process_cpu(pid: int) -> float:
    """CPU seconds (user and system) that process `pid` has used so far, to the clock tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _first_line(command: list[str]) -> str | None:
    """First line that `command` prints, or None if there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    return ((done.stdout + done.stderr).strip().splitlines() or [""])[0]


def _distribution(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str | None]:
    """Versions of everything that takes part; None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("locust", "gevent", "geventhttpclient", "requests", "opscore-fast"):
        found[name] = _distribution(name)
    found["nginx"] = _first_line(["nginx", "-v"])
    wrk = _first_line(["wrk", "-v"])
    found["wrk"] = wrk and re.sub(r"\s*(\[.*|Copyright.*)$", "", wrk)
    for name in ("oha", "bench-goose", "hey"):
        version = PEERS / f"{name}.version"
        found[name.removeprefix("bench-")] = (
            version.read_text().strip() if version.is_file() else None
        )
    found["h2load"] = _first_line(["h2load", "--version"])
    found["nghttpd"] = _first_line(["nghttpd", "--version"])
    found["openssl"] = _first_line(["openssl", "version"])
    return found


def facts() -> dict[str, Any]:
    """Processor, cores, kernel, memory and load of this machine."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    return {
        "cpu": model.group(1) if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_mb": int(memory.group(1)) // 1024 if memory else None,
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
