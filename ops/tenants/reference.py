"""Every key of the tenants file: its kind, default and range from the classes that validate it, and what it means.

``example()`` is a whole file with all of them, ``markdown()`` the tables of docs/tenants-file.md.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from models.blackouts import WEEK
from ops.tenants import file_spec
from ops.tenants.toml_text import value
from settings import format_duration

FIELD = "UC3B61455480EEFAFE78EBC831C6E1B30"
RULES_NEED = ("getconnector", "event_id", "internal_id", "external_id", "name", "email_primary")
# key: what it means, and a value that it may have where it has no default. None: the example leaves it out.
WORDS: dict[str, tuple[str, Any]] = {
    "tenants": ("One table for each customer.", None),
    "tenants.slug": ("The customer's short name, in commands and addresses. It never changes.", "acme"),
    "tenants.name": ("The customer's name, for people.", "Acme Opleidingen"),
    "tenants.timezone": ("Where the customer's days and nights are.", None),
    "tenants.interval": ("How often each direction runs.", None),
    "tenants.blackout": (
        "Hours in which no run begins by itself. A person's own begins; one that runs goes on.",
        None,
    ),
    "tenants.blackout.days": ("The days on which they begin.", ["mon", "fri"]),
    "tenants.blackout.hours": (
        "In the customer's time zone, over midnight too; `00:00-24:00` is a whole day.",
        "08:00-17:30",
    ),
    "tenants.courses": ("One table for each AFAS event that is linked.", None),
    "tenants.course_defaults": ("What courses and rules share. A course's own value wins, key by key.", None),
    "tenants.course_rules": ("Links events without a block each. The first rule that covers an event counts.", None),
    "tenants.course_rules.events": ("Which events it links, of those that the GetConnector gives.", ["400-499"]),
    "tenants.course_rules.offer_event_ref": (
        "The ref of an offer event, with `{event_id}` or the name of a column in it. Either this or `group_ref`.",
        "afas-{event_id}",
    ),
    "tenants.course_rules.group_ref": ("The ref of a group, likewise.", None),
    "tenants.course_rules.completion_title": (
        "What has to be completed, likewise: `{Cursusnaam}`. Needs `completion_field` in the defaults.",
        None,
    ),
    "tenants.afas": ("The AFAS environment.", None),
    "tenants.afas.member_id": ("Also taken: `O12345AA`, `12345.user`, a pasted AFAS address.", "12345"),
    "tenants.afas.environment": ("`test` and `accept` are copies: nobody is ever invited from them.", None),
    "tenants.afas.auth": ("`oauth`: client credentials. `token`: a classic token, which ends in 2027.", None),
    "tenants.afas.client_id": ('Needed with `auth = "oauth"`: of the app connector in AFAS.', "0a1b2c3d"),
    "tenants.afas.client_secret": (
        'Needed with `auth = "oauth"`. Left out: what is stored for this address is kept.',
        "the client's secret",
    ),
    "tenants.afas.token": (
        'With `auth = "token"`: all of `<token>…</token>`, its 64 characters, or its base64 form. '
        "`koppeling token` makes one.",
        None,
    ),
    "tenants.afas.secret_ends": ("The last day of the client's secret, if AFAS named one: `check` warns before.", None),
    "tenants.afas.parallel_calls": ("Calls in flight to this environment, all machines together.", None),
    "tenants.afas.base_url": (
        "Another address than AFAS's own: `/connectors/…`, `/metainfo…` and `/oauth/token` are appended.",
        None,
    ),
    "tenants.pluvo": ("The Pluvo organisation.", None),
    "tenants.pluvo.organisation": ("The first part of its address: `acme` of `https://acme.pluvo.com`.", "acme"),
    "tenants.pluvo.client_id": ("Of the API client in Pluvo.", "4e5f6a7b"),
    "tenants.pluvo.client_secret": (
        "Needed, of the same client. Left out: what is stored for this address is kept.",
        "the client's secret",
    ),
    "tenants.pluvo.webhook_secret": (
        'What Pluvo signs its webhooks with. `""` takes a stored one away.',
        "the webhook's secret",
    ),
    "tenants.pluvo.calls_per_second": ("All machines together; `0` is no limit of our own.", None),
    "tenants.pluvo.people_per_call": ("How many people may share one call (operations.md).", None),
    "tenants.pluvo.other_name": (
        "Where an address leads to an account with clearly another name: linked, or left to you to decide.",
        None,
    ),
    "tenants.pluvo.base_url": ("Another address than Pluvo's own: `/graphql/` and `/oauth/token/` are appended.", None),
    "tenants.removals": ("What happens to people who are gone from an AFAS event.", None),
    "tenants.removals.policy": ("What is done about them; `unenroll_and_archive` archives accounts made by us.", None),
    "tenants.removals.confirm_after": (
        "Absent in two complete snapshots at least this far apart; `0s` acts on the first.",
        None,
    ),
    "tenants.removals.limits": ("A guard holds back above the larger of a count and a percentage.", None),
    "tenants.removals.limits.event_count": ("Removals of one event in one run.", None),
    "tenants.removals.limits.event_percent": ("The same, of the people in that event.", None),
    "tenants.removals.limits.run_count": ("Removals of all events in one run.", None),
    "tenants.removals.limits.run_percent": ("The same, of the people in all events.", None),
    "tenants.removals.limits.window_count": ("Removals within seven days.", None),
    "tenants.removals.limits.window_percent": ("The same, of the people in all events.", None),
    "tenants.removals.limits.creates_count": ("New accounts in one run.", None),
    "tenants.removals.limits.creates_percent": ("The same, of the people in all events.", None),
    "tenants.removals.limits.email_changes_count": ("Changed addresses in one run.", None),
    "tenants.removals.limits.email_changes_percent": ("The same, of the people in all events.", None),
    "tenants.alerts": ("Who is told of this customer's alerts, besides those who run the installation.", None),
    "tenants.alerts.mail": ("To whom they are mailed, each in a mail of its own.", None),
    "tenants.alerts.webhook": ("Gets them as a signed POST; https, and no private address.", None),
    "tenants.alerts.webhook_secret": (
        'What that POST is signed with; needed with `webhook`. `""` takes a stored one away.',
        None,
    ),
    "tenants.alerts.language": ("Of these mails.", None),
    "tenants.alerts.quiet": (
        "Hours of the customer's day in which nobody is mailed; what came up is mailed at their end.",
        "22:00-07:00",
    ),
    "tenants.alerts.digest": ("Whether a mail at seven tells what needs a person; none where nothing does.", None),
    "tenants.alerts.quality_mail": (
        "Who gets what is to be put right in AFAS, each Monday as a CSV file: ids, no names or addresses.",
        None,
    ),
    "tenants.courses.event_id": ("The number of the event in AFAS (CrId), between quotes.", "340"),
    "tenants.courses.getconnector": (
        "The name of the GetConnector, not its description.",
        "Deelnemer_per_cursusevenement",
    ),
    "tenants.courses.updateconnector": ("What the date is written with.", None),
    "tenants.courses.completion_field": (
        "The code of the AFAS field that gets the date. Goes together with `completion_title`.",
        FIELD,
    ),
    "tenants.courses.completion_type": ("The field's kind; asked of AFAS where it is left out.", "date"),
    "tenants.courses.completion_format": ("How a text field has the date.", None),
    "tenants.courses.fields": ("Our word = the name that the AFAS administrator gave the column.", None),
    "tenants.courses.fields.event_id": ("The event's number (CrId).", "CrId"),
    "tenants.courses.fields.internal_id": ("The contact's number (CdId).", "Intern_ID"),
    "tenants.courses.fields.external_id": ("The code of organisation or person (BcCo).", "Extern_ID"),
    "tenants.courses.fields.name": ("The person's whole name.", "Naam"),
    "tenants.courses.fields.email_primary": ("The address of their account.", "Email_werk"),
    "tenants.courses.fields.email_secondary": ("Used where the first one is empty.", "Email_prive"),
    "tenants.courses.fields.completion": ("Shows what `completion_field` holds.", "Voltooid_op"),
    "tenants.courses.fields.modified": ("When the enrollment changed.", "Gewijzigd"),
    "tenants.courses.fields.start": ("First day: before it nobody is enrolled.", "Begindatum"),
    "tenants.courses.fields.end": ("Last day: after it nobody is enrolled any more.", "Einddatum"),
    "tenants.courses.fields.blocked": ("Whether the enrollment is blocked in AFAS.", "Geblokkeerd"),
    "tenants.courses.pluvo": ("Where its people are enrolled, and whose completion is written back.", None),
    "tenants.courses.pluvo.offer_event_ref": ("The ref of an offer event. Either this or `group_ref`.", "afas-340"),
    "tenants.courses.pluvo.group_ref": ("The ref of a group.", None),
    "tenants.courses.pluvo.send_invite": (
        "Whether Pluvo invites new people by mail; never from a test environment.",
        None,
    ),
    "tenants.courses.pluvo.completion_level": ("What has to be completed.", None),
    "tenants.courses.pluvo.completion_title": ("Its title in Pluvo, letter by letter.", "BHV basis"),
    "tenants.courses.completions": ("More completions of the same course, one table each.", None),
    "tenants.courses.completions.level": ("What has to be completed.", None),
    "tenants.courses.completions.title": ("Its title in Pluvo, letter by letter.", "BHV module 2"),
    "tenants.courses.completions.field": (
        "The code of the AFAS field that gets the date.",
        "U0123456789ABCDEF0123456789ABCDEF",
    ),
    "tenants.courses.completions.type": ("The field's kind; asked of AFAS where it is left out.", "date"),
    "tenants.courses.completions.format": ("How a text field has the date.", None),
    "tenants.courses.completions.column": ("The GetConnector's column that shows the field.", "Module_2_op"),
}
# In these the example has only what rules need.
DEFAULTS = "tenants.course_defaults"
WORDS |= {
    path.replace("tenants.courses", DEFAULTS): (words, given if path.rpartition(".")[2] in RULES_NEED else None)
    for path, (words, given) in WORDS.items()
    if path.startswith("tenants.courses.") and path != "tenants.courses.event_id"
}
_KINDS = {
    "tenants.alerts.mail": "list of at most 20 addresses",
    "tenants.alerts.quality_mail": "list of at most 20 addresses",
    "tenants.blackout.days": "list of " + ", ".join(f"`{day}`" for day in WEEK),
    "tenants.blackout.hours": "hours such as `08:00-17:30`",
    "tenants.alerts.quiet": "hours such as `22:00-07:00`",
    "tenants.afas.secret_ends": 'day such as `"2027-05-01"`',
    "tenants.course_rules.events": '`"all"`, or a list of ids and ranges',
}
_DURATIONS = {"interval": file_spec.INTERVAL, "confirm_after": file_spec.CONFIRM_AFTER}


@dataclass(frozen=True)
class Key:
    """A key, or a table with its keys. ``array``: there may be many of it."""

    path: str
    kind: str
    needed: bool
    default: str
    keys: tuple[Key, ...] = ()
    array: bool = False

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]

    @property
    def words(self) -> str:
        """What it means."""
        return WORDS[self.path][0]


def keys(model: type[BaseModel] = file_spec.File, path: str = "") -> tuple[Key, ...]:
    """The keys of a class: plain ones first, as TOML wants them."""
    found = [_key(f"{path}.{name}".lstrip("."), field) for name, field in model.model_fields.items()]
    return tuple(sorted(found, key=lambda key: bool(key.keys)))


def all_keys(under: tuple[Key, ...] | None = None) -> Iterator[Key]:
    """Every key and table, each before what is in it."""
    for key in keys() if under is None else under:
        yield key
        yield from all_keys(key.keys)


def _key(path: str, field: FieldInfo) -> Key:
    name = path.rpartition(".")[2]
    inner = next(
        (one for one in _parts(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)), None
    )
    if inner:
        array = _is_array(field.annotation)
        return Key(path, "tables" if array else "table", field.is_required(), "", keys(inner, path), array)
    default = field.default
    if default is None or default is PydanticUndefined:
        shown = ""
    else:
        shown = value(format_duration(default) if name in _DURATIONS else default)
    if name in _DURATIONS:
        kind = "{} to {}".format(*_DURATIONS[name])
    else:
        kind = _KINDS.get(path) or _kind(field.annotation, [one for part in field.metadata for one in _flat(part)])
    return Key(path, kind, field.is_required(), shown)


def _is_array(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return origin in (tuple, list) or (origin in (Union, types.UnionType) and any(map(_is_array, get_args(annotation))))


def _flat(part: Any) -> list[Any]:
    """The limits in one piece of metadata: pydantic keeps those of a field in a field."""
    return list(part.metadata) if isinstance(part, FieldInfo) else [part]


def _parts(annotation: Any) -> Iterator[Any]:
    """The types in an annotation, without Annotated, unions and arrays."""
    if get_origin(annotation) is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType, tuple, list):
        for one in get_args(annotation):
            yield from _parts(one)
    elif annotation not in (type(None), Ellipsis):
        yield annotation


def _metadata(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        inner, *pieces = get_args(annotation)
        yield from _metadata(inner)
        for piece in pieces:
            yield from _flat(piece)
    elif get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _metadata(one)


def _kind(annotation: Any, limits: list[Any]) -> str:
    limits = [*_metadata(annotation), *limits]
    if any(getattr(one, "func", None) is file_spec.read_secret for one in limits):
        return "secret"
    choices = [choice for one in _parts(annotation) if get_origin(one) is Literal for choice in get_args(one) if choice]
    if choices:
        return " or ".join(f"`{choice}`" for choice in choices)
    least = next((one.ge for one in limits if getattr(one, "ge", None) is not None), None)
    most = next((one.le for one in limits if getattr(one, "le", None) is not None), None)
    plain = next(_parts(annotation))
    words = {bool: "`true` or `false`", int: "whole number", float: "number"}.get(plain, "text")
    if least is not None and most is not None:
        words += f", {least:,} to {most:,}"
    pattern = next((one.pattern for one in limits if getattr(one, "pattern", None)), None)
    return f"{words}, letters, digits and underscores" if pattern else words


def example() -> str:
    """A whole tenants file with every key; what has a default stands with it."""
    lines = ["# Every key there is. Those behind a # are left out here; those that are needed say so."]
    for key in keys():
        lines += _example(key)
    return "\n".join(lines) + "\n"


def _example(table: Key) -> Iterator[str]:
    yield ""
    yield f"# {table.words}"
    yield f"[[{table.path}]]" if table.array else f"[{table.path}]"
    for key in (one for one in table.keys if not one.keys):
        given = WORDS[key.path][1]
        text = key.default or (value(given) if given is not None else '"…"')
        line = f"{key.name} = {text}"
        told = f"{'needed; ' if key.needed else ''}{key.kind}. {key.words}".replace("`", "")
        yield f"# {told}"
        yield line if key.default or given is not None else f"# {line}"
    for key in (one for one in table.keys if one.keys):
        # What stands in an array of the defaults would be in every course of the example.
        out = key.array and table.path == DEFAULTS
        yield from (f"# {line}" if out and line and line[0] != "#" else line for line in _example(key))


def markdown() -> str:
    """The tables of every key."""
    parts = []
    for table in (key for key in all_keys() if key.keys):
        head = f"[[{table.path}]]" if table.array else f"[{table.path}]"
        rows = [
            f"| `{key.name}` | {key.kind} | {'**needed**' if key.needed else _default(key)} | {key.words} |"
            for key in table.keys
            if not key.keys
        ]
        parts.append(
            f"## `{head}`\n\n{table.words}\n\n| key | kind | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)
        )
    return "\n\n".join(parts) + "\n"


def _default(key: Key) -> str:
    return f"`{key.default}`" if key.default else "none"
