"""Six words for every state there is: ok, busy, waits for you, waits, stopped, broken."""

from __future__ import annotations

from collections.abc import Mapping

OK, BUSY, YOURS, WAITS, STOPPED, BROKEN = SIX = ("ok", "busy", "waits_for_you", "waits", "stopped", "broken")

# Every word of ours for the state of a run, direction, hold, link, dead letter, message, completion, row or probe.
_OF: Mapping[str, tuple[str, ...]] = {
    OK: (
        *("done", "dry_run", "complete", "healthy", "released", "cleared", "linked", "replayed", "superseded"),
        *(
            "created",
            "updated",
            "unchanged",
            "removed",
            "written",
            "verified",
            "ended",
            "closed",
            "settled",
            "enrolled",
        ),
        *("sent_ok", "delivered", "acknowledged", "active"),
    ),
    BUSY: ("running", "applying", "sent", "in_flight", "checking"),
    YOURS: ("done_with_holds", "suspect", "open", "ambiguous", "held", "conflict", "new"),
    WAITS: ("queued", "ready", "scheduled", "pending", "not_yet", "waiting", "unverified", "postponed"),
    STOPPED: (
        *("paused", "expired", "refused", "ignored", "left", "discarded", "rejected", "blocked", "orphan", "no_date"),
        *("kept", "dropped", "cancelled", "muted", "revoked", "inactive"),
    ),
    BROKEN: ("done_with_failures", "failed", "partial", "quarantined", "degraded", "nobody", "stuck", "unreachable"),
}
_SIX = {word: six for six, words in _OF.items() for word in (six, *words)}


def six(word: str | None) -> str:
    """The one of the six for a word of ours; of one that is not known, or of none, ``waits``."""
    return _SIX.get(word or "", WAITS)
