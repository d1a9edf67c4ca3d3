"""Messages that gave up, as an inbox: list, group, show, choose, discard. ``replay.py`` beside it sends them again.

Whoever acts on what they looked at names the newest letter they saw (``upto``): what came after it is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models.dead_letter import DeadLetterState
from models.session import transaction
from ops import access, audit, lookup
from ops.language import Words
from ops.listing import Page, Row, checked_limit, page, rows, where
from ops.problems import AlreadyDecided, Problem

_COLUMNS = """
    SELECT d.id, t.slug AS tenant, d.kind, d.direction, d.internal_id, d.event_id, d.error, d.message,
           d.afas_reference, d.attempts, d.first_failed_at, d.last_failed_at, d.state, d.fingerprint,
           d.code_version, d.replays,
           d.run_id AS run, d.closed_at, d.closed_by, d.closed_reason
      FROM dead_letter d LEFT JOIN tenant t ON t.id = d.tenant_id
"""
_FILTERS = {
    "tenant": "d.tenant_id = :tenant",
    "tenants": "d.tenant_id = ANY(:tenants)",
    "kind": "d.kind = :kind",
    "error": "(d.error = :error OR d.fingerprint = :error)",
    "fingerprint": "d.fingerprint = :fingerprint",
    "since": "d.last_failed_at >= :since",
    "until": "d.last_failed_at < :until",
    "state": "d.state = :state",
    "cursor": "d.id < :cursor",
    "upto": "d.id <= :upto",
}
# By tenant first, which needs no sorting; what is told in words is that of the newest.
_GROUPS = """
    WITH part AS (
        SELECT d.fingerprint, d.tenant_id, count(*) AS count, min(d.first_failed_at) AS first_failed_at,
               max(d.last_failed_at) AS last_failed_at, max(d.id) AS newest
          FROM dead_letter d {where} GROUP BY d.fingerprint, d.tenant_id
    ), whole AS (
        SELECT p.fingerprint, min(t.slug) AS tenant, count(p.tenant_id) AS tenants, sum(p.count)::bigint AS count,
               (array_agg(t.slug ORDER BY p.count DESC, t.slug) FILTER (WHERE t.slug IS NOT NULL))[1:10] AS slugs,
               min(p.first_failed_at) AS first_failed_at, max(p.last_failed_at) AS last_failed_at,
               max(p.newest) AS newest
          FROM part p LEFT JOIN tenant t ON t.id = p.tenant_id
         GROUP BY p.fingerprint ORDER BY sum(p.count) DESC, p.fingerprint LIMIT :limit
    )
    SELECT w.fingerprint, w.tenant, w.tenants, coalesce(w.slugs, '{{}}') AS slugs, n.kind, n.error, n.message, w.count,
           w.first_failed_at, w.last_failed_at, w.newest
      FROM whole w JOIN dead_letter n ON n.id = w.newest ORDER BY w.count DESC, w.fingerprint
"""
# How many a day gave up, of whatever state they are by now: a fault that goes on, or one that is over.
TREND_DAYS = 14
_TREND = """
    SELECT d.fingerprint, (now() AT TIME ZONE 'UTC')::date - (d.last_failed_at AT TIME ZONE 'UTC')::date AS ago,
           count(*) AS count
      FROM dead_letter d
     WHERE d.fingerprint = ANY(:prints) AND d.last_failed_at >= now() - make_interval(days => :days) {more}
     GROUP BY 1, 2
"""
# The work of a letter, over all its deaths: the newest last.
_SAME_WORK = """
    SELECT o.id, o.state, o.error, o.message, o.last_failed_at
      FROM dead_letter d JOIN dead_letter o ON o.kind = d.kind AND o.subject_id = d.subject_id AND o.id <> d.id
     WHERE d.id = :id AND o.tenant_id IS NOT DISTINCT FROM d.tenant_id ORDER BY o.id DESC LIMIT 20
"""
_DISCARD = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM dead_letter WHERE id = ANY(:ids) AND state = 'open' ORDER BY id FOR UPDATE)
    UPDATE dead_letter d
       SET state = 'discarded', closed_at = now(), closed_by = :who, closed_reason = :reason
      FROM mine WHERE d.id = mine.id
    RETURNING d.id, d.tenant_id
    """
)
_CLOSED = """
    SELECT d.closed_by AS who, d.state, count(*) AS count, max(d.closed_at) AS at
      FROM dead_letter d {where} AND d.id = ANY(:ids) AND d.state <> 'open'
     GROUP BY d.closed_by, d.state ORDER BY count(*) DESC, 1, 2
"""

# What was decided lately, together: one line for each decision, however many letters it was about.
_DECIDED = """
    SELECT d.state, d.closed_by AS who, d.closed_reason AS reason, count(*) AS count, max(d.closed_at) AS at,
           min(d.id) AS first
      FROM (SELECT * FROM dead_letter d {where} ORDER BY d.closed_at DESC LIMIT 2000) d
     GROUP BY d.state, d.closed_by, d.closed_reason, date_trunc('minute', d.closed_at)
     ORDER BY max(d.closed_at) DESC LIMIT :limit
"""


class First(TypedDict):
    """Who closed letters before: ``state`` is what they became."""

    who: str | None
    state: str
    count: int
    at: datetime


class Discarded(TypedDict):
    """What ``dead-letters discard`` tells. ``settled``: closed before; ``first``: by whom."""

    discarded: int
    settled: int
    first: list[First]


class Chosen(TypedDict):
    """Open letters that filters choose: how many, of how many tenants and faults; ``newest``: the last one seen."""

    count: int
    tenants: int
    groups: int
    newest: str | None


@dataclass(frozen=True)
class Filters:
    """Which dead letters; None is any. ``error``: a code or a fingerprint. Times by the last failure."""

    tenant: str | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: str | None = None
    fingerprint: str | None = None
    upto: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything narrows the choice."""
        narrowing = (self.tenant, self.kind, self.error, self.since, self.until, self.fingerprint)
        return any(value is not None for value in narrowing)

    def values(self, connection: Connection) -> dict[str, object]:
        """What the queries want. Raises Problem for an unknown tenant or state."""
        if self.state is not None and self.state not in set(DeadLetterState):
            raise Problem("state_one_of", listed=", ".join(DeadLetterState))
        tenant = lookup.tenant_id(connection, self.tenant) if self.tenant else None
        names = ("kind", "error", "since", "until", "fingerprint", "upto")
        wanted = {name: getattr(self, name) for name in names}
        seen = lookup.visible_ids(connection)
        return wanted | {"tenant": tenant, "tenants": seen, "state": self.state, "cursor": None}


def listing(filters: Filters, limit: int = 100, cursor: str | None = None) -> Page:
    """Dead letters, newest first."""
    with transaction() as connection:
        wanted = filters.values(connection) | {"cursor": cursor}
        newest_first = f"{_COLUMNS} {where(_FILTERS, wanted)} ORDER BY d.id DESC LIMIT :limit"
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    return page(found, limit, "id")


def groups(filters: Filters, limit: int = 100) -> list[Row]:
    """The same by fingerprint: one line a kind of fault, with how many, of which tenants, since when.

    ``trend``: how many gave up on each of the last ``TREND_DAYS`` days (UTC), today last.
    """
    with transaction() as connection:
        wanted = filters.values(connection)
        largest_first = _GROUPS.format(where=where(_FILTERS, wanted))
        found = rows(connection, largest_first, limit=checked_limit(limit), **wanted)
        theirs = {name: wanted[name] for name in ("tenant", "tenants") if wanted[name] is not None}
        more = "".join(f" AND {_FILTERS[name]}" for name in theirs)
        prints = [row["fingerprint"] for row in found]
        days = rows(connection, _TREND.format(more=more), prints=prints, days=TREND_DAYS, **theirs)
    for row in found:
        counted = {day["ago"]: day["count"] for day in days if day["fingerprint"] == row["fingerprint"]}
        row["trend"] = [counted.get(ago, 0) for ago in range(TREND_DAYS - 1, -1, -1)]
    return found


def count(filters: Filters) -> Chosen:
    """The open letters that fit, without changing anything."""
    with transaction() as connection:
        wanted = filters.values(connection) | {"state": DeadLetterState.OPEN}
        sql = f"""SELECT count(*) AS count, count(DISTINCT d.tenant_id) AS tenants,
                         count(DISTINCT d.fingerprint) AS groups, max(d.id) AS newest
                    FROM dead_letter d {where(_FILTERS, wanted)}"""  # noqa: S608  constants only
        return cast(Chosen, rows(connection, sql, **wanted)[0])


def decided(filters: Filters, limit: int = 10) -> list[Row]:
    """What people decided lately about letters that fit: how many, what, who, why, newest first."""
    with transaction() as connection:
        wanted = filters.values(connection) | {"state": None, "upto": None}
        closed = f"{where(_FILTERS, wanted)} AND d.state IN ('discarded', 'replayed') AND d.closed_by <> 'system'"
        return rows(connection, _DECIDED.format(where=closed), limit=limit, **wanted)


def show(dead_letter_id: str) -> Row:
    """One dead letter with every attempt, the last call (masked), and who it is about.

    ``again``: what it became when it was replayed and failed once more, or None; ``before``: the same work's letters
    before it, the newest first.
    """
    with transaction() as connection:
        dead_letter_id = lookup.full_id(connection, "dead_letter", dead_letter_id)
        found = rows(connection, f"{_COLUMNS} WHERE d.id = :id", id=dead_letter_id)[0]
        more = rows(
            connection,
            "SELECT d.history, d.last_call, p.name, p.email FROM dead_letter d"
            " LEFT JOIN person p ON p.tenant_id = d.tenant_id AND p.internal_id = d.internal_id WHERE d.id = :id",
            id=dead_letter_id,
        )[0]
        others = rows(connection, _SAME_WORK, id=dead_letter_id)
    later = [one for one in others if one["id"] > dead_letter_id]
    again = later[-1] if later and found["state"] == DeadLetterState.REPLAYED else None
    return found | more | {"again": again, "before": [one for one in others if one["id"] < dead_letter_id]}


def choose(ids: Sequence[str], filters: Filters, *, everything: bool) -> list[str]:
    """The dead letters named, or the open ones that fit the filters, oldest first."""
    if ids and (filters.given or everything):
        raise Problem("ids_or_filters")
    if ids:
        with transaction() as connection:
            return list(dict.fromkeys(lookup.full_id(connection, "dead_letter", one) for one in ids))
    letters, values = condition(filters, everything=everything)
    with transaction() as connection:
        found = connection.execute(
            text(f"SELECT d.id FROM dead_letter d WHERE {letters} ORDER BY d.id"),  # noqa: S608 - constants only
            values,
        )
        return list(found.scalars())


def condition(filters: Filters, *, everything: bool) -> tuple[str, dict[str, object]]:
    """SQL: which letters ``d`` are open and fit the filters, or are open at all; with its values.

    Raises Problem where nothing narrows the choice and ``everything`` was not said.
    """
    if not filters.given and not everything:
        raise Problem("which_dead_letters")
    with transaction() as connection:
        wanted = filters.values(connection) | {"state": DeadLetterState.OPEN}
    return where(_FILTERS, wanted).removeprefix("WHERE "), wanted


def discard(ids: Sequence[str], *, reason: str, who: str | None = None) -> Discarded:
    """Close dead letters without sending them again."""
    access.need("dead_letters.discard")
    audit.need_reason(reason, Words("why.dead_letter"))
    if not ids:
        raise Problem("none_to_discard")
    return _discard(choose(ids, Filters(), everything=False), reason, who)


def discard_matching(filters: Filters, *, everything: bool = False, reason: str, who: str | None = None) -> Discarded:
    """The same for the open ones that fit the filters, or for all: those up to ``filters.upto``."""
    access.need("dead_letters.discard")
    audit.need_reason(reason, Words("why.dead_letter"))
    return _discard(choose([], filters, everything=everything), reason, who)


def _discard(chosen: list[str], reason: str, who: str | None) -> Discarded:
    by = who or access.actor().name
    with transaction() as connection:
        closed = connection.execute(_DISCARD, {"ids": chosen, "who": by, "reason": reason}).all()
        subjects = [(row.tenant_id, row.id) for row in closed]
        audit.record_each(connection, who=by, verb="dead-letters discard", subjects=subjects, reason=reason)
        mine = {row.id for row in closed}
        before = [one for one in chosen if one not in mine]
        first = closed_before(connection, before)
    return {"discarded": len(mine), "settled": len(before), "first": first}


def closed_before(connection: Connection, ids: Sequence[str]) -> list[First]:
    """Who closed letters of these, and what became of them; the most first."""
    seen = Filters().values(connection)
    closed = _CLOSED.format(where=where(_FILTERS, seen))
    return cast(list[First], rows(connection, closed, ids=list(ids), **seen)) if ids else []


def late(first: Sequence[Row | First]) -> AlreadyDecided | None:
    """What whoever comes second is told, of rows of ``closed_before`` or ``decided``; None where nobody was first."""
    for one in first:
        if one["who"] not in (None, "system"):
            who = audit.by({"who": str(one["who"]), "at": one["at"]})
            return AlreadyDecided("letters_decided", count=one["count"], first=who)
    return None
