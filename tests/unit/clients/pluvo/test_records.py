"""Which address is which: exactly, but for the case of ASCII letters, whatever the search of Pluvo brings along."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.pluvo import same_email

words = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1)
addresses = st.builds("{}@{}".format, words, words)


@given(addresses)
def test_letters_of_ascii_have_no_case_and_accents_one_spelling(address: str) -> None:
    assert same_email(address, "".join(one.upper() if one.isascii() else one for one in address))
    assert same_email(address, unicodedata.normalize("NFD", address))


@pytest.mark.parametrize("other", ["m.strauss@example.nl", "m.STRAUSS@example.nl", "m.straub@example.nl"])
def test_what_only_full_case_folding_makes_equal_is_another_address(other: str) -> None:
    assert not same_email("m.strau\u00df@example.nl", other)


@given(addresses, st.text(" \t\n", max_size=3))
def test_outer_white_space_makes_no_difference(address: str, space: str) -> None:
    assert same_email(space + address + space, address)


@given(addresses, words)
def test_a_part_of_an_address_is_never_the_address(address: str, more: str) -> None:
    assert not same_email(address + more, address)
    assert not same_email(more + address, address)


@given(st.sampled_from([None, ""]), st.none() | addresses)
def test_no_address_is_nobodys_address(nothing: str | None, address: str | None) -> None:
    assert not same_email(nothing, address)
    assert not same_email(address, nothing)
