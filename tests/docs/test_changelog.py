"""The changelog and the package agree on the version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTIONS = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_the_version_is_that_of_the_newest_release() -> None:
    released = [section.split()[0] for section in SECTIONS if section != "Unreleased"]

    assert (released or ["0.1.0"])[0] == VERSION, 'set "version" in pyproject.toml to that of the newest "## x.y.z"'


def test_sections_are_what_is_not_released_then_the_releases_newest_first() -> None:
    releases = SECTIONS[1:] if SECTIONS[0] == "Unreleased" else SECTIONS
    form = re.compile(r"(\d+)\.(\d+)\.(\d+) - \d{4}-\d{2}-\d{2}")

    assert [section for section in releases if not form.fullmatch(section)] == [], "the form is: 0.1.0 - 2026-11-26"
    order = [tuple(map(int, section.split()[0].split("."))) for section in releases]
    assert order == sorted(set(order), reverse=True)


def test_what_changed_is_one_list_below_each_heading() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    parts = re.split(r"^### .+\n", text, flags=re.MULTILINE)[1:]
    lists = [re.split(r"^## ", part, flags=re.MULTILINE)[0].strip() for part in parts]
    assert [listed for listed in lists if "\n\n" in listed] == [], "no blank line within a list"
    for version in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        headings = re.findall(r"^### (.+)$", version, re.MULTILINE)
        order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        assert headings == [one for one in order if one in headings]
        items = re.findall(r"^- (.+)$", version, re.MULTILINE)
        assert len(items) == len(set(items))
