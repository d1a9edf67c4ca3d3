"""Make a classic token from an API key, an environment key and a mailed code: the old way in, used once per tenant."""

from __future__ import annotations

from collections.abc import Callable

from clients.afas.auth import normalise_token
from clients.afas.errors import classify
from clients.errors import AFAS, Rejected
from clients.http import Call, Http, Response


class AfasOtp:
    """Ask AFAS to mail a code, then exchange the code. No Authorization: the two keys are the credentials.

    Raises ``Rejected("otp_refused")`` for anything AFAS refuses (ask for a new code), ``Unknown`` when the line broke
    (the mail may have been sent), ``Unavailable`` to try later.
    """

    def __init__(
        self, base_url: str, *, on_call: Callable[[Call], None] | None = None, read_timeout: float = 30
    ) -> None:
        self._http = Http(base_url, system=AFAS, read_timeout=read_timeout, on_call=on_call)

    def request_otp(self, api_key: str, environment_key: str, user: str) -> None:
        """Have AFAS mail a code to the user, who must be in the app connector's group."""
        self._post("otprequest", "asking AFAS for a code", _keys(api_key, environment_key, user))

    def validate_otp(self, api_key: str, environment_key: str, user: str, otp: str) -> str:
        """Exchange the code for a token. Returns its XML; AFAS shows it this once."""
        operation = "exchanging a code for an AFAS token"
        body = _keys(api_key, environment_key, user) | {"otp": otp.strip()}
        answer = self._post("otpvalidation", operation, body)
        try:
            token = str(answer.json()["token"]).strip()
            normalise_token(token)
        except (ValueError, KeyError, TypeError):
            token = ""
        if token:
            return token
        text = f"{operation}: AFAS gave no token; ask for a new code."
        raise Rejected("otp_refused", text, system=AFAS, status=answer.status)

    def _post(self, path: str, operation: str, body: dict[str, str]) -> Response:
        return self._http.request(
            "POST",
            path,
            json=body,
            headers={"Accept": "application/json", "Accept-Language": "nl-nl"},
            operation=operation,
            writes=True,
            token=True,
            classify=lambda given: classify(given, at="otp", writes=True, operation=operation, secrets=body.values()),
        )


def _keys(api_key: str, environment_key: str, user: str) -> dict[str, str]:
    return {"apiKey": api_key.strip(), "apiToken": environment_key.strip(), "userId": user.strip()}
