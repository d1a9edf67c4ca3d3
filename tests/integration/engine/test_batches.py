"""Batches: runs of several tenants that were started together."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from clients.errors import Unavailable
from models.advisory_locks import AdvisoryLock
from models.direction import Direction
from ops import access
from ops.access import Actor, Role
from ops.problems import NotThere, Problem
from ops.runs import batches, history, start
from ops.runs.start import Started
from ops.tenants import manage
from producers.runs.lease import RunLease
from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_runs import producer  # noqa: F401  a fixture
from workers.runs import runner as runs


def everyone(direction: Direction = Direction.ENROLLMENTS) -> Started:
    return start.start(direction, [], everyone=True, options={}, need_worker=False)


def work_all() -> None:
    while (lease := runs.claim()) is not None:
        runs.work(lease)


def test_a_batch_tells_of_every_tenant_what_became_of_it_and_which_need_somebody(
    engine: Engine,
    producer: dict[str, Any],  # noqa: F811
) -> None:
    # given four tenants, one of them paused, one whose AFAS is down
    ids = {slug: engine.tenant(slug) for slug in ("acme", "borg", "curo", "dorp")}
    manage.pause("borg", reason="moving", direction=None, who="tester")

    def read(lease: RunLease) -> None:
        if lease.tenant_id == ids["curo"]:
            raise Unavailable("front_proxy", "no answer", status=502)

    producer["do"] = read
    # when
    begun = everyone()
    before = batches.show(begun.batch)
    work_all()
    engine.execute("UPDATE run SET status = 'done', finished_at = now() WHERE status = 'applying'")
    engine.execute(
        """UPDATE run SET outcomes = '{"unchanged": 3, "held": 2}', rows = 5, held_removals = 1,
                          status = 'done_with_holds' WHERE tenant_id = :t""",
        t=ids["dorp"],
    )
    # then
    assert (before["over"], before["done"], before["states"]) == (False, 1, {"queued": 3, "paused": 1})
    shown = batches.show("last")
    assert (shown["id"], shown["over"], shown["done"], shown["tenants"]) == (begun.batch, True, 4, 4)
    assert shown["states"] == {"done": 1, "done_with_holds": 1, "failed": 1, "paused": 1}
    assert [(one["tenant"], one["code"], one["count"]) for one in shown["needs"]] == [
        ("curo", "check", 1),
        ("dorp", "held", 3),
    ]
    assert [(one["tenant"], one["status"]) for one in shown["items"]] == [
        ("acme", "done"), ("borg", "paused"), ("curo", "failed"), ("dorp", "done_with_holds"),
    ]  # fmt: skip
    assert (shown["rows"], shown["outcomes"]["held"]) == (5, 2)
    assert shown["finished_at"] is not None
    (item,) = batches.listing().items
    assert item["states"] == shown["states"]
    assert batches.show("last", limit=2, cursor="acme")["items"] == shown["items"][1:3]


def test_two_batches_at_once_ask_for_one_run_of_each_tenant(engine: Engine) -> None:
    # given
    for slug in ("acme", "borg", "curo"):
        engine.tenant(slug)
    both: list[Started] = []
    threads = [threading.Thread(target=lambda: both.append(everyone())) for _ in range(2)]
    # when
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # then both know of them
    first, second = (sorted(one.run_ids) for one in both)
    assert first == second
    assert engine.value("SELECT count(*) FROM run") == 3
    assert [batches.show(one.batch)["states"] for one in both] == [{"queued": 3}] * 2


def test_a_tenant_whose_direction_is_in_use_keeps_no_other_from_its_turn(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    held, _ = engine.tenant("acme"), engine.tenant("borg")
    monkeypatch.setattr(start, "_PATIENCE", text("SET LOCAL lock_timeout = '200ms'"))
    with psycopg.connect(database_url) as connection:
        key = f"{held}:enrollments"
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [AdvisoryLock.RUNS, key])
        # when
        begun = everyone()
    # then
    assert len(begun.run_ids) == 1
    shown = batches.show(begun.batch)
    assert shown["states"] == {"queued": 1, "not_asked": 1}
    assert [(one["tenant"], one["code"]) for one in shown["needs"]] == [("acme", "not_asked")]
    told = start.document(begun)["runs"]
    assert [(run["tenant"], run["status"], run["reason"]) for run in told] == [
        ("acme", "failed", "not_asked"),
        ("borg", "queued", None),
    ]
    assert history.exit_code(told) == 1


def test_one_tenant_alone_is_no_batch(engine: Engine) -> None:
    engine.tenant("acme")
    begun = start.start(Direction.ENROLLMENTS, ["acme"], everyone=False, options={}, need_worker=False)
    assert not begun.kept
    assert batches.listing().items == []
    with pytest.raises(NotThere):
        batches.show(begun.batch)


def test_who_sees_some_tenants_sees_those_of_a_batch(engine: Engine) -> None:
    # given
    for slug in ("acme", "borg"):
        engine.tenant(slug)
    first = everyone().batch
    start.start(Direction.COMPLETIONS, ["acme", "borg"], everyone=False, options={}, need_worker=False)
    # when
    with access.acting(Actor("anna", Role.VIEWER, frozenset(["borg"]))):
        shown, listed = batches.show(first), batches.listing().items
    with access.acting(Actor("bert", Role.VIEWER, frozenset(["curo"]))):
        with pytest.raises(NotThere):
            batches.show(first)
        nothing = batches.listing().items
    # then
    assert [one["tenant"] for one in shown["items"]] == ["borg"]
    assert [one["tenants"] for one in listed] == [1, 1]
    assert nothing == []


@pytest.mark.parametrize("given", ["", "%", "01", "nope"])
def test_a_batch_that_is_not_one_is_refused(engine: Engine, given: str) -> None:
    for slug in ("acme", "borg"):
        engine.tenant(slug)
    everyone()
    everyone(Direction.COMPLETIONS)
    with pytest.raises(Problem):
        batches.show(given)


def test_a_batch_goes_with_its_runs(engine: Engine) -> None:
    for slug in ("acme", "borg"):
        engine.tenant(slug)
    everyone()
    manage.remove("acme", who="tester")
    assert [one["tenant"] for one in batches.show("last")["items"]] == ["borg"]
    engine.execute("DELETE FROM run")
    assert batches.listing().items == []
