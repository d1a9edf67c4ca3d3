"""compose.yaml and Containerfile: what they start exists, waits for what it needs, and shows no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "worker", "scheduler", "serve")


def test_every_part_of_the_system_is_a_service() -> None:
    assert set(SERVICES) == {"postgres", "redis", *OURS}


@pytest.mark.parametrize("service", OURS)
def test_the_command_of_a_service_exists_with_its_options(service: str) -> None:
    name, *words = SERVICES[service]["command"]
    shown = subprocess.run(
        [sys.executable, "-c", "from ops.cli.main import main; main()", name, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"COLUMNS": "200", "PATH": ""},
    )  # fmt: skip

    assert shown.returncode == 0, shown.stderr
    assert [word for word in words if word.startswith("--") and word not in shown.stdout] == []


@pytest.mark.parametrize("service", OURS)
def test_our_services_get_their_secrets_from_files_that_settings_reads(service: str) -> None:
    environment, secrets = SERVICES[service]["environment"], SERVICES[service]["secrets"]

    read = {f"{settings.PREFIX}{name}_FILE" for name in settings.FROM_FILE}
    from_files = {name: path for name, path in environment.items() if name.endswith("_FILE")}
    assert set(from_files) <= read
    assert set(from_files.values()) == {f"/run/secrets/{name}" for name in secrets}
    assert {"KOPPELING_DATABASE_URL_FILE", "KOPPELING_REDIS_URL_FILE", "KOPPELING_SECRET_KEYS_FILE"} <= set(from_files)


def test_every_secret_is_a_file_outside_the_repository_and_every_used_one_is_declared() -> None:
    declared = COMPOSE["secrets"]
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}

    assert used == set(declared)
    assert all(set(secret) == {"file"} and secret["file"].startswith("./secrets/") for secret in declared.values())
    assert "\n*\n" in (ROOT / "secrets/.gitignore").read_text(encoding="utf-8")


def test_no_secret_is_written_down() -> None:
    assert re.findall(r"(?i)(?:password|secret|token|key)s?[ \t]*[:=][ \t]*[\"']?[A-Za-z0-9+/_-]{12,}", TEXT) == []
    assert re.findall(r"://[^\s/]*:[^\s/]*@", TEXT) == []
    for service in SERVICES.values():
        plain = {name: value for name, value in service.get("environment", {}).items() if not name.endswith("_FILE")}
        assert set(plain) <= {"KOPPELING_LOG_FORMAT", "POSTGRES_USER", "POSTGRES_DB"}


def test_services_wait_for_what_they_need() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for service in ("worker", "scheduler", "serve"):
        assert SERVICES[service]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_healthy"},
        }


@pytest.mark.parametrize("service", ["postgres", "redis", "serve"])
def test_what_others_wait_for_has_a_health_check(service: str) -> None:
    check = SERVICES[service]["healthcheck"]

    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries"} <= set(check)


def test_services_come_back_but_a_finished_migration_does_not() -> None:
    assert {name: service["restart"] for name, service in SERVICES.items()} == {
        "migrate": "on-failure",
        **dict.fromkeys(("postgres", "redis", "worker", "scheduler", "serve"), "unless-stopped"),
    }


def test_a_worker_may_finish_its_messages_and_may_be_there_many_times() -> None:
    worker = SERVICES["worker"]

    assert worker["stop_grace_period"] == "35s"
    assert not {"container_name", "ports"} & set(worker)


@pytest.mark.parametrize("service", list(SERVICES))
def test_no_service_has_rights_or_memory_without_end(service: str) -> None:
    given = SERVICES[service]
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[gm]", given["mem_limit"])
    assert "privileged" not in given
    assert "cap_add" not in given


def test_only_the_web_server_is_reachable_and_only_from_this_machine() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "serve": ["127.0.0.1:8000:8000"]
    }


def test_the_broker_never_evicts() -> None:
    command = SERVICES["redis"]["command"]

    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_tool_that_makes_the_locks_is_locked_itself() -> None:
    tools = (ROOT / ".ci/lock-tools.lock").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert re.match(r"uv==[\d.]+ \\\n\s+--hash=sha256:", tools)
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)


def test_the_image_holds_locked_packages_only_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()

    assert any("--require-hashes -r requirements.lock" in line for line in lines)
    assert not any("requirements-dev" in line for line in lines)
    assert [line.split()[1] for line in lines if line.startswith("USER")] == ["10001:10001"]


def test_the_image_gets_every_package_and_nothing_else() -> None:
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)

    assert {name for line in copied for name in line.split()} == set(allowed)
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"} <= set(allowed)
