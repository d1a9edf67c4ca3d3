"""The whole system as real processes, with both simulators beside it, for benchmarks and chaos.

``System`` starts ``koppeling up`` in a temporary home, runs commands against it, and gives SQL and the simulators'
control. Everything it started is gone when its ``with`` block ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from cryptography.fernet import Fernet
from sqlalchemy import text

import settings
from models.session import engine_for, transaction
from ops.servers import environment
from ops.servers.embedded.process import free_port
from ops.tenants import file, importing
from simulators.core.control_client import ControlClient
from simulators.sample_data.tenants import World

ROOT = Path(__file__).resolve().parent.parent
KOPPELING = (sys.executable, "-m", "ops.cli")
READY_SECONDS, STOP_SECONDS = 120.0, 60.0


class NotReady(Exception):
    """A process that was started did not come up; the text holds its last words."""


@dataclass
class System:
    """What runs, and handles on it."""

    home: Path
    afas: ControlClient
    pluvo: ControlClient
    afas_url: str
    pluvo_url: str
    up: subprocess.Popen[bytes] | None = None

    def fill(self, world: World, **tenants: Any) -> None:
        """Put a world into both simulators and import its tenants; keywords as for ``tenants_toml``."""
        self.afas.replace(world.afas.state()["tenants"])
        self.pluvo.replace(world.pluvo.state()["tenants"])
        path = self.home / "tenants.toml"
        path.write_text(world.tenants_toml(self.afas_url, self.pluvo_url, **tenants), encoding="utf-8")
        importing.apply(file.read(path), who="benchmark")

    def run(self, *arguments: str, timeout: float = 600.0) -> tuple[int, Any]:
        """Run a command with ``--json``; gives its exit code and its document (None when it printed none)."""
        done = subprocess.run(  # noqa: S603  our own command
            [*KOPPELING, *arguments, "--json"], capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT
        )
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, None

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Rows of the database."""
        with transaction() as connection:
            return [dict(row) for row in connection.execute(text(sql), values).mappings()]

    def change(self, sql: str, **values: Any) -> int:
        """Change rows of the database; gives how many."""
        with transaction() as connection:
            return connection.execute(text(sql), values).rowcount

    def workers(self) -> list[psutil.Process]:
        """The worker processes of ``koppeling up``."""
        return self.children("worker")

    def children(self, verb: str) -> list[psutil.Process]:
        """The processes ``koppeling up`` keeps of one kind: worker, scheduler, serve."""
        if self.up is None:
            return []
        try:
            found = psutil.Process(self.up.pid).children(recursive=True)
            return [child for child in found if verb in _arguments(child)]
        except psutil.NoSuchProcess:
            return []


def _arguments(process: psutil.Process) -> list[str]:
    try:
        arguments: list[str] = process.cmdline()
        return arguments
    except psutil.Error:
        return []


@contextmanager
def system(
    *, workers: int = 2, threads: int = 8, variables: Mapping[str, str] | None = None, scheduler: bool = False
) -> Iterator[System]:
    """Start simulators and ``koppeling up``; all processes, files and settings are gone afterwards."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(temporary_folder("koppeling-bench-")))
        stack.enter_context(own_environment(home, variables or {}))
        afas, pluvo = (stack.enter_context(simulator(name, home)) for name in ("afas", "pluvo"))
        made = System(home, ControlClient(afas), ControlClient(pluvo), afas, pluvo)
        up = (*KOPPELING, "up", "--workers", str(workers), "--threads", str(threads), "--port", str(free_port()))
        made.up = stack.enter_context(process([*up, *([] if scheduler else ["--no-scheduler"])], home / "up.log"))
        wait_for_line(made.up, home / "up.log", "ready ")
        environment.connect_running()
        stack.callback(lambda: engine_for(settings.get().need_database()).dispose())
        yield made


@contextmanager
def temporary_folder(prefix: str) -> Iterator[str]:
    """A folder for the length of the block."""
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_environment(home: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Settings of this process and its children for the length of the block."""
    before = {name: value for name, value in os.environ.items() if name.startswith(settings.PREFIX)}
    for name in before:
        del os.environ[name]
    os.environ.update(variables)
    # In the environment, where the processes that are started find it.
    own = {"HOME": str(home), "SECRET_KEYS": Fernet.generate_key().decode(), "ALLOW_INSECURE_URLS": "1"}
    os.environ.update({settings.PREFIX + name: value for name, value in own.items()})
    settings.forget_found()
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(settings.PREFIX)]:
            del os.environ[name]
        os.environ.update(before)
        settings.forget_found()  # the next one has servers of its own


@contextmanager
def simulator(system: str, folder: Path, *arguments: str) -> Iterator[str]:
    """Run an empty simulator in a process of its own; gives its URL."""
    log = folder / f"{system}.log"
    with process([sys.executable, "-m", "simulators", system, "--empty", *arguments], log) as child:
        yield wait_for_line(child, log, "ready ")


@contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own until the end of the block; output beside the log."""
    bound = shutil.which("setpriv") if sys.platform == "linux" else None
    command = [bound, "--pdeathsig", "TERM", "--", *command] if bound else command
    with log.with_suffix(".out").open("wb") as out, log.open("wb") as errors:
        child = subprocess.Popen(  # noqa: S603  our own command
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True, cwd=ROOT
        )
    try:
        yield child
    finally:
        stop(child)


def stop(child: subprocess.Popen[bytes]) -> int:
    """End a process by SIGTERM, or with its whole session when it doesn't; gives its exit code."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        return child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.wait()


def wait_for_line(child: subprocess.Popen[bytes], log: Path, start: str) -> str:
    """Wait until a process prints a line that starts so; gives what comes after. Raises NotReady."""

    def said() -> str | None:
        lines = log.with_suffix(".out").read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.removeprefix(start) for line in lines if line.startswith(start)), None)

    found = wait_until(lambda: said() or child.poll() is not None, READY_SECONDS)
    line = said()
    if not found or line is None:
        raise NotReady(log.read_text(encoding="utf-8", errors="replace")[-2000:])
    return line


def wait_until(condition: Callable[[], Any], seconds: float, pause: float = 0.05) -> Any:
    """Look until a condition holds; gives what it gave, or None when the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
