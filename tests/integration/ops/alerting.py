"""What tests of alerts share: somebody to tell, something to tell of, and time going by."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import settings
from models.alert import Channel
from ops.alerts import plan, sender, watch
from tests.fixtures.mailbox import Mailbox
from tests.integration.ops.conftest import add_enrollment, run_sql, scalar

OPERATOR = "ops@example.org"


def setting(patch: pytest.MonkeyPatch, **values: str) -> None:
    """Change settings of this process."""
    for name, value in values.items():
        patch.setenv(f"KOPPELING_{name}", value)
    settings.get.cache_clear()


def tell_operators(patch: pytest.MonkeyPatch, box: Mailbox, **more: str) -> None:
    """Mail those who run this installation, in English."""
    values = {
        "SMTP_URL": f"smtp+plain://127.0.0.1:{box.port}",
        "SMTP_FROM": "koppeling@example.org",
        "ALERT_MAIL": OPERATOR,
        "ALERT_LANGUAGE": "en",
        "PUBLIC_URL": "https://console.example.org",
    }
    setting(patch, **values | more)


def hold(tenant: int, number: int = 1, lines: int = 2, event: str = "340") -> str:
    """An open hold."""
    name = f"01HOLD{number:020}"
    run = run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status) VALUES (:id, 'b', :tenant, 'enrollments',"
        " 'schedule', 'done_with_holds') RETURNING id",
        id=f"01RUN{number:021}",
        tenant=tenant,
    )
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, event_id, state, measure, plan_hash, expires_at)"
        " VALUES (:id, :tenant, :run, 'removals_event', :event, 'open', '{}', 'h', now() + interval '7 days')"
        " RETURNING id",
        id=name,
        tenant=tenant,
        run=run,
        event=event,
    )
    for line in range(lines):
        person = f"{number}{line:03}"
        run_sql(
            "INSERT INTO hold_line (tenant_id, hold_id, enrollment_id, event_id, internal_id, action, state)"
            " VALUES (:tenant, :hold, :enrollment, :event, :person, 'unenroll', 'open') RETURNING id",
            tenant=tenant,
            hold=name,
            enrollment=add_enrollment(tenant, person),
            event=event,
            person=person,
        )
    return name


def decide(name: str) -> None:
    """Somebody decided a hold."""
    run_sql("UPDATE hold SET state = 'released' WHERE id = :id", id=name)
    run_sql("UPDATE hold_line SET state = 'released' WHERE hold_id = :id", id=name)


def notice() -> None:
    """Look what is so, and make deliveries of it."""
    watch.look()
    plan.news()


def later(seconds: float = 30) -> int:
    """Send the mails that are due so much later; how many were taken."""
    return sender.send_due(Channel.MAIL, datetime.now(UTC) + timedelta(seconds=seconds))


def waited() -> None:
    """Let all waiting times be over."""
    run_sql("UPDATE alert_delivery SET next_at = now() - interval '1 second', claimed_until = NULL")


def told(tenant: int, **alerts: Any) -> None:
    """Whom a tenant names."""
    run_sql("UPDATE tenant SET alerts = CAST(:alerts AS jsonb) WHERE id = :id", alerts=json.dumps(alerts), id=tenant)


def deliveries() -> list[tuple[str, str | None, int]]:
    """State, code and attempts of each, the oldest first."""
    found = scalar("SELECT json_agg(json_build_array(state, code, attempts) ORDER BY id) FROM alert_delivery") or []
    return [tuple(one) for one in found]
