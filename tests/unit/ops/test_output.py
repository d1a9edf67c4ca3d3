"""Tables on terminals that are narrower than what there is to tell."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from ops import output


@pytest.mark.parametrize("width", [80, 100, 200])
def test_words_stay_whole_on_a_narrow_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the longest line that a run usually gives
    screen = StringIO()
    monkeypatch.setattr(output, "console", lambda: Console(file=screen, width=width))
    columns = ("tenant", "status", "snapshot", "rows", "outcomes", "removed", "calls", "seconds")
    row = (
        "acme",
        "done",
        "complete",
        1200,
        "10 created, 3 linked, 1186 unchanged, 1 rejected",
        4,
        "4 AFAS, 1965 Pluvo",
        4.2,
    )

    # when
    output.show_table(columns, [row])

    # then
    lines = screen.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    words = screen.getvalue().split()
    for cell in (*columns, *row):
        assert set(str(cell).split()) <= set(words)
