"""Keep the draft of a tenant after every answer, so that it can be left and resumed; make it a tenant in the end.

One row a slug. Its secrets are encrypted like those of a tenant, and gone with the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, text
from sqlmodel import Session, select

from models.base import utc_now
from models.direction import Health
from models.onboarding import Onboarding
from models.session import session, transaction
from ops import access, audit
from ops.language import Words
from ops.listing import Row, rows
from ops.problems import AlreadyDecided, NotThere, Problem
from ops.tenants import RESERVED, file_spec, importing, onboarding
from ops.tenants.file import WrongValues, judge_one
from ops.tenants.importing import Imported
from ops.tenants.onboarding import Draft, Refused
from ops.tenants.onboarding_answers import answer

_SAME = text(
    "SELECT slug FROM tenant WHERE slug <> :slug AND afas->>'member_id' = :member"
    " AND lower(pluvo->>'organisation') = lower(:named) ORDER BY slug"
)
_TAKEN = text("SELECT EXISTS (SELECT 1 FROM tenant WHERE slug = :slug)")
_BEGIN = text("INSERT INTO onboarding (slug, who) VALUES (:slug, :who) ON CONFLICT (slug) DO NOTHING")
_LISTED = (
    "SELECT slug, answers ->> 'name' AS name, who, updated_at FROM onboarding ORDER BY updated_at DESC, slug LIMIT 1000"
)
_NOT_LIVE = """
    SELECT t.slug, t.name FROM tenant t
      JOIN tenant_direction d ON d.tenant_id = t.id AND d.direction = 'enrollments' AND d.state = :new
     ORDER BY t.id DESC LIMIT 100
"""
_LAST = text("SELECT who, updated_at FROM onboarding WHERE slug = :slug FOR UPDATE")
_FORGET = text("DELETE FROM onboarding WHERE slug = :slug")


def give(draft: Draft, name: str, given: str, who: str) -> Draft:
    """Answer a question and keep the new draft. Raises Refused, with the draft to go on with, which is kept too.

    Raises AlreadyDecided where somebody else answered meanwhile, or ended it: nothing is kept then. Who may change a
    tenant that is there was asked by what began such a draft, and is again when it is stored.
    """
    if draft.kept:
        access.check("tenants.add", None)
    try:
        after = answer(draft, name, given)
        if name == "slug":
            return _begin(draft, after, who)
        if name == "pluvo.organisation":
            _refuse_same(draft, after)
    except Refused as refused:
        refused.question = name
        if refused.draft.slug and refused.draft != draft:
            refused.draft = _kept(refused.draft, who)
        raise
    return _kept(after, who)


def _begin(draft: Draft, after: Draft, who: str) -> Draft:
    """Take a slug that nobody has, in place of the one that was given before; the same one again is no fault.

    What was answered under the old one goes with it, or all of it stays where it is.
    """
    if after.slug in RESERVED:
        raise _refused(draft, "slug_is_verb", slug=after.slug)
    with session() as opened:
        connection = opened.connection()
        if connection.execute(_TAKEN, {"slug": after.slug}).scalar():
            raise _refused(draft, "slug_taken", slug=after.slug)
        if after.slug == draft.slug:
            return _keep(opened, after, who)
        if not connection.execute(_BEGIN, {"slug": after.slug, "who": who}).rowcount:
            raise _refused(draft, "slug_begun", slug=after.slug)
        _forget(opened, draft)
        return _keep(opened, replace(after, revision=None), who)


def _refused(draft: Draft, code: str, **parameters: str) -> Refused:
    refused = Refused(code, **parameters)
    refused.draft = draft
    return refused


def _refuse_same(draft: Draft, after: Draft) -> None:
    """One AFAS member and one Pluvo organisation make one tenant: accounts could not be told apart."""
    key = {"slug": after.slug, "member": after.answers["afas.member_id"], "named": after.answers["pluvo.organisation"]}
    with transaction() as connection:
        other = connection.execute(_SAME, key).scalar()
    if other:
        raise _refused(draft, "same_tenant", slug=other)


def _kept(draft: Draft, who: str) -> Draft:
    if not draft.kept:
        return draft
    with session() as opened:
        _refuse_stored(opened, draft.slug)
        return _keep(opened, draft, who)


def _keep(opened: Session, draft: Draft, who: str) -> Draft:
    row = _unmoved(opened, draft) or Onboarding(slug=draft.slug, who=who)
    row.answers, row.facts = dict(draft.answers), dict(draft.facts)
    row.draft_secrets = json.dumps(dict(draft.secrets)) if draft.secrets else None
    row.who, row.updated_at = who, utc_now()
    opened.add(row)
    return replace(draft, by=who, revision=row.updated_at)


def _unmoved(opened: Session, draft: Draft) -> Onboarding | None:
    """The row of a draft, for the rest of the transaction. Raises AlreadyDecided where it is another by now."""
    row = opened.exec(select(Onboarding).where(Onboarding.slug == draft.slug).with_for_update()).one_or_none()
    if draft.revision is not None and row is None:
        raise AlreadyDecided("draft_gone", slug=draft.slug)
    if draft.revision is not None and row is not None and row.updated_at != draft.revision:
        raise AlreadyDecided("draft_moved", slug=draft.slug, name=row.who)
    return row


def _refuse_stored(opened: Session, slug: str) -> None:
    if opened.connection().execute(_TAKEN, {"slug": slug}).scalar():
        first = audit.first(opened.connection(), "tenants add", "tenants import", tenant=slug)
        raise AlreadyDecided("stored_meanwhile", slug=slug, first=audit.by(first))


def _forget(opened: Session, draft: Draft) -> None:
    if (row := _unmoved(opened, draft)) is not None:
        opened.delete(row)


def resumed(slug: str | None) -> Draft:
    """The draft of a slug, or the only one. Raises Problem."""
    access.check("tenants.add", None)
    with session() as opened:
        wanted = _meant(opened.connection(), slug)
        row = opened.exec(select(Onboarding).where(Onboarding.slug == wanted)).one()
        secrets = json.loads(row.draft_secrets or "{}")
        return Draft(row.slug, row.answers, secrets, row.facts, by=row.who, revision=row.updated_at)


def listing() -> list[Row]:
    """What is being set up, the newest first: ``{"slug", "name", "who", "updated_at"}``; no secret is opened."""
    access.check("onboarding.read", None)
    with transaction() as connection:
        return rows(connection, _LISTED)


def not_live() -> list[Row]:
    """Tenants that were stored and whose timetable was not begun, the newest first: ``{"slug", "name"}``."""
    access.check("onboarding.read", None)
    with transaction() as connection:
        return rows(connection, _NOT_LIVE, new=Health.NEW)


def discard(slug: str | None, seen: str = "") -> str:
    """Forget the draft of a slug, or the only one, without a look into it; gives its slug. Raises Problem.

    ``seen``: when it was answered last, as far as who forgets it knows; AlreadyDecided where somebody did so since.
    """
    access.check("tenants.add", None)
    with transaction() as connection:
        wanted = _meant(connection, slug)
        for who, at in connection.execute(_LAST, {"slug": wanted}):
            if seen and at.isoformat() != seen:
                raise AlreadyDecided("draft_moved", slug=wanted, name=who)
        connection.execute(_FORGET, {"slug": wanted})
    return wanted


def _meant(connection: Connection, slug: str | None) -> str:
    listed = list(connection.execute(text("SELECT slug FROM onboarding ORDER BY slug")).scalars())
    if slug is None and len(listed) > 1:
        raise Problem("which_draft", listed=", ".join(listed))
    wanted = slug or next(iter(listed), None)
    if wanted is None or wanted not in listed:
        raise NotThere("no_such_draft", slug=slug) if slug else NotThere("no_draft")
    return wanted


def finish(draft: Draft, who: str) -> Imported:
    """Store the tenant as an import does, and forget the draft: both or neither.

    Raises AlreadyDecided where somebody else answered meanwhile, or ended it: nothing is stored then.
    """
    access.check("tenants.add", None)

    def end(opened: Session) -> None:
        _refuse_stored(opened, draft.slug)
        _forget(opened, draft)

    (done,) = importing.apply([valid(onboarding.document(draft))], who, first=end, verb="tenants add")
    return done


def valid(document: Mapping[str, object]) -> file_spec.Tenant:
    """A tenant of a tenants file. Raises Problem that says what is wrong."""
    try:
        return judge_one(document)
    except WrongValues as wrong:
        told = [Words("problem.at", place=key, what=what) for key, what in wrong.told.items()]
        raise Problem("no_tenant_yet", told=told) from None
