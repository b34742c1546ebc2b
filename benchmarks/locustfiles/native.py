"""The native threads of this process, for locustfiles of agents."""

from opscore_fast.native.fleet import running


def figures() -> dict[str, int]:
    """The figures of all native threads together, as of now."""
    fleet = running().fleet
    fleet.ask()
    fleet.wait(10)
    threads = fleet.figures()
    return {name: sum(thread[name] for thread in threads) for name in threads[0]}
