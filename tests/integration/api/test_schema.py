"""The OpenAPI document is true: whatever fits it, or does not, is answered as it says, and never with a 5xx."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.core.result import Ok

from ops.http.api.app import make_api
from tests.fixtures.world import World
from tests.integration.api.conftest import Api, fill

SCHEMA = schemathesis.openapi.from_dict(make_api().openapi())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}
# What these are is settled elsewhere: a tenant that is gone would leave nothing to look at.
TRUE = {
    "slug": "acme",
    "batch": "last",
    "number": 1,
    "internal_id": "80",
    "event_id": "340",
    "run": "last",
    "hold": "last",
    "letter": "last",
}


def _takes_something(operation: Any) -> bool:
    return bool(operation.body or operation.query or operation.path_parameters)


KEPT = tuple(
    getattr(checks, name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
)


TRIED = [(label, GenerationMode.POSITIVE) for label in OPERATIONS]
TRIED += [(label, GenerationMode.NEGATIVE) for label, one in OPERATIONS.items() if _takes_something(one)]


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_it_answers_as_described(api: Api, shared_world: World, label: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[label]

    @given(case=operation.as_strategy(generation_mode=mode), there=st.booleans())
    @settings(
        max_examples=6,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def asked(case: Any, there: bool) -> None:
        if there:
            case.path_parameters.update({name: TRUE[name] for name in case.path_parameters if name in TRUE})
        case.call_and_validate(base_url=f"{api.url}/api", checks=KEPT, headers={"Origin": api.url})

    asked()
    if api("GET", "/tenants/acme").status_code != 200:
        fill(shared_world)


def test_every_number_is_bounded_and_every_text_has_an_end() -> None:
    loose = []
    for path, methods in SCHEMA.raw_schema["paths"].items():
        for method, operation in methods.items():
            given_ = [one["schema"] | {"name": one["name"]} for one in operation.get("parameters", [])]
            loose += [f"{method} {path}: {one['name']}" for one in given_ if not _bounded(one)]
    for name, model in SCHEMA.raw_schema["components"]["schemas"].items():
        if model.get("additionalProperties") is False:  # a body
            loose += [f"{name}.{key}" for key, one in model["properties"].items() if not _bounded(one)]
    assert loose == []


def _bounded(schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return all(_bounded(one) for one in schema["anyOf"])
    if schema.keys() & {"enum", "const", "$ref", "format"}:
        return True
    match schema.get("type"):
        case "string":
            return "maxLength" in schema
        case "integer" | "number":
            return bool(schema.keys() & {"minimum", "exclusiveMinimum"} and schema.keys() & {"maximum"})
        case "array":
            return "maxItems" in schema and _bounded(schema["items"])
    return True
