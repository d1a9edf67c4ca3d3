"""Write a document of tables, arrays of tables and plain values as TOML. ``tomllib`` only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(document: Mapping[str, Any]) -> str:
    """The text; a mapping ``{"env": …}`` or ``{"file": …}`` is written in its line. No None in it."""
    return "\n".join(_lines(document, ())).strip() + "\n"


def value(plain: Any) -> str:
    """One plain value, a list of them, or a small mapping."""
    if isinstance(plain, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {value(one)}" for name, one in plain.items()) + " }"
    if isinstance(plain, list | tuple):
        return "[" + ", ".join(map(value, plain)) + "]"
    # JSON's text is TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """A key, between quotes where it needs them."""
    return name if _BARE.fullmatch(name) else value(name)


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    inner = {name: one for name, one in table.items() if _is_table(one) or _is_array(one)}
    yield from (f"{key(name)} = {value(one)}" for name, one in table.items() if name not in inner)
    for name, one in inner.items():
        place = ".".join(map(key, (*path, name)))
        for each in one if _is_array(one) else [one]:
            yield ""
            yield f"[[{place}]]" if _is_array(one) else f"[{place}]"
            yield from _lines(each, (*path, name))


def _is_table(one: Any) -> bool:
    return isinstance(one, Mapping) and not one.keys() <= {"env", "file"}


def _is_array(one: Any) -> bool:
    return isinstance(one, list | tuple) and bool(one) and all(isinstance(each, Mapping) for each in one)
