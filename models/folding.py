"""The forms in which addresses, names, titles and ids are compared. Pure. What is compared is stored as it was given.

Two spellings of one text (é as one letter or as e and an accent) are one text: everything here begins with NFC.

=================  ==================================================================================================
``fold_email``     one mailbox: NFC, ASCII letters without regard to case. Mail servers promise no more, and ß is no ss.
``loose_email``    alike at most: what only this form makes equal is for a person to decide, never for us
``fold_name``      one name: white space folded, letters of every script without regard to case
``fold_title``     one title: white space folded, case kept
``SQL_SEARCH``     what people are searched by: name and address without accents and capitals
``fold_account``   one Pluvo id: UUIDs are lower case with hyphens, whoever typed them
=================  ==================================================================================================
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any
from uuid import UUID

_LOWER_ASCII = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# The same as ``fold_email`` in PostgreSQL, of a column or value that holds a trimmed address.
SQL_FOLD_EMAIL = 'normalize(lower(normalize({0}, NFC) COLLATE "C"), NFC)'
# In PostgreSQL, of a person's name and address: lower case without accents, with a blank before the first word. An
# index is made of this very expression; what is searched for gets the same form from ``SQL_SEARCHED``.
SQL_SEARCHED = "regexp_replace(lower(normalize({0}, NFKD)), '[\\u0300-\\u036f]+', '', 'g')"
SQL_SEARCH = "(' ' || " + SQL_SEARCHED.format("coalesce(name, '') || ' ' || coalesce(email, '')") + ")"
_UUID = re.compile(r"(urn:uuid:)?\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?")
# Words of Dutch, Flemish and German names that say nothing about who it is.
_PARTICLES = frozenset(
    {"de", "den", "der", "van", "von", "ten", "ter", "te", "op", "in", "la", "le", "du", "el", "al", "t"}
    | {"dhr", "mw", "mevr", "drs", "ir", "ing", "dr", "mr", "prof"}
)
_LONG = 40  # letters: what is longer is no word, and slow to compare
_ALIKE = 0.8  # of two words' letters, in order: Jansen and Janssen


def nfc(text: str) -> str:
    """One form of all spellings of a text."""
    return unicodedata.normalize("NFC", text)


def spellings(text: str) -> list[str]:
    """A text as given and with its accents written both ways, for whom may compare letter by letter."""
    return list(dict.fromkeys((text, nfc(text), unicodedata.normalize("NFD", text))))


def fold_space(value: Any) -> str:
    """Text trimmed, every run of white space one blank."""
    return " ".join(str(value).split()) if value is not None else ""


def fold_email(email: str) -> str:
    """The form in which two addresses are compared."""
    # Once more after lowering: ẖ has a letter of its own, H with the same accent has none.
    return nfc(nfc(email.strip()).translate(_LOWER_ASCII))


def loose_email(email: str) -> str:
    """A coarser form: addresses that look alike to people, or to a system that compares carelessly."""
    box, at, domain = fold_email(email).rpartition("@")
    folded = unicodedata.normalize("NFKC", box + at + _readable(domain)).casefold()
    bare = "".join(unicodedata.normalize("NFKC", folded).casefold().split())
    return unicodedata.normalize("NFKC", bare)


def _readable(domain: str) -> str:
    """A domain with its letters instead of the ASCII form that the network uses (``xn--…``)."""
    try:
        return domain.encode("ascii").decode("idna") if "xn--" in domain else domain
    except UnicodeError:
        return domain


def fold_name(name: str | None) -> str:
    """The form in which two names are compared."""
    return nfc(nfc(fold_space(name)).casefold())


def fold_title(title: str | None) -> str:
    """The form in which two titles of trainings or courses are compared."""
    return nfc(fold_space(title))


def fold_account(pluvo_id: str) -> str:
    """A Pluvo id in its one form: a UUID in lower case with hyphens, whoever typed it; anything else as it is."""
    lower = pluvo_id.lower()
    return str(UUID(lower)) if lower.isascii() and _UUID.fullmatch(lower) else pluvo_id


# ---------------------------------------------------------------------------------------------------- names of people


def is_visible(text: str) -> bool:
    """Whether there is anything to see: marks, blanks and fillers alone are no name."""
    return any(unicodedata.category(one)[0] not in "ZCM" and one not in _FILLERS for one in text)


# Letters and a sign by category, of which nothing is drawn: Hangul fillers and the empty Braille cell.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def clearly_other_name(one: str | None, other: str | None) -> bool:
    """Whether two names can't well be one person's: a word of the shorter one has no counterpart in the other.

    ``Jansen, P.`` and ``Piet Janssen-de Vries`` may be one person; ``Karin Bos`` and ``Piet Jansen`` are not, nor are
    ``Karin Jansen`` and ``Piet Jansen``. Without a name on one side there is nothing to differ from.
    """
    shorter, longer = sorted((sorted(_words(one)), sorted(_words(other))), key=lambda words: (len(words), words))
    for word in sorted(shorter, key=len, reverse=True):
        found = next((candidate for candidate in _nearest(word, longer) if _may_be(word, candidate)), None)
        if found is None:
            return True
        longer.remove(found)
    return False


def _words(name: str | None) -> Iterator[str]:
    plain = unicodedata.normalize("NFKD", name or "").casefold()
    bare = "".join(one for one in plain if not unicodedata.combining(one))
    yield from (word for word in re.findall(r"[^\W_]+", bare) if word not in _PARTICLES)


def _nearest(word: str, candidates: Iterable[str]) -> list[str]:
    """Whole words before initials: an initial is given to whom nobody else fits."""
    return sorted(candidates, key=lambda candidate: (candidate != word, len(candidate) == 1))


def _may_be(one: str, other: str) -> bool:
    if min(len(one), len(other)) == 1:
        return one[0] == other[0]
    if one == other or max(len(one), len(other)) > _LONG:
        return one == other
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE
