"""What a producer works under: a run with a lease that can be lost, or a preview that only looks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection

from models.session import transaction


class Scope(Protocol):
    """The part of a run's lease that reading and planning need."""

    @property
    def run_id(self) -> str: ...
    @property
    def tenant_id(self) -> int: ...
    @property
    def options(self) -> dict[str, Any]: ...
    def check(self) -> None:
        """Raise when the run was stopped or taken over."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction in which this run still is ours."""

    def progress(self, **counts: int) -> None:
        """Tell whoever watches how far it is."""


class PreviewScope:
    """A dry run: its run row belongs to nobody else, so there is nothing to lose and nobody to check with."""

    def __init__(self, run_id: str, tenant_id: int, options: dict[str, Any]) -> None:
        self.run_id = run_id
        self.tenant_id = tenant_id
        self.options = options

    def check(self) -> None:
        """A preview is stopped with Ctrl-C."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A plain transaction."""
        return transaction()

    def progress(self, **counts: int) -> None:
        """Nobody watches a preview through the database."""
