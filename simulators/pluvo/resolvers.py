"""What each field and mutation of the Pluvo schema does. The context of an execution is the tenant.

Resolvers take (source, info, **arguments) as graphql-core calls them; argument names are the schema's.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLError

from simulators.pluvo.mutations import MUTATIONS, Info
from simulators.pluvo.switches import Refusal, Switches
from simulators.pluvo.tenant import PluvoTenant, Record

PAGE = 50
CURSOR = "arrayconnection:"


def connection(records: list[Record], args: dict[str, Any], switches: Switches | None = None) -> Record:
    """Cut one page out of a listing, as Relay does; cursors are positions, so changes in between shift them."""
    off, broken = (switches.count_off, switches.broken_users) if switches else (0, [])
    first = args.get("first") or PAGE
    if first > PAGE or first < 0:
        raise Refusal("ValidationError", f"first may be at most {PAGE}")
    start = (args.get("offset") or 0) if args.get("after") is None else _position(args["after"]) + 1
    page = records[start : start + first]
    nodes: list[Any] = [unreadable() if record.get("id") in broken else record for record in page]
    edges = [{"cursor": _cursor(start + place), "node": node} for place, node in enumerate(nodes)]
    info = {
        "hasNextPage": start + len(page) < len(records),
        "hasPreviousPage": start > 0,
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": edges[-1]["cursor"] if edges else None,
    }
    return {"pageInfo": info, "edges": edges, "count": len(records) + off}


def unreadable() -> GraphQLError:
    """Make what stands in the place of a record that can't be read: it becomes null with an error at its path."""
    return GraphQLError("Internal server error", extensions={"code": "INTERNAL_SERVER_ERROR"})


def _cursor(position: int) -> str:
    return base64.b64encode(f"{CURSOR}{position}".encode()).decode()


def _position(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix(CURSOR))
    except (binascii.Error, ValueError) as error:
        raise Refusal("ValidationError", "Invalid cursor") from error


# -- queries -------------------------------------------------------------------------


def user(_root: Any, info: Info, **who: Any) -> Record | None:
    """Find one user; nobody gives null or an error, as a switch says."""
    tenant: PluvoTenant = info.context
    found = tenant.find_user(**who)
    if found is not None and found["id"] in tenant.switches.broken_users:
        raise unreadable()
    if found is not None and (tenant.switches.finds_archived or not found["archived"]):
        return found
    if tenant.switches.unknown_user == "error":
        raise Refusal("NotFound", "User matching query does not exist")
    return None


def paginated_users(_root: Any, info: Info, **args: Any) -> Record:
    """List users by name."""
    tenant: PluvoTenant = info.context
    paging = {"first", "after", "offset"}
    key = repr(sorted((name, value) for name, value in args.items() if name not in paging))
    return connection(tenant.cached(key, lambda: _users(tenant, args)), args, tenant.switches)


def _users(tenant: PluvoTenant, args: dict[str, Any]) -> list[Record]:
    archived = args.get("archived")
    if archived is None and not tenant.switches.finds_archived:
        archived = False
    tests: list[Callable[[Record], bool]] = []
    if archived is not None:
        tests.append(lambda u: u["archived"] == archived)
    if args.get("userRoles"):
        tests.append(lambda u: bool(set(args["userRoles"]) & set(u["roles"])))
    if args.get("groupIds"):
        members = _members(tenant, args["groupIds"])
        tests.append(lambda u: u["id"] in members)
    if args.get("trainingIds"):
        followers = _followers(tenant, args["trainingIds"])
        tests.append(lambda u: u["id"] in followers)
    if args.get("lastLogin_Gt"):
        tests.append(lambda u: (u["lastLogin"] or "") > args["lastLogin_Gt"])
    if args.get("lastLogin_Lt"):
        tests.append(lambda u: u["lastLogin"] is not None and u["lastLogin"] < args["lastLogin_Lt"])
    found = [u for u in tenant.people(args.get("q") or "") if all(test(u) for test in tests)]
    sort = args.get("sortBy") or {}
    by = {"EMAIL": "email", "LAST_LOGIN": "lastLogin"}.get(sort.get("field", "NAME"))
    if by is not None:
        found.sort(key=lambda u: (u[by] or "").casefold())
    return found[::-1] if sort.get("direction") == "DESC" else found


def _members(tenant: PluvoTenant, group_ids: list[str]) -> set[str]:
    groups = [tenant.groups[each] for each in group_ids if each in tenant.groups]
    return {user_id for group in groups for user_id in _visible_members(group)}


def _visible_members(group: Record) -> list[str]:
    now = time.time()
    return [user_id for user_id, visible_from in group["members"].items() if visible_from <= now]


def _followers(tenant: PluvoTenant, training_ids: list[str]) -> set[str]:
    opened = {e["id"] for e in tenant.offer_events.values() if set(e["trainingIds"]) & set(training_ids)}
    return {user_id for user_id, event_id in tenant.enrollments if event_id in opened}


def by_id_or_ref(kind: str) -> Callable[..., Record | None]:
    """Make the resolver of a query for one record of a kind."""

    def resolve(_root: Any, info: Info, id: str | None = None, ref: str | None = None) -> Record | None:
        return info.context.find(kind, id, ref)

    return resolve


def paginated_groups(_root: Any, info: Info, **args: Any) -> Record:
    """List groups."""
    return connection(list(info.context.groups.values()), args)


def paginated_trainings(_root: Any, info: Info, **args: Any) -> Record:
    """List trainings; with ``userId`` those of one user, with their progress."""
    tenant: PluvoTenant = info.context
    q = (args.get("q") or "").casefold()
    found = [each for each in tenant.trainings.values() if q in each["title"].casefold()]
    for argument, name in (("active", "isActive"), ("archived", "archived")):
        if args.get(argument) is not None:
            found = [each for each in found if each[name] == args[argument]]
    if args.get("userId"):
        progress = {row["title"]: row["progress"] for row in tenant.portfolio if row["userId"] == args["userId"]}
        found = [each for each in found if each["title"] in progress]
        found = [{**each, "userData": {"progress": progress[each["title"]]}} for each in found]
    return connection(found, args)


def enrollment(_root: Any, info: Info, userId: str, offerEventId: str) -> Record | None:
    """Find the enrollment of one user in one event."""
    return info.context.enrollments.get((userId, offerEventId))


def enrollments(_root: Any, info: Info, userId: str) -> list[Record]:
    """List all enrollments of one user."""
    tenant: PluvoTenant = info.context
    return [e for event_id in tenant.offer_events if (e := tenant.enrollments.get((userId, event_id)))]


def portfolio_report(_root: Any, info: Info, **args: Any) -> Record:
    """List progress and completions, one row per user and object."""
    tenant: PluvoTenant = info.context
    groups, users, kinds = args.get("userGroupIds"), args.get("userIds"), args.get("relatedObjectTypes")

    def rows() -> list[Record]:
        members = _members(tenant, groups) if groups else None
        return [
            row
            for row in tenant.portfolio
            if (not kinds or row["objectType"] in kinds)
            and (users is None or row["userId"] in users)
            and (members is None or row["userId"] in members)
        ]

    # A delayed membership shows by time alone, so a listing by group is never kept.
    return connection(
        rows() if groups else tenant.cached(("report", repr(users), repr(kinds)), rows), args, tenant.switches
    )


def portfolio_item(_root: Any, info: Info, id: str) -> Record | None:
    """Find one portfolio item."""
    return next((each for each in info.context.portfolio_items if each["id"] == id), None)


def portfolio_items(_root: Any, info: Info, userId: str) -> list[Record]:
    """List the portfolio items of one user."""
    return [each for each in info.context.portfolio_items if each["userId"] == userId]


# -- fields that follow a link -------------------------------------------------------


def _user_of(record: Record, info: Info) -> Record | None:
    if record["userId"] in info.context.switches.broken_users:
        raise unreadable()
    return info.context.users.get(record["userId"])


def _participant_groups(record: Record, info: Info) -> list[Record]:
    return [group for group in info.context.groups.values() if record["id"] in _visible_members(group)]


def _group_users(group: Record, info: Info, **args: Any) -> Record:
    return connection([info.context.users[each] for each in _visible_members(group)], args)


def _linked(ids: str, kind: str) -> Callable[..., list[Record]]:
    def resolve(record: Record, info: Info) -> list[Record]:
        records: dict[str, Record] = getattr(info.context, kind)
        return [records[each] for each in record[ids]]

    return resolve


def _events_of(offer: Record, info: Info) -> list[Record]:
    return [event for event in info.context.offer_events.values() if event["offerId"] == offer["id"]]


def _spots(event: Record, info: Info) -> int | None:
    most = event["maxSubscriptions"]
    return None if most is None else max(most - info.context.taken(event["id"]), 0)


RESOLVERS: dict[str, Mapping[str, Callable[..., Any]]] = {
    "Query": {
        "user": user,
        "paginatedUsers": paginated_users,
        "group": by_id_or_ref("groups"),
        "paginatedGroups": paginated_groups,
        "training": by_id_or_ref("trainings"),
        "paginatedTrainings": paginated_trainings,
        "offer": by_id_or_ref("offers"),
        "offerEvent": by_id_or_ref("offer_events"),
        "enrollment": enrollment,
        "enrollments": enrollments,
        "portfolioReport": portfolio_report,
        "portfolioItem": portfolio_item,
        "portfolioItems": portfolio_items,
    },
    "Mutation": MUTATIONS,
    "User": {
        "participantGroups": _participant_groups,
        "managerGroups": lambda _user, _info: [],
        "groupCount": lambda record, info: len(_participant_groups(record, info)),
    },
    "Group": {"users": _group_users},
    "Offer": {"offerEvents": _events_of},
    "OfferEvent": {
        "enrolledCount": lambda event, info: info.context.taken(event["id"]),
        "spotsAvailable": _spots,
        "trainers": lambda _event, _info: [],
        "accessTrainings": _linked("trainingIds", "trainings"),
        "accessCourses": _linked("courseIds", "courses"),
    },
    "Enrollment": {
        "user": _user_of,
        "offerEvent": lambda record, info: info.context.offer_events.get(record["offerEventId"]),
    },
    "PortfolioReport": {"user": _user_of},
    "PortfolioItem": {"user": _user_of},
}
"""Type -> field -> resolver. Fields not listed are read from the record."""
