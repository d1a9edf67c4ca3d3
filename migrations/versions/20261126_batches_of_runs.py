"""Batches of runs: which were started together, for which tenants, by whom

Revision: 20261126_12, after 20261126_11
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_12"
down_revision = "20261126_11"
branch_labels = None
depends_on = None

RUN = ["run.tenant_id", "run.id"]


def upgrade() -> None:
    options = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
    op.create_table(
        "batch",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("options", options, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("started_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("direction IN ('enrollments', 'completions')", name=op.f("ck_batch_direction")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    run, tenant = (op.f(f"fk_batch_tenant_{name}") for name in ("tenant_id_run_id_run", "tenant_id_tenant"))
    op.create_table(
        "batch_tenant",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("skipped", sa.String(), nullable=True),
        sa.CheckConstraint("skipped IN ('paused')", name=op.f("ck_batch_tenant_skipped")),
        sa.ForeignKeyConstraint(["tenant_id", "run_id"], RUN, name=run, ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=tenant, ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_tenant")),
        sa.UniqueConstraint("batch", "tenant_id", name=op.f("uq_batch_tenant_batch_tenant_id")),
    )
    op.create_index(op.f("ix_batch_tenant_tenant_id_run_id"), "batch_tenant", ["tenant_id", "run_id"])


def downgrade() -> None:
    op.drop_table("batch_tenant")
    op.drop_table("batch")
