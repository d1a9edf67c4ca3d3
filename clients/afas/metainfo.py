"""Read what AFAS tells about itself: environment, connectors, fields. Lenient: versions differ in the details."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class MetaInfo:
    """What a token may do. ``token_expiry`` is as AFAS writes it; "0" means that the token does not end."""

    envid: str
    app_name: str
    token_expiry: str
    get_connectors: Mapping[str, str]
    update_connectors: Mapping[str, str]

    @property
    def token_ends_at(self) -> datetime | None:
        """The end of the token when it has one in a form we know. The form is a guess: docs/afas.md#credentials."""
        if not self.token_expiry.strip("0 "):
            return None
        try:
            if self.token_expiry.isdecimal():
                return datetime.fromtimestamp(int(self.token_expiry), UTC)
            ends_at = datetime.fromisoformat(self.token_expiry)
        except (ValueError, OverflowError, OSError):
            return None
        return ends_at.replace(tzinfo=ends_at.tzinfo or UTC)


@dataclass(frozen=True)
class Field:
    """One field. ``id`` is the name used in rows, filters and writes; ``field_id`` AFAS's internal name.

    ``data_type``: string, int, boolean, date, decimal, blob; anything else is to be taken as text. ``values``: the
    (id, description) pairs a field is bound to.
    """

    id: str
    field_id: str
    data_type: str
    label: str
    length: int
    control_type: int
    primary_key: bool = False
    mandatory: bool = False
    values: tuple[tuple[str, str], ...] = ()


def read_metainfo(body: Mapping[str, Any]) -> MetaInfo:
    """Read the answer of ``/metainfo``."""
    found = body.get("info")
    info: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    return MetaInfo(
        envid=_text(info.get("envid")),
        app_name=_text(info.get("appName")),
        token_expiry=_text(info.get("tokenExpiry")),
        get_connectors=_connectors(body.get("getConnectors")),
        update_connectors=_connectors(body.get("updateConnectors")),
    )


def read_fields(body: Mapping[str, Any]) -> list[Field]:
    """Read the fields of a connector itself; those of objects inside it are another matter."""
    return [_field(item) for item in _objects(body.get("fields"))]


def _field(item: Mapping[str, Any]) -> Field:
    field_id = _text(item.get("fieldId"))
    return Field(
        id=_text(item.get("id")) or field_id,
        field_id=field_id,
        data_type=_text(item.get("dataType")).lower(),
        label=_text(item.get("label")),
        length=_number(item.get("length")),
        control_type=_number(item.get("controlType")),
        primary_key=_truth(item.get("primaryKey")),
        mandatory=_truth(item.get("mandatory")),
        values=tuple((_text(one.get("id")), _text(one.get("description"))) for one in _objects(item.get("values"))),
    )


def _connectors(value: object) -> dict[str, str]:
    return {_text(one["id"]): _text(one.get("description")) for one in _objects(value) if one.get("id")}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _number(value: object) -> int:
    text = _text(value)
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _truth(value: object) -> bool:
    """Read a boolean, which also comes as text."""
    return _text(value).lower() in {"true", "1", "-1"}
