"""``/system``: worker processes, what waits, and whether all is as it must be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.desk import Desk
from tests.browser.look import Look
from tests.browser.seed import HOSTILE
from tests.integration.ops.conftest import run_sql, scalar

Axe = Callable[[Look], None]


@pytest.mark.parametrize(
    ("language", "title", "kept"),
    [("en", "Worker processes", "How long is kept"), ("nl", "Workerprocessen", "Hoe lang")],
)
def test_the_processes_that_are_alive_are_listed_with_what_they_do(
    desk: Desk, look: Look, language: str, title: str, kept: str
) -> None:
    look.open("/system", language=language)

    assert title in look.text()
    assert kept in look.text()
    assert look.find("table").first.locator("tbody tr").count() == scalar("SELECT count(*) FROM worker")
    look.find("details.fold summary").click()
    assert "PostgreSQL" in look.text()


def test_a_process_that_gave_no_sign_of_life_is_broken_and_its_name_is_harmless(desk: Desk, look: Look) -> None:
    run_sql(
        "INSERT INTO worker (id, host, pid, code_version, heartbeat_at) VALUES ('x:1:a', :host, 1, '0.0.1/1',"
        " now() - interval '5 minutes') RETURNING id",
        host=HOSTILE[0] + HOSTILE[1],
    )
    try:
        look.open("/system")
        row = look.find(
            "tr",
        ).filter(has_text="alert(1)")
        assert "broken" in row.inner_text()
        assert "0.0.1/1" in row.inner_text()
    finally:
        run_sql("DELETE FROM worker WHERE id = 'x:1:a'")


def test_who_did_what_is_told_in_words_and_leads_to_whom(look: Look) -> None:
    look.open("/tenants/acme/people/6", language="nl")
    look.open("/audit?verb=people", language="nl")
    row = look.find("tbody tr").first
    assert "bekeek deze persoon" in row.inner_text()
    row.get_by_role("link", name="6", exact=True).click()
    assert look.page.url.endswith("/tenants/acme/people/6")


def test_what_is_wrong_stands_first_with_what_to_do(desk: Desk, look: Look) -> None:
    look.open("/system", javascript=False)

    first = look.find(".card").first.inner_text()
    assert "What has to be looked at" in first
    assert "KOPPELING_PUBLIC_URL" in first


def test_the_page_can_be_used_by_everybody(desk: Desk, look: Look, axe: Axe) -> None:
    for seen in look.walk("/system"):
        axe(look)
        look.shot(f"system-{seen}")
