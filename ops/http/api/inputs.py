"""What callers may give: every number with its bounds, every text with its length and without what can't be stored."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from ops.http.api.answers import language_of
from ops.language import Language
from ops.listing import MAX_LIMIT

ID = r"^[0-9A-Za-z]{1,26}$"
SLUG = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
PERSON = r"^[0-9]{1,18}$"


def storable(text: str) -> str:
    """Refuse what PostgreSQL takes no text with: NUL, and half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character") from None
    if "\0" in text:
        raise ValueError("has a character (NUL) that can't be stored")
    return text


def _zoned(at: datetime) -> datetime:
    """With a zone, and of a year that ids and the database can say."""
    if not 1980 <= at.year <= 2200:
        raise ValueError("must be of a year from 1980 to 2200")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class Body(BaseModel):
    """A JSON object; a key that is not known is refused, as it would be on the command line."""

    model_config = ConfigDict(extra="forbid", strict=True)


def example(**values: JsonValue) -> ConfigDict:
    """A body as the reference shows it."""
    return ConfigDict(json_schema_extra={"examples": [values]})


Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(storable)]
Word = Annotated[str, Field(pattern=r"^[a-z_]{1,60}$", max_length=60)]
Reason = Annotated[str, Field(min_length=1, max_length=1000, description="Why."), AfterValidator(storable)]
SlugText = Annotated[str, Field(pattern=SLUG, max_length=40)]
PersonText = Annotated[str, Field(pattern=PERSON, max_length=18)]
IdText = Annotated[str, Field(pattern=ID, max_length=26)]
AccountText = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$", max_length=64)]
EventText = Annotated[str, Field(pattern=r"^[0-9]{1,18}$", max_length=18)]
HashText = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$", max_length=64)]
Number = Annotated[int, Field(ge=1, le=10**18)]
DirectionText = Literal["enrollments", "completions"]
Day = Annotated[date, Field(strict=False)]

Slug = Annotated[str, Path(pattern=SLUG, max_length=40, description="The short name of a tenant.")]
PersonId = Annotated[str, Path(pattern=PERSON, max_length=18, description="The internal id (CdId).")]
EventId = Annotated[str, Path(pattern=r"^[0-9]{1,18}$", max_length=18, description="The event's number (CrId).")]
RunId = Annotated[str, Path(pattern=ID, max_length=26, description="A run's id, the beginning of one, or last.")]
HoldId = Annotated[str, Path(pattern=ID, max_length=26, description="A hold's id, the beginning of one, or last.")]
LetterId = Annotated[str, Path(pattern=ID, max_length=26, description="A dead letter's id, a beginning, or last.")]
BatchId = Annotated[str, Path(pattern=ID, max_length=26, description="A batch's id.")]

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items of a page.")]
Cursor = Annotated[
    str | None, Query(pattern=r"^[0-9A-Za-z.-]{1,80}$", max_length=80, description="`next` of the page before.")
]
NumberCursor = Annotated[int | None, Query(ge=0, le=10**18 - 1, description="`next` of the page before.")]
OfTenant = Annotated[str | None, Query(pattern=SLUG, max_length=40, description="Only of this tenant.")]
OfEvent = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", max_length=18, description="Only of this AFAS event.")]
OfDirection = Annotated[DirectionText | None, Query(description="Only of this direction.")]
# Years that everything behind it can say; without a zone it is UTC
At = Annotated[datetime, Field(strict=False), AfterValidator(_zoned)]
Moment = Annotated[At | None, Query(description="With its zone; without one it is UTC.")]
Wait = Annotated[int, Query(ge=0, le=30, description="Wait so many seconds at most before answering.")]


def cursor_text(cursor: int | None) -> str | None:
    """As the listings take it."""
    return None if cursor is None else str(cursor)


def _language(
    request: Request, language: Annotated[Language | None, Query(description="Else Accept-Language decides.")] = None
) -> Language:
    return language or language_of(request)


InLanguage = Annotated[Language, Depends(_language)]
