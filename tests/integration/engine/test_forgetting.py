"""Retention beside the other chores of maintenance: a moment at a time, and a rule in trouble keeps no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError

from tests.integration.engine.conftest import Engine
from workers.maintenance import retention
from workers.maintenance.periodic import Maintenance
from workers.maintenance.retention import RULES, Forgetting

ALERTS = next(place for place, rule in enumerate(RULES) if rule.name == "alert deleted")


@pytest.fixture
def seven_old_alerts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Two of them a bite, and no time for more than one bite at once."""
    tenant = engine.tenant("acme")
    engine.execute(
        "INSERT INTO alert (tenant_id, kind, subject, text, closed_at)"
        f" SELECT {tenant}, 'quarantine', n, 'refused', now() - interval '500 days' FROM generate_series(1, 7) n"
    )
    monkeypatch.setattr(retention, "RULES", (replace(RULES[ALERTS], bite=2), *RULES[ALERTS + 1 :]))
    monkeypatch.setattr(retention, "AT_ONCE_SECONDS", 0.0)
    return engine


def left(engine: Engine) -> int:
    return int(engine.value("SELECT count(*) FROM alert"))


def test_what_is_forgotten_goes_bite_by_bite_so_that_other_chores_come_in_between(seven_old_alerts: Engine) -> None:
    forgetting, counts = Forgetting(), []
    for _ in range(5):
        forgetting.forget()
        counts.append(left(seven_old_alerts))
    assert counts == [5, 3, 1, 0, 0]


def test_all_is_looked_at_once_an_hour(seven_old_alerts: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(retention, "AT_ONCE_SECONDS", 60.0)
    forgetting = Forgetting()
    forgetting.forget()
    assert left(seven_old_alerts) == 0
    seven_old_alerts.execute(
        "INSERT INTO alert (tenant_id, kind, subject, text, closed_at)"
        " SELECT id, 'quarantine', 'later', 'refused', now() - interval '500 days' FROM tenant"
    )
    # when
    forgetting.forget()
    # then
    assert left(seven_old_alerts) == 1
    forgetting.begin_at = 0.0
    forgetting.forget()
    assert left(seven_old_alerts) == 0


def test_a_rule_that_breaks_keeps_the_next_ones_from_nothing(
    seven_old_alerts: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(RULES[ALERTS], name="broken", statement="DELETE FROM nothing_like_it LIMIT :bite")
    monkeypatch.setattr(retention, "RULES", (broken, *RULES))
    monkeypatch.setattr(retention, "AT_ONCE_SECONDS", 60.0)
    forgetting = Forgetting()
    with pytest.raises(DBAPIError):
        forgetting.forget()
    forgetting.forget()
    assert left(seven_old_alerts) == 0


def test_maintenance_goes_on_with_runs_while_there_is_much_to_forget(
    seven_old_alerts: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    maintenance, seen = Maintenance(), []
    monkeypatch.setattr(maintenance, "finalize", lambda: seen.append(left(seven_old_alerts)))
    maintenance.chores.chores = (
        (0.0, maintenance.finalize),
        *((0.0, chore) for every, chore in maintenance.chores.chores if chore.__name__ == "forget"),
    )
    # when
    for _ in range(5):
        maintenance.chores.do_due()
    # then runs were looked at before each bite
    assert seen == [7, 5, 3, 1, 0]
