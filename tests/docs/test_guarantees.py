"""Each promise names its tests, and each test named is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def test_each_of_the_ten_promises_names_a_test() -> None:
    parts = re.split(r"^## (\d+)\. ", TEXT, flags=re.MULTILINE)[1:]
    promises = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    assert sorted(promises) == list(range(1, 11))
    for number, promise in promises.items():
        assert re.search(r"^- `tests/\S+::test_\w+`$", promise, re.MULTILINE), f"promise {number} names no test"


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TEXT)
    assert len(named) >= 50
    missing = [f"{path}::{name}" for path, name in named if name not in _tests_of(ROOT / path)]
    assert missing == []


def _tests_of(path: Path) -> set[str]:
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
