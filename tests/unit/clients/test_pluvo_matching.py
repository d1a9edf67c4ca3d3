"""Which address is which: compared case-folded and exactly, whatever the search of Pluvo brings along."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clients.pluvo import same_email

words = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1)
addresses = st.builds("{}@{}".format, words, words)


@given(addresses, addresses)
def test_two_addresses_are_the_same_exactly_when_they_fold_to_the_same(one: str, other: str) -> None:
    assert same_email(one, other) == (one.casefold() == other.casefold())


@given(addresses, st.text(" \t\n", max_size=3))
def test_case_and_outer_white_space_make_no_difference(address: str, space: str) -> None:
    assert same_email(space + address + space, address)
    assert same_email(address.casefold(), address)


@given(addresses, words)
def test_a_part_of_an_address_is_never_the_address(address: str, more: str) -> None:
    assert not same_email(address + more, address)
    assert not same_email(more + address, address)


@given(st.sampled_from([None, ""]), st.none() | addresses)
def test_no_address_is_nobodys_address(nothing: str | None, address: str | None) -> None:
    assert not same_email(nothing, address)
    assert not same_email(address, nothing)
