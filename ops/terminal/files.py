"""Read and write the files that operators name. A bad one gives one line that says so; nothing is waited for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ops.language import Words
from ops.problems import FileProblems, Problem


def read_text(path: Path, most_bytes: int) -> str:
    """The text of a regular file. Raises FileProblems for a pipe or a device, for what is too large or no UTF-8."""
    try:
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise FileProblems([Words("problem.file_not_regular", path=path)])
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise FileProblems([Words("problem.file_cant_be_read", path=path, why=error.strerror)]) from None
    except ValueError:  # a NUL in the name
        raise FileProblems([Words("problem.file_name")]) from None
    if len(content) > most_bytes:
        raise FileProblems([Words("problem.file_too_large", path=path, most=most_bytes // 1_000_000)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeError:
        raise FileProblems([Words("problem.file_not_text", path=path)]) from None


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """Write a file with names and addresses in it: readable by its owner alone, never through a symbolic link."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        number = os.open(path, flags, 0o600)
        with os.fdopen(number, "w", newline="", encoding="utf-8-sig") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise Problem("target_not_regular", path=path)
            os.fchmod(number, 0o600)
            os.ftruncate(number, 0)
            yield file
    except OSError as error:
        why = Words("why.symbolic_link") if path.is_symlink() else error.strerror
        raise Problem("cant_write", path=path, why=why) from None
