"""Completions of events that rules linked: each event's own title decides."""

from __future__ import annotations

from simulators.afas.tenant import COMPLETION_FIELD
from tests.fixtures.ruled import Ruled
from tests.fixtures.world import World
from tests.integration.completions.conftest import Classroom


def test_a_date_goes_into_the_event_whose_title_was_finished(world: World) -> None:
    # given: one person in two events of different courses, another in one whose rows name no course
    ruled = Ruled(world)
    ruled.rules = [
        'events = "all"\noffer_event_ref = "afas-{event_id}"\ncompletion_title = "{Cursusnaam}"',
    ]
    ruled.enroll(340, 80)
    ruled.enroll(341, 80, course="EHBO")
    ruled.enroll(342, 81, course=None)
    for event, title in ((340, "BHV"), (341, "EHBO"), (342, "Anders")):
        training = world.pluvo.add_training(title, title)
        world.pluvo.add_offer_event(title, f"afas-{event}", trainings=[training["id"]])
    ruled.import_()
    world.sync()
    classroom = Classroom(world)
    classroom.complete(80, "2026-05-04", "EHBO")
    classroom.complete(81, "2026-05-05", "Anders")
    # when
    run = classroom.run()
    # then
    assert (classroom.shown(80, 340), classroom.shown(80, 341), classroom.shown(81, 342)) == (None, "2026-05-04", None)
    assert run.outcomes["written"] == run.rows == 1
    # when: the course gets its name, and the other training is finished too
    world.afas.change(342, 81, free={"UCURSUS": "Anders"})
    classroom.complete(80, "2026-06-01", "BHV")
    world.sync()
    classroom.run()
    # then
    assert (classroom.shown(80, 340), classroom.shown(81, 342)) == ("2026-06-01", "2026-05-05")
    fields = [set(put["Fields"]) - {"BcCo"} for put in classroom.puts()]
    assert fields == [{COMPLETION_FIELD}] * 3
