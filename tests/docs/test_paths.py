"""What documents and comments point to exists: files, names in them, headings, make's verbs, programs."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "tests/README.md"]
PACKAGES = (
    *("clients", "models", "tenancy", "producers", "workers", "ops", "simulators"),
    *("migrations", "benchmarks", "tools", "tests"),
)
SOURCES = [path for package in PACKAGES if package != "tests" for path in sorted((ROOT / package).rglob("*.py"))]
ENDINGS = "py|md|toml|yaml|graphql|lock|mako"
# What a reader makes, and what a program writes.
RESULTS = {f"benchmarks/{name}" for name in ("result", "peers/result", "result-fairness", "result-limits")}
THEIRS = {"tenants.toml", "embedded.lock", *RESULTS}
# `workers/relay`, `result.py`, `ops/cli/<noun>.py`, `models/locks.py::hold`
PATH = re.compile(
    rf"(?<![\w./…<>{{-])((?:(?:{'|'.join(PACKAGES)}|docs|deploy|\.ci)/[\w./*-]*\w|(?:[\w-]+/)*[\w*-]+\.(?:{ENDINGS})\b))"
    r"(::(\w+))?"
)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


@cache
def files() -> list[str]:
    """Every file of ours, relative to the root."""
    tops = [*PACKAGES, "docs", "deploy", ".ci"]
    found = [path for top in tops for path in (ROOT / top).rglob("*") if "__pycache__" not in path.parts]
    return [path.relative_to(ROOT).as_posix() for path in found + [path for path in ROOT.iterdir() if path.is_file()]]


@cache
def meant(path: str) -> list[str]:
    """The files that a path may stand for: it may be short where the reader knows the folder."""
    return [name for name in files() if fnmatch(name, path) or fnmatch(name, f"*/{path}")]


def names_in(path: str) -> set[str]:
    """Functions, classes and constants of a file, whatever they stand in."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [
        node.targets if isinstance(node, ast.Assign) else [node.target]
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    ]
    named = [node for some in targets for target in some for node in ast.walk(target)]  # also of two at once
    return found | {node.id for node in named if isinstance(node, ast.Name)}


def wrong_paths(text: str) -> Iterator[str]:
    """Paths in a text that are of no file, and names after ``::`` that the file has not."""
    for match in PATH.finditer(text):
        path, name = match[1], match[3]
        if path in THEIRS or path.endswith("system.lock"):  # that one is no file
            continue
        there = meant(path)
        if not there:
            yield path
        elif name and not any(name in names_in(each) for each in there if each.endswith(".py")):
            yield match[0]


def anchors(path: Path) -> set[str]:
    """What a link to a heading of a document may say after ``#``."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_path_in_a_document_exists(document: Path) -> None:
    code = " \n".join(CODE.findall(document.read_text(encoding="utf-8")))
    assert list(wrong_paths(code)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_in_a_document_leads_somewhere(document: Path) -> None:
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]+))?\)", document.read_text(encoding="utf-8")):
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_make_verb_a_program_and_a_module_in_a_document_exist(document: Path) -> None:
    code = " \n".join(CODE.findall(document.read_text(encoding="utf-8")))
    verbs = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert {verb for verb in re.findall(r"(?<![\w/-])make ([a-z]+)", code) if verb not in verbs} == set()
    programs = set(re.findall(r"\.venv/bin/([\w-]+)", code))
    assert {name for name in programs if not (Path(sys.executable).parent / name).exists()} == set()
    modules = set(re.findall(r"python -m ([\w.]+)", code))
    assert {name for name in modules if find_spec(name) is None} == set()


def test_a_file_that_a_comment_names_exists() -> None:
    wrong = []
    for source in SOURCES:
        text = source.read_text(encoding="utf-8")
        pointers = "\n".join(re.findall(r"(?:``|docs/)[^`\n]*", text))
        headings = re.findall(r"(docs/\w+\.md)#([\w-]+)", text)
        lost = [f"{page}#{anchor}" for page, anchor in headings if anchor not in anchors(ROOT / page)]
        wrong += [f"{source.relative_to(ROOT)}: {path}" for path in [*wrong_paths(pointers), *lost]]
    assert not wrong, "\n".join(wrong)


def test_a_path_or_a_name_that_is_gone_is_noticed() -> None:
    text = "`models/locks.py::hold`, `locks.py`, `workers/relay`, `models/gone.py`, `gone.md`, `models/locks.py::gone`"
    assert list(wrong_paths(text)) == ["models/gone.py", "gone.md", "models/locks.py::gone"]
