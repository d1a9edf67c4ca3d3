"""What AFAS tells about itself: the environment, the connectors this token may use, their fields."""

from __future__ import annotations

from typing import Any

from simulators.afas.tenant import AfasTenant, Connector

GET_TYPES = {
    "event_id": ("int", "Evenement-id", 10, "CrId"),
    "internal_id": ("int", "Contact", 10, "CdId"),
    "external_id": ("string", "Organisatie/persoon (code)", 15, "BcCo"),
    "name": ("string", "Naam", 255, "Nm"),
    "email_primary": ("string", "E-mail werk", 255, "EmAd"),
    "email_secondary": ("string", "E-mail privé", 255, "EmA2"),
    "start": ("date", "Begindatum", 0, "DaBe"),
    "end": ("date", "Einddatum", 0, "DaEn"),
    "blocked": ("boolean", "Geblokkeerd", 0, "Bl"),
    "modified": ("date", "Gewijzigd op", 0, "UpDa"),
}
UPDATE_FIELDS = (
    ("CrId", "int", "Evenement", 10, True),
    ("CdId", "int", "Cursist", 10, True),
    ("BcCo", "string", "Organisatie/persoon", 15, False),
    ("SuDa", "date", "Datum aanmelding", 0, False),
    ("Rm", "string", "Opmerking", 0, False),
    ("Bl", "boolean", "Geblokkeerd", 0, False),
)


def overview(tenant: AfasTenant) -> dict[str, Any]:
    """Show environment and connectors."""
    allowed = {name: each.description for name, each in tenant.connectors.items() if each.allowed}
    return {
        "updateConnectors": _listed(tenant.update_connectors),
        "getConnectors": _listed(allowed),
        "customConnectors": [],
        "info": {
            "envid": tenant.envid,
            "appName": tenant.app_name,
            "group": "Koppelingen",
            "tokenExpiry": tenant.token_expiry,
        },
    }


def get_connector(tenant: AfasTenant, name: str, connector: Connector) -> dict[str, Any]:
    """Show the columns of a GetConnector: ``id`` as the administrator named it, ``fieldId`` as AFAS does."""
    fields = [_column(tenant, column, source) for column, source in connector.columns.items()]
    return {"name": name, "description": connector.description, "fields": fields}


def update_connector(tenant: AfasTenant, name: str) -> dict[str, Any]:
    """Show the fields of an UpdateConnector, the customer's free fields among them."""
    fixed = [_field(code, kind, label, length, key=key) for code, kind, label, length, key in UPDATE_FIELDS]
    free = [
        _field(code, each.data_type, each.label, each.length, control=each.control_type, values=each.values)
        for code, each in tenant.free_fields.items()
    ]
    session = {
        "name": "KnCourseSessionMember",
        "fields": [_field("SeId", "int", "Sessie", 10, key=True)],
        "objects": [],
    }
    return {
        "id": name,
        "name": name,
        "description": tenant.update_connectors[name],
        "fields": fixed + free,
        "objects": [session],
    }


def _listed(connectors: dict[str, str]) -> list[dict[str, str]]:
    return [{"id": name, "description": description} for name, description in connectors.items()]


def _column(tenant: AfasTenant, column: str, source: str) -> dict[str, Any]:
    free = tenant.free_fields.get(source)
    if free is not None:
        data_type, label, length, field_id = free.data_type, free.label, free.length, source
    else:
        data_type, label, length, field_id = GET_TYPES.get(source, ("string", column, 255, source))
    return {
        "id": column,
        "fieldId": field_id,
        "dataType": data_type,
        "label": label,
        "length": length,
        "controlType": 1,
        "decimals": 0,
        "decimalsFieldId": "",
    }


def _field(
    code: str,
    data_type: str,
    label: str,
    length: int,
    *,
    key: bool = False,
    control: int = 1,
    values: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    return {
        "fieldId": code,
        "primaryKey": key,
        "dataType": data_type,
        "label": label,
        "mandatory": key,
        "length": length,
        "decimals": 0,
        "decimalFieldId": "",
        "notzero": False,
        "controlType": control,
        "values": values,
    }
