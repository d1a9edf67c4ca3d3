"""Pluvo's users as far as matching needs them, in ``directory_user`` for the length of a run.

Everyone is listed when someone has no link yet: only a listing shows which account carries a person's AFAS id, and
linking by address alone could pick the wrong one. New addresses of linked people are looked up one by one while they
are few.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial

from sqlalchemy import Connection, text

from clients.pluvo import PluvoClient, PluvoUser
from models.afas_values import person_number
from models.folding import fold_email, loose_email
from producers.reading import patiently
from producers.scope import Scope

FEW_ADDRESSES = 25

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


def store(connection: Connection, scope: Scope, users: Iterable[PluvoUser]) -> None:
    """Keep users for this run; a user that is there already stays as it is."""
    rows = [
        {
            "pluvo_id": user.id,
            "ref": user.ref,
            "email": user.email,
            "email_folded": fold_email(user.email) if user.email else None,
            "email_loose": loose_email(user.email) if user.email else None,
            "name": user.name,
            "archived": user.archived,
            "afas_person_id": user.afas_person_id or None,
            "afas_contact_id": person_number(user.afas_contact_id) or user.afas_contact_id or None,
            "afas_connection_id": user.afas_connection_id or None,
        }
        for user in users
    ]
    connection.execute(_INSERT, {"run": scope.run_id, "tenant": scope.tenant_id, "rows": json.dumps(rows)})


def list_everyone(scope: Scope, pluvo: PluvoClient) -> None:
    """List all users, archived ones too. Raises Unavailable when Pluvo can't be listed whole after some tries."""
    for archived in (False, True):
        patiently(partial(_list, scope, pluvo, archived), scope.check)


def _list(scope: Scope, pluvo: PluvoClient, archived: bool) -> None:
    for page in pluvo.user_pages(archived):
        scope.check()
        with scope.writing() as connection:
            store(connection, scope, page.users)
        scope.progress(users=len(page.users))


def look_up(scope: Scope, pluvo: PluvoClient, emails: list[str]) -> None:
    """Find who holds these addresses."""
    users = patiently(partial(pluvo.find_users, emails=emails), scope.check)
    with scope.writing() as connection:
        store(connection, scope, users)
