"""Each operation asks who acts before it reads anything, and tells nobody of a tenant that they may not see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ops import access
from ops.access import NEEDS, Actor, Role, acting
from ops.http.api.app import make_api, routes
from ops.http.api.need import verb_of
from tests.fixtures.serving import serving
from tests.integration.api.conftest import Api

ROUTES = {f"{method} {route.path}": route for route in routes() for method in route.methods or ()}
TRUE = {
    "slug": "acme",
    "internal_id": "80",
    "event_id": "340",
    "run": "last",
    "hold": "last",
    "letter": "last",
    "batch": "last",
    "number": "1",
}


class As:
    """Lets somebody act for every request."""

    who = Actor("nobody", Role.VIEWER, frozenset())

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with acting(As.who):
            await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def anybody(api: Api) -> Iterator[str]:
    """The API served to ``As.who``."""
    made = make_api()
    made.add_middleware(As)
    with serving(made) as served:
        yield served.url


def asked(url: str, route: APIRoute) -> requests.Response:
    """A request with what an address needs, and nothing in its body."""
    method = min(route.methods or {"GET"})
    return requests.request(method, url + route.path.format(**TRUE), json={}, timeout=60)


@pytest.mark.parametrize("label", ROUTES)
def test_an_operation_names_a_verb_that_is_known(label: str) -> None:
    assert verb_of(ROUTES[label]) in NEEDS


@pytest.mark.parametrize(
    "label", [label for label, route in ROUTES.items() if NEEDS[str(verb_of(route))] > Role.VIEWER]
)
def test_who_has_a_lower_role_is_refused_before_anything_is_read(anybody: str, label: str) -> None:
    needed = NEEDS[str(verb_of(ROUTES[label]))]
    As.who = Actor("vera", Role.OPERATOR if needed == Role.ADMIN else Role.VIEWER)
    answer = asked(anybody, ROUTES[label])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role")
    assert answer.json()["error"]["params"] == {"needed": needed, "name": "vera", "role": As.who.role}


OF_TENANTS = [
    label for label in ROUTES if "{" in label and not label.partition(" ")[2].startswith(("/users", "/tokens"))
]


@pytest.mark.parametrize("label", OF_TENANTS)
def test_a_thing_of_another_tenant_is_not_there(anybody: str, api: Api, label: str) -> None:
    As.who = Actor("bob", Role.ADMIN, frozenset({"beta"}))
    place = ROUTES[label].path.format(**TRUE | {name: api.kept[name] for name in api.kept})
    body = {} if label.endswith("preview") else {"reason": "r"}
    answer = requests.request(
        label.partition(" ")[0], anybody + place, json=body, params={"confirm": "acme"}, timeout=60
    )
    assert answer.status_code == 404
    assert "acme" not in answer.text.replace("'acme'", "")


@pytest.mark.parametrize("label", ["GET /tenants", "GET /runs", "GET /holds", "GET /links", "GET /dead-letters"])
def test_a_listing_shows_nothing_of_other_tenants(anybody: str, label: str) -> None:
    As.who = Actor("bob", Role.ADMIN, frozenset({"beta"}))
    assert asked(anybody, ROUTES[label]).json() == {"items": [], "next": None}


def test_the_numbers_of_the_whole_are_those_of_the_tenants_that_one_sees(anybody: str) -> None:
    As.who = Actor("bob", Role.ADMIN, frozenset({"beta"}))
    told = asked(anybody, ROUTES["GET /status"]).json()
    assert (told["tenants"], told["held"], told["dead"], told["ambiguous"]) == ([], 0, 0, 0)


@pytest.mark.parametrize("label", ["GET /users", "GET /users/{number}", "GET /tokens", "POST /tokens/{number}/revoke"])
def test_who_does_not_see_every_tenant_sees_no_users_and_tokens(anybody: str, label: str) -> None:
    As.who = Actor("bob", Role.ADMIN, frozenset({"beta"}))
    assert asked(anybody, ROUTES[label]).status_code == 403


def test_outside_a_request_the_terminal_acts(anybody: str) -> None:
    assert access.actor().role == Role.ADMIN
