"""Runners: claim queued runs from PostgreSQL and let their producer work on them, a few at a time in every process.

A run that only waits, as for a page of an AFAS that hangs, leaves its place to another one.

queued ─[claim]→ running ─[producer]→ applying ─[finalizer]→ done …
   ▲                │
   └── this process ends                a lease that ended: claimed again, fence + 1, from the start;
                                        the third crash ends the run as failed
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from clients.errors import Misconfigured, RemoteError, Unauthorized
from clients.http import clean, waiting
from loops import Loop, each, where
from models import ledger
from models.crypto import SecretDamaged, SecretUnreadable
from models.direction import Direction
from models.run import PREVIEW, RunStatus
from models.session import DATABASE_TROUBLE, is_away, transaction
from models.tenant_settings import SettingsUnread
from models.worker import worker_id
from producers import enrollments
from producers.completions import producer as completions
from producers.runs import result
from producers.runs.lease import LEASE_SECONDS, PlanChanged, RunInterrupted, RunLease, RunLost, RunStopped
from producers.runs.request import lock_runs
from tenancy import health, spans, unreached
from tenancy.blackouts import BY_THEMSELVES, put_off
from workers.messages.interruptions import UNFIT

MAX_CRASHES = 3
# How often the runners of a process look by themselves: where it hears of runs, and where its listener is troubled.
RARELY_SECONDS = 2.0
POLL_SECONDS = 0.5
DEAF_SECONDS = 3.0
# How long a run rests that PostgreSQL left alone.
CALM_SECONDS = 5.0
LOCK_NOT_AVAILABLE = "55P03"
log = structlog.get_logger("workers.runs.runner")

Producer = Callable[[RunLease], None]
# {direction: what does a run of it}; tests put their own here.
PRODUCERS: dict[str, Producer] = {Direction.ENROLLMENTS: enrollments.run, Direction.COMPLETIONS: completions.run}
# The same for runs that only plan.
PREVIEWS: dict[str, Producer] = {Direction.ENROLLMENTS: enrollments.preview_run}
# Of a process, so that the other runners of it are free for runs that do something.
PREVIEWS_AT_ONCE = 2
# Runs that a process has in hand besides, for each that it does at once: as many as may wait. More than messages have,
# for a tenant holds a place with each of its directions, and as long as its AFAS hangs.
STANDING_BY = 7

# Runs that only plan and those that do something never wait for each other.
_CANDIDATE = f"""
    (r.status = 'queued' OR (r.status = 'running' AND r.lease_until < now()))
    AND NOT EXISTS (SELECT 1 FROM run o WHERE o.tenant_id = r.tenant_id AND o.direction = r.direction
                       AND o.id <> r.id AND o.status IN ('running', 'applying')
                       AND (o.trigger = '{PREVIEW}') = (r.trigger = '{PREVIEW}'))
"""  # noqa: S608  a constant
# A run whose row is locked is being written by its producer right now, however old its lease may look meanwhile:
# waiting for that would keep every other tenant waiting too. Shared: runners that look at the same moment, woken by the
# same NOTIFY, must not hide the runs from each other.
_FIND = text(
    f"""
    SELECT id, tenant_id, direction FROM run r
     WHERE {_CANDIDATE}
       AND (r.trigger <> '{PREVIEW}' OR :previews > (SELECT count(*) FROM run o
                                                   WHERE o.trigger = '{PREVIEW}' AND o.status = 'running'
                                                     AND o.lease_owner = :owner AND o.lease_until > now()))
     ORDER BY r.trigger = '{PREVIEW}', id LIMIT 20 FOR SHARE SKIP LOCKED
    """  # noqa: S608  a constant
)
_CLAIM = text(
    f"""
    UPDATE run r
       SET status = 'running', fence = fence + 1, lease_owner = :owner, started_at = coalesce(started_at, now()),
           lease_until = now() + make_interval(secs => :lease),
           progress = jsonb_build_object('crashes', coalesce((progress ->> 'crashes')::int, 0)
                                                    + (status = 'running')::int)
     WHERE id = :id AND tenant_id = :tenant AND {_CANDIDATE}
    RETURNING id, tenant_id, direction, options, fence, stop_requested, (progress ->> 'crashes')::int AS crashes,
              trigger, trigger = 'preview' AS preview
    """  # noqa: S608  the condition is a constant
)


@dataclass(frozen=True)
class Candidate:
    """A run that may be claimed."""

    id: str
    tenant_id: int
    direction: str


def claim(stopping: threading.Event | None = None, previews: int = PREVIEWS_AT_ONCE) -> RunLease | None:
    """Take the oldest run that may go, or None. Ends those on the way that can't run at all.

    ``previews``: how many of those that only plan this process may have in hand.
    """
    with transaction() as connection:
        values = {"owner": worker_id(), "previews": previews}
        candidates = [Candidate(*row) for row in connection.execute(_FIND, values)]
    found: list[RunLease] = []

    def take(candidate: Candidate) -> None:
        lease = None if found else _claim(candidate)
        if lease is not None:
            lease.stopping = stopping or lease.stopping
            found.append(lease)

    each("run", candidates, take)
    return found[0] if found else None


def _claim(candidate: Candidate) -> RunLease | None:
    with transaction() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '1s'"))
        try:
            lock_runs(connection, candidate.tenant_id, candidate.direction)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            return None  # another process works on this direction: the run comes again
        values = {"id": candidate.id, "tenant": candidate.tenant_id, "owner": worker_id(), "lease": LEASE_SECONDS}
        row = connection.execute(_CLAIM, values).first()
        if row is None or _ended_at_once(connection, candidate, row.stop_requested, row.crashes):
            return None
        state = health.state(connection, row.tenant_id, row.direction)
        # Who looks at a plan while the direction is quarantined sees whether the systems answer by now.
        if state is not None and state.state in (("paused",) if row.preview else ("paused", "quarantined")):
            result.end(connection, row.id, row.tenant_id, state.state, state.reason)
            return None
        # What began before, and was taken over or given back, goes on.
        if row.fence == 1 and row.trigger in BY_THEMSELVES:
            full = bool(row.options.get("full"))
            if put_off(connection, row.tenant_id, row.direction, full=full):
                result.end(connection, row.id, row.tenant_id, RunStatus.PAUSED, "blackout")
                return None
        return RunLease(row.id, row.tenant_id, row.direction, row.options, row.fence, preview=row.preview)


def _ended_at_once(connection: Connection, run: Candidate, stop_requested: bool, crashes: int) -> bool:
    if stop_requested:
        ledger.withdraw(connection, run.id)
        result.end(connection, run.id, run.tenant_id, RunStatus.STOPPED)
    elif crashes >= MAX_CRASHES:
        log.error("run_crashed", run=run.id, crashes=crashes)
        result.end(connection, run.id, run.tenant_id, RunStatus.FAILED, "crashed")
    else:
        return False
    return True


def work(lease: RunLease) -> None:
    """Let the producer do a claimed run; record how it ended if the producer could not."""
    with spans.span(f"run {lease.direction}", run=lease.run_id, tenant=lease.tenant_id, fence=lease.fence):
        _work(lease)


def _work(lease: RunLease) -> None:
    names = {"run": lease.run_id, "tenant": lease.tenant_id, "direction": lease.direction}
    log.info("run_begins", fence=lease.fence, **names)
    lease.keep()
    try:
        (PREVIEWS if lease.preview else PRODUCERS)[lease.direction](lease)
        _hand_over(lease)
        spans.ended("planned", failed=False)
    except RunLost:
        log.warning("run_lost", **names)
    except RunInterrupted:
        _end(lease, RunStatus.QUEUED, None)
    except PlanChanged:
        log.warning("plan_changed", **names)
        _end(lease, RunStatus.STOPPED, "plan_changed")
    except RunStopped:
        _end(lease, RunStatus.STOPPED, None)
    except (Unauthorized, Misconfigured) as error:
        log.error("run_quarantined", code=error.code, **names)
        _end(lease, RunStatus.QUARANTINED, error.code, error)
    except SecretUnreadable:
        UNFIT.set()
        _end(lease, RunStatus.QUEUED, None)
    except (SecretDamaged, SettingsUnread) as error:
        code = "secret_damaged" if isinstance(error, SecretDamaged) else "settings_unread"
        log.error("run_quarantined", code=code, **names)
        _end(lease, RunStatus.QUARANTINED, code, Misconfigured(code, str(error)))
    except RemoteError as error:
        log.warning("run_failed", code=error.code, **names)
        _end(lease, RunStatus.FAILED, error.code, error)
    except Exception as error:
        if is_away(error):  # nothing can be recorded now
            log.warning("run_left", error=type(error).__name__, where=where(error), **names)
            _give_back(lease)
        else:  # our own fault: the run says so, its traceback could hold data
            log.error("run_broke", where=where(error), **names)
            _end(lease, RunStatus.FAILED, f"internal_error: {where(error)}")
    finally:
        lease.end()


def _hand_over(lease: RunLease) -> None:
    # If the producer did not end the run itself, the finalizer does.
    with transaction() as connection:
        connection.execute(
            text(
                """UPDATE run SET status = 'applying'
                    WHERE id = :id AND tenant_id = :tenant AND fence = :fence AND status = 'running'"""
            ),
            {"id": lease.run_id, "tenant": lease.tenant_id, "fence": lease.fence},
        )
        connection.execute(text("NOTIFY koppeling_runs"))


def _give_back(lease: RunLease) -> None:
    """Let the run begin again as soon as PostgreSQL answers, and not when its lease ends. It counts as a crash: what it
    did may be what PostgreSQL does not stand.
    """
    give_up = time.monotonic() + LEASE_SECONDS
    lease.stopping.wait(CALM_SECONDS)  # trouble seldom comes alone, and three crashes end a run
    while not _end(lease, RunStatus.QUEUED, None, crashes=1) and time.monotonic() < give_up:
        if lease.stopping.wait(1.0):
            break


def _end(
    lease: RunLease, status: RunStatus, reason: str | None, error: RemoteError | None = None, *, crashes: int = 0
) -> bool:
    """Record an early end, if the run is still ours. False where the database is in trouble: the lease will end."""
    spans.ended(reason or str(status), failed=status in (RunStatus.FAILED, RunStatus.QUARANTINED))
    try:
        with transaction() as connection:
            run = result.find(connection, lease.run_id, lease.tenant_id)
            if run is None or run.fence != lease.fence or run.status != RunStatus.RUNNING:
                return True
            if status == RunStatus.QUEUED:
                connection.execute(
                    text(
                        """UPDATE run SET status = 'queued', lease_owner = NULL, lease_until = NULL,
                                  progress = progress || jsonb_build_object('crashes',
                                      coalesce((progress ->> 'crashes')::int, 0) + :crashes)
                            WHERE id = :id AND tenant_id = :tenant"""
                    ),
                    {"id": lease.run_id, "tenant": lease.tenant_id, "crashes": crashes},
                )
                connection.execute(text("NOTIFY koppeling_runs"))
                return True
            if status == RunStatus.QUARANTINED and error is not None and not lease.preview:
                call = {"operation": f"run {lease.direction}", "run": lease.run_id, "status": error.status}
                words = clean(error.message)
                health.quarantine(connection, lease.tenant_id, lease.direction, error.code, words, call)
            if status == RunStatus.FAILED and error is not None and not lease.preview:
                unreached.failed(connection, lease.tenant_id, lease.direction, error)
            if status == RunStatus.STOPPED:
                ledger.withdraw(connection, lease.run_id)
            result.store(connection, run, result.count(connection, run), status, reason=reason)
            connection.execute(text("NOTIFY koppeling_runs"))
    except DATABASE_TROUBLE as trouble:
        log.warning("run_end_not_recorded", run=lease.run_id, error=type(trouble).__name__)
        return False
    return True


class Runners:
    """Threads that each claim and work, until ``stop``: ``count`` at once, not counting those whose run only waits.

    ``heard`` wakes one of them; it wakes the next.
    """

    def __init__(self, count: int) -> None:
        self.stopping = threading.Event()
        self.count = count
        self._news = threading.Condition()
        self._asked = False
        self._heard_at = float("-inf")
        self._looked_at = 0.0
        # What the threads have in hand; None while one looks for it.
        self._in_hand: dict[int, RunLease | None] = {}
        steps = [self._step] * count + [self._stand_by] * (STANDING_BY * count)
        self.threads = [Loop(f"runner {number}", step, self.stopping) for number, step in enumerate(steps)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Claim nothing more; runs in hand go back to the queue at their next check."""
        self.stopping.set()
        with self._news:
            self._news.notify_all()
        end = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(timeout=max(0.0, end - time.monotonic()))

    def heard(self, asked: bool) -> None:
        """The process can hear of runs; ``asked``: something was said about one just now."""
        self._heard_at = time.monotonic()
        if asked:
            with self._news:
                self._asked = True
                self._news.notify()

    def _step(self) -> float | None:
        if not self._took_one():
            self._wait()
        return None if UNFIT.is_set() else 0.0

    def _stand_by(self) -> float | None:
        """The same of a thread that is needed only where others wait: it waits to be woken."""
        self._wait()
        while self._took_one():
            pass
        return None if UNFIT.is_set() else 0.0

    def _took_one(self) -> bool:
        """Claim and do a run; False where there is none, no place for one, or none that this process can read."""
        me = threading.get_ident()
        with self._news:
            going_on = len(self._in_hand) - waiting.among(self._in_hand)
            if going_on >= self.count or self.stopping.is_set() or UNFIT.is_set():
                return False
            self._in_hand[me] = None
            previews = {thread for thread, lease in self._in_hand.items() if lease is not None and lease.preview}
        try:
            lease = self._in_hand[me] = claim(self.stopping, PREVIEWS_AT_ONCE + waiting.among(previews))
            if lease is None:
                return False
            self.heard(asked=True)  # there may be another one
            work(lease)
            return True
        finally:
            with self._news:
                del self._in_hand[me]

    def _wait(self) -> None:
        """Until something is said about runs, or no thread of this process has looked for so long."""
        with self._news:
            self._looked_at = time.monotonic()
            while not (self._asked or self.stopping.is_set()) and (left := self._looks_in()) > 0:
                self._news.wait(left)
            self._asked = False
            self._looked_at = time.monotonic()  # this thread does now: the others wait on

    def _looks_in(self) -> float:
        now = time.monotonic()
        hears = now - self._heard_at < DEAF_SECONDS
        return self._looked_at + (RARELY_SECONDS if hears else POLL_SECONDS) - now
