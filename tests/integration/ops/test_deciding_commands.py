"""The commands about dead letters, replays, completions, data quality and the record of who did what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.access import current_user
from ops.listing import MAX_LIMIT
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar
from tests.integration.ops.test_command_line import Command, koppeling, one_line
from tests.unit.ops.tenants.test_file import GOOD

__all__ = ["koppeling"]  # the fixture


@pytest.fixture
def letters(acme: int) -> list[str]:
    """Three open dead letters of two faults."""
    made = [add_dead_letter(acme, add_enrollment(acme, str(number))) for number in (80, 81)]
    other = add_dead_letter(acme, add_enrollment(acme, "82"), error="no_room")
    run_sql("UPDATE dead_letter SET fingerprint = 'beef' WHERE id = :id", id=other)
    return [*made, other]


def test_groups_say_in_both_languages_what_a_fault_means_and_what_to_do(
    koppeling: Command, environment: dict[str, str], letters: list[str]
) -> None:
    english = koppeling("dead-letters", "list", "--group", "--language", "en", **environment)
    assert "2  functional  AFAS refuses this record." in english.stdout
    assert "→ Have the licence extended, or archive accounts in Pluvo." in english.stdout
    dutch = koppeling("dead-letters", "list", "--group", "--language", "nl", **environment)
    assert "per dag, van de laatste 14" in dutch.stdout
    found = json.loads(koppeling("dead-letters", "list", "--group", "--json", **environment).stdout)
    assert [(one["count"], one["slugs"], len(one["trend"])) for one in found["items"]] == [
        (2, ["acme"], 14),
        (1, ["acme"], 14),
    ]


def test_a_discard_by_filter_tells_how_many_and_asks(
    koppeling: Command, environment: dict[str, str], letters: list[str]
) -> None:
    wanted = ("dead-letters", "discard", "--fingerprint", "f00", "--reason", "no more")
    assert "Discard 2 open dead letters of 1 kinds of fault in 1 tenants? Say --yes" in one_line(
        koppeling(*wanted, **environment)
    )
    counted = json.loads(koppeling(*wanted, "--dry-run", "--json", **environment).stdout)
    assert (counted["count"], counted["groups"], counted["newest"]) == (2, 1, letters[1])
    assert scalar("SELECT count(*) FROM dead_letter WHERE state = 'open'") == 3
    assert koppeling(*wanted, "--yes", **environment).stdout == "2 discarded.\n"
    again = koppeling("dead-letters", "discard", *letters, "--reason", "all", "--who", "bert", **environment)
    assert again.stdout.startswith("1 discarded, 2 settled before.\n  2 discarded by ")
    assert "give a filter" in one_line(koppeling("dead-letters", "discard", "--reason", "x", **environment))


def test_a_letter_is_shown_with_its_attempts(
    koppeling: Command, environment: dict[str, str], letters: list[str]
) -> None:
    tries = [
        {"at": "2026-11-26T10:00:00Z", "code": "timeout", "text": "slow \x1b[2J", "status": None, "system": "pluvo"}
    ]
    run_sql("UPDATE dead_letter SET history = CAST(:tries AS jsonb), last_call = '{\"operation\": \"createUser\"}'",
            tries=json.dumps(tries))  # fmt: skip
    shown = koppeling("dead-letters", "show", letters[0], "--language", "en", **environment)
    assert "attempts" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert '"operation": "createUser"' in shown.stdout
    assert "AFAS refuses this record." in shown.stdout


def test_a_replay_is_previewed_listed_shown_and_cancelled(
    koppeling: Command, environment: dict[str, str], letters: list[str]
) -> None:
    previewed = koppeling("replays", "preview", "--all", **environment)
    assert previewed.stdout.startswith("3 of 3 would be sent again.")
    koppeling("dead-letters", "replay", "--all", **environment)
    (batch,) = json.loads(koppeling("replays", "list", "--json", **environment).stdout)["items"]
    shown = json.loads(koppeling("replays", "show", "last", "--json", **environment).stdout)
    assert (shown["id"], shown["state"], shown["counts"]) == (batch["id"], "running", {"under_way": 1, "not_sent": 2})
    assert koppeling("replays", "cancel", batch["id"][:20], **environment).stdout == "Cancelled.\n"
    late = koppeling("replays", "cancel", "last", **environment).stdout
    assert late.startswith(f"It was over ({current_user()}, ")
    assert "no batch 'nope'" in one_line(koppeling("replays", "show", "nope", **environment))


def test_completions_runs_a_tenant_and_lists_under_one_word(
    koppeling: Command, environment: dict[str, str], acme: int
) -> None:
    assert koppeling("completions", "list", **environment).stdout == "No completion waits for anything.\n"
    assert json.loads(koppeling("completions", "list", "--json", **environment).stdout) == {"items": [], "next": None}
    started = json.loads(koppeling("completions", "acme", "--json", **environment).stdout)
    assert [run["direction"] for run in started["runs"]] == ["completions"]
    assert "no tenant list" in one_line(koppeling("completions", "--", "list", **environment))
    assert "no tenant list" in one_line(koppeling("completions", "acme", "list", **environment))
    assert "no completion 17" in one_line(koppeling("completions", "close", "17", "--reason", "x", **environment))
    assert "--since" in koppeling("completions", "--help", **environment).stdout
    assert "Close" not in koppeling("completions", "retry", "--help", **environment).stdout


@pytest.mark.parametrize("slug", ["list", "show", "close", "retry"])
def test_no_new_tenant_takes_the_name_of_a_verb_and_one_that_is_there_keeps_it(
    koppeling: Command, environment: dict[str, str], acme: int, tmp_path: Path, slug: str
) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD.replace('"acme"', f'"{slug}"', 1), encoding="utf-8")
    assert f"can be called {slug}" in one_line(koppeling("tenants", "import", str(file), **environment))
    assert f"can be called {slug}" not in koppeling("tenants", "list", **environment).stdout
    run_sql("UPDATE tenant SET slug = :slug", slug=slug)
    assert koppeling("tenants", "import", str(file), **environment).returncode == 0
    started = json.loads(koppeling("completions", "--json", "--", slug, **environment).stdout)
    assert [run["tenant"] for run in started["runs"]] == [slug]


def test_data_quality_and_the_record_are_listed_and_written_as_files(
    koppeling: Command, environment: dict[str, str], acme: int, tmp_path: Path
) -> None:
    add_enrollment(acme, "80")
    run_sql("UPDATE enrollment SET row_state = 'rejected', outcome = 'rejected', reason = 'no_email'")
    sheet = tmp_path / "quality.csv"
    shown = koppeling("quality", "acme", "--language", "nl", "--csv", str(sheet), **environment)
    assert "Geen e-mailadres" in shown.stdout
    assert sheet.read_text(encoding="utf-8-sig").startswith("code;event_id;internal_id")
    found = json.loads(koppeling("quality", "acme", "--json", **environment).stdout)
    assert found["counts"] == {"no_email": 1}
    koppeling("tenants", "pause", "acme", "--reason", "moving", **environment)
    record = tmp_path / "audit.csv"
    listed = koppeling("audit", "--tenant", "acme", "--csv", str(record), **environment)
    assert "moving" in listed.stdout
    assert "moving" in record.read_text(encoding="utf-8-sig")
    assert json.loads(koppeling("audit", "--verb", "nothing", "--json", **environment).stdout)["items"] == []


def test_the_file_of_a_listing_holds_also_what_comes_after_its_page(
    koppeling: Command, environment: dict[str, str], acme: int, tmp_path: Path
) -> None:
    # given more of each than a page has
    run_sql(
        "INSERT INTO operator_action (who, verb, subject) SELECT 'eve', 'alerts test', n::text"
        " FROM generate_series(1, :many) n",
        many=MAX_LIMIT + 1,
    )
    run_sql(
        "INSERT INTO completion (tenant_id, course_id, subject, internal_id, pluvo_id, field, level, title, state)"
        " SELECT :t, id, 'person:' || n, n::text, 'a', 'U1', 'training', 'BHV', 'orphan'"
        "   FROM course CROSS JOIN generate_series(1, 3) n WHERE tenant_id = :t",
        t=acme,
    )
    record, dates = tmp_path / "audit.csv", tmp_path / "completions.csv"
    # when
    koppeling("audit", "--who", "eve", "--csv", str(record), **environment)
    page = koppeling("completions", "list", "--limit", "2", "--csv", str(dates), "--json", **environment)
    # then what is printed stays a page
    assert len(record.read_text(encoding="utf-8-sig").splitlines()) == MAX_LIMIT + 2
    assert len(dates.read_text(encoding="utf-8-sig").splitlines()) == 4
    assert len(json.loads(page.stdout)["items"]) == 2
