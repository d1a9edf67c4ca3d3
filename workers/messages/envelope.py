"""What a message in Redis looks like, and what may be wrong with one. Pure.

A good one, in dramatiq's own form; nothing of it is believed before the ledger confirms it::

    {"queue_name": "enrollments", "actor_name": "enrollment.upsert", "args": [],
     "kwargs": {"tenant": 3, "message": 17, "delivery": 1, "v": 1}, "options": {"redis_message_id": "17-1"},
     "message_id": "17-1", "message_timestamp": 1767225600000}
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

VERSION = 1
MAX_BYTES = 64 * 1024
FIELDS = {"queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"}
_KIND = re.compile(r"[a-z][a-z0-9_]{0,30}(\.[a-z0-9_]{1,30}){0,3}")


@dataclass(frozen=True)
class Envelope:
    """What a message says it is."""

    kind: str
    tenant_id: int
    message_id: int
    delivery: int
    version: int = VERSION

    @property
    def redis_id(self) -> str:
        """The id in Redis: the same delivery is never there twice."""
        return f"{self.message_id}-{self.delivery}"


@dataclass(frozen=True)
class Defect:
    """Why something in Redis is no message of ours; ``kind`` as far as it could be read."""

    code: str
    text: str
    kind: str = "unknown"


def encode(envelope: Envelope, queue: str, timestamp_ms: int) -> bytes:
    """The bytes that dramatiq reads."""
    fields = {
        "queue_name": queue,
        "actor_name": envelope.kind,
        "args": [],
        "kwargs": {
            "tenant": envelope.tenant_id,
            "message": envelope.message_id,
            "delivery": envelope.delivery,
            "v": envelope.version,
        },
        "options": {"redis_message_id": envelope.redis_id},
        "message_id": envelope.redis_id,
        "message_timestamp": timestamp_ms,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def parse(data: bytes) -> Envelope | Defect:
    """Read what came out of Redis. Never raises, whatever the bytes are."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return Defect("undecodable", "is no JSON")
    if not isinstance(fields, dict) or not isinstance(fields.get("actor_name"), str):
        return Defect("undecodable", "is no message of this system")
    kind = fields["actor_name"]
    if not _KIND.fullmatch(kind):
        return Defect("malformed_message", "names no kind of message")
    if set(fields) != FIELDS or fields["args"] != []:
        return Defect("malformed_message", "has other fields than a message has", kind)
    return _named(kind, fields["kwargs"])


def _named(kind: str, kwargs: Any) -> Envelope | Defect:
    if not isinstance(kwargs, dict) or set(kwargs) != {"tenant", "message", "delivery", "v"}:
        return Defect("malformed_message", "names other things than tenant, message, delivery and v", kind)
    limits = {"tenant": 2**63, "message": 2**63, "delivery": 2**31, "v": 2**15}
    if not all(type(kwargs[name]) is int and 0 < kwargs[name] < limit for name, limit in limits.items()):
        return Defect("malformed_message", "holds something that is no id", kind)
    return Envelope(kind, kwargs["tenant"], kwargs["message"], kwargs["delivery"], kwargs["v"])
