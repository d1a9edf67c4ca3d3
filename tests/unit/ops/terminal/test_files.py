"""Files that operators name, and what else can stand behind such a name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import cast

import pytest

import settings
from ops.documents import Batch
from ops.people import links_import
from ops.problems import FileProblems, Problem
from ops.tenants import file
from ops.terminal import csv_file, plan_view
from ops.terminal.files import private_file, read_text


def _said(path: Path) -> str:
    with pytest.raises(FileProblems) as caught:
        read_text(path, 1000)
    assert len(caught.value.lines) == 1
    return caught.value.lines[0]


def test_text_is_read_with_or_without_a_mark_at_its_beginning(tmp_path: Path) -> None:
    for content in (b"\xef\xbb\xbfZo\xc3\xab", b"Zo\xc3\xab"):
        (tmp_path / "a").write_bytes(content)
        assert read_text(tmp_path / "a", 1000) == "Zoë"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in _said(tmp_path / "pipe")
    assert "is no regular file" in _said(Path("/dev/zero"))
    assert "can't be read" in _said(tmp_path)  # a folder
    assert "can't be read" in _said(tmp_path / "none")
    _said(Path("a\0b"))


def test_large_files_and_other_codings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1001)
    assert "larger than" in _said(tmp_path / "large")
    (tmp_path / "latin").write_bytes("Zoë".encode("latin-1"))
    assert "is not UTF-8" in _said(tmp_path / "latin")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/urandom"])
def test_imports_don_t_wait_for_a_device(name: str) -> None:
    with pytest.raises(FileProblems):
        file.read(Path(name))
    with pytest.raises(FileProblems):
        links_import.run(Path(name), who="tester")


def test_a_secret_is_read_from_a_regular_file_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "secret")
    text = '[[tenants]]\nslug = "a"\nname = "A"\n[tenants.pluvo]\norganisation = "a"\nclient_id = "c"\n'
    with pytest.raises(FileProblems) as caught:
        file.parse(text + 'client_secret = { file = "secret" }\n', name="f", folder=tmp_path)
    assert any("can't read secret: is no regular file" in line for line in caught.value.lines)


def test_a_setting_is_read_from_a_regular_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.delenv("KOPPELING_LOGIN_TOKEN", raising=False)
    monkeypatch.setenv("KOPPELING_LOGIN_TOKEN_FILE", str(tmp_path / "pipe"))
    with pytest.raises(settings.SettingsError, match="LOGIN_TOKEN_FILE"):
        settings.load()


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 2_500_000 + " = 1",
        "[a" + ".a" * 2_500_000 + "]",
        "x = { a" + ".a" * 2_500_000 + " = 1 }",
        "\n".join(f"k{n}" + ".a" * 90 + " = 1" for n in range(500)),
        "\n".join(f"key_{n} = 1" for n in range(20_000)),
        "x" * 5_000_000 + " = 1",
        "x = " + "9" * 5000,
        "x = " + "[" * 100_000,
        "x = 1" + "0" * 100_000 + ".5",
    ],
    ids=["key", "table", "inline", "many keys", "keys", "long key", "number", "brackets", "float"],
)
def test_a_hostile_tenants_file_is_refused_in_a_few_lines(text: str) -> None:
    with pytest.raises(FileProblems) as caught:
        file.parse(text, name="tenants.toml", folder=Path())
    assert len(caught.value.lines) <= file.MAX_TOLD + 1
    assert all(len(line) < 500 for line in caught.value.lines)


def _plan(name: str) -> Batch:
    line: dict[str, object] = {"event_id": "340", "internal_id": "80", "action": "create", "outcome": "pending"}
    line |= {"reason": None, "before": None, "after": {"name": name}}
    return cast(Batch, {"runs": [{"tenant": "acme", "plan": {"lines": [line]}}]})


def test_a_plan_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    path.write_text("older and longer than what is written now" * 50)
    path.chmod(0o644)
    plan_view.write_csv(path, _plan("Jan"), "en")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="utf-8-sig").splitlines()[1] == "acme,340,80,create,pending,,,name Jan"


def test_dutch_excel_finds_its_columns_and_its_letters(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    plan_view.write_csv(path, _plan("Zoë; Jansen"), "nl")
    text = path.read_bytes().decode()
    assert text.splitlines()[1] == 'acme;340;80;create;pending;;;"name Zoë; Jansen"'
    assert (text[0], text.count("\ufeff")) == ("\ufeff", 1)


def test_a_file_and_an_answer_over_http_have_the_same_text(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"name": "=1+1", "at": None}, {"name": "-2\n+3", "at": "a,b"}]
    csv_file.write(tmp_path / "rows.csv", ("name", "at"), rows, "nl")
    answer = "".join(csv_file.lines(("name", "at"), rows, "nl"))
    assert answer.encode() == (tmp_path / "rows.csv").read_bytes()
    assert [line.split(";")[0] for line in answer[1:].splitlines()[1:]] == ["'=1+1", "'-2 +3"]


def test_a_plan_is_not_written_through_a_link_nor_into_a_pipe(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(Problem):
            plan_view.write_csv(tmp_path / name, _plan("Jan"), "en")
    with pytest.raises(Problem), private_file(tmp_path / "no" / "such"):
        pass
    assert target.read_text() == "precious"
