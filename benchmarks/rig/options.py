"""Command line that all benchmarks share."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

_OUTPUT = Path(__file__).parents[2] / "build" / "bench"


@dataclass(frozen=True)
class Options:
    """How long, how often and what. `only` matches names such as `post/50/wrk`."""

    quick: bool
    seconds: float
    rounds: int
    only: re.Pattern[str] | None
    output: Path

    def wants(self, name: str) -> bool:
        """Whether the measurement `name` is to be made."""
        return self.only is None or self.only.search(name) is not None


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 100")
    return value


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None


def parse(description: str, name: str) -> Options:
    """Options from sys.argv; the JSON goes to build/bench/`name`.json unless told otherwise."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="one round of 2 s and fewer users: a smoke run"
    )
    parser.add_argument("--seconds", type=_positive, help="length of one measurement (5)")
    parser.add_argument("--rounds", type=_count, help="rounds, of which the median counts (3)")
    parser.add_argument(
        "--only", type=_pattern, metavar="PATTERN", help="measurements whose name matches PATTERN"
    )
    parser.add_argument("--output", type=Path, default=_OUTPUT / f"{name}.json", help="JSON file")
    given = parser.parse_args()
    return Options(
        quick=given.quick,
        seconds=given.seconds or (2.0 if given.quick else 5.0),
        rounds=given.rounds or (1 if given.quick else 3),
        only=given.only,
        output=given.output,
    )
