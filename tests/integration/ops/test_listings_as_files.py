"""Every listing can be written as a file for a spreadsheet, all of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops import tokens, users
from ops.alerts import verbs
from ops.cli.main import app
from ops.dead_letters import replay_batch
from ops.people import links
from tests.docs.test_commands import OPTIONS
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql

RUN = "01J" + "0" * 23
LISTINGS = sorted(words for words in OPTIONS if words[-1] in ("list", "sent", "search", "audit"))
ASKED: dict[tuple[str, ...], list[str]] = {("people", "search"): ["jansen"]}


@pytest.fixture
def full(acme: int) -> None:
    """A row at least in each listing."""
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status, snapshot)"
        " VALUES (:id, :id, :t, 'enrollments', 'schedule', 'done', 'complete')",
        id=RUN,
        t=acme,
    )
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, state, plan_hash)"
        " VALUES (:id, :t, :id, 'creates', 'open', 'h')",
        id=RUN,
        t=acme,
    )
    run_sql("INSERT INTO batch (id, direction, started_by) VALUES (:id, 'enrollments', 'anna')", id=RUN)
    run_sql("INSERT INTO batch_tenant (batch, tenant_id, run_id) VALUES (:id, :t, :id)", id=RUN, t=acme)
    enrollment = add_enrollment(acme, "80")
    replay_batch.create([add_dead_letter(acme, enrollment)], who="anna")
    run_sql(
        "INSERT INTO completion (tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id, field, level,"
        " title, state) SELECT tenant_id, course_id, 'person:80', '80', id, 'p', 'F', 'training', 'T', 'conflict'"
        "  FROM enrollment WHERE id = :id",
        id=enrollment,
    )
    links.set_link("acme", "80", "1111111a-0000-4000-8000-000000000001", who="anna")
    users.add("anna@example.nl", "viewer", ["acme"], None)
    tokens.create("reports", "viewer", None, None)
    run_sql("INSERT INTO alert (tenant_id, kind, text) VALUES (:t, 'no_room', '=1+1')", t=acme)
    run_sql("""UPDATE tenant SET alerts = '{"mail": ["beheer@example.nl"]}'""")
    verbs.send_test("acme")


@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
@pytest.mark.usefixtures("full")
def test_a_listing_is_written_as_a_file(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    done = CliRunner().invoke(app, [*words, *ASKED.get(words, []), "--csv", str(file)], env={"LANG": "en_GB.UTF-8"})
    assert done.exit_code == 0, done.output
    head, *rows = csv.reader(file.read_text(encoding="utf-8-sig").splitlines())
    assert len(head) > 3
    assert rows, "nothing in it"
    assert {len(row) for row in rows} == {len(head)}
    assert not [cell for row in rows for cell in row if cell.startswith("=")]
