"""Keep one access token per set of credentials and fetch it once, however many threads want it."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Mapping

from clients.errors import Misconfigured, RemoteError

EARLY_SECONDS = 60.0  # renew so long before the end ...
EARLY_SHARE = 0.05  # ... or at this share of a short life
UNKNOWN_LIFE_SECONDS = 300.0  # when the answer does not say how long the token lives

_shared: dict[bytes, TokenCache] = {}
_shared_lock = threading.Lock()


class TokenCache:
    """Hold the token of one set of credentials; safe to use from many threads.

    ``get(fetch)`` calls ``fetch`` when there is no usable token. It returns the token endpoint's answer, e.g.
    ``{"access_token": "eyJ…", "expires_in": "3600"}``, or raises one of ``clients.errors``, which every
    thread that was waiting for that very fetch gets too: a dead token endpoint costs them one wait, not one
    each.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0
        self._failures = 0
        self._error: RemoteError | None = None

    @classmethod
    def shared(cls, base_url: str, client_id: str, client_secret: str) -> TokenCache:
        """Give this process's one cache for these credentials.

        The secret takes part: a tenant with a wrong secret must not live on a token of someone who has the
        right one.
        """
        key = hashlib.sha256("\0".join((base_url, client_id, client_secret)).encode()).digest()
        with _shared_lock:
            return _shared.setdefault(key, cls())

    def get(self, fetch: Callable[[], Mapping[str, object]]) -> str:
        """Give a token with life left. Raises what ``fetch`` raises; ``Misconfigured`` without a token."""
        failures = self._failures
        with self._lock:
            if self._token and self._clock() < self._until:
                return self._token
            if self._error is not None and self._failures != failures:  # it failed while we waited
                raise self._error
            try:
                self._keep(fetch())
            except RemoteError as error:
                self._token, self._error = "", error
                self._failures += 1
                raise
            self._error = None
            return self._token

    def drop(self, token: str) -> None:
        """Forget a refused token, unless another thread has renewed it in the meantime."""
        with self._lock:
            if self._token == token:
                self._token = ""

    def _keep(self, answer: Mapping[str, object]) -> None:
        token = answer.get("access_token")
        if not isinstance(token, str) or not token.strip():
            raise Misconfigured("no_token", "The token endpoint answered without an access token.")
        life = _seconds(answer.get("expires_in"))
        self._token = token.strip()
        self._until = self._clock() + life - min(EARLY_SECONDS, EARLY_SHARE * life)


def _seconds(value: object) -> float:
    """Read ``expires_in``, which comes as a number or as text."""
    try:
        seconds = float(str(value))
    except ValueError:
        return UNKNOWN_LIFE_SECONDS
    return UNKNOWN_LIFE_SECONDS if math.isnan(seconds) else min(max(seconds, 0.0), 30 * 86400.0)
