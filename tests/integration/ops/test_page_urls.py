"""What a command shows has a page: its address is printed where KOPPELING_PUBLIC_URL is set, and only there."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import settings
from ops.cli.main import app
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql

PUBLIC = "https://koppeling.example.nl"


@pytest.fixture
def things(acme: int) -> dict[str, str]:
    """What each command is asked for, and the path of its page."""
    run = "01J" + "0" * 23
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status, snapshot)"
        " VALUES (:id, :id, :t, 'enrollments', 'schedule', 'done', 'complete')",
        id=run,
        t=acme,
    )
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, state, plan_hash)"
        " VALUES (:id, :t, :id, 'creates', 'open', 'h')",
        id=run,
        t=acme,
    )
    letter = add_dead_letter(acme, add_enrollment(acme, "80"))
    return {
        "tenants show acme": "/tenants/acme",
        "courses show acme 340": "/tenants/acme/courses/340",
        "runs show last": f"/runs/{run}",
        "holds show last": f"/holds/{run}",
        "dead-letters show last": f"/dead-letters/{letter}",
        "explain acme 80": "/tenants/acme/people/80",
    }


def test_each_thing_shown_has_the_address_of_its_page(things: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_PUBLIC_URL", PUBLIC)
    settings.get.cache_clear()
    for command, path in things.items():
        told = CliRunner().invoke(app, [*command.split(), "--json"])
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["url"] == PUBLIC + path, command
        told = CliRunner().invoke(app, command.split())
        assert PUBLIC + path in told.stdout.replace("\n", ""), command


def test_without_that_setting_nothing_is_added(things: dict[str, str]) -> None:
    for command in things:
        told = CliRunner().invoke(app, [*command.split(), "--json"])
        assert "url" not in json.loads(told.stdout), command
