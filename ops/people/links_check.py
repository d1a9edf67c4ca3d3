"""Refuse at once what can't work: an account that is not there or is another person's, an address in use."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text

from clients.errors import Incomplete, Misconfigured, Rejected, RemoteError
from clients.pluvo import PluvoClient, PluvoUser, same_email
from models.folding import fold_account
from models.session import session, transaction
from models.tenant import Tenant
from ops import lookup
from ops.language import Words
from ops.lookup import checked_account, checked_id
from ops.people import links
from ops.people.unasked import why
from ops.problems import Problem
from tenancy.systems import systems_at_once

_OTHER = text(
    """
    SELECT p.internal_id FROM link l JOIN person p ON p.id = l.person_id
     WHERE l.tenant_id = :tenant AND l.pluvo_id = :pluvo AND l.state <> 'ignored' AND p.internal_id <> :internal
     ORDER BY length(p.internal_id), p.internal_id LIMIT 1
    """
)


def account(slug: str, internal_id: str, pluvo_id: str, *, sure: bool) -> None:
    """Raises Problem for an account that Pluvo does not have, or (unless ``sure``) that another person has."""
    tenant = tenant_of(slug)
    other = _linked_to(tenant, pluvo_id, internal_id)
    if other and not sure:
        raise Problem("account_taken", pluvo_id=pluvo_id, other=other, internal_id=internal_id, slug=slug)
    try:
        found = systems_at_once(tenant).pluvo.get_user(fold_account(pluvo_id.strip()))
    except RemoteError as error:
        raise Problem("pluvo_account_unasked", slug=slug, pluvo_id=pluvo_id, said=why(error)) from None
    if found is None:
        raise Problem("no_pluvo_user", pluvo_id=pluvo_id)


def set_checked(
    slug: str, internal_id: str, pluvo_id: str, *, sure: bool, who: str, reason: str | None, move: bool = True
) -> links.LinkDone:
    """Link a person to an account after Pluvo was asked for it. ``move``: also who is linked to another one."""
    internal_id, pluvo_id = checked_id(internal_id), checked_account(pluvo_id)
    account(slug, internal_id, pluvo_id, sure=sure)
    done = links.set_link(slug, internal_id, pluvo_id, who=who, reason=reason, move=move)
    return {"tenant": slug, "internal_id": internal_id, "pluvo_id": pluvo_id, "result": done}


def decide_checked(
    slug: str,
    internal_id: str,
    decision: str,
    pluvo_id: str | None,
    *,
    who: str,
    reason: str | None,
    seen: int | None = None,
) -> links.LinkDone:
    """Settle who an ambiguous person is, after Pluvo was asked whether that can work.

    ``seen``: the revision of the link that the decision is based on. Raises AlreadyDecided for another one.
    """
    internal_id = checked_id(internal_id)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        links.refuse_unseen(connection, tenant, internal_id, seen)
        before = links.last_decision(connection, tenant, internal_id)
    if decision == "link" and pluvo_id is not None:
        account(slug, internal_id, checked_account(pluvo_id), sure=True)
    elif decision == "create":
        new_account(slug, internal_id)
    done = links.decide(slug, internal_id, decision, pluvo_id, who=who, reason=reason, seen=seen)
    return {"tenant": slug, "internal_id": internal_id, "decision": decision, "result": done, "before": before}


def accounts(
    tenant: Tenant, wanted: Mapping[int, tuple[str, str]], *, ask: bool, sure: bool
) -> list[tuple[int, Words]]:
    """The same for a file, ``{line: (internal id, account)}``: the lines that can't work, and why.

    With ``ask`` all of Pluvo's users are listed once.
    """
    problems: list[tuple[int, Words]] = []
    if not sure:
        given: dict[str, str] = {}
        for line, (internal_id, pluvo_id) in wanted.items():
            other = _linked_to(tenant, pluvo_id, internal_id) or given.get(fold_account(pluvo_id))
            if other:
                problems.append((line, Words("problem.account_taken_in_file", pluvo_id=pluvo_id, other=other)))
            given.setdefault(fold_account(pluvo_id), internal_id)
    if ask:
        try:
            absent = _absent(systems_at_once(tenant).pluvo, {fold_account(account) for _, account in wanted.values()})
        except RemoteError as error:
            raise Problem("pluvo_users_unasked", slug=tenant.slug, said=why(error)) from None
        missing = [(line, account) for line, (_, account) in wanted.items() if fold_account(account) in absent]
        problems += [(line, Words("problem.no_pluvo_user_in_file", pluvo_id=account)) for line, account in missing]
    return problems


def _absent(pluvo: PluvoClient, accounts: set[str]) -> set[str]:
    """Which of these accounts Pluvo does not have. Where its list is not whole, who is missing there is asked for."""
    absent, whole = set(accounts), True
    for archived in (False, True):
        try:
            for page in pluvo.user_pages(archived):
                absent -= {user.id for user in page.users}
        except Incomplete:
            whole = False
    return absent if whole else {account for account in absent if not _has(pluvo, account)}


def _has(pluvo: PluvoClient, account: str) -> bool:
    try:
        return pluvo.get_user(account) is not None
    except (Misconfigured, Rejected):  # Pluvo won't take it for an id
        return False


def new_account(slug: str, internal_id: str) -> None:
    """Raises Problem when no account can be made: a user of Pluvo has the person's address."""
    tenant = tenant_of(slug)
    with transaction() as connection:
        person = lookup.person_id(connection, tenant.id or 0, internal_id, slug)
        email = connection.execute(text("SELECT email FROM person WHERE id = :id"), {"id": person}).scalar()
    if not email:
        return
    try:
        found = systems_at_once(tenant).pluvo.find_users(emails=[email])
    except RemoteError as error:
        raise Problem("pluvo_address_unasked", slug=slug, internal_id=internal_id, said=why(error)) from None
    holder = next((user for user in found if same_email(user.email, email)), None)
    if holder:
        raise _taken(slug, internal_id, tenant, holder)


def _taken(slug: str, internal_id: str, tenant: Tenant, holder: PluvoUser) -> Problem:
    other = _linked_to(tenant, holder.id, internal_id)
    if not other:
        return Problem("address_taken", slug=slug, internal_id=internal_id, holder=holder.id)
    return Problem("address_taken_linked", slug=slug, internal_id=internal_id, holder=holder.id, other=other)


def tenant_of(slug: str) -> Tenant:
    """A tenant with its secrets, in no session."""
    with transaction() as connection:
        number = lookup.tenant_id(connection, slug)
    with session() as opened:
        return opened.get_one(Tenant, number)


def _linked_to(tenant: Tenant, pluvo_id: str, internal_id: str) -> str | None:
    """The other person that an account is linked to."""
    values = {"tenant": tenant.id, "pluvo": fold_account(pluvo_id.strip()), "internal": internal_id}
    with transaction() as connection:
        found: str | None = connection.execute(_OTHER, values).scalar()
    return found
