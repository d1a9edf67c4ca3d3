"""The table of targets: what is measured, which rows are chosen, and how it gets into the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.targets import TARGETS, Found, Target

NAMES = [target.name for target in TARGETS]


def test_every_target_is_measured_once() -> None:
    measured = [name for names, _ in bench.measurements(bench.arguments([])) for name in names]
    assert sorted(measured) == sorted(NAMES)


def test_a_size_of_0_leaves_its_rows_out() -> None:
    left = [
        name for names, _ in bench.measurements(bench.arguments(["--rows", "0", "--people", "0"])) for name in names
    ]
    assert "unchanged" not in left
    assert not any(name.startswith("first-sync") for name in left)
    assert "status" in left


@pytest.mark.parametrize(
    ("only", "rows"),
    [
        ("", set(NAMES)),
        ("write-backs, status", {"write-backs", "write-backs-8", "write-backs-none", "status"}),
        ("nonsense", set()),
    ],
)
def test_rows_are_chosen_by_how_their_names_begin(only: str, rows: set[str]) -> None:
    assert bench.chosen(only) == rows


@pytest.mark.parametrize(
    ("value", "at_least", "met"), [(2, False, True), (2.1, False, False), (2, True, True), (1, True, False)]
)
def test_a_target_is_met_at_its_limit(value: float, at_least: bool, met: bool) -> None:
    assert Target("x", "x", "s", 2, at_least).met(value) == met


def test_the_written_table_replaces_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{bench.BEGIN}old\n{bench.END}after\n", encoding="utf-8")
    monkeypatch.setattr(bench, "PAGE", page)
    rows = [bench.row_of(TARGETS[0], Found(2.3401, "1 s", {}))]
    bench.write({"at": "2026-11-26T12:00:00", "machine": bench.machine(), "rows": rows, "seconds": 5})
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{bench.BEGIN}Measured 2026-11-26 ")
    assert "| 2.34 ms | 1 s | yes |" in text
    assert text.endswith(f"|\n{bench.END}after\n")
    assert "old" not in text
