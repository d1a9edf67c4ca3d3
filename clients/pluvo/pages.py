"""Walk a listing of Pluvo to its end, and know whether it was the end.

Rows may move between pages while we read: whoever is archived on page 1 lets everybody behind move up, and the first of
page 2 is never seen. How stable a cursor is then is not documented. So a pass counts as whole only when Pluvo's count
held from its first page to its last and the rows of that very pass reach it; else the listing is walked again. What a
few passes don't make whole is :class:`Incomplete`: its rows are good, but who is not among them may exist all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from clients.errors import PLUVO, Incomplete
from clients.pluvo.records import Page

Row = TypeVar("Row")
Fetch = Callable[[str | None], Page]

MAX_ROWS_WITHOUT_COUNT = 5_000_000
PASSES = 2
PASSES_WHILE_ROWS_MOVE = 4


@dataclass
class _Pass:
    """One way through the listing. ``marks`` are hashes: a listing can be long."""

    marks: set[int] = field(default_factory=set)
    numbers: Counter[int] = field(default_factory=Counter)
    counts: set[int] = field(default_factory=set)
    count: int | None = None
    rows: int = 0
    unread: int = 0
    ended: bool = False

    @property
    def moved(self) -> bool:
        """Tell whether Pluvo's count changed on the way."""
        return len(self.counts) > 1

    @property
    def missing(self) -> int:
        """Count the rows that were not given, as far as the listing tells."""
        return max((self.count or 0) - len(self.marks), self.unread, 0)

    @property
    def whole(self) -> bool:
        """Tell whether these were all."""
        return self.ended and not self.moved and not self.missing


class Walk(Generic[Row]):
    """One listing. ``read`` makes a row of a node (None: it counts, but there is nothing to give).

    ``identify`` says by what a row is recognised. ``twins`` is for rows without an id: equal rows are then different
    ones within a pass, and the n-th of them is the same as the n-th in the next pass. ``total`` is Pluvo's last count.
    """

    def __init__(
        self,
        fetch: Fetch,
        read: Callable[[dict[str, object]], Row | None],
        identify: Callable[[Row], Hashable],
        *,
        twins: bool = False,
    ) -> None:
        self._fetch = fetch
        self._read = read
        self._identify = identify
        self._twins = twins
        self._given: set[int] = set()
        self.total: int | None = None

    def pages(self) -> Iterator[tuple[list[Row], int | None]]:
        """Give the rows not given before, with the count, page by page.

        Raises ``Incomplete("listing_incomplete")`` at the end when no pass was whole.
        """
        passed = 0
        while True:
            current = _Pass()
            yield from self._one_pass(current)
            passed += 1
            if current.whole:
                return
            if passed >= (PASSES_WHILE_ROWS_MOVE if current.moved else PASSES):
                break
        raise Incomplete(
            "listing_incomplete",
            f"Pluvo's list was not whole in {passed} passes: the last gave {len(current.marks)} rows"
            f" where it counts {'more' if current.count is None else current.count}"
            + (f", and {current.unread} could not be read." if current.unread else "."),
            missing=max(current.missing, 1),
            system=PLUVO,
        )

    def _one_pass(self, current: _Pass) -> Iterator[tuple[list[Row], int | None]]:
        cursor: str | None = None
        cursors: set[str] = set()
        while True:
            page = self._fetch(cursor)
            current.rows += len(page.nodes) + page.unread
            current.unread += page.unread
            if page.count is not None:
                current.count = self.total = page.count
                current.counts.add(page.count)
            yield [row for row in (self._fresh(node, current) for node in page.nodes) if row is not None], page.count
            if not page.has_next:
                current.ended = True
                return
            cursor = page.next_cursor
            limit = 2 * page.count + 100 if page.count is not None else MAX_ROWS_WITHOUT_COUNT
            empty = not page.nodes and not page.unread
            if cursor is None or cursor in cursors or empty or current.rows > limit:
                return
            cursors.add(cursor)

    def _fresh(self, node: dict[str, object] | None, current: _Pass) -> Row | None:
        """Give the row of a node when it was not given before, and remember it. One in another shape is unread."""
        try:
            row = None if node is None else self._read(node)
        except (ValueError, KeyError, TypeError, AttributeError):
            current.unread += 1
            return None
        mark = hash(None if row is None else self._identify(row))
        if self._twins or row is None:
            current.numbers[mark] += 1
            mark = hash((mark, current.numbers[mark]))
        current.marks.add(mark)
        if mark in self._given:
            return None
        self._given.add(mark)
        return row
