"""Pluvo's webhooks: bodies, signatures and sending.

Signature: HMAC-SHA1 over the raw body, keyed with SHA-1(salt + secret), as URL-safe base64 without padding; header
``X-Signature``, the salt beside it in ``X-Signature-Salt``. Nothing in it stops a replay.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import Any

import requests

FINISHED = {"TRAINING_FINISHED": "training", "COURSE_FINISHED": "course"}


def sign(secret: str, salt: str, body: bytes) -> str:
    """Sign a raw body: 27 characters."""
    key = hashlib.sha1((salt + secret).encode()).digest()  # noqa: S324 - Pluvo's scheme, not our choice
    mac = hmac.new(key, body, hashlib.sha1).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def signed_headers(secret: str, body: bytes, salt: str | None = None) -> dict[str, str]:
    """Make the headers of one delivery."""
    salt = secrets.token_urlsafe(9) if salt is None else salt
    return {"Content-Type": "application/json", "X-Signature": sign(secret, salt, body), "X-Signature-Salt": salt}


def event_body(event: str, user: dict[str, Any], about: dict[str, Any] | None = None) -> dict[str, Any]:
    """Write the body of an event; of the two finish events the shape is a guess (only their names are known)."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    person = {
        "id": user["id"],
        "ref": user["ref"],
        "name": user["name"],
        "email": user["email"],
        "isActive": user["isActive"],
        "afas_person_id": user.get("afasPersonId"),
        "afas_employee_id": user.get("afasEmployeeId"),
        "extraFields": {},
    }
    if event.startswith("USER_"):
        return {"event": event, **person, "sentDate": now}
    about = about or {}
    body: dict[str, Any] = {"event": event, "id": about.get("id"), "ref": about.get("ref"), "user": person}
    if event in FINISHED:
        body[FINISHED[event]] = {key: about.get(key) for key in ("id", "ref", "title")}
    elif event.startswith("OFFER_EVENT_"):
        body = {"event": event, "status": about.get("status"), "user": person, "offer_event": about}
    return {**body, "sentDate": now}


def deliver(url: str, secret: str, content: dict[str, Any], *, times: int = 1, good: bool = True) -> list[int]:
    """Post one body, signed, ``times`` times over (Pluvo repeats itself); ``good=False`` signs it wrongly.

    Gives the statuses answered.
    """
    body = json.dumps(content, ensure_ascii=False).encode()
    headers = signed_headers(secret if good else secret + "?", body)
    answers = (requests.post(url, data=body, headers=headers, timeout=30, allow_redirects=False) for _ in range(times))
    return [answer.status_code for answer in answers]
