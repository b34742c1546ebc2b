"""Servers of others that speak HTTP/2, each with the ordinary one behind it or an application of
its own. All are started on a port of 127.0.0.1, by TLS or in cleartext with prior knowledge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from helpers import free_port, wait_until
from servers import CERTIFICATES, Listener, child_environment

CERTIFICATE = CERTIFICATES / "localhost.pem"

Proxy = Callable[[Path, Listener, bool], AbstractContextManager[str]]
"""Runs a server with another one behind it, with TLS or without, and yields its URL."""


@contextmanager
def running(*command: str | Path, port: int, **environment: str) -> Iterator[None]:
    """Runs a server until the end, from when it listens."""
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not program:
        pytest.skip(f"{command[0]} is not installed")
    process = subprocess.Popen(
        [program, *map(str, command[1:])],
        env=child_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listens() -> bool:
        assert process.poll() is None, f"{command[0]} has ended"
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, f"{command[0]} listens")
        yield
    finally:
        process.terminate()
        process.wait(10)


def url_of(port: int, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://127.0.0.1:{port}"


NGINX = """
{user}
daemon off;
worker_processes 1;
pid {prefix}/pid;
error_log {prefix}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    client_max_body_size 0;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} {how};
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


@contextmanager
def nginx(prefix: Path, backend: Listener, tls: bool, http2: bool = True) -> Iterator[str]:
    port = free_port()
    how = ("ssl " if tls else "") + ("http2" if http2 else "")
    text = NGINX.format(
        user="user root;" if os.geteuid() == 0 else "",
        prefix=prefix,
        port=port,
        how=how,
        certificate=CERTIFICATE,
        backend=backend.port,
    )
    (prefix / "nginx.conf").write_text(text)
    with running("nginx", "-p", prefix, "-c", prefix / "nginx.conf", port=port):
        yield url_of(port, tls)


@contextmanager
def nghttpx(prefix: Path, backend: Listener, tls: bool) -> Iterator[str]:
    port = free_port()
    command = ["nghttpx", f"--frontend=127.0.0.1,{port}" + ("" if tls else ";no-tls")]
    command += [f"--backend=127.0.0.1,{backend.port}", "--workers=1", "--conf=/dev/null"]
    command += [f"--pid-file={prefix / 'pid'}", "--single-process"]
    with running(*command, *([CERTIFICATE] * 2 if tls else []), port=port):
        yield url_of(port, tls)


H2O = """
{user}
num-threads: 1
limit-request-body: 1073741824
error-log: {prefix}/error.log
listen:
  host: 127.0.0.1
  port: {port}
  {ssl}
hosts:
  default:
    paths:
      /:
        proxy.reverse.url: http://127.0.0.1:{backend}/
        proxy.preserve-host: ON
"""


@contextmanager
def h2o(prefix: Path, backend: Listener, tls: bool) -> Iterator[str]:
    port = free_port()
    text = H2O.format(
        user="user: root" if os.geteuid() == 0 else "",
        prefix=prefix,
        port=port,
        ssl=f"ssl: {{certificate-file: {CERTIFICATE}, key-file: {CERTIFICATE}}}" if tls else "",
        backend=backend.port,
    )
    (prefix / "h2o.conf").write_text(text)
    with running("h2o", "-c", prefix / "h2o.conf", port=port):
        yield url_of(port, tls)


CADDY = """
{{
    admin off
    auto_https off
    storage file_system {prefix}
    servers {{
        protocols h1 h2 h2c
    }}
}}
{url} {{
    bind 127.0.0.1
    {tls}
    reverse_proxy 127.0.0.1:{backend}
}}
"""


@contextmanager
def caddy(prefix: Path, backend: Listener, tls: bool) -> Iterator[str]:
    port = free_port()
    text = CADDY.format(
        prefix=prefix,
        url=url_of(port, tls),
        tls=f"tls {CERTIFICATE} {CERTIFICATE}" if tls else "",
        backend=backend.port,
    )
    (prefix / "Caddyfile").write_text(text)
    command = ("caddy", "run", "--adapter", "caddyfile", "--config", prefix / "Caddyfile")
    with running(*command, port=port, HOME=str(prefix)):
        yield url_of(port, tls)


@contextmanager
def nghttpd(prefix: Path, tls: bool, *options: str) -> Iterator[str]:
    """Serves the files of a folder, and gives back what is sent to it (--echo-upload)."""
    port = free_port()
    command = ["nghttpd", "--address=127.0.0.1", f"--htdocs={prefix}", "--echo-upload", *options]
    keys = [CERTIFICATE, CERTIFICATE] if tls else ["--no-tls"]
    with running(*command, *([] if tls else keys), str(port), *(keys if tls else []), port=port):
        yield url_of(port, tls)


ASGI = '''
async def app(scope, receive, send):
    """Gives back the body, and tells the version of HTTP."""
    body = b""
    if scope["type"] != "http":
        return
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"x-version", scope["http_version"].encode())]})
    await send({"type": "http.response.body", "body": body})
'''


@contextmanager
def hypercorn(prefix: Path, tls: bool) -> Iterator[str]:
    """Serves `ASGI`."""
    port = free_port()
    (prefix / "asgi.py").write_text(ASGI)
    command = [sys.executable, "-m", "hypercorn", f"{prefix / 'asgi'}:app", "-w", "0"]
    command += ["--bind", f"127.0.0.1:{port}"]
    if tls:
        command += ["--certfile", str(CERTIFICATE), "--keyfile", str(CERTIFICATE)]
    with running(*command, port=port):
        yield url_of(port, tls)


@contextmanager
def granian(prefix: Path, tls: bool) -> Iterator[str]:
    """Serves `ASGI`."""
    port = free_port()
    (prefix / "asgi.py").write_text(ASGI)
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--http", "2", "--no-ws"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(prefix)]
    if tls:
        command += ["--ssl-certificate", str(CERTIFICATE), "--ssl-keyfile", str(CERTIFICATE)]
    with running(*command, "asgi:app", port=port):
        yield url_of(port, tls)
