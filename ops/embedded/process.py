"""Start, recognise and stop a server process; the same for PostgreSQL and Valkey.

PostgreSQL refuses to run as root. When root starts us, both servers run as ``nobody``, which exists on every Linux,
so no account is made. Where ``nobody`` can't enter the folder of the servers or of their programs (a home of 0700),
they keep one right of root's, to pass closed folders (``dac_override``), instead of us opening those to everyone.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ACCOUNT = "nobody"
_children: dict[int, subprocess.Popen[bytes]] = {}  # kept, so that Python doesn't take a running server for a lost one


class EmbeddedError(Exception):
    """An embedded server can't be used here; the text is one line that says what to do."""


@dataclass(frozen=True)
class Process:
    """A process that can be told from a later one with the same number by ``started``, an opaque number."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The living process with this number, None when there is none (zombies are dead)."""
        try:
            if sys.platform == "linux":
                # Ticks since boot: psutil's create_time moves when the clock is set, and takes the living for dead.
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                return None if fields[0] in "ZX" else cls(pid, float(fields[19]))
            found = psutil.Process(pid)
            return None if found.status() == psutil.STATUS_ZOMBIE else cls(pid, found.create_time())
        except (OSError, psutil.Error):
            return None

    @classmethod
    def me(cls) -> Process:
        """This process."""
        process = cls.of(os.getpid())
        if process is None:
            raise EmbeddedError("Can't read /proc, which tells living processes from dead ones: mount it.")
        return process

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def stop(self, *steps: tuple[signal.Signals, float]) -> None:
        """Send each signal and wait its seconds, until the process is gone. Raises EmbeddedError when it stays."""
        for number, seconds in steps:
            if not self.alive():
                break
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                break
            except PermissionError:
                raise EmbeddedError(f"Process {self.pid} belongs to another user: stop it as that user.") from None
            deadline = time.monotonic() + seconds
            while self.alive() and time.monotonic() < deadline:
                time.sleep(0.01)
        if self.alive():
            raise EmbeddedError(f"Process {self.pid} does not stop: end it with `kill -9 {self.pid}`.")
        reap(self.pid)


def reap(pid: int) -> None:
    """Let go of a server of ours that has ended, so that its number is free."""
    child = _children.get(pid)
    if child and child.poll() is not None:
        del _children[pid]


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on now; another process may still take it first, so callers try again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_account() -> tuple[int, int] | None:
    """Uid and gid the servers run as when that isn't ourselves, else None."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise EmbeddedError(
            f"There is no user {ACCOUNT!r} for PostgreSQL, which refuses to run as root: run as an ordinary user, "
            "or set KOPPELING_DATABASE_URL and KOPPELING_REDIS_URL."
        ) from None
    return entry.pw_uid, entry.pw_gid


def home_folder(home: Path) -> Path:
    """Make the home folder, closed to others (root's lets ``nobody`` pass), and give back its real path."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        home = home.resolve()
        if home.stat().st_uid == os.geteuid():
            home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise EmbeddedError(f"Can't use {home} ({error.strerror}): set KOPPELING_HOME to a folder of yours.") from None
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise EmbeddedError(f"{home} belongs to another user: set KOPPELING_HOME to a folder of yours.")
    return home


def server_folder(path: Path) -> Path:
    """Make a folder only the server's account can read."""
    path.mkdir(mode=0o700, exist_ok=True)
    give_to_server(path)
    return path


def give_to_server(path: Path) -> None:
    """Hand a file or folder to the account the server runs as."""
    account = server_account()
    if account:
        os.chown(path, *account)


def as_server(command: Sequence[str | Path], *folders: Path, bound: bool = False) -> list[str]:
    """The command line that runs a program as the server's account.

    Args:
        command: the program and its arguments.
        folders: what it must be able to enter besides the program's own folder.
        bound: let the kernel interrupt it when the thread that starts it ends, so also after kill -9 (Linux).
    """
    words = [str(word) for word in command]
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    account = server_account()
    if account and not setpriv:
        raise EmbeddedError(
            "Running as root needs setpriv (package util-linux): install it, run as an ordinary user, "
            "or set KOPPELING_DATABASE_URL and KOPPELING_REDIS_URL."
        )
    if not setpriv or not (account or bound):
        return words
    prefix = [setpriv]
    if account:
        prefix += [f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups", "--no-new-privs"]
        if not all(_open_to_all(folder) for folder in (Path(words[0]).parent, *folders)):
            prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    if bound:
        prefix += ["--pdeathsig=INT"]
    return [*prefix, "--", *words]


def _open_to_all(folder: Path) -> bool:
    # The folder itself is either the server's own or a package's; only the way to it can be closed.
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in folder.resolve().parents)


def spawn(command: Sequence[str], log: Path, *, stdin: bytes = b"", cwd: Path) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own (a Ctrl-C is for us, not for it), its output in ``log``.

    Of the log of the start before this one a copy is kept.
    """
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    with log.open("wb") as output:
        os.chmod(log, 0o600)
        child = subprocess.Popen(  # noqa: S603 - our own programs, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
            env=dict(_environment()),
        )
    _children[child.pid] = child
    with suppress(BrokenPipeError):  # it ended at once; whoever waits for it reads why in the log
        if child.stdin:
            child.stdin.write(stdin)
            child.stdin.close()
    return child


def _environment() -> Iterator[tuple[str, str]]:
    # PGDATA, PGPORT and the like of the user's own servers must not reach ours; nor our secrets.
    for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"):
        if name in os.environ:
            yield name, os.environ[name]
    yield "LC_ALL", "C"
    yield "TZ", "UTC"


def last_line(log: Path) -> str:
    """The last line a server wrote, for the one line of an error."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it wrote nothing"
