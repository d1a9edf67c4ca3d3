"""Make an AFAS token from an API key, an environment key and the code that AFAS mails; store it for the tenant.

The two keys are used once and forgotten. (Static tokens end for everyone on 31 August 2027: new tenants use OAuth.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sqlmodel import select

from clients.afas import AfasOtp
from clients.errors import RemoteError
from models.base import utc_now
from models.session import session
from models.tenant import Tenant
from ops import access, audit, lookup
from ops.problems import AlreadyDecided, Problem
from producers.runs.request import begin_again
from tenancy import health
from tenancy.systems import afas_address

Ask = Callable[[str, bool], str]


def make(slug: str, ask: Ask, *, who: str) -> None:
    """Ask for keys and user, have the code mailed, ask for it, store the token and set ``auth = "token"``.

    Args:
        ask: gives the answer to a question; the flag says that it is a secret.
    """
    access.check("tenants.token", slug)
    address = _base(slug)
    otp = AfasOtp(address)
    api_key, environment_key = _asked(ask, "API key", True), _asked(ask, "Environment key", True)
    user = _asked(ask, "User (as in 12345.jansen, or an address)", False)
    try:
        otp.request_otp(api_key, environment_key, user)
        token = otp.validate_otp(api_key, environment_key, user, _asked(ask, "Code from the mail", True))
    except RemoteError as error:
        raise Problem("no_token", said=f"{error.message} {error.remote_text}".rstrip()) from None
    _store(slug, token, address, who)


def _base(slug: str) -> str:
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
    try:
        return afas_address(tenant.afas)
    except RemoteError as error:
        raise Problem("afas_address", said=error.message) from None


def _asked(ask: Ask, question: str, secret: bool) -> str:
    answer = ask(question, secret).strip()
    if not answer:
        raise Problem("nothing_given", question=question)
    return answer


def _store(slug: str, token: str, address: str, who: str) -> None:
    with session() as opened:
        tenant = opened.exec(select(Tenant).where(Tenant.slug == slug).with_for_update()).one_or_none()
        if tenant is None:
            raise lookup.no_tenant(repr(slug))
        if afas_address(tenant.afas) != address:
            first = audit.first(opened.connection(), *audit.SETTINGS, tenant=slug)
            raise AlreadyDecided("token_address_changed", slug=slug, first=audit.by(first))
        tenant.afas_token = token
        tenant.afas = tenant.afas.model_copy(update={"auth": "token"})
        tenant.settings_version += 1
        tenant.updated_at = utc_now()
        for way in health.try_again(opened.connection(), cast(int, tenant.id)):
            begin_again(opened.connection(), cast(int, tenant.id), way)
        audit.record(opened.connection(), who=who, verb="token", tenant_id=tenant.id)
