"""Why is this person (not) in Pluvo? An answer for anyone, from PostgreSQL, at once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ops.access import Actor, Role, acting
from ops.people import links
from ops.people.explain import explain
from ops.people.next_action import said
from ops.people.person import opened, replay
from ops.people.timeline import WHAT
from ops.problems import Forbidden, NotThere, Problem
from ops.runs.selection import run_person
from ops.tenants import manage
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar

FAR = 100_000


def add_run(tenant: int) -> None:
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status)"
        " VALUES ('R', 'R', :t, 'enrollments', 'operator', 'done')",
        t=tenant,
    )


@pytest.mark.parametrize("who", ["80", "0080", "p80@EXAMPLE.nl", " P80@example.nl ", "pluvo-80"])
def test_a_person_is_found_by_every_name_they_have(acme: int, who: str) -> None:
    add_enrollment(acme, "80")
    add_enrollment(acme, "81")
    run_sql(
        "INSERT INTO link (tenant_id, person_id, pluvo_id, state) SELECT :t, id, 'pluvo-80', 'linked' FROM person"
        " WHERE internal_id = '80'",
        t=acme,
    )
    found = explain("acme", who)
    assert [person["internal_id"] for person in found["people"]] == ["80"]
    assert (found["people"][0]["link"] or {})["pluvo_id"] == "pluvo-80"
    assert set(found["people"][0]["enrollments"][0]) >= {"event_id", "state", "outcome", "reason", "completion"}


def test_the_next_action_names_what_stands_in_the_way(acme: int) -> None:
    enrollment = add_enrollment(acme, "80")

    def next_action() -> str:
        return str(explain("acme", "80")["people"][0]["next_action"])

    letter = add_dead_letter(acme, enrollment)
    assert f"koppeling dead-letters replay {letter}" in next_action()
    run_sql(
        "INSERT INTO link (tenant_id, person_id, state, reason) SELECT :t, id, 'ambiguous', 'same_email' FROM person",
        t=acme,
    )
    assert "koppeling links decide acme 80" in next_action()
    manage.pause("acme", reason="moving", direction="enrollments", who="tester")
    assert "koppeling tenants resume acme" in next_action()


def test_a_held_line_is_explained(acme: int) -> None:
    add_run(acme)
    enrollment = add_enrollment(acme, "80")
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, plan_hash) VALUES ('H1', :t, 'R', 'removals_run', 'x')", t=acme
    )
    run_sql(
        "INSERT INTO hold_line (hold_id, tenant_id, enrollment_id, event_id, internal_id, action)"
        " VALUES ('H1', :t, :e, '340', '80', 'unenroll')",
        t=acme,
        e=enrollment,
    )
    person = explain("acme", "80")["people"][0]
    assert "koppeling holds show H1" in person["next_action"]
    assert person["history"][0]["what"] == "held"


def test_a_row_that_was_always_rejected_is_explained_too(acme: int) -> None:
    add_run(acme)
    run_sql(
        "INSERT INTO plan_line (run_id, tenant_id, event_id, internal_id, action, outcome, reason)"
        " VALUES ('R', :t, '340', '99', 'none', 'rejected', 'bad_email')",
        t=acme,
    )
    (person,) = explain("acme", "99")["people"]
    assert person["enrollments"][0]["reason"] == "bad_email"


def test_somebody_of_whom_only_a_dry_run_knows_is_not_taken_for_a_wrong_row(acme: int) -> None:
    add_run(acme)
    run_sql("UPDATE run SET status = 'dry_run'")
    run_sql(
        "INSERT INTO plan_line (run_id, tenant_id, event_id, internal_id, action, outcome, reason)"
        " VALUES ('R', :t, '340', '99', 'create', 'pending', 'no_account')",
        t=acme,
    )
    (person,) = explain("acme", "99")["people"]
    assert "`koppeling sync acme` looks again and acts" in person["next_action"]
    assert "put it right" not in person["next_action"]


def test_somebody_never_seen_gets_a_useful_answer(acme: int) -> None:
    found = explain("acme", "nobody@example.nl")
    assert (found["found"], found["people"]) == (False, [])
    assert found["looked_at"]["courses"][0]["event_id"] == "340"
    assert "never read" in found["next_action"]


def test_a_person_of_another_tenant_is_not_shown(acme: int) -> None:
    add_enrollment(acme, "80")
    run_sql(
        """INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
           VALUES ('borg', 'B', 'UTC', 3600, '{"member_id": "67890"}',
                   '{"organisation": "other", "client_id": "koppeling"}')"""
    )
    assert explain("borg", "80")["found"] is False
    with pytest.raises(Problem, match="no tenant 'nope'"):
        explain("nope", "80")


def test_what_comes_next_is_a_code_that_any_face_can_say(acme: int) -> None:
    enrollment = add_enrollment(acme, "80")
    letter = add_dead_letter(acme, enrollment)
    person = explain("acme", "80")["people"][0]
    assert (person["next"]["code"], person["next"]["verb"]) == ("explain.gave_up", "dead-letters replay")
    assert person["next"]["params"]["dead_letter"] == letter
    assert person["next_action"] == said(person["next"])
    assert "opgegeven" in said(person["next"], "nl")
    # a page says it without commands
    assert "koppeling" not in said(person["next"], "en", page=True)


def test_every_next_step_and_every_event_is_said_in_both_languages(acme: int) -> None:
    add_everything(acme)
    person = explain("acme", "80")["people"][0]
    told = {event["what"] for event in person["history"]}
    assert told == set(WHAT)
    for event in person["history"]:
        for language in ("en", "nl"):
            words = said(event["sentence"], language)
            assert words
            assert "?" not in words
    assert [event["at"] for event in person["history"]] == sorted(
        (event["at"] for event in person["history"]), reverse=True
    )


def test_the_history_comes_in_pages_that_hold_each_event_once(acme: int) -> None:
    add_everything(acme)
    # many at the same moment, as of one transaction
    run_sql(
        "INSERT INTO change (tenant_id, system, operation, internal_id, result, at)"
        " SELECT :t, 'pluvo', 'update', '80', 'done', now() FROM generate_series(1, 7)",
        t=acme,
    )
    whole = explain("acme", "80", limit=500)["people"][0]["history"]
    found: list[dict[str, object]] = []
    cursor = None
    while True:
        (person,) = explain("acme", "80", limit=3, cursor=cursor)["people"]
        assert len(person["history"]) <= 3
        found += person["history"]
        if (cursor := person["history_next"]) is None:
            break
    assert found == whole
    assert len(found) > 15


@pytest.mark.parametrize("cursor", ["x", "2026-11-26~0", "~", "2026-11-26T12:00:00+00:00~-1", "~~"])
def test_a_cursor_that_is_none_is_refused(acme: int, cursor: str) -> None:
    add_enrollment(acme, "80")
    with pytest.raises(Problem, match="cursor"):
        explain("acme", "80", cursor=cursor)


def test_what_a_run_for_one_person_did_in_spite_of_a_hold_is_told_so(acme: int) -> None:
    add_everything(acme)
    run_sql('UPDATE run SET options = \'{"person": "80"}\'')
    run_sql("UPDATE plan_line SET outcome = 'updated'")
    run_sql("UPDATE hold SET created_at = now() - interval '1 day'")
    run_sql("UPDATE hold_line SET decided_at = NULL, state = 'open'")
    (planned,) = [one for one in explain("acme", "80")["people"][0]["history"] if one["what"] == "planned"]
    assert "in spite of hold H1" in said(planned["sentence"])
    assert "ondanks hold H1" in said(planned["sentence"], "nl")


def test_what_every_run_finds_again_is_one_event_with_how_often_and_until_when(acme: int) -> None:
    add_run(acme)
    add_enrollment(acme, "80")
    for outcome, count in (("ambiguous", 5), ("updated", 1), ("ambiguous", 3)):
        run_sql(
            "INSERT INTO plan_line (run_id, tenant_id, event_id, internal_id, action, outcome, reason, created_at)"
            " SELECT 'R', :t, '340', '80', CASE :o WHEN 'updated' THEN 'update' ELSE 'none' END, :o, 'same_email',"
            "        now() - (100 - :c) * interval '1 day' + n * interval '1 hour' FROM generate_series(1, :c) n",
            t=acme,
            o=outcome,
            c=count,
        )
    planned = [one for one in explain("acme", "80")["people"][0]["history"] if one["what"] == "planned"]
    assert sorted((one["outcome"], one["times"]) for one in planned) == [
        ("ambiguous", 3),
        ("ambiguous", 5),
        ("updated", 1),
    ]
    assert "5 keer" in " ".join(said(one["sentence"], "nl") for one in planned)


def test_somebody_never_seen_is_told_what_may_be_the_reason_likeliest_first(acme: int) -> None:
    add_run(acme)
    run_sql(
        """UPDATE run SET status = 'failed', unlinked = '{"target_unknown": {"events": 3, "people": 120}}',
                  courses = '[{"event_id": "340", "snapshot": "suspect", "reasons": ["short"], "rows": 3}]'"""
    )
    found = explain("acme", "1070")
    assert [one["code"].removeprefix("cause_unseen.") for one in found["causes"]] == [
        *("last_run_failed", "unread", "doubted", "rules_wait", "other_id", "not_enrolled", "unlinked", "filtered"),
    ]
    for cause in (*found["causes"], found["next"]):
        assert "?" not in said(cause, "nl").replace("tenants-bestand?", "")


def test_who_looks_at_a_person_is_written_down_once_in_a_while(acme: int) -> None:
    add_enrollment(acme, "80")
    for _ in range(2):
        opened("acme", "80")
    with acting(Actor("anna", Role.VIEWER, frozenset({"acme"}))):
        opened("acme", "80")
    with acting(Actor("bert", Role.VIEWER, frozenset())), pytest.raises(NotThere):
        opened("acme", "80")
    run_sql("UPDATE operator_action SET at = at - interval '11 minutes' WHERE who = 'anna'")
    with acting(Actor("anna", Role.VIEWER, frozenset({"acme"}))):
        opened("acme", "80")
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'people open' AND subject = '80'") == 3
    # and whoever is erased is in no such row any more
    links.remove("acme", "80", erase=True, who="tester")
    assert scalar("SELECT count(*) FROM operator_action WHERE subject = '80'") == 0


VIEWER, OPERATOR = (Actor(one, Role(one), frozenset({"acme"})) for one in ("viewer", "operator"))
CHANGES: dict[str, Callable[[], object]] = {
    "a run for one person": lambda: run_person("acme", "80"),
    "sending again": lambda: replay("acme", "80"),
    "a decision": lambda: links.decide("acme", "80", "ignore", None, who="x"),
    "removing the link": lambda: links.remove("acme", "80", erase=False, who="x"),
    "erasing": lambda: links.remove("acme", "80", erase=True, who="x"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_who_may_only_look_changes_nothing(acme: int, name: str) -> None:
    add_dead_letter(acme, add_enrollment(acme, "80"))
    with acting(VIEWER), pytest.raises(Forbidden):
        CHANGES[name]()
    if name == "erasing":
        with acting(OPERATOR), pytest.raises(Forbidden):
            CHANGES[name]()
    with acting(Actor("elsewhere", Role.ADMIN, frozenset({"borg"}))), pytest.raises(NotThere):
        CHANGES[name]()
    assert scalar("SELECT count(*) FROM operator_action WHERE subject = '80'") == 0
    assert scalar("SELECT count(*) FROM person") == 1


def add_everything(tenant: int) -> None:
    """Person 80 with something of each kind on their time line."""
    add_run(tenant)
    enrollment = add_enrollment(tenant, "80")
    add_dead_letter(tenant, enrollment)
    run_sql("UPDATE dead_letter SET last_failed_at = now()")
    run_sql("UPDATE enrollment SET seen_at = now(), absent_since = now(), row_state = 'absent'")
    values = {"t": tenant, "e": enrollment}
    run_sql(
        "INSERT INTO plan_line (run_id, tenant_id, enrollment_id, event_id, internal_id, action, outcome, reason)"
        " VALUES ('R', :t, :e, '340', '80', 'update', 'updated', 'planned')",
        **values,
    )
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, plan_hash) VALUES ('H1', :t, 'R', 'removals_run', 'x')",
        t=tenant,
    )
    run_sql(
        "INSERT INTO hold_line (hold_id, tenant_id, enrollment_id, event_id, internal_id, action, state, decided_at)"
        " VALUES ('H1', :t, :e, '340', '80', 'unenroll', 'released', now())",
        **values,
    )
    run_sql(
        "INSERT INTO change (tenant_id, system, operation, internal_id, event_id, result, code)"
        " VALUES (:t, 'afas', 'write', '80', '340', 'refused', 'functional'),"
        " (:t, 'pluvo', 'unheard-of', '80', '340', 'unknown', NULL)",
        t=tenant,
    )
    for decision in ("create", "ignore"):
        links.decide("acme", "80", decision, None, who="tester")
    links.set_link("acme", "80", "0b0e1f00-0000-4000-8000-000000000001", who="tester")
    links.remove("acme", "80", erase=False, who="tester")
    run_sql(
        "INSERT INTO completion (tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id, field, level,"
        " title, completed_on, state, value, written_at, verified_at)"
        " SELECT :t, course_id, 'person:80', '80', id, 'a', 'U1', 'training', 'BHV', '2026-06-30', 'verified',"
        " '2026-06-30', now(), now() FROM enrollment WHERE id = :e",
        **values,
    )


def test_an_answer_takes_less_than_a_second_among_a_hundred_thousand(acme: int) -> None:
    # given
    run_sql(
        "INSERT INTO person (tenant_id, internal_id, external_id, name, email, email_folded)"
        " SELECT :t, n::text, '0' || n, 'N', 'p' || n || '@example.nl', 'p' || n || '@example.nl'"
        "   FROM generate_series(1, :far) n",
        t=acme,
        far=FAR,
    )
    run_sql(
        "INSERT INTO enrollment (tenant_id, person_id, course_id, version, state)"
        " SELECT p.tenant_id, p.id, c.id, 1, 'enrolled' FROM person p, course c"
    )
    add_run(acme)
    run_sql(
        "INSERT INTO plan_line (run_id, tenant_id, event_id, internal_id, action, outcome)"
        " SELECT 'R', tenant_id, '340', internal_id, 'create', 'created' FROM person"
    )
    run_sql(
        "INSERT INTO change (tenant_id, system, operation, internal_id, result)"
        " SELECT tenant_id, 'pluvo', 'create', internal_id, 'done' FROM person"
    )
    assert scalar("SELECT count(*) FROM enrollment") == FAR
    # when
    begin = time.perf_counter()
    answers = [explain("acme", who) for who in ("77777", "p77777@EXAMPLE.NL", "no@example.nl")]
    seconds = time.perf_counter() - begin
    # then
    assert [answer["found"] for answer in answers] == [True, True, False]
    assert seconds / len(answers) < 1


def test_what_gave_up_of_a_person_is_sent_again_or_it_is_said_why_not(acme: int) -> None:
    letter = add_dead_letter(acme, add_enrollment(acme, "80"))
    run_sql("UPDATE tenant_direction SET state = 'paused', reason = 'holiday' WHERE direction = 'enrollments'")
    with pytest.raises(Problem, match="acme is paused: holiday"):
        replay("acme", "80")
    assert scalar("SELECT count(*) FROM replay_batch") == 0
    run_sql("UPDATE tenant_direction SET state = 'healthy', reason = NULL")
    batch = replay("acme", "80")
    assert scalar("SELECT ids->>0 FROM replay_batch WHERE id = :id", id=batch) == letter
    with pytest.raises(Problem, match="80 has no dead letter that is open"):
        replay("acme", "80")
