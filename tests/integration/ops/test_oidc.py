"""Logging in through an issuer: a small one of our own, that can be told to cheat."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc.jwk import OctKey, RSAKey

import settings
from ops import logins, users
from ops.http import oidc
from ops.http.app import make_app
from settings import SettingsError
from simulators.core.server import running
from tests.fixtures.asking import PASSWORD, Visitor
from tests.fixtures.issuer import CLIENT, SECRET, Issuer
from tests.integration.ops.conftest import run_sql, scalar


@pytest.fixture
def issuer(acme: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    made = Issuer()
    with running(made.app()) as url:
        made.base = url
        for name, value in {
            "OIDC_ISSUER": url,
            "OIDC_CLIENT_ID": CLIENT,
            "OIDC_CLIENT_SECRET": SECRET,
            "ALLOW_INSECURE_URLS": "1",
        }.items():
            monkeypatch.setenv(f"KOPPELING_{name}", value)
        oidc._kept.clear()
        oidc._failed_at.clear()
        yield made


@pytest.fixture
def anna(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visitor]:
    """Somebody before the login page."""
    monkeypatch.setenv("KOPPELING_PUBLIC_URL", "http://127.0.0.1:1")
    settings.get.cache_clear()
    with running(make_app(login=True)) as base:
        monkeypatch.setenv("KOPPELING_PUBLIC_URL", base)
        settings.get.cache_clear()
        yield Visitor(base)


def to_issuer(visitor: Visitor, next_: str = "/account") -> str:
    """Where the browser is sent back to by the issuer, as a path of ours."""
    begun = visitor.get("/login/oidc", params={"next": next_})
    assert begun.status_code == 303
    back = requests.get(begun.headers["location"], timeout=30, allow_redirects=False)
    return back.headers["location"].removeprefix(visitor.base)


def log_in(visitor: Visitor) -> requests.Response:
    return visitor.get(to_issuer(visitor))


def test_a_login_through_the_issuer_leads_where_somebody_wanted_to_go(issuer: Issuer, anna: Visitor) -> None:
    assert "/login/oidc" in anna.get("/login").text
    entered = log_in(anna)
    assert (entered.status_code, entered.headers["location"]) == (303, "/account")
    assert "anna" in anna.get("/account").text
    assert scalar("SELECT jsonb_build_array(name, role, tenants, issuer, subject) FROM console_user") == [
        *("anna", "admin", None, issuer.base, "s-1")
    ]
    log_in(anna)
    assert scalar("SELECT count(*) FROM console_user") == 1
    assert scalar("SELECT count(*) FROM console_session") == 1  # the one before ended


def test_the_browser_is_sent_with_pkce_state_and_nonce(issuer: Issuer, anna: Visitor) -> None:
    begun = anna.get("/login/oidc")
    sent = {name: value[0] for name, value in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    kept = scalar("SELECT pending FROM console_session")
    assert (sent["state"], sent["nonce"]) == (kept["state"], kept["nonce"])
    assert len(sent["state"]) >= 40
    assert sent["code_challenge_method"] == "S256"
    assert sent["scope"] == "openid profile email"
    assert sent["redirect_uri"] == f"{anna.base}/login/oidc/callback"
    assert kept["verifier"] not in begun.headers["location"]


def test_a_role_comes_from_the_claim_at_each_login(issuer: Issuer, anna: Visitor) -> None:
    log_in(anna)
    issuer.claims["roles"] = ["viewer", "operator", "something else"]
    log_in(anna)
    assert scalar("SELECT role FROM console_user") == "operator"


@pytest.mark.parametrize("roles", [None, [], ["boss"], "boss", 7, {"admin": True}, [["admin"]]])
def test_whom_the_claim_gives_no_role_is_told_so_and_has_no_session(issuer: Issuer, anna: Visitor, roles: Any) -> None:
    log_in(anna)
    issuer.claims["roles"] = roles
    answer = log_in(anna)
    assert answer.status_code == 403
    assert "geeft hier een rol" in answer.text
    assert scalar("SELECT count(*) FROM console_session") == 0
    assert anna.get("/account").status_code == 303


def test_words_of_the_issuer_become_roles_and_a_claim_within_claims_is_found(
    issuer: Issuer, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_OIDC_ROLE_CLAIM", "realm_access.groups")
    monkeypatch.setenv("KOPPELING_OIDC_ROLES", "Support=operator, cn=Beheer,ou=x=admin".replace(",ou", ";ou"))
    monkeypatch.setenv("KOPPELING_OIDC_TENANTS_CLAIM", "tenants")
    settings.get.cache_clear()
    issuer.claims |= {"realm_access": {"groups": ["Support"]}, "tenants": ["acme", "later"]}
    log_in(anna)
    assert scalar("SELECT jsonb_build_array(role, tenants) FROM console_user") == ["operator", ["acme", "later"]]
    issuer.claims["tenants"] = "*"
    log_in(anna)
    assert scalar("SELECT tenants FROM console_user") is None
    del issuer.claims["tenants"]
    log_in(anna)
    assert scalar("SELECT tenants FROM console_user") == []


def test_what_the_id_token_lacks_is_asked_of_userinfo_of_the_same_person(issuer: Issuer, anna: Visitor) -> None:
    del issuer.claims["roles"]
    issuer.userinfo = {"roles": ["viewer"]}
    assert log_in(anna).status_code == 303
    assert scalar("SELECT role FROM console_user") == "viewer"
    issuer.userinfo = {"roles": ["admin"], "sub": "s-2"}
    assert log_in(anna).status_code == 422


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "for another client": {"aud": "another"},
    "for several, and for another": {"aud": [CLIENT, "another"], "azp": "another"},
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "over": {"exp": int(time.time()) - 3600},
    "without an end": {"exp": None},
    "without a subject": {"sub": None},
}


@pytest.mark.parametrize("name", WRONG)
def test_an_id_token_that_is_not_meant_for_this_login_opens_nothing(issuer: Issuer, anna: Visitor, name: str) -> None:
    issuer.wrong = WRONG[name]
    answer = log_in(anna)
    assert answer.status_code == 422
    assert scalar("SELECT count(*) FROM console_user") == 0
    assert scalar("SELECT count(*) FROM console_session") == 0


def test_an_id_token_signed_by_somebody_else_opens_nothing(issuer: Issuer, anna: Visitor) -> None:
    issuer.signing = RSAKey.generate_key(2048, {"kid": "k1"})
    assert log_in(anna).status_code == 422
    # With what both know, or with nothing, which the issuer says it does.
    issuer.algorithm, issuer.signing = "HS256", OctKey.import_key(SECRET)
    assert log_in(anna).status_code == 422
    assert scalar("SELECT count(*) FROM console_user") == 0


def test_a_new_key_of_the_issuer_is_fetched_when_it_is_needed(issuer: Issuer, anna: Visitor) -> None:
    log_in(anna)
    issuer.key = RSAKey.generate_key(2048, {"kid": "k2", "use": "sig"})
    assert log_in(anna).status_code in (303, 422)  # by its old name it is a forgery
    issuer.key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})
    oidc._kept.clear()
    assert log_in(anna).status_code == 303


def test_an_answer_counts_once_and_in_the_browser_that_asked(issuer: Issuer, anna: Visitor) -> None:
    back = to_issuer(anna)
    other = Visitor(anna.base)
    assert other.get(back).status_code == 422  # somebody else's link: they would be in as another
    assert anna.get(back).status_code == 303
    assert anna.get(back).status_code == 422


def test_another_state_or_another_issuer_is_refused(issuer: Issuer, anna: Visitor) -> None:
    back = to_issuer(anna)
    assert anna.get(back.replace("state=", "state=x")).status_code == 422
    back = to_issuer(anna)
    assert anna.get(back.replace("iss=http", "iss=x")).status_code == 422
    assert anna.get("/login/oidc/callback").status_code == 422
    assert scalar("SELECT count(*) FROM console_user") == 0


def test_who_does_not_go_on_at_the_issuer_is_told_so_and_nothing_of_what_it_sends_is_shown(
    issuer: Issuer, anna: Visitor
) -> None:
    issuer.error = "access_denied"
    assert log_in(anna).status_code == 422
    issuer.error = "<script>alert(1)</script>"
    answer = log_in(anna)
    assert answer.status_code == 422
    assert "alert(1)" not in answer.text


def test_a_login_after_ten_minutes_begins_again(issuer: Issuer, anna: Visitor) -> None:
    back = to_issuer(anna)
    run_sql("UPDATE console_session SET expires_at = now()")
    assert anna.get(back).status_code == 422


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"token_endpoint": 7},
    ],
)
def test_an_issuer_that_contradicts_itself_is_not_used(issuer: Issuer, anna: Visitor, metadata: dict[str, Any]) -> None:
    issuer.metadata = metadata
    answer = anna.get("/login/oidc")
    assert answer.status_code == 422
    assert scalar("SELECT count(*) FROM console_session") == 0


def test_a_silent_issuer_leaves_the_password_form(
    issuer: Issuer, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_OIDC_ISSUER", "http://127.0.0.1:9")
    settings.get.cache_clear()
    users.add("bob", "viewer", None, PASSWORD)
    answer = anna.get("/login/oidc")
    assert answer.status_code == 422
    assert 'name="password"' in answer.text
    assert anna.log_in("bob").status_code == 303


def test_a_silent_issuer_is_asked_once_for_all_who_wait(
    issuer: Issuer, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "TIMEOUT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(30) as threads:
        monkeypatch.setenv("KOPPELING_OIDC_ISSUER", f"http://127.0.0.1:{silent.getsockname()[1]}")
        settings.get.cache_clear()
        said = list(threads.map(lambda _: Visitor(anna.base).get("/login/oidc").status_code, range(30)))
        assert said == [422] * 30
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_who_is_disabled_while_the_issuer_answers_does_not_come_in(
    issuer: Issuer, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = users.told_by_issuer

    def overtaken(*given: Any) -> int | None:
        number = told(*given)
        run_sql("UPDATE console_user SET disabled_at = now()")
        return number

    monkeypatch.setattr(users, "told_by_issuer", overtaken)
    assert log_in(anna).status_code == 403
    assert scalar("SELECT count(*) FROM console_session") == 0


def test_a_disabled_user_does_not_come_in_through_the_issuer(issuer: Issuer, anna: Visitor) -> None:
    log_in(anna)
    run_sql("UPDATE console_user SET disabled_at = now()")
    assert log_in(anna).status_code == 403
    assert scalar("SELECT count(*) FROM console_session") == 1  # the one before, which opens nothing
    assert anna.get("/account").status_code == 303


def test_a_login_leads_to_no_other_host_through_the_issuer(issuer: Issuer, anna: Visitor) -> None:
    for to in ("https://evil.example", "//evil.example", "/\\evil.example"):
        entered = anna.get(to_issuer(anna, to))
        assert (entered.status_code, entered.headers["location"]) == (303, "/")


def test_the_issuer_is_asked_for_its_metadata_once(issuer: Issuer, anna: Visitor) -> None:
    for _ in range(3):
        log_in(anna)
    assert issuer.asked.count("/keys") == 1


def test_very_many_begun_logins_are_refused_and_those_with_a_password_go_on(
    issuer: Issuer, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "MANY_WAIT", 2)
    users.add("bob", "viewer", None, PASSWORD)
    assert [Visitor(anna.base).get("/login/oidc").status_code for _ in range(3)] == [303, 303, 422]
    assert anna.log_in("bob").status_code == 303


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("OIDC_CLIENT_SECRET", "also needs KOPPELING_OIDC_CLIENT_SECRET"),
        ("OIDC_ISSUER", "also needs KOPPELING_OIDC_ISSUER"),
        ("PUBLIC_URL", "also needs KOPPELING_PUBLIC_URL"),
    ],
)
def test_a_half_given_issuer_is_said_to_lack_something(
    anna: Visitor, monkeypatch: pytest.MonkeyPatch, lacking: str, said: str
) -> None:
    settings.get()  # what the server works with
    monkeypatch.delenv(f"KOPPELING_{lacking}")
    with pytest.raises(SettingsError, match=said):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OIDC_ISSUER", "login.example.nl"),
        ("OIDC_ISSUER", "https://user@login.example.nl"),
        ("OIDC_SCOPES", "profile"),
        ("OIDC_ROLES", "Support"),
        ("OIDC_ROLES", "Support=boss"),
    ],
)
def test_settings_of_an_issuer_that_can_not_be_are_refused(
    anna: Visitor, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    settings.get()  # what the server works with
    monkeypatch.setenv(f"KOPPELING_{name}", value)
    with pytest.raises(SettingsError, match=f"KOPPELING_{name}"):
        settings.load()


def test_an_issuer_without_tls_is_refused(anna: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.get()  # what the server works with
    monkeypatch.delenv("KOPPELING_ALLOW_INSECURE_URLS")
    with pytest.raises(SettingsError, match="must be https"):
        settings.load()
