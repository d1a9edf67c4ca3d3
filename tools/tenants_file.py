"""Write docs/tenants-file.md from the classes that validate the file: ``python -m tools.tenants_file``."""

from __future__ import annotations

from pathlib import Path

from ops.tenants import reference

PAGE = Path(__file__).parents[1] / "docs/tenants-file.md"
HEAD = """\
# The tenants file

Made by `make reference` from the classes that validate it. `koppeling tenants example` prints all of it as a file to
begin with, `koppeling tenants export acme` the file of a tenant that is there, `koppeling tenants import tenants.toml`
reads one: all of it or nothing, every problem with its line.

- Unknown keys are refused. Durations are written `45s`, `15m`, `2h`, `7d`.
- A secret is a literal, `{ env = "NAME" }` or `{ file = "path" }`, relative to the file. It is stored encrypted and
  never shown again. One that is left out keeps what is stored, as long as the address it is sent to stays the same.
- A course that is no longer in the file becomes inactive; its people are not leavers. A tenant that is not in it stays.
"""


def page() -> str:
    """The whole page."""
    return f"{HEAD}\n{reference.markdown()}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
