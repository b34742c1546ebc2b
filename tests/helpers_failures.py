"""What a server does wrong, and what a request to it is to become: for every kind of user."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import Any

Script = list[list[Any]]

OK = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD: Script = [["request"], ["send", OK], ["again"]]
PATIENCE = {"network_timeout": 1.0}


def answers(*texts: str, then: str = "close") -> Script:
    """A script that reads a request and sends the texts, each when the one before was taken."""
    steps = [step for text in texts for step in (["send", text], ["taken"])]
    return [["request"], *steps, [then]]


def coded(coding: str, body: bytes) -> str:
    """A whole response with that Content-Encoding."""
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head + body.decode("latin-1")


def head(*lines: str) -> str:
    """The head of a 200 with the given header lines."""
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", ""))


@dataclass(frozen=True)
class Failure:
    """What a server does, and what the request is to become. {at} stands for its address."""

    name: str
    script: Script
    error: str
    builtin: type[Exception]
    text: str
    phase: str
    status: int = 0
    method: str = "GET"
    scheme: str = "http"
    attributes: dict[str, Any] = field(default_factory=dict)
    data: bytes | None = None


def garbage(name: str, text: str, status: int = 0, phase: str = "wait") -> Failure:
    pattern = "response from {at} is not valid HTTP: .+"
    script = answers(text, then="hold")
    kind = "BodyProtocolError" if phase == "body" else "ProtocolError"
    return Failure(name, script, kind, Exception, pattern, phase, status)


def closed(name: str, where: str, *texts: str, status: int = 0) -> Failure:
    phase = "body" if where == "within the body" else "wait"
    text = f"connection closed by {{at}} {where}"
    kind = "IncompleteBody" if phase == "body" else "ConnectionClosed"
    return Failure(name, answers(*texts), kind, ConnectionError, text, phase, status)


def reset(name: str, where: str, *texts: str, status: int = 0) -> Failure:
    phase = "body" if where == "receiving the body" else "wait"
    text = f"connection reset by {{at}} while {where}"
    script = answers(*texts, then="reset")
    kind = "BodyReset" if phase == "body" else "ConnectionReset"
    return Failure(name, script, kind, ConnectionResetError, text, phase, status)


def silent(name: str, where: str, *texts: str, status: int = 0) -> Failure:
    phase = "body" if where == "receiving the body" else "wait"
    text = f"no data from {{at}} for 1 s while {where}"
    script = answers(*texts, then="hold")
    kind = "BodyTimeout" if phase == "body" else "ReadTimeout"
    return Failure(name, script, kind, TimeoutError, text, phase, status, attributes=PATIENCE)


def too_large(name: str, script: Script, what: str, status: int = 0, **limits: int) -> Failure:
    phase = "body" if status else "wait"
    headers = limits.get("max_response_headers", 64 << 10)
    body = limits.get("max_response_body", 1 << 30)
    text = {
        "HeadersTooLarge": f"response headers from {{at}} exceed {headers} bytes",
        "BodyTooLarge": f"response body from {{at}} exceeds {body} bytes",
    }[what]
    return Failure(name, script, what, Exception, text, phase, status, attributes=dict(limits))


def undecodable(name: str, coding: str, body: bytes) -> Failure:
    text = f"response body from {{at}} is not valid {coding}"
    script = [["request"], ["send", coded(coding, body)], *GOOD[:2], ["again", 2]]
    return Failure(name, script, "DecodeError", zlib.error, text, "body", 200)


UPLOAD = b"x" * (32 << 20)
NO_RESPONSE = "without a response"
WAITING = "waiting for the response"
RECEIVING = "receiving the body"

FAILURES = [
    garbage("another protocol", "SSH-2.0-OpenSSH_9.2\r\n"),
    garbage("binary", "\x00\xff\x80\x16\x03\x01"),
    garbage("letters in the status", "HTTP/1.1 abc OK\r\n\r\n"),
    garbage("a status of five digits", "HTTP/1.1 20000 OK\r\n\r\n"),
    garbage("another HTTP version", "HTTP/3.7 200 OK\r\n\r\n"),
    garbage("a header without a colon", head("No colon here")),
    garbage("a header with a NUL", head("X: a\x00b")),
    garbage("a body length that is no number", head("Content-Length: 4x") + "fine"),
    garbage("a negative body length", head("Content-Length: -4") + "fine"),
    garbage("a body length beyond 64 bits", head("Content-Length: 99999999999999999999") + "x"),
    garbage("two body lengths", head("Content-Length: 4", "Content-Length: 5") + "fine!"),
    garbage(
        "a body length and chunks",
        head("Content-Length: 4", "Transfer-Encoding: chunked") + "4\r\nfine\r\n0\r\n\r\n",
    ),
    garbage("a chunk size that is no number", CHUNKED + "zz\r\nfine\r\n", 200, "body"),
    garbage("a chunk longer than its size", CHUNKED + "2\r\nfine\r\n0\r\n\r\n", 200, "body"),
    garbage("a chunk size beyond 64 bits", CHUNKED + "f" * 20 + "\r\nfine", 200, "body"),
    closed("at once", NO_RESPONSE),
    closed("within the status line", "within the headers", "HTTP/1.1 2"),
    closed("within the headers", "within the headers", "HTTP/1.1 200 OK\r\nContent-Le"),
    closed("after an interim response", "within the headers", "HTTP/1.1 100 Continue\r\n\r\n"),
    closed("before the body", "within the body", head("Content-Length: 4"), status=200),
    closed("within the body", "within the body", head("Content-Length: 4"), "fi", status=200),
    closed("within a chunk", "within the body", CHUNKED + "4\r\nfi", status=200),
    closed("before the last chunk", "within the body", CHUNKED + "4\r\nfine\r\n", status=200),
    closed("within the trailers", "within the body", CHUNKED + "0\r\nX-Afte", status=200),
    reset("before the response", WAITING),
    reset("within the headers", WAITING, "HTTP/1.1 200 OK\r\n"),
    reset("within the body", RECEIVING, head("Content-Length: 4") + "fi", status=200),
    reset("an until-close body", RECEIVING, head() + "fi", status=200),
    silent("before the response", WAITING),
    silent("within the headers", WAITING, "HTTP/1.1 200 OK\r\n"),
    silent("after an interim response", WAITING, "HTTP/1.1 100 Continue\r\n\r\n"),
    silent("before the body", RECEIVING, head("Content-Length: 4"), status=200),
    silent("within the body", RECEIVING, head("Content-Length: 4") + "fi", status=200),
    silent("within the chunks", RECEIVING, CHUNKED + "4\r\nfine\r\n", status=200),
    too_large(
        "one header over the limit",
        answers(head("X: " + "x" * 20000), then="hold"),
        "HeadersTooLarge",
        max_response_headers=8192,
    ),
    too_large(
        "many headers over the limit",
        answers(head(*[f"X-{i}: x" for i in range(2000)]), then="hold"),
        "HeadersTooLarge",
        max_response_headers=8192,
    ),
    too_large(
        "headers over the limit we start with",
        [["request"], ["send", "HTTP/1.1 200 OK\r\n"], ["flood", "X: endless\r\n"]],
        "HeadersTooLarge",
    ),
    too_large(
        "an endless header",
        [["request"], ["send", "HTTP/1.1 200 OK\r\nX: "], ["flood", "endless"]],
        "HeadersTooLarge",
    ),
    too_large(
        "an endless status line",
        [["request"], ["send", "HTTP/1.1 200 "], ["flood", "endless"]],
        "HeadersTooLarge",
    ),
    too_large(
        "endless interim responses",
        [["request"], ["flood", "HTTP/1.1 100 Continue\r\n\r\n"]],
        "HeadersTooLarge",
    ),
    too_large(
        "endless trailers",
        [["request"], ["send", CHUNKED + "0\r\n"], ["flood", "X: endless\r\n"]],
        "HeadersTooLarge",
        200,
    ),
    too_large(
        "an announced body over the limit",
        answers(head("Content-Length: 1000001") + "x", then="hold"),
        "BodyTooLarge",
        200,
        max_response_body=1000000,
    ),
    too_large(
        "an announced body over the limit we start with",
        answers(head("Content-Length: 9000000000") + "x", then="hold"),
        "BodyTooLarge",
        200,
    ),
    too_large(
        "an endless body",
        [["request"], ["send", head()], ["flood", "endless"]],
        "BodyTooLarge",
        200,
        max_response_body=1000000,
    ),
    too_large(
        "endless chunks",
        [["request"], ["send", CHUNKED], ["flood", "7\r\nendless\r\n"]],
        "BodyTooLarge",
        200,
        max_response_body=1000000,
    ),
    *(
        Failure(
            f"endless {what} of chunks",
            [["request"], ["send", CHUNKED + begin], ["flood", text]],
            "BodyProtocolError",
            Exception,
            "response from {at} is not valid HTTP: too much besides the data in the chunked coding",
            "body",
            200,
        )
        for what, begin, text in (
            ("sizes", "", "0000"),
            ("padding", "1", "    "),
            ("text", "1;", "endless"),
            ("extensions", "", f"1;{'x' * 1000}\r\ny\r\n"),
        )
    ),
    too_large(
        "a gzip bomb",
        [["request"], ["send", coded("gzip", gzip.compress(b"\0" * (20 << 20)))], *GOOD[:2]],
        "BodyTooLarge",
        200,
        max_response_body=1000000,
    ),
    undecodable("no gzip at all", "gzip", b"this is not gzip"),
    undecodable("gzip cut short", "gzip", gzip.compress(b"some text " * 99)[:-20]),
    undecodable("gzip with a wrong checksum", "gzip", gzip.compress(b"text")[:-8] + b"\0" * 8),
    undecodable("no deflate at all", "deflate", b"\xff\xff\xff\xff"),
    undecodable("deflate cut short", "deflate", zlib.compress(b"some text " * 99)[:-10]),
    undecodable("no br at all", "br", b"\xff\xff\xff\xff this is not brotli"),
    Failure(
        "never reads the upload",
        [["hold"]],
        "WriteTimeout",
        TimeoutError,
        ".+",
        "send",
        method="POST",
        data=UPLOAD,
        attributes=PATIENCE,
    ),
    Failure(
        "resets within the upload",
        [["head"], ["pause", 0.1], ["reset"]],
        "ConnectionReset",
        ConnectionResetError,
        "connection reset by {at} while sending the request",
        "send",
        method="POST",
        data=UPLOAD,
    ),
    Failure(
        "never shakes hands",
        [["hold"]],
        "TlsTimeout",
        TimeoutError,
        ".+",
        "tls",
        scheme="https",
        attributes={"connection_timeout": 0.3},
    ),
    Failure(
        "HTTP where TLS is meant",
        [["send", OK], ["drain"]],
        "TlsError",
        OSError,
        "TLS with {at} failed: .+",
        "tls",
        scheme="https",
    ),
    Failure(
        "closes within the handshake",
        [["pause", 0.1], ["half_close"], ["drain"]],
        "TlsError",
        OSError,
        "TLS with {at} failed: .+",
        "tls",
        scheme="https",
    ),
]


def name_of(failure: Failure) -> str:
    return f"{failure.error}: {failure.name}"
