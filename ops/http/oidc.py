"""Log in through an issuer of OpenID Connect: code flow with PKCE, state and nonce in the row of the session.

What the issuer says is checked as the standard wants it: signature by a key of theirs, issuer, audience, nonce, times.
Role and tenants come from claims, at each login.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import requests
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, KeySetSerialization

import settings
from models.role import Role
from models.session import transaction
from ops import logins, users
from ops.logins import Browser
from ops.problems import Forbidden, Problem

TIMEOUT_SECONDS = 10
KEPT_SECONDS = 3600.0
# One that gave no answer is not asked again at once: whoever waits for it meanwhile is told.
AWAY_SECONDS = 5.0
MAX_BYTES = 1_000_000
LEEWAY_SECONDS = 60
# Signed with a key that only the issuer has; never "none", never a secret that we have as well.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
CALLBACK = "/login/oidc/callback"
log = structlog.get_logger("ops.http.oidc")


class _Refused(Exception):
    """Why the issuer's answer is not taken: a word of ours."""


@dataclass(frozen=True)
class _Issuer:
    """What an issuer says about itself, and its keys, at a time (monotonic)."""

    metadata: Mapping[str, Any]
    keys: KeySet
    at: float


_kept: dict[str, _Issuer] = {}
_failed_at: dict[str, float] = {}
_asking = threading.Lock()


def is_set() -> bool:
    """Whether there is an issuer to log in through."""
    return settings.get().oidc_issuer is not None


def start(next_: str, browser: Browser) -> tuple[str, str]:
    """Where to send the browser, and its cookie meanwhile. Raises Problem when the issuer gives no answer."""
    try:
        issuer = _issuer()
        pending = {
            "state": secrets.token_urlsafe(32),
            "nonce": secrets.token_urlsafe(32),
            "verifier": secrets.token_urlsafe(48),
            "next": next_,
        }
        with _client(issuer) as client:
            url, _ = client.create_authorization_url(
                issuer.metadata["authorization_endpoint"],
                state=pending["state"],
                nonce=pending["nonce"],
                code_verifier=pending["verifier"],
            )
    except (_Refused, requests.RequestException, LookupError, TypeError, ValueError) as error:
        raise _failed(error) from None
    return str(url), logins.begin(pending, browser)


def finish(cookie: str, given: Mapping[str, str], browser: Browser) -> tuple[str, str]:
    """The cookie of the new session, and where its browser wanted to go.

    Raises Forbidden for somebody whom no claim gives a role, Problem for whatever else goes wrong.
    """
    pending = logins.take_pending(cookie)
    try:
        if pending is None or not hmac.compare_digest(pending["state"], given.get("state", "")):
            raise _Refused("state")
        if given.get("error"):
            raise _Refused("cancelled" if given["error"] == "access_denied" else "issuer_error")
        claims = _claims(_issuer(), given, pending)
    except (
        _Refused,
        requests.RequestException,
        AuthlibBaseError,
        JoseError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise _failed(error) from None
    return _enter(claims, browser), pending["next"]


def _enter(claims: Mapping[str, Any], browser: Browser) -> str:
    known = settings.get()
    role = _role(_claim(claims, known.oidc_role_claim), known.oidc_roles)
    tenants = _tenants(claims, known.oidc_tenants_claim)
    name = str(_claim(claims, known.oidc_name_claim) or "")
    number = users.told_by_issuer(str(claims["iss"]), str(claims["sub"]), name, role, tenants)
    if number is None:
        raise Forbidden("oidc_no_role", claim=known.oidc_role_claim)
    with transaction() as connection:
        cookie = logins.enter(connection, number, browser)
    if cookie is None:  # disabled since the line before
        raise Forbidden("user_disabled")
    return cookie


def _failed(error: Exception) -> Problem:
    """One sentence for all of it; the log has the kind, and nothing that was sent."""
    why = str(error) if isinstance(error, _Refused) else type(error).__name__
    log.warning("oidc_failed", why=why)
    return Problem("oidc_cancelled" if why == "cancelled" else "oidc_failed", why=why)


# ---------------------------------------------------------------------------------------------------- what it tells us


def _issuer(*, fresh: bool = False) -> _Issuer:
    """The issuer's metadata and keys, asked for once an hour, or now."""
    address = str(settings.get().oidc_issuer)
    with _asking:
        kept = _kept.get(address)
        if kept is not None and not fresh and time.monotonic() - kept.at < KEPT_SECONDS:
            return kept
        if time.monotonic() - _failed_at.get(address, float("-inf")) < AWAY_SECONDS:
            raise _Refused("issuer_away")
        try:
            _kept[address] = _read(address)
        except requests.RequestException:
            _failed_at[address] = time.monotonic()
            raise
        return _kept[address]


def _read(address: str) -> _Issuer:
    metadata = _json(f"{address.rstrip('/')}/.well-known/openid-configuration")
    if metadata.get("issuer") != address:
        raise _Refused("another_issuer")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        _safe(metadata[name])
    keys = KeySet.import_key_set(cast(KeySetSerialization, _json(metadata["jwks_uri"])))
    return _Issuer(metadata, keys, time.monotonic())


def _safe(address: object) -> str:
    allowed = ("https://", "http://") if settings.get().allow_insecure_urls else ("https://",)
    if not isinstance(address, str) or not address.startswith(allowed):
        raise _Refused("insecure_address")
    return address


def _json(address: str, bearer: str | None = None) -> dict[str, Any]:
    """A JSON object of the issuer's; bounded in time and size, and from where it was asked for."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    with requests.get(
        _safe(address), headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
    ) as answer:
        if answer.status_code != 200:
            raise _Refused("issuer_status")
        if len(taken := answer.raw.read(MAX_BYTES + 1, decode_content=True)) > MAX_BYTES:
            raise _Refused("too_large")
    found = json.loads(taken)
    if not isinstance(found, dict):
        raise _Refused("no_object")
    return found


def _client(issuer: _Issuer) -> OAuth2Session:
    known = settings.get()
    ways = issuer.metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return OAuth2Session(
        known.oidc_client_id,
        known.oidc_client_secret,
        token_endpoint_auth_method="client_secret_basic" if "client_secret_basic" in ways else "client_secret_post",
        scope=known.oidc_scopes,
        redirect_uri=f"{known.public_url}{CALLBACK}",
        code_challenge_method="S256",
        default_timeout=TIMEOUT_SECONDS,
    )


def _claims(issuer: _Issuer, given: Mapping[str, str], pending: Mapping[str, str]) -> dict[str, Any]:
    """What the issuer says of whoever came back, checked."""
    known = settings.get()
    if given.get("iss", known.oidc_issuer) != known.oidc_issuer:
        raise _Refused("another_issuer")
    if not given.get("code"):
        raise _Refused("no_code")
    with _client(issuer) as client:
        token = client.fetch_token(
            issuer.metadata["token_endpoint"],
            code=given["code"],
            code_verifier=pending["verifier"],
            grant_type="authorization_code",
            allow_redirects=False,
        )
    claims = _verified(issuer, str(token["id_token"]), pending["nonce"])
    wanted = [known.oidc_role_claim, *filter(None, [known.oidc_tenants_claim])]
    more = issuer.metadata.get("userinfo_endpoint")
    if more and any(_claim(claims, name) is None for name in wanted):
        told = _json(str(more), str(token["access_token"]))
        if told.get("sub") != claims["sub"]:
            raise _Refused("another_subject")
        claims = told | claims
    return claims


def _verified(issuer: _Issuer, id_token: str, nonce: str) -> dict[str, Any]:
    allowed = [one for one in issuer.metadata.get("id_token_signing_alg_values_supported", ()) if one in ALGORITHMS]
    algorithms = allowed or ["RS256"]
    try:
        claims = jwt.decode(id_token, issuer.keys, algorithms=algorithms).claims
    except InvalidKeyIdError:  # they have a new key
        claims = jwt.decode(id_token, _issuer(fresh=True).keys, algorithms=algorithms).claims
    client = str(settings.get().oidc_client_id)
    jwt.JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": str(settings.get().oidc_issuer)},
        aud={"essential": True, "value": client},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    ).validate(claims)
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != client:
        raise _Refused("another_client")
    return claims


# --------------------------------------------------------------------------------------------------- what they may


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or along dots into it: ``realm_access.roles``."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _role(value: Any, roles: tuple[tuple[str, str], ...]) -> Role | None:
    """The highest role that the values of a claim give."""
    given = set(_words(value))
    return max((Role(role) for word, role in roles if word in given), default=None)


def _tenants(claims: Mapping[str, Any], name: str | None) -> list[str] | None:
    """Slugs of a claim; None, every tenant, where no claim is asked or it has ``*``."""
    given = _words(_claim(claims, name)) if name else ["*"]
    return None if "*" in given else sorted(set(given))
