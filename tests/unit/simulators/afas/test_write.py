"""A simulated KnCourseMember takes a PUT as AFAS does: whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.simulators.calls import Afas, afas_headers

COMPLETION = "UC3B61455480EEFAFE78EBC831C6E1B30"
GOOD = {"BcCo": "0000080", COMPLETION: "2026-11-20"}


def test_a_written_date_shows_in_the_connector_and_touches_the_stamp(afas: Afas) -> None:
    answer = afas.put("340", "80", GOOD)

    assert (answer.status_code, answer.content) == (201, b"")
    row = afas.rows(take=1)[0]
    assert row["Voltooid_op"] == "2026-11-20T00:00:00Z"
    assert row["Gewijzigd"] > "2026-11-20T09:49:49Z"
    assert afas.tenant.rows[340, 80].writes == 1
    assert afas.tenant.rows[341, 80].free == {}


def test_keys_may_be_numbers_and_an_empty_text_clears(afas: Afas) -> None:
    afas.put(340, 80, GOOD)

    afas.put(340, 80, {COMPLETION: ""})

    assert afas.tenant.rows[340, 80].free == {COMPLETION: None}


@pytest.mark.parametrize(
    ("how", "status", "body"),
    [
        ("201-empty", 201, ""),
        ("201-results", 201, '{"results":{"KnCourseMember":{"CrId":"340","CdId":"80"}}}'),
        ("200-empty", 200, ""),
    ],
)
def test_success_has_three_faces(afas: Afas, how: str, status: int, body: str) -> None:
    afas.tenant.change_switches(put_answer=how)

    answer = afas.put("340", "80", GOOD)

    assert (answer.status_code, answer.text) == (status, body)


@pytest.mark.parametrize(
    ("event", "person", "fields", "names"),
    [
        (None, "80", GOOD, "Evenement"),
        ("340", None, GOOD, "Cursist"),
        ("340", "x", GOOD, "Cursist"),
        ("340", "99", GOOD, "combinatie"),
        ("342", "80", GOOD, "combinatie"),
        ("340", "80", {**GOOD, "BcCo": "80"}, "Organisatie/persoon"),
        ("340", "80", {**GOOD, COMPLETION: "20-11-2026"}, "Voltooid op"),
        ("340", "80", {**GOOD, COMPLETION: "2026-13-20"}, "Voltooid op"),
        ("340", "80", {"U" + "0" * 32: "2026-11-20"}, "U000"),
    ],
)
def test_a_refusal_is_a_500_with_a_reference_and_changes_nothing(
    afas: Afas, event: str | None, person: str | None, fields: dict[str, str], names: str
) -> None:
    answer = afas.put(event, person, fields)

    content = answer.json()
    assert answer.status_code == 500
    assert names in content["externalMessage"]
    assert len(content["profitLogReference"]) == 32
    assert all(row.writes == 0 for row in afas.tenant.rows.values())


def test_one_bad_element_refuses_the_whole_body(afas: Afas) -> None:
    elements = [{"@CrId": "340", "@CdId": each, "Fields": {COMPLETION: "2026-11-20"}} for each in ("80", "99")]

    answer = afas.call("PUT", "/connectors/KnCourseMember", json={"KnCourseMember": {"Element": elements}})

    assert answer.status_code == 500
    assert afas.tenant.rows[340, 80].writes == 0


@pytest.mark.parametrize("body", ["{", "[]", '{"KnCourseMember":{}}', '{"KnOther":{"Element":{}}}'])
def test_a_body_without_its_elements_is_a_bad_request(afas: Afas, body: str) -> None:
    assert afas.call("PUT", "/connectors/KnCourseMember", data=body).status_code == 400


@pytest.mark.parametrize(
    ("content_type", "stored"),
    [
        ("application/json;charset=utf-8", "Zoë"),
        ("application/json; charset=UTF-8", "Zoë"),
        ("application/json", "Zo??"),
        ("text/plain;charset=iso-8859-1", "Zo??"),
    ],
)
def test_only_a_declared_utf8_keeps_accents(afas: Afas, content_type: str, stored: str) -> None:
    body = '{"KnCourseMember":{"Element":{"@CrId":340,"@CdId":80,"Fields":{"Rm":"Zoë"}}}}'
    headers = {**afas_headers(), "Content-Type": content_type}

    afas.call("PUT", "/connectors/KnCourseMember", data=body.encode(), headers=headers)

    assert afas.tenant.rows[340, 80].other == {"Rm": stored}


@pytest.mark.parametrize(
    ("switch", "prepare"),
    [({"requires_external_id": True}, {}), ({"refuses_blocked": True}, {"blocked": True})],
)
def test_stricter_environments_refuse_more(afas: Afas, switch: dict[str, bool], prepare: dict[str, Any]) -> None:
    afas.tenant.change(340, 80, **prepare)
    assert afas.put("340", "80", {COMPLETION: "2026-11-20"}).status_code == 201

    afas.tenant.change_switches(**switch)

    assert afas.put("340", "80", {COMPLETION: "2026-11-20"}).status_code == 500
