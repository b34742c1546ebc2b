"""The package as others get it: sdist, wheel, and builds that lack something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import buildtools  # noqa: E402

SHIPPED = ("opscore_fast", "csrc", "tests", "scripts", "locustfiles", "benchmarks")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
    )


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree, without what was built in it."""
    copy = tmp_path_factory.mktemp("tree") / "opscore_fast"
    copy.mkdir()
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, copy)
        elif path.name in SHIPPED:
            shutil.copytree(path, copy / path.name, ignore=ignore)
    return copy


@pytest.fixture(scope="session")
def sdist(tree: Path) -> Path:
    build = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    made = run(sys.executable, "-c", build, cwd=tree)
    assert made.returncode == 0, made.stderr
    [archive] = (tree / "dist").glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def wheel(sdist: Path) -> Path:
    made = pip_wheel(sdist, sdist.parent)
    assert made.returncode == 0, made.stdout + made.stderr
    [archive] = sdist.parent.glob("*.whl")
    return archive


def pip_wheel(source: Path, target: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    pip = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps")
    return run(*pip, "-w", target, source, cwd=target, **environment)


def test_sdist_has_everything_to_build_and_test(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/**/*.[ch]")}
    assert sources <= names
    others = {"buildtools.py", "Makefile", "LICENSE", "tests/test_package.py", "scripts/demo.sh"}
    assert others <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", ".o"))]


def test_wheel_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
    assert {name.partition("/")[0] for name in names} == {
        "opscore_fast",
        metadata.partition("/")[0],
    }
    assert "opscore_fast/py.typed" in names
    assert "opscore_fast/_core.pyi" in names
    assert [name for name in names if name.startswith("opscore_fast/_core.cpython-")]
    for module in ROOT.glob("opscore_fast/**/*.py"):
        assert module.relative_to(ROOT).as_posix() in names
    assert "License-Expression: MIT" in text
    assert "Requires-Python: >=3.11" in text


def test_installed_wheel_needs_no_compiler(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    no_programs = tmp_path / "bin"
    no_programs.mkdir()
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target)
    installed = run(*pip, wheel, cwd=tmp_path, PATH=str(no_programs))
    assert installed.returncode == 0, installed.stderr
    show = "import opscore_fast._core as core; print(core.__file__)"
    shown = run(
        sys.executable, "-c", show, cwd=tmp_path, PATH=str(no_programs), PYTHONPATH=str(target)
    )
    assert shown.returncode == 0, shown.stderr
    assert Path(shown.stdout.strip()).parent == target / "opscore_fast"


def build_ext(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    built = run(sys.executable, "setup.py", "-q", "build_ext", cwd=tree, **environment)
    assert built.returncode == 1
    return built


def pkg_config_dir(folder: Path, without: buildtools.Library) -> Path:
    """A folder in which pkg-config finds every library but one."""
    folder.mkdir()
    for library in buildtools.LIBRARIES:
        if library is not without:
            version = library.minimum or "1"
            text = f"Name: {library.name}\nDescription: {library.name}\nVersion: {version}\n"
            (folder / f"{library.module}.pc").write_text(text)
    return folder


@pytest.mark.parametrize("library", buildtools.LIBRARIES, ids=lambda library: library.module)
def test_missing_library_is_one_line(
    tree: Path, tmp_path: Path, library: buildtools.Library
) -> None:
    libdir = pkg_config_dir(tmp_path / "pc", without=library)
    built = build_ext(tree, PKG_CONFIG_LIBDIR=str(libdir), PKG_CONFIG_PATH="")
    assert built.stderr == (
        f"opscore_fast: {library.name} not found (pkg-config {library.wanted}):"
        f" install the Debian package {library.package}\n"
    )


def test_missing_llhttp_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buildtools, "LLHTTP_SOURCE", tmp_path)
    libdir = pkg_config_dir(tmp_path / "pc", without=buildtools.LLHTTP)
    monkeypatch.setenv("PKG_CONFIG_LIBDIR", str(libdir))
    monkeypatch.setenv("PKG_CONFIG_PATH", "")
    with pytest.raises(buildtools.BuildError) as raised:
        buildtools.libraries()
    assert str(raised.value) == (
        "llhttp not found: install the Debian package libllhttp-dev,"
        " or node-llhttp where there is none"
    )
    assert buildtools.missing_packages()[-1] in ("libllhttp-dev", "node-llhttp")


def test_pip_shows_the_line_and_no_traceback(tree: Path, tmp_path: Path) -> None:
    empty = tmp_path / "pc"
    empty.mkdir()
    built = pip_wheel(tree, tmp_path, PKG_CONFIG_LIBDIR=str(empty), PKG_CONFIG_PATH="")
    assert built.returncode != 0
    output = built.stdout + built.stderr
    assert output.count("opscore_fast: OpenSSL not found") == 1
    assert "Traceback" not in output


def test_missing_pkg_config_is_one_line(tree: Path, tmp_path: Path) -> None:
    built = build_ext(tree, PATH=str(tmp_path))
    assert built.stderr == (
        "opscore_fast: pkg-config not found: install the Debian package pkg-config\n"
    )


def test_missing_compiler_is_one_line(tree: Path) -> None:
    built = build_ext(tree, CC="no-such-cc")
    assert built.stderr == (
        "opscore_fast: no C compiler (no-such-cc): install the Debian package build-essential\n"
    )


def test_broken_source_names_the_file(tree: Path, tmp_path: Path) -> None:
    broken = tmp_path / "tree"
    shutil.copytree(tree, broken)
    source = buildtools.extension_sources()[0]
    (broken / source).write_text("this is no C\n")
    built = build_ext(broken)
    assert f"{source}:1:1: error: " in built.stderr
    last = built.stderr.splitlines()[-1]
    assert last == f"opscore_fast: {source} does not compile: the compiler says why above"
