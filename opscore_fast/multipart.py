"""Large files in forms: read while they are sent, where requests reads them first.

requests encodes the form (RFC 7578) with a mark in the place of each large file; what lies between
the marks is sent as it is.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import io
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from requests.models import RequestEncodingMixin
from requests.structures import CaseInsensitiveDict
from requests.utils import guess_filename, super_len

LARGE = 1 << 20
"""Bytes from which on a file is read while it is sent."""


class Multipart:
    """A body made of bytes and files, as a file that can be read, and rewound to its begin."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts
        self._starts = [None if isinstance(part, bytes) else part.tell() for part in parts]
        self._length = sum(map(super_len, parts))
        self._begin()

    def _begin(self) -> None:
        self._at = 0
        self._left = [io.BytesIO(p) if isinstance(p, bytes) else p for p in reversed(self._parts)]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(64 << 10):
            yield piece

    def read(self, size: int = -1) -> bytes:
        """Return up to size bytes, all that is left if it is negative; fewer only at the end."""
        pieces = []
        while self._left and size != 0:
            piece: bytes = self._left[-1].read(size)
            if not piece:
                self._left.pop()
            elif size > 0:
                size -= len(piece)
            pieces.append(piece)
        read = b"".join(pieces)
        self._at += len(read)
        return read

    def tell(self) -> int:
        """Return how many bytes have been read."""
        return self._at

    def seek(self, position: int) -> int:
        """Go back to the begin, which is the only place to go to."""
        if position != 0:
            raise io.UnsupportedOperation("a form goes back to its begin only")
        for part, start in zip(self._parts, self._starts, strict=True):
            if start is not None:
                part.seek(start)
        self._begin()
        return 0


def _is_large(file: Any) -> bool:
    if not hasattr(file, "read") or not hasattr(file, "seek") or isinstance(file, io.TextIOBase):
        return False
    try:
        file.tell()
        return super_len(file) >= LARGE
    except (OSError, ValueError):
        return False


def _marked(name: Any, file: Any, large: dict[bytes, Any]) -> Any:
    """Return what requests takes as a file, with a mark in the place of a large one."""
    is_tuple = isinstance(file, tuple | list) and 2 <= len(file) <= 4
    content = file[1] if is_tuple else file
    if not _is_large(content):
        return file
    mark = secrets.token_hex(16).encode()
    large[mark] = content
    return (file[0], mark, *file[2:]) if is_tuple else (guess_filename(file) or name, mark)


def stream_files(
    keywords: Mapping[str, Any], session_headers: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return requests' keyword arguments with a body that is read while it is sent.

    None: there are no large files, or what is there is not for us to encode.
    """
    files, data = keywords.get("files"), keywords.get("data")
    if not files or isinstance(data, str | bytes):
        return None
    large: dict[bytes, Any] = {}
    pairs = list(files.items() if isinstance(files, Mapping) else files)
    if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in pairs):
        return None
    marked = [(name, _marked(name, file, large)) for name, file in pairs]
    if not large:
        return None
    body, content_type = RequestEncodingMixin._encode_files(marked, data)
    parts: list[Any] = []
    for mark, file in large.items():  # in the order in which they were marked
        before, _, body = body.partition(mark)
        parts += [before, file]
    headers: CaseInsensitiveDict[Any] = CaseInsensitiveDict(keywords.get("headers") or {})
    if "Content-Type" not in headers and "Content-Type" not in CaseInsensitiveDict(
        session_headers or {}
    ):
        headers["Content-Type"] = content_type
    return {**keywords, "files": None, "data": Multipart([*parts, body]), "headers": headers}
