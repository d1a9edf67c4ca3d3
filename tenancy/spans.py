"""What a run and a message do, as spans of OpenTelemetry; a call's is in ``clients/http/call.py``.

Without a collector (``workers/process/tracing.py``) a span costs some microseconds, and nothing is kept. Attributes are
numbers, ids and words of ours: no URL, no name, no address, and no exception, whose text may hold any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import StatusCode

TRACER = trace.get_tracer("koppeling")


@contextmanager
def span(name: str, **attributes: str | int | None) -> Iterator[None]:
    """Have the block be a span; calls and messages in it are below it. ``tenant=3`` becomes ``koppeling.tenant``."""
    begun = TRACER.start_span(name)
    if not begun.is_recording():
        yield
        return
    begun.set_attributes({f"koppeling.{key}": value for key, value in attributes.items() if value is not None})
    with trace.use_span(begun, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield


def ended(outcome: str, *, failed: bool = True) -> None:
    """Say of the span that this thread is in how it ended, by a code."""
    current = trace.get_current_span()
    if current.is_recording():
        current.set_attribute("koppeling.outcome", outcome)
        if failed:
            current.set_status(StatusCode.ERROR, outcome)
