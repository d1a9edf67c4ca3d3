"""Keep the draft of a tenant after every answer, so that it can be left and resumed; make it a tenant in the end.

One row a slug. Its secrets are encrypted like those of a tenant, and gone with the row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from sqlalchemy import text
from sqlmodel import select

from models.base import utc_now
from models.course import Course
from models.onboarding import Onboarding
from models.session import session, transaction
from models.tenant import Tenant
from ops import audit, lookup
from ops.problems import Problem
from ops.tenants import export, file_spec, importing, onboarding
from ops.tenants.file import problem_of
from ops.tenants.importing import Imported
from ops.tenants.onboarding import LEFT_OUT, Draft, Refused
from ops.tenants.onboarding_answers import answer
from tenancy import health

_SAME = text(
    "SELECT slug FROM tenant WHERE slug <> :slug AND afas->>'member_id' = :member"
    " AND lower(pluvo->>'organisation') = lower(:named) ORDER BY slug"
)
_TAKEN = text("SELECT EXISTS (SELECT 1 FROM tenant WHERE slug = :slug)")


def give(draft: Draft, name: str, given: str, who: str) -> Draft:
    """Answer a question and keep the new draft. Raises Refused, with the draft to go on with, which is kept too."""
    try:
        after = answer(draft, name, given)
        if name == "slug":
            _refuse_taken(after)
        if name == "pluvo.organisation":
            _refuse_same(draft, after)
    except Refused as refused:
        if refused.draft.slug and refused.draft != draft:
            _keep(refused.draft, who)
        raise
    _keep(after, who)
    return after


def _refuse_taken(draft: Draft) -> None:
    with transaction() as connection:
        taken = connection.execute(_TAKEN, {"slug": draft.slug}).scalar()
        begun = connection.execute(text("SELECT 1 FROM onboarding WHERE slug = :slug"), {"slug": draft.slug}).scalar()
    if taken or begun:
        refused = Refused("slug_taken" if taken else "slug_begun", slug=draft.slug)
        refused.draft = Draft()
        raise refused


def _refuse_same(draft: Draft, after: Draft) -> None:
    """One AFAS member and one Pluvo organisation make one tenant: accounts could not be told apart."""
    key = {"slug": after.slug, "member": after.answers["afas.member_id"], "named": after.answers["pluvo.organisation"]}
    with transaction() as connection:
        other = connection.execute(_SAME, key).scalar()
    if other:
        refused = Refused("same_tenant", slug=other)
        refused.draft = draft
        raise refused


def _keep(draft: Draft, who: str) -> None:
    if not draft.kept:
        return
    with session() as opened:
        row = opened.exec(select(Onboarding).where(Onboarding.slug == draft.slug).with_for_update()).one_or_none()
        row = row or Onboarding(slug=draft.slug, who=who)
        row.answers, row.facts = dict(draft.answers), dict(draft.facts)
        row.draft_secrets = json.dumps(dict(draft.secrets)) if draft.secrets else None
        row.updated_at = utc_now()
        opened.add(row)


def resumed(slug: str | None) -> Draft:
    """The draft of a slug, or the only one. Raises Problem."""
    with session() as opened:
        listed = list(opened.connection().execute(text("SELECT slug FROM onboarding ORDER BY slug")).scalars())
        if slug is None and len(listed) > 1:
            raise Problem(f"Which one? Being set up are {', '.join(listed)}.")
        wanted = slug or next(iter(listed), None)
        if wanted not in listed:
            raise Problem(
                f"Nothing is being set up{f' as {slug}' if slug else ''}: begin with `koppeling tenants add`."
            )
        row = opened.exec(select(Onboarding).where(Onboarding.slug == wanted)).one()
        return Draft(row.slug, row.answers, json.loads(row.draft_secrets or "{}"), row.facts)


def discard(slug: str) -> None:
    """Forget a draft. Raises Problem when there is none."""
    with transaction() as connection:
        gone = connection.execute(text("DELETE FROM onboarding WHERE slug = :slug"), {"slug": slug}).rowcount
    if not gone:
        raise Problem(f"Nothing is being set up as {slug}.")


def finish(draft: Draft, who: str) -> Imported:
    """Store the tenant, or its new courses, as an import does, and forget the draft."""
    if draft.tenant is not None:
        (done,) = importing.apply([_with_courses(draft)], who, verb="courses add")
        return done
    (done,) = importing.apply([_valid(onboarding.document(draft))], who, verb="tenants add")
    with transaction() as connection:
        connection.execute(text("DELETE FROM onboarding WHERE slug = :slug"), {"slug": draft.slug})
    return done


def _valid(document: dict[str, Any]) -> file_spec.Tenant:
    # What was stored or given before may have any address: it was judged then.
    context = {"folder": Path(), "allow_insecure_urls": True, "keep_secrets": True}
    try:
        return file_spec.Tenant.model_validate(document, context=context, extra="forbid")
    except ValidationError as error:
        told = [problem_of(one) for one in error.errors(include_url=False, include_input=False)]
        lines = [f"{'.'.join(map(str, path))}: {what}" for path, what in told]
        raise Problem(f"This makes no tenant yet: {'; '.join(lines)}") from None


# --------------------------------------------------------------------------------- courses of a tenant that is there


def courses_of(slug: str) -> Draft:
    """A draft for more courses of a tenant, with the mapping of its newest course. Raises Problem."""
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        courses = opened.exec(select(Course).where(Course.tenant_id == tenant.id, Course.active)).all()
        if not courses:
            raise Problem(f"{slug} has no course yet to take the columns from: `koppeling tenants edit {slug}`.")
        like = max(courses, key=lambda one: (len(one.event_id), one.event_id))
        opened.expunge(tenant)
        answers: dict[str, Any] = {"getconnector": like.getconnector, "write_back": LEFT_OUT}
        answers |= {f"fields.{key}": value for key, value in like.fields.model_dump(exclude_none=True).items()}
        if like.rules:
            rule = like.rules[0]
            answers |= {"write_back": rule.field, "completion_format": rule.format}
            answers |= {"completion_type": rule.type} if rule.type else {}
        answers["send_invite"] = "yes" if like.pluvo.send_invite else "no"
        return Draft(slug, answers, {}, {"updateconnector": like.updateconnector}, tenant, kept=False)


def _with_courses(draft: Draft) -> file_spec.Tenant:
    """The tenant as it is stored now, with the new courses."""
    now = export.document(draft.slug)
    for column in importing.SECRETS.values():
        table, key = column.split(".")
        now[table].pop(key, None)
    made = onboarding.document(draft)
    shared = made["course_defaults"]
    linked = {one["event_id"] for one in now.get("courses", ())}
    new = []
    for course in made["courses"]:
        if course["event_id"] in linked:
            raise Problem(
                f"{draft.slug} has course {course['event_id']} already: `koppeling tenants edit {draft.slug}`."
            )
        new.append({**shared, **course, "pluvo": {**shared["pluvo"], **course["pluvo"]}})
        if "completion_title" not in course["pluvo"]:
            new[-1] = {key: value for key, value in new[-1].items() if not key.startswith("completion_")}
    return _valid(now | {"courses": [*now.get("courses", ()), *new]})


# ------------------------------------------------------------------------------- credentials of a tenant that is there


def credentials_of(slug: str, system: str) -> Draft:
    """A draft of which only the credentials of one system are asked; the present ones are proposed. Raises Problem."""
    if system not in onboarding.SYSTEMS:
        raise Problem(f"Credentials are of {' or '.join(onboarding.SYSTEMS)}, not of {system!r}.")
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        afas, pluvo, envid = tenant.afas, tenant.pluvo, tenant.envid
    answers: dict[str, Any] = {
        "slug": slug,
        "name": slug,
        "afas.member_id": afas.member_id,
        "afas.environment": afas.environment,
        "afas.base_url": afas.base_url or LEFT_OUT,
    }
    before = {"afas.auth": afas.auth, "afas.client_id": afas.client_id or LEFT_OUT, "pluvo.client_id": pluvo.client_id}
    if system == "pluvo":
        answers |= {"afas.auth": "oauth", "afas.client_id": LEFT_OUT, "afas.client_secret": LEFT_OUT}
        answers |= {"afas.reached": "yes", "pluvo.organisation": pluvo.organisation}
        answers |= {"pluvo.base_url": pluvo.base_url or LEFT_OUT}
    facts = {"before": before, "envid_before": envid, "until": f"{system}.reached"}
    return Draft(slug, answers, {}, facts, kept=False)


def change_credentials(draft: Draft, system: str, who: str) -> None:
    """Put credentials that were tried in place of the stored ones. Calls under way end with the old ones."""
    given = onboarding.systems(draft)[system]
    with session() as opened:
        tenant = opened.exec(select(Tenant).where(Tenant.slug == draft.slug).with_for_update()).one_or_none()
        if tenant is None:
            raise lookup.no_tenant(repr(draft.slug))
        stored = getattr(tenant, system)
        if any(getattr(stored, key) != given.get(key) for key in importing.ADDRESS[system] if key != "base_url"):
            raise Problem(f"These are of another address: `koppeling tenants edit {draft.slug}` changes that.")
        if system == "afas":
            new = {key: given.get(key) for key in ("auth", "client_id", "secret_ends")}
            tenant.afas = tenant.afas.model_copy(update=new)
            tenant.afas_client_secret, tenant.afas_token = given.get("client_secret"), given.get("token")
        else:
            tenant.pluvo = tenant.pluvo.model_copy(update={"client_id": given["client_id"]})
            tenant.pluvo_client_secret = given["client_secret"]
        tenant.settings_version += 1
        tenant.updated_at = utc_now()
        connection = opened.connection()
        health.try_again(connection, cast(int, tenant.id))
        detail = {"system": system} | ({"auth": given["auth"]} if system == "afas" else {})
        audit.record(connection, who=who, verb="tenants credentials", tenant_id=tenant.id, detail=detail)
