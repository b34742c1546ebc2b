"""Sessions and responses under calls drawn at random."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import Listener

RUNS = 6
"""Of a few hundred requests each, for each seed."""


@pytest.mark.parametrize("seed", [1, 101, 201])
def test_calls_at_random(seed: int, app: Listener) -> None:
    """Nothing crashes or hangs, and nothing is kept that nobody has."""
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    path = os.pathsep.join([str(Path(__file__).parent), environment.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "helpers_fuzz", app.url, str(seed), str(RUNS)],
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=160,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert run.stdout.splitlines() == [f"{seed + i} True 0 0" for i in range(RUNS)]
