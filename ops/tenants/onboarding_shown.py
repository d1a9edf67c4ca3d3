"""What a page shows beside the questions about columns: what is in them, and why which one is proposed.

Asked of AFAS each time and never kept: examples are of people, however unrecognisable.
"""

from __future__ import annotations

from typing import TypedDict

from clients.errors import RemoteError
from ops.language import Language
from ops.tenants.fields import propose
from ops.tenants.onboarding import Draft
from ops.tenants.onboarding_trials import afas_client
from ops.tenants.show_fields import because, example, sample_rows


class Column(TypedDict):
    """A column of the GetConnector; ``example`` is masked, and empty where there is none."""

    column: str
    label: str
    type: str
    example: str


class Columns(TypedDict):
    """``because``: our word → why a column is proposed for it. ``answered``: whether AFAS gave rows."""

    columns: list[Column]
    because: dict[str, str]
    answered: bool


def columns(draft: Draft, language: Language) -> Columns:
    """The columns of the draft's GetConnector; without examples and reasons where AFAS does not answer."""
    try:
        afas = afas_client(draft)
        fields = afas.get_connector_fields(draft.answers["getconnector"])
        rows = sample_rows(afas, draft.answers["getconnector"], fields)
    except RemoteError:
        known: list[Column] = [
            {"column": one["id"], "label": one["label"], "type": one["type"], "example": ""}
            for one in draft.facts.get("columns", ())
        ]
        return {"columns": known, "because": {}, "answered": False}
    return {
        "columns": [
            {"column": one.id, "label": one.label, "type": one.data_type, "example": example(one.id, rows)}
            for one in fields
        ],
        "because": {one.name: because(one, language) for one in propose(fields, rows)},
        "answered": True,
    }
