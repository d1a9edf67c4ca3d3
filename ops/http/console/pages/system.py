"""``/system``: worker processes and what they do, what waits by tenant, and whether all is as it must be."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

import settings
from ops import doctor, workers
from ops.http.console import choices
from ops.http.console.render import page

router = APIRouter(include_in_schema=False)


@router.get("/system")
def system(request: Request) -> HTMLResponse:
    """All of it, as it is now."""
    found = settings.get()
    keeps = {
        "payload": found.payload_retention // 86_400,
        "ledger": found.ledger_retention // 86_400,
        "dead_letters": found.dead_letter_retention // 86_400,
    }
    engine = workers.document()
    health = doctor.document(choices.language(request), engine=engine)
    return page(request, "system.html", found=engine, health=health, keeps=keeps)
