"""Builds the C test programs (csrc/tests/test_*.c) under ASan and UBSan and runs each of them.

``OPSCORE_FAST_SANITIZE=thread`` in the environment takes the thread sanitizer in their place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import buildtools  # noqa: E402

C_TESTS = ROOT / "csrc" / "tests"
SANITIZE = buildtools.sanitizers() or "address,undefined"
BUILD = ROOT / "build" / "-".join(["ctests", *SANITIZE.split(",")])
PROGRAMS = sorted(path.stem for path in C_TESTS.glob("test_*.c"))


@dataclass
class Engine:
    """How a test program is compiled and what it is linked with."""

    compiler: list[str]
    flags: list[str]
    objects: list[Path]
    libraries: list[str]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine and what the programs share as objects; only what has changed is compiled."""
    compiler = buildtools.c_compiler()
    libraries = buildtools.libraries()
    common = [*buildtools.STANDARD, *buildtools.optimisation(SANITIZE)]
    flags = [
        *common,
        "-DOPF_FAULTS",
        *buildtools.WARNINGS,
        "-Werror",
        "-I",
        "csrc",
        "-I",
        "csrc/tests",
    ]
    flags += libraries.compile
    shared = [path.relative_to(ROOT) for path in C_TESTS.glob("*.c") if path.stem not in PROGRAMS]
    objects = buildtools.compile_objects(
        compiler, buildtools.engine_sources() + sorted(shared), flags, BUILD
    )
    objects += buildtools.compile_objects(
        compiler, libraries.sources, common + libraries.compile, BUILD
    )
    return Engine(compiler, flags, objects, libraries.link)


@pytest.mark.parametrize("name", PROGRAMS)
def test_c(engine: Engine, name: str) -> None:
    source = (C_TESTS / f"{name}.c").relative_to(ROOT)
    [main] = buildtools.compile_objects(engine.compiler, [source], engine.flags, BUILD)
    program = main.with_suffix("")
    command = [*engine.compiler, f"-fsanitize={SANITIZE}", "-pthread", str(main)]
    command += [*map(str, engine.objects), "-o", str(program), *engine.libraries]
    subprocess.run(command, check=True)

    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    environment["ASAN_OPTIONS"] = "detect_leaks=1:strict_string_checks=1"
    environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
    run = subprocess.run(
        [program],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=120,
    )
    assert run.returncode == 0, f"{name} ended with {run.returncode}:\n{run.stdout}"
