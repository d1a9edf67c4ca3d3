"""NOTICE names every package that is shipped, as it is shipped."""

from __future__ import annotations

import re
from email.message import Message
from pathlib import Path

import pytest

from tools.notice import licence, notice

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")
LINES = re.findall(r"^([a-z0-9.-]+) +(\d\S*) +(\S.*?) +(https://\S+)$", NOTICE, re.MULTILINE)


def test_names_and_versions_are_those_of_the_lock_file() -> None:
    shipped = re.findall(r"^([a-z0-9.-]+)(?:\[.+\])?==(\S+)", LOCK, re.MULTILINE)

    assert len(shipped) > 30
    assert [line[:2] for line in LINES] == shipped, "run `make notice`"


def test_every_licence_is_an_spdx_expression() -> None:
    known = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0"}
    used = {part for line in LINES for part in re.split(" OR | AND ", line[2])}

    assert used <= known | {"MPL-2.0", "PSF-2.0"}, (
        "a licence that nobody looked at yet: does it let us ship the package?"
    )


def test_it_is_what_the_installed_packages_say() -> None:
    assert notice(LOCK) == NOTICE, "run `make notice`"


def test_the_top_says_what_the_lgpl_asks_of_whom_it_concerns() -> None:
    top = NOTICE.partition("\nalembic")[0]

    for name in {line[0].removesuffix("-binary") for line in LINES if "GPL" in line[2]}:
        assert name in top


def test_a_version_that_is_not_installed_is_not_described() -> None:
    with pytest.raises(ValueError, match="make install"):
        notice("rich==0.0.1 \\\n")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("License-Expression", "MIT"), ("License", "see LICENSE")], "MIT"),
        ([("License", "BSD-3-Clause")], "BSD-3-Clause"),
        (
            [("Classifier", f"License :: OSI Approved :: {each} License") for each in ("MIT", "Apache Software")],
            "MIT OR Apache-2.0",
        ),
    ],
    ids=["expression", "short", "classifiers"],
)
def test_a_licence_is_read_from_the_most_exact_field(fields: list[tuple[str, str]], said: str) -> None:
    assert licence(made(fields)) == said


def test_a_licence_that_is_only_a_long_text_stops_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"thing does not tell its licence .*: teach it"):
        licence(made([("Name", "thing"), ("License", "You may do as you like, but")]))


def made(fields: list[tuple[str, str]]) -> Message:
    """The metadata of a package with these fields."""
    of = Message()
    for name, value in fields:
        of[name] = value
    return of
