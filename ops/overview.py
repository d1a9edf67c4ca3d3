"""What needs a person over all tenants: one pass through each table, never one for each tenant. Numbers, no names.

A tenant's ``needs`` are codes with counts, the most urgent first; ``need`` is the number that the table is sorted by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NotRequired

from sqlalchemy import Connection, text
from typing_extensions import TypedDict
from ulid import ULID

from models.completion_state import CLOSED
from models.direction import Direction, Health
from models.session import transaction
from models.worker import live_workers
from ops import access, degraded, lookup
from ops.alerts import kinds
from ops.listing import Row, checked_limit, rows
from ops.problems import Problem
from tenancy import unreached, vital_signs

DAY = timedelta(hours=24)
# How urgent a need is, whatever its count: what has stopped comes before what waits, what waits before what was meant.
WEIGHTS = {
    "quarantined": 1000,
    "degraded": 500,
    "held_removals": 300,
    "held_changes": 250,
    "held_base": 240,
    "dead": 200,
    "conflict": 100,
    "ambiguous": 80,
    "alert": 40,
    "check": 20,
    "new": 4,
    "paused": 2,
}
# What is only told: nothing of it waits for anybody who does not know.
CALM = frozenset({"new", "paused"})
# What does not go on until a person decides: the inbox.
WAITING = frozenset({"quarantined", "held_removals", "held_changes", "held_base", "dead", "conflict", "ambiguous"})


class Need(TypedDict):
    """Why a tenant needs somebody. ``code`` is a key of ``WEIGHTS``.

    ``different``: how many kinds of dead letters; ``kinds`` of alerts.
    """

    code: str
    count: int
    since: datetime | None
    direction: NotRequired[str]
    reason: NotRequired[str | None]
    next_at: NotRequired[datetime | None]
    different: NotRequired[int]
    kinds: NotRequired[list[str]]


class Waits(TypedDict):
    """One line of the inbox."""

    tenant: str
    environment: str | None
    need: Need


class Inbox(TypedDict):
    """What waits, the most urgent first; ``last_at``: when somebody decided something last."""

    items: list[Waits]
    more: int
    last_at: datetime | None


class Tiles(TypedDict):
    """What waits over all tenants; ``dead_letters`` counts kinds, ``stopped`` directions."""

    held_removals: int
    ambiguous: int
    dead_letters: int
    conflicts: int
    stopped: int


class LastRun(TypedDict):
    """A run as one column of a chart."""

    id: str
    status: str
    rows: int
    seconds: float | None
    finished_at: datetime | None


class Way(TypedDict):
    """One direction: its health, when it runs next, and its last runs, the newest last."""

    state: str | None
    reason: str | None
    since: datetime | None
    next_run_at: datetime | None
    probe_at: datetime | None
    wait_until: datetime | None
    runs: list[LastRun]


class Item(TypedDict):
    """A tenant. ``need`` is what the table is sorted by; ``calm``: nothing of it waits for anybody."""

    tenant: str
    name: str
    environment: str | None
    timezone: str
    need: int
    needs: list[Need]
    calm: bool
    enrollments: Way
    completions: Way


class Hour(TypedDict):
    """An hour of the last day; ``statuses`` counts runs by status."""

    begins_at: datetime
    count: int
    statuses: dict[str, int]


class Overview(TypedDict):
    """``items`` are tenants: the page, those that need somebody first, then by slug.

    ``resting``: paused or not begun, and nothing else. ``ready`` counts messages, to a thousand.
    """

    needing: int
    in_step: int
    resting: int
    tiles: Tiles
    workers: int
    services: dict[str, str]
    ready: int
    oldest_ready_seconds: float | None
    runs: list[Hour]
    items: list[Item]
    next: str | None


Trouble = Mapping[tuple[int, str], unreached.Unreached]
_OF_THEM = "tenant_id = ANY(:ids)"
_TENANTS = "SELECT id, slug, afas->>'environment' AS environment FROM tenant"
# One of each kind of need: (statement, with the place for the limit to some tenants).
_HOLDS = """
    SELECT tenant_id, count(*) AS count, min(created_at) AS since FROM hold WHERE state = 'open' AND {of} GROUP BY 1
"""
_HELD = """
    SELECT tenant_id, count(*) FILTER (WHERE action IN ('unenroll', 'archive')) AS removals,
           count(*) FILTER (WHERE action NOT IN ('unenroll', 'archive')) AS changes
      FROM hold_line WHERE state = 'open' AND {of} GROUP BY 1
"""
_DEAD = """
    SELECT tenant_id, count(*) AS count, count(DISTINCT fingerprint) AS different, min(first_failed_at) AS since
      FROM dead_letter WHERE state = 'open' AND {of} GROUP BY 1
"""
_KINDS = "SELECT count(DISTINCT fingerprint) FROM dead_letter WHERE state = 'open' AND {of}"
_CONFLICTS = f"""
    SELECT tenant_id, count(*) AS count, min(changed_at) AS since FROM completion c
     WHERE state = 'conflict' AND NOT {CLOSED} AND {{of}} GROUP BY 1
"""  # noqa: S608  constants only
_AMBIGUOUS = """
    SELECT tenant_id, count(*) AS count, min(updated_at) AS since FROM link
     WHERE state = 'ambiguous' AND decision IS NULL AND {of} GROUP BY 1
"""
_ALERTS = """
    SELECT tenant_id, count(*) AS count, min(opened_at) AS since, array_agg(DISTINCT kind ORDER BY kind) AS kinds
      FROM alert WHERE closed_at IS NULL AND kind <> ALL(:told_elsewhere) AND {of} GROUP BY 1
"""
_CHECKS = """
    SELECT tenant_id, checked_at AS since,
           (SELECT count(*) FROM jsonb_array_elements(findings) f WHERE NOT CAST(f->>'ok' AS bool)) AS count
      FROM tenant_check WHERE jsonb_path_exists(findings, '$[*].ok ? (@ == false)') AND {of}
"""
_DIRECTIONS = """
    SELECT tenant_id, direction, state, reason, since, next_run_at, probe_at, wait_until
      FROM tenant_direction WHERE {of}
"""
_LAST_RUNS = """
    SELECT t.id AS tenant_id, w.direction, r.id, r.status, r.seconds, r.rows, r.finished_at
      FROM unnest(CAST(:ids AS int[])) AS t (id)
     CROSS JOIN unnest(CAST(:directions AS text[])) AS w (direction)
     CROSS JOIN LATERAL (
           SELECT id, status, rows, finished_at, CAST(extract(epoch FROM finished_at - started_at) AS float) AS seconds
             FROM run WHERE tenant_id = t.id AND direction = w.direction ORDER BY id DESC LIMIT :bars) r
     ORDER BY r.id
"""
# A run's id begins with the time it was asked for, so a day of them is a stretch of the primary key.
_DAY = """
    SELECT floor(extract(epoch FROM created_at - :begin) / 3600)::int AS hour, status, count(*) AS count
      FROM run WHERE id >= :first AND {of} GROUP BY 1, 2 ORDER BY 1, 2
"""
# The first thousand by number, which are the oldest: the ledger may hold a hundred thousand.
_READY = """
    SELECT count(*) AS ready, CAST(extract(epoch FROM now() - min(created_at)) AS float) AS oldest
      FROM (SELECT created_at FROM message WHERE state = 'ready' AND {of} ORDER BY id LIMIT :cap) m
"""
# For the header of every page, so each part is counted no further than is shown.
_WAITING = f"""
    SELECT (SELECT count(*) FROM (SELECT 1 FROM hold WHERE state = 'open' AND {{of}} LIMIT :cap) x)
         + (SELECT count(*) FROM (SELECT 1 FROM link WHERE state = 'ambiguous' AND decision IS NULL AND {{of}}
                                   LIMIT :cap) x)
         + (SELECT count(*) FROM (SELECT DISTINCT tenant_id, fingerprint FROM dead_letter
                                   WHERE state = 'open' AND {{of}} LIMIT :cap) x)
         + (SELECT count(*) FROM (SELECT 1 FROM completion c
                                   WHERE state = 'conflict' AND NOT {CLOSED} AND {{of}} LIMIT :cap) x)
         + (SELECT count(*) FROM tenant_direction WHERE state = 'quarantined' AND {{of}})
"""  # noqa: S608  constants only
BARS = 24
CAP = 1001


def document(limit: int = 100, cursor: str | None = None) -> Overview:
    """The overview. ``cursor`` is the ``next`` of the page before: ``need.slug``."""
    checked_limit(limit)
    after = _after(cursor)
    with transaction() as connection:
        asks = Asking(connection)
        tenants = asks.tenants()
        unreached_ways = unreached.found(connection)
        needs = _needs(asks, unreached_ways)
        order = sorted(
            ((-need_of(needs.get(one["id"], ())), one["slug"], one) for one in tenants), key=lambda it: it[:2]
        )
        cut = [one for need, slug, one in order if after is None or (need, slug) > after][: limit + 1]
        shown = cut[:limit]
        items = _items(connection, shown, needs, unreached_ways)
        urgent = [any(need["code"] not in CALM for need in needs.get(one["id"], ())) for one in tenants]
        resting = sum(bool(needs.get(one["id"])) for one in tenants) - sum(urgent)
        ready = asks.rows(_READY, cap=CAP)[0]
        last = items[-1] if len(cut) > limit else None
        return {
            "needing": sum(urgent),
            "in_step": len(tenants) - sum(urgent) - resting,
            "resting": resting,
            "tiles": _tiles(needs, asks.scalar(_KINDS)),
            "workers": len(live_workers(connection)),
            "services": vital_signs.read(connection),
            "ready": ready["ready"],
            "oldest_ready_seconds": ready["oldest"],
            "runs": _last_day(asks),
            "items": items,
            "next": f"{last['need']}.{last['tenant']}" if last else None,
        }


def of(slug: str) -> Item:
    """One tenant, as in the overview."""
    with transaction() as connection:
        asks = Asking(connection, [lookup.tenant_id(connection, slug)])
        unreached_ways = unreached.found(connection)
        return _items(connection, asks.tenants(), _needs(asks, unreached_ways), unreached_ways)[0]


def waiting() -> int:
    """How much waits for a person, over the tenants one may see: holds, ambiguous people, kinds of dead letters,
    conflicting dates, stopped directions. Counted to some thousands."""
    with transaction() as connection:
        return int(Asking(connection).scalar(_WAITING, cap=CAP))


def inbox(limit: int = 200) -> Inbox:
    """Each thing that waits for a person, by tenant and kind."""
    with transaction() as connection:
        asks = Asking(connection)
        named = {one["id"]: one for one in asks.tenants()}
        needs = _needs(asks, {})
        found: list[tuple[int, str, Waits]] = [
            (-WEIGHTS[need["code"]], named[tenant]["slug"], _waits(named[tenant], need))
            for tenant, of_one in needs.items()
            for need in of_one
            if need["code"] in WAITING and tenant in named
        ]
        found.sort(key=lambda one: one[:2])
        last = asks.rows("SELECT at FROM operator_action WHERE {of} ORDER BY id DESC LIMIT 1")
    return {
        "items": [one for _, _, one in found[:limit]],
        "more": max(0, len(found) - limit),
        "last_at": last[0]["at"] if last else None,
    }


def _waits(tenant: Row, need: Need) -> Waits:
    return {"tenant": tenant["slug"], "environment": tenant["environment"], "need": need}


def need_of(needs: Sequence[Need]) -> int:
    """What a tenant is sorted by."""
    return sum(WEIGHTS[need["code"]] for need in needs)


class Asking:
    """Statements over the tenants that who acts may see: all of them without a condition, else by their numbers."""

    def __init__(self, connection: Connection, ids: list[int] | None = None) -> None:
        self.connection = connection
        slugs = access.visible()
        self.ids = ids
        if ids is None and slugs is not None:
            found = connection.execute(text("SELECT id FROM tenant WHERE slug = ANY(:slugs)"), {"slugs": slugs})
            self.ids = list(found.scalars())

    def tenants(self) -> list[Row]:
        """Their numbers and slugs."""
        only = "true" if self.ids is None else "id = ANY(:ids)"
        return rows(self.connection, f"{_TENANTS} WHERE {only}", **self._limit())

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Rows of a statement that has ``{of}`` where its tenants are limited."""
        return rows(self.connection, self._sql(statement), **self._limit(), **values)

    def scalar(self, statement: str, **values: object) -> int:
        """The one number of such a statement."""
        return int(self.connection.execute(text(self._sql(statement)), self._limit() | values).scalar_one())

    def _sql(self, statement: str) -> str:
        return statement.replace("{of}", "true" if self.ids is None else _OF_THEM)

    def _limit(self) -> dict[str, object]:
        return {} if self.ids is None else {"ids": self.ids}


def _needs(asks: Asking, unreached_ways: Trouble) -> dict[int | None, list[Need]]:
    found: dict[int | None, list[Need]] = {}
    for tenant, need in (*_each_need(asks), *_of_directions(asks, unreached_ways)):
        found.setdefault(tenant, []).append(need)
    for needs in found.values():
        needs.sort(key=lambda need: -WEIGHTS[need["code"]])
    return found


def _each_need(asks: Asking) -> Iterator[tuple[int | None, Need]]:
    held = {row["tenant_id"]: row for row in asks.rows(_HELD)}
    for row in asks.rows(_HOLDS):
        lines = held.get(row["tenant_id"], {"removals": 0, "changes": 0})
        counts = {"held_removals": lines["removals"], "held_changes": lines["changes"]}
        if not any(counts.values()):
            counts = {"held_base": row["count"]}
        for code, count in counts.items():
            if count:
                yield row["tenant_id"], {"code": code, "count": count, "since": row["since"]}
    told_elsewhere = list(kinds.SAID_BY_OVERVIEW)
    for code, statement, values in (
        ("dead", _DEAD, {}),
        ("conflict", _CONFLICTS, {}),
        ("ambiguous", _AMBIGUOUS, {}),
        ("alert", _ALERTS, {"told_elsewhere": told_elsewhere}),
        ("check", _CHECKS, {}),
    ):
        for row in asks.rows(statement, **values):
            need: Need = {"code": code, "count": row["count"], "since": row["since"]}
            if "kinds" in row:
                need["kinds"] = row["kinds"]
            if "different" in row:
                need["different"] = row["different"]
            yield row["tenant_id"], need


def _of_directions(asks: Asking, unreached_ways: Trouble) -> Iterator[tuple[int | None, Need]]:
    """What was stopped, and what nothing stopped and yet goes nowhere: few, of however many there are."""
    stopped = asks.rows(f"{_DIRECTIONS} AND state <> 'healthy'")
    known = {(row["tenant_id"], row["direction"]) for row in stopped}
    nowhere = [
        {"tenant_id": tenant, "direction": direction, "state": degraded.DEGRADED, "wait_until": None}
        | {"reason": trouble.reason, "since": trouble.since}
        for (tenant, direction), trouble in unreached_ways.items()
        if (tenant, direction) not in known and (asks.ids is None or tenant in asks.ids)
    ]
    for row in (*stopped, *nowhere):
        yield (
            row["tenant_id"],
            {
                "code": row["state"],
                "count": 1,
                "since": row["since"],
                "direction": row["direction"],
                "reason": row["reason"],
                "next_at": row["probe_at"] if row["state"] == Health.QUARANTINED else row["wait_until"],
            },
        )


def _tiles(needs: dict[int | None, list[Need]], kinds: int) -> Tiles:
    flat = [need for of_one in needs.values() for need in of_one]

    def total(code: str) -> int:
        return sum(need["count"] for need in flat if need["code"] == code)

    return {
        "held_removals": total("held_removals"),
        "ambiguous": total("ambiguous"),
        "dead_letters": kinds,
        "conflicts": total("conflict"),
        "stopped": total("quarantined"),
    }


def _items(
    connection: Connection, shown: Sequence[Row], needs: dict[int | None, list[Need]], unreached_ways: Trouble
) -> list[Item]:
    """The tenants of a page with what is shown of each."""
    ids = [one["id"] for one in shown]
    named = {
        row["id"]: row
        for row in rows(
            connection,
            "SELECT id, slug, name, timezone, afas->>'environment' AS environment FROM tenant WHERE id = ANY(:ids)",
            ids=ids,
        )
    }
    ways = rows(connection, _DIRECTIONS.replace("{of}", _OF_THEM), ids=ids)
    degraded.mark(connection, ways, unreached_ways)
    by_way = {(row["tenant_id"], row["direction"]): row for row in ways}
    runs: dict[tuple[int, str], list[Row]] = {}
    for row in rows(connection, _LAST_RUNS, ids=ids, directions=list(Direction), bars=BARS):
        runs.setdefault((row["tenant_id"], row["direction"]), []).append(row)

    def of_way(tenant: int, way: Direction) -> tuple[Row, Sequence[Row]]:
        return by_way.get((tenant, way), {}), runs.get((tenant, way), [])

    return [
        {
            "tenant": one["slug"],
            "name": named[one["id"]]["name"],
            "environment": named[one["id"]]["environment"],
            "timezone": named[one["id"]]["timezone"],
            "need": need_of(needs.get(one["id"], ())),
            "needs": needs.get(one["id"], []),
            "calm": all(need["code"] in CALM for need in needs.get(one["id"], ())),
            "enrollments": _way(*of_way(one["id"], Direction.ENROLLMENTS)),
            "completions": _way(*of_way(one["id"], Direction.COMPLETIONS)),
        }
        for one in shown
        if one["id"] in named
    ]


def _way(row: Row, runs: Sequence[Row]) -> Way:
    resting = row.get("state") in (Health.PAUSED, Health.NEW)  # whatever its place in the timetable says
    return {
        "state": row.get("state"),
        "reason": row.get("reason"),
        "since": row.get("since"),
        "next_run_at": None if resting else row.get("next_run_at"),
        "probe_at": row.get("probe_at"),
        "wait_until": row.get("wait_until"),
        "runs": [
            {
                "id": run["id"],
                "status": run["status"],
                "rows": run["rows"],
                "seconds": run["seconds"],
                "finished_at": run["finished_at"],
            }
            for run in runs
        ],
    }


def _last_day(asks: Asking) -> list[Hour]:
    """The last 24 hours, the newest last."""
    now = datetime.now(UTC)
    begin = now - DAY
    first = str(ULID.from_datetime(begin))[:10] + "0" * 16
    found: list[Hour] = [{"begins_at": begin + timedelta(hours=hour), "count": 0, "statuses": {}} for hour in range(24)]
    for row in asks.rows(_DAY, begin=begin, first=first):
        hour = found[min(max(row["hour"], 0), 23)]
        hour["count"] += row["count"]
        hour["statuses"][row["status"]] = hour["statuses"].get(row["status"], 0) + row["count"]
    return found


def _after(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    need, _, slug = cursor.partition(".")
    if not (need.isascii() and need.isdigit() and len(need) <= 9 and slug):
        raise Problem("cursor")
    return -int(need), slug
