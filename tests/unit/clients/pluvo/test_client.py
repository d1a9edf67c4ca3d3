"""Each method of the client over real HTTP: what it asks, and what it makes of the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from graphql import ExecutionResult, graphql_sync

from clients.errors import Incomplete, Misconfigured, Rejected, Unauthorized, Unavailable, Unknown
from clients.pluvo import (
    OPERATIONS,
    Applied,
    Enrollment,
    Group,
    NewUser,
    OfferEvent,
    PluvoClient,
    PluvoUser,
    PortfolioRow,
    TrainingInfo,
    UserChanges,
    pluvo_base_url,
    waits,
)
from tests.unit.clients.pluvo.pluvo_server import (
    OFFER_EVENT_ID,
    SCHEMA,
    USER_ID,
    PluvoServer,
    Prepared,
    connection,
    pluvo_server,
    user_json,
)

NEW = NewUser("p.jansen@example.nl", "Pia Jansen", "afas:12345:1001", "P-1", "1001")
ENROLLED = {"id": "e-1", "status": "ENROLLED", "offerEventId": OFFER_EVENT_ID}
PIA = PluvoUser(
    USER_ID, "afas:12345:1001", "p.jansen@example.nl", "Pia Jansen", False, ("PARTICIPANT",), "NL", None, "1001", None
)


@pytest.fixture
def server() -> Iterator[PluvoServer]:
    with pluvo_server() as running:
        yield running


def refusal(*messages: str) -> Prepared:
    return Prepared({"errors": [{"message": message} for message in messages]}, 400)


def nobody_else(emails: int) -> dict[str, Any]:
    return {f"{state}{n}": connection([]) for n in range(emails) for state in ("active", "archived")}


# ------------------------------------------------------------------------------------------------------ line and token


def test_a_call_goes_to_the_graphql_address_with_a_bearer_token_and_its_name(server: PluvoServer) -> None:
    server.will({"data": {"user": user_json()}})

    assert server.client().get_user(USER_ID) == PIA
    assert server.paths == ["/t/acme/oauth/token/", "/t/acme/graphql/"]
    assert server.headers[0]["Authorization"] == "Bearer tok-1"
    assert server.headers[0]["Content-Type"].startswith("application/json")
    assert server.requests[0].keys() == {"query", "variables", "operationName"}
    assert server.requests[0]["variables"] == {"id": USER_ID}


def test_the_token_is_asked_with_credentials_in_the_body_and_used_again(server: PluvoServer) -> None:
    server.will({"data": {"group": {"id": "g"}}}, {"data": {"group": {"id": "g"}}})
    client = server.client()

    client.group_id("a")
    client.group_id("b")

    (asked,) = server.token_requests
    assert asked["grant_type"] == ["client_credentials"]
    assert asked["client_id"] == ["client-one"]
    assert asked["client_secret"] == ["s3cret-of-one"]
    assert {"users.read", "users.write", "events.write", "trainings.read"} <= set(asked["scope"][0].split())


@pytest.mark.parametrize(
    "refused",
    [
        Prepared("", 401),
        Prepared({"errors": [{"message": "x", "extensions": {"code": "NotAuthenticated"}}], "data": None}),
        Prepared({"errors": [{"message": "x", "extensions": {"code": "AuthError"}, "path": ["create"]}], "data": None}),
    ],
    ids=["status", "code", "code with a path"],
)
def test_a_refused_token_is_renewed_and_the_write_repeated_once(server: PluvoServer, refused: Prepared) -> None:
    server.will(refused, {"data": {"create": {"created": True, "user": user_json()}}})

    assert server.client().create_user(NEW, send_invite=False, target=None) == Applied(PIA)
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer tok-1", "Bearer tok-2"]
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (Prepared({"error": "invalid_client"}, 401), Unauthorized, "credentials_refused"),
        (Prepared({"error": "invalid_client"}, 400), Unauthorized, "credentials_refused"),
        (Prepared({"error": "invalid_scope"}, 400), Unauthorized, "scope_refused"),
        (Prepared("nee", 403), Unauthorized, "not_permitted"),
        (Prepared("", 429, {"Retry-After": "5"}), Unavailable, "throttled"),
        (Prepared("<html>", 502), Unavailable, "server_error"),
        (Prepared("<html>", 200), Unavailable, "not_json"),
        (Prepared({"token_type": "Bearer"}), Misconfigured, "no_token"),
        (Prepared("", 302, {"Location": "/login"}), Misconfigured, "redirect"),
        (Prepared(None), Unavailable, "connection_broken"),
    ],
)
def test_a_token_that_is_not_given_says_why_and_no_write_is_unknown(
    server: PluvoServer, answer: Prepared, kind: type[Exception], code: str
) -> None:
    server.token_answers = [answer] * 2

    with pytest.raises(kind) as caught:
        server.client().create_user(NEW, send_invite=False, target=None)

    assert getattr(caught.value, "code", None) == code
    assert server.requests == []


def test_the_caller_is_told_of_every_http_call_and_asked_for_leave_before_each_graphql_call(
    server: PluvoServer,
) -> None:
    asked: list[str] = []
    server.will(Prepared("", 401), {"data": {"group": {"id": "g"}}})

    server.client(wait_for_rate_limit=lambda begun, look: asked.append("leave")).group_id("a")

    assert asked == ["leave", "leave"]
    assert [(call.operation, call.status, call.error_code, call.token) for call in server.calls] == [
        ("token", 200, None, True),
        ("group", 401, "auth_refused", False),
        ("token", 200, None, True),
        ("group", 200, None, False),
    ]


def test_a_pace_that_raises_stops_the_call(server: PluvoServer) -> None:
    def no_leave(begun: bool, look: object) -> None:
        raise Unavailable("no_leave", "later")

    with pytest.raises(Unavailable, match="later"):
        server.client(wait_for_rate_limit=no_leave).group_id("a")

    assert server.requests == []


def test_many_threads_of_one_client_ask_for_one_token(server: PluvoServer) -> None:
    server.answer = lambda request: Prepared({"data": {"group": {"id": request["variables"]["ref"]}}})
    client, found = server.client(), []
    threads = [threading.Thread(target=lambda n=n: found.append(client.group_id(f"g{n}"))) for n in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, found)) == [f"g{n}" for n in range(8)]
    assert len(server.token_requests) == 1


def test_scopes_that_were_not_granted_are_named(server: PluvoServer) -> None:
    server.token_answers = [
        Prepared({"access_token": "t", "scope": "users.read users.write trainings.read groups.read"})
    ]

    assert server.client().missing_scopes() == ["groups.write", "events.read", "events.write"]


@pytest.mark.parametrize("organisation", ["acme", "Acme-1", " a "])
def test_the_address_is_made_from_one_dns_label(organisation: str) -> None:
    assert pluvo_base_url(organisation) == f"https://{organisation.strip().lower()}.pluvo.com"


@pytest.mark.parametrize(
    "text", ["", "a.b", "acme.pluvo.com", "evil.nl/", "-a", "a-", "a b", "a@b", "é", "a" * 64, "٣"]
)
def test_anything_but_one_dns_label_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="organisation"):
        pluvo_base_url(text)


# ------------------------------------------------------------------------------------------------------- finding users


def test_finding_users_takes_one_document_and_keeps_exact_addresses_only(server: PluvoServer) -> None:
    other = user_json(id="u-2", ref="hr-7", email="xp.jansen@example.nl")
    archived = user_json(id="u-3", ref="hr-8", email="P.JANSEN@example.nl", archived=True)
    server.will(
        {
            "data": {
                "ref0": None,
                "email0": None,
                "active0": connection([other]),
                "archived0": connection([archived, None]),
            }
        }
    )

    found = server.client().find_users(emails=["p.Jansen@example.nl"], refs=["afas:12345:1001"])

    assert [(user.id, user.archived) for user in found] == [("u-3", True)]
    assert len(server.requests) == 1


def test_a_user_found_in_several_ways_is_given_once(server: PluvoServer) -> None:
    pia = user_json()
    data = {"ref0": pia, "email0": pia, "active0": connection([pia]), "archived0": connection([])}
    server.will({"data": data})

    assert server.client().find_users(emails=["p.jansen@example.nl"], refs=["afas:12345:1001"]) == [PIA]


def test_an_unknown_user_is_not_found_however_pluvo_words_it_because_the_searches_decide(server: PluvoServer) -> None:
    errors = [
        {"message": "User not found", "path": ["ref0"]},
        {"message": "Ongeldige gebruiker", "path": ["email0"]},
    ]
    data = {"ref0": None, "email0": None, "active0": connection([user_json()]), "archived0": connection([])}
    server.will({"data": data, "errors": errors})

    assert server.client().find_users(emails=["p.jansen@example.nl"], refs=["afas:1:2"]) == [PIA]


def test_a_user_with_another_ref_than_asked_for_is_not_it(server: PluvoServer) -> None:
    server.will({"data": {"ref0": user_json(ref="afas:1:22")}})

    assert server.client().find_users(refs=["afas:1:2"]) == []


def test_a_ref_that_is_refused_in_other_words_is_not_taken_for_unknown(server: PluvoServer) -> None:
    server.will({"data": {"ref0": None}, "errors": [{"message": "Ongeldig", "path": ["ref0"]}]})

    with pytest.raises(Rejected):
        server.client().find_users(refs=["afas:1:2"])


@pytest.mark.parametrize(
    ("code", "kind"), [("AuthError", Unauthorized), ("THROTTLED", Unavailable), ("INTERNAL_SERVER_ERROR", Unavailable)]
)
@pytest.mark.parametrize("alias", ["email0", "archived0"])
def test_trouble_under_one_alias_is_never_taken_for_nobody(
    server: PluvoServer, code: str, kind: type[Exception], alias: str
) -> None:
    data: dict[str, Any] = {"email0": None, **nobody_else(1), alias: None}
    error = {"message": "x", "extensions": {"code": code}, "path": [alias]}
    server.answer = lambda request: Prepared({"data": data, "errors": [error]})

    with pytest.raises(kind):
        server.client().find_users(emails=["p.jansen@example.nl"])


def test_a_search_without_an_answer_is_not_taken_for_nobody(server: PluvoServer) -> None:
    server.will({"data": {"email0": None, "active0": connection([]), "archived0": None}})

    with pytest.raises(Misconfigured):
        server.client().find_users(emails=["p.jansen@example.nl"])


def test_where_results_may_not_be_null_the_others_are_asked_again(server: PluvoServer) -> None:
    took_all = {"data": None, "errors": [{"message": "User not found", "path": ["email0"]}]}
    server.will(took_all, {"data": {"active0": connection([user_json()]), "archived0": connection([])}})

    assert server.client().find_users(emails=["p.jansen@example.nl"]) == [PIA]
    assert "email0" not in server.requests[1]["query"]


def test_where_user_has_no_email_argument_the_searches_are_enough(server: PluvoServer) -> None:
    server.will(
        refusal("Unknown argument 'email' on field 'Query.user'."),
        {"data": {"active0": connection([user_json()]), "archived0": connection([])}},
        {"data": {"active0": connection([]), "archived0": connection([])}},
    )
    client = server.client()

    assert client.find_users(emails=["p.jansen@example.nl"]) == [PIA]
    assert client.find_users(emails=["q@example.nl"]) == []
    assert len(server.requests) == 3
    assert client.supports_afas_ids


def test_more_than_five_addresses_take_more_documents(server: PluvoServer) -> None:
    def answer(request: dict[str, Any]) -> Prepared:
        aliases = [n for n in range(5) if f"email{n}:" in request["query"]]
        return Prepared({"data": {**{f"email{n}": None for n in aliases}, **nobody_else(len(aliases))}})

    server.answer = answer
    emails = [f"p{n}@example.nl" for n in range(12)]

    assert server.client().find_users(emails=[*emails, emails[0], " "]) == []
    assert [sorted(set(request["variables"].values()) - {True, False}) for request in server.requests] == [
        sorted(emails[0:5]),
        sorted(emails[5:10]),
        sorted(emails[10:12]),
    ]


def test_more_than_fifty_hits_for_one_address_are_walked_to_the_end(server: PluvoServer) -> None:
    others = [user_json(id=f"u-{n}", email=f"{n}p.jansen@example.nl") for n in range(50)]
    server.will(
        {"data": {"email0": None, "active0": connection(others, count=51, cursor="c"), "archived0": connection([])}},
        {"data": {"page": connection(others, count=51, cursor="c")}},
        {"data": {"page": connection([user_json()], count=51)}},
    )

    assert server.client().find_users(emails=["p.jansen@example.nl"]) == [PIA]


def test_an_address_that_a_user_may_have_whom_pluvo_cannot_read_is_told_apart(server: PluvoServer) -> None:
    unreadable = {"message": "Internal server error", "path": ["active0", "edges", 0, "node"]}
    answer = {
        "data": {"email0": None, "email1": None, **nobody_else(2), "active0": connection([None])},
        "errors": [unreadable, {"message": "Internal server error", "path": ["email0"]}],
    }
    server.answer = lambda request: Prepared(answer)
    client = server.client()

    assert client.look_up(emails=["a@example.nl", "b@example.nl"]) == ([], frozenset({"a@example.nl"}))
    with pytest.raises(Unavailable) as caught:
        client.find_users(emails=["a@example.nl", "b@example.nl"])
    assert caught.value.code == "user_unreadable"


def test_text_that_no_database_keeps_is_replaced_and_never_dropped(server: PluvoServer) -> None:
    raw = user_json(name="P\0a \ud83d\ude00 \ud800", email="p\0.jansen@example.nl")
    server.will({"data": {"user": raw}})

    user = server.client().get_user(USER_ID)

    assert user is not None
    assert (user.name, user.email) == ("P\ufffda \U0001f600 \ufffd", "p\ufffd.jansen@example.nl")


def test_asking_for_nobody_makes_no_call(server: PluvoServer) -> None:
    assert server.client().find_users() == []
    assert server.client().archive_users([], True) == []
    assert list(server.client().portfolio_pages("TRAINING", user_ids=[])) == []
    assert server.paths == []


def test_all_users_are_listed_page_by_page_of_fifty(server: PluvoServer) -> None:
    first = [user_json(id=f"u-{n}") for n in range(50)]
    server.will(
        {"data": {"page": connection(first, count=51, cursor="c50")}},
        {"data": {"page": connection([user_json(id="u-50")], count=51)}},
    )

    pages = list(server.client().user_pages(archived=False))

    assert [len(page.users) for page in pages] == [50, 1]
    assert [page.total for page in pages] == [51, 51]
    assert [request["variables"] for request in server.requests] == [
        {"archived": False},
        {"archived": False, "after": "c50"},
    ]
    assert "first: 50" in server.requests[0]["query"]


def test_a_user_list_that_stays_short_is_incomplete(server: PluvoServer) -> None:
    server.answer = lambda request: Prepared({"data": {"page": connection([user_json()], count=2)}})
    pages = server.client().user_pages(archived=True)

    assert len(next(pages).users) == 1
    with pytest.raises(Unavailable) as caught:
        list(pages)
    assert caught.value.code == "listing_incomplete"
    assert len(server.requests) == 2


def broken(*places: int, field: str | None = None) -> list[dict[str, Any]]:
    beneath = [] if field is None else [field]
    return [{"message": "Internal server error", "path": ["page", "edges", n, "node", *beneath]} for n in places]


@pytest.mark.parametrize("field", [None, "name"])
def test_a_user_that_pluvo_cannot_read_itself_costs_only_that_user(server: PluvoServer, field: str | None) -> None:
    nodes = [user_json(id="u-1"), None if field is None else user_json(name=None), user_json(id="u-3")]
    answer = {"data": {"page": connection(nodes)}, "errors": broken(1, field=field)}
    server.answer = lambda request: Prepared(answer)
    users: list[str] = []

    with pytest.raises(Incomplete) as caught:  # noqa: PT012  what comes before it counts
        for page in server.client().user_pages(archived=False):
            users += [user.id for user in page.users]

    assert (users, caught.value.missing) == (["u-1", "u-3"], 1)


@pytest.mark.parametrize("page", [{}, {"edges": None, "pageInfo": {"hasNextPage": False}}, []])
def test_a_list_of_another_shape_is_no_list(server: PluvoServer, page: Any) -> None:
    server.will({"data": {"page": page}})

    with pytest.raises(Misconfigured) as caught:
        list(server.client().user_pages(archived=False))

    assert caught.value.code == "unexpected_answer"


def test_a_found_user_of_another_shape_makes_only_that_address_uncertain(server: PluvoServer) -> None:
    found = connection([user_json(id=None)])
    server.will({"data": {"email0": None, "email1": None, **nobody_else(2), "active1": found}})

    assert server.client().look_up(emails=["a@example.nl", "b@example.nl"]) == ([], frozenset({"b@example.nl"}))


def test_an_erased_user_is_nobody_and_leaves_the_listing_whole(server: PluvoServer) -> None:
    server.will({"data": {"page": connection([user_json(), None])}})

    assert [len(page.users) for page in server.client().user_pages(archived=False)] == [1]


def test_a_row_of_the_report_whose_user_pluvo_cannot_read_costs_only_that_row(server: PluvoServer) -> None:
    rows = [{"title": "A", "completionDate": "2026-01-01", "user": {"id": "u-1"}}, {"title": "A", "user": None}]
    error = {"message": "Internal server error", "path": ["page", "edges", 1, "node", "user"]}
    server.answer = lambda request: Prepared({"data": {"page": connection(rows)}, "errors": [error]})
    found: list[str] = []

    with pytest.raises(Incomplete):  # noqa: PT012  what comes before it counts
        for page in server.client().portfolio_pages("TRAINING"):
            found += [row.user_id for row in page]

    assert found == ["u-1"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Internal server error", "path": ["page", "count"]}, Unavailable),
        ({"message": "Request was throttled", "path": ["page", "edges", 0, "node"]}, Unavailable),
        ({"message": "Nee", "extensions": {"code": "AuthError"}, "path": ["page", "edges", 0, "node"]}, Unauthorized),
    ],
)
def test_trouble_of_more_than_a_row_spoils_the_page(
    server: PluvoServer, error: dict[str, Any], kind: type[Exception]
) -> None:
    server.answer = lambda request: Prepared({"data": {"page": connection([None])}, "errors": [error]})

    with pytest.raises(kind) as caught:
        list(server.client().user_pages(archived=False))

    assert not isinstance(caught.value, Incomplete)


# ------------------------------------------------------------------------------------------------------ changing users


@pytest.mark.parametrize("invite", [True, False])
def test_an_account_is_made_and_enrolled_by_ref_in_one_document(server: PluvoServer, invite: bool) -> None:
    server.will({"data": {"create": {"created": True, "user": user_json()}, "enroll": [ENROLLED]}})

    applied = server.client().create_user(NEW, send_invite=invite, target=OfferEvent("afas-340"))

    assert applied == Applied(PIA, Enrollment("e-1", OFFER_EVENT_ID, "ENROLLED"))
    (request,) = server.requests
    assert request["variables"] == {
        "send_invite": invite,
        "email": "p.jansen@example.nl",
        "name": "Pia Jansen",
        "ref": "afas:12345:1001",
        "person_id": "P-1",
        "contact_id": "1001",
        "offer_event_ref": "afas-340",
        "user_ref": "afas:12345:1001",
    }
    assert "roles: [PARTICIPANT]" in request["query"]
    assert "language: NL" in request["query"]
    assert "sendMail: false" in request["query"]
    assert request["query"].index("createUser(") < request["query"].index("createOfferEventEnrollments(")


@pytest.mark.parametrize(
    ("answer", "already", "error"),
    [
        ({"addedIds": [USER_ID], "alreadyAddedIds": [], "failedIds": []}, False, None),
        ({"addedIds": [], "alreadyAddedIds": [USER_ID], "failedIds": []}, True, None),
        ({"addedRefs": ["r"], "alreadyAddedRefs": []}, False, None),
        ({"addedIds": [], "alreadyAddedIds": [], "failedIds": [USER_ID]}, None, Rejected),
        ({"addedIds": None, "alreadyAddedIds": None, "failedIds": None}, None, Unknown),
    ],
)
def test_an_account_is_made_and_put_in_a_group(
    server: PluvoServer, answer: dict[str, Any], already: bool | None, error: type[Exception] | None
) -> None:
    server.will({"data": {"create": {"created": True, "user": user_json()}, "enroll": answer}})

    applied = server.client().create_user(NEW, send_invite=False, target=Group("bhv"))

    assert applied.user == PIA
    assert applied.already_member is already
    assert (type(applied.enroll_error) if applied.enroll_error else None) is error
    assert server.requests[0]["variables"]["group_ref"] == "bhv"


def test_an_update_sends_only_what_changed(server: PluvoServer) -> None:
    server.will({"data": {"update": {"user": user_json()}}})

    applied = server.client().update_user(USER_ID, UserChanges(name="Pia Jansen"), ref=None, target=None)

    assert applied == Applied(PIA)
    assert server.requests[0]["variables"] == {"user_id": USER_ID, "name": "Pia Jansen"}
    assert "email: $" not in server.requests[0]["query"]


@pytest.mark.parametrize(
    ("ref", "whom"), [("hr-7", {"user_ref": "hr-7"}), (None, {"user_id": USER_ID}), ("", {"user_id": USER_ID})]
)
def test_with_nothing_to_change_only_the_enrollment_is_sent(
    server: PluvoServer, ref: str | None, whom: dict[str, str]
) -> None:
    server.will({"data": {"enroll": [ENROLLED]}})

    applied = server.client().update_user(USER_ID, UserChanges(), ref=ref, target=OfferEvent("afas-340"))

    assert applied == Applied(None, Enrollment("e-1", OFFER_EVENT_ID, "ENROLLED"))
    assert server.requests[0]["variables"] == {"offer_event_ref": "afas-340", **whom}


def test_with_nothing_to_change_and_nowhere_to_enroll_no_call_is_made(server: PluvoServer) -> None:
    assert server.client().update_user(USER_ID, UserChanges(), ref="r", target=None) == Applied(None)
    assert server.paths == []


def test_trouble_with_the_only_step_is_raised(server: PluvoServer) -> None:
    server.will(Prepared("", 429, {"Retry-After": "3"}))

    with pytest.raises(Unavailable):
        server.client().update_user(USER_ID, UserChanges(), ref="r", target=OfferEvent("afas-340"))


def test_restoring_goes_first_and_archiving_last(server: PluvoServer) -> None:
    done = {"response": {"succeededIds": [USER_ID], "failedIds": []}}
    data = {"data": {"archive": done, "update": {"user": user_json()}, "enroll": [ENROLLED]}}
    server.will(data, data)
    client, target = server.client(), OfferEvent("afas-340")

    client.update_user(USER_ID, UserChanges(name="N", archived=False), ref="r", target=target)
    client.update_user(USER_ID, UserChanges(name="N", archived=True), ref="r", target=target)

    restoring, archiving = (request["query"] for request in server.requests)
    assert restoring.index(": archiveUsers(") < restoring.index(": updateUser(") < restoring.index(": createOffer")
    assert archiving.index(": updateUser(") < archiving.index(": createOffer") < archiving.index(": archiveUsers(")
    assert [request["variables"]["archive"] for request in server.requests] == [False, True]


def test_a_user_that_could_not_be_restored_is_refused(server: PluvoServer) -> None:
    server.will({"data": {"archive": {"response": {"succeededIds": [], "failedIds": [USER_ID]}}}})

    with pytest.raises(Rejected) as caught:
        server.client().update_user(USER_ID, UserChanges(archived=False), ref=None, target=None)

    assert caught.value.code == "not_restored"


def test_archiving_names_those_for_whom_it_failed(server: PluvoServer) -> None:
    server.will({"data": {"archive": {"response": {"succeededIds": ["a"], "failedIds": ["b"]}}}})

    assert server.client().archive_users(["a", "b"], True) == ["b"]
    assert server.requests[0]["variables"] == {"archive": True, "user_ids": ["a", "b"]}


# -------------------------------------------------------------------------------- a token, or a record, that is refused

DOUBTFUL = [{"message": "Nee", "extensions": {"code": "NotAuthorized"}, "path": ["update"]}]


def test_one_record_that_is_not_authorized_is_told_from_a_bad_token_by_a_question_anybody_may_ask(
    server: PluvoServer,
) -> None:
    refused = {"data": {"update": None}, "errors": DOUBTFUL}
    server.will(refused, {"data": {"nobody": None}}, refused)
    client = server.client()

    for _ in range(2):
        with pytest.raises(Rejected) as caught:
            client.update_user(USER_ID, UserChanges(name="Pia"), ref=None, target=None)
        assert caught.value.code == "not_permitted"

    asked = [request["operationName"] for request in server.requests]
    assert asked == ["updateUser", "tokenCheck", "updateUser"]  # what is proven is not asked again
    assert len(server.token_requests) == 1


@pytest.mark.parametrize("check", [Prepared("", 401), {"data": {"nobody": None}, "errors": DOUBTFUL}])
def test_a_token_that_is_refused_everything_is_a_bad_token_whatever_field_it_is_told_of(
    server: PluvoServer, check: Any
) -> None:
    refused = {"data": {"update": None}, "errors": DOUBTFUL}
    server.will(refused, check, refused, check)

    with pytest.raises(Unauthorized) as caught:
        server.client().update_user(USER_ID, UserChanges(name="Pia"), ref=None, target=None)

    assert caught.value.code == "auth_refused"
    assert len(server.token_requests) == 2


NO_WORDS_OF_OURS = {"data": None, "errors": [{"message": "Malformed bearer"}]}


def test_a_token_refused_in_words_that_nobody_foresaw_is_renewed_once(server: PluvoServer) -> None:
    server.will(NO_WORDS_OF_OURS, NO_WORDS_OF_OURS, {"data": {"update": {"user": user_json()}}})
    assert server.client().update_user(USER_ID, UserChanges(name="Pia"), ref=None, target=None).user == PIA
    assert [one["operationName"] for one in server.requests] == ["updateUser", "tokenCheck", "updateUser"]
    assert len(server.token_requests) == 2


def test_a_token_refused_for_ever_in_words_that_nobody_foresaw_is_the_tenant_s_trouble(server: PluvoServer) -> None:
    server.will(*[NO_WORDS_OF_OURS] * 4)
    with pytest.raises(Unauthorized) as caught:
        server.client().update_user(USER_ID, UserChanges(name="Pia"), ref=None, target=None)
    assert (caught.value.code, caught.value.remote_text) == ("auth_refused", "Malformed bearer")


@pytest.mark.parametrize("check", [{"data": {"nobody": None}}, {"data": None, "errors": [{"message": "not found"}]}])
def test_odd_words_to_a_token_that_works_are_about_the_record(server: PluvoServer, check: Any) -> None:
    server.will(NO_WORDS_OF_OURS, check)
    with pytest.raises(Rejected) as caught:
        server.client().update_user(USER_ID, UserChanges(name="Pia"), ref=None, target=None)
    assert (caught.value.code, caught.value.remote_text) == ("refused", "Malformed bearer")
    assert len(server.token_requests) == 1


def test_whether_a_token_works_stays_open_while_pluvo_has_trouble(server: PluvoServer) -> None:
    server.will(NO_WORDS_OF_OURS, Prepared("", 503))
    with pytest.raises(Unavailable):
        server.client().update_user(USER_ID, UserChanges(name="Pia"), ref=None, target=None)


# ------------------------------------------------------------------------------------------------ AFAS fields missing


def test_a_schema_without_afas_fields_is_served_without_them_from_then_on(server: PluvoServer) -> None:
    lacking = ("afasPersonId", "afasContactId", "afasConnectionId")
    plain = {key: value for key, value in user_json().items() if key not in lacking}
    server.will(
        refusal(
            *(f"Cannot query field '{name}' on type 'User'." for name in lacking),
            *(f"Field '{name}' is not defined by type 'CreateUserInput'." for name in lacking[:2]),
        ),
        {"data": {"create": {"created": True, "user": plain}}},
        {"data": {"user": plain}},
    )
    client = server.client()
    assert client.supports_afas_ids

    applied = client.create_user(NEW, send_invite=False, target=None)

    assert applied.user == replace(PIA, afas_contact_id=None)
    assert not client.supports_afas_ids
    assert client.get_user(USER_ID) == replace(PIA, afas_contact_id=None)
    assert len(server.requests) == 3
    assert "afas" not in server.requests[1]["query"] + server.requests[2]["query"]


def test_only_the_refused_field_is_given_up(server: PluvoServer) -> None:
    server.will(
        refusal('Argument "user" has invalid value {…}.\nIn field "afasContactId": Unknown field.'),
        {"data": {"create": {"created": True, "user": user_json()}}},
    )

    server.client().create_user(NEW, send_invite=False, target=None)

    assert "contact_id" not in server.requests[1]["variables"]
    assert server.requests[1]["variables"]["person_id"] == "P-1"
    assert "afasContactId" in server.requests[1]["query"]  # still selected


def test_an_update_of_only_a_refused_field_becomes_no_call(server: PluvoServer) -> None:
    server.will(refusal("Field 'afasContactId' is not defined by type 'UpdateUserInput'."))

    applied = server.client().update_user(USER_ID, UserChanges(contact_id="1001"), ref=None, target=None)

    assert applied == Applied(None)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "words",
    [
        "Cannot query field 'afasContactId' on type 'User'.",
        "Field 'afasContactId' doesn't exist on type 'User'",
        "The field `afasContactId` does not exist on the type `User`.",
        "afasContactId: wat is dat?",
    ],
)
def test_a_field_of_users_is_given_up_in_the_words_of_any_server(server: PluvoServer, words: str) -> None:
    server.will(refusal(words), {"data": {"user": user_json()}})

    assert server.client().get_user(USER_ID) is not None
    assert "afasContactId" not in server.requests[1]["query"]
    assert "afasPersonId" in server.requests[1]["query"]


@pytest.mark.parametrize(
    "words",
    [
        "Field 'afasContactId' is not defined by type 'CreateUserInput'.",
        "Expected value of type 'CreateUserInput' not to include unknown field 'afasContactId', found: {…}.",
        "InputObject 'CreateUserInput' doesn't accept argument 'afasContactId'",
        "The specified input object field `afasContactId` does not exist.",
        "afasContactId: wat is dat?",
    ],
)
def test_a_field_of_an_input_is_given_up_in_the_words_of_any_server(server: PluvoServer, words: str) -> None:
    server.will(refusal(words), {"data": {"create": {"created": True, "user": user_json()}}})

    server.client().create_user(NEW, send_invite=False, target=None)

    assert "contact_id" not in server.requests[1]["variables"]
    assert server.requests[1]["variables"]["person_id"] == "P-1"
    assert "user { id ref email name archived roles language afasPersonId afasContactId" in server.requests[1]["query"]


def test_a_server_that_does_not_say_what_it_does_not_know_is_asked_for_the_sure_things_only(
    server: PluvoServer,
) -> None:
    server.will(refusal("Ongeldige aanvraag"), {"data": {"user": user_json()}}, {"data": {"user": user_json()}})
    client = server.client()

    assert client.get_user(USER_ID) == PIA
    assert client.get_user(USER_ID) == PIA
    assert "afas" in server.requests[0]["query"]
    assert "afas" not in server.requests[1]["query"] + server.requests[2]["query"]


def test_a_document_refused_either_way_is_refused_for_another_reason(server: PluvoServer) -> None:
    server.will(refusal("Ongeldige aanvraag"), refusal("Ongeldige aanvraag"), {"data": {"user": user_json()}})
    client = server.client()

    with pytest.raises(Rejected):
        client.get_user(USER_ID)
    assert client.supports_afas_ids
    client.get_user(USER_ID)
    assert "afasContactId" in server.requests[2]["query"]


def test_a_schema_that_enrolls_by_ref_only_is_given_the_ref_of_whoever_is_enrolled(server: PluvoServer) -> None:
    server.will(
        refusal('Unknown argument "userIds" on field "createOfferEventEnrollments" of type "Mutation".'),
        {"data": {"user": user_json(ref="hr-7")}},
        {"data": {"enroll": [ENROLLED]}},
    )

    applied = server.client().update_user(USER_ID, UserChanges(), ref=None, target=OfferEvent("afas-340"))

    assert applied.enrollment == Enrollment("e-1", OFFER_EVENT_ID, "ENROLLED")
    assert server.requests[2]["variables"] == {"offer_event_ref": "afas-340", "user_ref": "hr-7"}


def test_an_operation_that_the_rest_works_without_is_missing_for_those_who_need_it(server: PluvoServer) -> None:
    server.will(refusal("Cannot query field 'unenrollUserFromOfferEvent' on type 'Mutation'."))

    with pytest.raises(Rejected) as caught:
        server.client().unenroll(USER_ID, offer_event_id=OFFER_EVENT_ID)

    assert caught.value.code == "operation_missing"


def test_a_refusal_of_anything_else_is_not_tried_again(server: PluvoServer) -> None:
    server.will(refusal("Cannot query field 'roles' on type 'User'."))

    with pytest.raises(Misconfigured) as caught:
        server.client().get_user(USER_ID)

    assert caught.value.code == "operation_refused"
    assert "roles" in caught.value.remote_text


# ---------------------------------------------------------------------------------------------- enrollments and groups


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"data": {"unenroll": {"success": True}}}, True),
        ({"data": {"unenroll": None}, "errors": [{"message": "Not enrolled", "path": ["unenroll"]}]}, True),
        ({"data": {"unenroll": None}, "errors": [{"message": "Enrollment not found", "path": ["unenroll"]}]}, True),
    ],
)
def test_unenrolling_someone_who_is_not_in_it_is_done_already(server: PluvoServer, answer: Any, result: bool) -> None:
    server.will(answer, {"data": {"enrollment": None}})

    assert server.client().unenroll(USER_ID, offer_event_id=OFFER_EVENT_ID) is result


@pytest.mark.parametrize("words", ["Not found", "Deze bewerking is onbekend", "Geen gebruikers bijgewerkt"])
def test_words_alone_never_make_an_unenrolling_done(server: PluvoServer, words: str) -> None:
    refused = {"data": {"unenroll": None}, "errors": [{"message": words, "path": ["unenroll"]}]}
    server.will(refused, {"data": {"enrollment": ENROLLED}})

    with pytest.raises(Rejected):
        server.client().unenroll(USER_ID, offer_event_id=OFFER_EVENT_ID)


@pytest.mark.parametrize(("group", "user", "gone"), [(None, USER_ID, True), ("g", None, True), ("g", USER_ID, False)])
def test_leaving_a_group_is_done_when_group_or_user_is_gone_whatever_was_not_found(
    server: PluvoServer, group: str | None, user: str | None, gone: bool
) -> None:
    refused = {"data": {"remove": None}, "errors": [{"message": "Not found", "path": ["remove"]}]}
    server.will(refused, {"data": {"group": {"id": group} if group else None}})
    server.will({"data": {"user": user_json() if user else None}})

    if gone:
        assert server.client().remove_from_group("bhv", USER_ID)
    else:
        with pytest.raises(Rejected):
            server.client().remove_from_group("bhv", USER_ID)


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"enroll": []}},
        {"data": {"enroll": None}, "errors": [{"message": "User is already enrolled", "path": ["enroll"]}]},
        {"data": {"enroll": None}, "errors": [{"message": "Deelnemer is al ingeschreven", "path": ["enroll"]}]},
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_who_was_enrolled_already_is_found_however_pluvo_leaves_them_out(
    server: PluvoServer, answer: Any, there: bool
) -> None:
    server.will(answer, {"data": {"offer_event": {"id": OFFER_EVENT_ID}}})
    server.will({"data": {"enrollment": ENROLLED if there else None}})

    applied = server.client().update_user(USER_ID, UserChanges(), ref="hr-7", target=OfferEvent("afas-340"))

    assert applied.enrollment == (Enrollment("e-1", OFFER_EVENT_ID, "ENROLLED") if there else None)
    assert (applied.enroll_error is None) is there


@pytest.mark.parametrize(
    ("status", "waiting"),
    [("ENROLLED", False), ("COMPLETED", False), (None, False), ("WAITLISTED", True), ("REQUESTED", True)],
)
def test_an_enrollment_that_is_taken_but_not_so_yet_waits(
    server: PluvoServer, status: str | None, waiting: bool
) -> None:
    server.will({"data": {"enroll": [ENROLLED | {"status": status}]}})
    applied = server.client().update_user(USER_ID, UserChanges(), ref="r", target=OfferEvent("afas-340"))
    assert applied.enrollment is not None
    assert waits(applied.enrollment) is waiting


@pytest.mark.parametrize("status", ["DECLINED", "CANCELLED"])
def test_an_answer_that_declines_the_enrollment_is_a_refusal(server: PluvoServer, status: str) -> None:
    server.will({"data": {"enroll": [ENROLLED | {"status": status}]}})
    applied = server.client().update_user(USER_ID, UserChanges(), ref="r", target=OfferEvent("afas-340"))
    assert isinstance(applied.enroll_error, Rejected)
    assert applied.enroll_error.code == "not_enrolled"


@pytest.mark.parametrize(
    ("left", "result"), [(None, True), (ENROLLED | {"status": "CANCELLED"}, True), (ENROLLED, False)]
)
def test_an_unsuccessful_unenrolling_is_looked_at(server: PluvoServer, left: Any, result: bool) -> None:
    server.will({"data": {"unenroll": {"success": False}}}, {"data": {"enrollment": left}})

    assert server.client().unenroll(USER_ID, offer_event_id=OFFER_EVENT_ID) is result


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"removedIds": [USER_ID], "alreadyRemovedIds": [], "failedIds": []}, True),
        ({"removedIds": [], "alreadyRemovedIds": [USER_ID], "failedIds": []}, True),
        ({"removedRefs": ["r"]}, True),
        ({"removedIds": [], "alreadyRemovedIds": [], "failedIds": [USER_ID]}, False),
    ],
)
def test_leaving_a_group_twice_is_the_same_as_once(server: PluvoServer, answer: Any, result: bool) -> None:
    server.will({"data": {"remove": answer}})

    assert server.client().remove_from_group("bhv", USER_ID) is result


def test_a_refused_removal_is_raised(server: PluvoServer) -> None:
    server.will({"data": {"unenroll": None}, "errors": [{"message": "Nee", "path": ["unenroll"]}]})

    with pytest.raises(Rejected):
        server.client().unenroll(USER_ID, offer_event_id=OFFER_EVENT_ID)


def test_a_user_and_an_enrollment_are_read_together(server: PluvoServer) -> None:
    missing = {"message": "Enrollment not found", "path": ["enrollment"]}
    server.will(
        {"data": {"user": user_json(), "enrollment": ENROLLED}},
        {"data": {"user": user_json(), "enrollment": None}, "errors": [missing]},
        {"data": None, "errors": [missing]},
        {"data": {"user": user_json()}},
    )
    client = server.client()

    assert client.user_and_enrollment(USER_ID, OFFER_EVENT_ID) == (
        PIA,
        Enrollment("e-1", OFFER_EVENT_ID, "ENROLLED"),
    )
    assert client.user_and_enrollment(USER_ID, OFFER_EVENT_ID) == (PIA, None)
    assert client.user_and_enrollment(USER_ID, OFFER_EVENT_ID) == (PIA, None)


READS: dict[str, Callable[[PluvoClient], Any]] = {
    "a user": lambda client: client.get_user(USER_ID),
    "users by ref": lambda client: client.find_users(refs=["afas:12345:1001"]),
    "users by address": lambda client: client.find_users(emails=["p.jansen@example.nl"]),
    "an enrollment": lambda client: client.enrollment(USER_ID, OFFER_EVENT_ID),
    "a user with an enrollment": lambda client: client.user_and_enrollment(USER_ID, OFFER_EVENT_ID),
    "an offer event": lambda client: client.offer_event_id("afas-340"),
    "a group": lambda client: client.group_id("bhv"),
    "whether an enrollment ended": lambda client: client.unenroll(USER_ID, offer_event_id=OFFER_EVENT_ID),
}


@pytest.mark.parametrize("body", [{"data": {}}, {"data": {"unenroll": {"success": False}}}], ids=["nothing", "another"])
@pytest.mark.parametrize("read", READS)
def test_half_an_answer_is_not_taken_for_nobody(server: PluvoServer, read: str, body: dict[str, Any]) -> None:
    server.answer = lambda request: Prepared(
        {"data": {"unenroll": {"success": False}}} if "mutation" in request["query"] else body
    )

    with pytest.raises(Unavailable) as caught:
        READS[read](server.client())

    assert caught.value.code == "no_answer"


def test_trouble_with_one_user_that_takes_the_whole_answer_is_no_list_of_another_shape(server: PluvoServer) -> None:
    error = {"message": "Internal server error", "path": ["email0"]}
    server.answer = lambda request: Prepared({"data": None, "errors": [error]})

    with pytest.raises(Unavailable) as caught:
        server.client().find_users(emails=["p.jansen@example.nl"])

    assert caught.value.code == "server_error"


def test_ids_are_found_by_ref_and_none_when_unknown(server: PluvoServer) -> None:
    server.will(
        {"data": {"offer_event": {"id": OFFER_EVENT_ID}}},
        {"data": {"offer_event": None}},
        {"data": {"group": {"id": "g-1"}}},
        {"data": {"group": None}, "errors": [{"message": "Group does not exist", "path": ["group"]}]},
        {"data": {"enrollment": None}},
    )
    client = server.client()

    assert client.offer_event_id("afas-340") == OFFER_EVENT_ID
    assert client.offer_event_id("nope") is None
    assert client.group_id("bhv") == "g-1"
    assert client.group_id("nope") is None
    assert client.enrollment(USER_ID, OFFER_EVENT_ID) is None


# ------------------------------------------------------------------------------------------------ completions, checks


def row_json(user_id: str, title: str, date: str | None) -> dict[str, Any]:
    person = {"id": user_id, "ref": f"ref-{user_id}", "email": f"{user_id}@example.nl", "name": user_id}
    return {"title": title, "completionDate": date, "user": person}


@pytest.mark.parametrize("level", ["TRAINING", "COURSE"])
def test_the_portfolio_is_read_page_by_page(server: PluvoServer, level: Any) -> None:
    rows = [row_json("a", "BHV", "2026-06-30T22:30:00Z"), row_json("b", "BHV", None), {**row_json("c", "x", None)}]
    rows[2]["user"] = None
    server.will(
        {"data": {"page": connection(rows, count=4, cursor="c")}},
        {"data": {"page": connection([row_json("d", "BHV", "2026-07-01")], count=4)}},
    )

    pages = list(server.client().portfolio_pages(level, group_ids=["g"]))

    assert pages == [
        [
            PortfolioRow("a", "ref-a", "a@example.nl", "a", "BHV", "2026-06-30T22:30:00Z"),
            PortfolioRow("b", "ref-b", "b@example.nl", "b", "BHV", None),
        ],
        [PortfolioRow("d", "ref-d", "d@example.nl", "d", "BHV", "2026-07-01")],
    ]
    assert f"relatedObjectTypes: [{level}]" in server.requests[0]["query"]
    assert server.requests[0]["variables"] == {"group_ids": ["g"]}


def test_a_server_without_the_user_filter_is_read_whole_and_filtered_here(server: PluvoServer) -> None:
    page = {"data": {"page": connection([row_json("a", "BHV", None), row_json("b", "BHV", None)])}}
    server.will(refusal("Unknown argument 'userIds' on field 'Query.portfolioReport'. Did you mean 'x'?"), page, page)
    client = server.client()

    for _ in range(2):
        assert [row.user_id for rows in client.portfolio_pages("TRAINING", user_ids=["b"]) for row in rows] == ["b"]
    assert ["userIds" in request["query"] for request in server.requests] == [True, False, False]


def test_a_server_that_ignores_the_user_filter_is_filtered_here(server: PluvoServer) -> None:
    server.will({"data": {"page": connection([row_json("a", "BHV", None), row_json("b", "BHV", None)])}})

    assert [[row.user_id for row in rows] for rows in server.client().portfolio_pages("COURSE", user_ids=["a"])] == [
        ["a"]
    ]


def test_trainings_are_searched_among_active_and_archived_ones(server: PluvoServer) -> None:
    old = {"id": "t-2", "ref": None, "title": "BHV basis", "archived": True}
    server.will(
        {"data": {"page": connection([{"id": "t-1", "ref": "bhv", "title": "BHV basis", "archived": False}])}},
        {"data": {"page": connection([old])}},
    )

    assert server.client().trainings("BHV basis") == [
        TrainingInfo("t-1", "bhv", "BHV basis", False),
        TrainingInfo("t-2", None, "BHV basis", True),
    ]
    assert [request["variables"]["archived"] for request in server.requests] == [False, True]


def test_a_live_schema_that_shows_itself_is_compared_with_our_operations(server: PluvoServer) -> None:
    def answer(request: dict[str, Any]) -> Prepared:
        result = graphql_sync(SCHEMA, request["query"])
        assert isinstance(result, ExecutionResult)
        return Prepared(result.formatted)

    server.answer = answer
    renamed = replace(OPERATIONS["unenroll"], text="unenroll(userId: $user_id) { success }")

    assert server.client().check_operations() == []
    (found,) = server.client(operations={**OPERATIONS, "unenroll": renamed}).check_operations()
    assert found.startswith("unenroll: Cannot query field 'unenroll'")


@pytest.mark.parametrize(
    "closed",
    [
        refusal("GraphQL introspection is not allowed"),
        refusal("Cannot query field '__schema' on type 'Query'."),
        Prepared({"data": {"__schema": None}}),
        Prepared("", 403),
    ],
)
def test_a_live_schema_that_does_not_show_itself_is_unknown(server: PluvoServer, closed: Prepared) -> None:
    server.answer = lambda request: closed

    assert server.client().check_operations() == []


def test_trouble_while_checking_is_not_taken_for_a_closed_schema(server: PluvoServer) -> None:
    server.answer = lambda request: Prepared("", 503)

    with pytest.raises(Unavailable):
        server.client().check_operations()


def test_a_replaced_operation_is_what_goes_over_the_line(server: PluvoServer) -> None:
    with_id = replace(
        OPERATIONS["enroll"],
        text="createOfferEventEnrollments(offerEventRef: $offer_event_ref, userRefs: [$user_ref], sendMail: true)"
        " { id status user { ref } }",
    )
    server.will({"data": {"enroll": [{"id": "e-1", "status": "ENROLLED", "user": {"ref": "r"}}]}})
    client = server.client(operations={**OPERATIONS, "enroll": with_id})

    applied = client.update_user(USER_ID, UserChanges(), ref="r", target=OfferEvent("afas-340"))

    assert applied.enrollment == Enrollment("e-1", None, "ENROLLED")
    assert "sendMail: true" in server.requests[0]["query"]
