"""The C engine of opscore_fast, as Python sees it."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from http.cookiejar import CookieJar
from types import EllipsisType, TracebackType
from typing import Any, Self, TypedDict, Unpack, final

from geventhttpclient.header import Headers
from locust.event import EventHook
from locust.user import User
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from typing_extensions import disjoint_base

from opscore_fast.recording import plan as recorded
from opscore_fast.responses import FastRequest

@final
class Proxy:
    """A proxy: its URL, as libcurl has it, and how to authenticate."""

    def __new__(cls, url: str, shown: str, auth: int = 0) -> Self:
        """shown: the URL without its secrets. auth: opf_auth of the engine."""

    @property
    def shown(self) -> str: ...

@disjoint_base
class SchemeAuth:
    """User and password for an authentication scheme of libcurl's."""

    def __new__(cls, scheme: int, user: str, password: str, for_proxy: bool = False) -> Self:
        """scheme: opf_auth of the engine."""

_Auth = tuple[str | bytes, str | bytes] | SchemeAuth | AuthBase

class _Keywords(TypedDict, total=False):
    name: str | None
    catch_response: bool
    stream: bool
    files: Any
    headers: Mapping[str, Any] | None
    auth: _Auth | None
    allow_redirects: bool
    context: dict[str, Any] | None
    params: Any
    max_redirects: int | None
    max_retries: int | None

class _DataKeywords(_Keywords, total=False):
    data: Any
    json: Any

class _JsonKeywords(_Keywords, total=False):
    json: Any

@final
class Engine:
    """The C engine, driven by a gevent hub. Belongs to the hub's thread."""

    def __init__(self, hub: Any, nameservers: str | None = None) -> None:
        """nameservers: "ip[:port],..." to ask, not the system's. Raises ValueError, OSError."""

    def dispatch(self) -> None:
        """Do what is ready and switch to the greenlets that waited for it; for the hub alone."""

    def mark_forked(self) -> None:
        """Refuse to work from now on: this is the child of a fork."""

    def close(self) -> None:
        """Stop watching; greenlets that wait are never switched to any more."""

    def totals(self) -> dict[str, int]:
        """Counts since the engine was made: connects, handshakes, resumed (of the handshakes),
        lookups, replaced (kept connections found closed before use), stamped and unstamped
        (responses timed by the kernel's stamp or by the clock), queued (requests that waited for a
        connection or a stream) and queue_ns (for how long in all); and as of now: connections,
        exchanges, waiting (greenlets)."""

@final
class Pool:
    """Connections of one user, or of several that share them, and their options."""

    def __init__(
        self,
        engine_factory: Callable[[], Engine],
        concurrency: int = 10,
        connection_timeout: float = 60.0,
        network_timeout: float = 60.0,
        verify: bool = False,
        ca_file: bytes | None = None,
        ca_dir: bytes | None = None,
        max_headers: int = 0,
        max_body: int = 0,
        *,
        cert_file: bytes | None = None,
        key_file: bytes | None = None,
        key_password: bytes | None = None,
        min_version: int = 0,
        max_version: int = 0,
        ciphers: bytes | None = None,
        ciphersuites: bytes | None = None,
        ssl_context: Any = None,
        make_ssl_context: Callable[[], Any] | None = None,
        server_name: bytes | None = None,
        tls_resume: bool = False,
        sources: list[bytes] = ...,
        resolve: list[tuple[bytes, int, bytes]] = ...,
        unix_path: bytes | None = None,
        keep_alive: int = 0,
        delay: bool = False,
        http2: int = 0,
        http2_connections: int = 0,
        http2_window: int = 0,
        http2_connection_window: int = 0,
        http2_streams: int = 0,
        idle_timeout: float = 0.0,
    ) -> None:
        """Times in seconds (0: no limit), sizes in bytes (0: the engine's default).

        The rest is opf_pool_options of the engine: versions are opf_tls_version, http2 is
        opf_http2, resolve is (host, port or 0, address). ssl_context: an ssl.SSLContext, in the
        place of all else about TLS; it is kept as long as the pool. make_ssl_context: returns one,
        when the first request is made. Raises ValueError and TypeError for one that can't be used;
        other values that can't are told by the first request, as a ValueError."""

    def close_idle_connections(self) -> None:
        """Close the kept connections: the next request makes a new one."""

@disjoint_base
class Response:
    """What a FastResponse and an HttpResponse have in common; made by a session only."""

    error: Exception | None
    url: str
    history: list[Any]
    @property
    def retries(self) -> int: ...
    @property
    def lag(self) -> float: ...
    @property
    def transport(self) -> str: ...
    @property
    def http_version(self) -> str | None: ...
    @property
    def queue_time(self) -> float: ...
    @property
    def trailers(self) -> list[tuple[str, str]]: ...
    def __getattr__(self, name: str) -> Any: ...

class FastResponse(Response):
    """What came of a request; made by a session only."""

    encoding: str | None
    history: list[FastResponse]
    @property
    def status_code(self) -> int: ...
    @property
    def ok(self) -> bool: ...
    @property
    def content(self) -> bytes | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def headers(self) -> Headers | None: ...
    @property
    def request(self) -> FastRequest: ...
    @property
    def _request(self) -> FastRequest: ...
    @property
    def elapsed(self) -> timedelta: ...
    @property
    def stream(self) -> Self: ...
    def json(self) -> Any: ...
    def read(self, size: int | None = None, /) -> bytes: ...
    def iter_content(
        self, chunk_size: int = 1024, decode_content: bool = True
    ) -> Generator[str | bytes]: ...
    def raise_for_status(self) -> None: ...
    def success(self) -> None: ...
    def failure(self, exc: Exception | str, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None: ...

class ResponseContextManager(FastResponse):
    """A response whose request is reported when its with-block ends (catch_response=True)."""

    request_meta: dict[str, Any]

class HttpResponse(Response):
    """The C part of opscore_fast.http_response.ResponseContextManager."""

    headers: CaseInsensitiveDict[str]
    encoding: str | None
    elapsed: timedelta
    request: Any
    request_meta: dict[str, Any]
    status_code: int
    reason: Any
    _content: Any
    _content_consumed: bool
    _session: Any
    _unfollowed: bool
    @property
    def ok(self) -> bool: ...
    @property
    def content(self) -> Any: ...
    @property
    def text(self) -> str: ...
    def json(self, **kwargs: Any) -> Any: ...
    def raise_for_status(self) -> None: ...
    def success(self) -> None: ...
    def failure(self, exc: Any, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Any: ...
    def _fields(self) -> list[tuple[str, str]]:
        """The headers, line by line."""

    def _read(self, size: int | None = None, /) -> bytes:
        """Up to size bytes of a stream, as they were sent; fewer only at its end."""

    def _read1(self, size: int | None = None, /) -> bytes:
        """Up to size bytes of a stream that are there, at least one; none only at its end."""

    def _cancel(self) -> None:
        """Close the connection of a stream that is not at its end."""

@disjoint_base
class Session:
    """What a FastSession and an HttpSession have in common."""

    request_event: EventHook
    user: User | None
    request_name: str | None
    max_redirects: int
    max_retries: int
    retries: int
    base_url: str | None
    _proxy: Proxy | None
    _scheme_auth: SchemeAuth | None
    _by_libcurl: bool
    _names_protocol: bool
    @property
    def pool(self) -> Pool: ...

@disjoint_base
class FastSession(Session):
    """The C part of opscore_fast.FastHttpSession, which sets it up."""

    auth_header: str | None
    cookiejar: CookieJar
    def __init__(
        self,
        base_url: str | None,
        request_event: EventHook,
        user: User | None,
        pool: Pool,
        default_headers: list[tuple[bytes, bytes]],
        max_redirects: int,
        max_retries: int,
        own_context: bool,
    ) -> None: ...
    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        data: Any = None,
        catch_response: bool = False,
        stream: bool = False,
        headers: Mapping[str, Any] | None = None,
        auth: _Auth | None = None,
        json: Any = None,
        allow_redirects: bool = True,
        context: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> ResponseContextManager:
        """Send a request and wait for its response.

        A request that fails is a response with an error, not an exception. Raises ValueError for a
        URL, header or method that can't be sent, TypeError for arguments of the wrong type,
        LocustError for what is not supported, and whatever is thrown into the waiting greenlet."""

    def get(self, url: str, **kwargs: Unpack[_DataKeywords]) -> ResponseContextManager: ...
    def head(self, url: str, **kwargs: Unpack[_DataKeywords]) -> ResponseContextManager: ...
    def options(self, url: str, **kwargs: Unpack[_DataKeywords]) -> ResponseContextManager: ...
    def delete(self, url: str, **kwargs: Unpack[_DataKeywords]) -> ResponseContextManager: ...
    def patch(
        self, url: str, data: Any = None, **kwargs: Unpack[_JsonKeywords]
    ) -> ResponseContextManager: ...
    def put(
        self, url: str, data: Any = None, **kwargs: Unpack[_JsonKeywords]
    ) -> ResponseContextManager: ...
    def post(
        self, url: str, data: Any = None, json: Any = None, **kwargs: Unpack[_Keywords]
    ) -> ResponseContextManager: ...

@disjoint_base
class HttpSession(Session):
    """The C part of opscore_fast.HttpSession, which sets it up."""

    headers: Any
    auth: Any
    params: Any
    hooks: Any
    proxies: Any
    cookies: Any
    verify: Any
    cert: Any
    stream: Any
    trust_env: Any
    def __init__(
        self,
        base_url: str | None,
        request_event: EventHook,
        user: User | None,
        pool: Pool,
        response_type: type[HttpResponse],
        max_retries: int,
        own_context: bool,
        is_plain: bool,
    ) -> None: ...
    def request(
        self,
        method: str | bytes,
        url: str,
        name: str | None = None,
        catch_response: bool = False,
        context: dict[str, Any] | None = None,
        *,
        data: Any = None,
        json: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Send a request and wait for its response.

        A request that fails is a response with an error, not an exception. Raises what
        locust.clients.HttpSession raises, and whatever is thrown into the waiting greenlet."""

    def get(self, url: str, **kwargs: Any) -> Any: ...
    def head(self, url: str, **kwargs: Any) -> Any: ...
    def options(self, url: str, **kwargs: Any) -> Any: ...
    def delete(self, url: str, **kwargs: Any) -> Any: ...
    def patch(self, url: str, data: Any = None, **kwargs: Any) -> Any: ...
    def put(self, url: str, data: Any = None, **kwargs: Any) -> Any: ...
    def post(self, url: str, data: Any = None, json: Any = None, **kwargs: Any) -> Any: ...
    def _send(
        self,
        method: str,
        url: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes | Iterator[bytes] | None,
        stream: bool,
        connect_timeout: float | None,
        read_timeout: float | None,
        pool: Pool,
        proxy: Proxy | None,
        auth: SchemeAuth | None,
        /,
    ) -> Any:
        """Send what requests has put together, and wait for the response."""

    def _lose(self, error: Exception | None, /) -> Any:
        """The response to a request that an error kept from being sent."""

@final
class Collector:
    """Requests of one second, counted by name and method."""

    pending: int

    def __init__(self, flush: Callable[[], None], on_cell: Callable[[str, str], None]) -> None:
        """flush() is called before a request of another second is counted, and must drain;
        on_cell(name, method) before the first request of a name."""

    def record(self, method: str, name: str, response_time: float, length: int, /) -> bool:
        """Count a request, response_time in ms; False if it has to be logged the long way."""

    def drain(
        self,
    ) -> list[tuple[str, str, int, float, float, float, float, int, dict[int, int]]]:
        """Return (name, method, requests, total ms, min ms, max ms, time of the last, bytes,
        {response time in ms: count}) for each name, and begin anew."""

    def clear(self) -> None:
        """Forget all names and what is counted for them."""

    def close(self) -> None:
        """Forget all, and have the sessions look for another collector."""

@final
class Plan:
    """A recorded user class, ready to be run by the threads of a Fleet. Never changes."""

    def __new__(cls, plan: recorded.Plan, options: dict[str, Any]) -> Self:
        """plan is copied; options: the keywords of Pool, but for engine_factory. A
        make_ssl_context among them is called here and now.

        Raises ValueError, with the reason, for a plan that can't be run or an option that can't be
        used, and TypeError for a field of the wrong type."""

    @property
    def source(self) -> recorded.Plan:
        """What it was made from."""

    def set_samples(self, index: int, values: Sequence[float], /) -> None:
        """Give the agents other waits (seconds) to take from: 4,096, the plan's number index.

        Raises IndexError, and ValueError for another number of them or one that is not finite."""

_Value = None | bool | int | float | str | EllipsisType
"""What an agent remembers; ...: not set."""

_Cookie = tuple[str, str | None, str, str, bool, bool, float | None]
"""Name, value, domain (without a leading dot; empty: any host), path, whether it was set without a
Domain, secure, expires (seconds since 1970; None: with the agent)."""

_Cells = list[tuple[str, str, int, float, float, float, float, int, dict[int, int]]]
"""As Collector.drain returns them."""

_Failure = tuple[
    str,
    str,
    int,
    int,
    int,
    int,
    str | None,
    bool,
    int,
    str | None,
    str | None,
    int,
    float,
    float,
    int,
]
"""Name and method of the request; fault (opf_fault: 0 the engine's, 1 the status, 2 the user's,
3 something is missing, 4 not sent, 5 too many redirects, 6 a redirect that can't be followed); of
the engine's: failure (opf_failure), phase (opf_phase), errno, detail, whether the connection had
been used; status; URL up to its port; text; how often; time-outs in force for connecting and for
progress (seconds); the limit that was exceeded (bytes; 0: none)."""

_Raise = tuple[str, str | None, str | None, str | None, int]
"""Type and text of an exception, line of the locustfile, name of the task, how often."""

_Tally = tuple[Plan, int, _Cells, list[_Failure], list[_Raise], int]
"""Plan, second since 1970, requests, failures (which are among the requests), exceptions that ended
tasks, and counts that were lost for want of memory."""

_End = tuple[int, int, bool, tuple[Any, ...], list[_Cookie]]
"""Number of the agent; why (opf_end: 0 asked to, 1 StopUser, 2 out of memory, 3 its start program
has raised); whether a request under way was given up; what its slots hold (JSON as json.loads gives
it); its cookies."""

@final
class Fleet:
    """Native threads that run agents of Plans. All of it is for one thread."""

    def __new__(cls, threads: int, nameservers: str | None = None) -> Self:
        """Start so many threads, 1 to 256. nameservers: "ip[:port],..." to ask, not the system's.

        Raises ValueError, and OSError if they can't be started."""

    def add(
        self,
        plan: Plan,
        rows: Sequence[tuple[_Value, ...]],
        cookies: Iterable[_Cookie] = (),
        delay: float = 0.0,
    ) -> int:
        """Add an agent for each row, which has a value for each of the plan's slots.

        Each has the cookies, and begins after delay seconds. Returns the number of the first; the
        others follow. Raises ValueError for pool options that can't be used, for rows of another
        length, and for values and cookies that can't be had; TypeError, MemoryError."""

    def stop(self, agents: Sequence[int], how: int, /) -> None:
        """Have agents end, as opf_stop says: 0 when their task is over, 1 when their request is, 2
        now. Those that have ended are passed over."""

    def fileno(self) -> int:
        """The descriptor that is readable when there is something to take. The fleet owns it."""

    def ask(self) -> None:
        """Ask each thread to hand over what it has counted, which it does soon."""

    def wait(self, timeout: float, /) -> bool:
        """Wait, without the GIL, until all that was asked for is handed over; return whether it is.

        timeout: in seconds. It blocks the whole thread, and with it the gevent hub."""

    def take(self, most: int = 4294967295, /) -> tuple[list[_Tally], list[_End]]:
        """Return all that has been handed over; what agents that have ended counted is among it.

        most: of ends. If there are so many, others may be left for the next time, of which the
        descriptor tells nothing."""

    def figures(self) -> list[dict[str, int]]:
        """Return figures of each thread: agents, of them waiting and under_way, requests counted,
        cpu_ns (of its own), late_ns (how late its last timer was), and the engine's as in
        Engine.totals."""

    def close(self) -> None:
        """End the threads, giving up what is under way. What was not taken is lost. Raises
        RuntimeError while another thread is in wait."""

    def mark_forked(self) -> None:
        """Refuse to work from now on: this is the child of a fork. Its parent's threads are not
        touched."""
