"""The simulated Pluvo keeps users, enrollments and progress as the schema promises."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from simulators.pluvo.switches import ApiClient
from tests.unit.simulators.calls import Pluvo

CREATE = """
mutation Create($email: String!, $name: String!, $ref: String!, $invite: Boolean) {
  createUser(sendInvite: $invite, user: {email: $email, name: $name, ref: $ref, roles: [PARTICIPANT], language: NL}) {
    created user { id ref email name archived roles language }
  }
  createOfferEventEnrollments(offerEventRef: "afas-340", userRefs: [$ref], sendMail: false) { id status userId }
}"""
USERS = """
query Users($after: String, $q: String, $archived: Boolean) {
  paginatedUsers(first: 50, after: $after, q: $q, archived: $archived) {
    count pageInfo { hasNextPage endCursor } edges { cursor node { id email } }
  }
}"""
REPORT = """
query Report($users: [UUID!], $groups: [UUID!]) {
  portfolioReport(first: 50, relatedObjectTypes: [TRAINING], userIds: $users, userGroupIds: $groups) {
    count edges { node { user { ref } title progress completionDate } }
  }
}"""
UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_one_document_makes_a_user_and_enrolls_them(pluvo: Pluvo) -> None:
    data = pluvo.data(CREATE, email="zoe@example.nl", name="Zoë Ø", ref="afas:12345:80", invite=False)

    user = data["createUser"]["user"]
    assert data["createUser"]["created"] is True
    assert (user["name"], user["roles"], user["language"], user["archived"]) == ("Zoë Ø", ["PARTICIPANT"], "NL", False)
    assert [(e["userId"], e["status"]) for e in data["createOfferEventEnrollments"]] == [(user["id"], "ENROLLED")]
    assert pluvo.tenant.mails == []


@pytest.mark.parametrize(("invite", "mails"), [(None, 0), (False, 0), (True, 1)])
def test_an_invitation_goes_out_unless_it_is_refused(pluvo: Pluvo, invite: bool | None, mails: int) -> None:
    pluvo.data(CREATE, email="a@example.nl", name="A", ref="a", invite=invite)

    assert len(pluvo.tenant.mails) == mails


def test_an_invitation_not_spoken_of_goes_out(pluvo: Pluvo) -> None:
    pluvo.data('mutation { createUser(user: {email: "a@example.nl", name: "A"}) { user { id } } }')
    pluvo.data(
        'mutation { updateOrCreateUser(email: "b@example.nl", user: {name: "B"}) { user { id email ref } created } }'
    )

    assert [mail["kind"] for mail in pluvo.tenant.mails] == ["invitation", "invitation"]


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ({"email": "A@Example.nl", "ref": "b"}, "AlreadyExists"),
        ({"email": "b@example.nl", "ref": "a"}, "AlreadyExists"),
        ({"email": "no address", "ref": "b"}, "ValidationError"),
    ],
)
@pytest.mark.parametrize("archived", [False, True])
def test_a_duplicate_is_refused_also_of_someone_archived(
    pluvo: Pluvo, second: dict[str, str], code: str, archived: bool
) -> None:
    first = pluvo.tenant.add_user("a@example.nl", "A", ref="a")
    pluvo.tenant.change_user(first["id"], archived=archived)

    errors = pluvo.errors(CREATE, name="B", invite=False, **second)

    assert (errors[0]["extensions"]["code"], errors[0]["path"]) == (code, ["createUser"])
    assert len(pluvo.tenant.users) == 1


def test_an_update_changes_only_what_is_given_and_frees_the_old_address(pluvo: Pluvo) -> None:
    user = pluvo.tenant.add_user("a@example.nl", "A", ref="a", afasContactId="80")

    data = pluvo.data(
        "mutation ($id: UUID!) { updateUser(id: $id, user: {email: \"new@example.nl\"})"
        " { user { email name ref afasContactId } } }",
        id=user["id"],
    )  # fmt: skip

    expected = {"email": "new@example.nl", "name": "A", "ref": "a", "afasContactId": "80"}
    assert data["updateUser"]["user"] == expected
    pluvo.tenant.add_user("a@example.nl", "Somebody else")


def test_archiving_and_restoring_reports_who_failed(pluvo: Pluvo) -> None:
    user = pluvo.tenant.add_user("a@example.nl", "A")
    archive = "mutation ($a: Boolean!, $ids: [UUID!]!) { archiveUsers(archive: $a, ids: $ids) { response { succeededIds failedIds } } }"  # noqa: E501  one document

    done = pluvo.data(archive, a=True, ids=[user["id"], UNKNOWN])["archiveUsers"]["response"]
    assert done == {"succeededIds": [user["id"]], "failedIds": [UNKNOWN]}
    assert (user["archived"], user["isActive"], user["archivedAt"] is None) == (True, False, False)

    pluvo.data(archive, a=False, ids=[user["id"]])
    assert (user["archived"], user["isActive"], user["archivedAt"]) == (False, True, None)


@pytest.mark.parametrize(("switch", "errors"), [("null", 0), ("error", 1)])
def test_an_unknown_user_is_null_or_an_error(pluvo: Pluvo, switch: str, errors: int) -> None:
    pluvo.tenant.change_switches(unknown_user=switch)

    content = pluvo.post('{ user(email: "nobody@example.nl") { id } }').json()

    assert content["data"] == {"user": None}
    assert len(content.get("errors", [])) == errors


def test_archived_users_are_found_unless_a_switch_says_no(pluvo: Pluvo) -> None:
    pluvo.tenant.add_user("a@example.nl", "A", archived=True)
    query = '{ user(email: "A@EXAMPLE.NL") { name } }'
    assert pluvo.data(query) == {"user": {"name": "A"}}

    pluvo.tenant.change_switches(finds_archived=False)

    assert pluvo.data(query) == {"user": None}
    assert pluvo.data(USERS)["paginatedUsers"]["count"] == 0
    assert pluvo.data(USERS, archived=True)["paginatedUsers"]["count"] == 1


def test_pages_of_users_follow_a_cursor_by_name(pluvo: Pluvo) -> None:
    for number in range(120):
        pluvo.tenant.add_user(f"p{number}@example.nl", f"P {number:03}", archived=number >= 110)

    seen: list[str] = []
    after, more = None, True
    while more:
        page = pluvo.data(USERS, after=after, archived=False)["paginatedUsers"]
        seen += [edge["node"]["email"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]

    assert page["count"] == 110
    assert seen == [f"p{number}@example.nl" for number in range(110)]


def test_a_search_finds_parts_of_names_and_addresses(pluvo: Pluvo) -> None:
    pluvo.tenant.add_user("jan@example.nl", "Jan")
    pluvo.tenant.add_user("anjan@example.nl", "An")
    pluvo.tenant.add_user("piet@example.nl", "Piet Jansen")
    pluvo.tenant.add_user("zus@example.nl", "Zus")

    page = pluvo.data(USERS, q="JAN")["paginatedUsers"]

    emails = [edge["node"]["email"] for edge in page["edges"]]
    assert emails == ["anjan@example.nl", "jan@example.nl", "piet@example.nl"]


def test_a_listing_shows_a_change_at_once(pluvo: Pluvo) -> None:
    user = pluvo.tenant.add_user("a@example.nl", "A")
    before = pluvo.data(USERS, archived=False)["paginatedUsers"]["count"]

    pluvo.tenant.change_user(user["id"], archived=True)

    assert (before, pluvo.data(USERS, archived=False)["paginatedUsers"]["count"]) == (1, 0)


def test_more_than_fifty_at_once_is_refused(pluvo: Pluvo) -> None:
    errors = pluvo.errors("{ paginatedUsers(first: 51) { count } }")

    assert errors[0]["extensions"]["code"] == "ValidationError"


def test_enrolling_twice_doubles_nothing_and_unenrolling_keeps_progress(pluvo: Pluvo) -> None:
    user = pluvo.tenant.add_user("a@example.nl", "A", ref="a")
    event_id = next(iter(pluvo.tenant.offer_events))
    enroll = 'mutation { createOfferEventEnrollments(offerEventRef: "afas-340", userRefs: ["a"]) { id status } }'
    end = "mutation ($u: UUID!, $o: UUID!) { unenrollUserFromOfferEvent(userId: $u, offerEventId: $o) { success } }"

    first, second = (pluvo.data(enroll) for _ in range(2))
    pluvo.tenant.complete(user["id"], "BHV basis", "2026-06-30T22:30:00Z")
    ended = [pluvo.data(end, u=user["id"], o=event_id)["unenrollUserFromOfferEvent"]["success"] for _ in range(2)]

    assert first == second
    assert ended == [True, False]
    node = pluvo.data(REPORT)["portfolioReport"]["edges"][0]["node"]
    assert node["completionDate"] == "2026-06-30T22:30:00Z"


@pytest.mark.parametrize(("waiting", "status"), [(True, "WAITLISTED"), (False, None)])
def test_a_full_event_puts_on_the_waiting_list_or_refuses(pluvo: Pluvo, waiting: bool, status: str | None) -> None:
    event = next(iter(pluvo.tenant.offer_events.values()))
    event |= {"maxSubscriptions": 1, "waitingList": waiting}
    pluvo.data(CREATE, email="a@example.nl", name="A", ref="a", invite=False)

    content = pluvo.post(CREATE, email="b@example.nl", name="B", ref="b", invite=False).json()

    enrollments = content["data"]["createOfferEventEnrollments"]
    assert (enrollments and enrollments[0]["status"]) == status
    assert pluvo.data('{ offerEvent(ref: "afas-340") { enrolledCount spotsAvailable } }') == {
        "offerEvent": {"enrolledCount": 1, "spotsAvailable": 0}
    }


def test_an_unknown_event_or_person_enrolls_nobody(pluvo: Pluvo) -> None:
    pluvo.tenant.add_user("a@example.nl", "A", ref="a")
    enroll = (
        "mutation ($o: String, $u: [String!]) { createOfferEventEnrollments(offerEventRef: $o, userRefs: $u) { id } }"
    )

    codes = [
        pluvo.errors(enroll, o=o, u=u)[0]["extensions"]["code"] for o, u in (("?", ["a"]), ("afas-340", ["a", "?"]))
    ]

    assert codes == ["NotFound", "NotFound"]
    assert pluvo.tenant.enrollments == {}


def test_groups_tell_apart_who_was_in_already_and_show_a_membership_late(pluvo: Pluvo) -> None:
    users = [pluvo.tenant.add_user(f"{name}@example.nl", name, ref=name)["id"] for name in "ab"]
    group_id = next(iter(pluvo.tenant.groups))
    add = 'mutation ($u: [UUID!]) { addUsersToGroup(groupRef: "group-340", userIds: $u) { addedIds alreadyAddedIds failedIds } }'  # noqa: E501  one document
    remove = 'mutation { removeUsersFromGroup(groupRef: "group-340", userRefs: ["a", "b"]) { removedIds alreadyRemovedIds } }'  # noqa: E501  one document
    members = '{ group(ref: "group-340") { users(first: 50) { count } } }'

    pluvo.data(add, u=users[:1])
    assert pluvo.data(REPORT, groups=[group_id])["portfolioReport"]["count"] == 1
    pluvo.tenant.change_switches(membership_delay_seconds=600)
    added = pluvo.data(add, u=[*users, UNKNOWN])["addUsersToGroup"]
    visible = pluvo.data(members)["group"]["users"]["count"]
    removed = pluvo.data(remove)["removeUsersFromGroup"]

    assert added == {"addedIds": users[1:], "alreadyAddedIds": users[:1], "failedIds": [UNKNOWN]}
    assert visible == 1
    assert removed == {"removedIds": users, "alreadyRemovedIds": []}


def test_the_report_shows_unfinished_rows_and_filters_people(pluvo: Pluvo) -> None:
    for name in "ab":
        pluvo.data(CREATE, email=f"{name}@example.nl", name=name, ref=name, invite=False)
    ids = list(pluvo.tenant.users)

    done = pluvo.control.do("acme", "finish", title="BHV basis", count=1, at="2026-07-01")
    rows = [edge["node"] for edge in pluvo.data(REPORT)["portfolioReport"]["edges"]]

    assert done == ids[:1]
    assert [(row["user"]["ref"], row["completionDate"]) for row in rows] == [("a", "2026-07-01"), ("b", None)]
    assert pluvo.data(REPORT, users=ids[1:])["portfolioReport"]["count"] == 1


def test_trainings_can_be_searched_and_show_one_users_progress(pluvo: Pluvo) -> None:
    pluvo.tenant.add_training("Oud", archived=True)
    user = pluvo.tenant.add_user("a@example.nl", "A")
    pluvo.tenant.progress(user["id"], "BHV basis", progress=0.5)
    query = "query ($q: String, $u: UUID) { paginatedTrainings(q: $q, archived: false, userId: $u) { edges { node { title userData { progress } } } } }"  # noqa: E501  one document

    found = pluvo.data(query, q="bhv", u=user["id"])["paginatedTrainings"]["edges"]

    assert found == [{"node": {"title": "BHV basis", "userData": {"progress": 0.5}}}]


# -- tokens, rights and shape ------------------------------------------------------------------------------------------


def test_a_token_lives_a_day_and_can_be_ended(pluvo: Pluvo) -> None:
    content = pluvo.sign_in(scope="users.read nonsense").json()
    assert (content["expires_in"], content["scope"], content["token_type"]) == (86_400, "users.read", "Bearer")
    pluvo.data("{ paginatedUsers { count } }")

    pluvo.control.do("acme", "expire_tokens")
    expired = pluvo.post("{ paginatedUsers { count } }")
    pluvo.tenant.change_switches(auth_failure="200")
    in_body = pluvo.post("{ paginatedUsers { count } }")

    assert expired.status_code == 401
    assert in_body.status_code == 200
    assert "Auth" in in_body.json()["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "?"}, 401, "invalid_client"),
        ({"client_id": "?"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_give_no_token(pluvo: Pluvo, form: dict[str, str], status: int, error: str) -> None:
    answer = pluvo.sign_in(**form)

    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_a_scope_that_is_missing_refuses_the_operation(pluvo: Pluvo) -> None:
    pluvo.tenant.clients["us"] = ApiClient("s3cret", scopes=["users.read"])

    errors = pluvo.errors(CREATE, email="a@example.nl", name="A", ref="a", invite=False)

    assert errors[0]["extensions"]["code"] == "PermissionDenied"
    assert pluvo.tenant.users == {}


@pytest.mark.parametrize("path", ["/graphql", "/oauth/token"])
def test_a_missing_final_slash_redirects(pluvo: Pluvo, path: str) -> None:
    answer = requests.post(f"{pluvo.url}/t/acme{path}", timeout=10, allow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (301, f"/t/acme{path}/")


@pytest.mark.parametrize(
    "query",
    [
        "{ nonsense }",
        "{ user(id: 1) { id } ",
        'mutation { createUser(user: {mail: "a@example.nl"}) { user { id } } }',
        "query ($id: String!) { user(id: $id) { id } }",
    ],
)
def test_a_document_that_does_not_fit_the_schema_is_a_400(pluvo: Pluvo, query: str) -> None:
    answer = pluvo.post(query, id="x")

    assert (answer.status_code, len(answer.json()["errors"]) > 0) == (400, True)


def test_an_id_that_is_no_uuid_is_refused(pluvo: Pluvo) -> None:
    assert "UUID" in pluvo.errors("query ($id: UUID!) { user(id: $id) { id } }", id="80")[0]["message"]


@pytest.mark.parametrize(
    ("hidden", "query"),
    [
        ("afasContactId", "{ paginatedUsers { edges { node { afasContactId } } } }"),
        ("Query.portfolioReport.userIds", "{ portfolioReport(userIds: []) { count } }"),
    ],
)
def test_a_hidden_name_is_not_in_the_schema(pluvo: Pluvo, hidden: str, query: str) -> None:
    before = pluvo.post(query).status_code

    pluvo.tenant.change_switches(hidden=[hidden])

    assert (before, pluvo.post(query).status_code) == (200, 400)


def test_introspection_can_be_closed(pluvo: Pluvo) -> None:
    query = '{ __type(name: "User") { name } }'
    assert pluvo.data(query) == {"__type": {"name": "User"}}

    pluvo.tenant.change_switches(introspection=False)

    assert pluvo.post(query).status_code == 400


@pytest.mark.parametrize("says", [True, False])
def test_calls_that_come_too_fast_are_refused_until_some_time_has_passed(pluvo: Pluvo, says: bool) -> None:
    pluvo.token = pluvo.sign_in().json()["access_token"]
    pluvo.tenant.change_switches(calls_per_second=20.0, rate_burst=2, retry_after=says)

    answers = [pluvo.post("{ paginatedUsers { count } }") for _ in range(10)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert 0 < len(refused) < 10
    assert all(("retry-after" in answer.headers) == says for answer in refused)
    deadline = time.monotonic() + 5
    while pluvo.post("{ paginatedUsers { count } }").status_code == 429:
        assert time.monotonic() < deadline


def test_the_state_can_be_moved_to_another_simulator(pluvo: Pluvo) -> None:
    pluvo.data(CREATE, email="a@example.nl", name="A", ref="a", invite=True)
    before: dict[str, Any] = pluvo.control.state()

    pluvo.control.replace(before)

    assert pluvo.control.state() == before
    pluvo.token = ""
    assert pluvo.data('{ user(ref: "a") { email } }') == {"user": {"email": "a@example.nl"}}
