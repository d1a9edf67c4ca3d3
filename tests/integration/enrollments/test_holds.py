"""What becomes of what a guard held: released, refused, cleared, expired; always checked again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text

from models.session import transaction
from ops import holds as ops_holds
from ops.people import links
from ops.problems import AlreadyDecided
from ops.runs import history
from producers.enrollments import decide_holds as decide
from producers.runs import request
from tests.fixtures.looking import enrolled, holds, lines, outcomes, retry_now
from tests.fixtures.world import World, now_removals
from workers.runs import finalizer

WHO = {"reason": "it is so", "who": "tester"}


def _fill(world: World, count: int = 30, **limits: float) -> None:
    world.set_tenant(removals=now_removals(**{"event_count": 3, "event_percent": 0, **limits}))
    for internal_id in range(1, count + 1):
        world.person(internal_id)
    world.sync()


def _leave(world: World, *internal_ids: int, event_id: int = 340) -> None:
    for internal_id in internal_ids:
        world.afas.remove(event_id, internal_id)


def _hold_two_addresses(world: World) -> dict[str, Any]:
    """Thirty people of whom 1 and 2 get new addresses, one more than may; the hold."""
    _fill(world, email_changes_count=1, email_changes_percent=0)
    for internal_id in (1, 2):
        world.afas.set_email(internal_id, f"nieuw{internal_id}@example.nl")
    world.sync()
    (hold,) = holds(world)
    return hold


def _release(
    world: World, hold_id: str, events: list[str] | None = None, persons: list[str] | None = None
) -> dict[str, int]:
    with transaction() as connection:
        done = decide.release(connection, hold_id, reason=WHO["reason"], who=WHO["who"], events=events, persons=persons)
    world.drain()
    return done


def _refuse(hold_id: str) -> dict[str, int]:
    with transaction() as connection:
        return decide.refuse(connection, hold_id, **WHO)


def test_hold_is_renewed_not_doubled(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    (first,) = holds(world)
    _leave(world, 5)
    second_run = world.sync()
    (second,) = holds(world)
    assert second["id"] == first["id"]
    assert second["people"] == ["1", "2", "3", "4", "5"]
    assert (second["run_id"], second["plan_hash"]) == (second_run.id, second_run.plan_hash)


def test_hold_clears_itself_inside_the_limits(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    world.person(1)
    run = world.sync()
    assert holds(world) == []
    assert len(holds(world, "cleared")) == 1
    assert run.removed == 3
    assert world.roster() == world.expected()


def test_hold_stays_through_a_run_that_could_not_read(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    world.fault("afas", "status", status=502, match={"operation": "page"})
    assert world.sync().snapshot == "partial"
    assert holds(world)[0]["people"] == ["1", "2", "3", "4"]


def test_released_whole_everybody_goes(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    run = world.sync()
    (hold,) = holds(world)
    assert _release(world, hold["id"]) == {"released": 4, "dropped": 0, "open": 0}
    assert world.roster() == world.expected()
    assert world.run(run.id).removed == 4
    assert len(holds(world, "released")) == 1
    with pytest.raises(decide.HoldClosed):
        _release(world, hold["id"])
    assert outcomes(world.sync()) == {"unchanged": 26}


def test_released_in_parts(world: World) -> None:
    # given a hold over two events
    _fill(world, run_count=3, run_percent=0, event_count=50)
    for internal_id in range(40, 50):
        world.person(internal_id, 341)
    world.sync()
    _leave(world, 1, 2, 3)
    _leave(world, 40, 41, event_id=341)
    world.sync()
    (hold,) = holds(world)
    assert hold["guard"] == "removals_run"
    # when
    assert _release(world, hold["id"], persons=["2"]) == {"released": 1, "dropped": 0, "open": 4}
    assert len(enrolled(world)) == 29
    assert _release(world, hold["id"], events=["341"]) == {"released": 2, "dropped": 0, "open": 2}
    assert len(enrolled(world, "341")) == 8
    # then the rest still waits
    assert holds(world)[0]["people"] == ["1", "3"]
    assert _release(world, hold["id"]) == {"released": 2, "dropped": 0, "open": 0}
    assert world.roster() == world.expected()


def test_who_came_back_is_dropped(world: World) -> None:
    # given
    _fill(world)
    _leave(world, 1, 2, 3, 4, 5)
    run = world.sync()
    (hold,) = holds(world)
    # when one is seen again in a run that can't clear the hold
    world.person(1)
    world.fault("afas", "doubled", count=1)
    world.fault("afas", "contradicting", column="Naam", to="Dubbel", count=1)
    assert world.sync().snapshot == "suspect"
    world.clear_faults()
    # then
    assert holds(world)[0]["people"] == ["2", "3", "4", "5"]
    assert [line["outcome"] for line in lines(world, run, 1)] == ["dropped"]
    assert _release(world, hold["id"])["released"] == 4
    assert "p1@example.nl" in enrolled(world)


def test_released_create_of_somebody_who_left_meanwhile_is_dropped(world: World) -> None:
    # given
    _fill(world, creates_count=1, creates_percent=0)
    for internal_id in (50, 51, 52):
        world.person(internal_id)
    assert outcomes(world.sync()) == {"unchanged": 30, "held": 3}
    (hold,) = holds(world)
    assert hold["people"] == ["50", "51", "52"]
    # when one leaves, seen by a run for that person alone
    _leave(world, 51)
    world.sync(person="51")
    # then
    assert _release(world, hold["id"]) == {"released": 2, "dropped": 1, "open": 0}
    assert world.roster() == world.expected()


def test_released_create_happens_once(world: World) -> None:
    _fill(world, creates_count=1, creates_percent=0)
    for internal_id in (50, 51):
        world.person(internal_id)
        world.person(internal_id, 341)
    run = world.sync()
    (hold,) = holds(world)
    assert _release(world, hold["id"])["released"] == 4
    assert world.roster() == world.expected()
    assert len(world.pluvo.users) == 32
    assert outcomes(world.run(run.id)) == {"unchanged": 30, "created": 2, "updated": 2}


def test_released_change_that_was_overtaken_is_dropped(world: World) -> None:
    # given two held new addresses
    hold = _hold_two_addresses(world)
    # when one of them is taken back, with another name, and that is done
    world.afas.set_email(1, "p1@example.nl")
    world.afas.rename(1, "Getrouwd")
    world.sync(person="1")
    # then its line is no longer on it
    assert holds(world)[0]["people"] == ["2"]
    assert _release(world, hold["id"]) == {"released": 1, "dropped": 0, "open": 0}
    assert world.user("p1@example.nl")["name"] == "Getrouwd"
    assert world.roster() == world.expected()


def test_released_line_does_not_disturb_a_newer_run(world: World) -> None:
    # given a hold, and later work for somebody else on it that waits
    hold = _hold_two_addresses(world)
    world.afas.rename(3, "Hernoemd")
    world.fault("pluvo", "status", status=502, match={"operation": "updateUser"})
    newer = world.sync(person="3")
    world.clear_faults()
    # when
    _release(world, hold["id"])
    retry_now(world)
    world.drain()
    # then
    assert [(line["outcome"], line["reason"]) for line in lines(world, newer, 3)] == [("updated", None)]
    assert world.roster() == world.expected()


def test_refused_hold_is_not_raised_again_for_the_same_people(world: World) -> None:
    # given
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    (hold,) = holds(world)
    # when
    assert _refuse(hold["id"])["refused"] == 4
    for _ in range(2):
        run = world.sync()
        assert (run.removed, run.held_removals, holds(world)) == (0, 0, [])
    assert len(enrolled(world)) == 30
    # then others are still judged by themselves
    _leave(world, 5, 6, 7)
    assert world.sync().removed == 3
    # and who was back in between may leave again
    world.person(1)
    world.sync()
    _leave(world, 1)
    assert world.sync().removed == 1


def test_refused_new_address_stays_refused_until_it_is_another_one(world: World) -> None:
    _refuse(_hold_two_addresses(world)["id"])
    run = world.sync()
    assert outcomes(run) == {"unchanged": 28, "rejected": 2}
    assert {line["reason"] for line in lines(world, run)} == {"refused_by_operator"}
    world.afas.set_email(1, "weer-anders@example.nl")
    assert outcomes(world.sync()) == {"unchanged": 28, "updated": 1, "rejected": 1}
    # the old address again is nothing to refuse
    world.afas.set_email(2, "p2@example.nl")
    assert outcomes(world.sync()) == {"unchanged": 30}


def test_released_short_snapshot_makes_the_smaller_roster_the_base(world: World) -> None:
    # given
    _fill(world, event_count=500)
    _leave(world, *range(11, 31))
    run = world.sync()
    assert (run.snapshot, run.held_removals) == ("suspect", 20)
    (hold,) = holds(world)
    # when
    assert _release(world, hold["id"])["released"] == 20
    # then
    assert world.roster() == world.expected()
    run = world.sync()
    assert (run.snapshot, outcomes(run)) == ("complete", {"unchanged": 10})


def test_short_snapshot_that_was_no_more_than_a_hiccup_clears_itself(world: World) -> None:
    _fill(world)
    world.fault("afas", "empty", times=1)
    run = world.sync()
    assert (run.snapshot, run.held_removals) == ("suspect", 30)
    run = world.sync()
    assert (run.snapshot, holds(world)) == ("complete", [])
    assert world.roster() == world.expected()


def test_hold_expires_after_seven_days_and_is_raised_afresh(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    (hold,) = holds(world)
    with transaction() as connection:
        assert decide.expire(connection) == 0
    world.rows("UPDATE hold SET expires_at = expires_at - interval '7 days 1 second' RETURNING id")
    with transaction() as connection:
        assert decide.expire(connection) == 1
    with pytest.raises(decide.HoldClosed):
        _release(world, hold["id"])
    world.sync()
    assert holds(world)[0]["id"] != hold["id"]
    assert len(enrolled(world)) == 30


def test_release_asked_for_again_by_a_next_run_goes_on(world: World) -> None:
    # given released removals that can't get through yet
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    run = world.sync()
    world.fault("pluvo", "status", status=502, match={"operation": "unenrollUserFromOfferEvent"})
    _release(world, holds(world)[0]["id"])
    # when the next run sees the same people away
    second = world.sync()
    # then it does not ask again
    assert (second.held_removals, holds(world)) == (0, [])
    world.clear_faults()
    retry_now(world)
    world.drain()
    assert world.run(run.id).removed == 4


def test_run_for_one_person_adds_to_a_hold_and_takes_nothing_away(world: World) -> None:
    # given a hold that a whole run raised
    _fill(world, window_count=2, window_percent=0, event_count=50)
    _leave(world, 1, 2, 3)
    world.sync()
    (before,) = holds(world)
    # when one more is handled alone
    _leave(world, 4)
    world.rows(
        """INSERT INTO plan_line (run_id, tenant_id, is_row, action, kind, outcome, event_id, internal_id)
           SELECT run_id, tenant_id, false, 'unenroll', 'removal', 'removed', '340', '99'
             FROM plan_line CROSS JOIN generate_series(1, 2) WHERE kind = 'removal' AND internal_id = '1'
           RETURNING id"""
    )
    world.sync(person="4")
    # then
    (after,) = holds(world)
    assert after["people"] == ["1", "2", "3", "4"]
    assert after["id"] == before["id"]
    assert _release(world, after["id"]) == {"released": 4, "dropped": 0, "open": 0}
    assert world.roster() == world.expected()


def test_unknown_hold_is_told(world: World) -> None:
    with pytest.raises(KeyError):
        _release(world, "nothing")


def test_hold_that_each_run_renews_expires_seven_days_after_it_was_raised(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    for _ in range(7):
        world.rows("UPDATE hold SET expires_at = expires_at - interval '1 day 1 second' RETURNING id")
        with transaction() as connection:
            decide.expire(connection)
        world.sync()
    assert len(holds(world, "expired")) == 1


def test_short_snapshot_released_bit_by_bit_is_the_new_base(world: World) -> None:
    _fill(world, event_count=500)
    _leave(world, *range(11, 31))
    world.sync()
    (hold,) = holds(world)
    _release(world, hold["id"], persons=["11", "12"])
    assert _release(world, hold["id"], events=["340"])["open"] == 0
    assert world.roster() == world.expected()
    assert (world.sync().snapshot, holds(world)) == ("complete", [])


def test_short_snapshot_with_nobody_to_remove_can_be_made_the_base(world: World) -> None:
    # given a policy that removes nobody
    _fill(world)
    world.set_tenant(removals={"policy": "keep", "confirm_after": 0, "limits": {}})
    _leave(world, *range(11, 31))
    assert world.sync().snapshot == "suspect"
    (hold,) = holds(world)
    assert (hold["guard"], hold["people"]) == ("short_snapshot", [])
    # when
    ops_holds.release(hold["id"], events=[], persons=[], reason="it is so", who="tester")
    # then
    assert (world.sync().snapshot, holds(world)) == ("complete", [])


def test_refused_short_snapshot_leaves_nothing_to_be_decided(world: World) -> None:
    # given a listing that lost twenty of thirty people, and an operator who says that they are not gone
    _fill(world, event_count=500)
    _leave(world, *range(11, 31))
    assert world.sync().snapshot == "suspect"
    (hold,) = holds(world)
    _refuse(hold["id"])
    # when AFAS goes on like that
    for _ in range(2):
        run = _ended(world.sync().id)
        # then nobody is asked again, and nobody is taken out
        assert (run["status"], run["snapshot"], holds(world)) == ("done", "complete", [])
        assert len(enrolled(world)) == 30
    # and one more who leaves is judged by the limits, as ever
    _leave(world, 10)
    assert world.sync().removed == 1
    assert len(enrolled(world)) == 29
    # and who is back is as before: gone again, they are asked about again
    for internal_id in range(10, 31):
        world.person(internal_id)
    assert world.sync().snapshot == "complete"
    _leave(world, *range(11, 31))
    assert (world.sync().snapshot, len(holds(world))) == ("suspect", 1)
    assert len(enrolled(world)) == 30


def test_refused_empty_listing_leaves_nothing_to_be_decided(world: World) -> None:
    _fill(world)
    _leave(world, *range(1, 31))
    assert world.sync().snapshot == "suspect"
    _refuse(holds(world)[0]["id"])
    run = _ended(world.sync().id)
    assert (run["status"], holds(world), len(enrolled(world))) == ("done", [], 30)


def _ended(run_id: str) -> dict[str, Any]:
    finalizer.finalize()
    return dict(history.show(run_id))


def test_a_release_is_foretold_line_by_line(world: World) -> None:
    # given four held removals: one person is back, of another the link was removed, one event is no longer linked
    _fill(world)
    for internal_id in (40, 41):
        world.person(internal_id, 341)
    world.set_tenant(removals=now_removals(event_count=0, event_percent=0))
    world.sync()
    _leave(world, 1, 2, 3)
    _leave(world, 40, event_id=341)
    world.sync()
    by_event = {hold["event_id"]: hold["id"] for hold in holds(world)}
    world.rows("UPDATE course SET active = false WHERE event_id = '341' RETURNING id")
    world.rows(
        """UPDATE enrollment e SET row_state = 'present', absent_since = NULL FROM person p
            WHERE p.id = e.person_id AND p.internal_id = '2' RETURNING e.id"""
    )
    links.remove("acme", "3", erase=False, who="tester")
    # then
    told = ops_holds.preview(by_event["340"])
    assert {line["internal_id"]: line["why"] for line in told["lines"]} == {
        "1": None, "2": "came_back", "3": "no_longer_linked",
    }  # fmt: skip
    assert (told["open"], told["going"], told["dropped"]) == (3, 1, {"came_back": 1, "no_longer_linked": 1})
    assert ops_holds.preview(by_event["341"])["dropped"] == {"course_inactive": 1}
    # and so it comes, with the reasons beside the lines that were dropped
    done = ops_holds.release(by_event["340"], events=[], persons=[], reason="it is so", who="tester")
    assert (done["released"], done["dropped"]) == (1, 2)
    shown = {line["internal_id"]: (line["state"], line["reason"]) for line in ops_holds.show(by_event["340"])["lines"]}
    assert shown == {"1": ("released", None), "2": ("dropped", "came_back"), "3": ("dropped", "no_longer_linked")}


def test_some_lines_of_a_hold_go_and_the_rest_waits(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    (hold,) = holds(world)
    chosen = [line["id"] for line in ops_holds.show(hold["id"])["lines"] if line["internal_id"] in ("2", "3")]
    done = ops_holds.release(hold["id"], events=[], persons=[], lines=chosen, reason="those two", who="anna")
    assert (done["released"], done["open"]) == (2, 2)
    # the same lines once more: somebody else was first
    with pytest.raises(AlreadyDecided, match="anna decided at"):
        ops_holds.release(hold["id"], events=[], persons=[], lines=chosen, reason="those two", who="bert")
    # and a hold that a later run changed is not decided by what was seen before
    seen = ops_holds.show(hold["id"])["plan_hash"]
    _leave(world, 5, 6, 7, 8)
    world.sync()
    with pytest.raises(AlreadyDecided, match="changed since it was looked at"):
        ops_holds.release(hold["id"], events=[], persons=[], plan_hash=seen, reason="all", who="bert")


def test_two_operators_who_release_at_once_are_told_who_was_first(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    (hold,) = holds(world)
    together = Barrier(2)

    def release(who: str) -> object:
        together.wait()
        try:
            return ops_holds.release(hold["id"], events=[], persons=[], reason="it is so", who=who)["released"]
        except AlreadyDecided as problem:
            return str(problem)

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(release, ("anna", "bert")), key=str)
    winner = world.rows("SELECT who FROM operator_action WHERE verb = 'holds release'")
    assert (first, len(winner)) == (4, 1)
    assert f"released already, by {winner[0]['who']} at" in str(second)
    world.drain()
    assert world.roster() == world.expected()


def test_two_thousand_held_lines_are_paged(world: World) -> None:
    _fill(world, 3, event_count=0)
    _leave(world, 1)
    world.sync()
    (hold,) = holds(world)
    with transaction() as connection:
        connection.execute(
            text(
                """WITH people AS (
                       INSERT INTO person (tenant_id, internal_id) SELECT :tenant, CAST(1000 + n AS text)
                         FROM generate_series(1, 2000) n RETURNING id, internal_id),
                   enrolled AS (
                       INSERT INTO enrollment (tenant_id, person_id, course_id) SELECT :tenant, p.id, c.id
                         FROM people p JOIN course c ON c.tenant_id = :tenant AND c.event_id = '340'
                       RETURNING id, person_id)
                   INSERT INTO hold_line (hold_id, tenant_id, enrollment_id, event_id, internal_id, action)
                   SELECT :hold, :tenant, e.id, '340', p.internal_id, 'unenroll'
                     FROM enrolled e JOIN people p ON p.id = e.person_id"""
            ),
            {"tenant": world.tenant_id, "hold": hold["id"]},
        )
    seen: list[int] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor:
        found = ops_holds.show(hold["id"], limit=500, cursor=cursor)
        seen += [int(line["internal_id"]) for line in found["lines"]]
        cursor, pages = found["next"], pages + 1
    assert (pages, len(seen), seen == sorted(seen)) == (5, 2001, True)
    assert (found["count"], found["events"]) == (2001, [{"event_id": "340", "lines": 2001, "open_lines": 2001}])


def test_who_decides_about_all_that_they_looked_at_decides_about_nobody_who_was_put_there_since(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    (looked_at,) = holds(world)
    # when a run for one person puts another line there
    _leave(world, 5)
    world.sync(person="5")
    (now,) = holds(world)
    assert (now["id"], now["people"]) == (looked_at["id"], ["1", "2", "3", "4", "5"])
    # then
    chosen: dict[str, Any] = {"events": [], "persons": [], **WHO}
    with pytest.raises(AlreadyDecided, match="look again"):
        ops_holds.release(now["id"], plan_hash=looked_at["plan_hash"], **chosen)
    with pytest.raises(AlreadyDecided, match="look again"):
        ops_holds.refuse(now["id"], plan_hash=looked_at["plan_hash"], **WHO)
    assert ops_holds.release(now["id"], plan_hash=now["plan_hash"], **chosen)["released"] == 5


def test_the_next_page_of_a_hold_that_a_run_renewed_meanwhile_is_refused_and_not_empty(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    (hold,) = holds(world)
    first = ops_holds.show(hold["id"], limit=2)
    assert first["next"] is not None
    # when
    world.sync()
    # then
    with pytest.raises(AlreadyDecided, match="look again"):
        ops_holds.show(hold["id"], limit=2, cursor=first["next"])
    assert len(ops_holds.show(hold["id"])["lines"]) == 4


def test_a_hold_shows_how_many_rows_the_last_readings_had(world: World) -> None:
    _fill(world)
    for internal_id in (31, 32):
        world.person(internal_id)
        world.sync()
    world.sync(person="5")
    _leave(world, *range(11, 31))
    world.sync()
    (hold,) = holds(world)
    reads = ops_holds.show(hold["id"])["reads"]
    assert [(one["rows"], one["snapshot"]) for one in reads] == [
        (12, "suspect"), (32, "complete"), (31, "complete"), (30, "complete"),
    ]  # fmt: skip
    assert hold["measure"] == {"rows": 12, "base": 32}


def test_runs_for_one_person_take_nothing_off_a_hold(world: World) -> None:
    # given four removals where three may go
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    # when those and one more are asked for one by one
    _leave(world, 5)
    for internal_id in (1, 2, 3, 4, 5):
        world.sync(person=str(internal_id))
    # then
    assert len(enrolled(world)) == 30
    (hold,) = holds(world)
    assert hold["people"] == ["1", "2", "3", "4", "5"]
    assert _release(world, hold["id"])["released"] == 5
    assert world.roster() == world.expected()


def test_held_removals_stay_held_in_a_run_that_read_only_some_events(world: World) -> None:
    # given a hold over two events
    _fill(world, run_count=3, run_percent=0, event_count=50)
    for internal_id in range(40, 50):
        world.person(internal_id, 341)
    world.sync()
    _leave(world, 1, 2)
    _leave(world, 40, 41, event_id=341)
    world.sync()
    # when one of them can't be read, and the rest alone would be inside the limits
    world.fault("afas", "status", status=502, match={"operation": "page", "path_contains": "341"})
    world.sync()
    # then
    assert holds(world)[0]["people"] == ["1", "2", "40", "41"]
    assert len(enrolled(world)) == 30


def test_released_creates_that_wait_are_not_held_again(world: World) -> None:
    # given
    _fill(world, creates_count=1, creates_percent=0)
    for internal_id in (50, 51, 52):
        world.person(internal_id)
    world.sync()
    (hold,) = holds(world)
    world.fault("pluvo", "status", status=502, match={"operation": "createUser"})
    _release(world, hold["id"])
    world.clear_faults()
    # when the next run plans them again
    second = world.sync()
    # then
    assert (outcomes(second).get("held"), holds(world)) == (None, [])
    retry_now(world)
    world.drain()
    assert world.roster() == world.expected()


def test_released_hold_of_a_stopped_run_goes_on(world: World) -> None:
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.afas.rename(9, "Anders")
    run = world.begin()
    with transaction() as connection:
        assert request.request_stop(connection, run.id) == "stopped"
    (hold,) = holds(world)
    _release(world, hold["id"])
    assert world.roster() == world.expected()


def test_released_content_that_afas_took_back_meanwhile_is_dropped(world: World) -> None:
    # given two held addresses, of which one is as before in a run that can't clear the hold
    hold = _hold_two_addresses(world)
    world.afas.set_email(1, "p1@example.nl")
    world.fault("afas", "status", status=502, match={"operation": "page", "path_contains": "341"})
    world.sync()
    world.clear_faults()
    # when
    _release(world, hold["id"])
    # then
    assert world.roster() == world.expected()


def test_released_line_of_somebody_whose_link_was_changed_is_dropped(world: World) -> None:
    hold = _hold_two_addresses(world)
    links.set_link("acme", "1", world.pluvo.add_user("elders@example.org", "Iemand")["id"], who="tester")
    assert _release(world, hold["id"]) == {"released": 1, "dropped": 1, "open": 0}


def test_the_same_removal_is_on_one_hold_only(world: World) -> None:
    # given removals held for their number, and then by a listing that is short
    _fill(world)
    _leave(world, 1, 2, 3, 4)
    world.sync()
    world.fault("afas", "empty", times=1)
    world.sync()
    # then
    on = world.rows("SELECT enrollment_id, count(*) AS n FROM hold_line WHERE state = 'open' GROUP BY 1")
    assert {row["n"] for row in on} == {1}


def test_refused_address_stays_refused_in_another_event(world: World) -> None:
    _refuse(_hold_two_addresses(world)["id"])
    world.afas.remove(340, 1)
    world.person(1, 341, email_primary="nieuw1@example.nl")
    world.sync()
    assert world.pluvo.find_user(email="nieuw1@example.nl") is None
