"""Many millions of requests by native threads, without a pause: does memory grow, is each counted?

python benchmarks/soak.py [--requests N] [--agents N]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rig import BenchError, locust_run, machine
from rig.locust_run import AGENTS
from rig.nginx import Nginx

_OUTPUT = Path(__file__).parents[1] / "build" / "bench" / "soak.json"
_SLOWEST = 10_000  # requests per second that a run is given time for
_GROWTH_KB = 1024  # beyond which memory has grown


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000_000, help="how many (20,000,000)")
    parser.add_argument("--agents", type=int, default=100, help="by how many agents (100)")
    given = parser.parse_args()
    if given.requests < 1000 or not 1 <= given.agents <= 10_000:
        parser.error("at least 1,000 requests, by 1 to 10,000 agents")
    return given


def _run(requests: int, agents: int) -> dict[str, Any]:
    client, server = machine.cores()
    with tempfile.TemporaryDirectory(prefix="opf-soak-") as name:
        directory = Path(name)
        with Nginx(directory / "nginx", server) as nginx:
            before = nginx.served()
            seen = locust_run.run(
                "soak.py",
                AGENTS,
                agents,
                nginx.url("http"),
                client,
                directory,
                limit=60 + requests / _SLOWEST,
                requests=requests,
            )
            seen["served"] = nginx.served() - before - 1  # the question is counted too
    return seen


def _problems(seen: dict[str, Any]) -> list[str]:
    grown = seen["at_the_end"] - seen["at_a_tenth"]
    found = []
    if seen["counted"] != seen["served"]:
        found.append(f"{seen['counted']:,} requests counted, {seen['served']:,} answered")
    if seen["failures"]:
        found.append(f"{seen['failures']:,} failed")
    if grown > _GROWTH_KB:
        found.append(f"memory has grown by {grown:,} KB")
    return found


def main() -> int:
    """Returns the exit code: 0, 1 if something was not as it must be, 2 if nothing was measured."""
    given = _parse()
    try:
        seen = _run(given.requests, given.agents)
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    rate = seen["counted"] / seen["seconds"]
    print(
        f"{seen['counted']:,} requests counted, {seen['served']:,} answered,"
        f" {seen['failures']:,} failed; {rate:,.0f} a second\n"
        f"memory (PSS): {seen['at_a_tenth']:,} KB after a tenth,"
        f" {seen['at_the_end']:,} KB at the end"
    )
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(json.dumps(seen, indent=2) + "\n")
    problems = _problems(seen)
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
