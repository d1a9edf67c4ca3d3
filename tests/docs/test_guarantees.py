"""Each promise names its tests, and each test named is there, here and where AFAS's points are answered."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
CERTIFICATION = (ROOT / "docs" / "certification.md").read_text(encoding="utf-8")


def test_each_of_the_ten_promises_names_a_test() -> None:
    parts = re.split(r"^## (\d+)\. ", TEXT, flags=re.MULTILINE)[1:]
    promises = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    assert sorted(promises) == list(range(1, 11))
    for number, promise in promises.items():
        assert re.search(r"^- `tests/\S+::test_\w+`$", promise, re.MULTILINE), f"promise {number} names no test"


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TEXT + CERTIFICATION)
    assert len(named) >= 50
    missing = [f"{path}::{name}" for path, name in named if name not in _tests_of(ROOT / path)]
    assert missing == []


def test_each_point_that_afas_asks_for_is_shown_by_a_test_or_a_file() -> None:
    rows = re.findall(r"^\|(?! AFAS asks|---).*\|$", CERTIFICATION, re.MULTILINE)
    assert len(rows) >= 20
    for row in rows:
        shown = re.findall(r"`([^`]*)`", row.split("|")[3])
        assert shown, row
        assert [name for name in shown if not (ROOT / name.split("::")[0]).exists()] == []


def _tests_of(path: Path) -> set[str]:
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
