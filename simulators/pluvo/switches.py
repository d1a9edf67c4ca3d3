"""Where Pluvo may differ from what we think, who may call it, and how it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field


class Refusal(Exception):
    """Pluvo refuses what was asked. ``code`` goes into the error's extensions (our guess: no list is published)."""

    def __init__(self, code: str, message: str) -> None:
        """Keep code and message."""
        super().__init__(message)
        self.extensions = {"code": code}


ASSUMED = (
    "User.afasPersonId", "User.afasContactId", "User.afasConnectionId", "CreateUserInput.afasPersonId",
    "CreateUserInput.afasContactId", "UpdateUserInput.afasPersonId", "UpdateUserInput.afasContactId",
    "Query.user.email", "Query.portfolioReport.userIds", "Mutation.createOfferEventEnrollments.userIds",
    "Enrollment.offerEventId",
)  # fmt: skip
"""Names for ``Switches.hidden``: what nobody confirmed and the client can do without."""


@dataclass
class Switches:
    """Where Pluvo is known to differ, or nobody knows. The defaults are the likeliest."""

    unknown_user: str = "null"
    """What ``user`` gives for nobody: null or error."""
    finds_archived: bool = True
    """Whether ``user`` and an ``archived`` left out show archived users too."""
    auth_failure: str = "401"
    """A bad token gives 401, or 200 with an error code that holds ``Auth``, or 200 with ``words`` alone."""
    introspection: bool = True
    hidden: list[str] = field(default_factory=list)
    """Names the schema lacks: ``afasContactId``, or ``Query.portfolioReport.userIds`` for one argument."""
    token_lifetime_seconds: int = 86_400
    membership_delay_seconds: float = 0.0
    calls_per_second: float | None = None
    """Refuse what comes faster, with 429."""
    rate_burst: int = 1
    count_off: int = 0
    """What the counts of users and of the report say too much (or too little)."""
    broken_users: list[str] = field(default_factory=list)
    """Ids of users that can't be read: null with an error at its path, the rest of the answer is there."""
    moves_while_listing: list[tuple[str, bool]] = field(default_factory=list)
    """(user id, archived): after each page of users that was answered, the first of these is done."""
    protected_users: list[str] = field(default_factory=list)
    """Ids of users that an API client may not change, like the academy's owner."""
    protected_code: str = "PERMISSION_DENIED"
    seats: int | None = None
    """How many users may be active: making and restoring one more is refused."""
    lists_enrolled: bool = True
    """Whether enrolling lists those who were enrolled already, and adding to a group those who were in it."""
    retry_after: bool = True
    """Whether such a 429 says how long to wait."""
    max_root_fields: int | None = None
    """Refuse a document with more root fields as too complex."""
    max_body_bytes: int | None = None
    """Refuse a longer request with 413."""
    repeats_fields: bool = True
    """Whether a document may have one root field several times, under aliases."""
    refused_values: list[str] = field(default_factory=list)
    """A root field with one of these among its arguments is refused: null with an error that names it."""
    error_paths: bool = True
    """Whether an error says at which root field it is."""
    null_spoils: bool = False
    """Whether an error in one root field takes the values of all."""


@dataclass
class ApiClient:
    """OAuth client credentials and what they may do; None is everything."""

    secret: str
    scopes: list[str] | None = None
