"""What import-linter can't say: nothing imports in a circle, and where the modules that are no packages stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("clients", "models", "tenancy", "producers", "workers", "ops", "simulators"),
    *("migrations", "benchmarks", "tools"),
)
# What of ours each of these may import.
ALONE = {"settings": set[str](), "logs": {"clients", "settings"}, "loops": {"models"}}


def modules() -> dict[str, Path]:
    """{dotted name: file} of everything that is ours."""
    files = [ROOT / f"{name}.py" for name in ALONE] + [path for top in PACKAGES for path in (ROOT / top).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(path: Path) -> Iterator[str]:
    """Every name that a file imports, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def graph() -> dict[str, set[str]]:
    """{module: modules of ours that it imports}"""
    ours = modules()
    found: dict[str, set[str]] = {name: set() for name in ours}
    for name, path in ours.items():
        for target in imported(path):
            parts = target.split(".")
            known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            found[name] |= {next((each for each in known if each in ours), name)} - {name}
    return found


def test_no_module_imports_in_a_circle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("name", ALONE)
def test_a_module_that_is_no_package_imports_only_what_stands_below_it(name: str) -> None:
    assert {target.split(".")[0] for target in graph()[name]} <= ALONE[name]


def test_the_engine_imports_what_it_names() -> None:
    """A type that can only be imported for checking is the sign of a circle."""
    assert [
        name for name, path in modules().items() if name.startswith("workers") if "TYPE_CHECKING" in path.read_text()
    ] == []
