"""Pluvo, as far as this project uses it: tokens and one GraphQL endpoint per organisation.

One process holds several organisations, each below ``/t/{organisation}``. What it imitates, and which switches and
faults it has, is told in ``docs/simulators.md``.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import Any

from graphql import ExecutionResult, GraphQLError
from graphql.execution import execute

from simulators.core.faults import Fault
from simulators.core.front import Front
from simulators.core.http_messages import Answer, Request, json_answer
from simulators.core.system import System
from simulators.pluvo import documents
from simulators.pluvo.schema import Operation, read, schema
from simulators.pluvo.switches import ApiClient
from simulators.pluvo.tenant import PluvoTenant

PATH = re.compile(r"/t/([^/]+)(/.*)")
SCOPES = frozenset(
    [f"{what}.{right}" for what in ("users", "trainings", "groups", "events") for right in ("read", "write")]
    + ["extra_categories.write"]
)
NEEDED = {
    "user": "users.read",
    "paginatedUsers": "users.read",
    "group": "groups.read",
    "paginatedGroups": "groups.read",
    "training": "trainings.read",
    "paginatedTrainings": "trainings.read",
    "offer": "events.read",
    "offerEvent": "events.read",
    "enrollment": "events.read",
    "enrollments": "events.read",
    "portfolioReport": "trainings.read",
    "portfolioItem": "users.read",
    "portfolioItems": "users.read",
    "createUser": "users.write",
    "updateUser": "users.write",
    "updateOrCreateUser": "users.write",
    "archiveUsers": "users.write",
    "addUsersToGroup": "groups.write",
    "removeUsersFromGroup": "groups.write",
    "createOfferEventEnrollments": "events.write",
    "unenrollUserFromOfferEvent": "events.write",
}
"""Scope each root field asks for. The scopes are Pluvo's, the pairing is our guess."""


class PluvoSimulator(System):
    """Several Pluvo organisations. ``app`` is the ASGI application, ``tenants`` go by organisation."""

    def __init__(self) -> None:
        """Start without tenants."""
        super().__init__()
        self.app = Front(self)

    def add_tenant(self, organisation: str, *, client_id: str, client_secret: str, **state: Any) -> PluvoTenant:
        """Add an organisation with one API client; ``state`` as in ``PluvoTenant``."""
        tenant = PluvoTenant(organisation, clients={client_id: ApiClient(client_secret)}, **state)
        self.tenants[organisation] = tenant
        return tenant

    def tenant_from_json(self, key: str, state: dict[str, Any]) -> PluvoTenant:
        """Build an organisation from its JSON."""
        return PluvoTenant.from_json({"organisation": key, **state})

    def recognise(self, request: Request) -> None:
        """Read tenant and path, and of a GraphQL call its operation and variables."""
        found = PATH.fullmatch(request.path)
        if found is None:
            return
        request.tenant, request.rest = found[1], found[2]
        tenant = self.tenants.get(found[1])
        if request.rest.rstrip("/") == "/oauth/token":
            request.operation = "token"
        elif request.rest == "/graphql/" and request.method == "POST" and tenant is not None:
            _recognise_graphql(tenant, request)

    def answer(self, request: Request, faults: list[Fault]) -> Answer:
        """Answer one request."""
        tenant = self.tenants.get(request.tenant or "")
        if tenant is None:
            return Answer(404)
        if request.rest in {"/graphql", "/oauth/token"}:
            return Answer(301, b"", {"location": request.path + "/"})
        if request.rest not in {"/graphql/", "/oauth/token/"}:
            return Answer(404)
        if request.method != "POST":
            return Answer(405, b"", {"allow": "POST"})
        return _token(tenant, request) if request.operation == "token" else self._graphql(tenant, request)

    def _graphql(self, tenant: PluvoTenant, request: Request) -> Answer:
        limited = _limited(tenant)
        if limited is not None:
            return limited
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        end, scopes = tenant.access_tokens.get(token, (0.0, frozenset[str]()))
        if end <= time.monotonic():
            return _unauthenticated(tenant)
        operation = request.notes.get("operation")
        if operation is None or operation.errors:
            return _errors(operation.errors if operation else [GraphQLError(request.notes["error"])], 400)
        missing = {NEEDED[each] for each in operation.fields if each in NEEDED} - scopes
        if missing:
            text = f"Missing scope: {', '.join(sorted(missing))}"
            return _errors([GraphQLError(text, extensions={"code": "PermissionDenied"})], 200)
        unfit = documents.refused(tenant.switches, operation.fields, request)
        return _executed(tenant, operation, request) if unfit is None else unfit


def _limited(tenant: PluvoTenant) -> Answer | None:
    """Refuse what comes faster than the switch allows, counting in a bucket that fills by the second."""
    rate, burst = tenant.switches.calls_per_second, max(tenant.switches.rate_burst, 1)
    if rate is None:
        return None
    now = time.monotonic()
    left, at = tenant.bucket or (float(burst), now)
    left = min(burst, left + (now - at) * rate)
    tenant.bucket = (left - 1 if left >= 1 else left, now)
    if left >= 1:
        return None
    wait = str(max(1, round((1 - left) / rate)))
    return Answer(429, b"", {"retry-after": wait} if tenant.switches.retry_after else {})


def _unauthenticated(tenant: PluvoTenant) -> Answer:
    if tenant.switches.auth_failure == "401":
        return json_answer({"detail": "Authentication credentials were not provided."}, 401)
    if tenant.switches.auth_failure == "words":
        return _errors([GraphQLError("Signature has expired")], 200)
    return _errors([GraphQLError("Not authenticated", extensions={"code": "AuthenticationRequired"})], 200)


def _recognise_graphql(tenant: PluvoTenant, request: Request) -> None:
    """Read a GraphQL call; what is wrong with it is kept for the answer."""
    request.operation = "graphql"
    try:
        content = json.loads(request.body)
        text, variables = content["query"], content.get("variables") or {}
        name = content.get("operationName")
        if not isinstance(text, str) or not isinstance(variables, dict):
            raise TypeError("query is text, variables an object")
        hidden = frozenset(tenant.switches.hidden)
        operation = read(text, name, hidden, tenant.switches.introspection)
    except (KeyError, TypeError, ValueError, GraphQLError) as error:
        request.notes["error"] = str(error) or "Invalid request"
        return
    request.operation, request.fields, request.variables = operation.name, operation.fields, variables
    request.notes |= {"operation": operation, "name": name, "hidden": hidden}


def _executed(tenant: PluvoTenant, operation: Operation, request: Request) -> Answer:
    result = execute(
        schema(request.notes["hidden"]),
        operation.document,
        context_value=tenant,
        variable_values=request.variables,
        operation_name=request.notes["name"],
        middleware=[documents.refuse_values(tenant.switches)] if tenant.switches.refused_values else None,
    )
    if not isinstance(result, ExecutionResult):
        raise TypeError("every resolver answers at once")
    if "paginatedUsers" in operation.fields and tenant.switches.moves_while_listing:
        user_id, archived = tenant.switches.moves_while_listing.pop(0)
        tenant.change_user(user_id, archived=archived)
    return json_answer(documents.told(tenant.switches, result.data, result.errors or []))


def _errors(errors: list[GraphQLError] | tuple[GraphQLError, ...], status: int) -> Answer:
    return json_answer({"errors": [error.formatted for error in errors], "data": None}, status)


def _token(tenant: PluvoTenant, request: Request) -> Answer:
    """Hand out a token for client credentials in the body; the error shapes are RFC 6749's (a guess)."""
    form = dict(request.form)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return json_answer({"error": "invalid_request"}, 400)
    if form.get("grant_type") != "client_credentials":
        return json_answer({"error": "unsupported_grant_type"}, 400)
    client = tenant.clients.get(form.get("client_id", ""))
    if client is None or not secrets.compare_digest(client.secret.encode(), form.get("client_secret", "").encode()):
        return json_answer({"error": "invalid_client"}, 401)
    allowed = SCOPES if client.scopes is None else frozenset(client.scopes)
    asked = frozenset(form["scope"].split()) if form.get("scope") else allowed
    token, lifetime = secrets.token_urlsafe(32), tenant.switches.token_lifetime_seconds
    now = time.monotonic()
    tenant.access_tokens = {key: each for key, each in tenant.access_tokens.items() if each[0] > now}
    tenant.access_tokens[token] = (now + lifetime, asked & allowed)
    granted = " ".join(sorted(asked & allowed))
    return json_answer({"access_token": token, "token_type": "Bearer", "expires_in": lifetime, "scope": granted})
