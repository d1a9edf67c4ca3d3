"""Write docs/codes.md and docs/codes.nl.md from the catalogue: every code that is shown, what it means, what to do.

``make reference`` runs it; ``tests/docs/test_codes.py`` compares.
"""

from __future__ import annotations

import re
from pathlib import Path

from ops.language import FILES, Language, template

DOCS = Path(__file__).parents[1] / "docs"
PAGES: dict[Language, Path] = {"en": DOCS / "codes.md", "nl": DOCS / "codes.nl.md"}
# (file of the catalogue, what of a code means, what says what to do)
SECTIONS = (
    ("findings", "cause", "action"),
    ("errors", "cause", "action"),
    ("dead_letters", "cause", "action"),
    ("reasons", "reason", "next"),
    ("doctor", "doctor", "doctor_do"),
    ("alerts", "cause", "action"),
)
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "title": "# Codes, and what to do",
        "made": "Made by `make reference` from the catalogue of sentences. In Dutch: [codes.nl.md](codes.nl.md).",
        "findings": "What `koppeling check` finds",
        "errors": "What a failed call means",
        "dead_letters": "What else makes a dead letter, or ends a run",
        "reasons": "Why a run, a line, a hold or a completion is as it is",
        "doctor": "What `koppeling doctor` finds",
        "alerts": "Why an alert was not delivered",
        "head": "| code | it means | what to do |",
    },
    "nl": {
        "title": "# Codes, en wat te doen",
        "made": "Gemaakt met `make reference` uit de catalogus van zinnen. In het Engels: [codes.md](codes.md).",
        "findings": "Wat `koppeling check` vindt",
        "errors": "Wat een mislukte aanroep betekent",
        "dead_letters": "Wat verder tot een dead letter leidt, of een run beëindigt",
        "reasons": "Waarom een run, een rij, een opgehouden lijst of een voltooiing is zoals die is",
        "doctor": "Wat `koppeling doctor` vindt",
        "alerts": "Waarom een melding niet is bezorgd",
        "head": "| code | betekenis | wat te doen |",
    },
}


def page(language: Language) -> str:
    """The whole page in one language."""
    words = WORDS[language]
    parts = [words["title"], words["made"]]
    for name, meaning, action in SECTIONS:
        codes = sorted(code.removeprefix(f"{meaning}.") for code in FILES[name] if code.startswith(f"{meaning}."))
        rows = [f"| `{code}` | {_told(meaning, code, language)} | {_told(action, code, language)} |" for code in codes]
        parts += [f"## {words[name]}", "\n".join([words["head"], "|---|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def _told(kind: str, code: str, language: Language) -> str:
    """A sentence with an ellipsis for each value; of two, the one of many."""
    found = template(f"{kind}.{code}", language)
    text = found if isinstance(found, str) else found[1]
    return re.sub(r"\{\w+\}", "…", text).replace("|", "\\|")


if __name__ == "__main__":
    for language, file in PAGES.items():
        file.write_text(page(language), encoding="utf-8")
