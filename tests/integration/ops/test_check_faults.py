"""Whatever is wrong on either side has a code, a cause and a next step of its own; looking changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import settings
from clients.http import tokens
from clients.pluvo.graphql import SCOPES
from models.course import Course
from models.session import session
from models.tenant_settings import CompletionRule, CourseTarget
from ops.language import SENTENCES, Language, say
from ops.problems import Problem
from ops.tenants.check import CheckDocument, check, last_check
from ops.tenants.check_findings import FindingDocument, fault
from simulators.afas.tenant import COLUMNS, COMPLETION_FIELD, GET_CONNECTOR, FreeField
from simulators.pluvo.switches import ASSUMED
from tests.fixtures.ruled import DEFAULTS, Ruled
from tests.fixtures.world import FIELDS, World

DOCS = Path(__file__).parents[3] / "docs"
MANUALS: tuple[tuple[Language, str], ...] = (("en", "manual.md"), ("nl", "handleiding.md"))
TOKEN = "0123456789ABCDEF" * 4
PEOPLE = (80, 81, 82)


@pytest.fixture
def world(shared_world: World) -> World:
    """A tenant at which nothing is wrong."""
    shared_world.reset(events=("340",))
    for internal_id in PEOPLE:
        shared_world.person(internal_id)
    return shared_world


def afas(world: World, **values: Any) -> None:
    base = {"member_id": "12345", "client_id": "koppeling", "base_url": f"{world.afas_url}/t/12345/ProfitRestServices"}
    world.set_tenant(afas=base | values)


def pluvo(world: World, **values: Any) -> None:
    base = {"organisation": "acme", "client_id": "koppeling", "calls_per_second": 0}
    world.set_tenant(pluvo=base | {"base_url": f"{world.pluvo_url}/t/acme"} | values)


def classic(world: World, token: str = TOKEN) -> None:
    world.afas.tokens.append(TOKEN)
    world.set_tenant(afas_token=token)
    afas(world, auth="token")


def course(world: World, **values: Any) -> None:
    with session() as opened:
        found = opened.get_one(Course, world.courses()[0].id)
        for name, value in values.items():
            setattr(found, name, value)
        opened.add(found)


def rule(world: World, **values: Any) -> None:
    standard = {"title": "Training 340", "field": COMPLETION_FIELD, "type": "date", "column": "Voltooid_op"}
    course(world, rules=[CompletionRule.model_validate(standard | values)])


def columns(world: World, **values: str | None) -> None:
    """Change columns of the GetConnector; None takes one out."""
    made = {name: source for name, source in (COLUMNS | values).items() if source is not None}
    world.afas.change_connector(GET_CONNECTOR, columns=made)


def free_field(world: World, **values: Any) -> None:
    world.afas.free_fields[COMPLETION_FIELD] = FreeField("Voltooid op", **values)


def in_days(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def many(world: World) -> None:
    for internal_id in range(1000, 1150):
        world.person(internal_id)


def a_column_of_the_other_name(world: World) -> None:
    columns(world, **{"Intern_ID": None, "Intern ID": "internal_id"})
    course(world, fields=FIELDS.model_copy(update={"internal_id": "Intern ID"}))


def nobody(world: World) -> None:
    for internal_id in PEOPLE:
        world.afas.remove(340, internal_id)


def a_full_page_that_is_cut(world: World) -> None:
    many(world)
    world.fault("afas", "hundred")


def a_copy_that_mails(world: World) -> None:
    afas(world, environment="test")
    world.fault("afas", "other_envid", to="T12345AA")


def ten_in_a_call(world: World) -> None:
    pluvo(world, people_per_call=10)
    world.pluvo.change_switches(max_root_fields=4)


def same_environment(world: World) -> None:
    afas = world.afas
    world.neighbour(member_id="12345")
    world.afas_simulator.tenants["12345"] = afas


def only_another_event(world: World) -> None:
    nobody(world)
    world.person(90, 341)


def a_short_text(world: World) -> None:
    free_field(world, data_type="string", length=10)
    rule(world, type="text", format="%d %B %Y")


Break = Callable[[World], Any]
FAULTS: list[tuple[str, Break]] = [
    ("connect_failed", lambda w: afas(w, base_url="http://127.0.0.1:1/t/12345/ProfitRestServices")),
    ("not_found", lambda w: afas(w, base_url=f"{w.afas_url}/t/99999/ProfitRestServices")),
    ("redirect", lambda w: w.fault("afas", "redirect")),
    ("client_refused", lambda w: w.set_tenant(afas_client_secret="fout")),
    ("wrong_environment", lambda w: w.afas.change_switches(accepts=["token"])),
    ("ip_refused", lambda w: w.afas.change_switches(ip_refused=True)),
    ("maintenance", lambda w: w.fault("afas", "maintenance")),
    ("token_refused", lambda w: classic(w, "F" * 64)),
    ("wrong_credentials", lambda w: classic(w, "no token")),
    ("token_ended", lambda w: setattr(w.afas, "token_expiry", in_days(-1))),
    ("environment_mismatch", lambda w: w.fault("afas", "other_envid", to="O99999AA")),
    ("envid_changed", lambda w: w.set_tenant(envid="O12345ZZ")),
    ("connector_missing", lambda w: w.afas.change_connector(GET_CONNECTOR, allowed=False)),
    ("connector_description", lambda w: course(w, getconnector="Deelnemers per cursusevenement")),
    ("connector_not_allowed", lambda w: w.fault("afas", "not_authorised", match={"operation": "metainfo_get"})),
    ("connector_blocked", lambda w: w.afas.change_connector(GET_CONNECTOR, blocked=True)),
    ("column_near", lambda w: columns(w, Intern_ID=None, InternId="internal_id")),
    ("column_missing", lambda w: columns(w, Email_prive=None, Email_werk=None)),
    ("column_replaced", lambda w: w.fault("afas", "replaced", column="Naam")),
    ("unusable_field", a_column_of_the_other_name),
    ("no_rows", nobody),
    ("not_a_page", lambda w: w.fault("afas", "bad_json", match={"operation": "page"}, skip=1, body='{"rows":null}')),
    ("page_cut", a_full_page_that_is_cut),
    ("contradictory_rows", lambda w: w.fault("afas", "contradicting", column="Naam", to="Anders")),
    ("updateconnector_missing", lambda w: w.afas.update_connectors.clear()),
    ("updateconnector_description", lambda w: course(w, updateconnector="Deelnemer evenement")),
    (
        "updateconnector_not_allowed",
        lambda w: w.fault("afas", "not_authorised", match={"operation": "metainfo_update"}),
    ),
    ("completion_field_missing", lambda w: rule(w, field="U" + "0" * 32)),
    ("completion_field_type", lambda w: free_field(w, data_type="boolean")),
    ("completion_field_short", a_short_text),
    ("credentials_refused", lambda w: w.set_tenant(pluvo_client_secret="fout")),
    (
        "scope_missing",
        lambda w: setattr(w.pluvo.clients["koppeling"], "scopes", [one for one in SCOPES if one != "groups.write"]),
    ),
    ("auth_refused", lambda w: w.fault("pluvo", "status", status=401, match={"operation": "offerEvent"})),
    ("not_permitted", lambda w: w.fault("pluvo", "status", status=403, match={"operation": "portfolioReport"})),
    ("operation_missing", lambda w: w.pluvo.change_switches(hidden=["Mutation.unenrollUserFromOfferEvent"])),
    ("offer_event_unknown", lambda w: course(w, pluvo=CourseTarget(offer_event_ref="fout"))),
    ("group_unknown", lambda w: course(w, pluvo=CourseTarget(group_ref="fout"))),
    ("title_unknown", lambda w: rule(w, title="Trainig 340")),
    ("title_ambiguous", lambda w: w.pluvo.add_training("Training 340", "another")),
]
WARNINGS: list[tuple[str, Break]] = [
    ("classic_token", classic),
    ("token_ends", lambda w: setattr(w.afas, "token_expiry", in_days(20))),
    ("token_ends", lambda w: afas(w, secret_ends=in_days(7))),
    ("token_end_unknown", lambda w: setattr(w.afas, "token_expiry", "eind mei")),
    ("environment_letter", lambda w: w.fault("afas", "other_envid", to="T12345AA")),
    ("environment_shared", same_environment),
    ("organisation_shared", lambda w: w.neighbour()),
    ("test_invites", a_copy_that_mails),
    ("clock_skew", lambda w: w.fault("afas", "clock", seconds=300)),
    ("clock_skew", lambda w: w.fault("pluvo", "clock", seconds=-300)),
    ("column_type", lambda w: columns(w, Email_prive="modified")),
    ("event_empty", only_another_event),
    ("page_halved", lambda w: w.afas.change_switches(cell_limit=4000)),
    ("many_columns", lambda w: columns(w, **{f"Extra_{n}": "name" for n in range(200)})),
    ("double_rows", lambda w: w.fault("afas", "doubled")),
    ("id_unreadable", lambda w: w.afas.change(340, 80, shown={"internal_id": None})),
    ("rows_rejected", lambda w: w.afas.change(340, 80, email_primary=None)),
    ("completion_unseen", lambda w: rule(w, column=None)),
    ("assumed_missing", lambda w: w.pluvo.change_switches(hidden=list(ASSUMED))),
    ("schema_hidden", lambda w: w.pluvo.change_switches(introspection=False)),
    ("users_incomplete", lambda w: w.pluvo.change_switches(count_off=1)),
    ("own_link_active", lambda w: w.pluvo.add_user("anna@example.nl", "Anna Bos", afasConnectionId="c-1")),
    ("people_per_call_refused", ten_in_a_call),
    ("no_courses", lambda w: course(w, active=False)),
]


def said(code: str, of: CheckDocument) -> FindingDocument:
    """The finding of a code. Whatever stands there is told in words."""
    for probe in of["probes"]:
        assert bool(probe["cause"]) == bool(probe["action"]) == (probe["code"] != "ok")
        assert probe["severity"] == ("fault" if not probe["ok"] else "ok" if probe["code"] == "ok" else "warning")
        assert "?" not in probe["action"]
        assert probe["code"] == "ok" or f"cause.{probe['code']}" in SENTENCES, probe
    found = [probe for probe in of["probes"] if probe["code"] == code]
    assert found, f"not among {sorted({probe['code'] for probe in of['probes']})}"
    return found[0]


def look(world: World, code: str) -> CheckDocument:
    """Check in both languages; only one of them tries, the other shows what it found."""
    world.clear_log()
    english = check("acme")
    assert world.writes() == []
    assert {entry.method for entry in world.calls("afas")} <= {"GET", "POST"}
    assert {entry.operation for entry in world.calls("afas") if entry.method == "POST"} <= {"token"}
    dutch = last_check("acme", "nl")
    here, there = said(code, english), said(code, dutch)
    assert there["parameters"] == {name: value for name, value in here["parameters"].items() if name != "said"}
    assert here["cause"] != there["cause"]
    assert here["action"] != there["action"]
    assert "?" not in here["cause"] + there["cause"]
    return english


@pytest.fixture(autouse=True)
def _forget_tokens() -> None:
    tokens._shared.clear()


def test_where_nothing_is_wrong_every_probe_is_ok(world: World) -> None:
    found = check("acme")
    assert {probe["code"] for probe in found["probes"]} == {"ok"}
    assert len({probe["probe"] for probe in found["probes"]}) >= 20
    assert found["ok"] is True


@pytest.mark.parametrize(("code", "spoil"), FAULTS, ids=[code for code, _ in FAULTS])
def test_a_fault_has_its_code_and_words_in_both_languages(world: World, code: str, spoil: Break) -> None:
    spoil(world)
    found = look(world, code)
    assert found["ok"] is False
    assert said(code, found)["ok"] is False
    faults = {probe["code"] for probe in found["probes"] if not probe["ok"]}
    assert faults == {code}, "one fault, one code"


@pytest.mark.parametrize(("code", "spoil"), WARNINGS, ids=[f"{code}-{n}" for n, (code, _) in enumerate(WARNINGS)])
def test_a_warning_has_its_code_and_words_in_both_languages(world: World, code: str, spoil: Break) -> None:
    spoil(world)
    found = look(world, code)
    assert found["ok"] is True
    assert said(code, found)["severity"] == "warning"


# What is nobody's setting: the way to a system, or how it is just now.
OF_NO_STEP = {"connect_failed", "redirect", "maintenance", "not_a_page"}


def test_each_fault_names_the_step_of_the_manual_that_was_missed() -> None:
    manual = {language: (DOCS / name).read_text(encoding="utf-8") for language, name in MANUALS}
    for code in {code for code, _ in FAULTS} - OF_NO_STEP:
        finding = fault("a probe", code)
        for language, heading in zip(manual, ("## Step {}:", "## Stap {}:"), strict=True):
            document = finding.document(language)
            assert heading.format(document["manual_step"]) in manual[language], code
            assert str(document["manual_step"]) in document["action"].rpartition("(docs/")[2], code


def test_no_two_codes_say_the_same() -> None:
    for language in ("en", "nl"):
        causes = [say(f"cause.{code}", language) for code in {code for code, _ in FAULTS + WARNINGS}]
        assert len(causes) == len(set(causes))


@pytest.mark.parametrize(("given", "ok"), [("12345_678", True), ("", True), ("12345-678", False)])
def test_the_integration_id_has_the_form_that_afas_gives(
    world: World, given: str, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_INTEGRATION_ID", given)
    settings.get.cache_clear()
    try:
        codes = {probe["code"] for probe in check("acme")["probes"]}
    finally:
        monkeypatch.undo()
        settings.get.cache_clear()
    assert ("integration_id" not in codes) is ok


def test_a_tenant_that_was_never_checked_says_so_and_the_last_check_replaces_the_one_before(world: World) -> None:
    with pytest.raises(Problem, match="koppeling check acme"):
        last_check("acme")
    world.set_tenant(pluvo_client_secret="fout")
    check("acme")
    assert last_check("acme")["ok"] is False
    world.set_tenant(pluvo_client_secret="geheim")
    first = check("acme")
    assert last_check("acme") == first


def ruled(world: World, **values: Any) -> Ruled:
    made = Ruled(world, **values)
    made.enroll(340, *PEOPLE)
    made.enroll(341, 90)
    made.target("afas-340")
    made.import_()
    return made


def test_before_the_first_run_the_courses_that_rules_would_link_are_checked(shared_world: World) -> None:
    ruled(shared_world)
    found = look(shared_world, "events_wait")
    told = "1 event that a rule covers is not linked: events that Pluvo does not know (1)."
    assert said("events_wait", found)["cause"] == told
    probes = {probe["probe"] for probe in found["probes"] if probe["code"] == "ok"}
    assert probes >= {f"getconnector {GET_CONNECTOR} (course rules)", "sample page (event 340)"}
    assert "pluvo target (event 340)" in probes
    assert found["ok"] is True
    assert shared_world.courses() == []


def test_rules_that_cover_no_event_are_told(shared_world: World) -> None:
    ruled(shared_world, rules=['events = "900-999"\noffer_event_ref = "afas-{event_id}"'])
    assert look(shared_world, "rules_cover_nothing")["ok"] is True


def test_rules_that_would_invite_people_of_a_test_environment_are_told_before_the_first_run(
    shared_world: World,
) -> None:
    invites = DEFAULTS + "[tenants.course_defaults.pluvo]\nsend_invite = true\n"
    ruled(shared_world, defaults=invites, environment="test")
    look(shared_world, "test_invites")


def test_the_connector_that_rules_share_is_checked_without_any_course(shared_world: World) -> None:
    ruled(shared_world)
    shared_world.afas.change_connector(GET_CONNECTOR, allowed=False)
    found = look(shared_world, "connector_missing")
    assert [probe["probe"] for probe in found["probes"] if not probe["ok"]] == [
        f"getconnector {GET_CONNECTOR} (course rules)"
    ]


@pytest.mark.parametrize(("days", "within"), [(60, 60), (31, 60), (30, 30), (14, 14), (8, 14), (7, 7), (0, 7)])
def test_an_end_that_comes_nearer_is_a_warning_of_its_own_each_time(world: World, days: int, within: int) -> None:
    afas(world, secret_ends=in_days(days))
    (found,) = [one for one in check("acme")["probes"] if one["code"] == "token_ends"]
    assert found["parameters"] == {"day": in_days(days), "count": days, "within": within}
    assert found["ok"]


def test_an_end_that_is_far_away_is_told_and_no_warning(world: World) -> None:
    afas(world, secret_ends=in_days(61))
    (found,) = [one for one in check("acme")["probes"] if one["probe"] == "afas token end"]
    assert (found["code"], found["parameters"]) == ("ok", {"day": in_days(61)})
