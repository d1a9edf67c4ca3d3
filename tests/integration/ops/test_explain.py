"""Why is this person (not) in Pluvo? An answer for anyone, from PostgreSQL, at once."""

from __future__ import annotations

import time

import pytest

from ops.people.explain import explain
from ops.problems import Problem
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
