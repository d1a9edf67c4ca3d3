"""Small rules with big consequences: exit codes, what a replay does, when a full run goes, who may reach the server."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from logs import without_addresses
from models.message import Kind
from ops.dead_letters import replay
from ops.documents import RunDocument
from ops.http.access import is_loopback
from ops.runs import history
from ops.runs.timetable import is_full_time
from ops.terminal import csv_file
from ops.terminal.output import as_json, harmless


def run(**given: Any) -> RunDocument:
    standard = {"status": "done", "snapshot": "complete", "outcomes": {}, "held_removals": 0, "pending_removals": 0}
    return cast(RunDocument, standard | given)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, 0),
        ({"outcomes": {"rejected": 3, "unchanged": 9}}, 0),
        ({"status": "paused"}, 0),
        ({"status": "dry_run"}, 0),
        ({"status": "dry_run", "outcomes": {"held": 2}}, 3),
        ({"status": "dry_run", "held_removals": 1}, 3),
        ({"outcomes": {"ambiguous": 1}}, 3),
        ({"outcomes": {"conflict": 1}}, 3),
        ({"outcomes": {"pending": 1}}, 3),
        ({"pending_removals": 1}, 3),
        ({"snapshot": "suspect"}, 3),
        ({"status": "done_with_holds"}, 3),
        ({"snapshot": "partial"}, 1),
        ({"outcomes": {"failed": 1, "held": 1}}, 1),
        ({"status": "done_with_failures"}, 1),
        ({"status": "quarantined"}, 1),
        ({"status": "failed"}, 1),
        ({"status": "stopped"}, 1),
    ],
)
def test_the_exit_code_of_a_run(given: dict[str, Any], code: int) -> None:
    assert history.exit_code([run(), run(**given)]) == code


def test_failure_comes_before_waiting_and_waiting_before_done() -> None:
    held, failed = run(outcomes={"held": 1}), run(status="failed")
    assert history.exit_code([held, failed], timed_out=True) == 1
    assert history.exit_code([run()], timed_out=True) == 3


FACTS: dict[str, Any] = {
    **{"state": "open", "newer": False, "in_ledger": False, "kind": "enrollment.upsert", "health": "healthy"},
    **{"enrollment_id": 7, "link_state": "linked", "decision": None, "failed_code": "refused", "applied_version": 1},
    **{"version": 2, "tenant": "acme", "health_reason": None, "completion_state": None, "event_number": None},
    **{"handled_at": None, "id": "01J", "tenant_id": 1, "subject_id": 7, "internal_id": "80", "event_id": "340"},
    **{"error": "refused", "person_id": 8, "completion_id": None, "completion_version": None},
    **{"completion_enrollment": None, "event_account": None, "event_ref": None},
}


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({}, "will_do"),
        ({"state": "replayed"}, "settled"),
        ({"state": "discarded"}, "settled"),
        ({"newer": True}, "superseded"),
        ({"in_ledger": True}, "superseded"),
        ({"enrollment_id": None}, "superseded"),
        ({"failed_code": None, "applied_version": 2}, "superseded"),
        ({"health": "paused"}, "still_blocked"),
        ({"health": "quarantined"}, "still_blocked"),
        ({"link_state": "ambiguous"}, "still_blocked"),
        ({"link_state": "ambiguous", "decision": "create"}, "will_do"),
        ({"link_state": "ignored", "decision": "ignore"}, "still_blocked"),
        ({"kind": "completion.write_back"}, "superseded"),
        ({"kind": "completion.write_back", "completion_state": "failed"}, "will_do"),
        ({"kind": "completion.write_back", "completion_state": "verified"}, "superseded"),
        ({"kind": "completion.write_back", "completion_state": "conflict"}, "still_blocked"),
        ({"kind": "completion.fetch", "event_number": 3}, "will_do"),
        ({"kind": "completion.fetch", "event_number": 3, "handled_at": "then"}, "superseded"),
        ({"kind": "undecodable"}, "still_blocked"),
    ],
)
def test_what_a_replay_does_with_a_dead_letter(given: dict[str, Any], result: str) -> None:
    assert replay.judge(replay.Facts(**(FACTS | given))).result == result


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_message_has_a_rule_for_its_replay(kind: Kind) -> None:
    verdict = replay.judge(replay.Facts(**(FACTS | {"kind": kind})))
    assert verdict != replay.judge(replay.Facts(**(FACTS | {"kind": "undecodable"})))


def test_every_tenant_has_one_full_time_a_week_in_its_own_night() -> None:
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    for number in range(1, 30):
        row = {"tenant_id": number, "timezone": "Europe/Amsterdam", "blackout": []}
        times = [monday + timedelta(minutes=5 * step) for step in range(7 * 288)]
        full = [time for time in times if is_full_time(row, time)]
        assert full
        assert len({time.date() for time in full}) == 1
        assert all(0 <= time.hour < 5 for time in full)


def test_full_runs_of_many_tenants_are_spread_over_the_week_and_over_each_night() -> None:
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    nights = [monday + timedelta(days=day, minutes=10 * step) for day in range(7) for step in range(30)]

    def begins(number: int) -> datetime:
        row = {"tenant_id": number, "timezone": "Europe/Amsterdam", "blackout": []}
        return next(at for at in nights if is_full_time(row, at))

    found = [begins(number) for number in range(1, 141)]
    assert Counter(at.date() for at in found) == dict.fromkeys({at.date() for at in nights}, 20)
    assert max(Counter(found).values()) <= 3


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.4", False), ("koppeling.example.org", False)],
)  # fmt: skip
def test_only_loopback_needs_no_login(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_log_entry_never_shows_an_address() -> None:
    entry = without_addresses(None, "info", {"event": "sent to p.jansen@example.nl", "more": ["a@example.org", 3]})
    assert "jansen" not in str(entry)
    assert "a@example" not in str(entry)
    assert entry["more"][1] == 3


@pytest.mark.parametrize("value", ["=1+1", "+31", "-2", "@SUM(A1)", " =1+1", '"=1+1', "\uff1d1+1"])
def test_a_spreadsheet_takes_no_value_for_a_formula(value: str) -> None:
    assert csv_file.harmless_cell(value).startswith("'")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Jan;=1+1;x", "Jan;'=1+1;x"),
        ("Jan, +31", "Jan,' +31"),
        ("Jan;;@SUM(A1)", "Jan;;'@SUM(A1)"),
        ("Jan|-2", "Jan|'-2"),
        ("p.jansen+1@example.nl; x-y", "p.jansen+1@example.nl; x-y"),
        ("Jansen, P.", "Jansen, P."),
    ],
)
def test_what_becomes_a_cell_where_another_sign_separates_is_no_formula_either(value: str, written: str) -> None:
    assert csv_file.harmless_cell(value) == written


@pytest.mark.parametrize(("value", "written"), [(None, ""), ([], ""), ({}, ""), (0, "0"), (False, "no"), ("-", "-")])
def test_a_cell_that_says_nothing_has_no_sign_before_it(value: object, written: str) -> None:
    assert csv_file.harmless_cell(value) == written


def test_names_cant_move_the_cursor_of_a_terminal() -> None:
    assert harmless("Piet\x1b[2J\u202eJansen") == "Piet�[2J�Jansen"


def test_times_are_iso_8601_in_utc() -> None:
    amsterdam = datetime.fromisoformat("2026-07-01T00:30:00+02:00")
    assert "".join(as_json({"at": amsterdam})) == '{\n  "at": "2026-06-30T22:30:00Z"\n}\n'
