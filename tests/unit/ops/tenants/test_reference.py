"""The reference of the tenants file: every key, and nothing that is not so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.problems import FileProblems
from ops.tenants import file, reference
from ops.tenants.toml_text import toml
from tests.unit.ops.tenants.test_file import GOOD, standard_settings  # noqa: F401  a fixture
from tools.tenants_file import PAGE, page

KEYS = [key for key in reference.all_keys() if not key.keys]


def test_every_key_of_the_file_has_words_and_no_other() -> None:
    assert set(reference.WORDS) == {key.path for key in reference.all_keys()}


def test_the_page_is_as_the_classes_make_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make reference"


def test_the_example_names_every_key_and_can_be_imported() -> None:
    text = reference.example()
    named = re.findall(r"^(?:# )?(\w+) = ", text, re.MULTILINE)
    assert sorted(named) == sorted(key.name for key in KEYS)
    (tenant,) = file.parse(text, name="example.toml", folder=Path())
    assert (tenant.slug, tenant.afas.parallel_calls, len(tenant.courses[0].rules())) == ("acme", 2, 2)


@pytest.mark.parametrize("key", [key for key in KEYS if " to " in key.kind], ids=lambda key: key.path)
def test_a_range_ends_where_the_reference_says(key: reference.Key) -> None:
    found = re.search(r"(\S+) to (\S+)", key.kind)
    assert found
    least, most = (bound.replace(",", "") for bound in found.groups())
    beyond = "31d" if most.endswith(("h", "d")) else str(int(most) + 1)
    text = reference.example()
    line = re.search(rf"^{key.name} = .*$", text, re.MULTILINE)
    assert line
    for bound in (least, most, beyond):
        written = f'{key.name} = "{bound}"' if bound[-1].isalpha() else f"{key.name} = {bound}"
        changed = text.replace(line[0], written)
        if bound == beyond:
            with pytest.raises(FileProblems, match=rf"{key.name}: must be|{key.name}: .*less than or equal"):
                file.parse(changed, name="f", folder=Path())
        else:
            file.parse(changed, name="f", folder=Path())


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.needed and "tenants.course_" not in key.path], ids=lambda key: key.path
)
def test_a_key_that_is_said_to_be_needed_is_needed(key: reference.Key) -> None:
    table, _, name = key.path.rpartition(".")
    text = reference.example()
    # A course needs nothing that the defaults have.
    text = text[: text.index("[tenants.course_defaults]")] + text[text.index("[[tenants.courses]]") :]
    start = text.index(f"[{table}]")
    position = text.index(f"\n{name} = ", start)
    with pytest.raises(FileProblems, match=f"{table}: {name} is missing"):
        file.parse(text[:position] + text[text.index("\n", position + 1) :], name="f", folder=Path())


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
PLAIN = st.one_of(st.booleans(), st.integers(-(2**62), 2**62), TEXTS)


@given(
    st.dictionaries(
        TEXTS,
        st.one_of(
            PLAIN,
            st.lists(PLAIN, max_size=3),
            st.dictionaries(TEXTS, PLAIN, max_size=3),
            st.lists(st.dictionaries(TEXTS, PLAIN, max_size=2), min_size=1, max_size=3),
        ),
        max_size=4,
    )
)
def test_what_is_written_as_toml_reads_the_same(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml(document)) == document
