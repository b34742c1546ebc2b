"""As many streams of HTTP/2 at a time as there may be, by the benchmark that counts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmarks" / "streams.py"


def test_of_100_000_streams_at_a_time_none_is_lost(tmp_path: Path) -> None:
    """1,000 connections carry 100 streams each, and the server answers when all are there."""
    run = subprocess.run(
        [sys.executable, BENCHMARK, "--output", tmp_path / "streams.json"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    [result] = json.loads((tmp_path / "streams.json").read_text())["streams"]
    client, server = result["client"], result["server"]
    assert server == {
        "requests": 100_000,
        "answered": 100_000,
        "broken": 0,
        "most": 100_000,
        "connections": 1000,
    }
    assert (client["reported"], client["failures"]) == (100_000, 0)
    assert (client["agents"], client["connections"]) == (100_000, 1000)
