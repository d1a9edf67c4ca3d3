"""The pages that docs/console.md shows: each is there and has something on it. ``make screenshots`` keeps pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.desk import Desk
from tests.browser.look import NARROW, SCREENSHOTS, WIDE, Look

MOST_BYTES = 80_000
# name: (path, language, theme, width, what must stand on it)
PICTURES = {
    "overview": ("/", "en", "light", WIDE, "need you"),
    "overview-dark-nl": ("/", "nl", "dark", WIDE, "vragen aandacht"),
    "overview-phone": ("/", "en", "light", NARROW, "need you"),
    "inbox": ("/inbox", "en", "light", WIDE, "removals held"),
    "tenant": ("/tenants/gamma", "en", "light", WIDE, "stopped by itself"),
    "hold": ("/holds/last", "en", "light", WIDE, "Is it real?"),
    "run": ("/runs/last", "en", "light", WIDE, "Verify"),
    "person": ("/tenants/acme/people/31", "en", "light", WIDE, "31"),
    "dead-letters": ("/dead-letters", "nl", "dark", WIDE, "Dead letters"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_of_the_manual_can_be_taken(desk: Desk, look: Look, name: str) -> None:
    path, language, theme, width, words = PICTURES[name]
    page = look.open(path, language=language, theme=theme, width=width)
    page.set_viewport_size({"width": min(width, 960), "height": 520})
    assert words in look.text()
    taken = page.screenshot(animations="disabled")
    assert len(taken) > 5_000, "an empty page"
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        (Path(SCREENSHOTS) / f"{name}.png").write_bytes(taken)


def test_pictures_of_the_manual_are_few_and_small() -> None:
    kept = list(Path("docs/console").glob("*.png"))
    assert len(kept) <= 12
    assert [one.name for one in kept if one.stat().st_size > MOST_BYTES] == []
