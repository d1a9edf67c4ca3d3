"""The texts of every Pluvo operation in one table, and the composing of one document out of several of them.

An entry holds one root field as it is sent. Pluvo's documentation exists in editions that contradict each other
(docs/pluvo.md#editions), so no text is for ever: pass a changed table to ``PluvoClient(operations=...)``::

    table = {**OPERATIONS, "unenroll": replace(OPERATIONS["unenroll"], text="cancelEnrollment(...) { success }")}

Three things happen to a text on its way out:

* an argument or input field whose variable has no value is left out (never sent as null, which could erase);
* a name in ``optional`` or ``OPTIONAL_SELECTIONS`` that the live schema refused is left out;
* an operation of which no variable in ``any_of`` is left has nothing to say and is left out as a whole.

What we do without each of these is told in docs/pluvo.md#without.

Input object types are never named, because their names are not published: only scalars stand in variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

Kind = Literal["query", "mutation"]
Refused = frozenset[tuple[str, str]]  # (operation, argument) or ("", selected field)

PAGE = 50  # the most Pluvo gives a page
PERSONAL = frozenset({"name", "email", "q"})  # variables whose values must not come back in what we store of an error

# Selected where a type may have them; a live schema may lack any of these.
AFAS_IDS = frozenset({"afasPersonId", "afasContactId"})
AFAS_FIELDS = AFAS_IDS | {"afasConnectionId"}
OPTIONAL_SELECTIONS = AFAS_FIELDS | {"offerEventId"}
# Names so much our own that any mention of them in a refusal means that the schema lacks them.
SPARE_NAMES = OPTIONAL_SELECTIONS | {"userIds"}

_USER = "id ref email name archived roles language afasPersonId afasContactId afasConnectionId"
_ENROLLMENT = "id status offerEventId"
_PAGE_INFO = "pageInfo { hasNextPage endCursor } count"


@dataclass(frozen=True)
class Operation:
    """One root field: its text, the types of its variables, and which arguments it can do without."""

    kind: Kind
    text: str
    variables: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    any_of: frozenset[str] = frozenset()
    # The rest works without it: where the schema lacks it, only what needs it is refused
    spare: bool = False

    @property
    def root(self) -> str:
        """Pluvo's own name of it."""
        return self.text.partition("(")[0].strip()


@dataclass(frozen=True)
class Step:
    """One use of an operation within a document. A value of None means: not given."""

    alias: str
    operation: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """What goes over the line: ``text`` is empty when no step had anything to say."""

    name: str
    kind: Kind
    text: str
    variables: Mapping[str, Any]
    steps: Mapping[str, str]  # alias -> operation, of the steps that are in the text


def _portfolio(level: str) -> Operation:
    return Operation(
        "query",
        f"portfolioReport(userGroupIds: $group_ids, userIds: $user_ids, relatedObjectTypes: [{level}],"
        f" first: {PAGE}, after: $after)"
        f" {{ {_PAGE_INFO} edges {{ node {{ title completionDate user {{ id ref email name }} }} }} }}",
        {"group_ids": "[UUID!]!", "user_ids": "[UUID!]!", "after": "String!"},
        optional=frozenset({"userIds"}),
    )


OPERATIONS: Mapping[str, Operation] = {
    "user": Operation(
        "query",
        f"user(id: $id, ref: $ref, email: $email) {{ {_USER} }}",
        {"id": "UUID!", "ref": "String!", "email": "String!"},
        optional=frozenset({"email"}),
        any_of=frozenset({"id", "ref", "email"}),
    ),
    "users": Operation(
        "query",
        f"paginatedUsers(q: $q, archived: $archived, first: {PAGE}, after: $after)"
        f" {{ {_PAGE_INFO} edges {{ node {{ {_USER} }} }} }}",
        {"q": "String!", "archived": "Boolean!", "after": "String!"},
    ),
    "create_user": Operation(
        "mutation",
        "createUser(sendInvite: $send_invite, user: {email: $email, name: $name, ref: $ref, roles: [PARTICIPANT],"
        " language: NL, afasPersonId: $person_id, afasContactId: $contact_id})"
        f" {{ created user {{ {_USER} }} }}",
        {
            "send_invite": "Boolean!",
            "email": "String!",
            "name": "String!",
            "ref": "String!",
            "person_id": "String!",
            "contact_id": "String!",
        },
        optional=AFAS_IDS,
    ),
    "update_user": Operation(
        "mutation",
        "updateUser(id: $user_id, user: {name: $name, email: $email, afasPersonId: $person_id,"
        f" afasContactId: $contact_id}}) {{ user {{ {_USER} }} }}",
        {
            "user_id": "UUID!",
            "name": "String!",
            "email": "String!",
            "person_id": "String!",
            "contact_id": "String!",
        },
        optional=AFAS_IDS,
        any_of=frozenset({"name", "email", "person_id", "contact_id"}),
    ),
    "archive_users": Operation(
        "mutation",
        "archiveUsers(archive: $archive, ids: $user_ids) { response { succeededIds failedIds } }",
        {"archive": "Boolean!", "user_ids": "[UUID!]!"},
    ),
    "enroll": Operation(
        "mutation",
        "createOfferEventEnrollments(offerEventRef: $offer_event_ref, userRefs: [$user_ref], userIds: [$user_id],"
        f" sendMail: false) {{ {_ENROLLMENT} }}",
        {"offer_event_ref": "String!", "user_ref": "String!", "user_id": "UUID!"},
        optional=frozenset({"userIds"}),
        any_of=frozenset({"user_ref", "user_id"}),
    ),
    "unenroll": Operation(
        "mutation",
        "unenrollUserFromOfferEvent(userId: $user_id, offerEventId: $offer_event_id) { success }",
        {"user_id": "UUID!", "offer_event_id": "UUID!"},
        spare=True,
    ),
    "add_to_group": Operation(
        "mutation",
        "addUsersToGroup(groupRef: $group_ref, userRefs: [$user_ref], userIds: [$user_id])"
        " { addedIds alreadyAddedIds failedIds }",
        {"group_ref": "String!", "user_ref": "String!", "user_id": "UUID!"},
        optional=frozenset({"userIds"}),
        any_of=frozenset({"user_ref", "user_id"}),
    ),
    "remove_from_group": Operation(
        "mutation",
        "removeUsersFromGroup(groupRef: $group_ref, userIds: [$user_id]) { removedIds alreadyRemovedIds failedIds }",
        {"group_ref": "String!", "user_id": "UUID!"},
    ),
    "enrollment": Operation(
        "query",
        f"enrollment(userId: $user_id, offerEventId: $offer_event_id) {{ {_ENROLLMENT} }}",
        {"user_id": "UUID!", "offer_event_id": "UUID!"},
        spare=True,
    ),
    "enrollments": Operation("query", f"enrollments(userId: $user_id) {{ {_ENROLLMENT} }}", {"user_id": "UUID!"}),
    "groups_of": Operation("query", "user(id: $id) { participantGroups { id ref } }", {"id": "UUID!"}),
    "offer_event": Operation("query", "offerEvent(ref: $ref) { id }", {"ref": "String!"}, spare=True),
    "group": Operation("query", "group(ref: $ref) { id }", {"ref": "String!"}),
    "trainings": Operation(
        "query",
        f"paginatedTrainings(q: $q, archived: $archived, first: {PAGE}, after: $after)"
        f" {{ {_PAGE_INFO} edges {{ node {{ id ref title archived }} }} }}",
        {"q": "String!", "archived": "Boolean!", "after": "String!"},
    ),
    "portfolio_training": _portfolio("TRAINING"),
    "portfolio_course": _portfolio("COURSE"),
}

# `name: $variable` or `name: [$variable]`, with the comma behind it.
_ARGUMENT = re.compile(r"(\w+):\s*(\[?)\$(\w+)(\]?),?\s*")


def compose(
    name: str, steps: Sequence[Step], operations: Mapping[str, Operation] = OPERATIONS, refused: Refused = frozenset()
) -> Document:
    """Write one document of all steps; steps share a variable where type and value are the same."""
    declared: dict[str, tuple[str, Any]] = {}
    fields: list[str] = []
    used: dict[str, str] = {}
    for step in steps:
        operation = operations[step.operation]
        given = _given(step, operation, refused)
        if operation.any_of and not operation.any_of & given.keys():
            continue
        names = {v: _declare(declared, v, operation.variables[v], value) for v, value in given.items()}
        fields.append(f"{step.alias}: {_fill(operation.text, tuple(names.items()), refused)}")
        used[step.alias] = step.operation
    if not fields:
        return Document(name, "query", "", {}, {})
    kind = operations[next(iter(used.values()))].kind
    head = ", ".join(f"${variable}: {type_}" for variable, (type_, _) in declared.items())
    text = f"{kind} {name}{f'({head})' if head else ''} {{\n  " + "\n  ".join(fields) + "\n}"
    return Document(name, kind, text, {variable: value for variable, (_, value) in declared.items()}, used)


def can_spare(document: Document, operations: Mapping[str, Operation]) -> Refused:
    """List all names in a document that it can do without."""
    used = set(document.steps.values())
    arguments = {match[1] for match in _ARGUMENT.finditer(document.text)}
    words = set(re.findall(r"\w+", document.text))
    found = {(name, argument) for name in used for argument in operations[name].optional & arguments}
    return frozenset(found | {("", selected) for selected in OPTIONAL_SELECTIONS & words})


def _given(step: Step, operation: Operation, refused: Refused) -> dict[str, Any]:
    """Return the values to be sent: those not None whose argument the server did not refuse."""
    arguments = _arguments(operation.text)
    return {
        variable: value
        for variable, value in step.values.items()
        if value is not None and variable in arguments and (step.operation, arguments[variable]) not in refused
    }


@lru_cache(maxsize=256)
def _arguments(text: str) -> Mapping[str, str]:
    """Find under which argument each variable of a text stands."""
    return {match[3]: match[1] for match in _ARGUMENT.finditer(text)}


def _declare(declared: dict[str, tuple[str, Any]], variable: str, type_: str, value: Any) -> str:
    name, number = variable, 0
    while name in declared and declared[name] != (type_, value):
        number += 1
        name = f"{variable}_{number}"
    declared[name] = (type_, value)
    return name


@lru_cache(maxsize=4096)
def _fill(text: str, named: tuple[tuple[str, str], ...], refused: Refused) -> str:
    """Put the chosen variable names in, and take out what has no value or was refused."""
    names = dict(named)

    def argument(match: re.Match[str]) -> str:
        name, opening, variable, closing = match.groups()
        return f"{name}: {opening}${names[variable]}{closing}, " if variable in names else ""

    for operation, selected in refused:
        if not operation:
            text = re.sub(rf"\b{selected}\b(?!\s*[:(])", "", text)
    return re.sub(r",\s*([)}])", r"\1", _ARGUMENT.sub(argument, text))
