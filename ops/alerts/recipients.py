"""Who is told, in which language, and when they don't want to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import settings
from models.alert import Channel
from models.base import utc_now
from models.tenant_settings import AlertSettings
from ops.language import Language


@dataclass(frozen=True)
class Recipient:
    """``tenant``: whose alerts they get; None: all, and those of the installation itself."""

    tenant: int | None
    channel: Channel
    address: str
    language: Language
    zone: ZoneInfo
    quiet: str | None = None
    digest: bool = True

    @property
    def key(self) -> tuple[int | None, str, str]:
        """What a delivery names them by."""
        return self.tenant, self.channel.value, self.address


def operators() -> list[Recipient]:
    """Those who run this installation, as its settings name them."""
    found = settings.get()
    language, zone = cast(Language, found.alert_language), ZoneInfo(found.alert_timezone)
    mails = [Recipient(None, Channel.MAIL, one, language, zone, found.alert_quiet) for one in found.alert_mail]
    hooks = [found.alert_webhook] if found.alert_webhook else []
    return mails + [Recipient(None, Channel.WEBHOOK, one, language, zone, digest=False) for one in hooks]


def of_tenant(tenant: int, zone: str, stored: Any) -> list[Recipient]:
    """Those whom a tenant names (``stored``: ``tenant.alerts``), without who is told of all tenants anyway."""
    named = AlertSettings.model_validate(stored or {})
    there = {one.address.casefold() for one in operators()}
    place = ZoneInfo(zone)
    mails = [
        Recipient(tenant, Channel.MAIL, one, named.language, place, named.quiet, named.digest)
        for one in dict.fromkeys(named.mail)
    ]
    hooks = [named.webhook] if named.webhook else []
    hooked = [Recipient(tenant, Channel.WEBHOOK, one, named.language, place, digest=False) for one in hooks]
    return [one for one in mails + hooked if one.address.casefold() not in there]


def of_quality(tenant: int, zone: str, stored: Any) -> list[Recipient]:
    """Those who get what is to be put right in a tenant's AFAS."""
    named = AlertSettings.model_validate(stored or {})
    place = ZoneInfo(zone)
    return [
        Recipient(tenant, Channel.MAIL, one, named.language, place, named.quiet, digest=False)
        for one in dict.fromkeys(named.quality_mail)
    ]


def quiet_until(quiet: str | None, zone: ZoneInfo, now: datetime | None = None) -> datetime | None:
    """The end of the quiet hours that it is in now, else None: by the clock on the wall, on each day of the year."""
    if not quiet:
        return None
    begin, end = (time.fromisoformat(one) for one in quiet.split("-"))
    here = (now or utc_now()).astimezone(zone)
    hour = here.time().replace(tzinfo=None)
    if begin < end:
        inside, day = begin <= hour < end, here.date()
    else:
        inside, day = hour >= begin or hour < end, here.date() + timedelta(days=hour >= begin)
    # In the night in which clocks go back an hour comes twice: the end is in the one that it is now.
    return datetime.combine(day, end, zone).replace(fold=here.fold) if inside else None
