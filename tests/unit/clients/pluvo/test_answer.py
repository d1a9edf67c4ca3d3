"""What each answer of Pluvo means: recorded answers in tests/data/pluvo/answers.json, given over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.errors import Misconfigured, NoRoom, Rejected, RemoteError, Unauthorized, Unavailable, Unknown
from clients.pluvo import Applied, NewUser, OfferEvent, PluvoClient, PluvoUser, UserChanges
from tests.unit.clients.pluvo.pluvo_server import USER_ID, PluvoServer, Prepared, pluvo_server

CASES = json.loads((Path(__file__).parents[3] / "data" / "pluvo" / "answers.json").read_text("utf-8"))
CLASSES = {kind.__name__: kind for kind in (Misconfigured, NoRoom, Rejected, Unauthorized, Unavailable, Unknown)}
NEW = NewUser("p.jansen@example.nl", "Pia Jansen", "afas:12345:1001", "P-1", "1001")
CALLS: dict[str, Callable[[PluvoClient], Any]] = {
    "read": lambda client: client.get_user(USER_ID),
    "write": lambda client: client.update_user(USER_ID, UserChanges(name="Pia Jansen"), ref=None, target=None),
    "create": lambda client: client.create_user(NEW, send_invite=False, target=OfferEvent("afas-340")),
}


@pytest.fixture
def server() -> Iterator[PluvoServer]:
    with pluvo_server() as running:
        yield running


def ask(server: PluvoServer, case: dict[str, Any]) -> Any:
    server.answer = lambda request: Prepared(case["body"], case["status"], case["headers"])
    return CALLS[case["call"]](server.client())


@pytest.mark.parametrize("case", [c for c in CASES if c["error"]], ids=lambda case: case["name"])
def test_a_refusal_says_what_to_do(server: PluvoServer, case: dict[str, Any]) -> None:
    with pytest.raises(RemoteError) as caught:
        ask(server, case)

    error = caught.value
    assert (type(error), error.code) == (CLASSES[case["error"]], case["code"])
    assert error.retry_after_seconds == case.get("retry_after")
    assert error.system == "pluvo"
    assert error.status == case["status"] or error.code in {"already_exists", "not_found"}
    assert len(server.token_requests) == case.get("tokens", 1) == len(server.requests)


@pytest.mark.parametrize("case", [c for c in CASES if not c["error"]], ids=lambda case: case["name"])
def test_an_answer_with_a_value_gives_it(server: PluvoServer, case: dict[str, Any]) -> None:
    result = ask(server, case)

    user = result.user if isinstance(result, Applied) else result
    assert isinstance(user, PluvoUser) if case["value"] else user is None
    if case["call"] == "create":
        error = result.enroll_error
        assert (type(error).__name__ if error else None) == case.get("enroll_error")
        assert (error.code if error else None) == case.get("enroll_code")
        assert (result.enrollment.status if result.enrollment else None) == case.get("enrolled")
    assert len(server.token_requests) == len(server.requests) == 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_no_error_shows_whom_it_is_about_or_a_secret(server: PluvoServer, case: dict[str, Any]) -> None:
    try:
        result = ask(server, case)
    except RemoteError as error:
        found: RemoteError | None = error
    else:
        found = result.enroll_error if isinstance(result, Applied) else None

    said = "" if found is None else f"{found} {found.remote_text} {found.__cause__} {found.__context__}"
    for hidden in ("example.nl", "Pia", "tok-", "s3cret"):
        assert hidden not in said


def test_what_pluvo_says_about_a_person_is_masked_before_anyone_keeps_it(server: PluvoServer) -> None:
    server.will(
        {
            "data": {"create": None, "enroll": None},
            "errors": [
                {
                    "message": "Pia Jansen <p.jansen@example.nl> bestaat al; Bearer tok-1 van s3cret-of-one",
                    "path": ["create"],
                }
            ],
        }
    )

    with pytest.raises(Rejected) as caught:
        server.client().create_user(NEW, send_invite=False, target=OfferEvent("afas-340"))

    assert "bestaat al" in caught.value.remote_text
    for hidden in ("Pia", "example.nl", "tok-1", "s3cret"):
        assert hidden not in caught.value.remote_text


def test_the_class_of_an_error_is_not_decided_by_a_persons_name(server: PluvoServer) -> None:
    server.will({"data": {"update": None}, "errors": [{"message": "Forbidden Database: ongeldig", "path": ["update"]}]})
    changes = UserChanges(name="Forbidden Database")

    with pytest.raises(Rejected) as caught:
        server.client().update_user(USER_ID, changes, ref=None, target=None)

    assert caught.value.code == "refused"


@pytest.mark.parametrize(("call", "kind"), [("read", Unavailable), ("write", Unknown), ("create", Unknown)])
def test_a_line_that_breaks_is_unknown_for_a_write(server: PluvoServer, call: str, kind: type[RemoteError]) -> None:
    server.answer = lambda request: Prepared(None)

    with pytest.raises(kind):
        CALLS[call](server.client())
