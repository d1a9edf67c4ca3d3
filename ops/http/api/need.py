"""What each route needs: the verb of ``ops/access.py`` that it does, asked before anything is read."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from ops import access

# Who may come in is a matter of all tenants.
OF_ALL = ("users.", "tokens.")


class Need:
    """Refuses who may not do a verb, for the tenant that the address names. What the route calls asks once more."""

    def __init__(self, verb: str) -> None:
        self.verb = verb

    async def __call__(self, request: Request) -> None:
        slug = request.path_params.get("slug")
        if slug is None and not self.verb.startswith(OF_ALL):
            access.need(self.verb)
        else:
            access.check(self.verb, slug)


def need(verb: str) -> Any:
    """For ``dependencies=[need("tenants.read")]`` of a route."""
    return Depends(Need(verb))


def verb_of(route: APIRoute) -> str | None:
    """The verb that a route names."""
    found = (one.dependency for one in route.dependencies)
    return next((one.verb for one in found if isinstance(one, Need)), None)
