"""Fault switches, the request log and the control routes, on either simulator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from simulators.core.http_messages import Request
from tests.unit.simulators.calls import PAGE, Afas, Pluvo, afas_headers

GOOD = {"BcCo": "0000080", "UC3B61455480EEFAFE78EBC831C6E1B30": "2026-11-20"}


@pytest.mark.parametrize(
    ("fault", "status", "body", "header"),
    [
        ({"kind": "status", "status": 502, "body": "oops"}, 502, "oops", None),
        ({"kind": "status"}, 500, "", None),
        ({"kind": "html"}, 200, "<!DOCTYPE", None),
        ({"kind": "bad_json"}, 200, '{"rows":[{"', None),
        ({"kind": "redirect"}, 302, "", ("location", "/elsewhere/")),
        ({"kind": "retry_after", "seconds": 7}, 429, "", ("retry-after", "7")),
        ({"kind": "retry_after", "status": 503, "headers": {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}}, 503, "",
         ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")),
        ({"kind": "graphql_error", "code": "AuthExpired", "message": "no"}, 200, '{"errors":[{"message":"no"', None),
        ({"kind": "maintenance", "seconds": 60}, 503, "", ("retry-after", "60")),
        ({"kind": "maintenance", "to": "body"}, 503, '{"error":{"code":"503"', None),
        ({"kind": "maintenance", "to": "sample"}, 503, '{"example":', None),
        ({"kind": "maintenance", "to": "xml"}, 503, "<error>", ("retry-after", "7200")),
        ({"kind": "record_in_use"}, 500, '{"externalMessage":"Het record is in gebruik', None),
        ({"kind": "functional", "message": "Nee."}, 500, '{"externalMessage":"Nee."', None),
        ({"kind": "not_authorised"}, 500, '{"externalMessage":"GetConnector niet', None),
        ({"kind": "out_of_memory"}, 500, '{"externalMessage":"Out of memory"', None),
        ({"kind": "time_out"}, 500, '{"externalMessage":"De maximale', None),
        ({"kind": "definition_blocked"}, 500, '{"externalMessage":"Deze GetConnector (definitie)', None),
    ],
)  # fmt: skip
def test_a_fault_answers_wrongly_once_and_is_over(
    afas: Afas, fault: dict[str, Any], status: int, body: str, header: tuple[str, str] | None
) -> None:
    afas.control.fault(**fault, times=1)

    wrong, right = afas.call("GET", PAGE), afas.call("GET", PAGE)

    assert (wrong.status_code, wrong.text.startswith(body)) == (status, True)
    assert header is None or wrong.headers[header[0]] == header[1]
    assert right.json()["rows"]


def test_a_lost_answer_was_applied_and_a_reset_was_not(afas: Afas) -> None:
    for kind, writes in (("reset", 0), ("lost_answer", 1), ("half_body", 2)):
        afas.control.fault(kind, match={"method": "PUT"}, times=1)
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            afas.put("340", "80", GOOD)
        assert afas.tenant.rows[340, 80].writes == writes
    assert [entry["status"] for entry in afas.control.log(operation="put")] == [0, 0, 0]


@pytest.mark.parametrize("applies", [False, True])
def test_a_hang_outlasts_the_caller(afas: Afas, applies: bool) -> None:
    afas.control.fault("hang", match={"operation": "put"}, applies=applies)

    with pytest.raises(requests.ReadTimeout):
        requests.put(
            f"{afas.url}/t/12345/ProfitRestServices/connectors/KnCourseMember",
            json={"KnCourseMember": {"Element": {"@CrId": "340", "@CdId": "80", "Fields": GOOD}}},
            headers=afas_headers(),
            timeout=(5, 0.2),
        )

    assert afas.tenant.rows[340, 80].writes == int(applies)


def test_a_delay_shows_requests_in_flight_together(afas: Afas) -> None:
    afas.control.fault("delay", seconds=0.2, tenant="12345")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: afas.call("GET", "/metainfo"), range(3)))

    assert max(entry["in_flight"] for entry in afas.control.log("12345")) == 3


def test_a_match_skip_and_times_pick_the_requests(afas: Afas) -> None:
    afas.control.fault(
        "status", status=503, match={"method": "GET", "path_contains": "take=2", "operation": "page"}, skip=1, times=2
    )

    takes = [2, 1, 2, 2, 2]
    statuses = [afas.call("GET", PAGE, params={"take": take}).status_code for take in takes]

    assert statuses == [200, 200, 503, 503, 200]
    assert afas.call("GET", "/metainfo?take=2").status_code == 200
    assert [(f["seen"], f["struck"]) for f in afas.control.faults()] == [(4, 2)]


def test_a_body_and_a_tenant_can_be_matched(afas: Afas) -> None:
    afas.simulator.add_tenant("54321", tokens=afas.tenant.tokens)
    afas.control.fault("functional", match={"body_contains": '"@CdId": "81"'})
    afas.control.fault("status", tenant="54321")

    assert [afas.put("340", each, {"Rm": "x"}).status_code for each in ("80", "81")] == [201, 500]
    assert requests.get(f"{afas.url}/t/54321/ProfitRestServices/metainfo", timeout=10).status_code == 500


def test_chance_is_the_same_every_time(afas: Afas) -> None:
    series = []
    for _ in range(2):
        afas.control.fault("status", probability=0.5, seed=7)
        series.append([afas.call("GET", "/metainfo").status_code for _ in range(20)])
        afas.control.clear_faults()

    assert series[0] == series[1]
    assert set(series[0]) == {200, 500}


def test_one_switch_can_be_taken_away(afas: Afas) -> None:
    keep, drop = afas.control.fault("status", times=0), afas.control.fault("status")

    afas.control.clear_faults(drop)

    assert [fault["id"] for fault in afas.control.faults()] == [keep]
    assert afas.call("GET", "/metainfo").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "nonsense"},
        {"kind": "status", "match": {"verb": "GET"}},
        {"kind": "status", "probability": 2},
        {"kind": "status", "x": 1},
    ],
)
def test_a_switch_that_makes_no_sense_is_refused(afas: Afas, wrong: dict[str, Any]) -> None:
    with pytest.raises(requests.HTTPError):
        afas.control.fault(**wrong)


@pytest.mark.parametrize(
    ("fault", "ids"),
    [
        ({"kind": "short", "count": 2}, [80, 81, 82]),
        ({"kind": "empty"}, []),
        ({"kind": "doubled"}, [80, 81, 82, 83, 84, 84]),
        ({"kind": "shuffled", "seed": 1}, [82, 83, 80, 84, 81]),
    ],
)
def test_a_page_can_lose_double_or_mix_rows(afas: Afas, fault: dict[str, Any], ids: list[int]) -> None:
    afas.control.fault(**fault, times=1)
    event = {"filterfieldids": "CrId", "filtervalues": "340", "operatortypes": "1"}

    afas.call("GET", "/metainfo")  # not a page: the switch must wait for one
    spoilt, healthy = (afas.rows(**event) for _ in range(2))

    assert [row["Intern_ID"] for row in spoilt] == ids or sorted(ids) == sorted(r["Intern_ID"] for r in spoilt)
    assert [row["Intern_ID"] for row in spoilt] != [80, 81, 82, 83, 84]
    assert [row["Intern_ID"] for row in healthy] == [80, 81, 82, 83, 84]


@pytest.mark.parametrize(
    ("fault", "last"),
    [
        ({"kind": "column_renamed", "column": "Naam", "to": "Naam_1"}, ("Naam_1", "Persoon 80")),
        ({"kind": "column_missing", "column": "Naam"}, ("Naam", None)),
        ({"kind": "replaced", "column": "Naam"}, ("Naam", "(vervangen)")),
    ],
)
def test_a_column_can_be_renamed_removed_or_replaced(
    afas: Afas, fault: dict[str, Any], last: tuple[str, str | None]
) -> None:
    afas.control.fault(**fault)

    row = afas.rows(take=1)[0]

    assert row.get(last[0]) == last[1]
    assert ("Naam" in row) == (fault["kind"] == "replaced")


def test_a_page_can_contradict_itself(afas: Afas) -> None:
    afas.control.fault("contradicting", column="Naam", to="Iemand anders")

    rows = afas.rows(take=1)

    assert [(row["Intern_ID"], row["Naam"]) for row in rows] == [(80, "Persoon 80"), (80, "Iemand anders")]


def test_a_page_can_be_cut_at_a_hundred_whatever_was_asked(afas: Afas) -> None:
    afas.tenant.enroll_many([{"event_id": 342, "internal_id": n} for n in range(200)])
    afas.control.fault("hundred")

    assert len(afas.rows(take=1000)) == 100


def test_rows_deleted_between_pages_shift_what_follows(afas: Afas) -> None:
    afas.control.fault("deleted_between", count=1, times=1)

    seen = [row["Intern_ID"] for skip in (0, 2, 4) for row in afas.rows(skip=skip, take=2)]

    assert (82 in seen, 80 in seen, (340, 80) in afas.tenant.rows) == (False, True, False)


def test_metainfo_can_claim_another_environment(afas: Afas) -> None:
    afas.control.fault("other_envid", to="T12345AA")

    assert afas.call("GET", "/metainfo").json()["info"]["envid"] == "T12345AA"


def test_the_log_keeps_order_and_content_but_no_secrets(afas: Afas, pluvo: Pluvo) -> None:
    afas.put("340", "80", GOOD)
    pluvo.data("query People($q: String) { paginatedUsers(q: $q) { count } }", q="jan")

    put = afas.control.log("12345")[-1]
    token, query = pluvo.control.log("acme")[-2:]

    assert (put["operation"], put["status"], put["auth_scheme"]) == ("put", 201, "AfasToken")
    assert put["body"]["KnCourseMember"]["Element"]["Fields"] == GOOD
    assert put["headers"]["content-type"] == "application/json;charset=utf-8"
    assert (token["operation"], token["body"]) == ("token", None)
    assert (query["operation"], query["fields"], query["variables"]) == ("People", ["paginatedUsers"], {"q": "jan"})
    assert query["n"] > token["n"]
    assert "s3cret" not in str(pluvo.control.log())


def test_a_fault_on_a_graphql_field_strikes_under_any_operation_name(pluvo: Pluvo) -> None:
    pluvo.control.fault("lost_answer", match={"operation": "createUser"}, times=1)

    with pytest.raises(requests.ConnectionError):
        pluvo.post('mutation Any { x: createUser(user: {email: "a@example.nl", name: "A"}) { created } }')

    assert len(pluvo.tenant.users) == 1


def test_people_can_be_changed_from_outside(afas: Afas) -> None:
    do = afas.control.do
    assert do("12345", "rename", internal_id=80, name="Nieuwe Naam") == 2
    assert do("12345", "set_email", internal_id=81, email="nieuw@example.org") == 1
    do("12345", "remove", event_id=340, internal_id=82)
    do("12345", "enroll", event_id=340, internal_id=90, name="Nieuw")
    do("12345", "change", event_id=340, internal_id=84, blocked=True)

    rows = {(row["event_id"], row["internal_id"]): row for row in afas.control.state("12345")["rows"]}

    assert (rows[340, 80]["name"], rows[341, 80]["name"]) == ("Nieuwe Naam", "Nieuwe Naam")
    assert rows[340, 80]["modified"] == "2026-11-20T09:49:49"  # a change of the person leaves this stamp alone
    assert rows[340, 81]["email_primary"] == "nieuw@example.org"
    assert ((340, 82) in rows, (340, 90) in rows, rows[340, 84]["blocked"]) == (False, True, True)


def test_a_wrong_operation_is_explained(afas: Afas) -> None:
    with pytest.raises(requests.HTTPError, match="unknown op: explode"):
        afas.control.do("12345", "explode")


def test_tenants_can_be_added_and_replaced(afas: Afas) -> None:
    state = afas.control.state("12345")
    afas.control.add({"54321": {**state, "member_id": "54321", "envid": "T54321BB"}})
    assert sorted(afas.control.state()) == ["12345", "54321"]

    afas.control.replace({"12345": state})

    assert afas.control.state() == {"12345": state}
    assert len(afas.rows()) == 6


@pytest.mark.parametrize("system", ["afas", "pluvo"])
def test_a_simulator_runs_as_a_process_and_stops_on_sigterm(system: str) -> None:
    command = [sys.executable, "-m", "simulators", system]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready, _, url = process.stdout.readline().strip().partition(" ")

    try:
        tenants = requests.get(f"{url}/_control/state", timeout=10).json()["tenants"]
    finally:
        os.kill(process.pid, signal.SIGTERM)

    assert (ready, len(tenants)) == ("ready", 3)
    assert process.wait(10) == 0


def test_a_call_is_logged_when_it_arrives_and_not_when_it_is_understood(
    afas: Afas, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognise = afas.simulator.recognise
    begun: list[datetime] = []

    def slowly(request: Request) -> None:
        begun.append(datetime.now(UTC))
        time.sleep(0.05)
        recognise(request)

    monkeypatch.setattr(afas.simulator, "recognise", slowly)
    afas.call("GET", PAGE)

    (entry,) = afas.simulator.log.entries
    assert datetime.fromisoformat(entry.at) <= begun[0]
