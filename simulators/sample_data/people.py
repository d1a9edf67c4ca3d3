"""Invented Dutch people, always the same ones: nobody here exists, and no address leads anywhere."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# fmt: off
FIRST = (
    "Anouk", "Bram", "Carlijn", "Daan", "Esmée", "Floris", "Geertje", "Hidde", "Ilse", "Jelle", "Kaatje",
    "Lotte", "Maarten", "Noor", "Olav", "Pien", "Quirijn", "Roos", "Sjoerd", "Tess", "Ubbo", "Veerle",
    "Wouter", "Xandra", "Yfke", "Zoë", "Bjørn", "Céline", "Fatima", "Hüseyin", "Łukasz", "Nguyễn",
)
BETWEEN = ("", "", "", "", "van", "de", "van der", "ten", "van den", "'t")
LAST = (
    "Akkerman", "Beekhuis", "Coenradi", "Dijkgraaf", "Elzinga", "Fokkema", "Groeneveld", "Hoekstra",
    "IJsseldijk", "Jongbloed", "Kuipers", "Lindeboom", "Meijerink", "Noordhof", "Oosterveen", "Pruijssers",
    "Ridderbos", "Scholtens", "Terpstra", "Uitermark", "Veldkamp", "Wagenaar", "Zijlstra",
)
# fmt: on
DOMAINS = ("example.nl", "example.org", "example.com")


@dataclass(frozen=True)
class SamplePerson:
    """One invented person."""

    internal_id: int
    external_id: str
    name: str
    email: str


def people(count: int, *, seed: int = 1, first_id: int = 1001) -> Iterator[SamplePerson]:
    """Invent ``count`` people with consecutive internal ids; the number in each address keeps it unique."""
    dice = random.Random(seed)  # noqa: S311 - names, no secrets
    for number in range(count):
        first, between, last = dice.choice(FIRST), dice.choice(BETWEEN), dice.choice(LAST)
        name = " ".join(filter(None, (first, between, last)))
        internal_id = first_id + number
        address = f"{_ascii(first)}.{_ascii(last)}.{internal_id}@{dice.choice(DOMAINS)}"
        yield SamplePerson(internal_id, f"{internal_id:08}", name, address)


def _ascii(text: str) -> str:
    """Write a name with plain letters, as addresses do."""
    plain = unicodedata.normalize("NFKD", text.replace("Ł", "L").replace("ø", "o")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z]", "", plain.lower())
