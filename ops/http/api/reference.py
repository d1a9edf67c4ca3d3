"""The OpenAPI document as people read it: by noun, each operation with what it takes, a curl line and its answer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from typing_extensions import TypedDict

DEEPEST = 5  # objects in objects
EXAMPLES = {
    "slug": "acme",
    "tenant": "acme",
    "internal_id": "80",
    "event_id": "340",
    "number": "1",
    "confirm": "acme",
    "reason": "moving to another environment",
    "who": "p.jansen@example.nl",
    "pluvo_id": "7d4f9c1e-0b52-4c0b-9a55-0c1f0a6d2b11",
}


class Parameter(TypedDict):
    """Of the address: ``where`` is path or query."""

    name: str
    where: str
    kind: str
    needed: bool
    says: str


class Operation(TypedDict):
    """One method of one path. ``body`` and ``answer`` are shapes, as text."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    body: str | None
    status: str
    answer: str
    curl: str
    role: str


class Noun(TypedDict):
    """What belongs together."""

    name: str
    operations: list[Operation]


class Reference(TypedDict):
    """All of it. ``errors``: what a status means."""

    nouns: list[Noun]
    errors: dict[str, str]


def reference(document: Mapping[str, Any]) -> Reference:
    """Read an OpenAPI document."""
    nouns: dict[str, list[Operation]] = {}
    errors: dict[str, str] = {}
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            nouns.setdefault(found["tags"][0], []).append(_operation(document, path, method, found))
            errors |= {status: one["description"] for status, one in found["responses"].items() if status >= "4"}
    return {
        "nouns": [{"name": name, "operations": listed} for name, listed in nouns.items()],
        "errors": dict(sorted(errors.items())),
    }


def _operation(document: Mapping[str, Any], path: str, method: str, found: Mapping[str, Any]) -> Operation:
    parameters = found.get("parameters", [])
    given = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    status = next(status for status in found["responses"] if status.startswith("2"))
    answer = found["responses"][status].get("content", {}).get("application/json", {}).get("schema", {})
    return {
        "id": found["operationId"],
        "method": method.upper(),
        "path": f"/api{path}",
        "summary": found["summary"],
        "description": found.get("description", ""),
        "parameters": [_parameter(document, one) for one in parameters],
        "body": shape(document, given) if given else None,
        "status": status,
        "answer": shape(document, answer),
        "curl": _curl(document, path, method, parameters, given),
        "role": found.get("x-role", ""),
    }


def _parameter(document: Mapping[str, Any], one: Mapping[str, Any]) -> Parameter:
    schema = one["schema"]
    says = one.get("description") or schema.get("description") or ""
    return {
        "name": one["name"],
        "where": one["in"],
        "kind": shape(document, schema).removesuffix(" or null"),
        "needed": bool(one.get("required")),
        "says": says,
    }


def _curl(document: Mapping[str, Any], path: str, method: str, parameters: list[Mapping[str, Any]], body: Any) -> str:
    """As it can be pasted: with examples for what it needs."""
    query: dict[str, str] = {}
    for one in parameters:
        value = EXAMPLES.get(one["name"], "last")
        path = path.replace(f"{{{one['name']}}}", value)
        if one["in"] == "query" and one.get("required"):
            query[one["name"]] = value
    address = f'"$KOPPELING_URL/api{path}{"?" + urlencode(query) if query else ""}"'
    words = ["curl", "-H", '"Authorization: Bearer $KOPPELING_API_TOKEN"']
    if method != "get":
        words += ["-X", method.upper()]
    if body:
        words += ["--json", shlex.quote(json.dumps(_example(document, body), ensure_ascii=False))]
    return " ".join([*words, address])


def _example(document: Mapping[str, Any], schema: Mapping[str, Any], name: str = "") -> Any:
    """What is needed, with values that look like some."""
    schema = _resolved(document, schema)
    if schema.get("examples"):
        return schema["examples"][0]
    if name in EXAMPLES:
        return EXAMPLES[name]
    if "properties" in schema:
        needed = schema.get("required") or list(schema["properties"])[:1]
        return {key: _example(document, schema["properties"][key], key) for key in needed}
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "array":
        return [_example(document, schema["items"], name.removesuffix("s"))]
    return {"integer": 1, "number": 1, "boolean": True, "object": {}}.get(str(kind), f"{name or 'text'}")


def shape(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> str:
    """A schema as text: ``{"slug": text, "next": text or null}``."""
    schema = _resolved(document, schema)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(shape(document, one, depth) for one in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return " or ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        inner = shape(document, schema.get("items", {}), depth)
        return f"[{inner}, …]"
    if kind == "object" and "properties" in schema:
        return _object(document, schema, depth)
    if kind == "object":
        more = schema.get("additionalProperties")
        return f"{{name: {shape(document, more, depth + 1)}, …}}" if isinstance(more, Mapping) and more else "{…}"
    return _plain(schema)


def _plain(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        most = schema.get("maximum", schema.get("exclusiveMaximum"))
        return f"number {least} to {most}" if least is not None and most is not None else "number"
    if kind == "string":
        form = {"date-time": "time", "date": "day"}.get(schema.get("format", ""))
        most = schema.get("maxLength")
        return form or (f"text up to {most}" if most else "text")
    return {"boolean": "true or false", "null": "null"}.get(str(kind), "anything")


def _object(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> str:
    if depth >= DEEPEST:
        return "{…}"
    needed = schema.get("required", [])
    indent = "  " * (depth + 1)
    lines = [
        f'{indent}"{name}"{"" if name in needed else "?"}: {shape(document, one, depth + 1)}'
        for name, one in schema["properties"].items()
    ]
    return "{\n" + ",\n".join(lines) + "\n" + "  " * depth + "}"


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference names."""
    while "$ref" in schema:
        found: Any = document
        for part in _path(schema["$ref"]):
            found = found[part]
        schema = found
    return schema


def _path(reference_: str) -> Iterator[str]:
    yield from reference_.removeprefix("#/").split("/")
