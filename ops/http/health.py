"""Is this process alive, and can it do its work? No login, no names."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from migrations.run import head, revisions
from models.session import transaction
from ops import status
from settings import SettingsError

router = APIRouter()
_NEWEST, _KNOWN = head(), revisions()


@router.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    """Alive: it answers, however busy the threads are."""
    return {"status": "ok"}


@router.get("/readyz", include_in_schema=False)
def readyz(response: Response) -> dict[str, str]:
    """Ready: database (with this version's tables) and broker answer; else 503."""
    found = {"database": database(), "broker": status.broker()}
    ready = set(found.values()) == {"ok"}
    response.status_code = 200 if ready else 503
    return {"status": "ok" if ready else "not ready"} | found


def database() -> str:
    """``ok``, ``unreachable``, ``not migrated``, or ``another version`` (newer than this one, or not ours at all)."""
    try:
        with transaction() as connection:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except SettingsError:
        return "unknown"
    except SQLAlchemyError as error:
        return "not migrated" if "alembic_version" in str(error) else "unreachable"
    if revision is not None and revision not in _KNOWN:
        return "another version"
    return "ok" if revision == _NEWEST else "not migrated"
