"""What opens an alert by itself, how often it is told, and what the morning's mail has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from models.alert import Channel
from models.session import transaction
from ops.alerts import plan, recipients, sender, verbs, watch
from tenancy.alerts import open_alert
from tests.fixtures.mailbox import Mailbox, mail_server
from tests.integration.ops.alerting import (
    OPERATOR,
    decide,
    hold,
    later,
    notice,
    setting,
    tell_operators,
    told,
    waited,
)
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.fixture
def box(acme: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server; those who run the installation are told in English."""
    with mail_server() as made:
        tell_operators(monkeypatch, made)
        yield made


def open_kinds() -> list[str]:
    return [one["kind"] for one in verbs.listing().items][::-1]


def a_run(tenant: int, number: int, status: str, reason: str | None = None, direction: str = "enrollments") -> None:
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status, reason) VALUES (:id, 'b', :tenant,"
        " :direction, 'schedule', :status, :reason) RETURNING id",
        id=f"01AAA{number:021}",
        tenant=tenant,
        status=status,
        reason=reason,
        direction=direction,
    )


def checked(tenant: int, *findings: dict[str, object]) -> None:
    run_sql(
        "INSERT INTO tenant_check (tenant_id, findings) VALUES (:tenant, CAST(:findings AS jsonb))"
        " ON CONFLICT (tenant_id) DO UPDATE SET findings = excluded.findings RETURNING id",
        tenant=tenant,
        findings=json.dumps(findings),
    )


def test_looking_again_changes_nothing(acme: int) -> None:
    hold(acme)
    assert watch.look() == 1
    assert watch.look() == 0


def _read(node: dict[str, Any]) -> float:
    """How many rows a plan's node, and all below it, looked at."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    here = node["Actual Loops"] * (node["Actual Rows"] + removed)
    return float(here) + sum(map(_read, node.get("Plans", [])))


def test_after_an_outage_of_many_alerts_not_each_is_compared_with_each(acme: int) -> None:
    # given three thousand that were told, and are over since a moment ago
    with transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO alert (tenant_id, kind, subject, text, opened_at, told_at, closed_at)"
                " SELECT :tenant, 'quarantine', n, '', now(), now(), now() FROM generate_series(1, 3000) n"
            ),
            {"tenant": acme},
        )
        connection.execute(text("ANALYZE alert"))
        # when
        names = {"later": [], "now": datetime.now(UTC)}
        (found,) = connection.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {plan._TENANTS.text}"), names).one()
    # then
    assert 3000 <= _read(found[0]["Plan"]) < 50_000


def test_a_failed_run_is_told_until_one_gets_through(acme: int) -> None:
    a_run(acme, 1, "failed", "timeout")
    watch.look()
    [one] = verbs.listing().items
    assert (one["kind"], one["page"]) == ("run_failed", f"/runs/01AAA{1:021}")
    assert one["text"].startswith("the last run of enrollments failed: ")

    a_run(acme, 2, "queued")
    watch.look()
    assert open_kinds() == ["run_failed"]
    a_run(acme, 3, "done_with_failures")
    watch.look()
    assert open_kinds() == []


def test_a_preview_that_failed_is_told_to_who_asked_for_it_alone(acme: int) -> None:
    a_run(acme, 1, "failed", "timeout")
    run_sql("UPDATE run SET trigger = 'preview'")
    watch.look()

    assert open_kinds() == []


def test_a_run_that_failed_at_a_call_is_told_by_what_was_not_reached_alone(acme: int) -> None:
    a_run(acme, 1, "failed", "timeout")
    with transaction() as connection:
        told_ = {"direction": "enrollments", "system": "afas", "code": "timeout"}
        open_alert(connection, acme, "unreached", "enrollments afas timeout", "…", told_)
    watch.look()

    assert open_kinds() == ["unreached"]


def test_a_check_with_a_fault_is_told_and_over_after_a_better_one(acme: int) -> None:
    checked(acme, {"probe": "afas token", "ok": False, "code": "token_refused", "parameters": {"system": "AFAS"}})
    watch.look()
    [one] = verbs.listing().items
    assert one["text"] == ("a check found 1 fault: The token is wrong, expired, removed or of another environment.")
    checked(acme, {"probe": "afas token", "ok": True, "code": "ok", "parameters": {}})
    watch.look()
    assert open_kinds() == []


def test_many_dead_letters_are_told_and_again_at_ten_times_as_many(acme: int, box: Mailbox) -> None:
    enrollment = add_enrollment(acme, "80")
    for number in range(1, 10):
        add_dead_letter(acme, enrollment, number)
    notice()
    assert open_kinds() == []
    for count in (10, 11, 99, 100):
        for number in range(scalar("SELECT count(*) FROM dead_letter") + 1, count + 1):
            add_dead_letter(acme, enrollment, number)
        notice()
        waited()
        later()

    assert [subject.rpartition("): ")[2] for subject in box.subjects] == ["10 messages gave up", "100 messages gave up"]


def test_the_end_of_a_secret_is_told_at_sixty_thirty_fourteen_and_seven_days_each_once(acme: int, box: Mailbox) -> None:
    end = date(2027, 5, 1)
    run_sql("""UPDATE tenant SET afas = afas || '{"secret_ends": "2027-05-01"}'""")
    told_on = []
    for days in range(70, -3, -1):
        moment = datetime.combine(end - timedelta(days=days), datetime.min.time(), AMSTERDAM) + timedelta(hours=9)
        for _ in range(2):
            watch.look(moment)
            plan.news()
            waited()
            if later():
                told_on.append(days)

    assert told_on == [60, 30, 14, 7, -1]
    assert "2027-05-01" in box.subjects[0]
    assert "ended on 2027-05-01" in box.subjects[-1]

    run_sql("""UPDATE tenant SET afas = afas || '{"secret_ends": "2028-05-01"}'""")
    watch.look(datetime(2027, 5, 4, 9, tzinfo=UTC))
    assert open_kinds() == []


def test_the_end_that_a_check_found_counts_where_none_is_noted(acme: int) -> None:
    day = (datetime.now(AMSTERDAM).date() + timedelta(days=20)).isoformat()
    checked(
        acme, {"probe": "afas token end", "ok": True, "code": "token_ends", "parameters": {"day": day, "count": 20}}
    )
    watch.look()

    [one] = verbs.listing().items
    assert (one["kind"], one["subject"]) == ("credential_ends", day)


def test_nobody_working_is_told_after_some_minutes_and_over_with_the_first_worker(
    acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = watch.Workers()
    workers.look()
    workers.look()
    assert open_kinds() == []
    monkeypatch.setattr(watch, "NO_WORKER_SECONDS", 0)
    workers.look()
    assert open_kinds() == ["workers"]

    run_sql(
        "INSERT INTO worker (id, host, pid, code_version) VALUES ('h:1:a', 'h', 1, 'v') RETURNING id",
    )
    workers.look()
    # it lives, and leads nothing yet
    assert "workers" not in open_kinds()


# ----------------------------------------------------------------------------------------------------------- a digest


def at(day: date, hour: int, minute: int = 0, zone: ZoneInfo = AMSTERDAM) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    "day",
    [date(2026, 11, 26), date(2026, 3, 29), date(2026, 10, 25), date(2024, 2, 29)],
    ids=["any day", "clocks go on", "clocks go back", "leap day"],
)
def test_a_digest_comes_once_a_day_at_seven_by_the_clock_on_the_wall(acme: int, box: Mailbox, day: date) -> None:
    hold(acme)
    moment = at(day, 0)
    made = []
    while moment < at(day + timedelta(days=1), 0):
        if plan.digests(moment):
            made.append(moment.astimezone(AMSTERDAM).strftime("%d %H:%M"))
        moment += timedelta(minutes=15)

    assert made == [f"{day.day:02} 07:00"]


def test_the_digest_has_what_needs_a_person_each_with_a_link(acme: int, box: Mailbox) -> None:
    hold(acme)
    enrollment = add_enrollment(acme, "80")
    add_dead_letter(acme, enrollment)
    with transaction() as connection:
        told_ = {"direction": "completions", "code": "token_refused", "system": "afas"}
        open_alert(connection, acme, "quarantine", "completions", "…", told_)
        open_alert(connection, acme, "users_incomplete", None, "…", {"count": 3})
    plan.digests(at(date(2026, 11, 26), 7))
    later(86400)

    text = box.text()
    assert box.subjects == ["Koppeling: 4 things need you"]
    for told_line in (
        "1 hold waits for a decision",
        "1 message gave up",
        "Completions stopped by itself",
        "at least 3 users are missing",
        "https://console.example.org/holds?tenant=acme",
        "https://console.example.org/dead-letters?tenant=acme",
    ):
        assert told_line in text, text


def test_there_is_no_digest_where_nothing_needs_anybody_not_even_later_that_day(acme: int, box: Mailbox) -> None:
    day = date(2026, 11, 26)
    assert plan.digests(at(day, 7)) == 0
    hold(acme)
    assert plan.digests(at(day, 8)) == 0
    assert plan.digests(at(day + timedelta(days=1), 7)) == 1


def test_a_digest_comes_after_a_restart_in_the_morning_and_not_in_the_afternoon(acme: int, box: Mailbox) -> None:
    hold(acme)
    assert plan.digests(at(date(2026, 11, 26), 9, 40)) == 1
    assert plan.digests(at(date(2026, 11, 27), 15)) == 0


def test_tenants_get_theirs_at_their_own_seven_in_their_language(
    acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, ALERT_MAIL="")
    told(acme, mail=["beheer@example.nl"])
    run_sql("UPDATE tenant SET timezone = 'America/Curacao'")
    hold(acme)
    day = date(2026, 11, 26)
    assert plan.digests(at(day, 7)) == 0
    assert plan.digests(at(day, 7, zone=ZoneInfo("America/Curacao"))) == 1
    later(86400)
    assert box.subjects == ["Koppeling: 1 punt vraagt aandacht"]

    told(acme, mail=["beheer@example.nl"], digest=False)
    assert plan.digests(at(day + timedelta(days=1), 7, zone=ZoneInfo("America/Curacao"))) == 0


# --------------------------------------------------------------------------------------------------- silence, and who


def test_what_is_silenced_is_listed_and_not_mailed(acme: int, box: Mailbox) -> None:
    silence = verbs.mute(tenant="acme", kind="hold", seconds=3600, reason="they know", who="anna")
    name = hold(acme)
    notice()
    assert later() == 0
    assert [one["state"] for one in verbs.listing().items] == ["muted"]
    assert plan.digests(at(date(2026, 11, 26), 7)) == 0

    verbs.unmute(silence["id"], who="anna")
    decide(name)
    hold(acme, 2, event="341")
    notice()
    assert later() == 1


def test_a_silence_ends_by_itself(acme: int, box: Mailbox) -> None:
    verbs.mute(tenant=None, kind="hold", seconds=3600, reason="they know", who="anna")
    run_sql("UPDATE alert_mute SET until = now() - interval '1 second'")
    hold(acme)
    notice()

    assert later() == 1
    assert verbs.mutes() == []


def test_what_somebody_takes_care_of_is_no_longer_in_the_digest(acme: int, box: Mailbox) -> None:
    with transaction() as connection:
        open_alert(connection, acme, "no_room", None, "…", {})
    number = verbs.listing().items[0]["id"]
    verbs.ack(number, reason="asked Pluvo", who="anna")

    assert plan.digests(at(date(2026, 11, 26), 7)) == 0
    assert [(one["state"], one["acked_by"]) for one in verbs.listing().items] == [("acked", "anna")]


# --------------------------------------------------------------------------------------------------------- quiet hours


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        ("22:00-07:00", "2026-11-26 21:59", None),
        ("22:00-07:00", "2026-11-26 22:00", "2026-11-27 07:00"),
        ("22:00-07:00", "2026-11-27 06:59", "2026-11-27 07:00"),
        ("22:00-07:00", "2026-11-27 07:00", None),
        ("12:00-13:30", "2026-11-27 12:10", "2026-11-27 13:30"),
        # the night in which clocks go on has no 02:30, the one in which they go back has two
        ("22:00-07:00", "2026-03-28 23:00", "2026-03-29 07:00"),
        ("22:00-07:00", "2026-10-24 23:00", "2026-10-25 07:00"),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(quiet: str, now: str, until: str | None) -> None:
    def local(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=AMSTERDAM)

    found = recipients.quiet_until(quiet, AMSTERDAM, local(now).astimezone(UTC))

    assert found == (local(until) if until else None)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
@pytest.mark.parametrize("quiet", ["22:00-02:30", "02:15-02:45", "01:30-03:15"])
def test_quiet_hours_of_the_night_in_which_clocks_change_end_later_than_now(day: str, quiet: str) -> None:
    for minutes in range(0, 8 * 60, 5):
        now = datetime.fromisoformat(f"{day}T00:00:00Z") + timedelta(minutes=minutes - 180)
        until = recipients.quiet_until(quiet, AMSTERDAM, now)
        assert until is None or until.astimezone(UTC) > now


def test_nobody_is_mailed_in_quiet_hours_and_a_webhook_is_called(
    acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(AMSTERDAM)
    begin, end = now - timedelta(hours=1), now + timedelta(hours=2)
    setting(monkeypatch, ALERT_QUIET=f"{begin:%H:%M}-{end:%H:%M}")
    hold(acme)
    notice()

    assert sender.send_due(Channel.MAIL, datetime.now(UTC) + timedelta(minutes=90)) == 0
    assert sender.send_due(Channel.MAIL, datetime.now(UTC) + timedelta(minutes=121)) == 1
    assert [str(one["To"]) for one in box.mails] == [OPERATOR]
