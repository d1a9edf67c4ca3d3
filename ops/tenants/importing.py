"""Bring the stored tenants in line with a tenants file: create or update by slug, all of it in one transaction.

Importing the same file again changes nothing. Tenants that are not in the file stay; a course that is no longer in it,
or that no rule covers any more, becomes inactive, and its people are not leavers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy import Connection, text
from sqlalchemy.orm import defer
from sqlmodel import Session, select
from typing_extensions import TypedDict

import settings
from models import blackouts
from models import tenant as tables
from models.advisory_locks import AdvisoryLock
from models.base import utc_now
from models.course import Course
from models.course_settings import CourseRule
from models.crypto import SecretDamaged, SecretUnreadable, decrypt, fingerprint, place_of
from models.direction import Direction, Health
from models.session import session, transaction
from models.stored_secrets import encrypted_columns
from models.tenant import TenantDirection
from ops import access, audit
from ops.language import Words
from ops.problems import AlreadyDecided, Problem
from ops.tenants import RESERVED, file_spec
from ops.tenants.blackout_text import written
from producers.runs.request import begin_again
from tenancy import health
from tenancy.systems import SAME_ORGANISATION

SECRETS = {
    "afas_client_secret": "afas.client_secret",
    "afas_token": "afas.token",
    "pluvo_client_secret": "pluvo.client_secret",
    "webhook_secret": "pluvo.webhook_secret",
    "alerts_secret": "alerts.webhook_secret",
}
# They sign, and are sent nowhere
OF_NO_CLIENT = ("webhook_secret", "alerts_secret")
SHOWN = 20  # events in one line
# What says where the secrets of a system are sent
ADDRESS = {"afas": ("member_id", "environment", "base_url"), "pluvo": ("organisation", "base_url")}


class ImportDocument(TypedDict):
    """What an import tells of one tenant."""

    tenant: str
    action: str
    changes: list[str]
    warnings: list[str]


@dataclass
class Imported:
    """What the import did to one tenant, and warns of: lines for people, never with a secret."""

    slug: str
    action: str
    changed: list[Words] = field(default_factory=list)
    warned: list[Words] = field(default_factory=list)

    @property
    def changes(self) -> list[str]:
        """What changed, in English."""
        return [str(one) for one in self.changed]

    @property
    def warnings(self) -> list[str]:
        """What is warned of, in English."""
        return [str(one) for one in self.warned]

    def document(self) -> ImportDocument:
        """The JSON shape, in English: scripts read it."""
        return {"tenant": self.slug, "action": self.action, "changes": self.changes, "warnings": self.warnings}


def apply(
    specs: list[file_spec.Tenant],
    who: str,
    *,
    replace_lost: bool = False,
    first: Callable[[Session], None] | None = None,
    dry_run: bool = False,
    version: int | None = None,
    verb: str = "tenants import",
) -> list[Imported]:
    """Store the tenants. Raises Problem, and stores nothing, when one of them may not change so.

    ``dry_run``: tell what would change, and store nothing.
    ``version``: of the settings that it was decided on (of one tenant); AlreadyDecided where they are others by now.

    ``replace_lost``: a stored secret whose key is lost counts as absent; else SecretUnreadable.
    ``first``: what else is done in the transaction, before any of them is looked at.
    ``verb``: what the record of operators' verbs says.
    """
    for spec in specs:
        access.check(access.verb_of(verb), spec.slug)
    with session() as opened:
        opened.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AdvisoryLock.TENANTS_IMPORT})
        if first is not None:
            first(opened)
        for spec in specs if version is not None else ():
            _refuse_changed(opened.connection(), spec.slug, version)
        done = [_apply_one(opened, spec, replace_lost, who, verb) for spec in specs]
        opened.flush()
        for one in done:
            one.warned += _judge_sharing(opened, one.slug)
        if dry_run:
            opened.rollback()
        return done


# What changes the settings of a tenant that is there
CHANGES = audit.SETTINGS
_LOCKED_VERSION = text("SELECT settings_version FROM tenant WHERE slug = :slug FOR NO KEY UPDATE")
_FIRST = text(
    """SELECT (SELECT a.who FROM operator_action a WHERE a.tenant_id = t.id AND a.verb = ANY(:verbs)
                ORDER BY a.id DESC LIMIT 1) AS who, t.updated_at AS at
         FROM tenant t WHERE t.slug = :slug"""
)


def _refuse_changed(connection: Connection, slug: str, decided_on: int | None) -> None:
    now = connection.execute(_LOCKED_VERSION, {"slug": slug}).scalar()
    if now != decided_on:
        raise changed_first(connection, slug)


def changed_first(connection: Connection, slug: str) -> AlreadyDecided:
    """Tell that the settings are others than those looked at, and who changed them last."""
    first = connection.execute(_FIRST, {"slug": slug, "verbs": list(CHANGES)}).first()
    who = Words("edit.somebody_else") if first is None or first.who is None else first.who
    at = f"{first.at:%Y-%m-%d %H:%M} UTC" if first is not None else "?"
    return AlreadyDecided("settings_changed", slug=slug, who=who, at=at)


_SHARING = text(
    f"""SELECT o.slug, t.afas->>'member_id' = o.afas->>'member_id' AS same_member, t.pluvo->>'organisation' AS named
          FROM tenant t JOIN tenant o ON {SAME_ORGANISATION}
         WHERE t.slug = :slug AND o.id <> t.id ORDER BY o.slug"""  # noqa: S608 - a constant
)


def _judge_sharing(opened: Session, slug: str) -> list[Words]:
    """Warn of other tenants of the same Pluvo organisation. Raises Problem where accounts could not be told apart."""
    warned = []
    for other in opened.connection().execute(_SHARING, {"slug": slug}).all():
        named = other.slug if access.actor().sees(other.slug) else Words("warning.another")
        if other.same_member:
            raise Problem("same_refs", slug=slug, other=named)
        warned.append(Words("warning.shares", named=other.named, other=named))
    return warned


def _apply_one(opened: Session, spec: file_spec.Tenant, replace_lost: bool, who: str, verb: str) -> Imported:
    stored = opened.exec(
        select(tables.Tenant)
        .where(tables.Tenant.slug == spec.slug)
        .options(*(defer(getattr(tables.Tenant, column)) for column in SECRETS))
        .with_for_update(key_share=True)
    ).one_or_none()
    done = Imported(spec.slug, "updated" if stored else "created")
    if stored is None:
        if spec.slug in RESERVED:
            raise Problem("slug_is_verb", slug=spec.slug)
        stored = tables.Tenant(slug=spec.slug, name=spec.name, timezone=spec.timezone, interval_seconds=spec.interval)
        secrets: dict[str, str | None] = {}
        after = _wanted(spec, {})
        done.changed += _set_plain(stored, spec, new=True) + _set_secrets(stored, secrets, after)
        opened.add(stored)
        opened.flush()  # gives it its number
    else:
        _refuse_others_links(opened, stored, spec)
        secrets = _secrets(opened, stored, replace_lost)
        after = _wanted(spec, _keepable(stored, spec, secrets))
        done.changed += _set_plain(stored, spec, new=False) + _set_secrets(stored, secrets, after)
    by_rule = spec.course_rules and spec.course_defaults.pluvo.send_invite
    invites = by_rule or any(course.pluvo.send_invite for course in spec.courses)
    if spec.afas.environment != "production" and invites:
        done.warned.append(Words("warning.send_invite", environment=spec.afas.environment))
    tenant_id = cast(int, stored.id)
    done.changed += _set_blackout(stored, spec)
    done.changed += _set_rules(stored, spec)
    changed, ended = _set_courses(opened, tenant_id, spec)
    done.changed += changed
    done.warned += _people_of(opened.connection(), tenant_id, ended)
    _set_timetable(opened, tenant_id, spec, Health.NEW if done.action == "created" else Health.HEALTHY)
    if done.action == "updated":
        if not done.changed:
            done.action = "unchanged"
            return done
        stored.settings_version += 1
        stored.updated_at = utc_now()
    if spec.afas.auth == "token" and not after["afas_token"]:
        done.changed.append(Words("change.no_token", slug=spec.slug))
    connection = opened.connection()
    # A connector may have been the wrong one as well as a secret or an address.
    if any(change.startswith(("afas.", "pluvo.", "course")) for change in done.changes):
        for way in health.try_again(connection, tenant_id):
            begin_again(connection, tenant_id, way)
            done.changed.append(Words("change.reopened", direction=str(way)))
    detail = {"changes": done.changes, "codes": [one.document() for one in done.changed]}
    audit.record(connection, who=who, verb=verb, tenant_id=tenant_id, detail=detail)
    return done


def _plain(spec: file_spec.Tenant) -> Mapping[str, object]:
    """The columns of a tenant that hold no secret."""
    return {
        "name": spec.name,
        "timezone": spec.timezone,
        "interval_seconds": spec.interval,
        "afas": spec.afas.stored(),
        "pluvo": spec.pluvo.stored(),
        "removals": spec.removals.stored(),
        "alerts": spec.alerts.stored(),
        "course_defaults": spec.course_defaults,
    }


def _set_plain(stored: tables.Tenant, spec: file_spec.Tenant, *, new: bool) -> list[Words]:
    changes: list[Words] = []
    if not new and any(getattr(stored.afas, key) != getattr(spec.afas, key) for key in ("member_id", "environment")):
        stored.envid = None  # another environment on purpose: the next complete read names it again
    for column, value in _plain(spec).items():
        if not new:
            changes += differences(column, getattr(stored, column), value)
        setattr(stored, column, value)
    return changes


def differences(name: str, before: Any, after: Any) -> Iterator[Words]:
    """Lines such as ``afas.parallel_calls: 2 → 3``."""
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        before, after = before.model_dump(), after.model_dump()
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(f"{name}.{key}", before.get(key), after.get(key))
    elif before != after and isinstance(after, tuple):
        yield Words("change.changed", key=name)  # addresses of people, which no record of operators' verbs keeps
    elif before != after:
        yield Words("change.value", key=name, before=_shown(before), after=_shown(after))


def _shown(value: Any) -> Words | str:
    return Words("none") if value is None else str(value)


def _refuse_others_links(opened: Session, stored: tables.Tenant, spec: file_spec.Tenant) -> None:
    """Links pair people of one AFAS member with accounts of one organisation; elsewhere both ids name others."""
    ids = {
        "pluvo.organisation": (stored.pluvo.organisation, spec.pluvo.organisation),
        "afas.member_id": (stored.afas.member_id, spec.afas.member_id),
    }
    changed = {name: pair for name, pair in ids.items() if pair[0] != pair[1]}
    if not changed:
        return
    links = opened.execute(
        text("SELECT count(*) FROM link WHERE tenant_id = :tenant AND pluvo_id IS NOT NULL"), {"tenant": stored.id}
    ).scalar()
    for name, (before, after) in changed.items():
        if links:
            raise Problem(
                "linked_elsewhere",
                slug=spec.slug,
                key=name,
                before=before,
                after=after,
                links=links,
                organisation=ids["pluvo.organisation"][0],
                member_id=ids["afas.member_id"][0],
            )


def under_lost_keys() -> list[str]:
    """Slugs of tenants, and of what is being set up, with a secret that none of today's keys reads."""
    mine = [fingerprint(key) for key in settings.get().need_secret_keys()]
    found = " UNION ".join(
        f"SELECT slug FROM {table} WHERE substring({column} FROM 1 FOR 8) <> ALL(:mine)"  # noqa: S608  names of our own columns
        for table, column in encrypted_columns()
    )
    with transaction() as connection:
        return list(connection.execute(text(f"{found} ORDER BY slug"), {"mine": mine}).scalars())


def _secrets(opened: Session, stored: tables.Tenant, replace_lost: bool) -> dict[str, str | None]:
    """The stored secrets; one that is damaged counts as absent, so the import repairs it."""
    row = opened.execute(
        text(f"SELECT {', '.join(SECRETS)} FROM tenant WHERE id = :id"),  # noqa: S608 - constants only
        {"id": stored.id},
    ).mappings()
    found: dict[str, str | None] = {}
    for column, value in row.one().items():
        try:
            found[str(column)] = None if value is None else decrypt(value, place_of(stored.slug, str(column)))
        except SecretDamaged:
            found[str(column)] = None
        except SecretUnreadable:
            if not replace_lost:
                raise
            found[str(column)] = None
    return found


def _given(spec: file_spec.Tenant) -> dict[str, str | None]:
    return {
        "afas_client_secret": spec.afas.client_secret,
        "afas_token": spec.afas.token,
        "pluvo_client_secret": spec.pluvo.client_secret,
        "webhook_secret": spec.pluvo.webhook_secret,
        "alerts_secret": spec.alerts.webhook_secret,
    }


def _wanted(spec: file_spec.Tenant, kept: dict[str, str | None]) -> dict[str, str | None]:
    """The secrets as they will be: one that is left out is kept, unless it is of the other way into AFAS.

    Raises Problem where one is lacking. A token may come later, by ``koppeling token``.
    """
    other = "afas_token" if spec.afas.auth == "oauth" else "afas_client_secret"
    after = {
        column: kept.get(column) if value is None and column != other else value
        for column, value in _given(spec).items()
    }
    needed = ("afas_client_secret", "pluvo_client_secret") if spec.afas.auth == "oauth" else ("pluvo_client_secret",)
    needed = (*needed, "alerts_secret") if spec.alerts.webhook else needed
    lacking = [SECRETS[column] for column in needed if not after[column]]
    if lacking:
        raise Problem("secrets_missing", slug=spec.slug, lacking=_listed(lacking))
    return after | {name: after[name] or None for name in OF_NO_CLIENT}


def _listed(lacking: list[str]) -> str | Words:
    *others, last = lacking
    return Words("problem.and", first=", ".join(others), second=last) if others else last


def _keepable(stored: tables.Tenant, spec: file_spec.Tenant, secrets: dict[str, str | None]) -> dict[str, str | None]:
    """The stored secrets without those of a system whose address changes: they are shown to nobody else."""
    moved = {
        "afas": any(getattr(stored.afas, key) != getattr(spec.afas, key) for key in ADDRESS["afas"]),
        "pluvo": any(getattr(stored.pluvo, key) != getattr(spec.pluvo, key) for key in ADDRESS["pluvo"]),
    }
    return {
        column: value
        for column, value in secrets.items()
        if column in OF_NO_CLIENT or not moved[SECRETS[column].partition(".")[0]]
    }


def _set_secrets(stored: tables.Tenant, before: dict[str, str | None], after: dict[str, str | None]) -> list[Words]:
    changes = []
    for column, value in after.items():
        old = before.get(column)
        if value != old:
            what = "removed" if value is None else "changed" if old else "set"
            changes.append(Words(f"change.{what}", key=SECRETS[column]))
        if value != old or not before:
            setattr(stored, column, value)
    return changes


def _set_blackout(stored: tables.Tenant, spec: file_spec.Tenant) -> list[Words]:
    before, stored.blackout = stored.blackout or [], list(spec.blackout)
    if before == stored.blackout:
        return []
    old, new = (written(one.stored() for one in these) or Words("none") for these in (before, stored.blackout))
    return [Words("change.value", key="blackout", before=old, after=new)]


def _set_rules(stored: tables.Tenant, spec: file_spec.Tenant) -> list[Words]:
    before = stored.course_rules or []
    stored.course_rules = list(spec.course_rules)
    if before == stored.course_rules:
        return []
    told = [Words("change.rule", number=number, rule=rule.name) for number, rule in enumerate(spec.course_rules, 1)]
    return [*(told or [Words("change.no_rules")]), Words("change.next_run")]


def _set_courses(opened: Session, tenant_id: int, spec: file_spec.Tenant) -> tuple[list[Words], list[Course]]:
    """What changes, and the courses that are switched off."""
    stored = {one.event_id: one for one in opened.exec(select(Course).where(Course.tenant_id == tenant_id))}
    changes: list[Words] = []
    for course in spec.courses:
        columns = course.columns() | {"rule": None, "active": True}
        known = stored.pop(course.event_id, None)
        if known is None:
            opened.add(Course(tenant_id=tenant_id, event_id=course.event_id, **columns))
            changes.append(Words("change.course_added", event=course.event_id))
        else:
            told = _update_course(known, columns)
            changes += [Words("change.course", event=course.event_id, what=what) for what in told]
    # What a rule links is brought in line by the next run: only AFAS and Pluvo know the rest.
    ended = [one for one in stored.values() if one.active and not _still_linked(one, spec.course_rules)]
    for gone in ended:
        gone.active = False
    changes += [Words("change.course_off", event=one.event_id) for one in ended if one.rule is None]
    if by_rule := sum(one.rule is not None for one in ended):
        changes.append(Words("change.rules_off", courses=by_rule))
    return changes, ended


_PEOPLE = text(
    """
    SELECT count(*) FROM enrollment
     WHERE tenant_id = :tenant AND course_id = ANY(:courses) AND state = 'enrolled'
    """
)


def _people_of(connection: Connection, tenant_id: int, ended: Sequence[Course]) -> list[Words]:
    """Whom it concerns that courses are switched off."""
    courses = [one.id for one in ended]
    people = connection.execute(_PEOPLE, {"tenant": tenant_id, "courses": courses}).scalar() if courses else 0
    if not people:
        return []
    events = ", ".join(one.event_id for one in ended[:SHOWN]) + (", …" if len(ended) > SHOWN else "")
    return [Words("warning.switched_off", events=events, people=people)]


def _still_linked(course: Course, rules: Sequence[CourseRule]) -> bool:
    return course.rule is not None and any(rule.covers(course.event_id) for rule in rules)


def _update_course(known: Course, columns: dict[str, Any]) -> list[Words]:
    changes = []
    for column, value in columns.items():
        before = getattr(known, column)
        if before == value:
            continue
        if column == "rules":
            changes.append(Words("change.completions"))
        elif column == "rule":
            changes.append(Words("change.own_block"))
        else:
            changes += differences(column, before, value)
        if column == "pluvo" and before.place != value.place:
            changes.append(Words("change.moved"))
        known.change(column, value)
    return changes


def _set_timetable(opened: Session, tenant_id: int, spec: file_spec.Tenant, state: Health) -> None:
    """Both directions have a place in the timetable, spread over the interval; a shorter one counts at once.

    The timetable of a new tenant begins with the first run that an operator starts. None begins in a blackout.
    """
    stored = opened.exec(select(TenantDirection).where(TenantDirection.tenant_id == tenant_id))
    known = {row.direction: row for row in stored}
    when, now = ([one.stored() for one in spec.blackout], spec.timezone), utc_now()
    for direction in Direction:
        # Spreading is all that is wanted of chance here.
        seconds = random.uniform(0.1, 1.0) * spec.interval  # noqa: S311  spreads first runs, guards nothing
        row = known.get(direction)
        if row is None:
            at = blackouts.next_begin(*when, now, seconds)
            opened.add(TenantDirection(tenant_id=tenant_id, direction=direction, next_run_at=at, state=state))
        elif row.next_run_at is None or row.next_run_at > blackouts.latest_begin(*when, now, spec.interval):
            row.next_run_at = blackouts.next_begin(*when, now, seconds)
        elif blackouts.free_from(*when, row.next_run_at) != row.next_run_at:
            row.next_run_at = blackouts.next_begin(*when, row.next_run_at, 0)
