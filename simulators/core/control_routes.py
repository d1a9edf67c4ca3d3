"""``/_control/…``: look at and change a simulator that runs in another process.

=======================  ==================================================================================
``GET  state``           all tenants; ``?tenant=`` for one
``PUT  state``           ``{"tenants": {…}}`` in place of all there are
``POST state``           the same beside those there are, or an operation: ``{"tenant", "op", …arguments}``
``GET  faults``          the switches with their counts; ``POST`` sets one (or a list), ``DELETE`` clears (``?id=``)
``GET  log``             requests so far (``?tenant=``, ``?after=n``); ``DELETE`` empties it
=======================  ==================================================================================
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from simulators.core.http_messages import Answer, Request, json_answer
from simulators.core.system import System


async def control(system: System, request: Request) -> Answer:
    """Answer one control request; what is wrong with it is said with a 400."""
    try:
        content = json.loads(request.body) if request.body else {}
        route = _ROUTES.get((request.method, request.path.removeprefix("/_control/").rstrip("/")))
        if route is None:
            return json_answer({"error": f"no such control: {request.method} {request.path}"}, 404)
        # In a thread: an operation may call out (a webhook), and others must be served meanwhile.
        return json_answer(await asyncio.to_thread(route, system, request, content))
    except (KeyError, TypeError, ValueError) as error:
        return json_answer({"error": f"{type(error).__name__}: {error}"}, 400)


def _get_state(system: System, request: Request, _content: Any) -> Any:
    with system.lock:
        return system.state(request.params.get("tenant"))


def _put_state(system: System, _request: Request, content: Any) -> Any:
    with system.lock:
        system.load(content, replace=True)
    return {"tenants": sorted(system.tenants)}


def _post_state(system: System, _request: Request, content: Any) -> Any:
    if "op" not in content:
        with system.lock:
            system.load(content, replace=False)
        return {"tenants": sorted(system.tenants)}
    arguments = {key: value for key, value in content.items() if key not in {"tenant", "op"}}
    if content["op"] == "send_webhook":  # calls out: the lock must not be held
        return {"result": system.tenants[content["tenant"]].send_webhook(**arguments)}
    with system.lock:
        return {"result": system.operate(content["tenant"], content["op"], arguments)}


def _get_faults(system: System, _request: Request, _content: Any) -> Any:
    return {"faults": system.faults.as_json()}


def _post_faults(system: System, _request: Request, content: Any) -> Any:
    with system.lock:
        added = [system.faults.add(**each) for each in (content if isinstance(content, list) else [content])]
    return {"ids": [fault.id for fault in added]}


def _delete_faults(system: System, request: Request, _content: Any) -> Any:
    with system.lock:
        system.faults.clear(int(request.params["id"]) if "id" in request.params else None)
    return {"faults": system.faults.as_json()}


def _get_log(system: System, request: Request, _content: Any) -> Any:
    with system.lock:
        return {"log": system.log.as_json(request.params.get("tenant"), int(request.params.get("after", 0)))}


def _delete_log(system: System, _request: Request, _content: Any) -> Any:
    with system.lock:
        system.log.entries.clear()
    return {"log": []}


_ROUTES = {
    ("GET", "state"): _get_state,
    ("PUT", "state"): _put_state,
    ("POST", "state"): _post_state,
    ("GET", "faults"): _get_faults,
    ("POST", "faults"): _post_faults,
    ("DELETE", "faults"): _delete_faults,
    ("GET", "log"): _get_log,
    ("DELETE", "log"): _delete_log,
}
