"""Why somebody whom nothing here is about may not be in Pluvo: what was read, what is in the way, what to do."""

from __future__ import annotations

from datetime import datetime

from typing_extensions import TypedDict

from models.afas_values import person_number
from ops.language import SENTENCES, Words
from ops.listing import Row
from ops.people.next_action import Next, step

SHOWN_EVENTS = 20  # of those that are named in a sentence


class LookedAt(TypedDict):
    """What was read last of the tenant, for who is not found."""

    courses: list[Row]
    last_run: Row | None
    directions: list[Row]


class Asked(TypedDict):
    """What AFAS says now of one internal id. ``found``: a sentence an event, those to act on first; else one that says
    where they are not. ``failed``: of each GetConnector that could not be read.
    """

    internal_id: str
    at: datetime
    connectors: list[str]
    rows: int
    found: list[Next]
    failed: list[Next]


def never_seen(slug: str, asked: str, looked_at: LookedAt) -> Next:
    """What to do about somebody whom nothing here is about."""
    active = [str(course["event_id"]) for course in looked_at["courses"] if course["active"]]
    if not active:
        return step("no_course", "courses add", slug=slug)
    if looked_at["last_run"] is None:
        return step("never_read", "sync", slug=slug)
    more = f", … ({len(active)})" if len(active) > SHOWN_EVENTS else ""
    return step("never_seen", "people ask", slug=slug, who=asked, events=", ".join(active[:SHOWN_EVENTS]) + more)


def causes(asked: str, looked_at: LookedAt) -> list[Next]:
    """What may be the reason that nobody of this name was ever seen: what is known to be in the way comes first."""
    run = looked_at["last_run"]
    found = [
        _cause("stopped", state=way["state"])
        for way in looked_at["directions"]
        if way["direction"] == "enrollments" and way["state"] in ("paused", "quarantined")
    ]
    if run is not None and run["status"] in ("failed", "quarantined", "stopped"):
        found.append(_cause("last_run_failed", status=run["status"]))
    for course in looked_at["courses"]:
        if course["active"] and course["last_complete_at"] is None:
            found.append(_cause("unread", event=course["event_id"]))
    for course in (run or {}).get("courses") or ():
        for reason in course["reasons"][:1]:
            why = Words(f"reason.{reason}") if f"reason.{reason}" in SENTENCES else reason
            found.append(_cause("doubted", event=course["event_id"], why=why))
    waiting = ((run or {}).get("unlinked") or {}).values()
    if waiting:
        people = sum(one["people"] for one in waiting)
        found.append(_cause("rules_wait", events=sum(one["events"] for one in waiting), people=people))
    if person_number(asked) is not None:
        found.append(_cause("other_id"))
    return [*found[:SHOWN_EVENTS], _cause("not_enrolled"), _cause("unlinked"), _cause("filtered")]


def _cause(code: str, **params: object) -> Next:
    return {"code": f"cause_unseen.{code}", "params": params, "verb": None}
