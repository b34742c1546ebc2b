"""What the C code is built from and with: its sources, flags and system libraries.

``setup.py`` builds the extension with this module, ``tests/test_engine_c.py`` the engine's C test
programs, and ``scripts/system-packages.sh`` asks it which Debian packages are missing. A library is
one line in `LIBRARIES`.

Everything here raises `BuildError`, whose text is one line for the user.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CSRC = Path("csrc")


class BuildError(Exception):
    """The build can't go on; the text says in one line what is wrong and what to do."""


@dataclass(frozen=True)
class Library:
    """A system library: its usual name, its pkg-config module, its Debian package, and the oldest
    version that will do (empty: any)."""

    name: str
    module: str
    package: str
    minimum: str = ""

    @property
    def wanted(self) -> str:
        """What pkg-config is asked for."""
        return f"{self.module} >= {self.minimum}" if self.minimum else self.module


LIBRARIES = (
    Library("OpenSSL", "openssl", "libssl-dev"),
    Library("c-ares", "libcares", "libc-ares-dev"),
    Library("zlib", "zlib", "zlib1g-dev"),
    Library("brotli", "libbrotlidec", "libbrotli-dev"),
    Library("libcurl", "libcurl", "libcurl4-openssl-dev", "7.88"),
    Library("nghttp2", "libnghttp2", "libnghttp2-dev", "1.50"),
    Library("PCRE2", "libpcre2-8", "libpcre2-dev", "10.30"),
)

# Newer distributions have llhttp as a library; in older ones node-llhttp brings its C source.
LLHTTP = Library("llhttp", "libllhttp", "libllhttp-dev")
LLHTTP_SOURCE_PACKAGE = "node-llhttp"
LLHTTP_SOURCE = Path("/usr/share/llhttp")
LLHTTP_HEADERS = Path("/usr/share/include/llhttp")

STANDARD = ("-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-g")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion")


@dataclass
class Flags:
    """Compiler and linker arguments, and foreign C sources to be compiled along."""

    compile: list[str] = field(default_factory=list)
    link: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)


def extension_sources() -> list[Path]:
    """The C files of the extension, relative to `ROOT`, sorted."""
    return _sources(exclude=("tests",))


def engine_sources() -> list[Path]:
    """The C files of the engine alone (no Python), relative to `ROOT`, sorted."""
    return _sources(exclude=("binding", "tests"))


def _sources(exclude: tuple[str, ...]) -> list[Path]:
    found = [path.relative_to(ROOT) for path in (ROOT / CSRC).rglob("*.c")]
    sources = sorted(path for path in found if path.parts[1] not in exclude)
    if not sources:
        raise BuildError(f"no C sources under {ROOT / CSRC}: is this a whole source tree?")
    return sources


def sanitizers() -> str:
    """The value of ``OPSCORE_FAST_SANITIZE``, such as ``address,undefined``; empty for none."""
    return os.environ.get("OPSCORE_FAST_SANITIZE", "").strip()


def optimisation(sanitize: str) -> list[str]:
    """Flags for a release build, or for one under the given sanitizers.

    Python's own flags come before these. Its -DNDEBUG would silence assert and its -fwrapv would
    hide signed overflow, so a sanitized build takes both back.
    """
    if not sanitize:
        return ["-O2"]
    return [
        "-O1",
        "-UNDEBUG",
        "-fno-wrapv",
        "-fno-omit-frame-pointer",
        f"-fsanitize={sanitize}",
        "-fno-sanitize-recover=undefined",
    ]


def werror() -> list[str]:
    """``-Werror`` when ``OPSCORE_FAST_WERROR`` is 1: for us, not for those who install."""
    return ["-Werror"] if os.environ.get("OPSCORE_FAST_WERROR") == "1" else []


def libraries() -> Flags:
    """Flags for every library of `LIBRARIES` and for llhttp."""
    flags = Flags(link=["-Wl,--as-needed"])
    for library in LIBRARIES:
        _add_library(flags, library, library.package)
    if _has_module(LLHTTP.module):
        _add_library(flags, LLHTTP, LLHTTP.package)
    elif _has_llhttp_source():
        flags.compile += ["-isystem", str(LLHTTP_HEADERS)]
        flags.sources += sorted(LLHTTP_SOURCE.glob("*.c"))
    else:
        raise BuildError(
            f"llhttp not found: install the Debian package {LLHTTP.package},"
            f" or {LLHTTP_SOURCE_PACKAGE} where there is none"
        )
    flags.link.append("-lm")
    return flags


def _add_library(flags: Flags, library: Library, package: str) -> None:
    if not _has_module(library.wanted):
        raise BuildError(
            f"{library.name} not found (pkg-config {library.wanted}):"
            f" install the Debian package {package}"
        )
    for argument in _pkg_config("--cflags", library.module):
        # Other people's headers are not held to our warnings.
        flags.compile += ["-isystem", argument[2:]] if argument.startswith("-I") else [argument]
    flags.link += _pkg_config("--libs", library.module)


def _has_llhttp_source() -> bool:
    return (LLHTTP_SOURCE / "llhttp.c").is_file() and (LLHTTP_HEADERS / "llhttp.h").is_file()


def _pkg_config_program() -> str:
    program = os.environ.get("PKG_CONFIG", "pkg-config")
    found = shutil.which(program)
    if found is None:
        raise BuildError(f"{program} not found: install the Debian package pkg-config")
    return found


def _has_module(module: str) -> bool:
    return subprocess.run([_pkg_config_program(), "--exists", module]).returncode == 0


def _pkg_config(what: str, module: str) -> list[str]:
    output = subprocess.run(
        [_pkg_config_program(), what, module], check=True, capture_output=True, text=True
    ).stdout
    return shlex.split(output)


def c_compiler() -> list[str]:
    """The command of the C compiler: ``$CC``, else ``cc``."""
    return shlex.split(os.environ.get("CC") or "cc")


def compile_objects(
    compiler: Sequence[str], sources: Iterable[Path], flags: Sequence[str], build_dir: Path
) -> list[Path]:
    """Compile sources into objects below `build_dir`, in parallel and only what has changed.

    An object is made again when its source, a header that it included or its command has changed.
    Relative sources are taken from `ROOT`. Returns the objects in the order of the sources.
    """
    if shutil.which(compiler[0]) is None:
        raise BuildError(
            f"no C compiler ({compiler[0]}): install the Debian package build-essential"
        )
    # The compiler runs in ROOT, so that its messages and -I are relative to the tree.
    build_dir = build_dir.resolve()

    def make(source: Path) -> Path:
        target = build_dir / str(source.with_suffix(".o")).lstrip("/")
        depfile = target.with_suffix(".d")
        command = [*compiler, *flags, "-MMD", "-MF", str(depfile)]
        command += ["-c", str(source), "-o", str(target)]
        if not _is_current(target, source, command):
            target.parent.mkdir(parents=True, exist_ok=True)
            # Made beside its place and moved there whole: two builds may meet in one tree.
            fresh = target.with_suffix(f".{os.getpid()}.o")
            command[-1] = str(fresh)
            if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode != 0:
                raise BuildError(f"{source} does not compile: the compiler says why above")
            fresh.replace(target)
            command[-1] = str(target)
            target.with_suffix(".cmd").write_text(shlex.join(command))
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(make, sources))


def _is_current(target: Path, source: Path, command: list[str]) -> bool:
    try:
        if target.with_suffix(".cmd").read_text() != shlex.join(command):
            return False
        rule = target.with_suffix(".d").read_text().replace("\\\n", " ")
        needs = [source, *map(Path, shlex.split(rule.partition(":")[2]))]
        made = target.stat().st_mtime
        return all((ROOT / need).stat().st_mtime < made for need in needs)
    except OSError:
        return False


def missing_packages() -> list[str]:
    """The Debian packages without which the extension can't be built by this Python."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    missing = []
    if shutil.which(c_compiler()[0]) is None:
        missing.append("build-essential")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        missing.append(f"{python}-dev")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        missing.append(f"{python}-venv")
    try:
        _pkg_config_program()
    except BuildError:
        # Without it nothing can be said of the libraries; apt passes over those that are there.
        missing += ["pkg-config", *(library.package for library in LIBRARIES)]
        has_llhttp = _has_llhttp_source()
    else:
        missing += [lib.package for lib in LIBRARIES if not _has_module(lib.wanted)]
        has_llhttp = _has_module(LLHTTP.module) or _has_llhttp_source()
    if not has_llhttp:
        missing.append(_llhttp_package())
    return missing


def _llhttp_package() -> str:
    """The library's package where apt knows it: node-llhttp has no source in it there."""
    apt_cache = shutil.which("apt-cache")
    if apt_cache:
        show = [apt_cache, "-q", "show", LLHTTP.package]
        if subprocess.run(show, capture_output=True).returncode == 0:
            return LLHTTP.package
    return LLHTTP_SOURCE_PACKAGE


if __name__ == "__main__":
    print(*missing_packages())
