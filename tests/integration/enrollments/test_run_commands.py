"""The commands of runs, previews and holds, as typed: what they print, their files, and how they end."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from models.run import PREVIEW
from models.session import transaction
from ops import holds as ops_holds
from ops.cli import main
from ops.problems import NotThere
from ops.runs import history, lines
from ops.terminal import csv_file, output, watch
from producers.runs import request
from tests.fixtures.beside import beside
from tests.fixtures.looking import holds
from tests.fixtures.terminal import terminal
from tests.fixtures.world import World, now_removals
from workers.runs import finalizer, runner

Said = tuple[int, str, str]


@pytest.fixture
def typed(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Type a command; its exit code, what it printed, and what it said beside that."""

    def run(*words: str) -> Said:
        monkeypatch.setattr("sys.argv", ["koppeling", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def work() -> None:
    """Do the run that is next."""
    finalizer.finalize()
    lease = runner.claim()
    assert lease is not None
    runner.work(lease)


@contextmanager
def working(world: World) -> Iterator[None]:
    """A worker beside the command: it lives, and does runs and their messages."""
    world.rows(
        "INSERT INTO worker (id, host, pid, code_version, heartbeat_at)"
        " VALUES ('h:1:a', 'h', 1, 'v', now() + interval '1 hour') RETURNING id"
    )
    over = threading.Event()

    def go() -> None:
        while not over.wait(0.05):
            finalizer.finalize()
            while (lease := runner.claim()) is not None:
                runner.work(lease)
                world.drain()
                finalizer.finalize()

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_preview_is_waited_for_and_carried_out(world: World, typed: Callable[..., Said], tmp_path: Path) -> None:
    for internal_id in (1, 2):
        world.person(internal_id)
    with working(world):
        file = tmp_path / "plan.csv"
        code, out, _ = typed("sync", "acme", "--preview", "--wait", "--csv", str(file), "--json")
        (run,) = json.loads(out)["runs"]
        assert (code, run["status"], len(run["plan"]["lines"])) == (0, "dry_run", 2)
        assert [row["action"] for row in csv.DictReader(file.open(encoding="utf-8-sig"))] == ["create", "create"]
        plan = run["plan"]["hash"]
        code, out, _ = typed("sync", "acme", "--expect-plan", plan[:8], "--wait")
        assert (code, "2 created" in out) == (0, True)
        assert world.roster() == world.expected()
        # the same once more: there is nothing left of it, and the command says what to look at
        code, out, _ = typed("sync", "acme", "--expect-plan", plan, "--wait")
        assert code == 1
        assert "the plan is not the one that was looked at" in out
        assert "koppeling runs show" in out
    code, out, _ = typed("runs", "show", "last")
    assert (code, "only_in_preview" in out) == (0, True)


def test_a_preview_that_nobody_waits_for_is_listed_as_one(world: World, typed: Callable[..., Said]) -> None:
    world.person(1)
    code, out, err = typed("sync", "acme", "--preview")
    assert (code, "queued" in out, "No worker is running" in err) == (0, True, True)
    work()
    code, out, _ = typed("runs", "list", "--trigger", "preview")
    assert "enrollments, preview" in out
    assert "Persoon 1" in typed("runs", "show", "last")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sync", "acme", "--preview", "--dry-run"), "one of --dry-run, --preview and --expect-plan"),
        (("sync", "--all", "--expect-plan", "abcdef12"), "the plan of one tenant"),
        (("sync", "acme", "--expect-plan", "xyz"), "no beginning of a plan's hash"),
        (("sync", "acme", "--expect-plan", "abcdef12"), "koppeling sync acme --preview"),
        (("sync", "acme", "--preview", "--csv", "x.csv"), "--csv"),
        (("status", "--watch"), "--watch needs a terminal"),
        (("status", "--watch", "--json"), "--watch is for people"),
        (("dead-letters", "list", "--watch", "--json"), "--watch is for people"),
        (("runs", "show", "last", "--outcome", "nonsense"), "--outcome is one of"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(
    world: World, typed: Callable[..., Said], words: tuple[str, ...], said: str
) -> None:
    world.sync()
    code, _, err = typed(*words)
    assert code == 2
    (line,) = err.strip().splitlines()
    assert said in line


def test_runs_and_their_lines_become_files(world: World, typed: Callable[..., Said], tmp_path: Path) -> None:
    for internal_id in range(1, 4):
        world.person(internal_id)
    world.person(50, email_primary="")
    run = world.sync()
    finalizer.finalize()
    typed("runs", "list", "--csv", str(tmp_path / "runs.csv"))
    (row,) = csv.DictReader((tmp_path / "runs.csv").open(encoding="utf-8-sig"))
    assert (row["id"], row["status"], row["outcomes"]) == (run.id, "done", "3 created, 1 rejected")
    typed("runs", "show", run.id, "--outcome", "rejected", "--csv", str(tmp_path / "lines.csv"))
    (line,) = csv.DictReader((tmp_path / "lines.csv").open(encoding="utf-8-sig"))
    assert (line["internal_id"], line["reason"]) == ("50", "no_email")
    out = typed("runs", "list", "--since", "2020-01-01", "--batch", run.batch, "--json")[1]
    assert [item["id"] for item in json.loads(out)["items"]] == [run.id]
    assert typed("runs", "list", "--since", "2090-01-01", "--json")[1] == '{\n  "items": [],\n  "next": null\n}\n'


def test_a_file_of_the_last_run_or_hold_is_of_one_of_them_also_when_others_come_meanwhile(
    world: World, typed: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def followed(read: Callable[..., Any], comes: Callable[[], object]) -> Callable[..., Any]:
        def reading(*given: Any, **named: Any) -> Any:
            found = read(*given, **named)
            comes()
            return found

        return reading

    # given pages of two lines, and after each of them a run and a hold that are newer
    monkeypatch.setattr(csv_file, "MAX_LIMIT", 2)
    newer = iter("XYZ")
    add_hold = """INSERT INTO hold (id, tenant_id, run_id, guard, plan_hash)
                  SELECT 'Z' || :letter, tenant_id, id, 'removals_run', 'x' FROM run ORDER BY id LIMIT 1 RETURNING id"""
    monkeypatch.setattr(lines, "lines", followed(lines.lines, world.begin))
    monkeypatch.setattr(ops_holds, "show", followed(ops_holds.show, lambda: world.rows(add_hold, letter=next(newer))))
    world.set_tenant(removals=now_removals(event_count=1, event_percent=10))
    for internal_id in range(1, 6):
        world.person(internal_id)
    world.sync()
    file = tmp_path / "lines.csv"

    def written(noun: str) -> list[str]:
        assert typed(noun, "show", "last", "--csv", str(file))[0] == 0
        return [row["internal_id"] for row in csv.DictReader(file.open(encoding="utf-8-sig"))]

    assert written("runs") == ["1", "2", "3", "4", "5"]
    for internal_id in (1, 2, 3):
        world.afas.remove(340, internal_id)
    world.sync()
    assert written("holds") == ["1", "2", "3"]


def test_people_are_told_times_in_the_tenants_zone_and_scripts_in_utc(world: World, typed: Callable[..., Said]) -> None:
    world.set_tenant(timezone="Asia/Tokyo")
    world.sync()
    world.rows("UPDATE run SET started_at = created_at RETURNING id")
    assert " JST" in typed("runs", "list")[1]
    assert " JST" in typed("runs", "show", "last")[1]
    (item,) = json.loads(typed("runs", "list", "--json")[1])["items"]
    assert item["created_at"].endswith("Z")


def test_a_hold_is_told_with_its_arithmetic_and_what_a_release_would_do(
    world: World, typed: Callable[..., Said]
) -> None:
    world.set_tenant(removals=now_removals(event_count=1, event_percent=10))
    for internal_id in range(1, 31):
        world.person(internal_id)
    world.sync()
    for internal_id in (1, 2, 3, 4):
        world.afas.remove(340, internal_id)
    world.sync()
    out = typed("holds", "show", "last")[1]
    assert "4 of 30 = 13 %, limit 1 or 10 %" in out
    assert "Persoon 3" in out
    out = typed("holds", "preview", "last")[1]
    assert "4 would go on, 0 would be dropped." in out
    lines = json.loads(typed("holds", "show", "last", "--json", "--limit", "2")[1])
    assert len(lines["lines"]) == 2
    assert lines["next"]
    chosen = str(lines["lines"][0]["id"])
    out = typed("holds", "release", "last", "--line", chosen, "--plan", lines["plan_hash"], "--reason", "gone")[1]
    assert "1 released, 0 dropped, 3 still held." in out
    assert len(holds(world)[0]["people"]) == 3
    # and status begins with what is not well
    first = typed("status")[1].splitlines()[0]
    assert first.startswith("! ")
    assert "1 hold waits for somebody: `koppeling holds list --tenant acme`" in typed("status")[1]


@pytest.mark.parametrize("words", [("status",), ("runs", "show", "last"), ("dead-letters", "list")])
def test_what_is_watched_is_drawn_until_somebody_ends_it(world: World, words: tuple[str, ...]) -> None:
    world.sync()
    what = {"status": "database", "runs": "enrollments", "dead-letters": "There are no open dead letters."}[words[0]]
    with terminal(*words, "--watch", environment=_environment()) as screen:
        screen.expect(what)
        screen.expect(what)  # once more
        screen.interrupt()
        assert screen.ended() == 0
    assert "Traceback" not in screen.seen


def test_a_watch_outlasts_a_database_that_is_away_and_nothing_else(
    typed: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    nobody_listens = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    draws: list[Callable[[], object]] = [nobody_listens.connect, lambda: output.say("it is back"), lambda: 1 / 0]

    def draw() -> None:
        draws.pop(0)()

    with pytest.raises(ZeroDivisionError):
        watch.watch(draw, every=0)
    assert capsys.readouterr().out.partition("does not answer")[2].count("it is back") == 1


def test_who_stops_a_run_that_ends_at_this_moment_is_told_so_and_stops_nothing(world: World) -> None:
    with transaction() as connection:
        run = request.request_run(connection, world.tenant_id, "enrollments", trigger="operator")
    told: list[object] = []

    def stop() -> None:
        told.append(history.stop(run, who="tester"))

    assert beside([("UPDATE run SET status = 'done' WHERE id = %s", run)], stop) == []
    assert told == [{"run": run, "status_before": "done", "stopping": False}]
    assert world.rows("SELECT verb FROM operator_action") == []
    # nor one that goes with its tenant
    (gone,) = beside([("DELETE FROM run WHERE id = %s", run)], stop)
    assert isinstance(gone, NotThere)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("KOPPELING_")}


def test_the_same_run_or_preview_is_asked_for_again(world: World, typed: Callable[..., Said]) -> None:
    with transaction() as connection:
        request.request_run(connection, world.tenant_id, "enrollments", trigger=PREVIEW, options={"full": True})
    work()
    found: Any = json.loads(typed("runs", "again", "last", "--json")[1])
    shown = json.loads(typed("runs", "show", found["run"], "--json")[1])
    assert (shown["trigger"], shown["options"], shown["preview"]) == ("preview", {"full": True}, True)
