"""Tables on terminals that are narrower than what there is to tell."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from ops.terminal import output

COLUMNS = ("tenant", "status", "rows", "outcomes", "held", "pending removals", "calls", "seconds")
OUTCOMES = "10 created, 3 linked, 1186 unchanged, 1 rejected"
ROW = ("acme", "done_with_holds", 1200, OUTCOMES, 1, 0, "4 AFAS, 1965 Pluvo", 4.2)


@pytest.mark.parametrize("width", range(40, 160, 7))
def test_words_stay_whole_however_narrow_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    screen = StringIO()
    monkeypatch.setattr(output, "console", lambda: Console(file=screen, width=width))

    # when
    output.show_table(COLUMNS, [ROW, ROW], title="runs")

    # then
    lines = screen.getvalue().splitlines()
    assert lines[0].strip() == "runs"
    assert all(len(line) <= width for line in lines)
    words = screen.getvalue().split()
    for cell in (*COLUMNS, *ROW):
        assert set(str(cell).split()) <= set(words)


def test_only_outcomes_that_occurred_are_counted() -> None:
    assert output.counted({"created": 10, "linked": 0, "not_yet": 2}) == "10 created, 2 not_yet"
    assert (output.counts({"created": 0}), output.counted({})) == ([], "-")


def test_what_fits_is_one_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr(output, "console", lambda: Console(file=screen, width=140))
    output.show_table(COLUMNS, [ROW])
    assert [line.split("  ")[0] for line in screen.getvalue().splitlines()] == ["tenant", "acme"]
