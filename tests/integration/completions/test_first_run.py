"""The main job: who finished in Pluvo gets the day into AFAS, once."""

from __future__ import annotations

from producers.completions.producer import preview
from producers.enrollments import load
from simulators.afas.tenant import COMPLETION_FIELD
from tests.integration.completions.conftest import Classroom


def test_a_finished_training_is_written_once_and_verified_later(classroom: Classroom) -> None:
    # given three people of whom two finished, one of them late in the evening by UTC
    classroom.enroll(80, 81, 82)
    classroom.complete(80, "2026-06-30T22:30:00Z")
    classroom.complete(81, "2026-05-04")

    # when
    first = classroom.run()
    second = classroom.run()

    # then
    assert (classroom.shown(80), classroom.shown(81), classroom.shown(82)) == ("2026-07-01", "2026-05-04", None)
    assert classroom.puts() == [
        {"@CrId": "340", "@CdId": "80", "Fields": {"BcCo": "1000080", COMPLETION_FIELD: "2026-07-01"}},
        {"@CrId": "340", "@CdId": "81", "Fields": {"BcCo": "1000081", COMPLETION_FIELD: "2026-05-04"}},
    ]
    assert first.outcomes["written"] == first.rows == sum(first.outcomes.values()) == 2
    assert first.status == second.status == "done"
    assert second.outcomes["verified"] == second.rows == 2


def test_a_dry_run_shows_the_plan_and_writes_nothing(classroom: Classroom) -> None:
    # given
    classroom.enroll(80, 81, 82)
    classroom.complete(80, "2026-06-30T22:30:00Z")
    classroom.complete(81, "2026-05-04")
    classroom.type_date(81, "2026-05-05")
    tenant, _ = load(classroom.world.tenant_id)

    # when
    found = preview(tenant, {})

    # then
    assert (found.outcomes["pending"], found.outcomes["conflict"], found.rows) == (1, 1, 2)
    assert [(line["internal_id"], line["action"], line["after"]["completion"]) for line in found.lines] == [
        ("80", "write", "2026-07-01"),
        ("81", "none", "2026-05-04"),
    ]
    assert found.lines[1]["before"] == {"completion": "2026-05-05T00:00:00Z"}
    assert classroom.completions() == classroom.puts() == []
    assert classroom.world.rows("SELECT * FROM message") == []
    assert classroom.world.rows("SELECT * FROM run WHERE direction = 'completions'") == []
