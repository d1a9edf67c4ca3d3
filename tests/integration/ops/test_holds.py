"""Deciding about what a guard held back: with a reason, once, in parts, kept with who did it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ops import holds
from ops.cli import main
from ops.dead_letters import inbox
from ops.problems import Problem
from ops.runs import history
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar


def add_held_removal(tenant: int, enrollment: int, person: str) -> None:
    """A plan line and its line in hold H."""
    names = {"t": tenant, "e": enrollment, "p": person}
    line = run_sql(
        "INSERT INTO plan_line (run_id, tenant_id, enrollment_id, event_id, internal_id, is_row, action, outcome,"
        " reason, hold_id) VALUES ('R', :t, :e, '340', :p, false, 'unenroll', 'held', 'removals_run', 'H')"
        " RETURNING id",
        **names,
    )
    run_sql(
        "INSERT INTO hold_line (hold_id, tenant_id, enrollment_id, plan_line_id, event_id, internal_id, action,"
        " version) VALUES ('H', :t, :e, :line, '340', :p, 'unenroll', 1)",
        line=line,
        **names,
    )


@pytest.fixture
def hold(acme: int) -> str:
    """Two removals of event 340, held; both people came back meanwhile, so their lines are no longer true."""
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status)"
        " VALUES ('R', 'R', :t, 'enrollments', 'operator', 'done_with_holds')",
        t=acme,
    )
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, plan_hash) VALUES ('H', :t, 'R', 'removals_run', 'x')", t=acme
    )
    for person in ("80", "81"):
        add_held_removal(acme, add_enrollment(acme, person), person)
    return "H"


def test_a_hold_is_listed_with_a_count_and_shown_with_its_lines(hold: str) -> None:
    (item,) = holds.listing(state="open").items
    assert (item["id"], item["tenant"], item["run"], item["lines"]) == ("H", "acme", "R", 2)
    shown = holds.show(hold)
    assert [line["internal_id"] for line in shown["lines"]] == ["80", "81"]


def test_a_release_in_part_keeps_the_rest_open_and_drops_who_came_back(hold: str) -> None:
    done = holds.release(hold, events=[], persons=["80"], reason="true", who="tester")
    assert (done["released"], done["dropped"], done["open"]) == (0, 1, 1)
    assert holds.show(hold)["state"] == "open"
    done = holds.release(hold, events=["340"], persons=[], reason="true", who="tester")
    assert done["open"] == 0
    assert (holds.show(hold)["state"], holds.show(hold)["decided_by"]) == ("released", "tester")
    assert scalar("SELECT count(*) FROM message") == 0
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'holds release'") == 2


def test_a_release_of_nobody_is_refused(hold: str) -> None:
    with pytest.raises(Problem, match="has no open line of those"):
        holds.release(hold, events=[], persons=["99"], reason="true", who="tester")
    assert scalar("SELECT count(*) FROM operator_action WHERE verb LIKE 'holds %'") == 0


def test_a_hold_is_decided_once(hold: str) -> None:
    assert holds.refuse(hold, reason="wrong filter", who="tester")["refused"] == 2
    with pytest.raises(Problem, match="is refused already"):
        holds.release(hold, events=[], persons=[], reason="true", who="tester")
    with pytest.raises(Problem, match="reason is empty"):
        holds.refuse(hold, reason="  ", who="tester")


def test_a_hold_that_goes_with_its_tenant_while_somebody_decides_about_it_is_told_in_a_sentence(
    hold: str, database_url: str
) -> None:
    # given a decision that waits for the removal of the tenant
    with psycopg.connect(database_url) as removing, ThreadPoolExecutor(1) as pool:
        removing.execute("DELETE FROM hold")
        deciding = pool.submit(holds.refuse, hold, reason="wrong filter", who="tester")
        deadline = time.monotonic() + 20
        while not scalar("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # when
        removing.commit()
        # then
        with pytest.raises(Problem, match="There is no hold 'H': `koppeling holds list` shows them"):
            deciding.result(20)


def test_an_id_may_be_its_beginning_or_the_word_last(acme: int) -> None:
    ids = ["01JAAAAAAAAAAAAAAAAAAAAAAA", "01JAABBBBBBBBBBBBBBBBBBBBB", "01JZZZZZZZZZZZZZZZZZZZZZZZ"]
    for number in ids:
        run_sql(
            "INSERT INTO run (id, batch, tenant_id, direction, trigger, status)"
            " VALUES (:id, 'R', :t, 'enrollments', 'operator', 'done')",
            t=acme,
            id=number,
        )
    assert history.show("01jaaa")["run"] == ids[0]
    assert history.show(ids[1])["run"] == ids[1]
    assert history.show("last")["run"] == ids[2]
    with pytest.raises(Problem, match="More than one run begins with '01JAA'"):
        history.show("01JAA")
    for nothing in ("", " ", "02", "01JZ%", "01J_"):
        with pytest.raises(Problem, match="There is no run"):
            history.show(nothing)


def test_listings_show_what_is_open_unless_another_state_is_asked_for(
    hold: str, acme: int, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(*words: str) -> list[str]:
        monkeypatch.setattr("sys.argv", ["koppeling", *words, "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main.main()
        return [item["id"] for item in json.loads(capsys.readouterr().out)["items"]]

    holds.refuse(hold, reason="wrong filter", who="tester")
    letter = add_dead_letter(acme, add_enrollment(acme, "90"))
    inbox.discard([letter[:-1]], reason="wrong filter", who="tester")
    for noun, state, closed in (("holds", "refused", hold), ("dead-letters", "discarded", letter)):
        assert listed(noun, "list") == []
        assert listed(noun, "list", "--all") == listed(noun, "list", "--state", state) == [closed]
