"""The demo, as somebody new runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from ops.demo import assertions
from ops.demo.tenant_script import TenantScript
from ops.http.needs import NEEDED
from simulators.sample_data.tenants import world
from tests.fixtures.asking import is_page

COMMAND = (sys.executable, "-m", "ops.cli", "demo")
PATIENCE_SECONDS = 240


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment that names no servers, with a folder for temporary files of its own."""
    return {**os.environ, "TMPDIR": str(tmp_path), "KOPPELING_RETRY_SCHEDULE": "no duration: the demo has its own"}


def processes_below(folder: Path) -> list[psutil.Process]:
    """Processes whose command line, folder or environment mentions a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            told = " ".join([*process.cmdline(), process.environ().get("KOPPELING_HOME", "")])
        except psutil.Error:
            continue
        if str(folder) in told:
            found.append(process)
    return found


def wait_until_gone(folder: Path) -> None:
    """Wait until no process of a folder is left."""
    deadline = time.monotonic() + 40
    while (left := processes_below(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_the_demo_ends_with_both_systems_as_they_must_be_and_leaves_nothing_behind(
    bare: dict[str, str], tmp_path: Path
) -> None:
    # when
    done = subprocess.run(COMMAND, check=False, env=bare, capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    # then
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All is right" in done.stdout
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line[:5] in ("acme ", "delta")}
    assert lines["acme"][-1] == "0", "dead letters are left"
    assert done.stderr == ""
    wait_until_gone(tmp_path)
    assert not list(tmp_path.iterdir())


def test_kept_running_it_says_where_it_is_and_ctrl_c_ends_it(bare: dict[str, str], tmp_path: Path) -> None:
    # given
    demo = subprocess.Popen([*COMMAND, "--keep"], env=bare, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    told: list[str] = []
    for line in iter(demo.stdout.readline, ""):
        told.append(line)
        if "Ctrl-C" in line:
            break
    address = next(line for line in told if "Address: " in line).partition("Address: ")[2].split()
    assert address[0].startswith("http://127.0.0.1:")

    # then all that the console tells of is done by somebody, and a command finds what it needs as it was told
    services = requests.get(f"{address[0]}/api/overview", timeout=30).json()["services"]
    assert set(services.values()) == {"ok"}
    pages = [route.removeprefix("GET ") for route in NEEDED if is_page(route) and "{" not in route]
    shown = {page: requests.get(address[0] + page, timeout=60) for page in pages if page != "/people"}
    assert [page for page, answer in shown.items() if answer.status_code != 200] == []
    assert [page for page, answer in shown.items() if 'class="empty"' in answer.text] == [], "something on every page"
    words = next(line for line in told if "In another terminal: " in line).partition(": ")[2].split()
    there = dict(word.split("=", 1) for word in words if word.startswith("KOPPELING_"))
    checked = subprocess.run(
        [*COMMAND[:3], "check", "acme", "--json"],
        check=False,
        env={**os.environ, **there},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert checked.returncode in (0, 1), checked.stderr
    assert {"insecure_url", "key_gone"}.isdisjoint(one["code"] for one in json.loads(checked.stdout)["probes"])

    # when
    demo.send_signal(signal.SIGINT)
    said, complained = demo.communicate(timeout=60)

    # then
    assert demo.returncode == 0, "".join(told) + said + complained
    wait_until_gone(tmp_path)
    assert not list(tmp_path.iterdir())


def test_interrupted_half_way_it_cleans_up_and_says_so(bare: dict[str, str], tmp_path: Path) -> None:
    # given
    demo = subprocess.Popen(COMMAND, env=bare, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    assert any(line.startswith("== 1.") for line in iter(demo.stdout.readline, ""))

    # when
    demo.send_signal(signal.SIGTERM)
    said, complained = demo.communicate(timeout=60)

    # then
    assert demo.returncode == 1
    assert "Interrupted" in said
    assert complained == ""
    wait_until_gone(tmp_path)
    assert not list(tmp_path.iterdir())


def test_killed_it_takes_what_it_started_with_it(bare: dict[str, str], tmp_path: Path) -> None:
    # given
    demo = subprocess.Popen(COMMAND, env=bare, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    assert any(line.startswith("== 1.") for line in iter(demo.stdout.readline, ""))

    # when
    demo.kill()
    demo.wait()

    # then
    wait_until_gone(tmp_path)


def test_the_assertions_see_what_is_wrong() -> None:
    # given: a world in which nothing was done at all
    made = world()
    script = TenantScript(made, made.tenants[0])
    somebody = script.people[30]

    # then: nobody is enrolled, accounts are missing
    assert [line for line in assertions._accounts(script) if "has no account" in line]
    assert len(list(assertions._rosters(script))) == 2
    assert not list(assertions._accounts_before(script))
    assert not list(assertions._dates(script))

    # when: somebody else's account is renamed, a date is invented
    guest = next(user for user in script.pluvo.users.values() if user["email"].startswith("gast@"))
    script.pluvo.change_user(guest["id"], name="Gast Twee")
    script.afas.change(340, somebody.internal_id, free={script.tenant.completion_field: "2026-01-01"})

    # then
    assert len(list(assertions._accounts_before(script))) == 1
    assert len(list(assertions._dates(script))) == 1
