"""A Chromium page that fails its test on an error in the console, a dialog, or a request to another host."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Locator, Page, Request, Response

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# .ci/run sets it: there, a machine without a browser is a failure.
REQUIRED = os.environ.get("BROWSER_TESTS") == "required"
SCREENSHOTS = os.environ.get("KOPPELING_SCREENSHOTS")
WIDE, NARROW = 1280, 390
THEMES, LANGUAGES = ("light", "dark"), ("en", "nl")


def chromium() -> str:
    """Where Chromium is. Without one the browser tests are left out, or fail where they are required."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and REQUIRED:
        pytest.fail("There is no Chromium, and the browser tests are required here: apt-get install chromium.")
    if found is None:
        # `make test` is for every machine, and not every one has a browser; .ci/run requires one.
        pytest.skip("browser tests are left out: there is no Chromium (apt-get install chromium)")
    return found


@dataclass
class Visits:
    """Pages that one visitor takes after the other: a browser needs longer to make one than to show one of ours."""

    browser: Browser
    free: dict[tuple[str, bool], list[Page]] = field(default_factory=dict)

    def take(self, url: str, javascript: bool) -> Page:
        """A page that knows nothing of any visit before."""
        known = self.free.get((url, javascript))
        if known:
            return known.pop()
        context = self.browser.new_context(java_script_enabled=javascript, locale="nl-NL", reduced_motion="reduce")
        context.set_default_timeout(20_000)
        return context.new_page()

    def give_back(self, page: Page, url: str, javascript: bool) -> None:
        """End what the page still does, and forget what it kept."""
        try:
            page.goto(f"{url}/healthz")
            page.evaluate("localStorage.clear(), sessionStorage.clear()")
            page.context.clear_cookies()
        except Error:
            page.context.close()
        else:
            self.free.setdefault((url, javascript), []).append(page)


@dataclass
class Look:
    """One visitor. ``look.page`` is Playwright's page; ``look.open("/runs", language="nl")`` goes somewhere."""

    visits: Visits
    url: str
    wrong: list[str] = field(default_factory=list)
    pages: dict[bool, Page] = field(default_factory=dict)
    # Console errors that a test expects, as a page with status 404 writes one.
    expected: list[str] = field(default_factory=list)
    _page: Page | None = None

    def __post_init__(self) -> None:
        """What is heard of a page."""
        self._hears: dict[Any, Callable[[Any], None]] = {
            "console": self._told,
            "pageerror": lambda error: self._note(f"script: {error}"),
            "request": self._requested,
            "response": self._answered,
            "dialog": self._refuse,
        }

    @property
    def page(self) -> Page:
        """The page that was opened last."""
        assert self._page is not None, "open something first"
        return self._page

    def open(
        self,
        path: str,
        *,
        language: str = "en",
        theme: str = "light",
        width: int = WIDE,
        javascript: bool = True,
        status: int = 200,
    ) -> Page:
        """Open a page of the console as somebody who chose this language and these colours."""
        assert language in LANGUAGES, language
        if javascript not in self.pages:
            self.pages[javascript] = self._visitor(javascript)
        self._page = self.pages[javascript]
        self.page.context.add_cookies([{"name": "lang", "value": language, "url": self.url}])
        self.turn(theme, width)
        if status >= 400:
            self.expect(status)
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == status, f"{path}: {answer.status}\n{self.page.inner_text('body')[:2000]}"
        return self.page

    def turn(self, theme: str, width: int) -> None:
        """See the page that is open in these colours and on a screen of this width."""
        assert theme in THEMES, theme
        self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        self.page.set_viewport_size({"width": width, "height": 900 if width > 600 else 844})

    def walk(self, path: str, *, languages: tuple[str, str] = ("en", "nl"), status: int = 200) -> Iterator[str]:
        """A page in all four looks, one after the other: its name, for pictures, and ``look.page`` is in it.

        Light in the first language and dark in the second, each on a screen and on a phone.
        """
        for theme, language in zip(THEMES, languages, strict=True):
            self.open(path, language=language, theme=theme, status=status)
            for width in (WIDE, NARROW):
                self.turn(theme, width)
                yield f"{theme}-{width}"

    def again(self) -> Page:
        """The same page once more."""
        self.page.reload()
        return self.page

    def text(self) -> str:
        """What can be read of the page's content, once all of it is there."""
        self.page.wait_for_load_state()
        return self.page.inner_text("main")

    def find(self, selector: str, **filters: Any) -> Locator:
        """Part of the page; filters are those of Playwright's ``locator``."""
        return self.page.locator(selector, **filters)

    def too_wide(self) -> int:
        """By how many pixels the page is wider than the screen."""
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(wider))

    def expect(self, status: int) -> None:
        """An answer with this status will come, which browsers write into the console: it is no fault here."""
        self.expected.append(f"status of {status}")

    def shot(self, name: str) -> None:
        """Keep a picture, where $KOPPELING_SCREENSHOTS says where."""
        if SCREENSHOTS:
            folder = Path(SCREENSHOTS)
            folder.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=folder / f"{name}.png", full_page=True, animations="disabled")

    def _visitor(self, javascript: bool) -> Page:
        page = self.visits.take(self.url, javascript)
        for event, hear in self._hears.items():
            page.on(event, hear)
        return page

    def _told(self, message: ConsoleMessage) -> None:
        # Browsers ask for the icon of what names none, as the page between two visits; ours name theirs.
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            self._note(f"console: {message.text}")

    def _refuse(self, dialog: Dialog) -> None:
        self._note(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.wrong.append(text)

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.url + "/", "data:", "blob:", "about:")):
            self._note(f"another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self._note(f"{response.status}: {response.url}")

    def close(self) -> None:
        """End the visit; AssertionError when something was wrong with it."""
        for javascript, page in self.pages.items():
            page.evaluate("0")  # what the page said until now is heard
            for event, hear in self._hears.items():
                page.remove_listener(event, hear)
            self.visits.give_back(page, self.url, javascript)
        assert not self.wrong, "; ".join(self.wrong)


# What comes back is little: all that axe tells of a page takes longer to hand over than to find.
FINDINGS = """async () => (await axe.run({resultTypes: ["violations"]})).violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => [`${one.id} (${one.help})`, one.nodes.slice(0, 3).map(node => node.html)])"""


def violations(page: Page) -> list[str]:
    """What keeps people from using a page: axe's serious and critical findings, one line each."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
    told = []
    for what, nodes in page.evaluate(FINDINGS):
        where = "; ".join(re.sub(r"\s+", " ", html)[:160] for html in nodes)
        told.append(f"{what}: {where}")
    return told
