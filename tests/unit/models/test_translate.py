"""AFAS's rows in our words."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.tenant_settings import FieldMap
from models.translate import choose_email, fingerprint, is_email, missing_columns, translate

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too

FIELDS = FieldMap.model_validate(
    {
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
)
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
        ({"Intern_ID": 0}, "rejected", "no_internal_id"),
        ({"Intern_ID": "1.001"}, "rejected", "no_internal_id"),
        ({"Intern_ID": "80.0", "CrId": "340.0"}, "present", None),
        ({"CrId": 341}, "rejected", "other_event"),
        ({"CrId": None}, "rejected", "other_event"),
        ({"Naam": " "}, "rejected", "no_name"),
        ({"Naam": "\u200b\u00ad"}, "rejected", "no_name"),
        ({"Naam": "\u3164 \u2800"}, "rejected", "no_name"),
        ({"Naam": "N" * 2001}, "rejected", "bad_name"),
        ({"Naam": "Jan \ud83d"}, "rejected", "bad_name"),
        ({"Email_werk": None}, "rejected", "no_email"),
        ({"Email_werk": "p@example"}, "rejected", "bad_email"),
        ({"Email_werk": "\u200b", "Email_prive": "p@example.nl"}, "present", None),
        ({"Geblokkeerd": "ja"}, "blocked", None),
        ({"Geblokkeerd": "Waar"}, "blocked", None),
        ({"Geblokkeerd": "Onwaar"}, "present", None),
        ({"Geblokkeerd": "X"}, "rejected", "bad_blocked"),
        ({"Geblokkeerd": 2}, "rejected", "bad_blocked"),
        ({"Geblokkeerd": True, "Email_werk": None}, "blocked", None),
        ({"Van": "2026-11-23T00:00:00Z"}, "not_yet", None),
        ({"Van": "2026-11-22T23:00:00Z"}, "present", None),
        ({"Tot": "2026-11-21"}, "ended", None),
        ({"Tot": "2026-11-22"}, "present", None),
        ({"Tot": "31-12-2020"}, "ended", None),
        ({"Tot": "1900-01-01"}, "present", None),
        ({"Tot": "0001-01-01T00:00:00Z"}, "present", None),
        ({"Van": "01-01-2099"}, "not_yet", None),
        ({"Van": "9999-12-31"}, "present", None),
        ({"Van": "12/31/2026"}, "rejected", "bad_date"),
        ({"Tot": "44196"}, "rejected", "bad_date"),
        ({"Tot": "44196", "Geblokkeerd": True}, "blocked", None),
        ({"Tot": "2026-11-21", "Naam": None}, "ended", None),
        ({"Tot": "2026-11-21", "Intern_ID": None}, "rejected", "no_internal_id"),
    ],
)
def test_each_row_has_one_state(values: dict[str, Any], state: str, reason: str | None) -> None:
    record = translate(ROW | values, FIELDS, "340", TODAY)
    assert (record.row_state, record.reason) == (state, reason)


@pytest.mark.parametrize(
    ("primary", "secondary", "chosen"),
    [(" a@b.nl ", "c@d.nl", "a@b.nl"), ("", "c@d.nl", "c@d.nl"), (None, " c@d.nl", "c@d.nl"), (None, None, "")],
)
def test_secondary_address_counts_only_without_a_primary(primary: Any, secondary: Any, chosen: str) -> None:
    assert choose_email(primary, secondary) == chosen


def test_two_spellings_of_one_name_are_one_content() -> None:
    composed = translate(ROW | {"Naam": "Jos\u00e9"}, FIELDS, "340", TODAY)
    decomposed = translate(ROW | {"Naam": "Jose\u0301"}, FIELDS, "340", TODAY)
    assert composed.fingerprint == decomposed.fingerprint
    assert decomposed.name == "Jose\u0301"  # kept as given


def test_missing_and_replaced_columns_are_named() -> None:
    row = {key: value for key, value in ROW.items() if key != "Naam"} | {"Tot": " (Vervangen) "}
    assert missing_columns(row, FIELDS.columns()) == ["Naam", "Tot"]
    assert missing_columns(ROW, FIELDS.columns()) == []


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
