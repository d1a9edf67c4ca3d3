"""Take a GraphQL answer apart: which root field has a value, which has an error, and what the whole came to.

A document may hold several root fields, and one can succeed while the next is refused. So errors are kept per alias
(the first part of an error's ``path``); only errors without a path speak for the whole document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from clients import pluvo_errors
from clients.errors import Rejected, RemoteError, Unauthorized
from clients.http import Response
from clients.pluvo_operations import OPTIONAL_SELECTIONS, Document

T = TypeVar("T")

# Where the status says what happened, whatever the body says. Other statuses may carry a GraphQL answer.
_STATUS_DECIDES = frozenset({401, 403, 408, 425, 429})


@dataclass(frozen=True)
class Answer:
    """What came back for one document."""

    document: Document
    status: int = 200
    data: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, RemoteError] = field(default_factory=dict)
    whole: RemoteError | None = None
    unknown_names: frozenset[tuple[str, str]] = frozenset()

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

        Raises the step's error. A write with neither value nor error is ``Unknown``.
        """
        value, error = self.data.get(alias), self.fields.get(alias) or self.whole
        writes = self.document.kind == "mutation"
        if error is not None and not (writes and value is not None):
            raise error
        if writes and value is None:
            raise self.unreadable("no_answer")
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
        return from_table(code, "The answer of Pluvo has another shape.", system="pluvo", status=self.status)

    @property
    def auth_refused(self) -> bool:
        """Tell whether a new token may help and repeating is safe: a read, or a write of which nothing happened."""
        errors = [*self.fields.values(), *([self.whole] if self.whole else [])]
        if not any(isinstance(e, Unauthorized) and e.code == pluvo_errors.AUTH_REFUSED for e in errors):
            return False
        if self.document.kind == "query":
            return True
        nothing_made = all(value is None for value in self.data.values())
        return nothing_made and (self.whole is not None or self.document.steps.keys() <= self.fields.keys())


def read_answer(response: Response, document: Document, *, secrets: Iterable[str] = ()) -> Answer:
    """Take ``response`` apart. Never raises: what is wrong with it is in the answer."""
    writes = document.kind == "mutation"
    body = _graphql(response)
    if body is None:
        told = pluvo_errors.from_status(response, writes=writes, secrets=secrets)
        return Answer(document, response.status, whole=told)
    data, errors = body.get("data"), _errors(body.get("errors"))
    by_alias: dict[str, list[RemoteError]] = {}
    for error in errors:
        path = error.get("path")
        path = path if isinstance(path, list) else []
        if len(path) > 1 and path[-1] in OPTIONAL_SELECTIONS:
            continue  # one of the extras could not be read: it stays None
        alias = str(path[0]) if path else ""
        judged = pluvo_errors.from_body(error, response, writes=writes, secrets=secrets)
        by_alias.setdefault(alias, []).append(judged)
    fields = {alias: pluvo_errors.first_in_table(found) for alias, found in by_alias.items()}
    whole = fields.pop("") if "" in fields else None
    refused_unread = data is None and whole is not None  # validation precedes execution and has no path
    unknown = {name for error in errors if refused_unread for name in pluvo_errors.unknown_names(error)}
    return Answer(document, response.status, data or {}, fields, whole, frozenset(unknown))


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
    data_fits = isinstance(body.get("data"), dict)
    return body if data_fits or (body.get("data") is None and body.get("errors")) else None


def _errors(errors: Any) -> list[Mapping[str, Any]]:
    """Give errors as objects, whatever they came as."""
    listed = errors if isinstance(errors, list) else [errors] if errors else []
    return [error if isinstance(error, dict) else {"message": str(error)} for error in listed]
