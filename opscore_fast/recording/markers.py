"""Markers: letters that stand for symbols while others' code makes URLs, headers and bodies."""

from __future__ import annotations

import random
import re
import string
from typing import Any

from opscore_fast.recording.branches import Part, Parts
from opscore_fast.recording.plan import Encoding
from opscore_fast.recording.symbols import Bytes, Cond, Native, Sym, Text, parts_of


class Changed(Exception):
    """A marker was not found again as it was planted: something was computed from its letters."""


class Markers:
    """Markers of one length; two sets of them tell whether anything depends on the letters."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._random = random.SystemRandom()
        self._parts: dict[str, Part] = {}
        self._whole: set[str] = set()

    def _new(self, part: Part) -> str:
        while True:
            marker = "Q" + "".join(self._random.choices(string.ascii_letters, k=self._length))
            if marker.lower() not in (known.lower() for known in self._parts):
                break
        self._parts[marker] = part
        return marker

    def plant(self, value: Any, encoding: Encoding) -> Any:
        """Return a value, with markers in the place of the symbols in it.

        encoding: how str() of a symbol will be written; JSON: a symbol may be a whole value, too.
        """
        if isinstance(value, Cond):
            return bool(value)
        if isinstance(value, Sym):
            if encoding is Encoding.JSON and not isinstance(value, Text):
                marker = self._new(Part(value.operand(), Encoding.JSON))
                self._whole.add(marker)
                return marker
            inside = Encoding.JSON_STRING if encoding is Encoding.JSON else encoding
            return self._text(value, inside)
        if isinstance(value, Bytes):
            return self._text(Text(value.rt, value.parts), encoding).encode()
        if isinstance(value, Native):
            value._no("a value that is sent", "make a text of it first: str(), isoformat()")
        if isinstance(value, dict):
            return {key: self.plant(item, encoding) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.plant(item, encoding) for item in value)
        return value

    def _text(self, value: Sym, encoding: Encoding) -> str:
        parts = parts_of(value)
        raw = encoding is Encoding.TEXT
        if not raw and any(isinstance(p, Part) and p.encoding is not Encoding.TEXT for p in parts):
            parts = (Part(value.operand()),)
        if not raw and any(isinstance(part, Part) and part.format for part in parts):
            # A format and an encoding at once: the text is made first.
            parts = tuple(
                Part(Text(value.rt, (part,)).operand())
                if isinstance(part, Part) and part.format
                else part
                for part in parts
            )
        return "".join(
            self._new(part if raw else Part(part.operand, encoding, part.format))
            if isinstance(part, Part)
            else part
            for part in parts
        )

    def split(self, text: str, found: set[str] | None = None) -> Parts:
        """Return a text as parts. found: gets the markers that were in it.

        Raises Changed for a marker that stands for a whole value and is within quotes no more.
        """
        if not self._parts:
            return (text,) if text else ()
        pattern = "|".join(
            f'"{marker}"' if marker in self._whole else marker for marker in self._parts
        )
        parts: list[str | Part] = []
        end = 0
        for match in re.finditer(pattern, text):
            if match.start() > end:
                parts.append(text[end : match.start()])
            marker = match[0].strip('"')
            parts.append(self._parts[marker])
            if found is not None:
                found.add(marker)
            end = match.end()
        if end < len(text):
            parts.append(text[end:])
        self.check_none("".join(part for part in parts if isinstance(part, str)))
        return tuple(parts)

    def check_none(self, text: str) -> None:
        """Raise Changed if there is a marker in a text, in whatever case."""
        lower = text.lower()
        if any(marker.lower() in lower for marker in self._parts):
            raise Changed

    def check_all(self, found: set[str]) -> None:
        """Raise Changed unless every marker was found."""
        if found != self._parts.keys():
            raise Changed
