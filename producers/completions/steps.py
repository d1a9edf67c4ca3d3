"""The steps after the report was read, shared by a run and its preview: look at AFAS's column, plan, count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from clients.errors import Misconfigured, TooLarge, Unauthorized, Unavailable
from models.completion_state import CompletionState
from models.course import Course
from models.run import CourseResult
from producers.completions.afas_column import judge, note, read_event
from producers.completions.collect import Collected
from producers.completions.planner import Planner, count_quiet, count_rows
from producers.completions.rules import OF_ONE_CONNECTOR, Rule
from producers.event_reader import Partial
from producers.runs.context import RunContext
from tenancy.systems import Systems

# From how many due ones on a course is read as a whole; fewer are looked at one by one, by their actors.
PAGES_FROM = 5
CHUNK = 1000
DUE_STATES = (CompletionState.PENDING, CompletionState.SENDING, CompletionState.FAILED)
SETTLED_STATES = (CompletionState.WRITTEN, CompletionState.CONFLICT)
UNREADABLE = (Unavailable, TooLarge, Partial, Misconfigured)


def courses_to_read(
    context: RunContext, planner: Planner, found: Collected, *, pages_from: int = PAGES_FROM
) -> Iterator[tuple[Course, list[Rule]]]:
    """Courses whose AFAS column is worth reading as a whole: many are due, or something written is unconfirmed."""
    with context.writing() as connection:
        due = planner.due_by_course(connection)
        unconfirmed = planner.unconfirmed_courses(connection)
    for course in found.courses:
        rules = [rule for rule in found.good if rule.course_id == course.id and rule.column and rule.target]
        if rules and (due.get(course.id or 0, 0) >= pages_from or course.id in unconfirmed):
            yield course, rules


def read_values(context: RunContext, systems: Systems, course: Course, rules: Sequence[Rule]) -> None:
    """Read a course's column from AFAS; when that fails the actors read row by row, or wait, by themselves."""
    try:
        for age, values in read_event(context, systems.afas, course, rules):
            with context.writing() as connection:
                note(connection, context.tenant_id, course.id or 0, age, values)
    except UNREADABLE:
        return
    except Unauthorized as error:
        if error.code not in OF_ONE_CONNECTOR:
            raise


def settle_by_column(connection: Connection, planner: Planner, course: Course, rules: Sequence[Rule]) -> None:
    """What AFAS's column settles without a PUT: conflicts, unchanged ones, and what we wrote earlier."""
    planner.settled_lines(connection, judge(connection, planner.tenant_id, rules, DUE_STATES, planner.days))
    judge(connection, planner.tenant_id, rules, SETTLED_STATES)


def plan(context: RunContext, planner: Planner) -> None:
    """One line and one message for each due completion, a thousand a transaction."""
    with context.writing() as connection:
        ids = planner.due_ids(connection)
    for start in range(0, len(ids), CHUNK):
        with context.writing() as connection:
            planned = planner.enqueue(connection, ids[start : start + CHUNK])
        context.progress(planned=planned)


def count(connection: Connection, planner: Planner, found: Collected) -> tuple[dict[str, int], list[CourseResult]]:
    course_ids = [course.id for course in found.courses if course.id is not None]
    quiet = count_quiet(connection, planner, course_ids)
    for course_id, rows in count_rows(connection, planner, course_ids).items():
        if course_id in found.notes:
            found.notes[course_id].rows = rows
    return quiet, [one.as_json() for one in found.notes.values()]
