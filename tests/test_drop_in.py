"""Our classes where a locustfile, a test, a script or a program has Locust's."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
from collections.abc import Collection
from pathlib import Path

import pytest
from conftest import Listen
from helpers import ENDING, distributed, finish, free_port, python, read_csv
from servers import CERTIFICATES, Listener

import opscore_fast
from opscore_fast.replace import NAMES

USERS = """
import json
import os
import locust
import locust.clients
import locust.contrib.fasthttp as f
import locust.user.users
from locust import FastHttpUser, HttpUser
from locust.clients import HttpSession, ResponseContextManager, RestResponseContextManager
from locust.contrib.fasthttp import FastHttpSession, FastRequest, FastResponse
from locust.exception import StopUser
import helper_module

# By the name that --keep takes, every way to get at the class.
CLASSES = {
    "HttpUser": [
        HttpUser, locust.HttpUser, locust.user.HttpUser, locust.user.users.HttpUser,
        helper_module.HttpUser, helper_module.starred["HttpUser"], helper_module.late("HttpUser"),
    ],
    "FastHttpUser": [
        FastHttpUser, locust.FastHttpUser, f.FastHttpUser, locust.contrib.fasthttp.FastHttpUser,
        helper_module.FastHttpUser, helper_module.starred["FastHttpUser"],
        helper_module.late("FastHttpUser"),
    ],
    "HttpSession": [
        HttpSession, locust.clients.HttpSession, locust.user.users.HttpSession,
        helper_module.HttpSession, ResponseContextManager, RestResponseContextManager,
        locust.user.users.RestResponseContextManager,
    ],
    "FastHttpSession": [
        FastHttpSession, f.FastHttpSession, helper_module.FastHttpSession, FastRequest,
        FastResponse, f.ResponseContextManager, f.RestResponseContextManager,
    ],
}

class ByHttp(HttpUser):
    wait_time = locust.constant(0.01)
    made = 0
    session, response, path = HttpSession, ResponseContextManager, "/token/http"

    @locust.task
    def work(self):
        with self.client.get(self.path, catch_response=True) as response:
            if not isinstance(self.client, self.session):
                response.failure(f"a client of {type(self.client)}")
            if not isinstance(response, self.response):
                response.failure(f"a response of {type(response)}")
        self.made += 1
        if self.made == 5:
            raise StopUser

class ByFastHttp(FastHttpUser):
    wait_time = ByHttp.wait_time
    made = 0
    session, response, path = FastHttpSession, f.ResponseContextManager, "/token/fast"
    work = ByHttp.work
    tasks = [work]

@locust.events.init.add_listener
def say(environment, **_):
    for name, classes in CLASSES.items():
        packages = sorted({x.__module__.partition(".")[0] for x in classes})
        # several processes write: at once, on a line of its own
        os.write(1, f"\\nCLASSES {json.dumps({name: packages})}\\n".encode())
"""
"""A locustfile whose users make five requests each, and that tells whose the classes are."""

HELPER = """
from locust.contrib.fasthttp import FastHttpSession
from locust.user.users import HttpUser
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpUser
import importlib

starred = {}
exec("from locust import *", starred)

def late(name):
    return getattr(importlib.import_module("locust"), name)
"""

MADE = {("GET", "/token/http"): 10, ("GET", "/token/fast"): 10}
"""What four of these users ask for."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the locustfile and the module that it imports."""
    (tmp_path / "locustfile.py").write_text(USERS)
    (tmp_path / "helper_module.py").write_text(HELPER)
    (tmp_path / "ending.py").write_text(ENDING)
    return tmp_path


def start(
    folder: Path, app: Listener, *options: str, module: str = "opscore_fast"
) -> subprocess.Popen[str]:
    """Start a headless run of the folder's locustfile.py with four users."""
    command = ["-m", module, "-f", "locustfile.py,ending.py", "--headless", "--host", app.url]
    command += ["-u", "4", "-r", "4", "--csv", "out", "--only-summary", *options]
    return python(*command, cwd=folder, UNTIL=f"count() >= {sum(MADE.values())}")


def whose(output: str) -> dict[str, list[str]]:
    """What the locustfile says: by class name, the packages that it got it from."""
    said = [line.partition(" ")[2] for line in output.splitlines() if line.startswith("CLASSES ")]
    found: dict[str, list[str]] = {}
    for line in said:
        for name, packages in json.loads(line).items():
            assert found.setdefault(name, packages) == packages, output
    assert set(found) == set(NAMES), output
    return found


def expected(*kept: str) -> dict[str, list[str]]:
    return {name: ["locust" if name in kept else "opscore_fast"] for name in NAMES}


def check_counts(folder: Path, app: Listener, failing: Collection[str] = ()) -> None:
    """Every request has been made and counted once, and those to these paths alone failed."""
    rows = {(row["Type"], row["Name"]): row for row in read_csv(folder / "out_stats.csv")}
    del rows["", "Aggregated"]
    assert {key: int(row["Request Count"]) for key, row in rows.items()} == MADE
    failures = {path: int(row["Failure Count"]) for (_, path), row in rows.items()}
    assert failures == {path: 10 if path in failing else 0 for path in failures}, read_csv(
        folder / "out_failures.csv"
    )
    assert app.counts()["targets"] == {" ".join(key): count for key, count in MADE.items()}


def agents(app: Listener) -> dict[str, set[str]]:
    """By path: the first words of the User-Agents that asked for it."""
    found: dict[str, set[str]] = {}
    for request in app.requests():
        headers = {name.lower(): value for name, value in request["headers"]}
        agent = headers.get("user-agent", "").partition("/")[0]
        found.setdefault(request["target"], set()).add(agent)
    return found


def told(output: str) -> list[str]:
    """Our own lines."""
    return [line for line in output.splitlines() if line.startswith("opscore_fast: ")]


# ---- python -m opscore_fast


def test_every_class_by_every_import(folder: Path, app: Listener) -> None:
    run = finish(start(folder, app))
    assert run.code == 0, run.output
    assert whose(run.output) == expected()
    check_counts(folder, app)
    assert told(run.output) == [f"opscore_fast: locust's {', '.join(NAMES)} are opscore_fast's"]


def test_locust_alone(folder: Path, app: Listener) -> None:
    """The locustfile of these tests tells the difference."""
    run = finish(start(folder, app, module="locust"))
    assert run.code == 0, run.output
    assert whose(run.output) == expected(*NAMES)
    check_counts(folder, app)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--keep", "HttpUser"], ["HttpSession", "HttpUser"]),
        (["--keep=FastHttpUser"], ["FastHttpSession", "FastHttpUser"]),
        (["--keep", "HttpSession"], ["HttpSession"]),
        (["--keep=FastHttpSession"], ["FastHttpSession"]),
        (["--keep", "HttpUser, FastHttpSession,"], ["FastHttpSession", "HttpSession", "HttpUser"]),
        (["--keep=HttpUser", "--keep", "FastHttpUser"], sorted(NAMES)),
    ],
    ids=" ".join,
)
def test_keep(folder: Path, app: Listener, options: list[str], kept: list[str]) -> None:
    run = finish(start(folder, app, *options))
    assert whose(run.output) == expected(*kept)
    replaced = [name for name in NAMES if name not in kept]
    said = f"locust's {', '.join(replaced)} are opscore_fast's" if replaced else "idle"
    assert told(run.output) == [f"opscore_fast: {said}; {', '.join(kept)} kept"]
    # Users have the session of their own kind: it is no other that the locustfile imports.
    strange = {"HttpSession": "/token/http", "FastHttpSession": "/token/fast"}
    alone = [
        name for name in strange if name in kept and name.replace("Session", "User") not in kept
    ]
    check_counts(folder, app, failing=[strange[name] for name in alone])
    assert ("opscore-fast" in agents(app)["/token/http"]) == ("HttpUser" not in kept)
    assert ("opscore-fast" in agents(app)["/token/fast"]) == ("FastHttpUser" not in kept)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--keep", "Nobody"], "there is no Nobody to keep, only " + ", ".join(NAMES)),
        (["--keep=HttpUser,User"], "there is no User to keep, only " + ", ".join(NAMES)),
        (["--keep"], "--keep wants the name of a class, such as --keep HttpUser"),
        (["--keep="], "--keep wants the name of a class, such as --keep HttpUser"),
        (["--keep", ","], "--keep wants the name of a class, such as --keep HttpUser"),
        (["--keep", "--headless"], "--keep wants the name of a class, such as --keep HttpUser"),
    ],
)
def test_keep_of_what_is_not_there(folder: Path, options: list[str], wrong: str) -> None:
    run = finish(python("-m", "opscore_fast", "-f", "locustfile.py", *options, cwd=folder))
    assert run.code == 1
    assert run.output == f"opscore_fast: {wrong}\n"


def test_keep_is_in_the_help(tmp_path: Path) -> None:
    run = finish(python("-m", "opscore_fast", "--help", cwd=tmp_path))
    assert run.code == 0
    assert "--keep CLASS" in run.output
    assert "--headless" in run.output


@pytest.mark.parametrize("kept", [(), ("FastHttpSession", "FastHttpUser")], ids=len)
def test_processes(folder: Path, app: Listener, kept: tuple[str, ...]) -> None:
    options = ["--keep=FastHttpUser"] if kept else []
    run = finish(start(folder, app, "--processes", "2", *distributed(), *options))
    assert run.code == 0, run.output
    assert whose(run.output) == expected(*kept)
    check_counts(folder, app)
    assert agents(app)["/token/http"] == {"opscore-fast"}
    assert ("opscore-fast" in agents(app)["/token/fast"]) == (not kept)


@pytest.mark.parametrize("master", ["opscore_fast", "locust"])
def test_master_and_workers(folder: Path, app: Listener, master: str) -> None:
    """Workers get the locustfile from the master; whose classes they have is their own matter."""
    bound = distributed()
    main = start(folder, app, "--master", "--expect-workers", "2", *bound[:4], module=master)
    command = ("-m", "opscore_fast", "-f", "-", "--worker", *bound[4:])
    workers = []
    for name, options in (("first", ()), ("second", ("--keep", "HttpUser"))):
        elsewhere = folder / name
        elsewhere.mkdir()
        (elsewhere / "helper_module.py").write_text(HELPER)
        # Locust writes what it gets into the folder for temporary files, by the master's names.
        workers.append(python(*command, *options, cwd=elsewhere, TMPDIR=str(elsewhere)))
    run = finish(main)
    first, second = (finish(worker) for worker in workers)
    assert (run.code, first.code, second.code) == (0, 0, 0), run.output + first.output
    assert whose(run.output) == expected(*(NAMES if master == "locust" else ()))
    assert whose(first.output) == expected()
    assert whose(second.output) == expected("HttpSession", "HttpUser")
    check_counts(folder, app)
    assert agents(app)["/token/fast"] == {"opscore-fast"}
    assert (folder / "first" / "locustfile.py").exists()


# ---- locust with a changed import


def test_changed_import(folder: Path, app: Listener) -> None:
    text = USERS.replace("from locust import FastHttpUser, HttpUser", "from opscore_fast import *")
    text = text.replace("from locust.clients", "from opscore_fast.clients")
    text = text.replace("from locust.contrib.fasthttp", "from opscore_fast.contrib.fasthttp")
    text = text.replace("as f\n", "\nimport opscore_fast.contrib.fasthttp as f\n")
    (folder / "locustfile.py").write_text(text)
    run = finish(start(folder, app, module="locust"))
    assert run.code == 0, run.output
    check_counts(folder, app)
    assert set().union(*agents(app).values()) == {"opscore-fast"}


# ---- pytest style locustfiles

PYTEST_STYLE = """
from locust.clients import HttpSession, ResponseContextManager
from locust.contrib.fasthttp import FastHttpSession, LocustBadStatusCode
from locust.exception import CatchResponseError
from requests.exceptions import HTTPError
import collections
import pytest
import time

rounds = collections.Counter()

def work(session):
    rounds[type(session)] += 1
    if rounds[type(session)] == 4:
        time.sleep(60)  # that was all, for Locust
    with session.get("/token/a", catch_response=True) as response:
        if response.text != "b":
            response.failure("not the text")
    with pytest.raises(CatchResponseError, match="not the text"):
        response.raise_for_status()
    response = session.post("/token/b", json={"a": 1})
    response.raise_for_status()
    time.sleep(0.05)
    # What is raised fails a test, and begins the next round of a user.
    session.get("/status/404").raise_for_status()
    session.get("/never")

@pytest.mark.xfail(strict=True, raises=HTTPError)
def test_session(session: HttpSession):
    assert isinstance(session, HttpSession)
    assert isinstance(session.get("/ok"), ResponseContextManager)
    work(session)

@pytest.mark.xfail(strict=True, raises=LocustBadStatusCode)
def test_fastsession(fastsession: FastHttpSession):
    assert isinstance(fastsession, FastHttpSession)
    assert fastsession.get("/ok").text == "ok"
    work(fastsession)
"""
"""Two tests whose failure at last is expected, or two users of three rounds."""

PLUGIN = "opscore_fast.pytest_plugin"


def all_agents(app: Listener) -> set[str]:
    return set().union(*agents(app).values())


@pytest.mark.parametrize("way", ["option", "ini", "conftest", "import", "none"])
def test_pytest(app: Listener, tmp_path: Path, way: str) -> None:
    text = f"import {PLUGIN}\n" + PYTEST_STYLE if way == "import" else PYTEST_STYLE
    (tmp_path / "test_pytest_style.py").write_text(text)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\n" + (f"addopts = -p {PLUGIN}\n" if way == "ini" else "")
    )
    if way == "conftest":
        (tmp_path / "conftest.py").write_text(f"pytest_plugins = ['{PLUGIN}']\n")
    options = ["-p", PLUGIN] if way == "option" else []
    command = ("-m", "pytest", "-p", "no:cacheprovider", *options, "--host", app.url)
    run = finish(python(*command, cwd=tmp_path))
    assert run.code == 0, run.output
    assert "= 2 xfailed" in run.output
    assert "MonkeyPatchWarning" not in run.output
    assert app.counts()["targets"] == {
        "GET /ok": 2,
        "GET /token/a": 2,
        "POST /token/b": 2,
        "GET /status/404": 2,
    }
    assert ("opscore-fast" in all_agents(app)) == (way != "none")
    assert (len(all_agents(app)) == 1) == (way != "none")
    if way not in ("none", "import"):
        [said] = told(run.output)
        assert said == f"opscore_fast: locust's {', '.join(NAMES)} are opscore_fast's"


@pytest.mark.parametrize("way", ["module", "import", "none"])
def test_pytest_style_locustfile(app: Listener, tmp_path: Path, way: str) -> None:
    """Locust's own plug-in gives its fixtures our classes."""
    text = f"import {PLUGIN}\n" + PYTEST_STYLE if way == "import" else PYTEST_STYLE
    (tmp_path / "test_pytest_style.py").write_text(text)
    (tmp_path / "ending.py").write_text(ENDING)
    command = ["-m", "opscore_fast" if way == "module" else "locust"]
    command += ["-f", "test_pytest_style.py,ending.py", "--csv", "out", "--only-summary"]
    command += ["--headless", "--host", app.url, "-u", "2", "-r", "2"]
    run = finish(python(*command, cwd=tmp_path, UNTIL="count() >= 26"))
    assert run.code == 1, run.output
    assert run.tracebacks == 0, run.output
    counts = {
        (row["Type"], row["Name"]): (int(row["Request Count"]), int(row["Failure Count"]))
        for row in read_csv(tmp_path / "out_stats.csv")
        if row["Type"]
    }
    assert counts == {
        ("GET", "/ok"): (8, 0),
        ("GET", "/token/a"): (6, 6),
        ("POST", "/token/b"): (6, 0),
        ("GET", "/status/404"): (6, 6),
    }
    failures = {(row["Name"], row["Error"]) for row in read_csv(tmp_path / "out_failures.csv")}
    assert failures == {
        ("/token/a", "CatchResponseError('not the text')"),
        ("/status/404", "HTTPError('404 Client Error: Not Found for url: /status/404')"),
        ("/status/404", "LocustBadStatusCode(code=404)"),
    }
    served = app.counts()["targets"]
    assert {(*key.split(" "),): count for key, count in served.items()} == {
        key: count for key, (count, _) in counts.items()
    }
    assert ("opscore-fast" in all_agents(app)) == (way != "none")
    assert (len(all_agents(app)) == 1) == (way != "none")


# ---- scripts and programs

SINGLE = """
{first}
from {module} import FastHttpUser, HttpUser
from locust import run_single_user, task
from locust.exception import StopUser

class Debugged({base}):
    host = "{url}"
    made = 0

    @task
    def work(self):
        self.client.post("/echo", json={{"a": 1}}, context={{"of": "one"}})
        self.client.get("/status/404", name="missing")
        with self.client.get("/ok", catch_response=True) as response:
            response.failure("not good enough")
        self.made += 1
        if self.made == 2:
            raise StopUser

if __name__ == "__main__":
    run_single_user(
        Debugged, include_length=True, include_context=True, include_payload={payload}
    )
    print(Debugged.mro()[1].__module__.partition(".")[0])
"""


@pytest.mark.parametrize(("base", "payload"), [("HttpUser", False), ("FastHttpUser", True)])
def test_run_single_user(app: Listener, tmp_path: Path, base: str, payload: bool) -> None:
    """Prints the same with Locust's class, with ours, and with a class that was replaced."""
    replace = "import opscore_fast.replace; opscore_fast.replace.replace_classes()"
    seen = []
    for first, module in (("", "locust"), ("", "opscore_fast"), (replace, "locust")):
        app.clear()
        script = SINGLE.format(first=first, module=module, base=base, payload=payload, url=app.url)
        (tmp_path / "script.py").write_text(script)
        run = finish(python("script.py", cwd=tmp_path))
        assert run.code == 0, run.output
        *lines, owner = run.output.strip().splitlines()
        assert (owner == "locust") == (module == "locust" and not first)
        table = [line.split("\t") for line in lines]
        assert [len(row) > 4 for row in table] == [True] * 7, run.output
        for row in table:
            del row[2]  # the response time
        echo = table[1]
        assert int(echo.pop(2)) > 0, table  # its length varies with the headers
        del table[4][2]
        seen.append((table, app.counts()["targets"]))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][1] == {"POST /echo": 2, "GET /status/404": 2, "GET /ok": 2}
    assert ('{"a": 1}' in seen[0][0][1]) == payload


AS_LIBRARY = """
{first}
from {module} import FastHttpUser, HttpUser
from locust import events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.log import setup_logging
from locust.stats import stats_history, stats_printer
import gevent
import locust.stats

setup_logging("INFO")
locust.stats.HISTORY_STATS_INTERVAL_SEC = locust.stats.CONSOLE_STATS_INTERVAL_SEC = 0.2

class Work:
    host = "{url}"
    made = 0

    def work(self):
        self.client.get("/every/2", name=type(self).__name__)
        self.made += 1
        if self.made == 10:
            raise StopUser

class Slow(Work, HttpUser):
    tasks = [Work.work]

class Fast(Work, FastHttpUser):
    tasks = [Work.work]

env = Environment(user_classes=[Slow, Fast], events=events)
runner = env.create_local_runner()
web_ui = env.create_web_ui("127.0.0.1", {port})
env.events.init.fire(environment=env, runner=runner, web_ui=web_ui)
gevent.spawn(stats_printer(env.stats))
gevent.spawn(stats_history, env.runner)
runner.start(4, spawn_rate=10)
with gevent.Timeout(100):
    while env.stats.total.num_requests < 40 or runner.user_count:
        gevent.sleep(0.05)
    while not env.stats.history or env.stats.history[-1]["user_count"][1]:
        gevent.sleep(0.05)
gevent.sleep(0.5)  # for the printer's turn

import json, urllib.request
page = json.load(urllib.request.urlopen("http://127.0.0.1:{port}/stats/requests"))
gevent.spawn_later(0.1, runner.quit)
runner.greenlet.join()
web_ui.stop()
print("RESULT", json.dumps({{
    "page": {{x["name"]: [x["num_requests"], x["num_failures"]] for x in page["stats"]}},
    "errors": [[x["name"], x["error"], x["occurrences"]] for x in page["errors"]],
    "total": [env.stats.total.num_requests, env.stats.total.num_failures],
    "history": bool(env.stats.history),
    "owners": sorted({{x.__module__.partition(".")[0] for x in (HttpUser, FastHttpUser)}}),
}}))
"""


@pytest.mark.parametrize("way", ["import", "replaced", "locust"])
def test_as_a_library(app: Listener, tmp_path: Path, way: str) -> None:
    """As in Locust's examples/use_as_lib.py, with its web interface."""
    first = "from opscore_fast.replace import replace_classes; replace_classes()"
    script = AS_LIBRARY.format(
        first=first if way == "replaced" else "",
        module="opscore_fast" if way == "import" else "locust",
        url=app.url,
        port=free_port(),
    )
    (tmp_path / "program.py").write_text(script)
    run = finish(python("program.py", cwd=tmp_path))
    assert run.code == 0, run.output
    assert "Traceback" not in run.output
    [line] = [line for line in run.output.splitlines() if line.startswith("RESULT ")]
    result = json.loads(line.partition(" ")[2])
    assert result["owners"] == ["locust" if way == "locust" else "opscore_fast"]
    assert result["page"].pop("Aggregated") == result["total"] == [40, 20]
    assert {name: count for name, (count, _) in result["page"].items()} == {"Slow": 20, "Fast": 20}
    assert sum(occurrences for *_, occurrences in result["errors"]) == 20
    assert result["history"]
    assert re.search(r"^GET +Fast +20 ", run.output, re.MULTILINE), run.output
    assert app.counts()["statuses"] == {"200": 20, "500": 20}


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(opscore_fast.__path__, "opscore_fast.")
    # The stand-in runs without Locust, and so on the standard library as it is.
    if not module.name.startswith("opscore_fast.standin")
)

IMPORT_FIRST = """
import importlib, sys
importlib.import_module(sys.argv[1])
import locust, ssl, requests
from gevent import monkey
assert monkey.is_module_patched("ssl")
url, authority = sys.argv[2:]
assert requests.get(url, verify=authority).text == "ok"

from locust.env import Environment
from opscore_fast import FastHttpUser, HttpUser

class Http(HttpUser):
    host = url

class Fast(FastHttpUser):
    host, insecure, ca_bundle = url, False, authority

environment = Environment(user_classes=[Http, Fast])
assert Http(environment).client.get("", verify=authority).text == "ok"
assert Fast(environment).client.get("").text == "ok"
"""


@pytest.mark.parametrize("module", ["opscore_fast", *MODULES])
def test_any_module_first(listen: Listen, tmp_path: Path, module: str) -> None:
    """Whichever comes first, the standard library is patched in time."""
    app = listen(certificate="localhost.pem")
    url = f"https://localhost:{app.port}/ok"
    command = ("-W", "always", "-c", IMPORT_FIRST, module, url, CERTIFICATES / "authority.pem")
    run = finish(python(*command, cwd=tmp_path))
    assert run.code == 0, run.output
    assert "MonkeyPatchWarning" not in run.output
    assert app.counts()["targets"] == {"GET /ok": 3}
