"""What is tried for each answer of an onboarding: the draft with what is known now, or Refused.

Only reading; what AFAS and Pluvo show of people is looked at and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from clients.afas import AfasClient, AfasOtp, Condition, Operator, parse_member_id
from clients.errors import AFAS, RemoteError
from clients.pluvo import PluvoClient
from models.afas_values import event_number
from models.base import utc_now
from models.course_settings import ALL, CourseRule
from models.folding import fold_space, fold_title
from models.tenant import Tenant
from models.translate import REPLACED
from ops.tenants import file_spec
from ops.tenants.fields import WORDS, completion_fields, propose
from ops.tenants.nearest import nearest
from ops.tenants.onboarding import CODE_AND_TOKEN, COURSE, LEFT_OUT, NEEDED_COLUMNS, Draft, Refused, systems
from producers.completions.rules import judge_title
from tenancy.systems import afas_address, afas_of, pluvo_of

Trial = Callable[[Draft, str], Draft]
PATIENCE_SECONDS = 30.0
LISTED_EVENTS = 20
UPDATE_CONNECTOR = "KnCourseMember"
# A system that is not there, or not ours: the address is to be given again.
_ADDRESS = ("connect_failed", "tls_failed", "not_found", "not_json", "no_token", "redirect", "insecure_url")
_PLACE_OF = {
    "afas": ("afas.member_id", "afas.environment", "afas.base_url"),
    "pluvo": ("pluvo.organisation", "pluvo.base_url"),
}
_KEYS_OF = {
    "afas": (
        *("afas.client_id", "afas.client_secret", "afas.secret_ends"),
        *CODE_AND_TOKEN,
    ),
    "pluvo": ("pluvo.client_id", "pluvo.client_secret"),
}
_REFUSES_KEYS = (
    *("token_refused", "client_refused", "wrong_environment", "credentials_refused", "auth_refused", "not_sendable"),
    *("scope_refused", "not_permitted"),
)
KNOWN_TYPES = ("int", "date", "datetime", "boolean", "decimal", "blob")


# ------------------------------------------------------------------------------------------------ reaching them


def tenant_of(draft: Draft) -> Tenant:
    """The tenant to be, as the clients want it; not to be stored."""
    if draft.tenant is not None:
        return draft.tenant
    given = systems(draft)
    context = {"folder": None, "allow_insecure_urls": True, "keep_secrets": True}
    made = Tenant(slug=draft.slug, name="", timezone="", interval_seconds=0)
    if "client_id" in given["afas"] or "token" in given["afas"]:
        afas = file_spec.Afas.model_validate(given["afas"], context=context)
        made.afas, made.afas_client_secret, made.afas_token = afas.stored(), afas.client_secret, afas.token
    if "client_id" in given["pluvo"]:
        pluvo = file_spec.Pluvo.model_validate(given["pluvo"], context=context)
        made.pluvo, made.pluvo_client_secret = pluvo.stored(), pluvo.client_secret
    return made


def afas_client(draft: Draft) -> AfasClient:
    """AFAS with the credentials of a draft."""
    return afas_of(tenant_of(draft), lambda call: None, PATIENCE_SECONDS)


def _pluvo(draft: Draft) -> PluvoClient:
    return pluvo_of(tenant_of(draft), lambda call: None, PATIENCE_SECONDS)


@contextmanager
def _called(system: str, *again: str) -> Iterator[None]:
    """Turn what a call meets into a refusal: another address, other keys, or the same once more."""
    try:
        yield
    except RemoteError as error:
        names = _PLACE_OF[system] if error.code in _ADDRESS and not again else again
        if error.code in _REFUSES_KEYS:
            names = _KEYS_OF[system]
        shown = {"system": "AFAS" if error.system == AFAS else "Pluvo", "said": error.remote_text}
        raise Refused(error.code, *names, **shown) from None


def member_id(draft: Draft, name: str) -> Draft:
    """Five digits, whatever form was pasted."""
    return draft.but(name, parse_member_id(draft.answers[name]))


def otp_tried(draft: Draft, name: str) -> Draft:
    """Have AFAS mail a code."""
    with _called("afas", "otp.api_key", "otp.environment_key", "otp.user"):
        keys = draft.secrets["otp.api_key"], draft.secrets["otp.environment_key"], draft.answers["otp.user"]
        _otp(draft).request_otp(*keys)
    return draft


def otp_code(draft: Draft, name: str) -> Draft:
    """Trade keys and code for a token, and forget them."""
    keys = draft.secrets["otp.api_key"], draft.secrets["otp.environment_key"], draft.answers["otp.user"]
    with _called("afas", "otp.tried", "otp.code"):
        token = _otp(draft).validate_otp(*keys, draft.secrets["otp.code"])
    kept = {one: value for one, value in draft.secrets.items() if not one.startswith("otp.")}
    return replace(draft, secrets=kept | {"afas.token": token}).but("afas.token", "set")


def _otp(draft: Draft) -> AfasOtp:
    given = systems(draft)["afas"] | {"auth": "token"}
    context = {"folder": None, "allow_insecure_urls": True}
    return AfasOtp(afas_address(file_spec.Afas.model_validate(given, context=context).stored()))


def afas_reached(draft: Draft, name: str) -> Draft:
    """Ask AFAS who it is: that the credentials work, and are of this environment."""
    with _called("afas"):
        found = afas_client(draft).metainfo()
    member = draft.answers["afas.member_id"]
    if member not in found.envid:
        both = *_PLACE_OF["afas"], *_KEYS_OF["afas"]
        raise Refused("environment_mismatch", *both, envid=found.envid, member_id=member)
    if (before := draft.facts.get("envid_before")) and before != found.envid:
        raise Refused("envid_changed", *_KEYS_OF["afas"], envid=found.envid, before=before)
    if found.token_ends_at and found.token_ends_at < utc_now():
        raise Refused("token_ended", *_KEYS_OF["afas"], day=f"{found.token_ends_at:%Y-%m-%d}")
    if not found.get_connectors:
        raise Refused("no_getconnectors")
    update = UPDATE_CONNECTOR if UPDATE_CONNECTOR in found.update_connectors else None
    return draft.know(envid=found.envid, getconnectors=dict(found.get_connectors), updateconnector=update)


def pluvo_reached(draft: Draft, name: str) -> Draft:
    """Ask Pluvo for a token, and which rights it has."""
    with _called("pluvo"):
        lacking = _pluvo(draft).missing_scopes()
    if lacking:
        raise Refused("scope_missing", scopes=", ".join(lacking))
    return draft


# ---------------------------------------------------------------------------------------------------- the rows


def getconnector(draft: Draft, name: str) -> Draft:
    """One that is open to these credentials, by its name; its columns, and what each may be."""
    wanted, listed = draft.answers[name], draft.facts["getconnectors"]
    if wanted not in listed:
        right = [one for one, description in listed.items() if description.strip().casefold() == wanted.casefold()]
        if right:
            raise Refused("connector_description", name, **{"name": wanted, "right": right[0]})
        raise Refused("connector_missing", name, **{"name": wanted, "listed": ", ".join(listed)})
    with _called("afas", name):
        fields = afas_client(draft).get_connector_fields(wanted)
    columns = [{"id": one.id, "field": one.field_id, "type": one.data_type, "label": one.label} for one in fields]
    return draft.know(columns=columns, proposed={one.name: one.column for one in propose(fields)})


def column(draft: Draft, name: str) -> Draft:
    """A column that is there, and of a type that fits."""
    wanted, key = draft.answers[name], name.removeprefix("fields.")
    if wanted == LEFT_OUT:
        return draft
    types = {one["id"]: one["type"] for one in draft.facts["columns"]}
    if wanted not in types:
        if near := nearest(wanted, {one["id"]: one["label"] for one in draft.facts["columns"]}):
            raise Refused("column_near", name, columns=wanted, near=", ".join(near))
        raise Refused("column_missing", name, columns=wanted, listed=", ".join(types))
    ids = ("event_id", "internal_id")
    if key in ids and any(wanted == draft.answers.get(f"fields.{other}") for other in ids if other != key):
        raise Refused("column_twice", name, columns=wanted)
    if key in ids and re.search(r"[.,;]", wanted):
        raise Refused("unusable_field", name)
    # A type that nobody knows is taken as text.
    if types[wanted] in KNOWN_TYPES and types[wanted] not in WORDS[key].types:
        raise Refused("column_type", name, columns=f"{wanted} ({types[wanted]})")
    return draft


def mapping_tried(draft: Draft, name: str) -> Draft:
    """Read some rows; learn which events there are, and which fields could take a date."""
    event, person = draft.answers["fields.event_id"], draft.answers["fields.internal_id"]
    connector = draft.answers["getconnector"]
    with _called("afas", *(f"fields.{key}" for key in ("event_id", "internal_id"))):
        client = afas_client(draft)
        rows = client.rows(connector, take=5, order_by=[event, person])
        if not rows:
            raise Refused("no_rows")
        for key in NEEDED_COLUMNS:
            shown = [row.get(draft.answers[f"fields.{key}"]) for row in rows]
            if any(value is not None and fold_space(value).casefold() == REPLACED for value in shown):
                raise Refused("column_replaced", f"fields.{key}", columns=draft.answers[f"fields.{key}"])
        if any(event_number(row.get(event)) is None for row in rows):
            raise Refused("event_no_number", "fields.event_id", columns=event)
        events = _events(client, connector, event, person, rows)
    return draft.know(events=events) if draft.tenant is not None else _with_fields(draft.know(events=events))


def _events(client: AfasClient, connector: str, event: str, person: str, rows: list[dict[str, Any]]) -> list[str]:
    """The first events that AFAS shows: one call each, from one to the next."""
    found: list[str] = []
    while rows and len(found) < LISTED_EVENTS:
        number = event_number(rows[0].get(event))
        if number is None or number in found:
            break
        found.append(number)
        after = [[Condition(event, Operator.GREATER, number)]]
        rows = client.rows(connector, take=1, order_by=[event, person], where=after)
    return found


def _with_fields(draft: Draft) -> Draft:
    """The customer's own fields that can take a day, and which columns show them."""
    connector = draft.facts.get("updateconnector")
    if not connector:
        return draft
    with _called("afas"):
        fields = afas_client(draft).update_connector_fields(connector)
    days = {one.field_id: one for one in completion_fields(fields)}
    column = draft.facts["proposed"].get("completion")
    likely = [one["field"] for one in draft.facts["columns"] if one["id"] == column and one["field"] in days]
    return draft.know(
        day_fields={code: one.label for code, one in days.items()},
        text_fields=[code for code, one in days.items() if one.data_type not in ("date", "datetime")],
        shown={one["field"]: one["id"] for one in draft.facts["columns"] if one["field"] in days},
        other_fields={one.field_id: one.label for one in fields if one.field_id not in days},
        proposed_field=likely[0] if likely else None,
    )


# -------------------------------------------------------------------------------------------------- the courses


def events(draft: Draft, name: str) -> Draft:
    """Events in which somebody is, or all of them; where Pluvo has a ref like theirs, it is proposed."""
    given = str(draft.answers[name])
    if given.casefold() == ALL:
        if draft.tenant is not None:
            raise Refused("no_choice", name, given=given, listed=", ".join(draft.facts.get("events", ())))
        return draft.but(name, [ALL])
    wanted = list(dict.fromkeys(part for part in re.split(r"[\s,;]+", given) if part))
    for one in wanted:
        if event_number(one) != one:
            raise Refused("event_number", name, given=one)
    event, person = draft.answers["fields.event_id"], draft.answers["fields.internal_id"]
    with _called("afas", name):
        client = afas_client(draft)
        for one in wanted:
            where = [[Condition(event, Operator.EQUAL, one)]]
            if not client.rows(draft.answers["getconnector"], take=1, order_by=[event, person], where=where):
                raise Refused("event_unknown", name, event=one, listed=", ".join(draft.facts.get("events", ())) or "-")
    with _called("pluvo"):
        pluvo = _pluvo(draft)
        refs = {one: f"afas-{one}" for one in wanted if pluvo.offer_event_id(f"afas-{one}") is not None}
    return draft.but(name, wanted).know(refs=refs)


def target(draft: Draft, name: str) -> Draft:
    """An offer event or a group that Pluvo has."""
    given, event = str(draft.answers[name]), name.partition(".")[2]
    group = given.casefold().startswith("group:")
    ref = given.partition(":")[2].strip() if group else given
    key = "group_ref" if group else "offer_event_ref"
    tried = ref
    if event == ALL:
        _rule(draft, name, key, ref)
        if "{" in ref.replace("{event_id}", ""):
            return draft.but(name, [key, ref])  # its columns are looked at in the runs
        tried = ref.replace("{event_id}", next(iter(draft.facts.get("events", ())), ""))
    with _called("pluvo"):
        pluvo = _pluvo(draft)
        offer_event = pluvo.offer_event_id(tried) is not None
        is_group = pluvo.group_id(tried) is not None
    if group and not is_group:
        raise Refused("target_is_offer_event" if offer_event else "group_unknown", name, ref=tried)
    if not group and not offer_event:
        raise Refused("target_is_group" if is_group else "offer_event_unknown", name, ref=tried)
    return draft.but(name, [key, ref])


def _rule(draft: Draft, name: str, key: str, value: str) -> None:
    """Refuse a pattern that names no event, or a column that is not there."""
    place = {"offer_event_ref": "{event_id}"} if key == "completion_title" else {}
    try:
        made = CourseRule.model_validate({"events": ALL, **place, key: value})
    except ValueError:
        raise Refused("pattern", name, given=value) from None
    lacking = made.columns() - {one["id"] for one in draft.facts["columns"]}
    if lacking:
        listed = ", ".join(one["id"] for one in draft.facts["columns"])
        raise Refused("column_missing", name, columns=", ".join(sorted(lacking)), listed=listed)


def write_back(draft: Draft, name: str) -> Draft:
    """A field of the customer's that can take a day."""
    given = draft.answers[name]
    if given == LEFT_OUT or given in draft.facts["day_fields"]:
        return draft
    named = {label.casefold(): code for code, label in draft.facts["day_fields"].items()}
    if given.casefold() in named:
        return draft.but(name, named[given.casefold()])
    others = draft.facts["other_fields"]
    if given in others or given.casefold() in map(str.casefold, others.values()):
        raise Refused("field_type", name, given=given)
    listed = ", ".join(f"{label} ({code})" for code, label in draft.facts["day_fields"].items())
    raise Refused("field_missing", name, given=given, listed=listed)


def title(draft: Draft, name: str) -> Draft:
    """A title that exactly one training in Pluvo has. Of courses only the report knows the titles."""
    given = str(draft.answers[name])
    if given == LEFT_OUT or given.startswith(COURSE):
        return draft
    if name == f"title.{ALL}":
        _rule(draft, name, "completion_title", given)
        if "{" in given:
            return draft
    with _called("pluvo"):
        verdict = judge_title(_pluvo(draft), "training", fold_title(given))
    if verdict.reason is not None:
        listed = ", ".join(str(one["title"]) for one in verdict.candidates) or "-"
        raise Refused(verdict.reason, name, title=given, listed=listed)
    return draft


TRIALS: Mapping[str, Trial] = {
    "afas.member_id": member_id,
    "otp.tried": otp_tried,
    "otp.code": otp_code,
    "afas.reached": afas_reached,
    "pluvo.reached": pluvo_reached,
    "getconnector": getconnector,
    "fields.*": column,
    "mapping.tried": mapping_tried,
    "events": events,
    "target.*": target,
    "write_back": write_back,
    "title.*": title,
}
