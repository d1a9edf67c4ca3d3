"""What the AFAS client sends, and what it makes of good answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from clients.afas import AfasClient, Condition, MetaInfo, OAuth, Operator, Token
from clients.afas.client import MAX_BYTES
from clients.errors import Misconfigured, RemoteError, TooLarge, Unauthorized, Unavailable, Unknown
from clients.http import Call, TokenCache
from tests.unit.clients.afas.afas_server import (
    FREE_FIELD,
    SECRET,
    XML,
    access_token,
    page,
    read,
    with_oauth,
    with_token,
    write,
)
from tests.unit.clients.http.raw_server import RawServer, Step, answer, serving

HEADER_OF_XML = (
    "AfasToken PHRva2VuPjx2ZXJzaW9uPjE8L3ZlcnNpb24+PGRhdGE+MDEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkNERUYw"
    "MTIzNDU2Nzg5QUJDREVGMDEyMzQ1Njc4OUFCQ0RFRjwvZGF0YT48L3Rva2VuPg=="
)


@pytest.fixture
def server() -> Iterator[RawServer]:
    with serving() as running:
        yield running


def test_a_page_is_asked_for_in_order_and_comes_as_it_is(server: RawServer) -> None:
    row = {"CrId": 340, "CdId": "080", "BcCo": "000001005", "Naam": "Zoë", "Email": None, "Af": True, "Prijs": 0.5}
    server.will(page(row))
    client = with_token(server, integration_id="38192_1")

    rows = client.rows(
        "Deelnemer per/cursus",
        take=1000,
        skip=2000,
        order_by=["CrId", "CdId"],
        where=[[Condition("CrId", Operator.EQUAL, "340"), Condition("CdId", Operator.GREATER, "80")]],
    )

    asked = server.requests[0]
    assert rows == [row]
    assert (asked.method, asked.path) == ("GET", "/base/connectors/Deelnemer%20per%2Fcursus")
    assert "orderbyfieldids=CrId%2CCdId" in asked.target
    assert asked.query == {
        "skip": "2000",
        "take": "1000",
        "orderbyfieldids": "CrId,CdId",
        "filterjson": '{"Filters":{"Filter":[{"@FilterId":"1","Field":[{"@FieldId":"CrId","@OperatorType":"1",'
        '"#text":"340"},{"@FieldId":"CdId","@OperatorType":"4","#text":"80"}]}]}}',
    }
    expected = {
        "authorization": HEADER_OF_XML,
        "accept": "application/json",
        "accept-language": "nl-nl",
        "integrationid": "38192_1",
    }
    assert expected.items() <= asked.headers.items()
    assert asked.headers.get("connection") != "close"


def test_no_integration_id_is_sent_when_there_is_none(server: RawServer) -> None:
    server.will(page())

    assert read(with_token(server)) == []
    assert "integrationid" not in server.requests[0].headers


def test_a_write_has_the_keys_on_the_element_and_only_the_given_fields(server: RawServer) -> None:
    server.will(answer(201))

    write(with_token(server))

    asked = server.requests[0]
    assert (asked.method, asked.target) == ("PUT", "/base/connectors/KnCourseMember")
    assert asked.headers["content-type"] == "application/json;charset=utf-8"
    assert asked.json() == {
        "KnCourseMember": {
            "Element": {"@CrId": "340", "@CdId": "80", "Fields": {"BcCo": "1000073", FREE_FIELD: "2026-11-20"}}
        }
    }


@pytest.mark.parametrize("external_id", [None, ""])
def test_a_write_without_external_id_leaves_it_out(server: RawServer, external_id: str | None) -> None:
    server.will(answer(200))

    with_token(server).put_course_member(
        "KnCourseMember", event_id="1", internal_id="2", external_id=external_id, fields={FREE_FIELD: "juli — ‘26"}
    )

    assert server.requests[0].json()["KnCourseMember"]["Element"]["Fields"] == {FREE_FIELD: "juli — ‘26"}
    assert "juli — ‘26".encode() in server.requests[0].body


@pytest.mark.parametrize(
    "success",
    [answer(201), answer(200), answer(204), answer(201, {"results": {}}), answer(200, "<html>"), answer(202, "{")],
)
def test_any_2xx_is_a_successful_write(server: RawServer, success: Step) -> None:
    server.will(success)

    write(with_token(server))

    assert len(server.requests) == 1


def test_oauth_asks_for_a_token_once_and_uses_it(server: RawServer) -> None:
    calls: list[Call] = []
    server.will(access_token("t1", "3600"), page(), page())
    client = with_oauth(server, on_call=calls.append)

    read(client)
    read(client)

    asked = server.requests[0]
    assert (asked.method, asked.path) == ("POST", "/base/oauth/token")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in asked.headers
    assert asked.form == {"grant_type": "client_credentials", "client_id": "client-1", "client_secret": SECRET}
    assert [request.headers.get("authorization") for request in server.requests[1:]] == ["Bearer t1"] * 2
    assert [call.token for call in calls] == [True, False, False]


@pytest.mark.parametrize("act", [read, write])
def test_a_refused_access_token_is_renewed_and_the_call_repeated_once(server: RawServer, act: object) -> None:
    server.will(access_token("old"), answer(401), access_token("new"), page())

    (read if act is read else write)(with_oauth(server))

    assert [request.headers.get("authorization") for request in server.requests] == [
        None, "Bearer old", None, "Bearer new",
    ]  # fmt: skip


def test_a_second_refusal_is_final(server: RawServer) -> None:
    server.will(access_token("old"), answer(401), access_token("new"), answer(401), page())

    with pytest.raises(Unauthorized):
        read(with_oauth(server))

    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [403, 500])
def test_no_other_refusal_renews_the_token(server: RawServer, status: int) -> None:
    server.will(access_token("old"), answer(status), access_token("new"))

    with pytest.raises(RemoteError):
        read(with_oauth(server))

    assert len(server.requests) == 2


def test_a_classic_token_is_not_repeated_after_a_401(server: RawServer) -> None:
    server.will(answer(401), page())

    with pytest.raises(Unauthorized):
        read(with_token(server))

    assert len(server.requests) == 1


def test_a_token_endpoint_that_cannot_be_reached_is_unavailable(server: RawServer) -> None:
    server.will(Step(then="close"))

    with pytest.raises(Unavailable):
        write(with_oauth(server))


def test_clients_with_the_same_credentials_share_a_token(server: RawServer) -> None:
    server.will(access_token("t1"), page(), page())

    for _ in range(2):
        read(AfasClient(base_url=server.base_url, auth=OAuth("c", "s"), read_timeout=2))

    assert [request.path for request in server.requests].count("/base/oauth/token") == 1


def test_each_call_is_made_in_a_slot_tokens_included_which_is_given_back_also_after_an_error(server: RawServer) -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def call_slot() -> Iterator[None]:
        events.append("in")
        try:
            yield
        finally:
            events.append("out")

    server.will(access_token("old"), answer(401), access_token("new"), page(), answer(500))
    client = with_oauth(
        server, call_slot=call_slot, on_call=lambda call: events.append("token" if call.token else "api")
    )

    read(client)
    with pytest.raises(Unavailable):
        write(client)

    assert events == ["in", "token", "api", "out", "in", "token", "api", "out", "in", "api", "out"]


def test_a_lost_answer_to_a_write_is_unknown_and_to_a_read_unavailable(server: RawServer) -> None:
    server.will(Step(then="close"), Step(then="close"))

    with pytest.raises(Unknown):
        write(with_token(server))
    with pytest.raises(Unavailable):
        read(with_token(server))


@pytest.mark.parametrize("connector", ["", " ", ".", ".."])
def test_a_connector_needs_a_name(server: RawServer, connector: str) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        with_token(server).rows(connector, take=5, order_by=["CrId"])

    assert server.requests == []


def test_metainfo_tells_environment_end_of_token_and_connectors(server: RawServer) -> None:
    server.will(
        answer(
            200,
            {
                "updateConnectors": [{"id": "KnCourseMember", "description": "Cursusdeelnemer"}],
                "getConnectors": [{"id": "Deelnemers", "description": "Deelnemers per evenement"}, {"id": "B"}],
                "customConnectors": [],
                "info": {"envid": "O12345AA", "appName": "Koppeling", "group": "g", "tokenExpiry": "0"},
            },
        )
    )

    found = with_token(server).metainfo()

    assert server.requests[0].target == "/base/metainfo"
    assert found == MetaInfo(
        "O12345AA", "Koppeling", "0", {"Deelnemers": "Deelnemers per evenement", "B": ""},
        {"KnCourseMember": "Cursusdeelnemer"},
    )  # fmt: skip
    assert found.token_ends_at is None


def test_fields_of_connectors_are_read_without_those_of_objects_inside(server: RawServer) -> None:
    key = {"fieldId": "CrId", "primaryKey": "true", "dataType": "int", "label": "Evenement", "length": 0,
           "controlType": 2, "values": None}  # fmt: skip
    free = {"fieldId": FREE_FIELD, "primaryKey": False, "dataType": "date", "label": "Afgerond op", "mandatory": True,
            "length": "10", "values": [{"id": "1", "description": "een"}]}  # fmt: skip
    inner = {"name": "Sub", "fields": [{"fieldId": "Xx", "label": "niet van ons"}], "objects": []}
    column = {"id": "Naam", "fieldId": "Nm", "dataType": "string", "label": "Naam", "length": 50, "controlType": 1}
    server.will(answer(200, {"fields": [key, free], "objects": [inner]}), answer(200, {"fields": [column]}))
    client = with_token(server)

    update, get = client.update_connector_fields("KnCourseMember"), client.get_connector_fields("Mijn deelnemers")

    assert [request.target for request in server.requests] == [
        "/base/metainfo/update/KnCourseMember",
        "/base/metainfo/get/Mijn%20deelnemers",
    ]
    assert [(f.id, f.primary_key, f.data_type, f.length, f.mandatory) for f in update] == [
        ("CrId", True, "int", 0, False),
        (FREE_FIELD, False, "date", 10, True),
    ]
    assert update[1].values == (("1", "een"),)
    assert [(f.id, f.field_id, f.label, f.length, f.control_type) for f in get] == [("Naam", "Nm", "Naam", 50, 1)]


@pytest.mark.parametrize("body", [{}, {"info": None, "getConnectors": None}, {"getConnectors": ["x", {"no": "id"}]}])
def test_metainfo_with_less_in_it_is_read_all_the_same(server: RawServer, body: object) -> None:
    server.will(answer(200, body))

    assert with_token(server).metainfo() == MetaInfo("", "", "", {}, {})


def test_metainfo_that_is_no_json_is_misconfigured(server: RawServer) -> None:
    server.will(answer(200, "<html>"))

    with pytest.raises(Misconfigured):
        with_token(server).metainfo()


@pytest.mark.parametrize(
    ("text", "ends"),
    [("0", None), ("", None), ("1771113600", "2026-02-15T00:00:00+00:00"), ("morgen", None), ("9" * 30, None),
     ("2027-02-15T00:00:00Z", "2027-02-15T00:00:00+00:00"), ("2027-02-15", "2027-02-15T00:00:00+00:00")],
)  # fmt: skip
def test_the_end_of_a_token_is_known_only_in_forms_that_are_clear(text: str, ends: str | None) -> None:
    found = MetaInfo("", "", text, {}, {}).token_ends_at

    assert (found.isoformat() if found else None) == ends


def test_threads_can_share_a_client(server: RawServer) -> None:
    server.will(access_token("t1"), *[page({"CrId": 1})] * 8)
    client, got = with_oauth(server), []

    threads = [threading.Thread(target=lambda: got.append(read(client))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == [[{"CrId": 1}]] * 8
    assert len(server.requests) == 9


def test_credentials_do_not_show(server: RawServer) -> None:
    assert SECRET not in repr(OAuth("client-1", SECRET))
    assert XML not in repr(Token(XML))
    with pytest.raises(ValueError, match="not an AFAS token") as raised:
        AfasClient(base_url=server.base_url, auth=Token("s3cret-thing"), tokens=TokenCache())
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        '{"rows": [' + ",".join(["{}"] * 11) + "]}",
        '{"rows": [' + ",".join(["{}"] * 2_000_000) + "]}",
        '{"rows": [{"CrId": ' + '{"a": ' * 200 + "1" + "}" * 200 + "}]}",
    ],
    ids=["one more", "millions", "nested"],
)
def test_a_page_with_more_in_it_than_was_asked_for_is_refused(server: RawServer, body: str) -> None:
    server.will(answer(200, body))
    with pytest.raises(Misconfigured) as raised:
        with_token(server).rows("Deelnemers", take=10, order_by=["CrId", "CdId"])
    assert raised.value.code == "page_too_long"


def test_a_page_above_the_limit_of_bytes_is_to_be_asked_for_in_halves(server: RawServer) -> None:
    server.will(answer(200, '{"rows": [{"a": "' + "x" * (MAX_BYTES + 1) + '"}]}'))
    with pytest.raises(TooLarge):
        with_token(server).rows("Deelnemers", take=10, order_by=["CrId", "CdId"])
