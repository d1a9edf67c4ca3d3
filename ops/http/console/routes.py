"""Every page's router, in one list."""

from __future__ import annotations

from fastapi import APIRouter

from ops.http.console import choices, static_files
from ops.http.console.pages import alerts, api_docs, home, system, tenants

ROUTERS: tuple[APIRouter, ...] = (
    static_files.router,
    choices.router,
    home.router,
    tenants.router,
    alerts.router,
    system.router,
    api_docs.router,
)
