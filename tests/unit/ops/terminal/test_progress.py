"""How far runs are, while somebody waits for them."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.progress import Progress, TextColumn

from ops.documents import Watched
from ops.terminal.progress import MOST_LINES, RunProgress, counted


def runs(count: int, status: str, begin: int = 0) -> list[Watched]:
    over = status == "done"
    return [
        {
            "id": f"{number:03}", "tenant": f"t{number}", "status": status, "progress": {"pages": 1}, "planned": 4,
            "applied": 2, "over": over,
        }
        for number in range(begin, begin + count)
    ]  # fmt: skip


def shown(*looks: list[Watched]) -> str:
    """The last picture of a terminal."""
    progress = RunProgress()
    columns = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[said]}", markup=False)
    progress._progress = Progress(*columns, console=Console(file=StringIO(), width=200))
    for look in looks:
        progress.update(look)
    console = Console(file=StringIO(), width=200)
    with console.capture() as captured:
        console.print(progress._progress.get_renderable())
    return captured.get()


def test_few_tenants_have_a_line_each() -> None:
    text = shown(runs(2, "done") + runs(1, "applying", 2))
    assert [line.split()[0] for line in text.splitlines()] == ["t0", "t1", "t2"]


def test_many_tenants_have_one_line_and_those_under_way_theirs() -> None:
    # given a hundred of which two are under way, then two others
    first = runs(60, "done") + runs(2, "applying", 60) + runs(38, "queued", 62)
    then = runs(62, "done") + runs(2, "running", 62) + runs(36, "queued", 64)
    # when
    lines = shown(first, then).splitlines()
    # then
    assert lines[0].split() == ["all", "tenants", "36", "queued,", "2", "running,", "62", "done"]
    assert [line.split()[0] for line in lines[1:]] == ["t62", "t63"]


def test_no_more_lines_are_shown_than_fit() -> None:
    assert len(shown(runs(200, "running")).splitlines()) <= MOST_LINES + 1


def test_states_are_counted_in_the_order_in_which_runs_have_them() -> None:
    assert counted(runs(1, "failed") + runs(2, "queued")) == "2 queued, 1 failed"
