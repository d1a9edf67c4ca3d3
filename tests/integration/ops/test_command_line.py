"""The command itself: exit codes, one line on standard error, JSON that is one document."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import settings
from models.advisory_locks import AdvisoryLock
from models.session import engine_for
from ops.access import current_user
from ops.cli import main
from tests.unit.ops.tenants.test_file import GOOD

ROOT = Path(__file__).parents[3]


@dataclass
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def koppeling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process, as if in one of its own: arguments, environment and streams are its own."""

    def run(*words: str, **environment: str) -> Done:
        for name in [name for name in os.environ if name.startswith("KOPPELING_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["koppeling", *words])
        settings.forget_found()
        engine_for.cache_clear()
        capsys.readouterr()
        try:
            main.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        finally:
            settings.forget_found()
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


def one_line(done: Done) -> str:
    """Standard error of a command that refused: one line, no traceback."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_file_with_problems_imports_nothing_and_names_each(
    koppeling: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    # given
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD.replace('"340"', "340").replace('slug = "acme"', 'slug = "A!"'))
    # when
    done = koppeling("tenants", "import", str(file), **environment)
    # then
    assert done.returncode == 2
    assert [line.rsplit("tenants.toml:")[1].split(":")[0] for line in done.stderr.strip().splitlines()] == ["2", "19"]
    assert json.loads(koppeling("tenants", "list", "--json", **environment).stdout) == {"items": [], "next": None}


def test_a_tenant_is_imported_listed_and_removed(
    koppeling: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD)
    assert koppeling("tenants", "import", str(file), **environment).stdout.startswith("acme: created")
    (item,) = json.loads(koppeling("tenants", "list", "--json", **environment).stdout)["items"]
    assert set(item) >= {"slug", "name", "enrollments", "completions", "last_run", "next_run_at"}
    assert (item["enrollments"]["state"], item["next_run_at"]) == ("new", None)
    assert "Say --yes" in one_line(koppeling("tenants", "remove", "acme", **environment))
    assert koppeling("tenants", "remove", "acme", "--yes", **environment).returncode == 0
    assert "no tenant 'acme'" in one_line(koppeling("tenants", "show", "acme", **environment))


@pytest.mark.parametrize("command", ["import", "check"])
def test_stored_settings_that_this_version_can_not_read_are_one_line_that_names_them(
    koppeling: Command, environment: dict[str, str], tmp_path: Path, command: str
) -> None:
    # given
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD)
    koppeling("tenants", "import", str(file), **environment)
    with psycopg.connect(environment["KOPPELING_DATABASE_URL"].replace("+psycopg", "")) as connection:
        connection.execute("""UPDATE tenant SET removals = removals || '{"policy": "archive"}'""")
    # when
    words = ("tenants", "import", str(file)) if command == "import" else ("check", "acme")
    line = one_line(koppeling(*words, **environment))
    # then
    assert line.startswith("Stored RemovalSettings can't be read by this version (policy: Input should be 'keep'")
    assert "upgrade koppeling" in line
    assert koppeling("tenants", "list", **environment).returncode == 0


def test_waiting_without_a_worker_is_refused_and_not_waiting_is_a_warning(
    koppeling: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD)
    koppeling("tenants", "import", str(file), **environment)
    assert "No worker is running" in one_line(koppeling("sync", "acme", "--wait", **environment))
    done = koppeling("sync", "acme", "--json", **environment)
    assert (done.returncode, json.loads(done.stdout)["runs"][0]["status"]) == (0, "queued")
    assert "No worker is running" in done.stderr
    koppeling("tenants", "pause", "acme", "--reason", "moving", **environment)
    assert "acme is paused (moving)" in one_line(koppeling("sync", "acme", **environment))
    paused = json.loads(koppeling("sync", "--all", "--json", **environment).stdout)
    assert [run["status"] for run in paused["runs"]] == ["paused"]


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        (["status"], {"KOPPELING_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/x"}, "Can't reach the database"),
        (["status"], {"KOPPELING_DATABASE_URL": "postgresql://u:hush@127.0.0.1:port/x"}, "can't be read"),
        (
            ["status"],
            {"KOPPELING_DATABASE_URL": "postgresql://u:hush@127.0.0.1/x?pool_size=3"},
            "KOPPELING_DATABASE_URL has an option that PostgreSQL does not know: take pool_size out of it.",
        ),
        (["status"], {"KOPPELING_DATABASE_URL": "mysql://x"}, "must start with postgresql://"),
        (["status"], {"KOPPELING_LEASE": "soon", "KOPPELING_RETRY_SCHEDULE": "x"}, "KOPPELING_RETRY_SCHEDULE"),
        (["tenants", "list"], {"KOPPELING_SECRET_KEYS": "nonsense"}, "no Fernet key"),
        (["worker"], {"KOPPELING_DATABASE_URL": "", "KOPPELING_REDIS_URL": ""}, "Nothing runs here"),
        (["sync", "acme", "--wait"], {"KOPPELING_DATABASE_URL": ""}, "No worker is running"),
        (["serve", "--host", "0.0.0.0"], {}, "there is no login"),
        (["sync"], {}, "or say --all"),
        (["sync", "acme", "--all"], {}, "or say --all"),
        (["sync", "acme", "--wait", "--timeout", "soon"], {}, "is no duration"),
        (["runs", "show", "01J"], {}, "There is no run"),
        (["holds", "show", "01J"], {}, "There is no hold"),
        (["dead-letters", "show", "01J"], {}, "There is no dead letter"),
        (["dead-letters", "replay"], {}, "or say --all"),
        (["runs", "list", "--limit", "0"], {}, "--limit is 1 to 1000"),
        (["links", "list", "--cursor", "x"], {}, "--cursor"),
        (["explain", "nope", "80"], {}, "no tenant 'nope'"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_to_do(
    koppeling: Command, environment: dict[str, str], words: list[str], changes: dict[str, str], said: str
) -> None:
    line = one_line(koppeling(*words, **environment | changes))
    assert said in line
    assert "hush" not in line


def test_a_database_that_was_never_migrated_is_one_line(
    koppeling: Command, environment: dict[str, str], empty_database_url: str
) -> None:
    line = one_line(koppeling("status", **environment | {"KOPPELING_DATABASE_URL": empty_database_url}))
    assert "`koppeling migrate`" in line
    assert koppeling("migrate", **environment | {"KOPPELING_DATABASE_URL": empty_database_url}).returncode == 0


def test_a_broker_that_is_away_shows_in_the_status(koppeling: Command, environment: dict[str, str]) -> None:
    done = koppeling("status", "--json", **environment | {"KOPPELING_REDIS_URL": "redis://127.0.0.1:1/0"})
    found = json.loads(done.stdout)
    assert (found["database"], found["broker"], found["workers"]) == ("ok", "unreachable", 0)
    assert set(found) >= {
        *("ready", "in_flight", "scheduled", "oldest_pending_seconds", "held", "dead", "quarantined", "tenants"),
    }


def test_the_command_works_in_a_process_of_its_own(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "tenants", "list", "--json"],
        cwd=ROOT,
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, {"items": [], "next": None})


def test_a_tenant_is_edited_until_it_is_right(
    koppeling: Command, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD)
    koppeling("tenants", "import", str(file), **environment)

    def editor(old: str, new: str) -> None:
        program = f"import sys; p = sys.argv[1]; t = open(p).read().replace('{old}', '{new}'); open(p, 'w').write(t)"
        monkeypatch.setenv("EDITOR", f'{sys.executable} -c "{program}"')

    # when what is saved is wrong, nothing changes
    editor("Acme Opleidingen", "")
    assert "acme.toml:3: tenants.name: is empty" in koppeling("tenants", "edit", "acme", **environment).stderr
    editor("acme", "borg")
    assert "to have one tenant, acme" in koppeling("tenants", "edit", "acme", **environment).stderr
    # and what is right is imported
    editor("Acme Opleidingen", "Acme")
    done = koppeling("tenants", "edit", "acme", **environment)
    assert (done.returncode, "name: Acme Opleidingen → Acme" in done.stdout) == (0, True)
    assert "Nothing was changed" in one_line(koppeling("tenants", "edit", "acme", **environment))


def test_what_somebody_else_changed_meanwhile_is_not_undone_by_an_edit(
    koppeling: Command, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an editor in whose time somebody imports another file
    file, other = tmp_path / "tenants.toml", tmp_path / "other.toml"
    file.write_text(GOOD)
    other.write_text(GOOD.replace('policy = "unenroll"', 'policy = "keep"'))
    koppeling("tenants", "import", str(file), **environment)
    program = tmp_path / "editor.py"
    program.write_text(
        "import subprocess, sys; p = sys.argv[1]; t = open(p).read().replace('Opleidingen', 'X')\n"
        f"subprocess.run([sys.executable, '-m', 'ops.cli', 'tenants', 'import', {str(other)!r}], check=True)\n"
        "open(p, 'w').write(t)\n"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {program}")
    # when it is saved
    run = koppeling("tenants", "edit", "acme", **environment)
    # then it is told what changed, and nothing is stored
    assert run.returncode == 2
    assert f"acme was changed meanwhile ({current_user()} was first, at " in run.stderr
    assert '-policy = "unenroll"' in run.stderr
    assert '+policy = "keep"' in run.stderr
    shown = json.loads(koppeling("tenants", "show", "acme", "--json", **environment).stdout)
    assert (shown["name"], shown["removals"]["policy"]) == ("Acme Opleidingen", "keep")


def test_what_somebody_else_stores_while_an_edit_waits_for_its_turn_is_not_undone(
    koppeling: Command, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given somebody who is storing just when another one's edit is to be stored
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD)
    koppeling("tenants", "import", str(file), **environment)
    program = "import sys; p = sys.argv[1]; t = open(p).read().replace('Opleidingen', 'X'); open(p, 'w').write(t)"
    monkeypatch.setenv("EDITOR", f'{sys.executable} -c "{program}"')
    url = environment["KOPPELING_DATABASE_URL"].replace("+psycopg", "")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as watching:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [AdvisoryLock.TENANTS_IMPORT])

        def store() -> None:
            give_up = time.monotonic() + 60
            while watching.execute(waiting).fetchone() == (0,) and time.monotonic() < give_up:
                time.sleep(0.02)
            other.execute("UPDATE tenant SET interval_seconds = 7200, settings_version = settings_version + 1")
            other.commit()

        with ThreadPoolExecutor(1) as pool:
            stored = pool.submit(store)
            run = koppeling("tenants", "edit", "acme", **environment)
            stored.result()
    # then what was stored first stays
    assert run.returncode == 2
    assert "acme was changed by" in run.stderr
    shown = json.loads(koppeling("tenants", "show", "acme", "--json", **environment).stdout)
    assert (shown["name"], shown["interval_seconds"]) == ("Acme Opleidingen", 7200)


def test_the_example_is_a_file_that_can_be_imported_and_exported(
    koppeling: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text(koppeling("tenants", "example").stdout)
    assert koppeling("tenants", "import", str(file), **environment).stdout.startswith("acme: created")
    written = koppeling("tenants", "export", "acme", **environment)
    assert written.stdout.startswith('[[tenants]]\nslug = "acme"\n')
    assert json.loads(koppeling("tenants", "export", "acme", "--json", **environment).stdout)["file"] == written.stdout
    assert "no tenant 'borg'" in one_line(koppeling("tenants", "export", "borg", **environment))
