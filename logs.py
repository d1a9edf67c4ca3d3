"""Logs: structured, on standard error, ids and never names. The last processor masks what looks like an address."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import structlog

import settings
from clients.redaction import clean

Event = MutableMapping[str, Any]
_QUIET = ("dramatiq", "uvicorn", "uvicorn.error", "alembic", "urllib3")


# Everything that can move a cursor, name a window, begin a line of its own or hide what stands beside it.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass
class Seldom:
    """Logs at once, then once a minute with how often it happened, what strangers can cause as often as they like."""

    seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    last: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, say: Callable[..., Any], event: str, **about: Any) -> None:
        """Log an event, ``times`` it happened since the last line. Strangers must not choose what is in ``about``."""
        times = self.now(f"{event} {sorted(about.items())}")
        if times is not None:
            say(event, **about, times=times)

    def now(self, key: str) -> int | None:
        """How often it happened since its last line when it is time for one, else None."""
        now = self.clock()
        with self.lock:
            self.times[key] = self.times.get(key, 0) + 1
            if now - self.last.get(key, float("-inf")) < self.seconds:
                return None
            self.last[key] = now
            return self.times.pop(key)


def without_controls(logger: Any, method: str, event: Event) -> Event:
    """Make every control character visible: a log is read in terminals, and what is in it came from anywhere."""
    return {_visible(key): _visible(value) for key, value in event.items()}


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return _CONTROLS.sub(lambda found: _escaped(found[0]), value)
    if isinstance(value, dict):
        return {_visible(key): _visible(item) for key, item in value.items()}
    return [_visible(item) for item in value] if isinstance(value, list | tuple) else value


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def without_addresses(logger: Any, method: str, event: Event) -> Event:
    """Mask addresses and secrets in every text of an entry: a defence, should one be logged after all."""
    return {key: _cleaned(value) for key, value in event.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value, limit=4000) if "@" in value or len(value) > 40 else value
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    # Whatever else it is, the renderer would write it as text.
    return value if value is None or isinstance(value, bool | int | float) else _cleaned(str(value))


def configure(*, level: int = logging.INFO) -> None:
    """Send our own and every library's entries the same way, as ``KOPPELING_LOG_FORMAT`` says."""
    console = (settings.get().log_format or ("console" if sys.stderr.isatty() else "json")) == "console"
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                without_addresses,
                without_controls,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
