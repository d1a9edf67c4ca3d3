"""What a remote said, made fit for logs; what we sent, made fit for a dead letter."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.http import MASK, clean, mask, without_people

DATA = "0123456789ABCDEF" * 4
XML = f"<token><version>1</version><data>{DATA}</data></token>"
FREE_FIELD = "UC3B61455480EEFAFE78EBC831C6E1B30"
UUID = "4e0fd1a4-93c1-41c5-a23b-1f3b2e3b4c5d"

STAYS = [
    "De ingevulde waarde bij 'Medewerker' bestaat niet.",
    f"Connector-veld '{FREE_FIELD}' niet gevonden",
    "GetConnector 'Deelnemer_per_cursusevenement_2026' is geblokkeerd",
    f"User {UUID} does not exist",
    "Datum 2026-11-20 ligt voor 2026-11-21T09:49:49Z; evenement 340, cursist 80, code 1000073",
    "Begint op 06-12-2026 10:30 en eindigt op 07-12-2026 17:00, dag 01-02-26",
    'Cannot query field "externalParticipantEnrollment" on type "LearningOfferEventEnrollment".',
]


@pytest.mark.parametrize("text", STAYS)
def test_what_helps_to_understand_stays_readable(text: str) -> None:
    assert clean(text) == text


MASKED = [
    ("mail jan.o'brien+x@example.nl nu", "mail <e-mail> nu"),
    ("adres 'zoë@exämple.nl' bestaat al", "adres '<e-mail>' bestaat al"),
    ('"jan jansen"@example.nl', "<e-mail>"),
    ("jan%40example.nl en jan&#64;example.nl en jan\\u0040example.nl", "<e-mail> en <e-mail> en <e-mail>"),
    ("jan\u200b@exam\u00adple.nl", "<e-mail>"),
    ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer <masked>"),
    ("AfasToken PHRva2VuPg==", "AfasToken <masked>"),
    (f"token {XML} geweigerd", "token <masked> geweigerd"),
    (XML.replace("<", "&lt;").replace(">", "&gt;"), "<masked>"),
    (f"data {DATA}", "data <masked>"),
    (base64.b64encode(XML.encode()).decode(), "<masked>"),
    ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "<masked>"),
    ("B8213AF1C3C54E579686406A8DE71C6C", "<masked>"),
    ("BSN 123456782, tel. +31612345678", "BSN <masked>, tel. <masked>"),
    ("bel 06-12345678 of 06 12 34 56 78", "bel <masked> of <masked>"),
    ("(020) 123 45 67, +31 (0)6 1234 5678, 0031 6 12345678!", "<masked>, <masked>, <masked>!"),
    ("client_secret=abc&x=1", "client_secret=<masked>&x=1"),
    ('{"otp":"34264813"}', '{"otp":"<masked>"}'),
    ("GET https://x.example.nl/a?name=Jansen failed", "GET https://x.example.nl/a?<masked> failed"),
    ("a\x00b\r\n\t c\u2028d", "a b c d"),
]


@pytest.mark.parametrize(("text", "cleaned"), MASKED)
def test_what_may_not_be_kept_is_masked(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_secrets_and_names_that_the_caller_sent_are_masked_in_any_case_and_spelling() -> None:
    text = "Jansen (JANSEN) en a%2Fb%20c en a/b c, maar Bob is geen bo"

    assert clean(text, secrets=["jansen", "a/b c", "Bo", "", " "]) == (
        "<masked> (<masked>) en <masked> en <masked>, maar Bob is geen <masked>"
    )


def test_a_long_text_is_cut_without_half_a_secret() -> None:
    secret = "hush-hush-word"
    cleaned = clean("woord " * 84 + secret * 1000, secrets=[secret], limit=500)

    assert len(cleaned) <= 500
    assert "hush" not in cleaned
    assert clean("x y " * 200).endswith("…")


@given(st.emails(), st.sampled_from(["{}", "adres {} bestaat al", "'{}'", "<{}>", '{{"email":"{}"}}', "a,{},b"]))
def test_no_address_survives(address: str, around: str) -> None:
    assert address.lower() not in clean(around.format(address)).lower()


@given(st.text(), st.integers(1, 300))
def test_a_cleaned_text_is_short_and_printable(text: str, limit: int) -> None:
    cleaned = clean(text, limit=limit)

    assert len(cleaned) <= limit
    assert all(char.isprintable() or char == " " for char in cleaned) or cleaned == " ".join(cleaned.split())


@given(st.binary(min_size=24, max_size=200))
def test_no_token_survives(raw: bytes) -> None:
    for token in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), raw.hex()):
        assert clean(f"AfasToken {token}") == "AfasToken <masked>"


def test_a_request_is_stored_with_ids_and_dates_but_no_names() -> None:
    sent = {
        "KnCourseMember": {
            "Element": {"@CrId": "340", "@CdId": 80, "Fields": {"BcCo": "1000073", FREE_FIELD: "2026-11-20"}}
        },
        "name": "B2",
        "email": "jan@example.nl",
        "note": "Jan Jansen",
        "ref": "afas:12345:80",
        "userId": UUID,
        "roles": ["PARTICIPANT"],
        "archived": False,
        "since": "2026-11-20T09:49:49Z",
        "clientSecret": "123",
        "odd": DATA,
        "nothing": None,
        "cleared": "",
    }

    assert mask(sent) == sent | {
        "name": "<masked>",
        "email": "<masked>",
        "note": "<masked>",
        "clientSecret": "<masked>",
        "odd": "<masked>",
    }


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_like, st.emails(), st.sampled_from(["a", "roles", "id", "value"]))
def test_no_address_is_stored(other: object, address: str, key: str) -> None:
    assert address not in str(mask({"x": other, "deep": [{key: [address]}]})) or address in str(other)


PEOPLE = [
    ("P. Jansen (p.jansen) bestaat al", "<masked> (<masked>) bestaat al"),
    (
        "Medewerker Jansen, P. en ook PIET jansen staan op inactief",
        "Medewerker <masked> en ook <masked> staan op inactief",
    ),
    ("De heer P.J. Jansen, geboren 1990", "De heer <masked>, geboren 1990"),
    ("Jansenius bestaat niet; van de velden is er een leeg", "Jansenius bestaat niet; van de velden is er een leeg"),
]


@pytest.mark.parametrize(("text", "cleaned"), PEOPLE)
def test_a_person_the_caller_knows_is_masked_in_parts_and_with_initials(text: str, cleaned: str) -> None:
    assert without_people(text, ["Jansen, Piet", "P.Jansen@example.nl", None, " "]) == cleaned


@pytest.mark.parametrize(
    ("name", "text", "cleaned"),
    [
        ("Vries, A. van der", "A. van der Vries en Vries, A. van der bestaan", "<masked> en <masked> bestaan"),
        ("Bo Li", "Bo LI of bo li: bord", "<masked> of <masked>: bord"),
        ("Anna Bakker-Smit", "mevr. Bakker of Smit", "mevr. <masked> of <masked>"),
        ("José", "Jose\u0301 en José", "<masked> en <masked>"),
        ("Müller (BHV)", "MÜLLER (BHV) bestaat", "<masked> bestaat"),
    ],
)
def test_names_of_all_sorts_are_masked(name: str, text: str, cleaned: str) -> None:
    assert without_people(text, [name]) == cleaned


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=12), max_size=3))
def test_masking_people_never_fails_and_doing_it_again_changes_nothing(text: str, people: list[str]) -> None:
    once = without_people(text, people)
    if not any(word in MASK for person in people for word in person.casefold().split()):
        assert without_people(once, people) == once


def test_half_a_name_at_the_end_of_a_long_text_is_left_out() -> None:
    assert "Janse" not in clean("woord " * 82 + "van Jansen", limit=500)
