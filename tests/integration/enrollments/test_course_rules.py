"""Rules of the tenants file: events of AFAS are linked without a block each, once Pluvo knows their target."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from ops.cli import main
from ops.holds import release
from ops.tenants import events
from producers.enrollments import course_rules
from simulators.afas.tenant import GET_CONNECTOR
from tests.fixtures.looking import holds, outcomes
from tests.fixtures.ruled import ALL, COURSE_NAME, DEFAULTS, Ruled
from tests.fixtures.world import World


@pytest.fixture
def ruled(world: World) -> Ruled:
    return Ruled(world)


def test_events_are_linked_as_their_targets_appear_and_wait_until_then_without_an_error(ruled: Ruled) -> None:
    # given: three events, of which Pluvo knows one
    ruled.enroll(340, 1, 2)
    ruled.enroll(341, 3)
    ruled.enroll(342, 4, 5, 6)
    ruled.target("afas-340")
    ruled.import_()
    # when
    run = ruled.world.sync()
    # then
    assert run.status == "applying"
    assert outcomes(run) == {"created": 2}
    assert run.unlinked == {"target_unknown": {"events": 2, "people": 4}}
    assert ruled.roster() == {"afas-340": {"1", "2"}}
    # when: the second appears in Pluvo, and a new event in AFAS with a target that is there already
    ruled.target("afas-341", "afas-343")
    ruled.enroll(343, 1)
    run = ruled.world.sync()
    # then
    assert run.unlinked == {"target_unknown": {"events": 1, "people": 3}}
    assert ruled.roster() == {"afas-340": {"1", "2"}, "afas-341": {"3"}, "afas-343": {"1"}}
    assert ruled.courses()["343"] == ("offer_event:afas-343", True, True)


def test_all_unknown_targets_are_one_question_to_pluvo_and_linked_ones_are_none(ruled: Ruled) -> None:
    # given
    for event in range(340, 352):
        ruled.enroll(event, event)
    ruled.target(*(f"afas-{event}" for event in range(340, 346)))
    ruled.import_()
    ruled.world.sync()
    # when
    ruled.world.clear_log()
    ruled.world.sync()
    # then
    assert [entry.fields for entry in ruled.world.calls()] == [("offerEvent",) * 6]


def test_an_unchanged_roster_is_two_questions_more_than_without_rules(ruled: Ruled) -> None:
    # given
    ruled.enroll(340, *range(1, 40))
    ruled.target("afas-340")
    ruled.import_()
    ruled.world.sync()
    # when
    ruled.world.clear_log()
    before = ruled.world.rows("SELECT settings_version FROM tenant")
    run = ruled.world.sync()
    # then: metainfo, one walk through the connector, one page of the event; nothing of Pluvo
    assert len(ruled.world.calls("afas")) == 3
    assert ruled.world.calls() == []
    assert outcomes(run) == {"unchanged": 39}
    # and: no setting changed
    assert ruled.world.rows("SELECT settings_version FROM tenant") == before


def test_refs_and_titles_take_columns_of_the_connector(ruled: Ruled) -> None:
    # given
    ruled.rules = ['events = "340-349"\noffer_event_ref = "{Cursusnaam}-{event_id}"\ncompletion_title = "{Cursusnaam}"']
    ruled.enroll(340, 1, course=" BHV  basis ")
    ruled.target("BHV basis-340")
    ruled.import_()
    # when
    ruled.world.sync()
    # then
    (course,) = ruled.world.courses()
    assert course.target == "offer_event:BHV basis-340"
    assert [rule.title for rule in course.rules] == ["BHV basis"]
    assert ruled.roster() == {"BHV basis-340": {"1"}}


def test_what_the_rows_do_not_say_clearly_waits_and_says_why(ruled: Ruled) -> None:
    # given
    ruled.rules = ['events = "all"\noffer_event_ref = "{Cursusnaam}"']
    ruled.enroll(340, 1, course=None)
    ruled.enroll(341, 2)
    ruled.enroll(341, 3, course="EHBO")
    ruled.enroll(342, 4, course="x" * 501)
    ruled.enroll(343, 5)
    ruled.target("BHV")
    ruled.import_()
    # when
    run = ruled.world.sync()
    # then
    assert run.unlinked == {
        "column_empty": {"events": 1, "people": 1},
        "column_differs": {"events": 1, "people": 2},
        "value_unusable": {"events": 1, "people": 1},
    }
    assert ruled.roster() == {"BHV": {"5"}}


def test_a_column_that_vanishes_changes_nothing_of_what_is_linked(ruled: Ruled) -> None:
    # given
    ruled.rules = ['events = "all"\noffer_event_ref = "{Cursusnaam}"\ncompletion_title = "{Cursusnaam}"']
    ruled.enroll(340, 1)
    ruled.target("BHV")
    ruled.import_()
    ruled.world.sync()
    before = [course.model_dump(exclude={"width", "base_at"}) for course in ruled.world.courses()]
    # when
    connector = ruled.world.afas.connectors[GET_CONNECTOR]
    connector.columns = {name: source for name, source in connector.columns.items() if source != COURSE_NAME}
    ruled.enroll(341, 2)
    run = ruled.world.sync()
    # then
    assert run.unlinked == {"column_missing": {"events": 2, "people": 2}}
    assert {one["column"] for one in events.listing("acme")[0].items} == {"Cursusnaam"}
    assert [course.model_dump(exclude={"width", "base_at"}) for course in ruled.world.courses()] == before
    assert ruled.roster() == {"BHV": {"1"}}


def test_a_block_wins_over_a_rule_and_the_first_rule_over_the_others(ruled: Ruled) -> None:
    # given
    ruled.rules = ['events = ["341", "350-360"]\noffer_event_ref = "special"', ALL]
    ruled.blocks = {"340": 'offer_event_ref = "mine"'}
    for event in (340, 341, 342):
        ruled.enroll(event, event)
    ruled.target("mine", "special", "afas-340", "afas-341", "afas-342")
    ruled.import_()
    # when
    ruled.world.sync()
    # then
    assert ruled.roster() == {"mine": {"340"}, "special": {"341"}, "afas-342": {"342"}}


def test_a_rule_that_leads_elsewhere_moves_people_under_the_guards(ruled: Ruled) -> None:
    # given
    ruled.limits = "event_count = 1\nevent_percent = 0"
    ruled.enroll(340, 1, 2)
    ruled.target("afas-340", "new-340")
    ruled.import_()
    ruled.world.sync()
    # when
    ruled.rules = ['events = "all"\noffer_event_ref = "new-{event_id}"']
    done = ruled.import_()
    assert "what they link changes in the next run" in done.changes
    ruled.world.sync()
    # then: first the new place, then out of the old one
    assert ruled.roster() == {"afas-340": {"1", "2"}, "new-340": {"1", "2"}}
    ruled.world.sync()
    (hold,) = holds(ruled.world)
    assert hold["guard"] == "removals_event"
    release(hold["id"], events=[], persons=[], who="tester", reason="meant so")
    ruled.world.drain()
    assert ruled.roster() == {"new-340": {"1", "2"}}


def test_a_rule_that_leads_to_an_unknown_target_leaves_people_where_they_are(ruled: Ruled) -> None:
    # given
    ruled.enroll(340, 1)
    ruled.target("afas-340")
    ruled.import_()
    ruled.world.sync()
    # when
    ruled.rules = ['events = "all"\noffer_event_ref = "new-{event_id}"']
    ruled.import_()
    ruled.enroll(340, 2)
    run = ruled.world.sync()
    # then
    assert run.unlinked == {"target_unknown": {"events": 1, "people": 2}}
    assert ruled.roster() == {"afas-340": {"1", "2"}}


def test_an_event_that_no_rule_covers_any_more_is_inactive_and_its_people_stay(ruled: Ruled) -> None:
    # given
    ruled.enroll(340, 1)
    ruled.enroll(341, 2)
    ruled.target("afas-340", "afas-341")
    ruled.import_()
    ruled.world.sync()
    # when: out of the rule, and out of AFAS
    ruled.rules = [ALL.replace("all", "341")]
    ruled.import_()
    ruled.world.afas.remove(340, 1)
    run = ruled.world.sync()
    # then
    assert (run.removed, run.held_removals, run.unconfirmed) == (0, 0, 0)
    assert ruled.courses()["340"] == ("offer_event:afas-340", False, True)
    assert ruled.roster() == {"afas-340": {"1"}, "afas-341": {"2"}}
    # when: covered again
    ruled.enroll(340, 1)
    ruled.rules = [ALL]
    ruled.import_()
    ruled.world.sync()
    # then
    assert ruled.courses()["340"] == ("offer_event:afas-340", True, True)


def test_an_event_that_vanishes_from_the_connector_is_judged_like_an_emptied_one(ruled: Ruled) -> None:
    # given
    ruled.enroll(340, 1, 2, 3)
    ruled.enroll(341, 4)
    ruled.target("afas-340", "afas-341")
    ruled.import_()
    ruled.world.sync()
    # when
    for person in (1, 2, 3):
        ruled.world.afas.remove(340, person)
    run = ruled.world.sync()
    # then
    assert run.reasons == ["short"]
    assert [(one["event_id"], one["rows"], one["by_rule"]) for one in run.courses] == [
        ("340", 0, True),
        ("341", 1, True),
    ]
    assert [(hold["guard"], hold["event_id"]) for hold in holds(ruled.world)] == [("short_snapshot", "340")]
    assert ruled.roster()["afas-340"] == {"1", "2", "3"}
    assert ruled.courses()["340"][1]


def test_an_event_that_is_over_and_has_nobody_left_is_not_asked_for_any_more_until_it_is_back(ruled: Ruled) -> None:
    # given: an event that vanished, which an operator said is right
    ruled.enroll(340, 1)
    ruled.enroll(341, 2)
    ruled.target("afas-340", "afas-341")
    ruled.import_()
    ruled.world.sync()
    ruled.world.afas.remove(340, 1)
    ruled.world.sync()
    (hold,) = holds(ruled.world)
    release(hold["id"], events=[], persons=[], who="tester", reason="over")
    ruled.world.drain()
    assert ruled.roster() == {"afas-341": {"2"}}
    # when
    ruled.world.sync()
    # then
    assert ruled.courses()["340"] == ("offer_event:afas-340", False, True)
    assert [one["event_id"] for one in ruled.world.sync().courses] == ["341"]
    # when
    ruled.enroll(340, 1)
    ruled.world.sync()
    # then
    assert ruled.roster() == {"afas-340": {"1"}, "afas-341": {"2"}}


@pytest.mark.parametrize("kind", ["shuffled", "empty", "hundred", "status"])
def test_a_walk_that_goes_wrong_takes_nothing_away(ruled: Ruled, kind: str) -> None:
    # given
    ruled.enroll(340, 1, 2, 3)
    ruled.enroll(341, 4)
    ruled.target("afas-340", "afas-341")
    ruled.import_()
    ruled.world.sync()
    # when: the first page that is asked for goes wrong
    ruled.world.fault("afas", kind, times=1, **({"status": 503} if kind == "status" else {}))
    run = ruled.world.sync()
    # then
    assert (run.removed, run.held_removals) == (0, 0)
    assert all(active for _, active, _ in ruled.courses().values())
    assert ruled.roster() == {"afas-340": {"1", "2", "3"}, "afas-341": {"4"}}


def test_a_connector_that_can_not_be_walked_is_said_and_stops_nothing(ruled: Ruled) -> None:
    # given: a connector that answers every question with all it has
    ruled.enroll(340, *range(1, 260))
    ruled.target("afas-340")
    ruled.import_()
    ruled.world.afas.change_connector(GET_CONNECTOR, ignores_filters=True)
    # when
    run = ruled.world.sync()
    # then
    assert {"events_unread", "same_page"} <= set(run.reasons)
    assert len(ruled.roster()["afas-340"]) == 259


def test_a_pluvo_that_can_not_be_asked_for_targets_lets_the_others_go_on(ruled: Ruled) -> None:
    # given
    ruled.blocks = {"340": 'offer_event_ref = "mine"'}
    ruled.enroll(340, 1)
    ruled.enroll(341, 2)
    ruled.target("mine", "afas-341")
    ruled.import_()
    ruled.world.pluvo.switches.hidden.append("Query.offerEvent")
    # when
    run = ruled.world.sync()
    # then
    assert run.unlinked == {"target_unasked": {"events": 1, "people": 1}}
    assert ruled.roster() == {"mine": {"1"}}


def test_a_dry_run_shows_the_plan_for_events_of_rules_and_writes_nothing_outside(ruled: Ruled) -> None:
    # given
    ruled.enroll(340, 1, 2)
    ruled.enroll(341, 3)
    ruled.target("afas-340")
    ruled.import_()
    # when
    plan = ruled.world.plan()
    # then
    assert [(line["event_id"], line["action"]) for line in plan.lines] == [("340", "create"), ("340", "create")]
    assert plan.unlinked == {"target_unknown": {"events": 1, "people": 1}}
    assert ruled.world.writes() == []
    assert ruled.world.sync().plan_hash == plan.hash


def test_another_environment_links_nothing(ruled: Ruled) -> None:
    # given
    ruled.enroll(340, 1)
    ruled.target("afas-340", "afas-341")
    ruled.import_()
    ruled.world.sync()
    # when: a test copy with another event answers
    ruled.world.afas.envid = "T12345AA"
    ruled.enroll(341, 2)
    ruled.world.sync()
    # then
    assert list(ruled.courses()) == ["340"]


def test_what_was_refused_at_the_old_target_is_tried_at_the_new_one(ruled: Ruled) -> None:
    # given: an offer event that goes away after it was linked
    ruled.enroll(340, 1)
    ruled.target("afas-340")
    ruled.import_()
    ruled.world.begin()
    for event in ruled.world.pluvo.offer_events.values():
        event["ref"] = "gone"
    ruled.world.drain()
    assert outcomes(ruled.world.sync()) == {"failed": 1}
    # when
    ruled.rules = ['events = "all"\noffer_event_ref = "new-{event_id}"']
    ruled.import_()
    ruled.world.sync()  # still refused, under the settings of now
    ruled.target("new-340")
    ruled.world.sync()
    # then
    assert ruled.roster() == {"new-340": {"1"}}


def test_the_document_of_a_run_tells_what_waits(ruled: Ruled) -> None:
    ruled.enroll(340, 1)
    ruled.import_()
    run = ruled.world.sync()
    assert json.loads(json.dumps(run.unlinked)) == {"target_unknown": {"events": 1, "people": 1}}
    assert outcomes(run) == {}


def test_events_lists_what_afas_has_with_people_linked_or_not_and_why(ruled: Ruled) -> None:
    # given: a block, a block with a wrong number, events of rules with and without a target, and one that none covers
    ruled.rules = ['events = "340-349"\noffer_event_ref = "afas-{event_id}"\ncompletion_title = "{Cursusnaam}"']
    ruled.blocks = {"350": 'offer_event_ref = "mine"', "999": 'offer_event_ref = "mine"'}
    ruled.enroll(340, 1, 2)
    ruled.enroll(341, 3, course="EHBO")
    ruled.enroll(350, 4)
    ruled.enroll(360, 5)
    ruled.target("afas-340", "mine")
    ruled.import_()
    before = ruled.courses()
    # when
    found, failed = events.listing("acme")
    # then
    assert failed is None
    assert [(one["event_id"], one["people"], one["linked"], one["by"], one["why"]) for one in found.items] == [
        ("340", 2, False, "rule", "next_run"),
        ("341", 1, False, "rule", "target_unknown"),
        ("350", 1, True, "block", None),
        ("360", 1, False, None, "no_rule"),
        ("999", 0, True, "block", "no_rows"),
    ]
    assert found.items[1]["values"] == {"Cursusnaam": "EHBO"}
    assert found.items[1]["target"] == "offer_event:afas-341"
    # and: nothing was written, and pages follow each other
    assert ruled.courses() == before
    first, _ = events.listing("acme", limit=1, unlinked=True)
    second, _ = events.listing("acme", limit=1, cursor=first.next, unlinked=True)
    assert [one["event_id"] for one in first.items + second.items] == ["340", "341"]


def test_events_of_a_tenant_with_blocks_only_are_those_of_their_connectors(world: World) -> None:
    # given
    world.person(1, 340)
    world.person(2, 342)
    # when
    found, _ = events.listing("acme")
    # then
    assert [(one["event_id"], one["people"], one["why"]) for one in found.items] == [
        ("340", 1, None),
        ("341", 0, "no_rows"),
        ("342", 1, "no_rule"),
    ]


def test_a_rule_that_changed_while_the_events_were_listed_decides_as_it_is_now(
    ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    ruled.enroll(340, 1)
    ruled.enroll(341, 2)
    ruled.target("afas-340", "afas-341")
    ruled.import_()
    ask = course_rules.ask_targets

    def ask_and_import(*arguments: Any) -> Any:
        asked = ask(*arguments)
        ruled.rules = [ALL.replace("all", "341")]
        ruled.import_()
        return asked

    # when
    monkeypatch.setattr(course_rules, "ask_targets", ask_and_import)
    ruled.world.sync()
    # then
    assert list(ruled.courses()) == ["341"]
    assert ruled.roster() == {"afas-341": {"2"}}


def test_events_of_a_connector_that_an_import_replaces_meanwhile_are_not_linked_to_the_new_one(
    ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    ruled.enroll(340, 1)
    ruled.enroll(341, 2)
    ruled.target("afas-340", "afas-341")
    ruled.import_()
    ask = course_rules.ask_targets

    def ask_and_import(*arguments: Any) -> Any:
        asked = ask(*arguments)
        ruled.defaults = DEFAULTS.replace(GET_CONNECTOR, "Nieuw")
        ruled.import_()
        return asked

    with monkeypatch.context() as patched:
        patched.setattr(course_rules, "ask_targets", ask_and_import)
        ruled.world.sync()
    # then: whatever the old one had, nothing is known of the new one yet
    assert ruled.courses() == {}
    # and: the next run looks where the file says
    ruled.defaults = DEFAULTS
    ruled.import_()
    ruled.world.sync()
    assert ruled.roster() == {"afas-340": {"1"}, "afas-341": {"2"}}


def test_a_run_that_an_import_to_another_environment_overtakes_does_not_name_the_new_one(
    ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a tenant that changes to its test environment while a run reads the real one
    ruled.enroll(340, 1)
    ruled.target("afas-340")
    ruled.import_()
    ask = course_rules.ask_targets

    def ask_and_import(*arguments: Any) -> Any:
        asked = ask(*arguments)
        ruled.environment = "test"
        ruled.import_()
        return asked

    with monkeypatch.context() as patched:
        patched.setattr(course_rules, "ask_targets", ask_and_import)
        ruled.world.sync()
    # when
    ruled.world.afas.envid = "T12345AA"
    run = ruled.world.sync()
    # then
    assert run.reasons == []
    assert ruled.world.rows("SELECT envid FROM tenant") == [{"envid": "T12345AA"}]


def test_rules_and_what_they_linked_are_shown_with_the_tenant(
    ruled: Ruled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    ruled.blocks = {"999": 'offer_event_ref = "mine"'}
    ruled.enroll(340, 1)
    ruled.enroll(341, 2)
    ruled.target("afas-340", "mine")
    ruled.import_()
    ruled.world.sync()
    # when
    said = {}
    for words in ("tenants show acme", "sync acme --dry-run", "events acme"):
        monkeypatch.setattr("sys.argv", ["koppeling", *words.split()])
        with suppress(SystemExit):
            main.main()
        said[words] = capsys.readouterr().out
    # then
    assert "linked by rules" in said["tenants show acme"]
    assert "afas-{event_id}" in said["tenants show acme"]
    assert "1 event of course rules with 1 person waits: Pluvo does not know the target" in said["sync acme --dry-run"]
    assert "event 999: the GetConnector gives no rows for it" in said["sync acme --dry-run"]
    assert "`koppeling events acme --unlinked` names them" in said["sync acme --dry-run"]
    assert "yes, by a rule" in said["events acme"]
