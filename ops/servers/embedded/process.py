"""Start, recognise and stop a server process; the same for PostgreSQL and Valkey.

No server ever runs as root or holds a right of root's. Started by an ordinary user they run as that user; started by
root, under a number that is no account of this machine and that nothing else uses. They are put into their own folder
before they give up root, and name files only relative to it: so the folders above stay closed to them.
"""

from __future__ import annotations

import os
import pwd
import secrets
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

# Neither for people, nor for packages, nor one that systemd gives away: see its list "Users, Groups, UIDs and GIDs".
ACCOUNT = 60_800
_children: dict[int, subprocess.Popen[bytes]] = {}  # kept, so that Python doesn't take a running server for a lost one
INSTEAD = "run as an ordinary user, or set KOPPELING_DATABASE_URL and KOPPELING_REDIS_URL."


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


def reap_dead() -> None:
    """The same for all that have ended. While one waits for it its number looks like a living process's, also to a
    server that asks who holds the lock files it finds.
    """
    for pid in list(_children):
        reap(pid)


def free_port() -> int:
    """A free port of 127.0.0.1. Another process may still take it first, so callers try again."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def server_account() -> tuple[int, int] | None:
    """Uid and gid the servers run as when that isn't ourselves, else None."""
    if os.geteuid() != 0:
        return None
    try:
        taken = pwd.getpwuid(ACCOUNT).pw_name
    except KeyError:
        return ACCOUNT, ACCOUNT
    raise EmbeddedError(f"Number {ACCOUNT}, under which root's servers run, is user {taken} on this machine: {INSTEAD}")


def making_account() -> tuple[int, int] | None:
    """The same for the one program that must find its user in the list of users: that of ``nobody``, our group.

    It works in a folder that nobody else can enter, and another group is enough that no other process of ``nobody``
    may look into it.
    """
    account = server_account()
    if account is None:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid, account[1]
    except KeyError:
        raise EmbeddedError(f"There is no user 'nobody', under which PostgreSQL's files are made: {INSTEAD}") from None


def owner_name(uid: int) -> str:
    """How a user is called, for the one line of an error."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def home_folder(home: Path) -> Path:
    """Make the home folder, closed to all others, and give back its real path. Raises EmbeddedError."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"Can't use {home} ({error.strerror}): set KOPPELING_HOME to a folder of yours.") from None
    found = own_home(home)
    if found is None:
        raise EmbeddedError(f"{home} went away: set KOPPELING_HOME to a folder of yours.")
    found.chmod(0o700)
    return found


def own_home(home: Path) -> Path | None:
    """The real path of a home folder, None when there is none. Refuses, touching nothing, what others could have put
    there: a key or an address in it would be theirs.
    """
    try:
        facts = home.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EmbeddedError(f"Can't use {home} ({error.strerror}): set KOPPELING_HOME to a folder of yours.") from None
    if stat.S_ISLNK(facts.st_mode):
        raise EmbeddedError(f"{home} is a symbolic link: set KOPPELING_HOME to the folder itself.")
    _need_owner(home, facts, os.geteuid())
    if not stat.S_ISDIR(facts.st_mode):
        raise EmbeddedError(f"{home} is no folder: set KOPPELING_HOME to a folder of yours.")
    if facts.st_mode & stat.S_IWOTH and any(home.iterdir()):
        raise EmbeddedError(
            f"Everybody may write to {home}, so what is in it may be anybody's: look what it is and "
            f"`chmod 700 {home}`, or set KOPPELING_HOME to a folder of yours."
        )
    return home.resolve()


def _need_owner(path: Path, facts: os.stat_result, uid: int) -> None:
    if facts.st_uid == uid:
        return
    owner = owner_name(facts.st_uid)
    if uid != os.geteuid():
        raise EmbeddedError(f"{path} belongs to {owner} and not to the servers' account ({uid}): move it away.")
    become = f"run it as {owner} (`sudo -u {owner} koppeling …`)" if facts.st_uid else "run it as root"
    raise EmbeddedError(
        f"{path} belongs to {owner} and you are {owner_name(uid)}: {become}, "
        "or set KOPPELING_HOME to a folder of yours."
    )


def own_folder(path: Path) -> Path:
    """Make a folder below the home that only we can enter. Refuses a link, and what belongs to another user."""
    return _folder(path, (os.geteuid(), -1))


def server_folder(path: Path) -> Path:
    """The same for one that the servers' account owns."""
    return _folder(path, server_account() or (os.geteuid(), -1))


def _folder(path: Path, account: tuple[int, int]) -> Path:
    try:
        path.mkdir(mode=0o700)
        os.chown(path, *account, follow_symlinks=False)
    except FileExistsError:
        pass
    except OSError as error:
        raise EmbeddedError(f"Can't make {path} ({error.strerror}): {INSTEAD}") from None
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise EmbeddedError(f"{path} is no folder but something else: move it away.")
    _need_owner(path, facts, account[0])
    return path


def give_to_server(folder: Path) -> None:
    """Hand a folder and all in it to the account the servers run as."""
    account = server_account()
    if account:
        for _, folders, files, descriptor in os.fwalk(folder):
            for name in (*folders, *files):
                os.chown(name, *account, dir_fd=descriptor, follow_symlinks=False)
        os.chown(folder, *account, follow_symlinks=False)


def write_for_server(folder: Path, name: str, content: str) -> None:
    """Write a file into a server's folder, in one step. Follows nothing that the server could have put there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    aside = f"{name}.{secrets.token_hex(8)}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(aside, flags, 0o600, dir_fd=descriptor), "w", encoding="utf-8") as file:
            file.write(content)
            account = server_account()
            if account:
                os.fchown(file.fileno(), *account)
        os.rename(aside, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    finally:
        os.close(descriptor)


def as_server(command: Sequence[str | Path], account: tuple[int, int] | None, *, bound: bool = False) -> list[str]:
    """The command line that runs a program without any right of root's.

    Args:
        command: the program and its arguments.
        account: uid and gid to run as when that isn't ourselves.
        bound: let the kernel interrupt it when the thread that starts it ends, so also after kill -9 (Linux).
    """
    words = [str(word) for word in command]
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if account and not setpriv:
        raise EmbeddedError(f"Running as root needs setpriv (package util-linux): install it, {INSTEAD}")
    if not setpriv:
        return words
    prefix = [setpriv, "--no-new-privs", "--inh-caps=-all"]
    if account:
        prefix += [f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups"]
    if bound:
        prefix += ["--pdeathsig=INT"]
    return [*prefix, "--", *words]


def own_words(folder: Path) -> str:
    """How a server that stands in ``folder`` names it: a way that leads past folders it can't enter."""
    return "/proc/self/cwd" if server_account() else str(folder)


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
    with suppress(BrokenPipeError):  # it ended at once; the log says why
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
