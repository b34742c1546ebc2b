"""What locust.clients has, on the C engine."""

from __future__ import annotations

from opscore_fast.http_response import ResponseContextManager, RestResponseContextManager
from opscore_fast.http_session import HttpSession

__all__ = ["HttpSession", "ResponseContextManager", "RestResponseContextManager"]
