"""Other credentials of a tenant that is there: tried like those of a new one, then put in place of the old ones."""

from __future__ import annotations

from typing import cast

from sqlmodel import select

from models.base import utc_now
from models.session import session
from models.tenant import Tenant
from ops import access, audit, lookup
from ops.problems import AlreadyDecided, Problem
from ops.tenants import importing, onboarding
from ops.tenants.onboarding import LEFT_OUT, Draft
from producers.runs.request import begin_again
from tenancy import health


def credentials_of(slug: str, system: str) -> Draft:
    """A draft of which only the credentials of one system are asked; the present ones are proposed. Raises Problem."""
    access.check("tenants.credentials", slug)
    if system not in onboarding.SYSTEMS:
        raise Problem("credentials_of", system=system)
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        afas, pluvo, envid, version = tenant.afas, tenant.pluvo, tenant.envid, tenant.settings_version
    answers = {
        "slug": slug,
        "name": slug,
        "afas.member_id": afas.member_id,
        "afas.environment": afas.environment,
        "afas.base_url": afas.base_url or LEFT_OUT,
    }
    before = {"afas.auth": afas.auth, "afas.client_id": afas.client_id or LEFT_OUT, "pluvo.client_id": pluvo.client_id}
    if system == "pluvo":
        answers |= {"afas.auth": "oauth", "afas.client_id": LEFT_OUT, "afas.client_secret": LEFT_OUT}
        answers |= {"afas.secret_ends": LEFT_OUT}
        answers |= {"afas.reached": "yes", "pluvo.organisation": pluvo.organisation}
        answers |= {"pluvo.base_url": pluvo.base_url or LEFT_OUT}
    facts = {
        "version": version,
        "before": before,
        "envid_before": envid,
        "until": f"{system}.reached",
        "fixed": list(answers),
    }
    return Draft(slug, answers, {}, facts, kept=False)


def change_credentials(draft: Draft, system: str, who: str, *, seen: int | None = None) -> None:
    """Put credentials that were tried in place of the stored ones. Calls under way end with the old ones.

    ``seen``: the version of the settings that was looked at, else that of the draft. Raises AlreadyDecided where
    somebody changed them since: they may be credentials too, which work.
    """
    access.check("tenants.credentials", draft.slug)
    given = onboarding.systems(draft)[system]
    with session() as opened:
        tenant = opened.exec(select(Tenant).where(Tenant.slug == draft.slug).with_for_update()).one_or_none()
        if tenant is None:
            raise lookup.no_tenant(repr(draft.slug))
        stored = getattr(tenant, system)
        if any(getattr(stored, key) != given.get(key) for key in importing.ADDRESS[system]):
            first = audit.first(opened.connection(), *audit.SETTINGS, tenant=draft.slug)
            raise AlreadyDecided("address_changed", slug=draft.slug, first=audit.by(first))
        if tenant.settings_version != (draft.facts["version"] if seen is None else seen):
            raise importing.changed_first(opened.connection(), draft.slug)
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
        for way in health.try_again(connection, cast(int, tenant.id)):
            begin_again(connection, cast(int, tenant.id), way)
        detail = {"system": system} | ({"auth": given["auth"]} if system == "afas" else {})
        audit.record(connection, who=who, verb="tenants credentials", tenant_id=tenant.id, detail=detail)
