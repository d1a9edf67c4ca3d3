"""Dead letters: found, counted, replayed once, discarded with a reason."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from models.session import transaction
from ops import access, audit
from ops.access import Actor, Role
from ops.dead_letters import faults, inbox, replay, replay_batch, replays
from ops.dead_letters.inbox import Filters
from ops.language import Language
from ops.listing import rows
from ops.problems import AlreadyDecided, Forbidden, NotThere, Problem
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
    assert inbox.discard([letter], reason="left", who="tester") == {"discarded": 1, "settled": 0, "first": []}
    again = inbox.discard([letter], reason="left", who="tester")
    assert (again["discarded"], again["settled"], again["first"][0]["who"]) == (0, 1, "tester")
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


def many(acme: int, count: int, **columns: str) -> list[str]:
    """So many open dead letters, each of an enrollment of its own, made by two statements."""
    run_sql(
        "INSERT INTO person (tenant_id, internal_id) SELECT :tenant, CAST(n AS text)"
        " FROM generate_series(5001, 5000 + :count) n",
        tenant=acme,
        count=count,
    )
    run_sql(
        "INSERT INTO enrollment (tenant_id, person_id, course_id, version, applied_version, state, failed_code)"
        " SELECT p.tenant_id, p.id, c.id, 2, 1, 'enrolled', 'functional' FROM person p JOIN course c"
        " ON c.tenant_id = p.tenant_id AND c.event_id = '340' WHERE p.tenant_id = :tenant AND p.internal_id > '5000'",
        tenant=acme,
    )
    run_sql(
        "INSERT INTO link (tenant_id, person_id, pluvo_id, state) SELECT tenant_id, id, 'p' || internal_id, 'linked'"
        " FROM person WHERE tenant_id = :tenant AND internal_id > '5000'",
        tenant=acme,
    )
    run_sql(
        "INSERT INTO dead_letter (id, tenant_id, kind, direction, subject_id, internal_id, event_id, error, message,"
        " attempts, fingerprint, code_version) SELECT '01K' || lpad(CAST(e.id AS text), 23, '0'), e.tenant_id,"
        " 'enrollment.upsert', 'enrollments', e.id, p.internal_id, '340', :error, 'no', 1, :print, '0'"
        " FROM enrollment e JOIN person p ON p.id = e.person_id WHERE e.tenant_id = :tenant AND p.internal_id > '5000'",
        tenant=acme,
        error=columns.get("error", "functional"),
        print=columns.get("fingerprint", "f00"),
    )
    return inbox.choose([], Filters(), everything=True)


STATES = (
    "UPDATE dead_letter SET state = 'discarded' WHERE internal_id LIKE '%1'",
    "UPDATE enrollment SET applied_version = version, failed_code = NULL WHERE id % 10 = 2",
    "UPDATE link SET state = 'ambiguous', decision = NULL WHERE id % 10 = 3",
    "UPDATE enrollment SET row_state = 'rejected' WHERE id % 10 = 4",
    "UPDATE enrollment SET desired = 'removed' WHERE id % 10 = 5",
    "UPDATE enrollment SET outcome = 'held' WHERE id % 10 = 6",
    "UPDATE link SET pluvo_id = NULL WHERE id % 10 = 7",
    "INSERT INTO message (tenant_id, kind, direction, subject_id, lock, version) SELECT tenant_id, 'enrollment.upsert',"
    " 'enrollments', id, 'x', 2 FROM enrollment WHERE id % 10 = 8",
)


def test_verdicts_are_counted_as_each_letter_alone_is_judged(acme: int) -> None:
    # given letters in all states that a replay tells apart
    letters = many(acme, 60)
    for change in STATES:
        run_sql(change)
    # when
    with transaction() as connection:
        counted = replay.count(connection, ids=letters)
        alone = replay.preview(connection, letters)
    # then each letter is in the group that it would be in by itself
    told = {letter: (one["result"], one["reason"]) for one, ids in counted for letter in ids}
    assert told == {line["id"]: (line["result"], line["reason"]) for line in alone}
    assert sum(one["count"] for one, _ in counted) == 60
    assert len(counted) >= 6


def test_a_replay_of_thousands_is_previewed_by_a_handful_of_judgements(acme: int) -> None:
    letters = many(acme, 2000)
    run_sql("UPDATE enrollment SET row_state = 'rejected' WHERE id % 4 = 0")
    found = replays.preview(letters)
    assert (found["letters"], found["goes"], found["newest"]) == (2000, 1500, letters[-1])
    assert [(one["result"], one["count"]) for one in found["verdicts"]] == [("will_do", 1500), ("superseded", 500)]


def test_a_preview_by_filters_is_that_of_the_letters_they_choose(acme: int) -> None:
    letters = many(acme, 60)
    for change in STATES:
        run_sql(change)
    run_sql("UPDATE dead_letter SET error = 'timeout' WHERE internal_id LIKE '%5'")
    for filters in (Filters(), Filters(error="timeout"), Filters("acme", upto=letters[40]), Filters(kind="nothing")):
        everything = not filters.given
        chosen = inbox.choose([], filters, everything=everything)
        assert replays.preview_matching(filters, everything=everything) == replays.preview(chosen)
    with pytest.raises(Problem, match="or say --all"):
        replays.preview_matching(Filters())
    with access.acting(Actor("eva", Role.VIEWER, frozenset())):
        assert replays.preview_matching(Filters(), everything=True)["letters"] == 0


def test_many_need_a_reason_and_it_goes_with_the_batch_and_each_letter(acme: int) -> None:
    letters = many(acme, 30)
    with pytest.raises(Problem, match="say why with --reason"):
        replays.begin(letters)
    begun = replays.begin(letters, reason="Pluvo is back", who="anna")
    assert (begun["letters"], begun["left_out"]) == (30, [])
    shown = replays.show(begun["batch"])
    assert (shown["state"], shown["reason"], shown["counts"]) == (
        "running",
        "Pluvo is back",
        {"under_way": 1, "not_sent": 29},
    )
    assert shown["canary"] is not None
    assert shown["canary"]["id"] == letters[0]
    assert inbox.show(letters[0])["closed_reason"] == "Pluvo is back"
    done = audit.of(begun["batch"])
    assert [(one["verb"], one["who"], one["detail"]) for one in done] == [
        ("replays start", "anna", {"letters": 30, "rate": "10"})
    ]


def test_a_few_need_no_reason(acme: int) -> None:
    assert replays.begin(many(acme, 25))["letters"] == 25


def test_what_can_not_go_is_left_out_and_told(acme: int) -> None:
    letters = many(acme, 4)
    run_sql("UPDATE link SET state = 'ignored', decision = 'ignore' WHERE id % 2 = 0")
    begun = replays.begin(letters)
    assert begun["letters"] == 2
    assert [(one["result"], one["count"]) for one in begun["left_out"]] == [("still_blocked", 2)]
    run_sql("UPDATE link SET state = 'ignored', decision = 'ignore'")
    run_sql("DELETE FROM message")
    with pytest.raises(Problem, match="the person is ignored"):
        replays.begin(letters[1:2] if inbox.show(letters[0])["state"] != "open" else letters[:1])


def test_looking_at_a_replay_sends_nothing(acme: int) -> None:
    batch = replay_batch.create(many(acme, 3), who="tester")
    before = scalar("SELECT count(*) FROM message")
    assert replays.show(batch)["counts"] == {"not_sent": 3}
    assert [one["id"] for one in replays.listing().items] == [batch]
    assert scalar("SELECT count(*) FROM message") == before == 0


def test_what_was_earned_while_the_canary_was_away_does_not_go_all_at_once(acme: int) -> None:
    letters = many(acme, 200)
    batch = replay_batch.create(letters, rate=10, who="tester")
    replay_batch.advance(batch)
    settle(int(scalar("SELECT subject_id FROM dead_letter WHERE state = 'replayed'")))
    run_sql("UPDATE replay_batch SET created_at = now() - interval '1 minute'")
    replay_batch.advance(batch)
    assert int(scalar("SELECT count(*) FROM dead_letter WHERE state = 'replayed'")) <= 10


def test_a_replay_that_fails_again_says_why_and_names_the_new_letter(acme: int) -> None:
    # given a replayed letter whose work gave up again
    enrollment = add_enrollment(acme, "80")
    letter = add_dead_letter(acme, enrollment)
    batch = replay_batch.create([letter], who="tester")
    replay_batch.advance(batch)
    run_sql("DELETE FROM message")
    new = add_dead_letter(acme, enrollment, number=2, error="no_room")
    # then
    (line,) = replay_batch.lines(batch)
    assert (line["result"], line["reason"], line["again"]) == ("failed", "no_room: no", new)
    shown = replays.show(batch)
    assert [one["again"] for one in shown["failures"]] == [new]
    assert inbox.show(letter)["again"]["id"] == new
    assert [one["id"] for one in inbox.show(new)["before"]] == [letter]


def test_a_replay_is_cancelled_once_and_the_record_says_by_whom(acme: int) -> None:
    batch = replay_batch.create(many(acme, 3), who="anna")
    assert replay_batch.cancel(batch, who="bert") is True
    assert replay_batch.cancel(batch, who="carla") is False
    assert [(one["verb"], one["who"]) for one in audit.of(batch)] == [
        ("replays start", "anna"),
        ("replays cancel", "bert"),
    ]


def test_a_group_is_discarded_up_to_the_newest_letter_that_was_seen(acme: int) -> None:
    many(acme, 5)
    seen = inbox.count(Filters(fingerprint="f00"))
    later = add_dead_letter(acme, add_enrollment(acme, "80"))
    run_sql("UPDATE dead_letter SET id = '01Z' || substr(id, 4) WHERE id = :id", id=later)
    done = inbox.discard_matching(
        Filters(fingerprint="f00", upto=seen["newest"]), reason="the licence is extended", who="anna"
    )
    assert (seen["count"], done["discarded"], done["settled"]) == (5, 5, 0)
    assert inbox.count(Filters())["count"] == 1
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'dead-letters discard' AND who = 'anna'") == 5
    assert [(one["count"], one["who"], one["reason"]) for one in inbox.decided(Filters())] == [
        (5, "anna", "the licence is extended")
    ]


def test_of_two_operators_who_discard_a_group_at_once_the_second_is_told_who_was_first(acme: int) -> None:
    # given
    letters = many(acme, 200)
    done: dict[str, inbox.Discarded] = {}

    def discard(who: str) -> None:
        done[who] = inbox.discard(letters, reason="both at once", who=who)

    # when
    threads = [threading.Thread(target=discard, args=(who,)) for who in ("anna", "bert")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then every letter was closed by one of them, and each knows what the other did
    assert sum(one["discarded"] for one in done.values()) == 200
    for who, other in (("anna", "bert"), ("bert", "anna")):
        assert done[who]["settled"] == done[other]["discarded"]
        assert [one["who"] for one in done[who]["first"]] == ([other] if done[other]["discarded"] else [])
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'dead-letters discard'") == 200


def test_a_group_that_is_replayed_and_discarded_at_once_ends_each_letter_once(acme: int) -> None:
    # given
    letters = many(acme, 60)
    batch = replay_batch.create(letters, rate=100_000, who="anna")
    replay_batch.advance(batch)
    settle(int(scalar("SELECT subject_id FROM dead_letter WHERE state = 'replayed'")))
    # when
    threads = [
        threading.Thread(target=replay_batch.advance, args=(batch,)),
        threading.Thread(target=inbox.discard, args=(letters,), kwargs={"reason": "no", "who": "bert"}),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while replays.show(batch)["state"] == "running":
        replay_batch.advance(batch)
    # then a message is there for what was replayed and for nothing else
    states = {row["state"]: row["count"] for row in _by_state()}
    assert states.get("open", 0) == 0
    assert sum(states.values()) == 60
    assert scalar("SELECT count(*) FROM message") == states["replayed"] - 1


def _by_state() -> list[dict[str, Any]]:
    with transaction() as connection:
        return rows(connection, "SELECT state, count(*) AS count FROM dead_letter GROUP BY state")


def test_groups_say_how_many_gave_up_each_day_and_of_which_tenants(acme: int) -> None:
    many(acme, 6)
    run_sql("UPDATE dead_letter SET last_failed_at = now() - interval '2 days' WHERE subject_id % 2 = 0")
    (group,) = inbox.groups(Filters(state="open"))
    assert (group["slugs"], group["tenants"]) == (["acme"], 1)
    assert len(group["trend"]) == inbox.TREND_DAYS
    assert (group["trend"][-1], group["trend"][-3], sum(group["trend"])) == (3, 3, 6)
    assert faults.cause(group).say("nl").startswith("AFAS weigert") or faults.cause(group).say("nl")


@pytest.mark.parametrize("error", ["poison", "internal_error", "foreign_message", "unheard_of", "functional"])
@pytest.mark.parametrize("language", ["en", "nl"])
def test_every_error_of_a_letter_has_words(error: str, language: Language) -> None:
    letter = {"kind": "enrollment.upsert", "error": error}
    assert "?" not in faults.cause(letter).say(language)
    assert faults.action(letter).say(language) != faults.cause(letter).say(language)


def test_nobody_sees_or_discards_the_letters_of_a_tenant_that_is_not_theirs(acme: int) -> None:
    letters = many(acme, 3)
    batch = replay_batch.create(letters, who="tester")
    with access.acting(Actor("eva", Role.OPERATOR, frozenset({"beta"}))):
        assert inbox.groups(Filters()) == []
        assert replays.listing().items == []
        assert inbox.discard_matching(Filters(error="functional"), reason="mine?") == {
            "discarded": 0,
            "settled": 0,
            "first": [],
        }
        for look in (lambda: replays.show(batch), lambda: inbox.discard(letters, reason="mine?")):
            with pytest.raises(NotThere):
                look()
    with access.acting(Actor("vera", Role.VIEWER, frozenset({"acme"}))):
        assert inbox.groups(Filters())[0]["count"] == 3
        with pytest.raises(Forbidden):
            inbox.discard_matching(Filters(error="functional"), reason="may I?")
        with pytest.raises(Forbidden):
            replays.begin(letters)


def test_who_begins_a_replay_waits_for_no_more_than_a_moment(acme: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # given letters of which nothing is left to be done, and no time
    letters = many(acme, 20)
    run_sql("UPDATE enrollment SET applied_version = version, failed_code = NULL")
    monkeypatch.setattr(replay_batch, "MOST_SECONDS", -1.0)
    # when it begins, then one is looked at, and the next ticks do the rest
    batch = replays.begin(letters)["batch"]
    assert (replays.show(batch)["position"], replays.show(batch)["state"]) == (1, "running")
    for _ in range(19):
        replay_batch.advance(batch)
    assert replays.show(batch)["counts"] == {"superseded": 20}
    assert replays.show(batch)["state"] == "done"


def test_lines_of_a_replay_are_paged_by_place(acme: int) -> None:
    letters = many(acme, 7)
    batch = replay_batch.create(letters, who="tester")
    first = replays.show(batch, limit=4)
    second = replays.show(batch, limit=4, cursor=first["next"])
    assert [line["id"] for line in (*first["lines"], *second["lines"])] == letters
    assert second["next"] is None


def test_of_two_operators_who_replay_a_group_at_once_the_second_is_told_who_was_first(acme: int) -> None:
    # given
    letters = many(acme, 40)
    told: dict[str, str] = {}

    def begin(who: str) -> None:
        try:
            told[who] = replays.begin(letters, reason="both at once", who=who)["batch"]
        except AlreadyDecided as problem:
            told[who] = str(problem)

    # when
    threads = [threading.Thread(target=begin, args=(who,)) for who in ("anna", "bert")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then one replay is under way
    (batch,) = replays.listing().items
    first, second = sorted(told, key=lambda who: told[who] != batch["id"])
    assert told[second] == f"{first} is replaying these already: replay {batch['id']}."
    assert scalar("SELECT count(*) FROM message") == 1
    # and once it is over the letters that are left can be replayed by anybody
    replay_batch.cancel(batch["id"])
    assert replays.begin(letters[1:], reason="the rest", who=second)["letters"] == 39


def test_who_comes_when_all_is_under_way_is_told_who_was_first(acme: int) -> None:
    # given a replay whose canary is out already
    letters = many(acme, 3)
    batch = replays.begin(letters, reason="anna's", who="anna")["batch"]
    # when / then
    with pytest.raises(AlreadyDecided, match=f"anna is replaying these already: replay {batch}"):
        replays.begin(letters[:1], reason="bert's", who="bert")


def test_a_letter_that_is_sent_while_all_are_counted_does_not_speak_for_the_others(
    acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given letters of one group, of which the first is sent by somebody once they are grouped
    letters = many(acme, 30)
    read = replay._facts

    def meanwhile(connection: Connection, ids: list[str]) -> list[replay.Facts]:
        sent = threading.Thread(
            target=run_sql,
            args=("UPDATE dead_letter SET state = 'replayed' WHERE id = :id",),
            kwargs={"id": letters[0]},
        )
        sent.start()
        sent.join()
        return read(connection, ids)

    monkeypatch.setattr(replay, "_facts", meanwhile)
    # when
    found = replays.preview(letters)
    # then all of it is told as it was at one moment
    assert [(one["result"], one["count"]) for one in found["verdicts"]] == [("will_do", 30)]


def test_what_somebody_wrote_about_a_replay_goes_with_the_tenant(acme: int) -> None:
    batch = replay_batch.create(many(acme, 2), reason="Piet Jansen phoned", who="tester")
    manage.remove("acme", who="tester")
    assert replays.show(batch)["letters"] == 2
    assert scalar("SELECT reason FROM replay_batch WHERE id = :id", id=batch) is None


def test_letters_that_are_gone_do_not_end_the_list_of_a_replay(acme: int) -> None:
    letters = many(acme, 7)
    batch = replay_batch.create(letters, who="tester")
    run_sql("DELETE FROM dead_letter WHERE id = :id", id=letters[1])
    first = replays.show(batch, limit=4)
    second = replays.show(batch, limit=4, cursor=first["next"])
    told = [line["id"] for line in (*first["lines"], *second["lines"])]
    assert told == [letter for letter in letters if letter != letters[1]]
    assert second["next"] is None
