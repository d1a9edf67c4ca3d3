"""What Pluvo may do with several root fields in one document: refuse the whole, or tell badly which of them failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo

from simulators.core.http_messages import Answer, Request, json_answer
from simulators.pluvo.switches import Refusal, Switches


def refused(switches: Switches, fields: tuple[str, ...], request: Request) -> Answer | None:
    """Refuse a document that is too large or too complex, or repeats a root field; nothing of it is done."""
    if switches.max_body_bytes is not None and len(request.body) > switches.max_body_bytes:
        return Answer(413, b"<html>Request Entity Too Large</html>", {"content-type": "text/html"})
    if switches.max_root_fields is not None and len(fields) > switches.max_root_fields:
        return _refusal(f"Query has complexity of {len(fields)}, which exceeds max of {switches.max_root_fields}")
    if not switches.repeats_fields and len(set(fields)) < len(fields):
        return _refusal("There can be only one field of a name in an operation")
    return None


def refuse_values(switches: Switches) -> Callable[..., Any]:
    """Make what stands before each resolver: a root field that is given a refused value fails."""

    def resolve(following: Callable[..., Any], root: Any, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
        if info.path.prev is None:
            for value in switches.refused_values:
                if _holds(args, value):
                    raise Refusal("ValidationError", f"{value} is not welcome here")
        return following(root, info, **args)

    return resolve


def told(switches: Switches, data: dict[str, Any] | None, errors: list[GraphQLError]) -> dict[str, Any]:
    """Write the answer: with or without paths, and with or without what went well beside an error."""
    if not errors:
        return {"data": data}
    written = [dict(error.formatted) for error in errors]
    if not switches.error_paths:
        written = [{key: value for key, value in each.items() if key != "path"} for each in written]
    return {"data": None if switches.null_spoils else data, "errors": written}


def _refusal(text: str) -> Answer:
    return json_answer({"errors": [{"message": text}], "data": None}, 400)


def _holds(value: Any, wanted: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, wanted) for each in value.values())
    return any(_holds(each, wanted) for each in value) if isinstance(value, list) else value == wanted
