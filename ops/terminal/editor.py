"""Let somebody change a text in the editor of their choice."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from ops.problems import Problem


def edited(text: str, suffix: str) -> str:
    """The text as it was saved, by ``$VISUAL``, ``$EDITOR`` or vi. Only its owner can read it meanwhile."""
    program = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="koppeling-") as folder:
        file = Path(folder) / f"edit{suffix}"
        file.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(program), str(file)], check=False)  # noqa: S603  the user's own choice
        except (OSError, ValueError) as error:
            raise Problem("no_editor", program=program, why=error) from None
        if done.returncode:
            raise Problem("editor_ended", code=done.returncode)
        return file.read_text(encoding="utf-8")
