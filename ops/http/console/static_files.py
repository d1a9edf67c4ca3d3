"""The one style, the one script, the icon: their addresses change with what is in them, so they are kept for a year."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

FOLDER = Path(__file__).parent / "static"
KINDS = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
router = APIRouter(include_in_schema=False)


@cache
def _file(name: str) -> tuple[bytes, str]:
    content = (FOLDER / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def address(name: str) -> str:
    """Where a file is served."""
    return f"/static/{_file(name)[1]}/{name}"


@router.get("/static/{stamp}/{name}")
def file(stamp: str, name: str) -> Response:
    """One of them, also under an older address."""
    if name not in KINDS:
        raise HTTPException(404)
    content, newest = _file(name)
    kept = "public, max-age=31536000, immutable" if stamp == newest else "no-cache"
    return Response(content, media_type=KINDS[name], headers={"Cache-Control": kept})
