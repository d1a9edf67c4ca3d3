"""Pluvo's users as far as matching needs them, in ``directory_user`` for the length of a run.

Everyone is listed when someone has no link yet: only a listing shows which account carries a person's AFAS id, and
linking by address alone could pick the wrong one. New addresses of linked people are looked up one by one while they
are few. So are those of new people when Pluvo's list is not whole: a count that is off, or a user that Pluvo itself
can't read, must not stop everybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial

from sqlalchemy import Connection, text

from clients.errors import Incomplete, Misconfigured, Rejected
from clients.pluvo import PluvoClient, PluvoUser
from models.afas_values import person_number
from models.folding import fold_email, loose_email
from producers.event_reader import patiently
from producers.runs.context import RunContext

FEW_ADDRESSES = 25
ADDRESSES_A_STEP = 100
# Letters that are compared: more than any of ours has, and few enough for an index of PostgreSQL.
COMPARED = 600

_INSERT = text(
    """
    INSERT INTO directory_user (run_id, tenant_id, pluvo_id, ref, email, email_folded, email_loose, name, archived,
                                afas_person_id, afas_contact_id, afas_connection_id)
    SELECT :run, :tenant, r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
        pluvo_id text, ref text, email text, email_folded text, email_loose text, name text, archived boolean,
        afas_person_id text, afas_contact_id text, afas_connection_id text)
    ON CONFLICT (run_id, pluvo_id) DO NOTHING
    """
)


def store(connection: Connection, context: RunContext, users: Iterable[PluvoUser]) -> None:
    """Keep users for this run; a user that is there already stays as it is."""
    rows = [
        {
            "pluvo_id": user.id,
            "ref": user.ref and user.ref[:COMPARED],
            "email": user.email,
            "email_folded": fold_email(user.email)[:COMPARED] if user.email else None,
            "email_loose": loose_email(user.email)[:COMPARED] if user.email else None,
            "name": user.name,
            "archived": user.archived,
            "afas_person_id": user.afas_person_id or None,
            "afas_contact_id": person_number(user.afas_contact_id) or (user.afas_contact_id or "")[:COMPARED] or None,
            "afas_connection_id": user.afas_connection_id or None,
        }
        for user in users
    ]
    connection.execute(_INSERT, {"run": context.run_id, "tenant": context.tenant_id, "rows": json.dumps(rows)})


def list_everyone(context: RunContext, pluvo: PluvoClient) -> int:
    """List all users, archived ones too; returns how many Pluvo did not give, as far as it tells.

    A user who is restored after the active ones were listed and before the archived ones were is in neither list. So
    the active ones are listed again when their number has changed meanwhile.
    Raises Unavailable when Pluvo can't be listed at all after some tries.
    """
    missing, active = _list(context, pluvo, archived=False)
    missing_archived, _ = _list(context, pluvo, archived=True)
    if active is not None and patiently(partial(pluvo.count_users, archived=False), context.check) != active:
        missing, _ = _list(context, pluvo, archived=False)
    return missing + missing_archived


def _list(context: RunContext, pluvo: PluvoClient, *, archived: bool) -> tuple[int, int | None]:
    """List one half; returns how many are missing, and Pluvo's count."""

    def pages() -> tuple[int, int | None]:
        total: int | None = None
        try:
            for page in pluvo.user_pages(archived):
                with context.writing(users=len(page.users)) as connection:
                    store(connection, context, page.users)
                total = page.total
        except Incomplete as error:  # reading it once more would give nothing new
            return error.missing, total
        return 0, total

    return patiently(pages, context.check)


def look_up(context: RunContext, pluvo: PluvoClient, emails: Sequence[str]) -> frozenset[str]:
    """Find who holds these addresses; returns the folded ones that a user may hold whom Pluvo can't read."""
    unread: set[str] = set()
    for start in range(0, len(emails), ADDRESSES_A_STEP):
        part = emails[start : start + ADDRESSES_A_STEP]
        users, unknown = patiently(partial(pluvo.look_up, emails=part), context.check)
        unread |= {fold_email(email) for email in unknown}
        with context.writing() as connection:
            store(connection, context, users)
    return frozenset(unread)


def look_at(context: RunContext, pluvo: PluvoClient, accounts: list[str]) -> None:
    """Read these accounts; one that is gone, or whose id Pluvo won't take, is left out."""
    for account in accounts:
        try:
            user = patiently(partial(pluvo.get_user, account), context.check)
        except (Misconfigured, Rejected):
            continue
        if user is not None:
            with context.writing() as connection:
                store(connection, context, [user])
