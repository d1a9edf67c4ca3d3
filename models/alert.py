"""Words of alerts' deliveries: how one of them is, what it is about, and on which way it goes."""

from __future__ import annotations

from enum import StrEnum

from typing_extensions import TypedDict


class Channel(StrEnum):
    MAIL = "mail"
    WEBHOOK = "webhook"


class About(StrEnum):
    """``news``: alerts that began or are over."""

    NEWS = "news"
    DIGEST = "digest"
    TEST = "test"
    QUALITY = "quality"


class DeliveryState(StrEnum):
    """``refused``: it will never be taken; ``gave_up``: tried for too long; ``dropped``: no recipient any more."""

    WAITING = "waiting"
    SENT = "sent"
    REFUSED = "refused"
    GAVE_UP = "gave_up"
    DROPPED = "dropped"


class Event(StrEnum):
    OPENED = "opened"
    RESOLVED = "resolved"


class Item(TypedDict):
    """One alert in a delivery, by its number."""

    alert: int
    event: str
