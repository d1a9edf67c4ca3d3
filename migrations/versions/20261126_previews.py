"""Keep what a plan that is only looked at shows beside its lines

Revision: 20261126_8, after 20261126_7
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_8"
down_revision = "20261126_7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "run",
        sa.Column("looked", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    )
    op.create_index("ix_run_preview", "run", ["id"], unique=False, postgresql_where=sa.text("trigger = 'preview'"))


def downgrade() -> None:
    op.drop_index("ix_run_preview", table_name="run", postgresql_where=sa.text("trigger = 'preview'"))
    op.drop_column("run", "looked")
