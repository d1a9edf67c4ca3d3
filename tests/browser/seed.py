"""Tenants with something on every page. People and names are invented; some of the names are attacks.

acme    production: holds, ambiguous people, dead letters, conflicting dates, rejected rows, hostile names
beta    a test environment, in step
gamma   quarantined: AFAS refuses its secret
delta   imported and not begun
"""

from __future__ import annotations

from sqlalchemy import text

from models.session import transaction
from ops.problems import Problem
from ops.tenants import check
from simulators.afas.tenant import COMPLETION_FIELD
from tests.browser.desk import Desk
from tests.fixtures.world import World

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{7*7}}${7*7}<%= 7*7 %>",
    "\u202eevil\u202c שלום עליכם",
    "Ananas " + "ananas" * 30,
)
EVENT = 340
GROWS = 341
FINISHED = "2026-06-30T21:30:00.000Z"


def seed(desk: Desk) -> None:
    """Make them, with real runs."""
    acme = desk.tenant("acme")
    beta = desk.tenant("beta", name="Bakkerij <b>Blauw</b>")
    beta.set_tenant(afas=_as_test(beta))
    gamma = desk.tenant("gamma", afas_client_secret="expired")
    delta = desk.tenant("delta")
    _people(acme)
    _not_begun(delta)
    for world in (beta, gamma, delta):
        for number in range(1, 7):
            world.person(number, EVENT)
    desk.sync("acme", "beta", "gamma")
    for world in (acme, beta):
        _finish(world)
    desk.completions("acme", "beta")
    # Six of twenty leave at once, which a guard holds; somebody is renamed.
    for number in range(13, 19):
        acme.afas.remove(EVENT, number)
    acme.afas.rename(3, "Nieuwe-Naam van Persoon 3")
    desk.sync("acme", "beta")
    for slug in ("acme", "gamma"):
        _check(slug)


def _not_begun(world: World) -> None:
    with transaction() as connection:
        new = text("UPDATE tenant_direction SET state = 'new' WHERE tenant_id = :tenant")
        connection.execute(new, {"tenant": world.tenant_id})


def _people(world: World) -> None:
    for number in range(1, 21):
        name = HOSTILE[number - 1] if number <= len(HOSTILE) else f"Persoon {number}"
        world.person(number, EVENT, name=name)
    for number in range(20, 26):
        world.person(number, GROWS)
    # No address: the row is rejected.
    world.person(30, EVENT, email_primary="")
    # An account with their address carries the AFAS id of somebody else: nobody knows whose it is.
    for number in (31, 32):
        world.person(number, EVENT)
        world.pluvo.add_user(f"p{number}@example.nl", f"Iemand {number}", afasContactId=f"9{number}")
    # Pluvo refuses to make these accounts, for two reasons.
    for number, words in ((41, "Enter a valid email address"), (42, "Enter a valid email address"), (43, "No seats")):
        world.person(number, EVENT)
        world.fault(
            "pluvo",
            "graphql_error",
            tenant="acme",
            match={"operation": "createUser", "body_contains": f"p{number}@example.nl"},
            code="ValidationError",
            message=words,
        )


def _finish(world: World) -> None:
    for number in range(6, 12):
        user = world.pluvo.find_user(email=f"p{number}@example.nl")
        if user is not None:
            world.pluvo.complete(user["id"], f"Training {EVENT}", FINISHED)
    if 8 in {row.internal_id for row in world.afas.rows.values()}:
        # Somebody typed another date in AFAS: it stays, and is a conflict.
        world.afas.change(EVENT, 8, free={COMPLETION_FIELD: "2026-01-31"})


def _as_test(world: World) -> dict[str, object]:
    with_base = world.rows("SELECT afas FROM tenant WHERE id = :id", id=world.tenant_id)[0]["afas"]
    return {**with_base, "environment": "test"}


def _check(slug: str) -> None:
    try:
        check.check(slug)
    except Problem:
        return  # what it found is stored all the same
