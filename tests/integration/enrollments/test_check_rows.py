"""What ``koppeling check`` sees in the rows of an event before any run does, and what a run says of an empty one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ops.documents import RunDocument
from ops.tenants.check import check
from ops.tenants.check_findings import FindingDocument
from ops.terminal import plan_view
from simulators.afas import metainfo
from tests.fixtures.world import World


def _found(world: World, event_id: str = "340") -> dict[str, FindingDocument]:
    """What the sample of an event shows, by code."""
    probes = check("acme")["probes"]
    return {probe["code"]: probe for probe in probes if probe["probe"] == f"sample page (event {event_id})"}


def test_good_rows_are_fine(world: World) -> None:
    world.person(80)
    world.person(81)
    assert set(_found(world)) == {"ok"}


def test_an_event_without_rows_is_warned_of_and_a_connector_without_any_is_a_fault(world: World) -> None:
    assert _found(world)["no_rows"]["ok"] is False
    world.person(80, 341)
    found = _found(world)
    assert found["event_empty"]["ok"] is True
    assert "gives no rows for event 340" in found["event_empty"]["cause"]


def test_contradictory_rows_of_one_person_are_a_fault(world: World) -> None:
    world.person(80)
    world.fault("afas", "contradicting", column="Naam", to="Anders")
    assert _found(world)["contradictory_rows"]["ok"] is False
    assert check("acme")["ok"] is False


def test_equal_rows_of_one_person_are_a_remark(world: World) -> None:
    world.person(80)
    world.fault("afas", "doubled")
    assert _found(world)["double_rows"]["ok"] is True


def test_rows_that_make_nobody_absent_are_named(world: World) -> None:
    for internal_id in range(80, 90):
        world.person(internal_id)
    world.afas.change(340, 80, shown={"internal_id": None})
    world.afas.change(340, 81, email_primary=None)
    found = _found(world)
    assert (
        found["id_unreadable"]["cause"]
        == "Of 10 rows that were looked at, 1 without a readable contact id (no_internal_id)."
    )
    assert (
        found["rows_rejected"]["cause"] == "Of 10 rows that were looked at, some can't be used: no e-mail address (1)"
    )


def test_ids_that_sort_as_text_are_named(world: World) -> None:
    for internal_id in (8, 9, 10, 100):
        world.person(internal_id)
    world.fault("afas", "shuffled", seed=3)
    assert _found(world)["id_is_text"]["ok"] is True


def test_a_column_of_text_for_the_ids_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.person(80)
    monkeypatch.setitem(metainfo.GET_TYPES, "internal_id", ("string", "Contact", 10, "CdId"))
    assert "id_is_text" in {probe["code"] for probe in check("acme")["probes"]}


def _run(courses: list[Any]) -> RunDocument:
    return cast(RunDocument, {"tenant": "acme", "courses": courses})


@pytest.mark.parametrize("dry", [True, False])
def test_a_run_says_which_event_gave_no_rows(world: World, *, dry: bool) -> None:
    world.person(80)
    courses = world.plan().courses if dry else world.sync().courses
    assert list(plan_view.empty_events(_run(courses))) == [
        "acme: rows per event 341: 0, 340: 1",
        "acme: event 341: the GetConnector gives no rows for it. Is event_id right?",
    ]
    world.person(81, 341)
    assert list(plan_view.empty_events(_run(world.sync().courses))) == []


def test_a_run_that_read_nothing_says_nothing_of_events() -> None:
    assert list(plan_view.empty_events(_run([]))) == []
