"""A listing is either whole or said to be incomplete, however rows move while it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import Incomplete, Unavailable
from clients.pluvo.pages import Walk
from clients.pluvo.records import Page


def fetcher(*answers: Page) -> Callable[[str | None], Page]:
    waiting = list(answers)
    return lambda cursor: waiting.pop(0)


def page(*ids: str, count: int | None, cursor: str | None = None) -> Page:
    return Page([{"id": each} for each in ids], count, cursor, cursor is not None)


def walk(fetch: Callable[[str | None], Page], *, twins: bool = False) -> list[str]:
    rows = Walk(fetch, lambda node: str(node["id"]), lambda row: row, twins=twins).pages()
    return [row for found, _ in rows for row in found]


@given(st.lists(st.integers(), unique=True), st.integers(1, 7))
def test_every_row_of_a_quiet_listing_comes_exactly_once_and_in_order(ids: list[int], size: int) -> None:
    def fetch(cursor: str | None) -> Page:
        start = int(cursor or 0)
        end = start + size
        return page(*map(str, ids[start:end]), count=len(ids), cursor=str(end) if end < len(ids) else None)

    assert walk(fetch) == [str(each) for each in ids]


@given(st.lists(st.sampled_from("abc"), max_size=20), st.integers(1, 4))
def test_equal_rows_without_an_id_are_all_given(rows: list[str], size: int) -> None:
    def fetch(cursor: str | None) -> Page:
        start = int(cursor or 0)
        end = start + size
        return page(*rows[start:end], count=len(rows), cursor=str(end) if end < len(rows) else None)

    assert walk(fetch, twins=True) == rows


def test_a_row_met_on_two_pages_is_given_once() -> None:
    assert walk(fetcher(page("a", "b", count=3, cursor="1"), page("b", "c", count=3))) == ["a", "b", "c"]


def test_a_short_listing_is_walked_again_and_only_the_missing_row_is_given() -> None:
    short = [page("a", "b", count=3, cursor="1"), page(count=3)]
    whole = [page("a", "b", count=3, cursor="1"), page("c", count=3)]

    assert walk(fetcher(*short, *whole)) == ["a", "b", "c"]


def test_a_short_listing_of_rows_without_id_is_walked_again_without_doubling() -> None:
    assert walk(fetcher(page("a", "a", count=3), page("a", "a", "a", count=3)), twins=True) == ["a", "a", "a"]


def test_a_count_that_changes_on_the_way_means_that_rows_moved() -> None:
    moved = [page("a", count=3, cursor="1"), page("c", count=2)]
    quiet = [page("b", count=2, cursor="1"), page("c", count=2)]

    assert walk(fetcher(*moved, *quiet)) == ["a", "c", "b"]


@given(st.data(), st.integers(4, 30), st.integers(1, 5))
def test_nobody_who_stays_is_missed_when_others_leave_while_we_read(data: st.DataObject, rows: int, size: int) -> None:
    """Cursors are positions, as Relay's are: whoever leaves lets everybody behind move up, and out of sight."""
    there = [str(number) for number in range(rows)]
    leaves = data.draw(st.lists(st.integers(0, rows), max_size=3))

    def fetch(cursor: str | None) -> Page:
        start = int(cursor or 0)
        end = start + size
        given = page(*there[start:end], count=len(there), cursor=str(end) if end < len(there) else None)
        if leaves and (place := leaves.pop()) < len(there):
            del there[place]
        return given

    found = set(walk(fetch))

    assert set(there) <= found


def test_a_listing_that_never_holds_still_is_incomplete_after_some_passes() -> None:
    asked: list[str | None] = []

    def fetch(cursor: str | None) -> Page:
        asked.append(cursor)
        return page("a", count=1000 - len(asked)) if cursor else page("b", count=1000 - len(asked), cursor="1")

    with pytest.raises(Incomplete):
        walk(fetch)

    assert len(asked) == 8


def test_a_count_that_is_off_gives_all_rows_and_how_many_are_missing() -> None:
    assert walk_whatever_comes(lambda cursor: page("a", "b", count=3)) == (["a", "b"], 1)


@pytest.mark.parametrize("unread", [Page([{"id": "a"}], 2, None, False, 1), page("a", "", count=2)])
def test_a_row_that_cannot_be_read_costs_only_itself(unread: Page) -> None:
    assert walk_whatever_comes(lambda cursor: unread) == (["a"], 1)


def walk_whatever_comes(fetch: Callable[[str | None], Page]) -> tuple[list[str], int]:
    rows: list[str] = []
    try:
        for found, _ in Walk(fetch, read_id, lambda row: row).pages():
            rows += found
    except Incomplete as error:
        return rows, error.missing
    return rows, 0


def read_id(node: dict[str, Any]) -> str:
    if not node["id"]:
        raise ValueError("no id")
    return str(node["id"])


def test_a_server_without_a_count_is_believed() -> None:
    assert walk(fetcher(page("a", count=None))) == ["a"]


def test_an_erased_row_counts() -> None:
    erased = Page([{"id": "a"}, None, None], 3, None, False)

    assert walk(fetcher(erased)) == ["a"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda cursor: page("a", count=9, cursor="again"),
        lambda cursor: Page([{"id": "a"}], 9, None, True),
        lambda cursor: page(count=9, cursor=f"{cursor}+"),
        lambda cursor: page("a", count=9, cursor=f"{cursor}+"),
        lambda cursor: page("a", count=2),
    ],
    ids=["same cursor", "no cursor", "empty pages", "same rows for ever", "fewer than count"],
)
@pytest.mark.parametrize("twins", [False, True])
def test_a_listing_that_does_not_end_well_twice_is_incomplete(answer: Any, twins: bool) -> None:
    with pytest.raises(Unavailable) as caught:
        walk(answer, twins=twins)

    assert caught.value.code == "listing_incomplete"


def test_a_cursor_that_comes_back_ends_the_pass_at_once() -> None:
    asked: list[str | None] = []

    def fetch(cursor: str | None) -> Page:
        asked.append(cursor)
        return page(f"{len(asked)}", count=1000, cursor="again")

    with pytest.raises(Unavailable):
        walk(fetch)

    assert asked == [None, "again"] * 2
