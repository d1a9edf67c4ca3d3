"""Every way a listing can be wrong, and that no removal follows from it. Pages are small, so that there are several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import settings
from simulators.core.faults import Fault
from tests.fixtures.looking import enrolled, holds, lines, outcomes, reasons
from tests.fixtures.world import World, now_removals


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows a page."""
    monkeypatch.setattr("producers.event_reader.MAX_TAKE", 10)


def _fill(world: World, count: int = 30) -> None:
    world.set_tenant(removals=now_removals(event_count=500, run_count=500, window_count=500))
    for internal_id in range(1, count + 1):
        world.person(internal_id)
    world.sync()


# A page that goes on where another ended asks for ids from one on.
LATER_PAGE = {"operation": "page", "path_contains": "OperatorType%22%3A%222%22"}


@dataclass(frozen=True)
class Case:
    """A fault, the verdict it leads to, and whether somebody new is created all the same."""

    name: str
    fault: dict[str, Any]
    state: str
    reasons: list[str]
    creates: bool = True


CASES = [
    Case("page failed", {"kind": "status", "status": 502}, "partial", ["page_failed"], creates=False),
    Case("second page failed", {"kind": "status", "status": 502, "skip": 1}, "partial", ["page_failed"], creates=False),
    Case("cut line", {"kind": "reset", "skip": 2}, "partial", ["page_failed"], creates=False),
    Case("out of order", {"kind": "shuffled", "seed": 3}, "suspect", ["key_order"]),
    Case(
        "contradictory doubles",
        {"kind": "contradicting", "column": "Naam", "to": "Wie"},
        "suspect",
        ["contradictory"],
        False,
    ),
    Case("column gone", {"kind": "column_missing", "column": "Naam"}, "suspect", ["missing_column"], creates=False),
    Case(
        "column renamed",
        {"kind": "column_renamed", "column": "Email_werk"},
        "suspect",
        ["missing_column"],
        creates=False,
    ),
    Case(
        "field removed in AFAS",
        {"kind": "replaced", "column": "Email_prive"},
        "suspect",
        ["missing_column"],
        creates=False,
    ),
    Case("not JSON", {"kind": "html"}, "suspect", ["not_json"], creates=False),
    Case("redirect", {"kind": "redirect"}, "suspect", ["redirect"], creates=False),
    Case("nothing at all", {"kind": "empty"}, "suspect", ["short"], creates=False),
    Case("later pages empty", {"kind": "empty", "match": LATER_PAGE}, "suspect", ["gap"], creates=False),
]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_listing_has_a_reason_and_removes_nobody(world: World, case: Case) -> None:
    # given people, one who left and one who is new
    _fill(world)
    world.afas.remove(340, 15)
    world.person(31)
    world.person(2, 341)
    world.fault("afas", **({"match": {"operation": "page"}} | case.fault))
    # when
    run = world.sync()
    # then
    assert run.snapshot == case.state
    assert set(case.reasons) <= set(run.reasons)
    assert run.removed == 0
    assert "p15@example.nl" in enrolled(world)
    assert (world.pluvo.find_user(email="p31@example.nl") is not None) is case.creates
    outcomes(run)
    # and the base for what is short is still the last complete one
    assert {row["base_rows"] for row in world.rows("SELECT base_rows FROM course WHERE event_id = '340'")} == {30}
    # then a good run puts it right
    world.clear_faults()
    run = world.sync()
    assert (run.snapshot, holds(world)) == ("complete", [])
    assert world.roster() == world.expected()


def test_other_environment_is_not_acted_on_at_all(world: World) -> None:
    # given
    _fill(world)
    world.afas.remove(340, 15)
    world.person(31)
    world.clear_log()
    world.fault("afas", "other_envid")
    # when
    run = world.sync()
    # then
    assert run.reasons == ["wrong_environment"]
    assert outcomes(run) == {"rejected": 30}
    assert world.writes() == []
    assert world.rows("SELECT * FROM person WHERE internal_id = '31'") == []


@pytest.mark.usefixtures("small_pages")
def test_equal_doubles_count_once_as_unchanged(world: World) -> None:
    _fill(world, 15)
    world.fault("afas", "doubled", count=1, match={"operation": "page", "path_contains": "340"}, skip=1)
    run = world.sync()
    assert run.snapshot == "complete"
    assert outcomes(run) == {"unchanged": 16}


def test_contradictory_rows_of_one_person_change_nothing_about_them(world: World) -> None:
    _fill(world, 5)
    world.fault("afas", "contradicting", column="Naam", to="Wie dan ook", match={"path_contains": "340"})
    run = world.sync()
    assert run.reasons == ["contradictory"]
    assert outcomes(run) == {"unchanged": 4, "rejected": 2}
    assert reasons(world, run)["5"] == ("rejected", "duplicate")
    assert world.user("p5@example.nl")["name"] == "Persoon 5"
    assert "p5@example.nl" in enrolled(world)


@pytest.mark.parametrize("count", [99, 100, 101])
def test_exactly_hundred_rows_are_proven(world: World, count: int) -> None:
    _fill(world, count)
    world.clear_log()
    run = world.sync()
    assert (run.snapshot, run.rows) == ("complete", count)
    pages = [entry for entry in world.calls("afas") if entry.operation == "page" and "340" in entry.query]
    assert len(pages) == (2 if count == 100 else 1)


def test_silent_hundred_is_read_to_the_end(world: World) -> None:
    # given a server that never gives more than a hundred
    _fill(world, 230)
    world.fault("afas", "hundred")
    run = world.sync()
    assert (run.snapshot, run.rows, run.removed) == ("complete", 230, 0)


def test_page_too_large_is_halved_and_goes_on(world: World) -> None:
    # given AFAS that runs out of memory over more than 20 rows of 8 columns
    world.afas.change_switches(cell_limit=20 * 8)
    _fill(world, 50)
    run = world.sync()
    assert (run.snapshot, outcomes(run)) == ("complete", {"unchanged": 50})
    takes = [entry.query.split("take=")[1].split("&")[0] for entry in world.calls("afas") if entry.operation == "page"]
    assert {"1000", "500", "250", "125", "62", "31", "15"} == set(takes)


@pytest.mark.usefixtures("small_pages")
def test_roster_that_moves_while_it_is_read_is_read_again(world: World) -> None:
    # given somebody at the seam of two pages who is deleted in between
    _fill(world, 30)
    world.clear_log()
    original = world.afas.rows[340, 10]
    world.fault("afas", "deleted_between", count=10, times=1, match={"operation": "page", "path_contains": "340"})
    # when
    run = world.sync()
    # then it began anew and saw the smaller roster whole
    assert original.key not in world.afas.rows
    assert run.rows == 20
    pages = [entry for entry in world.calls("afas") if entry.operation == "page" and "340" in entry.query]
    assert len(pages) > 3


@pytest.mark.usefixtures("small_pages")
def test_page_that_failed_once_is_tried_again(world: World) -> None:
    _fill(world, 30)
    world.fault("afas", "status", status=502, skip=1, times=3, match={"operation": "page"})
    run = world.sync()
    assert (run.snapshot, outcomes(run)) == ("complete", {"unchanged": 30})


def test_base_of_short_is_the_last_complete_listing(world: World) -> None:
    _fill(world, 25)
    for internal_id in range(21, 26):
        world.afas.remove(340, internal_id)
    assert world.sync().removed == 5
    assert world.rows("SELECT base_rows FROM course WHERE event_id = '340'") == [{"base_rows": 20}]


def test_dry_run_sends_not_one_write_and_has_the_real_runs_hash(world: World) -> None:
    # given a bit of everything
    _fill(world, 30)
    world.afas.remove(340, 15)
    world.afas.rename(1, "Anders")
    world.afas.set_email(2, "nieuw2@example.nl")
    world.person(31)
    world.person(32, email_primary="kapot")
    world.person(33, email_primary="p1@example.nl")
    world.pluvo.add_user("p34@example.nl", "Persoon 34")
    world.person(34)
    world.clear_log()
    before = _everything(world)
    # when
    preview = world.plan()
    # then
    assert world.writes() == []
    assert _everything(world) == before
    assert (
        preview.rows == sum(preview.outcomes.values()) == len([n for n in preview.lines if n["action"] is not None]) - 1
    )
    assert (preview.removals, preview.adoption) == (1, None)
    run = world.sync()
    assert preview.hash == run.plan_hash
    assert {name: n for name, n in preview.outcomes.items() if n} == outcomes(run)
    assert world.writes() != []


def _everything(world: World) -> list[Any]:
    tables = ("person", "link", "enrollment", "course", "hold", "message", "tenant", "change")
    return [world.rows(f'SELECT * FROM "{table}" ORDER BY id') for table in tables]


def test_first_preview_reports_how_accounts_would_be_adopted(world: World) -> None:
    # given
    for internal_id in range(1, 6):
        world.person(internal_id)
    world.person(6, name="Persoon 5", email_primary="p5@example.nl")
    world.person(7, email_primary="p5@example.nl")
    world.pluvo.add_user("oud@example.org", "Oud", afasContactId="1")
    world.pluvo.add_user("p2@example.nl", "Persoon 2")
    only = world.pluvo.add_user("beheer@example.org", "Beheer")
    # when
    adoption = world.plan().adoption
    # then
    assert adoption is not None
    assert (adoption.by_afas_id, adoption.by_email, adoption.shared) == (1, 1, 1)
    assert (adoption.to_create, adoption.ambiguous) == (3, 1)
    assert [account["pluvo_id"] for account in adoption.only_in_pluvo] == [only["id"]]


def test_row_that_cannot_be_used_stops_nobody(world: World) -> None:
    # given
    world.person(1)
    run = world.sync()
    world.person(2, name=" ")
    world.person(3, email_primary=" ", email_secondary=None)
    world.person(4, email_primary="geen adres")
    world.person(5, email_primary=None, email_secondary=" tweede@example.nl ")
    run = world.sync()
    assert outcomes(run) == {"unchanged": 1, "created": 1, "rejected": 3}
    assert {n: reasons(world, run)[n][1] for n in "234"} == {"2": "no_name", "3": "no_email", "4": "bad_email"}
    assert len(lines(world, run)) == 4
    assert enrolled(world) == {"p1@example.nl", "tweede@example.nl"}


# ------------------------------------------------------------------------------------------- sources without an end


class Endless:
    """A stand-in for one page of AFAS: gives ``make(call number)`` whatever is asked."""

    def __init__(self, make: Callable[[int], list[dict[str, Any]]]) -> None:
        self.make = make
        self.calls = 0

    def __call__(self, rows: list[dict[str, Any]], faults: list[Fault]) -> list[dict[str, Any]]:
        self.calls += 1
        return self.make(self.calls)


def _row(internal_id: int | None) -> dict[str, Any]:
    person = {"CrId": 340, "Intern_ID": internal_id, "Extern_ID": f"1{internal_id}", "Naam": f"Persoon {internal_id}"}
    return person | {"Email_werk": f"p{internal_id}@example.nl", "Email_prive": None, "Voltooid_op": None}


ENDLESS = {
    "the same page": lambda call: [_row(n) for n in range(1, 11)],
    "two pages in turn": lambda call: [_row(n + 10 * (call % 2)) for n in range(1, 11)],
    "one person only": lambda call: [_row(7)] * 10,
    "rows of nobody": lambda call: [_row(None)] * 10,
}


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_a_source_that_repeats_itself_for_ever_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch, make: Callable[[int], list[dict[str, Any]]]
) -> None:
    world.reset(now_removals(event_count=500), events=("340",))
    world.person(7)
    world.person(99)
    world.sync()
    source = Endless(make)
    monkeypatch.setattr("simulators.afas.pages.spoil", source)
    run = world.sync()
    assert run.snapshot == "suspect"
    assert "same_page" in run.reasons
    assert source.calls < 15
    assert "p99@example.nl" in enrolled(world)


@pytest.mark.usefixtures("small_pages")
def test_an_event_with_more_rows_than_it_may_have_is_left_and_not_acted_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an AFAS that always has another full page
    world.reset(now_removals(event_count=500), events=("340",))
    monkeypatch.setenv("KOPPELING_MAX_EVENT_ROWS", "1000")
    settings.get.cache_clear()
    source = Endless(lambda call: [_row(n) for n in range(call * 9, call * 9 + 10)])
    monkeypatch.setattr("simulators.afas.pages.spoil", source)
    # when
    run = world.sync()
    settings.get.cache_clear()
    # then
    assert (run.snapshot, run.reasons) == ("suspect", ["too_many_rows"])
    assert outcomes(run) == {"rejected": run.rows}
    assert 900 <= run.rows <= 1000
    assert len(world.pluvo.users) == 0


@pytest.mark.usefixtures("small_pages")
def test_a_page_longer_than_asked_for_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.reset(now_removals(event_count=500), events=("340",))
    world.person(7)
    world.sync()
    monkeypatch.setattr("simulators.afas.pages.spoil", Endless(lambda call: [_row(n) for n in range(50, 61)]))
    run = world.sync()
    assert (run.snapshot, run.reasons) == ("suspect", ["page_too_long"])
    assert "p7@example.nl" in enrolled(world)


def test_a_wide_connector_is_never_asked_for_more_cells_than_afas_likes(world: World) -> None:
    # given 500 columns, and an AFAS that refuses more than 150,000 cells
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.columns |= {f"Kolom_{n}": "name" for n in range(500 - len(connector.columns))}
    world.afas.change_switches(cell_limit=150_000)
    for internal_id in range(1, 320):
        world.person(internal_id)
    # when read for the first time, and again
    assert outcomes(world.sync()) == {"created": 319}
    world.clear_log()
    assert outcomes(world.sync()) == {"unchanged": 319}
    # then no page was refused, and the second run knew how wide a row is
    pages = [call for call in world.calls("afas") if call.operation == "page"]
    assert [call.status for call in pages] == [200] * len(pages)
    assert world.rows("SELECT width FROM course WHERE event_id = '340'") == [{"width": 500}]


def test_a_narrow_connector_is_read_in_large_pages_once_it_is_known(world: World) -> None:
    for internal_id in range(1, 320):
        world.person(internal_id)
    world.sync()
    world.clear_log()
    world.sync()
    assert len([call for call in world.calls("afas") if call.operation == "page"]) == 2  # one an event
