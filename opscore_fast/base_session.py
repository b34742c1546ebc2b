"""What sessions of both styles have in common, in Python."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from locust.user import User

if TYPE_CHECKING:
    from opscore_fast._core import Session as _Base
else:
    _Base = object


def has_own_context(user: User | None) -> bool:
    """Return whether a user's class has a context() of its own, which requests ask then."""
    return user is not None and getattr(type(user), "context", None) is not User.context


class BaseSession(_Base):
    """A session, as far as it is no matter of its style."""

    @contextmanager
    def rename_request(self, name: str) -> Generator[None]:
        """Give the requests of a with-block that have no name of their own this one."""
        self.request_name = name
        try:
            yield
        finally:
            self.request_name = None
