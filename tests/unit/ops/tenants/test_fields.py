"""What is proposed for the columns of a GetConnector: a proposal with its reason, never a wrong one told as right."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.afas import Field
from ops.tenants.fields import completion_fields, days_fields, masked, propose
from ops.tenants.nearest import nearest
from ops.tenants.show_fields import _toml

FREE = "UC3B61455480EEFAFE78EBC831C6E1B30"
OTHER = "U0123456789ABCDEF0123456789ABCDEF"


def field(id: str, label: str = "", data_type: str = "string", field_id: str = "", length: int = 255) -> Field:
    return Field(id, field_id or id, data_type, label or id, length, 1)


USUAL = [
    field("CrId", "Evenement-id", "int", "CrId"),
    field("Intern_ID", "Contact", "int", "CdId"),
    field("Extern_ID", "Organisatie/persoon (code)", field_id="BcCo"),
    field("Naam", field_id="Nm"),
    field("Email_werk", "E-mail werk", field_id="EmAd"),
    field("Email_prive", "E-mail privé", field_id="EmA2"),
    field("Klaar", "Voltooid op", "date", FREE, 0),
    field("Gewijzigd", "Gewijzigd op", "date", "UpDa"),
]


def mapping(columns: list[Field], rows: list[dict[str, object]] | None = None) -> dict[str, str]:
    return {one.name: one.column for one in propose(columns, rows or [])}


def test_the_usual_connector_is_proposed_whole() -> None:
    assert mapping(USUAL) == {
        "event_id": "CrId",
        "internal_id": "Intern_ID",
        "external_id": "Extern_ID",
        "name": "Naam",
        "email_primary": "Email_werk",
        "email_secondary": "Email_prive",
        "modified": "Gewijzigd",
        "completion": "Klaar",
    }


def test_names_of_the_administrators_own_are_understood() -> None:
    columns = [
        field("Werkgever_naam", "Naam werkgever"),
        field("EvenementId", "Evenement", "int", "x1"),
        field("ContactId", "Contactpersoon", "int", "x2"),
        field("PersoonCode", "Code", "string", "x3"),
        field("Deelnemer", "Deelnemer", "string", "x4"),
        field("Mail", "Adres", "string", "x5"),
    ]
    assert mapping(columns) == {
        "event_id": "EvenementId",
        "internal_id": "ContactId",
        "external_id": "PersoonCode",
        "name": "Deelnemer",
        "email_primary": "Mail",
    }


def test_what_the_rows_show_decides_over_a_name() -> None:
    columns = [field("Mail", "Mail"), field("Kolom7", "Kolom 7")]
    rows: list[dict[str, object]] = [{"Mail": "per post", "Kolom7": "j.jansen@example.nl"}]
    assert mapping(columns, rows) == {"email_primary": "Kolom7"}


def test_a_column_of_another_type_is_no_proposal() -> None:
    assert mapping([field("Naam", "Naam", "date"), field("Email", "E-mail", "int")]) == {}


def test_the_field_for_the_date_is_found_by_its_label_and_behind_the_column_that_shows_it() -> None:
    able = [field(OTHER, "Diploma verstuurd", "date"), field(FREE, "Voltooid op", "date")]
    useless = [field("SuDa", "Datum aanmelding", "date"), field("U" + "A" * 32, "Voltooid", "boolean")]
    assert days_fields([*useless, *able]) == [f"Voltooid op ({FREE})", f"Diploma verstuurd ({OTHER})"]
    assert completion_fields(able, field("Kolom", "Diploma", "date", OTHER))[0].id == OTHER


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("jan@example.nl", "j•••@e•••.nl"),
        ("Jansen, P.", "J•••"),
        (1080, "1•••"),
        (None, ""),
        ("  ", ""),
        ("2026-11-20T00:00:00Z", "2•••"),
    ],
)
def test_an_example_is_nobodys(value: object, shown: str) -> None:
    assert masked(value) == shown


@given(st.emails())
def test_no_address_can_be_read_from_an_example(address: str) -> None:
    user, host = address.split("@", 1)
    assert user[1:] not in masked(address) or len(user) < 3
    assert host not in masked(address)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("intern id", "Intern_ID"),
        ("Inter_ID", "Intern_ID"),
        ("E-mail privé", "Email_prive"),
        ("contact", "Intern_ID"),
        ("xyz", None),
    ],
)
def test_what_was_perhaps_meant_is_found_in_names_and_labels(wanted: str, found: str | None) -> None:
    near = nearest(wanted, {one.id: one.label for one in USUAL})
    assert next(iter(near), None) == found


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_the_proposal_is_toml_whatever_names_and_labels_hold(connector: str, column: str, label: str) -> None:
    columns = [field(column, label, "int", "CrId")]
    able = [field(FREE, label, "date")]
    for language in ("en", "nl"):
        text = "\n".join(_toml(connector, propose(columns), ["name"], able, language))
        read = tomllib.loads(text)
        assert (read["getconnector"], read["completion_field"]) == (connector, FREE)
        assert read["tenants"]["courses"]["fields"] == {"event_id": column}
