"""Every command and every setting is documented; every command's help ends with an example that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_group
from typer.testing import CliRunner

from ops.cli.lazy import Later
from ops.cli.main import app

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def commands() -> list[tuple[str, ...]]:
    """The words of every command."""
    found: list[tuple[str, ...]] = []
    for name, later in get_group(app).commands.items():
        assert isinstance(later, Later)
        real = later.real
        verbs = real.commands.items() if isinstance(real, TyperGroup) else ()
        found += [(name, verb) for verb, command in verbs if not command.hidden] or [(name,)]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_is_documented_and_its_help_ends_with_an_example(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=200)
    assert shown.exit_code == 0
    last = " ".join(shown.stdout.strip().split("\n\n")[-1].split())
    assert last.startswith("Example: koppeling ")
    assert f"koppeling {' '.join(words)}" in last
    assert f"`koppeling {' '.join(words)}`" in OPERATIONS


def test_the_list_of_commands_says_of_each_what_the_command_says_itself() -> None:
    for name, later in get_group(app).commands.items():
        assert isinstance(later, Later)
        assert (later.real.help, later.real.hidden) == (later.help, False), name


def test_every_example_in_the_docs_names_a_command_that_exists() -> None:
    known = set(commands())
    for line in re.findall(r"`koppeling ([^`]+)`", OPERATIONS):
        words = tuple(line.split())
        assert words[:1] in known or words[:2] in known, line


def test_every_setting_is_documented() -> None:
    text = (ROOT / "settings.py").read_text()
    names = set(re.findall(r'knob\(\s*"([A-Z_]+)"', text))
    assert len(names) > 10
    for name in names:
        assert f"`KOPPELING_{name}`" in OPERATIONS, name
