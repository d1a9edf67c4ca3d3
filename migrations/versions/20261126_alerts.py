"""Alerts that people are told of

Rules: the release that runs while this happens must go on working (add first, drop a release later); plain ``sa.``
types, nothing imported from models; no long lock on a large table (build indexes concurrently).

Revision: 20261126_5, after 20261126_4
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_5"
down_revision = "20261126_4"
branch_labels = None
depends_on = None

NEWS = "CASE WHEN closed_at IS NULL THEN told_at IS NULL ELSE told_at IS NOT NULL AND over_told_at IS NULL END"
TIMES = ("acked_at", "told_at", "over_told_at")


def _json(name: str, *, default: str | None) -> sa.Column[object]:
    kind = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
    server = sa.text(f"'{default}'::jsonb") if default else None
    return sa.Column(name, kind, server_default=server, nullable=default is None)


def _instant(name: str, *, now: bool = False) -> sa.Column[object]:
    server = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=server, nullable=not now)


def _tenant(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_tenant_id_tenant")
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=name, ondelete="CASCADE")


def upgrade() -> None:
    op.add_column("tenant", _json("alerts", default="{}"))
    op.add_column("tenant", sa.Column("alerts_secret", sa.LargeBinary(), nullable=True))
    op.add_column("alert", _json("parameters", default=None))
    op.add_column("alert", sa.Column("step", sa.Integer(), server_default=sa.text("0"), nullable=False))
    for name in TIMES:
        op.add_column("alert", _instant(name))
    op.add_column("alert", sa.Column("acked_by", sa.String(), nullable=True))
    op.add_column("alert", sa.Column("ack_reason", sa.String(), nullable=True))
    # What is open already is no news to those who are told from now on; the digest has it.
    op.execute("UPDATE alert SET told_at = now() WHERE closed_at IS NULL")
    op.create_index("ix_alert_news", "alert", ["tenant_id", "id"], postgresql_where=sa.text(NEWS))
    op.create_table(
        "alert_delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        _json("items", default="[]"),
        sa.Column("state", sa.String(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _instant("next_at", now=True),
        sa.Column("claim", sa.String(), nullable=True),
        _instant("claimed_until"),
        sa.Column("code", sa.String(), nullable=True),
        _instant("created_at", now=True),
        _instant("sent_at"),
        sa.CheckConstraint("channel IN ('mail', 'webhook')", name=op.f("ck_alert_delivery_channel")),
        sa.CheckConstraint("about IN ('news', 'digest', 'test', 'quality')", name=op.f("ck_alert_delivery_about")),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'refused', 'gave_up', 'dropped')", name=op.f("ck_alert_delivery_state")
        ),
        _tenant("alert_delivery"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_delivery")),
    )
    op.create_index(
        "ix_alert_delivery_waiting",
        "alert_delivery",
        ["channel", "next_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(op.f("ix_alert_delivery_tenant_id_id"), "alert_delivery", ["tenant_id", "id"])
    op.create_index(op.f("ix_alert_delivery_created_at"), "alert_delivery", ["created_at"])
    op.create_table(
        "alert_mute",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        _instant("created_at", now=True),
        _tenant("alert_mute"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_mute")),
    )
    op.create_index(op.f("ix_alert_mute_tenant_id"), "alert_mute", ["tenant_id"])
    op.create_table(
        "alert_digest",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        _instant("created_at", now=True),
        _tenant("alert_digest"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_digest")),
    )
    op.create_index(
        "uq_alert_digest_day", "alert_digest", ["tenant_id", "day"], unique=True, postgresql_nulls_not_distinct=True
    )


def downgrade() -> None:
    for table in ("alert_digest", "alert_mute", "alert_delivery"):
        op.drop_table(table)
    op.drop_index("ix_alert_news", table_name="alert")
    for name in ("ack_reason", "acked_by", *TIMES, "step", "parameters"):
        op.drop_column("alert", name)
    for name in ("alerts_secret", "alerts"):
        op.drop_column("tenant", name)
