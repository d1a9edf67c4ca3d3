"""Give a person without a link an account: the one the plan found, that of a peer, or a new one.

A link is recorded with the result, and in a transaction of its own where more is to be done or something fails: no
second account is made. It is only ever added to a person who has none.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from clients.errors import Rejected, Unknown
from clients.pluvo import Applied, NewUser, PluvoUser, UserChanges, waits
from models.afas_values import person_number
from models.folding import clearly_other_name, fold_email, fold_name
from models.person import AccountFrom, LinkedBy
from producers.enrollments.matching import names_another
from workers.actors.enrollment_upsert import record, sharing
from workers.actors.enrollment_upsert.standing import Dropped
from workers.actors.enrollment_upsert.state import NeedsDecision, Work
from workers.messages.interruptions import Snooze

SHARED_ACCOUNT_SECONDS = 30.0


def give_account(work: Work) -> str:
    """Link, share or make the account as the plan decided, and enroll it. Returns the outcome."""
    row = work.row
    # A try went before and its answer is not known: look before anything is repeated.
    if row.intent_at is not None and (found := our_account(work)):
        return _adopt(work, found, LinkedBy.CREATED, outcome="created")
    if row.match == AccountFrom.SHARE:
        return _share(work)
    if row.match == AccountFrom.LINK:
        user = _existing(work, row.match_account or "")
        if not _still_theirs(work, user):
            raise Dropped("plan_changed")
        if row.match_by == LinkedBy.EMAIL:
            _refuse_other_name(work, user)
        return _adopt(work, user, LinkedBy(row.match_by or ""), outcome="linked")
    return _create(work)


def foresee_creating(work: Work, connection: Connection) -> None:
    """Note with the claim that an account may exist from now on, where it is made without asking anything first."""
    row = work.row
    if row.match == AccountFrom.CREATE and row.intent_at is None and not row.lost_account:
        work.foresee(connection, "create", place=True)


# ---------------------------------------------------------------------------------------------- an existing account


def _existing(work: Work, pluvo_id: str) -> PluvoUser:
    """An account that must be there."""
    user = work.pluvo.get_user(pluvo_id)
    if user is None:
        raise account_gone(work)
    return user


def _still_theirs(work: Work, user: PluvoUser) -> bool:
    """Whether the account still shows the evidence of the plan: an AFAS id, our own ref, or the address."""
    row = work.row
    if row.match_by == LinkedBy.AFAS_ID:
        return person_number(user.afas_contact_id) == row.internal_id
    if row.match_by == LinkedBy.CREATED:
        return user.ref == work.our_ref
    if names_another(user.afas_contact_id, user.ref, row.internal_id, work.our_ref):
        return False
    return fold_email(user.email or "") == fold_email(row.email)


def _refuse_other_name(work: Work, user: PluvoUser) -> None:
    """Leave an account that only the address leads to, and that has clearly another name, to an operator where the
    tenant's settings say so.
    """
    if work.tenant.pluvo.other_name == "ambiguous" and clearly_other_name(user.name, work.row.name):
        raise NeedsDecision("other_name", [user])


def _share(work: Work) -> str:
    """Link to the account of the person with the same name and address, once that person has it."""
    peer = sharing.peer(work, work.row.match_with)
    if peer is None or not _same_person(peer, work):
        raise Dropped("plan_changed")
    if peer.pluvo_id is None:
        if not peer.on_its_way:  # ambiguous or refused: so is this person
            raise NeedsDecision("same_email", [])
        raise Snooze(SHARED_ACCOUNT_SECONDS, "waits_for_shared_account")
    return _adopt(work, _existing(work, peer.pluvo_id), LinkedBy.EMAIL, outcome="linked", shared=True)


def _same_person(peer: sharing.Peer, work: Work) -> bool:
    """Two AFAS persons with the same name and address are taken for one."""
    same_name = fold_name(peer.name) == fold_name(work.row.name)
    return same_name and fold_email(peer.email) == fold_email(work.row.email)


def _adopt(work: Work, user: PluvoUser, linked_by: LinkedBy, *, outcome: str, shared: bool = False) -> str:
    """Link to an existing account: it keeps its ref, roles and language, gets name, address and empty AFAS ids."""
    row = work.row
    changes = UserChanges(
        name=row.name if not shared and user.name != row.name else None,
        email=row.email if not shared and user.email != row.email else None,
        archived=False if user.archived else None,
        **missing_afas_ids(work, user),
    )
    before = {"name": user.name, "email": user.email, "archived": user.archived}
    after = {"name": changes.name or user.name, "email": changes.email or user.email, "archived": False}
    work.pluvo_id = user.id

    def note(connection: Connection) -> None:
        elsewhere = linked_by != LinkedBy.CREATED
        if not shared and sharing.taken(work, connection, user.id, elsewhere=elsewhere):
            raise NeedsDecision("candidate_taken", [user])
        work.note_place(connection)

    # The steps of a call stand alone: the account would be restored although its new address is refused.
    if changes.email and changes.archived is False and (holders := others_with(work, changes.email)):
        raise NeedsDecision("email_taken", holders)
    try:
        with work.change("link", before, after, note=note) as attempt:
            applied = work.pluvo.update_user(user.id, changes, ref=work.safe_ref(user.ref), target=work.target)
            attempt.not_enrolled = applied.enroll_error
    except Rejected as refused:
        if refused.code == "already_exists" and changes.email:
            raise NeedsDecision("email_taken", others_with(work, row.email)) from refused
        raise
    record.adopt(work, user, linked_by)
    accept(work, applied)
    return outcome


# ---------------------------------------------------------------------------------------------------- a new account


def _create(work: Work) -> str:
    """Make the account, after a reservation. If Pluvo refuses because it exists, find out whose it is."""
    row = work.row
    # The one call makes and enrolls, and enrolls by ref: an account that carries the ref already would be enrolled
    # although none is made, whoever has it by now.
    if row.lost_account and (found := our_account(work)):
        return _adopt(work, found, LinkedBy.CREATED, outcome="created")
    new = NewUser(row.email, row.name, work.our_ref, row.external_id, row.internal_id)
    after = {"name": row.name, "email": row.email, "enrolled": True}
    try:
        with work.change("create", None, after, note=partial(record.reserve, work)) as attempt:
            applied = work.pluvo.create_user(new, send_invite=row.send_invite, target=work.target)
            if applied.user is None:
                raise Unknown("not_confirmed", "Pluvo did not say which account it made.", system="Pluvo")
            attempt.not_enrolled = applied.enroll_error
    except Rejected as refused:
        work.withdraw_place()  # no account was made, so none was enrolled
        if refused.code != "already_exists":
            record.release_reservation(work)
            raise
        return _take_existing(work, refused)
    record.adopt(work, applied.user, LinkedBy.CREATED)
    accept(work, applied)
    return "created"


def _take_existing(work: Work, refused: Rejected) -> str:
    """The address or our ref is in use: by our own account of an earlier try, or by one that may be theirs."""
    if found := our_account(work):
        return _adopt(work, found, LinkedBy.CREATED, outcome="created")
    holders = others_with(work, work.row.email)
    record.release_reservation(work)
    if not holders:  # Pluvo compares more generously than mail servers do: another address looks like this one
        raise NeedsDecision("similar_email", []) from refused
    if len(holders) > 1:
        raise NeedsDecision("several_with_email", holders)
    if work.row.decision == "create":  # an operator said that this is another person
        raise NeedsDecision("email_taken", holders)
    if names_another(holders[0].afas_contact_id, holders[0].ref, work.row.internal_id, work.our_ref):
        raise NeedsDecision("other_afas_id", holders)
    _refuse_other_name(work, holders[0])
    return _adopt(work, holders[0], LinkedBy.EMAIL, outcome="linked")


# ------------------------------------------------------------------------------------------- for all who need it


def accept(work: Work, applied: Applied) -> None:
    """Take over what Pluvo answered; a refused enrollment is an error although the account is fine."""
    if applied.enroll_error:
        record.link_at_once(work)
        if isinstance(applied.enroll_error, Rejected):
            work.withdraw_place()
        record.applied(work)
        raise applied.enroll_error
    work.reached_place(applied.enrollment)
    if applied.enrollment:
        work.waiting = waits(applied.enrollment)
        work.enrollment_id = applied.enrollment.id
        if applied.enrollment.offer_event_id and not work.row.target_id:
            record.target_id(work, applied.enrollment.offer_event_id)


def missing_afas_ids(work: Work, user: PluvoUser) -> dict[str, str | None]:
    """Our ids, but only where the account has none: another link may rely on what is there. Unseen is not empty."""
    if not work.pluvo.supports_afas_ids:
        return {}
    return {
        "person_id": None if user.afas_person_id else work.row.external_id,
        "contact_id": None if user.afas_contact_id else work.row.internal_id,
    }


def account_gone(work: Work) -> NeedsDecision:
    """The account is gone. A user with the address (or our ref) may be the same person, deleted and made again."""
    email = fold_email(work.row.email)
    found = work.pluvo.find_users(emails=[work.row.email], refs=[work.our_ref])
    same = [user for user in found if user.ref == work.our_ref or fold_email(user.email or "") == email]
    return NeedsDecision("account_gone", same)


def others_with(work: Work, email: str) -> list[PluvoUser]:
    """Accounts with this address that are not this person's."""
    found = work.pluvo.find_users(emails=[email])
    return [user for user in found if user.id != work.pluvo_id and fold_email(user.email or "") == fold_email(email)]


def our_account(work: Work) -> PluvoUser | None:
    """The account that carries our ref for this very person."""
    return next((user for user in work.pluvo.find_users(refs=[work.our_ref]) if user.ref == work.our_ref), None)


def find_reserved(work: Work) -> None:
    """Find an account whose making was never answered: it becomes that of a person who has none.

    Where an operator chose another account meanwhile, the reserved one may still be in the place.
    """
    made, told = None, work.places.told
    if work.pluvo_id is None:
        if work.row.intent_at is not None and (made := our_account(work)):
            record.link(work, made, LinkedBy.CREATED)
    elif told and told.account is None:
        made = our_account(work)
    if made and told and told.account is None:
        work.places = replace(work.places, told=replace(told, account=made.id))
