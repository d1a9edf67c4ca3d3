"""Tenants: list, show, pause, resume, remove. Importing them is in ``ops/tenants/importing.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text
from ulid import ULID

import settings
from models.blackouts import free_from
from models.credential_end import AFAS_ENDS
from models.dead_letter import BATCHES_OF_TENANT
from models.direction import Direction, Health
from models.session import transaction
from ops import access, audit, lookup, users
from ops.degraded import mark
from ops.language import Words
from ops.listing import Page, Row, checked_limit, page, rows, where
from ops.problems import First, Problem
from ops.tidy import tidy_up
from tenancy import health

_TENANTS = f"""
    SELECT t.id, t.slug, t.name, t.interval_seconds, t.timezone, t.blackout, now() AS now,
           t.afas->>'environment' AS environment, {AFAS_ENDS} AS afas_ends,
           (SELECT max(r.id) FROM run r WHERE r.tenant_id = t.id AND r.direction = 'enrollments') AS newest_enrollments,
           (SELECT max(r.id) FROM run r WHERE r.tenant_id = t.id AND r.direction = 'completions') AS newest_completions
      FROM tenant t
"""  # noqa: S608  constants only
_FILTERS = {"visible": "t.slug = ANY(:visible)", "cursor": "t.slug > :cursor"}
_DIRECTIONS = """
    SELECT tenant_id, direction, state, reason, since, next_run_at, probe_at, wait_until, last_full_at
      FROM tenant_direction WHERE tenant_id = ANY(:ids)
"""
_COURSES = """
    SELECT event_id, getconnector, updateconnector, fields, pluvo, target, rules, rule, active, base_rows, base_at,
           (SELECT count(*) FROM enrollment e
             WHERE e.tenant_id = c.tenant_id AND e.course_id = c.id AND e.state = 'enrolled') AS enrolled
      FROM course c WHERE tenant_id = :tenant ORDER BY active DESC, length(event_id), event_id
"""


def listing(limit: int = 100, cursor: str | None = None) -> Page:
    """The tenants by slug, with the health of both directions, the last and the next run.

    ``blackout_until``: until when none begins by itself, where that is so now.
    ``afas_ends``: the last day of the credentials of AFAS, as somebody noted it or AFAS told it; None where nobody did.
    """
    with transaction() as connection:
        wanted = {"visible": access.visible(), "cursor": cursor}
        by_slug = f"{_TENANTS} {where(_FILTERS, wanted)} ORDER BY t.slug LIMIT :limit"
        found = rows(connection, by_slug, limit=checked_limit(limit) + 1, **wanted)
        cut = page(found, limit, "slug")
        return Page(_with_health(connection, cut.items), cut.next)


def show(slug: str) -> Row:
    """One tenant with settings and courses; of secrets only whether they are there."""
    from models.tenant_settings import CourseTarget, completed  # noqa: PLC0415  listing tenants needs none of these

    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        courses = rows(connection, _COURSES, tenant=tenant)
        courses = [course | {"pluvo": completed(CourseTarget, course["pluvo"])} for course in courses]
        return _about(connection, tenant) | {"courses": courses}


def about(slug: str) -> Row:
    """The same without its courses, of which a large tenant has many, with many people."""
    with transaction() as connection:
        return _about(connection, lookup.tenant_id(connection, slug))


def _about(connection: Connection, tenant: int) -> Row:
    from models.tenant_settings import (  # noqa: PLC0415  as above
        AfasSettings,
        AlertSettings,
        PluvoSettings,
        RemovalSettings,
        Table,
        completed,
    )

    kinds: Mapping[str, type[Table]] = {
        "afas": AfasSettings,
        "pluvo": PluvoSettings,
        "removals": RemovalSettings,
        "alerts": AlertSettings,
    }
    item = _with_health(connection, rows(connection, f"{_TENANTS} WHERE t.id = :tenant", tenant=tenant))[0]
    settings = rows(
        connection,
        "SELECT timezone, interval_seconds, blackout, afas, pluvo, removals, alerts, course_defaults, course_rules,"
        "       envid, settings_version, first_complete_at,"
        "       afas_client_secret IS NOT NULL AS afas_client_secret, afas_token IS NOT NULL AS afas_token,"
        "       pluvo_client_secret IS NOT NULL AS pluvo_client_secret,"
        "       webhook_secret IS NOT NULL AS webhook_secret, alerts_secret IS NOT NULL AS alerts_secret"
        "  FROM tenant WHERE id = :tenant",
        tenant=tenant,
    )[0]
    secrets = {name: settings.pop(name) for name in list(settings) if name.endswith(("_secret", "_token"))}
    settings |= {name: completed(kind, settings[name]) for name, kind in kinds.items()}
    return item | settings | {"secrets": secrets}


def _with_health(connection: Connection, items: Sequence[Row]) -> list[Row]:
    found = rows(connection, _DIRECTIONS, ids=[item["id"] for item in items])
    mark(connection, found)
    by_key = {(row["tenant_id"], row["direction"]): row for row in found}
    return [_item(item, {way: by_key.get((item["id"], way), {}) for way in Direction}) for item in items]


def _item(item: Row, health: Mapping[Direction, Row]) -> Row:
    newest = {way: item[f"newest_{way}"] for way in Direction}
    # A direction that is paused or has not begun has no next run, whatever its place in the timetable says.
    resting = (Health.PAUSED, Health.NEW)
    last = max((run for run in newest.values() if run), default=None)
    nexts = [row["next_run_at"] for row in health.values() if row and row["state"] not in resting]
    return {
        "slug": item["slug"],
        "tenant": item["slug"],
        "name": item["name"],
        "environment": item["environment"],
        "afas_ends": item["afas_ends"],
        **{str(way): _health(row, newest[way]) for way, row in health.items()},
        "last_run": last,
        "last_run_at": ULID.from_str(last).datetime if last else None,
        "blackout_until": _blackout_until(item),
        "next_run_at": min((at for at in nexts if at), default=None),
    }


def _blackout_until(item: Row) -> datetime | None:
    free = free_from(item["blackout"], item["timezone"], item["now"])
    return None if free == item["now"] else free


def _health(row: Row, last_run: str | None) -> Row:
    shown = {key: row.get(key) for key in ("state", "reason", "since", "next_run_at", "probe_at", "wait_until")}
    return shown | {"last_run": last_run}


def pause(slug: str, *, reason: str, direction: str | None, who: str) -> list[str]:
    """Stop one or both directions until ``resume``: nothing new begins. Returns those that were not paused before."""
    access.check("tenants.pause", slug)
    audit.need_reason(reason, Words("why.paused"))
    way = lookup.direction(direction) if direction else None
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        paused = health.pause(connection, tenant, way, reason)
        detail = {"directions": paused}
        if paused:
            audit.record(connection, who=who, verb="tenants pause", tenant_id=tenant, reason=reason, detail=detail)
    return paused


def paused_by(slug: str) -> First | None:
    """Who paused a tenant last: for whoever finds it paused."""
    return audit.first_of("tenants pause", tenant=slug)


def resumed_by(slug: str) -> First | None:
    """Who resumed a tenant last."""
    return audit.first_of("tenants resume", tenant=slug)


def resume(slug: str, *, direction: str | None, who: str) -> list[str]:
    """End a pause or a quarantine at once; returns the directions that were in one.

    What was refused while it read is begun again.
    """
    from producers.runs.request import begin_again  # noqa: PLC0415  listing tenants needs no ledger

    access.check("tenants.resume", slug)
    way = lookup.direction(direction) if direction else None
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        resumed = health.resume(connection, tenant, way)
        for name in resumed:
            begin_again(connection, tenant, name)
        if resumed:
            audit.record(connection, who=who, verb="tenants resume", tenant_id=tenant, detail={"directions": resumed})
    return resumed


def rotate_keys(*, who: str, new: bool = False) -> int:
    """Put every stored secret under the first key; returns how many. SecretUnreadable when a key is missing.

    ``new``: under one that is made now, and takes the place of the embedded home's. Raises Problem where there is none.
    """
    access.check("tenants.rotate_keys", None)
    if not new:
        return _reencrypt(who)
    from ops.servers import new_key  # noqa: PLC0415  only needed here

    found = settings.get()
    if not found.embedded_database or settings.given("SECRET_KEYS"):
        raise Problem("key_of_environment")
    with new_key.replaced(found.home):
        changed = _reencrypt(who)
        _wait_for_writers()
        # Whoever read the old key just before may have stored something under it meanwhile.
        while _under_others():
            _reencrypt(who)
    return changed


def _wait_for_writers() -> None:
    """Until all is stored, or given up, that was begun before: some of it is under the key of then."""
    from models.stored_secrets import encrypted_columns  # noqa: PLC0415  only needed here

    for table in sorted({table for table, _ in encrypted_columns()}):
        with transaction() as connection:
            connection.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))


def _under_others() -> bool:
    from models.crypto import fingerprint  # noqa: PLC0415  only needed here
    from models.stored_secrets import stored_under  # noqa: PLC0415  only needed here

    first = fingerprint(settings.get().need_secret_keys()[0]).hex()
    with transaction() as connection:
        return any(mark != first for mark in stored_under(connection))


def _reencrypt(who: str) -> int:
    from models.crypto import place_of, reencrypt  # noqa: PLC0415  only needed here
    from models.stored_secrets import encrypted_columns  # noqa: PLC0415  only needed here

    changed = 0
    with transaction() as connection:
        for table, column in encrypted_columns():
            stored = connection.execute(
                text(f"SELECT id, slug, {column} AS secret FROM {table} WHERE {column} IS NOT NULL FOR UPDATE")  # noqa: S608  names of columns
            ).all()
            for row in stored:
                connection.execute(
                    text(f"UPDATE {table} SET {column} = :secret WHERE id = :id"),  # noqa: S608  names of columns
                    {"id": row.id, "secret": reencrypt(row.secret, place_of(row.slug, column))},
                )
            changed += len(stored)
        audit.record(connection, who=who, verb="tenants rotate-keys", tenant_id=None, detail={"secrets": changed})
    return changed


# What others hold before they write something new of a tenant, in the order in which they take it; and then that they
# write anything new.
_REMOVE_LOCKS = (
    "SELECT id FROM run WHERE tenant_id = :id AND finished_at IS NULL ORDER BY id FOR UPDATE",
    "SELECT id FROM message WHERE tenant_id = :id ORDER BY id FOR UPDATE",
    "SELECT id FROM person WHERE tenant_id = :id ORDER BY id FOR UPDATE",
    "SELECT id FROM tenant WHERE id = :id FOR UPDATE",
)
# Letters of other tenants may be in such a replay: it stays, without what somebody wrote about it.
_FORGET_WHY = text(f"UPDATE replay_batch SET reason = NULL WHERE {BATCHES_OF_TENANT}")  # noqa: S608  a constant


def remove(slug: str, *, who: str) -> dict[str, int]:
    """Erase all rows of a tenant, its audit too; nothing in AFAS or Pluvo. Returns how many, ``{"person": 60, …}``.

    The audit keeps that a tenant of so many rows was removed, and by whom, without its name.
    """
    from models.tables import metadata  # noqa: PLC0415  all tables, which most commands do without

    access.check("tenants.remove", slug)
    access.check("tenants.remove", None)  # what goes with it is of the installation: its alerts, its record
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        connection.execute(_FORGET_WHY, {"tenant": tenant})
        for lock in _REMOVE_LOCKS:
            connection.execute(text(lock), {"id": tenant})
        erased: dict[str, int] = {}
        for table in reversed(metadata.sorted_tables):
            if "tenant_id" in table.c:
                gone = connection.execute(table.delete().where(table.c.tenant_id == tenant)).rowcount
                if gone:
                    erased[table.name] = gone
        connection.execute(text("DELETE FROM people_search"))  # they may name its people; each lasts an hour anyway
        connection.execute(text("DELETE FROM onboarding WHERE slug = :slug"), {"slug": slug})
        connection.execute(text("DELETE FROM tenant WHERE id = :id"), {"id": tenant})
        users.forget_tenant(connection, slug)
        audit.record(connection, who=who, verb="tenants remove", detail={"rows": sum(erased.values()) + 1})
    tidy_up([*erased, "tenant"])
    return erased | {"tenant": 1}
