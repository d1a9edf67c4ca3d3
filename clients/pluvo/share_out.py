"""Write one document for several people, and give each their own part of its answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from clients.errors import PLUVO, RemoteError, Unavailable, Unknown
from clients.http import MASK, without_people
from clients.pluvo.answer import Answer
from clients.pluvo.errors import AUTH_REFUSED
from clients.pluvo.operations import PERSONAL, Document, Step

Error = TypeVar("Error", bound=BaseException)


@dataclass(frozen=True)
class Part:
    """What one person's caller wants: its steps, and the document they would be alone."""

    name: str
    steps: Sequence[Step]
    document: Document

    @property
    def people(self) -> set[str]:
        """The names and addresses it sends."""
        return {str(value) for variable, value in self._values() if variable in PERSONAL}

    @property
    def others(self) -> set[str]:
        """The ids and refs it sends."""
        return {str(value) for variable, value in self._values() if variable not in PERSONAL}

    def _values(self) -> Iterable[tuple[str, object]]:
        given = ((variable, value) for step in self.steps for variable, value in step.values.items())
        for variable, value in given:
            for one in value if isinstance(value, list) else [value]:
                if one is not None and not isinstance(one, bool):
                    yield variable, one


def one_document(parts: Sequence[Part]) -> tuple[str, list[Step]]:
    """Name the document of all of them, and its steps: each person's in their order, under aliases of their own."""
    names = {part.name for part in parts}
    steps = [replace(step, alias=_alias(n, step.alias)) for n, part in enumerate(parts) for step in part.steps]
    return names.pop() if len(names) == 1 else "severalPeople", steps


def share_out(answer: Answer, parts: Sequence[Part]) -> list[Answer | None]:
    """Give each person their part; None where they have to be asked for alone, because nothing was done for them.

    Trouble of Pluvo's (and a refused token) is told to all alike. A document that was refused before anything of it was
    carried out is everybody's to repeat alone. What an error says of one person is told to no other.
    """
    whole = answer.whole
    if whole is not None and not _for_all(whole) and not answer.data and not answer.fields:
        return [None] * len(parts)
    return [_part(answer, n, part, [other for other in parts if other is not part]) for n, part in enumerate(parts)]


def _part(answer: Answer, n: int, part: Part, others: Sequence[Part]) -> Answer | None:
    names = {alias: _alias(n, alias) for alias in part.document.steps}
    names = {alias: name for alias, name in names.items() if name in answer.document.steps}
    steps = {alias: part.document.steps[alias] for alias in names}
    mine = Answer(
        replace(part.document, steps=steps),
        answer.status,
        {alias: answer.data[name] for alias, name in names.items() if name in answer.data},
        {alias: for_one(answer.fields[name], part, others) for alias, name in names.items() if name in answer.fields},
        broken={alias: answer.broken[name] for alias, name in names.items() if name in answer.broken},
    )
    if mine.auth_refused:
        return None
    if all(mine.data.get(alias) is not None or alias in mine.fields for alias in names):
        return mine
    if answer.whole is not None and _for_all(answer.whole):
        return replace(mine, whole=for_one(answer.whole, part, others))
    # Somebody's refusal took the values of others with it, or doesn't say whose it is; or the answer is not whole.
    reads = part.document.kind == "query"
    told = names.keys() <= mine.data.keys() | mine.fields.keys() if reads else bool(answer.data)
    if answer.whole is None and told:
        return mine
    if reads:
        return None
    words = "Pluvo did not say what became of this person in a document of several."
    return replace(mine, whole=Unknown("not_told", words, system=PLUVO, status=answer.status))


def for_one(error: Error, part: Part, others: Sequence[Part]) -> Error:
    """Copy an error for one person, without what its text says of the others. Exceptions aren't shared by threads."""
    try:
        made: Error = type(error).__new__(type(error), *error.args)
    except TypeError:  # there are some that only their own library makes
        return error
    made.__dict__.update(error.__dict__)
    if isinstance(made, RemoteError) and made.remote_text:
        strangers = set[str]().union(*(other.people for other in others)) - part.people
        ids = set[str]().union(*(other.others for other in others)) - part.others
        text = without_people(made.remote_text, strangers)
        for value in sorted(ids, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASK, text)
        made.remote_text = text
    return made


def _for_all(error: RemoteError) -> bool:
    return isinstance(error, Unavailable | Unknown) or error.code == AUTH_REFUSED


def _alias(n: int, alias: str) -> str:
    return f"p{n}_{alias}"
