"""The peers by the names that they have where several are compared."""

from peers import (
    Peer,
    goose,
    h2load,
    hey,
    k6,
    locust_fast_http_user,
    locust_http_user,
    oha,
    opscore_fast_agents,
    opscore_fast_http_user,
    opscore_fast_requests_user,
    wrk,
)

HTTP_USER: Peer = locust_http_user.PEER
FAST: Peer = locust_fast_http_user.PEER
"""Speaks HTTP/1.1 only."""

OURS: Peer = opscore_fast_http_user.PEER
OUR_HTTP_USER: Peer = opscore_fast_requests_user.PEER
AGENTS: Peer = opscore_fast_agents.PEER
WRK: Peer = wrk.PEER
H2LOAD: Peer = h2load.PEER
OHA: Peer = oha.PEER
GOOSE: Peer = goose.PEER
HEY: Peer = hey.PEER
K6: Peer = k6.PEER
