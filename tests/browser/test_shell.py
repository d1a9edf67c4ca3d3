"""What stands around every page: languages, colours, keys, errors, and what a browser may do with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from tests.browser.desk import Desk
from tests.browser.look import Look

Check = Callable[[Look], None]


@pytest.mark.parametrize(("path", "status"), [("/help", 200), ("/nothing", 404), ("/tenants/nobody", 404)])
def test_help_and_errors_can_be_used_by_everybody(look: Look, axe: Check, path: str, status: int) -> None:
    for _ in look.walk(path, status=status):
        axe(look)


def test_a_page_speaks_the_language_that_was_chosen_and_stays_where_it_was(look: Look) -> None:
    page = look.open("/help", language="nl")
    assert page.get_attribute("html", "lang") == "nl"
    assert "Toetsen" in look.text()

    page.get_by_role("button", name="English").click()
    page.wait_for_url("**/help")
    assert page.get_attribute("html", "lang") == "en"
    assert "Keys" in look.text()


def test_colours_follow_the_choice_and_else_the_system(look: Look) -> None:
    page = look.open("/help", theme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 27)"
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Light").click()
    page.wait_for_selector("html[data-theme=light]")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(245, 246, 248)"


def test_choices_need_no_javascript(look: Look) -> None:
    page = look.open("/help", language="nl", javascript=False)
    page.get_by_role("button", name="English").click()
    assert page.get_attribute("html", "lang") == "en"
    assert page.url.endswith("/help")


def test_keys_jump_and_do_nothing_in_a_field(look: Look) -> None:
    page = look.open("/help")
    page.keyboard.press("?")
    assert page.locator("dialog#keys").is_visible()
    page.keyboard.press("Escape")

    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("g t?")
    assert page.input_value("#search") == "g t?"
    assert page.url.endswith("/help")

    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/tenants")


def test_the_first_stop_of_the_keyboard_leads_to_the_content(look: Look) -> None:
    page = look.open("/help")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


@pytest.mark.parametrize(("language", "said"), [("nl", "Hier niet te vinden"), ("en", "Not here")])
def test_what_is_not_there_is_said_with_a_way_on(look: Look, language: str, said: str) -> None:
    page = look.open("/tenants/nobody", language=language, status=404)
    assert said in look.text()
    page.locator(".ways a.button").click()
    page.wait_for_url(look.url + "/")


def test_every_answer_forbids_what_is_not_ours_and_is_not_kept(desk: Desk) -> None:
    for path in ("/", "/help", "/nothing", "/tenants/acme"):
        headers = requests.get(desk.url + path, timeout=30).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def test_a_first_visit_is_small(desk: Desk) -> None:
    visit = requests.Session()
    page = visit.get(desk.url + "/", timeout=30)
    size = len(page.content)
    for name in ("console.css", "console.js", "icon.svg"):
        path = page.text.partition(f'/{name}"')[0].rpartition('"')[2] + f"/{name}"
        file = visit.get(desk.url + path, timeout=30)
        assert "immutable" in file.headers["Cache-Control"]
        size += len(file.content)
    assert size < 100_000


@pytest.mark.parametrize("to", ["//evil.example/", "https://evil.example/", "/\\evil.example", "evil", "/a\r\nX: 1"])
def test_a_choice_of_language_leads_to_no_other_place(desk: Desk, to: str) -> None:
    answer = requests.post(
        desk.url + "/settings/look",
        data={"lang": "en", "to": to},
        headers={"Sec-Fetch-Site": "same-origin"},
        allow_redirects=False,
        timeout=30,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_what_was_not_understood_is_named_and_not_repeated(desk: Desk) -> None:
    answer = requests.get(desk.url + "/?asked=<script>", headers={"Accept-Language": "en"}, timeout=30)
    assert answer.status_code == 422
    assert "asked" in answer.text
    assert "<script>" not in answer.text.replace("<script src", "")
