"""The way in by HTTP: cookies, tokens, what a foreign page may not do, and where a login leads."""

from __future__ import annotations

import base64
import logging
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import requests

import settings
from ops import logins, tokens, users
from ops.http import access
from ops.http.access import Asked
from ops.http.app import check_bind, make_app
from ops.http.console.pages import login
from ops.listing import MAX_LIMIT
from ops.problems import Problem
from simulators.core.server import running
from tests.fixtures.asking import PASSWORD, Visitor
from tests.integration.ops.conftest import run_sql, scalar

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"


@pytest.fixture
def base(acme: int) -> Iterator[str]:
    """The console where a login is asked for; ``anna`` is an admin, ``vera`` a viewer of acme."""
    users.add("anna", "admin", None, PASSWORD)
    users.add("vera", "viewer", ["acme"], PASSWORD)
    with running(make_app(login=True)) as url:
        yield url


@pytest.fixture
def local(acme: int) -> Iterator[str]:
    """The console as ``up`` binds it."""
    with running(make_app()) as url:
        yield url


@pytest.fixture
def anna(base: str) -> Visitor:
    """In."""
    visitor = Visitor(base)
    assert visitor.log_in("anna").status_code == 303
    return visitor


def test_who_looks_is_led_to_the_login_and_back(base: str) -> None:
    visitor = Visitor(base)
    led = visitor.get("/settings/tokens?all=1")
    assert (led.status_code, led.headers["location"]) == (303, "/login?next=/settings/tokens%3Fall%3D1")
    asked = visitor.get(led.headers["location"])
    assert asked.status_code == 200
    assert 'value="/settings/tokens?all=1"' in asked.text
    form = {"name": "anna", "password": PASSWORD, "to": "/settings/tokens?all=1"}
    entered = visitor.post("/login", data=form)
    assert (entered.status_code, entered.headers["location"]) == (303, "/settings/tokens?all=1")
    assert visitor.get("/settings/tokens?all=1").status_code == 200


def test_programs_get_a_status_instead_of_a_page(base: str) -> None:
    for path in ("/", "/api/anything", "/settings/users"):
        answer = requests.get(base + path, timeout=30, allow_redirects=False)
        assert (answer.status_code, "Bearer" in answer.headers["www-authenticate"]) == (401, True), path
    answer = requests.get(base, headers={"Sec-Fetch-Mode": "cors"}, timeout=30)
    assert "Basic" not in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
        "/\t/evil.example", "/\n/evil.example", "evil.example", "", "/%0d%0aSet-Cookie: x=1\r\nX: y",
        "http:/evil.example",
    ],
)  # fmt: skip
def test_a_login_leads_to_no_other_host(base: str, to: str) -> None:
    visitor = Visitor(base)
    shown = visitor.get("/login", params={"next": to})
    assert '<form method="post" action="/login">\n<input type="hidden" name="to" value="/">' in shown.text
    entered = visitor.post("/login", data={"name": "anna", "password": PASSWORD, "to": to})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    again = visitor.get("/login", params={"next": to})
    assert (again.status_code, again.headers["location"]) == (303, "/")


def test_a_wrong_password_shows_the_form_again_with_the_name_and_without_the_password(base: str) -> None:
    visitor = Visitor(base)
    answer = visitor.post("/login", data={"name": '"><script>alert(1)</script>', "password": "geheim-verkeerd-1"})
    assert answer.status_code == 422
    assert "&#34;&gt;&lt;script&gt;" in answer.text
    assert "<script>alert" not in answer.text
    assert "geheim-verkeerd-1" not in answer.text
    assert not visitor.cookies


def test_the_cookie_is_for_this_host_alone_and_for_no_script(base: str) -> None:
    visitor = Visitor(base)
    said = visitor.log_in("anna").headers["set-cookie"]
    assert said.startswith("koppeling=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(said.split("; "))
    assert "Secure" not in said  # plain http
    assert "domain" not in said.lower()


def test_behind_tls_the_cookie_has_the_name_that_only_this_host_can_set(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_PUBLIC_URL", "https://koppeling.example.nl")
    settings.get.cache_clear()
    visitor = Visitor(base, Host="koppeling.example.nl", Origin="https://koppeling.example.nl")
    said = visitor.log_in("anna").headers["set-cookie"]
    assert said.startswith("__Host-koppeling=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(said.split("; "))
    cookie = said.partition(";")[0]
    assert visitor.get("/account", headers={"Cookie": cookie}).status_code == 200
    # The name without the prefix, which a neighbour could set, counts for nothing there.
    plain = cookie.replace("__Host-", "")
    assert visitor.get("/account", headers={"Cookie": plain}).status_code == 303
    # Somebody who sends the proxy's name without its protocol is not ours.
    assert (
        Visitor(base, Host="koppeling.example.nl", Origin="http://koppeling.example.nl").log_in("anna").status_code
        == 403
    )


def test_a_login_gives_a_new_cookie_and_ends_the_session_before(base: str) -> None:
    visitor = Visitor(base)
    visitor.cookies.set("koppeling", "chosen-by-somebody-else-and-long-enough", domain="127.0.0.1", path="/")
    visitor.log_in("anna")
    first = visitor.cookies.get_dict()["koppeling"]
    assert first != "chosen-by-somebody-else-and-long-enough"
    visitor.log_in("vera")
    assert visitor.cookies.get_dict()["koppeling"] != first
    assert requests.get(f"{base}/account", cookies={"koppeling": first}, timeout=30).status_code == 401
    assert scalar("SELECT count(*) FROM console_session") == 1


def test_signing_out_ends_the_session_and_takes_the_cookie(anna: Visitor) -> None:
    kept = anna.cookies.get_dict()["koppeling"]
    answer = anna.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "koppeling" not in anna.cookies.get_dict()
    assert requests.get(f"{anna.base}/account", cookies={"koppeling": kept}, timeout=30).status_code == 401


def test_signing_out_everywhere_ends_the_others_too(anna: Visitor) -> None:
    other = Visitor(anna.base)
    other.log_in("anna")
    assert other.get("/account").status_code == 200
    assert anna.post("/account/sign-out").status_code == 303
    assert other.get("/account").status_code == 303


FOREIGN: dict[str, dict[str, str]] = {
    "a page elsewhere": {"Sec-Fetch-Site": "cross-site"},
    "a page of a sister host": {"Sec-Fetch-Site": "same-site"},
    "an address that somebody typed": {"Sec-Fetch-Site": "none"},
    "a page elsewhere, in an older browser": {"Origin": "https://evil.example"},
    "a page without an origin": {"Origin": "null"},
    "the same host by another protocol": {"Origin": "https://{host}"},
    "the same host at another port": {"Origin": "http://127.0.0.1:1"},
    "nothing that says from where": {"Origin": ""},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_changes_something_must_come_from_a_page_of_ours(anna: Visitor, name: str) -> None:
    headers = {key: value.format(host=anna.base[7:]) for key, value in FOREIGN[name].items()}
    form = {"name": "eve", "role": "admin", "scope": "all", "first": PASSWORD}
    assert anna.post("/settings/users", data=form, headers=headers).status_code == 403
    assert anna.post("/logout", headers=headers).status_code == 403
    assert Visitor(anna.base).post("/login", data={"name": "anna"}, headers=headers).status_code == 403
    assert scalar("SELECT count(*) FROM console_user") == 2
    assert anna.get("/account").status_code == 200


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {}], ids=["told by the browser", "by origin"])
def test_a_form_of_ours_does_it(anna: Visitor, headers: dict[str, str]) -> None:
    form = {"name": "eve", "role": "viewer", "scope": "all", "first": PASSWORD}
    assert anna.post("/settings/users", data=form, headers=headers).status_code == 303


def test_a_token_needs_no_page_and_a_wrong_one_opens_nothing_though_a_cookie_would(anna: Visitor) -> None:
    made = tokens.create("reports", "admin", None, None)
    form = {"name": "eve", "role": "viewer", "scope": "all", "first": PASSWORD}
    bearer = {"Authorization": f"Bearer {made['token']}"}
    answer = requests.post(f"{anna.base}/settings/users", data=form, headers=bearer, timeout=30, allow_redirects=False)
    assert answer.status_code == 303
    assert scalar("SELECT created_by FROM console_user WHERE name = 'eve'") == "token:reports"
    for wrong in ("Bearer kop_wrong", "Bearer ", "Bearer " + made["token"][:-1]):
        assert anna.get("/api/x", headers={"Authorization": wrong, "Accept": "*/*"}).status_code == 401
    tokens.revoke(made["id"])
    assert requests.get(f"{anna.base}/account", headers=bearer, timeout=30).status_code == 401


def test_a_token_that_a_browser_keeps_by_itself_needs_a_page_of_ours(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_LOGIN_TOKEN", "token-of-the-test")
    settings.get.cache_clear()
    basic = {"Authorization": "Basic " + base64.b64encode(b"x:token-of-the-test").decode()}
    assert requests.get(f"{base}/account", headers=basic, timeout=30).status_code == 200
    answer = requests.post(f"{base}/settings/users", headers=basic | {"Sec-Fetch-Site": "cross-site"}, timeout=30)
    assert answer.status_code == 403


def test_the_login_token_is_a_way_in_while_there_is_nobody(local: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_LOGIN_TOKEN", "token-of-the-test")
    settings.get.cache_clear()
    with running(make_app(login=True)) as base:
        visitor = Visitor(base)
        assert visitor.log_in("", "token-of-the-test").status_code == 303
        form = {"name": "anna", "role": "admin", "scope": "all", "first": PASSWORD}
        assert visitor.post("/settings/users", data=form).status_code == 303
        assert Visitor(base).log_in("anna").status_code == 303


def test_while_nobody_can_log_in_the_page_says_how_to_make_the_first_user(acme: int) -> None:
    with running(make_app(login=True)) as base:
        assert "koppeling users add" in Visitor(base).get("/login").text


def test_what_an_admin_changes_counts_at_the_next_click(anna: Visitor) -> None:
    vera = Visitor(anna.base)
    vera.log_in("vera")
    assert vera.get("/settings/users").status_code == 403
    number = scalar("SELECT id FROM console_user WHERE name = 'vera'")

    def change(**data: str) -> None:
        seen = str(users.show("vera")["version"])
        assert anna.post(f"/settings/users/{number}", data={"seen": seen, **data}).status_code == 303

    change(role="admin", scope="all")
    assert vera.get("/settings/users").status_code == 200
    change(role="viewer", scope="some", slugs="acme")
    assert vera.get("/settings/users").status_code == 403
    anna.post(f"/settings/users/{number}/disable")
    assert vera.get("/").status_code == 303


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "[",
        "[::1",
        "127.0.0.1:[",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
    ],
)
def test_without_a_login_a_name_that_was_made_to_lead_here_is_refused(local: str, host: str) -> None:
    answer = Visitor(local, Host=host).get("/")
    assert answer.status_code in (400, 403)
    assert "acme" not in answer.text
    assert Visitor(local, Host=host or "x").post("/webhooks/pluvo/acme", data=b"{}").status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto"])
def test_without_a_login_a_proxy_lets_nobody_in(local: str, header: str) -> None:
    assert Visitor(local).get("/").status_code == 200
    assert Visitor(local, **{header: "192.0.2.1"}).get("/").status_code == 403
    assert requests.get(f"{local}/healthz", headers={header: "192.0.2.1"}, timeout=30).status_code == 200


def test_without_a_login_a_proxy_that_says_nothing_of_itself_lets_nobody_in(local: str) -> None:
    host, _, port = local.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as nginx:
        nginx.sendall(f"GET / HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        assert b" 403 " in nginx.recv(100)
    page = {"Sec-Fetch-Site": "same-origin", "Referer": "https://koppeling.example.nl/"}
    assert requests.get(local, headers=page, timeout=30).status_code == 403
    page |= {"Referer": f"{local}/"}
    assert requests.get(local, headers=page, timeout=30).status_code == 200
    form = {"name": "eve", "role": "admin", "scope": "all", "first": PASSWORD}
    seen = Visitor(local, Origin="https://koppeling.example.nl", **{"Sec-Fetch-Site": "same-origin"})
    assert seen.post("/settings/users", data=form).status_code == 403
    assert scalar("SELECT count(*) FROM console_user") == 0


def test_where_others_are_sent_here_this_machine_logs_in_too(acme: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_PUBLIC_URL", "https://koppeling.example.nl")
    settings.get.cache_clear()
    with running(make_app()) as base:
        assert Visitor(base).get("/").status_code == 303


def test_without_a_login_a_foreign_page_changes_nothing(local: str) -> None:
    form = {"name": "eve", "role": "admin", "scope": "all", "first": PASSWORD}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": ""}):
        assert Visitor(local).post("/settings/users", data=form, headers=headers).status_code == 403
    assert scalar("SELECT count(*) FROM console_user") == 0


def test_who_comes_from_an_address_that_is_none_sees_the_page_all_the_same(anna: Visitor) -> None:
    assert anna.get("/no-such-page", headers={"Referer": "http://["}).status_code == 404


def test_every_answer_says_what_a_browser_may_do_with_it(base: str) -> None:
    visitor = Visitor(base)
    answers = [
        visitor.get("/"),
        visitor.get("/login"),
        visitor.post("/login", data={}),
        visitor.post("/login", data={}, headers={"Origin": "https://evil.example"}),
        requests.get(base, timeout=30),
    ]
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith(POLICY), answer.status_code
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


def test_strangers_send_little(base: str, anna: Visitor) -> None:
    much = {"name": "x" * (access.STRANGERS_BYTES + 1)}
    answer = Visitor(base, **{"Accept-Language": "nl"}).post("/login", data=much)
    assert (answer.status_code, answer.text.partition(" ")[0]) == (413, "De")
    assert anna.post("/settings/users", data={"name": "y", "slugs": "x" * 2000}).status_code == 422


def test_an_address_too_long_to_come_back_to_leads_to_the_login_all_the_same(base: str) -> None:
    led = Visitor(base).get("/runs?tenant=" + "x" * access.LONGEST_NEXT)
    assert (led.status_code, led.headers["location"]) == (303, "/login")


NEW = {"first": "een andere korte zin", "second": "een andere korte zin"}
GUESSES: dict[str, Callable[[Visitor], requests.Response]] = {
    "a login": lambda vera: vera.log_in("vera", "a wrong guess at it"),
    "one's own password": lambda vera: vera.post("/account/password", data=NEW | {"before": "a wrong guess at it"}),
}


@pytest.mark.parametrize("guess", GUESSES)
def test_very_many_guesses_at_once_leave_the_pages_to_others(anna: Visitor, guess: str) -> None:
    many = 48  # a server has 40 threads for its pages
    sent_away = many - login.AT_ONCE - login.WAITING
    vera = Visitor(anna.base)
    vera.log_in("vera")
    cookie = f"koppeling={vera.cookies['koppeling']}"
    with ThreadPoolExecutor(many) as threads, ExitStack() as busy:
        for _ in range(2):
            users._at_once.acquire()
            busy.callback(users._at_once.release)
        asked = [threads.submit(GUESSES[guess], Visitor(anna.base, Cookie=cookie)) for _ in range(many)]
        until = time.monotonic() + 60
        while sum(one.done() for one in asked) < sent_away and time.monotonic() < until:
            time.sleep(0.02)
        assert anna.get("/account").status_code == 200
        told = [one.result() for one in asked if one.done()]
        assert len(told) == sent_away
        assert all("heel veel mensen" in one.text for one in told)
    assert {one.result().status_code for one in asked} == {422}


def test_guesses_at_ones_present_password_count_like_those_of_a_login(
    anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "OF_NAME", 2)
    for _ in range(2):
        refused = anna.post("/account/password", data=NEW | {"before": "a wrong guess at it"})
        assert "niet het huidige wachtwoord" in refused.text
    often = anna.post("/account/password", data=NEW | {"before": PASSWORD})
    assert (often.status_code, "te vaak" in often.text) == (422, True)
    run_sql("UPDATE login_attempt SET at = at - interval '16 minutes'")
    # What is wrong with the new one is no guess.
    for _ in range(2):
        anna.post("/account/password", data={"before": PASSWORD, "first": "x", "second": "x"})
    assert anna.post("/account/password", data=NEW | {"before": PASSWORD}).status_code == 303


def test_what_broke_is_in_no_log_and_its_answer_says_what_a_browser_may_do(
    anna: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("Piet Jansen")

    monkeypatch.setattr(users, "listing", broken)
    server = logging.getLogger("uvicorn.error")
    server.addHandler(caplog.handler)
    try:
        answer = anna.get("/settings/users")
    finally:
        server.removeHandler(caplog.handler)
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"].startswith(POLICY)
    assert answer.headers["cache-control"] == "no-store"
    assert "Jansen" not in answer.text + caplog.text


def test_while_the_database_is_away_each_is_told_so_in_its_own_way(
    anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_DATABASE_URL", "postgresql://koppeling@127.0.0.1:9/koppeling")
    settings.get.cache_clear()
    page, document, metrics = (anna.get(path) for path in ("/account", "/api/tenants", "/metrics"))
    assert [one.status_code for one in (page, document, metrics)] == [503] * 3
    assert [one.headers["retry-after"] for one in (page, document, metrics)] == ["5"] * 3
    assert '<html lang="nl"' in page.text
    assert document.json()["error"]["code"] == "database_away"
    assert metrics.text == "The database can't be reached.\n"


def test_the_record_as_a_file_is_all_of_the_list(anna: Visitor) -> None:
    run_sql(
        "INSERT INTO operator_action (who, verb, subject) SELECT 'eve', 'alerts test', n::text"
        " FROM generate_series(1, :many) n",
        many=MAX_LIMIT + 1,
    )
    kept = anna.get("/audit.csv?who=eve")
    assert kept.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    assert len(kept.text.splitlines()) == MAX_LIMIT + 2
    assert anna.get("/audit.csv?since=yesterday").status_code == 422


def test_a_file_of_a_list_holds_nothing_of_tenants_that_one_does_not_see(base: str) -> None:
    # given a completion of acme, and somebody who sees another tenant alone
    run_sql(
        "INSERT INTO tenant SELECT (jsonb_populate_record(t, jsonb_build_object('id', 99, 'slug', 'beta'))).*"
        " FROM tenant t"
    )
    users.add("bob", "viewer", ["beta"], PASSWORD)
    run_sql(
        "INSERT INTO completion (tenant_id, course_id, subject, internal_id, pluvo_id, field, level, title, state)"
        " SELECT tenant_id, id, 'person:1', '1', 'a', 'U1', 'training', 'BHV', 'orphan' FROM course"
    )
    told = {}
    for name in ("anna", "vera", "bob"):
        visitor = Visitor(base)
        visitor.log_in(name)
        told[name] = len(visitor.get("/completions.csv").text.splitlines())
    assert told == {"anna": 2, "vera": 2, "bob": 1}


def test_an_address_that_others_reach_needs_a_way_in(acme: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check_bind("127.0.0.1")
    with pytest.raises(Problem, match="users add"):
        check_bind("0.0.0.0")
    made = tokens.create("reports", "viewer", None, None)
    check_bind("0.0.0.0")
    tokens.revoke(made["id"])
    users.add("bob", "admin", None, None)  # who can't log in
    with pytest.raises(Problem):
        check_bind("0.0.0.0")
    users.add("anna", "admin", None, PASSWORD)
    check_bind("0.0.0.0")
    run_sql("UPDATE console_user SET disabled_at = now()")
    with pytest.raises(Problem):
        check_bind("0.0.0.0")
    monkeypatch.setenv("KOPPELING_LOGIN_TOKEN", "token-of-the-test")
    settings.get.cache_clear()
    check_bind("0.0.0.0")


@pytest.mark.parametrize(
    ("peer", "told", "public", "address"),
    [
        ("100.128.0.9", "10.0.0.1", True, "100.128.0.9"),
        ("10.0.0.2", "198.51.100.7, 192.0.2.1", True, "192.0.2.1"),
        ("10.0.0.2", "192.0.2.1", False, "10.0.0.2"),
        ("10.0.0.2", "", True, "10.0.0.2"),
    ],
)
def test_whose_address_it_is_behind_a_proxy(
    configured: settings.Settings, monkeypatch: pytest.MonkeyPatch, *, peer: str, told: str, public: bool, address: str
) -> None:
    if public:
        monkeypatch.setenv("KOPPELING_PUBLIC_URL", "https://koppeling.example.nl")
        settings.get.cache_clear()
    headers = {"x-forwarded-for": told} if told else {}
    assert Asked("GET", "/", "", headers, "http", peer).address == address


def test_a_proxy_that_adds_a_line_of_its_own_is_believed_and_not_the_line_above(
    configured: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_PUBLIC_URL", "https://koppeling.example.nl")
    settings.get.cache_clear()
    headers = [(b"x-forwarded-for", b"198.51.100.7"), (b"x-forwarded-for", b"192.0.2.1")]
    scope = {"method": "GET", "path": "/", "headers": headers, "client": ("10.0.0.2", 50123)}
    assert Asked.of(scope).address == "192.0.2.1"


def test_the_new_token_is_in_the_answer_once_and_in_no_list(anna: Visitor) -> None:
    form = {"name": "reports", "role": "viewer", "scope": "some", "slugs": "acme", "lasts": "30"}
    shown = anna.post("/settings/tokens", data=form)
    token = shown.text.partition('<code class="id">kop_')[2].partition("<")[0]
    assert shown.status_code == 200
    assert len(token) == 43
    assert token not in anna.get("/settings/tokens").text
    assert requests.get(f"{anna.base}/account", headers={"Authorization": f"Bearer kop_{token}"}, timeout=30).ok


def test_a_token_for_one_tenant_finds_nothing_of_another(base: str) -> None:
    made = tokens.create("reports", "admin", ["acme"], None)
    bearer = {"Authorization": f"Bearer {made['token']}", "Accept": "text/html"}
    run_sql("UPDATE tenant SET slug = 'beta'")
    answer = requests.get(base, headers=bearer, timeout=30)
    assert answer.status_code == 200
    assert "beta" not in answer.text
    assert requests.get(f"{base}/settings/users", headers=bearer, timeout=30).status_code == 403
