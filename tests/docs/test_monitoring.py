"""deploy/prometheus and deploy/grafana: what they ask for is told by `/metrics`, and rules do what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.http.console.routes import ROUTERS
from tests.fixtures.debian import program

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "koppeling.rules.yaml").read_text(encoding="utf-8"))[
    "groups"
][0]["rules"]
TRIED = yaml.safe_load((PROMETHEUS / "koppeling.rules.test.yaml").read_text(encoding="utf-8"))["tests"]
DASHBOARD = json.loads((ROOT / "deploy/grafana/koppeling.json").read_text(encoding="utf-8"))
TOLD = set(re.findall(r'"(koppeling_\w+)"', (ROOT / "ops/http/metrics.py").read_text(encoding="utf-8")))


def named(text: str) -> set[str]:
    found = re.findall(r"\bkoppeling_\w+", text)
    # What Prometheus adds to the names of counters and histograms
    return {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in found}


def test_rules_and_dashboard_ask_for_what_is_told() -> None:
    asked = [rule["expr"] for rule in RULES]
    asked += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

    assert all(named(each) or "up{" in each for each in asked)
    assert named(" ".join(asked)) <= TOLD


def test_every_alert_is_tried_where_it_must_be_quiet_and_where_it_must_not() -> None:
    names = {rule["alert"] for rule in RULES}

    for test in TRIED:
        assert {one["alertname"] for one in test["alert_rule_test"]} == names
        assert named(" ".join(one["series"] for one in test["input_series"])) <= TOLD
    quiet, loud = ([bool(one.get("exp_alerts")) for one in test["alert_rule_test"]] for test in TRIED)
    assert not any(quiet)
    assert all(loud)


def test_every_alert_says_what_it_is_how_bad_and_which_page_helps() -> None:
    pages = {re.sub(r"{[^}]+}", "{}", getattr(route, "path", "")) for one in ROUTERS for route in one.routes}

    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "page"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        path = re.sub(r"{{[^}]+}}", "{}", rule["annotations"]["page"].removeprefix("https://koppeling.example.com"))
        assert path.partition("?")[0] in pages, path


def test_rules_are_of_prometheus_form() -> None:
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule["for"])


@pytest.mark.parametrize(
    "words",
    [
        ["test", "rules", "koppeling.rules.test.yaml"],
        # The file of the token is on nobody's machine.
        ["check", "config", "--syntax-only", "prometheus.yaml"],
    ],
    ids=["rules", "settings"],
)
def test_prometheus_own_tool_finds_no_fault(words: list[str]) -> None:
    done = subprocess.run(
        [program("promtool", "prometheus"), *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_job_is_the_one_that_rules_ask_for() -> None:
    settings = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text(encoding="utf-8"))
    asked = set(re.findall(r'job="(\w+)"', " ".join(rule["expr"] for rule in RULES)))

    assert {job["job_name"] for job in settings["scrape_configs"]} == asked
    assert settings["rule_files"] == ["koppeling.rules.yaml"]


def test_panels_of_the_dashboard_have_names_and_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]

    assert (
        len({panel["title"] for panel in panels}) == len(panels) == len(set(places)) == len({p["id"] for p in panels})
    )
    assert all(panel["datasource"]["uid"] == "${source}" for panel in panels)
