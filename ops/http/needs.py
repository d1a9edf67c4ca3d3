"""What each route needs: the verb of ``ops/access.py`` that it does, by method and path.

It is checked before a route reads anything; the verb that the route calls checks again. A route that is not here
is an admin's alone, and fails ``tests/integration/ops/test_routes.py``, which asks every route as everybody.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

from ops import access
from ops.http.access import OPEN, is_way_in

# Of everybody who has logged in.
ANYBODY = "account.login"
UNDECLARED = "routes.undeclared"
NEEDED: Mapping[str, str] = {
    "GET /": "overview.read",
    "POST /": "sync.start",
    "GET /inbox": "overview.read",
    "GET /help": ANYBODY,
    "GET /api/docs": "api.read",
    "GET /api/openapi.json": "api.read",
    "GET /tenants": "tenants.read",
    "GET /tenants/{slug}": "tenants.read",
    "GET /tenants/{slug}/courses/{event}": "courses.read",
    "POST /tenants/{slug}/check": "check.run",
    "POST /tenants/{slug}/run": "sync.start",
    "POST /tenants/{slug}/pause": "tenants.pause",
    "POST /tenants/{slug}/resume": "tenants.resume",
    "GET /alerts": "alerts.read",
    "GET /alerts/{number}": "alerts.read",
    "POST /alerts/{number}/ack": "alerts.ack",
    "POST /alerts/mute": "alerts.mute",
    "POST /alerts/mutes/{number}/end": "alerts.unmute",
    "POST /alerts/test": "alerts.test",
    "GET /system": "system.read",
    "GET /metrics": "system.read",
    "GET /audit": "audit.read",
    "GET /audit.csv": "audit.read",
    "GET /runs": "runs.read",
    "GET /runs.csv": "runs.read",
    "GET /runs/{run_id}": "runs.read",
    "GET /runs/{run_id}/events": "runs.read",
    "GET /runs/{run_id}/lines.csv": "runs.read",
    "GET /batches": "runs.read",
    "GET /batches/{batch}": "runs.read",
    "POST /runs": "sync.start",
    "POST /runs/{run_id}/stop": "runs.stop",
    "POST /runs/{run_id}/again": "runs.again",
    "POST /previews": "sync.preview",
    "GET /previews/{run_id}": "previews.read",
    "POST /previews/{run_id}/execute": "previews.execute",
    "GET /holds": "holds.read",
    "GET /holds/{hold_id}": "holds.read",
    "GET /holds/{hold_id}/lines.csv": "holds.read",
    "POST /holds/{hold_id}/release": "holds.release",
    "POST /holds/{hold_id}/refuse": "holds.refuse",
    "GET /dead-letters": "dead_letters.read",
    "GET /dead-letters/preview": "dead_letters.read",
    "GET /dead-letters/{letter}": "dead_letters.read",
    "POST /dead-letters/chosen": "dead_letters.discard",
    "POST /dead-letters/{letter}": "dead_letters.discard",
    "POST /dead-letters/discard": "dead_letters.discard",
    "POST /dead-letters/replay": "dead_letters.replay",
    "GET /replays": "replays.read",
    "GET /replays/{batch}": "replays.read",
    "GET /replays/{batch}/events": "replays.read",
    "POST /replays/{batch}/cancel": "replays.cancel",
    "GET /completions": "completions.read",
    "GET /completions.csv": "completions.read",
    "GET /completions/{number}": "completions.read",
    "POST /completions": "completions.retry",
    "POST /completions/{number}": "completions.retry",
    "GET /tenants/{slug}/quality": "quality.read",
    "GET /tenants/{slug}/quality.csv": "quality.read",
    "POST /tenants/{slug}/quality": "quality.mail",
    "GET /tenants/{slug}/edit": "tenants.edit",
    "POST /tenants/{slug}/edit": "tenants.edit",
    "GET /tenants/{slug}/credentials": "tenants.credentials",
    "GET /tenants/{slug}/credentials/{system}": "tenants.credentials",
    "POST /tenants/{slug}/credentials/{system}": "tenants.credentials",
    "GET /tenants/{slug}/courses/add": "courses.add",
    "POST /tenants/{slug}/courses/add": "courses.add",
    "GET /tenants/{slug}/courses/{event}/edit": "courses.edit",
    "POST /tenants/{slug}/courses/{event}/edit": "courses.edit",
    "GET /people": "people.search",
    "POST /people": "people.search",
    "POST /people/ask": "people.read",
    "GET /tenants/{slug}/people/{person}": "people.open",
    "POST /tenants/{slug}/people/{person}": "sync.person",
    "GET /tenants/{slug}/people/{person}/decide": "links.read",
    "POST /tenants/{slug}/people/{person}/decide": "links.decide",
    "GET /ambiguous": "links.read",
    "GET /links": "links.read",
    "POST /links": "links.set",
    "GET /links/import": "links.import",
    "POST /links/import": "links.import",
    "POST /links/import/preview": "links.import",
    "GET /onboard": "tenants.add",
    "POST /onboard": "tenants.add",
    "GET /onboard/{slug}": "tenants.add",
    "GET /onboard/{slug}/{step}": "tenants.add",
    "POST /onboard/{slug}/{step}": "tenants.add",
    "POST /onboard/{slug}/begin": "tenants.add",
    "POST /onboard/{slug}/forget": "tenants.add",
    "GET /onboard/{slug}/live": "tenants.read",
    "POST /onboard/{slug}/check": "check.run",
    "POST /onboard/{slug}/preview": "sync.preview",
    "GET /onboard/{slug}/adoption": "adoption.run",
    "GET /account": ANYBODY,
    "POST /account/password": "account.passwd",
    "POST /account/sessions/{number}/end": "account.logout",
    "POST /account/sign-out": "account.logout",
    "POST /logout": ANYBODY,
    "GET /settings/users": "users.read",
    "POST /settings/users": "users.add",
    "GET /settings/users/{number}": "users.read",
    "POST /settings/users/{number}": "users.edit",
    "POST /settings/users/{number}/disable": "users.disable",
    "POST /settings/users/{number}/enable": "users.enable",
    "POST /settings/users/{number}/password": "users.passwd",
    "POST /settings/users/{number}/remove": "users.remove",
    "POST /settings/users/{number}/sign-out": "users.sign_out",
    "GET /settings/tokens": "tokens.read",
    "POST /settings/tokens": "tokens.create",
    "POST /settings/tokens/{number}/revoke": "tokens.revoke",
}


async def check(request: Request) -> None:
    """Refuse a route that whoever asks may not use, or that nobody gave a need. Raises Forbidden, NotThere."""
    path = str(getattr(request.scope.get("route"), "path", ""))
    if path.startswith(OPEN) or is_way_in(path):
        return
    method = "GET" if request.method == "HEAD" else request.method
    verb = NEEDED.get(f"{method} {path}", UNDECLARED)
    slug = request.path_params.get("slug")
    if slug is None and verb != UNDECLARED:
        access.need(verb)
    else:
        access.check(verb, slug)
