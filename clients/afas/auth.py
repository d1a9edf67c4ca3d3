"""Show AFAS who is calling: OAuth client credentials, or a classic token. Source: docs/afas.md#credentials."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from clients.afas.errors import classify
from clients.errors import AFAS, Misconfigured
from clients.http import Http, TokenCache

_XML = re.compile(
    r"<token>\s*<version>\s*(\d{1,3})\s*</version>\s*<data>\s*([0-9A-F]{64})\s*</data>\s*</token>", re.IGNORECASE
)


@dataclass(frozen=True)
class OAuth:
    """Client credentials of an app connector; the way for new customers."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class Token:
    """A classic token, in any form :func:`normalise_token` takes. Ends for everyone on 31 August 2027."""

    token: str = field(repr=False)


def normalise_token(text: str) -> str:
    """Make the Authorization value of a pasted classic token.

    Takes the whole XML, only its 64 hexadecimal characters, or the base64 of the XML (with or without ``AfasToken``).
    Raises ``ValueError`` that doesn't repeat what was pasted.
    """
    text = html.unescape(re.sub(r"^\s*AfasToken\s+", "", text.strip(), flags=re.IGNORECASE))
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        version, data = "1", text
    else:
        found = _XML.search(text) or _XML.search(_decoded(text))
        if found is None:
            raise ValueError(
                "This is not an AFAS token: paste all of <token>…</token>, its 64 characters, or its base64 form."
            )
        version, data = found[1], found[2]
    xml = f"<token><version>{version}</version><data>{data.upper()}</data></token>"
    return "AfasToken " + base64.b64encode(xml.encode()).decode()


def _decoded(text: str) -> str:
    compact = re.sub(r"\s+", "", text)
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


class Authorizer:
    """Give the Authorization value for a call, and a new one after AFAS refused it."""

    def __init__(self, auth: OAuth | Token, http: Http, tokens: TokenCache | None = None) -> None:
        self._http = http
        self._oauth = auth if isinstance(auth, OAuth) else None
        self._fixed = normalise_token(auth.token) if isinstance(auth, Token) else ""
        if isinstance(auth, OAuth):
            self._tokens = tokens or TokenCache.shared(http.base_url, auth.client_id, auth.client_secret)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be seen in a text, even when AFAS repeats it."""
        return (self._oauth.client_secret,) if self._oauth else (self._fixed.removeprefix("AfasToken "),)

    def value(self) -> str:
        """Give the header's value, fetching an access token when needed."""
        return f"Bearer {self._tokens.get(self._fetch)}" if self._oauth else self._fixed

    def renew(self, refused: str) -> bool:
        """Drop a refused access token; False when there is nothing to renew."""
        if self._oauth is None:
            return False
        self._tokens.drop(refused.removeprefix("Bearer "))
        return True

    def _fetch(self) -> Mapping[str, object]:
        assert self._oauth is not None  # noqa: S101  # only called for OAuth
        operation = "fetching an AFAS access token"
        answer = self._http.request(
            "POST",
            "oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self._oauth.client_id,
                "client_secret": self._oauth.client_secret,
            },
            headers={"Accept": "application/json"},
            operation=operation,
            writes=False,
            token=True,
            classify=lambda given: classify(given, at="token", writes=False, operation=operation, secrets=self.secrets),
        )
        try:
            body = answer.json()
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        raise Misconfigured("not_json", f"{operation}: the answer is not JSON.", system=AFAS, status=answer.status)
