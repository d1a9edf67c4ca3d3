"""Who is who, and which addresses may change hands: as tables, and for any input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.folding import clearly_other_name
from models.person import LinkedBy
from producers.enrollments.matching import (
    Candidate,
    Match,
    MatchInput,
    Move,
    MoveVerdict,
    Peer,
    changes_email,
    first_of,
    is_linked,
    match,
    names_another,
    order_moves,
)

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too

OURS = "afas:12345:80"


def decide(**known: Any) -> Match:
    return match(
        MatchInput(**({"internal_id": "80", "name": "Jan Smit", "email": "jan@example.nl", "our_ref": OURS} | known))
    )


def account(pluvo_id: str = "A", **known: Any) -> Candidate:
    return Candidate(pluvo_id, **({"email": "jan@example.nl", "name": "Jan Smit"} | known))


TABLE: dict[str, tuple[dict[str, Any], tuple[str, str | None, str | None]]] = {
    "nobody has it": ({}, ("create", None, None)),
    "same address": ({"by_email": [account()]}, ("link", None, "A")),
    "archived": ({"by_email": [account(archived=True)]}, ("link", None, "A")),
    "afas id": ({"by_afas_id": [account("B")], "by_email": [account()]}, ("link", None, "B")),
    "our ref": ({"by_ref": [account("C", ref=OURS)], "by_afas_id": [account("B")]}, ("link", None, "C")),
    "two with the afas id": (
        {"by_afas_id": [account("B"), account("C")]},
        ("ambiguous", "several_with_afas_id", None),
    ),
    "afas id of somebody linked": (
        {"by_afas_id": [account("B", linked_to="7")]},
        ("ambiguous", "candidate_taken", None),
    ),
    "two with the address": ({"by_email": [account(), account("B")]}, ("ambiguous", "several_with_email", None)),
    "address of somebody linked": ({"by_email": [account(linked_to="7")]}, ("ambiguous", "candidate_taken", None)),
    "address that comes free": (
        {"by_email": [account(linked_to="7")], "moving_away": frozenset({"7"})},
        ("create", None, None),
    ),
    "another name": ({"by_email": [account(name="Karin Bos")]}, ("link", None, "A")),
    "another name, where that waits": (
        {"by_email": [account(name="Karin Bos")], "other_name_waits": True},
        ("ambiguous", "other_name", None),
    ),
    "much the same name, where another waits": (
        {"by_email": [account(name="Smit, J.")], "other_name_waits": True},
        ("link", None, "A"),
    ),
    "another name with the afas id, where that waits": (
        {"by_afas_id": [account("B", name="Karin Bos")], "other_name_waits": True},
        ("link", None, "B"),
    ),
    "another's contact id": ({"by_email": [account(afas_contact_id="7")]}, ("ambiguous", "other_afas_id", None)),
    "another's ref of ours": ({"by_email": [account(ref="afas:12345:7")]}, ("ambiguous", "other_afas_id", None)),
    "another environment's ref": (
        {"by_email": [account(ref="afas:67890:80", afas_contact_id="80")]},
        ("ambiguous", "other_afas_id", None),
    ),
    "afas id of another environment's person": (
        {"by_afas_id": [account("B", email="bert@example.org", ref="afas:67890:80")]},
        ("create", None, None),
    ),
    "afas id of a person of another tenant": (
        {"by_afas_id": [account("B", email="bert@example.org", elsewhere=True)], "by_email": [account()]},
        ("link", None, "A"),
    ),
    "afas id beside a ref of the customer's own": (
        {"by_afas_id": [account("B", ref="afas:emp-7")]},
        ("link", None, "B"),
    ),
    "address of a person of another tenant": (
        {"by_email": [account(elsewhere=True)]},
        ("ambiguous", "candidate_taken", None),
    ),
    "our ref, shared with another tenant": ({"by_ref": [account("C", ref=OURS, elsewhere=True)]}, ("link", None, "C")),
    "same name, lower id": ({"peers": [Peer("7", "JAN  smit")]}, ("share", None, None)),
    "same name, higher id": ({"peers": [Peer("81", "Jan Smit")]}, ("create", None, None)),
    "same name, higher id with an account": ({"peers": [Peer("81", "Jan Smit", "A")]}, ("share", None, None)),
    "other name, lower id": ({"peers": [Peer("7", "Piet")]}, ("ambiguous", "same_email", None)),
    "other name, but they come after": (
        {"peers": [Peer("81", "Piet")], "by_email": [account()]},
        ("link", None, "A"),
    ),
    "operator: create": ({"decision": "create"}, ("create", "operator", None)),
    "operator: create, address in use": (
        {"decision": "create", "by_email": [account()]},
        ("ambiguous", "email_taken", None),
    ),
}


@pytest.mark.parametrize(("known", "expected"), TABLE.values(), ids=TABLE)
def test_match_order(known: dict[str, Any], expected: tuple[str, str | None, str | None]) -> None:
    found = decide(**known)
    assert (found.action, found.reason, found.candidate.pluvo_id if found.candidate else None) == expected


def test_created_after_who_gives_up_the_address() -> None:
    found = decide(by_email=[account(linked_to="7")], moving_away=frozenset({"7"}))
    assert found.after == "7"


def test_nine_comes_before_ten() -> None:
    assert first_of("10", [Peer("9", "x"), Peer("11", "x")]) == Peer("9", "x")
    assert first_of("9", [Peer("10", "x")]) is None


@pytest.mark.parametrize(
    ("contact_id", "ref", "another"),
    [
        (None, None, False),
        ("", "hr-1", False),
        ("80", "afas:12345:7", False),
        ("7", OURS, True),
        (None, OURS, False),
        (None, "afas:12345:800", True),
        (None, "afas:99:80", True),
        ("80", "afas:99:80", True),
        (None, "afas:hr-80", False),
    ],
)
def test_account_names_another_person(contact_id: str | None, ref: str | None, another: bool) -> None:
    assert names_another(contact_id, ref, "80", OURS) is another


@pytest.mark.parametrize(
    ("applied", "desired", "changes"),
    [
        (None, "a@b.nl", False),
        ("A@B.nl", "a@b.NL", False),
        ("jos\u00e9@b.nl", "Jose\u0301@B.nl", False),
        ("jos\u00e9@b.nl", "JOS\u00c9@b.nl", True),
        ("stra\u00dfe@b.nl", "strasse@b.nl", True),
        ("a@b", "c@b", True),
    ],
)
def test_only_another_address_is_a_change_of_address(applied: str | None, desired: str, changes: bool) -> None:
    assert changes_email(applied, desired) is changes


@pytest.mark.parametrize(
    ("state", "pluvo_id", "linked"),
    [
        ("linked", "A", True),
        ("left", "A", True),
        ("ambiguous", "A", True),
        ("ambiguous", None, False),
        ("ignored", "A", False),
    ],
)
def test_who_has_an_account_of_which_we_are_sure(state: str, pluvo_id: str | None, linked: bool) -> None:
    assert is_linked(state, pluvo_id) is linked


candidates = st.lists(
    st.builds(
        Candidate,
        st.sampled_from("ABC"),
        name=st.sampled_from(["Jan", "Piet", "Karin Bos", None]),
        ref=st.sampled_from([None, OURS, "afas:12345:7", "hr"]),
        archived=st.booleans(),
        afas_contact_id=st.sampled_from([None, "80", "7"]),
        linked_to=st.sampled_from([None, "80", "7"]),
    ),
    max_size=3,
)
facts = st.builds(
    MatchInput,
    internal_id=st.just("80"),
    name=st.sampled_from(["Jan", "jan ", "Piet"]),
    email=st.just("jan@example.nl"),
    our_ref=st.just(OURS),
    decision=st.sampled_from([None, "create"]),
    by_afas_id=candidates,
    by_ref=candidates,
    by_email=candidates,
    peers=st.lists(
        st.builds(
            Peer, st.sampled_from(["7", "79", "81"]), st.sampled_from(["Jan", "Piet"]), st.sampled_from([None, "A"])
        ),
        max_size=3,
    ),
    moving_away=st.frozensets(st.sampled_from(["7", "9"])),
)


words = st.sampled_from(["Jan", "J.", "Smit", "Smits", "Karin", "Bos", "van", "de", "Zoë", "李"])
names = st.lists(words, max_size=4).map(" ".join)


@calm
@given(names, names, st.booleans())
def test_another_name_waits_only_where_the_tenant_says_so_and_the_names_can_not_be_one_persons(
    ours: str, theirs: str, waits: bool
) -> None:
    found = decide(name=ours, by_email=[account(name=theirs)], other_name_waits=waits)
    other = clearly_other_name(theirs, ours)
    assert (found.action, found.reason) == (("ambiguous", "other_name") if waits and other else ("link", None))
    assert [one.pluvo_id for one in found.candidates] == (["A"] if waits and other else [])


@calm
@given(facts)
def test_the_setting_changes_nothing_but_links_by_address_to_another_name(known: MatchInput) -> None:
    usual, careful = match(known), match(replace(known, other_name_waits=True))
    if careful != usual:
        assert (usual.action, usual.linked_by) == ("link", LinkedBy.EMAIL)
        assert (careful.action, careful.reason) == ("ambiguous", "other_name")
        assert list(careful.candidates) == [usual.candidate]


@calm
@given(facts)
def test_nobody_is_ever_linked_to_an_account_that_another_person_has(known: MatchInput) -> None:
    found = match(known)
    if found.action == "link":
        assert found.candidate is not None
        assert found.candidate.linked_to in (None, "80")
    if found.action == "create" and found.after is None:
        assert not [one for one in known.by_email if one.linked_to not in known.moving_away]
    if found.action == "share":
        # one person may have rows with two names
        names = {(peer.name or "").strip().casefold() for peer in known.peers if peer.internal_id == found.share_with}
        assert known.name.strip().casefold() in names
    if found.action == "ambiguous":
        assert found.reason


PEOPLE = st.integers(1, 8).map(str)
moves = st.dictionaries(PEOPLE, st.one_of(st.none(), PEOPLE), max_size=8).map(
    lambda wanted: {one: Move(one, holder, foreign=holder is None) for one, holder in wanted.items() if one != holder}
)


@calm
@given(moves, st.frozensets(PEOPLE))
def test_possible_moves_can_be_done_one_after_the_other(wanted: dict[str, Move], more: frozenset[str]) -> None:
    movers = more | set(wanted)
    verdicts = order_moves(wanted, movers)
    assert set(verdicts) == set(wanted)
    possible = {one for one, verdict in verdicts.items() if verdict.possible}
    # whoever goes, goes after their holder, who goes too; and that never runs in a circle
    for one in possible:
        seen: list[str] = []
        here: str | None = one
        while here in possible:
            assert here not in seen
            seen.append(here)
            assert verdicts[here].after == wanted[here].holder
            here = wanted[here].holder
        assert here in movers
    # and whoever does not go has a reason
    assert all(verdicts[one].reason in ("email_taken", "email_cycle") for one in set(wanted) - possible)


@calm
@given(moves)
def test_cycle_is_told_from_a_queue(wanted: dict[str, Move]) -> None:
    verdicts = order_moves(wanted, set(wanted))
    for one, verdict in verdicts.items():
        here, steps = wanted[one].holder, 1
        while here in wanted and here != one and steps <= len(wanted):
            here, steps = wanted[here].holder, steps + 1
        assert (verdict.reason == "email_cycle") is (here == one)


def test_holder_who_stays_blocks() -> None:
    assert order_moves({"1": Move("1", "2")}, {"1"}) == {"1": MoveVerdict(False, reason="email_taken")}
    assert order_moves({"1": Move("1", "2")}, {"1", "2"}) == {"1": MoveVerdict(True, after="2")}
