"""Requests that are counted in C, in Locust's own statistics.

While nothing but Locust's runner listens to the request event, a session counts its requests in a
Collector. Its counts are merged into the RequestStats of the environment once a second, and
whenever somebody reads them: for that the RequestStats and its entries become the subclasses below,
in place, so that whoever holds one of them sees every request that has finished. As soon as
somebody else listens, they become Locust's own classes again, and every request is an event.

Merging repeats what locust.stats.StatsEntry.log and locust.stats.RequestStats.log_error do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import CellType
from typing import Any

import locust.stats
from locust.event import EventHook
from locust.runners import Runner
from locust.stats import EntriesDict, RequestStats, StatsEntry, StatsError

from opscore_fast._core import Collector

# What a Collector has counted for one name: see Collector.drain.
_Drained = tuple[str, str, int, float, float, float, float, int, dict[int, int]]

# The functions whose work is done in C: when somebody has replaced one, it must be called.
_ORIGINALS = {
    (RequestStats, name): getattr(RequestStats, name) for name in ("log_request", "log_error")
} | {(StatsEntry, name): getattr(StatsEntry, name) for name in ("log", "log_error")}
_bucket_response_time = getattr(locust.stats, "bucket_response_time", None)


def _is_pristine() -> bool:
    return (
        all(getattr(owner, name) is function for (owner, name), function in _ORIGINALS.items())
        and getattr(locust.stats, "bucket_response_time", None) is _bucket_response_time
    )


def _counted(name: str) -> property:
    """Return an attribute that is up to date whenever it is read or written."""

    def read(self: Any) -> Any:
        _flush_of(self)
        return self.__dict__[name]

    def write(self: Any, value: Any) -> None:
        _flush_of(self)
        self.__dict__[name] = value

    return property(read, write)


def _flush_of(owner: Any) -> None:
    stats: Any = owner if isinstance(owner, RequestStats) else owner.stats
    collector = stats.__dict__.get("collector")
    if collector is not None and collector.pending:
        stats.flush()


class CountedEntry(StatsEntry):
    """A StatsEntry some of whose requests may be in the collector still."""

    num_requests = _counted("num_requests")
    num_none_requests = _counted("num_none_requests")
    num_failures = _counted("num_failures")
    total_response_time = _counted("total_response_time")
    min_response_time = _counted("min_response_time")
    max_response_time = _counted("max_response_time")
    num_reqs_per_sec = _counted("num_reqs_per_sec")
    num_fail_per_sec = _counted("num_fail_per_sec")
    response_times = _counted("response_times")
    response_times_cache = _counted("response_times_cache")
    total_content_length = _counted("total_content_length")
    start_time = _counted("start_time")
    last_request_timestamp = _counted("last_request_timestamp")

    def __reduce_ex__(self, protocol: Any) -> Any:
        _flush_of(self)
        return super().__reduce_ex__(protocol)


class _CountedEntries(EntriesDict):
    def __missing__(self, key: tuple[str, str]) -> StatsEntry:
        entry: StatsEntry = super().__missing__(key)  # type: ignore[no-untyped-call]
        entry.__class__ = CountedEntry
        return entry


class CountedStats(RequestStats):
    """A RequestStats with a collector in front of it."""

    collector: Collector

    errors = _counted("errors")
    history = _counted("history")

    @property
    def total(self) -> StatsEntry:
        _flush_of(self)
        return self.__dict__["total"]  # type: ignore[no-any-return]

    @total.setter
    def total(self, entry: StatsEntry) -> None:
        self._start_over()
        entry.__class__ = CountedEntry
        self.__dict__["total"] = entry

    @property
    def entries(self) -> dict[tuple[str, str], StatsEntry]:
        _flush_of(self)
        return self.__dict__["entries"]  # type: ignore[no-any-return]

    @entries.setter
    def entries(self, entries: dict[tuple[str, str], StatsEntry]) -> None:
        self._start_over()
        _count_entries(entries)
        self.__dict__["entries"] = entries

    def _start_over(self) -> None:
        """Bring the old entries up to date and let go of them."""
        self.flush()
        self.collector.clear()

    def flush(self) -> None:
        """Merge what the collector holds."""
        merge_all(self, self.collector.drain())

    def log_failure(self, method: str, name: str, error: Exception) -> None:
        """Do as log_error, without merging first."""
        count_failures(self, method, name, error, int(time.time()), 1)


def count_failures(
    stats: RequestStats, method: str, name: str, error: Exception, second: int, times: int
) -> None:
    """Count failures of one second, as that many calls of RequestStats.log_error would."""
    fields = stats.__dict__
    for entry in (fields["total"], fields["entries"][name, method]):
        entry.__dict__["num_failures"] += times
        entry.__dict__["num_fail_per_sec"][second] += times
    key = StatsError.create_key(method, name, error)
    stats_error = fields["errors"].get(key)
    if not stats_error:
        stats_error = fields["errors"][key] = StatsError(method, name, error)
    stats_error.occurred()  # which may note more than the number
    stats_error.occurrences += times - 1


def merge_all(stats: RequestStats, drained: Iterable[_Drained]) -> None:
    """Add what was counted for several names, as Collector.drain returns it."""
    total, entries = stats.__dict__["total"], stats.__dict__["entries"]
    for counted in drained:
        name, method, *_ = counted
        _merge(entries[name, method], counted)
        _merge(total, counted)


def _merge(entry: StatsEntry, counted: _Drained) -> None:
    """Add requests of one second, as that many calls of StatsEntry.log would."""
    _, _, requests, total, least, most, last, length, buckets = counted
    fields = entry.__dict__
    second = int(last)
    before = fields["last_request_timestamp"]
    if fields["use_response_times_cache"] and before and second > int(before):
        entry._cache_response_times(second - 1)
    fields["num_requests"] += requests
    fields["num_reqs_per_sec"][second] += requests
    fields["last_request_timestamp"] = last if not before else max(before, last)
    fields["total_response_time"] += total
    lowest = fields["min_response_time"]
    fields["min_response_time"] = least if lowest is None else min(lowest, least)
    fields["max_response_time"] = max(fields["max_response_time"], most)
    for bucket, count in buckets.items():
        fields["response_times"][bucket] += count
    fields["total_content_length"] += length


def _count_entries(entries: dict[tuple[str, str], StatsEntry]) -> None:
    for entry in entries.values():
        entry.__class__ = CountedEntry
    if type(entries) is EntriesDict:
        entries.__class__ = _CountedEntries


def runner_behind(handler: Any) -> Runner | None:
    """Return the runner whose own listener the handler is: a function of Runner.__init__."""
    code = getattr(handler, "__code__", None)
    if getattr(handler, "__module__", None) != Runner.__module__ or code is None:
        return None
    cells: tuple[CellType, ...] = handler.__closure__ or ()
    runner = dict(zip(code.co_freevars, cells, strict=False)).get("self")
    return runner.cell_contents if runner and isinstance(runner.cell_contents, Runner) else None


def attach(
    event: Any, handler: Any
) -> tuple[Collector, Any, RequestStats, dict[str, Any], Any] | None:
    """Begin to count in C for an event whose only listener is handler.

    Returns the collector, the environment, its statistics, the names of locust.stats and its
    bucket_response_time, which must stay as it is; or None if that can't be done: then every
    request has to be an event.
    """
    runner = runner_behind(handler)
    if type(event) is not EventHook or "fire" in vars(event) or runner is None:
        return None
    stats = runner.environment.stats
    if not _is_pristine():
        detach(stats)
        return None
    names = vars(locust.stats)
    if isinstance(stats, CountedStats):
        return stats.collector, runner.environment, stats, names, _bucket_response_time
    if type(stats) is not RequestStats:
        return None
    fields = stats.__dict__
    stats.__class__ = CountedStats
    assert isinstance(stats, CountedStats)

    def on_cell(name: str, method: str) -> None:
        # whoever holds the dict of entries finds the new one there
        fields["entries"][name, method]

    fields["collector"] = Collector(stats.flush, on_cell)
    fields["total"].__class__ = CountedEntry
    _count_entries(fields["entries"])
    return stats.collector, runner.environment, stats, names, _bucket_response_time


def detach(stats: RequestStats) -> None:
    """End counting in C: merge, and make Locust's own classes of the statistics again."""
    if not isinstance(stats, CountedStats):
        return
    stats.flush()
    fields = stats.__dict__
    stats.__class__ = RequestStats  # type: ignore[assignment]
    fields.pop("collector").close()
    for entry in (fields["total"], *fields["entries"].values()):
        if type(entry) is CountedEntry:
            entry.__class__ = StatsEntry  # type: ignore[assignment]
    if type(fields["entries"]) is _CountedEntries:
        fields["entries"].__class__ = EntriesDict  # type: ignore[assignment]
