"""Tables on terminals that are narrower than what there is to tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from io import StringIO

import pytest
from rich.console import Console

from ops.http.api.answers import Document
from ops.runs.spool import Spool
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


def test_a_list_in_a_file_is_told_like_one_in_memory() -> None:
    def document(rows: Sequence[object]) -> dict[str, object]:
        return {"rows": rows, "none": rows[:0], "deep": [{"é": [rows, 1.5, None]}], "at": date(2026, 1, 1)}

    lines = [{"id": number, "name": "Zoë\n", "values": {}, "listed": []} for number in range(3)]
    for rows in ([], lines):
        kept = Spool(in_memory=1).keep(rows)
        wanted = json.dumps(document(rows), default=output.plain, indent=2) + "\n"
        assert "".join(output.as_json(document(kept))) == wanted
        assert Document(document(kept)).body == Document(document(rows)).body


def test_a_document_comes_in_pieces() -> None:
    pieces = list(output.as_json({"rows": [{"number": number} for number in range(20_000)]}))
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 200_000
