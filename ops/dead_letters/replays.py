"""Replays of many dead letters, as an operator sees them: what one would do, begin one, list, show.

Showing never sends anything. What sends, and cancels, is ``replay_batch.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import Connection
from typing_extensions import TypedDict

from models.session import transaction
from ops import lookup
from ops.dead_letters import MAX_FAILURES, RATE, inbox, replay, replay_batch
from ops.dead_letters.inbox import Filters
from ops.language import Words
from ops.listing import Page, Row, checked_limit, number_cursor, page, rows, where
from ops.problems import NotThere, Problem

# So many go without a word; for more a reason is asked.
UNASKED = 25
TAKEN = replay_batch.TAKEN
SHOWN_FAILURES = 50

_BATCHES = """
    SELECT b.id, b.state, b.started_by, b.reason, b.rate, b.max_failures, b.failures_in_a_row, b.position,
           jsonb_array_length(b.ids) AS letters, b.created_at, b.finished_at
      FROM replay_batch b
"""
_FILTERS = {
    "state": "b.state = :state",
    "cursor": "b.id < :cursor",
    # A batch with a letter of a tenant that one may not see is not told of.
    "tenants": """NOT EXISTS (SELECT 1 FROM jsonb_array_elements_text(b.ids) i JOIN dead_letter d ON d.id = i.value
                               WHERE (d.tenant_id = ANY(:tenants)) IS NOT TRUE)""",
}
_IN_BATCH = """
    FROM replay_batch b, jsonb_array_elements_text(b.ids) WITH ORDINALITY AS i(id, place)
      JOIN dead_letter d ON d.id = i.id
"""
_COUNTS = f"""
    SELECT {replay_batch.SHOWN_FATE} AS result, count(*) AS count {_IN_BATCH} {replay_batch.BESIDE}
     WHERE b.id = :batch GROUP BY 1
"""
_LINES = f"""
    SELECT i.place, d.id, t.slug AS tenant, d.kind, d.internal_id, d.event_id, d.error, d.state,
           d.closed_reason AS reason, n.id AS again, n.error AS again_error, n.message AS again_message,
           {replay_batch.SHOWN_FATE} AS result
    {_IN_BATCH} LEFT JOIN tenant t ON t.id = d.tenant_id {replay_batch.BESIDE}
     WHERE b.id = :batch
"""


_FIRST = """
    AND i.place = (SELECT min(j.place) FROM jsonb_array_elements_text(b.ids) WITH ORDINALITY AS j(id, place)
                     JOIN dead_letter x ON x.id = j.id AND x.state = 'replayed')
"""
# Letters that are gone, as with an erased person, leave a gap in a page, and never end the list.
_PART = "AND i.place > :after AND i.place <= :last ORDER BY i.place"
_FAILED = "AND d.state = 'replayed' AND n.id IS NOT NULL ORDER BY n.id DESC LIMIT :limit"


class Previewed(TypedDict):
    """What a replay would do, counted. ``newest``: no letter after it was looked at; None where there is none."""

    letters: int
    goes: int
    newest: str | None
    verdicts: list[replay.Verdicts]


class Begun(TypedDict):
    """A replay that goes on by itself. ``letters``: how many are in it; ``left_out``: who can't go, by verdict."""

    batch: str
    letters: int
    left_out: list[replay.Verdicts]


class ReplayItem(TypedDict):
    """A batch as a listing has it. ``position``: how many of its letters were gone through."""

    id: str
    state: str
    started_by: str
    reason: str | None
    rate: float
    max_failures: int
    failures_in_a_row: int
    position: int
    letters: int
    created_at: datetime
    finished_at: datetime | None


class Shown(ReplayItem):
    """With ``counts`` of its letters by result; ``canary``: the first that was sent; ``failures``: the newest new dead
    letters; ``lines``: a page of all, ``next`` the place after which more come.
    """

    counts: dict[str, int]
    canary: replay.Line | None
    failures: list[replay.Line]
    lines: list[replay.Line]
    next: str | None


def preview(chosen: Sequence[str]) -> Previewed:
    """How many of these letters would come to which end, and why. Changes nothing."""
    with transaction() as connection:
        return _previewed(replay.count(connection, ids=list(chosen)))


def preview_matching(filters: Filters, *, everything: bool = False) -> Previewed:
    """The same of the open ones that fit the filters, or of all."""
    letters, values = inbox.condition(filters, everything=everything)
    with transaction() as connection:
        return _previewed(replay.count(connection, letters, **values))


def _previewed(counted: Sequence[tuple[replay.Verdicts, list[str]]]) -> Previewed:
    return {
        "letters": sum(told["count"] for told, _ in counted),
        "goes": sum(told["count"] for told, _ in counted if told["result"] == replay.WILL_DO),
        "newest": max((max(ids) for _, ids in counted), default=None),
        "verdicts": [told for told, _ in counted],
    }


def begin(
    chosen: Sequence[str],
    *,
    rate: float = RATE,
    max_failures: int = MAX_FAILURES,
    reason: str | None = None,
    who: str | None = None,
) -> Begun:
    """Send what can go, without waiting for any of it: the canary now, the rest by the timetable.

    Raises Problem where none of them can be sent, or where they are more than ``UNASKED`` and no reason is given;
    AlreadyDecided where somebody else's replay that is under way has one of them, or somebody closed them.
    """
    why = (reason or "").strip() or None
    with transaction() as connection:
        counted = replay.count(connection, ids=list(chosen))
        going = sorted(letter for told, ids in counted if told["result"] in TAKEN for letter in ids)
        if not going:  # somebody else may be at it: then that is what there is to say
            replay_batch.refuse_running(connection, list(chosen))
            if late := inbox.late(inbox.closed_before(connection, chosen)):
                raise late
    if not going:
        why_not = [Words(f"verdict.{told['code']}", **told["params"]) for told, _ in counted if told["code"]]
        raise Problem("nothing_to_replay", why=why_not[0]) if why_not else Problem("nothing_chosen")
    if len(going) > UNASKED and why is None:
        raise Problem("reason_for_many", count=len(going), most=UNASKED)
    batch = replay_batch.create(going, rate=rate, max_failures=max_failures, reason=why, alone=True, who=who)
    replay_batch.advance(batch)
    left_out = [told for told, _ in counted if told["result"] not in TAKEN]
    return {"batch": batch, "letters": len(going), "left_out": left_out}


def listing(limit: int = 100, cursor: str | None = None, *, state: str | None = None) -> Page:
    """Replays, newest first."""
    with transaction() as connection:
        wanted = {"state": state, "cursor": cursor, "tenants": lookup.visible_ids(connection)}
        newest_first = f"{_BATCHES} {where(_FILTERS, wanted)} ORDER BY b.id DESC LIMIT :limit"
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    return page(found, limit, "id")


def show(batch: str, *, limit: int = 100, cursor: str | None = None) -> Shown:
    """One replay as it stands: nothing of it is sent by looking."""
    after = number_cursor(cursor) or 0
    last = after + checked_limit(limit)
    with transaction() as connection:
        found = _one(connection, batch)
        key = {"batch": found["id"]}
        counts = {row["result"]: row["count"] for row in rows(connection, _COUNTS, **key)}
        canary = next(iter(rows(connection, f"{_LINES} {_FIRST}", **key)), None) if _sent(counts) else None
        again = rows(connection, f"{_LINES} {_FAILED}", limit=SHOWN_FAILURES, **key) if "failed" in counts else []
        lines = rows(connection, f"{_LINES} {_PART}", after=after, last=last, **key)
    more_of_it = {
        "counts": counts,
        "canary": _line(canary) if canary else None,
        "failures": [_line(row) for row in again],
        "lines": [_line(row) for row in lines],
        "next": str(last) if last < found["letters"] else None,
    }
    return cast(Shown, found | more_of_it)


def _sent(counts: dict[str, int]) -> bool:
    return not counts.keys() <= {"not_sent", "superseded", "discarded"}


def _line(row: Row) -> replay.Line:
    return replay_batch.told({name: value for name, value in row.items() if name != "place"})


def full_id(given: str) -> str:
    """The id of a batch that is meant: written out, the beginning of one, or ``last``."""
    with transaction() as connection:
        return str(_one(connection, given)["id"])


def _one(connection: Connection, given: str) -> Row:
    begin_of = given.strip().upper()
    wanted = {"tenants": lookup.visible_ids(connection), "state": None, "cursor": None}
    named = "true" if begin_of == "LAST" else "starts_with(b.id, :given)"
    matching = f"{_BATCHES} {where(_FILTERS, wanted)} AND {named} ORDER BY b.id DESC LIMIT 2"
    found = rows(connection, matching, given=begin_of, **wanted) if begin_of else []
    if not found:
        raise NotThere("no_batch", batch=given[:60])
    if len(found) > 1 and begin_of != "LAST":
        raise Problem("several_batches", given=given[:60])
    return found[0]
