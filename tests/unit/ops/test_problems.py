"""What a verb refuses, it says by a code: in English to the terminal, in the reader's language elsewhere."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import ops.access  # noqa: F401  its classes are problems too
from ops import problems
from ops.language import SENTENCES, Sentence, Words
from ops.problems import AlreadyDecided, FileProblems, Forbidden, NotThere, Problem
from ops.tenants import file

ROOT = Path(__file__).parents[3]


def _classes(of: type[Problem] = Problem) -> Iterator[type[Problem]]:
    yield of
    for one in of.__subclasses__():
        yield from _classes(one)


SAYING = {one.__name__ for one in _classes()} - {FileProblems.__name__}


def _calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((ROOT / "ops").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _codes(call: ast.Call) -> list[str]:
    """The codes that a call may name: one, one of two, or what an f-string fits that has the right parameters."""
    match call.args:
        case [ast.Constant(value=str(code))]:
            return [code]
        case [ast.IfExp(body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other)))]:
            return [one, other]
        case [ast.JoinedStr(values=parts)]:
            pattern = "".join(re.escape(str(one.value)) if isinstance(one, ast.Constant) else r"\w+" for one in parts)
            codes = [code.removeprefix("problem.") for code in SENTENCES if code.startswith("problem.")]
            fitting = [code for code in codes if re.fullmatch(pattern, code)]
            return [code for code in fitting if not _lacking(call, SENTENCES[f"problem.{code}"])]
    return []


def _lacking(call: ast.Call, sentence: Sentence) -> set[str]:
    if any(one.arg is None for one in call.keywords):
        return set()  # handed on as they came
    texts = [sentence] if isinstance(sentence, str) else sentence
    wanted = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}
    return wanted - {one.arg for one in call.keywords if one.arg}


def test_every_problem_in_the_source_has_a_sentence_and_all_that_it_names() -> None:
    seen, wrong = 0, []
    for place, call in _calls(*SAYING):
        codes = [code for code in _codes(call) if f"problem.{code}" in SENTENCES]
        if not codes:
            wrong.append(f"{place}: no code of the catalogue")
        for code in codes:
            seen += 1
            for text in (SENTENCES[f"problem.{code}"], SENTENCES.get(f"page.{code}", "")):
                wrong += [f"{place}: {code} lacks {name}" for name in _lacking(call, text)]
    assert not wrong, "\n".join(wrong)
    assert seen > 100


def test_every_sentence_within_a_sentence_is_there_too() -> None:
    wrong = []
    for place, call in _calls("Words"):
        if any(isinstance(one, ast.Starred) for one in call.args):
            continue
        codes = [code for code in _codes(call) if code in SENTENCES]
        if not codes and isinstance(call.args[0], ast.Constant | ast.IfExp):
            wrong.append(f"{place}: no code of the catalogue")
        wrong += [f"{place}: {code} lacks {name}" for code in codes for name in _lacking(call, SENTENCES[code])]
    assert not wrong, "\n".join(wrong)


def test_every_sentence_of_a_problem_is_said_somewhere() -> None:
    said = {code for _, call in _calls(*SAYING) for code in _codes(call)}
    said |= {code.removeprefix("problem.") for _, call in _calls("Words") for code in _codes(call)}
    unsaid = {code for code in SENTENCES if code.startswith("problem.")} - {f"problem.{code}" for code in said}
    assert not unsaid


def test_the_terminal_gets_english_with_commands_and_a_page_its_readers_language_without() -> None:
    refused = Problem("paused", slug="acme", why="verhuizing")
    assert str(refused) == "acme is paused (verhuizing): `koppeling tenants resume acme` ends that."
    assert refused.say("en") == "acme is paused (verhuizing). Resume it first."
    assert refused.say("nl") == "acme is gepauzeerd (verhuizing). Hervat die eerst."


def test_a_sentence_within_a_sentence_is_said_in_the_same_language() -> None:
    refused = Problem("paused", slug="acme", why=Words("why.none_given"))
    assert "(no reason given)" in str(refused)
    assert "(geen reden gegeven)" in refused.say("nl")


def test_a_command_that_was_asked_for_a_language_is_refused_in_it() -> None:
    refused = Problem("connector_not_open", language="nl", name="X", listed=Words("none"))
    assert str(refused) == "Er staat voor dit token geen GetConnector X open. Open staan: geen."


def test_what_is_wrong_with_a_file_is_a_line_each_in_both_languages() -> None:
    refused = FileProblems([Words("problem.at", place="f.csv:3", what=Words("problem.links_nobody")), "f.csv:4: <odd>"])
    assert refused.lines == ["f.csv:3: nobody in Pluvo has this address", "f.csv:4: <odd>"]
    assert str(refused) == "\n".join(refused.lines)
    assert refused.say("nl") == "f.csv:3: niemand in Pluvo heeft dit adres\nf.csv:4: <odd>"


def test_the_kind_of_a_problem_gives_the_status_of_its_answer() -> None:
    status = {one: one.status for one in (Problem, FileProblems, NotThere, Forbidden, AlreadyDecided)}
    assert status == {Problem: 422, FileProblems: 422, NotThere: 404, Forbidden: 403, AlreadyDecided: 409}
    assert all(400 <= one.status < 500 for one in _classes(problems.Problem))


def test_braces_and_markup_in_what_was_typed_stay_text() -> None:
    assert "'{7*7}<b>'" in Problem("no_tenant", named="'{7*7}<b>'").say("nl")


# What they call to judge a value
JUDGING = {
    "clients/afas/address.py": ("parse_member_id",),
    "clients/afas/auth.py": ("normalise_token",),
    "clients/http/base_url.py": ("checked_base_url",),
    "clients/pluvo/client.py": ("pluvo_base_url",),
    "settings.py": ("parse_duration", "parse_address", "parse_quiet"),
}


def _judging(path: str) -> Iterator[ast.AST]:
    whole = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for function in ast.walk(whole):
        if isinstance(function, ast.FunctionDef) and function.name in JUDGING[path]:
            yield from ast.walk(function)


def _told_of_values() -> Iterator[tuple[str, str]]:
    """What the classes of the tenants file say of a value, with something for each parameter."""
    files = ("models/tenant_settings.py", "models/course_settings.py", "ops/tenants/file_spec.py")
    nodes = {path: ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))) for path in files}
    for path, found in (nodes | {path: _judging(path) for path in JUDGING}).items():
        for node in found:
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ValueError":
                match node.args[0]:
                    case ast.Constant(value=str(text)):
                        yield path, text
                    case ast.JoinedStr(values=parts):
                        shown = (str(one.value) if isinstance(one, ast.Constant) else "x" for one in parts)
                        yield path, "".join(shown)


def test_what_is_said_of_a_value_comes_in_dutch_too() -> None:
    told = [*_told_of_values(), *(("file.py", said) for said in file._WORDS.values())]
    told += [("file.py", one) for one in ("must be 1 to 5", "x is missing", "unknown key (did you mean x?)")]
    assert len(told) > 40
    # "must be {listed}" fits many an English sentence, and says none of it in Dutch.
    codes = {one: getattr(file.words(one[1]), "code", None) for one in told}
    assert [one for one, code in codes.items() if code in (None, "value.one_of")] == []


@pytest.mark.parametrize(
    ("said", "dutch"),
    [
        ("must be 1 to 25", "moet 1 tot 25 zijn"),
        ("must be 5m to 30d, not 1s", "moet 5m tot 30d zijn, niet 1s"),
        ("must be 'production', 'test' or 'accept'", "moet 'production', 'test' or 'accept' zijn"),
        ('must be text such as "60m", between quotes', 'moet tekst zijn zoals "60m", tussen aanhalingstekens'),
    ],
)
def test_the_sentence_of_a_value_is_the_one_that_fits_best(said: str, dutch: str) -> None:
    found = file.words(said)
    assert isinstance(found, Words)
    assert (str(found), found.say("nl")) == (said, dutch)


def test_a_text_that_the_catalogue_lacks_stays_as_it_is() -> None:
    assert file.words("something odd {x}") == "something odd {x}"
