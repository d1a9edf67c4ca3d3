"""Walk a listing of Pluvo to its end, and know whether it was the end.

Rows may move between pages while we read, and how stable a cursor is then is not documented. So rows are recognised,
the number seen is compared with the last page's ``count``, and a pass that fell short, went in circles or broke off
is walked once more. What is still missing after that makes the listing incomplete, which the caller must know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from clients.errors import Unavailable
from clients.pluvo_records import Page

Row = TypeVar("Row")
Fetch = Callable[[str | None], Page]

MAX_ROWS_WITHOUT_COUNT = 5_000_000


class Walk(Generic[Row]):
    """One listing. ``read`` makes a row of a node (None: it counts, but there is nothing to give).

    ``identify`` says by what a row is recognised. ``twins`` is for rows without an id: equal rows are then different
    ones within a pass, and the n-th of them is the same as the n-th in the next pass.
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
        self._seen: set[int] = set()  # hashes: a listing can be long
        self._complete = False

    def pages(self) -> Iterator[tuple[list[Row], int | None]]:
        """Give the rows not given before, with the count, page by page.

        Raises ``Unavailable("listing_incomplete")`` at the end when two passes did not give all.
        """
        for _ in range(2):
            yield from self._one_pass()
            if self._complete:
                return
        raise Unavailable("listing_incomplete", "Pluvo's list did not come to its end twice.", system="pluvo")

    def _one_pass(self) -> Iterator[tuple[list[Row], int | None]]:
        cursor: str | None = None
        cursors: set[str] = set()
        numbers: Counter[int] = Counter()
        rows = 0
        while True:
            page = self._fetch(cursor)
            rows += len(page.nodes)
            yield [row for row in (self._fresh(node, numbers) for node in page.nodes) if row is not None], page.count
            if not page.has_next:
                self._complete = page.count is None or len(self._seen) >= page.count
                return
            cursor = page.next_cursor
            limit = 2 * page.count + 100 if page.count is not None else MAX_ROWS_WITHOUT_COUNT
            if cursor is None or cursor in cursors or not page.nodes or rows > limit:
                return
            cursors.add(cursor)

    def _fresh(self, node: dict[str, object] | None, numbers: Counter[int]) -> Row | None:
        """Give the row of a node when it was not seen before, and remember it."""
        row = None if node is None else self._read(node)
        mark = hash(None if row is None else self._identify(row))
        if self._twins or row is None:
            numbers[mark] += 1
            mark = hash((mark, numbers[mark]))
        if mark in self._seen:
            return None
        self._seen.add(mark)
        return row
