"""Do the services that one process does for all get done? Told by what they write down, not by who is alive.

``relay``: ``ok``; ``nobody`` when no process leads; ``stuck`` when something may go for a minute and nothing did.
``maintenance``, ``timetable``: ``ok``; ``nobody`` when no process does it.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection, text

from models.may_go import STANDS_STILL
from models.session import transaction
from models.worker import ALIVE_SECONDS
from tenancy.alerts import close_alert, open_alert

SERVICES = ("relay", "maintenance", "timetable")
STUCK = "Nothing was handed out for a minute although messages are ready, or no process leads the relay: see the logs."
_LONG_WITHOUT = "SELECT 1 FROM service WHERE name = 'relay' AND seen_at < now() - interval '60 seconds'"
log = structlog.get_logger("tenancy.vital_signs")


def read(connection: Connection) -> dict[str, str]:
    """What each service is, by name."""
    alive = connection.execute(
        text("SELECT name FROM service WHERE seen_at > now() - make_interval(secs => :alive)"), {"alive": ALIVE_SECONDS}
    )
    names = set(alive.scalars())
    found = {name: "ok" if name in names else "nobody" for name in SERVICES}
    if found["relay"] == "ok" and connection.execute(text(STANDS_STILL)).scalar():
        found["relay"] = "stuck"
    return found


def watch() -> str:
    """Open an alert when no process leads the relay or it stands still, close it when it works again; what it is."""
    with transaction() as connection:
        relay = read(connection)["relay"]
        if relay == "nobody" and not connection.execute(text(_LONG_WITHOUT)).scalar():
            return relay  # the lead goes over from one process to another
        if relay == "ok":
            close_alert(connection, None, "relay", "stuck")
        elif open_alert(connection, None, "relay", "stuck", STUCK):
            log.error("relay_stuck", relay=relay)
    return relay
