"""The fictitious tenants are the same every time, fit on both sides, and stay within invented domains."""

from __future__ import annotations

import tomllib

from simulators.sample_data.tenants import TENANTS, big_roster, many_tenants, world


def test_the_same_people_are_made_every_time() -> None:
    first, second = world(), world()

    assert first.afas.tenants["12345"].as_json()["rows"] == second.afas.tenants["12345"].as_json()["rows"]
    assert first.pluvo.tenants["acme"].users.keys() == second.pluvo.tenants["acme"].users.keys()


def test_the_tenants_file_names_what_the_simulators_have() -> None:
    made = world()
    tenants = tomllib.loads(made.tenants_toml("http://127.0.0.1:1", "http://127.0.0.1:2"))["tenants"]

    assert [each["slug"] for each in tenants] == ["acme", "borg", "delta"]
    for each in tenants:
        afas = made.afas.tenants[each["afas"]["member_id"]]
        pluvo = made.pluvo.tenants[each["slug"]]
        assert each["pluvo"]["client_secret"] == pluvo.clients[each["pluvo"]["client_id"]].secret
        for course in each["courses"]:
            connector = afas.connectors[course["getconnector"]]
            assert set(course["fields"].values()) <= set(connector.columns)
            assert connector.columns[course["fields"]["completion"]] == course["completion_field"]
            assert course["completion_field"] in afas.free_fields
            assert int(course["event_id"]) in afas.events()
            kind, ref = next((name, ref) for name, ref in course["pluvo"].items() if name.endswith("_ref"))
            records = pluvo.groups if kind == "group_ref" else pluvo.offer_events
            assert [r["ref"] for r in records.values()].count(ref) == 1
            titles = pluvo.courses if course["pluvo"]["completion_level"] == "course" else pluvo.trainings
            assert [t["title"] for t in titles.values()].count(course["pluvo"]["completion_title"]) == 1


def test_every_address_is_invented() -> None:
    made = world()
    addresses = [
        address
        for tenant in made.afas.tenants.values()
        for row in tenant.rows.values()
        for address in (row.email_primary, row.email_secondary)
        if address
    ]
    addresses += [user["email"] for tenant in made.pluvo.tenants.values() for user in tenant.users.values()]

    endings = {address.lower().partition("@")[2] for address in addresses}
    assert endings <= {"example.nl", "example.org", "example.com"} | {f"{each.slug}.example" for each in TENANTS}


def test_load_comes_in_any_size() -> None:
    rows = list(big_roster(1000))
    many = world(many_tenants(20, 10))

    assert len({row["internal_id"] for row in rows}) == len({row["email_primary"] for row in rows}) == 1000
    assert [len(tenant.rows) for tenant in many.afas.tenants.values()] == [10] * 20
