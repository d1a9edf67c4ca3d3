"""Importing, showing, pausing and removing tenants."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text, update
from sqlalchemy.exc import StatementError
from sqlmodel import select

import settings
from models.blackouts import WEEK
from models.crypto import SecretDamaged, SecretUnreadable, decrypt, encrypt, fingerprint
from models.direction import Direction
from models.run import RunOptions
from models.session import session, transaction
from models.stored_secrets import stored_under
from models.tables import metadata
from models.tenant import Tenant
from ops import access, status
from ops.access import Actor, Role
from ops.people import links
from ops.problems import FileProblems, Problem
from ops.runs import start, timetable
from ops.tenants import export, file, importing, manage, reference
from ops.tenants.importing import Imported
from tenancy import health
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar
from tests.unit.ops.tenants.test_file import GOOD, OWN, WITH_RULES

Import = Callable[[str], list[Imported]]

CLIENT_SECRET = "acme/afas_client_secret"


def test_importing_the_same_file_again_changes_nothing(import_text: Import) -> None:
    # given
    (first,) = import_text(GOOD)
    # when
    (second,) = import_text(GOOD)
    # then
    assert (first.action, second.action, second.changes) == ("created", "unchanged", [])
    assert scalar("SELECT settings_version FROM tenant") == 1
    assert scalar("SELECT count(*) FROM tenant_direction WHERE next_run_at > now()") == 2


def test_an_update_says_what_changed_and_never_a_secret(import_text: Import) -> None:
    import_text(GOOD)
    (done,) = import_text(GOOD.replace('"s1"', '"hush"\nparallel_calls = 4').replace("Naam", "Volledige_naam"))
    assert done.changes == [
        "afas.parallel_calls: 2 → 4",
        "afas.client_secret: changed",
        "course 340: fields.name: Naam → Volledige_naam",
    ]
    assert scalar("SELECT settings_version FROM tenant") == 2
    assert "hush" not in str(scalar("SELECT jsonb_agg(to_jsonb(o)) FROM operator_action o"))


def test_secrets_are_stored_encrypted_and_never_shown(acme: int) -> None:
    stored = bytes(scalar("SELECT pluvo_client_secret FROM tenant WHERE id = :id", id=acme))
    assert stored != b"s2"
    assert decrypt(stored, "acme/pluvo_client_secret") == "s2"
    assert manage.show("acme")["secrets"]["pluvo_client_secret"] is True
    assert "'s2'" not in str(manage.show("acme"))


def test_a_course_that_left_the_file_becomes_inactive_and_may_come_back(import_text: Import) -> None:
    import_text(GOOD)
    (gone,) = import_text(GOOD[: GOOD.index("[[tenants.courses]]")])
    assert gone.changes == ["course 340: inactive, no longer in the file"]
    assert scalar("SELECT active FROM course") is False
    (back,) = import_text(GOOD)
    assert back.changes == ["course 340: active: False → True"]


def test_another_target_says_what_becomes_of_its_people(import_text: Import) -> None:
    import_text(GOOD)
    (done,) = import_text(GOOD.replace('"afas-340"', '"afas-340-new"'))
    assert done.changes[0] == "course 340: pluvo.offer_event_ref: afas-340 → afas-340-new"
    assert "enrolled there by the next run" in done.changes[1]
    assert scalar("SELECT target FROM course") == "offer_event:afas-340-new"


def test_a_token_made_here_outlives_a_file_that_has_none(import_text: Import) -> None:
    # given a tenant whose token was made with `koppeling token`
    token = GOOD.replace('client_id = "app"\nclient_secret = "s1"', 'auth = "token"')
    (first,) = import_text(token)
    run_sql("UPDATE tenant SET afas_token = :token", token=encrypt("a token", "acme/afas_token"))
    # when
    (again,) = import_text(token.replace("Acme Opleidingen", "Acme"))
    # then
    assert first.changes[-1] == "no AFAS token yet: make one with `koppeling token acme`"
    assert again.changes == ["name: Acme Opleidingen → Acme"]
    assert decrypt(scalar("SELECT afas_token FROM tenant"), "acme/afas_token") == "a token"


def test_an_import_repairs_secrets_that_are_damaged(import_text: Import) -> None:
    import_text(GOOD)
    run_sql("UPDATE tenant SET afas_client_secret = substring(afas_client_secret FROM 1 FOR 20)")
    (again,) = import_text(GOOD)
    assert again.changes == ["afas.client_secret: set"]
    assert decrypt(scalar("SELECT afas_client_secret FROM tenant"), CLIENT_SECRET) == "s1"


def test_secrets_under_a_key_that_is_not_here_are_replaced_only_when_told(
    import_text: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given what is stored under a key, and another key in its place
    import_text(GOOD + GOOD.replace('slug = "acme"', 'slug = "borg"').replace('"acme"', '"borg"'))
    lost = fingerprint(settings.get().secret_keys[0]).hex()
    monkeypatch.setenv("KOPPELING_SECRET_KEYS", Fernet.generate_key().decode())
    settings.get.cache_clear()

    # when it is not said that the key is lost, nothing is written under the new one
    with pytest.raises(SecretUnreadable, match=lost):
        import_text(GOOD)
    with transaction() as connection:
        assert stored_under(connection) == [lost]

    # and when it is
    parsed = file.parse(GOOD, name="tenants.toml", folder=Path())
    (again,) = importing.apply(parsed, "tester", replace_lost=True)

    # then this tenant is readable again, and the others are named
    assert "afas.client_secret: set" in again.changes
    assert decrypt(scalar("SELECT afas_client_secret FROM tenant WHERE slug = 'acme'"), CLIENT_SECRET) == "s1"
    assert importing.under_lost_keys() == ["borg"]


def test_links_tie_a_tenant_to_its_pluvo_organisation(import_text: Import) -> None:
    import_text(GOOD)
    links.set_link("acme", "80", "0b0e1f00-0000-4000-8000-000000000001", who="tester")
    with pytest.raises(Problem, match="1 people are linked to accounts of acme"):
        import_text(GOOD.replace('organisation = "acme"', 'organisation = "other"'))
    assert scalar("SELECT pluvo ->> 'organisation' FROM tenant") == "acme"


def test_links_tie_a_tenant_to_its_afas_member(import_text: Import) -> None:
    import_text(GOOD)
    other = GOOD.replace("O12345AA", "O67890AA")
    (changed,) = import_text(other)  # nobody is linked yet
    assert "afas.member_id: 12345 → 67890" in changed.changes
    links.set_link("acme", "80", "0b0e1f00-0000-4000-8000-000000000001", who="tester")
    with pytest.raises(Problem, match="1 people are linked to accounts of acme by their ids at AFAS member 67890"):
        import_text(GOOD)
    assert scalar("SELECT afas ->> 'member_id' FROM tenant") == "67890"


@pytest.mark.parametrize("how", ["name", "address"])
def test_two_tenants_of_one_pluvo_organisation_are_warned_of(import_text: Import, how: str) -> None:
    organisation = (
        'organisation = "ACME"' if how == "name" else 'organisation = "x"\nbase_url = "https://acme.pluvo.com/"'
    )
    second = GOOD.replace("O12345AA", "O67890AA").replace('slug = "acme"', 'slug = "borg"')
    done = import_text(GOOD + second.replace('organisation = "acme"', organisation))
    assert [bool(one.warnings) for one in done] == [True, True]
    assert "with borg" in done[0].warnings[0]
    assert "with acme" in done[1].warnings[0]


def test_a_tenant_that_one_may_not_see_is_not_named_where_an_organisation_is_shared(import_text: Import) -> None:
    import_text(GOOD + GOOD.replace("O12345AA", "O67890AA").replace('slug = "acme"', 'slug = "borg"'))
    with access.acting(Actor("anna", Role.ADMIN, frozenset({"acme"}))):
        (done,) = import_text(GOOD.replace("Acme Opleidingen", "Acme"))
        assert done.warnings[0].startswith("shares the Pluvo organisation acme with another tenant:")
        with pytest.raises(Problem, match="acme and another tenant have the same AFAS member_id"):
            import_text(GOOD.replace("O12345AA", "O67890AA"))


def test_one_afas_member_and_one_pluvo_organisation_make_one_tenant(import_text: Import) -> None:
    import_text(GOOD)
    with pytest.raises(Problem, match="borg and acme have the same AFAS member_id and the same Pluvo organisation"):
        import_text(GOOD.replace('slug = "acme"', 'slug = "borg"'))
    assert scalar("SELECT count(*) FROM tenant") == 1


def test_one_bad_tenant_keeps_the_whole_file_out(import_text: Import) -> None:
    second = GOOD.replace('slug = "acme"', 'slug = "Borg"')
    with pytest.raises(Problem):
        import_text(GOOD + second)
    assert scalar("SELECT count(*) FROM tenant") == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"s1"', '"another"'),
        ('"s2"', '"another"'),
        ('client_id = "app"', 'client_id = "app2"'),
        ('getconnector = "Deelnemers"', 'getconnector = "Deelnemer"'),
    ],
)
def test_changed_secrets_addresses_and_courses_end_a_quarantine_at_once_and_no_pause(
    import_text: Import, old: str, new: str
) -> None:
    import_text(GOOD)
    assert old in GOOD
    tenant = scalar("SELECT id FROM tenant")
    with transaction() as connection:
        health.quarantine(connection, tenant, "enrollments", "token_refused", "no", None)
    manage.pause("acme", reason="moving", direction="completions", who="tester")

    (other,) = import_text(GOOD.replace("Acme Opleidingen", "Acme"))
    assert scalar("SELECT state FROM tenant_direction WHERE direction = 'enrollments'") == "quarantined"
    (again,) = import_text(GOOD.replace("Acme Opleidingen", "Acme").replace(old, new))

    assert other.changes == ["name: Acme Opleidingen → Acme"]
    assert again.changes[-1] == "enrollments: no longer quarantined"
    assert scalar("SELECT state FROM tenant_direction WHERE direction = 'enrollments'") == "healthy"
    assert scalar("SELECT state FROM tenant_direction WHERE direction = 'completions'") == "paused"
    assert scalar("SELECT count(*) FROM alert WHERE closed_at IS NULL") == 0


@pytest.mark.parametrize("beginning", ["sync", "resume"])
def test_the_timetable_of_a_new_tenant_begins_when_somebody_begins_it(import_text: Import, beginning: str) -> None:
    # given a tenant that is due, and that nobody has looked at
    import_text(GOOD)
    run_sql("UPDATE tenant_direction SET next_run_at = now() - interval '1 minute'")
    assert timetable.request_due() == 0
    options: RunOptions = {"person": "80"}
    start.start(Direction.ENROLLMENTS, ["acme"], everyone=False, options=options, need_worker=False)
    assert timetable.request_due() == 0
    # when
    if beginning == "sync":
        start.start(Direction.ENROLLMENTS, ["acme"], everyone=False, options={}, need_worker=False)
    else:
        assert manage.resume("acme", direction=None, who="tester") == ["enrollments", "completions"]
    # then both directions are in the timetable, also after the next import
    import_text(GOOD.replace("Acme Opleidingen", "Acme"))
    assert timetable.request_due() == 2


def test_a_pause_of_one_direction_leaves_the_other_alone(acme: int) -> None:
    assert manage.pause("acme", reason="moving", direction="completions", who="tester") == ["completions"]
    (item,) = manage.listing().items
    assert (item["enrollments"]["state"], item["completions"]["state"]) == ("new", "paused")
    assert item["completions"]["reason"] == "moving"
    assert manage.resume("acme", direction="completions", who="tester") == ["completions"]
    assert manage.resume("acme", direction="completions", who="tester") == []


def test_removing_a_tenant_erases_every_row_of_it_and_none_of_others(import_text: Import) -> None:
    # given two tenants, one with people, a dead letter and history
    import_text(GOOD + GOOD.replace('slug = "acme"', 'slug = "borg"').replace('"acme"', '"borg"'))
    acme, borg = scalar("SELECT min(id) FROM tenant"), scalar("SELECT max(id) FROM tenant")
    add_dead_letter(acme, add_enrollment(acme, "80"))
    add_dead_letter(borg, add_enrollment(borg, "80"))
    links.set_link("acme", "80", "0b0e1f00-0000-4000-8000-000000000001", who="tester")
    # when
    gone = manage.remove("acme", who="tester")
    # then
    assert gone["person"] == gone["enrollment"] == gone["dead_letter"] == gone["tenant"] == 1
    with transaction() as connection:
        for table in metadata.sorted_tables:
            if "tenant_id" in table.c:
                left = set(connection.execute(table.select().with_only_columns(table.c.tenant_id)).scalars())
                assert left <= {borg, None}, table.name
    assert scalar("SELECT count(*) FROM person") == 1
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'tenants remove'") == 1


def test_tenants_are_listed_in_pages(import_text: Import) -> None:
    import_text("".join(GOOD.replace('"acme"', f'"t{number}"') for number in range(5)))
    first = manage.listing(limit=3)
    rest = manage.listing(limit=3, cursor=first.next)
    assert [item["slug"] for item in first.items + rest.items] == ["t0", "t1", "t2", "t3", "t4"]
    assert rest.next is None


def test_rotating_keys_puts_every_secret_under_the_first_one(
    import_text: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given secrets under the old key, and a new key in front of it
    import_text(GOOD)
    old = settings.get().secret_keys[0]
    new = Fernet.generate_key().decode()
    monkeypatch.setenv("KOPPELING_SECRET_KEYS", f"{new},{old}")
    settings.get.cache_clear()

    # when
    changed = manage.rotate_keys(who="op")

    # then the new key alone reads them all
    monkeypatch.setenv("KOPPELING_SECRET_KEYS", new)
    settings.get.cache_clear()
    stored = scalar("SELECT afas_client_secret FROM tenant")
    assert changed >= 2
    assert decrypt(stored, CLIENT_SECRET) == "s1"
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'tenants rotate-keys'") == 1


def test_a_secret_opens_only_for_its_tenant_and_in_its_column(import_text: Import) -> None:
    import_text(GOOD + GOOD.replace('slug = "acme"', 'slug = "borg"').replace('"acme"', '"borg"'))
    with session() as opened:
        both = opened.exec(select(Tenant).order_by(Tenant.slug)).all()
        assert [(tenant.afas_client_secret, tenant.pluvo_client_secret) for tenant in both] == [("s1", "s2")] * 2

    for moved in (
        "afas_client_secret = (SELECT afas_client_secret FROM tenant WHERE slug = 'borg')",
        "afas_client_secret = pluvo_client_secret",
    ):
        run_sql(f"UPDATE tenant SET {moved} WHERE slug = 'acme'")
        with session() as opened, pytest.raises(SecretDamaged, match="not where it belongs"):
            opened.exec(select(Tenant).where(Tenant.slug == "acme")).one()
    with session() as opened:
        assert opened.exec(select(Tenant).where(Tenant.slug == "borg")).one().afas_client_secret == "s1"


def test_a_changed_secret_is_stored_and_an_unchanged_one_is_not_written_again(acme: int) -> None:
    before = scalar("SELECT pluvo_client_secret FROM tenant")
    with session() as opened:
        tenant = opened.get_one(Tenant, acme)
        tenant.afas_client_secret, tenant.name = "s3", "Another name"
        opened.add(tenant)
    with session() as opened:
        tenant = opened.get_one(Tenant, acme)
        opened.refresh(tenant)
        assert (tenant.afas_client_secret, tenant.pluvo_client_secret) == ("s3", "s2")
        assert not opened.is_modified(tenant)
    assert scalar("SELECT pluvo_client_secret FROM tenant") == before


def test_a_secret_is_not_stored_without_its_place(acme: int) -> None:
    with session() as opened, pytest.raises(StatementError, match="knows where it belongs"):
        opened.connection().execute(update(Tenant).values(afas_token="x"))


def test_rules_and_what_courses_share_are_stored_once_and_said_when_they_change(import_text: Import) -> None:
    # given
    import_text(WITH_RULES)
    (again,) = import_text(WITH_RULES)
    assert (again.action, again.changes) == ("unchanged", [])
    # when
    (done,) = import_text(WITH_RULES.replace('"all"', '["340", "350-399"]').replace('"Deelnemers"', '"Cursisten"'))
    # then
    assert done.changes == [
        "course_defaults.getconnector: Deelnemers → Cursisten",
        "course rule 1: 340, 350-399 → afas-{event_id}",
        "what they link changes in the next run",
    ]
    # and
    (gone,) = import_text(WITH_RULES[: WITH_RULES.index("[[tenants.course_rules]]")])
    assert "course rules: none any more" in gone.changes


def test_a_change_of_the_rules_lets_only_what_they_linked_become_inactive(import_text: Import) -> None:
    # given: a block, and two events that a rule linked
    import_text(WITH_RULES + OWN)
    columns = "tenant_id, getconnector, updateconnector, fields, pluvo"
    for event in ("350", "360"):
        run_sql(
            f"INSERT INTO course (event_id, rule, {columns}) SELECT :event, 'all', {columns} FROM course LIMIT 1",
            event=event,
        )
    # when
    (done,) = import_text(WITH_RULES.replace('"all"', '"350"') + OWN)
    # then
    assert "courses of rules: 1 inactive, no rule covers them any more; nobody is removed" in done.changes
    active = scalar("SELECT jsonb_object_agg(event_id, active) FROM course")
    assert active == {"340": True, "350": True, "360": False}
    # and: a block takes over what a rule linked
    (done,) = import_text(WITH_RULES + OWN + OWN.replace('"340"', '"350"'))
    assert "course 350: linked by a block of its own, not by a rule any more" in done.changes
    assert scalar("SELECT rule FROM course WHERE event_id = '350'") is None


def imported_again(text: str) -> Imported:
    (done,) = importing.apply(file.parse(text, name="f", folder=Path(), keep_secrets=True), "tester")
    return done


# One course has the completions that all share, another none, a third a place of its own.
SHARED = (
    GOOD.replace('completion_field = "UC3B61455480EEFAFE78EBC831C6E1B30"\n', "completions = []\n")
    .replace('completion_title = "BHV basis"\n', "")
    .replace(
        "[[tenants.courses]]",
        """[tenants.course_defaults]
completion_field = "U0"
[tenants.course_defaults.fields]
name = "Naam"
[[tenants.course_defaults.completions]]
title = "Module 2"
field = "U2"
column = "Voltooid_op"
[[tenants.courses]]""",
    )
    + """[[tenants.courses]]
event_id = "341"
getconnector = "Deelnemers"
fields = { event_id = "CrId", internal_id = "Id", external_id = "Ext", email_primary = "Mail", completion = "Done" }
pluvo = { group_ref = "g" }
"""
)
SECRETS = {
    "AFAS_CLIENT_SECRET_ACME": "s1",
    "PLUVO_CLIENT_SECRET_ACME": "s2",
    "WEBHOOK_SECRET_ACME": "s3",
}


@pytest.mark.parametrize("secrets", ["given", "left out"])
@pytest.mark.parametrize(
    "text", [GOOD, reference.example(), WITH_RULES + OWN, SHARED], ids=["short", "every key", "rules", "shared"]
)
def test_what_is_exported_is_imported_without_a_change(
    import_text: Import, monkeypatch: pytest.MonkeyPatch, text: str, secrets: str
) -> None:
    # given
    text = text.replace('"the client\'s secret"', '"s1"', 1).replace('"the client\'s secret"', '"s2"')
    import_text(text.replace("the webhook's secret", "s3"))
    # when
    written = export.exported("acme")
    assert not {"s1", "s2", "s3"} & set(written.replace('"', " ").split())
    if secrets == "given":
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)
    else:
        written = export.exported("acme", to_edit=True)
    # then
    done = imported_again(written)
    assert (done.action, done.changes) == ("unchanged", [])


def test_an_export_asks_for_secrets_by_the_names_of_variables(acme: int) -> None:
    with pytest.raises(Problem, match=r"AFAS_CLIENT_SECRET_ACME is not set \(a key that is left out keeps"):
        imported_again(export.exported("acme"))


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        ('member_id = "12345"', 'member_id = "67890"', "afas.client_secret"),
        ('environment = "production"', 'environment = "test"', "afas.client_secret"),
        ('organisation = "acme"', 'organisation = "other"', "pluvo.client_secret"),
    ],
)
def test_a_stored_secret_is_sent_to_no_other_address(acme: int, old: str, new: str, lacking: str) -> None:
    written = export.exported("acme", to_edit=True)
    assert old in written
    with pytest.raises(Problem, match=f"acme: {lacking} missing"):
        imported_again(written.replace(old, new))


def test_every_secret_that_lacks_is_named(acme: int) -> None:
    written = export.exported("acme", to_edit=True).replace("12345", "67890").replace('"acme"', '"other"')
    written = written.replace('slug = "other"', 'slug = "acme"')
    written += '\n[tenants.alerts]\nwebhook = "https://example.nl/hook"\n'
    with pytest.raises(Problem, match=r"afas\.client_secret, pluvo\.client_secret and alerts\.webhook_secret"):
        imported_again(written)


def test_a_token_is_not_kept_for_another_address(import_text: Import) -> None:
    import_text(GOOD.replace('client_id = "app"\nclient_secret = "s1"', f'auth = "token"\ntoken = "{"A" * 64}"'))
    written = export.exported("acme", to_edit=True)
    assert imported_again(written).action == "unchanged"
    done = imported_again(written.replace('"12345"', '"67890"'))
    assert "afas.token: removed" in done.changes
    assert scalar("SELECT afas_token FROM tenant") is None


def test_a_webhook_secret_is_taken_away_only_when_told(import_text: Import) -> None:
    import_text(GOOD.replace('"s2"', '"s2"\nwebhook_secret = "s3"'))
    assert import_text(GOOD)[0].action == "unchanged"
    assert import_text(GOOD.replace('"s2"', '"s2"\nwebhook_secret = ""'))[0].changes == [
        "pluvo.webhook_secret: removed"
    ]


def test_a_new_tenant_needs_its_secrets(import_text: Import) -> None:
    with pytest.raises(Problem, match=r"acme: afas.client_secret and pluvo.client_secret missing"):
        imported_again(GOOD.replace('client_secret = "s1"\n', "").replace('client_secret = "s2"\n', ""))
    assert scalar("SELECT count(*) FROM tenant") == 0


def test_a_test_environment_is_flagged_and_told_that_it_invites_nobody(import_text: Import) -> None:
    test = GOOD.replace('client_id = "app"', 'client_id = "app"\nenvironment = "test"')
    (done,) = import_text(test.replace('"afas-340"', '"afas-340"\nsend_invite = true'))
    assert done.warnings[0].startswith("send_invite is ignored: this is an AFAS environment for test")
    assert manage.show("acme")["environment"] == manage.listing().items[0]["environment"] == "test"
    assert status.document()["tenants"][0]["environment"] == "test"


def test_a_test_environment_whose_rules_would_invite_is_told_so_too(import_text: Import) -> None:
    (done,) = import_text(WITH_RULES.replace('client_id = "app"', 'client_id = "app"\nenvironment = "test"'))
    assert [one[:22] for one in done.warnings] == ["send_invite is ignored"]


def courses_at_random(chance: random.Random) -> str:
    """Courses and what they share, in any mixture that a file may have; some are refused."""

    def some(*lines: str) -> list[str]:
        return [line for line in lines if chance.random() < 0.5]

    table = "tenants.course_defaults"
    columns = {"event_id": "A", "internal_id": "B", "external_id": "C", "name": "D", "email_primary": "E"}
    written = [f"[{table}]", 'getconnector = "G"']
    written += some('completion_field = "U1"', 'completion_type = "text"', 'completion_format = "%d-%m-%Y"')
    written += some("completions = []") or [""]
    written += [f"[{table}.fields]", *(f'{key} = "{column}"' for key, column in columns.items())]
    written += some('completion = "W"', 'modified = "M"', 'blocked = "X"')
    written += [
        f"[{table}.pluvo]",
        *some("send_invite = true", 'completion_title = "T"', 'completion_level = "course"'),
    ]
    written += some('offer_event_ref = "shared"', 'group_ref = "shared-group"')
    for event in (340, 341, 342):
        written += ["[[tenants.courses]]", f'event_id = "{event}"']
        written += some('completion_field = "U2"', 'completion_format = "%Y-%m-%d"', 'completion_type = "date"')
        written += some("completions = []")
        written += ["[tenants.courses.fields]", *some('completion = "V"', 'modified = "N"')]
        written += ["[tenants.courses.pluvo]", *some("send_invite = false", 'completion_title = "S"')]
        places = ("", f'offer_event_ref = "o-{event}"', 'group_ref = "shared-group"', 'offer_event_ref = "shared"')
        written.append(chance.choice(places))
        if "completions = []" not in written[written.index(f'event_id = "{event}"') :]:
            for number in range(chance.choice((0, 0, 1, 2))):
                written += ["[[tenants.courses.completions]]", f'title = "R{number}"', f'field = "U{number + 3}"']
                written += some('column = "V"', 'type = "date"', 'format = "%d-%m-%Y"', 'level = "course"')
    return "\n".join(written)


ALWAYS_AT_WORK = """\
[[tenants.blackout]]
days = ["fri", "mon"]
hours = "08:00 - 17:30"
[[tenants.blackout]]
hours = "18:00-16:30"
"""


def test_a_blackout_counts_for_the_next_run_at_once_and_so_does_its_end(import_text: Import) -> None:
    import_text(GOOD)
    # when nearly the whole day is covered
    (done,) = import_text(GOOD + ALWAYS_AT_WORK)
    # then
    assert done.changes == ["blackout: none → mon, fri 08:00-17:30; 18:00-16:30"]
    zone = ZoneInfo("Europe/Amsterdam")
    times = [at.astimezone(zone) for at in next_runs()]
    assert all(time(17 if at.weekday() in (0, 4) else 16, 30) <= at.time() < time(18) for at in times)
    assert manage.show("acme")["blackout"][1] == {"days": list(WEEK), "hours": "18:00-16:30"}
    # and when it is not any more
    (done,) = import_text(GOOD)
    assert done.changes == ["blackout: mon, fri 08:00-17:30; 18:00-16:30 → none"]
    assert all(at < datetime.now(UTC) + timedelta(hours=1) for at in next_runs())


def next_runs() -> list[datetime]:
    with transaction() as connection:
        return list(connection.execute(text("SELECT next_run_at FROM tenant_direction")).scalars())


def test_whatever_is_imported_its_export_changes_nothing(import_text: Import) -> None:
    chance, tried = random.Random(7), 0
    head = GOOD[: GOOD.index("[[tenants.courses]]")]
    for _ in range(150):
        text = head + chance.choice(("", ALWAYS_AT_WORK)) + courses_at_random(chance)
        try:
            import_text(text)
        except FileProblems:
            continue
        written = export.exported("acme", to_edit=True)
        done = imported_again(written)
        assert (done.action, done.changes) == ("unchanged", []), f"{text}\n\n{written}"
        tried += 1
    assert tried > 40


def test_a_dry_run_of_an_import_tells_whom_it_concerns_and_stores_nothing(import_text: Import, acme: int) -> None:
    # given two people in a course that the new file no longer has, and another name
    for internal_id in ("80", "81"):
        add_enrollment(acme, internal_id)
    before = scalar("SELECT to_jsonb(t) FROM tenant t")
    other = GOOD.partition("[[tenants.courses]]")[0].replace("Acme Opleidingen", "Acme")
    specs = file.parse(other, name="tenants.toml", folder=Path())
    # when
    (told,) = importing.apply(specs, "tester", dry_run=True)
    # then
    assert told.action == "updated"
    assert "name: Acme Opleidingen → Acme" in told.changes
    assert "course 340: inactive, no longer in the file" in told.changes
    assert told.warnings == [
        "switched off: 340. Of 2 enrolled people nobody is taken out, and nothing changes any more"
    ]
    assert scalar("SELECT to_jsonb(t) FROM tenant t") == before
    assert scalar("SELECT active FROM course") is True
    assert scalar("SELECT count(*) FROM operator_action") == 1
    # and the import itself says the same
    assert importing.apply(specs, "tester") == [told]


@pytest.mark.parametrize(
    ("auth", "noted", "told", "shown"),
    [
        ("oauth", None, None, None),
        ("oauth", "2027-05-01", None, "2027-05-01"),
        ("oauth", "2027-05-01", "2027-04-01", "2027-04-01"),
        ("token", None, "2027-02-03", "2027-02-03"),
        ("token", "2027-01-01", None, None),
    ],
)
def test_until_when_the_credentials_work_is_listed_as_noted_or_as_afas_told_last(
    acme: int, auth: str, noted: str | None, told: str | None, shown: str | None
) -> None:
    ways = json.dumps({"auth": auth, "secret_ends": noted})
    run_sql("UPDATE tenant SET afas = afas || CAST(:ways AS jsonb)", ways=ways)
    parameters = {"day": told} if told else {}
    findings = json.dumps(
        [
            {"probe": "afas token end", "ok": True, "code": "ok", "parameters": parameters},
            {"probe": "afas environment", "ok": True, "code": "ok", "parameters": {"day": "2001-01-01"}},
        ]
    )
    run_sql(
        "INSERT INTO tenant_check (tenant_id, checked_at, findings)"
        " VALUES (:tenant, now() + interval '1 second', CAST(:findings AS jsonb))",
        tenant=acme,
        findings=findings,
    )
    ends = date.fromisoformat(shown) if shown else None
    assert [one["afas_ends"] for one in manage.listing().items] == [ends]
    assert manage.show("acme")["afas_ends"] == ends


def test_what_a_check_found_of_credentials_that_were_replaced_is_not_listed(acme: int) -> None:
    findings = json.dumps([{"probe": "afas token end", "ok": True, "code": "ok", "parameters": {"day": "2027-02-03"}}])
    run_sql(
        "INSERT INTO tenant_check (tenant_id, checked_at, findings)"
        " VALUES (:tenant, now() - interval '1 hour', CAST(:findings AS jsonb))",
        tenant=acme,
        findings=findings,
    )
    assert [one["afas_ends"] for one in manage.listing().items] == [None]
