"""Enroll an account in the same document that makes or changes it, and say what became of both."""

from __future__ import annotations

from typing import Any

from clients.errors import PLUVO, Rejected, RemoteError, Unknown
from clients.pluvo import records
from clients.pluvo.answer import Answer
from clients.pluvo.operations import Step
from clients.pluvo.records import Applied, Enrollment, Group, PluvoUser, Target

NOT_CONFIRMED = "not_confirmed"
NOT_ADDED = "not_added"


def enroll_step(target: Target | None, *, user_ref: str | None = None, user_id: str | None = None) -> list[Step]:
    """Make the step that enrolls a user, known by ref (also one the same document makes) or by id."""
    whom = {"user_ref": user_ref, "user_id": user_id}
    if target is None:
        return []
    if isinstance(target, Group):
        return [Step("enroll", "add_to_group", {"group_ref": target.ref, **whom})]
    return [Step("enroll", "enroll", {"offer_event_ref": target.ref, **whom})]


def with_enrollment(answer: Answer, user: PluvoUser | None, target: Target | None) -> Applied:
    """Add to what became of the account what became of the enrolling. Raises only when nothing at all was done."""
    try:
        if target is None:
            return Applied(user)
        if isinstance(target, Group):
            return Applied(user, already_member=answer.require("enroll", _membership))
        return Applied(user, enrollment=answer.require("enroll", _enrollment))
    except RemoteError as error:
        if user is None and error is answer.whole:
            raise
        return Applied(user, enroll_error=error)


def _enrollment(value: Any) -> Enrollment:
    if not value:  # whether those who were enrolled already are in the list is not documented
        raise Unknown(NOT_CONFIRMED, "Pluvo did not name the enrollment it made.", system=PLUVO)
    found = records.enrollment(value[0])
    if not records.is_active(found):
        raise Rejected("not_enrolled", f"Pluvo says {found.status} of the enrollment.", system=PLUVO)
    return found


def _membership(value: Any) -> bool:
    """Tell whether the user was in the group before."""
    if records.bulk(value, "failed"):
        raise Rejected(NOT_ADDED, "Pluvo did not add the user to the group.", system=PLUVO)
    already = bool(records.bulk(value, "alreadyAdded"))
    if not already and not records.bulk(value, "added"):
        raise Unknown(NOT_CONFIRMED, "Pluvo did not say whether it added the user.", system=PLUVO)
    return already
