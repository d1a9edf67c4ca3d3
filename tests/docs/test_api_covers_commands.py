"""Every verb of the command line is one of the API too, or there is a reason why not."""

from __future__ import annotations

from ops.http.api.app import make_api
from tests.docs.test_commands import OPTIONS

ROUTES = {f"{method.upper()} {path}" for path, methods in make_api().openapi()["paths"].items() for method in methods}
DIALOGUE = "a dialogue: over HTTP the document is imported"
HERE = "about the processes of one machine"
COVERED: dict[tuple[str, ...], str] = {
    ("overview",): "GET /overview",
    ("workers",): "GET /workers",
    ("doctor",): "GET /doctor",
    ("alerts", "list"): "GET /alerts",
    ("alerts", "ack"): "POST /alerts/{number}/ack",
    ("alerts", "mute"): "POST /alerts/mutes",
    ("alerts", "unmute"): "DELETE /alerts/mutes/{number}",
    ("alerts", "mutes"): "GET /alerts/mutes",
    ("alerts", "sent"): "GET /alerts/sent",
    ("alerts", "test"): "POST /alerts/test",
    ("links", "import"): "POST /links/import",
    ("users", "list"): "GET /users",
    ("users", "show"): "GET /users/{number}",
    ("users", "add"): "POST /users",
    ("users", "edit"): "PUT /users/{number}",
    ("users", "passwd"): "POST /users/{number}/password",
    ("users", "disable"): "POST /users/{number}/disable",
    ("users", "enable"): "POST /users/{number}/enable",
    ("users", "sign-out"): "POST /users/{number}/sign-out",
    ("users", "remove"): "DELETE /users/{number}",
    ("tokens", "list"): "GET /tokens",
    ("tokens", "create"): "POST /tokens",
    ("tokens", "revoke"): "POST /tokens/{number}/revoke",
    ("status",): "GET /status",
    ("explain",): "POST /tenants/{slug}/people/explain",
    ("adoption",): "GET /tenants/{slug}/adoption",
    ("check",): "POST /tenants/{slug}/check",
    ("events",): "GET /tenants/{slug}/events",
    ("fields",): "GET /tenants/{slug}/fields",
    ("handover",): "GET /tenants/{slug}/handover",
    ("sync",): "POST /sync",
    ("completions",): "POST /completions",
    ("tenants", "import"): "POST /tenants/import",
    ("tenants", "list"): "GET /tenants",
    ("tenants", "show"): "GET /tenants/{slug}",
    ("tenants", "export"): "GET /tenants/{slug}/file",
    ("tenants", "pause"): "POST /tenants/{slug}/pause",
    ("tenants", "resume"): "POST /tenants/{slug}/resume",
    ("tenants", "remove"): "DELETE /tenants/{slug}",
    ("courses", "show"): "GET /tenants/{slug}/courses/{event_id}",
    ("runs", "list"): "GET /runs",
    ("runs", "show"): "GET /runs/{run}",
    ("batches", "list"): "GET /batches",
    ("batches", "show"): "GET /batches/{batch}",
    ("runs", "again"): "POST /runs/{run}/again",
    ("holds", "preview"): "POST /holds/{hold}/preview",
    ("completions", "list"): "GET /completions",
    ("completions", "show"): "GET /completions/{number}",
    ("completions", "close"): "POST /completions/{number}/close",
    ("completions", "retry"): "POST /completions/{number}/retry",
    ("quality",): "GET /tenants/{slug}/quality",
    ("audit",): "GET /audit",
    ("dead-letters", "replay"): "POST /dead-letters/replay",
    ("replays", "list"): "GET /replays",
    ("replays", "show"): "GET /replays/{batch}",
    ("replays", "preview"): "POST /replays/preview",
    ("replays", "cancel"): "POST /replays/{batch}/cancel",
    ("runs", "stop"): "POST /runs/{run}/stop",
    ("holds", "list"): "GET /holds",
    ("holds", "show"): "GET /holds/{hold}",
    ("holds", "release"): "POST /holds/{hold}/release",
    ("holds", "refuse"): "POST /holds/{hold}/refuse",
    ("links", "list"): "GET /links",
    ("links", "show"): "GET /tenants/{slug}/links/{internal_id}",
    ("links", "candidates"): "GET /tenants/{slug}/links/{internal_id}/candidates",
    ("people", "search"): "POST /people/search",
    ("links", "set"): "PUT /tenants/{slug}/links/{internal_id}",
    ("links", "decide"): "POST /tenants/{slug}/links/{internal_id}/decide",
    ("links", "remove"): "DELETE /tenants/{slug}/links/{internal_id}",
    ("dead-letters", "list"): "GET /dead-letters",
    ("dead-letters", "show"): "GET /dead-letters/{letter}",
    ("dead-letters", "discard"): "POST /dead-letters/discard",
    ("dead-letters", "cancel"): "POST /replays/{batch}/cancel",
}
NOT_COVERED: dict[tuple[str, ...], str] = {
    ("up",): HERE,
    ("worker",): HERE,
    ("scheduler",): HERE,
    ("serve",): HERE,
    ("migrate",): HERE,
    ("backup",): HERE,
    ("restore",): HERE,
    ("demo",): HERE,
    ("simulate",): HERE,
    ("tenants", "add"): DIALOGUE,
    ("tenants", "edit"): DIALOGUE,
    ("tenants", "credentials"): DIALOGUE,
    ("token",): DIALOGUE,
    ("courses", "add"): DIALOGUE,
    ("tenants", "example"): "docs/tenants-file.md is the same text",
    ("tenants", "rotate-keys"): "needs the keys, which only this machine has",
}


def test_every_command_has_its_route_or_a_reason() -> None:
    named = COVERED.keys() | NOT_COVERED.keys()
    assert sorted(OPTIONS.keys() - named) == [], "say which route it is, or why there is none"
    assert sorted(named - OPTIONS.keys()) == [], "commands that are no longer there"
    assert not COVERED.keys() & NOT_COVERED.keys()


def test_the_routes_named_are_there() -> None:
    assert not set(COVERED.values()) - ROUTES
