"""Receive Pluvo's webhooks: check the signature on the raw body, store, enqueue, answer. Nothing else happens here.

What Pluvo does with an answer decides ours: it repeats everything but a 2xx up to 72 times, and a 410 switches the
webhook off for good. So bad content under a good signature is a 200 (kept as ``unreadable``), an oversized body is a
200 that is ignored and logged (it would be as big the next time), and only a database that is away is a 503, because
then we want it again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import select
from starlette.requests import ClientDisconnect

from logs import Seldom
from models import ledger
from models.crypto import SecretDamaged, SecretUnreadable
from models.session import session, transaction
from models.tenant import Tenant
from producers.completions.webhook_events import QUEUED, store

MAX_BYTES = 256 * 1024
# What is too big is still read to its end, so that the answer is heard; up to here.
MAX_DRAINED = 4 * 1024 * 1024
READ_SECONDS = 20.0
SECRETS_KEPT_SECONDS = 5.0
MAX_SECRETS_KEPT = 1000
WAKE_PAUSE_SECONDS = 0.01
# In a storm the rest wait here: more at once would only make PostgreSQL slower, and every answer with it.
ACCEPTED_AT_ONCE = 8
log = structlog.get_logger("ops.http.webhooks")
router = APIRouter()


def signature(secret: str, salt: str, body: bytes) -> str:
    """HMAC-SHA1 of the raw body under SHA-1(salt + secret), as url-safe base64 without padding: 27 characters."""
    key = hashlib.sha1((salt + secret).encode()).digest()  # noqa: S324  Pluvo's scheme, not our choice
    mac = hmac.new(key, body, hashlib.sha1).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def is_signed(secret: str, salt: str | None, given: str | None, body: bytes) -> bool:
    """Compare in constant time; standard and url-safe base64, with or without padding, are the same signature."""
    if not salt or not given or not body:
        return False
    plain = given.strip().translate(str.maketrans("+/", "-_")).rstrip("=")
    return hmac.compare_digest(plain.encode(), signature(secret, salt, body).encode())


@dataclass
class Secrets:
    """Webhook secrets by slug, each kept for seconds: a changed one counts at once, a storm costs no queries."""

    kept: dict[str, tuple[float, int | None, str | None]] = field(default_factory=dict, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    clock: Callable[[], float] = time.monotonic

    def of(self, slug: str) -> tuple[int | None, str | None]:
        """Tenant id and secret; (None, None) for an unknown slug, (id, None) for a tenant without webhooks."""
        now = self.clock()
        known = self.kept.get(slug)
        if known is None or now - known[0] > SECRETS_KEPT_SECONDS:
            with session() as database:
                found = database.exec(select(Tenant).where(Tenant.slug == slug)).first()
            known = (now, found.id, found.webhook_secret) if found else (now, None, None)
            with self.lock:
                if len(self.kept) >= MAX_SECRETS_KEPT:
                    self.kept.clear()
                self.kept[slug] = known
        return known[1], known[2]


class Waker:
    """Wakes the relay in the background, once for all that was stored in the meantime: no answer waits for it.

    A wake-up that fails costs a quarter of a second at most: so often does the relay look by itself.
    """

    def __init__(self) -> None:
        self.stored = threading.Event()
        self.starting = threading.Lock()
        self.thread: threading.Thread | None = None

    def __call__(self) -> None:
        """Something was committed."""
        self.stored.set()
        if self.thread is None:
            with self.starting:
                if self.thread is None:
                    self.thread = threading.Thread(target=self._run, name="waker", daemon=True)
                    self.thread.start()

    def _run(self) -> None:
        while self.stored.wait():
            self.stored.clear()
            try:
                with transaction() as connection:
                    ledger.wake(connection)
            except Exception as error:  # this thread is never started again
                log.warning("relay_not_woken", error=type(error).__name__)
            time.sleep(WAKE_PAUSE_SECONDS)


# A sender of more than the limit is not read any further.
CLOSE = {"Connection": "close"}
seldom = Seldom()
secrets = Secrets()
wake = Waker()
at_once = CapacityLimiter(ACCEPTED_AT_ONCE)


@router.post("/webhooks/pluvo/{slug}", include_in_schema=False)
async def receive(slug: str, request: Request) -> Response:
    """Answer one delivery. The database is asked in a thread: the loop goes on taking others."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await _read(request)
    except (TimeoutError, ClientDisconnect):
        return Response(status_code=408, headers=CLOSE)
    if body is None:
        seldom(log.warning, "webhook_too_large")
        return Response(status_code=200, headers=CLOSE)
    # Headers are Latin-1 on the wire; a salt is UTF-8 like everything Pluvo signs.
    salt, given = (_utf8(request.headers.get(name)) for name in ("x-signature-salt", "x-signature"))
    return Response(status_code=await to_thread.run_sync(accept, slug, salt, given, body, limiter=at_once))


def accept(slug: str, salt: str | None, given: str | None, body: bytes) -> int:
    """Check and store one delivery; the status to answer. Blocks on the database."""
    try:
        tenant_id, secret = secrets.of(slug) if _is_slug(slug) else (None, None)
        if tenant_id is None or not secret:
            return 404
        if not is_signed(secret, salt, given, body):
            seldom(log.warning, "webhook_forged", tenant=tenant_id)
            return 403
        with transaction() as connection:
            outcome = store(connection, tenant_id, body)
        if outcome == QUEUED:
            wake()
    except (DBAPIError, NoConnection, SecretUnreadable, SecretDamaged) as error:
        seldom(log.error, "webhook_not_stored", error=type(error).__name__)
        return 503
    log.info("webhook", tenant=tenant_id, outcome=outcome)
    return 200


async def _read(request: Request) -> bytes | None:
    """The raw body, None when it is too large."""
    taken, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_DRAINED:
            return None
        if size <= MAX_BYTES:
            taken += part
    return bytes(taken) if size <= MAX_BYTES else None


def _utf8(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _is_slug(slug: str) -> bool:
    return 0 < len(slug) <= 40 and slug.isascii() and slug.replace("-", "").isalnum()
