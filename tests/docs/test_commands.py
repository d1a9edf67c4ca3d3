"""Every command and every setting is documented; every command's help ends with an example that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_group
from typer.testing import CliRunner

from ops.cli.lazy import Later, VerbAndNoun
from ops.cli.main import app
from ops.tenants import RESERVED

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "tests/README.md"]


def commands() -> dict[tuple[str, ...], set[str]]:
    """{words of every command: its options}"""
    found: dict[tuple[str, ...], set[str]] = {}
    for name, later in get_group(app).commands.items():
        assert isinstance(later, Later)
        both = isinstance(later, VerbAndNoun)
        real = later.group if isinstance(later, VerbAndNoun) else later.real
        verbs = real.commands if isinstance(real, TyperGroup) else {}
        shown: dict[tuple[str, ...], Any] = {(name, verb): one for verb, one in verbs.items() if not one.hidden}
        shown = shown | ({(name,): later.real} if both or not shown else {})
        found |= {words: {each for p in command.params for each in p.opts} for words, command in shown.items()}
    return found


OPTIONS = commands()


@pytest.mark.parametrize("words", OPTIONS, ids=" ".join)
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_example_in_the_docs_names_a_command_and_options_that_exist(document: Path) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", document.read_text(encoding="utf-8"), re.DOTALL))
    # (A user of Redis or the system may be called koppeling, too.)
    command = r"(?<![\w/.-])(?<!SETUSER )(?<!user )koppeling ([a-z][^`\n#;&|()]*)"
    for line in re.findall(command, code.replace(".venv/bin/", "")):
        words = tuple(line.split())
        named = next((words[:length] for length in (2, 1) if words[:length] in OPTIONS), None)
        # A noun alone stands for all its verbs, as in "koppeling holds …".
        assert named or words[0] in {name for name, *_ in OPTIONS}, line
        known = OPTIONS[named] if named else set().union(*(OPTIONS[each] for each in OPTIONS if each[0] == words[0]))
        assert set(re.findall(r"(?<!\S)\[?(--[a-z-]+)", line)) <= known | {"--help"}, line
    nouns = "|".join({words[0] for words in OPTIONS if len(words) == 2})
    for noun, verb in re.findall(rf"`({nouns}) ([a-z][a-z-]+)\b", code):
        # What is a verb too has a tenant there.
        assert (noun, verb) in OPTIONS or (noun,) in OPTIONS, f"{noun} {verb}"


def test_a_verb_that_is_a_noun_too_keeps_its_noun_verbs_from_being_slugs() -> None:
    both = [later for later in get_group(app).commands.values() if isinstance(later, VerbAndNoun)]
    assert both
    for later in both:
        assert set(later.group.commands) == set(later.verbs) == set(RESERVED)


def test_every_setting_is_documented() -> None:
    text = (ROOT / "settings.py").read_text()
    names = set(re.findall(r'knob\(\s*"([A-Z_]+)"', text))
    assert len(names) > 10
    for name in names:
        assert f"`KOPPELING_{name}`" in OPERATIONS, name
