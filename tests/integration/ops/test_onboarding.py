"""Setting up a tenant: each answer is tried at once, nothing half stored, left and resumed anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import settings
from models.advisory_locks import AdvisoryLock
from models.crypto import SecretDamaged
from models.session import transaction
from ops import access
from ops.access import Actor, Role
from ops.language import SENTENCES
from ops.problems import AlreadyDecided, Forbidden, Problem
from ops.tenants import (
    export,
    importing,
    manage,
    onboarding,
    onboarding_courses,
    onboarding_credentials,
    onboarding_store,
    token,
)
from ops.tenants.check import check
from ops.tenants.onboarding import Draft, Refused
from ops.tenants.onboarding_words import refusal
from simulators.afas.tenant import COMPLETION_FIELD, GET_CONNECTOR, AfasTenant, FreeField, OAuthClient, Otp
from simulators.pluvo.switches import ApiClient
from simulators.pluvo.tenant import PluvoTenant
from tests.fixtures.terminal import PATIENCE_SECONDS, ROOT, terminal
from tests.fixtures.world import World
from tests.integration.ops.conftest import run_sql, scalar

TOKEN = "A" * 64


@dataclass
class Customer:
    """An AFAS with two events and a Pluvo, that nobody set up yet; ``right`` are the right answers."""

    afas: AfasTenant
    pluvo: PluvoTenant
    right: dict[str, str] = field(default_factory=dict)

    def until(self, name: str, draft: Draft | None = None, other: Mapping[str, str] = MappingProxyType({})) -> Draft:
        """The draft when this is asked, after right answers."""
        draft = draft or Draft()
        while (question := onboarding.pending(draft)) and question.name != name:
            given = other.get(question.name, self.right.get(question.name, ""))
            draft = onboarding_store.give(draft, question.name, given, "tester")
        return draft

    def refused(self, name: str, given: str, draft: Draft | None = None) -> Refused:
        """The refusal of an answer. It has its sentences, and the tenant is not stored."""
        with pytest.raises(Refused) as caught:
            onboarding_store.give(draft or self.until(name), name, given, "tester")
        assert {f"cause.{caught.value.code}", f"action.{caught.value.code}"} <= SENTENCES.keys()
        assert scalar("SELECT count(*) FROM tenant") == 0
        return caught.value


@pytest.fixture
def customer(simulators: World, configured: settings.Settings) -> Iterator[Customer]:
    afas = simulators.afas_simulator.add_tenant("54321", oauth_clients={"app": OAuthClient(["s1"])}, tokens=[TOKEN])
    afas.otp = Otp("key", "env", ["54321.jansen"])
    pluvo = simulators.pluvo_simulator.add_tenant("nova", client_id="id", client_secret="s2")
    for event in (340, 341):
        training = pluvo.add_training(f"Training {event}", f"t-{event}")["id"]
        pluvo.add_offer_event(f"Event {event}", f"afas-{event}", trainings=[training])
        afas.enroll(event, 1001, name="Piet Jansen", email_primary="p@example.nl", external_id="0001")
    pluvo.add_group("Groep", "groep-1")
    afas.free_fields["U" + "0" * 32] = FreeField("Aantal", "int")
    made = Customer(afas, pluvo)
    made.right = {
        "slug": "nova",
        "name": "Nova Opleidingen",
        "afas.member_id": "O54321AA",
        "afas.base_url": f"{simulators.afas_url}/t/54321/ProfitRestServices",
        "afas.client_id": "app",
        "afas.client_secret": "s1",
        "afas.token": TOKEN,
        "otp.api_key": "key",
        "otp.environment_key": "env",
        "otp.user": "54321.jansen",
        "otp.code": afas.otp.code,
        "pluvo.organisation": "nova",
        "pluvo.base_url": f"{simulators.pluvo_url}/t/nova",
        "pluvo.client_id": "id",
        "pluvo.client_secret": "s2",
        "events": "340, 341",
        "title.340": "Training 340",
        "title.341": "-",
    }
    yield made
    simulators.afas_simulator.tenants.clear()
    simulators.pluvo_simulator.tenants.clear()


def test_right_answers_make_a_tenant_and_most_are_proposed(customer: Customer) -> None:
    draft = customer.until("")
    done = onboarding_store.finish(draft, "tester")
    assert (done.action, scalar("SELECT count(*) FROM onboarding")) == ("created", 0)
    found = export.document("nova")
    assert found["afas"] | {"base_url": ""} == {
        "member_id": "54321", "environment": "production", "auth": "oauth", "client_id": "app", "base_url": "",
        "client_secret": True,
    }  # fmt: skip
    assert found["course_defaults"]["fields"] == {
        "event_id": "CrId", "internal_id": "Intern_ID", "external_id": "Extern_ID", "name": "Naam",
        "email_primary": "Email_werk", "email_secondary": "Email_prive", "modified": "Gewijzigd",
        "completion": "Voltooid_op",
    }  # fmt: skip
    first, second = found["courses"]
    target = {"offer_event_ref": "afas-340", "completion_level": "training", "completion_title": "Training 340"}
    assert first["pluvo"] == target
    assert second == {"event_id": "341", "pluvo": {"offer_event_ref": "afas-341"}}
    assert scalar("SELECT rules -> 0 ->> 'field' FROM course WHERE event_id = '340'") == COMPLETION_FIELD
    assert scalar("SELECT array_agg(DISTINCT state) FROM tenant_direction") == ["new"]
    assert scalar("SELECT verb FROM operator_action") == "tenants add"


def test_a_token_is_made_from_keys_and_a_mailed_code_which_are_forgotten(customer: Customer) -> None:
    draft = customer.until("pluvo.organisation", other={"afas.auth": "code"})
    assert set(draft.secrets) == {"afas.token"}
    assert onboarding_store.finish(customer.until("", draft), "tester").action == "created"
    assert export.document("nova")["afas"]["auth"] == "token"
    assert scalar("SELECT afas_token IS NOT NULL FROM tenant")


def test_all_events_are_linked_by_a_rule(customer: Customer) -> None:
    draft = customer.until("", other={"events": "all", "title.all": "-"})
    onboarding_store.finish(draft, "tester")
    assert export.document("nova")["course_rules"] == [{"events": ["all"], "offer_event_ref": "afas-{event_id}"}]


@pytest.mark.parametrize(
    ("name", "given", "code", "again"),
    [
        ("slug", "Nova!", "form_slug", "slug"),
        ("slug", "", "answer_missing", "slug"),
        ("name", "No\0va", "form", "name"),
        ("afas.member_id", "acme", "form_member_id", "afas.member_id"),
        ("afas.environment", "staging", "no_choice", "afas.environment"),
        pytest.param("afas.environment", "9" * 5000, "no_choice", "afas.environment", id="a number without end"),
        ("afas.base_url", "ftp://x", "form_base_url", "afas.base_url"),
        ("pluvo.organisation", "a b", "form_organisation", "pluvo.organisation"),
        ("getconnector", "Deelnemers per cursusevenement", "connector_description", "getconnector"),
        ("getconnector", "Deelnemer", "connector_missing", "getconnector"),
        ("fields.name", "Naamm", "column_near", "fields.name"),
        ("fields.name", "Iets_heel_anders", "column_missing", "fields.name"),
        ("fields.internal_id", "Gewijzigd", "column_type", "fields.internal_id"),
        ("fields.internal_id", "CrId", "column_twice", "fields.internal_id"),
        ("events", "999", "event_unknown", "events"),
        ("events", "BHV", "event_number", "events"),
        ("target.340", "groep-1", "target_is_group", "target.340"),
        ("target.340", "group:afas-340", "target_is_offer_event", "target.340"),
        ("target.340", "nowhere", "offer_event_unknown", "target.340"),
        ("target.340", "group:nowhere", "group_unknown", "target.340"),
        ("write_back", "Aantal", "field_type", "write_back"),
        ("write_back", "Geslaagd", "field_missing", "write_back"),
        ("title.340", "Training 34", "title_unknown", "title.340"),
    ],
)
def test_a_wrong_answer_is_met_by_its_sentence_and_asked_again(
    customer: Customer, name: str, given: str, code: str, again: str
) -> None:
    refused = customer.refused(name, given)
    asked = onboarding.pending(refused.draft)
    assert (refused.code, asked and asked.name) == (code, again)
    # and the right one then goes on
    draft = onboarding_store.give(refused.draft, again, customer.right.get(again, ""), "tester")
    assert onboarding.pending(draft) != asked


@pytest.mark.parametrize(
    ("wrong", "at", "code", "again"),
    [
        ({"afas.base_url": "http://127.0.0.1:1/x"}, "afas.reached", "connect_failed", "afas.member_id"),
        ({"afas.member_id": "12345"}, "afas.reached", "environment_mismatch", "afas.member_id"),
        ({"afas.client_secret": "no"}, "afas.reached", "client_refused", "afas.client_id"),
        ({"afas.auth": "token", "afas.token": "B" * 64}, "afas.reached", "token_refused", "afas.token"),
        ({"afas.auth": "code", "otp.code": "1"}, "otp.code", "otp_refused", "otp.tried"),
        ({"afas.auth": "code", "otp.api_key": "no"}, "otp.tried", "otp_refused", "otp.api_key"),
        ({"pluvo.base_url": "http://127.0.0.1:1/x"}, "pluvo.reached", "connect_failed", "pluvo.organisation"),
        ({"pluvo.client_secret": "no"}, "pluvo.reached", "credentials_refused", "pluvo.client_id"),
    ],
)
def test_wrong_addresses_and_credentials_are_asked_again(
    customer: Customer, wrong: dict[str, str], at: str, code: str, again: str
) -> None:
    draft = customer.until(at, other=wrong)
    refused = customer.refused(at, wrong.get(at, ""), draft)
    asked = onboarding.pending(refused.draft)
    assert (refused.code, asked and asked.name) == (code, again)
    # and with the right ones it goes on
    draft = customer.until("getconnector", refused.draft)
    assert "getconnectors" in draft.facts


def test_expired_credentials_and_missing_rights_are_told(customer: Customer) -> None:
    customer.afas.token_expiry = "2020-01-01"
    assert customer.refused("afas.reached", "").code == "token_ended"
    customer.afas.token_expiry = "0"
    customer.afas.connectors[GET_CONNECTOR].allowed = False
    assert customer.refused(
        "afas.reached", "", customer.until("afas.reached", onboarding_store.resumed(None))
    ).code == ("no_getconnectors")


def test_what_may_work_in_a_moment_is_tried_again_without_another_answer(customer: Customer, simulators: World) -> None:
    draft = customer.until("afas.reached")
    simulators.afas_simulator.faults.add(kind="status", status=503, tenant="54321")
    refused = customer.refused("afas.reached", "", draft)
    simulators.afas_simulator.faults.clear()
    assert (refused.code, refused.draft) == ("maintenance", draft)
    assert "getconnectors" in onboarding_store.give(refused.draft, "afas.reached", "", "tester").facts


def test_one_afas_and_one_pluvo_make_one_tenant_which_is_said_at_once(customer: Customer) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    draft = customer.until("pluvo.organisation", other={"slug": "nova-2"})
    with pytest.raises(Refused) as caught:
        onboarding_store.give(draft, "pluvo.organisation", "Nova", "tester")
    assert (caught.value.code, caught.value.parameters) == ("same_tenant", {"slug": "nova"})


def test_a_draft_is_left_and_resumed_at_every_question_and_goes_back(customer: Customer) -> None:
    draft, seen = Draft(), []
    while question := onboarding.pending(draft):
        seen.append(question.name)
        draft = onboarding_store.give(draft, question.name, customer.right.get(question.name, ""), "tester")
        assert onboarding_store.resumed("nova") == draft
    assert len(seen) > 25
    again = onboarding.pending(onboarding.back(draft))
    assert again is not None
    assert again.name == seen[-1]


def test_what_is_kept_of_a_draft_is_encrypted_and_bound_to_it(customer: Customer) -> None:
    customer.until("getconnector")
    row = scalar("SELECT to_jsonb(o) FROM onboarding o")
    assert not {"s1", "s2"} & {str(value) for value in json.loads(json.dumps(row))["answers"].values()}
    assert manage.rotate_keys(who="tester") == 1
    assert onboarding_store.resumed("nova").secrets == {"afas.client_secret": "s1", "pluvo.client_secret": "s2"}
    run_sql("INSERT INTO onboarding (slug, who, draft_secrets) SELECT 'other', 'x', draft_secrets FROM onboarding")
    with pytest.raises(SecretDamaged):
        onboarding_store.resumed("other")


def test_a_draft_is_deleted_with_a_tenant_of_its_name(customer: Customer) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    run_sql("INSERT INTO onboarding (slug, who) VALUES ('nova', 'x'), ('other', 'x')")
    manage.remove("nova", who="tester")
    assert scalar("SELECT array_agg(slug) FROM onboarding") == ["other"]


def test_a_name_that_is_taken_is_refused(customer: Customer) -> None:
    draft = customer.until("name")
    with pytest.raises(Refused) as caught:
        onboarding_store.give(Draft(), "slug", "nova", "tester")
    assert caught.value.code == "slug_begun"
    onboarding_store.finish(customer.until("", draft), "tester")
    with pytest.raises(Refused) as caught:
        onboarding_store.give(Draft(), "slug", "nova", "tester")
    assert caught.value.code == "slug_taken"
    with pytest.raises(Problem, match="Nothing is being set up"):
        onboarding_store.resumed(None)


def test_a_name_may_be_given_again_or_changed_by_going_back(customer: Customer) -> None:
    draft = onboarding.back(customer.until("name"))
    same = onboarding_store.give(draft, "slug", "", "tester")
    assert (same.slug, same.answers["slug"]) == ("nova", "nova")
    other = onboarding_store.give(onboarding.back(same), "slug", "nova-2", "tester")
    assert other.slug == "nova-2"
    assert scalar("SELECT array_agg(slug) FROM onboarding") == ["nova-2"]


def test_a_code_whose_keys_are_forgotten_is_asked_anew_with_its_keys(customer: Customer) -> None:
    draft = onboarding.back(customer.until("afas.reached", other={"afas.auth": "code"}))
    question = onboarding.pending(draft)
    assert question is not None
    assert (question.name, question.proposal) == ("otp.api_key", None)
    draft = customer.until("pluvo.organisation", draft)
    assert set(draft.secrets) == {"afas.token"}


def test_a_tenant_that_was_stored_meanwhile_is_left_as_it_is(customer: Customer) -> None:
    # given two who set up the same tenant, of whom one is done
    draft = customer.until("")
    late = onboarding_store.resumed("nova").without("send_invite")
    onboarding_store.finish(draft, "tester")
    run_sql("UPDATE tenant SET name = 'Renamed since'")
    # when the other goes on, and ends
    with pytest.raises(Problem, match=r"stored meanwhile \(tester was first, at "):
        onboarding_store.give(late, "send_invite", "yes", "tester")
    with pytest.raises(Problem, match=r"stored meanwhile \(tester was first, at "):
        onboarding_store.finish(draft, "tester")
    # then nothing is changed, and no secret kept
    assert scalar("SELECT name FROM tenant") == "Renamed since"
    assert scalar("SELECT count(*) FROM onboarding") == 0


@pytest.mark.parametrize(
    ("name", "given", "dutch"),
    [
        ("afas.member_id", "nonsense", "Typ het AFAS-lidnummer: vijf cijfers zoals 12345"),
        ("pluvo.organisation", "a b", "Typ de organisatie zoals in https://"),
        ("slug", "Groot!", "moet a-z, 0-9"),
        ("name", "x" * 501, "is langer dan 500 tekens"),
    ],
)
def test_why_an_answer_cannot_be_right_is_told_in_dutch(customer: Customer, name: str, given: str, dutch: str) -> None:
    told = refusal(customer.refused(name, given), "nl")
    assert dutch in told


def test_what_makes_no_tenant_and_what_an_import_did_is_told_in_dutch(customer: Customer) -> None:
    with pytest.raises(Problem) as caught:
        onboarding_store.valid({"slug": "nova", "name": "Nova", "interval": "5s", "odd": 1})
    assert "interval: moet 15m tot 24h zijn, niet 5s" in caught.value.say("nl")
    assert "odd: onbekende sleutel" in caught.value.say("nl")
    assert "interval: must be 15m to 24h, not 5s" in str(caught.value)
    done = onboarding_store.finish(customer.until(""), "tester")
    assert done.changes[-2:] == ["course 340: added", "course 341: added"]
    assert [one.say("nl") for one in done.changed][-2:] == ["evenement 340: toegevoegd", "evenement 341: toegevoegd"]


def store(draft: Draft) -> object:
    return onboarding_store.finish(draft, "tester")


def rename(draft: Draft) -> object:
    return onboarding_store.give(draft.without("slug"), "slug", "nova-2", "tester")


def test_what_somebody_else_answered_meanwhile_is_neither_stored_over_nor_forgotten(customer: Customer) -> None:
    # given one who looks at the whole of it, while somebody else answers otherwise
    seen = customer.until("")
    onboarding_store.give(onboarding_store.resumed("nova").without("send_invite"), "send_invite", "yes", "bert")
    # then neither storing it, nor another name for it, does away with that
    for step in (store, rename):
        with pytest.raises(AlreadyDecided, match="bert answered for nova meanwhile"):
            step(seen)
    assert scalar("SELECT count(*) FROM tenant") == 0
    assert scalar("SELECT array_agg(slug) FROM onboarding") == ["nova"]
    assert onboarding_store.resumed("nova").answers["send_invite"] == "yes"


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        ("BEFORE DELETE ON onboarding", store),
        ("BEFORE INSERT ON operator_action", store),
        ("BEFORE UPDATE ON onboarding", rename),
        ("BEFORE DELETE ON onboarding", rename),
    ],
)
def test_an_end_between_two_steps_leaves_the_whole_draft_and_no_tenant(
    customer: Customer, broken: str, step: Callable[[Draft], object]
) -> None:
    draft = customer.until("")
    before = scalar("SELECT jsonb_agg(to_jsonb(o)) FROM onboarding o")
    run_sql("CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'ended'; END $$")
    run_sql(f"CREATE TRIGGER ends {broken} FOR EACH ROW EXECUTE FUNCTION ends()")
    try:
        with pytest.raises(DBAPIError, match="ended"):
            step(draft)
    finally:
        run_sql("DROP FUNCTION ends CASCADE")
    assert scalar("SELECT count(*) FROM tenant") == 0
    assert scalar("SELECT jsonb_agg(to_jsonb(o)) FROM onboarding o") == before


def test_a_draft_under_a_lost_key_is_named_and_can_be_forgotten(
    customer: Customer, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    customer.until("getconnector")
    new = Fernet.generate_key().decode()
    monkeypatch.setenv("KOPPELING_SECRET_KEYS", new)
    settings.get.cache_clear()
    assert importing.under_lost_keys() == ["nova"]
    there = environment | {"KOPPELING_SECRET_KEYS": new}
    assert without_terminal(there, "tenants", "add", "--discard").stdout == "nova: forgotten.\n"
    assert importing.under_lost_keys() == []


def test_more_courses_take_the_columns_of_the_newest_and_leave_all_else(customer: Customer) -> None:
    onboarding_store.finish(customer.until("", other={"events": "340"}), "tester")
    before = export.document("nova")
    draft = customer.until(
        "", onboarding_courses.courses_of("nova"), other={"events": "341", "title.341": "Training 341"}
    )
    done = onboarding_courses.add_courses(draft, "tester")
    assert done.changes == ["course 341: added"]
    after = export.document("nova")
    assert [one["event_id"] for one in after["courses"]] == ["340", "341"]
    assert {**after, "courses": []} == {**before, "courses": []}
    with pytest.raises(Problem, match="has course 341 already"):
        onboarding_courses.add_courses(draft, "tester")


def test_of_two_who_add_courses_at_once_neither_switches_off_the_others(customer: Customer) -> None:
    # given two with a course each, who have read the tenant and wait for their turn
    onboarding_store.finish(customer.until("", other={"events": "340"}), "tester")
    customer.pluvo.add_offer_event("Event 342", "afas-342")
    customer.afas.enroll(342, 1001, name="Piet Jansen", email_primary="p@example.nl", external_id="0001")
    drafts = [
        customer.until("", onboarding_courses.courses_of("nova"), other={"events": event, f"title.{event}": "-"})
        for event in ("341", "342")
    ]
    with ThreadPoolExecutor(2) as pool:
        with transaction() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AdvisoryLock.TENANTS_IMPORT})
            adding = [pool.submit(onboarding_courses.add_courses, draft, "tester") for draft in drafts]
            waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            while connection.execute(waiting).scalar_one() < 2:
                assert not any(one.done() for one in adding)
                time.sleep(0.02)
        refused = [one.exception(PATIENCE_SECONDS) for one in adding]
    # then one of them is stored, and the other one is told to look again
    (told,) = filter(None, refused)
    assert isinstance(told, AlreadyDecided)
    event = "342" if refused[0] is None else "341"
    assert scalar("SELECT count(*) FROM course WHERE active") == 2
    onboarding_courses.add_courses(drafts[event == "342"], "tester")
    assert scalar("SELECT array_agg(event_id ORDER BY event_id) FROM course WHERE active") == ["340", "341", "342"]


def replaced(customer: Customer, system: str, **given: str) -> Draft:
    """Credentials that were tried; raises Refused."""
    draft = onboarding_credentials.credentials_of("nova", system)
    while question := onboarding.pending(draft):
        value = given.get(question.name.rpartition(".")[2], "")
        draft = onboarding_store.give(draft, question.name, value, "tester")
    onboarding_credentials.change_credentials(draft, system, "tester")
    return draft


def test_credentials_are_replaced_once_they_work_and_end_a_quarantine(customer: Customer) -> None:
    # given
    onboarding_store.finish(customer.until(""), "tester")
    run_sql("UPDATE tenant_direction SET state = 'quarantined'")
    customer.afas.oauth_clients["app"].secrets.append("new")
    customer.pluvo.clients["id2"] = ApiClient("new2")
    # when they are wrong, nothing changes
    for system, wrong in (("afas", {"client_secret": "no"}), ("pluvo", {"client_id": "id2", "client_secret": "no"})):
        with pytest.raises(Refused):
            replaced(customer, system, **wrong)
    assert scalar("SELECT array_agg(DISTINCT state) FROM tenant_direction") == ["quarantined"]
    assert scalar("SELECT settings_version FROM tenant") == 1
    # and when they work they are in place at once
    replaced(customer, "afas", client_secret="new")
    assert scalar("SELECT array_agg(DISTINCT state) FROM tenant_direction") == ["healthy"]
    replaced(customer, "pluvo", client_id="id2", client_secret="new2")
    customer.afas.oauth_clients["app"].secrets.remove("s1")
    del customer.pluvo.clients["id"]
    assert check("nova")["ok"]
    assert scalar("SELECT count(*) FROM onboarding") == 0


def test_an_admin_of_one_tenant_replaces_its_credentials_and_adds_courses(customer: Customer) -> None:
    onboarding_store.finish(customer.until("", other={"events": "340"}), "tester")
    with access.acting(Actor("anna", Role.ADMIN, frozenset({"nova"}))):
        replaced(customer, "pluvo", client_secret="s2")
        draft = customer.until("", onboarding_courses.courses_of("nova"), other={"events": "341"})
        assert onboarding_courses.add_courses(draft, "anna").changes == ["course 341: added"]
        # and nothing else that becomes a tenant
        with pytest.raises(Forbidden):
            onboarding_store.give(Draft(), "slug", "borg", "anna")


def test_credentials_change_their_kind_in_place(customer: Customer) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    replaced(customer, "afas", auth="token", token=TOKEN)
    customer.afas.oauth_clients.clear()
    assert check("nova")["ok"]
    assert scalar("SELECT afas_client_secret IS NULL AND afas_token IS NOT NULL FROM tenant")
    assert export.document("nova")["afas"]["auth"] == "token"


def test_credentials_of_another_environment_are_not_taken(customer: Customer) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    run_sql("UPDATE tenant SET envid = 'O54321AB'")
    with pytest.raises(Refused) as caught:
        replaced(customer, "afas", client_secret="s1")
    assert caught.value.code == "envid_changed"
    with pytest.raises(Problem, match="afas or pluvo"):
        onboarding_credentials.credentials_of("nova", "exact")


def test_credentials_that_were_tried_elsewhere_are_not_stored(customer: Customer, simulators: World) -> None:
    # given credentials that work at the address of now
    onboarding_store.finish(customer.until(""), "tester")
    for system, secret in (("afas", "s1"), ("pluvo", "s2")):
        draft = onboarding_credentials.credentials_of("nova", system)
        while question := onboarding.pending(draft):
            given = secret if question.name.endswith("secret") else ""
            draft = onboarding_store.give(draft, question.name, given, "tester")
        # when the address changes before they are stored
        run_sql(
            f"UPDATE tenant SET {system} = jsonb_set({system}, '{{base_url}}', to_jsonb(CAST(:url AS text)))",
            url=f"{simulators.afas_url}/elsewhere",
        )
        # then they are not sent there
        with pytest.raises(Problem, match="another address since these were tried"):
            onboarding_credentials.change_credentials(draft, system, "tester")


@pytest.mark.parametrize("system", ["afas", "pluvo"])
def test_the_second_of_two_who_replace_credentials_is_told_of_the_first(customer: Customer, system: str) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    both = []
    for _ in range(2):
        draft = onboarding_credentials.credentials_of("nova", system)
        while question := onboarding.pending(draft):
            given = {"afas": "s1", "pluvo": "s2"}[system] if question.name.endswith("secret") else ""
            draft = onboarding_store.give(draft, question.name, given, "tester")
        both.append(draft)
    onboarding_credentials.change_credentials(both[0], system, "anna")
    with pytest.raises(AlreadyDecided, match=r"nova was changed by anna meanwhile, at .* UTC"):
        onboarding_credentials.change_credentials(both[1], system, "bert")
    assert scalar("SELECT array_agg(who) FROM operator_action WHERE verb = 'tenants credentials'") == ["anna"]


def test_a_token_is_not_stored_for_an_address_that_it_is_not_of(customer: Customer) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    answers = {"API key": "key", "Environment key": "env", "Code from the mail": customer.right["otp.code"]}

    def asked(question: str, secret: bool) -> str:
        if question == "Code from the mail":  # and meanwhile somebody edits the tenant
            run_sql("UPDATE tenant SET afas = jsonb_set(afas, '{base_url}', '\"http://127.0.0.1:9/x\"')")
        return answers.get(question, customer.right["otp.user"])

    with pytest.raises(Problem, match="another address since the code was asked for"):
        token.make("nova", asked, who="tester")
    assert scalar("SELECT afas_token IS NULL FROM tenant")


def test_only_credentials_are_asked_again_where_a_stored_address_does_not_answer(customer: Customer) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    run_sql("UPDATE tenant SET afas = jsonb_set(afas, '{base_url}', '\"http://127.0.0.1:9/x\"')")
    with pytest.raises(Refused) as caught:
        replaced(customer, "afas", client_secret="s1")
    assert caught.value.code == "connect_failed"
    again = onboarding.pending(caught.value.draft)
    assert again is not None
    assert again.name == "afas.reached"


# ------------------------------------------------------------------------------------------------ on a terminal


def test_a_tenant_goes_live_on_a_terminal(customer: Customer, environment: dict[str, str]) -> None:
    with terminal("tenants", "add", environment=environment) as person:
        person.answer("Short name", "nova")
        person.answer("Name of the customer", "Nova Opleidingen")
        person.answer("member id", "nonsense")
        person.expect("five digits such as 12345")
        person.answer("member id", "54321")
        person.answer("Which AFAS environment", "1")
        person.answer("Another address", customer.right["afas.base_url"])
        person.answer("How to get in", "")
        person.answer("Client id", "app")
        person.answer("Client secret", "wrong")
        person.answer("Last day", "")
        person.expect("The OAuth client or its secret is wrong")
        # left, and resumed
        person.expect("Client id")
        person.interrupt()
        person.expect("koppeling tenants add nova --resume")
        assert person.ended() == 3
        assert "wrong" not in person.seen.replace("is wrong", "")
    assert scalar("SELECT count(*) FROM tenant") == 0

    with terminal("tenants", "add", "--resume", environment=environment) as person:
        person.answer("Client id", "")
        person.answer("Client secret", "s1")
        person.answer("Last day", "soon")
        person.expect("Type it as 2027-05-01")
        person.answer("Last day", "2099-05-01")
        person.answer("Pluvo organisation", "nova")
        person.answer("Another address", customer.right["pluvo.base_url"])
        person.answer("Client id", "id")
        person.answer("Client secret", "s2")
        person.answer("GetConnector", "Deelnemers per cursusevenement")
        person.expect("is a description; the name of that GetConnector is")
        person.answer("GetConnector with", "1")
        for column in ("event's number", "contact's number", "code of organisation", "person's name", "e-mail address"):
            person.answer(f"Column with the {column}", "")
        person.answer("second e-mail", "")
        person.answer("time of change", "-")
        person.answer("AFAS events to link", "340")
        person.answer("Where the people of event 340", "")
        person.answer("AFAS field", "")
        person.answer("Training whose completion", "Training 340")
        person.answer("invite", "no")
        person.answer("Store nova?", "")
        person.expect("nova: created")
        person.answer("Show who would come to which account", "")
        person.answer("Show what the first run would do?", "")
        person.expect("get a new account")
        person.answer("Start the first run?", "y")
        person.expect("The first run has begun, and does what was shown or nothing")
        assert person.ended() == 0
    assert scalar("SELECT array_agg(DISTINCT state) FROM tenant_direction") == ["healthy"]
    assert scalar(_EXACTLY) == [True]


# Whether the run that waits does what a dry run showed
_EXACTLY = (
    "SELECT array_agg(shown.plan_hash = run.options ->> 'expect') FROM run JOIN run AS shown"
    " ON shown.id = run.options ->> 'looked_at' AND shown.trigger = 'dry_run' WHERE run.status = 'queued'"
)


def test_the_end_of_input_and_dutch_on_a_terminal(customer: Customer, environment: dict[str, str]) -> None:
    with terminal("tenants", "add", "nova", "--language", "nl", environment=environment) as person:
        person.answer("Naam van de klant", "Nova")
        person.expect("Deelnemernummer")
        person.end_of_input()
        person.expect("Gestopt.")
        assert person.ended() == 3
    assert onboarding_store.resumed("nova").answers == {"slug": "nova", "name": "Nova"}


def test_a_file_answers_everything_and_nobody_is_asked(
    customer: Customer, environment: dict[str, str], tmp_path: Path
) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    file = tmp_path / "nova.toml"
    file.write_text(export.exported("nova"))
    manage.remove("nova", who="tester")
    variables = {"AFAS_CLIENT_SECRET_NOVA": "s1", "PLUVO_CLIENT_SECRET_NOVA": "s2"}
    with terminal("tenants", "add", "--file", str(file), environment=environment | variables) as person:
        person.answer("Store nova?", "")
        person.expect("nova: created")
        person.answer("Show who", "n")
        person.answer("Show what", "n")
        person.expect("Its timetable begins with")
        assert person.ended() == 0
    assert scalar("SELECT count(*) FROM course") == 2


def test_credentials_are_replaced_on_a_terminal(customer: Customer, environment: dict[str, str]) -> None:
    onboarding_store.finish(customer.until(""), "tester")
    customer.afas.oauth_clients["app"].secrets.append("new")
    with terminal("tenants", "credentials", "nova", "afas", environment=environment) as person:
        person.answer("How to get in", "")
        person.answer("Client id", "")
        person.answer("Client secret", "new")
        person.answer("Last day", "")
        person.expect("work and are in use")
        assert person.ended() == 0
    words = ("tenants", "credentials", "nova", "pluvo", "--set", "pluvo.client_secret=hush")
    with terminal(*words, environment=environment) as person:
        person.expect("write env:NAME or file:PATH")
        assert person.ended() == 2


def without_terminal(environment: dict[str, str], *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *words],
        cwd=ROOT,
        env=dict(os.environ) | {"LANG": "C.UTF-8"} | environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_without_a_terminal_flags_and_lines_answer_and_a_wrong_one_ends_it(
    customer: Customer, environment: dict[str, str]
) -> None:
    # given answers as flags, the rest as lines
    known = {name: value for name, value in customer.right.items() if not name.startswith(("otp", "afas.token"))}
    known |= {"afas.environment": "production", "afas.auth": "oauth", "afas.secret_ends": "-"}
    secrets = {"afas.client_secret": "A_SECRET", "pluvo.client_secret": "P_SECRET"}
    flags = [word for name, value in known.items() for word in ("--set", f"{name}={value}") if name not in secrets]
    flags += [word for name, variable in secrets.items() for word in ("--set", f"{name}=env:{variable}")]
    there = environment | {"A_SECRET": "s1", "P_SECRET": "s2"}

    # when one is wrong
    wrong = without_terminal(there | {"A_SECRET": "no"}, "tenants", "add", *flags)
    # then nothing is stored, and the sentence is the last line
    assert wrong.returncode == 2
    assert "The OAuth client or its secret is wrong" in wrong.stderr.splitlines()[-1]
    assert scalar("SELECT count(*) FROM tenant") == 0
    assert without_terminal(there, "tenants", "add", "--discard").stdout == "nova: forgotten.\n"

    # when the lines end too early
    early = without_terminal(there, "tenants", "add", *flags, typed="\n\n")
    assert (early.returncode, "What was given is kept" in early.stderr.replace("what was", "What was")) == (2, True)
    # and when they are all there
    done = without_terminal(there, "tenants", "add", "--resume", "--json", *flags, typed="\n" * 20)
    found = json.loads(done.stdout)
    assert (found["items"][0]["action"], found["ok"], done.returncode) == ("created", True, 0), done.stderr


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.02, 0.1])
def test_ctrl_c_twice_is_one_clean_line(customer: Customer, environment: dict[str, str], seconds: float) -> None:
    with terminal("tenants", "add", environment=environment) as person:
        person.expect("Short name")
        person.expect(": ")
        person.interrupt()
        time.sleep(seconds)
        person.interrupt()
        assert person.ended() == 3
    said = person.seen.partition(": ")[2].replace("^C", "").strip()
    assert said == "Left. Nothing was stored."


def test_what_afas_calls_things_can_not_move_the_cursor(customer: Customer, environment: dict[str, str]) -> None:
    run = without_terminal(environment, "tenants", "add", typed="nova\nA\x1b]0;owned\x07B\n")
    assert run.returncode == 2
    with terminal("tenants", "add", "--resume", environment=environment) as person:
        person.answer("member id", "<")
        person.expect("Name of the customer [A")
        person.interrupt()
        assert person.ended() == 3
    assert "\x07" not in person.seen
    assert "\x1b]" not in person.seen


def test_closed_standard_input_is_the_end_of_input(customer: Customer, environment: dict[str, str]) -> None:
    run = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m ops.cli tenants add <&-"],
        cwd=ROOT,
        env=dict(os.environ) | {"LANG": "C.UTF-8"} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (run.returncode, run.stderr.splitlines()[-1]) == (2, "Left. Nothing was stored.")


def test_a_file_loses_nothing_of_what_it_says(customer: Customer, environment: dict[str, str], tmp_path: Path) -> None:
    # given a file with settings that no question asks for
    onboarding_store.finish(customer.until(""), "tester")
    file, variables = tmp_path / "nova.toml", {"AFAS_CLIENT_SECRET_NOVA": "s1", "PLUVO_CLIENT_SECRET_NOVA": "s2"}
    written = export.exported("nova").replace('policy = "unenroll"', 'policy = "keep"')
    written = written.replace('interval = "1h"', 'interval = "3h"')
    written = written.replace('auth = "oauth"', 'auth = "oauth"\nparallel_calls = 3')
    written = written.replace("[tenants.pluvo]", '[tenants.pluvo]\ncalls_per_second = 2.0\nother_name = "ambiguous"')
    written = written.replace("defaults.fields]", 'defaults.fields]\nstart = "Gewijzigd"')
    assert written.count("keep") + written.count('"3h"') == 2
    file.write_text(written)
    manage.remove("nova", who="tester")
    # when it answers everything
    done = without_terminal(environment | variables, "tenants", "add", "--file", str(file), "--json")
    # then all of it is stored
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(export.exported("nova")) == tomllib.loads(written)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ('[[tenants.course_rules]]\nevents = ["340-399"]\ngroup_ref = "g"', "course_rules"),
        ('[tenants.pluvo]\nwebhook_secret = "w"', "pluvo.webhook_secret"),
        (
            '[[tenants.courses]]\nevent_id = "340"\n[[tenants.courses.completions]]\ntitle = "T"\nfield = "U1"',
            "completions",
        ),
        ("afas = 3", "afas"),
        ("unknown = 3", "unknown"),
        ("interval = 2026-11-26", "a day or a time"),
    ],
)
def test_a_file_that_says_more_than_is_asked_is_refused(
    environment: dict[str, str], tmp_path: Path, more: str, named: str
) -> None:
    file = tmp_path / "nova.toml"
    file.write_text(f'[[tenants]]\nslug = "nova"\n{more}\n')
    done = without_terminal(environment, "tenants", "add", "--file", str(file))
    assert done.returncode == 2
    assert named in done.stderr
    assert f"`koppeling tenants import {file}`" in done.stderr


def test_an_answer_that_nothing_asks_for_is_refused(environment: dict[str, str]) -> None:
    done = without_terminal(environment, "tenants", "add", "--set", "afas.enviroment=test")
    assert (done.returncode, "nothing of that name is asked" in done.stderr) == (2, True)
