"""Whatever AFAS holds: an outcome of its own or taken literally; the neighbours go on."""

from __future__ import annotations

from typing import Any

import pytest

from ops.tenants import manage
from tests.fixtures.looking import enrolled, outcomes, reasons
from tests.fixtures.world import World

LITERAL = {
    "html": "<script>alert('x')</script>",
    "graphql": '"}) { id } deleteUser(id: "1") { ok } #',
    "sql": "Robert'); DROP TABLE person;--",
    "csv": '=HYPERLINK("http://example.com")',
    "shell": "$(reboot) `id` ; rm -rf / &",
    "right to left": "\u0645\u062d\u0645\u062f \u202eabc\u202c",
    "combining": "Zoe\u0308 A\u030angstro\u0308m",
    "emoji with joiner": "Ann \U0001f469\u200d\U0001f4bb",
    "format": "%s {0} {name!r} \\u0000 \\x00",
    "quotes": 'O\'Brien "de" \\ slash',
    "long": "N" * 1500,
    "json": '{"a": [1, null]}',
    "null word": "null",
}
# Letters that no compression makes short
LONG = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(20000))
REJECTED = {
    "control character": ({"name": "Jan\x07sen"}, "bad_name"),
    "NUL": ({"name": "Jan\x00sen"}, "bad_name"),
    "far too long a name": ({"name": "N" * 2001}, "bad_name"),
    "blank name": ({"name": " \t\n "}, "no_name"),
    "no name": ({"name": None}, "no_name"),
    "no address": ({"email_primary": None}, "no_email"),
    "two addresses": ({"email_primary": "a@example.nl; b@example.nl"}, "bad_email"),
    "space inside": ({"email_primary": "a b@example.nl"}, "bad_email"),
    "no domain": ({"email_primary": "a@b"}, "bad_email"),
    "very long address": ({"email_primary": "a" * 300 + "@example.nl"}, "bad_email"),
    "address too long for an index": ({"email_primary": LONG + "@example.nl"}, "bad_email"),
    "NUL in address": ({"email_primary": "a\x00@example.nl"}, "bad_email"),
    "newline in address": ({"email_primary": "a@example.nl\nBcc: b@example.nl"}, "bad_email"),
    "override in address": ({"email_primary": "a\u202e@example.nl"}, "bad_email"),
    "markup in address": ({"email_primary": "<script>@example.nl"}, "bad_email"),
    "sql in address": ({"email_primary": "a'); DROP TABLE link;--"}, "bad_email"),
}


@pytest.mark.parametrize("name", LITERAL.values(), ids=LITERAL)
def test_odd_name_is_taken_literally(world: World, name: str) -> None:
    # given
    world.person(79)
    world.person(80, name=name, external_id=name[:15])
    world.person(81)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"created": 3}
    assert world.user("p80@example.nl")["name"] == " ".join(name.split())
    assert outcomes(world.sync()) == {"unchanged": 3}


@pytest.mark.parametrize(("values", "reason"), REJECTED.values(), ids=REJECTED)
def test_row_that_cannot_be_used_is_rejected_alone(world: World, values: dict[str, Any], reason: str) -> None:
    # given
    world.person(79)
    world.person(80, **values)
    world.person(81)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"created": 2, "rejected": 1}
    assert reasons(world, run)["80"] == ("rejected", reason)
    assert enrolled(world) == {"p79@example.nl", "p81@example.nl"}
    # and is remembered for who asks
    assert world.rows("SELECT reason FROM enrollment WHERE outcome = 'rejected'") == [{"reason": reason}]


def test_address_with_odd_letters_is_kept_as_given_and_compared_folded(world: World) -> None:
    world.person(80, email_primary="Jos\u00c9.Stra\u00dfe@Example.NL")
    world.sync()
    assert world.user("jos\u00e9.stra\u00dfe@example.nl")["email"] == "Jos\u00c9.Stra\u00dfe@Example.NL"
    world.afas.set_email(80, "JOS\u00c9.STRASSE@example.nl")
    assert outcomes(world.sync()) == {"updated": 1}
    assert len(world.pluvo.users) == 1
    assert outcomes(world.sync()) == {"unchanged": 1}


def test_person_who_was_good_and_becomes_unusable_stays_as_they_are(world: World) -> None:
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 0, "limits": {}})
    world.person(80)
    world.person(81)
    world.sync()
    world.afas.rename(80, None)
    run = world.sync()
    assert outcomes(run) == {"unchanged": 1, "rejected": 1}
    assert (run.removed, run.held_removals) == (0, 0)
    assert enrolled(world) == {"p80@example.nl", "p81@example.nl"}


def test_rows_without_an_internal_id_are_rejected_one_by_one(world: World) -> None:
    # given a connector whose id column is empty for some
    world.person(80)
    world.person(81)
    world.sync()
    world.afas.connectors["Deelnemer_per_cursusevenement"].columns["Nummer"] = "external_id"
    world.rows("""UPDATE course SET fields = fields || '{"internal_id": "Nummer"}' RETURNING id""")
    world.person(82, external_id=None)
    world.person(83, external_id=" ")
    run = world.sync()
    assert outcomes(run)["rejected"] == 2
    assert [line["reason"] for line in world.rows("SELECT reason FROM plan_line WHERE outcome = 'rejected'")] == [
        "no_internal_id",
        "no_internal_id",
    ]


def test_settings_of_a_newer_version_stop_their_tenant_and_bury_nothing(world: World) -> None:
    # given a message, and a newer koppeling on another machine that allows more people in a call
    world.person(80)
    world.begin()
    allow = "UPDATE tenant SET pluvo = pluvo || jsonb_build_object('people_per_call', :n) WHERE id = :t RETURNING id"
    world.rows(allow, n=99, t=world.tenant_id)
    # when
    world.drain(1)
    # then
    state = "SELECT state, reason FROM tenant_direction WHERE tenant_id = :t AND direction = 'enrollments'"
    assert world.rows(state, t=world.tenant_id) == [{"state": "quarantined", "reason": "settings_unread"}]
    [alert] = world.rows("SELECT text FROM alert WHERE kind = 'quarantine' AND closed_at IS NULL")
    assert "people_per_call" in alert["text"]
    assert world.rows("SELECT attempts FROM message") == [{"attempts": 0}]
    assert world.rows("SELECT id FROM dead_letter") == []
    # and once it is readable again all goes on
    world.rows(allow, n=2, t=world.tenant_id)
    manage.resume("acme", direction=None, who="tester")
    world.drain()
    assert enrolled(world) == {"p80@example.nl"}
