"""What counts as the same, and what only looks like it."""

from __future__ import annotations

import random
import unicodedata
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from clients.pluvo import same_email
from models.folding import (
    SQL_FOLD_EMAIL,
    clearly_other_name,
    fold_account,
    fold_email,
    fold_name,
    fold_title,
    is_visible,
    loose_email,
)

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too
# Letters that a careless comparison confuses, among any others.
ODD = "sSßẞkK\u212aiIıİéÉe\u0301E\u0301ﬁfiσςΣåÅ\u212bẖh\u0331H\u0331ａＡ@.-"
TEXT = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P.Jansen@Example.NL", "p.jansen@example.nl"),
        (" p@example.nl ", "p@example.nl"),
        ("jos\u00e9@example.nl", "jose\u0301@example.nl"),
        ("JOS\u00c9@EXAMPLE.NL", "JOSE\u0301@example.nl"),
    ],
)
def test_one_mailbox(one: str, other: str) -> None:
    assert fold_email(one) == fold_email(other)
    assert same_email(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m.strauß@example.nl", "m.strauss@example.nl"),
        ("jos\u00e9@example.nl", "JOS\u00c9@example.nl"),
        ("ﬁona@example.nl", "fiona@example.nl"),
        ("İ@example.nl", "i̇@example.nl"),
        ("σίσυφος@example.gr", "σίσυφοσ@example.gr"),
        ("info@m\u00fcller.example", "info@xn--mller-kva.example"),
    ],
)
def test_two_mailboxes_that_look_alike(one: str, other: str) -> None:
    assert fold_email(one) != fold_email(other)
    assert not same_email(one, other)
    assert loose_email(one) == loose_email(other)


def test_no_address_is_like_none() -> None:
    assert not same_email(None, None)
    assert not same_email("", "")
    assert not same_email("a@example.nl", None)


@calm
@given(st.emails())
def test_address_is_compared_without_regard_to_case(email: str) -> None:
    assert fold_email(email.upper()) == fold_email(email.lower()) == fold_email(fold_email(email))


@calm
@given(TEXT)
def test_a_folded_form_is_its_own_and_that_of_every_spelling(given_text: str) -> None:
    for fold in (fold_email, loose_email, fold_name, fold_title):
        folded = fold(given_text)
        assert fold(folded) == folded
        spellings = {fold(unicodedata.normalize(form, given_text)) for form in ("NFC", "NFD")}
        assert spellings == {folded}


@calm
@given(TEXT, TEXT)
def test_both_sides_of_the_house_compare_alike_and_what_is_the_same_also_looks_alike(one: str, other: str) -> None:
    same = bool(one and other) and fold_email(one) == fold_email(other)
    assert same_email(one, other) is same
    if fold_email(one) == fold_email(other):
        assert loose_email(one) == loose_email(other)


def test_the_database_folds_as_we_do(postgres_url: str) -> None:
    samples = [ODD, ODD.upper(), "P.Jansen@Example.NL", "Jose\u0301@Example.NL", "m.strauß@example.nl", "İI@x.nl", ""]
    samples += [f"{one}{two}@x.nl" for one in ODD for two in ODD]
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://", 1))
    query = text(f"SELECT x, {SQL_FOLD_EMAIL.format('x')} FROM unnest(CAST(:samples AS text[])) AS x")
    with engine.connect() as connection:
        found = connection.execute(query, {"samples": samples}).all()
    engine.dispose()
    assert [(x, folded) for x, folded in found] == [(x, fold_email(x)) for x in samples]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("José Peña", "JOSE\u0301 PEN\u0303A"),
        ("  Jansen,\u00a0P. ", "jansen, p."),
        ("Strauß", "STRAUSS"),
    ],
)
def test_one_name(one: str, other: str) -> None:
    assert fold_name(one) == fold_name(other)


def test_a_title_keeps_its_case_and_nothing_of_its_spelling() -> None:
    assert fold_title(" Cafe\u0301  1 ") == fold_title("Caf\u00e9 1")
    assert fold_title("BHV") != fold_title("bhv")


@calm
@given(st.uuids())
def test_a_uuid_is_one_account_however_it_is_written(given_id: uuid.UUID) -> None:
    spellings = [str(given_id), str(given_id).upper(), given_id.hex, f"{{{given_id}}}", given_id.urn]
    assert {fold_account(one) for one in spellings} == {str(given_id)}


def test_another_kind_of_id_keeps_its_case() -> None:
    assert fold_account("User-A") == "User-A"
    assert fold_account("0B0E") == "0B0E"


@pytest.mark.parametrize(
    "name", ["", " ", "\u200b", "\u00ad\u00ad", "\u200b \u2060\ufeff", "\u3164", "\u2800", "\u0301", "\x00"]
)
def test_nothing_to_see_is_no_name(name: str) -> None:
    assert not is_visible(name)


@pytest.mark.parametrize("name", ["A", "Zoe\u0301", "李", "\u0645", "null", "-", "\U0001f469\u200d\U0001f4bb"])
def test_a_name_is_what_can_be_seen(name: str) -> None:
    assert is_visible(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jansen, P.", "Piet Jansen"),
        ("Jansen, P.", "P. Janssen"),
        ("J.P. Smit", "Jan Peter Smit"),
        ("Maria Jansen", "Jansen - de Vries, M."),
        ("Anna van der Berg", "BERG, Anna v.d."),
        ("José Peña", "Jose Pena"),
        ("Jansen", "Piet Jansen"),
        ("", "Piet Jansen"),
        (None, "Piet Jansen"),
        ("Strauß, M.", "M. Strauss"),
    ],
)
def test_names_that_can_be_one_persons(one: str | None, other: str | None) -> None:
    assert not clearly_other_name(one, other)
    assert not clearly_other_name(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Karin Bos", "Piet Jansen"),
        ("Karin Jansen", "Piet Jansen"),
        ("Anna Bakker", "Anna Smit"),
        ("Persoon 80", "Persoon 81"),
        ("K. Jansen", "Piet Jansen"),
        ("de Vries", "van den Berg"),
    ],
)
def test_names_that_are_clearly_anothers(one: str, other: str) -> None:
    assert clearly_other_name(one, other)
    assert clearly_other_name(other, one)


@calm
@given(TEXT, TEXT)
def test_being_another_is_mutual_and_nobody_is_another_to_themselves(one: str, other: str) -> None:
    assert clearly_other_name(one, other) == clearly_other_name(other, one)
    assert not clearly_other_name(one, one)


# No two of them are alike, and none begins as another does.
WORDS = ("anna", "bos", "dekker", "ömer", "vries", "willem", "ząb", "李")
PARTICLES = st.lists(st.sampled_from(["van", "de", "der", "mevr.", "Dr.", "-", ","]), max_size=3)


@calm
@given(st.permutations(WORDS), st.integers(1, len(WORDS)), PARTICLES, st.randoms(use_true_random=False))
def test_the_same_words_are_one_name_in_any_order_and_with_any_particles(
    words: list[str], count: int, particles: list[str], chance: random.Random
) -> None:
    ours = words[:count]
    theirs = [*ours, *particles]
    chance.shuffle(theirs)
    assert not clearly_other_name(" ".join(ours), " ".join(theirs).upper())


@calm
@given(st.permutations(WORDS), st.integers(1, len(WORDS) - 1))
def test_names_without_a_word_in_common_are_anothers(words: list[str], count: int) -> None:
    assert clearly_other_name(" ".join(words[:count]), " ".join(words[count:]))


@calm
@given(st.permutations(WORDS), st.integers(1, len(WORDS) - 1))
def test_a_first_name_in_common_makes_nobody_the_same(words: list[str], count: int) -> None:
    shared, ours, theirs = words[0], words[1:count], words[count:]
    assert clearly_other_name(" ".join([shared, *ours]), " ".join([shared, *theirs])) is (bool(ours))
