"""Locust itself, from its command line, in processes of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from helpers import (
    ENDING,
    LOCUST,
    OURS,
    Run,
    Users,
    finish,
    free_port,
    python,
    read_csv,
    wait_until,
)
from servers import Listener

LOCUSTFILE = """
import os
from locust import constant, events, task
from locust.exception import StopUser
from {module} import FastHttpUser

LAST = int(os.environ.get("LAST", "50"))

class Tested(FastHttpUser):
    wait_time = constant(0.01)
    made = 0

    def on_start(self):
        os.write(1, f"\\nclient of {{type(self.client).__module__}}\\n".encode())

    @task
    def work(self):
        self.made += 1
        if self.made % 5 == 0:
            self.client.post("/every/2", json={{"made": self.made}}, name="every")
        else:
            self.client.get(f"/token/{{self.made}}", name="token")
        if self.made == LAST:
            raise StopUser
"""

UNTOUCHED = LOCUSTFILE.replace("{module}", "{place}")


def write_locustfile(folder: Path, users: Users, text: str = LOCUSTFILE) -> Path:
    path = folder / "locustfile.py"
    path.write_text(text.format(module=users.module))
    return path


def headless(
    folder: Path, app: Listener, *options: str, module: str = "locust", until: int = 0
) -> subprocess.Popen[str]:
    """Start a headless run of the folder's locustfile.py, with its reports in the folder.

    It ends when `until` requests have been counted, if it is given.
    """
    files = "locustfile.py,ending.py" if until else "locustfile.py"
    (folder / "ending.py").write_text(ENDING)
    command = ["-m", module, "-f", files, "--headless", "--host", app.url]
    command += ["--csv", "out", "--html", "out.html", "--only-summary", *options]
    return python(*command, cwd=folder, UNTIL=f"count() >= {until}")


def check_reports(folder: Path, app: Listener, count: int) -> None:
    """The server's counts are those of the CSV files and of the report."""
    counts = app.counts()
    assert counts["answered"] == count
    rows = {(row["Type"], row["Name"]): row for row in read_csv(folder / "out_stats.csv")}
    assert set(rows) == {("POST", "every"), ("GET", "token"), ("", "Aggregated")}
    token, every, total = rows["GET", "token"], rows["POST", "every"], rows["", "Aggregated"]
    assert int(total["Request Count"]) == count
    assert int(token["Request Count"]) == count * 4 // 5
    assert int(every["Request Count"]) == count // 5
    failures = counts["statuses"]["500"]
    assert int(total["Failure Count"]) == int(every["Failure Count"]) == failures > 0
    for row in rows.values():
        least, mean, most = (float(row[f"{x} Response Time"]) for x in ("Min", "Average", "Max"))
        assert 0 < least <= mean <= most
        assert 0 <= float(row["50%"]) <= float(row["99%"]) <= float(row["100%"])
        assert float(row["Requests/s"]) > 0
    [failure] = read_csv(folder / "out_failures.csv")
    assert (failure["Method"], failure["Name"]) == ("POST", "every")
    assert failure["Error"] == "LocustBadStatusCode(code=500)"
    assert int(failure["Occurrences"]) == failures
    assert read_csv(folder / "out_exceptions.csv") == []
    html = (folder / "out.html").read_text()
    assert "LocustBadStatusCode(code=500)" in html
    assert re.search(rf'"num_requests":\s*{count}\b', html)


def counted(run: Run) -> int:
    """How many requests the summary on the console tells."""
    line = re.search(r"^\s*Aggregated\s+(\d+)\s", run.output, re.MULTILINE)
    assert line is not None, run.output
    assert run.tracebacks == 0, run.output
    return int(line[1])


def test_headless(users: Users, app: Listener, tmp_path: Path) -> None:
    write_locustfile(tmp_path, users)
    run = finish(headless(tmp_path, app, "-u", "4", "-r", "4", until=200))
    assert run.code == 1, run.output  # as there were failures
    assert counted(run) == 200
    check_reports(tmp_path, app, 200)
    module = "locust.contrib.fasthttp" if users is LOCUST else "opscore_fast"
    assert f"client of {module}" in run.output


def test_the_run_time_begins_with_the_run(app: Listener, tmp_path: Path) -> None:
    """However long the imports take: the time that they took was taken off."""
    busy = "import time\nbegun = time.perf_counter()\nwhile time.perf_counter() < begun + 3: pass\n"
    write_locustfile(tmp_path, OURS, busy + LOCUSTFILE)
    run = finish(headless(tmp_path, app, "-u", "2", "-r", "2", "-t", "2s"))
    assert counted(run) > 0


def test_without_failures(app: Listener, tmp_path: Path) -> None:
    write_locustfile(tmp_path, OURS, LOCUSTFILE.replace("/every/2", "/ok"))
    run = finish(headless(tmp_path, app, "-u", "2", "-r", "2", "--json", until=100))
    assert run.code == 0, run.output
    assert app.counts()["answered"] == 100
    entries, _ = json.JSONDecoder().raw_decode(run.output, run.output.index("[\n    {"))
    assert {entry["name"]: entry["num_requests"] for entry in entries} == {"every": 20, "token": 80}
    assert read_csv(tmp_path / "out_failures.csv") == []


def test_nothing_listens(tmp_path: Path, app: Listener) -> None:
    """The run is the same as ever, with one line for the failures."""
    write_locustfile(tmp_path, OURS)
    port = free_port()
    options = ("-u", "2", "-r", "2", "--host", f"http://127.0.0.1:{port}")
    run = finish(headless(tmp_path, app, *options, until=100))
    assert run.code == 1, run.output
    text = f"ConnectionRefused('connection refused by 127.0.0.1:{port}')"
    errors = {row["Name"]: row["Error"] for row in read_csv(tmp_path / "out_failures.csv")}
    assert errors == {"every": text, "token": text}
    assert counted(run) == 100


def test_processes(app: Listener, tmp_path: Path) -> None:
    """Locust's own fork: every process has connections of its own, and all is counted."""
    write_locustfile(tmp_path, OURS)
    options = ("-u", "4", "-r", "4", "--processes", "2")
    port = str(free_port())
    options += ("--master-bind-port", port, "--master-port", port)
    run = finish(headless(tmp_path, app, *options, until=200))
    assert run.code == 1, run.output
    assert counted(run) == 200
    check_reports(tmp_path, app, 200)


def test_master_and_workers(app: Listener, tmp_path: Path) -> None:
    write_locustfile(tmp_path, OURS)
    port = str(free_port())
    master = headless(
        tmp_path,
        app,
        *("-u", "4", "-r", "4", "--master", "--expect-workers", "2"),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", port),
        until=200,
    )
    files = "locustfile.py,ending.py"
    worker = ("-m", "locust", "-f", files, "--worker", "--master-port", port)
    workers = [python(*worker, cwd=tmp_path) for _ in range(2)]
    run = finish(master)
    ended = [finish(process) for process in workers]
    assert run.code == 1, run.output
    assert counted(run) == 200
    check_reports(tmp_path, app, 200)
    assert [worker.tracebacks for worker in ended] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(app: Listener, tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of requests: the figures are printed, and the process ends as Locust's does."""
    text = LOCUSTFILE.replace("/token/{{self.made}}", "/token/x?delay=0.2")
    write_locustfile(tmp_path, OURS, text)
    process = headless(tmp_path, app, "-u", "5", "-r", "5")

    def all_wait() -> bool:
        counts = app.counts()
        return counts["answered"] >= 10 and counts["requests"] == counts["answered"] + 5

    wait_until(all_wait, "requests")  # no user is awake, who would have the KeyboardInterrupt
    process.send_signal(number)
    run = finish(process)
    assert 10 <= counted(run) <= app.counts()["answered"] <= counted(run) + 5
    assert run.code == (1 if app.counts()["statuses"].get("500") else 0), run.output
    wait_until(lambda: app.counts()["open"] == 0)


def test_stopped_while_waiting_for_requests(app: Listener, tmp_path: Path) -> None:
    """A server that never answers can't keep a run from ending."""
    text = LOCUSTFILE.replace("/token/{{self.made}}", "/token/x?delay=600")
    write_locustfile(tmp_path, OURS, text)
    process = headless(tmp_path, app, "-u", "20", "-r", "20", "-t", "2s")
    wait_until(lambda: app.counts()["requests"] >= 20)
    run = finish(process)
    assert run.code == 0, run.output
    assert counted(run) == 0


LISTENER = """
heard = 0

@events.request.add_listener
def on_request(**event):
    global heard
    heard += 1

@events.quitting.add_listener
def on_quitting(environment, **kwargs):
    print("heard", heard, "of", environment.stats.total.num_requests)
"""


def test_listener_in_the_locustfile(app: Listener, tmp_path: Path) -> None:
    write_locustfile(tmp_path, OURS, LOCUSTFILE + LISTENER)
    run = finish(headless(tmp_path, app, "-u", "2", "-r", "2", until=100))
    assert "heard 100 of 100" in run.output, run.output
    check_reports(tmp_path, app, 100)


# python -m opscore_fast


@pytest.mark.parametrize("place", ["locust", "locust.contrib.fasthttp"])
def test_untouched_locustfile(app: Listener, tmp_path: Path, place: str) -> None:
    (tmp_path / "locustfile.py").write_text(UNTOUCHED.format(place=place))
    options = ("-u", "4", "-r", "4")
    run = finish(headless(tmp_path, app, *options, module="opscore_fast", until=200))
    assert run.code == 1, run.output
    assert "client of opscore_fast" in run.output
    assert "client of locust" not in run.output
    said = [line for line in run.output.splitlines() if "opscore_fast: " in line]
    assert len(said) == 1
    assert "FastHttpUser" in said[0]
    assert counted(run) == 200
    check_reports(tmp_path, app, 200)


def test_untouched_locustfile_in_processes(app: Listener, tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(UNTOUCHED.format(place="locust"))
    port = str(free_port())
    options = ("-u", "4", "-r", "4", "--processes", "2")
    options += ("--master-bind-port", port, "--master-port", port)
    run = finish(headless(tmp_path, app, *options, module="opscore_fast", until=200))
    assert run.code == 1, run.output
    assert "client of locust" not in run.output
    assert counted(run) == 200
    check_reports(tmp_path, app, 200)


def test_locusts_own_arguments(tmp_path: Path) -> None:
    """Help and version are Locust's; a wrong argument ends as it does with Locust."""
    for arguments in (["--version"], ["--help"], ["--no-such-option"], ["-f", "nothing.py"]):
        theirs = finish(python("-m", "locust", *arguments, cwd=tmp_path))
        ours = finish(python("-m", "opscore_fast", *arguments, cwd=tmp_path))
        assert ours.code == theirs.code, ours.output
        assert "opscore_fast/" not in ours.output  # as in a traceback
