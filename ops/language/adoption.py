"""The groups of ``koppeling adoption``: how people come to their accounts."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "adoption.other_name": "linked by e-mail, and the account has another name: look at these first",
    "adoption.ambiguous": "wait for your decision",
    "adoption.shared": "share an account with somebody of the same name",
    "adoption.by_email": "linked by e-mail",
    "adoption.by_afas_id": "linked by an id of AFAS or of ours",
    "adoption.by_operator": "linked by you beforehand",
    "adoption.to_create": "get a new account",
    "adoption.only_in_pluvo": "accounts are only in Pluvo, and stay untouched",
    "adoption.more": "        … and {count} more: --csv FILE or --json shows all",
}
