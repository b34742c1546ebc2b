"""Bodies that are composed at random (helpers_generated), run by Locust and by native threads.

Each seed is always the same body. python tests/test_twins_generated.py FIRST LAST looks at others,
and prints what differs.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401

import copy
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from helpers_generated import Body, answers, verdict
from helpers_twins import ATTRIBUTES, STYLES, Seen, Twins, difference, module_of, text_of, twins

from opscore_fast.recording import runtime
from opscore_fast.recording.refusal import NotRecordable

PATHS = 12
"""Bodies of more are left out: it takes long to record them."""


def both(pair: Twins, folder: Path, seed: int, times: int) -> tuple[Seen, Seen]:
    """Run the body of a seed both ways, each time against other answers. Raises NotRecordable."""
    style = STYLES[seed % 2]
    text = text_of(style, Body(seed, fast=style == "FastHttpUser").make())
    script = answers(seed, 12 * times)
    theirs = module_of(folder, text, "locust", style)
    ours = module_of(folder, text, "opscore_fast", style)
    got = pair.by_agent(ours, copy.deepcopy(ATTRIBUTES), script, times)
    return pair.by_locust(theirs, copy.deepcopy(ATTRIBUTES), script, times), got


@pytest.mark.parametrize("first", range(0, 40, 5))
def test_generated_bodies(
    pair: Twins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(runtime, "MAX_PATHS", PATHS)
    recorded = 0
    for seed in range(first, first + 5):
        try:
            expected, got = both(pair, tmp_path, seed, 1)
        except NotRecordable:
            continue
        recorded += 1
        assert verdict(expected, got), f"seed {seed}: {difference(expected, got)}"
    assert recorded > 1


def hunt(first: int, last: int) -> None:
    """Print the seeds whose bodies differ."""
    logging.disable(logging.CRITICAL)
    runtime.MAX_PATHS = PATHS  # type: ignore[misc]
    counted: Counter[str] = Counter()
    with twins() as pair, tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last):
            try:
                expected, got = both(pair, Path(folder), seed, 1)
            except NotRecordable:
                counted["refused"] += 1
                continue
            said = verdict(expected, got)
            counted[said or "different"] += 1
            if not said:
                style = STYLES[seed % 2]
                print(f"seed {seed}, {style}:\n{Body(seed, fast=style == 'FastHttpUser').make()}")
                print(difference(expected, got), end="\n\n")
    print(dict(counted))


if __name__ == "__main__":
    hunt(int(sys.argv[1]), int(sys.argv[2]))
