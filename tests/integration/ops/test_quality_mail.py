"""The weekly mail to those who keep AFAS: what is to be put right, by ids."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from zoneinfo import ZoneInfo

import pytest

from ops.alerts import plan, verbs
from ops.problems import Problem
from tests.fixtures.mailbox import Mailbox, mail_server
from tests.integration.ops.alerting import deliveries, later, tell_operators, told
from tests.integration.ops.conftest import add_enrollment, run_sql
from tests.integration.ops.test_command_line import Command, koppeling

__all__ = ["koppeling"]  # a fixture
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
MONDAY = date(2026, 3, 30)  # the day after clocks went on


@pytest.fixture
def box(acme: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server; acme names who keeps its AFAS."""
    with mail_server() as made:
        tell_operators(monkeypatch, made)
        told(acme, quality_mail=["afas@example.nl"], language="en")
        yield made


def shared_address(tenant: int) -> None:
    """Two people with one address, whose names must not be mailed."""
    for person in ("80", "81"):
        enrollment = add_enrollment(tenant, person)
        run_sql("UPDATE enrollment SET row_state = 'present' WHERE id = :id", id=enrollment)
    run_sql("UPDATE person SET email = 'same@example.nl', email_folded = 'same@example.nl', name = 'Jansen ' || id")


def a_week(begin: date) -> list[str]:
    """When mails are made, from half hour to half hour."""
    moment = datetime(begin.year, begin.month, begin.day, tzinfo=AMSTERDAM).astimezone(UTC)
    made = []
    for _ in range(2 * 24 * 15):
        if plan.weekly(moment):
            made.append(moment.astimezone(AMSTERDAM).strftime("%a %d %H:%M"))
        moment += timedelta(minutes=30)
    return made


def attached(mail: EmailMessage) -> tuple[str, str]:
    [part] = list(mail.iter_attachments())
    content = part.get_content()
    return str(part.get_filename()), content.decode() if isinstance(content, bytes) else str(content)


def test_it_is_made_on_mondays_at_seven_once_a_week(acme: int, box: Mailbox) -> None:
    assert a_week(MONDAY - timedelta(days=1)) == ["Mon 30 07:00", "Mon 06 07:00"]


def test_it_has_numbers_in_it_and_ids_in_a_file_and_nobodys_name(acme: int, box: Mailbox) -> None:
    shared_address(acme)
    plan.weekly(datetime(2026, 3, 30, 7, 5, tzinfo=AMSTERDAM))
    assert later() == 1

    [mail] = box.mails
    assert (mail["To"], mail["Subject"]) == (
        "afas@example.nl",
        "Koppeling: Acme Opleidingen (acme): 2 things to put right in AFAS",
    )
    name, content = attached(mail)
    assert name == "acme-afas.csv"
    rows = list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"))))
    assert [(row["code"], row["internal_id"]) for row in rows] == [("shared_email", "80"), ("shared_email", "81")]
    whole = box.text() + box.text(subtype="html") + content
    assert "Jansen" not in whole
    assert "same@example.nl" not in whole
    assert "https://console.example.org/tenants/acme/quality?code=shared_email" in box.text()


def test_none_goes_where_nothing_has_to_be_put_right(acme: int, box: Mailbox) -> None:
    plan.weekly(datetime(2026, 3, 30, 7, 5, tzinfo=AMSTERDAM))

    assert later() == 0
    assert deliveries() == [("dropped", None, 1)]


def test_it_can_be_asked_for_now(acme: int, box: Mailbox, koppeling: Command, environment: dict[str, str]) -> None:
    shared_address(acme)
    done = koppeling("quality", "acme", "--mail", "--language", "en", **environment)
    assert done.returncode == 0, done.stderr
    assert "It goes to 1 recipient within seconds" in done.stderr
    assert deliveries() == [("waiting", None, 0)]


def test_nobody_to_mail_is_told(acme: int) -> None:
    with pytest.raises(Problem, match="acme names nobody who keeps AFAS"):
        verbs.mail_quality("acme")
