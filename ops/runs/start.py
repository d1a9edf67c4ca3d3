"""Start runs and wait for them: what ``koppeling sync`` and ``koppeling completions`` do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import cast

import psycopg
from sqlalchemy import Connection, text

from loops import each
from models.base import new_id
from models.direction import Direction, Health
from models.outcomes import APPLIED
from models.run import PREVIEW, UNFINISHED, RunOptions, RunStatus
from models.session import DATABASE_TROUBLE, connect_alone, is_away, transaction
from models.worker import live_workers
from ops import access, audit, lookup
from ops.documents import Again, Batch, Watched
from ops.language import Words
from ops.listing import rows
from ops.lookup import checked_id, no_tenant
from ops.problems import Problem
from ops.runs import batches, history
from ops.runs.needs import NOT_ASKED
from producers.runs import request
from tenancy import health

# How often the runs are looked at, and at most when something is said about runs.
LOOK_SECONDS = 0.5
CALM_SECONDS = 0.02

_TENANTS = """
    SELECT t.id, t.slug, d.state, d.reason FROM tenant t
      LEFT JOIN tenant_direction d ON d.tenant_id = t.id AND d.direction = :direction
     WHERE CAST(:slugs AS text[]) IS NULL OR t.slug = ANY(:slugs)
     ORDER BY t.slug
"""


@dataclass(frozen=True)
class Chosen:
    """A tenant that a run was asked for, with the health of its direction."""

    id: int
    slug: str
    state: str | None
    reason: str | None


@dataclass
class Started:
    """What was asked for: the runs to watch, and the tenants that are paused and therefore have none."""

    batch: str
    direction: Direction
    run_ids: list[str] = field(default_factory=list)
    paused: list[Chosen] = field(default_factory=list)
    # Those whose direction others held for too long
    not_asked: list[Chosen] = field(default_factory=list)
    workers: int = 0
    # Whether it is kept as a batch: one of several tenants is
    kept: bool = False


def enrollment_options(slugs: Sequence[str], *, everyone: bool, full: bool, person: str | None) -> RunOptions:
    """What an enrollment run is asked for beside its tenant."""
    options: RunOptions = {"full": True} if full else {}
    if person is not None:
        if everyone or len(slugs) != 1:
            raise Problem("person_one_tenant")
        options["person"] = checked_id(person)
    return options


def completion_options(*, since: str | None, until: str | None) -> RunOptions:
    """What a completion run is asked for; days as ``YYYY-MM-DD``."""
    if since and until and since > until:
        raise Problem("since_until")
    options: RunOptions = {}
    if since:
        options["since"] = since
    if until:
        options["until"] = until
    return options


def chosen(connection: Connection, slugs: Sequence[str], everyone: bool, direction: Direction) -> list[Chosen]:
    """The tenants named, or all that one may see.

    Raises Problem for an unknown slug, a paused one named, nothing or both.
    """
    if bool(slugs) == everyone:
        raise Problem("name_tenants")
    for slug in slugs:
        access.check("tenants.read", slug)
    wanted = {"slugs": list(slugs) if slugs else access.visible(), "direction": direction}
    found = [Chosen(**row) for row in rows(connection, _TENANTS, **wanted)]
    unknown = sorted(set(slugs) - {tenant.slug for tenant in found})
    if unknown:
        raise no_tenant(", ".join(unknown))
    for tenant in found:
        if slugs and tenant.state == Health.PAUSED:
            raise Problem("paused", slug=tenant.slug, why=tenant.reason or Words("why.none_given"))
    return found


def start(
    direction: Direction,
    slugs: Sequence[str],
    *,
    everyone: bool,
    options: RunOptions,
    need_worker: bool,
    trigger: str = "operator",
) -> Started:
    """Request a run of each tenant; one that is queued already is joined.

    With the trigger ``preview`` it only plans. Several tenants are a batch: each is asked for by itself, so that none
    keeps the next from its turn.
    """
    if trigger == PREVIEW:
        access.need("sync.preview")
    else:
        access.need("sync.start" if direction == Direction.ENROLLMENTS else "completions.start")
    started = Started(new_id(), direction)
    with transaction() as connection:
        started.workers = len(live_workers(connection))
        tenants = chosen(connection, slugs, everyone, direction)
        if need_worker and not started.workers:
            raise Problem("no_worker")
        started.paused = [tenant for tenant in tenants if tenant.state == Health.PAUSED]
        going = [tenant for tenant in tenants if tenant.state != Health.PAUSED]
        started.kept = trigger != PREVIEW and (len(tenants) > 1 or (everyone and bool(tenants)))
        if started.kept:
            batches.make(connection, started.batch, direction, json.dumps(options), access.actor().name)
            paused = [tenant.id for tenant in started.paused]
            batches.add(connection, started.batch, [tenant.id for tenant in tenants], paused)
    asked: set[int] = set()
    verb = "sync preview" if trigger == PREVIEW else "sync start"
    if direction == Direction.COMPLETIONS:
        verb = "completions start"

    def ask_one(tenant: Chosen) -> None:
        with transaction() as connection:
            if started.kept:
                connection.execute(_PATIENCE)
            run = ask(connection, tenant.id, direction, trigger, options, batch=started.batch)
            audit.record(connection, verb=verb, tenant_id=tenant.id, subject=run)
            if started.kept:
                batches.has(connection, started.batch, tenant.id, run)
        asked.add(tenant.id)
        if run not in started.run_ids:
            started.run_ids.append(run)

    if len(tenants) == 1:
        for tenant in going:
            ask_one(tenant)
        return started
    each("tenant of a batch", going, ask_one)
    # What was in use a moment ago may be free by now.
    each("tenant of a batch", [tenant for tenant in going if tenant.id not in asked], ask_one)
    started.not_asked = [tenant for tenant in going if tenant.id not in asked]
    return started


def ask(
    connection: Connection, tenant: int, direction: str, trigger: str, options: RunOptions, *, batch: str | None = None
) -> str:
    """Queue a run, or join the one that waits; its id."""
    begin_timetable(connection, tenant, trigger, options)
    return request.request_run(connection, tenant, direction, trigger=trigger, options=options, batch=batch)


def begin_timetable(connection: Connection, tenant: int, trigger: str, options: RunOptions) -> None:
    """A tenant is begun with the first run of everybody. Comes before the lock on its runs, for whoever takes both."""
    if "person" not in options and trigger != PREVIEW:
        health.begin(connection, tenant)


# Who finds a direction in use for so long goes on with the next tenant.
_PATIENCE = text("SET LOCAL lock_timeout = '5s'")
# What belongs to one plan, and not to a run like it.
_EXPECTED = ("expect", "looked_at")
_AGAIN = """
    SELECT r.id, r.tenant_id, r.direction, r.trigger, r.options, t.slug AS tenant
      FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE r.id = :run
"""


def again(run_id: str, *, who: str | None = None) -> Again:
    """Ask for the same run once more; of a preview, for a new one. What it expected does not count any more."""
    with transaction() as connection:
        run_id = lookup.full_id(connection, "run", run_id)
        row = rows(connection, _AGAIN, run=run_id)[0]
        access.check("runs.again", row["tenant"])
        (tenant,) = chosen(connection, [row["tenant"]], everyone=False, direction=Direction(row["direction"]))
        options = cast(RunOptions, {key: row["options"][key] for key in row["options"] if key not in _EXPECTED})
        looking = row["trigger"] in (PREVIEW, "dry_run")
        if looking and row["direction"] != Direction.ENROLLMENTS:
            raise Problem("preview_enrollments")
        trigger = PREVIEW if looking else "operator"
        found = ask(connection, tenant.id, row["direction"], trigger, options)
        audit.record(connection, who=who, verb="runs again", tenant_id=tenant.id, subject=run_id, detail={"run": found})
    return {"run": found, "tenant": row["tenant"], "before": run_id}


def wait(
    started: Started,
    timeout_seconds: float,
    watch: Callable[[list[Watched]], None] = lambda found: None,
) -> bool:
    """Wait until nothing more can be done now; False when the time is up first. The runs go on by themselves.

    ``watch`` sees the runs' rows at each look, with ``applied`` (settled plan lines) and ``planned``. A database that
    is away for a while ends nothing.
    """
    give_up = time.monotonic() + timeout_seconds

    def over() -> bool:
        try:
            found = _look(started.run_ids)
        except DATABASE_TROUBLE as error:
            if not is_away(error):
                raise
            return False
        watch(found)
        return all(run["over"] for run in found)

    if timeout_seconds <= 0:
        return over()
    with _listener() as listener:
        while not over():
            left = give_up - time.monotonic()
            if left <= 0:
                return False
            _pause(listener, min(LOOK_SECONDS, left))
    return True


def _listener() -> psycopg.Connection | nullcontext[None]:
    """A connection that hears what is said about runs; none where the database has none left: looking is enough."""
    try:
        listener = connect_alone("waits")
        listener.execute("LISTEN koppeling_runs")
    except psycopg.OperationalError:
        return nullcontext()
    return listener


def _pause(listener: psycopg.Connection | None, seconds: float) -> None:
    """Wait so long, or until something is said about runs."""
    time.sleep(CALM_SECONDS)
    with suppress(psycopg.OperationalError):
        if listener is not None:
            for _ in listener.notifies(timeout=seconds, stop_after=1):
                pass
            return
    time.sleep(seconds)  # deaf: looked at as often all the same


def _look(run_ids: list[str]) -> list[Watched]:
    with transaction() as connection:
        found = rows(connection, _LOOK, ids=run_ids, unfinished=list(UNFINISHED))
    return cast(list[Watched], found)


# A queued run of a direction that was paused meanwhile does not begin: waiting for it would never end.
_LOOK = f"""
    SELECT r.id, t.slug AS tenant, r.status, r.progress,
           coalesce(lines.planned, 0) AS planned, coalesce(lines.applied, 0) AS applied,
           r.status <> ALL(:unfinished) OR r.status = 'queued' AND d.state = 'paused' AS over
      FROM run r JOIN tenant t ON t.id = r.tenant_id
      LEFT JOIN tenant_direction d ON d.tenant_id = r.tenant_id AND d.direction = r.direction
      LEFT JOIN LATERAL (
           SELECT count(*) AS planned,
                  count(*) FILTER (WHERE {APPLIED}) AS applied
             FROM plan_line l WHERE l.run_id = r.id AND r.status = 'applying') lines ON true
     WHERE r.id = ANY(:ids)
"""  # noqa: S608  constants only


def document(started: Started) -> Batch:
    """The runs, tenants in order; paused ones have an entry without a run."""
    told = history.by_ids(started.run_ids)
    told += [
        history.without_run(tenant.slug, started.direction, RunStatus.PAUSED, tenant.reason)
        for tenant in started.paused
    ]
    told += [
        history.without_run(tenant.slug, started.direction, RunStatus.FAILED, NOT_ASKED) for tenant in started.not_asked
    ]
    return {"batch": started.batch, "runs": sorted(told, key=lambda run: run["tenant"])}
