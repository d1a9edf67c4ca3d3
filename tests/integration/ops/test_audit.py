"""Who did what: listed newest first, by filters, for those who may see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.direction import Direction
from models.session import transaction
from ops import access, audit
from ops.access import Actor, Role
from ops.problems import Forbidden, NotThere, Problem
from ops.runs import start
from tests.integration.ops.conftest import run_sql


@pytest.fixture
def done(acme: int) -> int:
    """Three rows of acme, one of nobody's tenant."""
    with transaction() as connection:
        audit.record(connection, who="anna", verb="holds release", tenant_id=acme, subject="01H", reason="right")
        audit.record(connection, who="bert", verb="holds refuse", tenant_id=acme, subject="01H", detail={"lines": 3})
        audit.record(connection, who="anna", verb="links set", tenant_id=acme, subject="80")
        audit.record(connection, who="carla", verb="alerts test")
    return acme


def told(**filters: Any) -> list[str]:
    return [one["verb"] for one in audit.listing(**filters).items]


def test_the_newest_comes_first_and_filters_narrow(done: int) -> None:
    assert told()[:4] == ["alerts test", "links set", "holds refuse", "holds release"]
    assert told(tenant="acme")[:3] == ["links set", "holds refuse", "holds release"]
    assert told(who="anna") == ["links set", "holds release"]
    assert told(verb="holds") == ["holds refuse", "holds release"]
    assert told(verb="holds refuse") == ["holds refuse"]
    assert told(subject="01H") == ["holds refuse", "holds release"]
    assert told(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert told(until=datetime.now(UTC) - timedelta(hours=1)) == []
    (row,) = audit.listing(verb="holds refuse").items
    assert (row["who"], row["detail"], row["reason"]) == ("bert", {"lines": 3}, None)


def test_pages_are_by_key(done: int) -> None:
    first = audit.listing(2)
    second = audit.listing(2, first.next)
    assert [one["verb"] for one in (*first.items, *second.items)] == told()[:4]
    with pytest.raises(Problem, match="--cursor"):
        audit.listing(2, "then")


def test_only_who_may_sees_it_and_of_their_tenants_alone(done: int) -> None:
    with access.acting(Actor("eva", Role.OPERATOR, frozenset({"beta"}))):
        assert told() == []
        with pytest.raises(NotThere):
            audit.listing(tenant="acme")
    with access.acting(Actor("otto", Role.OPERATOR, frozenset({"acme"}))):
        assert "alerts test" not in told()
        assert "holds release" in told()
    with access.acting(Actor("vera", Role.VIEWER)), pytest.raises(Forbidden):
        audit.listing()


def test_many_rows_at_once_are_each_of_their_tenant_and_checked(done: int) -> None:
    with transaction() as connection:
        audit.record_each(connection, who="anna", verb="dead-letters discard", subjects=[(done, "1"), (None, "2")])
    assert [(one["tenant"], one["subject"]) for one in audit.listing(verb="dead-letters discard").items] == [
        (None, "2"),
        ("acme", "1"),
    ]
    with (
        access.acting(Actor("eva", Role.OPERATOR, frozenset({"beta"}))),
        pytest.raises(NotThere),
        transaction() as connection,
    ):
        audit.record_each(connection, verb="dead-letters discard", subjects=[(done, "3")])
    assert run_sql("SELECT count(*) FROM operator_action WHERE subject = '3'") == 0


def test_what_was_decided_last_is_told_however_often_somebody_looked_before(done: int) -> None:
    run_sql(
        "INSERT INTO operator_action (tenant_id, who, verb, subject)"
        " SELECT :t, 'vera', 'people open', '80' FROM generate_series(1, 250)",
        t=done,
    )
    with transaction() as connection:
        audit.record(connection, who="bert", verb="links remove", tenant_id=done, subject="80")
    assert [one["verb"] for one in audit.of("80", "acme")][-2:] == ["people open", "links remove"]


@pytest.mark.parametrize(
    ("direction", "trigger", "verb"),
    [
        (Direction.ENROLLMENTS, "operator", "sync start"),
        (Direction.ENROLLMENTS, "preview", "sync preview"),
        (Direction.COMPLETIONS, "operator", "completions start"),
    ],
)
def test_who_asked_for_a_run_is_recorded_with_it(acme: int, direction: Direction, trigger: str, verb: str) -> None:
    with access.acting(Actor("anna", Role.OPERATOR)):
        begun = start.start(direction, ["acme"], everyone=False, options={}, need_worker=False, trigger=trigger)
    with access.acting(Actor("bert", Role.OPERATOR)):
        again = start.start(direction, ["acme"], everyone=False, options={}, need_worker=False, trigger=trigger)
    assert again.run_ids == begun.run_ids  # which waits, and is joined
    (run,) = begun.run_ids
    assert [(one["who"], one["verb"], one["tenant"]) for one in audit.of(run)] == [
        ("anna", verb, "acme"),
        ("bert", verb, "acme"),
    ]
