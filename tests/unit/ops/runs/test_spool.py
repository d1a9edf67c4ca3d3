"""Lists that may be too long for memory."""

from __future__ import annotations

import os
import resource
import stat
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from ops.problems import Problem
from ops.runs.spool import BLOCK, Spool


def lines(count: int) -> Iterator[dict[str, object]]:
    return ({"number": number, "name": f"Persoon {number}", "on": date(2026, 1, 1)} for number in range(count))


@pytest.mark.parametrize("count", [0, 1, BLOCK, 2 * BLOCK + 7])
def test_a_list_is_as_long_as_it_was_and_walked_as_often_as_one_likes(count: int) -> None:
    for in_memory in (1, 100_000_000):
        kept, wanted = Spool(in_memory).keep(lines(count)), list(lines(count))
        assert (len(kept), bool(kept)) == (count, count > 0)
        assert list(kept) == list(kept) == wanted
        assert (kept[:2], kept[-3:]) == (wanted[:2], wanted[-3:])
        assert [kept[number] for number in range(-count, count)] == wanted + wanted
        with pytest.raises(IndexError):
            kept[count]


def test_lists_of_one_spool_are_walked_side_by_side_while_another_is_made() -> None:
    spool = Spool(in_memory=1)
    first, second = spool.keep(range(3 * BLOCK)), spool.keep(range(2 * BLOCK + 1))
    third = spool.keep((one, other) for one, other in zip(first, second, strict=False))
    assert list(third) == [(number, number) for number in range(2 * BLOCK + 1)]


def test_a_spool_is_nobody_elses_has_no_name_and_ends_with_its_last_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def opened() -> list[os.stat_result]:
        links = Path("/proc/self/fd").iterdir()
        return [os.stat(link) for link in links if link.is_symlink() and str(tmp_path) in os.readlink(link)]

    kept = Spool(in_memory=1).keep(lines(3))
    (file,) = opened()
    assert (stat.S_IMODE(file.st_mode), file.st_nlink, list(tmp_path.iterdir())) == (0o600, 0, [])
    assert len(list(kept)) == 3
    del kept
    assert opened() == []


def test_a_usual_list_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert len(list(Spool().keep(lines(2_000)))) == 2_000


def test_no_room_is_one_line_that_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(Problem) as full:
            Spool(in_memory=1).keep(lines(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(full.value) == (
        f"What a run would do can't be kept in {tmp_path} (File too large): make room there, or set TMPDIR to another"
        " folder."
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(Problem, match="No such file or directory"):
        Spool(in_memory=1).keep(lines(10))
