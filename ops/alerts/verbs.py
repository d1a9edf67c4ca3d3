"""What operators do with alerts: list them, say who takes care of one, silence some, see whether mails arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NotRequired, cast

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

import settings
from models.alert import About, Channel
from models.session import transaction
from ops import access, audit, lookup
from ops.alerts import kinds
from ops.language import Language, Words
from ops.listing import Page, Row, checked_limit, number_cursor, page, rows, where
from ops.problems import AlreadyDecided, NotThere, Problem

# Who only looks needs neither objects nor what sends.
if TYPE_CHECKING:
    from ops.alerts.recipients import Recipient

STATES = ("open", "closed")
LONGEST_MUTE = timedelta(days=365)
_KEPT = Words("why.mute")
_COLUMNS = """
    SELECT a.id, t.slug AS tenant, a.kind, a.subject, a.parameters, a.text AS stored, a.opened_at, a.closed_at,
           a.acked_at, a.acked_by, a.ack_reason, a.told_at,
           EXISTS (SELECT 1 FROM alert_mute m
                    WHERE m.until > now() AND (m.tenant_id IS NULL OR m.tenant_id = a.tenant_id)
                      AND (m.kind IS NULL OR m.kind = a.kind)) AS muted
      FROM alert a LEFT JOIN tenant t ON t.id = a.tenant_id
"""
_FILTERS = {
    "tenant": "a.tenant_id = :tenant",
    "tenants": "a.tenant_id = ANY(:tenants)",
    "kind": "a.kind = :kind",
    "open": "a.closed_at IS NULL",
    "closed": "a.closed_at IS NOT NULL",
    "cursor": "a.id < :cursor",
}
_LOCKED = text("SELECT acked_by, acked_at, closed_at FROM alert WHERE id = :id FOR UPDATE")
_ACK = text("UPDATE alert SET acked_at = now(), acked_by = :who, ack_reason = :reason WHERE id = :id")
_MUTES = """
    SELECT m.id, t.slug AS tenant, m.kind, m.until, m.reason, m.who, m.created_at
      FROM alert_mute m LEFT JOIN tenant t ON t.id = m.tenant_id
"""
_MUTE_FILTERS = {"tenants": "m.tenant_id = ANY(:tenants)", "id": "m.id = :id"}
_MUTE = text(
    """
    INSERT INTO alert_mute (tenant_id, kind, until, reason, who)
    VALUES (:tenant, :kind, :until, :reason, :who) RETURNING id
    """
)
_UNMUTE = text("DELETE FROM alert_mute WHERE id = :id")
_DELIVERIES = """
    SELECT d.id, t.slug AS tenant, d.channel, d.recipient, d.about, d.state, d.code, d.attempts, d.created_at,
           d.sent_at, d.next_at, jsonb_array_length(d.items) AS items
      FROM alert_delivery d LEFT JOIN tenant t ON t.id = d.tenant_id
"""
_DELIVERY_FILTERS = {
    "tenant": "d.tenant_id = :tenant",
    "tenants": "d.tenant_id = ANY(:tenants)",
    "alert": "d.about = 'news' AND d.items @> jsonb_build_array(jsonb_build_object('alert', CAST(:alert AS bigint)))",
    "cursor": "d.id < :cursor",
}
_OF_TENANT = text("SELECT id, timezone, alerts FROM tenant WHERE slug = :slug")
_KEPT_TENANT = text("SELECT id FROM tenant WHERE id = :id FOR KEY SHARE")


class Alert(TypedDict):
    """An alert. ``state``: open, acked, muted (nobody is told), or closed; ``text`` in the language asked for.

    ``tenant`` is None for the installation itself. ``page`` is a path of the console.
    """

    id: int
    tenant: str | None
    kind: str
    subject: str | None
    state: str
    text: str
    action: str
    opened_at: datetime
    closed_at: datetime | None
    acked_at: datetime | None
    acked_by: str | None
    ack_reason: str | None
    told_at: datetime | None
    page: str


class Mute(TypedDict):
    """Nobody is told of this tenant (None: any) and kind (None: any) until then."""

    id: int
    tenant: str | None
    kind: str | None
    until: datetime
    reason: str
    who: str
    created_at: NotRequired[datetime]


class Tested(TypedDict):
    """What came of a test to one recipient; without having been tried at once ``state`` is ``waiting``."""

    delivery: int
    channel: str
    recipient: str
    state: str
    code: str | None


def listing(
    limit: int = 100,
    cursor: str | None = None,
    *,
    tenant: str | None = None,
    kind: str | None = None,
    state: str | None = "open",
    language: Language = "en",
) -> Page:
    """Alerts, newest first: open ones, unless another state is asked for, or (None) all."""
    access.check("alerts.read", tenant)
    if state is not None and state not in STATES:
        raise Problem("state_one_of", listed=", ".join(STATES))
    if kind is not None and kind not in kinds.KINDS:
        raise Problem("alert_kind", listed=", ".join(kinds.KINDS))
    with transaction() as connection:
        number = lookup.tenant_id(connection, tenant) if tenant else None
        wanted: dict[str, Any] = {
            "tenant": number,
            "tenants": lookup.visible_ids(connection),
            "kind": kind,
            "open": state == "open" or None,
            "closed": state == "closed" or None,
            "cursor": number_cursor(cursor),
        }
        newest_first = f"{_COLUMNS} {where(_FILTERS, wanted)} ORDER BY a.id DESC LIMIT :limit"
        cut = page(rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted), limit, "id")
    return Page([cast(Row, _item(row, language)) for row in cut.items], cut.next)


def show(number: int, language: Language = "en") -> Alert:
    """One alert."""
    with transaction() as connection:
        return _item(_one(connection, number), language)


def _item(row: Row, language: Language) -> Alert:
    about = (row["kind"], row["subject"], row["tenant"], row["parameters"])
    known = row["parameters"] is not None and row["kind"] in kinds.KINDS
    states = {"closed": row["closed_at"], "muted": row["muted"], "acked": row["acked_at"]}
    state = next((name for name, so in states.items() if so), "open")
    return {
        "id": row["id"],
        "tenant": row["tenant"],
        "kind": row["kind"],
        "subject": row["subject"],
        "state": state,
        "text": kinds.sentence(row["kind"], row["parameters"], language) if known else row["stored"],
        "action": kinds.advice(row["kind"], row["parameters"], row["tenant"], language),
        "opened_at": row["opened_at"],
        "closed_at": row["closed_at"],
        "acked_at": row["acked_at"],
        "acked_by": row["acked_by"],
        "ack_reason": row["ack_reason"],
        "told_at": row["told_at"],
        "page": kinds.page(*about),
    }


def _one(connection: Connection, number: int) -> Row:
    """An alert of a tenant that one may see, or of the installation for who may see all."""
    wanted = {"tenants": lookup.visible_ids(connection)}
    of = where({"tenants": _FILTERS["tenants"]}, wanted)
    found = rows(connection, f"{_COLUMNS} {of} AND a.id = :id", id=number, **wanted)
    if not found:
        raise NotThere("no_alert", given=number)
    return found[0]


def ack(number: int, *, reason: str | None = None, who: str | None = None) -> Alert:
    """Take care of an alert: it stays open, and is no longer in the digest. The second is told who was first."""
    who = who or access.actor().name
    with transaction() as connection:
        row = _one(connection, number)
        access.check("alerts.ack", row["tenant"])
        tenant = _kept_tenant(connection, row["tenant"])
        locked = connection.execute(_LOCKED, {"id": number}).first()
        if locked is None:
            raise NotThere("no_alert", given=number)
        if locked.closed_at is not None:
            raise AlreadyDecided("alert_over", id=number)
        if locked.acked_at is not None:
            raise AlreadyDecided("alert_acked", id=number, who=locked.acked_by)
        connection.execute(_ACK, {"id": number, "who": who, "reason": (reason or "").strip() or None})
        audit.record(connection, who=who, verb="alerts ack", tenant_id=tenant, subject=f"alert {number}", reason=reason)
    return show(number)


def _kept_tenant(connection: Connection, slug: str | None) -> int | None:
    """The tenant of an alert or a silence, locked before them, as who removes it does: the audit's row names it."""
    if slug is None:
        return None
    number = lookup.tenant_id(connection, slug)
    if connection.execute(_KEPT_TENANT, {"id": number}).scalar() is None:
        raise lookup.no_tenant(repr(slug))
    return number


def mute(
    *, tenant: str | None, kind: str | None, seconds: int, reason: str, who: str | None = None, everything: bool = False
) -> Mute:
    """Tell nobody of a tenant, of a kind, or of both together, for so long. ``everything``: of all."""
    access.check("alerts.mute", tenant)
    audit.need_reason(reason, _KEPT)
    if kind is not None and kind not in kinds.KINDS:
        raise Problem("alert_kind", listed=", ".join(kinds.KINDS))
    if tenant is None and kind is None and not everything:
        raise Problem("mute_what")
    if not 0 < seconds <= LONGEST_MUTE.total_seconds():
        raise Problem("mute_long")
    who = who or access.actor().name
    with transaction() as connection:
        number = lookup.tenant_id(connection, tenant) if tenant else None
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        values = {"tenant": number, "kind": kind, "until": until, "reason": reason.strip(), "who": who}
        made = int(connection.execute(_MUTE, values).scalar_one())
        detail = {"mute": made, "kind": kind, "until": until.isoformat()}
        audit.record(connection, who=who, verb="alerts mute", tenant_id=number, reason=reason, detail=detail)
    return {"id": made, "tenant": tenant, "kind": kind, "until": until, "reason": reason.strip(), "who": who}


def unmute(number: int, *, who: str | None = None) -> Mute:
    """End a silence before its time."""
    with transaction() as connection:
        found = _muted(connection, {"id": number, "tenants": lookup.visible_ids(connection)})
        if not found:
            raise _no_mute(connection, number)
        one = found[0]
        access.check("alerts.mute", one["tenant"])
        tenant = _kept_tenant(connection, one["tenant"])
        if not connection.execute(_UNMUTE, {"id": number}).rowcount:
            raise _no_mute(connection, number)
        subject, detail = _mute_subject(number), {"mute": number}
        audit.record(connection, who=who, verb="alerts unmute", tenant_id=tenant, subject=subject, detail=detail)
    return one


def _mute_subject(number: int) -> str:
    """How the record of operators' verbs calls a silence."""
    return f"mute:{number}"


def _no_mute(connection: Connection, number: int) -> Problem:
    """There never was such a silence, it is over by itself, or somebody ended it."""
    first = audit.first(connection, "alerts unmute", subject=_mute_subject(number))
    return AlreadyDecided("mute_ended", first=audit.by(first)) if first else NotThere("no_mute", given=number)


def mutes() -> list[Mute]:
    """Which silences there are; those that are over are gone."""
    access.check("alerts.read", None)
    with transaction() as connection:
        return _muted(connection, {"id": None, "tenants": lookup.visible_ids(connection)})


def _muted(connection: Connection, wanted: dict[str, Any]) -> list[Mute]:
    found = f"{_MUTES} {where(_MUTE_FILTERS, wanted)} AND m.until > now() ORDER BY m.id"
    return [cast(Mute, row) for row in rows(connection, found, **wanted)]


def deliveries(
    limit: int = 100, cursor: str | None = None, *, tenant: str | None = None, alert: int | None = None
) -> Page:
    """Mails and calls of webhooks, newest first: to whom, and what came of each. ``alert``: those that told of it."""
    access.check("alerts.read", tenant)
    with transaction() as connection:
        wanted = {
            "tenant": lookup.tenant_id(connection, tenant) if tenant else None,
            "tenants": lookup.visible_ids(connection),
            "alert": alert,
            "cursor": number_cursor(cursor),
        }
        newest_first = f"{_DELIVERIES} {where(_DELIVERY_FILTERS, wanted)} ORDER BY d.id DESC LIMIT :limit"
        return page(rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted), limit, "id")


def send_test(tenant: str | None = None, *, at_once: bool = False, who: str | None = None) -> list[Tested]:
    """A mail and a call to each recipient of a tenant, or of the installation, however late it is.

    ``at_once``: by this process, which waits for what comes of it; else by whichever sends, within seconds.
    """
    from ops.alerts import plan, sender  # noqa: PLC0415  see above

    access.check("alerts.test", tenant)
    with transaction() as connection:
        number, people = _people(connection, tenant)
        if not people:
            raise Problem("no_recipients" if tenant else "no_operators", slug=tenant)
        if any(one.channel == Channel.MAIL for one in people) and at_once and not settings.get().smtp_url:
            raise Problem("no_smtp")
        # Those of this process are not due to any other one until it had time to try them all.
        due = datetime.now(UTC) + timedelta(seconds=at_once * sender.CLAIM_SECONDS * len(people))
        made = [(plan.add(connection, one, About.TEST, [], due), one) for one in people]
        detail = {"recipients": len(made)}
        audit.record(connection, who=who, verb="alerts test", tenant_id=number, detail=detail)
    told: list[Tested] = []
    for delivery, one in made:
        result = sender.send_one(delivery) if at_once else None
        told.append(
            {
                "delivery": delivery,
                "channel": one.channel.value,
                "recipient": one.address,
                "state": result.state.value if result else "waiting",
                "code": result.code if result else None,
            }
        )
    return told


def mail_quality(slug: str, *, who: str | None = None) -> int:
    """Mail what is to be put right in AFAS now, to those whom the tenant names for it; how many mails.

    They go out within seconds, by whichever process sends; where nothing has to be put right none goes.
    """
    from ops.alerts import plan  # noqa: PLC0415  see above

    access.check("quality.mail", slug)
    with transaction() as connection:
        number = lookup.tenant_id(connection, slug)
        made = plan.quality(connection, number, datetime.now(UTC))
        if not made:
            raise Problem("no_quality_mail", slug=slug)
        audit.record(connection, who=who, verb="quality mail", tenant_id=number, detail={"recipients": len(made)})
    return len(made)


def _people(connection: Connection, slug: str | None) -> tuple[int | None, list[Recipient]]:
    from ops.alerts import recipients  # noqa: PLC0415  see above

    if slug is None:
        return None, recipients.operators()
    number = lookup.tenant_id(connection, slug)
    row = connection.execute(_OF_TENANT, {"slug": slug}).one()
    return number, recipients.of_tenant(number, row.timezone, row.alerts)
