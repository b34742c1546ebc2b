"""Whether a string is an http(s) URL, judged as the service's URL type (the WHATWG parser) does."""

import ipaddress
import re

MAX_LENGTH = 2083
"""Longest URL that the service takes, in characters."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")

_BAD_NAME = "invalid international domain name"
_BAD_IPV4 = "invalid IPv4 address"


def scheme_of(url: str) -> str | None:
    """The scheme in lower case, or None if `url` has none."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else None


def clean(url: str) -> str:
    """`url` without what the parser skips: control characters around it, tabs and line ends."""
    return re.sub(r"[\t\n\r]", "", url.strip("".join(map(chr, range(0x21)))))


def problem(url: str) -> str | None:
    """What is wrong with `url`, already `clean()`, in the parser's words; None if nothing is.

    A URL with a scheme other than http and https is not looked into.
    """
    scheme = scheme_of(url)
    if scheme is None:
        return "relative URL without a base"
    if scheme not in ("http", "https"):
        return None
    authority = re.split(r"[/\\?#]", url[len(scheme) + 1 :].lstrip("/\\"), maxsplit=1)[0]
    address = authority.rpartition("@")[2]
    host, port = _split_port(address)
    if not host:
        return "empty host"
    return _host_problem(host) or _port_problem(port)


def _split_port(address: str) -> tuple[str, str]:
    """Host and port of `host:port`; a colon inside brackets belongs to the host."""
    end = address.find("]") if address.startswith("[") else 0
    colon = address.find(":", end) if end >= 0 else -1
    return (address, "") if colon < 0 else (address[:colon], address[colon + 1 :])


def _port_problem(port: str) -> str | None:
    if port and not (re.fullmatch(r"[0-9]+", port) and int(port[:8]) <= 65535):
        return "invalid port number"
    return None


def _host_problem(host: str) -> str | None:
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1] if host.endswith("]") else "")
        except ValueError:
            return "invalid IPv6 address"
        return None
    raw = _PERCENT.sub(lambda found: chr(int(found[1], 16)), host)
    try:
        name = raw.encode("latin-1").decode() if raw != host else host
        ascii_name = name if name.isascii() else name.encode("idna").decode()
        for label in ascii_name.lower().split("."):
            if label.startswith("xn--"):
                label.encode().decode("idna")
    except UnicodeError:
        return _BAD_NAME
    if _FORBIDDEN_IN_HOST.search(ascii_name):
        return _BAD_NAME
    return _ipv4_problem(ascii_name)


def _ipv4_problem(name: str) -> str | None:
    """A host whose last label is a number must be an IPv4 address of one to four numbers."""
    parts = name.removesuffix(".").split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return None
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return _BAD_IPV4
    try:
        numbers = [_ipv4_number(part) for part in parts]
    except ValueError:
        return _BAD_IPV4
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):
        return _BAD_IPV4
    return None


def _ipv4_number(text: str) -> int:
    """A number as IPv4 addresses write it: 0x hexadecimal, a leading 0 octal, else decimal."""
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if len(text) > 1 and text[0] == "0" else 10)
