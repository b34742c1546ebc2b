"""HttpUser beside Locust's own: what a request carries, as data, JSON and files."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from parity import HTTP, Scenario, Scenarios, Subject, assert_same, attempt, each_of
from requests import exceptions

SCENARIOS = scenario = Scenarios()

BOUNDARY = "[0-9a-f]{32}"


def framing(t: Subject) -> list[tuple[Any, ...]]:
    """How the requests so far told their bodies' ends, and the bodies."""
    framings = []
    for request in t.app.requests():
        headers = {name.lower(): value for name, value in request["headers"]}
        told = (headers.get("content-length"), headers.get("transfer-encoding"))
        framings.append((*told, headers.get("content-type"), request["body"]))
    return framings


def latin(text: str) -> str:
    """Text as the records have its UTF-8 bytes."""
    return text.encode().decode("latin-1")


FORM = "application/x-www-form-urlencoded"


# Scenarios: data


@scenario()
def data_of_every_kind(t: Subject) -> Any:
    kinds = [
        "text",
        "é€",
        b"bytes \x00\xff",
        {"a": 1, "b": "x y&z", "é": "ü"},
        [("a", 1), ("a", 2)],
    ]
    results = [call("/echo", data=data) for data in kinds for call in (t.client.post, t.client.put)]
    assert framing(t)[::2] == [
        ("4", None, None, "text"),
        ("5", None, None, latin("é€")),
        ("8", None, None, "bytes \x00\xff"),
        ("27", None, FORM, "a=1&b=x+y%26z&%C3%A9=%C3%BC"),
        ("7", None, FORM, "a=1&a=2"),
    ]
    return results


@scenario()
def data_of_every_sort_of_form(t: Subject) -> Any:
    kinds = [
        {"list": ["x", "y"], "none": None, "number": 1.5, "true": True, "empty": ""},
        {b"bytes": b"\xff", "tuple": (1, None, 2)},
        (("a", "1"), ("b", ["2", "3"])),
        OrderedDict([("z", "1"), ("a", "2")]),
        MappingProxyType({"a": "1"}),
    ]
    results = [t.client.post("/echo", data=data) for data in kinds]
    assert framing(t)[2] == ("11", None, FORM, "a=1&b=2&b=3")
    return results


@scenario()
def data_that_is_empty(t: Subject) -> Any:
    kinds: list[Any] = ["", b"", {}, [], (), None, 0, False]
    results = [t.client.post("/echo", data=data) for data in kinds]
    assert framing(t) == [("0", None, None, "")] * len(kinds)
    return results


@scenario()
def data_with_a_content_type(t: Subject) -> Any:
    headers = {"content-type": "application/x-own"}
    t.client.headers["Content-Type"] = "application/x-session"
    kinds: list[Any] = ["text", {"a": 1}, b"bytes", None]
    results = [t.client.post("/echo", data=data, headers=headers) for data in kinds]
    results += [t.client.post("/echo", data=data) for data in kinds]
    results += [t.client.post("/echo", json=[1]), t.client.post("/echo", data={"a": 1}, headers={})]
    results.append(t.client.post("/echo", data={"a": 1}, headers={"Content-Type": None}))
    assert framing(t)[-1][2] == FORM
    return results


@scenario()
def data_with_a_length_of_ones_own(t: Subject) -> Any:
    results = [
        t.client.post("/echo", data="four", headers={"Content-Length": "4"}),
        t.client.post("/echo", data="four", headers={"content-length": "2"}),
        t.client.post("/echo", headers={"Content-Length": "0"}),
        t.client.get("/echo", headers={"Content-Length": "0"}),
    ]
    assert framing(t)[1] == ("4", None, None, "four")
    return results


@scenario()
def data_with_methods_that_have_none(t: Subject) -> Any:
    client = t.client
    calls = [client.get, client.delete, client.options, client.head]
    results = [call("/echo", data={"a": 1}) for call in calls]
    results += [call("/echo", json={"a": 1}) for call in calls]
    assert framing(t)[0] == ("3", None, FORM, "a=1")
    return results


@scenario()
def no_body(t: Subject) -> Any:
    client = t.client
    calls = [client.get, client.head, client.post, client.put, client.patch, client.delete]
    results = [call("/echo") for call in (*calls, client.options)]
    results.append(client.request("PROPFIND", "/echo"))
    told = [length for length, *_ in framing(t)]
    assert told == [None, None, "0", "0", "0", "0", "0", "0"]
    return results


@scenario()
def data_in_buffers(t: Subject) -> Any:
    kinds = [bytearray(b"array"), memoryview(b"view"), io.BytesIO(b"in memory")]
    results = [t.client.post("/echo", data=data).text for data in kinds]
    assert [body for *_, body in framing(t)] == ["array", "view", "in memory"]
    return results


@scenario()
def data_from_a_file(t: Subject) -> Any:
    path = t.folder / "upload.txt"
    path.write_bytes(b"0123456789" * 20_000)
    with path.open("rb") as file:
        response = t.client.post("/answer", data=file)
        assert response.request.body is file
    with path.open("rb") as file:
        file.seek(199_990)
        t.client.put("/answer", data=file)
    [first, second] = framing(t)
    assert first[:3] == ("200000", None, None)
    assert second == ("10", None, None, "0123456789")
    return response.text


@scenario()
def data_from_a_file_in_text_mode(t: Subject) -> Any:
    path = t.folder / "upload.txt"
    path.write_text("text")
    with path.open() as file, pytest.warns(exceptions.FileModeWarning):
        response = t.client.post("/answer", data=file)
    assert framing(t) == [("4", None, None, "text")]
    return response.text


@scenario()
def data_from_a_file_in_memory(t: Subject) -> Any:
    data = io.BytesIO(b"skipped sent")
    data.seek(8)
    t.client.post("/answer", data=data)
    t.client.post("/answer", data=io.StringIO("text"))
    t.client.post("/answer", data=io.BytesIO(b""))
    assert framing(t)[0] == ("4", None, None, "sent")
    return None


@scenario()
def data_from_a_generator(t: Subject) -> Any:
    def pieces() -> Iterator[bytes]:
        yield b"one "
        yield b""
        yield b"two " * 10_000
        yield b"three"

    response = t.client.post("/answer", data=pieces())
    assert framing(t) == [(None, "chunked", None, "one " + "two " * 10_000 + "three")]
    return response.text


@scenario()
def data_from_a_generator_of_text(t: Subject) -> Any:
    response = t.client.post("/answer", data=(text for text in ("é", "x")))
    assert framing(t) == [(None, "chunked", None, latin("éx"))]
    return response.text


@scenario()
def data_from_an_empty_generator(t: Subject) -> Any:
    t.client.post("/answer", data=iter([]))
    assert framing(t) == [(None, "chunked", None, "")]
    return t.client.get("/ok")


@scenario()
def data_from_a_generator_by_every_method(t: Subject) -> Any:
    calls = [t.client.put, t.client.patch, t.client.delete, t.client.get]
    results = [call("/answer", data=iter([b"x", b"y"])).text for call in calls]
    assert framing(t) == [(None, "chunked", None, "xy")] * 4
    return results


@scenario()
def data_from_an_iterable_with_a_length(t: Subject) -> Any:
    class Sized:
        def __len__(self) -> int:
            return 6

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"abc", b"def"])

    response = t.client.post("/answer", data=Sized())
    assert framing(t) == [("6", None, None, "abcdef")]
    return response.text


@scenario()
def data_from_a_reader_with_a_length(t: Subject) -> Any:
    class Reader:
        """What toolbelts stream multipart forms with."""

        def __init__(self) -> None:
            self.source = io.BytesIO(b"streamed")
            self.len = 8

        def read(self, size: int = -1) -> bytes:
            return self.source.read(size)

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.read, b"")

    response = t.client.post("/answer", data=Reader(), headers={"Content-Type": "multipart/x"})
    assert framing(t) == [("8", None, "multipart/x", "streamed")]
    return response.text


@scenario(ends=KeyError)
def data_from_a_generator_that_raises(t: Subject) -> Any:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise KeyError("no more")

    t.client.get("/ok")
    t.client.post("/answer", data=pieces())


@scenario()
def connection_after_a_generator_that_raises(t: Subject) -> Any:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise KeyError("no more")

    with pytest.raises(KeyError):
        t.client.post("/answer", data=pieces())
    response = t.client.post("/answer", data=b"whole")
    assert framing(t) == [("5", None, None, "whole")]
    return response.text


@scenario()
def large_data_of_every_kind(t: Subject) -> Any:
    block = b"0123456789abcdef" * 1024
    kinds: list[Any] = [block * 64, (block for _ in range(64)), io.BytesIO(block * 64)]
    lengths = []
    for data in kinds:
        t.client.post("/answer", data=data)
        lengths.append(len(t.app.requests()[-1]["body"]))
    assert lengths == [1 << 20] * 3
    return None


# Scenarios: JSON


@scenario()
def json_values(t: Subject) -> Any:
    values = [
        {"é": "ü€\u2028"},
        [1, 2.5, None, True],
        "text",
        0,
        False,
        "",
        [],
        {},
        {"a": {"b": 1}},
    ]
    results = [t.client.post("/echo", json=value) for value in values]
    bodies = [body for *_, body in framing(t)]
    assert [json.loads(body) for body in bodies] == values
    assert bodies[0] == '{"\\u00e9": "\\u00fc\\u20ac\\u2028"}'
    return results


@scenario()
def json_none(t: Subject) -> Any:
    results = [t.client.post("/echo", json=None), t.client.put("/echo", json=None)]
    assert framing(t) == [("0", None, None, "")] * 2
    return results


@scenario(same_texts=False, sends=False)
def json_that_is_no_number(t: Subject) -> Any:
    results = []
    for value in (float("nan"), {"a": [float("inf")]}, -float("inf")):
        response = t.client.post("/echo", json=value)
        assert isinstance(response.error, exceptions.InvalidJSONError)
        results.append([response.status_code, response.error])
    with t.client.post("/echo", json=float("nan"), catch_response=True) as response:
        results.append([response.status_code, response.text])
    with t.client.post("/echo", json=float("nan"), catch_response=True, name="own") as response:
        response.success()
    return results


@scenario()
def json_that_json_refuses(t: Subject) -> Any:
    for value in (object(), {"a": Decimal(1)}, {1, 2}, b"bytes", {("a", "b"): 1}):
        with pytest.raises(TypeError):
            t.client.post("/echo", json=value)
    return t.client.get("/ok")


@scenario()
def json_with_data(t: Subject) -> Any:
    pairs: list[tuple[Any, Any]] = [
        ("data", [1]),
        ({"a": 1}, [1]),
        ("", [1]),
        ({}, {}),
        (None, [1]),
    ]
    return [t.client.post("/echo", data=data, json=value) for data, value in pairs]


@scenario()
def json_with_a_content_type(t: Subject) -> Any:
    headers = {"content-type": "application/merge-patch+json"}
    response = t.client.patch("/echo", json={"a": 1}, headers=headers)
    assert framing(t)[0][2] == headers["content-type"]
    return response


@scenario()
def json_shows_as_bytes(t: Subject) -> Any:
    bodies = [
        t.client.post("/echo", **body).request.body
        for body in ({"json": {"a": 1}}, {"data": {"a": 1}}, {"data": "é"}, {"data": b"b"}, {})
    ]
    assert bodies == [b'{"a": 1}', "a=1", "é", b"b", None]
    return bodies


# Scenarios: files


def uploads(t: Subject) -> list[Any]:
    folder = t.folder
    (folder / "plain.txt").write_bytes(b"a plain file")
    (folder / "p.png").write_bytes(b"\x89PNG")
    return [
        {"field": ("name.txt", b"bytes")},
        {"field": ("name.bin", "text", "application/x-own")},
        {"field": ("name.json", b"{}", "application/json", {"X-Part": "1"})},
        {"field": b"bytes alone"},
        {"field": "text alone"},
        {"field": bytearray(b"array")},
        {"field": io.BytesIO(b"in memory")},
        {"field": ("named", io.BytesIO(b"in memory"))},
        {"field": ("é€.txt", b"x"), "ü": b"y"},
        {'quo"ted': ('na"me.txt', b"x")},
        {"field": (None, b"no file name")},
        {"field": ("", b"empty name")},
        {"field": ("noext", b"x"), "image": ("i.png", b"x"), "html": ("i.html", "x")},
        [("field", ("1.txt", b"1")), ("field", ("2.txt", b"2"))],
        (("a", b"1"), ("b", ["list.txt", b"2"])),
        {"empty": ("x.txt", b"")},
    ]


@scenario(hide=BOUNDARY)
def files_of_every_form(t: Subject) -> Any:
    responses = [t.client.post("/answer", files=files) for files in uploads(t)]
    found = framing(t)
    assert len(found) == len(responses)
    assert all(content_type.startswith("multipart/form-data; b") for _, _, content_type, _ in found)
    assert 'name="field"; filename="name.txt"\r\n\r\nbytes\r\n' in found[0][3]
    return [response.request.body for response in responses]


@scenario(hide=BOUNDARY)
def files_from_the_disk(t: Subject) -> Any:
    uploads(t)
    with (t.folder / "plain.txt").open("rb") as plain, (t.folder / "p.png").open("rb") as image:
        plain.seek(2)
        response = t.client.post("/answer", files={"plain": plain, "image": ("i.png", image)})
    body = framing(t)[0][3]
    assert 'filename="plain.txt"' in body
    assert "\r\n\r\nplain file\r\n" in body
    return response.text


@scenario(hide=BOUNDARY)
def files_with_data(t: Subject) -> Any:
    kinds = [
        {"a": 1, "list": ["x", 2], "none": None, "bytes": b"\xff", "é": "ü"},
        [("a", "1"), ("a", "2")],
        {},
        None,
    ]
    for data in kinds:
        t.client.post("/answer", files={"file": ("f.txt", b"content")}, data=data)
    assert framing(t)[0][3].count("form-data; name=") == 6
    return None


@scenario(hide=BOUNDARY)
def files_by_other_methods(t: Subject) -> Any:
    for call in (t.client.put, t.client.patch, t.client.delete, t.client.get):
        call("/answer", files={"file": ("f.txt", b"content")})
    assert all("content" in body for *_, body in framing(t))
    return None


@scenario(hide=BOUNDARY)
def files_and_json(t: Subject) -> Any:
    response = t.client.post("/answer", files={"file": ("f.txt", b"content")}, json={"a": 1})
    assert framing(t)[0][2].startswith("multipart/form-data")
    return response.text


@scenario(hide=BOUNDARY)
def files_with_a_content_type_of_ones_own(t: Subject) -> Any:
    headers = {"Content-Type": "multipart/related"}
    response = t.client.post("/answer", files={"file": ("f.txt", b"x")}, headers=headers)
    assert framing(t)[0][2] == "multipart/related"
    return response.text


@scenario()
def files_that_are_none(t: Subject) -> Any:
    results = [t.client.post("/echo", files=files) for files in ({}, [], None)]
    results.append(t.client.post("/echo", files={}, data={"a": 1}))
    assert framing(t)[-1] == ("3", None, FORM, "a=1")
    return results


@scenario(hide=BOUNDARY)
def files_of_which_one_is_none(t: Subject) -> Any:
    files = {"none": None, "also": ("x.txt", None), "there": ("y.txt", b"y")}
    response = t.client.post("/answer", files=files)
    assert "also" not in framing(t)[0][3]
    return response.text


@scenario()
def files_that_are_refused(t: Subject) -> Any:
    files = {"file": ("f.txt", b"x")}
    raised = [
        attempt(t.client.post, "/answer", files=files, data="text"),
        attempt(t.client.post, "/answer", files=files, data=iter([b"x"])),
        attempt(t.client.post, "/answer", files={"file": ("a", "b", "c", {}, "e")}),
        attempt(t.client.post, "/answer", files={"file": ("a",)}),
    ]
    kinds = [type(error) for error in raised]
    assert kinds == [ValueError, NotImplementedError, ValueError, ValueError]
    t.client.get("/ok")
    return kinds


@scenario(hide=BOUNDARY)
def large_files(t: Subject) -> Any:
    path = t.folder / "large.bin"
    path.write_bytes(bytes(range(256)) * 4000)
    with path.open("rb") as file:
        response = t.client.post("/answer", files={"file": file}, data={"a": "1"})
    assert len(t.app.requests()[0]["body"]) > 1_000_000
    return response.text


@each_of(*SCENARIOS)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(HTTP, scenario, subject, listened)
