"""Who acts, and what they may: a role, and the tenants that they see.

Every verb that changes something calls ``check``; every look-up goes through ``ops/lookup.py``, which calls it too;
a listing over tenants takes ``visible`` into its ``WHERE``. A tenant that one may not see is told like one that isn't
there.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from models.role import Role as Role  # noqa: PLC0414  part of what this module offers
from ops.problems import Forbidden, NotThere, RoleNeeded


@dataclass(frozen=True)
class Actor:
    """Who acts; ``tenants`` are slugs, None is every tenant."""

    name: str
    role: Role
    tenants: frozenset[str] | None = None

    def sees(self, slug: str) -> bool:
        """Whether a tenant is one of theirs."""
        return self.tenants is None or slug in self.tenants


# Who has not shown who they are: sees nothing, and may nothing.
NOBODY = Actor("nobody", Role.VIEWER, frozenset())

_V, _O, _A = Role.VIEWER, Role.OPERATOR, Role.ADMIN
# The least role of each verb. ``<noun>.read`` is all looking of a noun; all others change something, or ask AFAS or
# Pluvo. A verb of the record of operators' verbs ("holds release") is found here by ``verb_of``.
NEEDS: Mapping[str, Role] = {
    # Looking
    "overview.read": _V, "status.read": _V, "system.read": _V, "tenants.read": _V, "courses.read": _V,
    "runs.read": _V, "previews.read": _V, "holds.read": _V, "people.read": _V, "people.open": _V, "people.search": _V,
    "links.read": _V, "dead_letters.read": _V, "replays.read": _V, "completions.read": _V, "quality.read": _V,
    "alerts.read": _V, "events.read": _V, "api.read": _V, "audit.read": _O, "users.read": _A, "tokens.read": _A,
    "onboarding.read": _A,
    # Looking that asks AFAS or Pluvo
    "check.run": _V, "fields.run": _V, "adoption.run": _O, "handover.run": _V, "events.run": _V,
    "people.ask": _V, "links.candidates": _V,
    # Runs
    "sync.start": _O, "sync.preview": _O, "sync.person": _O, "completions.start": _O, "completions.preview": _O,
    "runs.stop": _O, "runs.again": _O, "previews.execute": _O,
    # What waits for a person
    "holds.release": _O, "holds.refuse": _O, "holds.preview": _O,
    "links.set": _O, "links.import": _O, "links.decide": _O, "links.remove": _O, "people.erase": _A,
    "dead_letters.replay": _O, "dead_letters.discard": _O, "replays.start": _O, "replays.cancel": _O,
    "completions.retry": _O, "completions.close": _O,
    "alerts.ack": _O, "alerts.mute": _O, "alerts.unmute": _O, "alerts.test": _O, "quality.mail": _O,
    # Tenants
    "tenants.pause": _O, "tenants.resume": _O,
    "tenants.import": _A, "tenants.add": _A, "tenants.edit": _A, "tenants.credentials": _A, "tenants.token": _A,
    "tenants.export": _A, "tenants.remove": _A, "tenants.rotate_keys": _A, "courses.add": _A, "courses.edit": _A,
    "system.backup": _A, "system.restore": _A,
    # Who may come in
    "users.add": _A, "users.edit": _A, "users.enable": _A, "users.disable": _A, "users.passwd": _A, "users.remove": _A,
    "users.sign_out": _A, "tokens.create": _A, "tokens.revoke": _A,
    # A route that nobody gave a verb yet (``ops/http/needs.py``)
    "routes.undeclared": _A,
    # Their own
    "account.login": _V, "account.refused": _V, "account.logout": _V, "account.passwd": _V,
}  # fmt: skip

# Who comes in, and what becomes a tenant, is nobody's who sees some tenants only.
_WHOLE = ("users.", "tokens.", "onboarding.")

_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Let somebody act for the length of the block, in this context and in what is started from it."""
    before = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(before)


def current_user() -> str:
    """The name of the user of this machine; ``unknown`` where the system has none for the number."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's bare user id
        return "unknown"


def let_act(actor: Actor) -> None:
    """Let somebody act in this context from now on: in that of a request, which ends with it."""
    _acting.set(actor)


def actor() -> Actor:
    """Who acts now: at a terminal its user, who may everything there anyway."""
    return _acting.get() or Actor(current_user(), Role.ADMIN)


def check(verb: str, slug: str | None) -> None:
    """Raise Forbidden where who acts may not do this, NotThere for a tenant that they may not see.

    Without a slug a verb that changes something is about all tenants, so only who sees all of them may do it.
    """
    acts = actor()
    if slug is not None and not acts.sees(slug):
        raise no_tenant(repr(slug))
    need(verb)
    if slug is None and acts.tenants is not None and not _narrowed(verb):
        raise Forbidden("all_tenants")


def _narrowed(verb: str) -> bool:
    """Whether a verb without a tenant is about what one may see, or about oneself, and not about all there is."""
    return verb.startswith("account.") or (verb.endswith(".read") and not verb.startswith(_WHOLE))


def need(verb: str) -> None:
    """The role alone: for a verb over several tenants, each of which is checked or taken from ``visible``."""
    needed = NEEDS[verb]
    if actor().role < needed:
        acts = actor()
        raise RoleNeeded("role", needed=needed, name=acts.name, role=acts.role)


def may(verb: str, slug: str | None = None) -> bool:
    """Whether ``check`` lets it through: for pages, which show no button that would be refused."""
    try:
        check(verb, slug)
    except (Forbidden, NotThere):
        return False
    return True


def visible() -> list[str] | None:
    """The slugs that who acts may see, for the ``WHERE`` of listings over tenants; None is no limit."""
    tenants = actor().tenants
    return None if tenants is None else sorted(tenants)


def no_tenant(named: str) -> NotThere:
    """What is said of a slug, or slugs, that no tenant has, or none that one may see."""
    return NotThere("no_tenant", named=named)


def verb_of(recorded: str) -> str:
    """The verb in ``NEEDS`` of one as it is recorded: ``holds release`` is ``holds.release``."""
    name = recorded.replace(" ", ".").replace("-", "_")
    return name if "." in name else f"tenants.{name}"
