"""What ``koppeling check`` finds: one line for each thing it tried."""

from __future__ import annotations

from dataclasses import dataclass

from ops.tenants.check_actions import action_for


@dataclass(frozen=True)
class Finding:
    """One finding. ``code`` is ``ok`` or one word a kind of fault; a warning is ok with a code of its own."""

    # what was tried, e.g. "afas token"
    probe: str
    ok: bool
    code: str = "ok"
    cause: str = ""
    action: str = ""


def fault(probe: str, code: str, cause: str) -> Finding:
    """What failed."""
    return Finding(probe, False, code, cause, action_for(code))


def warning(probe: str, code: str, cause: str) -> Finding:
    """Something to look at, but nothing that stops the work."""
    return Finding(probe, True, code, cause, action_for(code))
