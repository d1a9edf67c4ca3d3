"""Make deliveries of what is new, and a digest each morning. One process at a time does this; two do no harm.

Who is told of several things within moments gets them in one mail, and a mail a minute at most. What is over before it
was sent is not sent; what ends and begins again and again is told a few times: ``flapping.py``. A tenant is locked
before its alerts, as who removes it does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from loops import each
from models.alert import About, Channel, Event, Item
from models.audit import ALERT_NEWS
from models.base import utc_now
from models.session import transaction
from ops.alerts import flapping, kinds, needs, recipients
from ops.alerts.recipients import Recipient

# What comes up so soon after the first goes with it.
GATHER_SECONDS = 5
APART_SECONDS = 60
# What nobody took for so long is no news any more.
PATIENCE_HOURS = 24
DIGEST_AT, DIGEST_UNTIL = time(7), time(12)
_TENANTS = text(
    f"""
    SELECT DISTINCT tenant_id FROM alert a
     WHERE {ALERT_NEWS} AND kind <> ALL(:later) AND id NOT IN ({flapping.HELD_BACK})
    """  # noqa: S608  constants only
)
_TENANT = text("SELECT id, timezone, alerts FROM tenant WHERE id = :tenant FOR KEY SHARE")
_NEWS = text(
    f"""
    SELECT id, kind, subject, closed_at, {flapping.AGAIN} AS again, {flapping.OPEN_STILL} AS open_still,
           {flapping.BEGAN_ANEW} AS began_anew
      FROM alert a
     WHERE tenant_id IS NOT DISTINCT FROM :tenant AND {ALERT_NEWS} AND kind <> ALL(:later)
     ORDER BY id FOR UPDATE SKIP LOCKED
    """  # noqa: S608  constants only
)
_TOLD = text(
    """
    UPDATE alert SET told_at = coalesce(told_at, now()),
           over_told_at = CASE WHEN closed_at IS NULL THEN over_told_at ELSE now() END
     WHERE id = ANY(:ids)
    """
)
# Not begun yet, so more can be put into it.
_GATHERING = text(
    """
    SELECT id, items FROM alert_delivery
     WHERE tenant_id IS NOT DISTINCT FROM :tenant AND channel = :channel AND recipient = :recipient
       AND about = 'news' AND state = 'waiting' AND attempts = 0 ORDER BY id DESC LIMIT 1 FOR UPDATE
    """
)
_LAST = text(
    """
    SELECT sent_at FROM alert_delivery
     WHERE tenant_id IS NOT DISTINCT FROM :tenant AND channel = :channel AND recipient = :recipient
       AND about = 'news' AND state = 'sent' AND created_at > now() - interval '1 day' ORDER BY id DESC LIMIT 1
    """
)
_ADD = text(
    """
    INSERT INTO alert_delivery (tenant_id, channel, recipient, about, items, next_at, created_at)
    VALUES (:tenant, :channel, :recipient, :about, CAST(:items AS jsonb), :at, coalesce(:made, now())) RETURNING id
    """
)
_ITEMS = text("UPDATE alert_delivery SET items = CAST(:items AS jsonb) WHERE id = :id")
_NOTHING_LEFT = text("DELETE FROM alert_delivery WHERE id = :id")
_GIVE_UP = text(
    """
    UPDATE alert_delivery SET state = 'gave_up', claim = NULL
     WHERE state = 'waiting' AND created_at < now() - make_interval(hours => :hours)
       AND next_at < now() AND coalesce(claimed_until, now()) <= now()
    """
)
_DIGEST_FOR = text(
    """
    SELECT t.id, t.timezone, t.alerts FROM tenant t
     WHERE jsonb_array_length(coalesce(t.alerts->'mail', '[]')) > 0
       AND coalesce(CAST(t.alerts->>'digest' AS boolean), true)
       AND NOT EXISTS (SELECT 1 FROM alert_digest d WHERE d.tenant_id = t.id
                          AND d.day = CAST(CAST(:now AS timestamptz) AT TIME ZONE t.timezone AS date))
    """
)
_QUALITY_FOR = text(
    """
    SELECT t.id, t.timezone FROM tenant t
     WHERE jsonb_array_length(coalesce(t.alerts->'quality_mail', '[]')) > 0
       AND NOT EXISTS (SELECT 1 FROM alert_delivery d WHERE d.tenant_id = t.id AND d.about = 'quality'
                          AND d.created_at > CAST(:now AS timestamptz) - interval '6 days')
    """
)
# Of two that plan at once the second one waits, and sees what the first one made.
_TENANT_ALONE = text("SELECT id FROM tenant WHERE id = :tenant FOR NO KEY UPDATE")
_QUALITY_MADE = text(
    """
    SELECT EXISTS (SELECT 1 FROM alert_delivery WHERE tenant_id = :tenant AND about = 'quality'
                      AND created_at > CAST(:now AS timestamptz) - interval '6 days')
    """
)
_DAY = text("INSERT INTO alert_digest (tenant_id, day) VALUES (:tenant, :day) ON CONFLICT DO NOTHING")
_DAY_DONE = text(
    "SELECT EXISTS (SELECT 1 FROM alert_digest WHERE tenant_id IS NOT DISTINCT FROM :tenant AND day = :day)"
)


@dataclass
class _Gathered:
    """The delivery that still gathers for one recipient."""

    id: int | None
    items: list[Item]
    changed: bool = field(default=False)


def news(now: datetime | None = None) -> int:
    """Make deliveries of alerts that began or are over; how many alerts were told."""
    moment = now or utc_now()
    later = list(kinds.NOT_AT_ONCE)
    with transaction() as connection:
        connection.execute(_GIVE_UP, {"hours": PATIENCE_HOURS})
        tenants = list(connection.execute(_TENANTS, {"later": later, "now": moment}).scalars())
    told: list[int] = []

    def tell(tenant: int | None) -> None:
        with transaction() as connection:
            told.append(_tell(connection, tenant, later, moment))

    each("alerts to tell", tenants, tell)
    return sum(told)


def _tell(connection: Connection, tenant: int | None, later: Sequence[str], now: datetime) -> int:
    people = recipients.operators()
    if tenant is not None:
        row = connection.execute(_TENANT, {"tenant": tenant}).first()
        if row is None:
            return 0  # removed meanwhile
        people += recipients.of_tenant(tenant, row.timezone, row.alerts)
    found = connection.execute(_NEWS, {"tenant": tenant, "later": later}).all()
    new, settled = flapping.sort_out(found, now)
    mutes = connection.execute(needs.MUTES).all()
    loud = [row for row in new if not needs.muted(mutes, tenant, row.kind)]
    for one in people:
        _gather(connection, one, loud, now)
    connection.execute(_TOLD, {"ids": [row.id for row in (*new, *settled)]})
    return len(new)


def _gather(connection: Connection, who: Recipient, found: Iterable[Row[Any]], now: datetime) -> None:
    names = {"tenant": who.tenant, "channel": who.channel, "recipient": who.address}
    row = connection.execute(_GATHERING, names).first()
    gathered = _Gathered(row.id, list(row.items)) if row else _Gathered(None, [])
    for alert in found:
        begun: Item = {"alert": alert.id, "event": Event.OPENED}
        if alert.closed_at is None:
            gathered.items.append(begun)
        elif begun in gathered.items:
            gathered.items.remove(begun)  # over before anybody was told
        else:
            gathered.items.append({"alert": alert.id, "event": Event.RESOLVED})
        gathered.changed = True
    if not gathered.changed:
        return
    if gathered.id is None and gathered.items:
        add(connection, who, About.NEWS, gathered.items, _when(connection, who, now))
    elif gathered.id is not None and gathered.items:
        connection.execute(_ITEMS, {"id": gathered.id, "items": json.dumps(gathered.items)})
    elif gathered.id is not None:
        connection.execute(_NOTHING_LEFT, {"id": gathered.id})


def _when(connection: Connection, who: Recipient, now: datetime) -> datetime:
    if who.channel == Channel.WEBHOOK:
        return now
    names = {"tenant": who.tenant, "channel": who.channel, "recipient": who.address}
    last: datetime | None = connection.execute(_LAST, names).scalar()
    soonest = now + timedelta(seconds=GATHER_SECONDS)
    if last is not None:
        soonest = max(soonest, last + timedelta(seconds=APART_SECONDS))
    return recipients.quiet_until(who.quiet, who.zone, soonest) or soonest


def add(  # noqa: PLR0917  a delivery, in the order of its columns
    connection: Connection,
    who: Recipient,
    about: About,
    items: Sequence[Mapping[str, Any]],
    at: datetime,
    made: datetime | None = None,
) -> int:
    """Make a delivery; its number."""
    values = {"tenant": who.tenant, "channel": who.channel, "recipient": who.address, "about": about, "at": at}
    values |= {"items": json.dumps(items), "made": made}
    return int(connection.execute(_ADD, values).scalar_one())


def digests(now: datetime | None = None) -> int:
    """Make the digests of those for whom it is past seven; how many mails. Each day once, whatever was restarted.

    Where nothing ran until noon there is none that day.
    """
    moment = now or utc_now()
    with transaction() as connection:
        tenants = connection.execute(_DIGEST_FOR, {"now": moment}).all()
    who = {None: recipients.operators()} | {
        cast(int | None, row.id): recipients.of_tenant(row.id, row.timezone, row.alerts) for row in tenants
    }
    made: list[int] = []

    def make(tenant: int | None) -> None:
        people = [one for one in who[tenant] if one.channel == Channel.MAIL and one.digest]
        if not people:
            return
        here = moment.astimezone(people[0].zone)
        if not DIGEST_AT <= here.time().replace(tzinfo=None) < DIGEST_UNTIL:
            return
        day = {"tenant": tenant, "day": here.date()}
        with transaction() as connection:
            if connection.execute(_DAY_DONE, day).scalar():
                return
            if tenant is not None and connection.execute(_TENANT, {"tenant": tenant}).first() is None:
                return
            if not connection.execute(_DAY, day).rowcount:
                return
            told = needs.lines(connection, tenant)
            for one in people if told else []:
                at = recipients.quiet_until(one.quiet, one.zone, moment) or moment
                made.append(add(connection, one, About.DIGEST, cast(list[Mapping[str, Any]], told), at))

    each("digest", list(who), make)
    return len(made)


def weekly(now: datetime | None = None) -> int:
    """Make the mails for those who keep AFAS, on Mondays at the hours of the digest; how many.

    What is in them is looked up when they are sent, and where nothing has to be put right none is.
    """
    moment = now or utc_now()
    with transaction() as connection:
        due = connection.execute(_QUALITY_FOR, {"now": moment}).all()
    monday = [row.id for row in due if _is_monday_morning(moment.astimezone(ZoneInfo(row.timezone)))]
    made: list[int] = []

    def make(tenant: int) -> None:
        with transaction() as connection:
            names = {"tenant": tenant, "now": moment}
            if (
                connection.execute(_TENANT_ALONE, names).first() is None
                or connection.execute(_QUALITY_MADE, names).scalar()
            ):
                return
            made.extend(quality(connection, tenant, moment))

    each("quality mail", monday, make)
    return len(made)


def quality(connection: Connection, tenant: int, now: datetime) -> list[int]:
    """Make a delivery to each who keeps a tenant's AFAS; their numbers."""
    row = connection.execute(_TENANT, {"tenant": tenant}).one()
    people = recipients.of_quality(tenant, row.timezone, row.alerts)
    return [
        add(connection, one, About.QUALITY, [], recipients.quiet_until(one.quiet, one.zone, now) or now, now)
        for one in people
    ]


def _is_monday_morning(here: datetime) -> bool:
    return here.weekday() == 0 and DIGEST_AT <= here.time().replace(tzinfo=None) < DIGEST_UNTIL
