"""The two systems of one tenant, ready to call: hosts, credentials, shared limits, and a count of the calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial

import settings
from clients.afas import AFAS_HOSTS, AfasClient, OAuth, Token, afas_base_url
from clients.errors import AFAS, PLUVO, Misconfigured, Unavailable
from clients.http import Call, checked_base_url
from clients.pluvo import PLUVO_HOSTS, Combiner, PluvoClient, SchemaMemory, pluvo_base_url
from models.tenant import Tenant
from models.tenant_settings import AfasSettings
from tenancy import tallies
from tenancy.call_slots import call_slot
from tenancy.rate_limit import RateLimit, RateLimited, tell, wait_as_told

# How long somebody who waits for the answer lets a call wait for its turn.
AT_ONCE_SECONDS = 20.0
# Whether two tenants, rows ``t`` and ``o``, have one Pluvo organisation: the same name, or the same address.
_OWN = f"'https://' || ({{0}}->>'organisation') || '{PLUVO_HOSTS}'"
_ADDRESS = f"lower(rtrim(coalesce({{0}}->>'base_url', {_OWN}), '/'))"
SAME_ORGANISATION = (
    "(lower(t.pluvo->>'organisation') = lower(o.pluvo->>'organisation')"
    f" OR {_ADDRESS.format('t.pluvo')} = {_ADDRESS.format('o.pluvo')})"
)


class Counts:
    """Calls made so far, without those for tokens; safe to share between threads. What it hears is tallied, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = {"afas": 0, "pluvo": 0}

    def __call__(self, call: Call) -> None:
        tallies.called(call)
        with self._lock:
            self._made[call.system.lower()] += call.counts

    def take(self) -> dict[str, int]:
        """The calls since the last time, e.g. ``{"afas": 2, "pluvo": 19}``."""
        with self._lock:
            made, self._made = self._made, {"afas": 0, "pluvo": 0}
            return made


@dataclass(frozen=True)
class Systems:
    """AFAS and Pluvo as one tenant sees them."""

    afas: AfasClient
    pluvo: PluvoClient
    member_id: str
    counts: Counts = field(default_factory=Counts)


def address(override: str | None, standard: str, hosts: str) -> str:
    """The base URL to call; an override to a foreign host or over http needs the operator's explicit word."""
    if not override:
        return standard
    try:
        return checked_base_url(override, hosts, insecure=settings.get().allow_insecure_urls)
    except ValueError as error:
        raise Misconfigured("insecure_url", f"base_url {error}.") from None


def afas_address(config: AfasSettings) -> str:
    """The base URL of an AFAS environment. Raises Misconfigured."""
    return address(config.base_url, afas_base_url(config.member_id, config.environment), AFAS_HOSTS)


def afas_of(
    tenant: Tenant, on_call: Callable[[Call], None], patience_seconds: float = 120.0, *, at_once: bool = False
) -> AfasClient:
    """The AFAS client of a tenant. ``at_once``: see ``systems_at_once``."""
    config = tenant.afas
    base = afas_address(config)
    if config.auth == "oauth":
        auth: OAuth | Token = OAuth(config.client_id or "", tenant.afas_client_secret or "")
    else:
        auth = Token(tenant.afas_token or "")
    hold: Callable[[], AbstractContextManager[None]] = partial(_slot, base, config.parallel_calls, patience_seconds)
    if at_once:
        hold = partial(_slot_at_once, hold)
    return AfasClient(
        base_url=base,
        auth=auth,
        integration_id=settings.get().integration_id or None,
        call_slot=hold,
        on_call=_pass_on(base, on_call),
    )


def _pass_on(base: str, on_call: Callable[[Call], None]) -> Callable[[Call], None]:
    """Hear of calls, and let everybody wait whom this system asks to: other directions and tenants call it as well."""

    def heard(call: Call) -> None:
        if call.wait_seconds and not call.shared:
            tell(base, call.wait_seconds)
        on_call(call)

    return heard


@contextmanager
def _slot(base: str, limit: int, patience_seconds: float) -> Iterator[None]:
    """A call slot, at a time at which the environment did not ask to be left alone."""
    wait_as_told(base, patience_seconds)
    with call_slot(base, limit, patience_seconds) as waited:
        if waited:
            wait_as_told(base, patience_seconds)
        yield


@contextmanager
def _slot_at_once(hold: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(hold())
        except (TimeoutError, RateLimited):
            raise _no_slot(AFAS) from None
        yield


def _turn_at_once(limit: RateLimit, begun: bool, look: Callable[[], None] | None) -> None:
    try:
        limit(look=look)
    except RateLimited:
        raise _no_slot(PLUVO) from None


def _no_slot(system: str) -> Unavailable:
    return Unavailable("no_slot", "no call came free in time: other work has them all.", system=system)


@lru_cache(maxsize=1024)
def _memory(base_url: str, settings_version: int) -> SchemaMemory:
    """What this organisation's schema lacks, learnt once a process instead of once a client."""
    return SchemaMemory()


@lru_cache(maxsize=1024)
def _combiner(tenant_id: int, settings_version: int, patience_seconds: float, people: int) -> Combiner:
    """What puts the calls of messages that are in hand together into one; it learns how many go together."""
    return Combiner(people)


def pluvo_of(
    tenant: Tenant,
    on_call: Callable[[Call], None],
    patience_seconds: float,
    *,
    combine: bool = False,
    at_once: bool = False,
) -> PluvoClient:
    """The Pluvo client of a tenant; it waits for the rate limit at most ``patience_seconds`` before a call.

    ``combine``: it may share calls with those who do so too in other threads, if the tenant's settings say so.
    ``at_once``: see ``systems_at_once``.
    """
    config = tenant.pluvo
    base = address(config.base_url, pluvo_base_url(config.organisation), PLUVO_HOSTS)
    limit = RateLimit(base, config.calls_per_second, patience_seconds)
    return PluvoClient(
        base_url=base,
        client_id=config.client_id,
        client_secret=tenant.pluvo_client_secret or "",
        wait_for_rate_limit=partial(_turn_at_once, limit) if at_once else limit,
        on_call=_pass_on(base, on_call),
        memory=_memory(base, tenant.settings_version),
        combiner=_combiner(tenant.id or 0, tenant.settings_version, patience_seconds, config.people_per_call)
        if combine and config.people_per_call > 1
        else None,
    )


def systems_of(
    tenant: Tenant,
    *,
    patience_seconds: float = 600.0,
    on_call: Callable[[Call], None] | None = None,
    combine: bool = False,
) -> Systems:
    """Both clients of a tenant. Light: sessions and tokens are shared by the process underneath.

    Args:
        patience_seconds: how long a Pluvo call may wait for the rate limit; actors keep it short, producers can wait.
        on_call: hears of every call as well.
        combine: see ``pluvo_of``.
    """
    counts = Counts()

    def heard(call: Call) -> None:
        counts(call)
        if on_call:
            on_call(call)

    return Systems(
        afas=afas_of(tenant, heard),
        pluvo=pluvo_of(tenant, heard, patience_seconds, combine=combine),
        member_id=tenant.afas.member_id,
        counts=counts,
    )


def systems_at_once(tenant: Tenant) -> Systems:
    """Both clients for somebody who waits for the answer: Unavailable (``no_slot``) where a run or others have all
    calls for longer than ``AT_ONCE_SECONDS``.
    """
    counts = Counts()
    return Systems(
        afas=afas_of(tenant, counts, AT_ONCE_SECONDS, at_once=True),
        pluvo=pluvo_of(tenant, counts, AT_ONCE_SECONDS, at_once=True),
        member_id=tenant.afas.member_id,
        counts=counts,
    )
