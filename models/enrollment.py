"""A person in one AFAS event: what AFAS wants, and what Pluvo was last told."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, one_of, referred_to, same_tenant
from models.outcomes import OF_ENROLLMENTS


class Desired(StrEnum):
    ENROLLED = "enrolled"
    REMOVED = "removed"


class Applied(StrEnum):
    """What is so in Pluvo as far as we know. ``kept``: left AFAS under the policy "keep"."""

    NEW = "new"
    ENROLLED = "enrolled"
    REMOVED = "removed"
    KEPT = "kept"


class RowState(StrEnum):
    """What the newest usable snapshot says of this enrollment's row."""

    PRESENT = "present"
    BLOCKED = "blocked"
    NOT_YET = "not_yet"
    ENDED = "ended"
    REJECTED = "rejected"
    ABSENT = "absent"


class Enrollment(SQLModel, table=True):
    __tablename__ = "enrollment"
    __table_args__ = (
        UniqueConstraint("person_id", "course_id"),
        same_tenant("person_id", "person"),
        same_tenant("course_id", "course"),
        referred_to(),
        one_of("desired", Desired),
        one_of("state", Applied),
        one_of("row_state", RowState),
        one_of("outcome", OF_ENROLLMENTS),
        Index(None, "tenant_id", "course_id", "state"),
        # Those few that must still leave a place: found without reading everybody.
        Index("ix_enrollment_left_behind", "tenant_id", postgresql_where=text("left_behind <> '[]'")),
        # Those few that do not go on, of a hundred thousand: counted and named on pages
        Index(
            "ix_enrollment_troubled",
            "tenant_id",
            "course_id",
            "outcome",
            postgresql_where=text("outcome IN ('rejected', 'ambiguous', 'failed') OR row_state = 'rejected'"),
        ),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    person_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    course_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    # BcCo of this very row: for a contact person it is the organisation's code.
    external_id: str | None = None
    desired: str = Field(default=Desired.ENROLLED, sa_column_kwargs={"server_default": text("'enrolled'")})
    # The account goes to the archive with this removal, if it still may when the moment comes.
    archive: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # Of the row's content (name, address, external id); a new one raises the version.
    fingerprint: str | None = None
    version: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    applied_version: int | None = Field(default=None, sa_column=Column(BigInteger))
    state: str = Field(default=Applied.NEW, sa_column_kwargs={"server_default": text("'new'")})
    pluvo_enrollment_id: str | None = None
    # Pluvo took the enrollment but has no place yet: looked at again in each run.
    waiting: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # Where Pluvo was asked to put the person for this enrollment: account, target ("offer_event:<ref>", "group:<ref>")
    # and Pluvo's own id of the offer event. Noted before the call, so it may not have come true; without it nothing was
    # ever asked, and nothing is ever taken away.
    told_account: str | None = None
    told_target: str | None = None
    told_target_id: str | None = None
    # Such places of before that the person must still be taken out of, since account or target became another one:
    # [{"account", "target", "target_id"}]
    left_behind: list[dict[str, str | None]] = json(default="[]")
    # The guards let that happen.
    take_out: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # As of the newest usable snapshot
    row_state: str = Field(default=RowState.PRESENT, sa_column_kwargs={"server_default": text("'present'")})
    seen_run: str | None = None
    seen_at: datetime | None = instant()
    # Reading time of the first complete snapshot without the row; null while it is there.
    absent_since: datetime | None = instant()
    # The mapped completion column as last read, as AFAS gave it, and when.
    completion_value: str | None = None
    completion_read_at: datetime | None = instant()
    # Newest outcome and reason of the row, for `explain`.
    outcome: str | None = None
    reason: str | None = None
    # A call that changes it may have been made of which no result is recorded: look at Pluvo, don't trust ``state``.
    unsure: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # Refused under this content and these settings: stays failed until one of them changes or it is replayed.
    failed_code: str | None = None
    failed_version: int | None = Field(default=None, sa_column=Column(BigInteger))
    failed_settings: int | None = Field(default=None, sa_column=Column(Integer))
    # An operator refused to carry out this content (a held create or new address)
    refused_fingerprint: str | None = None
    # An operator refused this removal; not raised again until the person was back in between.
    removal_refused: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )
