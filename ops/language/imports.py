"""What an import changed in a tenant (``change``), and what it warns of (``warning``)."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "change.value": "{key}: {before} → {after}",
    "change.changed": "{key}: changed",
    "change.set": "{key}: set",
    "change.removed": "{key}: removed",
    "change.rule": "course rule {number}: {rule}",
    "change.no_rules": "course rules: none any more",
    "change.next_run": "what they link changes in the next run",
    "change.course": "course {event}: {what}",
    "change.course_added": "course {event}: added",
    "change.course_off": "course {event}: inactive, no longer in the file",
    "change.rules_off": "courses of rules: {courses} inactive, no rule covers them any more; nobody is removed",
    "change.completions": "completions: changed",
    "change.own_block": "linked by a block of its own, not by a rule any more",
    "change.moved": "its people are enrolled there by the next run; the one after takes them out of the old place, under the guards",
    "change.no_token": "no AFAS token yet: make one with `koppeling token {slug}`",
    "change.reopened": "{direction}: no longer quarantined",
    "warning.shares": (
        "shares the Pluvo organisation {named} with {other}: neither takes the other's accounts, and who is in both "
        "under one address waits for a decision"
    ),
    "warning.another": "another tenant",
    "warning.send_invite": "send_invite is ignored: this is an AFAS environment for {environment}, whose people are copies of real ones",
    "warning.switched_off": "switched off: {events}. Of {people} enrolled people nobody is taken out, and nothing changes any more",
}
