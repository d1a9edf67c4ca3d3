"""One fictitious AFAS environment: its connectors, its participants per event, its tokens and its switches."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
COMPLETION_FIELD = "UC3B61455480EEFAFE78EBC831C6E1B30"
GET_CONNECTOR = "Deelnemer_per_cursusevenement"
UPDATE_CONNECTOR = "KnCourseMember"

COLUMNS = {
    "CrId": "event_id",
    "Intern_ID": "internal_id",
    "Extern_ID": "external_id",
    "Naam": "name",
    "Email_werk": "email_primary",
    "Email_prive": "email_secondary",
    "Voltooid_op": COMPLETION_FIELD,
    "Gewijzigd": "modified",
}
"""Column name -> what of a row it shows: one of the row's fields, or the code of a free field."""


@dataclass
class Row:
    """One person in one event. Dates are ``YYYY-MM-DD``; ``modified`` is Amsterdam time without zone."""

    event_id: int
    internal_id: int
    external_id: str | None = None
    name: str | None = None
    email_primary: str | None = None
    email_secondary: str | None = None
    start: str | None = None
    end: str | None = None
    blocked: bool = False
    free: dict[str, str | None] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)
    """What GetConnectors show instead, as a badly made column does: ``{"internal_id": "80.0"}``."""
    other: dict[str, Any] = field(default_factory=dict)
    """Standard fields that were written (Rm, SuDa …)."""
    modified: str = ""
    writes: int = 0
    """How often an UpdateConnector changed it."""

    @property
    def key(self) -> tuple[int, int]:
        """Give event and person: what AFAS keys a participant by."""
        return self.event_id, self.internal_id


@dataclass
class Connector:
    """A GetConnector definition. ``events`` narrows it to some events, as an administrator's fixed filter would."""

    description: str = "Deelnemers per cursusevenement"
    columns: dict[str, str] = field(default_factory=lambda: dict(COLUMNS))
    events: list[int] | None = None
    allowed: bool = True
    blocked: bool = False
    ignores_filters: bool = False
    """Answers every question with all it has."""


@dataclass
class FreeField:
    """A field the customer added to the participant. ``data_type``: date, string, int, boolean or decimal."""

    label: str
    data_type: str = "date"
    length: int = 10
    control_type: int = 1
    values: list[dict[str, str]] | None = None


@dataclass
class OAuthClient:
    """An app connector's client. Several secrets may be valid side by side."""

    secrets: list[str]
    blocked: bool = False
    flow_allowed: bool = True


@dataclass
class Otp:
    """The legacy way to a token: keys, users who may ask, and the code that gets mailed."""

    api_key: str
    environment_key: str
    users: list[str]
    code: str = "34264813"


@dataclass
class Switches:
    """Where AFAS is known to differ, or nobody knows. The defaults are the likeliest."""

    accepts: list[str] = field(default_factory=lambda: ["token", "oauth"])
    put_answer: str = "201-empty"
    """201-empty, 201-results or 200-empty."""
    denied_status: int = 500
    """What a connector outside the app connector gives: 500 or 401."""
    cell_limit: int | None = None
    """Out of memory when take * columns is more."""
    token_lifetime_seconds: int = 3600
    expires_in_text: bool = False
    ip_refused: bool = False
    ids_as_text: bool = False
    requires_external_id: bool = False
    refuses_blocked: bool = False
    person_touches_modified: bool = False


_NAMED_PARTS: dict[str, type] = {"oauth_clients": OAuthClient, "connectors": Connector, "free_fields": FreeField}
_PARTS: dict[str, type] = {"otp": Otp, "switches": Switches}


@dataclass
class AfasTenant:
    """One environment. Rows are kept by (event, person) and per event in order of internal id."""

    operations: ClassVar[frozenset[str]] = frozenset(
        {
            "enroll", "enroll_many", "rename", "set_email", "change", "remove", "change_connector",
            "change_switches", "expire_tokens",
        }
    )  # fmt: skip

    member_id: str
    envid: str = ""
    app_name: str = "Koppeling Pluvo"
    token_expiry: str = "0"  # noqa: S105 - a date; "0" is no end
    tokens: list[str] = field(default_factory=list)
    """The 64 hex of classic tokens."""
    oauth_clients: dict[str, OAuthClient] = field(default_factory=dict)
    otp: Otp | None = None
    connectors: dict[str, Connector] = field(default_factory=lambda: {GET_CONNECTOR: Connector()})
    update_connectors: dict[str, str] = field(default_factory=lambda: {UPDATE_CONNECTOR: "Deelnemer evenement"})
    free_fields: dict[str, FreeField] = field(default_factory=lambda: {COMPLETION_FIELD: FreeField("Voltooid op")})
    switches: Switches = field(default_factory=Switches)
    mails: list[dict[str, str]] = field(default_factory=list)
    rows: dict[tuple[int, int], Row] = field(default_factory=dict)
    access_tokens: dict[str, float] = field(default_factory=dict, repr=False)
    """OAuth token -> when it ends, in seconds of the clock. Not part of the state that is shown."""

    def __post_init__(self) -> None:
        """Derive the environment name and the index per event."""
        self.envid = self.envid or f"O{self.member_id}AA"
        self._by_event: dict[int, list[int]] = {}
        for event_id, internal_id in sorted(self.rows):
            self._by_event.setdefault(event_id, []).append(internal_id)

    # -- reading ---

    def events(self) -> list[int]:
        """List the events that have participants, in order."""
        return sorted(event_id for event_id, people in self._by_event.items() if people)

    def in_order(self, event_id: int, first: float, last: float) -> Iterator[Row]:
        """Walk the participants of one event by internal id, from one up to and including another."""
        people = self._by_event.get(event_id, [])
        for position in range(bisect.bisect_left(people, first), bisect.bisect_right(people, last)):
            yield self.rows[event_id, people[position]]

    # -- changing, as someone would in AFAS ----------------------------------------------------------------------------

    def enroll(self, event_id: int, internal_id: int, **values: Any) -> None:
        """Enroll a person; values as in ``Row``. Who is there already is replaced."""
        row = Row(int(event_id), int(internal_id), **values)
        row.modified = row.modified or amsterdam_now()
        if row.key not in self.rows:
            bisect.insort(self._by_event.setdefault(row.event_id, []), row.internal_id)
        self.rows[row.key] = row

    def enroll_many(self, rows: list[dict[str, Any]]) -> int:
        """Enroll many at once, each as for ``enroll``; gives how many."""
        for row in rows:
            self.enroll(**row)
        return len(rows)

    def remove(self, event_id: int, internal_id: int) -> None:
        """Take a person out of an event; raises KeyError when they aren't in it."""
        del self.rows[int(event_id), int(internal_id)]
        self._by_event[int(event_id)].remove(int(internal_id))

    def rename(self, internal_id: int, name: str | None) -> int:
        """Change a person's name in every event; gives the number of rows."""
        return self._change_person(internal_id, name=name)

    def set_email(self, internal_id: int, email: str | None, *, secondary: bool = False) -> int:
        """Change a person's address in every event; gives the number of rows."""
        return self._change_person(internal_id, **{"email_secondary" if secondary else "email_primary": email})

    def change(self, event_id: int, internal_id: int, **values: Any) -> None:
        """Change one enrollment, e.g. ``blocked=True`` or ``free={…}`` typed by hand; touches its stamp."""
        key = int(event_id), int(internal_id)
        values = {"modified": amsterdam_now(), **values}
        self.rows[key] = replace(self.rows[key], **values)

    def change_connector(self, name: str, **values: Any) -> None:
        """Change a GetConnector definition, or make it, as an administrator would; values as in ``Connector``."""
        self.connectors[name] = replace(self.connectors.get(name, Connector()), **values)

    def change_switches(self, **values: Any) -> None:
        """Set switches by name."""
        self.switches = replace(self.switches, **values)

    def expire_tokens(self) -> int:
        """End all OAuth access tokens; gives how many there were."""
        count = len(self.access_tokens)
        self.access_tokens.clear()
        return count

    def _change_person(self, internal_id: int, **values: Any) -> int:
        if self.switches.person_touches_modified:
            values["modified"] = amsterdam_now()
        found = [row for row in self.rows.values() if row.internal_id == int(internal_id)]
        for row in found:
            self.rows[row.key] = replace(row, **values)
        return len(found)

    # -- as JSON -------------------------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Show everything but OAuth access tokens; rows as a list in key order."""
        plain = (each for each in fields(self) if each.name not in {"rows", "access_tokens"})
        shown = {each.name: _plain(getattr(self, each.name)) for each in plain}
        return {**shown, "rows": [vars(self.rows[key]) for key in sorted(self.rows)]}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> AfasTenant:
        """Build from what ``as_json`` shows; keys may be left out. Raises TypeError for unknown ones."""
        made = dict(state)
        for name, kind in _NAMED_PARTS.items():
            if name in made:
                made[name] = {key: kind(**each) for key, each in made[name].items()}
        for name, kind in _PARTS.items():
            if made.get(name) is not None:
                made[name] = kind(**made[name])
        rows = [Row(**each) for each in made.pop("rows", [])]
        return cls(**made, rows={row.key: row for row in rows})


def amsterdam_now() -> str:
    """Say the time as AFAS shows it: Amsterdam time, whole seconds, no zone."""
    return datetime.now(AMSTERDAM).strftime("%Y-%m-%dT%H:%M:%S")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
