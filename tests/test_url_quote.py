"""The engine's quoting of URLs (csrc/http/url.c) against that of requests, on many URLs."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from requests.utils import requote_uri

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import buildtools  # noqa: E402

SOURCES = ("csrc/http/url.c", "csrc/base/buf.c", "csrc/base/mem.c")
PIECES = [*map(chr, range(1, 128)), *"%%%%%%%%", "%41", "%2f", "%C3", "%c3%b6", "%zz", "%4", "ö€😀"]


class Buffer(ctypes.Structure):
    """opf_buf."""

    _fields_ = (("data", ctypes.c_void_p), ("len", ctypes.c_size_t), ("cap", ctypes.c_size_t))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("url_quote") / "url.so"
    command = [*buildtools.c_compiler(), "-std=c11", "-D_GNU_SOURCE", "-Icsrc", "-shared", "-fPIC"]
    subprocess.run([*command, *SOURCES, "-o", str(path)], cwd=ROOT, check=True)
    library = ctypes.CDLL(str(path))
    library.opf_url_is_quoted.restype = ctypes.c_bool
    return library


@pytest.fixture(scope="module")
def quote(library: ctypes.CDLL) -> Callable[[str], str]:
    """opf_url_quote; checks on the way that opf_url_is_quoted agrees with it."""

    def quote(url: str) -> str:
        data = url.encode()
        buffer = Buffer()
        size = ctypes.c_size_t(len(data))
        assert library.opf_url_quote(data, size, ctypes.byref(buffer)) == 0
        quoted = ctypes.string_at(buffer.data, buffer.len) if buffer.len else b""
        library.opf_buf_fini(ctypes.byref(buffer))
        assert library.opf_url_is_quoted(data, size) == (quoted == data)
        return quoted.decode()

    return quote


def is_compared(url: str) -> bool:
    """False where requests asks what Unicode thinks of a character behind a percent sign."""
    return all(part[:2].isascii() for part in url.split("%")[1:])


def test_single_characters_are_quoted_as_by_requests(quote: Callable[[str], str]) -> None:
    for code in [*range(1, 0x250), 0x20AC, 0xFFFD, 0x1F600, 0x10FFFF]:
        url = f"http://host/{chr(code)}?{chr(code)}"
        assert quote(url) == requote_uri(url)


def test_all_escapes_are_quoted_as_by_requests(quote: Callable[[str], str]) -> None:
    for first in range(1, 128):
        for second in range(1, 128):
            url = f"/%{chr(first)}{chr(second)}"
            assert quote(url) == requote_uri(url)


def test_random_urls_are_quoted_as_by_requests(quote: Callable[[str], str]) -> None:
    rng = random.Random(1)
    compared = 0
    for _ in range(20_000):
        url = "".join(rng.choices(PIECES, k=rng.randint(0, 12)))
        if is_compared(url):
            compared += 1
            assert quote(url) == requote_uri(url), url
    assert compared > 10_000
