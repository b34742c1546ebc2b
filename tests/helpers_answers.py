"""Answers of servers, good and bad, for clients to be compared by: `CASES`.

Each has a name that says what it is. All are made here, in the same way each time; the mixed ones
from a fixed seed.
"""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import brotli

SEED = 4
MIXES = 150


@dataclass(frozen=True)
class Case:
    """One answer.

    segments: what the server sends, a moment apart. then: what it does next: "keep" reads another
    request on the same connection, "close" and "reset" end it. leftover: more comes than belongs to
    the answer, so that the connection is of no use any more.
    """

    name: str
    segments: tuple[bytes, ...]
    then: str = "keep"
    method: str = "GET"
    leftover: bool = False


BODY = b"hello"
OK = b"HTTP/1.1 200 OK\r\n"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
"""An answer to a request that was never made."""


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A head of those header lines."""
    return b"\r\n".join((status, *lines, b"", b""))


def sized(*lines: bytes, body: bytes = BODY, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A whole answer with those lines and then a right Content-Length."""
    return head(*lines, b"Content-Length: %d" % len(body), status=status) + body


def chunked(*chunks: bytes, lines: Sequence[bytes] = (), trailers: Sequence[bytes] = ()) -> bytes:
    """A whole answer in those chunks."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    end = b"".join(line + b"\r\n" for line in trailers)
    return head(*lines, b"Transfer-Encoding: chunked") + body + b"0\r\n" + end + b"\r\n"


def label(data: bytes) -> str:
    """Bytes as part of a name, cut short if they are many."""
    text = repr(data)[2:-1]
    return text if len(text) < 40 else f"{text[:24]}...{len(data)}"


# Content-Length


def lengths() -> Iterator[Case]:
    for value in (b"5", b"05", b"0000000000000000000000005", b"  5", b"\t5", b"5 "):
        yield Case(f"length/{label(value)}", (head(b"Content-Length:" + value) + BODY,))
    wrong = (
        *(b"", b"+5", b"-5", b"-0", b"0x5", b"5.0", b"5e0", b"5;", b"5;a=b", b"five", b'"5"'),
        *(b"5,5", b"5, 5", b"5,6", b"6, 5", b"5 5", b",5", b"5,", b"5\x00", b"\xd9\xa5", b"5\x0b"),
        *(b"%d" % (2**bits + more) for bits in (31, 32, 63, 64, 65, 128) for more in (-1, 0, 5)),
        b"9" * 40,
        b"1" + b"0" * 400,
    )
    for value in wrong:
        answer = head(b"Content-Length: " + value) + BODY
        yield Case(f"length/{label(value)}", (answer,), "close")
    for line in (b"content-length: 5", b"CONTENT-LENGTH: 5", b"Content-length:5"):
        yield Case(f"length/{label(line)}", (head(line) + BODY,))
    for line in (
        *(b"Content-Length : 5", b"Content-Length\t: 5", b" Content-Length: 5"),
        *(b"Content_Length: 5", b"X-Content-Length: 5", b"Content-Length", b"Content-Length 5"),
        *(b"Content-Length\x00: 5", b"Content-Length:\r\n 5", b"Content-Length: 5\r\n ,6"),
        *(b"Content-Length: 5\r\n 5", b"Content-Lengt\r\nh: 5", b"Content-Length: 5\rX: y"),
    ):
        yield Case(f"length/{label(line)}", (head(line) + BODY,), "close")
    for first, second in ((b"5", b"5"), (b"5", b"05"), (b"5", b"6"), (b"6", b"5"), (b"5", b"")):
        lines = b"Content-Length: " + first, b"A: b", b"Content-Length: " + second
        name = f"length/twice-{label(first)}-{label(second)}"
        yield Case(name, (head(*lines) + BODY,), "close")
    for times in (3, 10):
        yield Case(f"length/{times}-times", (head(*[b"Content-Length: 5"] * times) + BODY,))
    for status in (b"HTTP/1.0 200 OK", b"HTTP/1.1 404 Not Found"):
        yield Case(f"length/{label(status)}", (sized(status=status),), "close")
    for size in (0, 1, 4095, 4096, 8192, 16384, 65536, 100_000, 1_000_000):
        yield Case(f"length/body-of-{size}", (sized(body=b"x" * size),))
    yield Case("length/body-longer", (head(b"Content-Length: 3") + BODY,))
    yield Case("length/body-shorter", (head(b"Content-Length: 9") + BODY,), "close")
    yield Case("length/body-shorter-reset", (head(b"Content-Length: 9") + BODY,), "reset")
    yield Case("length/body-missing", (head(b"Content-Length: 5"),), "close")
    yield Case("length/body-not-wanted", (head(b"Content-Length: 0") + BODY,))
    every_byte = bytes(range(256))
    yield Case("length/body-of-every-byte", (sized(body=every_byte),))


# Transfer-Encoding

CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def codings_of_transfer() -> Iterator[Case]:
    for value in (b"chunked", b"Chunked", b"CHUNKED", b"  chunked", b"chunked ", b"chunked\t"):
        answer = head(b"Transfer-Encoding:" + value) + CHUNKS
        yield Case(f"transfer/{label(value)}", (answer,))
    for value in (
        *(b"", b"identity", b"gzip", b"deflate", b"x", b"chunkedx", b"xchunked", b"x-chunked"),
        *(b"chunked,", b",chunked", b",,chunked", b"chunked;q=1", b'"chunked"', b"chunked\x00"),
        *(b"identity, chunked", b"chunked, identity", b"identity,chunked", b"chunked,chunked"),
        *(b"chunked, chunked", b"chunked, gzip", b"x, chunked", b"chunked x", b"x chunked"),
        *(b"chu nked", b"chun\tked", b"chunked\x0b", b"\x0bchunked", b"chunked\xa0", b"'chunked'"),
        *(b"chunked, x", b"none", b"null", b"chunked\r\n ", b"\r\n chunked", b"chunked\r\n x"),
    ):
        answer = head(b"Transfer-Encoding: " + value) + CHUNKS
        yield Case(f"transfer/{label(value)}", (answer,), "close")
    zipped = gzip.compress(BODY, mtime=0)
    parts = b"%x\r\n%s\r\n0\r\n\r\n" % (len(zipped), zipped)
    for value in (b"gzip, chunked", b"x-gzip, chunked", b"gzip,chunked", b"gzip , chunked"):
        answer = head(b"Transfer-Encoding: " + value) + parts
        yield Case(f"transfer/{label(value)}", (answer,), "close")
    for values in (
        *((b"chunked", b"chunked"), (b"identity", b"chunked"), (b"chunked", b"identity")),
        *((b"x", b"chunked"), (b"chunked", b"x"), (b"", b"chunked"), (b"chunked", b"")),
    ):
        lines = [b"Transfer-Encoding: " + value for value in values]
        name = f"transfer/lines-{label(b'-'.join(values))}"
        yield Case(name, (head(*lines) + CHUNKS,), "close")
    for line in (b"transfer-encoding: chunked", b"TRANSFER-ENCODING: chunked"):
        yield Case(f"transfer/{label(line)}", (head(line) + CHUNKS,))
    for line in (
        *(b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"TE: chunked"),
        *(b" Transfer-Encoding: chunked", b"Transfer_Encoding: chunked", b"Transfer-Encoding"),
        *(b"Transfer-Encoding\x00: chunked", b"X: y\rTransfer-Encoding: chunked"),
        *(b"X: y\nTransfer-Encoding: chunked", b"X: y\x00Transfer-Encoding: chunked"),
        *(b"\x0bTransfer-Encoding: chunked", b"Content-Transfer-Encoding: chunked"),
    ):
        yield Case(f"transfer/{label(line)}", (head(line) + CHUNKS,), "close")
    line = b"Transfer-Encoding: chunked"
    old = b"HTTP/1.0 200 OK"
    yield Case("transfer/http-1.0", (head(line, status=old) + CHUNKS,), "close")
    kept = head(line, b"Connection: keep-alive", status=old) + CHUNKS
    yield Case("transfer/http-1.0-keep-alive", (kept,))
    yield Case("transfer/http-1.0-identity-value", (head(line, status=old) + BODY,), "close")


def chunk_sizes() -> Iterator[Case]:
    start = head(b"Transfer-Encoding: chunked")
    for size in (b"5", b"05", b"0005", b"0" * 15 + b"5", b"0" * 16 + b"5", b"0" * 200 + b"5"):
        answer = start + size + b"\r\nhello\r\n0\r\n\r\n"
        yield Case(f"chunks/size-{label(size)}", (answer,))
    for size in (
        *(b"", b" 5", b"\t5", b"5 ", b"5  ", b"5\t", b"+5", b"-5", b"0x5", b"0X5", b"x5", b"5x"),
        *(b"g", b"5g", b"5h", b"5\x00", b"\x005", b"5\x0b", b"5,", b"5.0", b"5 5", b"'5'", b"\xb5"),
        *(b"fffffffffffffff5", b"10000000000000005", b"100000000000000005", b"5" * 40),
        *(b"7fffffffffffffff", b"8000000000000000", b"ffffffffffffffff", b"100000000", b"f" * 400),
        *(b"100000005", b"80000005", b"7fffffff", b"ffffffff", b"6", b"4", b"\r\n5", b"-0"),
    ):
        answer = start + size + b"\r\nhello\r\n0\r\n\r\n"
        yield Case(f"chunks/size-{label(size)}", (answer,), "close")
    for size in (b"a", b"A"):
        answer = start + size + b"\r\n0123456789\r\n0\r\n\r\n"
        yield Case(f"chunks/size-{label(size)}", (answer,))
    for last in (b"0", b"00", b"0000000000000000000", b"0;a=b", b"0 ;a", b"0;"):
        answer = start + b"5\r\nhello\r\n" + last + b"\r\n\r\n"
        yield Case(f"chunks/last-{label(last)}", (answer,))
    for last in (b"0 ", b"0\t", b"-0", b"+0", b"0x0", b"", b"0g", b"0\x00", b" 0"):
        answer = start + b"5\r\nhello\r\n" + last + b"\r\n\r\n"
        yield Case(f"chunks/last-{label(last)}", (answer,), "close")
    for extension in (
        *(b";", b";;", b";a", b";a=b", b';a="b"', b';a="b;c"', b';a="b\\"c"', b";a;b;c=d", b" ;a"),
        *(b"; a", b"; a=b", b"; a = b", b"\t;a", b";a=", b";=b", b";a=b=c", b';a="', b";a b"),
        *(b";a\x00b", b";a\rb", b";a\x01b", b";a\x7f", b";a=\xff", b";a,b", b",a", b":a", b"=a"),
        *(b";a\n0", b";" + b"a" * 3000, b";" + b"a" * 20000, b";a\r\r", b";(a)", b";a=[b]"),
    ):
        answer = start + b"5" + extension + b"\r\nhello\r\n0\r\n\r\n"
        yield Case(f"chunks/extension-{label(extension)}", (answer,), "close")


def chunk_bodies() -> Iterator[Case]:
    start = head(b"Transfer-Encoding: chunked")
    for name, chunks in (
        *(("one", [BODY]), ("two", [b"he", b"llo"]), ("none", []), ("of-crlf", [b"\r\n\r\n"])),
        *(
            ("of-1-byte", [b"x"] * 500),
            ("of-a-last-chunk", [b"0\r\n\r\n"]),
            ("large", [b"x" * 99999]),
        ),
        ("of-sizes", [b"x" * size for size in (1, 15, 16, 255, 256, 4095, 4096)]),
    ):
        yield Case(f"chunks/{name}", (chunked(*chunks),))
    for name, text in (
        *(
            ("no-crlf-after-data", b"5\r\nhello0\r\n\r\n"),
            ("lf-after-data", b"5\r\nhello\n0\r\n\r\n"),
        ),
        *(
            ("cr-after-data", b"5\r\nhello\r0\r\n\r\n"),
            ("cr-cr-lf-after-data", b"5\r\nhello\r\r\n0\r\n\r\n"),
        ),
        *(("lf-after-size", b"5\nhello\r\n0\r\n\r\n"), ("cr-after-size", b"5\rhello\r\n0\r\n\r\n")),
        *(
            ("cr-cr-lf-after-size", b"5\r\r\nhello\r\n0\r\n\r\n"),
            ("lf-everywhere", b"5\nhello\n0\n\n"),
        ),
        *(("lf-after-last", b"5\r\nhello\r\n0\n\r\n"), ("lf-at-end", b"5\r\nhello\r\n0\r\n\n")),
        *(
            ("cr-x-after-last", b"5\r\nhello\r\n0\rx\r\n\r\n"),
            ("cr-x-at-end", b"5\r\nhello\r\n0\r\n\rx"),
        ),
        ("empty-line-between", b"5\r\nhello\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("empty-line-before", b"\r\n5\r\nhello\r\n0\r\n\r\n"),
        *(
            ("no-end", b"5\r\nhello\r\n"),
            ("no-last-crlf", b"5\r\nhello\r\n0\r\n"),
            ("no-crlf", b"5\r\nhello"),
        ),
        *(
            ("last-alone", b"5\r\nhello\r\n0"),
            ("nothing", b""),
            ("size-alone", b"5"),
            ("size-cr", b"5\r"),
        ),
        *(
            ("data-shorter", b"9\r\nhello\r\n0\r\n\r\n"),
            ("data-longer", b"3\r\nhello\r\n0\r\n\r\n"),
        ),
        *(("no-chunks-at-all", b"hello"), ("space-for-data-crlf", b"5\r\nhello  0\r\n\r\n")),
        ("nul-after-data", b"5\r\nhello\x00\x000\r\n\r\n"),
        ("last-first", b"0\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ):
        yield Case(f"chunks/{name}", (start + text,), "close")
    for trailers in (
        *((b"Sum: 17",), (b"A: b", b"C: d"), (b"Empty:",), (b"Content-Length: 9",), (b"A: \xff",)),
        *((b"Transfer-Encoding: chunked",), (b"Connection: close",), (b"Set-Cookie: a=b",)),
        *((b"Content-Encoding: gzip",), (b"A: " + b"x" * 4000,), (b"HTTP/1.1: x",), (b"A:",) * 50),
    ):
        name = f"chunks/trailers-{label(b','.join(trailers))}"
        yield Case(name, (chunked(BODY, trailers=trailers),))
    for trailers in (
        *((b"no colon",), (b"A : b",), (b" A: b",), (b"A: b", b" c"), (b": b",), (b"A: b\x00",)),
        *((b"A: b\rC: d",), (b"A: b\nC: d",), (b"A\x00: b",), (b"HTTP/1.1 200 OK",), (b"\x01: a",)),
        *(
            (b"Content-Length: -1",),
            (b"Content-Length: x",),
            (b"Content-Length: 5", b"Content-Length: 6"),
        ),
    ):
        name = f"chunks/trailers-{label(b','.join(trailers))}"
        yield Case(name, (chunked(BODY, trailers=trailers),), "close")


def both_framings() -> Iterator[Case]:
    text = CHUNKS
    for length in (b"5", b"%d" % len(text), b"0", b"3", b"99", b"x", b"-1", b""):
        lines = [b"Content-Length: " + length, b"Transfer-Encoding: chunked"]
        for order in (lines, lines[::-1]):
            first = order[0].split(b"-")[0].decode().lower()
            name = f"both/{first}-first-{label(length)}"
            yield Case(name, (head(*order) + text,), "close")
    length = b"Content-Length: 5"
    for value in (b"identity", b"gzip", b"x", b"", b"identity, chunked", b"chunked, identity"):
        line = b"Transfer-Encoding: " + value
        yield Case(f"both/plain-{label(value)}", (head(length, line) + BODY,), "close")
        yield Case(f"both/plain-after-{label(value)}", (head(line, length) + BODY,), "close")
    lines = [b"Transfer-Encoding: chunked", length]
    old = b"HTTP/1.0 200 OK"
    yield Case("both/http-1.0-chunks", (head(*lines, status=old) + text,), "close")
    yield Case("both/http-1.0-plain", (head(*lines, status=old) + BODY,), "close")
    folded = head(b"Transfer-Encoding:\r\n chunked", length) + text
    yield Case("both/folded", (folded,), "close")


def until_close() -> Iterator[Case]:
    for version in (b"1.0", b"1.1"):
        status = b"HTTP/" + version + b" 200 OK"
        for lines in ((), (b"Connection: close",), (b"Connection: keep-alive",), (b"A: b",)):
            for body in (b"", BODY, b"x" * 70000, SECOND):
                end = label(b",".join(lines) or b"bare")
                name = f"until-close/{version.decode()}-{end}-{label(body[:4])}{len(body)}"
                yield Case(name, (head(*lines, status=status) + body,), "close")
    yield Case("until-close/parts", (head(), b"he", b"llo"), "close")
    yield Case("until-close/reset", (head() + BODY,), "reset")


# Status lines


def statuses() -> Iterator[Case]:
    for code in (200, 201, 202, 203, 206, 207, 226, 299, 300, 301, 302, 303, 307, 308, 400, 401,
                 403, 404, 405, 407, 408, 409, 410, 416, 417, 418, 421, 429, 451, 499, 500, 501,
                 502, 503, 504, 505, 511, 599, 600, 700, 799, 999):  # fmt: skip
        yield Case(f"status/{code}", (sized(status=b"HTTP/1.1 %d X" % code),))
    for code in (204, 205, 304):
        status = b"HTTP/1.1 %d X" % code
        yield Case(
            f"status/{code}-alone", (head(status=status),), "keep" if code != 205 else "close"
        )
        yield Case(f"status/{code}-length-0", (head(b"Content-Length: 0", status=status),))
        yield Case(f"status/{code}-length", (head(b"Content-Length: 5", status=status),), "close")
        yield Case(f"status/{code}-length-and-body", (sized(status=status),))
        line = b"Transfer-Encoding: chunked"
        yield Case(f"status/{code}-chunked", (head(line, status=status),), "close")
        yield Case(f"status/{code}-chunked-and-body", (head(line, status=status) + CHUNKS,))
        yield Case(f"status/{code}-no-chunks", (head(line, status=status) + b"0\r\n\r\n",))
        yield Case(f"status/{code}-close", (head(b"Connection: close", status=status),), "close")
        yield Case(f"status/{code}-body-until-close", (head(status=status) + BODY,), "close")
    for code in (b"000", b"001", b"099", b"20", b"2", b"2000", b"20000", b"0200", b"+200", b"-200",
                 b"20x", b"abc", b"2 00", b"200.1", b"0x200", b"\xb2\xb0\xb0", b"", b"200,", b"1",
                 b"200\x00", b"2\x0000"):  # fmt: skip
        yield Case(
            f"status/code-{label(code)}", (sized(status=b"HTTP/1.1 " + code + b" OK"),), "close"
        )
    for code in (b"000", b"099", b"100", b"101", b"199", b"1000"):
        yield Case(
            f"status/final-{label(code)}", (sized(status=b"HTTP/1.1 " + code + b" OK"),), "close"
        )
    for reason in (
        b" ",
        b"",
        b" OK OK",
        b" \xc3\x96K",
        b" \xff\xfe",
        b" O\tK",
        b"  OK",
        b" OK ",
        b" " + b"x" * 1000,
        b" HTTP/1.1 404 No",
        b" 404",
        b" OK:",
        b" 'OK'",
    ):
        yield Case(f"reason/{label(reason)}", (sized(status=b"HTTP/1.1 200" + reason),))
    for reason in (
        b" O\x00K",
        b" O\x01K",
        b" O\rK",
        b" O\x7fK",
        b"\tOK",
        b"OK",
        b"-OK",
        b",OK",
        b" \r\rOK",
        b" " + b"x" * 70000,
    ):
        yield Case(f"reason/{label(reason)}", (sized(status=b"HTTP/1.1 200" + reason),), "close")


def interims() -> Iterator[Case]:
    final = sized(b"Final: yes")
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    for name, before in (
        ("100", go_on),
        ("100-twice", go_on * 2),
        ("100-ten-times", go_on * 10),
        ("100-no-reason", b"HTTP/1.1 100\r\n\r\n"),
        ("102", b"HTTP/1.1 102 Processing\r\n\r\n"),
        ("103", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"),
        ("100-then-103", go_on + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        ("199", b"HTTP/1.1 199 X\r\nA: b\r\n\r\n"),
        ("100-close", b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n"),
        ("103-length", b"HTTP/1.1 103 X\r\nContent-Length: 3\r\n\r\n"),
        ("103-length-0", b"HTTP/1.1 103 X\r\nContent-Length: 0\r\n\r\n"),
        ("103-chunked", b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("103-gzip", b"HTTP/1.1 103 X\r\nContent-Encoding: gzip\r\n\r\n"),
        ("103-cookie", b"HTTP/1.1 103 X\r\nSet-Cookie: a=b\r\n\r\n"),
        ("100-http-1.0", b"HTTP/1.0 100 Continue\r\n\r\n"),
    ):
        yield Case(f"interim/{name}", (before + final,))
        yield Case(f"interim/{name}-apart", (before, final))
    for name, before in (
        ("103-length-and-body", b"HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\nhello"),
        ("103-chunked-and-body", b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS),
        ("101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
        ("101-bare", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        ("101-h2c", b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
        ("103-folded", b"HTTP/1.1 103 X\r\nLink: a\r\n b\r\n\r\n"),
        ("103-no-colon", b"HTTP/1.1 103 X\r\nLink\r\n\r\n"),
        ("100-lf", b"HTTP/1.1 100 Continue\n\n"),
        ("100-extra-line", go_on + b"\r\n"),
    ):
        yield Case(f"interim/{name}", (before + final,), "close")
    yield Case("interim/100-alone", (go_on,), "close")
    yield Case("interim/103-alone", (b"HTTP/1.1 103 X\r\nLink: x\r\n\r\n",), "close")
    yield Case("interim/100-to-head", (go_on + head(b"Content-Length: 5"),), method="HEAD")
    yield Case("interim/100-to-post", (go_on + final,), method="POST")
    yield Case("interim/103-then-204", (b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 204 X\r\n\r\n",))
    yield Case(
        "interim/103-then-close",
        (b"HTTP/1.1 103 X\r\nContent-Length: 3\r\n\r\n" + head() + BODY,),
        "close",
    )


def status_lines() -> Iterator[Case]:
    for version in (b"1.0", b"1.1"):
        lines = [b"Connection: keep-alive"]
        yield Case(
            f"line/HTTP-{version.decode()}",
            (sized(*lines, status=b"HTTP/" + version + b" 200 OK"),),
        )
    for start in (
        *(b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/0.9", b"HTTP/3", b"HTTP/3.0"),
        *(b"HTTP/1.10", b"HTTP/1.", b"HTTP/1", b"HTTP/.1", b"HTTP/11", b"HTTP/1.1.1", b"HTTP/9.9"),
        *(b"HTTP/01.1", b"HTTP/1.01", b"HTTP/-1.1", b"HTTP/1,1", b"HTTP/a.b", b"HTTP/", b"HTTP"),
        *(b"http/1.1", b"Http/1.1", b"HTTP 1.1", b"HTTPS/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"ICY"),
        *(b"RTSP/1.0", b"SIP/2.0", b"XTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1\t", b"\x00HTTP/1.1"),
        *(b" HTTP/1.1", b"\tHTTP/1.1", b"\xef\xbb\xbfHTTP/1.1", b"HTTP/1.1\x00", b"xHTTP/1.1"),
        *(b"HHTTP/1.1", b"\x1bHTTP/1.1"),
    ):
        yield Case(f"line/{label(start)}", (sized(status=start + b" 200 OK"),), "close")
    for before in (b"\r\n", b"\r\n\r\n", b"\n", b"\n\n", b"\r", b"\r\n" * 20, b" \r\n", b"\r\r\n"):
        yield Case(f"line/after-{label(before)}", (before + sized(),), "close")
    for text in (
        *(
            b"hello",
            b"<html><body>hello</body></html>",
            b"\x00" * 20,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ),
        *(
            b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            b"\r\n\r\n",
            b"\n",
        ),
        *(
            b"220 smtp ready\r\n",
            b"+OK pop3 ready\r\n",
            b"* OK imap\r\n",
            b"\x15\x03\x01\x00\x02\x02\x28",
        ),
        *(
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r",
            b"HTTP/1.1 200",
            b"HTTP/1.1\r\n\r\n",
        ),
        *(
            b"HTTP/1.1 200 OK\n\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1 200 \r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ),
        *(
            b"",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r",
            b"HTTP/1.1 200 OK\r\n\rX",
            b"H",
            b"HTTP/1.1 200OK\r\n\r\n",
        ),
    ):
        yield Case(f"line/only-{label(text)}", (text,), "close")


# Header lines


def headers() -> Iterator[Case]:
    for lines in (
        *((b"A: b",), (b"a: b", b"A: c"), (b"A:b",), (b"A:\tb",), (b"A:   b",), (b"A: b  ",)),
        *((b"A: b\t",), (b"A:",), (b"A: ",), (b"A:  \t ",), (b"A: b  c",), (b"A: b\tc",)),
        *((b"A: b:c",), (b"A: :b",), (b"A::b",), (b"A: b;c=d, e",), (b'A: "b, c"',), (b"A: \xff",)),
        *(
            (b"A: \xc3\xa9",),
            (b"A: \x80",),
            (b"A: b\xa0",),
            (b"A: \xa0b",),
            (b"1: b",),
            (b"!#$%&'*+-.^_`|~: b",),
        ),
        *((b"X-" + b"n" * 200 + b": b",), (b"A: " + b"x" * 8000,), (b"A: " + b"x" * 30000,)),
        *(
            (b"Set-Cookie: a=b", b"Set-Cookie: c=d", b"Set-Cookie: a=e"),
            (b"B: 1", b"A: 2", b"B: 3"),
        ),
        *((b"Server: x", b"Date: y", b'ETag: "z"'), (b"A: b", b"A: b"), (b"A: ", b"A: b", b"A:")),
        *((b"Location: /else",), (b"Content-Type: text/html; charset=utf-8",), (b"Upgrade: h2c",)),
        *((b"Trailer: A",), (b"Vary: *",), (b"Age: -1",), (b"Date: never",), (b"Retry-After: x",)),
        *((b"Refresh: 0",), (b"HTTP/1.1: x",), (b"Content-Range: bytes 0-4/9",), (b"_: b",)),
        *((b'Alt-Svc: h2=":443"; ma=9',), (b"Strict-Transport-Security: max-age=9",)),
        *((b'WWW-Authenticate: Basic realm="x"',), (b"Content-MD5: x",), (b"Accept-Ranges: none",)),
    ):
        yield Case(f"header/{label(b'|'.join(lines))}", (sized(*lines),))
    for lines in (
        *(
            (b"A: b", b" c"),
            (b"A: b", b"\tc"),
            (b"A: b", b"   c   ", b"  d"),
            (b"A:", b" b"),
            (b"A: b", b" "),
        ),
        *(
            (b"A: b", b" c: d"),
            (b" A: b",),
            (b"\tA: b",),
            (b" ",),
            (b" b", b"A: c"),
            (b"A: b ", b" c"),
        ),
        *(
            (b"A : b",),
            (b"A\t: b",),
            (b"A  : b",),
            (b"A B: c",),
            (b": b",),
            (b":",),
            (b"A",),
            (b"no colon",),
        ),
        *(
            (b"A: b\x00c",),
            (b"A: \x00",),
            (b"A\x00: b",),
            (b"A: b\x01c",),
            (b"A: b\x08",),
            (b"A: b\x0bc",),
        ),
        *(
            (b"A: b\x0cc",),
            (b"A: b\x1fc",),
            (b"A: b\x7fc",),
            (b"A: b\rc",),
            (b"A: b\r",),
            (b"A: \rb",),
            (b"A: b\r\r",),
        ),
        *(
            (b"A\r: b",),
            (b"A\rB: c",),
            (b"\rA: b",),
            (b"A: b\nC: d",),
            (b"A: b\n C",),
            (b"A: b\nC",),
            (b"A\n: b",),
        ),
        *(
            (b"\xc3\xa9: b",),
            (b"\xff: b",),
            (b"A(B): c",),
            (b"A@B: c",),
            (b"A/B: c",),
            (b'A"B": c',),
        ),
        *(
            (b"A,B: c",),
            (b"A;B: c",),
            (b"A=B: c",),
            (b"[A]: c",),
            (b"{A}: c",),
            (b"A\\B: c",),
            (b"A?B: c",),
            (b"<A>: c",),
        ),
        *(
            (b"A\x7f: b",),
            (b"A\x01: b",),
            (b"HTTP/1.1 200 OK",),
            (b"GET / HTTP/1.1",),
            (b"<html>",),
        ),
    ):
        yield Case(f"header/{label(b'|'.join(lines))}", (sized(*lines),), "close")
    for count in (10, 100, 500, 1000):
        yield Case(f"header/{count}-lines", (sized(*[b"X-%d: %d" % (i, i) for i in range(count)]),))
    for size in (50_000, 70_000, 150_000, 400_000):
        yield Case(f"header/value-of-{size}", (sized(b"A: " + b"x" * size),), "close")
        few = [b"X-%d: " % i + b"x" * 990 for i in range(size // 1000)]
        yield Case(f"header/lines-of-{size}", (sized(*few),), "close")
    yield Case("header/name-of-70000", (sized(b"x" * 70000 + b": b"),), "close")
    yield Case("header/6000-lines", (sized(*[b"A: b"] * 6000),), "close")
    text = sized(b"A: b", b"C: d")
    edge = text.index(b"\r\n\r\n")
    yield Case("header/lf-everywhere", (text.replace(b"\r\n", b"\n"),))
    yield Case("header/lf-in-status-line", (text.replace(b"\r\n", b"\n", 1),))
    yield Case("header/lf-in-one-line", (text.replace(b"b\r\n", b"b\n", 1),))
    yield Case("header/lf-at-end", (text[:edge] + b"\r\n\n" + BODY,))
    yield Case("header/lf-lf-at-end", (text[:edge] + b"\n\n" + BODY,))
    yield Case("header/lf-crlf-at-end", (text[:edge] + b"\n\r\n" + BODY,))
    yield Case("header/cr-everywhere", (text.replace(b"\r\n", b"\r"),), "close")
    yield Case("header/cr-cr-lf-everywhere", (text.replace(b"\r\n", b"\r\r\n"),), "close")
    yield Case("header/cr-cr-at-end", (text[:edge] + b"\r\r" + BODY,), "close")
    yield Case("header/lf-cr-everywhere", (text.replace(b"\r\n", b"\n\r"),), "close")
    yield Case("header/lf-chunked", (chunked(BODY).replace(b"\r\n", b"\n", 2),))
    lf_head = head(b"Transfer-Encoding: chunked").replace(b"\r\n", b"\n")
    yield Case("header/lf-before-chunks", (lf_head + CHUNKS,))
    yield Case("header/lf-interim", (b"HTTP/1.1 100 Continue\n\n" + text.replace(b"\r\n", b"\n"),))
    yield Case("header/lf-204", (b"HTTP/1.1 204 No Content\nA: b\n\n",))


# Answers to HEAD


def heads() -> Iterator[Case]:
    for name, answer in (
        ("length", head(b"Content-Length: 5")),
        ("length-0", head(b"Content-Length: 0")),
        ("huge-length", head(b"Content-Length: 99999999999")),
        ("chunked", head(b"Transfer-Encoding: chunked")),
        ("bare", head()),
        ("gzip", head(b"Content-Encoding: gzip", b"Content-Length: 25")),
        ("unknown-coding", head(b"Content-Encoding: x", b"Content-Length: 25")),
        ("204", head(status=b"HTTP/1.1 204 X")),
        ("304", head(b"Content-Length: 5", status=b"HTTP/1.1 304 X")),
        ("404", head(b"Content-Length: 5", status=b"HTTP/1.1 404 X")),
        ("keep-alive", head(b"Connection: keep-alive", b"Content-Length: 5")),
    ):
        yield Case(f"head/{name}", (answer,), method="HEAD")
    for name, answer in (
        ("close", head(b"Connection: close", b"Content-Length: 5")),
        ("http-1.0", head(b"Content-Length: 5", status=b"HTTP/1.0 200 OK")),
        ("http-1.0-bare", head(status=b"HTTP/1.0 200 OK")),
        ("body", sized()),
        ("body-of-100000", sized(body=b"x" * 100_000)),
        ("chunked-body", chunked(BODY)),
        ("body-until-close", head() + BODY),
        ("body-after-204", head(status=b"HTTP/1.1 204 X") + BODY),
        ("second-answer", head(b"Content-Length: 5") + SECOND),
        ("length-twice", head(b"Content-Length: 5", b"Content-Length: 6")),
        ("length-negative", head(b"Content-Length: -5")),
        ("length-word", head(b"Content-Length: x")),
        ("both", head(b"Content-Length: 5", b"Transfer-Encoding: chunked")),
        ("transfer-unknown", head(b"Transfer-Encoding: x")),
        ("cut", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("101", head(status=b"HTTP/1.1 101 X")),
    ):
        yield Case(f"head/{name}", (answer,), "close", method="HEAD")
    for name, more in (("body", BODY), ("second-answer", SECOND)):
        segments = head(b"Content-Length: 5"), more
        yield Case(f"head/{name}-apart", segments, method="HEAD", leftover=True)


# Connections


def connections() -> Iterator[Case]:
    for version in (b"1.0", b"1.1"):
        status = b"HTTP/" + version + b" 200 OK"
        for value in (
            *(b"close", b"Close", b"CLOSE", b"keep-alive", b"Keep-Alive", b"", b"x", b"Upgrade"),
            *(b"close, keep-alive", b"keep-alive, close", b"close,x", b"x, close", b"keep-alive,x"),
            *(b"closed", b"xclose", b"close;", b"te, keep-alive", b" close ", b"\tkeep-alive"),
            *(b"keep-alive;x", b"close x", b"'close'"),
        ):
            name = f"connection/{version.decode()}-{label(value)}"
            yield Case(name, (sized(b"Connection: " + value, status=status),))
        for lines in (
            *(
                (b"Connection: close", b"Connection: keep-alive"),
                (b"Connection: keep-alive", b"Connection: close"),
            ),
            *(
                (b"Proxy-Connection: close",),
                (b"Proxy-Connection: keep-alive",),
                (b"Keep-Alive: timeout=5",),
            ),
            *(
                (b"Connection: keep-alive", b"Keep-Alive: timeout=5, max=9"),
                (b"Connection: x", b"Connection: close"),
            ),
            *(
                (b"Keep-Alive: timeout=0",),
                (b"connection: close",),
                (b"Connection:close",),
                (b"Connection:\r\n close",),
            ),
        ):
            name = f"connection/{version.decode()}-{label(b'|'.join(lines))}"
            yield Case(name, (sized(*lines, status=status),))
        close = b"Connection: close"
        yield Case(
            f"connection/{version.decode()}-close-and-more",
            (sized(close, status=status) + b"more",),
        )
    yield Case("connection/closed-unannounced", (sized(),), "close")
    yield Case("connection/reset-unannounced", (sized(),), "reset")
    yield Case("connection/closed-after-chunks", (chunked(BODY),), "close")
    yield Case("connection/close-with-chunks", (chunked(BODY, lines=[b"Connection: close"]),))
    yield Case("connection/post", (sized(),), method="POST")
    yield Case("connection/put", (sized(),), method="PUT")


def leftovers() -> Iterator[Case]:
    for name, answer in (
        ("length", sized()),
        ("length-0", sized(body=b"")),
        ("chunks", chunked(BODY)),
        ("trailers", chunked(BODY, trailers=[b"A: b"])),
        ("204", head(status=b"HTTP/1.1 204 X")),
        ("304", head(status=b"HTTP/1.1 304 X")),
        ("large", sized(body=b"x" * 200_000)),
    ):
        for what, more in (
            *(
                ("second", SECOND),
                ("crlf", b"\r\n"),
                ("lf", b"\n"),
                ("byte", b"x"),
                ("nul", b"\x00"),
            ),
            *(
                ("interim", b"HTTP/1.1 100 Continue\r\n\r\n"),
                ("begin", b"HTTP/1.1 200"),
                ("much", b"x" * 100_000),
            ),
        ):
            yield Case(f"leftover/{name}-{what}", (answer + more,), leftover=True)
            if what in ("second", "crlf", "byte"):
                yield Case(f"leftover/{name}-{what}-apart", (answer, more), leftover=True)


# Content-Encoding

TEXT = b"some text, " * 20


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


def codings() -> Iterator[Case]:
    zipped = gzip.compress(TEXT, mtime=0)
    wrapped = zlib.compress(TEXT)
    raw = raw_deflate(TEXT)
    br = brotli.compress(TEXT)
    for coding, body in (
        *((b"gzip", zipped), (b"x-gzip", zipped), (b"GZIP", zipped), (b"deflate", wrapped)),
        *((b"Deflate", wrapped), (b"br", br), (b"BR", br), (b"identity", TEXT), (b"", TEXT)),
        *(
            (b"gzip, gzip", gzip.compress(zipped, mtime=0)),
            (b"deflate, gzip", gzip.compress(wrapped, mtime=0)),
        ),
        *(
            (b"br,gzip", gzip.compress(br, mtime=0)),
            (b"identity, gzip", zipped),
            (b"gzip,", zipped),
        ),
        *((b"gzip, identity", zipped), (b" gzip ", zipped), (b"none", TEXT), (b",gzip", zipped)),
        *(
            (b"x-deflate", wrapped),
            (b"compress", TEXT),
            (b"zstd", TEXT),
            (b"unknown", TEXT),
            (b"utf-8", TEXT),
        ),
        *(
            (b"gzip;q=1", zipped),
            (b"aws-chunked", TEXT),
            (b"gzip gzip", TEXT),
            (b"*", TEXT),
            (b"chunked", TEXT),
        ),
    ):
        yield Case(f"coding/{label(coding)}", (sized(b"Content-Encoding: " + coding, body=body),))
        answer = chunked(
            *[body[i : i + 7] for i in range(0, len(body), 7)],
            lines=[b"Content-Encoding: " + coding],
        )
        yield Case(f"coding/{label(coding)}-chunked", (answer,))
    six = TEXT
    for _ in range(6):
        six = gzip.compress(six, mtime=0)
    yield Case(
        "coding/gzip-six-times",
        (sized(b"Content-Encoding: " + b", ".join([b"gzip"] * 6), body=six),),
    )
    for name, coding, body in (
        *(("gzip-cut", b"gzip", zipped[:-12]), ("gzip-trailer-cut", b"gzip", zipped[:-4])),
        *(("gzip-header-alone", b"gzip", zipped[:10]), ("gzip-one-byte", b"gzip", zipped[:1])),
        *(
            ("gzip-wrong-sum", b"gzip", zipped[:-8] + b"\0" * 4 + zipped[-4:]),
            ("gzip-wrong-size", b"gzip", zipped[:-4] + b"\0" * 4),
        ),
        *(
            ("gzip-plain", b"gzip", TEXT),
            ("gzip-deflate", b"gzip", wrapped),
            ("gzip-members", b"gzip", zipped * 2),
        ),
        *(
            ("gzip-more", b"gzip", zipped + b"more"),
            ("gzip-zeros-more", b"gzip", zipped + b"\0" * 100),
        ),
        *(
            ("gzip-name", b"gzip", b"\x1f\x8b\x08\x08\0\0\0\0\0\xffname\0" + zipped[10:]),
            ("gzip-empty", b"gzip", b""),
        ),
        *(
            ("gzip-of-nothing", b"gzip", gzip.compress(b"", mtime=0)),
            ("gzip-flags", b"gzip", zipped[:3] + b"\xe0" + zipped[4:]),
        ),
        *(
            ("gzip-wrong-data", b"gzip", zipped[:12] + b"\xff\xff" + zipped[14:]),
            ("gzip-large", b"gzip", gzip.compress(b"x" * 300_000, mtime=0)),
        ),
        *(
            ("deflate-raw", b"deflate", raw),
            ("deflate-cut", b"deflate", wrapped[:-10]),
            ("deflate-sum-cut", b"deflate", wrapped[:-2]),
        ),
        *(
            ("deflate-raw-cut", b"deflate", raw[:-5]),
            ("deflate-wrong-sum", b"deflate", wrapped[:-4] + b"\0" * 4),
        ),
        *(
            ("deflate-plain", b"deflate", TEXT),
            ("deflate-gzip", b"deflate", zipped),
            ("deflate-empty", b"deflate", b""),
        ),
        *(
            ("deflate-more", b"deflate", wrapped + b"more"),
            ("br-cut", b"br", br[:-3]),
            ("br-plain", b"br", TEXT),
        ),
        *(
            ("br-empty", b"br", b""),
            ("br-more", b"br", br + b"more"),
            ("br-one-byte", b"br", br[:1]),
        ),
        *(
            ("gzip-twice-once", b"gzip, gzip", zipped),
            ("unknown-gzip", b"unknown, gzip", zipped),
            ("gzip-unknown", b"gzip, unknown", zipped),
        ),
    ):
        yield Case(f"coding/{name}", (sized(b"Content-Encoding: " + coding, body=body),))
    for lines in ((b"gzip", b"identity"), (b"deflate", b"gzip"), (b"gzip", b"gzip")):
        body = gzip.compress(wrapped, mtime=0) if b"deflate" in lines else zipped
        body = gzip.compress(zipped, mtime=0) if lines[0] == lines[1] else body
        answer = sized(*[b"Content-Encoding: " + line for line in lines], body=body)
        yield Case(f"coding/lines-{label(b'-'.join(lines))}", (answer,))
    until = head(b"Content-Encoding: gzip") + zipped
    yield Case("coding/gzip-until-close", (until,), "close")
    yield Case("coding/gzip-until-close-cut", (until[:-9],), "close")
    yield Case("coding/gzip-204", (head(b"Content-Encoding: gzip", status=b"HTTP/1.1 204 X"),))
    yield Case("coding/gzip-304", (head(b"Content-Encoding: gzip", status=b"HTTP/1.1 304 X"),))
    yield Case(
        "coding/gzip-404",
        (sized(b"Content-Encoding: gzip", status=b"HTTP/1.1 404 X", body=zipped),),
    )


# Cuts

WHOLES = {
    "length": sized(b"A: b"),
    "chunks": chunked(b"he", b"llo", lines=[b"A:"]),
    "trailers": chunked(BODY, trailers=[b"T: u"]),
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + sized(),
    "204": head(b"A: b", status=b"HTTP/1.1 204 No"),
    "gzip": sized(b"Content-Encoding: gzip", body=gzip.compress(BODY, mtime=0)),
    "until-close": head(b"A: b") + BODY,
}
"""Answers that are cut, ended and reset at every byte that may matter."""


def edges(answer: bytes) -> list[int]:
    """The places in an answer at which something begins or ends."""
    marks = b"\r\n: ;/."
    found = {1, len(answer) - 1}
    for at in range(1, len(answer)):
        if answer[at] in marks or answer[at - 1] in marks:
            found.add(at)
    return sorted(found)


def place(answer: bytes, at: int) -> str:
    """In which part of a response a place is."""
    begun = answer[:at]
    head_begun = begun[max(0, begun.rfind(b"HTTP/1.1 ")) :]
    if b"\r\n" not in head_begun:
        return "status-line"
    if b"\r\n\r\n" in head_begun:
        return "rest"
    return "last-lf" if head_begun.endswith(b"\r\n\r") else "head"


def cuts() -> Iterator[Case]:
    for name, answer in WHOLES.items():
        kept = "close" if name == "until-close" else "keep"
        for at in edges(answer):
            where = f"{name}-{place(answer, at)}-{at}"
            yield Case(f"cut/{where}", (answer[:at], answer[at:]), kept)
            yield Case(f"closed/{where}", (answer[:at],), "close")
            yield Case(f"reset/{where}", (answer[:at],), "reset")
        bytewise = tuple(answer[i : i + 1] for i in range(len(answer)))
        yield Case(f"cut/{name}-everywhere", bytewise, kept)
    yield Case("closed/at-once", (), "close")
    yield Case("reset/at-once", (), "reset")


# Mixtures


def mixes() -> Iterator[Case]:
    """What servers may well send: every part right by itself, in any combination."""
    rng = random.Random(SEED)
    parts = {
        "version": ["1.1", "1.1", "1.0"],
        "status": ["200", "201", "404", "500", "204", "304"],
        "framing": ["length", "chunked", "trailers", "until-close"],
        "coding": ["plain", "plain", "gzip", "deflate", "br"],
        "connection": ["none", "none", "close", "keep-alive"],
        "interim": ["final", "final", "100", "103"],
        "size": ["0", "5", "300", "5000", "70000"],
        "lines": ["crlf", "crlf", "lf"],
        "segments": ["whole", "halves", "pieces"],
        "method": ["GET", "GET", "POST", "HEAD"],
    }
    coders = {
        "gzip": lambda data: gzip.compress(data, mtime=0),
        "deflate": zlib.compress,
        "br": brotli.compress,
    }
    seen = set()
    while len(seen) < MIXES:
        mix = {part: rng.choice(options) for part, options in parts.items()}
        name = "mix/" + "-".join(mix.values())
        if name in seen:
            continue
        seen.add(name)
        body = bytes(rng.choice(b"abcdef \r\n0123456789") for _ in range(int(mix["size"])))
        lines = [b"Server: mixed", b"X-Mix: %d" % len(seen)]
        if mix["coding"] in coders:
            body = coders[mix["coding"]](body)
            lines.append(b"Content-Encoding: " + mix["coding"].encode())
        if mix["connection"] != "none":
            lines.append(b"Connection: " + mix["connection"].encode())
        if mix["framing"] == "length":
            lines.append(b"Content-Length: %d" % len(body))
        elif mix["framing"] != "until-close":
            lines.append(b"Transfer-Encoding: chunked")
            pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"
            body += b"T: u\r\n\r\n" if mix["framing"] == "trailers" else b"\r\n"
        rng.shuffle(lines)
        start = head(*lines, status=f"HTTP/{mix['version']} {mix['status']} X".encode())
        if mix["interim"] != "final":
            start = f"HTTP/1.1 {mix['interim']} X\r\nLink: a\r\n\r\n".encode() + start
        if mix["lines"] == "lf":
            start = start.replace(b"\r\n", b"\n")
        bodiless = mix["method"] == "HEAD" or mix["status"] in ("204", "304")
        answer = start if bodiless else start + body
        middle = len(start) if mix["segments"] == "halves" else rng.randrange(1, len(answer))
        ends = (
            [middle]
            if mix["segments"] == "halves"
            else sorted({middle, rng.randrange(1, len(answer))})
        )
        if mix["segments"] == "whole":
            ends = []
        bounds = [0, *ends, len(answer)]
        segments = tuple(answer[a:b] for a, b in itertools.pairwise(bounds) if a < b)
        ends_it = mix["framing"] == "until-close" and not bodiless
        closes = (
            ends_it
            or mix["connection"] == "close"
            or (mix["version"] == "1.0" and mix["connection"] == "none")
        )
        yield Case(name, segments, "close" if closes else "keep", mix["method"])


GROUPS = (
    *(
        lengths,
        codings_of_transfer,
        chunk_sizes,
        chunk_bodies,
        both_framings,
        until_close,
        statuses,
    ),
    *(interims, status_lines, headers, heads, connections, leftovers, codings, cuts, mixes),
)

CASES = [case for group in GROUPS for case in group()]
