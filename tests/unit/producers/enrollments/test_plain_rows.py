"""A row that goes straight into the snapshot says what its translation would have said."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tenant_settings import FieldMap
from models.translate import missing_columns, translate
from producers.enrollments.plain_rows import PlainRows
from producers.enrollments.snapshot import COPIED

TODAY = date(2026, 11, 26)
FIELDS = FieldMap(
    event_id="CrId",
    internal_id="Intern_ID",
    external_id="Extern_ID",
    name="Naam",
    email_primary="Email_werk",
    email_secondary="Email_prive",
    completion="Voltooid_op",
    modified="Gewijzigd",
)
ROW = {
    "CrId": 340,
    "Intern_ID": 80,
    "Extern_ID": "0001000073",
    "Naam": "Zoë de Vries-Bos",
    "Email_werk": "Zoe@example.nl",
    "Email_prive": None,
    "Voltooid_op": "2026-06-30T00:00:00Z",
    "Gewijzigd": "2026-11-02T09:00:00",
}
ODD = ("", " ", "(vervangen)", "a\tb", "a\\N", "Jose\u0301", "\u3164", "x@y.nl ", "a..b@c.nl", "80.0", "é@c.nl")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**19),
    st.sampled_from((80.0, 340.0, 0.5, [], {}, *ODD)),
    st.from_regex(r"[ A-Za-z0-9(){}\\.,é@\t-]{0,12}", fullmatch=True),
    st.from_regex(r"[a-z.]{1,6}@[a-z.-]{1,8}\.nl", fullmatch=True),
)


@settings(deadline=None, max_examples=400)
@given(
    st.dictionaries(st.sampled_from(sorted(ROW)), VALUES, max_size=3), st.sets(st.sampled_from(sorted(ROW)), max_size=1)
)
def test_a_plain_row_is_copied_as_it_is_translated(other: dict[str, Any], gone: set[str]) -> None:
    row = {name: value for name, value in (ROW | other).items() if name not in gone}
    copied = PlainRows(FIELDS, "340").copied(row)
    if copied is not None:
        record = translate(row, FIELDS, "340", TODAY)
        assert [None if one == r"\N" else one for one in copied.split("\t")] == [getattr(record, one) for one in COPIED]
        assert missing_columns(row, FIELDS.columns()) == []


@pytest.mark.parametrize(
    "values", [{}, {"CrId": "340"}, {"Intern_ID": "80"}, {"Voltooid_op": ""}, {"Naam": "Jansen, P."}]
)
def test_the_usual_row_is_plain(values: dict[str, Any]) -> None:
    assert PlainRows(FIELDS, "340").copied(ROW | values) is not None


@pytest.mark.parametrize(
    "values",
    [
        *({"CrId": 341}, {"CrId": True}, {"Intern_ID": 0}, {"Extern_ID": None}, {"Naam": "a  b"}),
        *({"Naam": "(Vervangen)"}, {"Naam": r"a\b"}, {"Naam": "Jose\u0301"}, {"Naam": "a" * 300}),
        *({"Email_werk": None}, {"Email_werk": "a..b@c.nl"}, {"Email_prive": "(vervangen)"}, {"Voltooid_op": "x"}),
    ],
)
def test_any_doubt_is_for_the_translation(values: dict[str, Any]) -> None:
    assert PlainRows(FIELDS, "340").copied(ROW | values) is None


@pytest.mark.parametrize("name", ["start", "end", "blocked"])
def test_a_row_that_may_be_blocked_or_over_is_never_plain(name: str) -> None:
    fields = FIELDS.model_copy(update={name: "Naam"})
    assert PlainRows(fields, "340").copied(ROW) is None
