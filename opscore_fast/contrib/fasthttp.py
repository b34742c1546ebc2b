"""What locust.contrib.fasthttp has, on the C engine."""

from __future__ import annotations

from opscore_fast.responses import (
    FastRequest,
    FastResponse,
    ResponseContextManager,
    RestResponseContextManager,
)
from opscore_fast.sessions import FastHttpSession
from opscore_fast.users import FastHttpUser

__all__ = [
    "FastHttpSession",
    "FastHttpUser",
    "FastRequest",
    "FastResponse",
    "ResponseContextManager",
    "RestResponseContextManager",
]
