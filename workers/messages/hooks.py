"""Call what a handler wants to record besides: a fault in it must not keep a death or a retry from being recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

if TYPE_CHECKING:
    from workers.messages.delivery import Delivery

OUR_FAULTS = (ProgrammingError, DataError, IntegrityError)
log = structlog.get_logger("workers.messages.hooks")


def call_hook(connection: Connection, hook: Callable[..., Any] | None, delivery: Delivery, *arguments: Any) -> Any:
    """Call a hook in a savepoint; what it gives, or None when there is none or it broke, which is logged.

    Trouble of PostgreSQL's own is raised: then nothing is recorded, and the delivery comes back.
    """
    if hook is None:
        return None
    try:
        with connection.begin_nested():
            return hook(connection, delivery, *arguments)
    except Exception as error:
        if isinstance(error, DBAPIError) and not isinstance(error, OUR_FAULTS):
            raise
        traceback = error.__traceback__
        while traceback and traceback.tb_next and "site-packages" not in traceback.tb_next.tb_frame.f_code.co_filename:
            traceback = traceback.tb_next
        place = f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}" if traceback else "?"
        names = {"message": delivery.message_id, "tenant": delivery.tenant_id, "kind": delivery.kind}
        log.error("hook_broke", error=type(error).__name__, place=place, **names)
        return None
