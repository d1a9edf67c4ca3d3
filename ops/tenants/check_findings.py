"""What ``koppeling check`` finds: one line for each thing it tried."""

from __future__ import annotations

from dataclasses import dataclass

from ops.tenants.check_actions import action_for


@dataclass(frozen=True)
class Probe:
    """One finding. ``code`` is ``ok`` or one word a kind of fault; a warning is ok with a code of its own."""

    probe: str
    ok: bool
    code: str = "ok"
    cause: str = ""
    action: str = ""


def fault(probe: str, code: str, cause: str) -> Probe:
    """A probe that failed."""
    return Probe(probe, False, code, cause, action_for(code))


def warning(probe: str, code: str, cause: str) -> Probe:
    """A probe that found something to look at, but nothing that stops the work."""
    return Probe(probe, True, code, cause, action_for(code))
