"""``make migration``: the file that changed models need."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import psycopg

from migrations.run import head, upgrade
from tools.new_migration import write


def test_a_difference_becomes_a_file_after_the_newest_with_date_and_words_in_its_name(
    empty_database_url: str, tmp_path: Path
) -> None:
    upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:  # so the models have something that the tables lack
        connection.execute("ALTER TABLE installation DROP COLUMN migrated_at")

    path = write(empty_database_url, "Say when it was migrated", tmp_path)

    assert path
    assert path.parent == tmp_path
    day = re.fullmatch(r"(\d{8})_say_when_it_was_migrated\.py", path.name)
    assert day
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""Say when it was migrated\n')
    names = {
        ast.unparse(line.targets[0]): ast.literal_eval(line.value)
        for line in ast.parse(text).body
        if isinstance(line, ast.Assign)
    }
    assert re.fullmatch(rf"{day[1]}_[1-9]\d*", names["revision"])
    assert names["down_revision"] == head()
    assert "op.add_column('installation', sa.Column('migrated_at'" in text
    assert "op.drop_column('installation', 'migrated_at')" in text


def test_another_default_of_the_database_is_a_difference(empty_database_url: str, tmp_path: Path) -> None:
    upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("ALTER TABLE installation ALTER migrated_at SET DEFAULT now() - interval '1 day'")

    path = write(empty_database_url, "Back to now", tmp_path)

    assert path
    assert "alter_column('installation', 'migrated_at'" in path.read_text(encoding="utf-8")


def test_nothing_is_written_when_the_tables_are_what_the_models_describe(
    empty_database_url: str, tmp_path: Path
) -> None:
    upgrade(empty_database_url)

    assert write(empty_database_url, "Nothing", tmp_path) is None
    assert list(tmp_path.iterdir()) == []
