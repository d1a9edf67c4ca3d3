"""What values of AFAS's rows mean, in whatever form a connector or a spreadsheet gives them."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.afas_values import Unreadable, day, event_number, identifier, person_number, yes_or_no

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too
ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (80, "80"),
        (80.0, "80"),
        ("80.0", "80"),
        ("80,00", "80"),
        (" 80 ", "80"),
        ("007", "007"),
        (None, None),
        ("", None),
        (True, None),
        (80.5, None),
        (float("nan"), None),
        (float("inf"), None),
        ("80\u200b", None),
        ("x" * 41, None),
    ],
)
def test_identifier_keeps_what_counts(value: Any, text: str | None) -> None:
    assert identifier(value) == text


@pytest.mark.parametrize(
    "value",
    ["٨٠", "８０", "-1", "1e3", "1.001", "1,001", "1.001,0", "1.000", "80,000", "9" * 19, 0, "000", "P80", 80.5],
)
def test_what_is_no_whole_number_is_no_person(value: Any) -> None:
    assert person_number(value) is None


@calm
@given(st.integers(min_value=1, max_value=10**15), st.integers(min_value=0, max_value=2))
def test_a_number_is_one_person_however_it_was_written(number: int, zeros: int) -> None:
    spellings = [number, str(number), f" {number} ", f"{number}.0", f"{number},00", "0" * zeros + str(number)]
    assert {person_number(value) for value in [*spellings, float(number)]} == {str(number)}
    assert event_number(f"{number}.0") == str(number)


@calm
@given(ANYTHING)
def test_an_id_has_one_form(value: Any) -> None:
    found = person_number(value)
    assert found is None or (found == str(int(found)) and person_number(found) == found)


@pytest.mark.parametrize("value", [True, "1", 1, 1.0, "-1", -1, "Ja", "j", "true", "TRUE", "Yes", "y", "Waar", "1.0"])
def test_yes(value: Any) -> None:
    assert yes_or_no(value)


@pytest.mark.parametrize("value", [False, None, 0, 0.0, "0", "nee", "N", "no", "", " ", "Onwaar", "false", "0,0"])
def test_no(value: Any) -> None:
    assert not yes_or_no(value)


@pytest.mark.parametrize("value", ["X", 2, "2", "misschien", "Geblokkeerd", "-", 0.5, "True False", []])
def test_neither_yes_nor_no_is_said(value: Any) -> None:
    with pytest.raises(Unreadable):
        yes_or_no(value)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22",
        "2026-11-22T00:00:00Z",
        "2026-11-22T23:59:59.123Z",
        "2026-11-22 10:00:00",
        "2026-11-22T10:00:00+01:00",
        "22-11-2026",
        "22/11/2026",
        "22.11.2026",
        "22-11-2026 00:00:00",
        "20261122",
        20261122,
        "2026/11/22",
        " 2026-11-22 ",
    ],
)
def test_a_day_is_read_in_every_form_that_can_only_mean_one(value: Any) -> None:
    assert day(value) == date(2026, 11, 22)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "0001-01-01",
        "0001-01-01T00:00:00Z",
        "01-01-0001",
        "1753-01-01",
        "1899-12-30T00:00:00Z",
        "1899-12-31",
        "1900-01-00",
        "1900-01-01",
        "01-01-1900",
        "19000101",
        "1970-01-01T00:00:00Z",
        "9999-12-31",
        "9999-12-31T23:59:59.9999999Z",
        "0000-00-00",
        "00000000",
        0,
    ],
)
def test_what_systems_write_for_no_date_is_none(value: Any) -> None:
    assert day(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "31-12-20",
        "12/31/2020",
        "2026-02-30",
        "2026-13-01",
        "2026-11-22x",
        "2026-11-22; 2027-01-01",
        "0202-11-22",
        "44196",
        46000.5,
        "gisteren",
        "22 nov 2026",
        "n.v.t.",
        True,
        False,
        "２０２６-11-22",
        "1.1",
        ["2026-11-22"],
    ],
)
def test_what_is_no_certain_day_is_said(value: Any) -> None:
    with pytest.raises(Unreadable):
        day(value)


@calm
@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2999, 12, 31)))
def test_a_day_survives_every_form(given_day: date) -> None:
    forms = ("%Y-%m-%d", "%d-%m-%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y%m%d", "%Y-%m-%dT00:00:00Z", "%d-%m-%Y 23:59")
    assert {day(given_day.strftime(form)) for form in forms} == {given_day}


@calm
@given(ANYTHING)
def test_no_value_breaks_the_reading(value: Any) -> None:
    for read in (day, yes_or_no):
        with suppress(Unreadable):
            read(value)
    assert identifier(value) is None or isinstance(identifier(value), str)
