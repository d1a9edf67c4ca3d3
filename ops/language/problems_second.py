"""What whoever comes second is told: what was decided already, and by whom."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "first.by": "{who} was first, at {at}",
    "first.unknown": "somebody was first",
    "problem.paused_already": "{slug} is paused already: {first}.",
    "problem.resumed_already": "Nothing of {slug} is stopped any more: {first}.",
    "problem.not_stopped": "Nothing of {slug} is stopped.",
    "problem.run_stopping": "Run {run} was told to stop already: {first}.",
    "problem.run_over": "Run {run} was over already: {status}.",
    "problem.letters_decided": (
        "{count} of these was closed already: {first}.",
        "{count} of these were closed already: {first}.",
    ),
    "problem.mute_ended": "This silence was ended already: {first}.",
    "problem.token_revoked": "The token {name} was revoked already: {first}.",
    "problem.linked_by_other": (
        "{internal_id} of {slug} is linked to {pluvo_id}: {first}. Tick the box to link them to another account."
    ),
}
