"""The catalogue of sentences: whole in both languages, and never in the way of what it tells."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import cast

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from clients.afas import errors as of_afas
from clients.pluvo import errors as of_pluvo
from ops.language import FILES, FOLDER, SENTENCES, Language, language_of, say
from ops.tenants.importing import CHANGES


def _dutch(name: str) -> dict[str, Message]:
    with (FOLDER / f"{name}.po").open("rb") as file:
        return {str(one.context): one for one in read_po(file, locale="nl", abort_invalid=True) if one.id}


def _parameters(sentence: object) -> set[str]:
    texts = [sentence] if isinstance(sentence, str) else cast(tuple[str, ...], sentence)
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("name", FILES)
def test_every_sentence_has_a_dutch_one_with_the_same_parameters(name: str) -> None:
    dutch = _dutch(name)
    lacking = [code for code in FILES[name] if code not in dutch or not dutch[code].string or dutch[code].fuzzy]
    assert not lacking, f"{name}.po lacks, or doubts, {', '.join(lacking)}"
    assert not dutch.keys() - FILES[name].keys(), "sentences that are no longer there"
    for code, sentence in FILES[name].items():
        assert dutch[code].id == sentence, f"{code}: the English changed, look at the Dutch again"
        assert _parameters(dutch[code].string) == _parameters(sentence), code
        assert isinstance(sentence, str) or "count" in _parameters(sentence), f"{code}: nothing chooses between the two"


# Another spelling or word for the same thing sends who reads it looking for a second one.
NOT_OUR_DUTCH = (
    "aanbod-evenement",
    "app-connector",
    "tenantbestand",
    "tenantsbestand",
    "deelnemersnummer",
    "client-secret",
)


@pytest.mark.parametrize("name", FILES)
def test_one_thing_has_one_word_in_dutch(name: str) -> None:
    for code, message in _dutch(name).items():
        english, dutch = (one if isinstance(one, str) else " ".join(one or ()) for one in (message.id, message.string))
        assert [word for word in NOT_OUR_DUTCH if word in dutch.lower()] == [], code
        # "rij" is a row of AFAS's, "regel" a rule of the tenants file
        if re.search(r"\brows?\b", english) and not re.search(r"\brules?\b", english):
            assert not re.search(r"\bregels?\b", dutch), code


def test_the_manual_has_the_same_words() -> None:
    manual = Path("docs/handleiding.md").read_text(encoding="utf-8").lower()
    assert [word for word in NOT_OUR_DUTCH if f" {word}" in manual] == []


def test_every_error_of_a_client_says_what_it_means_and_what_to_do() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in Path("clients").rglob("*.py"))
    raised = r"(?:Misconfigured|Unavailable|Unknown|Rejected|Unauthorized|TooLarge|NoRoom|Incomplete|kind|_Stale)"
    codes = set(re.findall(raised + r'\(\s*"([a-z_]+)"', source))
    codes |= {rule.code for rule in (*of_afas.RULES, of_afas.UNEXPECTED)}
    codes |= {rule.code for rule in (*of_pluvo.STATUS_RULES, *of_pluvo.BODY_RULES)}
    codes |= {rule.of_record for rule in of_pluvo.BODY_RULES if rule.of_record}
    assert len(codes) > 40
    lacking = [code for code in codes for kind in ("cause", "action") if f"{kind}.{code}" not in SENTENCES]
    assert lacking == []


def test_no_code_has_two_sentences() -> None:
    assert len(SENTENCES) == sum(len(file) for file in FILES.values())


def test_a_sentence_comes_in_both_languages() -> None:
    assert say("action.throttled", "en") == "Wait a moment and check again."
    assert say("action.throttled", "nl") == "Wacht even en controleer opnieuw."


def test_every_change_of_a_tenant_is_told_in_words() -> None:
    codes = {verb: "did." + verb.replace(" ", "_").replace("-", "_") for verb in CHANGES}
    assert [verb for verb, code in codes.items() if code not in SENTENCES] == []


def test_braces_in_a_value_stay_and_a_value_that_lacks_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SENTENCES, "cause.try", ("{count} row of {name}", "{count} rows of {name}"))
    assert say("cause.try", "en", count=1, name="{count}") == "1 row of {count}"
    assert say("cause.try", "nl", count=0) == "0 rows of ?"


@pytest.mark.parametrize(
    ("wanted", "locale", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "nl_NL.UTF-8"}, "nl"),
        (None, {"LANG": "nl_BE.UTF-8", "LC_MESSAGES": "", "LC_ALL": "C"}, "en"),
        (None, {"LANG": "de_DE", "LC_MESSAGES": "nl"}, "nl"),
        ("en", {"LC_ALL": "nl_NL"}, "en"),
        ("nl", {"LC_ALL": "en_GB"}, "nl"),
    ],
)
def test_the_language_is_the_one_asked_for_or_the_terminals(
    wanted: Language | None, locale: dict[str, str], language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    assert language_of(wanted) == language
