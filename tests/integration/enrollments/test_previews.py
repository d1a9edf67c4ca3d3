"""A plan that a worker only looks at, and a run that does exactly that plan or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import pytest

from models.run import PREVIEW, RunOptions
from models.session import transaction
from ops import holds as ops_holds
from ops import quality
from ops.documents import RunShown
from ops.problems import AlreadyDecided, NotThere, Problem
from ops.runs import history, lines, previews, start
from ops.runs.lines import LineFilters
from producers.runs import request
from tests.fixtures.beside import beside
from tests.fixtures.looking import enrolled, holds, outcomes
from tests.fixtures.world import WRITES, World, now_removals
from workers.maintenance import retention
from workers.runs import finalizer, runner


def look(world: World, **options: Unpack[RunOptions]) -> str:
    """A preview done as a worker does it; its id."""
    with transaction() as connection:
        run_id = request.request_run(connection, world.tenant_id, "enrollments", trigger=PREVIEW, options=options)
    work()
    return run_id


def work() -> str:
    """Do the run that is next as a worker does it; its id."""
    finalizer.finalize()
    lease = runner.claim()
    assert lease is not None
    runner.work(lease)
    return lease.run_id


def execute(world: World, preview: str) -> RunShown:
    """Carry a preview out, messages included."""
    assert previews.execute(preview, who="tester")["run"] == work()
    world.drain()
    finalizer.finalize()
    return history.show("last")


def writes(world: World) -> list[str]:
    """Calls that changed something in Pluvo."""
    return [call.operation for call in world.calls() if call.operation in WRITES]


def fill(world: World, count: int = 30, **limits: float) -> None:
    world.set_tenant(removals=now_removals(**{"event_count": 3, "event_percent": 0, **limits}))
    for internal_id in range(1, count + 1):
        world.person(internal_id)
    world.sync()


def test_a_preview_shows_what_the_first_run_would_do_and_changes_nothing(world: World) -> None:
    # given an account that is linked by its address, one that nobody of AFAS has, and two newcomers
    world.pluvo.add_user("p1@example.nl", "Iemand 1")
    world.pluvo.add_user("docent@example.org", "Docent")
    for internal_id in (1, 2, 3):
        world.person(internal_id)
    # when
    preview = look(world)
    # then
    found = previews.show(preview)
    run = found["run"]
    assert (run["status"], run["trigger"], run["preview"]) == ("dry_run", "preview", True)
    assert {name: count for name, count in run["outcomes"].items() if count} == {"created": 2, "linked": 1}
    assert found["adoption"] == {
        "by_afas_id": 0, "by_email": 1, "shared": 0, "to_create": 2, "ambiguous": 0, "only_in_pluvo": 1,
    }  # fmt: skip
    assert [(one["action"], one["outcome"], one["lines"]) for one in found["groups"]] == [
        ("create", "created", 2),
        ("link", "linked", 1),
    ]
    assert {line["after"]["name"] for line in run["lines"] if line["after"]} == {f"Persoon {n}" for n in (1, 2, 3)}
    assert writes(world) == []
    for table in ("person", "enrollment", "message", "hold", "snapshot_row", "directory_user"):
        assert world.rows(f"SELECT 1 FROM {table}") == []


def test_what_a_preview_showed_is_done_and_no_second_time(world: World) -> None:
    fill(world, 5)
    world.person(6)
    world.afas.rename(1, "Nieuwe Naam")
    preview = look(world)
    run = execute(world, preview)
    assert (run["status"], run["outcomes"]["created"], run["outcomes"]["updated"]) == ("done", 1, 1)
    assert run["plan_hash"] == previews.show(preview)["run"]["plan_hash"]
    assert world.roster() == world.expected()
    assert [one["run"] for one in previews.show(preview)["carried_out"]] == [run["id"]]
    with pytest.raises(AlreadyDecided, match=run["id"]):
        previews.execute(preview, who="somebody else")


def test_carrying_out_a_plan_and_starting_a_run_at_the_same_moment_never_block_each_other(world: World) -> None:
    # given a new tenant, whose timetable begins with either
    world.person(1)
    preview = look(world)
    world.rows("UPDATE tenant_direction SET state = 'new' RETURNING id")
    # when somebody starts a run who has its directions already and wants its runs next
    started = (
        ("UPDATE tenant_direction SET state = 'healthy' WHERE tenant_id = %s", world.tenant_id),
        ("SELECT pg_advisory_xact_lock(7301004, hashtext(%s))", f"{world.tenant_id}:enrollments"),
    )
    failed = beside(started, lambda: previews.execute(preview, who="tester"))
    # then
    assert failed == []
    assert len(previews.show(preview)["carried_out"]) == 1


def test_the_whole_plan_of_a_preview_is_told_whatever_its_length(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MAX_LIMIT", 2)
    for internal_id in range(1, 6):
        world.person(internal_id)
    preview = look(world)
    (told,) = previews.with_plans({"batch": "B", "runs": history.by_ids([preview])})["runs"]
    assert told["plan"]["hash"] == previews.show(preview)["run"]["plan_hash"]
    assert [line["internal_id"] for line in told["plan"]["lines"]] == ["1", "2", "3", "4", "5"]


def test_a_dry_run_is_kept_with_the_numbers_of_a_preview(world: World) -> None:
    def kept(run_id: str) -> dict[str, Any]:
        (found,) = world.rows(
            """SELECT status, plan_hash, rows, outcomes, removed, held_removals, pending_removals, looked
                 FROM run WHERE id = :id AND calls_afas > 0""",
            id=run_id,
        )
        return found

    # given a first run to come
    world.pluvo.add_user("docent@example.org", "Docent")
    world.person(1)
    planned = world.plan()
    assert planned.adoption is not None
    assert [one["email"] for one in planned.adoption.only_in_pluvo] == ["docent@example.org"]
    assert kept(planned.run_id) == kept(look(world))
    # and then somebody who left
    fill(world, 5)
    world.afas.remove(340, 5)
    planned = world.plan()
    assert (planned.removals, kept(planned.run_id)["removed"]) == (1, 1)
    assert kept(planned.run_id) == kept(look(world))


def a_newcomer(world: World) -> None:
    world.person(99)


def another_name(world: World) -> None:
    world.afas.rename(8, "Nog een Naam")


def a_released_hold(world: World) -> None:
    ops_holds.release("last", events=[], persons=[], reason="it is so", who="tester")
    world.drain()


def a_refused_hold(world: World) -> None:
    ops_holds.refuse("last", reason="it is not so", who="tester")


def another_target(world: World) -> None:
    world.pluvo.add_offer_event("Event 999", "elsewhere")
    world.retarget(340, offer_event_ref="elsewhere")


def wider_limits(world: World) -> None:
    world.set_tenant(removals=now_removals(event_count=50))


def another_policy(world: World) -> None:
    world.set_tenant(removals={"policy": "unenroll_and_archive", "confirm_after": 0, "limits": {"event_count": 50}})


def no_invitations(world: World) -> None:
    world.rows("UPDATE course SET pluvo = jsonb_set(pluvo, '{send_invite}', 'false') RETURNING id")


@pytest.mark.parametrize(
    "decision",
    [a_newcomer, another_name, a_released_hold, a_refused_hold, another_target, wider_limits, another_policy,
     no_invitations],
)  # fmt: skip
def test_a_decision_between_looking_and_doing_stops_the_run(world: World, decision: Callable[[World], None]) -> None:
    # given a plan with a newcomer, a new name, and four removals where three may go
    fill(world)
    for internal_id in (1, 2, 3, 4):
        world.afas.remove(340, internal_id)
    world.sync()
    assert len(holds(world)) == 1
    world.afas.rename(7, "Nieuwe Naam")
    world.person(60)
    preview = look(world)
    # when
    decision(world)
    before = len(writes(world))
    run = execute(world, preview)
    # then nothing of it is done, and the run tells what differs
    assert (run["status"], run["reason"]) == ("stopped", "plan_changed")
    assert len(writes(world)) == before
    assert "p60@example.nl" not in enrolled(world)
    told = {line["reason"] for line in run["lines"]}
    assert told & {"not_in_preview", "only_in_preview"}
    assert sum(run["outcomes"].values()) == run["rows"]
    assert world.rows("SELECT 1 FROM message WHERE run_id = :run", run=run["id"]) == []


def test_a_stopped_run_names_what_is_planned_now_and_what_was_then(world: World) -> None:
    fill(world, 5)
    world.person(60)
    world.person(61)
    preview = look(world)
    world.afas.remove(340, 61)
    world.afas.rename(60, "Nu Anders")
    run = execute(world, preview)
    told = [(line["internal_id"], line["reason"], line["outcome"]) for line in run["lines"]]
    assert sorted(told) == [
        ("60", "not_in_preview", "unchanged"),
        ("60", "only_in_preview", "dropped"),
        ("61", "only_in_preview", "dropped"),
    ]
    only_now = lines.lines(run["id"], LineFilters(reason="not_in_preview"))["items"]
    assert [(line["internal_id"], line["changes"]) for line in only_now] == [("60", [])]
    # a new look at it can be carried out
    assert execute(world, look(world))["status"] == "done"
    assert world.roster() == world.expected()


def test_what_is_wrong_with_the_data_is_told_also_after_a_run_that_stopped_for_its_plan(world: World) -> None:
    # given a row of nobody, which changes after somebody looked
    fill(world, 3)
    world.afas.change(340, 3, shown={"internal_id": "3a"})
    world.sync()
    preview = look(world)
    world.afas.rename(3, "Nieuwe Naam")
    assert execute(world, preview)["reason"] == "plan_changed"
    # then
    assert "no_internal_id" in quality.document("acme")["counts"]


def test_what_changes_by_itself_stops_nothing(world: World) -> None:
    # given somebody of whom nobody knows the account
    fill(world, 3)
    world.person(70)
    account = world.pluvo.add_user("p70@example.nl", "Iemand", afasContactId="970")
    preview = look(world)
    # when that account gets another name in Pluvo, and AFAS shows a completion by now
    account["firstName"], account["name"] = "Iemand", "Iemand Anders"
    assert look(world) != preview
    first, second = (previews.show(one)["run"]["plan_hash"] for one in (preview, "last"))
    # then
    assert first == second
    assert execute(world, preview)["status"] == "done_with_holds"


def test_a_plan_is_named_by_a_beginning_that_only_one_has(world: World) -> None:
    world.person(1)
    preview = look(world)
    plan = previews.show(preview)["run"]["plan_hash"]
    assert plan
    expected = {"expect": plan, "looked_at": preview}
    assert previews.expecting("acme", plan[:8].upper(), {}) == expected
    assert previews.expecting("acme", plan, {"full": True}) == {"full": True, **expected}
    with pytest.raises(NotThere):
        previews.expecting("acme", "0" * 32, {})
    for nonsense in ("", "abc", "no-hash-at-all", plan[:8] + "'"):
        with pytest.raises(Problem, match="no beginning of a plan's hash"):
            previews.expecting("acme", nonsense, {})
    # another plan that begins alike
    world.person(2)
    other = look(world)
    world.rows("UPDATE run SET plan_hash = left(:hash, 8) || repeat('0', 24) WHERE id = :id RETURNING id",
               hash=plan, id=other)  # fmt: skip
    with pytest.raises(Problem, match="More than one plan"):
        previews.expecting("acme", plan[:8], {})
    assert previews.expecting("acme", plan[:20], {}) == expected


def test_a_dry_run_of_the_command_can_be_expected_too(world: World) -> None:
    world.person(1)
    planned = world.plan()
    assert previews.expecting("acme", planned.hash[:8], {})["looked_at"] == planned.run_id


def test_a_preview_of_a_full_run_is_carried_out_as_one(world: World) -> None:
    fill(world, 3)
    preview = look(world, full=True)
    run = execute(world, preview)
    assert (run["status"], run["options"].get("full")) == ("done", True)


def test_previews_and_runs_never_wait_for_each_other(world: World) -> None:
    # given a preview that was asked for before a run, of a tenant whose run is applying
    def ask(trigger: str, full: bool) -> str:
        with transaction() as connection:
            return request.request_run(
                connection, world.tenant_id, "enrollments", trigger=trigger, options={"full": True} if full else {}
            )

    preview, second, run = ask(PREVIEW, False), ask(PREVIEW, True), ask("operator", False)
    assert len({preview, second, run}) == 3
    claimed = [lease.run_id for lease in iter(runner.claim, None)]
    # then the run is first, a preview goes beside it, and a tenant has one preview at a time
    assert claimed == [run, preview]
    assert ask(PREVIEW, True) == second


def test_previews_leave_runners_for_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [world.neighbour(f"t{number}", f"7000{number}") for number in range(4)]
    asked = []
    for other in others:
        with transaction() as connection:
            asked.append(request.request_run(connection, other.tenant_id, "enrollments", trigger=PREVIEW, options={}))
    assert [lease.run_id for lease in iter(runner.claim, None)] == asked[: runner.PREVIEWS_AT_ONCE]
    with transaction() as connection:
        run = request.request_run(connection, others[3].tenant_id, "enrollments", trigger="test", options={})
    lease = runner.claim()
    assert lease is not None
    assert (lease.run_id, lease.preview) == (run, False)


def test_a_preview_that_is_refused_stops_no_direction(world: World) -> None:
    world.person(1)
    world.fault("afas", "status", status=401, times=50)
    preview = look(world)
    found = history.show(preview)
    assert found["status"] == "quarantined"
    assert world.rows("SELECT DISTINCT state FROM tenant_direction") == [{"state": "healthy"}]
    with pytest.raises(Problem, match="shows no plan"):
        previews.execute(preview)


def test_a_preview_is_stopped_like_a_run(world: World) -> None:
    with transaction() as connection:
        preview = request.request_run(connection, world.tenant_id, "enrollments", trigger=PREVIEW, options={})
    assert history.stop(preview, who="tester")["stopping"]
    assert history.show(preview)["status"] == "stopped"
    again = start.again(preview, who="tester")["run"]
    assert work() == again
    assert history.show(again)["preview"]


def test_removals_that_were_only_looked_at_count_for_no_guard(world: World) -> None:
    fill(world, event_count=50, window_count=4, window_percent=0)
    for internal_id in (1, 2, 3):
        world.afas.remove(340, internal_id)
    for _ in range(3):
        look(world)
    assert world.sync().removed == 3


def test_a_preview_shows_the_arithmetic_of_every_guard(world: World) -> None:
    fill(world, event_count=3, event_percent=10)
    for internal_id in (1, 2, 3, 4):
        world.afas.remove(340, internal_id)
    found = previews.show(look(world))
    judged = {one["guard"]: (one["holds"], one["measure"]) for one in found["guards"]}
    held, measure = judged["removals_event"]
    assert held
    assert measure == {"count": 4, "limit": 3.0, "limit_count": 3.0, "limit_percent": 10.0, "base": 30}
    assert not judged["removals_run"][0]
    assert found["run"]["held_removals"] == 4
    assert ("340", "unenroll", "held", "removals_event", 4) in {tuple(one.values()) for one in found["groups"]}


def test_a_preview_is_kept_for_a_day(world: World) -> None:
    world.person(1)
    young, old, run = look(world), look(world), world.sync().id
    world.rows("UPDATE run SET created_at = now() - interval '25 hours' WHERE id <> :young RETURNING id", young=young)
    forgotten = retention.apply()
    # its lines in bites of their own, which no statement takes long for
    assert (forgotten["preview_line deleted"], forgotten["preview deleted"]) == (1, 1)
    assert {row["id"] for row in world.rows("SELECT id FROM run")} == {young, run}
    with pytest.raises(NotThere):
        previews.show(old)


def test_lines_are_told_with_names_only_where_a_plan_is_looked_at(world: World) -> None:
    fill(world, 3)
    world.afas.rename(1, "Nieuwe Naam")
    world.afas.set_email(2, "nieuw@example.nl")
    planned = previews.show(look(world))["run"]["lines"]
    assert "Nieuwe Naam" in str(planned)
    run = world.sync()
    told = lines.lines(run.id)["items"]
    assert {(line["internal_id"], *line["changes"]) for line in told} == {("1", "name"), ("2", "email")}
    assert "Nieuwe Naam" not in str(told)
    assert "@" not in str(told)


def test_lines_are_filtered_and_paged(world: World) -> None:
    for internal_id in range(1, 8):
        world.person(internal_id)
    for internal_id in (1, 2):
        world.person(internal_id, 341)
    world.person(50, email_primary="")
    run = world.sync()
    assert outcomes(run) == {"created": 7, "updated": 2, "rejected": 1}

    def people(**chosen: str) -> list[str | None]:
        return [line["internal_id"] for line in lines.lines(run.id, LineFilters(**chosen))["items"]]

    assert people(event="341") == ["1", "2"]
    assert people(action="enroll") == ["1", "2"]
    assert people(outcome="rejected") == people(reason="no_email") == ["50"]
    assert people(event="341", action="create") == []
    seen: list[str | None] = []
    cursor: str | None = None
    while True:
        found = lines.lines(run.id, limit=3, cursor=cursor)
        seen += [line["internal_id"] for line in found["items"]]
        cursor = found["next"]
        if cursor is None:
            break
    assert len(seen) == 10
    for chosen in (LineFilters(outcome="nonsense"), LineFilters(action="nonsense")):
        with pytest.raises(Problem):
            lines.lines(run.id, chosen)
