"""The same answers of a server, taken in by each of our clients and by libcurl itself.

Status, headers, body and whether the connection is used again are the same, or both refuse it,
but for what `DIFFERENCES` lists. Then a second request gets its own answer, whatever the first
one left behind. The answers are those of helpers_answers.py, sent over real sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pycurl
import pytest
from conftest import Listen
from helpers_answers import CASES, Case
from helpers_clients import (
    Answer,
    Client,
    CurlClient,
    EngineByCurlClient,
    EngineClient,
    Outcome,
    Refusal,
    fields_of,
)
from servers import Listener

FAST, BY_LIBCURL = "engine", "engine by libcurl"
CLIENTS: dict[str, Callable[[], Client]] = {FAST: EngineClient, BY_LIBCURL: EngineByCurlClient}
"""Ours. Each is compared with libcurl: that of pycurl, mostly newer than the engine's."""

AGAIN = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain"
SECOND = Answer(200, (("Content-Length", "5"),), b"again")
SETTLED = 10.0
"""Seconds within which a server has sent all of its answer, or its peer has closed."""


@dataclass(frozen=True)
class Difference:
    """Cases (patterns of fnmatch) that one of our clients and libcurl judge differently, and why.

    ours, libcurl: "taken" or "refused", or of a connection after an answer that both take "kept" or
    "closed". varies: only some versions of libcurl, as which the engine has one, differ.
    """

    ours: str
    libcurl: str
    reason: str
    cases: tuple[str, ...]
    clients: tuple[str, ...] = (FAST, BY_LIBCURL)
    varies: bool = False


LIBCURLS_OWN = (
    *("chunks/size-*", "chunks/last-*", "chunks/extension-*", "chunks/trailers-: b"),
    *("chunks/*lf-after-*", "chunks/lf-everywhere", "chunks/cr-x-after-last"),
    *("interim/100-http-1.0*", "interim/100-extra-line", "line/after-*", "reason/ O?x00K"),
    *("connection/1.0-Proxy-Connection: keep-alive", "connection/1.1-close x"),
)
"""What libcurl decides for the engine too: it does the chunks, the beginning of a response, and the
decision to keep a connection, but that we may still end it."""

SWALLOWED = ("leftover/chunks-*", "leftover/trailers-*")
"""What older versions of libcurl drop without a word behind the last chunk: nobody can tell."""


DIFFERENCES = (
    # We refuse what libcurl takes.
    Difference(
        "refused",
        "taken",
        "A head without its end may lack the field that says what the rest means (RFC 9112, 8).",
        (
            *("closed/*-head-*", "head/cut"),
            *(f"closed/{name}-last-lf-*" for name in ("chunks", "trailers", "204", "until-close")),
            *("line/only-HTTP/1.1 200 OK?r?n", "line/only-HTTP/1.1 200 OK?r?n?r"),
        ),
    ),
    Difference(
        "refused",
        "taken",
        "Content-Length beside chunks: whoever goes by the other one takes a part of this response"
        " for the next. To be handled as an error (RFC 9112, 6.3).",
        (
            "both/content-first-[0-9]*",
            "both/transfer-first-[0-9]*",
            "both/http-1.0-chunks",
            "both/folded",
        ),
    ),
    Difference(
        "refused",
        "taken",
        "A length beyond 63 bits is no length, and the body is not whatever comes (RFC 9112, 6.3).",
        (
            *(
                "length/9223372036854775808",
                "length/9223372036854775813",
                "length/18446744073709551*",
            ),
            *("length/36893488147419103*", "length/340282366920938463463374607431768211*"),
            *("length/9999*...40", "length/1000*...401"),
        ),
    ),
    Difference(
        "refused",
        "taken",
        "A list of equal lengths may be refused (RFC 9110, 8.6).",
        ("length/5,5", "length/5, 5"),
    ),
    Difference(
        "refused",
        "taken",
        "Blanks in or around a name hide a field from some and not from others (RFC 9112, 5.1 and"
        " 2.2).",
        (
            *("*/Content-Length : 5", "*/Content-Length?t: 5", "*/ Content-Length: 5"),
            *("*/Transfer-Encoding : chunked", "*/Transfer-Encoding?t: chunked"),
            *("*/ Transfer-Encoding: chunked", "header/A : b", "header/A  : b", "header/A?t: b"),
            *("header/A B: c", "header/ A: b", "header/?tA: b", "chunks/trailers-A : b"),
            "chunks/trailers- A: b",
        ),
    ),
    Difference(
        "refused",
        "taken",
        "A name is a token, and not empty (RFC 9110, 5.1).",
        (
            *("header/?x??: b", "header/?x???x??: b", "header/A?x01: b", "header/A?x7f: b"),
            *("header/A[(@/,;=?]B*: c", r"header/A[\][\]B: c", 'header/A"B": c'),
            *("header/?A?: c", "header/HTTP/1.1: x", "chunks/trailers-HTTP/1.1: x"),
            *("header/:", "header/: b", "chunks/trailers-: b"),
            *("chunks/trailers-?x01: a", "transfer/?x0bTransfer-*"),
        ),
    ),
    Difference(
        "refused",
        "taken",
        "Control characters make a value invalid (RFC 9110, 5.5).",
        (
            "header/A: b?x[01][18bcf]c",
            "header/A: b?x08",
            "header/A: b?x7fc",
            "transfer/chunked?x0b",
        ),
    ),
    Difference(
        "refused",
        "taken",
        "Not the coding that was meant, an empty list, or something behind chunked: the body's end"
        " is not known for sure (RFC 9112, 6.1; RFC 9110, 5.6.1).",
        (
            *("transfer/chunked?xa0", "transfer/lines-chunked-identity", "transfer/lines--chunked"),
            "transfer/lines-chunked-",
            *("transfer/", "both/plain-", "both/plain-after-"),
        ),
    ),
    Difference(
        "refused",
        "taken",
        "A chunk size is hexadecimal digits, then blanks, ';' or CRLF (RFC 9112, 7.1).",
        (
            *("chunks/size-5[xgh,]", "chunks/size-5?x0[0b]", "chunks/size-5.0", "chunks/size-5 5"),
            *("chunks/last-0x0", "chunks/last-0g", "chunks/last-0?x00", "chunks/extension-[,:=]a"),
        ),
    ),
    Difference(
        "refused",
        "taken",
        "A chunk extension has no control characters (RFC 9112, 7.1.1).",
        ("chunks/extension-;a?x[0-7][01f]*", "chunks/extension-;a?rb", "chunks/extension-;a?r?r"),
    ),
    Difference(
        "refused",
        "taken",
        "Lines end in CRLF in the chunked coding, where LF alone is not allowed for (RFC 9112, 7.1"
        " and 2.2): a chunk that ends elsewhere for others is how a response is smuggled in.",
        (
            *(
                "chunks/size-6",
                "chunks/lf-after-data",
                "chunks/lf-after-size",
                "chunks/lf-after-last",
            ),
            *("chunks/lf-everywhere", "chunks/cr-cr-lf-after-*", "chunks/cr-x-after-last"),
        ),
    ),
    Difference(
        "refused",
        "taken",
        "llhttp reads a trailer's Content-Length too. RFC 9112, 6.5.1 says that it has none.",
        ("chunks/trailers-Content-Length: -1", "chunks/trailers-Content-Length: x"),
    ),
    Difference(
        "refused",
        "taken",
        "No status line: three digits and a space, HTTP in capitals, a version that goes over this"
        " wire (RFC 9112, 4 and 2.3).",
        (
            *("status/code-2000", "status/code-20000", "status/code-200.1", "status/code-200,"),
            *("reason/?tOK", "reason/OK", "reason/-OK", "reason/,OK", "line/only-HTTP/1.1 200OK*"),
            *("line/HTTP/3.0", "line/[hH]ttp/1.1"),
        ),
    ),
    Difference(
        "refused",
        "taken",
        "101 was not asked for: what follows is no HTTP (RFC 9110, 15.2.2 and 7.8).",
        ("interim/101", "interim/101-bare", "interim/101-h2c", "status/final-101"),
    ),
    Difference(
        "refused",
        "taken",
        "A CR without LF ends a line for some and not for others (RFC 9112, 2.2).",
        (
            *("header/?rA: b", "header/cr-cr-at-end", "header/lf-cr-everywhere"),
            "line/only-HTTP/1.1 200 OK?r?n?rX",
        ),
    ),
    Difference(
        "refused",
        "taken",
        "Our limit on heads is 64 KiB, libcurl's 300 KiB; RFC 9110, 5.4 leaves it to the client.",
        (
            "header/value-of-70000",
            "header/lines-of-[17]*0000",
            "header/name-of-70000",
            "reason/*...70001",
        ),
    ),
    Difference(
        "refused",
        "taken",
        "A coded body that is cut off is not whole (RFC 9112, 8), and zlib's format is not gzip"
        " (RFC 9110, 8.4.1.3).",
        (
            *("coding/*-cut", "coding/gzip-header-alone", "coding/gzip-one-byte"),
            *("coding/br-one-byte", "coding/gzip-deflate"),
        ),
    ),
    # We take what libcurl refuses.
    Difference(
        "taken",
        "refused",
        "Empty lines before the status line: as RFC 9112, 2.2 has it of servers. Some send one"
        " behind a body; on a kept connection it is found before the next request.",
        (
            *("line/after-?r?n", "line/after-?r?n?r?n*", "line/after-?n", "line/after-?n?n"),
            "interim/100-extra-line",
        ),
    ),
    Difference(
        "taken",
        "refused",
        "A size in bytes is our limit on heads, not the number of lines (RFC 9110, 5.4).",
        ("header/6000-lines",),
    ),
    Difference(
        "taken",
        "refused",
        "Leading zeros of a chunk size say nothing (RFC 9112, 7.1).",
        ("chunks/size-0000*...201", "chunks/last-0000000000000000000"),
    ),
    Difference(
        "taken",
        "refused",
        "A body in a coding that isn't known is given as it came: a load test goes on. (RFC 9110,"
        " 8.4 leaves it to the client.)",
        (
            *(
                f"coding/{name}{framing}"
                for name in (
                    *(
                        "x-deflate",
                        "compress",
                        "zstd",
                        "unknown",
                        "utf-8",
                        "gzip;q=1",
                        "aws-chunked",
                    ),
                    *("gzip gzip", "?", "chunked"),
                )
                for framing in ("", "-chunked")
            ),
            *("coding/gzip-six-times", "coding/unknown-gzip", "coding/gzip-unknown"),
        ),
    ),
    Difference(
        "taken",
        "refused",
        "gzip has members one behind the other (RFC 1952, 2.2); padding and the like behind the end"
        " of the coded data is passed over, as browsers do.",
        ("coding/gzip-members", "coding/*-more"),
    ),
    Difference(
        "taken",
        "refused",
        "A trailer may be continued like any field (RFC 9112, 5.2).",
        ("chunks/trailers-A: b, c",),
    ),
    Difference(
        "taken",
        "refused",
        "The reason phrase is ignored (RFC 9112, 4).",
        ("reason/ O?x00K",),
    ),
    # Both take it, and one of us uses the connection again.
    Difference(
        "closed",
        "kept",
        "With Transfer-Encoding in HTTP/1.0 the framing is not to be trusted (RFC 9112, 6.1).",
        (
            "transfer/http-1.0-keep-alive",
            "mix/1.0-*-chunked-*-keep-alive-*",
            "mix/1.0-*-trailers-*-keep-alive-*",
        ),
    ),
    Difference(
        "closed",
        "kept",
        "close has the last word, and in Proxy-Connection too (RFC 9112, 9.3).",
        ("connection/1.0-Connection: close|Connec...40", "connection/1.1-Proxy-Connection: close"),
    ),
    Difference(
        "kept",
        "closed",
        "The final response says how it goes on, and not an interim one's version (RFC 9112, 9.3).",
        ("interim/100-http-1.0", "interim/100-http-1.0-apart"),
    ),
    Difference(
        "kept",
        "closed",
        "Connection is a list of tokens (RFC 9110, 7.6.1): this one is not close.",
        ("connection/1.1-close x",),
    ),
    Difference(
        "kept",
        "closed",
        "An origin that says Proxy-Connection means Connection (RFC 9112, C.2.2).",
        ("connection/1.0-Proxy-Connection: keep-alive",),
    ),
    # By libcurl, as older versions have it.
    Difference(
        "refused",
        "taken",
        "Lines that are continued: older versions of libcurl don't see what the field says. Theirs"
        " to refuse for a server, too (RFC 9112, 5.2).",
        ("length/Content-Length:?r?n 5", "transfer/?r?n chunked", "transfer/chunked?r?n "),
        clients=(BY_LIBCURL,),
        varies=True,
    ),
    Difference(
        "refused",
        "taken",
        "More than 16 digits of a chunk size (RFC 9112, 7.1 has no limit).",
        ("chunks/size-00000000000000005",),
        clients=(BY_LIBCURL,),
        varies=True,
    ),
    Difference(
        "taken",
        "refused",
        "The end of the connection within the very last line end of the chunked coding.",
        ("closed/chunks-rest-70", "closed/trailers-rest-67"),
        clients=(BY_LIBCURL,),
        varies=True,
    ),
    Difference(
        "closed",
        "kept",
        "Whatever has close in it.",
        tuple(f"connection/1.1-{value}" for value in ("closed", "xclose", "close;", "'close'")),
        clients=(BY_LIBCURL,),
        varies=True,
    ),
)


def settle(port: Listener, case: Case) -> None:
    """Wait until the server has done all that it does by itself."""
    until = time.monotonic() + SETTLED
    while True:
        counts = port.counts()
        if not counts["open"] or (case.then == "keep" and counts["marks"]):
            return
        assert time.monotonic() < until, f"{case.name}: the server is still busy"
        time.sleep(0.0005)


@dataclass(frozen=True)
class Seen:
    """What a client made of a case: both outcomes, and how many connections it took."""

    first: Outcome
    second: Outcome
    connections: int


def script_of(case: Case) -> list[list[Any]]:
    script: list[list[Any]] = [["request"]]
    for segment in case.segments:
        script += [["pause", 0.002]] * (len(script) > 1) + [["send", segment.decode("latin-1")]]
    script.append(["mark", "sent"])
    if case.then != "keep":
        return [*script, [case.then]]
    return [*script, ["request"], ["send", AGAIN], ["again", len(script)]]


def see(make: Callable[[], Client], case: Case, hostile: Listen) -> Seen:
    """Have a client of its own make two requests, the first of which is answered by the case."""
    port = hostile(script_of(case), [["request"], ["send", AGAIN], ["again"]])
    client = make()
    try:
        first = client.request(case.method, port.url + "/first")
        settle(port, case)
        second = client.request("GET", port.url + "/second")
        return Seen(first, second, port.counts()["connections"])
    finally:
        client.close()


REFERENCE: dict[str, Seen] = {}
"""What libcurl made of the cases so far."""


def see_reference(case: Case, hostile: Listen) -> Seen:
    if case.name not in REFERENCE:
        REFERENCE[case.name] = see(CurlClient, case, hostile)
    return REFERENCE[case.name]


def compare(case: Case, ours: Seen, libcurl: Seen) -> tuple[str, str] | None:
    """How the two differ, in the words of `Difference`; None: not at all."""
    if ours.first != libcurl.first:
        return verdict(ours.first), verdict(libcurl.first)
    if case.then == "keep" and not case.leftover and isinstance(ours.first, Answer):
        kept = [seen.connections == 1 for seen in (ours, libcurl)]
        if kept[0] != kept[1]:
            return ("kept", "closed") if kept[0] else ("closed", "kept")
    return None


def verdict(outcome: Outcome) -> str:
    return "taken" if isinstance(outcome, Answer) else "refused"


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def listed(name: str, client: str) -> list[Difference]:
    return [
        difference
        for difference in DIFFERENCES
        if client in difference.clients and matches(name, difference.cases)
        if client == FAST or FAST not in difference.clients or not matches(name, LIBCURLS_OWN)
    ]


def shown(seen: Seen) -> str:
    return f"{repr(seen.first)[:1000]}, {seen.connections} connection(s)"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("client", CLIENTS)
def test_as_libcurl(case: Case, client: str, hostile: Listen) -> None:
    ours = see(CLIENTS[client], case, hostile)
    libcurl = see_reference(case, hostile)
    differences = listed(case.name, client)
    expected = [(difference.ours, difference.libcurl) for difference in differences]
    found = compare(case, ours, libcurl)
    may_agree = any(difference.varies for difference in differences)
    assert ([found] if found else []) == expected or (may_agree and not found), (
        f"{b'|'.join(case.segments)[:500]!r}, then {case.then}\n"
        f"{client}: {shown(ours)}\n{pycurl.version.split()[1]}: {shown(libcurl)}"
    )
    for outcome in (ours.first, libcurl.first):
        assert not isinstance(outcome, Refusal) or not outcome.timed_out, outcome
    assert ours.second == SECOND, f"after {shown(ours)}"
    swallowed = client == BY_LIBCURL and matches(case.name, SWALLOWED)
    if case.leftover and isinstance(ours.first, Answer) and not swallowed:
        assert ours.connections == 2, f"{shown(ours)}: used again with bytes of nobody's"


# The comparison itself


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 400
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason[:40])
def test_every_pattern_has_a_case(difference: Difference) -> None:
    for pattern in difference.cases:
        assert any(fnmatchcase(case.name, pattern) for case in CASES), pattern


def test_what_is_libcurls_own_is_a_difference() -> None:
    """Of the fast path: else it would not have to be listed."""
    for pattern in LIBCURLS_OWN:
        names = [case.name for case in CASES if fnmatchcase(case.name, pattern)]
        assert any(listed(name, FAST) for name in names), pattern
        assert not any(listed(name, BY_LIBCURL) for name in names if listed(name, FAST)), pattern
    assert all(any(fnmatchcase(case.name, pattern) for case in CASES) for pattern in SWALLOWED)


ONE = Answer(200, (("A", "b"),), b"body")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Answer(201, (("A", "b"),), b"body"), ("taken", "taken")),
        (Answer(200, (("a", "b"),), b"body"), ("taken", "taken")),
        (Answer(200, (("A", "c"),), b"body"), ("taken", "taken")),
        (Answer(200, (), b"body"), ("taken", "taken")),
        (Answer(200, (("A", "b"),), b"bod"), ("taken", "taken")),
        (Refusal(False, "why"), ("taken", "refused")),
    ],
)
def test_differences_are_seen(other: Outcome, words: tuple[str, str]) -> None:
    case = Case("any", ())
    assert compare(case, Seen(ONE, SECOND, 1), Seen(other, SECOND, 1)) == words
    assert compare(case, Seen(ONE, SECOND, 1), Seen(ONE, SECOND, 1)) is None
    assert compare(case, Seen(ONE, SECOND, 1), Seen(ONE, SECOND, 2)) == ("kept", "closed")
    refused = Seen(Refusal(False, "one"), SECOND, 1), Seen(Refusal(False, "another"), SECOND, 2)
    assert compare(case, *refused) is None
    timed_out = Seen(Refusal(True, "one"), SECOND, 1)
    assert compare(case, timed_out, refused[0]) == ("refused", "refused")


def test_heads_as_libcurl_gives_them() -> None:
    lines = b"HTTP/1.1 100 Go\r\n|B: c\r\n|\r\n|HTTP/1.1 200 OK\r\n|A:  b \r\n|a:\r\n|\r\n|T: u\r\n"
    assert fields_of(lines.split(b"|")) == (("A", "b"), ("a", ""))
