"""Look at some rows of an event as a run would read them: what is wrong with them shows before the first run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from clients.afas import AfasClient, Condition, Operator, page_size
from models.course import Course
from models.folding import fold_space
from models.translate import REPLACED, Record, translate
from ops.tenants.check_findings import Finding, fault, warning

ROWS = 200
# Rows that may be anybody's
_NOBODYS = {"no_internal_id": "id_unreadable", "other_event": "other_event"}


def sample(afas: AfasClient, course: Course, columns: int) -> Iterator[Finding]:
    """Read one page of the event; each kind of trouble is a finding."""
    name = f"sample page (event {course.event_id})"
    event, key = course.fields.event_id, course.fields.internal_id
    where = [[Condition(event, Operator.EQUAL, course.event_id)]]
    rows = afas.rows(course.getconnector, take=min(ROWS, page_size(columns)), order_by=[event, key], where=where)
    if not rows:
        if afas.rows(course.getconnector, take=1, order_by=[event, key]):
            yield warning(name, "event_empty", f"the GetConnector gives no rows for event {course.event_id}")
        else:
            yield fault(name, "no_rows", "the GetConnector gives no rows at all")
        return
    replaced = sorted(column for column in course.fields.columns() if any(_replaced(row.get(column)) for row in rows))
    if replaced:
        yield fault(name, "column_replaced", f"AFAS fills {', '.join(replaced)} with {REPLACED}")
        return
    today = datetime.now(UTC).date()
    records = [translate(row, course.fields, course.event_id, today) for row in rows]
    found = [*_unusable(name, records), *_order(name, records, course), *_doubles(name, records)]
    yield from found or [Finding(name, True)]


def _replaced(value: Any) -> bool:
    return value is not None and fold_space(value).casefold() == REPLACED


def _unusable(name: str, records: Sequence[Record]) -> Iterator[Finding]:
    reasons = Counter(record.reason for record in records if record.reason)
    for reason, code in _NOBODYS.items():
        if count := reasons.pop(reason, 0):
            yield warning(name, code, f"{count} of {len(records)} rows: {reason}")
    if reasons:
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        yield warning(name, "rows_rejected", f"of {len(records)} rows can't be used: {told}")


def _order(name: str, records: Sequence[Record], course: Course) -> Iterator[Finding]:
    known = [int(record.internal_id) for record in records if record.internal_id is not None]
    if any(later < earlier for earlier, later in pairwise(known)):
        yield warning(name, "id_is_text", f"AFAS does not sort {course.fields.internal_id} by number")


def _doubles(name: str, records: Sequence[Record]) -> Iterator[Finding]:
    versions: dict[str, set[tuple[str | None, ...]]] = defaultdict(set)
    count = 0
    for record in records:
        if record.internal_id is not None:
            count += 1
            versions[record.internal_id].add((record.fingerprint, record.row_state, record.completion))
    contradictory = sum(len(found) > 1 for found in versions.values())
    if contradictory:
        yield fault(name, "contradictory_rows", f"{contradictory} people have rows that differ: none of them is used")
    elif len(versions) < count:
        yield warning(name, "double_rows", "the GetConnector gives one enrollment more than once")
