"""Commands whose modules are imported when they are chosen: ``koppeling --help`` needs none of them.

Typer builds every command from its function, and the functions' modules import all they work with. So the names and
the help lines stand in ``ops/cli/main.py``, and a command becomes the real one once its arguments are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from typer.core import TyperCommand
from typer.main import get_group

HELP = {"help_option_names": ["-h", "--help"]}


class Later(TyperCommand):
    """Stands for a command in the list of commands: all verbs of ``module``, or the one verb of this name in it."""

    def __init__(self, name: str, help_line: str, module: str, *, whole: bool) -> None:
        super().__init__(name, help=help_line)
        self.module, self.whole = module, whole

    @cached_property
    def real(self) -> Any:
        """The command itself. Typer keeps the types of its commands and contexts in a private module."""
        group = get_group(import_module(self.module).app)
        return group if self.whole else group.commands[str(self.name)]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the arguments, which is the first that is done with a chosen command: its context names the real one."""
        return self.real.make_context(info_name, args, parent, **extra)


class VerbAndNoun(Later):
    """A verb whose name is a noun too: ``completions acme`` runs it, ``completions list`` is a verb of the noun.

    Only the first word decides, so what begins with an option is the run; after ``--`` a tenant may be called anything.
    """

    def __init__(self, name: str, help_line: str, module: str, *, noun: str, verbs: Sequence[str]) -> None:
        super().__init__(name, help_line, module, whole=False)
        self.noun, self.verbs = noun, verbs

    @cached_property
    def group(self) -> Any:
        """The noun's verbs."""
        return get_group(import_module(self.noun).app)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As above."""
        command = self.group if args and args[0] in self.verbs else self.real
        return command.make_context(info_name, args, parent, **extra)
