"""FastHttpUser and HttpUser: the classes that a locustfile's users are derived from."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from typing import Any

import gevent
from locust import events
from locust.contrib.fasthttp import FastHttpUser as LocustFastHttpUser
from locust.env import Environment
from locust.user import User
from locust.user.users import HttpUser as LocustHttpUser

from opscore_fast import options
from opscore_fast.http_session import HttpSession
from opscore_fast.sessions import FastHttpSession


@events.init.add_listener  # type: ignore[untyped-decorator]
def _look_at_the_clock(**_: Any) -> None:
    """Have --run-time count from now: gevent's timers count from when its loop has last looked at
    the clock, which is before everything was imported.
    """
    gevent.get_hub().loop.update_now()


class FastHttpUser(options.ConnectionOptions, LocustFastHttpUser):
    """A drop-in for locust.FastHttpUser whose requests are C.

    Class attributes are Locust's, and their meaning too, with these additions and those of
    opscore_fast.options.ConnectionOptions. network_timeout is
    in seconds without progress while a request is sent or its response received, connection_timeout
    in seconds for each of resolving, connecting and the TLS handshake; 0 or None for neither.
    """

    abstract = True

    max_response_headers: int = 0
    """Limit in bytes on a response's status line and headers; 0: 64 KiB."""

    max_response_body: int = 0
    """Limit in bytes on a response's body, as sent and as decoded; 0: 1 GiB."""

    proxy: str | None = None
    """URL of a proxy for all requests, of the scheme http (which proxy_host and proxy_port stand
    for), https, socks4, socks4a, socks5 or socks5h, with user and password if it wants them."""

    proxy_auth: str = "basic"
    """How to authenticate to the proxy: basic, digest, ntlm or negotiate."""

    transport: str | None = None
    """"libcurl": every request goes by libcurl, which is slower, and for comparisons. None: what
    the environment variable OPSCORE_FAST_TRANSPORT says, or else the fast path wherever it can."""

    def __init__(self, environment: Environment) -> None:
        if self.host is None:
            super().__init__(environment)  # says so, by the exception of this version of Locust
        User.__init__(self, environment)
        self.client = FastHttpSession(  # type: ignore[assignment]
            base_url=self.host,
            request_event=self.environment.events.request,
            user=self,
            insecure=self.insecure,
            client_pool=self.client_pool,
            ssl_context_factory=self.ssl_context_factory,
            network_timeout=self.network_timeout,
            connection_timeout=self.connection_timeout,
            max_redirects=self.max_redirects,
            max_retries=self.max_retries,
            concurrency=self.concurrency,
            headers=self.default_headers,
            proxy_host=self.proxy_host,
            proxy_port=self.proxy_port,
            proxy=self.proxy,
            proxy_auth=self.proxy_auth,
            transport=self.transport,
            max_response_headers=self.max_response_headers,
            max_response_body=self.max_response_body,
            **options.of_user(self),
        )


class HttpUser(options.ConnectionOptions, LocustHttpUser):
    """A drop-in for locust.HttpUser whose requests are C.

    Its client is an opscore_fast.HttpSession, which is a requests.Session. Class attributes are
    Locust's, with these additions and those of opscore_fast.options.ConnectionOptions. The client's
    verify and cert, and those of a request, go before ca_bundle and client_cert.
    """

    abstract = True

    max_retries: int = 0
    """Times that a request which was lost without an answer is sent again, if its method is
    idempotent."""

    max_response_headers: int = 0
    """Limit in bytes on a response's status line and headers; 0: 64 KiB."""

    max_response_body: int = 0
    """Limit in bytes on a response's body, as sent and as decoded; 0: 1 GiB."""

    proxy: str | None = None
    """URL of a proxy for all requests but those for which proxies name another, of the scheme http,
    https, socks4, socks4a, socks5 or socks5h, with user and password if it wants them."""

    proxy_auth: str = "basic"
    """How to authenticate to the proxy: basic, digest, ntlm or negotiate."""

    transport: str | None = None
    """"libcurl": every request goes by libcurl, as with FastHttpUser."""

    def __init__(self, environment: Environment) -> None:
        if self.host is None:
            super().__init__(environment)  # type: ignore[no-untyped-call]
        User.__init__(self, environment)
        self.client = HttpSession(  # type: ignore[assignment]
            base_url=self.host,
            request_event=self.environment.events.request,
            user=self,
            pool_manager=self.pool_manager,
            proxy=self.proxy,
            proxy_auth=self.proxy_auth,
            transport=self.transport,
            max_retries=self.max_retries,
            max_response_headers=self.max_response_headers,
            max_response_body=self.max_response_body,
            **options.of_user(self),
        )
