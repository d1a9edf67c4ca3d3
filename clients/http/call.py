"""Make one HTTP call, with limits, and say in our own words what went wrong. Both clients stand on this.

====================================  ==============================  =====================================
what happened                         a read raises                   a write raises
====================================  ==============================  =====================================
no connection, no TLS                 Unavailable                     Unavailable (surely not sent)
time-out, reset, half an answer       Unavailable                     Unknown
any 3xx                               Misconfigured ``redirect``      Misconfigured ``redirect``
answer above the size limit           TooLarge                        Unknown
value that cannot be sent             Misconfigured / Rejected        Misconfigured / Rejected
====================================  ==============================  =====================================

Every other status is returned: what 401 or 500 means differs per system (or is told by ``classify``). Nothing is
repeated here, except a read whose idle connection turned out to be closed by the other side.
"""

from __future__ import annotations

import itertools
import json as jsonlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3.exceptions
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from clients.errors import Misconfigured, Rejected, RemoteError, TooLarge, Unavailable, Unknown
from clients.http.idle_threads import waiting
from clients.http.transport import Attempt, attempt, send

CHUNK_BYTES = 64 * 1024
RETRY_AFTER_MAX_SECONDS = 86400.0
_LEFT_ALONE = (429, 503)
_UNSENDABLE = (
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    UnicodeError,
)
# Without a collector its spans are nothing, and cost a microsecond.
_TRACER = trace.get_tracer("koppeling")
_TROUBLE = (*_UNSENDABLE, requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True)
class Call:
    """What may be known of a call that was made: no URL, no body. ``error_code`` is None when all is well."""

    system: str
    operation: str
    status: int | None
    seconds: float
    error_code: str | None
    token: bool = False
    # Somebody else's call that went for this caller too: heard of here, counted there
    shared: bool = False
    # The other side's clock, as its answer's head has it
    date: str | None = None
    # How long the other side asks to be left alone
    wait_seconds: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it is a call of this caller's own to the API."""
        return not (self.token or self.shared)


@dataclass(frozen=True)
class Response:
    """An answer that arrived whole. ``headers`` ignores case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def ok(self) -> bool:
        """Tell whether the status is any 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """Decode as UTF-8, leniently: this is for looking at error pages, not for data."""
        return self.content.decode("utf-8-sig", errors="replace")

    def json(self, most_objects: int | None = None) -> Any:
        """Decode the body. Raises ``ValueError`` when it is not JSON in UTF-8.

        With ``most_objects``, raises ``TooManyObjects`` as soon as there are more: small bodies make large lists.
        """
        count = itertools.count(1)

        def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            if next(count) > (most_objects or 0):
                raise TooManyObjects
            return dict(pairs)

        text = self.content.decode("utf-8-sig")
        # Each object has a brace: with few of them none need be counted, which takes as long as the decoding.
        many = most_objects is not None and text.count("{") > most_objects
        try:
            return jsonlib.loads(text, object_pairs_hook=counted if many else None)
        except RecursionError:
            pass
        raise ValueError("JSON nested too deeply")


class TooManyObjects(Exception):
    """A JSON body with more objects than there can be."""


class Http:
    """Call one system at one base URL. Light: keep one per client; connections are kept per thread, by host.

    ``total_timeout`` (seconds, default connect + read) ends a call whatever dribbles in; ``on_call`` hears of
    every HTTP call that was made, also of failed ones.
    """

    def __init__(
        self,
        base_url: str,
        *,
        system: str,
        read_timeout: float,
        connect_timeout: float = 5.0,
        total_timeout: float | None = None,
        max_bytes: int = 20_000_000,
        on_call: Callable[[Call], None] | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.system = system
        self._timeout = (connect_timeout, read_timeout)
        self._total = total_timeout if total_timeout is not None else connect_timeout + read_timeout
        self._max_bytes = max_bytes
        self.on_call = on_call or (lambda call: None)

    def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        writes: bool,
        params: Mapping[str, str] | str | None = None,
        json: object = None,
        data: Mapping[str, str] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: bool = False,
        classify: Callable[[Response], RemoteError | None] | None = None,
    ) -> Response:
        """Make one call and return its whole answer, whatever its status (but 3xx).

        ``operation`` names the call for logs and errors ("read a page"). ``writes`` decides between
        Unavailable and Unknown. ``token`` flags a call that only fetches a token. ``classify`` may turn an
        answer into the error to raise, so that ``on_call`` hears its code. Raises as the table at the head of
        this module says.
        """
        sent_headers = dict(headers or {})
        if json is not None:
            data = self._encode(json, operation)
            sent_headers = {"Content-Type": "application/json;charset=utf-8"} | sent_headers
        arguments: dict[str, Any] = {"params": params, "data": data, "headers": sent_headers}
        for last in (False, True):
            span = _TRACER.start_span(f"call {self.system.lower()}", kind=SpanKind.CLIENT)
            try:
                started = time.monotonic()
                answer, error = self._try(method, path, arguments, operation, writes)
                stale = isinstance(error, _Stale)
                if answer is not None and error is None and classify is not None:
                    error = classify(answer)
                status = answer.status if answer is not None else error.status if error is not None else None
                code = error.code if error is not None else None
                date = answer.headers.get("Date") if answer is not None else None
                seconds = time.monotonic() - started
                _describe(span, self.system, operation, status, code)
            finally:
                span.end()
            wait = _told_to_wait(answer, error)
            self.on_call(Call(self.system, operation, status, seconds, code, token, date=date, wait_seconds=wait))
            if stale and not last:
                continue  # a fresh connection now, so this happens once
            if error is not None:
                raise error
            break
        assert answer is not None  # noqa: S101  # the loop only ends with an answer or by raising
        return answer

    def _encode(self, body: object, operation: str) -> bytes:
        try:
            text = jsonlib.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return text.encode("utf-8")
        except ValueError:  # half a surrogate pair, NaN
            pass
        raise Rejected("not_sendable", f"{operation}: a value cannot be written as JSON.", system=self.system)

    def _try(
        self, method: str, path: str, arguments: dict[str, Any], operation: str, writes: bool
    ) -> tuple[Response | None, RemoteError | None]:
        """Try once. Errors are returned, not raised: they must not drag along one that shows a URL."""
        with attempt(self._total) as current, waiting.if_long():
            try:
                answer = self._exchange(method, path, arguments, operation, writes)
            except _TROUBLE as trouble:
                return None, self._translate(trouble, current, operation, writes)
        if current.out_of_time:  # a body without a length ends where we broke it: that is not the whole of it
            return None, self._translate(TimeoutError(), current, operation, writes)
        return answer

    def _exchange(
        self, method: str, path: str, arguments: dict[str, Any], operation: str, writes: bool
    ) -> tuple[Response | None, RemoteError | None]:
        url = f"{self.base_url}/{path.lstrip('/')}"
        with send(method, url, timeout=self._timeout, **arguments) as answer:
            status = answer.status_code
            if 300 <= status < 400:
                text = f"{operation}: {self.system} answered with a redirect, which is never followed."
                return None, Misconfigured("redirect", text, system=self.system, status=status)
            body = bytearray()
            for chunk in answer.iter_content(CHUNK_BYTES):
                body += chunk
                if len(body) > self._max_bytes:
                    kind = Unknown if writes else TooLarge
                    text = f"{operation}: the answer of {self.system} is above {self._max_bytes} bytes."
                    return None, kind("body_too_large", text, system=self.system, status=status)
            return Response(status, answer.headers, bytes(body)), None

    def _translate(self, trouble: BaseException, current: Attempt, operation: str, writes: bool) -> RemoteError:
        """Say what a broken call means, by the kind of trouble only: its text shows addresses and values."""
        system = self.system
        if isinstance(trouble, _UNSENDABLE) and not current.sent:
            text = f"{operation}: the address or a header (a token?) holds characters that cannot be sent."
            return Misconfigured("not_sendable", text, system=system)
        if not current.sent:
            code = "tls_failed" if isinstance(trouble, requests.exceptions.SSLError) else "connect_failed"
            return Unavailable(code, f"{operation}: no connection to {system}.", system=system)
        if current.out_of_time or _timed_out(trouble):
            kind = Unknown if writes else Unavailable
            return kind("timeout", f"{operation}: {system} did not answer in time.", system=system)
        text = f"{operation}: the connection to {system} broke before the answer was complete."
        if writes:
            return Unknown("connection_broken", text, system=system)
        if not current.connected and not isinstance(trouble, requests.exceptions.ChunkedEncodingError):
            return _Stale("connection_broken", text, system=system)
        return Unavailable("connection_broken", text, system=system)


def _describe(span: Span, system: str, operation: str, status: int | None, code: str | None) -> None:
    """What may be known of a call, as in ``Call``: no URL, no body, and no exception, whose text may show both."""
    if not span.is_recording():
        return
    span.set_attributes({"koppeling.system": system.lower(), "koppeling.operation": operation})
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if code is not None:
        span.set_attribute("error.type", code)
        span.set_status(StatusCode.ERROR, code)


class _Stale(Unavailable):
    """A read met an idle connection that the other side had just closed: worth one immediate repeat."""


def _told_to_wait(answer: Response | None, error: RemoteError | None) -> float | None:
    """How long an answer asks everybody to wait, also where ``classify`` looks at it later."""
    if isinstance(error, Unavailable) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    if answer is None or answer.status not in _LEFT_ALONE:
        return None
    return parse_retry_after(answer.headers, answer.content[:100_000])


def _timed_out(trouble: BaseException) -> bool:
    if isinstance(trouble, requests.Timeout | TimeoutError):
        return True
    return any(isinstance(arg, urllib3.exceptions.TimeoutError | TimeoutError) for arg in trouble.args)


def parse_retry_after(
    headers: Mapping[str, str], body: str | bytes | None = None, *, now: datetime | None = None
) -> float | None:
    """Read how long the other side asks us to wait, in seconds between 0 and a day; None when it doesn't say.

    The header counts first, as seconds or as an HTTP date; then ``retry_after`` anywhere in a JSON or XML
    body.
    """
    header = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    seconds = _header_seconds(header, now or datetime.now(UTC))
    if seconds is None and body:
        text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else body
        found = re.search(r"""retry_after["']?\s*[:=>]\s*["']?(-?\d{1,12}(?:\.\d+)?)""", text[:100_000])
        seconds = float(found[1]) if found else None
    return None if seconds is None else min(max(seconds, 0.0), RETRY_AFTER_MAX_SECONDS)


def _header_seconds(header: str, now: datetime) -> float | None:
    if re.fullmatch(r"[+-]?\d{1,12}(\.\d+)?", header, re.ASCII):
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except (TypeError, ValueError, OverflowError):
        return None
    return (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
