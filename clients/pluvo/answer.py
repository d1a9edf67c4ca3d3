"""Take a GraphQL answer apart: which root field has a value, which has an error, and what the whole came to.

A document may hold several root fields, and one can succeed while the next is refused. So errors are kept per alias
(the first part of an error's ``path``); only errors without a path speak for the whole document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from clients.errors import PLUVO, Misconfigured, Rejected, RemoteError, Unauthorized, Unavailable
from clients.http import Response
from clients.pluvo import errors as pluvo_errors
from clients.pluvo import records
from clients.pluvo.operations import OPTIONAL_SELECTIONS, SPARE_NAMES, Document
from clients.pluvo.records import Page

T = TypeVar("T")

NO_ANSWER = "no_answer"
# Where the status says what happened, whatever the body says. Other statuses may carry a GraphQL answer.
_STATUS_DECIDES = frozenset({401, 403, 408, 425, 429})
_TOKEN_TOLD = frozenset({200, 400})
# NUL or half a surrogate pair, escaped in JSON; a whole pair is found too, and left as it is
_UNSTORABLE = re.compile(rb"\\u(0000|d[89a-f])", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What came back for one document."""

    document: Document
    status: int = 200
    data: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, RemoteError] = field(default_factory=dict)
    whole: RemoteError | None = None
    unknown_names: frozenset[tuple[str, str]] = frozenset()
    # Rows of a listing with an error beneath them: {alias: {place among the edges}}, where nothing else is wrong
    broken: Mapping[str, frozenset[int]] = field(default_factory=dict)
    # Steps whose error may be about the token, and what it is when the token is good: the caller finds out
    doubtful: Mapping[str, RemoteError] = field(default_factory=dict)
    # The server refused the document before it carried out anything of it
    unread: bool = False

    @property
    def error(self) -> RemoteError | None:
        """The error to count this call under: of the whole, or of its fields when none has a value."""
        if self.whole is not None or any(value is not None for value in self.data.values()):
            return self.whole
        return next(iter(self.fields.values()), None)

    def asked(self, alias: str) -> bool:
        """Tell whether the document had this step: one with nothing to say is left out."""
        return alias in self.document.steps

    def get(self, alias: str) -> Any:
        """Give the value of one step. A read may give None (there is no such thing); a write gives what it made.

        Raises the step's error. A write with neither value nor error is ``Unknown``. A read of which the answer says
        nothing at all, not even null, is ``Unavailable``, or the error of the step that took it along.
        """
        value, error = self.data.get(alias), self.fields.get(alias) or self.whole
        writes = self.document.kind == "mutation"
        if error is not None and not (writes and value is not None):
            raise error
        if writes and value is None:
            raise self.unreadable(NO_ANSWER)
        if alias not in self.data:
            words = "Pluvo answered only a part of what was asked."
            raise next(iter(self.fields.values()), Unavailable(NO_ANSWER, words, system=PLUVO, status=self.status))
        return value

    def read(self, alias: str, parse: Callable[[Any], T]) -> T | None:
        """Give one step's value as a record; None when Pluvo has no such thing, in whichever way it says so."""
        if not self.asked(alias):
            return None
        try:
            value = self.get(alias)
        except Rejected as error:
            if error.code == pluvo_errors.NOT_FOUND:
                return None
            raise
        return None if value is None else self._parse(parse, value)

    def require(self, alias: str, parse: Callable[[Any], T]) -> T:
        """Give one step's value as a record; null does not fit here."""
        return self._parse(parse, self.get(alias))

    def page(self, alias: str) -> Page:
        """Give one step's value as a page of a listing, without the rows that Pluvo could not read itself."""
        broken, value = self.broken.get(alias, frozenset()), self.data.get(alias)
        if not broken or value is None:
            value = self.get(alias)
        try:
            return records.page(value, broken)
        except ValueError:  # not chained: it would show the value
            pass
        if broken:
            self.get(alias)  # more than rows is missing: its error says why
        words = "A list of Pluvo's has another shape."
        raise Misconfigured("unexpected_answer", words, system=PLUVO, status=self.status)

    @property
    def not_found_took_all(self) -> set[str]:
        """The steps that found nothing and, where results may not be null, took the other steps' values with them."""
        if self.data or self.whole is not None or self.document.steps.keys() <= self.fields.keys():
            return set()
        return {alias for alias, error in self.fields.items() if error.code == pluvo_errors.NOT_FOUND}

    def _parse(self, parse: Callable[[Any], T], value: Any) -> T:
        try:
            return parse(value)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # not chained: it would show the value
        raise self.unreadable()

    def unreadable(self, code: str = "unexpected_answer") -> RemoteError:
        """Make the error for an answer in a shape we don't know: for a write, it may have happened."""
        from_table = pluvo_errors.UNREADABLE[self.document.kind]
        return from_table(code, "The answer of Pluvo has another shape.", system=PLUVO, status=self.status)

    @property
    def auth_refused(self) -> bool:
        """Tell whether a new token may help and repeating is safe: a read, or a write of which nothing happened."""
        errors = [*self.fields.values(), *([self.whole] if self.whole else [])]
        if not any(isinstance(e, Unauthorized) and e.code == pluvo_errors.AUTH_REFUSED for e in errors):
            return False
        return self.document.kind == "query" or self._nothing_made

    @property
    def _nothing_made(self) -> bool:
        nothing = all(value is None for value in self.data.values())
        return nothing and (self.whole is not None or self.document.steps.keys() <= self.fields.keys())

    def for_record(self) -> Answer:
        """Give the same answer read as: the token is good, it is the record that Pluvo refuses."""
        fields = {alias: self.doubtful.get(alias, error) for alias, error in self.fields.items()}
        return replace(self, fields=fields, whole=self.doubtful.get("", self.whole), doubtful={})


def _of_record(error: RemoteError) -> RemoteError:
    words = "The API client may not do this."
    return Rejected("not_permitted", words, system=PLUVO, status=error.status, remote_text=error.remote_text)


def read_answer(response: Response, document: Document, *, secrets: Iterable[str] = ()) -> Answer:
    """Take ``response`` apart. Never raises: what is wrong with it is in the answer."""
    writes = document.kind == "mutation"
    body = _graphql(response)
    if body is None:
        told = pluvo_errors.from_status(response, writes=writes, secrets=secrets)
        return Answer(document, response.status, whole=_refused_token(response, secrets) or told)
    data, errors = body.get("data"), _errors(body.get("errors"))
    secrets = list(secrets)
    by_alias: dict[str, list[RemoteError]] = {}
    places: dict[str, set[int | None]] = {}
    doubtful: dict[str, RemoteError] = {}
    for error in errors:
        path = error.get("path")
        path = path if isinstance(path, list) else []
        if len(path) > 1 and path[-1] in OPTIONAL_SELECTIONS:
            continue  # one of the extras could not be read: it stays None
        alias = str(path[0]) if path else ""
        of_record = bool(path) or data is not None
        classified = pluvo_errors.from_body(
            error,
            response,
            writes=writes,
            of_record=of_record,
            makes_account=makes_account(document, alias),
            secrets=secrets,
        )
        if of_record and classified.code == pluvo_errors.AUTH_REFUSED and pluvo_errors.is_doubtful(error, secrets):
            doubtful[alias] = _of_record(classified)
        elif writes and not of_record and pluvo_errors.says_nothing(error, classified) and not _names(error):
            doubtful[alias], classified = classified, pluvo_errors.token_refused(classified)
        by_alias.setdefault(alias, []).append(classified)
        places.setdefault(alias, set()).add(_place(path, classified))
    fields = {alias: pluvo_errors.first_in_table(found) for alias, found in by_alias.items()}
    whole = fields.pop("") if "" in fields else None
    unread = data is None and whole is not None  # validation precedes execution and has no path
    unknown = {name for error in errors if unread for name in _names(error)}
    answer = Answer(
        document,
        response.status,
        data or {},
        fields,
        whole,
        unknown_names=frozenset(unknown),
        broken={alias: frozenset(p for p in at if p is not None) for alias, at in places.items() if None not in at},
        doubtful=doubtful,
        unread=unread,
    )
    # What was done in the same document was done with this very token.
    return answer.for_record() if doubtful and any(value is not None for value in answer.data.values()) else answer


def _names(error: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Find which names of ours an error says the schema lacks."""
    return pluvo_errors.unknown_names(error, SPARE_NAMES)


def makes_account(document: Document, alias: str) -> bool:
    """Tell whether a step may need room for an account; an error without a path may be about any step."""
    makers = {"create_user", "archive_users"}
    steps = [document.steps[alias]] if alias in document.steps else document.steps.values()
    return bool(makers & set(steps))


def _place(path: list[Any], error: RemoteError) -> int | None:
    """Find in which row of a listing an error is; None when it is about more than one row."""
    everybody = error.code in {"throttled", pluvo_errors.AUTH_REFUSED}
    in_row = len(path) > 2 and path[1] == "edges" and isinstance(path[2], int)
    return path[2] if in_row and not everybody else None


def _graphql(response: Response) -> dict[str, Any] | None:
    """Give the body when it is a GraphQL answer that may be believed."""
    if response.status in _STATUS_DECIDES or response.status >= 500:
        return None
    try:
        body = response.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    if _UNSTORABLE.search(response.content):
        body = _storable(body)
    data_fits = isinstance(body.get("data"), dict)
    return body if data_fits or (body.get("data") is None and body.get("errors")) else None


def _storable(value: Any) -> Any:
    """Put U+FFFD where a text holds what PostgreSQL can't keep. Nothing is dropped: two texts must not become equal."""
    if isinstance(value, str):
        return "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return {_storable(key): _storable(item) for key, item in value.items()} if isinstance(value, dict) else value


def _refused_token(response: Response, secrets: Iterable[str]) -> RemoteError | None:
    """Find a refused token told before GraphQL was reached, as in ``{"error": "invalid_token"}`` with status 200."""
    try:
        body = response.json() if response.status in _TOKEN_TOLD else None
    except ValueError:
        return None
    said = body if isinstance(body, dict) else {}
    for key in ("error", "code", "detail", "message", "error_description"):
        told = pluvo_errors.from_body({"message": str(said.get(key))}, response, writes=False, secrets=secrets)
        if told.code == pluvo_errors.AUTH_REFUSED:
            return told
    return None


def _errors(errors: Any) -> list[Mapping[str, Any]]:
    """Give errors as objects, whatever they came as."""
    listed = errors if isinstance(errors, list) else [errors] if errors else []
    return [error if isinstance(error, dict) else {"message": str(error)} for error in listed]
