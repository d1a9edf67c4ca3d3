"""Where in a TOML text each table and key stands, for error messages. ``tomllib`` reads values but keeps no lines.

The text was read by ``tomllib`` already, so it is known to be correct; only its outline is followed here.
"""

from __future__ import annotations

import re
from bisect import bisect_left

Path = tuple[str | int, ...]

_KEY = re.compile(r"""[ \t]*(?:"(?P<basic>(?:[^"\\]|\\.)*)"|'(?P<literal>[^']*)'|(?P<bare>[A-Za-z0-9_-]+))[ \t]*""")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
# One piece of a value: strings of all four kinds, comments, brackets, the end of a line, anything else.
_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'|#[^\n]*|[\[{]|[\]}]|\n|[^\n]",
    re.DOTALL,
)


class Lines:
    """``line(("tenants", 0, "afas", "member_id"))`` is the line of that key, or of what encloses it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._found: dict[Path, int] = {(): 1}
        self._arrays: dict[Path, int] = {}
        table: Path = ()
        position = self._skip(0)
        while position < len(text):
            if text[position] == "[":
                table, position = self._header(position)
            else:
                position = self._pair(table, position)
            position = self._skip(position)

    def line(self, path: Path) -> int:
        """The line of the longest known beginning of a path, counted from 1."""
        while path not in self._found:
            path = path[:-1]
        return self._found[path]

    def _skip(self, position: int) -> int:
        match = _SPACE.match(self._text, position)
        return match.end() if match else position

    def _header(self, position: int) -> tuple[Path, int]:
        array = self._text.startswith("[[", position)
        names, end = self._names(position + (2 if array else 1))
        path = (*self._resolve(names[:-1]), names[-1])
        if array:
            self._note(path, position)
            self._arrays[path] = self._arrays.get(path, -1) + 1
        path = self._resolve(names)
        self._note(path, position)
        return path, end + (2 if array else 1)

    def _pair(self, table: Path, position: int) -> int:
        names, end = self._names(position)
        for count in range(1, len(names) + 1):
            self._note(table + names[:count], position)
        return self._value(end + 1)

    def _names(self, position: int) -> tuple[tuple[str, ...], int]:
        names = []
        while match := _KEY.match(self._text, position):
            names.append(next(part for part in match.groups() if part is not None))
            position = match.end()
            if not self._text.startswith(".", position):
                break
            position += 1
        return tuple(names), position

    def _resolve(self, names: tuple[str, ...]) -> Path:
        """The path of a table, with the index of the newest element after each array of tables."""
        path: Path = ()
        for name in names:
            path += (name,)
            if path in self._arrays:
                path += (self._arrays[path],)
        return path

    def _value(self, position: int) -> int:
        depth = 0
        for match in _PIECE.finditer(self._text, position):
            piece = match[0]
            depth += (piece in "[{") - (piece in "]}")
            if piece == "\n" and depth <= 0:
                return match.end()
        return len(self._text)

    def _note(self, path: Path, position: int) -> None:
        self._found.setdefault(path, bisect_left(self._ends, position) + 1)
