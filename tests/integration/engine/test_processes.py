"""Real processes, real signals: whoever is killed, everything is done once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from models.message import Kind
from models.session import transaction
from models.worker import keeps_serving, serve
from producers.runs.request import request_run
from tests.integration.engine.conftest import ROOT, Engine
from workers.process.supervisor import Supervisor


@contextmanager
def supervised(engine: Engine, processes: int, threads: int = 2, runners: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor with worker processes, ready for work; all of them gone at the end."""
    argv = [sys.executable, "-m", "tests.integration.engine.supervisor_process"]
    argv += [str(processes), str(threads), str(runners)]
    with subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **engine.environment}) as supervisor:
        children: list[psutil.Process] = []
        try:
            engine.alive(processes)
            yield supervisor
        finally:
            with _gone():
                children = psutil.Process(supervisor.pid).children()
            supervisor.kill()
            for child in children:
                with _gone():
                    child.kill()


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        return


def pids(engine: Engine) -> set[int]:
    return {row[0] for row in engine.execute("SELECT pid FROM worker")}


@pytest.mark.usefixtures("carried")
def test_what_a_killed_worker_was_doing_is_done_at_once_by_another(engine: Engine) -> None:
    # given two workers, one of which is in the middle of something long
    tenant = engine.tenant()
    with supervised(engine, 2) as supervisor:
        engine.script(1, "sleep", 60)
        engine.enqueue(tenant, 1)
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        victim = engine.value("SELECT pid FROM test_begun")
        engine.script(1, "note")
        before = pids(engine)
        # when it is killed
        os.kill(victim, signal.SIGKILL)
        # then its message is done long before the lease of three minutes ends, and another process takes its place
        engine.wait(lambda: engine.effects() == [1], 20)
        engine.wait(lambda: len(pids(engine) - {victim}) == 2, 20)
        engine.enqueue(tenant, *range(2, 50))
        engine.empty()
        assert supervisor.poll() is None
        assert victim not in pids(engine)
        assert before - {victim} <= pids(engine)
    assert sorted(engine.effects()) == list(range(1, 50))


@pytest.mark.usefixtures("carried")
def test_a_message_that_kills_its_worker_each_time_rests_after_three(engine: Engine) -> None:
    tenant = engine.tenant()
    with supervised(engine, 2):
        engine.script(1, "kill")
        engine.enqueue(tenant, *range(1, 21))
        engine.wait(lambda: [letter.error for letter in engine.letters()] == ["poison"], 60)
        engine.empty(60)
    assert sorted(engine.effects()) == list(range(2, 21))
    assert engine.value("SELECT count(*) FROM test_begun WHERE subject_id = 1") == 3


@pytest.mark.usefixtures("carried")
def test_a_worker_told_to_stop_ends_what_runs_and_leaves_the_rest_to_others_at_once(engine: Engine) -> None:
    # given one worker with something long of two tenants in hand, and more fetched
    for subject in (1, 2):
        engine.script(subject, "wait")
    with engine.process(threads=2) as first:
        engine.alive(1)
        for subject in (1, 2):
            engine.enqueue(engine.tenant(f"t{subject}"), subject)
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun") == 2)
        engine.enqueue(engine.tenant("t3"), *range(3, 11))
        with engine.process(threads=2):
            engine.alive(2)
            # when
            first.send_signal(signal.SIGTERM)
            # then the others are done while it still works on the long ones
            engine.wait(lambda: sorted(engine.effects()) == list(range(3, 11)), 20)
            assert first.poll() is None
            for subject in (1, 2):
                engine.script(subject, "note")
            assert first.wait(timeout=20) == 0
            engine.empty(10)
    assert sorted(engine.effects()) == list(range(1, 11))
    assert engine.value("SELECT count(*) FROM test_begun WHERE subject_id < 3") == 2


def test_what_a_stopping_worker_can_not_end_in_time_is_done_by_another_at_once(engine: Engine) -> None:
    # given something that takes longer than a worker has to stop
    tenant = engine.tenant()
    engine.script(1, "sleep", 300)
    engine.environment["TEST_STOP_SECONDS"] = "3"  # 25 in real life
    with supervised(engine, 2):
        engine.enqueue(tenant, 1)
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        engine.script(1, "note")
        # when
        stopped = engine.value("SELECT pid FROM test_begun")
        os.kill(stopped, signal.SIGTERM)
        # then it is left when that time is over, and nothing is held against it
        engine.wait(lambda: engine.effects() == [1], 60)
        assert engine.value("SELECT pid FROM test_effect") != stopped
        assert engine.value("SELECT delivery FROM test_effect") == 2


def test_a_second_signal_ends_a_worker_at_once(engine: Engine) -> None:
    tenant = engine.tenant()
    engine.script(1, "sleep", 60)
    with engine.process() as process:
        engine.alive(1)
        engine.enqueue(tenant, 1)
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 1


def test_workers_whose_supervisor_was_killed_stop_gracefully(engine: Engine) -> None:
    with supervised(engine, 2) as supervisor:
        children = psutil.Process(supervisor.pid).children()
        assert len(children) == 2
        supervisor.kill()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive
    engine.wait(lambda: engine.value("SELECT count(*) FROM worker") == 0)


def test_a_child_whose_supervisor_was_gone_before_it_could_look_ends_too() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    waits = "import time; from ops.servers.parent import end_with_parent; end_with_parent(); time.sleep(60)"
    environment = {**os.environ, "KOPPELING_SUPERVISOR": str(gone.pid)}
    done = subprocess.run([sys.executable, "-c", waits], cwd=ROOT, env=environment, timeout=50, check=False)
    assert done.returncode == -signal.SIGTERM


def test_a_supervisor_told_to_stop_stops_its_workers_and_restarts_none(engine: Engine) -> None:
    with supervised(engine, 2) as supervisor:
        children = psutil.Process(supervisor.pid).children()
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(timeout=30) == 0
        assert not any(child.is_running() for child in children)
        assert engine.value("SELECT count(*) FROM worker") == 0


@pytest.mark.usefixtures("carried")
def test_when_the_leading_process_is_killed_another_one_leads(engine: Engine) -> None:
    tenant = engine.tenant()
    with engine.process() as leader:
        engine.alive(1)
        engine.enqueue(tenant, 1)
        engine.empty()
        with engine.process():
            engine.alive(2)
            leader.kill()
            engine.enqueue(tenant, *range(2, 12))
            engine.empty()
    assert sorted(engine.effects()) == list(range(1, 12))


@pytest.mark.parametrize("arguments", [["--processes", "2", "--threads", "2"]])
def test_dramatiqs_own_command_runs_everything(engine: Engine, arguments: list[str]) -> None:
    # given no process of ours but dramatiq's
    tenant = engine.tenant()
    argv = [sys.executable, "-m", "dramatiq", "workers", "tests.integration.engine.kinds", *arguments]
    with subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **engine.environment, "TEST_KINDS": "1"}) as master:
        try:
            engine.alive(2)
            # when
            engine.enqueue(tenant, *range(1, 51))
            with transaction() as connection:
                run = request_run(connection, tenant, "enrollments", trigger="test")
            # then
            engine.empty()
            engine.wait(lambda: engine.value("SELECT status FROM run WHERE id = :id", id=run) == "done")
            master.send_signal(signal.SIGTERM)
            assert master.wait(timeout=30) == 0
        finally:
            master.kill()
    assert sorted(engine.effects()) == list(range(1, 51))
    assert engine.value("SELECT count(*) FROM worker") == 0


def test_a_supervisor_frees_only_what_its_own_children_held(engine: Engine) -> None:
    """Containers may share the host's name, and number their processes alike."""
    engine.enqueue(engine.tenant(), 1)
    engine.execute(
        "INSERT INTO worker (id, host, pid, threads, code_version) VALUES (:h || ':8:a', :h || '/another', 8, 8, 'v')",
        h=socket.gethostname(),
    )
    engine.execute(
        """UPDATE message SET state = 'sent', deliveries = 1, started_at = now(), worker = :h || ':8:a',
                  lease_until = now() + interval '3 minutes'""",
        h=socket.gethostname(),
    )
    supervisor = Supervisor([])
    supervisor._to_release.append((8, True))  # a child of its own with that number

    supervisor.tick()

    assert engine.value("SELECT state FROM message") == "sent"
    assert engine.value("SELECT count(*) FROM worker") == 1


def test_a_supervisor_knows_what_each_kind_records_when_it_dies() -> None:
    """It may give the last verdict on a message whose worker it reaps."""
    code = "import workers.process.supervisor; import dramatiq; print(*sorted(dramatiq.get_broker().actors))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == sorted(Kind)


def test_maintenance_stays_with_the_process_whose_chore_takes_long(engine: Engine) -> None:
    with transaction() as connection:
        assert serve(connection, "maintenance")
    # 14 seconds later its heartbeat comes, while the chore goes on
    engine.execute("UPDATE service SET seen_at = now() - interval '14 seconds'")
    with transaction() as connection:
        keeps_serving(connection)
    assert engine.value("SELECT seen_at > now() - interval '5 seconds' FROM service")
    # another process takes over only from one that shows no sign of life
    engine.execute("UPDATE service SET worker = 'another'")
    with transaction() as connection:
        assert not serve(connection, "maintenance")
        keeps_serving(connection)
    engine.execute("UPDATE service SET seen_at = now() - interval '16 seconds'")
    with transaction() as connection:
        assert serve(connection, "maintenance")
