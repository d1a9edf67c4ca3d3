"""Which name was perhaps meant: spelling apart from capitals, spaces and underscores, and what AFAS shows beside it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches


def nearest(wanted: str, named: Mapping[str, str], most: int = 3) -> list[str]:
    """Names like the one wanted, the likeliest first. ``named``: name → its label or description."""
    forms: dict[str, list[str]] = {}
    for name, label in named.items():
        for shape in filter(None, (form(name), form(label))):
            forms.setdefault(shape, []).append(name)
    found = [name for shape in get_close_matches(form(wanted), forms, n=most, cutoff=0.7) for name in forms[shape]]
    return list(dict.fromkeys(found))[:most]


def form(name: str) -> str:
    """Letters and digits alone, in lower case."""
    return "".join(one for one in name.casefold() if one.isalnum())
