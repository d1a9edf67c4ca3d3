"""What a command shows has a page: its address is printed where KOPPELING_PUBLIC_URL is set, and only there."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import settings
from ops import users
from ops.cli.main import app
from ops.dead_letters import replay_batch
from tests.docs.test_commands import OPTIONS
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
    enrollment = add_enrollment(acme, "80")
    letter = add_dead_letter(acme, enrollment)
    replay = replay_batch.create([letter], who="anna")
    number = run_sql(
        "INSERT INTO completion (tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id, field, level,"
        " title, state) SELECT tenant_id, course_id, 'person:80', '80', id, 'p', 'F', 'training', 'T', 'conflict'"
        "  FROM enrollment WHERE id = :id RETURNING id",
        id=enrollment,
    )
    user = users.add("anna@example.nl", "viewer", ["acme"], None)["id"]
    batch = "01K" + "0" * 23
    run_sql("INSERT INTO batch (id, direction, started_by) VALUES (:id, 'enrollments', 'anna')", id=batch)
    run_sql("INSERT INTO batch_tenant (batch, tenant_id, run_id) VALUES (:id, :t, :run)", id=batch, t=acme, run=run)
    return {
        "tenants show acme": "/tenants/acme",
        "courses show acme 340": "/tenants/acme/courses/340",
        "runs show last": f"/runs/{run}",
        "holds show last": f"/holds/{run}",
        "dead-letters show last": f"/dead-letters/{letter}",
        "explain acme 80": "/tenants/acme/people/80",
        "explain acme 4711": "/tenants/acme/people/4711",
        "links show acme 80": "/tenants/acme/people/80",
        "completions show acme 80 340": f"/completions/{number}",
        "replays show last": f"/replays/{replay}",
        "batches show last": f"/batches/{batch}",
        "users show anna@example.nl": f"/settings/users/{user}",
    }


def test_everything_that_is_shown_is_asked_here(things: dict[str, str]) -> None:
    shown = {words for words in OPTIONS if words[-1] == "show"} | {("explain",)}
    assert shown == {tuple(command.split()[: 1 + (" show " in command)]) for command in things}


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
