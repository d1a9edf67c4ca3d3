"""The kinds of alerts, the sentence of each, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.language import SENTENCES, Language, Words, say

HOLD, RUN_FAILED, CHECK_FAILED = "hold", "run_failed", "check_failed"
CREDENTIAL_ENDS, DEAD_LETTERS, WORKERS = "credential_ends", "dead_letters", "workers"
# Opened and closed by ``watch.py``; all others where something happens (``tenancy/alerts.py``).
WATCHED = (HOLD, RUN_FAILED, CHECK_FAILED, CREDENTIAL_ENDS, DEAD_LETTERS)
# Told in the digest only: they wait for somebody outside, and nothing stands still.
NOT_AT_ONCE = ("users_incomplete", "not_visible")
# What the digest counts by itself
COUNTED = (HOLD, DEAD_LETTERS)
# What the overview says by itself
SAID_BY_OVERVIEW = (*COUNTED, CHECK_FAILED, "quarantine", "unreached")
KINDS = (
    *(*WATCHED, WORKERS, "relay"),
    *("quarantine", "unreached", "no_room", *NOT_AT_ONCE),
)
_PAGES = {
    HOLD: "/holds/{subject}",
    RUN_FAILED: "/runs/{run}",
    DEAD_LETTERS: "/dead-letters?tenant={slug}",
    WORKERS: "/system",
    "relay": "/system",
}
_COMMANDS = {
    HOLD: "koppeling holds show {subject}",
    RUN_FAILED: "koppeling runs show {run}",
    CHECK_FAILED: "koppeling check {slug}",
    CREDENTIAL_ENDS: "koppeling check {slug}",
    DEAD_LETTERS: "koppeling dead-letters list --tenant {slug}",
    WORKERS: "koppeling workers",
    "relay": "koppeling status",
}


def sentence(kind: str, parameters: Mapping[str, Any] | None, language: Language) -> str:
    """What is the matter."""
    code = f"alert.{kind}"
    if kind == CREDENTIAL_ENDS and _number(parameters) < 0:
        code = "alert.credential_ended"
    if code not in SENTENCES or parameters is None:
        return say("alert.other", language, kind=kind)
    return say(code, language, **_words(parameters, language))


def advice(kind: str, parameters: Mapping[str, Any] | None, slug: str | None, language: Language) -> str:
    """What to do."""
    code = f"alert_do.{kind}"
    if code not in SENTENCES:
        return say("alert_do.other", language)
    told = say(code, language, **_words(parameters or {}, language))
    return " ".join(told.split()).replace("SLUG", slug or "SLUG")


def page(kind: str, subject: str | None, slug: str | None, parameters: Mapping[str, Any] | None) -> str:
    """Where it is shown: a path of the console."""
    return _PAGES.get(kind, "/tenants/{slug}" if slug else "/alerts").format_map(
        {"run": ""} | dict(parameters or {}) | {"subject": subject, "slug": slug}
    )


def command(kind: str, subject: str | None, slug: str | None, parameters: Mapping[str, Any] | None) -> str:
    """The command that shows it."""
    return _COMMANDS.get(kind, "koppeling tenants show {slug}" if slug else "koppeling alerts list").format_map(
        {"run": "last"} | dict(parameters or {}) | {"subject": subject, "slug": slug}
    )


def _number(parameters: Mapping[str, Any] | None) -> int:
    return int((parameters or {}).get("count", 0))


def _words(parameters: Mapping[str, Any], language: Language) -> dict[str, object]:
    """The parameters with what they mean: of a code its cause and what to do, of a direction its name."""
    told: dict[str, object] = dict(parameters)
    system = {"afas": "AFAS", "pluvo": "Pluvo"}.get(str(parameters.get("system", "")).lower(), "")
    told["system"] = system or "AFAS/Pluvo"
    if "direction" in parameters:
        told["direction"] = Words(f"alert_word.{parameters['direction']}")
    code = str(parameters.get("code") or "")
    about = dict(parameters.get("about") or {}) | {"system": told["system"], "code": code}
    for name, starts in (("why", ("cause", "reason")), ("do", ("action", "next"))):
        known = next((f"{start}.{code}" for start in starts if f"{start}.{code}" in SENTENCES), None)
        told[name] = say(known, language, **about) if known else (code if name == "why" else "")
    return told
