"""What the demo runs on: stand-ins for AFAS and Pluvo in this process, and a real ``koppeling up`` beside it.

Everything lives below a temporary folder that is gone at the end, so a demo never meets what else runs on this
machine. Servers that the environment names are used instead of embedded ones; see ``named_servers.py``.
"""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import logs
import settings
from models.session import engine_for, transaction
from ops.demo import named_servers
from ops.problems import Problem
from ops.servers import environment
from ops.servers.embedded.process import free_port
from ops.tenants import file, importing
from simulators.core.server import running
from simulators.sample_data.tenants import World, world
from tenancy import vital_signs

READY_SECONDS = 120.0
STOP_SECONDS = 60.0


@dataclass
class Setup:
    """What runs during the demo. ``world`` holds both simulators; take their lock to look or to change.

    ``told``: the settings that a command needs which is to find all this.
    """

    home: Path
    world: World
    afas_url: str
    pluvo_url: str
    address: str
    up: subprocess.Popen[bytes]
    told: Mapping[str, str]
    running: ExitStack

    @property
    def words(self) -> str:
        """What stands before a command in another terminal."""
        return " ".join(f"{name}={shlex.quote(value)}" for name, value in self.told.items())

    def keep_timetable(self) -> None:
        """Start the scheduler. Not earlier: runs that begin by themselves would come between those of the acts."""
        child = self.running.enter_context(_program(self.home, "scheduler", "scheduler", "--child"))
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and child.poll() is None:
            with transaction() as connection:
                if vital_signs.read(connection)["timetable"] == "ok":
                    return
            time.sleep(0.05)
        raise Problem("scheduler_no_start", words=last_words(self.home / "scheduler.log"))

    def must_run(self) -> None:
        """Raise a Problem when ``koppeling up`` ended by itself."""
        if self.up.poll() is not None:
            raise Problem("up_ended", code=self.up.returncode, words=last_words(self.home / "up.log"))

    def wait_until_it_ends(self) -> None:
        """Wait as long as ``koppeling up`` runs; Ctrl-C comes in between."""
        self.up.wait()

    def import_tenants(self) -> list[importing.Imported]:
        """Write the tenants file of the three and import it, as ``koppeling tenants import`` does."""
        path = self.home / "tenants.toml"
        path.write_text(self.world.tenants_toml(self.afas_url, self.pluvo_url), encoding="utf-8")
        return importing.apply(file.read(path), who="demo")


@contextmanager
def set_up() -> Iterator[Setup]:
    """Start everything, and stop all of it at the end. Raises Problem when it can't run here."""
    made = world()
    with ExitStack() as stack:
        home = Path(stack.enter_context(_folder()))
        told = _settings(home)
        stack.enter_context(named_servers.named_servers())
        # The child first: a process is best started before there are threads.
        port = str(free_port())
        words = ("up", "--no-scheduler", "--port", port, "--workers", "2", "--threads", "8")
        up = stack.enter_context(_program(home, "up", *words))
        afas_url = stack.enter_context(running(made.afas.app))
        pluvo_url = stack.enter_context(running(made.pluvo.app))
        address = _ready(up, home)
        environment.connect_running()
        stack.callback(lambda: engine_for(settings.get().need_database()).dispose())
        yield Setup(home, made, afas_url, pluvo_url, address, up, told, stack)


@contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="koppeling-demo-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(home: Path) -> Mapping[str, str]:
    """Settings of this process and of those it starts: the standard ones, whatever the user's own are."""
    kept = {settings.PREFIX + name + suffix for name in ("DATABASE_URL", "REDIS_URL") for suffix in ("", "_FILE")}
    for name in [name for name in os.environ if name.startswith(settings.PREFIX) and name not in kept]:
        del os.environ[name]
    given = {name.removeprefix(settings.PREFIX).removesuffix("_FILE") for name in kept & set(os.environ)}
    told = {"HOME": str(home), "ALLOW_INSECURE_URLS": "1"}
    # The key of a home: whoever uses it from another terminal finds it there, as in any other.
    environment.make_home_key(home)
    if "DATABASE_URL" in given:
        told["SECRET_KEYS_FILE"] = str(home / environment.KEY_FILE)
    if "REDIS_URL" in given:
        # A named server may hold other things too: only what is below this prefix is ours.
        told["REDIS_PREFIX"] = f"koppeling:demo-{secrets.token_hex(4)}"
    told = {settings.PREFIX + name: value for name, value in told.items()}
    os.environ.update(told)
    settings.get.cache_clear()
    logs.configure(level=logging.ERROR)
    return told


@contextmanager
def _program(home: Path, name: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """``koppeling`` with these words, beside the demo and no longer than it; what it says is below the home."""
    command = [sys.executable, "-m", "ops.cli", *words]
    bound = shutil.which("setpriv") if sys.platform == "linux" else None
    if bound:  # so that it stops, and all it started with it, even when this process is killed
        command = [bound, "--pdeathsig", "TERM", "--", *command]
    with (home / f"{name}.out").open("wb") as out, (home / f"{name}.log").open("wb") as log:
        # A session of its own: Ctrl-C is told to it by us, after the demo has ended.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True)  # noqa: S603  our own program, no shell
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _ready(up: subprocess.Popen[bytes], home: Path) -> str:
    """The web server's address, once ``koppeling up`` says that every part runs."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for line in (home / "up.out").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("ready http"):
                return line.split()[1]
        if up.poll() is not None:
            raise Problem("up_no_start", words=last_words(home / "up.log"))
        time.sleep(0.05)
    raise Problem("up_slow", seconds=round(READY_SECONDS), words=last_words(home / "up.log"))


def last_words(log: Path) -> str:
    """The last line of a log."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it wrote nothing"
