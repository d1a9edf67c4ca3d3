"""Every code that is shown stands in the documents, with what it means and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.hold import Guard
from models.outcomes import ALL
from ops.language import SENTENCES, Language
from tools.codes import PAGES, page

ROOT = Path(__file__).parents[2]
# Where a reason is given as a word: ambiguous("same_email"), Dropped("came_back"), reason="own_link" …
_GIVEN = re.compile(r'(?:ambiguous|suspect|Dropped|UnfitField|refuse)\(\s*"([a-z_]+)"|reason="([a-z_]+)"')
# Reasons of a tenant or of who decided, which are told in full where they are shown.
_ELSEWHERE = {"operator"}


@pytest.mark.parametrize("language", PAGES)
def test_the_page_is_what_the_catalogue_says(language: Language) -> None:
    assert PAGES[language].read_text(encoding="utf-8") == page(language), "run `make reference`"


def test_every_reason_that_the_code_gives_is_in_the_catalogue() -> None:
    source = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("producers", "workers", "models")
        for file in (ROOT / folder).rglob("*.py")
    )
    given = {one or other for one, other in _GIVEN.findall(source)} - _ELSEWHERE
    assert len(given) > 25
    lacking = {code for code in given if f"reason.{code}" not in SENTENCES and f"cause.{code}" not in SENTENCES}
    assert lacking == set()


def test_every_outcome_and_guard_is_in_the_catalogue() -> None:
    assert {f"reason.{code}" for code in (*ALL, *Guard)} - SENTENCES.keys() == set()


def test_what_says_what_something_means_says_what_to_do() -> None:
    for meaning, action in (("cause", "action"), ("reason", "next")):
        codes = {code.removeprefix(f"{meaning}.") for code in SENTENCES if code.startswith(f"{meaning}.")}
        assert {f"{action}.{code}" for code in codes} <= SENTENCES.keys()
