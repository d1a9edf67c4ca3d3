"""What a log line may hold, and how many of them strangers can cause."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logs import Seldom, without_addresses, without_controls

TEXTS = st.text(st.characters(), max_size=60)


def flat(value: Any) -> list[str]:
    """Every text in an entry."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in flat(item)]
    return [text for item in value for text in flat(item)] if isinstance(value, list) else [str(value)]


@given(st.dictionaries(TEXTS, st.one_of(TEXTS, st.lists(TEXTS), st.dictionaries(TEXTS, TEXTS)), max_size=3))
def test_no_character_in_a_log_moves_a_cursor_or_begins_a_line(entry: dict[str, Any]) -> None:
    written = "".join(flat(without_controls(None, "info", entry)))
    assert [char for char in written if unicodedata.category(char) in ("Cc", "Zl", "Zp")] == []


def test_a_stranger_s_escape_codes_are_shown_and_not_done() -> None:
    assert without_controls(None, "info", {"slug": "a\x1b[31m\x9b2J\n{}"}) == {"slug": r"a\x1b[31m\x9b2J\n{}"}


def test_addresses_are_masked_in_whatever_a_renderer_would_write_as_text() -> None:
    entry = without_addresses(
        None, "error", {"error": ValueError("p.jansen@example.nl is taken"), "at": Path("/tmp"), "times": 3}
    )
    assert entry == {"error": "<e-mail> is taken", "at": "/tmp", "times": 3}


def test_what_happens_often_is_told_at_once_and_then_once_a_minute_with_its_number() -> None:
    now = [0.0]
    told: list[tuple[str, dict[str, Any]]] = []
    seldom = Seldom(clock=lambda: now[0])
    for second in range(121):
        now[0] = float(second)
        for _ in range(100):
            seldom(lambda event, **about: told.append((event, about)), "webhook_forged", tenant=1)
    seldom(lambda event, **about: told.append((event, about)), "webhook_forged", tenant=2)

    assert told == [
        ("webhook_forged", {"tenant": 1, "times": 1}),
        ("webhook_forged", {"tenant": 1, "times": 6000}),
        ("webhook_forged", {"tenant": 1, "times": 6000}),
        ("webhook_forged", {"tenant": 2, "times": 1}),
    ]
