"""Every question stands on one page with a label; a changed answer takes with it what was tried with the old one."""

from __future__ import annotations

import pytest

from ops.language import SENTENCES
from ops.language.onboarding import SENTENCES as QUESTIONS
from ops.tenants import onboarding_steps
from ops.tenants.onboarding import Draft, as_text
from ops.tenants.onboarding_steps import STEPS, changed, step_of

# What the dialogue asks beside its questions, and what is tried without asking
NO_FIELDS = {"again", "store", "go_on", "adoption", "dry_run", "live", "how"}
TRIED = {"otp.tried", "afas.reached", "pluvo.reached", "mapping.tried"}
NAMES = {one.removeprefix("ask.") for one in QUESTIONS if one.startswith("ask.")} - NO_FIELDS


@pytest.mark.parametrize("name", sorted(NAMES - TRIED))
def test_every_question_has_a_label_on_its_page(name: str) -> None:
    assert f"wizard.ask_{name.replace('.', '_')}" in SENTENCES


@pytest.mark.parametrize("name", sorted(NAMES - {"target_all", "title_all", "target", "title"}))
def test_every_question_stands_on_one_page(name: str) -> None:
    assert step_of(name) in STEPS


def test_every_step_has_its_words() -> None:
    for step in STEPS:
        assert {f"wizard.step_{step}", f"wizard.what_{step}"} <= SENTENCES.keys()


ANSWERS = {
    "slug": "acme", "name": "Acme", "afas.member_id": "12345", "afas.environment": "production", "afas.auth": "oauth",
    "afas.client_id": "app", "afas.client_secret": "set", "afas.secret_ends": "-", "afas.reached": "yes",
    "pluvo.organisation": "acme", "pluvo.client_id": "id", "pluvo.client_secret": "set", "pluvo.reached": "yes",
    "getconnector": "Deelnemers", "fields.event_id": "CrId", "fields.name": "Naam", "mapping.tried": "yes",
    "events": ["340", "341"], "target.340": ["group_ref", "groep"], "target.341": ["offer_event_ref", "afas-341"],
    "write_back": "-", "send_invite": "no",
}  # fmt: skip
DRAFT = Draft("acme", ANSWERS, {"afas.client_secret": "s1", "pluvo.client_secret": "s2"}, {"getconnectors": {}})
ROWS = {"getconnector", "fields.event_id", "fields.name", "mapping.tried", "events", "target.340", "target.341"}


@pytest.mark.parametrize(
    ("step", "typed", "gone"),
    [
        ("customer", {"slug": "acme", "name": "Acme B.V."}, {"name"}),
        ("afas", {"afas.member_id": "12345"}, set()),
        ("afas", {"afas.environment": "test"},
         {"afas.environment", "afas.auth", "afas.client_id", "afas.client_secret", "afas.secret_ends", "afas.reached",
          "write_back"} | ROWS),
        ("key", {"afas.client_id": "app", "afas.client_secret": ""}, set()),
        ("key", {"afas.client_secret": "s3"}, {"afas.client_secret", "afas.reached", "write_back"} | ROWS),
        ("key", {"afas.secret_ends": "2027-05-01"}, {"afas.secret_ends"}),
        ("pluvo", {"pluvo.client_id": "id2"},
         {"pluvo.client_id", "pluvo.reached", "events", "target.340", "target.341"}),
        ("pluvo", {"pluvo.organisation": "beta"},
         {"pluvo.organisation", "pluvo.client_secret", "pluvo.reached", "events", "target.340", "target.341"}),
        ("events", {"events": "340, 341", "target.340": "group:groep", "target.341": "afas-341"}, set()),
        ("events", {"target.340": "groep"}, {"target.340"}),
        ("completions", {"send_invite": "yes"}, {"send_invite"}),
    ],
)  # fmt: skip
def test_a_changed_answer_takes_with_it_what_was_tried_with_the_old_one(
    step: str, typed: dict[str, str], gone: set[str]
) -> None:
    after = changed(DRAFT, step, typed)
    assert ANSWERS.keys() - after.answers.keys() == gone
    # What is gone is proposed, but for secrets, which are forgotten.
    assert after.secrets.keys() == {one for one in DRAFT.secrets if one not in gone}
    assert not {"afas.client_secret", "pluvo.client_secret"} & after.facts.get("before", {}).keys()


def test_an_answer_is_shown_as_it_was_typed() -> None:
    shown = {name: as_text(ANSWERS[name]) for name in ("events", "target.340", "target.341", "write_back", "name")}
    assert shown == {
        "events": "340, 341", "target.340": "group:groep", "target.341": "afas-341", "write_back": "", "name": "Acme",
    }  # fmt: skip


def test_of_an_empty_draft_the_first_step_is_asked_and_no_other_is_done() -> None:
    assert onboarding_steps.now(Draft()) == "customer"
    assert [one.state for one in onboarding_steps.progress(Draft())] == ["now", *["later"] * 8]
