"""PgBouncer before PostgreSQL: whole runs through it, and one line where it is set up so that they can't work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

import settings
from benchmarks.fleet.pooler import pgbouncer
from benchmarks.fleet.stage import broker, stage
from benchmarks.system import KOPPELING, process
from migrations import usable
from models.session import transaction
from tests.fixtures.authority import authority
from tests.fixtures.debian import program
from workers.process import connections

SIZE = 4


@pytest.fixture(scope="module")
def bouncer() -> str:
    """PgBouncer's program."""
    return program("pgbouncer", "pgbouncer")


@pytest.fixture
def through(bouncer: str, database_url: str, configured: settings.Settings) -> Iterator[str]:
    """A PgBouncer in transaction mode, in force in this process's settings."""
    with pgbouncer(bouncer, database_url, "transaction", size=SIZE) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOPPELING_DATABASE_URL", url)
        patch.setenv("KOPPELING_DATABASE_DIRECT_URL", database_url)
        settings.get.cache_clear()
        yield url
        settings.get.cache_clear()


def said(arguments: list[str], **variables: str) -> tuple[int, list[str]]:
    """What a command prints on standard error, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr.strip().splitlines()


def doctor(**variables: str) -> str:
    """What ``koppeling doctor`` finds wrong, in one line."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "doctor"],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    return " ".join(done.stdout.split())


def test_whole_runs_go_through_a_pooler_with_fewer_connections_than_one_worker_has_threads(
    bouncer: str, empty_database_url: str, tmp_path: Path
) -> None:
    # given two workers of eight threads each, and four connections for all of them
    with ExitStack() as stack:
        through = stack.enter_context(pgbouncer(bouncer, empty_database_url, "transaction", size=SIZE))
        urls = {
            "KOPPELING_DATABASE_URL": through,
            "KOPPELING_DATABASE_DIRECT_URL": empty_database_url,
            "KOPPELING_REDIS_URL": stack.enter_context(broker()),
        }
        made = stack.enter_context(stage(urls))
        for number in (1, 2):
            words = [*KOPPELING, "worker", "--threads", "8"]
            stack.enter_context(process(words, tmp_path / f"worker{number}.log"))

        # when people come, change and leave, and some finish
        for _ in range(2):
            made.begin_runs()
            made.quiet()
            made.scene.stir(3)
            made.scene.finish(4)

        # then
        assert made.violations() == [], (tmp_path / "worker1.log").read_text()[-3000:]
        pooled = made.system.rows(
            "SELECT application_name, count(*) AS n FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'koppeling%' GROUP BY 1"
        )
        counts = {row["application_name"]: row["n"] for row in pooled}
        assert 0 < counts["koppeling"] <= SIZE
        assert counts["koppeling relay"] == 2


def test_limits_hold_in_each_transaction_and_stay_with_nobody(through: str, database_url: str) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with transaction() as connection:
        limits = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    with psycopg.connect(through, prepare_threshold=None) as other:
        left = [other.execute(f"SHOW {name}".encode()).fetchone() for name in names]
    assert limits == ["1min", "20s", "1min"]
    assert left == [("0",)] * 3


def test_a_worker_counts_only_the_connections_that_go_past_the_pooler(through: str, configured: object) -> None:
    assert connections.join(8, 4) == connections.ALONE
    with transaction() as connection:
        assert connection.exec_driver_sql("SELECT connections FROM worker").scalar_one() == connections.ALONE


def told(monkeypatch: pytest.MonkeyPatch, addresses: dict[str, str]) -> str:
    """The line with which whatever starts refuses these addresses."""
    with monkeypatch.context() as patch:
        patch.delenv("KOPPELING_DATABASE_DIRECT_URL", raising=False)
        for name, value in addresses.items():
            patch.setenv(name, value)
        settings.get.cache_clear()
        with pytest.raises(usable.Unfit) as raised:
            usable.addresses()
    settings.get.cache_clear()
    return str(raised.value)


def test_addresses_that_can_not_work_are_told_in_one_line_by_whatever_starts(
    bouncer: str,
    environment: dict[str, str],
    database_url: str,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ExitStack() as stack:
        modes = {
            mode: stack.enter_context(pgbouncer(bouncer, database_url, mode))
            for mode in ("transaction", "statement", "session")
        }
        url, direct = "KOPPELING_DATABASE_URL", "KOPPELING_DATABASE_DIRECT_URL"
        wrong = {
            "transaction mode": ({url: modes["transaction"]}, usable.POOLED),
            "statement mode": (
                {url: modes["statement"], direct: database_url},
                usable.STATEMENTS.format(name=url),
            ),
            "statement mode, alone": ({url: modes["statement"]}, usable.STATEMENTS.format(name=url)),
            "no settings": ({url: modes["session"]}, usable.NO_SETTINGS),
            "not direct": ({url: modes["transaction"], direct: modes["transaction"]}, usable.NOT_DIRECT),
            "elsewhere": ({url: modes["transaction"], direct: empty_database_url}, usable.ELSEWHERE),
        }
        for what, (given, line) in wrong.items():
            assert told(monkeypatch, given) == line, what
        assert told(monkeypatch, {url: modes["transaction"], direct: "postgresql://u@127.0.0.1:1/x"}).startswith(
            f"{direct} leads nowhere ("
        )
        # at the start of a process, and by doctor
        given, line = wrong["transaction mode"]
        assert said(["worker"], **environment | given) == (2, [line])
        given, line = wrong["not direct"]
        assert line in doctor(**environment | given)
    assert "\n" not in "".join(line for _, line in wrong.values())


def test_a_pooler_s_certificate_is_believed_only_of_our_own_authority_and_for_its_own_name(
    bouncer: str, environment: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    ours = authority(tmp_path)
    with pgbouncer(bouncer, database_url, "transaction", tls=(ours.key, ours.certificate)) as plain:
        named = plain.replace("127.0.0.1", "localhost")

        def status(url: str) -> tuple[int, list[str]]:
            given = {"KOPPELING_DATABASE_URL": url, "KOPPELING_DATABASE_DIRECT_URL": database_url}
            return said(["status"], **environment | given)

        assert status(f"{named}?sslmode=verify-full&sslrootcert={ours.ca}") == (0, [])
        code, lines = status(f"{plain}?sslmode=verify-full&sslrootcert={ours.ca}")  # it is for the name localhost
        assert (code, len(lines)) == (2, 1)
        assert "sslrootcert" in lines[0]
        given = {"KOPPELING_DATABASE_URL": f"{named}?sslmode=verify-full&sslrootcert={ours.other}"}
        assert "database_certificate" in doctor(**environment | given | {"KOPPELING_DATABASE_DIRECT_URL": database_url})
        code, lines = status(f"{named}?sslmode=disable")
        assert (code, len(lines)) == (2, 1)
