"""The customer's manual says the same in Dutch and English, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.tenant_settings import FieldMap
from ops.language import handover

DOCS = Path(__file__).parents[2] / "docs"
DUTCH, ENGLISH = ((DOCS / name).read_text(encoding="utf-8") for name in ("handleiding.md", "manual.md"))


def shape(text: str) -> list[str]:
    """Headings, rows, numbered and plain items, in their order."""
    return re.findall(r"^(#+ |\||\d+\. |- |\*\*)", text, re.MULTILINE)


def test_both_languages_have_the_same_steps_rows_and_items() -> None:
    assert shape(DUTCH) == shape(ENGLISH)


def test_both_languages_name_the_same_settings() -> None:
    def named(text: str) -> list[str]:
        return re.findall(r"`[a-z_]+(?:\.[a-z_…]+)+`|`koppeling[^`]*`", text)

    assert named(DUTCH) == named(ENGLISH)


@pytest.mark.parametrize(("text", "yes"), [(DUTCH, "ja"), (ENGLISH, "yes")], ids=["dutch", "english"])
def test_a_column_is_called_required_where_the_tenants_file_requires_it(text: str, yes: str) -> None:
    required = [name for name, field in FieldMap.model_fields.items() if field.is_required()]
    assert len(re.findall(rf"^\|.*\| {yes} \|$", text, re.MULTILINE)) == len(required)


def test_tabs_that_the_mail_names_are_those_of_the_manual() -> None:
    tabs = {tab for one in handover.SENTENCES.values() for tab in re.findall(r"\(tab (\w+)\)", "".join(one))}
    assert tabs == {"GetConnectors", "UpdateConnectors"}
    assert all(f"Tab *{tab}*" in ENGLISH for tab in tabs)


@pytest.mark.parametrize("text", [DUTCH, ENGLISH], ids=["dutch", "english"])
def test_links_within_lead_to_a_heading(text: str) -> None:
    anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", text, re.M)}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors
