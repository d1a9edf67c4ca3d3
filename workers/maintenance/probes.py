"""Probes of quarantined directions that have no message to probe with: a cheap read, through a callback."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import BoundedSemaphore, Thread

import structlog
from sqlalchemy import text

from clients.errors import RemoteError
from loops import each, where
from models.crypto import SecretDamaged, SecretUnreadable
from models.direction import Direction
from models.session import transaction
from models.tenant_settings import SettingsUnread
from producers.probes import probe_completions, probe_enrollments
from producers.runs.request import begin_again
from tenancy import health
from tenancy.rate_limit import RateLimited
from workers.messages.interruptions import UNFIT

# {direction: a function of the tenant id that makes cheap reads, and raises when the direction does not work}
PROBES: dict[str, Callable[[int], None]] = {
    Direction.ENROLLMENTS: probe_enrollments,
    Direction.COMPLETIONS: probe_completions,
}
# So many at once: a tenant whose systems hang must not keep the others' probes.
_places = BoundedSemaphore(4)
log = structlog.get_logger("workers.maintenance.probes")

# The relay has two seconds to probe with a ready message; what is still due then has none.
_DUE = text(
    """
    SELECT d.tenant_id, d.direction FROM tenant_direction d
     WHERE d.state = 'quarantined' AND d.probe_at < now() - interval '2 seconds'
       AND coalesce(d.wait_until, now()) <= now()
       AND NOT EXISTS (SELECT 1 FROM message m WHERE m.tenant_id = d.tenant_id AND m.direction = d.direction
                          AND (m.state = 'sent'
                               -- a cheap read does not make the call that failed, and one of these will
                               OR m.kind = d.first_call ->> 'kind' AND NOT d.first_call @> '{"access": true}'))
     ORDER BY d.probe_at LIMIT 20
    """
)


@dataclass(frozen=True)
class Due:
    """A quarantined direction whose probe is due."""

    tenant_id: int
    direction: str


def probe() -> list[Future[bool]]:
    """Begin the probes that are due; each ends with whether the direction was reopened.

    Each has a thread of its own that ends with the process: stopping does not wait for a system that hangs.
    """
    begun: list[Future[bool]] = []

    def begin(due: Due) -> None:
        if due.direction not in PROBES or not _places.acquire(blocking=False):
            return
        future: Future[bool] = Future()
        thread = Thread(target=_guarded, args=(future, due.tenant_id, due.direction), name="probe", daemon=True)
        try:
            with transaction() as connection:
                taken = health.take_probe(connection, due.tenant_id, due.direction)
            if taken:
                thread.start()
                begun.append(future)
        finally:
            if future not in begun:
                _places.release()

    with transaction() as connection:
        all_due = [Due(*row) for row in connection.execute(_DUE)]
    each("probe", all_due, begin)
    return begun


def _guarded(future: Future[bool], tenant_id: int, direction: str) -> None:
    """Log what a probe raises, which would be lost with its thread; the next probe comes at its time."""
    reopened = False
    try:
        reopened = _try(tenant_id, direction)
    except Exception as error:
        log.error("probe_broke", tenant=tenant_id, direction=direction, where=where(error))
    finally:
        _places.release()
        future.set_result(reopened)


def _try(tenant_id: int, direction: str) -> bool:
    try:
        PROBES[direction](tenant_id)
    except SecretUnreadable:
        UNFIT.set()  # this process's fault: another one will probe
        return False
    except (RateLimited, TimeoutError):  # no place for a call: it does not count
        with transaction() as connection:
            health.probe_again(connection, tenant_id, direction, called=False)
        return False
    except (RemoteError, SecretDamaged, SettingsUnread) as error:
        log.info("probe_failed", tenant=tenant_id, direction=direction, code=getattr(error, "code", "unreadable"))
        return False
    with transaction() as connection:
        reopened = health.reopen(connection, tenant_id, direction)
        if reopened:
            begin_again(connection, tenant_id, direction, once=True)
    log.info("reopened", tenant=tenant_id, direction=direction)
    return reopened
