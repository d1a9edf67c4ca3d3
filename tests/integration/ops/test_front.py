"""What a browser sees at the address of ``koppeling up``, and who is let in where others can reach it."""

from __future__ import annotations

import base64

import pytest
import requests

import settings
from ops.http.app import make_app
from simulators.core.server import running
from tests.integration.ops.conftest import run_sql

TOKEN = "token-of-the-test"


def test_the_front_page_is_the_overview_and_says_what_to_do_where_there_is_nothing_yet(
    configured: settings.Settings,
) -> None:
    with running(make_app()) as base:
        answer = requests.get(base, headers={"Accept-Language": "en"}, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "There are no tenants yet" in answer.text
    assert "koppeling tenants add" in answer.text


@pytest.fixture
def open_to_others(configured: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_LOGIN_TOKEN", TOKEN)
    settings.get.cache_clear()


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (basic(TOKEN), 200),
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        (basic("wrong"), 401),
        ("Basic ???", 401),
        (TOKEN, 401),
    ],
)
def test_where_others_can_reach_it_the_token_is_asked_for(
    open_to_others: None, header: str | None, status: int
) -> None:
    with running(make_app("0.0.0.0")) as base:
        for path in ("/", "/api/anything", "/anything"):
            answer = requests.get(base + path, headers={"Authorization": header} if header else {}, timeout=30)
            expected = status if path == "/" or status == 401 else 404
            assert answer.status_code == expected, path


def test_health_and_webhooks_need_no_login(open_to_others: None) -> None:
    with running(make_app("0.0.0.0")) as base:
        assert requests.get(f"{base}/healthz", timeout=30).status_code == 200
        assert requests.get(f"{base}/readyz", timeout=30).status_code == 200
        assert requests.post(f"{base}/webhooks/pluvo/acme", data=b"{}", timeout=30).status_code == 404


def test_on_this_machine_alone_no_login_is_asked_for(open_to_others: None) -> None:
    with running(make_app("127.0.0.1")) as base:
        assert requests.get(base, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE alembic_version SET version_num = '20991231_1'", "another version"),
        ("DELETE FROM alembic_version", "not migrated"),
        ("DROP TABLE alembic_version", "not migrated"),
    ],
)
def test_readiness_tells_older_tables_from_those_of_another_version(
    configured: settings.Settings, change: str, said: str
) -> None:
    run_sql(change)
    with running(make_app()) as base:
        answer = requests.get(f"{base}/readyz", timeout=30)
    assert (answer.status_code, answer.json()["database"]) == (503, said)


def test_without_the_console_there_are_health_and_webhooks_only(configured: settings.Settings) -> None:
    with running(make_app(console=False)) as base:
        assert requests.get(f"{base}/readyz", timeout=30).status_code == 200
        for path in ("/", "/tenants", "/api/tenants", "/static/x/console.css"):
            assert requests.get(base + path, timeout=30).status_code == 404, path
