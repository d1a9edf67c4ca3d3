"""Users and tokens: added, changed, disabled, removed, at the terminal and by the verbs."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from models.role import Role
from models.session import transaction
from ops import logins, tokens, users
from ops.access import Actor, acting
from ops.cli import main
from ops.logins import Browser
from ops.problems import AlreadyDecided, Forbidden, NotThere, Problem
from ops.tenants import manage
from tests.fixtures.asking import PASSWORD
from tests.integration.ops.conftest import run_sql, scalar

HERE = Browser("192.0.2.1", "a browser")


@pytest.fixture
def anna(acme: int) -> str:
    """An admin of all tenants."""
    users.add("Anna@example.nl", "admin", None, PASSWORD)
    return "anna@example.nl"


def ran(monkeypatch: pytest.MonkeyPatch, *words: str, typed: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["koppeling", *words])
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def test_a_name_is_taken_whatever_its_capitals(anna: str) -> None:
    with pytest.raises(Problem, match="is a user already"):
        users.add("ANNA@example.nl", "viewer", None, PASSWORD)
    assert users.show(anna)["name"] == "Anna@example.nl"


@pytest.mark.parametrize("name", ["", " anna", "-anna", "an na", "<script>", "a" * 101, "anna\x00", "ännä"])
def test_a_name_that_could_be_mistaken_is_refused(acme: int, name: str) -> None:
    with pytest.raises(Problem, match="A name has letters"):
        users.add(name, "admin", None, PASSWORD)


@pytest.mark.parametrize(
    ("password", "said"), [("short", "12 to 1000"), ("x" * 1001, "12"), ("anna@example.nl", "name")]
)
def test_a_password_is_long_enough_and_not_the_name(acme: int, password: str, said: str) -> None:
    with pytest.raises(Problem, match=said):
        users.add("anna@example.nl", "admin", None, password)
    assert scalar("SELECT count(*) FROM console_user") == 0


def test_a_password_is_kept_as_a_hash_alone(anna: str) -> None:
    stored = scalar("SELECT to_jsonb(u)::text FROM console_user u")
    assert "argon2id" in stored
    assert PASSWORD not in stored
    assert "argon2" not in json.dumps(users.show(anna), default=str)
    assert PASSWORD not in scalar("SELECT jsonb_agg(to_jsonb(o))::text FROM operator_action o")


def test_an_accent_typed_as_two_signs_is_the_same_password(acme: int) -> None:
    users.add("bob", "viewer", None, "café aan de gracht")
    assert logins.login("bob", "cafe\u0301 aan de gracht", HERE)


def test_ones_own_new_password_does_not_replace_one_that_an_admin_gave_meanwhile(
    anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = users.fits

    def overtaken(stored: str | None, password: str) -> bool:
        right = fits(stored, password)
        users.passwd(anna, "van de beheerder gekregen")
        return right

    number = scalar("SELECT id FROM console_user")
    with monkeypatch.context() as patched:
        patched.setattr(users, "fits", overtaken)
        with pytest.raises(Problem) as raised:
            users.own_password(number, PASSWORD, "van wie het oude wist")
    assert raised.value.code == "password_before"
    assert logins.login(anna, "van de beheerder gekregen", HERE)


def test_no_more_than_two_passwords_are_hashed_at_once_whoever_asks(anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way: list[int] = []
    most: list[int] = []

    class Watched(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            under_way.append(1)
            most.append(len(under_way))
            time.sleep(0.05)
            under_way.pop()
            return "a hash"

    monkeypatch.setattr(users, "_hasher", Watched)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(users.hash_of, ["een korte zin is prima"] * 8)) == ["a hash"] * 8
    assert max(most) == 2


@pytest.mark.parametrize(
    ("role", "tenants"), [("boss", None), ("viewer", []), ("viewer", ["nowhere"]), ("viewer", ["\0"])]
)
def test_a_role_and_tenants_are_ones_that_there_are(anna: str, role: str, tenants: list[str] | None) -> None:
    for verb in (lambda: users.add("bob", role, tenants, PASSWORD), lambda: users.edit(anna, role, tenants)):
        with pytest.raises(Problem):
            verb()
    with pytest.raises(Problem):
        tokens.create("t", role, tenants, None)


def test_disabling_ends_the_sessions_at_once_and_enabling_lets_in_again(anna: str) -> None:
    users.add("bob", "viewer", None, PASSWORD)
    cookie = logins.login("bob", PASSWORD, HERE)
    assert logins.known(cookie) is not None
    assert users.disable("bob")["sessions"] == 1
    assert logins.known(cookie) is None
    with pytest.raises(Problem, match="do not fit"):
        logins.login("bob", PASSWORD, HERE)
    assert users.disable("bob")["result"] == "unchanged"
    users.enable("bob")
    assert logins.known(cookie) is None
    assert logins.login("bob", PASSWORD, HERE)


LOSING: dict[str, Callable[[str], users.UserDone]] = {
    "disabled": users.disable,
    "removed": users.remove,
    "made a viewer": lambda name: users.edit(name, "viewer", None),
    "limited to one tenant": lambda name: users.edit(name, "admin", ["acme"]),
}


@pytest.mark.parametrize("how", LOSING)
def test_the_last_admin_of_all_tenants_stays(anna: str, how: str) -> None:
    users.add("bob", "admin", ["acme"], PASSWORD)
    users.add("cor", "operator", None, PASSWORD)
    run_sql("INSERT INTO console_user (name, role, created_by) VALUES ('dora', 'admin', 'x')")  # can't log in
    users.told_by_issuer("https://login.example.nl", "s1", "fay", Role.ADMIN, None)  # nor she: no issuer is set
    with pytest.raises(Problem, match="last admin"):
        LOSING[how](anna)
    users.add("eva", "admin", None, PASSWORD)
    assert LOSING[how](anna)["result"] in ("changed", "disabled", "removed")
    with pytest.raises(Problem, match="last admin"):
        LOSING[how]("eva")


def test_another_password_ends_all_sessions_but_the_own_one_that_changed_it(anna: str) -> None:
    first, second = logins.login(anna, PASSWORD, HERE), logins.login(anna, PASSWORD, HERE)
    known = logins.known(first)
    assert known is not None
    assert known.user is not None
    with acting(known.actor):
        with pytest.raises(Problem, match="not the present"):
            users.own_password(known.user, "a wrong guess at it", "een andere korte zin")
        users.own_password(known.user, PASSWORD, "een andere korte zin", but=known.session)
    assert logins.known(first) is not None
    assert logins.known(second) is None
    users.passwd(anna, "nog een andere zin")
    assert logins.known(first) is None


def test_a_hash_made_with_older_parameters_is_made_anew_at_a_login(anna: str) -> None:
    run_sql("UPDATE console_user SET password_hash = :h", h=PasswordHasher(1, 1024, 1).hash(PASSWORD))
    logins.login(anna, PASSWORD, HERE)
    assert "m=65536" in scalar("SELECT password_hash FROM console_user")
    assert logins.login(anna, PASSWORD, HERE)


def test_only_an_admin_of_all_tenants_decides_about_users_and_tokens(anna: str) -> None:
    verbs = (
        users.listing,
        lambda: users.show(anna),
        lambda: users.add("bob", "admin", None, PASSWORD),
        lambda: users.edit(anna, "viewer", None),
        lambda: users.passwd(anna, PASSWORD),
        lambda: users.disable(anna),
        lambda: users.enable(anna),
        lambda: users.remove(anna),
        lambda: users.sign_out(anna),
        tokens.listing,
        lambda: tokens.create("t", "admin", None, None),
        lambda: tokens.revoke(1),
    )
    for actor in (Actor("o", Role.OPERATOR), Actor("v", Role.VIEWER), Actor("a", Role.ADMIN, frozenset({"acme"}))):
        for verb in verbs:
            with acting(actor), pytest.raises(Forbidden):
                verb()
    assert scalar("SELECT count(*) FROM console_user") == 1


def test_a_removed_tenant_is_nobodys_any_more_though_another_gets_its_name(anna: str) -> None:
    users.add("bob", "operator", ["acme"], PASSWORD)
    tokens.create("t", "operator", ["acme"], None)
    manage.remove("acme", who="tester")
    assert scalar("SELECT tenants::text FROM console_user WHERE name = 'bob'") == "[]"
    assert scalar("SELECT tenants::text FROM api_token") == "[]"
    assert users.show(anna)["tenants"] is None


def test_a_token_is_shown_once_and_kept_as_a_hash(anna: str) -> None:
    made = tokens.create("reports", "viewer", ["acme"], timedelta(days=1))
    assert made["token"].startswith("kop_")
    assert len(made["token"]) == 47
    stored = scalar("SELECT jsonb_agg(to_jsonb(a))::text FROM api_token a")
    stored += scalar("SELECT jsonb_agg(to_jsonb(o))::text FROM operator_action o")
    assert made["token"] not in stored
    assert made["token"] not in json.dumps(tokens.listing().document(), default=str)
    assert tokens.actor_of(made["token"]) == Actor("token:reports", Role.VIEWER, frozenset({"acme"}))


def test_a_token_that_is_revoked_or_over_opens_nothing(anna: str) -> None:
    made = tokens.create("reports", "viewer", None, timedelta(days=1))
    run_sql("UPDATE api_token SET expires_at = now()")
    assert tokens.actor_of(made["token"]) is None
    assert [one["state"] for one in tokens.listing(everything=True).items] == ["expired"]
    assert tokens.listing().items == []
    run_sql("UPDATE api_token SET expires_at = NULL")
    assert tokens.actor_of(made["token"]) is not None
    assert tokens.revoke(made["id"])["state"] == "revoked"
    assert tokens.actor_of(made["token"]) is None
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'tokens revoke'") == 1
    tokens.revoke(made["id"])
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'tokens revoke'") == 1
    with pytest.raises(NotThere):
        tokens.revoke(made["id"] + 1)


def test_the_commands_ask_for_a_password_on_standard_input_and_never_take_one_as_an_argument(
    acme: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, "users", "add", "anna", "--role", "admin", typed=f"{PASSWORD}\n") == 0
    assert logins.login("anna", PASSWORD, HERE)
    assert ran(monkeypatch, "users", "add", "bob", PASSWORD, "--role", "admin") == 2
    assert ran(monkeypatch, "users", "add", "bob", "--role", "viewer", "--tenant", "acme", typed="short\n") == 2
    assert "12 to 1000" in capsys.readouterr().err
    assert ran(monkeypatch, "users", "passwd", "anna", typed="een andere korte zin\n") == 0
    assert logins.login("anna", "een andere korte zin", HERE)


def test_the_commands_list_change_and_remove(
    anna: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    users.add("bob", "viewer", ["acme"], PASSWORD)
    assert ran(monkeypatch, "users", "list", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["items"]] == ["Anna@example.nl", "bob"]
    for words in (
        ("edit", "bob", "--role", "operator"),
        ("disable", "bob"),
        ("enable", "bob"),
        ("sign-out", "bob"),
        ("show", "bob"),
        ("remove", "bob", "--yes"),
    ):
        assert ran(monkeypatch, "users", *words) == 0, words
    assert ran(monkeypatch, "users", "show", "bob") == 2
    assert ran(monkeypatch, "users", "remove", anna, "--yes") == 2
    assert "last admin" in capsys.readouterr().err


def test_the_commands_make_and_revoke_a_token(
    acme: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, "tokens", "create", "reports", "--role", "viewer", "--expires", "90d") == 0
    token = capsys.readouterr().out.strip()
    assert tokens.actor_of(token) == Actor("token:reports", Role.VIEWER)
    assert ran(monkeypatch, "tokens", "list", "--json") == 0
    number = json.loads(capsys.readouterr().out)["items"][0]["id"]
    assert ran(monkeypatch, "tokens", "revoke", str(number)) == 0
    assert tokens.actor_of(token) is None


def test_users_are_told_of_page_by_page(anna: str) -> None:
    for number in range(5):
        users.add(f"user{number}", "viewer", None, None)
    first = users.listing(4)
    second = users.listing(4, first.next)
    assert [one["name"] for one in first.items + second.items] == ["Anna@example.nl", *(f"user{n}" for n in range(5))]
    assert second.next is None
    # A cursor stands in addresses, where no name may.
    assert str(first.next).replace(".", "").isdigit()


@pytest.mark.parametrize("limit", [1, 2, 5, 9])
def test_a_list_goes_on_where_it_was_though_those_shown_last_are_removed_meanwhile(anna: str, limit: int) -> None:
    everybody = [f"user{number:02}" for number in range(12)]
    for name in everybody:
        users.add(name, "viewer", None, None)
    seen, cursor = [], None
    while (shown := users.listing(limit, cursor)).next:
        seen += [one["name"] for one in shown.items]
        for one in shown.items[-3:]:
            if one["name"] in everybody:
                users.remove(one["name"])
        cursor = shown.next
    assert [*seen, *(one["name"] for one in shown.items)] == ["Anna@example.nl", *everybody]


def test_a_list_of_which_nobody_is_left_starts_with_those_who_came_since(anna: str) -> None:
    users.add("bob", "admin", None, PASSWORD)
    first = users.listing(1)
    users.remove(anna)
    assert [one["name"] for one in users.listing(1, first.next).items] == ["bob"]


def test_a_cursor_whose_users_are_all_gone_does_not_seem_to_be_the_end(anna: str) -> None:
    for cursor in ("17", "17.18"):  # as 0.1.0 gave it, and as one of far down the list
        with pytest.raises(Problem, match="gone meanwhile: begin again"):
            users.listing(4, cursor)
    for wrong in ("", "a", "1.", ".1", "1.2.3.4.5.6.7.8"):
        with pytest.raises(Problem, match="--cursor"):
            users.listing(4, wrong)


CHANGED_FIRST: dict[str, Callable[[str, int], users.UserDone]] = {
    "edit": lambda name, seen: users.edit(name, "operator", ["acme"], seen=seen, who="bob"),
    "passwd": lambda name, seen: users.passwd(name, "een korte zin van bob", seen=seen, who="bob"),
    "enable": lambda name, seen: users.enable(name, seen=seen, who="bob"),
    "remove": lambda name, seen: users.remove(name, seen=seen, who="bob"),
}


@pytest.mark.parametrize("verb", CHANGED_FIRST)
def test_the_second_who_changes_a_user_is_told_who_was_first(anna: str, verb: str) -> None:
    users.add("vera", "viewer", None, PASSWORD)
    users.disable("vera", who="carol")
    seen = users.show("vera")["version"]
    users.edit("vera", "viewer", ["acme"], who="carol", seen=seen)
    before = scalar("SELECT to_jsonb(u) FROM console_user u WHERE name = 'vera'")
    with pytest.raises(AlreadyDecided, match=r"carol changed vera first, at .* UTC") as told:
        CHANGED_FIRST[verb]("vera", seen)
    assert "carol" in told.value.say("nl")
    assert scalar("SELECT to_jsonb(u) FROM console_user u WHERE name = 'vera'") == before
    CHANGED_FIRST[verb]("vera", users.show("vera")["version"])


def test_what_the_issuer_says_of_somebody_counts_as_a_change_too(anna: str) -> None:
    users.told_by_issuer("https://login.example.nl", "s1", "fay", Role.VIEWER, None)
    seen = users.show("fay")["version"]
    users.told_by_issuer("https://login.example.nl", "s1", "fay", Role.OPERATOR, None)
    with pytest.raises(AlreadyDecided, match="oidc changed fay first"):
        users.edit("fay", "admin", None, seen=seen)


def test_logging_in_and_ending_sessions_change_nothing_that_was_looked_at(anna: str) -> None:
    users.add("vera", "viewer", None, PASSWORD)
    seen = users.show("vera")["version"]
    logins.login("vera", PASSWORD, HERE)
    users.sign_out("vera")
    assert users.edit("vera", "operator", None, seen=seen)["result"] == "changed"


def test_of_two_admins_who_change_a_user_at_once_one_is_told_of_the_other(anna: str) -> None:
    users.add("vera", "viewer", None, PASSWORD)
    seen = users.show("vera")["version"]

    def change(who: str) -> str:
        try:
            role = {"bob": "operator", "carol": "admin"}[who]
            return users.edit("vera", role, None, who=who, seen=seen)["result"]
        except AlreadyDecided as problem:
            return str(problem.params["who"])

    with ThreadPoolExecutor(2) as threads:
        said = dict(zip(("bob", "carol"), threads.map(change, ("bob", "carol")), strict=True))
    (first,) = [who for who, result in said.items() if result == "changed"]
    (second,) = set(said) - {first}
    assert said[second] == first


@pytest.mark.parametrize("name", ["token", "Local", "oidc", "unknown", "nobody"])
def test_nobody_passes_by_a_name_chosen_at_an_issuer_for_one_that_the_record_uses(acme: int, name: str) -> None:
    users.told_by_issuer("https://login.example.nl", "s1", name, Role.VIEWER, None)
    assert str(scalar("SELECT name FROM console_user")).startswith(f"{name}+")


def test_whoever_was_told_of_by_an_issuer_keeps_their_number_and_takes_nobodys_name(anna: str) -> None:
    first = users.told_by_issuer("https://login.example.nl", "s1", "anna@example.nl", Role.VIEWER, ["acme"])
    second = users.told_by_issuer("https://login.example.nl", "s2", "<b>", Role.ADMIN, None)
    names = {row.id: row.name for row in _rows("SELECT id, name FROM console_user")}
    assert first is not None
    assert second is not None
    assert names[first].startswith("anna@example.nl+")
    assert names[second] == "b"
    assert users.told_by_issuer("https://login.example.nl", "s1", "other", Role.OPERATOR, None) == first
    assert scalar("SELECT role FROM console_user WHERE id = :id", id=first) == "operator"
    assert users.told_by_issuer("https://login.example.nl", "s1", "other", None, None) is None
    users.disable(names[first])
    with pytest.raises(Forbidden):
        users.told_by_issuer("https://login.example.nl", "s1", "other", Role.ADMIN, None)


def _rows(sql: str) -> list[Any]:
    with transaction() as connection:
        return list(connection.execute(text(sql)))
