"""The page that describes the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.look import Look


@pytest.mark.parametrize(("language", "heading"), [("nl", "De API"), ("en", "The API")])
def test_the_reference_is_a_page_of_the_console_in_both_languages(look: Look, language: str, heading: str) -> None:
    page = look.open("/api/docs", language=language, javascript=False)
    assert page.inner_text("h1") == heading
    assert "POST /api/tenants/{slug}/pause" in look.text()
    assert 'curl -H "Authorization: Bearer $KOPPELING_API_TOKEN"' in look.text()
    look.shot(f"api-docs-{language}")


def test_a_link_of_the_contents_leads_to_its_operation(look: Look) -> None:
    page = look.open("/api/docs")
    page.click("nav.card >> text=Release held lines")
    assert "release" in page.url.rpartition("#")[2]


# One operation is drawn like the other, and axe takes a second for each fifty: it sees all of them in one look.
FIRST_TEN = "document.querySelectorAll('main > section:nth-of-type(n + 11)').forEach(one => one.remove())"


def test_everybody_can_read_the_reference(look: Look, axe: Callable[[Look], None]) -> None:
    for number, seen in enumerate(look.walk("/api/docs")):
        assert look.too_wide() <= 0
        if number:
            look.page.evaluate(FIRST_TEN)
        axe(look)
        look.find("main > section, main > nav").nth(6).scroll_into_view_if_needed()
        look.shot(f"api-docs-{seen}")
