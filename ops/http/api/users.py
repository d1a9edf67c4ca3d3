"""``/api/users`` and ``/api/tokens``: who may come in. A user is named by number: no name stands in an address."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from typing_extensions import TypedDict

from models.role import Role
from ops import tokens, users
from ops.http.api.answers import Document
from ops.http.api.inputs import Body, Cursor, Limit, NumberCursor, SlugText, Text, cursor_text, example
from ops.http.api.need import need

router = APIRouter(tags=["users and tokens"])
UserNumber = Annotated[int, Path(ge=1, le=10**18, description="A user's number.")]
TokenNumber = Annotated[int, Path(ge=1, le=10**18, description="A token's number.")]
NameText = Annotated[Text, Field(max_length=100)]
Password = Annotated[Text, Field(max_length=200)]
RoleText = Annotated[Role, Field(strict=False)]
Tenants = Annotated[list[SlugText], Field(max_length=1000)]
SeenText = Annotated[int | None, Field(ge=0, le=10**18)]
Seen = Annotated[
    int | None, Query(ge=0, le=10**18, description="The `version` looked at: 409 where the user changed since.")
]


class UserPage(TypedDict):
    """Users by name."""

    items: list[users.UserItem]
    next: str | None


class UserShown(users.UserItem):
    """With the open sessions, newest first, and what was done with them."""

    opened: list[dict[str, Any]]
    history: list[dict[str, Any]]


class TokenPage(TypedDict):
    """Tokens, newest first."""

    items: list[tokens.TokenItem]
    next: str | None


class Access(Body):
    """A role; ``tenants`` null is every tenant."""

    model_config = example(role="viewer", tenants=["acme"])

    role: RoleText
    tenants: Tenants | None = None


class EditUser(Access):
    """``seen``: the ``version`` that was looked at; refused (409) where somebody changed the user since."""

    seen: SeenText = None


class AddUser(Access):
    """Without a password they can't log in until they have one."""

    model_config = example(name="anna@example.nl", role="operator")

    name: NameText
    password: Password | None = None


class NewPassword(Body):
    """Their sessions end: whoever knew the old one is out. ``seen``: as of a change."""

    model_config = example(**{"password": "a sentence that nobody guesses"})

    password: Password
    seen: SeenText = None


class CreateToken(Access):
    """``days``: how long it lasts; null is until it is revoked."""

    model_config = example(name="reports", role="viewer", tenants=["acme"], days=365)

    name: NameText
    days: Annotated[int, Field(ge=1, le=3660)] | None = None


@router.get("/users", response_model=UserPage, summary="List users", dependencies=[need("users.read")])
def list_users(limit: Limit = 100, cursor: Cursor = None) -> Document:
    """By name, with role, tenants and open sessions."""
    return Document(users.listing(limit, cursor).document())


@router.post("/users", response_model=users.UserItem, summary="Add a user", dependencies=[need("users.add")])
def add_user(given: AddUser) -> Document:
    """Who can log in from then on."""
    return Document(users.add(given.name, given.role, given.tenants, given.password))


@router.get("/users/{number}", response_model=UserShown, summary="Show a user", dependencies=[need("users.read")])
def show_user(number: UserNumber) -> Document:
    """With the open sessions, and what was done with them."""
    return Document(users.show(users.name_of(number)))


@router.put(
    "/users/{number}", response_model=users.UserDone, summary="Change a user", dependencies=[need("users.edit")]
)
def edit_user(number: UserNumber, given: EditUser) -> Document:
    """Another role, other tenants: from their next click on."""
    return Document(users.edit(users.name_of(number), given.role, given.tenants, seen=given.seen))


@router.post(
    "/users/{number}/password",
    response_model=users.UserDone,
    summary="Give another password",
    dependencies=[need("users.passwd")],
)
def change_password(number: UserNumber, given: NewPassword) -> Document:
    """Their sessions end."""
    return Document(users.passwd(users.name_of(number), given.password, seen=given.seen))


@router.post(
    "/users/{number}/disable",
    response_model=users.UserDone,
    summary="Keep a user out",
    dependencies=[need("users.disable")],
)
def disable_user(number: UserNumber) -> Document:
    """From now on: their sessions end at once."""
    return Document(users.disable(users.name_of(number)))


@router.post(
    "/users/{number}/enable",
    response_model=users.UserDone,
    summary="Let a user in again",
    dependencies=[need("users.enable")],
)
def enable_user(number: UserNumber, seen: Seen = None) -> Document:
    """With the role and tenants of before."""
    return Document(users.enable(users.name_of(number), seen=seen))


@router.post(
    "/users/{number}/sign-out",
    response_model=users.UserDone,
    summary="Sign a user out",
    dependencies=[need("users.sign_out")],
)
def sign_out_user(number: UserNumber) -> Document:
    """Everywhere; they may log in again."""
    return Document(users.sign_out(users.name_of(number)))


@router.delete(
    "/users/{number}", response_model=users.UserDone, summary="Remove a user", dependencies=[need("users.remove")]
)
def remove_user(number: UserNumber, seen: Seen = None) -> Document:
    """With their sessions. What they did stays in the record, under their name."""
    return Document(users.remove(users.name_of(number), seen=seen))


@router.get("/tokens", response_model=TokenPage, summary="List tokens", dependencies=[need("tokens.read")])
def list_tokens(
    all: Annotated[bool, Query(description="Also those that open nothing any more.")] = False,
    limit: Limit = 100,
    cursor: NumberCursor = None,
) -> Document:
    """Those that let somebody in."""
    return Document(tokens.listing(limit, cursor_text(cursor), everything=all).document())


@router.post("/tokens", response_model=tokens.TokenMade, summary="Make a token", dependencies=[need("tokens.create")])
def create_token(given: CreateToken) -> Document:
    """`token` is shown now and never again."""
    lasts = timedelta(days=given.days) if given.days else None
    return Document(tokens.create(given.name, given.role, given.tenants, lasts))


@router.post(
    "/tokens/{number}/revoke",
    response_model=tokens.TokenItem,
    summary="Revoke a token",
    dependencies=[need("tokens.revoke")],
)
def revoke_token(number: TokenNumber) -> Document:
    """It opens nothing any more, at once."""
    return Document(tokens.revoke(number))
