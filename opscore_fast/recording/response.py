"""A response, as a task sees it while it is recorded."""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401, first of all: it patches the standard library

import json
from typing import Any

import requests
from locust.exception import CatchResponseError, ResponseError

from opscore_fast.recording.branches import Part, Ref
from opscore_fast.recording.plan import Kind, Op, Take, Test
from opscore_fast.recording.refusal import Refusal
from opscore_fast.recording.runtime import EndOfPath, Runtime, error_of
from opscore_fast.recording.symbols import TEXTS, Bytes, Json, Native, Sym, Text, parts_of


class _Elapsed(Native):
    __slots__ = ("response",)

    shown = frozenset({"total_seconds"})

    def __init__(self, response: Response) -> None:
        super().__init__(response.rt)
        self.response = response

    def total_seconds(self) -> Sym:
        """As timedelta.total_seconds."""
        return self.response.value(Take.ELAPSED, Kind.FLOAT)


class _Fields(Native):
    """The headers or cookies of a response."""

    __slots__ = ("response", "take")

    shown = frozenset({"get"})

    def __init__(self, response: Response, take: Take) -> None:
        super().__init__(response.rt)
        self.response, self.take = response, take

    def _field(self, name: Any) -> Text:
        if not isinstance(name, str):
            self._no("[...]", "with a constant name")
        known = name.lower() if self.take is Take.HEADER else name
        return self.response.text_of(self.take, known)

    def __getitem__(self, name: Any) -> Any:
        text = self._field(name)
        what = "header" if self.take is Take.HEADER else "cookie"
        reference = text.operand()
        assert isinstance(reference, Ref)
        self.rt.need(reference, (f"no {what} {name} in the response",), KeyError)
        return text

    def __contains__(self, name: Any) -> bool:
        return self.rt.fork(Test.SET, self._field(name).operand(), 0)

    def get(self, name: Any, default: Any = None) -> Any:
        """As dict.get."""
        return self._field(name) if name in self else default


class Response(Native):
    """A response, and the with-block for it."""

    __slots__ = ("caught", "entered", "error", "fast", "js", "judged", "over", "place", "step")

    shown = frozenset(
        {
            *("status_code", "ok", "text", "content", "headers", "url", "json", "js"),
            *("raise_for_status", "success", "failure"),
        }
    )
    shown_of_http = shown | {"reason", "cookies", "elapsed"}  # FastHttpUser's have none

    def __init__(self, rt: Runtime, step: int, caught: bool, fast: bool) -> None:
        super().__init__(rt)
        self.step, self.caught, self.fast = step, caught, fast
        self.entered = self.over = False
        self.judged: bool | None = None
        self.error: Any = None  # by which the task has judged it a failure
        self.place = rt.where()

    def attribute(self, name: str) -> Any:
        """As Native.attribute."""
        if name in self.shown_of_http and not self.fast:
            return getattr(self, name)
        return super().attribute(name)

    def value(self, take: Take, kind: Kind) -> Sym:
        """Return what is taken from the response."""
        return Sym(self.rt, self.rt.take(self.step, take), kind)

    def text_of(self, take: Take, *name: Any) -> Text:
        """Return a text that is taken from the response."""
        reference = self.rt.take(self.step, take, *name)
        self.rt.texts.add(reference)
        return Text(self.rt, (Part(reference),))

    @property
    def status_code(self) -> Sym:
        """As the response's."""
        return self.value(Take.STATUS, Kind.INT)

    @property
    def ok(self) -> Any:
        """As the response's: of the http style it is what raise_for_status() says."""
        if self.judged is not None and not self.fast:
            self.raise_for_status()
            return True
        return self.value(Take.OK, Kind.BOOL)

    @property
    def text(self) -> Sym:
        """As the response's; of the fast style None where no response came."""
        return self.value(Take.TEXT, Kind.UNSET) if self.fast else self.text_of(Take.TEXT)

    @property
    def reason(self) -> Text:
        """As the response's."""
        return self.text_of(Take.REASON)

    @property
    def url(self) -> Text:
        """As the response's."""
        return self.text_of(Take.URL)

    @property
    def content(self) -> Bytes:
        """As the response's."""
        return Bytes(self.rt, self.text_of(Take.CONTENT).parts())

    @property
    def headers(self) -> _Fields:
        """As the response's."""
        return _Fields(self, Take.HEADER)

    @property
    def cookies(self) -> _Fields:
        """As the response's."""
        return _Fields(self, Take.COOKIE)

    @property
    def elapsed(self) -> _Elapsed:
        """As the response's."""
        return _Elapsed(self)

    def json(self) -> Json:
        """As the response's."""
        error: ValueError = requests.JSONDecodeError("Expecting value", "", 0)
        if self.fast:
            error = json.JSONDecodeError("Expecting value", "", 0)
            self._check_text()
        self.rt.read_json(self.step, error)
        return Json(self.rt, self.step, ())

    def _check_text(self) -> None:
        """Raise what json() does of None, the text of a response that has not come, where the task
        does something else than for what is no JSON."""
        rt, errors = self.rt, (json.JSONDecodeError, TypeError)
        if rt.tells_apart(errors) and self.status_code == 0:
            raise rt.raising(error_of(lambda: json.loads(None)))  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        if self.fast:
            self._no("the truth of a response", "ask for .ok or .status_code")
        return bool(self.ok)

    def raise_for_status(self) -> None:
        """As the response's."""
        if self.judged is True:
            if self.fast:
                self._no("raise_for_status()", "behind success(): leave it out")
            return
        if self.judged is False:
            raise self.rt.raising(self.error)
        if bool(self.value(Take.OK, Kind.BOOL)):
            return
        if self.fast:
            self._no("raise_for_status()", "ask for .status_code, and call failure() or raise")
        status = self.status_code
        if status == 0:
            error: Exception = requests.ConnectionError("the request failed")
        else:
            who = "Client" if status < 500 else "Server"
            text = self.rt.fstring(
                (status, -1, ""), f" {who} Error: ", (self.reason, -1, ""), " for url: ",
                (self.url, -1, ""),
            )  # fmt: skip
            error = requests.HTTPError(text)
        raise self.rt.raising(error)

    def __enter__(self) -> Response:
        if not self.caught:
            raise self.rt.refusal(
                "with", "of a request without catch_response=True", "add catch_response=True"
            )
        self.entered = True
        self.rt.open_requests.remove(self)
        return self

    def success(self) -> None:
        """As the response's."""
        if self._judge(True, "success()"):
            self.rt.emit(Op.SUCCESS)

    def failure(self, exc: Any) -> None:
        """As the response's; of a text or Locust's CatchResponseError."""
        self.error = exc if isinstance(exc, Exception) else CatchResponseError(exc)
        if isinstance(exc, CatchResponseError) and len(exc.args) == 1:
            exc = exc.args[0]
        known = isinstance(exc, str) or (isinstance(exc, Sym) and exc.kind in TEXTS)
        if not known:
            raise self.rt.refusal("failure()", "of a text only", "write failure(str(...))")
        if self._judge(False, "failure()"):
            self.rt.emit(Op.FAILURE, what=parts_of(exc))

    def _judge(self, judged: bool, what: str) -> bool:
        if not self.entered:
            raise self.rt.refusal(what, "of a request that is in no with-block")
        self.judged = judged
        return not self.over  # afterwards it has no effect, as with Locust

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if isinstance(error, Refusal | EndOfPath):
            return False
        self.over, self.rt.in_block = True, False
        if self.judged is None and error is not None:
            if isinstance(error, ResponseError):  # the failure would have another type
                raise self.rt.refusal(
                    f"raise {type(error).__name__}", "in a with-block", "call failure(...)"
                )
            self.rt.emit(Op.FORGET)
            return False
        self.rt.emit(Op.REPORT)
        return error is None
