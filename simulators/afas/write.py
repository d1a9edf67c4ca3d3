"""PUT to KnCourseMember: change fields of enrollments, all of one body or none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from simulators.afas.answers import refusal
from simulators.afas.tenant import AfasTenant, Row, amsterdam_now
from simulators.core.http_messages import Answer, Request, json_answer

STANDARD_FIELDS = frozenset({"BcCo", "SuDa", "Invo", "CuId", "DeId", "DfPr", "NFPr", "DiPc", "Rm", "RfCs", "Bl"})
A_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(T\d\d:\d\d:\d\d)?")


class NotWritten(Exception):
    """The whole body is refused; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer."""
        super().__init__(answer.status)
        self.answer = answer


def put(tenant: AfasTenant, name: str, request: Request) -> Answer:
    """Change the enrollments a body names; answers as ``switches.put_answer`` says."""
    try:
        changed = [_changed(tenant, element) for element in _elements(name, request)]
    except NotWritten as refused:
        return refused.answer
    stamp = amsterdam_now()
    for row in changed:
        tenant.rows[row.key] = replace(row, modified=stamp, writes=row.writes + 1)
    if tenant.switches.put_answer == "201-results":
        keys = [{"CrId": str(row.event_id), "CdId": str(row.internal_id)} for row in changed]
        return json_answer({"results": {name: keys[0] if len(keys) == 1 else keys}}, 201)
    return Answer(200 if tenant.switches.put_answer == "200-empty" else 201)


def _elements(name: str, request: Request) -> list[dict[str, Any]]:
    """Read the body; without a declared UTF-8 everything beyond ASCII has become a question mark, as in AFAS."""
    utf8 = re.search(r"charset\s*=\s*\"?utf-8", request.headers.get("content-type", ""), re.IGNORECASE)
    try:
        text = request.body.decode() if utf8 else request.body.decode("ascii", "replace").replace("\ufffd", "?")
        content = json.loads(text)
    except ValueError as error:
        raise NotWritten(json_answer({"message": "Invalid json"}, 400)) from error
    try:
        elements = content[name]["Element"]
    except (KeyError, TypeError) as error:
        raise NotWritten(json_answer({"message": f"Element '{name}' ontbreekt"}, 400)) from error
    elements = elements if isinstance(elements, list) else [elements]
    if not elements or not all(isinstance(each, dict) for each in elements):
        raise NotWritten(json_answer({"message": "Element ontbreekt"}, 400))
    return elements


def _changed(tenant: AfasTenant, element: dict[str, Any]) -> Row:
    """Give the enrollment as it will be; raises NotWritten."""
    row = _enrollment(tenant, element)
    given = element.get("Fields", {})
    _check_external_id(tenant, row, given)
    if row.blocked and tenant.switches.refuses_blocked:
        raise _refused("De deelnemer is geblokkeerd en kan niet worden gewijzigd.")
    free, other = dict(row.free), dict(row.other)
    for code, value in given.items():
        if code == "BcCo":
            continue
        if code in tenant.free_fields:
            free[code] = _checked(tenant, code, value)
        elif code in STANDARD_FIELDS:
            other[code] = value
        else:
            raise _refused(f"Het veld '{code}' is onbekend.")
    return replace(row, free=free, other=other)


def _enrollment(tenant: AfasTenant, element: dict[str, Any]) -> Row:
    """Find the enrollment by its two keys, which come as text or as numbers."""
    keys = []
    for name, label in (("@CrId", "Evenement"), ("@CdId", "Cursist")):
        if element.get(name) in (None, ""):
            raise _refused(f"Veld '{label}' is verplicht.")
        if not str(element[name]).isdecimal():
            raise _refused(f"De ingevulde waarde bij '{label}' is ongeldig.")
        keys.append(int(element[name]))
    row = tenant.rows.get((keys[0], keys[1]))
    if row is None:
        raise _refused("De combinatie van evenement en cursist bestaat niet.")
    return row


def _check_external_id(tenant: AfasTenant, row: Row, given: dict[str, Any]) -> None:
    if "BcCo" not in given:
        if tenant.switches.requires_external_id:
            raise _refused("Veld 'Organisatie/persoon' is verplicht.")
    elif str(given["BcCo"]) != (row.external_id or ""):
        raise _refused("De ingevulde waarde bij 'Organisatie/persoon' bestaat niet.")


def _checked(tenant: AfasTenant, code: str, value: Any) -> str | None:
    """Check one free field's value; an empty text clears the field."""
    if value in (None, ""):
        return None
    field, text = tenant.free_fields[code], str(value)
    if field.data_type == "date":
        if not A_DATE.fullmatch(text):
            raise _refused(f"De ingevulde waarde bij '{field.label}' is geen datum.")
        return text[:10]
    if field.data_type == "string" and len(text) > field.length:
        raise _refused(f"De ingevulde waarde bij '{field.label}' is te lang.")
    return text


def _refused(message: str) -> NotWritten:
    return NotWritten(refusal(message))
