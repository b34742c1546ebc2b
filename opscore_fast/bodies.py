"""Request bodies and arguments that the C side leaves to Python because they are rare."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import logging
from base64 import b64encode
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urlencode

from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

logger = logging.getLogger(__name__)

_warned: set[str] = set()


def encode(data: Any) -> tuple[bytes, str]:
    """Return the bytes and the Content-Type of a body that is neither str nor bytes.

    A dict becomes a form, as with Locust's FastHttpSession; a file is read to its end; an iterable
    of str or bytes is joined. Raises TypeError for anything else.
    """
    if isinstance(data, Mapping):
        return urlencode(data).encode(), "application/x-www-form-urlencoded; charset=utf-8"
    if isinstance(data, bytearray | memoryview):
        return bytes(data), "application/octet-stream"
    if hasattr(data, "read"):
        content = data.read()
        return _as_bytes(content), "application/octet-stream"
    if hasattr(data, "__iter__"):
        return b"".join(map(_as_bytes, data)), "application/octet-stream"
    raise TypeError(f"data is a str, bytes, dict or file, not {type(data).__name__}")


def encode_files(files: Any, data: Any) -> tuple[bytes, str]:
    """Return a multipart/form-data body (RFC 7578) and its Content-Type.

    files: mapping or pairs of field name and file, which is a str, bytes or file object, or a tuple
    (file name, file[, Content-Type[, more headers[, boundary]]]), as requests and geventhttpclient
    take it; a file that is None is left out. data: mapping or pairs of further fields, or None.
    Raises ValueError for data of another kind and for tuples of another length.
    """
    if isinstance(data, str | bytes):
        raise ValueError("with files=, data is a dict of form fields, not a str or bytes")
    given = _pairs(files)
    fields = []
    for name, values in _pairs(data or {}):
        if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
            values = [values]
        fields += [_form_field(name, value) for value in values if value is not None]
    fields += [_file_field(name, file) for name, file in given if not _is_absent(file)]
    return encode_multipart_formdata(fields, _boundary(given))


def _pairs(given: Any) -> list[tuple[str, Any]]:
    items = given.items() if isinstance(given, Mapping) else given
    return [
        (name.decode() if isinstance(name, bytes) else str(name), value) for name, value in items
    ]


def _is_absent(file: Any) -> bool:
    if not isinstance(file, tuple | list):
        return file is None
    if not 2 <= len(file) <= 5:
        raise ValueError(
            "a file in files= is (file name, file[, Content-Type[, headers[, boundary]]]),"
            f" not a tuple of {len(file)}"
        )
    return file[1] is None


def _boundary(files: list[tuple[str, Any]]) -> str | None:
    given = (file[4] for _, file in files if isinstance(file, tuple | list) and len(file) == 5)
    return next(given, None)


def _form_field(name: str, value: Any) -> RequestField:
    field = RequestField(name, value if isinstance(value, bytes) else str(value))
    field.make_multipart()
    return field


def _file_field(name: str, file: Any) -> RequestField:
    content_type, headers = None, None
    if isinstance(file, tuple | list):
        filename, file, content_type, headers, _ = [*file, None, None, None][:5]
    else:
        guessed = getattr(file, "name", None)
        if isinstance(guessed, bytes):
            guessed = guessed.decode()
        usable = isinstance(guessed, str) and guessed and guessed[0] != "<" and guessed[-1] != ">"
        filename = PurePath(guessed).name if usable and guessed else name
    content = file.read() if hasattr(file, "read") else file
    field = RequestField(name, content, filename=filename, headers=dict(headers or {}))
    field.make_multipart(content_type=content_type)
    return field


def _as_bytes(part: Any) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, bytes | bytearray | memoryview):
        return bytes(part)
    raise TypeError(f"data brings {type(part).__name__} where a str or bytes is needed")


def unknown_keywords(method: str, extra: dict[str, Any], data: Any, params: Any) -> tuple[Any, Any]:
    """Put keyword arguments that no session knows where FastHttpSession puts them.

    They become fields of a POST's form, else parameters of the query. Returns data and params.
    Warns once for each name, since it is hardly ever meant.
    """
    posts = method.upper() == "POST"
    for name in extra.keys() - _warned:
        _warned.add(name)
        where = "field of the form" if posts else "query parameter"
        logger.warning(
            "FastHttpSession has no argument %r: as with Locust's, it is sent as a %s", name, where
        )
    if posts:
        if data is None:
            data = extra
        elif isinstance(data, dict):
            data = {**data, **extra}
    elif params is None:
        params = extra
    elif isinstance(params, dict):
        params = {**params, **extra}
    return data, params


def basic_auth(auth: tuple[str | bytes, str | bytes]) -> str:
    """Return the Authorization value for a pair of user name and password (RFC 7617)."""
    try:
        user, password = auth
        parts = [p.encode("latin1") if isinstance(p, str) else p for p in (user, password)]
        return "Basic " + b64encode(b":".join(parts)).decode("ascii")
    except (TypeError, ValueError):
        raise ValueError("auth is a pair of user name and password, both str or bytes") from None
