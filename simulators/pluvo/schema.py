"""The schema of ``pluvo.graphql`` with resolvers on it, less what a switch hides; documents are checked once a text."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import (
    REMOVE,
    DocumentNode,
    FieldDefinitionNode,
    FieldNode,
    GraphQLError,
    GraphQLScalarType,
    GraphQLSchema,
    InputValueDefinitionNode,
    Node,
    OperationDefinitionNode,
    Visitor,
    assert_object_type,
    build_ast_schema,
    parse,
    validate,
    visit,
)
from graphql.validation import NoSchemaIntrospectionCustomRule, specified_rules

from simulators.pluvo.resolvers import RESOLVERS

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True)
class Operation:
    """One operation of a document that was read: what it is called and asks for, and what is wrong with it."""

    document: DocumentNode
    name: str
    fields: tuple[str, ...]
    errors: tuple[GraphQLError, ...] = ()


@functools.cache
def schema(hidden: frozenset[str] = frozenset()) -> GraphQLSchema:
    """Build the schema without the hidden names: ``name``, ``Type.field`` or ``Type.field.argument``."""
    text = Path(__file__).with_name("pluvo.graphql").read_text(encoding="utf-8")
    made = build_ast_schema(visit(parse(text, no_location=True), _Hide(hidden)))
    for type_name, resolvers in RESOLVERS.items():
        fields = assert_object_type(made.type_map[type_name]).fields
        for name in resolvers.keys() & fields.keys():
            fields[name].resolve = resolvers[name]
    for name, pattern in (("UUID", UUID), ("DateTime", INSTANT)):
        scalar = made.type_map[name]
        if isinstance(scalar, GraphQLScalarType):
            scalar.coerce_input_value = _parser(name, pattern)
    return made


@functools.lru_cache(maxsize=2000)
def read(text: str, operation_name: str | None, hidden: frozenset[str], introspection: bool) -> Operation:
    """Parse and check a document; raises GraphQLError when it isn't GraphQL at all."""
    document = parse(text)
    rules = specified_rules if introspection else [*specified_rules, NoSchemaIntrospectionCustomRule]
    errors = tuple(validate(schema(hidden), document, rules))
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    chosen = next((o for o in operations if operation_name in (None, o.name and o.name.value)), None)
    if chosen is None:
        return Operation(document, operation_name or "", (), errors or (GraphQLError("Unknown operation"),))
    fields = tuple(node.name.value for node in chosen.selection_set.selections if isinstance(node, FieldNode))
    return Operation(document, chosen.name.value if chosen.name else next(iter(fields), ""), fields, errors)


class _Hide(Visitor):
    """Takes fields and arguments out of a schema's text."""

    def __init__(self, hidden: frozenset[str]) -> None:
        super().__init__()
        self._hidden = hidden

    def enter(self, node: Node, _key: Any, _parent: Any, _path: Any, ancestors: list[Any]) -> Any:
        if isinstance(node, FieldDefinitionNode | InputValueDefinitionNode) and self._hidden:
            above = [each.name.value for each in ancestors if isinstance(each, Node) and hasattr(each, "name")]
            full = ".".join([*above, node.name.value])
            if node.name.value in self._hidden or full in self._hidden:
                return REMOVE
        return None


def _parser(name: str, pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def parse_value(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise GraphQLError(f"{value!r} is no {name}")
        return value

    return parse_value
