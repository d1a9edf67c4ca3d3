"""The columns of a GetConnector as AFAS shows them now, with a proposal of what is what, ready to be pasted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlmodel import select
from typing_extensions import TypedDict

from clients.afas import AfasClient, Field, MetaInfo
from clients.errors import Misconfigured, RemoteError
from models.course import Course
from models.session import session
from ops import lookup
from ops.language import Language, Words, say
from ops.problems import Problem
from ops.tenants.check_findings import fit, refused
from ops.tenants.fields import WORDS, Proposal, completion_fields, masked, propose
from ops.tenants.nearest import nearest
from tenancy.systems import systems_of

SAMPLE_ROWS = 20
UPDATE_CONNECTOR = "KnCourseMember"


class ColumnShown(TypedDict):
    """A column of the GetConnector; ``example`` is masked."""

    column: str
    field: str | None
    type: str
    label: str
    example: str


class ProposalShown(TypedDict):
    """Which column would be what, and why: a code and a sentence."""

    name: str
    column: str
    reason: str
    because: str


class CompletionField(TypedDict):
    """A field of AFAS that can take the day."""

    field: str
    label: str
    type: str
    length: int | None


class FieldsDocument(TypedDict):
    """``missing``: what is needed and no column was found for, such as ``external_id``."""

    tenant: str
    connector: str
    columns: list[ColumnShown]
    proposal: list[ProposalShown]
    missing: list[str]
    updateconnector: str | None
    completion_fields: list[CompletionField]
    toml: str


def show_fields(slug: str, connector: str | None = None, *, language: Language = "en") -> FieldsDocument:
    """Ask AFAS for columns and some rows."""
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        courses = list(opened.exec(select(Course).where(Course.tenant_id == tenant.id, Course.active)))
    try:
        afas = systems_of(tenant, patience_seconds=30.0).afas
        meta = afas.metainfo()
        used = sorted({course.getconnector for course in courses})
        name = _chosen(connector or (used[0] if len(used) == 1 else None), meta, language)
        columns = afas.get_connector_fields(name)
        rows = sample_rows(afas, name, columns)
        update = next((course.updateconnector for course in courses), UPDATE_CONNECTOR)
        targets = afas.update_connector_fields(update) if update in meta.update_connectors else None
    except RemoteError as error:
        found = refused("fields", error).document(language)
        raise Problem(
            "system_refused", language=language, error=found["code"], cause=found["cause"], action=found["action"]
        ) from None
    except ValueError:
        raise Problem("wrong_credentials", language=language) from None
    proposal = propose(columns, rows)
    shown = next((one.column for one in proposal if one.name == "completion"), None)
    able = completion_fields(targets or [], next((one for one in columns if one.id == shown), None))
    missing = [word for word, one in WORDS.items() if one.required and word not in {each.name for each in proposal}]
    return {
        "tenant": slug,
        "connector": name,
        "columns": [
            {
                "column": one.id,
                "field": one.field_id,
                "type": one.data_type,
                "label": one.label,
                "example": example(one.id, rows),
            }
            for one in columns
        ],
        "proposal": [
            {"name": one.name, "column": one.column, "reason": one.why, "because": because(one, language)}
            for one in proposal
        ],
        "missing": missing,
        "updateconnector": update if targets is not None else None,
        "completion_fields": [
            {"field": one.id, "label": one.label, "type": one.data_type, "length": one.length} for one in able
        ],
        "toml": "\n".join(_toml(name, proposal, missing, able, language)) + "\n",
    }


def _chosen(wanted: str | None, meta: MetaInfo, language: Language) -> str:
    """The connector meant, if it is open; the only one there is when none is named."""
    open_ones = meta.get_connectors
    if wanted is None:
        if len(open_ones) == 1:
            return next(iter(open_ones))
        raise Problem("choose_connector", language=language, listed=_listed(sorted(open_ones)))
    if wanted in open_ones:
        return wanted
    near = nearest(wanted, open_ones)
    if near:
        raise Problem("nearest_connector", language=language, name=wanted, near=fit(", ".join(near)))
    raise Problem("connector_not_open", language=language, name=wanted, listed=_listed(sorted(open_ones)))


def _listed(names: Sequence[str]) -> str | Words:
    return fit(", ".join(names)) or Words("none")


def sample_rows(afas: AfasClient, connector: str, columns: Sequence[Field]) -> list[dict[str, Any]]:
    """Some rows, in the order of whatever AFAS can order by; none is no trouble."""
    ids = {one.name: one.column for one in propose(columns) if one.name in ("event_id", "internal_id")}
    order = list(ids.values()) or [one.id for one in columns][:1]
    try:
        return afas.rows(connector, take=SAMPLE_ROWS, order_by=order) if order else []
    except Misconfigured:  # a column that AFAS can show and not order by
        return []


def example(column: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The first value of a column, made unrecognisable; nothing where no row has one."""
    return next((masked(row[column]) for row in rows if row.get(column) not in (None, "")), "")


def because(one: Proposal, language: Language) -> str:
    """Why a column is proposed."""
    return say(f"fields.{one.why}", language, label=one.label or one.column)


def _toml(
    connector: str, proposal: Sequence[Proposal], missing: Sequence[str], able: Sequence[Field], language: Language
) -> Iterator[str]:
    yield f"getconnector = {_quoted(connector)}"
    if able:
        yield f"completion_field = {_quoted(able[0].id)}  # {_one_line(able[0].label)}"
    yield "[tenants.courses.fields]"
    for one in proposal:
        yield f"{one.name} = {_quoted(one.column)}  # {_one_line(because(one, language))}"
    for name in missing:
        yield f'# {name} = ""  {say("fields.missing", language)}'


def _quoted(text: str) -> str:
    """A text as TOML has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped) + '"'


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)
