"""Tokens, OAuth, mailed codes and metainfo of the simulated AFAS."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from simulators.afas.tenant import Connector, FreeField, OAuthClient, Otp
from tests.unit.simulators.calls import PAGE, TOKEN, Afas, afas_headers

KEYS = {"apiKey": "A" * 32, "apiToken": "B" * 32, "userId": "12345.koppeling"}


def ask_token(afas: Afas, **form: str) -> requests.Response:
    """Ask for an OAuth token."""
    wanted = {"grant_type": "client_credentials", "client_id": "us", "client_secret": "one", **form}
    return afas.call("POST", "/oauth/token", data=wanted, headers={})


@pytest.fixture
def oauth(afas: Afas) -> Afas:
    """Give an AFAS with an OAuth client that has two secrets."""
    afas.tenant.oauth_clients["us"] = OAuthClient(["one", "two"])
    return afas


def test_both_casings_of_the_base_path_are_the_same_place(afas: Afas) -> None:
    base = f"{afas.url}/t/12345"

    answers = [
        requests.get(f"{base}/{name}/metainfo", headers=afas_headers(), timeout=10)
        for name in ("ProfitRestServices", "profitrestservices")
    ]

    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["x-trace-identifier"]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (afas_headers()["Authorization"], 200),
        (afas_headers("F" * 64)["Authorization"], 401),
        ("AfasToken " + TOKEN, 500),
        ("AfasToken <token>", 500),
        ("Bearer nonsense", 401),
        ("", 401),
    ],
)
def test_a_bad_token_is_refused_in_its_own_way(afas: Afas, authorization: str, status: int) -> None:
    answer = afas.call("GET", "/metainfo", headers={"Authorization": authorization})

    assert answer.status_code == status


@pytest.mark.parametrize("secret", ["one", "two"])
def test_client_credentials_give_a_bearer_that_works_until_it_ends(oauth: Afas, secret: str) -> None:
    content = ask_token(oauth, client_secret=secret).json()
    headers = {"Authorization": f"Bearer {content['access_token']}"}
    assert (content["token_type"], content["expires_in"]) == ("Bearer", 3600)
    assert oauth.call("GET", "/metainfo", headers=headers).status_code == 200

    oauth.control.do("12345", "expire_tokens")

    answer = oauth.call("GET", "/metainfo", headers=headers)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_the_lifetime_can_come_as_text(oauth: Afas) -> None:
    oauth.tenant.change_switches(expires_in_text=True)

    content = ask_token(oauth).json()

    assert (content["expires_in"], content["refresh_token"]) == ("3600", None)


@pytest.mark.parametrize(
    ("kwargs", "status", "error"),
    [
        ({"json": {"grant_type": "client_credentials"}}, 400, "invalid_request"),
        ({"data": "grant_type=client_credentials&client_id=us&client_id=us&client_secret=one"}, 400, "invalid_request"),
        (
            {"data": {"grant_type": "password", "client_id": "us", "client_secret": "one"}},
            400,
            "unsupported_grant_type",
        ),
        (
            {"data": {"grant_type": "client_credentials", "client_id": "us", "client_secret": "?"}},
            400,
            "invalid_client",
        ),
        ({"data": {"grant_type": "client_credentials"}, "auth": ("us", "?")}, 401, "invalid_client"),
        (
            {"data": {"grant_type": "client_credentials", "client_id": "us"}, "auth": ("us", "one")},
            400,
            "invalid_request",
        ),
    ],
)
def test_oauth_errors_have_their_status_and_word(oauth: Afas, kwargs: dict[str, Any], status: int, error: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"} if isinstance(kwargs.get("data"), str) else {}

    answer = oauth.call("POST", "/oauth/token", headers=form, **kwargs)

    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_flow_that_is_not_allowed_is_unauthorized(oauth: Afas) -> None:
    oauth.tenant.oauth_clients["us"].flow_allowed = False

    assert ask_token(oauth).json()["error"] == "unauthorized_client"


def test_basic_credentials_work_too(oauth: Afas) -> None:
    shown = base64.b64encode(b"us:one").decode()
    answer = oauth.call(
        "POST", "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {shown}"}
    )

    assert answer.status_code == 200


def test_a_mailed_code_makes_a_working_token_once(afas: Afas) -> None:
    afas.tenant.otp = Otp("A" * 32, "B" * 32, ["12345.koppeling"])
    asked = afas.call("POST", "/otprequest", json=KEYS, headers={})
    code = afas.control.state("12345")["mails"][0]["code"]

    wrong = afas.call("POST", "/otpvalidation", json={**KEYS, "otp": "1"}, headers={})
    right = afas.call("POST", "/otpvalidation", json={**KEYS, "Otp": code}, headers={})
    again = afas.call("POST", "/otpvalidation", json={**KEYS, "otp": code}, headers={})

    assert (asked.status_code, asked.content) == (200, b"")
    assert (wrong.status_code, again.status_code) == (204, 204)
    xml = right.json()["token"]
    assert xml.endswith("</token>\r\n")
    token = base64.b64encode(xml.strip().encode()).decode()
    assert afas.call("GET", "/metainfo", headers={"Authorization": f"AfasToken {token}"}).status_code == 200


def test_wrong_keys_mail_nothing(afas: Afas) -> None:
    afas.tenant.otp = Otp("A" * 32, "C" * 32, ["12345.koppeling"])

    assert afas.call("POST", "/otprequest", json=KEYS, headers={}).status_code == 500
    assert afas.tenant.mails == []


def test_metainfo_shows_the_environment_and_only_what_is_allowed(afas: Afas) -> None:
    afas.tenant.connectors["Geheim"] = Connector(allowed=False)

    content = afas.call("GET", "/MetaInfo").json()

    assert content["info"] == {
        "envid": "O12345AA",
        "appName": "Koppeling Pluvo",
        "group": "Koppelingen",
        "tokenExpiry": "0",
    }
    assert [each["id"] for each in content["getConnectors"]] == ["Deelnemer_per_cursusevenement"]
    assert content["updateConnectors"] == [{"id": "KnCourseMember", "description": "Deelnemer evenement"}]


def test_metainfo_of_a_getconnector_lists_columns_with_types(afas: Afas) -> None:
    fields = afas.call("GET", "/metainfo/get/Deelnemer_per_cursusevenement").json()["fields"]

    types = {each["id"]: (each["fieldId"], each["dataType"]) for each in fields}
    assert types["Intern_ID"] == ("CdId", "int")
    assert types["Voltooid_op"] == ("UC3B61455480EEFAFE78EBC831C6E1B30", "date")


def test_metainfo_of_the_updateconnector_lists_keys_and_free_fields(afas: Afas) -> None:
    afas.tenant.free_fields["U" + "1" * 32] = FreeField("Opmerking", "string", 50)

    fields = afas.call("GET", "/metainfo/update/KnCourseMember").json()["fields"]

    assert [each["fieldId"] for each in fields if each["primaryKey"]] == ["CrId", "CdId"]
    free = {each["label"]: (each["dataType"], each["length"]) for each in fields if each["fieldId"].startswith("U")}
    assert free == {"Voltooid op": ("date", 10), "Opmerking": ("string", 50)}


@pytest.mark.parametrize("status", [500, 401])
@pytest.mark.parametrize(
    ("method", "path", "connector"),
    [
        ("GET", "/connectors/Onbekend", "GetConnector"),
        ("GET", "/metainfo/get/Onbekend", "GetConnector"),
        ("PUT", "/connectors/Onbekend", "UpdateConnector"),
        ("GET", "/metainfo/update/Onbekend", "UpdateConnector"),
    ],
)
def test_a_connector_outside_the_app_is_not_authorised(
    afas: Afas, method: str, path: str, connector: str, status: int
) -> None:
    afas.tenant.change_switches(denied_status=status)

    answer = afas.call(method, path, data="{}")

    assert answer.status_code == status
    assert connector in answer.json()["externalMessage"]
    assert "niet geautoriseerd" in answer.json()["externalMessage"]


def test_a_blocked_definition_says_so(afas: Afas) -> None:
    afas.tenant.change_connector("Deelnemer_per_cursusevenement", blocked=True)

    answer = afas.call("GET", PAGE)

    assert answer.status_code == 500
    assert answer.json()["externalMessage"] == "Deze GetConnector (definitie) is geblokkeerd"


def test_an_ip_restriction_is_forbidden_before_anything_else(afas: Afas) -> None:
    afas.tenant.change_switches(ip_refused=True)

    assert afas.call("GET", "/metainfo").status_code == 403


def test_an_unknown_environment_is_not_found(afas: Afas) -> None:
    url = f"{afas.url}/t/99999/ProfitRestServices/metainfo"

    assert requests.get(url, headers=afas_headers(), timeout=10).status_code == 404
