"""Which events a GetConnector has, with how many people, from one walk through all its rows.

It only finds events: whether the listing of one can be trusted, and who left it, is judged where that event is read by
itself. So a walk that ended early costs nothing but events that are found later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from clients.afas import MAX_TAKE, AfasClient, Condition, Operator, page_size
from clients.errors import AFAS, Misconfigured, Rejected, TooLarge, Unavailable
from models.afas_values import event_number
from models.course_settings import DefaultFields
from models.folding import fold_space
from models.translate import missing_columns
from producers.event_reader import SILENT_DEFAULT, UNSEEN_WIDTH, AfasRow, number, patiently

Key = tuple[int, int]


@dataclass
class AfasEvent:
    """An event as its rows show it. ``values``: columns that say the same in all rows that say something."""

    event_id: str
    people: int = 0
    values: dict[str, str] = field(default_factory=dict)
    # Columns that say different things
    unclear: set[str] = field(default_factory=set)


@dataclass
class EventList:
    """What was found. ``failed``: a code, when the walk ended early; then there may be more events."""

    events: dict[str, AfasEvent] = field(default_factory=dict)
    # Columns that were asked for, and that rows lack
    missing: set[str] = field(default_factory=set)
    failed: str | None = None


class EventLister:
    """Walks through a GetConnector by key: each page is asked for from the last key of the one before."""

    def __init__(
        self,
        afas: AfasClient,
        connector: str,
        fields: DefaultFields,
        *,
        columns: Sequence[str] = (),
        between: tuple[int, int] | None = None,
        width: int | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Args: ``columns``: whose values are wanted. ``between``: the lowest and the highest event. ``width``: the
        connector's columns as last seen.
        """
        self.afas, self.connector = afas, connector
        self.event_column, self.key_column = str(fields.event_id), str(fields.internal_id)
        self.columns = columns
        self.between = between
        self.check = check
        self.found = EventList()
        self._largest = MAX_TAKE
        self._take = page_size(width or UNSEEN_WIDTH)
        self._skip = 0
        self._last: Key | None = None

    def read(self) -> EventList:
        """Walk to the end. Raises only what concerns the whole tenant (``Unauthorized``)."""
        try:
            for rows in self._pages():
                self._note(rows)
        except (Unavailable, Rejected, Misconfigured) as error:
            self.found.failed = error.code
        return self.found

    def _note(self, rows: Sequence[AfasRow]) -> None:
        before: Key | None = None
        for row in rows:
            if (event_id := event_number(row.get(self.event_column))) is None:
                continue
            key = self._key(row)
            event = self.found.events.setdefault(event_id, AfasEvent(event_id))
            # Rows of one person stand together.
            event.people += key is None or key != before
            before = key
            self.found.missing.update(missing_columns(row, self.columns))
            for column in self.columns:
                if (value := _text(row.get(column))) and event.values.setdefault(column, value) != value:
                    event.unclear.add(column)

    def _pages(self) -> Iterator[Sequence[AfasRow]]:
        while True:
            rows = self._page()
            over = len(rows) < self._take and len(rows) != SILENT_DEFAULT
            keys = [key for key in map(self._key, rows) if key is not None]
            again = self._last is not None and any(key <= self._last for key in keys)
            if again or not (over or keys or self._skip == 0):
                raise Misconfigured("same_page", "AFAS gives rows that lead no further.", system=AFAS)
            yield rows
            if over:
                return
            # Rows without a key come first: step over them once.
            self._last, self._skip = (max(keys), 0) if keys else (self._last, len(rows))
            self._take = min(self._largest, page_size(max(map(len, rows))))

    def _key(self, row: AfasRow) -> Key | None:
        event, person = number(row.get(self.event_column)), number(row.get(self.key_column))
        return (event, person) if event is not None and person is not None else None

    def _page(self) -> Sequence[AfasRow]:
        while True:
            self.check()
            try:
                return patiently(self._ask, self.check)
            except TooLarge as error:
                if self._take == 1:
                    raise Unavailable(error.code, error.message, system=error.system) from error
                self._take = self._largest = max(1, self._take // 2)

    def _ask(self) -> Sequence[AfasRow]:
        return self.afas.rows(
            self.connector,
            take=self._take,
            skip=self._skip,
            order_by=[self.event_column, self.key_column],
            where=self._where(),
        )

    def _where(self) -> list[list[Condition]]:
        first, last = self.between or (None, None)
        upper = [] if last is None else [Condition(self.event_column, Operator.AT_MOST, str(last))]
        if self._last is None:
            ends = [*upper, *([] if first is None else [Condition(self.event_column, Operator.AT_LEAST, str(first))])]
            return [ends] if ends else []
        event, person = map(str, self._last)
        same = Condition(self.event_column, Operator.EQUAL, event)
        return [
            [Condition(self.event_column, Operator.GREATER, event), *upper],
            [same, Condition(self.key_column, Operator.GREATER, person)],
        ]


def _text(value: Any) -> str:
    """A value as part of a ref or a title; empty when there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = fold_space(value)
    return text if text.isprintable() else ""
