"""What is asked of AFAS, and what customers paste to say where it is: pure rules, no sockets."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.afas import Condition, Operator, afas_base_url, normalise_token, page_size, parse_member_id
from clients.afas.query import MAX_QUERY, page_query
from clients.errors import Misconfigured
from tests.unit.clients.afas.afas_server import DATA, XML

AFTER = [
    [Condition("CrId", Operator.GREATER, "340")],
    [Condition("CrId", Operator.EQUAL, "340"), Condition("CdId", Operator.GREATER, "80")],
]


def test_outer_conditions_are_alternatives_and_inner_ones_hold_together() -> None:
    query = parse_qs(page_query(skip=0, take=5, order_by=["CrId", "-CdId"], where=AFTER))

    filters = json.loads(query["filterjson"][0])["Filters"]["Filter"]
    assert query["orderbyfieldids"] == ["CrId,-CdId"]
    assert [[field["@FieldId"] for field in one["Field"]] for one in filters] == [["CrId"], ["CrId", "CdId"]]
    assert len({one["@FilterId"] for one in filters}) == 2


@given(st.text(max_size=300))
def test_a_question_carries_any_value_unharmed_or_is_refused_before_sending(value: str) -> None:
    try:
        value.encode()
        query = page_query(skip=0, take=5, order_by=["CrId"], where=[[Condition("CrId", Operator.EQUAL, value)]])
    except ValueError:
        return
    assert len(query) + 1 <= MAX_QUERY
    filters = json.loads(parse_qs(query, strict_parsing=True)["filterjson"][0])
    assert filters["Filters"]["Filter"][0]["Field"][0]["#text"] == value


def test_a_question_of_exactly_the_limit_is_sent_and_one_more_is_not() -> None:
    def ask(size: int) -> str:
        return page_query(skip=0, take=5, order_by=["C" * size])

    room = MAX_QUERY - 1 - len(ask(1)) + 1
    assert len("?" + ask(room)) == MAX_QUERY
    with pytest.raises(ValueError, match="ask for less"):
        ask(room + 1)


@pytest.mark.parametrize("skip_take", [(0, 0), (-1, -1), (2, -1), (-1, 5)])
def test_odd_pages_are_refused(skip_take: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="take starts at 1"):
        page_query(skip=skip_take[0], take=skip_take[1], order_by=["CrId"])


def test_a_page_without_order_is_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        page_query(skip=0, take=5, order_by=[])


@pytest.mark.parametrize("name", ["", "a.b", "a b", "é", "a,b", "a;b"])
def test_a_column_that_afas_cannot_use_is_refused(name: str) -> None:
    for order_by, where in (([name], []), (["CrId"], [[Condition(name, Operator.EQUAL, "1")]])):
        with pytest.raises(Misconfigured) as raised:
            page_query(skip=0, take=5, order_by=order_by, where=where)
        assert raised.value.code == "unusable_field"


@given(st.integers(0, 10**6))
def test_a_page_stays_below_afas_its_cells(columns: int) -> None:
    assert 1 <= page_size(columns) <= 1000
    assert page_size(columns) * columns <= 150_000 or page_size(columns) == 1


@pytest.mark.parametrize(("columns", "rows"), [(12, 1000), (150, 1000), (151, 993), (300, 500), (0, 1000)])
def test_wide_rows_make_short_pages(columns: int, rows: int) -> None:
    assert page_size(columns) == rows


@pytest.mark.parametrize(
    "text",
    ["12345", " 12345\n", "O12345AA", "t12345ab", "12345.jansen", "12345.rest.afas.online",
     "https://12345.rest.afas.online/ProfitRestServices/connectors/X?skip=1", "HTTPS://12345.resttest.afas.online",
     "https://12345.afasinsite.nl/"],
)  # fmt: skip
def test_a_member_id_is_found_in_what_people_paste(text: str) -> None:
    assert parse_member_id(text) == "12345"


@pytest.mark.parametrize(
    "text", ["", "1234", "123456", "01234", "O12345", "AA12345", "12345 67", "https://example.org/12345", "１２３４５"]
)
def test_anything_else_is_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(ValueError, match="such as O12345AA"):
        parse_member_id(text)


@given(st.text())
def test_a_member_id_is_five_digits_or_refused(text: str) -> None:
    try:
        found = parse_member_id(text)
    except ValueError:
        return
    assert len(found) == 5
    assert found.isascii()
    assert found.isdecimal()
    assert found in text


def test_the_address_is_built_from_digits_and_a_known_environment() -> None:
    assert afas_base_url("12345", "production") == "https://12345.rest.afas.online/ProfitRestServices"
    assert afas_base_url("12345", "test") == "https://12345.resttest.afas.online/ProfitRestServices"
    assert afas_base_url("12345", "accept") == "https://12345.restaccept.afas.online/ProfitRestServices"


@pytest.mark.parametrize(
    ("member_id", "environment"),
    [
        ("O12345AA", "test"),
        ("12345\n", "test"),
        ("evil.example.org/", "test"),
        ("１２３４５", "test"),
        ("12345", "live"),
    ],
)
def test_no_other_address_can_be_built(member_id: str, environment: str) -> None:
    with pytest.raises(ValueError, match="AFAS"):
        afas_base_url(member_id, environment)


ENCODED = base64.b64encode(XML.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [XML, f"  {XML}\r\n", XML.replace("><", ">\n  <"), XML.lower(), DATA, DATA.lower(), ENCODED, ENCODED.rstrip("="),
     f"{ENCODED[:60]}\n{ENCODED[60:]}", f"AfasToken {ENCODED}", XML.replace("<", "&lt;").replace(">", "&gt;")],
)  # fmt: skip
def test_a_token_in_any_form_gives_one_header(text: str) -> None:
    assert normalise_token(text) == f"AfasToken {ENCODED}"


@pytest.mark.parametrize(
    "text",
    ["", "abc", DATA[:-1], DATA + "0", XML.replace("0", "Z"), "<token></token>", base64.b64encode(b"x" * 90).decode(),
     "é" * 64],
)  # fmt: skip
def test_what_is_no_token_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="not an AFAS token") as raised:
        normalise_token(text)

    assert len(text) < 4 or text not in str(raised.value)
