"""Write the next migration from what the models have and the migrations don't make yet.

``make migration m="add a column"`` runs it, against a PostgreSQL of its own that is gone afterwards. Alembic does not
see everything (renames, checks, functions, data): read what it wrote.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alembic import command

from migrations.run import config, driver_url, revisions, upgrade
from ops.servers.embedded import start_postgres

VERSIONS = Path(__file__).parents[1] / "migrations/versions"


def write(url: str, message: str, folder: Path = VERSIONS) -> Path | None:
    """Write the migration that a database of the newest revision needs; None when it needs none.

    Args:
        url: of that database, ``postgresql://…``.
        message: what changes, in a few words; the file's name is made of it.
        folder: where the file goes.
    """
    made = config(driver_url(url))
    made.set_main_option("version_locations", f"{VERSIONS}:{folder}" if folder != VERSIONS else str(VERSIONS))
    made.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    made.set_main_option("timezone", "UTC")
    script = command.revision(
        made,
        message,
        autogenerate=True,
        rev_id=next_revision(),
        version_path=str(folder),
        process_revision_directives=_only_changes,
    )
    return Path(script.path) if script and not isinstance(script, list) else None


def next_revision() -> str:
    """Today's date with the first number that is free, e.g. ``20261122_1``."""
    today, taken = f"{datetime.now(UTC):%Y%m%d}", revisions()
    return next(name for number in range(1, 100) if (name := f"{today}_{number}") not in taken)


def _only_changes(context: Any, revision: Any, directives: list[Any]) -> None:
    """Alembic would write a file that does nothing."""
    if directives[0].upgrade_ops.is_empty():
        directives.clear()


def main() -> None:
    """The arguments are the message. Prints the new file's path; exits 1 when there is nothing to do, and says so."""
    message = " ".join(sys.argv[1:]).strip()
    if not message:
        sys.exit('Say in a few words what changes: make migration m="add a column"')
    with TemporaryDirectory(prefix="koppeling-migration-") as home:
        server = start_postgres(Path(home))
        try:
            upgrade(server.url)
            with redirect_stdout(sys.stderr):  # alembic tells there what it does
                path = write(server.url, message)
        finally:
            server.stop()
    if path is None:
        sys.exit("The migrations make all that the models describe: change models/ first.")
    sys.stdout.write(f"{path.relative_to(VERSIONS.parents[1])}\n")


if __name__ == "__main__":
    main()
