"""What both simulators have in common: tenants, a log, fault switches and one lock."""

from __future__ import annotations

import threading
from typing import Any

from simulators.core.call_log import RequestLog
from simulators.core.faults import Fault, Faults
from simulators.core.http_messages import Answer, Request


class System:
    """Base of the two simulators; hold ``lock`` to look at or change ``tenants`` while the server runs."""

    own_faults: dict[str, frozenset[str]] = {}  # noqa: RUF012 - a constant, replaced as a whole by the simulators
    """Kinds of fault only this system knows, with the operations each can strike."""

    def __init__(self) -> None:
        """Start without tenants."""
        self.lock = threading.RLock()
        self.log = RequestLog()
        self.faults = Faults(self.own_faults)
        self.tenants: dict[str, Any] = {}

    def recognise(self, request: Request) -> None:
        """Fill in tenant, operation and variables of a request."""
        raise NotImplementedError

    def answer(self, request: Request, faults: list[Fault]) -> Answer:
        """Do what is asked and answer; ``faults`` of the own kinds change how."""
        raise NotImplementedError

    def tenant_from_json(self, key: str, state: dict[str, Any]) -> Any:
        """Build one tenant from what ``as_json`` showed; raises ValueError for what it doesn't know."""
        raise NotImplementedError

    def state(self, tenant: str | None = None) -> dict[str, Any]:
        """Show all tenants, or one; raises KeyError when it isn't there."""
        chosen = self.tenants if tenant is None else {tenant: self.tenants[tenant]}
        return {"tenants": {key: each.as_json() for key, each in chosen.items()}}

    def load(self, state: dict[str, Any], *, replace: bool) -> None:
        """Take tenants from JSON, in place of all others or beside them. All or nothing."""
        made = {key: self.tenant_from_json(key, each) for key, each in state["tenants"].items()}
        if replace:
            self.tenants.clear()
        self.tenants.update(made)

    def operate(self, tenant: str, op: str, arguments: dict[str, Any]) -> Any:
        """Call one of the operations a tenant lists in ``operations``; raises KeyError, TypeError or ValueError."""
        target = self.tenants[tenant]
        if op not in target.operations:
            raise ValueError(f"unknown op: {op}; there are {', '.join(sorted(target.operations))}")
        return getattr(target, op)(**arguments)
