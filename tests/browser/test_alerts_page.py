"""``/alerts``: look, take care of one, silence, try whether mails arrive."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.session import transaction
from tenancy.alerts import close_alert, open_alert
from tests.browser.desk import Desk
from tests.browser.look import Look
from tests.browser.seed import HOSTILE
from tests.integration.ops.conftest import run_sql, scalar

Axe = Callable[[Look], None]


def opened(kind: str = "no_room", subject: str | None = None) -> int:
    """An alert of acme that is open; its number."""
    with transaction() as connection:
        open_alert(connection, int(scalar("SELECT id FROM tenant WHERE slug = 'acme'")), kind, subject, "full", {})
    return int(scalar("SELECT max(id) FROM alert WHERE closed_at IS NULL AND kind = :kind", kind=kind))


@pytest.fixture(autouse=True)
def clean(desk: Desk) -> None:
    """No silence, no alert of a test before."""
    run_sql("DELETE FROM alert_mute")
    with transaction() as connection:
        close_alert(connection, int(scalar("SELECT id FROM tenant WHERE slug = 'acme'")), "no_room", None)


@pytest.mark.parametrize("language", ["en", "nl"])
def test_an_alert_says_what_is_the_matter_and_what_to_do(desk: Desk, look: Look, language: str) -> None:
    number = opened()
    look.open("/alerts", language=language)
    assert {"en": "Pluvo makes no more accounts", "nl": "Pluvo maakt geen accounts meer aan"}[language] in look.text()

    look.find(f"a[href='/alerts/{number}']").click()

    assert {"en": "Have Pluvo enlarge the licence", "nl": "Laat Pluvo de licentie uitbreiden"}[language] in look.text()


@pytest.mark.parametrize("javascript", [True, False])
def test_somebody_takes_care_of_an_alert_and_the_second_is_told_who_was_first(
    desk: Desk, look: Look, javascript: bool
) -> None:
    number = opened()
    look.open(f"/alerts/{number}", javascript=javascript)
    look.page.fill("[name=reason]", HOSTILE[0])
    look.page.click("form[action$='/ack'] button")

    assert look.page.url.endswith(f"/alerts/{number}")
    assert HOSTILE[0] in look.text()
    assert "takes care of it" in look.find(".history").inner_text()
    assert look.find("form[action$='/ack']").count() == 0


def test_the_second_who_takes_care_is_told_who_was_first(desk: Desk, look: Look) -> None:
    number = opened()
    look.open(f"/alerts/{number}")
    run_sql("UPDATE alert SET acked_at = now(), acked_by = 'anna' WHERE id = :id", id=number)
    look.expected.append("status of 409")
    look.page.click("form[action$='/ack'] button")

    assert "taken care of by anna already" in look.text()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_kind_is_silenced_and_heard_again(desk: Desk, look: Look, javascript: bool) -> None:
    look.open("/alerts?tenant=acme", javascript=javascript)
    look.page.click("#silences summary")
    look.page.select_option("#f-mute-kind", "no_room")
    look.page.fill("#silences [name=reason]", HOSTILE[1])
    look.page.click("#silences form[action='/alerts/mute'] button")
    assert "Silenced." in look.text()
    assert HOSTILE[1] in look.find("#silences").inner_text()
    assert scalar("SELECT count(*) FROM alert_mute") == 1

    look.page.click("#silences form[action$='/end'] button")
    assert "Nothing is silenced." in look.text()


def test_a_silence_needs_a_reason_and_keeps_what_was_typed(desk: Desk, look: Look) -> None:
    look.open("/alerts", javascript=False)
    look.page.click("#silences summary")
    look.page.fill("#f-tenant", "acme")
    look.page.fill("#silences [name=reason]", "   ")
    look.expected.append("status of 422")
    look.page.click("#silences form[action='/alerts/mute'] button")

    assert "Give a reason" in look.text()
    assert look.page.input_value("#f-tenant") == "acme"


def test_a_test_says_so_where_nobody_is_named(desk: Desk, look: Look) -> None:
    look.open("/alerts")
    look.expected.append("status of 422")
    look.page.click("form[action='/alerts/test'] button")

    assert "Nobody is told: set KOPPELING_ALERT_MAIL" in look.text()


def test_a_test_of_a_tenant_stands_in_the_list(desk: Desk, look: Look) -> None:
    run_sql("""UPDATE tenant SET alerts = '{"mail": ["beheer@example.nl"]}' WHERE slug = 'acme'""")
    look.open("/alerts?tenant=acme")
    look.page.click("form[action='/alerts/test'] button")

    assert "beheer@example.nl" in look.find("#deliveries").inner_text()
    run_sql("""UPDATE tenant SET alerts = '{}' WHERE slug = 'acme'""")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_somebody_typed_is_harmless(desk: Desk, look: Look, name: str) -> None:
    number = opened()
    run_sql(
        "UPDATE alert SET acked_at = now(), acked_by = :name, ack_reason = :name WHERE id = :id", name=name, id=number
    )
    run_sql(
        "INSERT INTO alert_mute (kind, until, reason, who) VALUES ('hold', now() + interval '1 hour', :name, :name)"
        " RETURNING id",
        name=name,
    )
    look.open("/alerts")
    look.open(f"/alerts/{number}")


def test_an_alert_that_is_not_there_is_told_so(desk: Desk, look: Look) -> None:
    look.open("/alerts/999999999", status=404)
    assert "There is no alert 999999999" in look.text()


def test_the_pages_can_be_used_by_everybody(desk: Desk, look: Look, axe: Axe) -> None:
    number = opened()
    run_sql(
        "INSERT INTO alert_mute (kind, until, reason, who) VALUES ('hold', now() + interval '3 days',"
        " 'they move to a new AFAS', 'anna') RETURNING id"
    )
    run_sql(
        "INSERT INTO alert_delivery (channel, recipient, about, items, state, code, next_at) VALUES"
        " ('mail', 'ops@example.org', 'news', :items, 'refused', 'smtp_refused', now() + interval '1 year')"
        " RETURNING id",
        items=f'[{{"alert": {number}, "event": "opened"}}]',
    )
    for path, name in (("/alerts", "alerts"), (f"/alerts/{number}", "alert")):
        for seen in look.walk(path):
            axe(look)
            look.shot(f"{name}-{seen}")
