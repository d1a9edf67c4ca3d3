"""Look at some rows of an event as a run would read them: what is wrong with them shows before the first run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from clients.afas import MAX_TAKE, AfasClient, Condition, Operator, page_size
from clients.errors import TooLarge
from models.course import Course
from models.folding import fold_space
from models.translate import REPLACED, Record, translate
from ops.tenants.check_findings import Finding, fault, warning

ROWS = 200
# What AFAS gives where it is not asked for a number; also where something on the way forgets ours.
USUAL_PAGE = 100
# Rows that may be anybody's
_NOBODYS = {"no_internal_id": "id_unreadable", "other_event": "other_event"}


def sample(afas: AfasClient, course: Course, columns: int) -> Iterator[Finding]:
    """Read one page of the event; each kind of trouble is a finding."""
    name = f"sample page (event {course.event_id})"
    event, key = course.fields.event_id, course.fields.internal_id
    where = [[Condition(event, Operator.EQUAL, course.event_id)]]
    take = min(ROWS, page_size(columns))
    rows = afas.rows(course.getconnector, take=take, order_by=[event, key], where=where)
    if not rows:
        if afas.rows(course.getconnector, take=1, order_by=[event, key]):
            yield warning(name, "event_empty", event=course.event_id)
        else:
            yield fault(name, "no_rows", connector=course.getconnector)
        return
    replaced = sorted(column for column in course.fields.columns() if any(_replaced(row.get(column)) for row in rows))
    if replaced:
        yield fault(name, "column_replaced", connector=course.getconnector, columns=replaced)
        return
    today = datetime.now(UTC).date()
    records = [translate(row, course.fields, course.event_id, today) for row in rows]
    found = [*_unusable(name, records), *_order(name, records, course), *_doubles(name, records)]
    yield from found or [Finding(name, True)]


def whole_page(afas: AfasClient, course: Course, columns: int) -> Iterator[Finding]:
    """Ask the connector for as many rows as a run will, and whether fewer are really all there are."""
    name = f"whole page ({course.getconnector})"
    order = [course.fields.event_id, course.fields.internal_id]
    take = wanted = page_size(columns)
    if wanted < MAX_TAKE:
        yield warning(name, "many_columns", columns=columns, take=wanted)
    while True:
        try:
            rows = afas.rows(course.getconnector, take=take, order_by=order)
            break
        except TooLarge:
            if take == 1:
                raise
            take //= 2
    if take < wanted:
        yield warning(name, "page_halved", asked=wanted, columns=columns, count=take)
    if (
        0 < len(rows) < take
        and len(rows) <= USUAL_PAGE
        and afas.rows(course.getconnector, take=1, skip=len(rows), order_by=order)
    ):
        yield fault(name, "page_cut", count=len(rows))
    elif wanted == MAX_TAKE == take:
        yield Finding(name, True)


def _replaced(value: Any) -> bool:
    return value is not None and fold_space(value).casefold() == REPLACED


def _unusable(name: str, records: Sequence[Record]) -> Iterator[Finding]:
    reasons = Counter(record.reason for record in records if record.reason)
    for reason, code in _NOBODYS.items():
        if count := reasons.pop(reason, 0):
            yield warning(name, code, count=count, rows=len(records))
    if reasons:
        told = [f"{count} {reason}" for reason, count in reasons.most_common()]
        yield warning(name, "rows_rejected", rows=len(records), reasons=told)


def _order(name: str, records: Sequence[Record], course: Course) -> Iterator[Finding]:
    known = [int(record.internal_id) for record in records if record.internal_id is not None]
    if any(later < earlier for earlier, later in pairwise(known)):
        yield warning(name, "id_is_text", column=course.fields.internal_id)


def _doubles(name: str, records: Sequence[Record]) -> Iterator[Finding]:
    versions: dict[str, set[tuple[str | None, ...]]] = defaultdict(set)
    count = 0
    for record in records:
        if record.internal_id is not None:
            count += 1
            versions[record.internal_id].add((record.fingerprint, record.row_state, record.completion))
    contradictory = sum(len(found) > 1 for found in versions.values())
    if contradictory:
        yield fault(name, "contradictory_rows", count=contradictory)
    elif len(versions) < count:
        yield warning(name, "double_rows")
