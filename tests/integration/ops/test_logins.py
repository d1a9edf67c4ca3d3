"""Attempts, their limits, and how long a session lives."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import settings
from models.role import Role
from ops import logins, tokens, users
from ops.access import Actor
from ops.logins import Browser
from ops.problems import Problem
from tests.fixtures.asking import PASSWORD
from tests.integration.ops.conftest import run_sql, scalar
from workers.maintenance import retention

HERE, THERE = Browser("192.0.2.1", "a browser"), Browser("192.0.2.2")
ELSEWHERE = [Browser(f"198.51.100.{number}") for number in range(1, 100)]


@pytest.fixture
def anna(acme: int) -> str:
    users.add("anna", "operator", ["acme"], PASSWORD)
    return "anna"


def refused(name: str, password: str, browser: Browser) -> str:
    with pytest.raises(Problem) as raised:
        logins.login(name, password, browser)
    return raised.value.code


def test_a_session_says_who_it_is_and_reads_what_they_may_each_time(anna: str) -> None:
    cookie = logins.login(" Anna ", PASSWORD, HERE)
    known = logins.known(cookie)
    assert known is not None
    assert known.actor == Actor("anna", Role.OPERATOR, frozenset({"acme"}))
    run_sql("UPDATE console_user SET role = 'viewer', tenants = NULL")
    now = logins.known(cookie)
    assert now is not None
    assert now.actor == Actor("anna", Role.VIEWER, None)


def test_only_the_hash_of_a_cookie_is_kept(anna: str) -> None:
    cookie = logins.login(anna, PASSWORD, HERE)
    assert cookie not in scalar("SELECT jsonb_agg(to_jsonb(s))::text FROM console_session s")
    assert logins.known(cookie[:-1] + ("A" if cookie[-1] != "A" else "B")) is None
    assert logins.known("") is None
    assert logins.known("x" * 5000) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE console_session SET expires_at = now()",
        "UPDATE console_session SET seen_at = now() - interval '12 hours 1 second'",
        "UPDATE console_user SET disabled_at = now()",
        "DELETE FROM console_user",
        "DELETE FROM console_session",
    ],
)
def test_a_session_that_is_over_opens_nothing(anna: str, change: str) -> None:
    cookie = logins.login(anna, PASSWORD, HERE)
    run_sql(change)
    assert logins.known(cookie) is None


def test_a_session_that_is_used_goes_on_but_not_for_ever(anna: str) -> None:
    cookie = logins.login(anna, PASSWORD, HERE)
    run_sql("UPDATE console_session SET seen_at = now() - interval '11 hours'")
    assert logins.known(cookie)
    assert scalar("SELECT seen_at > now() - interval '1 minute' FROM console_session")
    assert scalar("SELECT expires_at < now() + interval '7 days 1 minute' FROM console_session")


def test_a_wrong_name_and_a_wrong_password_are_told_alike_and_do_the_same_work(
    anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str | None, str]] = []
    fits = users.fits

    def watched(stored: str | None, password: str) -> bool:
        done.append((stored, password))
        return fits(stored, password)

    monkeypatch.setattr(users, "fits", watched)
    users.add("bob", "viewer", None, None)
    run_sql("UPDATE console_user SET disabled_at = now() WHERE name = 'bob'")
    for name in ("anna", "nobody", "bob", "\x00", "x" * 5000):
        assert refused(name, "a wrong guess at it", HERE) == "login_wrong"
    assert len(done) == 5
    # A hash that nobody's password fits stands in: of the same cost.
    real = scalar("SELECT password_hash FROM console_user WHERE name = 'anna'")
    assert users._nobodys().split("$")[:4] == real.split("$")[:4]


def test_what_was_typed_is_kept_nowhere(anna: str) -> None:
    refused("my hush-hush password 1", "another hush-hush 22", HERE)
    kept = scalar(
        "SELECT (SELECT jsonb_agg(to_jsonb(l))::text FROM login_attempt l)"
        " || (SELECT jsonb_agg(to_jsonb(o))::text FROM operator_action o)"
    )
    assert "hush" not in kept


def test_a_name_is_guessed_at_ten_times_whatever_the_address_and_then_not_tried(anna: str) -> None:
    for number in range(logins.OF_NAME):
        assert refused("ANNA" if number % 2 else "anna", "a wrong guess at it", ELSEWHERE[number]) == "login_wrong"
    assert refused("anna", PASSWORD, HERE) == "login_often"
    assert scalar("SELECT count(*) FROM login_attempt") == logins.OF_NAME
    assert refused("bob", "a wrong guess at it", HERE) == "login_wrong"
    run_sql("UPDATE login_attempt SET at = at - interval '16 minutes'")
    assert logins.login("anna", PASSWORD, HERE)


def test_what_others_guess_elsewhere_keeps_nobody_out_where_they_came_in_before(anna: str) -> None:
    logins.login(anna, PASSWORD, HERE)
    for number in range(logins.OF_NAME):
        assert refused(anna, "a wrong guess at it", ELSEWHERE[number]) == "login_wrong"
    assert refused(anna, PASSWORD, THERE) == "login_often"
    assert logins.login(anna, PASSWORD, HERE)
    for _ in range(logins.OF_NAME):
        assert refused(anna, "a wrong guess at it", HERE) == "login_wrong"
    assert refused(anna, PASSWORD, HERE) == "login_often"


def test_an_address_guesses_at_forty_names_and_the_others_go_on(anna: str) -> None:
    run_sql(
        "INSERT INTO login_attempt (name_hash, address, failed) SELECT n::text, '192.0.2.1', true"
        " FROM generate_series(1, :most) n",
        most=logins.OF_ADDRESS,
    )
    assert refused("anna", PASSWORD, HERE) == "login_often"
    assert logins.login("anna", PASSWORD, THERE)


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:50123", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("[", "["),
        ("unix:", "unix:"),
    ],
)
def test_what_counts_as_one_address(told: str, counted: str) -> None:
    assert logins.network_of(told) == counted


def test_who_has_many_addresses_of_one_network_has_no_more_guesses(anna: str) -> None:
    run_sql(
        "INSERT INTO login_attempt (name_hash, address, failed) SELECT n::text, '2001:db8::/64', true"
        " FROM generate_series(1, :most) n",
        most=logins.OF_ADDRESS,
    )
    assert refused("anna", PASSWORD, Browser("2001:db8::17")) == "login_often"
    assert logins.login("anna", PASSWORD, Browser("2001:db8:0:1::17"))


def test_attempts_at_the_same_moment_do_not_pass_for_one(anna: str) -> None:
    begin = threading.Barrier(30)

    def attempt(number: int) -> str:
        begin.wait()
        return refused("anna", "a wrong guess at it", ELSEWHERE[number])

    # The pool of a test has fewer connections; who waits for one is counted all the same.
    with ThreadPoolExecutor(30) as threads:
        said = list(threads.map(attempt, range(30)))
    assert said.count("login_wrong") == logins.OF_NAME
    assert said.count("login_often") == 30 - logins.OF_NAME


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE console_user SET password_hash = 'of another password'",
        "UPDATE console_user SET disabled_at = now()",
        "DELETE FROM console_user",
    ],
)
def test_what_an_admin_does_while_a_password_is_compared_counts(
    anna: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    fits = users.fits

    def overtaken(stored: str | None, password: str) -> bool:
        right = fits(stored, password)
        run_sql(change)
        return right

    monkeypatch.setattr(users, "fits", overtaken)
    assert refused(anna, PASSWORD, HERE) == "login_wrong"
    assert scalar("SELECT count(*) FROM console_session") == 0


def test_who_got_in_is_counted_as_no_failure(anna: str) -> None:
    for _ in range(logins.OF_NAME + 2):
        logins.login(anna, PASSWORD, HERE)
    assert scalar("SELECT count(*) FROM login_attempt WHERE failed") == 0


def test_logins_and_refusals_stand_in_the_record(anna: str) -> None:
    logins.login(anna, PASSWORD, HERE)
    refused(anna, "a wrong guess at it", HERE)
    refused("nobody", "a wrong guess at it", HERE)
    number = scalar("SELECT id FROM console_user")
    assert scalar("SELECT jsonb_agg(jsonb_build_array(who, verb, subject) ORDER BY id) FROM operator_action"
                  " WHERE verb LIKE 'account %'") == [
        ["anna", "account login", f"user:{number}"],
        ["anna", "account refused", f"user:{number}"],
        ["unknown", "account refused", None],
    ]  # fmt: skip


def test_the_login_token_lets_in_until_it_is_another(anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_LOGIN_TOKEN", "token-of-the-test")
    settings.get.cache_clear()
    cookie = logins.login("", "token-of-the-test", HERE)
    known = logins.known(cookie)
    assert known is not None
    assert (known.actor, known.user) == (Actor("token", Role.ADMIN), None)
    assert "token-of-the-test" not in scalar("SELECT to_jsonb(s)::text FROM console_session s")
    monkeypatch.setenv("KOPPELING_LOGIN_TOKEN", "another-token")
    settings.get.cache_clear()
    assert logins.known(cookie) is None
    monkeypatch.delenv("KOPPELING_LOGIN_TOKEN")
    settings.get.cache_clear()
    assert logins.known(cookie) is None


def test_signing_out_everywhere_ends_all_of_ones_own_sessions_and_nobody_elses(anna: str) -> None:
    users.add("bob", "viewer", None, PASSWORD)
    mine = [logins.login(anna, PASSWORD, HERE) for _ in range(2)]
    other = logins.login("bob", PASSWORD, HERE)
    known, theirs = logins.known(mine[0]), logins.known(other)
    assert known is not None
    assert known.user is not None
    assert theirs is not None
    assert logins.end(theirs.session, known.user) is False
    assert logins.sign_out_everywhere(known.user) == 2
    assert [logins.known(one) for one in mine] == [None, None]
    assert logins.known(other) is not None


def test_a_session_that_waits_for_an_issuer_opens_nothing_and_is_taken_once(acme: int) -> None:
    cookie = logins.begin({"state": "s"}, HERE)
    assert logins.known(cookie) is None
    assert logins.take_pending(cookie) == {"state": "s"}
    assert logins.take_pending(cookie) is None


def test_one_address_begins_so_many_logins_and_the_others_go_on(acme: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "OF_ADDRESS_WAIT", 2)
    for _ in range(2):
        logins.begin({"state": "s"}, HERE)
    with pytest.raises(Problem) as raised:
        logins.begin({"state": "s"}, HERE)
    assert raised.value.code == "login_often"
    assert logins.begin({"state": "s"}, THERE)


def test_what_lets_nobody_in_any_more_is_forgotten(anna: str) -> None:
    kept = logins.login(anna, PASSWORD, HERE)
    for change in ("expires_at = now() - interval '1 second'", "seen_at = now() - interval '13 hours'"):
        cookie = logins.login(anna, PASSWORD, THERE)
        run_sql(f"UPDATE console_session SET {change} WHERE cookie_hash = :h", h=tokens.hash_of(cookie))
    run_sql("UPDATE login_attempt SET at = now() - interval '8 days' WHERE id = (SELECT min(id) FROM login_attempt)")
    retention.apply()
    assert scalar("SELECT count(*) FROM console_session") == 1
    assert scalar("SELECT count(*) FROM login_attempt") == 2
    assert logins.known(kept) is not None
