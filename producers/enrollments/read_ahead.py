"""Many small events in few pages: a walk through the connector from which each event takes its rows in turn.

It gives the rows of an event only where they are as good as those of a page of their own: in order, nothing between two
pages that could be missing (each begins with the row that ended the one before), all of the event seen. Whatever looks
odd ends the walk, and the events from there on are read one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf
from typing import NamedTuple

from sqlalchemy import text

from clients.afas import MAX_TAKE, AfasClient, Condition, Operator, page_size
from clients.errors import Misconfigured, Rejected, TooLarge, Unavailable
from models.course import Course
from models.session import transaction
from producers.event_reader import SILENT_DEFAULT, UNSEEN_WIDTH, AfasRow, number

Key = tuple[int, int]
_NOW = text("SELECT clock_timestamp()")
# A walk is worth it from so many events a page.
EVENTS_A_PAGE = 2


class Ahead(NamedTuple):
    """All rows of an event, and when reading them began."""

    rows: Sequence[AfasRow]
    read_at: datetime


class ReadAhead:
    """Walks through the events of courses that share a connector; ask for them from the lowest to the highest."""

    def __init__(self, afas: AfasClient, courses: Sequence[Course], check: Callable[[], None]) -> None:
        first = courses[0]
        self.afas, self.check = afas, check
        self.connector = first.getconnector
        self.event_column, self.key_column = first.fields.event_id, first.fields.internal_id
        self.wanted = {int(course.event_id) for course in courses}
        self._highest = max(self.wanted)
        self._take = _page_of(courses)
        # More pages than that would be no gain: there are more rows between the events than was thought
        self._pages_left = 1 + len(courses) // EVENTS_A_PAGE
        # The row that ended the last page: it begins the next one
        self._last: Key | None = None
        self._rows: dict[int, list[AfasRow]] = defaultdict(list)
        self._read_at: dict[int, datetime] = {}
        # Events below this one were seen to their end
        self._seen_below: float = 0
        self._over = False

    def take(self, course: Course) -> Ahead | None:
        """The rows of a course's event; None where it must be read by itself, also where there are none."""
        event = int(course.event_id)
        while event in self.wanted and self._seen_below <= event and not self._over and self._pages_left:
            self._pages_left -= 1
            self._read_page()
        rows, read_at = self._rows.pop(event, None), self._read_at.get(event)
        if event not in self.wanted or self._seen_below <= event or not rows or read_at is None:
            return None
        return Ahead(rows, read_at)

    def _read_page(self) -> None:
        began = postgres_now()
        self.check()
        try:
            rows = self.afas.rows(
                self.connector,
                take=self._take,
                order_by=[self.event_column, self.key_column],
                where=self._where(),
            )
        except (TooLarge, Unavailable, Rejected, Misconfigured):
            self._over = True  # what is wrong is told where an event is read by itself
            return
        keys = [(number(row.get(self.event_column)) or 0, number(row.get(self.key_column)) or 0) for row in rows]
        last_page = len(rows) < self._take and len(rows) != SILENT_DEFAULT
        whole = self._last is None or keys[:1] == [self._last]
        stuck = not last_page and keys[0] == keys[-1]
        if not whole or stuck or keys != sorted(keys) or any(0 in key for key in keys):
            self._over = True
            return
        for key, row in zip(keys, rows, strict=True):
            if key[0] in self.wanted and (last_page or key != keys[-1]):  # the last one comes again
                self._keep(key[0], row, began)
        self._over = last_page
        self._seen_below = inf if last_page else keys[-1][0]
        if not last_page:
            self._last = keys[-1]
            self._take = page_size(max(map(len, rows)))

    def _keep(self, event: int, row: AfasRow, began: datetime) -> None:
        self._read_at.setdefault(event, began)
        self._rows[event].append(row)
        if len(self._rows[event]) >= MAX_TAKE:  # large enough for pages of its own
            self.wanted.discard(event)
            del self._rows[event]

    def _where(self) -> list[list[Condition]]:
        upper = Condition(self.event_column, Operator.AT_MOST, str(self._highest))
        if self._last is None:
            return [[Condition(self.event_column, Operator.AT_LEAST, str(min(self.wanted))), upper]]
        event, person = map(str, self._last)
        same = Condition(self.event_column, Operator.EQUAL, event)
        return [
            [Condition(self.event_column, Operator.GREATER, event), upper],
            [same, Condition(self.key_column, Operator.AT_LEAST, person)],
        ]


def many_at_once(afas: AfasClient, courses: Sequence[Course], rows: int, check: Callable[[], None]) -> ReadAhead | None:
    """A walk for the courses of the connector that most share, where it takes few pages for many events.

    ``rows``: how many that connector has, as far as is known; 0: not known. A walk that is longer than that ends early.
    """
    shared: dict[tuple[str, str, str], list[Course]] = defaultdict(list)
    for course in courses:
        shared[course.getconnector, course.fields.event_id, course.fields.internal_id].append(course)
    most = max(shared.values(), key=len, default=[])
    worth = rows and len(most) > EVENTS_A_PAGE * (1 + rows // _page_of(most))
    return ReadAhead(afas, most, check) if worth else None


def _page_of(courses: Sequence[Course]) -> int:
    """How many rows to ask for."""
    return page_size(max((course.width or 0 for course in courses), default=0) or UNSEEN_WIDTH)


def postgres_now() -> datetime:
    """PostgreSQL's time: what a reading is compared with was written down by other machines, with other clocks."""
    with transaction() as connection:
        found: datetime = connection.execute(_NOW).scalar_one()
    return found
