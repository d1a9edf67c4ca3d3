"""Logs: structured, on standard error, ids and never names. The last processor masks what looks like an address."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

import settings
from clients.redaction import clean

Event = MutableMapping[str, Any]
_QUIET = ("dramatiq", "uvicorn", "uvicorn.error", "alembic", "urllib3")


def without_addresses(logger: Any, method: str, event: Event) -> Event:
    """Mask addresses and secrets in every text of an entry: a defence for the day somebody logs what they shouldn't."""
    return {key: _cleaned(value) for key, value in event.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str) and ("@" in value or len(value) > 40):
        return clean(value, limit=4000)
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value


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
