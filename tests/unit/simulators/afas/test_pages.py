"""A simulated GetConnector reads skip, take, order and filters as AFAS does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulators.afas.query import MAX_QUERY, select
from simulators.afas.tenant import AfasTenant
from simulators.core.http_messages import Request
from tests.unit.simulators.calls import ORDER, PAGE, Afas

COMPLETION = "UC3B61455480EEFAFE78EBC831C6E1B30"


def ids(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Give the keys of a page."""
    return [(row["CrId"], row["Intern_ID"]) for row in rows]


def filterjson(*either: list[tuple[str, int, str]]) -> str:
    """Write a filter: lists of conditions, any of which must hold as a whole."""
    filters = [
        {"@FilterId": str(n), "Field": [{"@FieldId": f, "@OperatorType": str(o), "#text": v} for f, o, v in each]}
        for n, each in enumerate(either)
    ]
    return json.dumps({"Filters": {"Filter": filters}})


def test_a_row_has_the_administrators_columns_and_afas_values(afas: Afas) -> None:
    afas.tenant.change(340, 80, free={COMPLETION: "2026-06-30"}, modified="2026-11-20T09:49:49")

    assert afas.rows()[0] == {
        "CrId": 340,
        "Intern_ID": 80,
        "Extern_ID": "0000080",
        "Naam": "Persoon 80",
        "Email_werk": "p80@example.nl",
        "Email_prive": None,
        "Voltooid_op": "2026-06-30T00:00:00Z",
        "Gewijzigd": "2026-11-20T09:49:49Z",
    }


def test_pages_follow_each_other_in_the_order_asked_for(afas: Afas) -> None:
    pages = [ids(afas.rows(skip=skip, take=4)) for skip in (0, 4, 8)]

    assert pages == [[(340, n) for n in (80, 81, 82, 83)], [(340, 84), (341, 80)], []]


def test_a_minus_sorts_downwards(afas: Afas) -> None:
    assert ids(afas.rows(orderbyfieldids="-CrId,-Intern_ID"))[:2] == [(341, 80), (340, 84)]


def test_without_an_order_rows_come_in_any_order(afas: Afas) -> None:
    afas.tenant.enroll_many([{"event_id": 340, "internal_id": n} for n in range(100, 200)])

    seen = [ids(afas.rows(orderbyfieldids="")) for _ in range(2)]

    assert sorted(seen[0]) == sorted(seen[1])
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, 100),
        ({"skip": "-1", "take": "-1"}, 125),
        ({"skip": "-1", "take": "5"}, 125),
        ({"take": "0"}, 1),
        ({"skip": "junk", "take": "3"}, 3),
        ({"skip": "120", "take": "1000"}, 5),
    ],
)
def test_skip_and_take_have_their_defaults_and_oddities(afas: Afas, params: dict[str, str], expected: int) -> None:
    afas.tenant.enroll_many([{"event_id": 342, "internal_id": n} for n in range(119)])

    answer = afas.call("GET", PAGE, params={**ORDER, **params})

    assert len(answer.json()["rows"]) == expected


def test_an_impossible_pair_is_an_unexpected_error(afas: Afas) -> None:
    answer = afas.call("GET", PAGE, params={"skip": 2, "take": -1, **ORDER})

    assert (answer.status_code, answer.json()["errorNumber"]) == (500, -2147180999)


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("Intern_ID", 1, "82", [82]),
        ("Intern_ID", 2, "83", [83, 84]),
        ("Intern_ID", 3, "81", [80, 81]),
        ("Intern_ID", 4, "83", [84]),
        ("Intern_ID", 5, "81", [80]),
        ("Intern_ID", 4, "9", [80, 81, 82, 83, 84]),
        ("Naam", 6, "OON 8", [80, 81, 82, 83, 84]),
        ("Naam", 6, "%81%", [81]),
        ("Intern_ID", 7, "82", [80, 81, 83, 84]),
        ("Email_prive", 8, "", [80, 81, 82, 83]),
        ("Email_prive", 9, "", [84]),
        ("Extern_ID", 10, "000008", [80, 81, 82, 83, 84]),
        ("Naam", 11, "81", [80, 82, 83, 84]),
        ("Naam", 12, "Persoon 8", []),
        ("Email_werk", 13, "84@example.nl", [84]),
        ("Naam", 14, "80", [81, 82, 83, 84]),
        ("Voltooid_op", 2, "2026-07-01T00:00:00", [83]),
        ("Voltooid_op", 5, "2026-07-01", [82]),
        ("Gewijzigd", 4, "2026-11-20T09:49:49", [84]),
    ],
)
def test_operators_compare_numbers_texts_and_dates(
    afas: Afas, field: str, operator: int, value: str, expected: list[int]
) -> None:
    afas.tenant.change(340, 82, free={COMPLETION: "2026-06-30"}, modified="2026-11-20T09:49:49")
    afas.tenant.change(340, 83, free={COMPLETION: "2026-07-01"}, modified="2026-11-20T09:49:49")
    afas.tenant.change(340, 84, email_secondary="thuis@example.org", modified="2026-11-20T09:49:50")
    lists = {"filterfieldids": f"CrId,{field}", "filtervalues": f"340,{value}", "operatortypes": f"1,{operator}"}

    by_lists = afas.rows(**lists)
    by_json = afas.rows(filterjson=filterjson([("CrId", 1, "340"), (field, operator, value)]))

    assert ids(by_lists) == ids(by_json) == [(340, number) for number in expected]


def test_a_semicolon_means_or_and_a_comma_and(afas: Afas) -> None:
    rows = afas.rows(filterfieldids="CrId;CrId,Intern_ID", filtervalues="341;340,84", operatortypes="1;1,1")

    assert ids(rows) == [(340, 84), (341, 80)]


def test_a_keyset_step_goes_on_after_a_key(afas: Afas) -> None:
    rows = afas.rows(filterjson=filterjson([("CrId", 4, "340")], [("CrId", 1, "340"), ("Intern_ID", 4, "82")]))

    assert ids(rows) == [(340, 83), (340, 84), (341, 80)]


@pytest.mark.parametrize(
    "params",
    [
        {"orderbyfieldids": "Onbekend"},
        {"filterfieldids": "Onbekend", "filtervalues": "1", "operatortypes": "1"},
    ],
)
def test_an_unknown_field_is_named(afas: Afas, params: dict[str, str]) -> None:
    answer = afas.call("GET", PAGE, params={**ORDER, **params})

    assert answer.status_code == 500
    assert answer.json()["externalMessage"] == "Connector-veld 'Onbekend' niet gevonden"


@pytest.mark.parametrize(
    "params",
    [
        {"filterfieldids": "CrId", "filtervalues": "1,2", "operatortypes": "1"},
        {"filterfieldids": "CrId", "filtervalues": "x", "operatortypes": "1"},
        {"filterfieldids": "Naam", "filtervalues": "x", "operatortypes": "15"},
        {"filterjson": "{"},
    ],
)
def test_a_filter_that_makes_no_sense_is_an_error(afas: Afas, params: dict[str, str]) -> None:
    assert afas.call("GET", PAGE, params={**ORDER, **params}).status_code == 500


def test_a_query_string_beyond_the_limit_is_not_found(afas: Afas) -> None:
    base = f"{ORDER['orderbyfieldids']}&x="
    fits = MAX_QUERY - 1 - len("orderbyfieldids=" + base)

    statuses = [afas.call("GET", f"{PAGE}?orderbyfieldids={base}{'y' * n}").status_code for n in (fits, fits + 1)]

    assert statuses == [200, 404]


def test_too_many_cells_run_out_of_memory(afas: Afas) -> None:
    afas.tenant.change_switches(cell_limit=800)

    answers = [afas.call("GET", PAGE, params={"take": take, **ORDER}) for take in (100, 101)]

    assert [answer.status_code for answer in answers] == [200, 500]
    assert answers[1].json()["externalMessage"] == "Out of memory"


def test_columns_can_have_any_name_and_a_connector_can_be_narrowed(afas: Afas) -> None:
    columns = {"Evenement nr": "event_id", "Contact": "internal_id", "Adres": "email_primary"}
    afas.tenant.change_connector("Eigen", columns=columns, events=[341])

    rows = afas.call("GET", "/connectors/Eigen", params={"orderbyfieldids": "Contact"}).json()["rows"]

    assert rows == [{"Evenement nr": 341, "Contact": 80, "Adres": "p80@example.nl"}]


def test_ids_can_come_as_text(afas: Afas) -> None:
    afas.tenant.change_switches(ids_as_text=True)

    assert [(row["CrId"], row["Intern_ID"]) for row in afas.rows(take=1)] == [("340", "80")]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.sets(st.tuples(st.integers(1, 4), st.integers(1, 30)), max_size=40),
    after=st.tuples(st.integers(0, 5), st.integers(0, 31)),
    take=st.integers(1, 10),
)
def test_pages_and_keyset_steps_give_each_row_once(
    people: set[tuple[int, int]], after: tuple[int, int], take: int
) -> None:
    tenant = AfasTenant("12345")
    tenant.enroll_many([{"event_id": event, "internal_id": person} for event, person in people])
    where = filterjson([("CrId", 4, str(after[0]))], [("CrId", 1, str(after[0])), ("Intern_ID", 4, str(after[1]))])

    found: list[tuple[int, int]] = []
    for skip in range(0, len(people) + take, take):
        request = Request("GET", "", "", {}, b"")
        vars(request)["params"] = {"skip": str(skip), "take": str(take), **ORDER, "filterjson": where}
        found += ids(select(tenant, next(iter(tenant.connectors.values())), request)[2])

    assert found == sorted(key for key in people if key > after)
