"""Every page's router, in one list."""

from __future__ import annotations

from fastapi import APIRouter

from ops.http.console import choices, static_files
from ops.http.console.pages import (
    account,
    alerts,
    ambiguous,
    api_docs,
    audit,
    batches,
    completions,
    dead_letters,
    go_live,
    holds,
    home,
    links,
    login,
    onboarding,
    people,
    previews,
    quality,
    replays,
    runs,
    system,
    tenant_edit,
    tenants,
    tokens,
    users,
)

ROUTERS: tuple[APIRouter, ...] = (
    static_files.router,
    choices.router,
    home.router,
    go_live.router,
    onboarding.router,
    tenant_edit.router,
    alerts.router,
    system.router,
    api_docs.router,
    dead_letters.router,
    replays.router,
    completions.router,
    quality.router,
    audit.router,
    runs.router,
    batches.router,
    previews.router,
    holds.router,
    people.router,
    ambiguous.router,
    links.router,
    login.router,
    account.router,
    users.router,
    tokens.router,
)
# The last: others have addresses below a tenant's, which a course of any name would take.
ROUTERS += (tenants.router,)
