"""From release 0.1.0 on migrations only add: what a release shipped is in databases, so it stays as it was.

Until ``## 0.1.0`` stands in CHANGELOG.md the first migration may be rewritten.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from migrations.run import config, head, revisions

ROOT = Path(__file__).parents[2]
FIRST = "20261122_first_tables.py"
# SHA-256 of each migration that a release shipped. At a release the test below says which lines to add.
FROZEN: dict[str, str] = {
    "20261122_first_tables.py": "d43ccc08f55b51f3292ccf029e8e42a076efdf42797352a0ba12ddf839a5d7f8",
}


def mistakes(changelog: str, frozen: dict[str, str], files: dict[str, str]) -> list[str]:
    """What is wrong, each with what to do.

    Args:
        changelog: the text of CHANGELOG.md.
        frozen: the hashes of the migrations that were released, by file name.
        files: the hashes of the migrations that there are, by file name.
    """
    found = [
        f"{name} was released, so databases have it as it was then. Undo what changed in it "
        f"(`git log -p -- migrations/versions/{name}`) and write what you need as a migration of its own: "
        'make migration m="what changes"'
        for name, was in sorted(frozen.items())
        if files.get(name) != was
    ]
    sections = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    releases = [section for section in sections if section != "Unreleased"]
    # The release itself ships all that there is; what comes under a later "Unreleased" may still be rewritten.
    shipped = set(files) if sections == releases else {FIRST}
    missing = sorted(shipped - set(frozen)) if releases else []
    if missing:
        lines = "".join(f'\n    "{name}": "{files.get(name)}",' for name in missing)
        found.append(
            f"CHANGELOG.md says that {releases[0]} is released, so its migrations never change again. "
            f"Add to FROZEN in tests/migrations/test_released.py:{lines}"
        )
    return found


def test_a_released_migration_is_as_it_was_released() -> None:
    versions = (ROOT / "migrations/versions").glob("*.py")
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in versions}
    found = mistakes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), FROZEN, files)

    assert not found, "\n".join(found)


def test_each_migration_follows_the_one_before_and_none_branches_off() -> None:
    scripts = list(ScriptDirectory.from_config(config("postgresql://")).walk_revisions())[::-1]

    assert [script.down_revision for script in scripts] == [None, *(script.revision for script in scripts[:-1])]
    assert Path(scripts[0].path).name == FIRST
    assert len(scripts) == len(list((ROOT / "migrations/versions").glob("*.py")))
    # What commands read from the files, without alembic.
    assert head() == scripts[-1].revision
    assert revisions() == {script.revision for script in scripts}


NEW = {FIRST: "aa", "20270101_more.py": "bb"}


@pytest.mark.parametrize(
    ("sections", "frozen"),
    [
        ("## Unreleased\n", {}),
        ("## 0.1.0 - 2026-11-26\n", NEW),
        ("## Unreleased\n## 0.1.0 - 2026-11-26\n", {FIRST: "aa"}),
    ],
    ids=["before a release", "at a release", "after a release"],
)
def test_only_what_was_released_has_to_be_frozen(sections: str, frozen: dict[str, str]) -> None:
    assert mistakes(sections, frozen, NEW) == []


@pytest.mark.parametrize(
    ("sections", "frozen", "named"),
    [
        ("## 0.1.0\n", {}, list(NEW)),
        ("## Unreleased\n## 0.1.0\n", {}, [FIRST]),
        ("## 0.2.0\n## 0.1.0\n", {FIRST: "aa"}, ["20270101_more.py"]),
    ],
    ids=["the first release", "looked at later", "the second release"],
)
def test_a_release_asks_for_the_lines_to_add(sections: str, frozen: dict[str, str], named: list[str]) -> None:
    (said,) = mistakes(sections, frozen, NEW)

    lines = "".join(f'\n    "{name}": "{NEW[name]}",' for name in named)
    assert said.endswith(f"Add to FROZEN in tests/migrations/test_released.py:{lines}")


@pytest.mark.parametrize("files", [{FIRST: "changed"}, {}], ids=["changed", "gone"])
def test_a_released_migration_that_changed_is_named_with_the_way_out(files: dict[str, str]) -> None:
    (said,) = mistakes("## Unreleased\n## 0.1.0\n", {FIRST: "aa"}, files)

    assert said.startswith(f"{FIRST} was released")
    assert "make migration" in said
