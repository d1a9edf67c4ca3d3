"""A process that can't work as things are does not begin, says why, and costs nobody's messages an attempt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from cryptography.fernet import Fernet

from models.crypto import encrypt, fingerprint, place_of
from tests.fixtures.environment import SECRET_KEY
from tests.integration.engine.conftest import ROOT, Engine

OTHER = Fernet.generate_key().decode()
SECONDS = 120
DRAMATIQ = [sys.executable, "-m", "dramatiq", "workers", "--processes", "1", "--threads", "1"]
OURS = [sys.executable, "-m", "tests.integration.engine.worker_process", "1", "1"]


def under(key: str, slug: str = "acme") -> bytes:
    """A secret as it is stored under a key."""
    return encrypt("hush", place_of(slug, "afas_client_secret"), key)


def ends(command: list[str], engine: Engine, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a process that is expected to end by itself."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **engine.environment, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [OURS, DRAMATIQ], ids=["koppeling", "dramatiq"])
def test_a_worker_without_the_key_of_what_is_stored_does_not_begin_and_names_it(
    engine: Engine, command: list[str]
) -> None:
    tenant = engine.tenant()
    engine.execute("UPDATE tenant SET afas_client_secret = :s WHERE id = :t", s=under(SECRET_KEY), t=tenant)

    code, said = ends(command, engine, KOPPELING_SECRET_KEYS=OTHER)

    assert code != 0
    assert f"fingerprint {fingerprint(SECRET_KEY).hex()}; it has {fingerprint(OTHER).hex()}" in said
    assert OTHER not in said


def test_a_worker_that_loses_its_key_meanwhile_hands_its_work_back_and_ends(engine: Engine) -> None:
    # given a worker that could read all there was when it began
    tenant = engine.tenant()
    engine.script(1, "secret")
    with engine.process() as process:
        engine.alive(1)
        # when a secret comes under another key
        engine.execute("UPDATE tenant SET afas_client_secret = :s WHERE id = :t", s=under(OTHER), t=tenant)
        engine.enqueue(tenant, 1)
        assert process.wait(SECONDS) == 0
    # then it was nobody's fault but that process's
    assert engine.letters() == []
    assert engine.value("SELECT attempts FROM message WHERE subject_id = 1") == 0
    assert engine.value("SELECT count(*) FROM alert WHERE closed_at IS NULL AND kind = 'quarantine'") == 0
    with engine.process(KOPPELING_SECRET_KEYS=f"{SECRET_KEY},{OTHER}"):
        engine.wait(lambda: engine.effects() == [1], SECONDS)


def test_a_damaged_secret_stops_its_tenant_only(engine: Engine) -> None:
    sick, well = engine.tenant("sick"), engine.tenant("well")
    damaged = under(SECRET_KEY)[:30]
    engine.script(1, "secret")
    engine.script(2, "secret")
    with engine.process():
        engine.alive(1)
        engine.execute("UPDATE tenant SET afas_client_secret = :s WHERE id = :t", s=damaged, t=sick)
        engine.enqueue(sick, 1)
        engine.enqueue(well, 2)
        engine.wait(lambda: engine.effects() == [2], SECONDS)
        engine.wait(
            lambda: (
                engine.value(
                    "SELECT reason FROM tenant_direction WHERE tenant_id = :t AND direction = 'enrollments'", t=sick
                )
                == "secret_damaged"
            )
        )
    assert engine.letters() == []


def newer(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE alembic_version SET version_num = '20991231_1'")
    connection.execute("UPDATE installation SET version = '9.9.0'")


def older(connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM alembic_version")
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    for (name,) in tables:
        connection.execute(f'DROP TABLE IF EXISTS "{name}" CASCADE')


def foreign(connection: psycopg.Connection) -> None:
    older(connection)
    connection.execute("CREATE TABLE invoices (id int)")


def foreign_alembic(connection: psycopg.Connection) -> None:
    older(connection)
    connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    connection.execute("INSERT INTO alembic_version VALUES ('abc123')")


CHANGES = [
    (newer, "made by a newer koppeling (9.9.0, revision 20991231_1)", "upgrade koppeling on this machine"),
    (older, "older than this version", "run `koppeling migrate`"),
    (foreign, "tables of something else (invoices)", "give koppeling one of its own"),
    (foreign_alembic, "made by something else (revision abc123)", "a database of its own"),
]


@pytest.mark.parametrize(("change", "what", "advice"), CHANGES, ids=[change.__name__ for change, _, _ in CHANGES])
def test_tables_that_are_not_ours_or_not_of_today_have_each_their_sentence_in_every_process(
    engine: Engine, change: Callable[[psycopg.Connection], None], what: str, advice: str
) -> None:
    with psycopg.connect(engine.environment["KOPPELING_DATABASE_URL"]) as connection:
        change(connection)
    command = [sys.executable, "-m", "ops.cli"]
    tried = [OURS, DRAMATIQ, [*command, "worker"], [*command, "scheduler"], [*command, "serve"], [*command, "status"]]
    if change is not older:
        tried.append([*command, "migrate"])

    for words in tried:
        code, said = ends(words, engine)
        assert code != 0, words
        assert what in said, words
        assert advice in said, words


def test_dramatiq_workers_name_wrong_settings_too(engine: Engine) -> None:
    code, said = ends(DRAMATIQ, engine, KOPPELING_LEASE="soon")
    assert code != 0
    assert "KOPPELING_LEASE" in said


def test_a_worker_at_work_goes_on_while_a_newer_version_adds_to_the_tables_and_no_other_of_its_version_begins(
    engine: Engine,
) -> None:
    # given a worker that has done something
    tenant = engine.tenant()
    with engine.process() as process:
        engine.alive(1)
        engine.enqueue(tenant, *range(1, 20))
        engine.wait(lambda: len(engine.effects()) == 19, SECONDS)
        # when a newer version migrates
        with psycopg.connect(engine.environment["KOPPELING_DATABASE_URL"]) as connection:
            newer(connection)
            connection.execute("CREATE TABLE of_later (id int)")
            for table in ("message", "tenant", "tenant_direction", "run", "worker"):
                connection.execute(f"ALTER TABLE {table} ADD COLUMN of_later text DEFAULT 'x'")
        # then it goes on, and who begins now does not
        engine.enqueue(tenant, *range(20, 40))
        engine.wait(lambda: len(engine.effects()) == 39, SECONDS)
        assert process.poll() is None
        code, said = ends(OURS, engine)
        assert code != 0
        assert "made by a newer koppeling" in said
    assert sorted(engine.effects()) == list(range(1, 40))
    assert engine.letters() == []
