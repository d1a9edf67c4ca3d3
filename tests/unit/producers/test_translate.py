"""AFAS's rows in our words."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.translate import (
    choose_email,
    fingerprint,
    fold_email,
    identifier,
    is_blocked,
    is_email,
    missing_columns,
    person_number,
    translate,
)

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too

FIELDS = {
    "event_id": "CrId",
    "internal_id": "Intern_ID",
    "external_id": "Extern_ID",
    "name": "Naam",
    "email_primary": "Email_werk",
    "email_secondary": "Email_prive",
    "completion": "Voltooid_op",
    "blocked": "Geblokkeerd",
    "start": "Van",
    "end": "Tot",
}
ROW: dict[str, Any] = {
    "CrId": 340,
    "Intern_ID": 80,
    "Extern_ID": "0000080",
    "Naam": "Jansen,  P. ",
    "Email_werk": " p@example.nl ",
    "Email_prive": None,
    "Voltooid_op": None,
    "Geblokkeerd": False,
    "Van": None,
    "Tot": None,
}
TODAY = date(2026, 11, 22)


def test_row_becomes_a_record() -> None:
    record = translate(ROW, FIELDS, "340", TODAY)
    assert (record.internal_id, record.external_id) == ("80", "0000080")
    assert (record.name, record.email) == ("Jansen, P.", "p@example.nl")
    assert (record.row_state, record.reason, record.completion) == ("present", None, None)


@pytest.mark.parametrize(
    ("values", "state", "reason"),
    [
        ({"Intern_ID": None}, "rejected", "no_internal_id"),
        ({"Intern_ID": "P80"}, "rejected", "no_internal_id"),
        ({"CrId": 341}, "rejected", "other_event"),
        ({"Naam": " "}, "rejected", "no_name"),
        ({"Naam": "N" * 2001}, "rejected", "bad_name"),
        ({"Naam": "Jan \ud83d"}, "rejected", "bad_name"),
        ({"Email_werk": None}, "rejected", "no_email"),
        ({"Email_werk": "p@example"}, "rejected", "bad_email"),
        ({"Geblokkeerd": "ja"}, "blocked", None),
        ({"Geblokkeerd": True, "Email_werk": None}, "blocked", None),
        ({"Van": "2026-11-23T00:00:00Z"}, "not_yet", None),
        ({"Van": "2026-11-22T23:00:00Z"}, "present", None),
        ({"Tot": "2026-11-21"}, "ended", None),
        ({"Tot": "2026-11-22"}, "present", None),
        ({"Tot": "2026-11-21", "Naam": None}, "ended", None),
        ({"Tot": "2026-11-21", "Intern_ID": None}, "rejected", "no_internal_id"),
    ],
)
def test_each_row_has_one_state(values: dict[str, Any], state: str, reason: str | None) -> None:
    record = translate(ROW | values, FIELDS, "340", TODAY)
    assert (record.row_state, record.reason) == (state, reason)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (80, "80"),
        (80.0, "80"),
        (" 80 ", "80"),
        ("007", "007"),
        (None, None),
        ("", None),
        (True, None),
        ("x" * 41, None),
    ],
)
def test_identifier_keeps_what_counts(value: Any, text: str | None) -> None:
    assert identifier(value) == text


@pytest.mark.parametrize(("value", "text"), [("80", "80"), ("٨٠", None), ("-1", None), ("1e3", None), ("9" * 19, None)])
def test_person_is_a_whole_number(value: str, text: str | None) -> None:
    assert person_number(value) == text


@pytest.mark.parametrize(
    ("primary", "secondary", "chosen"),
    [(" a@b.nl ", "c@d.nl", "a@b.nl"), ("", "c@d.nl", "c@d.nl"), (None, " c@d.nl", "c@d.nl"), (None, None, "")],
)
def test_secondary_address_counts_only_without_a_primary(primary: Any, secondary: Any, chosen: str) -> None:
    assert choose_email(primary, secondary) == chosen


@pytest.mark.parametrize("value", [True, "1", 1, "Ja", "true", "-1"])
def test_blocked(value: Any) -> None:
    assert is_blocked(value)


@pytest.mark.parametrize("value", [False, None, 0, "0", "nee", ""])
def test_not_blocked(value: Any) -> None:
    assert not is_blocked(value)


def test_missing_and_replaced_columns_are_named() -> None:
    row = {key: value for key, value in ROW.items() if key != "Naam"} | {"Tot": " (Vervangen) "}
    assert missing_columns(row, FIELDS) == ["Naam", "Tot"]
    assert missing_columns(ROW, FIELDS) == []


def test_parts_of_a_fingerprint_do_not_run_into_each_other() -> None:
    assert fingerprint("ab", "c", None) != fingerprint("a", "bc", None)
    assert fingerprint("a", None) != fingerprint("a", "")


@calm
@given(st.dictionaries(st.sampled_from(list(ROW)), st.one_of(st.none(), st.booleans(), st.integers(), st.text())))
def test_anything_at_all_has_an_outcome_that_can_be_stored(values: dict[str, Any]) -> None:
    record = translate(ROW | values, FIELDS, "340", TODAY)
    assert record.row_state in ("present", "blocked", "not_yet", "ended", "rejected")
    assert (record.reason is not None) is (record.row_state == "rejected")
    for text in (record.name, record.email, record.completion, record.internal_id, record.external_id):
        assert text is None or "\x00" not in text.encode("utf-8").decode("utf-8")
    if record.row_state == "present":
        assert record.internal_id
        assert record.name
        assert record.email
        assert is_email(record.email)


@calm
@given(st.emails())
def test_address_is_compared_without_regard_to_case(email: str) -> None:
    assert fold_email(email.upper()) == fold_email(email.lower()) == fold_email(fold_email(email))
