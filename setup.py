"""Builds ``opscore_fast._core``; everything else about the package is in pyproject.toml."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).resolve().parent))
import buildtools
from buildtools import BuildError


def greenlet_include() -> str:
    """The folder of greenlet.h, which the greenlet package brings along."""
    spec = importlib.util.find_spec("greenlet")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "greenlet.h").is_file():
            return folder
    raise BuildError("greenlet.h not found: pip install greenlet, or build with build isolation")


class BuildCore(build_ext):
    """Compiles the objects with `buildtools`, then lets setuptools link them."""

    def build_extension(self, ext: Extension) -> None:
        try:
            ext.extra_objects = [str(path) for path in self.compile_core(ext)]
        except BuildError as error:
            sys.exit(f"opscore_fast: {error}")
        ext.sources = []
        ext.depends = ext.extra_objects
        super().build_extension(ext)

    def compile_core(self, ext: Extension) -> list[Path]:
        include = sysconfig.get_path("include")
        if not (Path(include) / "Python.h").is_file():
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise BuildError(f"Python.h not found: install the Debian package python{version}-dev")
        sanitize = buildtools.sanitizers()
        libraries = buildtools.libraries()
        common = [*buildtools.STANDARD, *buildtools.optimisation(sanitize)]
        if "address" in sanitize:
            # greenlet copies pieces of the stack away and back, past any red zones on it.
            common += ["--param", "asan-stack=0"]
        ours = [*common, *buildtools.WARNINGS, *buildtools.werror(), "-I", str(buildtools.CSRC)]
        ours += ["-isystem", include, "-isystem", greenlet_include(), *libraries.compile]

        ext.extra_link_args = list(libraries.link)
        if sanitize:
            ext.extra_link_args.append(f"-fsanitize={sanitize}")

        # Not self.build_temp: an editable install makes and removes one of its own each time.
        objects_dir = buildtools.ROOT / "build" / self.objects_name(sanitize)

        def compiled(sources: list[Path], flags: list[str]) -> list[Path]:
            return buildtools.compile_objects(
                self.compiler.compiler_so, sources, flags, objects_dir
            )

        objects = compiled(buildtools.extension_sources(), ours)
        return objects + compiled(libraries.sources, common + libraries.compile)

    @staticmethod
    def objects_name(sanitize: str) -> str:
        """One folder for each Python and each kind of build, as they take turns."""
        kinds = ["objects", sys.implementation.cache_tag, *sanitize.split(",")]
        return "-".join([*filter(None, kinds), *(["lint"] if buildtools.werror() else [])])


setup(
    # The sources are listed when the extension is built; sdist takes them from MANIFEST.in.
    ext_modules=[Extension("opscore_fast._core", sources=[])],
    cmdclass={"build_ext": BuildCore},
)
