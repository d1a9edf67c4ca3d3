"""Which pages stand beside each other below a word of the header: (address, words, verb that one must be allowed)."""

from __future__ import annotations

from collections.abc import Mapping

from ops import access

Place = tuple[str, str, str]
GROUPS: Mapping[str, tuple[Place, ...]] = {
    "inbox": (
        ("/inbox", "shell.inbox_all", "overview.read"),
        ("/holds", "shell.holds", "holds.read"),
        ("/ambiguous", "shell.ambiguous", "links.read"),
        ("/dead-letters", "shell.dead_letters", "dead_letters.read"),
        ("/replays", "shell.replays", "replays.read"),
        ("/completions", "shell.completions", "completions.read"),
        ("/alerts", "shell.alerts", "alerts.read"),
    ),
    "people": (
        ("/people", "shell.people_search", "people.read"),
        ("/links", "shell.links", "links.read"),
    ),
    "system": (
        ("/system", "shell.system", "system.read"),
        ("/audit", "shell.audit", "audit.read"),
        ("/settings/users", "shell.users", "users.read"),
        ("/settings/tokens", "shell.tokens", "tokens.read"),
        ("/api/docs", "shell.api", "api.read"),
    ),
}
# Pages that have no place of their own there.
_ALSO = {"previews": "runs", "batches": "runs", "onboard": "tenants", "settings": "system"}
_OF = {address.split("/")[1]: group for group, places in GROUPS.items() for address, _, _ in places} | _ALSO


def group_of(path: str) -> str:
    """The word of the header that a page is below: the first of its path, or another."""
    noun = path.split("/")[1]
    return _OF.get(noun, noun)


def places_of(group: str) -> list[tuple[str, str]]:
    """The pages beside it that who looks may see: (address, words)."""
    return [(address, words) for address, words, verb in GROUPS.get(group, ()) if access.may(verb)]
