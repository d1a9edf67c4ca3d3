"""Read and write the files that operators name. A bad one gives one line that says so; nothing is waited for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ops.problems import FileProblems, Problem


def read_text(path: Path, most_bytes: int) -> str:
    """The text of a regular file. Raises FileProblems for a pipe or a device, for what is too large or no UTF-8."""
    try:
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise FileProblems([f"{path}: is no regular file: write it to a file first"])
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise FileProblems([f"{path}: can't be read ({error.strerror})"]) from None
    except ValueError:  # a NUL in the name
        raise FileProblems(["that is no name of a file"]) from None
    if len(content) > most_bytes:
        raise FileProblems([f"{path}: larger than {most_bytes // 1_000_000} MB"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeError:
        raise FileProblems([f"{path}: is not UTF-8 text"]) from None


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """Write a file with names and addresses in it: readable by its owner alone, never through a symbolic link."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        number = os.open(path, flags, 0o600)
        with os.fdopen(number, "w", newline="", encoding="utf-8-sig") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise Problem(f"{path} is no regular file: name one that is to be made.")
            os.fchmod(number, 0o600)
            os.ftruncate(number, 0)
            yield file
    except OSError as error:
        why = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise Problem(f"Can't write {path} ({why}).") from None
