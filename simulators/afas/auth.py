"""Who may call: classic tokens, OAuth client credentials, and the mailed code that makes a token."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time

from simulators.afas.answers import NUMBER_UNEXPECTED, UNEXPECTED, oauth_error, refusal
from simulators.afas.tenant import AfasTenant
from simulators.core.http_messages import Answer, Request, json_answer

TOKEN_XML = re.compile(r"<token>\s*<version>1</version>\s*<data>([0-9A-F]{64})</data>\s*</token>")
BAD_BEARER = {"www-authenticate": 'Bearer error="invalid_token"'}


def token_xml(data: str) -> str:
    """Write a classic token as AFAS hands it out."""
    return f"<token><version>1</version><data>{data}</data></token>"


def refuse(tenant: AfasTenant, request: Request) -> Answer | None:
    """Check the Authorization header; None means welcome."""
    if tenant.switches.ip_refused:
        return Answer(403, b"Forbidden", {"content-type": "text/plain"})
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "afastoken" and "token" in tenant.switches.accepts:
        return _refuse_classic(tenant, value.strip())
    if scheme.lower() == "bearer" and "oauth" in tenant.switches.accepts:
        good = tenant.access_tokens.get(value.strip(), 0.0) > time.monotonic()
        return None if good else Answer(401, b"", dict(BAD_BEARER))
    return Answer(401)


def _refuse_classic(tenant: AfasTenant, value: str) -> Answer | None:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return refusal(UNEXPECTED, NUMBER_UNEXPECTED)
    found = TOKEN_XML.fullmatch(text.strip())
    if found is None:
        return refusal(UNEXPECTED, NUMBER_UNEXPECTED)
    return None if found[1] in tenant.tokens else refusal("Ongeldige token", status=401)


def oauth_token(tenant: AfasTenant, request: Request) -> Answer:
    """Hand out an access token for client credentials in the body or in a Basic header, never both."""
    form = dict(request.form)
    shown = _basic(request.headers.get("authorization", ""))
    if not _well_formed(request) or (shown is not None and ("client_id" in form or "client_secret" in form)):
        return oauth_error("invalid_request", "Invalid HTTP request for token endpoint")
    client_id, secret = shown or (form.get("client_id", ""), form.get("client_secret", ""))
    if form.get("grant_type") != "client_credentials":
        return oauth_error("unsupported_grant_type", "Unsupported grant type")
    client = tenant.oauth_clients.get(client_id)
    if client is None or client.blocked or secret not in client.secrets:
        return oauth_error("invalid_client", "Client authentication failed", basic=shown is not None)
    if not client.flow_allowed or "oauth" not in tenant.switches.accepts:
        return oauth_error("unauthorized_client", "Unknown AppConnector")
    return _hand_out(tenant)


def _well_formed(request: Request) -> bool:
    """Say whether this is a POST of a form that names each parameter once."""
    content_type = request.headers.get("content-type", "")
    names = [name for name, _ in request.form]
    is_form = content_type.startswith("application/x-www-form-urlencoded")
    return request.method == "POST" and is_form and len(names) == len(set(names))


def _hand_out(tenant: AfasTenant) -> Answer:
    lifetime = tenant.switches.token_lifetime_seconds
    token = f"eyJ{secrets.token_urlsafe(48)}"
    now = time.monotonic()
    tenant.access_tokens = {each: end for each, end in tenant.access_tokens.items() if end > now}
    tenant.access_tokens[token] = now + lifetime
    if tenant.switches.expires_in_text:
        content = {"access_token": token, "token_type": "Bearer", "expires_in": str(lifetime), "refresh_token": None}
        return json_answer(content)
    return json_answer({"access_token": token, "token_type": "Bearer", "expires_in": lifetime})


def _basic(header: str) -> tuple[str, str] | None:
    if not header.startswith("Basic "):
        return None
    client_id, _, secret = base64.b64decode(header[6:]).decode().partition(":")
    return client_id, secret


def otp_request(tenant: AfasTenant, request: Request) -> Answer:
    """Mail a code to a user who may have one; says nothing in its answer."""
    user = _otp_user(tenant, request)
    if tenant.otp is None or user is None:
        return refusal(UNEXPECTED, NUMBER_UNEXPECTED)
    tenant.mails.append({"to": user, "code": tenant.otp.code})
    return Answer(200)


def otp_validation(tenant: AfasTenant, request: Request) -> Answer:
    """Trade the code for a fresh classic token (with AFAS's line end behind it); a wrong code gives 204."""
    user = _otp_user(tenant, request)
    if tenant.otp is None or user is None:
        return refusal(UNEXPECTED, NUMBER_UNEXPECTED)
    given = _lower_keys(request.body).get("otp", "")
    if given != tenant.otp.code or not any(mail.get("to") == user for mail in tenant.mails):
        return Answer(204)
    data = secrets.token_hex(32).upper()
    tenant.tokens.append(data)
    tenant.mails = [mail for mail in tenant.mails if mail.get("to") != user]
    return json_answer({"token": token_xml(data) + "\r\n"})


def _otp_user(tenant: AfasTenant, request: Request) -> str | None:
    """Give the user when both keys are right and the user is in the app connector's group."""
    given = _lower_keys(request.body)
    otp = tenant.otp
    if otp is None or (given.get("apikey"), given.get("apitoken")) != (otp.api_key, otp.environment_key):
        return None
    return given["userid"] if given.get("userid") in otp.users else None


def _lower_keys(body: bytes) -> dict[str, str]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return {key.lower(): str(value) for key, value in content.items()} if isinstance(content, dict) else {}
