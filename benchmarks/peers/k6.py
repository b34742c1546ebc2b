"""k6: named, but left out, since it is under the AGPL."""

from pathlib import Path

from rig import BenchError

from peers import Run, Sample, Workload

_REASON = "it is under the AGPL and left out"


class K6:
    """What the table says in k6's place."""

    label = "k6"

    def missing(self, directory: Path) -> str | None:
        """Why k6 isn't measured, in one line."""
        return _REASON

    def measure(self, workload: Workload, users: int, run: Run) -> Sample:
        """BenchError: there is nothing to run."""
        raise BenchError(_REASON)


PEER = K6()
