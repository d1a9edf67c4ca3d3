"""Read one event of a GetConnector, page by page, by key; and notice when the reading can't be trusted.

Each page but the first asks for "internal id ≥ the last one": the row that ended a page comes again, so nothing can
hide in the seam, and doubled rows stay together. Rows of that last key are kept back until the next page shows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import settings
from clients.afas import MAX_TAKE, AfasClient, Condition, Operator, page_size
from clients.errors import Rejected, TooLarge, Unavailable
from clients.http import waiting
from models.afas_values import person_number
from models.tenant_settings import FieldMap

RETRY_WAITS_SECONDS: tuple[float, ...] = (2, 10, 30)
SILENT_DEFAULT = 100  # rows AFAS gives when `take` does not reach it
# Columns that a connector is taken to have as long as none of its pages was seen.
UNSEEN_WIDTH = 600
MAX_RESTARTS = 2
# One row as AFAS gave it: the customer chooses its columns, and a value may be any JSON.
AfasRow = Mapping[str, Any]
T = TypeVar("T")


class Restart(Exception):
    """The roster moved while it was read, or a page lied: throw everything away and read from the start."""


class Partial(Exception):
    """A page still failed after all tries; what was read before is good."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Evidence:
    """What was noticed while reading. Any reason makes the snapshot suspect."""

    reasons: list[str] = field(default_factory=list)
    pages: int = 0

    def note(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def number(value: object) -> int | None:
    """An internal id as AFAS orders it; None when it is no whole number."""
    if value.__class__ is int:  # as nearly all of them are
        return value if 0 < value < 10**18 else None
    found = person_number(value)
    return int(found) if found is not None else None


class EventReader:
    """Reads the rows of one event (of one person when ``internal_id`` is given)."""

    def __init__(
        self,
        afas: AfasClient,
        connector: str,
        fields: FieldMap,
        event_id: str,
        *,
        internal_id: str | None = None,
        check: Callable[[], None] = lambda: None,
        restarts_left: int = 0,
        width: int | None = None,
        given: Sequence[AfasRow] | None = None,
    ) -> None:
        """Args:
        check: called before the first page and before a page is asked for again. Who takes the pages asks in between.
        width: the connector's columns as last seen; a page is rows times columns, and AFAS limits that.
        given: all rows of the event, read before; too many for a page are read again.
        """
        self.afas = afas
        self.connector = connector
        self.event_column, self.key_column = fields.event_id, fields.internal_id
        self.event_id = event_id
        self.internal_id = internal_id
        self.check = check
        self.restarts_left = restarts_left
        self.evidence = Evidence()
        self.width = width
        self.most = settings.get().max_event_rows
        self._largest = MAX_TAKE
        self.take = min(self._largest, page_size(width or UNSEEN_WIDTH))
        self._seam = False
        self._given = given if given is not None and len(given) < self.take else None

    def pages(self) -> Iterator[list[AfasRow]]:
        """Yield the rows, each once, in pages. Raises Restart, Partial, or what the client says of the whole tenant.

        Ends with a reason in ``evidence`` where a source would go on for ever.
        """
        held: list[AfasRow] = []
        before: Sequence[AfasRow] = ()
        cursor: int | None = None
        skip = read = 0
        while True:
            self._seam = cursor is not None and skip == 0
            rows = self._page(cursor, skip)
            self.evidence.pages += 1
            last_page = len(rows) < self.take and len(rows) != SILENT_DEFAULT
            keys = [number(row.get(self.key_column)) for row in rows]
            known = [key for key in keys if key is not None]
            self._note_order(known, cursor)
            highest = max(known, default=None)
            read += len(rows)
            if endless := self._endless(rows, before, highest, cursor, read):
                self.evidence.note(endless)
                yield held
                return
            before = rows
            if held and rows and keys[0] == cursor and skip == 0:
                held = []  # they came again, with whatever doubles followed them
            if last_page:
                self._fit_take(rows)
                yield held + list(rows)
                return
            if highest is None or highest == cursor:
                # No key to go on from, or a whole page of one key: step through it.
                skip += len(rows)
                yield held + list(rows)
                held = []
                continue
            yield held + [row for row, key in zip(rows, keys, strict=True) if key != highest]
            held = [row for row, key in zip(rows, keys, strict=True) if key == highest]
            cursor, skip = highest, 0
            self._fit_take(rows)

    def _endless(
        self, rows: Sequence[AfasRow], before: Sequence[AfasRow], highest: int | None, cursor: int | None, read: int
    ) -> str | None:
        """Why to stop asking a source that does not come to an end."""
        if read > self.most:
            return "too_many_rows"
        if rows and (rows == before or (highest is not None and cursor is not None and highest < cursor)):
            return "same_page"  # whatever is asked, it gives what it gave
        return None

    def _note_order(self, known: Sequence[int], cursor: int | None) -> None:
        if cursor is not None and known and min(known) < cursor:
            self._odd("read_twice")
        if cursor is not None and self._seam and cursor not in known:
            # The row that ended the last page must begin this one, unless it was just deleted or this page lies.
            self._odd("gap")
        if known != sorted(known):
            self.evidence.note("key_order")

    def _odd(self, reason: str) -> None:
        if self.restarts_left > 0:
            raise Restart
        self.evidence.note(reason)

    def _fit_take(self, rows: Sequence[AfasRow]) -> None:
        if rows:
            self.width = max(map(len, rows))
            self.take = min(self._largest, page_size(self.width))

    def where(self, cursor: int | None) -> list[Condition]:
        """This event, this person if only one is asked, from the cursor on."""
        conditions = [Condition(self.event_column, Operator.EQUAL, self.event_id)]
        if self.internal_id is not None:
            conditions.append(Condition(self.key_column, Operator.EQUAL, self.internal_id))
        elif cursor is not None:
            conditions.append(Condition(self.key_column, Operator.AT_LEAST, str(cursor)))
        return conditions

    def _page(self, cursor: int | None, skip: int) -> Sequence[AfasRow]:
        if (given := self._given) is not None:
            self._given = None
            return given
        waits = iter(RETRY_WAITS_SECONDS)
        while True:
            if not self.evidence.pages:
                self.check()
            try:
                return self.afas.rows(
                    self.connector,
                    take=self.take,
                    skip=skip,
                    order_by=[self.event_column, self.key_column],
                    where=[self.where(cursor)],
                )
            except TooLarge as error:
                if self.take == 1:
                    raise Partial(error.code) from error
                self.take = self._largest = max(1, self.take // 2)
            except (Unavailable, Rejected) as error:
                wait = next(waits, None)
                if wait is None:
                    raise Partial(error.code) from error
                sleep(max(wait, min(error.retry_after_seconds or 0, 60)), self.check)


def patiently(call: Callable[[], T], check: Callable[[], None]) -> T:
    """Call once more after 2, 10 and 30 s, or what the system asks for, while it is unavailable; then raise that."""
    waits = iter(RETRY_WAITS_SECONDS)
    while True:
        try:
            return call()
        except Unavailable as error:
            wait = next(waits, None)
            if wait is None:
                raise
            sleep(max(wait, min(error.retry_after_seconds or 0, 60)), check)


def sleep(seconds: float, check: Callable[[], None]) -> None:
    """Wait, but hear within a second that the run was stopped."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        with waiting:
            time.sleep(min(left, 1.0))
