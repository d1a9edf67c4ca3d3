"""A Redis that is not ours alone: a user with few rights, and other installations beside us."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

import settings
from models.installation import redis_prefix
from ops import status
from tenancy.redis_rights import ACL
from tests.integration.engine.conftest import ROOT, Engine
from tests.integration.engine.test_fitness import OURS, ends

DOCUMENT = (Path(ROOT) / "docs/deployment.md").read_text(encoding="utf-8")
# Test processes share a server, and each changes a user of its own.
USER, PASSWORD = "limited" + os.environ.get("PYTEST_XDIST_WORKER", ""), "of-the-test"
SECONDS = 120


def command(server: Any, *words: str) -> Any:
    """Any command of Redis's, by its words. (redis has no types for it.)"""
    return server.execute_command(*words)


def acl(server: redis.Redis, *words: str) -> Any:
    """A command about users."""
    return command(server, "ACL", *words)


@pytest.fixture
def limited(engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """The server itself; the settings name a user without any right yet."""
    parts = urlsplit(redis_url)
    place = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"{USER}:{PASSWORD}@{place}"))
    with redis.Redis.from_url(redis_url) as server:
        acl(server, "SETUSER", USER, "reset", "on", f">{PASSWORD}")
        monkeypatch.setenv("KOPPELING_REDIS_URL", url)
        monkeypatch.delenv("KOPPELING_REDIS_PREFIX")
        del engine.environment["KOPPELING_REDIS_PREFIX"]
        engine.environment["KOPPELING_REDIS_URL"] = url
        settings.get.cache_clear()
        yield server
        acl(server, "DELUSER", USER)


def test_the_rights_of_the_documents_are_enough_for_everything(engine: Engine, limited: redis.Redis) -> None:
    # given a user with the line of the documents, word for word
    found = re.search(r"ACL SETUSER koppeling on >PASSWORD (~koppeling:\* .*)", DOCUMENT)
    assert found
    assert found[1] == f"~koppeling:* {ACL}"
    acl(limited, "SETUSER", USER, *found[1].split())
    acl(limited, "LOG", "RESET")
    tenant = engine.tenant()
    # when work is done, a worker is killed in the middle of it, and another one goes on
    engine.script(1, "sleep", 60)
    with engine.process() as victim:
        engine.enqueue(tenant, *range(1, 30))
        engine.wait(lambda: len(engine.effects()) == 28, SECONDS)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    engine.script(1, "note")
    engine.execute("UPDATE message SET lease_until = now()")
    with engine.process() as worker:
        engine.empty(SECONDS)
        assert status.broker() == "ok"
        worker.terminate()
        assert worker.wait(SECONDS) == 0
    # then all is done and nothing was refused
    assert sorted(engine.effects()) == list(range(1, 30))
    refused = [entry for entry in acl(limited, "LOG") if USER in str(entry)]
    assert refused == []
    assert [key for key in limited.scan_iter() if not key.startswith(redis_prefix().encode())] == []


@pytest.mark.parametrize(
    "rights", [["+ping", "+@connection"], ["~other:*", "+@all"], ["~koppeling:*", "+@all", "-evalsha", "-eval"]]
)
def test_too_few_rights_are_said_at_the_start_and_by_the_status(
    engine: Engine, limited: redis.Redis, rights: list[str]
) -> None:
    acl(limited, "SETUSER", USER, *rights)
    assert status.broker() == "refuses"
    for command in (OURS, [sys.executable, "-m", "ops.cli", "scheduler"]):
        code, said = ends(command, engine)
        assert code == 2
        assert "docs/deployment.md has the ACL line" in said


def test_a_wrong_password_is_said_at_the_start(engine: Engine, limited: redis.Redis) -> None:
    acl(limited, "SETUSER", USER, "resetpass", ">another")
    code, said = ends(OURS, engine)
    assert code == 2
    assert "check KOPPELING_REDIS_URL" in said
    assert PASSWORD not in said


def test_what_belongs_to_another_installation_is_left_alone(engine: Engine, limited: redis.Redis) -> None:
    # given what another installation has on the same server, long silent
    acl(limited, "SETUSER", USER, "~koppeling:*", *ACL.split())
    theirs = {
        "koppeling:other:enrollments.msgs": ("hset", "1-1", "{}"),
        "koppeling:other:__acks__.b.enrollments": ("sadd", "1-1"),
        "koppeling:other:enrollments": ("rpush", "2-1"),
    }
    for key, (verb, *words) in theirs.items():
        command(limited, verb, key, *words)
    limited.zadd("koppeling:other:__heartbeats__", {"b": 1})
    before = {key: limited.dump(key) for key in limited.keys("koppeling:other:*")}
    # when this one works and cleans up after itself
    tenant = engine.tenant()
    with engine.process():
        engine.enqueue(tenant, 1)
        engine.wait(lambda: engine.effects() == [1], SECONDS)
    # then theirs is as it was, and no dead letter was made of it
    assert {key: limited.dump(key) for key in limited.keys("koppeling:other:*")} == before
    assert engine.letters() == []


def test_each_database_has_a_prefix_of_its_own(engine: Engine, limited: redis.Redis) -> None:
    mine = redis_prefix()
    assert mine == f"koppeling:{engine.value('SELECT id FROM installation')}"
    told = subprocess.run(
        [sys.executable, "-c", "from models.installation import redis_prefix; print(redis_prefix())"],
        cwd=ROOT,
        env={**os.environ, **engine.environment, "KOPPELING_REDIS_PREFIX": "acme:links"},
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    assert told.stdout.strip() == "acme:links"
