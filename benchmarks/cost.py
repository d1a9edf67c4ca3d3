"""What a measurement cost: processor seconds and memory of the processes that took part.

Seconds on the wall say how busy the machine was; processor seconds say how much work there was to do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.system import KOPPELING, ROOT, System


def cpu_seconds(made: System) -> dict[str, float]:
    """Processor seconds used so far by the product's own processes and by its PostgreSQL and Valkey."""
    used = {"koppeling": 0.0, "postgres": 0.0, "valkey": 0.0}
    if made.up is None:
        return used
    for process in psutil.Process(made.up.pid).children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            # Backends that ended are counted with the postmaster, their parent.
            seconds = times.user + times.system + times.children_user + times.children_system
            name = next((name for name in ("postgres", "valkey") if name in process.name()), "koppeling")
            used[name] += seconds
    return used


@contextmanager
def peak_memory(processes: list[psutil.Process]) -> Iterator[dict[str, float]]:
    """Most resident memory of any of these processes during the block, and before it, in MB (Linux)."""
    found = {"before": max(_status(each.pid, "VmRSS") for each in processes)}
    for each in processes:
        Path(f"/proc/{each.pid}/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    yield found
    found["peak"] = max(_status(each.pid, "VmHWM") for each in processes)
    found["more"] = round(found["peak"] - found["before"], 1)


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024, 1)


# Linux counts what a process had before it became the command: a copy of its parent. So the parent is a small one.
_SMALL_PARENT = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[2:], stdout=open(sys.argv[1], "wb"))
_, status, used = os.wait4(child.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""


def command_memory(*arguments: str, output: Path | str = os.devnull) -> tuple[int, float]:
    """Run a command; gives its exit code and its most resident memory in MB (Linux). What it prints goes to a file."""
    words = [sys.executable, "-c", _SMALL_PARENT, str(output), *KOPPELING, *arguments]
    said = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603  our own
    code, most = said.split()
    return int(code), round(int(most) / 1024, 1)
