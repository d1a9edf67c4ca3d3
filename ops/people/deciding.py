"""What an operator sees who decides about one person: AFAS beside each account as Pluvo has it now, and what follows
from each choice. Reads both, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from clients.errors import RemoteError
from clients.pluvo import PluvoUser, same_email
from models.folding import clearly_other_name, fold_account, fold_name
from models.session import transaction
from ops import access, lookup
from ops.language import Words
from ops.listing import Page, Row, checked_limit, number_cursor, page, rows, where
from ops.lookup import checked_id
from ops.people import links, links_check
from ops.people.candidates import CANDIDATES, REVISION
from ops.people.next_action import Next
from ops.people.unasked import why
from producers.enrollments.plan_lines import our_ref
from tenancy.systems import systems_at_once

MOST = 20  # accounts that are looked at live
_PERSON = f"""
    SELECT p.id, p.internal_id, p.external_id, p.name, p.email, p.seen_at, l.pluvo_id, l.state, l.reason, l.decision,
           {REVISION} AS revision, {CANDIDATES},
           ARRAY(SELECT c.event_id FROM enrollment e JOIN course c ON c.id = e.course_id AND c.tenant_id = e.tenant_id
                  WHERE e.person_id = p.id AND e.tenant_id = p.tenant_id AND e.row_state = 'present' AND c.active
                  ORDER BY length(c.event_id), c.event_id) AS events
      FROM person p LEFT JOIN link l ON l.person_id = p.id AND l.tenant_id = p.tenant_id
     WHERE p.id = :person AND p.tenant_id = :tenant
"""  # noqa: S608  a constant
_WHOSE = """
    SELECT DISTINCT ON (l.pluvo_id) l.pluvo_id, p.internal_id, p.name
      FROM link l JOIN person p ON p.id = l.person_id AND p.tenant_id = l.tenant_id
     WHERE l.tenant_id = :tenant AND l.pluvo_id = ANY(:accounts) AND l.state <> 'ignored' AND p.id <> :person
     ORDER BY l.pluvo_id, length(p.internal_id), p.internal_id
"""
_FOLLOWING = """
    SELECT min(l.person_id) FROM link l
     WHERE l.tenant_id = :tenant AND l.state = 'ambiguous' AND l.decision IS NULL AND l.person_id > :person
"""
_ID_OF = "SELECT internal_id FROM person WHERE id = :person AND tenant_id = :tenant"


class Account(TypedDict):
    """An account that may be theirs. ``there``: Pluvo has it, None where it was not asked or has no id yet.

    ``same``: whether name and address are those of AFAS, and whether the name is clearly another one's.
    """

    pluvo_id: str | None
    name: str | None
    email: str | None
    ref: str | None
    afas_id: str | None
    archived: bool
    there: bool | None
    linked_to: str | None
    linked_name: str | None
    same: dict[str, bool]


class Choice(TypedDict):
    """Something that may be decided, and what follows (``ops/language/people.py``). Not ``possible``: why not."""

    choice: str
    pluvo_id: str | None
    possible: bool
    code: str
    params: dict[str, Any]


class Deciding(TypedDict):
    """A person about whom something may be decided. ``unasked``: why Pluvo could not be asked, as a sentence.

    ``revision``: of the link; who gives it with a decision is told when somebody was first. ``following``: the internal
    id of the next ambiguous person of the tenant.
    """

    tenant: str
    internal_id: str
    external_id: str | None
    name: str | None
    email: str | None
    events: list[str]
    state: str | None
    reason: str | None
    pluvo_id: str | None
    revision: int
    decided: links.Decided | None
    candidates: list[Account]
    choices: list[Choice]
    unasked: Next | None
    following: str | None


_WAITING = """
    SELECT l.person_id AS number, t.slug AS tenant, p.internal_id, p.name, p.email, l.reason, l.updated_at AS since,
           jsonb_array_length(l.candidates) AS accounts
      FROM link l JOIN person p ON p.id = l.person_id AND p.tenant_id = l.tenant_id JOIN tenant t ON t.id = l.tenant_id
     WHERE l.state = 'ambiguous' AND l.decision IS NULL
"""
_FILTERS = {
    "tenant": "l.tenant_id = :tenant",
    "tenants": "l.tenant_id = ANY(:tenants)",
    "reason": "l.reason = :reason",
    "cursor": "l.person_id > :cursor",
}


def waiting(
    limit: int = 100, cursor: str | None = None, *, tenant: str | None = None, reason: str | None = None
) -> Page:
    """Everybody about whom nothing is decided yet, oldest person first, of all tenants that one may see."""
    access.check("links.read", tenant)
    with transaction() as connection:
        number = lookup.tenant_id(connection, tenant) if tenant else None
        seen = None if tenant else lookup.visible_ids(connection)
        wanted = {"tenant": number, "tenants": seen, "reason": reason, "cursor": number_cursor(cursor)}
        conditions = where(_FILTERS, wanted).removeprefix("WHERE ")
        statement = f"{_WAITING} AND {conditions} ORDER BY l.person_id LIMIT :limit"
        found = rows(connection, statement, limit=checked_limit(limit) + 1, **wanted)
    cut = page(found, limit, "number")
    return Page([{key: value for key, value in row.items() if key != "number"} for row in cut.items], cut.next)


def candidates(slug: str, internal_id: str) -> Deciding:
    """A person with the accounts that may be theirs, as Pluvo shows them now, and the consequence of each choice."""
    access.check("links.candidates", slug)
    internal_id = checked_id(internal_id)
    tenant = links_check.tenant_of(slug)
    number = tenant.id or 0
    with transaction() as connection:
        person = lookup.person_id(connection, number, internal_id, slug)
        (row,) = rows(connection, _PERSON, person=person, tenant=number)
        decided = links.last_decision(connection, number, internal_id)
        after = connection.execute(text(_FOLLOWING), {"tenant": number, "person": person}).scalar()
        following = connection.execute(text(_ID_OF), {"tenant": number, "person": after}).scalar() if after else None
    stored = {fold_account(one["pluvo_id"]): one for one in row["candidates"] if one.get("pluvo_id")}
    if row["pluvo_id"]:
        stored.setdefault(row["pluvo_id"], {"pluvo_id": row["pluvo_id"]})
    live: dict[str, PluvoUser] = {}
    unasked: Next | None = None
    try:
        pluvo = systems_at_once(tenant).pluvo
        live = {one: user for one in list(stored)[:MOST] if (user := pluvo.get_user(one))}
        if row["email"]:
            found = pluvo.find_users(emails=[row["email"]], refs=[our_ref(tenant.afas.member_id, internal_id)])
            live |= {user.id: user for user in found[:MOST]}
    except RemoteError as error:
        unasked = {"code": "choice.unasked", "params": {"why": why(error)}, "verb": None}
    with transaction() as connection:
        whose = _whose(connection, number, person, [*stored, *live])
    accounts = [_account(one, stored.get(one), live.get(one), unasked is None, whose) for one in {**stored, **live}]
    accounts += [_to_be_made(one) for one in row["candidates"] if not one.get("pluvo_id")]
    for one in accounts:
        one["same"] = _same(row, one)
    return {
        "tenant": slug,
        "internal_id": internal_id,
        "external_id": row["external_id"],
        "name": row["name"],
        "email": row["email"],
        "events": row["events"],
        "state": row["state"],
        "reason": row["reason"],
        "pluvo_id": row["pluvo_id"],
        "revision": row["revision"],
        "decided": decided,
        "candidates": accounts,
        "choices": list(_choices(row, accounts)),
        "unasked": unasked,
        "following": following,
    }


def _whose(connection: Connection, tenant: int, person: int, accounts: Sequence[str]) -> dict[str, Row]:
    found = rows(connection, _WHOSE, tenant=tenant, person=person, accounts=list(accounts))
    return {row["pluvo_id"]: row for row in found}


def _account(pluvo_id: str, stored: Row | None, user: PluvoUser | None, asked: bool, whose: dict[str, Row]) -> Account:
    known = stored or {}
    theirs = whose.get(pluvo_id, {})
    return {
        "pluvo_id": pluvo_id,
        "name": user.name if user else known.get("name"),
        "email": user.email if user else known.get("email"),
        "ref": user.ref if user else None,
        "afas_id": user.afas_contact_id if user else None,
        "archived": user.archived if user else bool(known.get("archived")),
        "there": user is not None if asked else None,
        "linked_to": theirs.get("internal_id"),
        "linked_name": theirs.get("name"),
        "same": {},
    }


def _to_be_made(stored: Row) -> Account:
    """The account of somebody who comes first in the same run."""
    return {
        "pluvo_id": None,
        "name": stored.get("name"),
        "email": stored.get("email"),
        "ref": None,
        "afas_id": None,
        "archived": False,
        "there": None,
        "linked_to": stored.get("linked_to"),
        "linked_name": stored.get("name"),
        "same": {},
    }


def _same(row: Row, account: Account) -> dict[str, bool]:
    return {
        "name": fold_name(account["name"]) == fold_name(row["name"]),
        "email": same_email(account["email"], row["email"] or ""),
        "other_name": clearly_other_name(account["name"], row["name"]),
    }


def _choices(row: Row, accounts: Sequence[Account]) -> Iterable[Choice]:
    told = {"internal_id": row["internal_id"], "events": _events(row["events"])}
    holders = [one for one in accounts if one["same"]["email"] and one["pluvo_id"] and one["there"] is not False]
    for account in accounts:
        yield _link(row, account, holders, told)
    if row["decision"] == "create" and row["state"] == "ambiguous":
        yield _choice("create", None, "create_already", possible=False)
    elif row["pluvo_id"] and row["state"] != "ignored":
        yield _choice("create", None, "create_linked", possible=False, **told, account=row["pluvo_id"])
    elif not row["email"]:
        yield _choice("create", None, "create_no_email", possible=False)
    elif holders:
        email, holder = row["email"], holders[0]["pluvo_id"]
        yield _choice("create", None, "create_taken", possible=False, email=email, holder=holder)
    else:
        yield _choice("create", None, "create", **told, email=row["email"])
    ignored = row["state"] == "ignored"
    yield _choice("ignore", None, "ignore_already" if ignored else "ignore", possible=not ignored, **told)


def _events(events: Sequence[str]) -> Words:
    if not events:
        return Words("choice.no_events")
    return Words("choice.events", listed=", ".join(events))


def _link(row: Row, account: Account, holders: Sequence[Account], told: dict[str, Any]) -> Choice:
    pluvo_id = account["pluvo_id"]
    if pluvo_id is None:
        return _choice("link", None, "link_to_be_made", possible=False, other=account["linked_to"])
    if row["state"] == "linked" and pluvo_id == row["pluvo_id"]:
        return _choice("link", pluvo_id, "link_already", possible=False, **told)
    if account["there"] is False:
        return _choice("link", pluvo_id, "link_gone", possible=False)
    if account["linked_to"]:
        return _choice("link", pluvo_id, "link_shared", **told, other=account["linked_to"])
    if row["email"] and not account["same"]["email"] and any(one["pluvo_id"] != pluvo_id for one in holders):
        return _choice("link", pluvo_id, "link_email_taken", after=row["email"])
    return _link_freely(pluvo_id, list(_changes(row, account)), told)


def _link_freely(pluvo_id: str, changes: Sequence[Words], told: dict[str, Any]) -> Choice:
    if not changes:
        return _choice("link", pluvo_id, "link", **told)
    together = reduce(lambda first, second: Words("problem.and", first=first, second=second), changes)
    return _choice("link", pluvo_id, "link_changes", **told, changes=together)


def _changes(row: Row, account: Account) -> Iterable[Words]:
    if row["name"] and account["name"] != row["name"]:
        yield Words("choice.change_name", before=account["name"] or "-", after=row["name"])
    if row["email"] and account["email"] != row["email"]:
        yield Words("choice.change_email", before=account["email"] or "-", after=row["email"])
    if account["archived"]:
        yield Words("choice.change_restored")


def _choice(choice: str, pluvo_id: str | None, code: str, *, possible: bool = True, **params: object) -> Choice:
    return {"choice": choice, "pluvo_id": pluvo_id, "possible": possible, "code": f"choice.{code}", "params": params}
