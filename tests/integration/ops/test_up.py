"""``koppeling up``: ready once all of it runs, gone without a trace when told to stop."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

ROOT = Path(__file__).parents[3]
SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def running(home: Path, port: int, *words: str) -> Iterator[subprocess.Popen[str]]:
    """``koppeling up`` with embedded servers; killed at the end if the test did not stop it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KOPPELING_")}
    command = [sys.executable, "-m", "ops.cli", "up", "--port", str(port), "--workers", "1", "--threads", "2", *words]
    with (home.parent / "up.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean | {"KOPPELING_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # these tests may run under nohup themselves, and what ignores SIGHUP from the start goes on ignoring it
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509  one system call, no lock
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def workers(process: subprocess.Popen[str]) -> set[int]:
    """Pids of the worker processes that live."""
    found = set()
    for child in family(process):
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            if "worker" in child.cmdline():
                found.add(child.pid)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_everything_comes_up_and_goes_down_with_it(tmp_path: Path, number: signal.Signals) -> None:
    home, port = tmp_path / "home", free_port()
    with running(home, port) as process:
        # given it is ready, which it says alone on a line
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready http://127.0.0.1:{port}\n"
        answer = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
        assert (answer.status_code, answer.json()["database"]) == (200, "ok")
        assert (home / "secret.key").stat().st_mode & 0o077 == 0
        children = family(process)
        (worker,) = workers(process)
        # when a child is killed it is started again
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: bool(workers(process) - {worker}), "the worker was not started again")
        # and when it is told to stop
        children += family(process)
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
    # then nothing it started is left
    wait_for(lambda: not any(child.is_running() for child in children), "something was left running")


def test_dead_servers_are_started_again_and_no_child_carries_their_secrets(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    with running(home, port) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        # given children that were told nothing secret
        passwords = re.findall(r":([0-9a-f]{64})@", (home / "embedded.json").read_text())
        secrets = {(home / "secret.key").read_text().strip(), *passwords}
        assert len(secrets) == 3
        for child in family(process):
            told = " ".join([*child.cmdline(), *child.environ().values()])
            assert not [secret for secret in secrets if secret in told]
        # when both servers are killed
        servers = [child for child in family(process) if child.name() in ("postgres", "valkey-server")]
        for name in ("postgres", "valkey-server"):
            next(child for child in servers if child.name() == name).kill()
        # then they come back, and the same workers and web server go on with them
        before = workers(process)
        wait_for(lambda: "server_started_again" in (tmp_path / "up.log").read_text(), "no server was started again")
        wait_for(lambda: _ready(port), "it did not get ready again")
        assert workers(process) == before
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


def _ready(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=30).status_code == 200


def test_a_taken_port_is_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with running(tmp_path / "home", taken.getsockname()[1]) as process:
            assert process.wait(SECONDS) == 2
    assert "choose another with --port" in (tmp_path / "up.log").read_text()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("words", [["scheduler"], ["serve", "--port"]], ids=lambda words: words[0])
def test_a_process_of_one_kind_says_in_one_line_when_it_is_ready(environment: dict[str, str], words: list[str]) -> None:
    port = free_port()
    command = [*words, str(port)] if "--port" in words else words
    expected = f"ready http://127.0.0.1:{port}" if "--port" in words else "ready: the timetable is kept"
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", *command], cwd=ROOT, env=os.environ | environment,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == expected
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
