"""Commands whose output nobody reads to the end, or that nothing takes; and ones in a folder that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMAND = f"{sys.executable} -m ops.cli"
WORDS = ["status", "status --json", "tenants list", "--help"]
SECONDS = 120


def shell(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a line of shell; its exit code is that of the first program of a pipe that failed."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        env=dict(os.environ) | environment | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("words", WORDS)
def test_a_reader_that_goes_away_is_no_failure(environment: dict[str, str], words: str) -> None:
    for reader in ("head -1", "true"):
        done = shell(f"{COMMAND} {words} | {reader}", environment)
        assert (done.returncode, done.stderr) == (0, ""), reader


@pytest.mark.parametrize("words", WORDS[:3])
def test_output_that_nothing_takes_is_one_line(environment: dict[str, str], words: str) -> None:
    done = shell(f"{COMMAND} {words} > /dev/full", environment)
    assert (done.returncode, done.stderr) == (1, "The output can't be written (No space left on device).\n")
    assert shell(f"{COMMAND} {words} > /dev/full 2>&1", environment).returncode == 1


def test_a_folder_that_is_gone_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    here = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone &&"
    nameless = {name: value for name, value in environment.items() if name != "KOPPELING_HOME"}
    done = shell(f"{here} {COMMAND} status", nameless)
    assert done.returncode == 2
    assert "the current folder is gone" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert shell(f"{here} {COMMAND} status", environment).returncode == 0
