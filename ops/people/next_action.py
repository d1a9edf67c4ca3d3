"""What happens next with a person, or what an operator can do: one sentence for the first thing that stands in the way.

A sentence is a code with parameters (``ops/language/explain.py``); ``verb`` names what an operator would do about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import TypedDict

from ops.language import SENTENCES, Language, Words, say
from ops.listing import Row

# AFAS writes a day with its midnight; people don't.
_MIDNIGHT = "T00:00:00Z"
_WAITING_ROWS = ("not_yet", "ended", "blocked", "rejected")


class Next(TypedDict):
    """A sentence as a code, and the verb that does something about it: None where nothing has to be done."""

    code: str
    params: dict[str, Any]
    verb: str | None


def step(code: str, verb: str | None = None, /, **params: object) -> Next:
    """One of ``explain.<code>``."""
    return {"code": f"explain.{code}", "params": params, "verb": verb}


def said(told: Mapping[str, Any], language: Language = "en", *, page: bool = False) -> str:
    """The sentence; a ``page`` has one without commands where there is one."""
    code, params = f"page.{told['code']}", told["params"]
    if page and params.get("found"):
        params = {**params, "found": str(params["found"]).removesuffix(_MIDNIGHT)}
    return say(code if page and code in SENTENCES else told["code"], language, **params)


def completed(completion: Row | None, titles: list[str]) -> Words | None:
    """Where the completion of an event stands; None for an event that no completion is written for."""
    if completion is None:
        asked = ", ".join(f"{title!r}" for title in titles)
        return Words("completed.none", titles=asked) if titles else None
    state, reason = completion["state"], completion["reason"] or "none"
    code = f"completed.why_{reason}"
    why = Words(code) if code in SENTENCES else reason
    params = {"on": completion["completed_on"], "found": completion["found_value"], "why": why}
    return Words(f"completed.{state}", **params)


def completion_note(completion: Row | None, titles: list[str]) -> str | None:
    """The same in English words."""
    found = completed(completion, titles)
    return str(found) if found else None


def next_step(slug: str, person: Row, enrollments: list[Row], dead: list[Row], directions: list[Row]) -> Next:
    """What comes first."""
    return next(_obstacles(slug, person, enrollments, dead, directions), step("nothing"))


def _obstacles(
    slug: str, person: Row, enrollments: list[Row], dead: list[Row], directions: list[Row]
) -> Iterator[Next]:
    who = person["internal_id"]
    for way in directions:
        if way["state"] in ("paused", "quarantined"):
            code, reason = f"{way['direction']}_{way['state']}", way["reason"]
            known = way["state"] == "quarantined" and f"cause.{reason}" in SENTENCES
            why = Words(f"cause.{reason}", system="AFAS / Pluvo") if known else reason
            yield step(code, "tenants resume", slug=slug, reason=reason, why=why, direction=way["direction"])
    yield from _link(slug, person)
    for row in enrollments:
        for hold in row["holds"]:
            yield step("held", "holds show", guard=hold["guard"], hold=hold["hold"])
    for letter in dead:
        error = f"{letter['error']}: {letter['message']}".rstrip(": ")
        cause = f"cause.{letter['error']}"
        why = Words(cause, system="AFAS / Pluvo") if cause in SENTENCES else error
        yield step("gave_up", "dead-letters replay", said=error, why=why, dead_letter=letter["dead_letter"])
    for row in enrollments:
        yield from _enrollment(row)
    if not enrollments:
        yield step("no_row", "sync person", slug=slug, internal_id=who)


def _link(slug: str, person: Row) -> Iterator[Next]:
    whom = {"slug": slug, "internal_id": person["internal_id"]}
    if person["link_state"] == "ambiguous" and person["decision"] is None:
        reason = person["link_reason"]
        code = f"reason.{reason}"
        why = Words(code) if code in SENTENCES else str(reason)
        yield step("ambiguous", "links decide", **whom, reason=reason, why=why)
    if person["link_state"] == "ignored":
        yield step("ignored", "links decide", **whom)


def _enrollment(row: Row) -> Iterator[Next]:
    event = row["event_id"]
    if row["waits_for_room"]:
        yield step("no_room", event=event)
    elif row["message_state"] == "scheduled":
        at = f"{row['message_run_at']:%Y-%m-%d %H:%M:%S}"
        yield step("tried_again", event=event, at=at, code=row["message_code"])
    elif row["message_state"]:
        yield step("under_way", event=event)
    if row["row_state"] in _WAITING_ROWS:
        yield step(f"row_{row['row_state']}", event=event, reason=row["reason"] or row["row_state"])
    if row["row_state"] == "absent" and row["state"] == "enrolled":
        since = row["absent_since"]
        if since:
            yield step("absent_since", event=event, since=f"{since:%Y-%m-%d %H:%M}")
        yield step("absent", event=event)
    if row["left_behind"]:
        yield step("left_behind", event=event, places=", ".join(sorted(set(row["left_behind"]))))
    if row["waiting"] and row["state"] == "enrolled":
        yield step("waiting_list", event=event)
    if row["failed_code"]:
        yield step("refused", event=event, code=row["failed_code"])
    if row["desired"] == "enrolled" and row["state"] != "enrolled" and row["row_state"] == "present":
        yield step("next_run", event=event)
    if row["completion"]:
        yield from _completion(event, row["completion"])


def _completion(event: str, completion: Row) -> Iterator[Next]:
    if completion.get("closed"):
        return
    if completion["state"] in ("pending", "sending"):
        yield step("completion_on_its_way", event=event, on=completion["completed_on"])
    if completion["state"] == "conflict":
        yield step("completion_conflict", event=event, found=completion["found_value"])
    if completion["state"] in ("no_date", "orphan", "rejected"):
        yield step("completion", event=event, note=completed(completion, []))
