"""Settings of a tenant one by one, and drafts of two people: who may, who was first, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ops import access
from ops.access import Actor, Role
from ops.problems import AlreadyDecided, Forbidden, NotThere
from ops.tenants import edit, onboarding, onboarding_mail, onboarding_store
from ops.tenants.file import WrongValues
from ops.tenants.onboarding import Draft, Refused
from tests.integration.ops.conftest import run_sql, scalar
from tests.integration.ops.test_command_line import Command, koppeling

__all__ = ["koppeling"]  # a fixture
FORBIDDEN: dict[str, Callable[[], Any]] = {
    "read": lambda: edit.read("acme"),
    "change": lambda: edit.change("acme", {"name": "X"}, 1, "tester"),
    "drafts": onboarding_store.listing,
    "not live": onboarding_store.not_live,
    "resume": lambda: onboarding_store.resumed("nova"),
    "begin": lambda: onboarding_store.give(Draft(), "slug", "nova", "tester"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_an_admin_sets_customers_up_and_changes_them(acme: int, role: Role, what: str) -> None:
    with access.acting(Actor("anna", role)), pytest.raises(Forbidden):
        FORBIDDEN[what]()


def test_a_tenant_that_one_may_not_see_is_not_there(acme: int) -> None:
    with access.acting(Actor("anna", Role.ADMIN, frozenset({"beta"}))):
        for verb in ("read", "change"):
            with pytest.raises(NotThere):
                FORBIDDEN[verb]()


def test_only_what_was_given_changes_and_the_second_of_two_is_told(acme: int) -> None:
    found = edit.read("acme")
    before = scalar("SELECT to_jsonb(t) - 'name' - 'settings_version' - 'updated_at' FROM tenant t")
    assert edit.change("acme", {"name": "Acme B.V."}, found["version"], "anna").changes == [
        "name: Acme Opleidingen → Acme B.V."
    ]
    after = scalar("SELECT to_jsonb(t) - 'name' - 'settings_version' - 'updated_at' FROM tenant t")
    assert after == before
    with pytest.raises(AlreadyDecided, match=r"acme was changed by anna meanwhile, at .* UTC"):
        edit.change("acme", {"name": "Acme N.V."}, found["version"], "bert")
    assert scalar("SELECT name FROM tenant") == "Acme B.V."
    assert edit.change("acme", {"name": "Acme B.V."}, edit.read("acme")["version"], "bert").action == "unchanged"


@pytest.mark.parametrize(
    ("key", "typed", "stored"),
    [
        ("removals.limits.event_percent", "12,5", "12.5"),
        ("pluvo.calls_per_second", "0.5", "0.5"),
        ("afas.secret_ends", "2027-05-01", "2027-05-01"),
        ("afas.secret_ends", "", ""),
        ("interval", "90m", "90m"),
        ("removals.policy", "unenroll_and_archive", "unenroll_and_archive"),
    ],
)
def test_a_value_is_taken_as_it_is_typed(acme: int, key: str, typed: str, stored: str) -> None:
    edit.change("acme", {key: typed}, edit.read("acme")["version"], "anna")
    assert edit.read("acme")["values"][key] == stored


def test_everything_that_is_wrong_is_told_at_once(acme: int) -> None:
    with pytest.raises(WrongValues) as caught:
        edit.change("acme", {"interval": "5s", "timezone": "Mars"}, edit.read("acme")["version"], "anna")
    assert set(caught.value.told) == {"interval", "timezone"}


def test_the_second_of_two_in_one_draft_is_told_and_one_whose_draft_is_gone_too(configured: object) -> None:
    # given two who resumed the same draft
    draft = onboarding_store.give(Draft(), "slug", "nova", "anna")
    hers, his = (onboarding_store.resumed("nova") for _ in range(2))
    assert draft == hers == his
    # when one answers, then the other one is told, and nothing of theirs is kept
    onboarding_store.give(hers, "name", "Nova", "anna")
    with pytest.raises(AlreadyDecided, match="anna answered for nova meanwhile"):
        onboarding_store.give(his, "name", "Novum", "bert")
    now = onboarding_store.resumed("nova")
    assert (now.answers["name"], now.by) == ("Nova", "anna")
    # nor is it forgotten by who has not seen that
    assert his.revision is not None
    with pytest.raises(AlreadyDecided, match="anna answered for nova meanwhile"):
        onboarding_store.discard("nova", his.revision.isoformat())
    # and when it is forgotten meanwhile, it does not come back
    assert now.revision is not None
    onboarding_store.discard("nova", now.revision.isoformat())
    with pytest.raises(AlreadyDecided, match="no longer being set up"):
        onboarding_store.give(now, "afas.member_id", "12345", "anna")
    assert scalar("SELECT count(*) FROM onboarding") == 0


def test_who_is_being_set_up_is_listed_in_the_terminal(
    configured: object, koppeling: Command, environment: dict[str, str]
) -> None:
    draft = onboarding_store.give(Draft(), "slug", "nova", "anna")
    onboarding_store.give(draft, "name", "Nova", "anna")
    (item,) = json.loads(koppeling("tenants", "add", "--list", "--json", **environment).stdout)["items"]
    assert (item["slug"], item["name"], item["who"]) == ("nova", "Nova", "anna")
    assert koppeling("tenants", "add", "nova", "--discard", **environment).returncode == 0
    assert koppeling("tenants", "add", "--list", **environment).stdout == "Nobody is being set up.\n"


def test_a_wrong_answer_moves_a_draft_on_for_whoever_gave_it(configured: object) -> None:
    draft = onboarding_store.give(Draft(), "slug", "nova", "anna")
    with pytest.raises(Refused) as caught:
        onboarding_store.give(draft, "name", "", "anna")
    assert caught.value.question == "name"
    assert onboarding_store.give(caught.value.draft, "name", "Nova", "anna").answers["name"] == "Nova"


def test_what_is_stored_and_not_live_is_listed_until_its_timetable_begins(acme: int) -> None:
    assert [one["slug"] for one in onboarding_store.not_live()] == ["acme"]
    run_sql("UPDATE tenant_direction SET state = 'healthy'")
    assert onboarding_store.not_live() == []


def test_the_mail_asks_for_what_the_steps_need_that_are_not_done() -> None:
    draft = Draft("nova", {"slug": "nova", "name": "Nova", "afas.member_id": "12345", "afas.environment": "test"})
    found = onboarding_mail.handover_of(draft, "nl")
    assert [one["code"] for one in found["items"]] == ["need_key", "need_connector", "need_columns", "need_completions"]
    assert "omgeving 12345" in found["text"]
    assert onboarding.pending(draft) is not None
    refused = Refused("token_ended", day="2026-01-01")
    told = onboarding_mail.handover_of(draft.but("afas.environment", "test"), "en", refused)
    assert told["items"][0]["text"].endswith("the present one ended on 2026-01-01.")
