"""The scripts behind the Makefile: what they say, in one line, when something is missing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import free_port

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(sys.prefix)


def run(
    command: str, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / command, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "VENV": str(VENV), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
    )


def stub(folder: Path, name: str, script: str) -> str:
    """Put a program in front of the real one; returns the PATH."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


# ---- the demo


def test_demo_refuses_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = run("scripts/demo.sh", PORT=str(port))
    assert demo.returncode == 1
    assert demo.stdout == ""
    assert demo.stderr == f"opscore_fast: port {port} is in use: call make demo PORT=...\n"


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1"])
def test_demo_refuses_what_is_no_port(port: str) -> None:
    demo = run("scripts/demo.sh", PORT=port or " ")
    assert demo.returncode == 1
    assert demo.stderr == (
        f"opscore_fast: PORT is '{port or ' '}', which is no port number (1 to 65535)\n"
    )


LOCUSTFILE = """
from locust import constant, task
from opscore_fast import FastHttpUser

class Short(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def ask(self):
        self.client.get("{path}")
"""


@pytest.mark.parametrize(
    ("path", "code", "last_words"),
    [("/health", 0, "none failed."), ("/nowhere", 1, "requests failed: see the table above")],
)
def test_demo_ends_by_what_the_requests_did(
    tmp_path: Path, path: str, code: int, last_words: str
) -> None:
    port = free_port()
    locustfile = tmp_path / "short.py"
    locustfile.write_text(LOCUSTFILE.format(path=path))
    out = tmp_path / "demo"
    demo = run(
        *("scripts/demo.sh", "-f", locustfile, "-u", "2", "-t", "2s"), PORT=str(port), OUT=str(out)
    )
    words = (demo.stdout if code == 0 else demo.stderr).splitlines()
    assert demo.returncode == code, demo.stdout + demo.stderr
    assert words[-1].endswith(last_words)
    assert "Aggregated" in demo.stdout + demo.stderr
    for report in (out / "report.html", out / "scenario_1_stats.csv"):
        assert str(report) in demo.stdout
        assert report.is_file()
    with socket.socket() as probe:
        # The stand-in is gone, whatever happened.
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("switches", ["TLS", "HTTP2", "NATIVE", "HTTP2 TLS NATIVE"])
def test_demo_by_other_ways(tmp_path: Path, switches: str) -> None:
    settings = {"OPSCORE_USERS": "5", "OPSCORE_DURATION": "3", "PORT": str(free_port())}
    chosen = dict.fromkeys(switches.split(), "1")
    demo = run("scripts/demo.sh", OUT=str(tmp_path / "demo"), **settings, **chosen)
    said = demo.stdout
    assert demo.returncode == 0, said + demo.stderr
    scheme = "https" if "TLS" in chosen else "http"
    assert said.startswith(f"Stand-in service at {scheme}://127.0.0.1:{settings['PORT']}, ")
    name = "POST     /v1/opscore/internal/agent/notify"
    assert f"{name}{' [HTTP/2]' if 'HTTP2' in chosen else '  '}" in said
    assert ("requests by HTTP/2.\n" in said) == ("HTTP2" in chosen)
    assert ("natively: 1 task, 1 request\n" in said) == ("NATIVE" in chosen)


def test_demo_refuses_what_is_no_switch() -> None:
    demo = run("scripts/demo.sh", PORT=str(free_port()), HTTP2="yes")
    assert (demo.returncode, demo.stdout) == (1, "")
    assert demo.stderr == "opscore_fast: HTTP2 is 'yes': use 1, or leave it out\n"


# ---- what it takes


def test_system_packages_says_nothing_when_all_is_there() -> None:
    packages = run("scripts/system-packages.sh", "build")
    assert (packages.returncode, packages.stdout, packages.stderr) == (0, "", "")


def test_without_root_the_one_command_is_printed(tmp_path: Path) -> None:
    path = stub(tmp_path, "id", "echo 1000")
    packages = run("scripts/system-packages.sh", "build", PATH=path, CC="no-such-cc")
    assert packages.returncode == 1
    assert packages.stdout == ""
    assert packages.stderr == (
        "opscore_fast: system packages are missing, please run:"
        " sudo apt-get install -y build-essential\n"
    )


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("nginx", "nginx-light"),
        ("nghttp", "nghttp2-client"),
        ("nghttpd", "nghttp2-server"),
        ("nghttpx", "nghttp2-proxy"),
        ("node", "nodejs"),
        ("curl", "curl"),
    ],
)
def test_what_only_tests_need_is_named_too(tmp_path: Path, tool: str, package: str) -> None:
    path = stub(tmp_path, "id", "echo 1000")
    # The script's own way to look for a program, blind for this one.
    blind = f'() {{ [ "$2" != {tool} ] && builtin command "$@"; }}'
    packages = run(
        "scripts/system-packages.sh", "test", PATH=path, **{"BASH_FUNC_command%%": blind}
    )
    assert packages.returncode == 1
    assert packages.stderr == (
        "opscore_fast: system packages are missing, please run:"
        f" sudo apt-get install -y {package}\n"
    )


def test_apt_without_network_is_one_line(tmp_path: Path) -> None:
    stub(tmp_path, "id", "echo 0")
    path = stub(tmp_path, "apt-get", "echo 'E: Failed to fetch'; exit 100")
    packages = run("scripts/system-packages.sh", "build", PATH=path, CC="no-such-cc")
    assert packages.returncode == 1
    assert packages.stderr == (
        "opscore_fast: apt-get update failed (no network?): see build/apt.log\n"
    )
    assert "Failed to fetch" in (ROOT / "build/apt.log").read_text()


def test_pip_without_network_is_one_line(tmp_path: Path) -> None:
    pip = run(
        "scripts/pip-install.sh",
        sys.executable,
        "--target",
        tmp_path,
        "opscore-fast-no-such-package",
        PIP_INDEX_URL=f"http://127.0.0.1:{free_port()}/simple",
        PIP_EXTRA_INDEX_URL="",
    )
    assert pip.returncode == 1
    assert pip.stdout == ""
    assert pip.stderr == (
        "opscore_fast: pip can't reach the package index (no network?): see build/pip.log\n"
    )


def test_an_old_python_is_one_line(tmp_path: Path) -> None:
    stub(tmp_path, "python3.9", "echo 3.9")
    old = str(tmp_path / "python3.9")
    check = run("scripts/check-python.sh", PYTHON=old)
    assert check.returncode == 1
    assert check.stderr == (
        f"opscore_fast: Python 3.11 or newer is needed, '{old}' is 3.9:"
        " call make PYTHON=python3.12 or the like\n"
    )


def test_no_python_is_one_line() -> None:
    check = run("scripts/check-python.sh", PYTHON="no-such-python")
    assert check.returncode == 1
    assert check.stderr == (
        "opscore_fast: no Python found as 'no-such-python':"
        " install python3, or call make PYTHON=...\n"
    )
