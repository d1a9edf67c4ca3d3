"""The ID mapping, for operators: list, show, set, decide, remove. What is decided here is remembered, and never undone
by a run; the next run acts on it (``koppeling sync SLUG --person INTERNAL_ID`` does so now).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NotRequired

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models import locks
from models.person import AccountFrom, LinkedBy, LinkState
from models.session import transaction
from ops import access, audit, lookup
from ops.language import Words
from ops.listing import Page, Row, checked_limit, number_cursor, of_tenant, page, rows, where
from ops.lookup import checked_account, checked_id
from ops.people import erasing
from ops.people.candidates import CANDIDATES, REVISION
from ops.problems import AlreadyDecided, Problem
from ops.tidy import tidy_up

DECISIONS = ("link", "create", "ignore")
# Why somebody is erased, kept with the record of it.
ERASE_REASONS = ("asked", "no_longer_needed", "by_mistake")

_COLUMNS = f"""
           l.person_id AS number, t.slug AS tenant, p.internal_id, p.external_id, l.pluvo_id, l.ref, l.state,
           l.linked_by, l.reason, {CANDIDATES}, l.decision, l.archived, l.created_at, l.updated_at
"""
_OF_ALL = f"""
    SELECT {_COLUMNS} FROM link l JOIN person p ON p.id = l.person_id AND p.tenant_id = l.tenant_id
      JOIN tenant t ON t.id = l.tenant_id
"""  # noqa: S608  constants only
# Of which tenant they are stands in the condition, in a form that leaves it in the order.
_OF_ONE = f"""
    SELECT {_COLUMNS} FROM link l JOIN person p ON p.id = l.person_id JOIN tenant t ON t.id = :tenant
"""  # noqa: S608  constants only
_FILTERS = {
    "tenant": f"{of_tenant('p.tenant_id')} AND {of_tenant('l.tenant_id')}",
    "tenants": "l.tenant_id = ANY(:tenants)",
    "state": "l.state = :state",
    "cursor": "l.person_id > :cursor AND p.id > :cursor",
}


class Decided(TypedDict):
    """Who decided about a person last. ``decision``: link (with the ``account``), create, ignore or remove."""

    who: str
    at: datetime
    verb: str
    decision: str
    account: str | None


class LinkDone(TypedDict):
    """What ``links set`` and ``links decide`` tell. ``result``: linked, moved, decided or unchanged.

    ``before``: who had decided about this person until then.
    """

    tenant: str
    internal_id: str
    pluvo_id: NotRequired[str]
    decision: NotRequired[str]
    result: str
    before: NotRequired[Decided | None]


def listing(
    limit: int = 100, cursor: str | None = None, *, tenant: str | None = None, state: str | None = None
) -> Page:
    """Links, oldest person first."""
    if state is not None and state not in set(LinkState):
        raise Problem("state_one_of", listed=", ".join(LinkState))
    with transaction() as connection:
        number = lookup.tenant_id(connection, tenant) if tenant else None
        seen = lookup.visible_ids(connection)
        wanted = {"tenant": number, "tenants": seen, "state": state, "cursor": number_cursor(cursor)}
        listed, order = (_OF_ALL, "l.person_id") if number is None else (_OF_ONE, "p.tenant_id, p.id")
        oldest_first = f"{listed} {where(_FILTERS, wanted)} ORDER BY {order} LIMIT :limit"
        found = rows(connection, oldest_first, limit=checked_limit(limit) + 1, **wanted)
    cut = page(found, limit, "number")
    return Page([_item(row) for row in cut.items], cut.next)


def _item(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "number"}


def show(slug: str, internal_id: str) -> Row:
    """The link of one person with its candidates and what was decided about it."""
    internal_id = checked_id(internal_id)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        person = lookup.person_id(connection, tenant, internal_id, slug)
        found = rows(
            connection,
            f"{_OF_ALL} WHERE l.person_id = :person AND l.tenant_id = :tenant",
            person=person,
            tenant=tenant,
        )
        history = rows(
            connection,
            "SELECT at, who, verb, reason, detail FROM operator_action"
            " WHERE tenant_id = :tenant AND subject = :subject AND verb LIKE 'links %' ORDER BY id",
            tenant=tenant,
            subject=internal_id,
        )
    empty: Row = {"tenant": slug, "internal_id": internal_id, "pluvo_id": None, "state": None, "candidates": []}
    return (_item(found[0]) if found else empty) | {"history": history}


def set_link(
    slug: str, internal_id: str, pluvo_id: str, *, who: str, reason: str | None = None, move: bool = True
) -> str:
    """Link a person, also one not seen yet, to a Pluvo account. Returns ``linked``, ``moved`` or ``unchanged``.

    Without ``move`` raises AlreadyDecided for a person who is linked to another account.
    """
    access.check("links.set", slug)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        if not move:
            _refuse_moving(connection, tenant, checked_id(internal_id), checked_account(pluvo_id), slug)
        return link_person(connection, tenant, internal_id, pluvo_id, who=who, verb="links set", reason=reason)


def _refuse_moving(connection: Connection, tenant: int, internal_id: str, account: str, slug: str) -> None:
    locks.hold(connection, _person(connection, tenant, internal_id))
    stored = "SELECT l.pluvo_id FROM link l JOIN person p ON p.id = l.person_id WHERE p.tenant_id = :tenant"
    now = f"{stored} AND p.internal_id = :internal AND l.state = 'linked' AND l.pluvo_id <> :account"
    for row in rows(connection, now, tenant=tenant, internal=internal_id, account=account):
        verbs = ("links set", "links import", "links decide")
        first = audit.first(connection, *verbs, tenant=slug, subject=internal_id)
        told = {"internal_id": internal_id, "slug": slug, "pluvo_id": row["pluvo_id"], "first": audit.by(first)}
        raise AlreadyDecided("linked_by_other", **told)


def link_person(
    connection: Connection,
    tenant: int,
    internal_id: str,
    pluvo_id: str,
    *,
    who: str,
    verb: str,
    reason: str | None = None,
) -> str:
    """The same inside the caller's transaction."""
    internal_id = checked_id(internal_id)
    person = _person(connection, tenant, internal_id)
    account = checked_account(pluvo_id)
    locks.hold(connection, person)
    row = connection.execute(
        text("SELECT state, pluvo_id FROM link WHERE person_id = :person AND tenant_id = :tenant"),
        {"person": person, "tenant": tenant},
    ).first()
    before = row.pluvo_id if row and row.state != LinkState.IGNORED else None
    if row and row.state == LinkState.LINKED and before == account:
        return "unchanged"
    connection.execute(_NOT_THEIRS, {"tenant": tenant, "person": person, "theirs": account})
    connection.execute(_LINK, {"tenant": tenant, "person": person, "pluvo_id": account, "reason": reason})
    if row and row.pluvo_id != account:
        _forget_applied(connection, tenant, person)
    _decided(connection, tenant, person, AccountFrom.LINK, account=account, by=LinkedBy.OPERATOR)
    detail = {"before": before, "after": account}
    audit.record(connection, who=who, verb=verb, tenant_id=tenant, subject=internal_id, reason=reason, detail=detail)
    return "moved" if before else "linked"


# The account was not made by us, so it is never archived by us.
_LINK = text(
    """
    INSERT INTO link AS l (tenant_id, person_id, pluvo_id, state, linked_by, reason, candidates, decision)
    VALUES (:tenant, :person, :pluvo_id, 'linked', 'operator', :reason, '[]', 'link')
    ON CONFLICT (person_id) DO UPDATE SET
        pluvo_id = excluded.pluvo_id, state = 'linked', linked_by = 'operator', reason = excluded.reason,
        ref = CASE WHEN l.pluvo_id = excluded.pluvo_id THEN l.ref END,
        created_by_us = l.created_by_us AND l.pluvo_id IS NOT DISTINCT FROM excluded.pluvo_id,
        archived = l.archived AND l.pluvo_id IS NOT DISTINCT FROM excluded.pluvo_id,
        candidates = '[]', decision = 'link', revision = l.revision + 1, updated_at = now()
    """
)


# Remember the account that a person has until now, and that one of such accounts is theirs after all.
_NOT_THEIRS = text(
    """
    UPDATE person p
       SET not_theirs = (SELECT coalesce(jsonb_agg(DISTINCT a), '[]') FROM (
                             SELECT jsonb_array_elements_text(p.not_theirs) UNION
                             SELECT l.pluvo_id FROM link l
                              WHERE l.person_id = p.id AND l.tenant_id = p.tenant_id AND l.pluvo_id IS NOT NULL
                          ) AS x (a)
                          WHERE a IS DISTINCT FROM CAST(:theirs AS text))
     WHERE p.id = :person AND p.tenant_id = :tenant
    """
)


_LAST = """
    SELECT who, at, verb, detail FROM operator_action
     WHERE tenant_id = :tenant AND subject = :subject AND verb LIKE 'links %' ORDER BY id DESC LIMIT 1
"""


_REVISION = f"""
    SELECT {REVISION} FROM person p LEFT JOIN link l ON l.person_id = p.id AND l.tenant_id = p.tenant_id
     WHERE p.tenant_id = :tenant AND p.internal_id = :subject
"""  # noqa: S608  a constant


def last_decision(connection: Connection, tenant: int, internal_id: str) -> Decided | None:
    """Who set, decided or removed the link of a person last."""
    found = connection.execute(text(_LAST), {"tenant": tenant, "subject": internal_id}).first()
    if found is None:
        return None
    detail = found.detail or {}
    decision = detail.get("decision") or ("link" if "after" in detail else "remove")
    return {
        "who": found.who,
        "at": found.at,
        "verb": found.verb,
        "decision": decision,
        "account": detail.get("after"),
    }


def refuse_unseen(connection: Connection, tenant: int, internal_id: str, seen: int | None) -> None:
    """Raise AlreadyDecided where the link is no longer the one that was looked at, with who was first, and when."""
    now = connection.execute(text(_REVISION), {"tenant": tenant, "subject": internal_id}).scalar() or 0
    if seen is None or seen == now:
        return
    before = last_decision(connection, tenant, internal_id)
    if before is None:
        raise AlreadyDecided("link_changed_meanwhile", internal_id=internal_id)
    decision = Words(f"decision.{before['decision']}", account=before["account"] or "-")
    at = f"{before['at']:%Y-%m-%d %H:%M} UTC"
    raise AlreadyDecided("decided_before", internal_id=internal_id, who=before["who"], at=at, decision=decision)


def decide(
    slug: str,
    internal_id: str,
    decision: str,
    pluvo_id: str | None,
    *,
    who: str,
    reason: str | None = None,
    seen: int | None = None,
) -> str:
    """Settle who an ambiguous person is: ``link`` (with an account), ``create`` or ``ignore``. Remembered for ever.

    ``seen``: the revision of the link as it was looked at. Raises AlreadyDecided when somebody was first.
    """
    if decision not in DECISIONS or (decision == "link") != (pluvo_id is not None):
        raise Problem("decide_what")
    access.check("links.decide", slug)
    internal_id = checked_id(internal_id)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        person = lookup.person_id(connection, tenant, internal_id, slug)
        locks.hold(connection, person)
        refuse_unseen(connection, tenant, internal_id, seen)
        if pluvo_id is not None:
            return link_person(connection, tenant, internal_id, pluvo_id, who=who, verb="links decide", reason=reason)
        row = connection.execute(
            text("SELECT state, pluvo_id, decision FROM link WHERE person_id = :person AND tenant_id = :tenant"),
            {"person": person, "tenant": tenant},
        ).first()
        if decision == "create" and row and row.pluvo_id and row.state != LinkState.IGNORED:
            raise AlreadyDecided("linked_already", internal_id=internal_id, slug=slug, pluvo_id=row.pluvo_id)
        if row and row.decision == decision:
            return "unchanged"
        state = LinkState.IGNORED if decision == "ignore" else LinkState.AMBIGUOUS
        if decision == "create":
            connection.execute(_NOT_THEIRS, {"tenant": tenant, "person": person, "theirs": None})
        connection.execute(_DECIDE, {"tenant": tenant, "person": person, "state": state, "decision": decision})
        if decision == "create" and row and row.pluvo_id:
            _forget_applied(connection, tenant, person)
        _decided(connection, tenant, person, AccountFrom.CREATE if decision == "create" else None)
        audit.record(
            connection,
            who=who,
            verb="links decide",
            tenant_id=tenant,
            subject=internal_id,
            reason=reason,
            detail={"decision": decision},
        )
    return "decided"


_DECIDE = text(
    """
    INSERT INTO link AS l (tenant_id, person_id, state, decision, reason, candidates)
    VALUES (:tenant, :person, :state, :decision, 'operator', '[]')
    ON CONFLICT (person_id) DO UPDATE SET
        state = excluded.state, decision = excluded.decision, reason = excluded.reason,
        pluvo_id = CASE WHEN excluded.decision = 'create' THEN NULL ELSE l.pluvo_id END,
        revision = l.revision + 1, updated_at = now()
    """
)


def remove(
    slug: str, internal_id: str, *, erase: bool, who: str, reason: str | None = None, seen: int | None = None
) -> dict[str, int]:
    """Forget the link, so that the next run matches anew, but not by an AFAS id on that account; ``erase`` removes all
    that is known of the person here.

    ``seen``: the revision of the link as it was looked at; AlreadyDecided where it is another one by now. Nothing
    changes in AFAS or Pluvo. Returns rows by table.
    """
    access.check("people.erase" if erase else "links.remove", slug)
    internal_id = checked_id(internal_id)
    if erase:
        return _erase(slug, internal_id, who=who, reason=reason)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        person = lookup.person_id(connection, tenant, internal_id, slug)
        locks.hold(connection, person)
        refuse_unseen(connection, tenant, internal_id, seen)
        connection.execute(_NOT_THEIRS, {"tenant": tenant, "person": person, "theirs": None})
        count = connection.execute(
            text("DELETE FROM link WHERE person_id = :person AND tenant_id = :tenant"),
            {"person": person, "tenant": tenant},
        ).rowcount
        _forget_applied(connection, tenant, person)
        _decided(connection, tenant, person, None)
        audit.record(connection, who=who, verb="links remove", tenant_id=tenant, subject=internal_id, reason=reason)
    return {"link": count}


def _erase(slug: str, internal_id: str, *, who: str, reason: str | None) -> dict[str, int]:
    if reason not in (None, *ERASE_REASONS):  # free text might name the person
        raise Problem("erase_reason", listed=", ".join(ERASE_REASONS))
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        key = {"tenant": tenant, "internal_id": internal_id}
        found = connection.execute(
            text("SELECT id FROM person WHERE tenant_id = :tenant AND internal_id = :internal_id"), key
        ).scalar()
        gone = erasing.erase(connection, tenant, found, internal_id)
        if not gone:
            lookup.person_id(connection, tenant, internal_id, slug)  # raises: no such person
        # The audit says that a person was erased, and does not name them.
        detail = {"erased": sum(gone.values())}
        audit.record(connection, who=who, verb="links remove", tenant_id=tenant, reason=reason, detail=detail)
    tidy_up(gone)
    return gone


def hold_known(connection: Connection, people: Sequence[tuple[int, str]]) -> None:
    """Hold all of these, (tenant, internal id), at once: one after the other two files could wait for each other."""
    found = connection.execute(
        text(
            """SELECT p.id FROM unnest(CAST(:tenants AS bigint[]), CAST(:ids AS text[])) AS w (tenant_id, internal_id)
                 JOIN person p USING (tenant_id, internal_id)"""
        ),
        {"tenants": [tenant for tenant, _ in people], "ids": [internal_id for _, internal_id in people]},
    )
    locks.hold(connection, *found.scalars())


def _person(connection: Connection, tenant: int, internal_id: str) -> int:
    key = {"tenant": tenant, "internal_id": internal_id}
    connection.execute(
        text(
            "INSERT INTO person (tenant_id, internal_id) VALUES (:tenant, :internal_id)"
            " ON CONFLICT (tenant_id, internal_id) DO NOTHING"
        ),
        key,
    )
    found = connection.execute(
        text("SELECT id FROM person WHERE tenant_id = :tenant AND internal_id = :internal_id"), key
    )
    return int(found.scalar_one())


def _forget_applied(connection: Connection, tenant: int, person: int) -> None:
    """Another account knows nothing of what the one before was told: the next run tells it all.

    Nor does a removal hold that was decided for the one before.
    """
    connection.execute(
        text(
            "UPDATE enrollment SET state = 'new', desired = 'enrolled', applied_version = NULL,"
            " pluvo_enrollment_id = NULL, failed_code = NULL, failed_version = NULL, failed_settings = NULL"
            " WHERE tenant_id = :tenant AND person_id = :person"
        ),
        {"tenant": tenant, "person": person},
    )
    connection.execute(
        text(
            "UPDATE person SET applied_version = NULL, applied_name = NULL, applied_email = NULL,"
            " intent_at = NULL WHERE tenant_id = :tenant AND id = :person"
        ),
        {"tenant": tenant, "person": person},
    )


def _decided(
    connection: Connection,
    tenant: int,
    person: int,
    match: str | None,
    *,
    account: str | None = None,
    by: str | None = None,
) -> None:
    connection.execute(
        text(
            """UPDATE person SET match = :match, match_account = :account, match_by = :by, match_with = NULL
                WHERE id = :person AND tenant_id = :tenant"""
        ),
        {"tenant": tenant, "person": person, "match": match, "account": account, "by": by},
    )
    locks.follow(connection, person)
