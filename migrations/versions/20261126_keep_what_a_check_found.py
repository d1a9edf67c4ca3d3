"""keep what a check found

Rules: the release that runs while this happens must go on working (add first, drop a release later); plain ``sa.``
types, nothing imported from models; no long lock on a large table (build indexes concurrently).

Revision: 20261126_3, after 20261126_2
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_3"
down_revision = "20261126_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tenant_check",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("findings", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_tenant_check_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_check")),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_tenant_check_tenant_id")),
    )


def downgrade() -> None:
    op.drop_table("tenant_check")
