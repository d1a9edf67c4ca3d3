"""A customer that nobody set up yet: an AFAS and a Pluvo on the simulators of the desk, and the right answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from ops.tenants import onboarding, onboarding_store
from ops.tenants.onboarding import Draft
from ops.tenants.onboarding_steps import step_of
from simulators.afas.tenant import AfasTenant, FreeField, OAuthClient
from simulators.pluvo.tenant import PluvoTenant
from tests.browser.desk import Desk
from tests.integration.ops.conftest import scalar

SECRETS = ("zeer-geheim-1", "zeer-geheim-2")
_numbers = count(1)


@dataclass
class Customer:
    """An AFAS and a Pluvo that nobody set up yet; ``right`` are the right answers, by their fields."""

    slug: str
    afas: AfasTenant
    pluvo: PluvoTenant
    right: dict[str, str] = field(default_factory=dict)

    def until(self, step: str, *, by: str = "terminal", **other: str) -> Draft:
        """A draft that somebody brought so far."""
        draft = Draft()
        while (question := onboarding.pending(draft)) and step_of(question.name) != step:
            given = other.get(question.name, self.right.get(question.name, ""))
            draft = onboarding_store.give(draft, question.name, given, by)
        return draft

    @property
    def stored(self) -> int:
        """How many tenants there are of it."""
        return int(scalar("SELECT count(*) FROM tenant WHERE slug = :slug", slug=self.slug))


def new_customer(desk: Desk) -> Customer:
    """One with a number of its own."""
    number = next(_numbers)
    slug, member = f"nova-{number}", f"{51000 + number}"
    clients = {"app": OAuthClient([SECRETS[0]])}
    afas = desk.first.afas_simulator.add_tenant(member, oauth_clients=clients)
    pluvo = desk.first.pluvo_simulator.add_tenant(slug, client_id="id", client_secret=SECRETS[1])
    for event in (340, 341):
        training = pluvo.add_training(f"Training {event}", f"t-{event}")["id"]
        pluvo.add_offer_event(f"Event {event}", f"afas-{event}", trainings=[training])
        for person in (1001, 1002):
            values = {"name": f"Piet {person}", "email_primary": f"p{person}@example.nl", "external_id": f"0{person}"}
            afas.enroll(event, person, **values)
    pluvo.add_group("Groep", "groep-1")
    afas.free_fields["U" + "0" * 32] = FreeField("Aantal", "int")
    right = {
        "slug": slug,
        "name": "Nova Opleidingen",
        "afas.member_id": f"O{member}AA",
        "afas.base_url": f"{desk.first.afas_url}/t/{member}/ProfitRestServices",
        "afas.client_id": "app",
        "afas.client_secret": SECRETS[0],
        "pluvo.organisation": slug,
        "pluvo.base_url": f"{desk.first.pluvo_url}/t/{slug}",
        "pluvo.client_id": "id",
        "pluvo.client_secret": SECRETS[1],
        "events": "340, 341",
        "title.340": "Training 340",
        "title.341": "",
    }
    return Customer(slug, afas, pluvo, right)
