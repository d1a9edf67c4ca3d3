"""Compare our operation texts with the live schema, when Pluvo shows it (introspection may be closed)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from graphql import (
    GraphQLError,
    GraphQLSchema,
    IntrospectionQuery,
    build_client_schema,
    get_introspection_query,
    parse,
    validate,
)

from clients.pluvo.errors import unknown_names
from clients.pluvo.operations import OPTIONAL_SELECTIONS, Document, Operation, Step, compose

INTROSPECTION = Document("IntrospectionQuery", "query", get_introspection_query(descriptions=False), {}, {"": ""})


def read_schema(data: Mapping[str, Any]) -> GraphQLSchema | None:
    """Build the schema from an introspection answer; None when it is not one."""
    if not data.get("__schema"):
        return None
    try:
        return build_client_schema(cast(IntrospectionQuery, data))
    except (TypeError, KeyError, GraphQLError):
        return None


def differences(schema: GraphQLSchema, operations: Mapping[str, Operation]) -> list[str]:
    """List what the schema refuses, e.g. ``unenroll: Cannot query field 'unenrollUserFromOfferEvent' on type …``.

    What an operation can do without is not listed.
    """
    return [
        f"{name}: {message}"
        for name, operation in operations.items()
        for message, spared in _of_one(schema, name, operation)
        if not spared
    ]


def spared(schema: GraphQLSchema, operations: Mapping[str, Operation]) -> set[str]:
    """Name what the schema lacks and we do without, e.g. ``{"afasContactId"}``."""
    found = [names for name, operation in operations.items() for _, names in _of_one(schema, name, operation)]
    return set().union(*found)


def _of_one(schema: GraphQLSchema, name: str, operation: Operation) -> Iterator[tuple[str, set[str]]]:
    """Give each thing that one operation is refused for, with the names that it can do without."""
    everything = dict.fromkeys(operation.variables, "x")
    document = compose(name, [Step("a", name, everything)], {name: operation})
    try:
        errors = validate(schema, parse(document.text), max_errors=1000)
    except GraphQLError as not_graphql:
        errors = [not_graphql]
    spare = {("selection", each) for each in OPTIONAL_SELECTIONS} | {("argument", each) for each in operation.optional}
    for error in errors:
        lacking = unknown_names({"message": error.message})
        yield error.message, {each for _, each in lacking} if lacking and lacking <= spare else set()
