"""What a dead letter's error means and what to do about it, as sentences that are still in no language."""

from __future__ import annotations

import re

from models.message import Kind
from ops.language import SENTENCES, Words
from ops.listing import Row

# Whom a message of this kind calls, where nothing says it better.
_SYSTEMS = {Kind.UPSERT: "Pluvo", Kind.FETCH: "Pluvo", Kind.WRITE_BACK: "AFAS"}
_NAMES = {"afas": "AFAS", "pluvo": "Pluvo"}


def cause(letter: Row) -> Words:
    """What went wrong. ``letter``: one or a group, with ``kind``, ``error`` and perhaps ``history``."""
    return _words("cause", letter)


def action(letter: Row) -> Words:
    """What to do about it."""
    return _words("action", letter)


def remote_words(letter: Row) -> str:
    """What the remote said itself: the message without the cause before it, which a face says in its language."""
    message = str(letter["message"] or "")
    # What was stored by 0.1.0 has the full stop of the sentence as well.
    known = re.match(re.escape(cause(letter).say("en").rstrip(".")) + r"\.?(?:: |\Z)", message)
    return message[known.end() :] if known else message


def _words(what: str, letter: Row) -> Words:
    code = f"{what}.{letter['error']}"
    told = letter.get("history") or []
    named = _NAMES.get(str(told[-1].get("system"))) if told else None
    system = named or _SYSTEMS.get(letter["kind"], "AFAS or Pluvo")
    return Words(code, system=system) if code in SENTENCES else Words(f"{what}.unknown_error", code=letter["error"])
