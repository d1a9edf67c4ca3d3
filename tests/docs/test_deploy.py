"""deploy/: what Kubernetes and systemd are given fits their schemas, and every command, option and setting exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import settings
from tests.fixtures.debian import program

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy/kustomize/base"
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
KUBERNETES = "1.33"
OURS = ("migrate", "worker", "scheduler", "serve")


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def laid_over(below: Any, above: Any) -> Any:
    """A strategic merge as far as these files need it: containers and volumes by name, other lists replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: laid_over(below[key], value) if key in below else value for key, value in above.items()}
    if isinstance(below, list) and isinstance(above, list) and all("name" in one for one in below + above):
        named = {one["name"]: one for one in below}
        return list((named | {one["name"]: laid_over(named.get(one["name"], {}), one) for one in above}).values())
    return above


def built() -> list[dict[str, Any]]:
    kustomization = documents(BASE / "kustomization.yaml")[0]
    (pod,) = documents(BASE / "pod.yaml")
    patched = {patch["target"]["kind"] for patch in kustomization["patches"] if patch["path"] == "pod.yaml"}
    found = [one for name in kustomization["resources"] for one in documents(BASE / name)]
    return [laid_over(one, {"spec": pod["spec"]}) if one["kind"] in patched else one for one in found]


OBJECTS = built()
PODS = {
    one["metadata"]["name"].removeprefix("koppeling-"): one["spec"]["template"]["spec"]
    for one in OBJECTS
    if one["kind"] in ("Deployment", "Job")
}


@cache
def helped(command: str) -> str:
    shown = subprocess.run(
        [sys.executable, "-c", "from ops.cli.main import main; main()", command, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"COLUMNS": "200", "PATH": ""},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def exists(words: list[str]) -> None:
    command, *rest = words
    assert [word for word in rest if word.startswith("--") and word not in helped(command)] == []


def known_settings() -> set[str]:
    source = (ROOT / "settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'knob\(\s*"([A-Z_]+)"', source))
    return {f"KOPPELING_{name}{end}" for name in names for end in ("", "_FILE")}


@pytest.mark.parametrize("one", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_kubernetes_takes_every_object(one: dict[str, Any]) -> None:
    assert kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_the_check_of_objects_refuses_a_misspelt_field() -> None:
    wrong = laid_over(OBJECTS[1], {"spec": {"templat": {}}})

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def made_by_kustomize(folder: str) -> list[dict[str, Any]]:
    """By its own program, which Debian does not have; left out where it is not installed."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        # Not even .ci/run can require it. What the files say is checked without it, by the tests above.
        pytest.skip("left out: there is no kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", str(ROOT / "deploy/kustomize" / folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def test_kustomize_makes_of_the_base_what_was_checked_here() -> None:
    made = {(one["kind"], one["metadata"]["name"]): one for one in made_by_kustomize("base")}

    assert set(made) == {(one["kind"], one["metadata"]["name"]) for one in OBJECTS}
    for (kind, name), one in made.items():
        assert kubernetes_validate.validate(one, KUBERNETES, strict=True)
        if kind in ("Deployment", "Job"):
            pod, mine = one["spec"]["template"]["spec"], PODS[name.removeprefix("koppeling-")]
            assert pod["containers"][0].pop("image") == "registry.example.com/koppeling:0.1.0"
            containers = [{key: value for key, value in mine["containers"][0].items() if key != "image"}]
            constraints = pod.pop("topologySpreadConstraints", None)  # whose selector has our name as well by now
            assert pod == {key: mine[key] for key in mine if key != "topologySpreadConstraints"} | {
                "containers": containers
            }
            assert (constraints is None) == ("topologySpreadConstraints" not in mine)


def test_kustomize_leaves_the_number_of_workers_to_what_scales_them() -> None:
    made = {(one["kind"], one["metadata"]["name"]): one for one in made_by_kustomize("autoscaling")}

    assert "replicas" not in made["Deployment", "koppeling-worker"]["spec"]
    assert made["ScaledObject", "koppeling-worker"]["spec"]["scaleTargetRef"] == {"name": "koppeling-worker"}


def test_every_file_is_used_and_every_process_is_there() -> None:
    kustomization = documents(BASE / "kustomization.yaml")[0]

    assert set(PODS) == set(OURS)
    assert {*kustomization["resources"], "pod.yaml", "kustomization.yaml"} == {one.name for one in BASE.iterdir()}


@pytest.mark.parametrize("name", OURS)
def test_pods_run_commands_that_exist_without_rights_and_with_secrets_as_files(name: str) -> None:
    (container,) = PODS[name]["containers"]

    exists(container["args"])
    assert container["args"][0] == name
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if "exec" in container.get(probe, {}):
            program, *words = container[probe]["exec"]["command"]
            assert program == "koppeling"
            exists(words)
    assert PODS[name]["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {one["mountPath"] for one in container["volumeMounts"]} == {"/run/secrets", "/tmp"}
    assert set(container["resources"]) == {"requests", "limits"}


def test_settings_of_pods_and_units_exist_and_none_is_a_secret() -> None:
    (pods,) = [one["data"] for one in OBJECTS if one["kind"] == "ConfigMap"]
    lines = (ROOT / "deploy/systemd/settings.example").read_text(encoding="utf-8").splitlines()
    units = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    # Also those that somebody may put in.
    commented = [
        set(re.findall(r"^ *# (KOPPELING_\w+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("deploy/systemd/settings.example", "deploy/kustomize/base/settings.yaml")
    ]

    for given in (set(pods), set(units), *commented):
        assert given
        assert given <= known_settings()
        assert not {f"KOPPELING_{name}" for name in settings.FROM_FILE} & given


def test_the_network_is_closed_for_pods_of_ours_and_for_no_others() -> None:
    """Kustomize adds our name to a selector that has labels, and to no empty one: that would be the whole namespace."""
    policies = {one["metadata"]["name"]: one["spec"] for one in OBJECTS if one["kind"] == "NetworkPolicy"}

    assert all(one["podSelector"]["matchLabels"] for one in policies.values())
    assert set(policies["koppeling"]["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policies["koppeling"]
    ports = {port["port"] for rule in policies["koppeling"]["egress"] for port in rule["ports"]}
    # Names, the two systems, and what docs/deployment.md names: PostgreSQL, PgBouncer, Redis, Sentinel.
    assert {53, 443, 5432, 6432, 6379, 6380, 26379} <= ports


def test_a_drained_machine_leaves_one_of_each_that_has_several() -> None:
    budgets = {one["metadata"]["name"]: one["spec"] for one in OBJECTS if one["kind"] == "PodDisruptionBudget"}
    deployments = {one["metadata"]["name"]: one["spec"] for one in OBJECTS if one["kind"] == "Deployment"}

    assert set(budgets) == set(deployments)
    for name, budget in budgets.items():
        assert budget["minAvailable"] < deployments[name]["replicas"]
        assert budget["selector"] == deployments[name]["selector"]


def test_no_apply_sets_back_how_many_workers_are_wanted() -> None:
    (kustomization,) = documents(ROOT / "deploy/kustomize/autoscaling/kustomization.yaml")
    (patch,) = kustomization["patches"]

    assert patch["target"]["name"] == "koppeling-worker"
    assert yaml.safe_load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]
    assert "replicas" in next(one for one in OBJECTS if one["metadata"]["name"] == "koppeling-worker")["spec"]


def test_workers_are_scaled_by_a_number_that_says_how_many() -> None:
    (scaled,) = documents(ROOT / "deploy/kustomize/autoscaling/scale.yaml")
    (trigger,) = scaled["spec"]["triggers"]

    assert scaled["spec"]["scaleTargetRef"]["name"] == "koppeling-worker"
    # With Value the number would be multiplied by the workers that there are.
    assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("AverageValue", "1")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_that_exist(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    (line,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    program, *words = shlex.split(line)

    assert program == "/opt/koppeling/.venv/bin/koppeling"
    exists(words)
    assert "User=koppeling" in text
    assert "NoNewPrivileges=yes" in text


def test_every_process_has_a_unit() -> None:
    assert {unit.name for unit in UNITS} == {
        "koppeling-migrate.service", "koppeling-scheduler.service", "koppeling-serve.service",
        "koppeling-worker@.service",
    }  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_key_of_a_unit_stands_in_a_section(unit: Path) -> None:
    sections = re.findall(r"^\[(\w+)\]$", unit.read_text(encoding="utf-8"), re.MULTILINE)

    assert sections in (["Unit", "Service", "Install"], ["Unit", "Service"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault_in_a_unit(unit: Path, tmp_path: Path) -> None:
    """By systemd's own tool."""
    here = tmp_path / unit.name
    # The program it starts is not on this machine.
    here.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(encoding="utf-8"), flags=re.M))

    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", str(here)], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


def test_the_compose_file_is_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
