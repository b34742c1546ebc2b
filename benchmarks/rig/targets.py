"""What opscore_fast must reach, checked against the figures of one run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One requirement and what was measured."""

    what: str
    required: str
    measured: str
    reached: bool


def at_least(what: str, measured: float | None, required: float, unit: str = "x") -> list[Target]:
    """`measured` must not be below `required`; nothing to say if it was not measured."""
    if measured is None:
        return []
    return [Target(what, f">= {required:g} {unit}", f"{measured:.2f} {unit}", measured >= required)]


def at_most(what: str, measured: float | None, required: float, unit: str) -> list[Target]:
    """`measured` must not be above `required`; nothing to say if it was not measured."""
    if measured is None:
        return []
    return [Target(what, f"<= {required:g} {unit}", f"{measured:.2f} {unit}", measured <= required)]
