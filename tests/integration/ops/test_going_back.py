"""Back to an older version: its tables again, with all that it knew of, and never under a worker's feet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg

from migrations.run import current, head
from tests.integration.ops.test_command_line import Command, koppeling, one_line
from tests.unit.ops.tenants.test_file import GOOD

__all__ = ["koppeling"]  # a fixture
RELEASED = "20261122_1"  # 0.1.0
_ALIVE = "INSERT INTO worker (id, host, pid, code_version) VALUES ('here:1:x', 'here', 1, '0')"


def test_the_tables_of_an_older_release_keep_its_tenants_and_come_up_again(
    koppeling: Command, environment: Mapping[str, str], tmp_path: Path
) -> None:
    # given a tenant, and what this version says to one that is older than the tables
    url, file = environment["KOPPELING_DATABASE_URL"], tmp_path / "tenants.toml"
    file.write_text(GOOD)
    assert koppeling("tenants", "import", str(file), **environment).returncode == 0
    # when somebody goes back without having stopped, said yes, or named a revision
    assert "Say --yes" in one_line(koppeling("migrate", "--back-to", RELEASED, **environment))
    line = one_line(koppeling("migrate", "--back-to", "20991231_1", "--yes", **environment))
    assert line.startswith("20991231_1 is no revision of the tables that this version knows: 20261122_1, 20261126_1, ")
    with psycopg.connect(url) as connection:
        connection.execute(_ALIVE)
    line = one_line(koppeling("migrate", "--back-to", RELEASED, "--yes", **environment))
    assert line.startswith("1 worker process is at work: stop it first")
    assert current(url) == head()
    # when all is stopped
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM worker")
    done = koppeling("migrate", "--back-to", RELEASED, "--yes", **environment)
    # then
    assert (done.returncode, done.stdout) == (0, f"The database is at {RELEASED}.\n")
    assert current(url) == RELEASED
    assert "older than this version" in one_line(koppeling("status", **environment))
    # and forward again
    assert koppeling("migrate", **environment).returncode == 0
    assert koppeling("tenants", "list", **environment).stdout.count("acme") == 1
