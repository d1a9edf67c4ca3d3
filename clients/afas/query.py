"""Write the question for one page of a GetConnector. Source: docs/afas.md#paging and docs/afas.md#filters."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import quote, urlencode

from clients.errors import AFAS, Misconfigured

MAX_TAKE = 1000
MAX_CELLS = 150_000  # AFAS asks for fewer rows times columns than this
MAX_QUERY = 2049  # characters with the question mark; beyond it AFAS answers 404


class Operator(IntEnum):
    """AFAS's numbers for comparisons. Those inside a text are left out: they use no index."""

    EQUAL = 1
    AT_LEAST = 2
    AT_MOST = 3
    GREATER = 4
    LESS = 5
    DIFFERENT = 7
    EMPTY = 8
    NOT_EMPTY = 9


@dataclass(frozen=True)
class Condition:
    """One comparison, e.g. ``Condition("CrId", Operator.EQUAL, "340")``; datetimes without ``Z``."""

    field: str
    operator: Operator
    value: str = ""


def page_size(columns: int) -> int:
    """Give the number of rows to ask for when a row has so many columns."""
    return max(1, min(MAX_TAKE, MAX_CELLS // max(1, columns)))


def page_query(*, skip: int, take: int, order_by: Sequence[str], where: Sequence[Sequence[Condition]] = ()) -> str:
    """Write the query string, without its question mark.

    ``where``: the outer sequence means OR, the inner ones AND. Raises ``ValueError`` when AFAS would refuse the length
    or page wrongly, ``Misconfigured`` for a column name it cannot order by or filter on.
    """
    if not order_by:
        raise ValueError("Without an order, AFAS's pages miss rows and repeat others.")
    if take < 1 or skip < 0:
        raise ValueError("take starts at 1 and skip at 0; AFAS reads other values in odd ways.")
    parts = {"skip": str(skip), "take": str(take), "orderbyfieldids": ",".join(map(usable, order_by))}
    if where:
        parts["filterjson"] = _filterjson(where)
    query = urlencode(parts, quote_via=quote, safe="")
    if len(query) + 1 > MAX_QUERY:
        raise ValueError(f"The question is {len(query) + 1} characters, AFAS takes {MAX_QUERY}: ask for less at once.")
    return query


def _filterjson(where: Sequence[Sequence[Condition]]) -> str:
    filters = [
        {
            "@FilterId": str(number),
            "Field": [
                {"@FieldId": usable(one.field), "@OperatorType": str(int(one.operator)), "#text": one.value}
                for one in conditions
            ],
        }
        for number, conditions in enumerate(where, start=1)
    ]
    return json.dumps({"Filters": {"Filter": filters}}, ensure_ascii=False, separators=(",", ":"))


def usable(field: str) -> str:
    """The name itself. Raises ``Misconfigured`` for one that AFAS can deliver but not order by or filter on: with dots,
    spaces, accents, commas.
    """
    if re.fullmatch(r"-?[A-Za-z0-9_]+", field):
        return field
    text = f"AFAS cannot order by or filter on a column named {field!r}: give it a name of letters and digits."
    raise Misconfigured("unusable_field", text, system=AFAS)
