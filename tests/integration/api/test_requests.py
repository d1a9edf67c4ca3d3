"""Whatever is sent: a status that fits, an error with a code, and nothing broken."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ops import users
from tests.integration.api.conftest import Api


def error(answer: Any) -> tuple[int, str]:
    """Status and code."""
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()["error"]
    assert told["message"]
    assert isinstance(told["params"], dict)
    return answer.status_code, told["code"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nothing", "no_path"),
        ("/tenants/", "no_path"),
        ("/tenants/nope", "no_tenant"),
        ("/tenants/acme/people/80/more", "no_path"),
        ("/tenants/acme/links/999", "no_person"),
        ("/runs/01J", "no_run"),
        ("/holds/zzz", "no_hold"),
        ("/dead-letters/zzz", "no_dead_letter"),
    ],
)
def test_what_is_not_there_is_a_404_with_a_code(api: Api, path: str, code: str) -> None:
    assert error(api("GET", path)) == (404, code)


def test_another_method_is_told_which_ones_there_are(api: Api) -> None:
    answer = api("PATCH", "/tenants/acme")
    assert error(answer) == (405, "other_method")
    assert answer.headers["Allow"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1, 2",
        b"\xff\xfe",
        b'{"reason": "\xe9"}',
        b"{'reason': 1}",
        b"[" * 100_000,
        b"1" * 5000,
        b'{"reason": NaN',
    ],
    ids=["cut", "cut list", "no UTF-8", "latin-1", "python", "deep", "a number without end", "cut after NaN"],
)
def test_a_body_that_is_no_json_is_a_400(api: Api, body: bytes) -> None:
    answer = api("POST", "/tenants/acme/pause", data=body, headers={"Content-Type": "application/json"})
    assert error(answer)[0] in (400, 422)
    assert answer.status_code == 400 or answer.json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    "body",
    [
        [],
        1,
        "text",
        None,
        {},
        {"reason": ""},
        {"reason": " "},
        {"reason": 5},
        {"reason": None},
        {"reason": "x" * 1001},
        {"reason": "nul \0"},
        {"reason": "half \ud800"},
        {"reason": "ok", "more": 1},
        {"reason": "ok", "direction": "sideways"},
        {"reason": {"$gt": ""}},
    ],
    ids=str,
)
def test_a_body_of_another_form_is_a_422_that_names_what(api: Api, body: Any) -> None:
    status, code = error(api("POST", "/tenants/acme/pause", json=body))
    assert (status, code) in ((422, "invalid_request"), (422, "reason_empty"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"reason": ""}, {"body.reason": "moet minstens 1 teken hebben"}),
        ({"reason": 5, "more": 1}, {"body.reason": "moet tekst zijn", "body.more": "is hier niet bekend"}),
        ({}, {"body.reason": "is nodig"}),
        ({"reason": "x" * 1001}, {"body.reason": "mag hooguit 1000 tekens hebben"}),
        ({"reason": "nul \0"}, {"body.reason": "bevat een teken (NUL) dat niet opgeslagen kan worden"}),
        ({"reason": "half \ud800"}, {"body.reason": "moet tekst zijn"}),
        ({"reason": "ok", "direction": "up"}, {"body.direction": "moet 'enrollments' of 'completions' zijn"}),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_value_is_told_in_the_language_that_is_liked(
    api: Api, body: Any, told: dict[str, str]
) -> None:
    dutch = api("POST", "/tenants/acme/pause", json=body, headers={"Accept-Language": "nl"})
    problem = dutch.json()["error"]
    assert {one["where"]: one["what"] for one in problem["params"]["fields"]} == told
    assert next(iter(told.values())) in problem["message"]
    english = api("POST", "/tenants/acme/pause", json=body, headers={"Accept-Language": "en"}).json()["error"]
    assert [one["where"] for one in english["params"]["fields"]] == list(told)
    assert {one["what"] for one in english["params"]["fields"]}.isdisjoint(told.values())


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_is_not_taken_for_a_document(api: Api, kind: str) -> None:
    answer = api("POST", "/tenants/acme/pause", data=b'{"reason": "x"}', headers={"Content-Type": kind})
    assert error(answer) == (415, "not_json_type")


def test_a_body_that_is_too_large_is_refused_whether_its_length_is_told_or_not(api: Api) -> None:
    body = b'{"reason": "' + b"x" * 1_100_000 + b'"}'
    kind = {"Content-Type": "application/json"}
    assert error(api("POST", "/tenants/acme/pause", data=body, headers=kind)) == (413, "too_large")
    parts = (body[at : at + 65536] for at in range(0, len(body), 65536))
    assert error(api("POST", "/tenants/acme/pause", data=parts, headers=kind)) == (413, "too_large")


@pytest.mark.parametrize("slug", ["..%2f..", "%00", "ACME", "a" * 41, "acme%0a", "-a", "%F0%9F%92%A9", "acme'--"])
def test_a_slug_of_another_form_is_refused_before_anything_is_asked(api: Api, slug: str) -> None:
    assert error(api("GET", f"/tenants/{slug}"))[0] in (404, 422)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "9" * 400},
        {"limit": "ten"},
        {"cursor": "'; DROP TABLE run"},
        {"cursor": "\0"},
        {"tenant": "a b"},
        {"status": "sideways"},
        {"direction": "up"},
    ],
    ids=str,
)
def test_a_filter_of_another_form_is_refused(api: Api, query: dict[str, str]) -> None:
    assert error(api("GET", "/runs", params=query)) == (422, "invalid_request")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "{{7*7}}", "\u202eتجربة", "'\"--;", "x" * 500, "🙂", "%s%n"]
)
def test_whoever_is_asked_for_is_text_and_nothing_else(api: Api, name: str) -> None:
    told = api.post("/tenants/acme/people/explain", who=name)
    assert (told["found"], told["who"]) == (False, name)


def test_an_unknown_account_is_a_422_and_a_silent_pluvo_no_500(api: Api, shared_world: Any) -> None:
    account = "00000000-0000-4000-8000-000000000000"
    refused = api("PUT", "/tenants/acme/links/80", json={"pluvo_id": account})
    assert error(refused) == (422, "no_pluvo_user")
    shared_world.fault("pluvo", "status", status=503)
    try:
        assert error(api("PUT", "/tenants/acme/links/80", json={"pluvo_id": account})) == (422, "pluvo_account_unasked")
    finally:
        shared_world.clear_faults()


def test_a_request_that_breaks_off_leaves_the_server_well(api: Api) -> None:
    port = int(api.url.rpartition(":")[2])
    for end in (b"", b"\r\n", b'{"reason'):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            head = b"POST /api/tenants/acme/pause HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: 100\r\n\r\n" + end)
    assert api.get("/status")["database"] == "ok"


def test_answers_are_kept_by_nobody(api: Api) -> None:
    assert "no-store" in api("GET", "/tenants").headers["Cache-Control"]


def test_without_a_login_or_a_page_of_ours_nothing_is_changed_and_the_answer_is_json(api: Api) -> None:
    foreign = api("POST", "/tenants/acme/resume", json={}, headers={"Origin": "https://evil.example"})
    assert error(foreign) == (403, "foreign_page")
    wrong = api("GET", "/tenants", headers={"Authorization": "Bearer kop_nobody"})
    assert error(wrong) == (401, "no_login")
    assert "Bearer" in wrong.headers["WWW-Authenticate"]


def test_a_token_opens_what_its_role_and_tenants_say_and_is_recorded_by_its_name(api: Api) -> None:
    made = api.post("/tokens", name="reports", role="operator", tenants=["acme"], days=1)
    shown = {"Authorization": f"Bearer {made['token']}", "Origin": "https://elsewhere.example"}
    assert error(api("POST", "/tokens", json={"name": "x", "role": "admin"}, headers=shown)) == (403, "role")
    paused = api("POST", "/tenants/acme/pause", json={"reason": "by a program"}, headers=shown)
    assert paused.status_code == 200
    api.post("/tenants/acme/resume")
    whose = [one["who"] for one in api.get("/audit", verb="tenants pause")["items"]]
    assert whose[0] == "token:reports"
    assert made["token"] not in api("GET", "/tokens").text
    api.post(f"/tokens/{made['id']}/revoke")
    assert error(api("GET", "/tenants", headers=shown)) == (401, "no_login")


def test_the_documents_that_describe_it_are_served_from_here(api: Api) -> None:
    described = api.get("/openapi.json")
    assert described["servers"] == [{"url": "/api"}]
    page = api("GET", "/docs")
    assert page.status_code == 200
    for one in described["paths"]:
        assert f"/api{one}" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "https://" not in page.text


def test_who_looks_at_a_person_is_recorded_whichever_way_they_look(api: Api) -> None:
    # given somebody at whom nobody has looked yet
    looked = "/audit?verb=people open&subject={}"
    assert api.get(looked.format(70))["items"] == []
    # when they are looked at beside the accounts that may be theirs
    api.get("/tenants/acme/links/70/candidates")
    # then
    assert [one["subject"] for one in api.get(looked.format(70))["items"]] == ["70"]


def test_of_two_who_change_a_user_the_second_is_told_who_was_first(api: Api) -> None:
    number = users.add("vera@example.nl", "viewer", None, None)["id"]
    seen = api.get(f"/users/{number}")["version"]
    assert users.edit("vera@example.nl", "operator", None, who="carol", seen=seen)["result"] == "changed"
    late = (
        api("PUT", f"/users/{number}", json={"role": "admin", "tenants": None, "seen": seen}),
        api("POST", f"/users/{number}/password", json={"password": "een korte zin is prima", "seen": seen}),
        api("DELETE", f"/users/{number}", params={"seen": seen}),
    )
    for answer in late:
        assert error(answer) == (409, "user_changed")
        assert answer.json()["error"]["params"]["who"] == "carol"
    assert api.get(f"/users/{number}")["role"] == "operator"
    # whoever does not say what was looked at decides as before
    assert api("PUT", f"/users/{number}", json={"role": "viewer", "tenants": None}).json()["result"] == "changed"
    assert api("DELETE", f"/users/{number}").json()["result"] == "removed"
