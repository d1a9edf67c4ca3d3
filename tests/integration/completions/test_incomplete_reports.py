"""A report that is not whole: what was read is used; what is not in it may exist all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.completions.producer import collect_before_removal, unread_before_removal
from producers.runs.context import PreviewContext
from tests.integration.completions.conftest import TITLE, Classroom

PEOPLE = (80, 81, 82)


def answer(classroom: Classroom, *, count: int | None = None, broken: int | None = None) -> None:
    """The report in one page, as it is, with a count that is off or with a node that Pluvo could not make."""
    nodes: list[dict[str, Any] | None] = [
        {
            "user": {"id": row["userId"], "ref": None, "email": None, "name": None},
            "title": row["title"],
            "completionDate": row["completionDate"],
        }
        for row in classroom.world.pluvo.portfolio
        if row["title"] == TITLE and row["completionDate"]
    ]
    errors = []
    if broken is not None:
        nodes[broken] = None
        errors = [{"message": "Internal server error", "path": ["page", "edges", broken, "node"]}]
    page = {
        "pageInfo": {"hasNextPage": False, "endCursor": None},
        "count": len(nodes) if count is None else count,
        "edges": [{"node": node} for node in nodes],
    }
    body = {"data": {"page": page}} | ({"errors": errors} if errors else {})
    match = {"operation": "portfolioReport"}
    classroom.world.fault("pluvo", "status", match=match, status=200, body=json.dumps(body))


@pytest.fixture
def finished(classroom: Classroom) -> Classroom:
    """Three people who finished."""
    classroom.enroll(*PEOPLE)
    for person in PEOPLE:
        classroom.complete(person, "2026-05-04")
    return classroom


def test_a_count_that_does_not_fit_the_rows_keeps_no_date_from_being_written(finished: Classroom) -> None:
    # given
    answer(finished, count=4)
    # when
    run = finished.run()
    # then all of it is written, and the run says that the report is perhaps not whole
    assert [finished.shown(person) for person in PEOPLE] == ["2026-05-04"] * 3
    assert (run.outcomes["written"], run.rows) == (3, 3)
    assert (run.snapshot, run.courses[0]["reasons"]) == ("partial", ["listing_incomplete"])
    # and that nothing more is to come can't be concluded: removals wait
    context = PreviewContext("01TEST", finished.world.tenant_id, {})
    assert unread_before_removal(context, [1]) == "listing_incomplete"


def test_a_row_that_pluvo_cannot_make_costs_only_itself(finished: Classroom) -> None:
    # given
    answer(finished, broken=1)
    # when
    run = finished.run()
    # then
    assert [finished.shown(person) for person in PEOPLE] == ["2026-05-04", None, "2026-05-04"]
    assert (run.snapshot, run.outcomes["written"]) == ("partial", 2)
    # when it can
    finished.world.clear_faults()
    again = finished.run()
    # then
    assert (again.snapshot, finished.shown(81)) == ("complete", "2026-05-04")


def test_what_was_read_before_the_report_broke_off_is_used(finished: Classroom) -> None:
    # given a report of two pages, of which the second never comes
    for number in range(60):
        other = finished.world.pluvo.add_user(f"x{number}@example.org", f"Naam {number}")
        finished.world.pluvo.progress(other["id"], "Iets anders", progress=0.5)
    second = {"operation": "portfolioReport", "body_contains": '"after":"'}
    finished.world.fault("pluvo", "status", match=second, status=502)
    # when
    run = finished.run()
    # then
    assert (run.snapshot, run.outcomes["written"]) == ("partial", 3)


def test_a_webhook_uses_what_it_reads_and_concludes_nothing_from_what_is_missing(finished: Classroom) -> None:
    # given the person's report has a date and a count that is off; another has no row in a report that is off
    answer(finished, count=9)
    finished.event(80)
    finished.world.drain()
    assert finished.shown(80) == "2026-05-04"
    finished.world.clear_faults()
    finished.world.pluvo.portfolio.clear()
    finished.world.pluvo.changed()
    answer(finished, count=1)
    # when
    finished.event(81)
    finished.world.drain()
    # then that nobody has a date is not said
    assert finished.completions(81) == []


def test_a_title_that_cannot_be_proven_unique_refuses_its_course_alone(finished: Classroom) -> None:
    # given Pluvo's list of trainings counts one more than it gives
    finished.enroll(80, event_id=341)
    finished.complete(80, "2026-05-05", "Training 341")
    training = next(one for one in finished.world.pluvo.trainings.values() if one["title"] == TITLE)
    node = {"id": training["id"], "ref": None, "title": TITLE, "archived": False}
    page = {"pageInfo": {"hasNextPage": False, "endCursor": None}, "count": 2, "edges": [{"node": node}]}
    match = {"operation": "paginatedTrainings", "body_contains": f'"{TITLE}"'}
    finished.world.fault("pluvo", "status", match=match, status=200, body=json.dumps({"data": {"page": page}}))
    # when
    run = finished.run()
    # then
    assert (finished.shown(80), finished.shown(80, 341)) == (None, "2026-05-05")
    assert run.courses[0]["reasons"] == ["listing_incomplete"]


def test_a_row_that_moves_up_while_the_report_is_read_is_not_lost(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given the one who leaves stands on the second page, and a row of the first vanishes between the two
    classroom.enroll(80)
    for number in range(50):
        other = classroom.world.pluvo.add_user(f"x{number}@example.org", f"Naam {number}")
        classroom.world.pluvo.progress(other["id"], "Iets anders", progress=0.5)
    classroom.complete(80, "2026-05-04")
    rows = classroom.world.pluvo.portfolio
    rows.sort(key=lambda row: row["userId"] == classroom.user(80))
    classroom.world.pluvo.changed()
    moved = False

    def check(self: PreviewContext) -> None:
        nonlocal moved
        if not moved and any("portfolioReport" in call.fields for call in classroom.world.calls("pluvo")):
            moved = True
            del rows[0]
            classroom.world.pluvo.changed()

    monkeypatch.setattr(PreviewContext, "check", check)
    classroom.world.clear_log()

    # when the report is read before a removal
    collect_before_removal(PreviewContext("01TEST", classroom.world.tenant_id, {}), [1])

    # then
    assert moved
    assert [str(row["completed_on"]) for row in classroom.completions(80)] == ["2026-05-04"]
