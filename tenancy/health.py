"""Health of one direction of one tenant: quarantined by what the outside answers, paused by an operator.

While a direction is quarantined or paused its messages stay in the ledger and burn nothing. A quarantine lets one
probe out at ``probe_at``; the relay counts it and sets the next time in the same statement, so a probe that gets lost
or fails needs no bookkeeping. The first one that succeeds reopens the direction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

import settings
from models.direction import Direction, Health
from tenancy import unreached
from tenancy.alerts import close_alert, open_alert

if TYPE_CHECKING:
    from clients.http import Call

_STATE = text(
    "SELECT state, reason, first_call FROM tenant_direction WHERE tenant_id = :tenant AND direction = :direction"
)
_ROW = text(
    """INSERT INTO tenant_direction (tenant_id, direction) VALUES (:tenant, :direction)
       ON CONFLICT (tenant_id, direction) DO NOTHING"""
)
_QUARANTINE = text(
    """
    UPDATE tenant_direction
       SET state = 'quarantined', reason = :code, since = clock_timestamp(), probes = 0,
           first_call = CAST(:call AS jsonb), probe_at = clock_timestamp() + make_interval(secs => :first)
     WHERE tenant_id = :tenant AND direction = :direction AND state NOT IN ('quarantined', 'paused')
    """
)
_TAKE_PROBE = text(
    """
    UPDATE tenant_direction
       SET probes = probes + 1, probe_at = clock_timestamp() + make_interval(
               secs => (CAST(:waits AS int[]))[least(probes + 2, :count)])
     WHERE tenant_id = :tenant AND direction = :direction AND state = 'quarantined'
       AND probe_at <= clock_timestamp()
    """
)
_PROBE_AGAIN = text(
    """
    UPDATE tenant_direction SET probe_at = clock_timestamp(), probes = greatest(probes - 1, 0)
     WHERE tenant_id = :tenant AND direction = :direction AND state = 'quarantined'
    """
)
_END_WAITING = text(
    "UPDATE tenant_direction SET wait_until = NULL WHERE tenant_id = :tenant AND direction = ANY(:directions)"
)
_HEAL = text(
    """
    UPDATE tenant_direction SET state = 'healthy', reason = NULL, since = clock_timestamp(), probe_at = NULL,
           probes = 0, first_call = NULL
     WHERE tenant_id = :tenant AND direction = :direction AND state = ANY(:of)
    """
)
_PAUSE = text(
    """
    UPDATE tenant_direction
       SET state = 'paused', reason = :reason, since = clock_timestamp(), probe_at = NULL, probes = 0,
           first_call = NULL
     WHERE tenant_id = :tenant AND direction = :direction AND state <> 'paused'
    """
)
_COUNT_TIMEOUT = text(
    "UPDATE tenant_direction SET timeouts = timeouts + 1 WHERE tenant_id = :tenant AND direction = :direction"
)
_ANSWERED = text(
    """
    UPDATE tenant_direction SET timeouts = 0
     WHERE tenant_id = :tenant AND direction = :direction AND timeouts > 0
    """
)
_WAIT_UNTIL = text(
    """
    UPDATE tenant_direction
       SET wait_until = greatest(wait_until, clock_timestamp() + make_interval(secs => :seconds))
     WHERE tenant_id = :tenant AND direction = :direction
    """
)


@dataclass(frozen=True)
class State:
    """How a direction is doing. ``first_call`` is the one that began its quarantine."""

    state: str
    reason: str | None
    first_call: Mapping[str, object] | None


def state(connection: Connection, tenant_id: int, direction: str) -> State | None:
    """None for a direction that was never touched."""
    row = connection.execute(_STATE, {"tenant": tenant_id, "direction": direction}).first()
    return State(*row) if row is not None else None


def quarantine(  # noqa: PLR0917  what, why and the proof, in the order one says it
    connection: Connection, tenant_id: int, direction: str, code: str, words: str, call: Mapping[str, object] | None
) -> bool:
    """Stop a direction because no call of it can work; True when this began it. One that is paused stays paused.

    ``call`` is the one that began it, masked; ``words`` are cleaned already. Its ``kind`` (of message), ``system``,
    ``call`` and ``access`` say what proves that it works again: see ``proves``.
    """
    key = {"tenant": tenant_id, "direction": direction}
    connection.execute(_ROW, key)
    began = connection.execute(
        _QUARANTINE,
        key
        | {
            "code": code,
            "call": json.dumps({**(call or {}), "code": code, "text": words}),
            "first": settings.get().quarantine_probes[0],
        },
    ).rowcount
    if began:
        told = {"direction": direction, "code": code, "system": (call or {}).get("system")}
        open_alert(connection, tenant_id, "quarantine", direction, f"{direction} stopped, {code}: {words}", told)
    return bool(began)


def take_probe(connection: Connection, tenant_id: int, direction: str) -> bool:
    """Claim the probe that is due and set the time of the next one; False when none is due."""
    waits = list(settings.get().quarantine_probes)
    return bool(
        connection.execute(
            _TAKE_PROBE,
            {"tenant": tenant_id, "direction": direction, "waits": waits, "count": len(waits)},
        ).rowcount
    )


def proves(first_call: Mapping[str, object] | None, calls: Sequence[Call]) -> bool:
    """Whether these calls, that were answered, show that what failed works again. Pure.

    The same call of the same system does; where access to the whole system was refused, any call of it but for a token.
    """
    failed = first_call or {}
    of_system = [call for call in calls if not call.token and failed.get("system") in (None, call.system)]
    if failed.get("access") or failed.get("call") is None:
        return bool(of_system)
    return any(call.operation == failed["call"] for call in of_system)


def probe_again(connection: Connection, tenant_id: int, direction: str, *, called: bool) -> None:
    """The probe proved nothing. If it made no call, it does not count and the next message may probe at once.

    If it called another system, the next probe keeps its time: others like it would prove as little.
    """
    if called:
        return
    connection.execute(
        _PROBE_AGAIN,
        {"tenant": tenant_id, "direction": direction},
    )
    connection.execute(text("NOTIFY koppeling_ledger"))


def reopen(connection: Connection, tenant_id: int, direction: str) -> bool:
    """End a quarantine after a probe that worked; False when there was none."""
    return _heal(connection, tenant_id, direction, (Health.QUARANTINED,))


def try_again(connection: Connection, tenant_id: int) -> list[str]:
    """End the quarantines of a tenant whose secrets or addresses changed: the next call tells. Which were in one."""
    return [d.value for d in Direction if _heal(connection, tenant_id, d.value, (Health.QUARANTINED,))]


def begin(connection: Connection, tenant_id: int) -> bool:
    """Let the timetable of a new tenant begin; False when it had."""
    begun = [_heal(connection, tenant_id, d.value, (Health.NEW,)) for d in Direction]
    return any(begun)


def resume(connection: Connection, tenant_id: int, direction: str | None = None) -> list[str]:
    """End a pause, a quarantine and a waiting time at once, or begin, for one direction or both; which were stopped."""
    directions = [direction] if direction else [d.value for d in Direction]
    connection.execute(
        _END_WAITING,
        {"tenant": tenant_id, "directions": directions},
    )
    return [d for d in directions if _heal(connection, tenant_id, d, (Health.QUARANTINED, Health.PAUSED, Health.NEW))]


def _heal(connection: Connection, tenant_id: int, direction: str, of: tuple[Health, ...]) -> bool:
    healed = connection.execute(
        _HEAL,
        {"tenant": tenant_id, "direction": direction, "of": [s.value for s in of]},
    ).rowcount
    close_alert(connection, tenant_id, "quarantine", direction)
    connection.execute(text("NOTIFY koppeling_ledger"))
    return bool(healed)


def pause(connection: Connection, tenant_id: int, direction: str | None, reason: str) -> list[str]:
    """Stop one direction or both until ``resume``; a quarantine and alerts end with it. Which were not paused yet."""
    paused = []
    for name in [direction] if direction else [d.value for d in Direction]:
        key = {"tenant": tenant_id, "direction": name}
        connection.execute(_ROW, key)
        changed = connection.execute(
            _PAUSE,
            key | {"reason": reason},
        ).rowcount
        close_alert(connection, tenant_id, "quarantine", name)
        unreached.paused(connection, tenant_id, name)
        if changed:
            paused.append(name)
    return paused


def count_timeout(connection: Connection, tenant_id: int, direction: str) -> None:
    """One more message in a row that got no answer in time."""
    key = {"tenant": tenant_id, "direction": direction}
    connection.execute(_ROW, key)
    connection.execute(
        _COUNT_TIMEOUT,
        key,
    )


def answered(connection: Connection, tenant_id: int, direction: str) -> None:
    """The other side answered in time: the row of time-outs is over."""
    connection.execute(
        _ANSWERED,
        {"tenant": tenant_id, "direction": direction},
    )


def wait_until(connection: Connection, tenant_id: int, direction: str, seconds: float) -> None:
    """No worker anywhere calls for this direction in the next ``seconds`` (``Retry-After``); the longest one counts."""
    key = {"tenant": tenant_id, "direction": direction}
    connection.execute(_ROW, key)
    connection.execute(
        _WAIT_UNTIL,
        key | {"seconds": seconds},
    )
