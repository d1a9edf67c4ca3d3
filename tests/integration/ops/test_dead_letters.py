"""Dead letters: found, counted, replayed once, discarded with a reason."""

from __future__ import annotations

import psycopg
import pytest

from models.session import transaction
from ops.dead_letters import inbox, replay, replay_batch
from ops.dead_letters.inbox import Filters
from ops.problems import Problem
from ops.tenants import manage
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar


def send(dead_letter: str) -> replay.Line:
    with transaction() as connection:
        return replay.send(connection, dead_letter, who="tester", reason=None, batch="b")


def settle(enrollment: int) -> None:
    """What a worker does that succeeds."""
    run_sql("DELETE FROM message WHERE subject_id = :id", id=enrollment)
    run_sql("UPDATE enrollment SET applied_version = version WHERE id = :id", id=enrollment)


def test_a_replay_sends_the_newest_state_and_clears_the_failure(acme: int) -> None:
    # given
    enrollment = add_enrollment(acme, "80", failed_code="functional")
    letter = add_dead_letter(acme, enrollment)
    # when
    told = send(letter)
    # then
    assert told["result"] == "replayed"
    assert scalar('SELECT version FROM message WHERE subject_id = :id AND "full"', id=enrollment) == 2
    assert scalar("SELECT failed_code FROM enrollment") is None
    assert inbox.show(letter)["state"] == "replayed"
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'dead-letters replay'") == 1


def test_a_second_replay_does_nothing(acme: int) -> None:
    letter = add_dead_letter(acme, add_enrollment(acme, "80"))
    send(letter)
    assert send(letter)["result"] == "settled"
    assert scalar("SELECT count(*) FROM message") == 1
    assert scalar("SELECT replays FROM dead_letter") == 1


@pytest.mark.parametrize("change", ["UPDATE course SET active = false", "UPDATE enrollment SET row_state = 'rejected'"])
def test_what_is_wanted_no_more_is_superseded(acme: int, change: str) -> None:
    letter = add_dead_letter(acme, add_enrollment(acme, "80"))
    run_sql(change)
    told = send(letter)
    assert (told["result"], "no longer wanted" in (told["reason"] or "")) == ("superseded", True)


def test_what_was_done_meanwhile_is_superseded(acme: int) -> None:
    letter = add_dead_letter(acme, add_enrollment(acme, "80", applied_version=2))
    assert send(letter)["result"] == "superseded"
    assert scalar("SELECT count(*) FROM message") == 0


def test_a_dry_run_changes_nothing(acme: int) -> None:
    first = add_dead_letter(acme, add_enrollment(acme, "80"))
    second = add_dead_letter(acme, add_enrollment(acme, "81", applied_version=2))
    with transaction() as connection:
        lines = replay.preview(connection, [first, second])
    assert [line["result"] for line in lines] == ["will_do", "superseded"]
    assert scalar("SELECT count(*) FROM dead_letter WHERE state = 'open'") == 2


def test_a_paused_tenant_still_blocks_a_replay(acme: int) -> None:
    letter = add_dead_letter(acme, add_enrollment(acme, "80"))
    manage.pause("acme", reason="moving", direction=None, who="tester")
    assert send(letter)["result"] == "still_blocked"
    assert inbox.show(letter)["state"] == "open"


def test_the_canary_goes_alone_and_the_rest_follows_when_it_is_done(acme: int) -> None:
    # given
    enrollments = [add_enrollment(acme, str(number)) for number in range(80, 86)]
    letters = [add_dead_letter(acme, enrollment) for enrollment in enrollments]
    batch = replay_batch.create(letters, rate=1000, who="tester")
    # when, then
    fates = {letters[0]: "under_way"}
    assert replay_batch.advance(batch) == {"state": "running", "position": 1, "of": 6, "fates": fates}
    replay_batch.advance(batch)
    assert scalar("SELECT count(*) FROM message") == 1
    settle(enrollments[0])
    told = replay_batch.advance(batch)
    assert told is not None
    assert (told["state"], told["position"]) == ("done", 6)
    assert scalar("SELECT count(*) FROM message") == 5


def test_a_dead_canary_stops_the_batch(acme: int) -> None:
    # given
    enrollments = [add_enrollment(acme, str(number)) for number in range(80, 86)]
    batch = replay_batch.create([add_dead_letter(acme, one) for one in enrollments], rate=1000, who="tester")
    replay_batch.advance(batch)
    # when the first dies again
    run_sql("DELETE FROM message")
    add_dead_letter(acme, enrollments[0], number=2)
    # then
    told = replay_batch.advance(batch)
    assert told is not None
    assert told["state"] == "stopped"
    assert scalar("SELECT count(*) FROM message") == 0
    results = [line["result"] for line in replay_batch.lines(batch)]
    assert results == ["failed", *["not_sent"] * 5]


def test_failures_in_a_row_stop_a_batch(acme: int) -> None:
    enrollments = [add_enrollment(acme, str(number)) for number in range(80, 90)]
    letters = [add_dead_letter(acme, one) for one in enrollments]
    batch = replay_batch.create(letters, rate=3, max_failures=2, who="tester")
    replay_batch.advance(batch)
    settle(enrollments[0])
    run_sql("UPDATE replay_batch SET created_at = now() - interval '1 second'")
    replay_batch.advance(batch)  # so many as one second at 3 a second has earned
    sent = int(scalar("SELECT count(*) FROM dead_letter WHERE state = 'replayed'"))
    run_sql("DELETE FROM message")
    for enrollment in enrollments[1:sent]:
        add_dead_letter(acme, enrollment, number=2)
    told = replay_batch.advance(batch)
    assert told is not None
    assert 3 <= sent <= 5
    assert told["state"] == "stopped"
    assert scalar("SELECT count(*) FROM message") == 0


def test_a_batch_comes_again_for_a_letter_that_is_held_and_keeps_what_it_sent(acme: int, database_url: str) -> None:
    # given a batch whose first message is done
    enrollments = [add_enrollment(acme, str(number)) for number in range(80, 84)]
    letters = [add_dead_letter(acme, enrollment) for enrollment in enrollments]
    batch = replay_batch.create(letters, rate=1000, who="tester")
    replay_batch.advance(batch)
    settle(enrollments[0])
    # when another transaction holds the third letter
    with psycopg.connect(database_url) as other:
        other.execute("SELECT id FROM dead_letter WHERE id = %s FOR UPDATE", [letters[2]])
        told = replay_batch.advance(batch)
    # then what comes before it is sent, and it and the rest with the next tick
    assert told is not None
    assert (told["state"], told["position"]) == ("running", 2)
    assert scalar("SELECT count(*) FROM message WHERE subject_id = :id", id=enrollments[1]) == 1
    told = replay_batch.advance(batch)
    assert told is not None
    assert (told["state"], told["position"]) == ("done", 4)
    assert scalar("SELECT count(*) FROM message") == 3


def test_a_cancelled_batch_sends_no_more(acme: int) -> None:
    letters = [add_dead_letter(acme, add_enrollment(acme, str(number))) for number in (80, 81)]
    batch = replay_batch.create(letters, who="tester")
    assert replay_batch.cancel(batch) is True
    replay_batch.advance(batch)
    assert scalar("SELECT count(*) FROM message") == 0
    assert replay_batch.cancel(batch) is False


def test_a_discard_needs_a_reason_and_is_kept(acme: int) -> None:
    letter = add_dead_letter(acme, add_enrollment(acme, "80"))
    with pytest.raises(Problem, match="reason is empty"):
        inbox.discard([letter], reason=" ", who="tester")
    assert inbox.discard([letter], reason="left", who="tester") == {"discarded": 1, "settled": 0}
    assert inbox.discard([letter], reason="left", who="tester") == {"discarded": 0, "settled": 1}
    assert send(letter)["result"] == "settled"


def test_filters_choose_open_ones_and_groups_count_them(acme: int) -> None:
    first = add_dead_letter(acme, add_enrollment(acme, "80"))
    add_dead_letter(acme, add_enrollment(acme, "81"), error="other")
    add_dead_letter(acme, add_enrollment(acme, "82"), state="discarded")
    assert inbox.choose([], Filters(error="functional"), everything=False) == [first]
    assert len(inbox.choose([], Filters(), everything=True)) == 2
    assert [group["count"] for group in inbox.groups(Filters())] == [3]
    with pytest.raises(Problem, match="or say --all"):
        inbox.choose([], Filters(), everything=False)
    with pytest.raises(Problem, match="no dead letter 'nope'"):
        inbox.choose(["nope"], Filters(), everything=False)
