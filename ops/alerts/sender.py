"""Take deliveries one by one and send them: by any process, each by one at a time.

Who takes one has it for two minutes, several times as long as sending may take. If it is killed meanwhile, another
process sends it again: at least once, with the same Message-ID.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, text

import settings
from loops import where
from models.alert import About, Channel, DeliveryState, Item
from models.crypto import SecretDamaged, SecretUnreadable
from models.installation import installation
from models.session import session, transaction
from models.worker import worker_id
from ops import quality
from ops.alerts import kinds, letters, mail, recipients, webhook
from ops.alerts.mail import Server, Undelivered
from ops.alerts.needs import Line
from ops.alerts.recipients import Recipient

CLAIM_SECONDS = 120
# After each attempt; the last one that fails gives up.
WAITS = (60, 120, 300, 900, 1800, 3600, 7200, 14400)
# In one go, so that the thread looks up now and then.
AT_ONCE = 50
log = structlog.get_logger("ops.alerts.sender")

# News go to a recipient in their order; what comes later waits until the first was taken, refused or given up.
_CLAIM = text(
    """
    UPDATE alert_delivery
       SET claim = :claim, claimed_until = now() + make_interval(secs => :seconds), attempts = attempts + 1
     WHERE id = (
        SELECT d.id FROM alert_delivery d
         WHERE d.state = 'waiting' AND d.channel = :channel AND d.next_at <= :now
           AND coalesce(d.claimed_until, now()) <= now()
           AND NOT EXISTS (SELECT 1 FROM alert_delivery e
                WHERE e.state = 'waiting' AND e.channel = :channel AND e.recipient = d.recipient AND e.about = d.about
                  AND e.tenant_id IS NOT DISTINCT FROM d.tenant_id AND e.id < d.id)
         ORDER BY d.next_at, d.id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, tenant_id, channel, recipient, about, items, attempts
    """
)
_CLAIM_ONE = text(
    """
    UPDATE alert_delivery
       SET claim = :claim, claimed_until = now() + make_interval(secs => :seconds), attempts = attempts + 1
     WHERE id = :id AND state = 'waiting' AND coalesce(claimed_until, now()) <= now()
    RETURNING id, tenant_id, channel, recipient, about, items, attempts
    """
)
_RECORD = text(
    """
    UPDATE alert_delivery
       SET state = CAST(:state AS text), code = :code, claim = NULL, claimed_until = NULL,
           sent_at = CASE WHEN CAST(:state AS text) = 'sent' THEN now() ELSE sent_at END,
           next_at = CASE WHEN CAST(:state AS text) = 'waiting' THEN now() + make_interval(secs => :wait)
                          ELSE next_at END
     WHERE id = :id AND claim = :claim
    """
)
_TENANT = text("SELECT timezone, alerts FROM tenant WHERE id = :tenant")
_SLUG = text("SELECT slug FROM tenant WHERE id = :tenant")


@dataclass(frozen=True)
class Taken:
    """A delivery that this process tries."""

    id: int
    tenant_id: int | None
    channel: str
    recipient: str
    about: str
    items: list[dict[str, Any]]
    attempts: int
    claim: str


@dataclass(frozen=True)
class Result:
    """What came of an attempt."""

    state: DeliveryState
    code: str | None = None
    of_server: bool = False


def send_due(channel: Channel, now: datetime | None = None) -> int:
    """Send what is due on this way; how many were taken by their recipient.

    A mail server that gives no answer is left alone for the rest of this round. A process that knows of no mail server
    leaves mails to others.
    """
    if channel == Channel.MAIL and not settings.get().smtp_url:
        return 0
    sent = 0
    for _ in range(AT_ONCE):
        claim = _new_claim()
        with transaction() as connection:
            values = {"channel": channel, "claim": claim, "seconds": CLAIM_SECONDS, "now": now or datetime.now(UTC)}
            row = connection.execute(_CLAIM, values).first()
        if row is None:
            break
        result = _attempt(Taken(**row._mapping, claim=claim))
        sent += result.state == DeliveryState.SENT
        if result.of_server:
            break
    return sent


def send_one(number: int) -> Result | None:
    """Send this one now, for whoever waits for it; None where another process has it."""
    claim = _new_claim()
    with transaction() as connection:
        row = connection.execute(_CLAIM_ONE, {"id": number, "claim": claim, "seconds": CLAIM_SECONDS}).first()
    return _attempt(Taken(**row._mapping, claim=claim)) if row else None


def _new_claim() -> str:
    return f"{worker_id()}:{secrets.token_hex(4)}"


def _attempt(taken: Taken) -> Result:
    try:
        result = _try(taken)
    except Undelivered as error:
        result = _failed(taken, error)
    except Exception as error:  # ours: another try may go better, and no other mail waits for it
        log.error("alert_delivery_broke", delivery=taken.id, where=where(error))
        result = _failed(taken, Undelivered("delivery_broke"))
    wait = WAITS[min(taken.attempts, len(WAITS)) - 1]
    with transaction() as connection:
        values = {"id": taken.id, "claim": taken.claim, "state": result.state, "code": result.code, "wait": wait}
        connection.execute(_RECORD, values)
    log.info("alert_delivery", delivery=taken.id, channel=taken.channel, about=taken.about, state=result.state,
             code=result.code)  # fmt: skip
    return result


def _failed(taken: Taken, error: Undelivered) -> Result:
    if error.final:
        return Result(DeliveryState.REFUSED, error.code)
    state = DeliveryState.GAVE_UP if taken.attempts > len(WAITS) else DeliveryState.WAITING
    return Result(state, error.code, error.of_server)


def _try(taken: Taken) -> Result:
    number = _number(taken)
    with transaction() as connection:
        who = _recipient(connection, taken)
        slug = connection.execute(_SLUG, {"tenant": taken.tenant_id}).scalar()
        mailed = who is not None and who.channel == Channel.MAIL and taken.about != About.QUALITY
        letter = _letter(connection, taken, who) if who and mailed else None
        body = _body(connection, taken, who, number) if who and who.channel == Channel.WEBHOOK else None
    if who is None:
        return Result(DeliveryState.DROPPED, "no_recipient")
    if taken.about == About.QUALITY and slug:
        letter = letters.putting_right(quality.document(slug), who.language)
    if letter is not None:
        found = settings.get()
        if not found.smtp_url or not found.smtp_from:
            raise Undelivered("smtp_missing", of_server=True)
        made = letters.message(letter, sender=found.smtp_from, to=who.address, number=number, language=who.language)
        mail.send(Server.of(found.smtp_url), made)
    elif body is not None:
        webhook.send(who.address, body, _secret(taken.tenant_id), {"Koppeling-Delivery": number})
    else:
        return Result(DeliveryState.DROPPED)  # what it was about is gone
    return Result(DeliveryState.SENT)


def _recipient(connection: Connection, taken: Taken) -> Recipient | None:
    """Who it is for, if they are still named."""
    named = recipients.operators()
    if taken.tenant_id is not None:
        row = connection.execute(_TENANT, {"tenant": taken.tenant_id}).first()
        of = recipients.of_quality if taken.about == About.QUALITY else recipients.of_tenant
        named = of(taken.tenant_id, row.timezone, row.alerts) if row else []
    key = (taken.tenant_id, taken.channel, taken.recipient)
    return next((one for one in named if one.key == key), None)


def _letter(connection: Connection, taken: Taken, who: Recipient) -> letters.Letter | None:
    if taken.about == About.NEWS:
        return letters.news(connection, cast(list[Item], taken.items), who.language, who.zone)
    if taken.about == About.DIGEST:
        return letters.digest(cast(list[Line], taken.items), who.language)
    return letters.test(who.language)


def _body(connection: Connection, taken: Taken, who: Recipient, number: str) -> bytes | None:
    """The JSON of a call: the same numbers and codes as in a mail, with the sentence beside them."""
    told: list[dict[str, object]] = []
    if taken.about == About.NEWS:
        items = cast(list[Item], taken.items)
        found = {row.id: row for row in connection.execute(letters.ALERTS, {"ids": [one["alert"] for one in items]})}
        base = settings.get().public_url
        for item in items:
            if row := found.get(item["alert"]):
                page = kinds.page(row.kind, row.subject, row.slug, row.parameters)
                told.append(
                    {
                        "event": item["event"],
                        "alert": row.id,
                        "tenant": row.slug,
                        "test": row.test,
                        "kind": row.kind,
                        "subject": row.subject,
                        "parameters": row.parameters,
                        "text": kinds.sentence(row.kind, row.parameters, who.language),
                        "opened_at": _instant(row.opened_at),
                        "closed_at": _instant(row.closed_at),
                        "url": base + page if base else None,
                    }
                )
        if not told:
            return None
    document = {"delivery": number, "about": taken.about, "alerts": told}
    return json.dumps(document, ensure_ascii=False).encode()


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(ZoneInfo("UTC")).isoformat() if at else None


def _secret(tenant: int | None) -> str | None:
    if tenant is None:
        return settings.get().alert_webhook_secret
    from models.tenant import Tenant  # noqa: PLC0415  who looks at rows alone needs no objects

    try:
        with session() as opened:
            found = opened.get(Tenant, tenant)
            return found.alerts_secret if found else None
    except (SecretDamaged, SecretUnreadable):
        return None


def _number(taken: Taken) -> str:
    """What the recipient knows it by: the same each time it is tried, another one in each installation."""
    return f"alert-{taken.id}.{installation()}"
