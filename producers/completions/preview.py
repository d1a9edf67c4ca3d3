"""A dry run: the steps of a run on copies of its tables, in a transaction that is rolled back, after all its calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TypedDict, cast

from sqlalchemy import Connection, text

from models.base import new_id
from models.course import Course
from models.direction import Direction
from models.outcomes import zeros
from models.run import CourseResult, RunOptions
from models.session import engine
from models.tenant import Tenant
from producers.completions.afas_column import Page, note, read_event
from producers.completions.collect import Collected, collect, forget, load
from producers.completions.planner import Planner
from producers.completions.record import COPIES, DayRange, Finished, record
from producers.completions.rules import Rule
from producers.completions.steps import UNREADABLE, count, courses_to_read, plan, settle_by_column
from producers.runs.context import PreviewContext, RunContext
from producers.runs.keep import Keep, streamed
from tenancy.systems import Systems, systems_of


class PreviewLine(TypedDict):
    """A line that a run would have; ``before`` and ``after`` as ``{"completion": "2026-06-30", "field": …}``."""

    event_id: str | None
    internal_id: str | None
    action: str
    outcome: str
    reason: str | None
    before: dict[str, str] | None
    after: dict[str, str]


@dataclass(frozen=True)
class Preview:
    """What a run would do, and what its outcomes would be before anything is written."""

    lines: Sequence[PreviewLine]
    hash: str
    courses: list[CourseResult]
    snapshot: str
    reasons: list[str]
    rows: int
    outcomes: dict[str, int]
    calls: dict[str, int] = field(default_factory=dict)


class _Rehearsal(PreviewContext):
    """All writing goes into the one transaction."""

    def __init__(self, connection: Connection, run_id: str, tenant_id: int, options: RunOptions) -> None:
        super().__init__(run_id, tenant_id, options)
        self._connection = connection

    @contextmanager
    def writing(self, **progress: int) -> Iterator[Connection]:
        yield self._connection


def preview(tenant: Tenant, options: RunOptions, keep: Keep = list) -> Preview:
    """Say what a run would do now. Calls both systems to read; writes nothing anywhere, here included.

    ``keep`` makes the lists: there may be more lines than fit into memory.
    """
    tenant, courses = load(tenant.id or 0)
    systems = systems_of(tenant)
    run_id, days = new_id(), DayRange.of(options)
    looking = PreviewContext(run_id, tenant.id or 0, options)
    finished: list[Sequence[Finished]] = []  # a batch each
    found = collect(looking, systems, tenant, courses, lambda batch, _: finished.append(keep(batch)))
    planner = Planner(looking.tenant_id, run_id, found.good, days)

    def rehearse(connection: Connection) -> _Rehearsal:
        context = _Rehearsal(connection, run_id, looking.tenant_id, options)
        for batch in finished:
            record(connection, tenant, found.rules, list(batch), run_id=run_id, days=days)
        forget(connection, looking.tenant_id, run_id, found.doubtful)
        planner.refresh(connection, courses)
        return context

    with _rehearsal(looking.tenant_id) as connection:
        to_read = list(courses_to_read(rehearse(connection), planner, found, pages_from=1))
    shown = [(course, rules, _pages(looking, systems, course, rules, keep)) for course, rules in to_read]
    with _rehearsal(looking.tenant_id) as connection:
        context = rehearse(connection)
        for course, rules, pages in shown:
            for age, values in chain.from_iterable(pages):
                note(connection, looking.tenant_id, course.id or 0, age, values)
            settle_by_column(connection, planner, course, rules)
        plan(context, planner)
        for table in ("completion", "plan_line"):
            connection.execute(text(f"ANALYZE {table}"))  # autovacuum does not see temporary tables
        return _preview(connection, planner, found, systems, keep)


def _pages(
    context: RunContext, systems: Systems, course: Course, rules: Sequence[Rule], keep: Keep
) -> list[Sequence[Page]]:
    pages: list[Sequence[Page]] = []  # one each, of many rows
    try:
        pages.extend(keep([page]) for page in read_event(context, systems.afas, course, rules))
    except UNREADABLE:
        return pages  # the actors would read row by row
    return pages


def _preview(connection: Connection, planner: Planner, found: Collected, systems: Systems, keep: Keep) -> Preview:
    quiet, courses = count(connection, planner, found)
    listed = {"run": planner.run_id, "tenant": planner.tenant_id}
    lines = keep(cast(PreviewLine, row._asdict()) for row in streamed(connection, _PREVIEW_LINES, listed))
    outcomes = zeros(Direction.COMPLETIONS) | quiet
    for line in connection.execute(_LINE_COUNTS, listed):
        outcomes[line.outcome] += line.lines
    return Preview(
        lines=lines,
        hash=planner.hash.hexdigest(),
        courses=courses,
        snapshot=found.snapshot,
        reasons=found.reasons,
        rows=sum(outcomes.values()),
        outcomes=outcomes,
        calls=systems.counts.take(),
    )


_LINE_COUNTS = text(
    """SELECT outcome, count(*) AS lines FROM plan_line
        WHERE run_id = :run AND tenant_id = :tenant GROUP BY outcome"""
)
# Beside the lines a run would have: whatever waits for a person, as the run found it.
_PREVIEW_LINES = text(
    """
    SELECT event_id, internal_id, action, outcome, reason, before, after FROM plan_line
     WHERE run_id = :run AND tenant_id = :tenant
     UNION ALL
    SELECT k.event_id, c.internal_id, 'none', c.state, c.reason,
           CASE WHEN c.found_value IS NOT NULL THEN jsonb_build_object('completion', c.found_value) END,
           jsonb_build_object('completion', c.completed_on, 'field', c.field)
      FROM completion c JOIN course k ON k.id = c.course_id
     WHERE c.tenant_id = :tenant AND (c.seen_run = :run OR c.state = 'no_date')
       AND c.state IN ('conflict', 'orphan', 'no_date', 'rejected', 'failed')
       AND NOT EXISTS (SELECT 1 FROM plan_line l WHERE l.run_id = :run AND l.completion_id = c.id)
     ORDER BY 1, 2
    """
)


# The same statements then work on copies: a preview and the runs beside it never wait for each other.
_COPIES = """
CREATE TEMP TABLE completion (LIKE public.completion INCLUDING ALL) ON COMMIT DROP;
CREATE TEMP TABLE plan_line (LIKE public.plan_line INCLUDING ALL) ON COMMIT DROP;
CREATE TEMP TABLE message (LIKE public.message INCLUDING ALL) ON COMMIT DROP;
"""
_FILL = text("INSERT INTO completion OVERRIDING SYSTEM VALUE SELECT * FROM public.completion WHERE tenant_id = :tenant")
_NUMBER = text(
    "SELECT setval(pg_get_serial_sequence('pg_temp.completion', 'id'), (SELECT max(id) + 1 FROM completion))"
)


@contextmanager
def _rehearsal(tenant_id: int) -> Iterator[Connection]:
    """A transaction on copies of the tables a run writes; rolled back at the end."""
    with engine().connect().execution_options(**{COPIES: True}) as connection:
        transaction = connection.begin()
        try:
            for statement in _COPIES.strip().split(";\n"):
                connection.execute(text(statement))
            connection.execute(_FILL, {"tenant": tenant_id})
            connection.execute(_NUMBER)
            yield connection
        finally:
            transaction.rollback()
