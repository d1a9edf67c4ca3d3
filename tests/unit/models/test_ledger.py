"""Who may write into the ledger's table."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("clients", "models", "tenancy", "producers", "workers", "ops")
WRITE = re.compile(r"\b(UPDATE|INSERT\s+INTO|DELETE\s+FROM)\s+(ONLY\s+)?message\b", re.IGNORECASE)


def test_only_the_ledger_writes_messages() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    writers = {str(path.relative_to(ROOT)) for path in sources if WRITE.search(path.read_text(encoding="utf-8"))}
    assert writers == {"models/ledger.py"}
