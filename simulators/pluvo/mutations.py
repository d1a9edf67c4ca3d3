"""What the mutations of the Pluvo schema do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from graphql import GraphQLResolveInfo

from simulators.pluvo.switches import Refusal
from simulators.pluvo.tenant import PluvoTenant, Record

Info = GraphQLResolveInfo[PluvoTenant]
GROUP_CHANGES = ("addParticipantGroups", "removeParticipantGroups", "addManagerGroups")


def create_user(_root: Any, info: Info, user: Record, sendInvite: bool = True) -> Record:
    """Make a user; refused when address or ref is taken. Invites unless told not to."""
    tenant: PluvoTenant = info.context
    _seat(tenant, 1)
    made = tenant.add_user(send_invite=sendInvite, **_plain(user))
    _change_groups(tenant, made, user)
    return {"user": made, "created": True}


def update_user(_root: Any, info: Info, user: Record, id: str | None = None, ref: str | None = None) -> Record:
    """Change the fields given."""
    tenant: PluvoTenant = info.context
    found = _found(tenant, id, ref)
    _touch(tenant, found["id"])
    changed = tenant.change_user(**{**_plain(user), "id": found["id"]})
    _change_groups(tenant, changed, user)
    return {"user": changed}


def update_or_create_user(
    _root: Any,
    info: Info,
    *,
    user: Record,
    id: str | None = None,
    ref: str | None = None,
    email: str | None = None,
    sendInvite: bool | None = None,
) -> Record:
    """Change who is found, else make a new account. An invitation not spoken of goes out (the worst guess)."""
    tenant: PluvoTenant = info.context
    found = tenant.find_user(id, ref, email)
    if found is None:
        values = {"ref": ref, "email": email, **_plain(user)}
        if not values.get("email") or not values.get("name"):
            raise Refusal("ValidationError", "A new user needs a name and an email address")
        found = tenant.add_user(send_invite=sendInvite is not False, **values)
        created = True
    else:
        found = tenant.change_user(**{**_plain(user), "id": found["id"]})
        created = False
    _change_groups(tenant, found, user)
    return {"user": found, "created": created}


def archive_users(_root: Any, info: Info, archive: bool, ids: list[str]) -> Record:
    """Archive or restore; who doesn't exist is told in the payload."""
    tenant: PluvoTenant = info.context
    known = [each for each in ids if each in tenant.users]
    for each in known:
        _touch(tenant, each)
    _seat(tenant, 0 if archive else sum(tenant.users[each]["archived"] for each in known))
    for each in known:
        tenant.change_user(each, archived=archive)
    return {"response": {"succeededIds": known, "failedIds": [each for each in ids if each not in tenant.users]}}


def add_users_to_group(_root: Any, info: Info, **args: Any) -> Record:
    """Put users in a group; who is in it already is told apart."""
    tenant: PluvoTenant = info.context
    group, users, failed = _group_and_users(tenant, args)
    already = [each for each in users if each in group["members"]]
    added = [each for each in users if each not in group["members"]]
    delay = tenant.switches.membership_delay_seconds
    tenant.join(group["id"], added, visible_from=time.time() + delay if delay else 0.0)
    return {
        "addedIds": added,
        "alreadyAddedIds": already if tenant.switches.lists_enrolled else [],
        "failedIds": failed,
    }


def remove_users_from_group(_root: Any, info: Info, **args: Any) -> Record:
    """Take users out of a group; who was not in it is told apart."""
    tenant: PluvoTenant = info.context
    group, users, failed = _group_and_users(tenant, args)
    removed = [each for each in users if each in group["members"]]
    already = [each for each in users if each not in group["members"]]
    for each in removed:
        del group["members"][each]
    tenant.changed()
    return {"removedIds": removed, "alreadyRemovedIds": already, "failedIds": failed}


def create_offer_event_enrollments(_root: Any, info: Info, **args: Any) -> list[Record]:
    """Enroll users in one event, all or none; who is enrolled stays so."""
    tenant: PluvoTenant = info.context
    event = tenant.find("offer_events", args.get("offerEventId"), args.get("offerEventRef"))
    if event is None:
        raise Refusal("NotFound", "Offer event not found")
    users = [_found(tenant, None, ref) for ref in args.get("userRefs") or []]
    users += [_found(tenant, each, None) for each in args.get("userIds") or []]
    known = {key for key, each in tenant.enrollments.items() if each["status"] in {"ENROLLED", "WAITLISTED"}}
    made = [tenant.enroll(user["id"], event["id"], send_mail=args.get("sendMail") is not False) for user in users]
    return [e for e in made if tenant.switches.lists_enrolled or (e["userId"], e["offerEventId"]) not in known]


def unenroll_user_from_offer_event(_root: Any, info: Info, userId: str, offerEventId: str) -> Record:
    """End an enrollment; progress stays. Nothing to end: no success."""
    return {"success": info.context.enrollments.pop((userId, offerEventId), None) is not None}


def _seat(tenant: PluvoTenant, more: int) -> None:
    seats = tenant.switches.seats
    if seats is not None and more and sum(not each["archived"] for each in tenant.users.values()) + more > seats:
        raise Refusal("LICENSE_LIMIT_REACHED", "The maximum number of active users of your licence is reached")


def _touch(tenant: PluvoTenant, user_id: str) -> None:
    if user_id in tenant.switches.protected_users:
        raise Refusal(tenant.switches.protected_code, "You do not have permission to perform this action")


def _plain(user: Record) -> Record:
    return {name: value for name, value in user.items() if name not in GROUP_CHANGES}


def _found(tenant: PluvoTenant, id: str | None, ref: str | None) -> Record:
    found = tenant.find_user(id, ref)
    if found is None:
        raise Refusal("NotFound", "User not found")
    return found


def _change_groups(tenant: PluvoTenant, user: Record, given: Record) -> None:
    for group_id in given.get("addParticipantGroups") or []:
        tenant.join(group_id, [user["id"]])
    for group_id in given.get("removeParticipantGroups") or []:
        tenant.groups[group_id]["members"].pop(user["id"], None)


def _group_and_users(tenant: PluvoTenant, args: dict[str, Any]) -> tuple[Record, list[str], list[str]]:
    """Give the group, the ids of the users that exist, and the ids or refs of those who don't."""
    group = tenant.find("groups", args.get("groupId"), args.get("groupRef"))
    if group is None:
        raise Refusal("NotFound", "Group not found")
    given = [(each, tenant.find_user(id=each)) for each in args.get("userIds") or []]
    given += [(each, tenant.find_user(ref=each)) for each in args.get("userRefs") or []]
    known = [user["id"] for _, user in given if user is not None]
    return group, known, [each for each, user in given if user is None]


MUTATIONS: dict[str, Callable[..., Any]] = {
    "createUser": create_user,
    "updateUser": update_user,
    "updateOrCreateUser": update_or_create_user,
    "archiveUsers": archive_users,
    "addUsersToGroup": add_users_to_group,
    "removeUsersFromGroup": remove_users_from_group,
    "createOfferEventEnrollments": create_offer_event_enrollments,
    "unenrollUserFromOfferEvent": unenroll_user_from_offer_event,
}
