"""A command starts at once: it imports what it needs and nothing else."""

from __future__ import annotations

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


def imported(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _SHOW, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split("|"))


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_and_version_import_no_command(words: tuple[str, ...]) -> None:
    found = imported(*words)
    assert "ops.cli.lazy" in found
    assert not found & (SLOW | OURS)
