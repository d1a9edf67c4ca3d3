"""Fictitious tenants on both sides, with the tenants file that links them.

``world()`` fills both simulators for ``koppeling simulate``, ``koppeling demo`` and tests. What is special in it:
in each tenant one account carries the AFAS contact id of the first person, two more have the address of the second
and third, the fourth has only a secondary address, the fifth has an archived account, and two accounts (a manager
and a guest) have nothing to do with AFAS and must stay as they are. In acme the eighth person has no address at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.afas import AfasSimulator
from simulators.afas.tenant import GET_CONNECTOR, AfasTenant, Connector, FreeField, OAuthClient
from simulators.pluvo import PluvoSimulator
from simulators.pluvo.tenant import PluvoTenant
from simulators.sample_data.people import SamplePerson, people
from simulators.sample_data.tenant import OTHER_COLUMNS, SampleCourse, SampleTenant
from simulators.sample_data.tenants_file import tenants_toml as tenants_file

Row = dict[str, Any]
"""The values of one participant, as ``AfasTenant.enroll`` takes them."""


TENANTS = (
    SampleTenant(
        "acme",
        "Acme Opleidingen",
        "12345",
        100,
        (SampleCourse(340, "BHV basis", share=(0, 0.6)), SampleCourse(341, "Veilig werken", share=(0.4, 1))),
        without_address=True,
    ),
    SampleTenant(
        "borg",
        "Borg Installatietechniek",
        "23456",
        60,
        (
            SampleCourse(512, "VCA herhaling", target="group", share=(0, 0.6)),
            SampleCourse(513, "Rolsteiger", share=(0.5, 1)),
        ),
        auth="token",
        completion_type="text",
        columns=dict(OTHER_COLUMNS),
    ),
    SampleTenant(
        "delta",
        "Delta Zorggroep",
        "34567",
        40,
        (
            SampleCourse(77, "Tiltechniek", share=(0, 0.7)),
            SampleCourse(78, "Medicatieveiligheid", level="course", share=(0.5, 1)),
        ),
    ),
)


@dataclass
class World:
    """Both simulators, filled."""

    afas: AfasSimulator
    pluvo: PluvoSimulator
    tenants: tuple[SampleTenant, ...]

    def tenants_toml(self, afas_url: str, pluvo_url: str, **settings: Any) -> str:
        """Write the tenants file; see ``simulators.sample_data.tenants_file``."""
        return tenants_file(afas_url, pluvo_url, self.tenants, **settings)


def world(tenants: tuple[SampleTenant, ...] = TENANTS) -> World:
    """Fill both simulators with these tenants, the same way every time."""
    made = World(AfasSimulator(), PluvoSimulator(), tenants)
    for tenant in tenants:
        members = roster(tenant)
        _fill_afas(made.afas, tenant, members)
        _fill_pluvo(made.pluvo, tenant, members)
    return made


def roster(tenant: SampleTenant) -> list[SamplePerson]:
    """List the people of a tenant."""
    return list(people(tenant.people, seed=int(tenant.member_id), first_id=1001))


def many_tenants(count: int, people_each: int, *, first_member: int = 50_000) -> tuple[SampleTenant, ...]:
    """Invent many alike tenants of one course and five people or more, for load: ``load-001`` and on."""
    courses = (SampleCourse(100, "Load"),)
    return tuple(
        SampleTenant(f"load-{n:03}", f"Load {n:03}", str(first_member + n), people_each, courses)
        for n in range(1, count + 1)
    )


def big_roster(count: int, *, event_id: int = 340, first_id: int = 1_000_001, seed: int = 1) -> Iterator[Row]:
    """Give the rows of one large event, fit for ``AfasTenant.enroll_many``."""
    for each in people(count, seed=seed, first_id=first_id):
        yield _row(event_id, each)


def _row(event_id: int, somebody: SamplePerson) -> Row:
    return {
        "event_id": event_id,
        "internal_id": somebody.internal_id,
        "external_id": somebody.external_id,
        "name": somebody.name,
        "email_primary": somebody.email,
        "modified": "2026-11-02T09:00:00",
    }


def _fill_afas(afas: AfasSimulator, tenant: SampleTenant, members: list[SamplePerson]) -> AfasTenant:
    code = tenant.completion_field
    columns = {name: code if what == "completion" else what for what, name in tenant.columns.items()}
    free_fields = {code: FreeField("Voltooid op", "string" if tenant.completion_type == "text" else "date")}
    made = afas.add_tenant(
        tenant.member_id,
        tokens=[tenant.token] if tenant.auth == "token" else [],
        oauth_clients={tenant.slug: OAuthClient([tenant.secret("afas")])} if tenant.auth == "oauth" else {},
        connectors={GET_CONNECTOR: Connector(columns=columns)},
        free_fields=free_fields,
    )
    for course in tenant.courses:
        first, last = (round(part * len(members)) for part in course.share)
        for number in range(first, last):
            made.enroll(**_row(course.event_id, members[number]) | _special(tenant, number, members[number]))
    return made


def _special(tenant: SampleTenant, number: int, somebody: SamplePerson) -> Row:
    """Give the fourth person only a secondary address, and in some tenants the eighth none."""
    if number == 3 and "email_secondary" in tenant.columns:
        return {"email_primary": None, "email_secondary": somebody.email}
    if number == 7 and tenant.without_address:
        return {"email_primary": None}
    return {}


def _fill_pluvo(pluvo: PluvoSimulator, tenant: SampleTenant, members: list[SamplePerson]) -> PluvoTenant:
    made = pluvo.add_tenant(tenant.slug, client_id=tenant.slug, client_secret=tenant.secret("pluvo"))
    for course in tenant.courses:
        _add_course(made, course)

    def account(who: str, email: str, name: str, **values: Any) -> None:
        made.add_user(email, name, id=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{who}.{tenant.slug}.example")), **values)

    account("manager", f"beheer@{tenant.slug}.example", f"Beheer {tenant.name}", roles=["MANAGER"])
    account("guest", f"gast@{tenant.slug}.example", "Gast Account")
    first, second, third, _, fifth = members[:5]
    account("linked", f"oud.{first.email}", first.name, afasContactId=str(first.internal_id), ref=f"hr-{tenant.slug}-1")
    account("second", second.email.upper(), second.name, ref=f"hr-{tenant.slug}-2")
    account("third", third.email, third.name)
    account("fifth", fifth.email, fifth.name, archived=True, isActive=False, archivedAt="2026-10-01T08:00:00.000Z")
    return made


def _add_course(made: PluvoTenant, course: SampleCourse) -> None:
    if course.level == "course":
        made.add_offer_event(course.title, course.ref, courses=[made.add_course(course.title)["id"]])
        return
    training = made.add_training(course.title)["id"]
    if course.target == "group":
        made.add_group(course.title, course.ref, trainings=[training])
    else:
        made.add_offer_event(course.title, course.ref, trainings=[training])


def tenants_toml(afas_url: str, pluvo_url: str, **settings: Any) -> str:
    """Write the tenants file of the three default tenants; settings as for ``simulators.sample_data.tenants_file``."""
    return tenants_file(afas_url, pluvo_url, TENANTS, **settings)
