"""Give someone without a link an account: the one the plan found, the one another of theirs has, or a new one.

A link is recorded in a transaction of its own as soon as the account is known: whatever fails afterwards, no second
account is made. It is only ever added to a person who has none.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Row

from clients.errors import Rejected, Unknown
from clients.pluvo import Applied, NewUser, PluvoUser, UserChanges, waits
from models.afas_values import person_number
from models.folding import fold_email, fold_name
from models.person import AccountFrom, LinkedBy
from producers.enrollments.matching import names_another
from workers.actors.enrollment_upsert import places
from workers.actors.enrollment_upsert import record as records
from workers.actors.enrollment_upsert.standing import Dropped
from workers.actors.enrollment_upsert.state import Parked, Work
from workers.messages.interruptions import Overtaken, Snooze

SHARED_ACCOUNT_SECONDS = 30.0


def find_or_make(work: Work) -> None:
    """Give someone without a link an account, as the plan decided."""
    row = work.row
    # A try went before and its answer is not known: look before anything is repeated.
    if row.intent_at is not None and (found := ours(work)):
        adopt(work, found, LinkedBy.CREATED, outcome="created")
    elif row.match == AccountFrom.SHARE:
        adopt_shared(work, row.match_with)
    elif row.match == AccountFrom.LINK:
        user = existing(work, row.match_account)
        if not still_theirs(work, user, row.match_by):
            raise Dropped("plan_changed")
        adopt(work, user, LinkedBy(row.match_by), outcome="linked")
    else:
        create(work)


def existing(work: Work, pluvo_id: str) -> PluvoUser:
    """An account that must be there."""
    user = work.pluvo.get_user(pluvo_id)
    if user is None:
        raise gone(work)
    return user


def gone(work: Work) -> Parked:
    """The account is gone. Whoever has the address (or our ref) now may be the same person, deleted and made again."""
    found = work.pluvo.find_users(emails=[work.row.email], refs=[work.our_ref])
    same = [u for u in found if u.ref == work.our_ref or fold_email(u.email or "") == fold_email(work.row.email)]
    return Parked("account_gone", same)


def still_theirs(work: Work, user: PluvoUser, linked_by: str) -> bool:
    """Whether the account still shows what the plan went by: an AFAS id, our own ref, or the address."""
    if linked_by == LinkedBy.AFAS_ID:
        return person_number(user.afas_contact_id) == work.internal_id
    if linked_by == LinkedBy.CREATED:
        return user.ref == work.our_ref
    if names_another(user.afas_contact_id, user.ref, work.internal_id, work.our_ref):
        return False
    return fold_email(user.email or "") == fold_email(work.row.email)


def adopt_shared(work: Work, internal_id: str) -> None:
    """Link to the account of the person with the same name and address, once that one has it."""
    first = work.account_of(internal_id)
    if first is None or not _same_person(first, work.row):
        raise Dropped("plan_changed")
    if first.pluvo_id is None:
        if not first.on_its_way:  # they were parked or refused: so is this one
            raise Parked("same_email", [])
        raise Snooze(SHARED_ACCOUNT_SECONDS, "waits_for_shared_account")
    adopt(work, existing(work, first.pluvo_id), LinkedBy.EMAIL, outcome="linked", shared=True)


def _same_person(one: Row[Any], other: Row[Any]) -> bool:
    """Name and address are what two AFAS persons are taken for one by."""
    same_name = fold_name(one.name or "") == fold_name(other.name or "")
    return same_name and fold_email(one.email or "") == fold_email(other.email or "")


def adopt(work: Work, user: PluvoUser, linked_by: LinkedBy, *, outcome: str, shared: bool = False) -> None:
    """Link to an existing account: it keeps its ref, roles and language, gets name, address and empty AFAS ids."""
    row = work.row
    if not shared and work.linked_to_other(user.id):
        raise Parked("candidate_taken", [user])
    if not shared and linked_by != LinkedBy.CREATED and work.linked_elsewhere(user.id):
        raise Parked("candidate_taken", [user])
    changes = UserChanges(
        name=row.name if not shared and user.name != row.name else None,
        email=row.email if not shared and user.email != row.email else None,
        archived=False if user.archived else None,
        **empty_afas_ids(work, user),
    )
    work.pluvo_id = user.id
    work.write("link", note=partial(places.note, work))
    try:
        applied = work.pluvo.update_user(user.id, changes, ref=work.safe_ref(user.ref), target=work.target)
    except Rejected as refused:
        if refused.code == "already_exists" and changes.email:
            raise Parked("email_taken", others_with(work, row.email)) from refused
        raise
    before = {"name": user.name, "email": user.email, "archived": user.archived}
    work.wrote(before, {"name": changes.name or user.name, "email": changes.email or user.email, "archived": False})
    work.outcome = outcome
    link(work, user, linked_by)
    accept(work, applied)


def link(work: Work, user: PluvoUser, linked_by: LinkedBy) -> None:
    """Record the link before anything else can go wrong."""
    if not records.record_link(work, user, linked_by):
        raise Overtaken("an operator decided otherwise")


def create(work: Work) -> None:
    """Make the account. Reserved first; refused because it exists means that somebody has it: find out who."""
    row = work.row
    work.write("create", note=partial(records.reserve, work))
    new = NewUser(row.email, row.name, work.our_ref, work.external_id, work.internal_id)
    try:
        applied = work.pluvo.create_user(new, send_invite=bool(row.pluvo.get("send_invite")), target=work.target)
    except Rejected as refused:
        places.withdraw(work)  # nobody was made, so nobody was enrolled
        if refused.code != "already_exists":
            records.release_reservation(work)
            raise
        take_existing(work, refused)
        return
    if applied.user is None:
        raise Unknown("not_confirmed", "Pluvo did not say which account it made.", system="Pluvo")
    work.wrote(None, {"name": row.name, "email": row.email, "enrolled": True})
    work.outcome = "created"
    link(work, applied.user, LinkedBy.CREATED)
    accept(work, applied)


def take_existing(work: Work, refused: Rejected) -> None:
    """The address or our ref is in use: our own account of an earlier try, somebody's account, or a riddle."""
    if found := ours(work):
        adopt(work, found, LinkedBy.CREATED, outcome="created")
        return
    holders = others_with(work, work.row.email)
    records.release_reservation(work)
    if not holders:  # Pluvo compares more generously than mail servers do: somebody's address looks like it
        raise Parked("similar_email", []) from refused
    if len(holders) > 1:
        raise Parked("several_with_email", holders)
    if work.row.decision == "create":  # an operator said that this is somebody else
        raise Parked("email_taken", holders)
    if names_another(holders[0].afas_contact_id, holders[0].ref, work.internal_id, work.our_ref):
        raise Parked("other_afas_id", holders)
    adopt(work, holders[0], LinkedBy.EMAIL, outcome="linked")


def ours(work: Work) -> PluvoUser | None:
    """The account that carries our ref for this very person."""
    return next((user for user in work.pluvo.find_users(refs=[work.our_ref]) if user.ref == work.our_ref), None)


def name_made(work: Work) -> None:
    """Find the account that was being made when an operator decided for another one: it may be in the place too."""
    told = work.places.told
    if work.pluvo_id and told and told.account is None and (made := ours(work)):
        work.places.told = replace(told, account=made.id)


def others_with(work: Work, email: str) -> list[PluvoUser]:
    """Accounts with this address that are not this person's."""
    found = work.pluvo.find_users(emails=[email])
    return [user for user in found if user.id != work.pluvo_id and fold_email(user.email or "") == fold_email(email)]


def accept(work: Work, applied: Applied) -> None:
    """Take over what Pluvo answered; a refused enrollment is an error although the account is fine."""
    if applied.enroll_error:
        if isinstance(applied.enroll_error, Rejected):
            places.withdraw(work)
        records.record_applied(work)
        raise applied.enroll_error
    places.came_true(work, applied.enrollment)
    if applied.enrollment:
        work.waiting = waits(applied.enrollment)
        work.enrollment_id = applied.enrollment.id
        if applied.enrollment.offer_event_id and not work.row.target_id:
            records.remember_target(work, applied.enrollment.offer_event_id)


def empty_afas_ids(work: Work, user: PluvoUser) -> dict[str, str | None]:
    """Our ids, but only where the account has none: another link may rely on what is there. Unseen is not empty."""
    if not work.pluvo.supports_afas_ids:
        return {}
    return {
        "person_id": None if user.afas_person_id else work.external_id,
        "contact_id": None if user.afas_contact_id else work.internal_id,
    }
