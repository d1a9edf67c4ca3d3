"""What a GetConnector answers: filters, order, skip and take, the way AFAS reads them."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf, nan
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from simulators.afas.answers import NUMBER_UNEXPECTED, UNEXPECTED, refusal, unknown_field
from simulators.afas.tenant import AfasTenant, Connector, Row
from simulators.core.http_messages import Answer, Request

MAX_QUERY = 2049
"""Characters of the query string, its question mark included; beyond that AFAS says 404."""

NUMBERS = frozenset({"event_id", "internal_id"})
DATES = frozenset({"start", "end"})
A_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$")
OPERATORS: dict[int, Callable[[Any, Any], Any]] = {1: eq, 2: ge, 3: le, 4: gt, 5: lt, 7: ne}
TEXT_OPERATORS: dict[int, Callable[[str, str], bool]] = {
    6: lambda text, part: part in text,
    10: str.startswith,
    11: lambda text, part: part not in text,
    12: lambda text, part: not text.startswith(part),
    13: str.endswith,
    14: lambda text, part: not text.endswith(part),
}
IS_EMPTY, IS_NOT_EMPTY = 8, 9
TRUE_OF_NOTHING = frozenset({7, 11, 12, 14})
"""Operators that a row without a value passes (our guess: what is not there is not equal)."""


class Refused(Exception):
    """The request can't be answered with rows; carries the answer it gets instead."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer."""
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True)
class Condition:
    """One filter on one column; ``source`` says what of a row that column shows."""

    source: str
    operator: int
    value: str


Where = list[list[Condition]]
"""Outer list: OR. Inner lists: AND."""


def select(tenant: AfasTenant, connector: Connector, request: Request) -> tuple[int, int, list[dict[str, Any]]]:
    """Give skip, take and the rows of one request; raises Refused."""
    params = request.params
    language = request.headers.get("accept-language", "nl-nl")
    skip, take = _window(params)
    limit = tenant.switches.cell_limit
    if limit is not None and (take if take >= 0 else len(tenant.rows)) * len(connector.columns) > limit:
        raise Refused(refusal("Out of memory", NUMBER_UNEXPECTED))
    order = _order(connector, params.get("orderbyfieldids", ""), language)
    where = [] if connector.ignores_filters else _where(connector, params, language)
    ordered = _ordered(tenant, connector, where, order)
    wanted = itertools.islice(ordered, max(skip, 0), None if take < 0 else max(skip, 0) + max(take, 1))
    render = _renderer(tenant, connector)
    return skip, take, [render(row) for row in wanted]


def _window(params: dict[str, str]) -> tuple[int, int]:
    """Read skip and take: 0 and 100 by default, -1/-1 everything, junk as the default; odd pairs break AFAS."""
    skip = _int(params.get("skip"), 0)
    take = _int(params.get("take"), 100)
    if take < 0 and skip != -1:
        raise Refused(refusal(UNEXPECTED, NUMBER_UNEXPECTED))
    return skip, (-1 if skip == -1 else take)


def _order(connector: Connector, text: str, language: str) -> list[tuple[str, bool]]:
    """Read ``A,-B`` as [(source, descending)]."""
    order = []
    for each in filter(None, text.split(",")):
        name = each.removeprefix("-")
        order.append((_source(connector, name, language), each.startswith("-")))
    return order


def _where(connector: Connector, params: dict[str, str], language: str) -> Where:
    """Read filterjson, or the three parallel lists."""
    if params.get("filterjson"):
        triples = _from_json(params["filterjson"])
    elif params.get("filterfieldids"):
        triples = _from_lists(params)
    else:
        return []
    return [[Condition(_source(connector, name, language), op, value) for name, op, value in each] for each in triples]


def _from_json(text: str) -> list[list[tuple[str, int, str]]]:
    try:
        filters = json.loads(text)["Filters"]["Filter"]
        return [
            [(each["@FieldId"], int(each["@OperatorType"]), str(each.get("#text", ""))) for each in _list(one["Field"])]
            for one in _list(filters)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(refusal(UNEXPECTED, NUMBER_UNEXPECTED)) from error


def _from_lists(params: dict[str, str]) -> list[list[tuple[str, int, str]]]:
    """Cut three lists the same way: ``;`` is OR, ``,`` is AND."""
    names, values, operators = (
        [part.split(",") for part in params.get(name, "").split(";")]
        for name in ("filterfieldids", "filtervalues", "operatortypes")
    )
    try:
        return [
            [(name, int(op), value) for name, value, op in zip(*three, strict=True)]
            for three in zip(names, values, operators, strict=True)
        ]
    except ValueError as error:
        raise Refused(refusal(UNEXPECTED, NUMBER_UNEXPECTED)) from error


def _ordered(tenant: AfasTenant, connector: Connector, where: Where, order: list[tuple[str, bool]]) -> Iterable[Row]:
    """Walk the rows that pass, in order; ties and no order at all come in any order, as in AFAS."""
    keys = [source for source, descending in order if not descending]
    if len(keys) == len(order) and keys[:2] == ["event_id", "internal_id"]:
        return (row for row in _candidates(tenant, connector, where) if _passes(row, where))
    rows = [row for row in _candidates(tenant, connector, where) if _passes(row, where)]
    random.shuffle(rows)
    for source, descending in reversed(order):
        rows.sort(key=_sorter(source), reverse=descending)
    return rows


def _sorter(source: str) -> Callable[[Row], tuple[bool, Any]]:
    """Make the key to sort by one column: nothing comes first, texts without regard to case."""

    def key(row: Row) -> tuple[bool, Any]:
        value = value_of(row, source)
        return value is not None, value.casefold() if isinstance(value, str) else (value or 0)

    return key


def _candidates(tenant: AfasTenant, connector: Connector, where: Where) -> Iterator[Row]:
    """Walk the rows in key order, only through events and from persons that the filter can reach."""
    reach: dict[int, tuple[float, float]] = {}
    for conditions in where or [[]]:
        event, first, last = _reach(conditions)
        for event_id in tenant.events() if event is None else [event]:
            known = reach.get(event_id, (first, last))
            reach[event_id] = min(known[0], first), max(known[1], last)
    for event_id in sorted(reach):
        if connector.events is None or event_id in connector.events:
            yield from tenant.in_order(event_id, *reach[event_id])


def _reach(conditions: list[Condition]) -> tuple[int | None, float, float]:
    """Give the one event these conditions ask for, and the first and last person, where they say so."""
    event, first, last = None, -inf, inf
    for each in conditions:
        if each.source == "event_id" and each.operator == 1:
            event = _number(each.value)
        elif each.source == "internal_id" and each.operator in {1, 2, 4}:
            first = _number(each.value)
            last = first if each.operator == 1 else last
    return event, first, last


def _passes(row: Row, where: Where) -> bool:
    return not where or any(all(_holds(row, each) for each in conditions) for conditions in where)


def _holds(row: Row, condition: Condition) -> bool:
    value = value_of(row, condition.source)
    operator = condition.operator
    if operator in {IS_EMPTY, IS_NOT_EMPTY}:
        return (value in (None, "")) == (operator == IS_EMPTY)
    if operator in OPERATORS:
        if value is None:
            return operator in TRUE_OF_NOTHING
        return bool(OPERATORS[operator](*_comparable(value, condition)))
    if operator in TEXT_OPERATORS:
        if value is None:
            return operator in TRUE_OF_NOTHING
        return TEXT_OPERATORS[operator](str(value).casefold(), condition.value.strip("%").casefold())
    raise Refused(refusal(UNEXPECTED, NUMBER_UNEXPECTED))


def _comparable(value: Any, condition: Condition) -> tuple[Any, Any]:
    if condition.source in NUMBERS:
        return _as_number(value), _number(condition.value)
    if isinstance(value, bool):
        return value, condition.value.lower() in {"1", "true"}
    if A_DATE.match(str(value)):  # plain dates too are moments here: midnight
        return _moment(value), _moment(condition.value)
    return str(value).casefold(), condition.value.casefold()


def value_of(row: Row, source: str) -> Any:
    """Give what a column of this source shows; an empty text is no value."""
    if source in row.shown:
        return row.shown[source]
    value = row.free.get(source) if source.startswith("U") else getattr(row, source)
    return None if value == "" else value


def _renderer(tenant: AfasTenant, connector: Connector) -> Callable[[Row], dict[str, Any]]:
    """Make the function that shows a row in the connector's columns."""
    columns = [(name, source, _shower(tenant, source)) for name, source in connector.columns.items()]

    def render(row: Row) -> dict[str, Any]:
        return {name: show(value_of(row, source)) for name, source, show in columns}

    return render


def _shower(tenant: AfasTenant, source: str) -> Callable[[Any], Any]:
    """Choose how a value is shown: dates at midnight, moments with a Z that means nothing."""
    free = tenant.free_fields.get(source)
    if source in DATES or (free is not None and free.data_type == "date"):
        return lambda value: None if value is None else f"{_moment(value)}Z"
    if source == "modified":
        return lambda value: None if value is None else f"{value}Z"
    if source in NUMBERS and tenant.switches.ids_as_text:
        return str
    return lambda value: value


def _source(connector: Connector, name: str, language: str) -> str:
    if name not in connector.columns:
        raise Refused(unknown_field(name, language))
    return connector.columns[name]


def _moment(text: str) -> str:
    text = text.removesuffix("Z")
    return f"{text}T00:00:00" if len(text) == 10 else text


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise Refused(refusal(UNEXPECTED, NUMBER_UNEXPECTED)) from error


def _as_number(value: Any) -> float:
    """Read a number that a column shows as a text; what is none is like no other."""
    try:
        return float(value)
    except ValueError:
        return nan


def _int(text: str | None, default: int) -> int:
    try:
        return int(text) if text is not None else default
    except ValueError:
        return default


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
