"""What a fictitious tenant consists of: names, columns, courses, and secrets that guard nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from simulators.afas.tenant import COMPLETION_FIELD

USUAL_COLUMNS = {
    "event_id": "CrId",
    "internal_id": "Intern_ID",
    "external_id": "Extern_ID",
    "name": "Naam",
    "email_primary": "Email_werk",
    "email_secondary": "Email_prive",
    "completion": "Voltooid_op",
    "modified": "Gewijzigd",
}
OTHER_COLUMNS = {
    "event_id": "EvenementId",
    "internal_id": "ContactId",
    "external_id": "PersoonCode",
    "name": "Deelnemer",
    "email_primary": "Mail",
    "completion": "DatumVoltooid",
}


@dataclass(frozen=True)
class SampleCourse:
    """One AFAS event and where its people go in Pluvo. ``share`` is the part of the tenant's people in it."""

    event_id: int
    title: str
    target: str = "offer_event"
    """offer_event or group."""
    level: str = "training"
    share: tuple[float, float] = (0.0, 1.0)

    @property
    def ref(self) -> str:
        """The ref in Pluvo."""
        return f"afas-{self.event_id}"


@dataclass(frozen=True)
class SampleTenant:
    """One customer that does not exist. Secrets are derived from the slug: they guard nothing."""

    slug: str
    name: str
    member_id: str
    people: int
    courses: tuple[SampleCourse, ...]
    auth: str = "oauth"
    columns: dict[str, str] = field(default_factory=lambda: dict(USUAL_COLUMNS))
    completion_type: str = "date"
    without_address: bool = False

    @property
    def completion_field(self) -> str:
        """The code of the free field for completion dates, different in every environment."""
        if self.slug == "acme":
            return COMPLETION_FIELD
        return "U" + hashlib.md5(self.slug.encode(), usedforsecurity=False).hexdigest().upper()

    def secret(self, what: str) -> str:
        """Give a made-up secret that people can type, e.g. ``afas-secret-acme``."""
        return f"{what}-secret-{self.slug}"

    @property
    def token(self) -> str:
        """The 64 hex of the classic token."""
        return hashlib.sha256(self.slug.encode()).hexdigest().upper()
