"""What happens next with a person, or what an operator can do: one line for the first thing that stands in the way."""

from __future__ import annotations

from collections.abc import Iterator

from ops.listing import Row

_WAITING_ROWS = {
    "not_yet": "begins later: the person is enrolled once the start date of the row has come",
    "ended": "is over for this person in AFAS: nothing more is done",
    "blocked": "is blocked for this person in AFAS, which counts as absent",
    "rejected": "has a row that can't be used: put it right in AFAS",
}


_COMPLETIONS = {
    "unknown_person": "Pluvo's account is linked to nobody",
    "not_enrolled": "nobody of this account is enrolled in the event in AFAS",
    "not_in_afas": "the row is gone from AFAS: it is written when it is back",
    "no_longer_linked": "the account that finished is linked to somebody else by now",
    "no_rule": "no rule asks for it any more",
    "unreadable_date": "Pluvo's date can't be read",
    "implausible_date": "Pluvo's date is before 1990 or still to come",
}


def completion_note(completion: Row | None, titles: list[str]) -> str | None:
    """Where the completion of an event stands, in words; None for an event that no completion is written for."""
    if completion is None:
        asked = ", ".join(f"{title!r}" for title in titles)
        return f"none is known: Pluvo's report has no date under {asked} for this account" if titles else None
    state, on = completion["state"], completion["completed_on"]
    why = _COMPLETIONS.get(completion["reason"] or "", completion["reason"] or "no reason is known")
    return {
        "pending": f"{on} is to be written to AFAS",
        "sending": f"{on} is being written to AFAS",
        "written": f"{on} was written to AFAS and not seen there yet",
        "verified": f"{on} stands in AFAS, written by us",
        "unchanged": f"{on} stood in AFAS already",
        "conflict": f"AFAS holds {completion['found_value']!r}, Pluvo says {on}: nothing is written over it",
        "no_date": "Pluvo told of a finish, but its report has no date: each run looks again",
        "orphan": f"{on} is not written: {why}",
        "rejected": f"not written: {why}",
        "failed": f"{on} was refused or given up: {why}",
    }.get(state, state)


def next_action(slug: str, person: Row, enrollments: list[Row], dead: list[Row], directions: list[Row]) -> str:
    """The line, with the command where there is one."""
    return next(_obstacles(slug, person, enrollments, dead, directions), "Nothing: all is as AFAS says.")


def _obstacles(slug: str, person: Row, enrollments: list[Row], dead: list[Row], directions: list[Row]) -> Iterator[str]:
    who = person["internal_id"]
    for way in directions:
        if way["state"] in ("paused", "quarantined"):
            stopped = f"{way['direction'].capitalize()} of {slug} are {way['state']} ({way['reason']})"
            yield f"{stopped}: `koppeling tenants resume {slug}` once that is settled."
    yield from _link(slug, person)
    for row in enrollments:
        for hold in row["holds"]:
            yield f"A guard ({hold['guard']}) holds it until somebody decides: `koppeling holds show {hold['hold']}`."
    for letter in dead:
        said = f"{letter['error']}: {letter['message']}".rstrip(": ")
        yield f"It gave up ({said}): settle that, then `koppeling dead-letters replay {letter['dead_letter']}`."
    for row in enrollments:
        yield from _enrollment(row)
    if not enrollments:
        yield f"No row in AFAS was seen yet: `koppeling sync {slug} --person {who}` looks now."


def _link(slug: str, person: Row) -> Iterator[str]:
    command = f"koppeling links decide {slug} {person['internal_id']}"
    if person["link_state"] == "ambiguous" and person["decision"] is None:
        yield (
            f"Nobody knows which account this is ({person['link_reason']}):"
            f" `{command} link PLUVO_ID`, `create` or `ignore`."
        )
    if person["link_state"] == "ignored":
        yield f"An operator decided to ignore this person: `{command} link PLUVO_ID` or `create` ends that."


def _places(row: Row) -> str:
    return ", ".join(sorted(set(row["left_behind"])))


def _enrollment(row: Row) -> Iterator[str]:
    event = row["event_id"]
    if row["waits_for_room"]:
        yield f"Event {event} waits: Pluvo has no room for another account. It goes on by itself once there is."
    elif row["message_state"] == "scheduled":
        yield f"Event {event} is tried again at {row['message_run_at']:%Y-%m-%d %H:%M:%S} UTC ({row['message_code']})."
    elif row["message_state"]:
        yield f"Event {event} is under way."
    if row["row_state"] in _WAITING_ROWS:
        yield f"Event {event} {_WAITING_ROWS[row['row_state']]} ({row['reason'] or row['row_state']})."
    if row["row_state"] == "absent" and row["state"] == "enrolled":
        since = f" since {row['absent_since']:%Y-%m-%d %H:%M} UTC" if row["absent_since"] else ""
        yield f"Absent in event {event}{since}: removed from Pluvo once that is confirmed."
    if row["left_behind"]:
        yield f"Event {event} leads elsewhere by now: the next run plans to take the person out of {_places(row)}."
    if row["waiting"] and row["state"] == "enrolled":
        yield f"Event {event} has no place: Pluvo has the person on its waiting list. Each run looks again."
    if row["failed_code"]:
        yield f"Event {event} was refused ({row['failed_code']}): it is tried again when content or settings change."
    if row["desired"] == "enrolled" and row["state"] != "enrolled" and row["row_state"] == "present":
        yield f"Event {event} is done in the next run."
    completion = row["completion"]
    if completion and completion["state"] in ("pending", "sending"):
        yield f"The completion of {completion['completed_on']} is being written to AFAS."
    if completion and completion["state"] == "conflict":
        found = completion["found_value"]
        yield f"AFAS holds another completion date ({found}) than Pluvo: put right in AFAS what is wrong there."
    if completion and completion["state"] in ("no_date", "orphan", "rejected"):
        yield f"The completion in event {event}: {completion_note(completion, [])}."
